/* SPDX-License-Identifier: MIT */
/* Checks one state of the disk: recovers it, compares it with the model,
 * crashes it again, and goes on with it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "explore.h"
#include "space.h"
#include "store/store.h"

enum { VERIFIED_OF = 16 }; /* one state of so many */

/* ---- the set of states ------------------------------------------------ */

static bool insert(uint64_t *set, size_t capacity, uint64_t key)
{
    size_t at = key & (capacity - 1);
    while (set[at] != 0 && set[at] != key)
        at = (at + 1) & (capacity - 1);
    bool fresh = set[at] == 0;
    set[at] = key;
    return fresh;
}

static void grow(explorer *x)
{
    size_t capacity = x->seen_capacity == 0 ? 1u << 16 : x->seen_capacity * 2;
    uint64_t *set = calloc(capacity, sizeof *set);
    CHECK(set != NULL);
    for (size_t i = 0; i < x->seen_capacity; i++)
        if (x->seen[i] != 0)
            insert(set, capacity, x->seen[i]);
    free(x->seen);
    x->seen = set;
    x->seen_capacity = capacity;
}

/* True when a state was not met before with the same demands on it. */
static bool is_new(explorer *x, uint64_t image, uint64_t kind)
{
    if (x->seen_count * 2 >= x->seen_capacity)
        grow(x);
    uint64_t parts[6] = {image,
                         model_digest_at(&x->model, x->model.latest),
                         x->model.latest,
                         x->acknowledged,
                         x->blobs_acknowledged,
                         kind};
    bool fresh = insert(x->seen, x->seen_capacity,
                        hash_xxh3(slice_of(parts, sizeof parts)) | 1);
    x->seen_count += fresh;
    return fresh;
}

/* ---- one recovered store ---------------------------------------------- */

/* A state in hand: where it comes from, what it must hold. */
typedef struct state {
    explorer *x;
    const char *how;
    persist_lsn lowest, highest;
    uint64_t blobs;    /* bit i: blob i was seen, and must stay */
    uint64_t crash_at; /* call of the recovery to crash before; 0: none */
    uint64_t calls;
    os_sim *crashed; /* what that left */
} state;

static void fail(const state *s, const char *what, slice why)
{
    const explore_point *at = &s->x->point;
    char point[160] = "";
    if (at->call != NULL)
        snprintf(point, sizeof point,
                 "crash before %s, call %llu; keep %d fill %d unit %llu; ",
                 at->call, (unsigned long long)at->number, (int)at->plan.keep,
                 (int)at->plan.fill, (unsigned long long)at->plan.unit);
    explore_fail(s->x, "%s%s\n%s\n%.*s", point, s->how, what, (int)why.size,
                 why.size == 0 ? "" : (const char *)why.data);
}

static void check_blobs(state *s, persist_store *store)
{
    const explorer *x = s->x;
    uint64_t seen = 0;
    CHECK_STATIC(EXPLORE_BLOBS_MAX <= 64, "a bit each");
    for (size_t i = 0; i < x->blob_count; i++) {
        persist_cid cid;
        char room[OP_PAYLOAD_MAX];
        persist_cid_of(op_blob(x->blobs[i].op, room), cid);
        persist_status status = persist_blob_has(store, slice_str(cid), NULL);
        bool promised = x->blobs[i].acknowledged || (s->blobs >> i & 1) ||
                        (x->blobs[i].lsn <= store_visible(store));
        seen |= (uint64_t)(status == PERSIST_OK) << i;
        if (status == PERSIST_NONE && promised && !x->blobs[i].deleted)
            fail(s, "a blob that was put, or shown, is gone", slice_str(cid));
        else if (status == PERSIST_OK &&
                 op_read_blob(store, x->blobs[i].op, NULL) != PERSIST_OK)
            fail(s, "a blob that is there is not whole", slice_str(cid));
        else if (status > PERSIST_NONE)
            fail(s, "a blob cannot be looked up", slice_str(cid));
    }
    s->blobs = seen;
}

static void check_references(const state *s, persist_store *store)
{
    persist_error error;
    persist_status status =
        store_check_references(store, PERSIST_LATEST, &error);
    if (status != PERSIST_OK)
        fail(s, "references", slice_str(error.message));
}

static void check_store(state *s, persist_store *store)
{
    buf why = {0};
    persist_lsn latest = store_visible(store);
    s->x->checks++;
    buf_printf(&why, "commit %llu, acknowledged %llu, asked for %llu",
               (unsigned long long)latest, (unsigned long long)s->lowest,
               (unsigned long long)s->highest);
    if (latest < s->lowest)
        fail(s, "an acknowledged commit is lost", buf_slice(&why));
    else if (latest > s->highest)
        fail(s, "a commit from nowhere", buf_slice(&why));
    else if (persist_durable(store) != latest)
        fail(s, "served before it is durable again", buf_slice(&why));
    buf_clear(&why);
    const char *wrong =
        s->x->failed ? NULL : model_check_lsns(&s->x->model, store, true);
    if (wrong != NULL)
        fail(s, wrong, slice_of(NULL, 0));
    if (!s->x->failed &&
        !model_matches(&s->x->model, store, PERSIST_LATEST, &why))
        fail(s, "not a prefix of what was done", buf_slice(&why));
    buf_release(&why);
    if (!s->x->failed)
        check_blobs(s, store);
    if (!s->x->failed)
        check_references(s, store);
}

/* ---- verifying -------------------------------------------------------- */

static bool note_damage(void *context, const persist_finding *f)
{
    buf *why = context;
    if (f->damage)
        buf_printf(why, "%s at %lld: %s\n", f->path, (long long)f->offset,
                   f->what);
    return true;
}

/* Verifying finds no damage in what recovery accepts, and changes nothing.
 * Takes the image over. */
static void check_verified(state *s, os_sim *image, bool recovered)
{
    const persist_options options = {
        PERSIST_OPTIONS, .path = s->x->path == NULL ? "store" : s->x->path,
        .os = os_sim_os(image)};
    buf why = {0};
    const persist_watcher watcher = {PERSIST_WATCHER, &why, note_damage, NULL};
    persist_error error;
    uint64_t before = os_sim_hash(image);
    CHECK(!s->x->in_memory);
    persist_status status = persist_verify(&options, &watcher, NULL, &error);
    s->x->verified++;
    s->x->checks++;
    /* without a manifest there is no store yet: opening makes one */
    if (status != PERSIST_OK && (recovered || status != PERSIST_BAD_STORE))
        buf_put_str(&why, error.message);
    if (os_sim_hash(image) != before || os_sim_open_files(image) != 0)
        buf_put_str(&why, "something changed, or a file is open");
    if (why.size > 0)
        fail(s, recovered ? "verified after recovery" : "verified before it",
             buf_slice(&why));
    buf_release(&why);
    os_sim_free(image);
}

/* ---- recovering ------------------------------------------------------- */

static void in_recovery(void *context, const os_sim *sim, sim_call call)
{
    state *s = context;
    if (++s->calls != s->crash_at)
        return;
    uint64_t parts[2] = {s->crash_at, call};
    uint64_t seed = hash_xxh3(slice_of(parts, sizeof parts));
    const sim_keep keeps[] = {SIM_KEEP_NONE, SIM_KEEP_ALL, SIM_KEEP_RANDOM,
                              SIM_KEEP_FILES, SIM_KEEP_NAMES};
    const sim_plan plan = {keeps[seed % 5], (sim_fill)(seed / 5 % 3), 0, seed};
    s->crashed = os_sim_crash(sim, &plan);
}

static persist_store *recover(state *s, os_sim *image)
{
    persist_store *store = NULL;
    persist_error error;
    os_sim_watch(image, in_recovery, s);
    persist_status status = explore_open(s->x, image, &store, &error);
    os_sim_watch(image, NULL, NULL);
    if (status != PERSIST_OK) {
        fail(s, persist_status_code(status), slice_str(error.message));
        if (error.has & PERSIST_HAS_PATH)
            buf_printf(&s->x->report, "at %s\n", error.path);
        return NULL;
    }
    check_store(s, store);
    return store;
}

/* Drops a store as a killed process does: nothing it still tries reaches the
 * disk, so that closing costs nothing. */
static void abandon(persist_store *store, os_sim *sim)
{
    os_sim_fail(sim, (sim_fault){.calls = ~0u & ~(1u << SIM_CLOSE),
                                 .nth = 1,
                                 .from_then_on = true,
                                 .error = EIO});
    persist_close(store, NULL);
    os_sim_free(sim);
}

/* ---- what comes after recovery ---------------------------------------- */

/* Checks what a second crash left. */
static void check_again(state *s, os_sim *image, const char *how)
{
    s->how = how;
    s->crash_at = 0;
    persist_store *store = recover(s, image);
    abandon(store, image);
}

/* Does a few ops more on a recovered store and on the model as of then. */
static persist_lsn go_on(state *s, persist_store *store, persist_store *oracle)
{
    static const op ops[] = {{OP_APPEND_A, 1001}, {OP_ONCE_APPEND, 1},
                             {OP_BATCH, 1002},    {OP_TAGGED, 1004},
                             {OP_PUT_K, 1003},    {OP_DECIDED, 1004},
                             {OP_MIXED, 1005}};
    persist_error error;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        buf expected = {0}, actual = {0};
        op_apply(oracle, ops[i], &expected, &error);
        persist_status status = op_apply(store, ops[i], &actual, &error);
        if (!slice_equal(buf_slice(&expected), buf_slice(&actual)))
            fail(s, status > PERSIST_NONE ? error.message : "going on",
                 buf_slice(&actual));
        buf_release(&expected);
        buf_release(&actual);
    }
    persist_lsn latest = store_visible(store);
    if (persist_wait_durable(store, latest, &error) != PERSIST_OK)
        fail(s, "going on", slice_str(error.message));
    return latest;
}

/* The store after a crash that comes after going on equals the oracle. */
static void check_went_on(state *s, os_sim *image, persist_store *oracle,
                          persist_lsn latest)
{
    persist_store *store = NULL;
    persist_error error;
    if (explore_open(s->x, image, &store, &error) != PERSIST_OK) {
        fail(s, "opening after going on", slice_str(error.message));
    } else if (store_visible(store) != latest) {
        fail(s, "lost after going on", slice_of(NULL, 0));
    } else {
        buf want = {0}, got = {0}, why = {0};
        store_dump(oracle, PERSIST_LATEST, &want, NULL);
        store_dump(store, PERSIST_LATEST, &got, NULL);
        if (!slice_equal(buf_slice(&want), buf_slice(&got))) {
            dump_difference(buf_slice(&want), buf_slice(&got), &why);
            fail(s, "changed after going on", buf_slice(&why));
        }
        buf_release(&want);
        buf_release(&got);
        buf_release(&why);
    }
    abandon(store, image);
}

static void continue_store(state *s, persist_store *store, const os_sim *image)
{
    CHECK(store != NULL);
    persist_store *oracle = model_at(&s->x->model, store_visible(store));
    s->x->continued++;
    if (store->first_lsn > store_visible(store) + 1 &&
        store->first_lsn != oracle->first_lsn)
        store_memory_skip(oracle, store->first_lsn, NULL);
    persist_lsn latest = go_on(s, store, oracle);
    const sim_plan plan = {.keep = latest % 2 == 0 ? SIM_KEEP_NONE
                                                   : SIM_KEEP_RANDOM,
                           .seed = latest};
    if (!s->x->failed)
        check_went_on(s, os_sim_crash(image, &plan), oracle, latest);
    persist_close(oracle, NULL);
}

void explore_check(explorer *x, os_sim *image, const char *how)
{
    bool killed = os_sim_units(image) > 0;
    uint64_t hash = os_sim_hash(image);
    x->images++;
    if (!is_new(x, hash, killed ? os_sim_units(image) : 0)) {
        os_sim_free(image);
        return;
    }
    x->unique++;
    state s = {.x = x,
               .how = how,
               .lowest = x->acknowledged,
               .highest = x->model.latest,
               .crash_at = 1 + hash / 7 % 12};
    bool verified = hash / 101 % VERIFIED_OF == 0;
    os_sim *found = verified ? os_sim_kill(image) : NULL;
    persist_store *store = recover(&s, image);
    if (!x->failed && verified) {
        check_verified(&s, found, false);
        check_verified(&s, os_sim_kill(image), true);
    } else {
        os_sim_free(found);
    }
    persist_lsn shown = store == NULL ? 0 : store_visible(store);
    char again[256];
    if (s.crashed != NULL && !x->failed &&
        is_new(x, os_sim_hash(s.crashed), 1)) {
        x->nested++;
        state inner = s;
        inner.blobs = 0;
        snprintf(again, sizeof again, "%s, then call %llu of recovery", how,
                 (unsigned long long)s.crash_at);
        check_again(&inner, s.crashed, again);
    } else {
        os_sim_free(s.crashed);
    }
    const sim_plan none = {.keep = SIM_KEEP_NONE};
    if (!x->failed && (killed || hash % 3 == 0)) {
        state inner = s;
        snprintf(again, sizeof again, "%s, served, then power loss", how);
        inner.lowest = inner.highest = shown;
        check_again(&inner, os_sim_crash(image, &none), again);
    }
    if (!x->failed && hash / 3 % 3 == 0)
        continue_store(&s, store, image);
    abandon(store, image);
}

/* ---- lost bits -------------------------------------------------------- */

static void check_rotten(explorer *x, persist_store *store, persist_lsn lowest)
{
    buf text = {0};
    persist_error error;
    persist_lsn latest = store_visible(store);
    persist_status status = store_dump(store, PERSIST_LATEST, &text, &error);
    if (status == PERSIST_CORRUPT)
        x->rot_refused++;
    else if (status != PERSIST_OK)
        explore_fail(x, "reading: %s", error.message);
    else if (latest < lowest || latest > x->model.latest ||
             hash_xxh3(buf_slice(&text)) != model_digest_at(&x->model, latest))
        explore_fail(x, "reads as something else: commit %llu of %llu",
                     (unsigned long long)latest, (unsigned long long)lowest);
    buf_release(&text);
    for (size_t i = 0; i < x->blob_count; i++) {
        status = op_read_blob(store, x->blobs[i].op, &error);
        bool dropped = status == PERSIST_NONE &&
                       (x->blobs[i].deleted || x->blobs[i].lsn > latest);
        if (status != PERSIST_OK && status != PERSIST_CORRUPT && !dropped)
            explore_fail(x, "a blob reads as something else");
    }
}

void explore_check_rot(explorer *x, os_sim *image, persist_lsn lowest,
                       uint64_t seed)
{
    persist_store *store = NULL;
    persist_error error;
    os_sim_rot(image, seed, x->store == NULL);
    x->rotten++;
    x->checks++;
    persist_status status = explore_open(x, image, &store, &error);
    if (status == PERSIST_OK)
        check_rotten(x, store, lowest);
    else if (status == PERSIST_CORRUPT || status == PERSIST_BAD_STORE)
        x->rot_refused++;
    else
        explore_fail(x, "opening: %s", error.message);
    if (x->failed)
        buf_printf(&x->report, "damage, seed %llu\n", (unsigned long long)seed);
    abandon(store, image);
}

/* ---- files ------------------------------------------------------------ */

void explore_check_files(explorer *x, space_let_go *let_go)
{
    char why[SPACE_WHY];
    if (x->store == NULL || x->in_memory || x->failed || x->backup != NULL)
        return;
    x->checks++;
    if (!space_is_bounded(x->sim, x->store, let_go, why))
        explore_fail(x, "%s", why);
}
