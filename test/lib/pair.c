/* SPDX-License-Identifier: MIT */
/* Two stores that must agree: what is committed to both. */
#include "pair.h"

#include <stdio.h>
#include <stdlib.h>

#include "age.h"
#include "os_sim_disk.h"
#include "store/store.h"

enum { NAMES = 10 };

uint64_t pair_draw(pair *p, uint64_t below)
{
    return sim_random(&p->random) % below;
}

slice pair_any_name(pair *p)
{
    static const struct {
        const char *text;
        size_t size;
    } names[NAMES - 1] = {{"", 0},    {"a", 1},    {"b", 1},
                          {"a/b", 3}, {"\0", 1},   {"\xff\xfe", 2},
                          {"$g", 2},  {"a\0b", 3}, {"..", 2}};
    static char longest[PERSIST_NAME_SIZE_MAX];
    uint64_t i = pair_draw(p, NAMES);
    if (i < NAMES - 1)
        return slice_of(names[i].text, names[i].size);
    return slice_of(longest, 300 + pair_draw(p, 3));
}

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

static slice any_data(pair *p, uint8_t *out)
{
    size_t size =
        pair_draw(p, 12) == 0 ? pair_draw(p, PAIR_DATA_MAX) : pair_draw(p, 60);
    uint64_t letter = pair_draw(p, 26);
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)('a' + (letter + i / 9) % 26);
    return slice_of(out, size);
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

uint64_t pair_any_seq(pair *p, slice name)
{
    persist_stream_info info;
    persist_info(p->latest, name, PERSIST_LATEST, &info, NULL, NULL);
    switch (pair_draw(p, 8)) {
    case 0:
        return pair_draw(p, 5);
    case 1:
        return info.mark + pair_draw(p, 20);
    case 2:
        return pair_draw(p, 400) == 0 ? PERSIST_SEQ_MAX - pair_draw(p, 3)
                                      : info.mark;
    case 3:
        return info.mark / 2;
    default:
        return info.mark + pair_draw(p, 2);
    }
}

static persist_edit any_edit(pair *p, uint8_t *bytes)
{
    static const persist_edit_kind kinds[] = {
        PERSIST_APPEND,     PERSIST_APPEND,       PERSIST_APPEND,
        PERSIST_APPEND,     PERSIST_APPEND,       PERSIST_APPEND_AT,
        PERSIST_PUT,        PERSIST_PUT,          PERSIST_PUT,
        PERSIST_DELETE,     PERSIST_TRUNCATE,     PERSIST_SET_MARK,
        PERSIST_EXPECT_SEQ, PERSIST_SET_POSITION, PERSIST_EXPECT_ABSENT,
        PERSIST_EXPECT_KEY};
    persist_edit edit = {.kind = kinds[pair_draw(p, 16)],
                         .name = pair_any_name(p)};
    edit.seq = pair_any_seq(p, edit.name);
    if (edit.kind == PERSIST_SET_POSITION)
        edit.seq = pair_draw(p, 300);
    edit.data = any_data(p, bytes);
    slice value;
    bool known = edit.kind == PERSIST_EXPECT_KEY && pair_draw(p, 2) == 0 &&
                 persist_get(p->latest, edit.name, PERSIST_LATEST, &value,
                             NULL) == PERSIST_OK;
    if (!known)
        return edit;
    edit.data.size = value.size < PAIR_DATA_MAX ? value.size : PAIR_DATA_MAX;
    for (size_t i = 0; i < edit.data.size; i++)
        bytes[i] = ((const uint8_t *)value.data)[i] ^ 32;
    persist_free(value.data);
    return edit;
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
    if (c->blob_size > 0)
        return add_blob(store, c, said);
    persist_status status =
        persist_commit(store, c->edits, c->count, c->has_once ? &c->once : NULL,
                       &outcome, &error);
    if (said != NULL) {
        pair_put_status(said, status, &error);
        if (status == PERSIST_OK)
            pair_put_outcome(said, &outcome);
    }
    persist_outcome_release(&outcome);
    return status;
}

/* Commits to the disk and to the model, and remembers it for the twin. */
static void commit(pair *p, pair_commit *c)
{
    persist_lsn before = store_visible(p->latest);
    pair_clear(p);
    commit_to(p->disk, c, &p->said);
    commit_to(p->latest, c, &p->wanted);
    pair_agree(p, c->blob_size > 0 ? "adding a blob" : "commit");
    c->lsn = store_visible(p->latest);
    if (c->lsn == before) {
        free(c->bytes);
        return;
    }
    if (p->waiting_count == PAIR_PENDING_MAX)
        pair_background(p);
    CHECK(p->waiting_count < PAIR_PENDING_MAX);
    p->waiting[p->waiting_count++] = *c;
}

void pair_do_commit(pair *p)
{
    static const char *const ids[] = {"", "x", "y", "z", "\0\0"};
    pair_commit c = {.bytes = sim_alloc(PAIR_EDITS_MAX * PAIR_DATA_MAX)};
    c.count = pair_draw(p, 4) == 0 ? pair_draw(p, PAIR_EDITS_MAX + 1) : 1;
    for (size_t i = 0; i < c.count; i++)
        c.edits[i] = any_edit(p, c.bytes + i * PAIR_DATA_MAX);
    c.has_once = pair_draw(p, 10) == 0;
    c.once.id = slice_of(ids[pair_draw(p, 5)], pair_draw(p, 2));
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
    persist_cid_of(slice_of(c.bytes, c.blob_size),
                   p->blobs[p->blob_count++ % PAIR_BLOBS]);
    commit(p, &c);
}

/* Brings the twin up to what the disk backend says is durable. */
static void follow(pair *p)
{
    persist_lsn durable = persist_durable(p->disk);
    size_t done = 0;
    while (done < p->waiting_count && p->waiting[done].lsn <= durable) {
        commit_to(p->twin, &p->waiting[done], NULL);
        free(p->waiting[done++].bytes);
    }
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
}

static void close_disk(pair *p)
{
    persist_error error;
    pair_let_go(p);
    if (persist_close(p->disk, &error) != PERSIST_OK)
        pair_fail(p, "closing", error.message);
    p->disk = NULL;
}

static void wait_disk(pair *p)
{
    persist_error error = {0};
    persist_lsn latest = store_visible(p->latest);
    persist_lsn lsn = pair_draw(p, 2) == 0 ? latest : pair_draw(p, latest + 2);
    pair_clear(p);
    pair_put_status(&p->said, persist_wait_durable(p->disk, lsn, &error),
                    &error);
    pair_put_status(&p->wanted, persist_wait_durable(p->latest, lsn, &error),
                    &error);
    buf_printf(&p->said, "%d", persist_durable(p->disk) >= lsn || lsn > latest);
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
    const persist_edit edit = {PERSIST_PUT, slice_str("k"), slice_str("v"), 0};
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

void pair_reopen(pair *p)
{
    close_disk(p);
    if (p->failed == NULL)
        open_disk(p);
}

void pair_begin(pair *p)
{
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
