/* SPDX-License-Identifier: MIT */
/* Two stores that must agree: what is committed to both. */
#include "pair.h"
#include "engine/files/limits.h"

#include <stdio.h>
#include <stdlib.h>

#include "age.h"
#include "engine/files/files.h"
#include "os_sim_disk.h"
#include "store/store.h"
#include "wall.h"

/* Values are equal for this test when they differ in case only. */
static bool equal_but_case(void *context, slice a, slice b)
{
    (void)context;
    for (size_t i = 0; i < a.size && i < b.size; i++)
        if ((((const char *)a.data)[i] | 32) !=
            (((const char *)b.data)[i] | 32))
            return false;
    return a.size == b.size;
}

/* ---- comparing -------------------------------------------------------- */

void pair_agree(pair *p, const char *what)
{
    p->checks++;
    if (p->failed != NULL ||
        slice_equal(buf_slice(&p->said), buf_slice(&p->wanted)))
        return;
    p->failed = what;
    if (p->quiet)
        return;
    printf("VIOLATION in %s\n disk: %.*s\nmodel: %.*s\n", what,
           (int)p->said.size, (const char *)p->said.data, (int)p->wanted.size,
           (const char *)p->wanted.data);
}

void pair_fail(pair *p, const char *what, const char *why)
{
    if (p->failed == NULL && !p->quiet)
        printf("VIOLATION in %s: %s\n", what, why);
    p->failed = what;
}

void pair_clear(pair *p)
{
    buf_clear(&p->said);
    buf_clear(&p->wanted);
}

void pair_put_status(buf *out, persist_status status,
                     const persist_error *error)
{
    buf_printf(out, "%s ", persist_status_code(status));
    if (status <= PERSIST_NONE)
        return;
    if (error->has & PERSIST_HAS_NUMBERS)
        buf_printf(out, "expected %llu actual %llu ",
                   (unsigned long long)error->expected,
                   (unsigned long long)error->actual);
    if (error->has & PERSIST_HAS_STREAM)
        buf_put(out, error->stream, error->stream_size);
}

void pair_put_outcome(buf *out, const persist_outcome *o)
{
    buf_printf(out, "kind %d lsn %llu edit %zu seq %llu present %d ",
               (int)o->kind, (unsigned long long)o->lsn, o->edit,
               (unsigned long long)o->actual_seq, o->actual_present);
    for (size_t i = 0; i < o->seq_count; i++)
        buf_printf(out, "#%llu ", (unsigned long long)o->seqs[i]);
    buf_put_slice(out, o->actual_value);
}

/* ---- committing ------------------------------------------------------- */

static persist_status delete_blob(persist_store *store, const pair_commit *c,
                                  buf *said)
{
    persist_error error = {0};
    persist_lsn lsn = 0;
    persist_status status = persist_blob_delete(store, slice_str(c->cid),
                                                c->put_before, &lsn, &error);
    if (said == NULL)
        return status;
    pair_put_status(said, status, &error);
    buf_printf(said, "%d latest %llu",
               status != PERSIST_OK || lsn == store_visible(store),
               (unsigned long long)store_visible(store));
    return status;
}

static persist_status add_blob(persist_store *store, const pair_commit *c,
                               buf *said)
{
    persist_cid cid = "";
    persist_error error = {0};
    persist_status status = persist_blob_add(
        store, slice_of(c->bytes, c->blob_size), cid, NULL, &error);
    if (said == NULL)
        return status;
    pair_put_status(said, status, &error);
    buf_printf(said, "%s latest %llu", cid,
               (unsigned long long)store_visible(store));
    return status;
}

static persist_status commit_to(persist_store *store, const pair_commit *c,
                                buf *said)
{
    persist_outcome outcome = {0};
    persist_error error = {0};
    persist_edit edits[PAIR_EDITS_MAX];
    if (c->deletes)
        return delete_blob(store, c, said);
    if (c->blob_size > 0)
        return add_blob(store, c, said);
    for (size_t i = 0; i < c->count; i++) {
        edits[i] = c->edits[i];
        if (edits[i].kind == PERSIST_SET_ONCE)
            edits[i].command = &c->commands[i];
    }
    persist_status status =
        persist_commit(store, edits, c->count, c->has_once ? &c->once : NULL,
                       &outcome, &error);
    if (said != NULL) {
        pair_put_status(said, status, &error);
        if (status == PERSIST_OK)
            pair_put_outcome(said, &outcome);
    }
    persist_outcome_release(&outcome);
    return status;
}

static void note_given(pair *p, persist_lsn lsn)
{
    if (lsn <= p->highest)
        pair_fail(p, "commit", "an lsn was given twice");
    p->highest = lsn;
    p->given[p->given_count++ % PAIR_GIVEN] = lsn;
}

/* Commits to the disk and to the model, and remembers it for the twin. */
static void commit(pair *p, pair_commit *c)
{
    persist_lsn before = store_visible(p->latest);
    wall_move(pair_draw(p, 1000));
    c->wall = wall_now(NULL);
    pair_clear(p);
    commit_to(pair_hand(p), c, &p->said);
    commit_to(p->latest, c, &p->wanted);
    pair_agree(p, c->deletes         ? "deleting a blob"
                  : c->blob_size > 0 ? "adding a blob"
                                     : "commit");
    c->lsn = store_visible(p->latest);
    if (c->lsn == before) {
        free(c->bytes);
        return;
    }
    note_given(p, c->lsn);
    if (p->waiting_count == PAIR_PENDING_MAX)
        pair_background(p);
    CHECK(p->waiting_count < PAIR_PENDING_MAX);
    p->waiting[p->waiting_count++] = *c;
}

void pair_do_commit(pair *p)
{
    pair_commit c = {.bytes = sim_alloc(PAIR_EDITS_MAX * PAIR_DATA_MAX)};
    p->crowding = p->crowded && pair_draw(p, 4) > 0;
    if (p->crowded && pair_draw(p, 6) == 0)
        p->plain = !p->plain;
    bool several = p->crowding || pair_draw(p, 4) == 0;
    c.count = several ? pair_draw(p, PAIR_EDITS_MAX + 1) : 1;
    for (size_t i = 0; i < c.count; i++) {
        c.edits[i] = pair_any_edit(p, c.bytes + i * PAIR_DATA_MAX);
        c.commands[i] = pair_any_command(p);
    }
    c.has_once = pair_draw(p, 10) == 0;
    c.once.id = pair_any_id(p);
    c.once.fingerprint[3] = (uint8_t)pair_draw(p, 2);
    commit(p, &c);
}

/* Small ones, large ones, and such that are there. */
void pair_do_blob(pair *p)
{
    static const unsigned sizes[] = {60, PAIR_DATA_MAX, 6 * PAIR_DATA_MAX};
    pair_commit c = {.bytes = sim_alloc(PAIR_EDITS_MAX * PAIR_DATA_MAX)};
    c.blob_size = 1 + pair_draw(p, sizes[pair_draw(p, 3)] - 1);
    memset(c.bytes, (int)('a' + pair_draw(p, 3)), c.blob_size);
    if (pair_draw(p, 5) == 0)
        wall_move(BLOB_RENEW_US + pair_draw(p, 3) - 1);
    c.deletes = pair_draw(p, 3) == 0;
    memcpy(c.cid, pair_any_cid(p), sizeof c.cid);
    if (c.deletes && pair_draw(p, 3) == 0)
        c.put_before = wall_now(NULL) + pair_draw(p, 2 * BLOB_RENEW_US);
    else if (!c.deletes)
        persist_cid_of(slice_of(c.bytes, c.blob_size),
                       p->blobs[p->blob_count++ % PAIR_BLOBS]);
    commit(p, &c);
}

/* Brings the twin up to what the disk backend says is durable. */
static void follow(pair *p)
{
    persist_lsn durable = persist_durable(p->disk);
    uint64_t wall = wall_now(NULL);
    size_t done = 0;
    while (done < p->waiting_count && p->waiting[done].lsn <= durable) {
        wall_set(p->waiting[done].wall);
        commit_to(p->twin, &p->waiting[done], NULL);
        free(p->waiting[done++].bytes);
    }
    wall_set(wall);
    p->waiting_count -= done;
    memmove(p->waiting, p->waiting + done,
            p->waiting_count * sizeof *p->waiting);
}

persist_store *pair_model(pair *p, persist_view view)
{
    if (view == PERSIST_LATEST)
        return p->latest;
    follow(p);
    return p->twin;
}

/* ---- opening and closing ---------------------------------------------- */

static void open_disk(pair *p)
{
    persist_error error;
    if (persist_open(&p->options, &p->disk, &error) != PERSIST_OK)
        pair_fail(p, "opening", error.message);
    else if (p->by_steps)
        store_disk_by_steps(p->disk);
    if (p->disk != NULL && p->reads_pay != 0)
        store_disk_reads_pay(p->disk, p->reads_pay);
    if (p->disk != NULL)
        pair_listen(p);
}

static void close_disk(pair *p)
{
    persist_error error;
    pair_let_go(p);
    pair_end_sessions(p);
    if (persist_close(p->disk, &error) != PERSIST_OK)
        pair_fail(p, "closing", error.message);
    p->disk = NULL;
}

static void wait_disk(pair *p)
{
    persist_error error = {0};
    persist_lsn latest = store_visible(p->latest);
    persist_lsn lsn = pair_draw(p, 2) == 0 ? latest : pair_draw(p, latest + 2);
    if (p->given_count > 0 && pair_draw(p, 3) == 0)
        lsn = p->given[pair_draw(p, p->given_count) % PAIR_GIVEN];
    pair_clear(p);
    persist_status status = persist_wait_durable(p->disk, lsn, &error);
    pair_put_status(&p->said, status, &error);
    pair_put_status(&p->wanted, persist_wait_durable(p->latest, lsn, &error),
                    &error);
    buf_printf(&p->said, "%d",
               persist_durable(p->disk) >= lsn || lsn > latest ||
                   status == PERSIST_LOST);
    buf_printf(&p->wanted, "1");
    pair_agree(p, "wait_durable");
}

static persist_store *open_memory(const pair *p)
{
    persist_store *store = NULL;
    persist_options options = p->options;
    options.path = NULL;
    persist_status status = persist_open(&options, &store, NULL);
    CHECK(status == PERSIST_OK);
    if (p->aged)
        age_memory(store);
    return store;
}

/* The first commit of all three, and of the one on disk long ago. */
static void grow_old(pair *p)
{
    const persist_edit edit = {
        .kind = PERSIST_PUT, .name = slice_str("k"), .data = slice_str("v")};
    uint32_t memtable_size = p->options.memtable_size;
    p->options.memtable_size = 1; /* it becomes a table */
    open_disk(p);
    CHECK(p->failed == NULL);
    persist_store *stores[3] = {p->disk, p->latest, p->twin};
    for (int i = 0; i < 3; i++) {
        persist_status status =
            persist_commit(stores[i], &edit, 1, NULL, NULL, NULL);
        CHECK(status == PERSIST_OK);
    }
    close_disk(p);
    p->options.memtable_size = memtable_size;
    if (p->failed == NULL)
        age_store(p->options.os, p->options.path, AGE_EPOCH);
}

void pair_background(pair *p)
{
    bool did;
    persist_error error;
    wait_disk(p);
    if (store_step(p->disk, &did, &error) != PERSIST_OK)
        pair_fail(p, "background work", error.message);
    (void)pair_model(p, PERSIST_DURABLE);
}

static bool is_reading(const pair *p)
{
    bool any = false;
    for (size_t i = 0; i < PAIR_HELD; i++)
        any = any || p->held[i].disk != NULL;
    for (size_t i = 0; i < PAIR_KEPT; i++)
        any = any || p->kept[i].disk != NULL;
    return any;
}

void pair_tidy(pair *p)
{
    persist_error error = {0};
    bool purges = pair_draw(p, 2) == 0, reading = is_reading(p);
    wait_disk(p);
    persist_status status = purges
                                ? persist_purge(p->disk, NULL, NULL, &error)
                                : persist_compact(p->disk, NULL, NULL, &error);
    bool refused = purges && reading && status == PERSIST_BAD_REQUEST;
    if (status != PERSIST_OK && !refused)
        pair_fail(p, purges ? "purging" : "compacting", error.message);
    (void)pair_model(p, PERSIST_DURABLE);
}

static void use_sim(pair *p, os_sim *sim)
{
    p->sim = sim;
    p->timed = *os_sim_os(sim);
    p->timed.wall_us = wall_now;
}

/* What is left is killed, or has lost its power. */
static void lose_disk(pair *p)
{
    static const sim_keep keeps[] = {SIM_KEEP_NONE, SIM_KEEP_ALL,
                                     SIM_KEEP_RANDOM};
    const sim_plan plan = {keeps[pair_draw(p, 3)], 0, 0, pair_draw(p, 1000)};
    os_sim *old = p->sim;
    pair_end_sessions(p);
    os_sim *left =
        pair_draw(p, 4) == 0 ? os_sim_kill(old) : os_sim_crash(old, &plan);
    persist_close(p->disk, NULL);
    p->disk = NULL;
    os_sim_free(old);
    use_sim(p, left);
}

/* Gives both models a commit that turned out to have survived. */
static void bring_back(pair *p, const pair_commit *c)
{
    uint64_t wall = wall_now(NULL);
    wall_set(c->wall);
    commit_to(p->latest, c, NULL);
    commit_to(p->twin, c, NULL);
    wall_set(wall);
    CHECK(store_visible(p->latest) == c->lsn);
}

static void skip(pair *p, persist_store *model)
{
    persist_lsn next = p->disk->first_lsn;
    if (next > store_visible(model) + 1 && next != model->first_lsn &&
        store_memory_skip(model, next, NULL) != PERSIST_OK)
        pair_fail(p, "skipping", "memory is out");
}

/* An end makes a table of a memtable: where that is to grow there are few. */
static bool stays_open(pair *p)
{
    return p->crowded && pair_draw(p, 20) > 0;
}

/* All is durable but for a few commits, of which the models hear only if they
 * survive. */
void pair_kill(pair *p)
{
    pair_commit more[4];
    uint64_t count = pair_draw(p, 5);
    persist_error error;
    if (p->sim == NULL || stays_open(p))
        return;
    pair_let_go(p);
    if (persist_wait_durable(p->disk, store_visible(p->disk), &error) !=
        PERSIST_OK)
        pair_fail(p, "waiting", error.message);
    follow(p);
    pair_all_is_durable(p);
    for (uint64_t i = 0; i < count; i++) {
        more[i] = (pair_commit){
            .bytes = sim_alloc(PAIR_EDITS_MAX * PAIR_DATA_MAX), .count = 1};
        more[i].edits[0] =
            (persist_edit){.kind = PERSIST_PUT,
                           .name = pair_any_name(p),
                           .data = pair_any_data(p, more[i].bytes)};
        wall_move(pair_draw(p, 1000));
        more[i].wall = wall_now(NULL);
        commit_to(pair_hand_seen(p, persist_latest(p->disk) + 1), &more[i],
                  NULL);
        more[i].lsn = store_visible(p->disk);
        note_given(p, more[i].lsn);
    }
    if (count > 0 && pair_draw(p, 2) == 0)
        pair_fail_sync(p);
    lose_disk(p);
    open_disk(p);
    for (uint64_t i = 0; i < count; i++) {
        if (p->failed == NULL && more[i].lsn <= store_visible(p->disk))
            bring_back(p, &more[i]);
        free(more[i].bytes);
    }
    if (p->failed != NULL)
        return;
    skip(p, p->latest);
    skip(p, p->twin);
    if (store_visible(p->disk) != store_visible(p->latest))
        pair_fail(p, "opening after a kill", "another commit is the newest");
}

void pair_reopen(pair *p)
{
    if (stays_open(p))
        return;
    close_disk(p);
    if (p->failed == NULL)
        open_disk(p);
}

void pair_begin(pair *p)
{
    p->options.size = sizeof p->options;
    wall_set(WALL_BEGIN);
    p->timed = p->options.os == NULL ? *os_posix() : *p->options.os;
    p->timed.wall_us = wall_now;
    p->options.os = &p->timed;
    p->options.create = true;
    p->options.equal = equal_but_case;
    p->latest = open_memory(p);
    p->twin = open_memory(p);
    p->waiting = sim_alloc(PAIR_PENDING_MAX * sizeof *p->waiting);
    if (p->aged)
        grow_old(p);
    open_disk(p);
}

void pair_end(pair *p)
{
    if (p->disk != NULL)
        close_disk(p);
    persist_close(p->latest, NULL);
    persist_close(p->twin, NULL);
    for (size_t i = 0; i < p->waiting_count; i++)
        free(p->waiting[i].bytes);
    free(p->waiting);
    buf_release(&p->said);
    buf_release(&p->wanted);
}
