/* SPDX-License-Identifier: MIT */
/* Compacting gives back the room of what was dropped, and purging leaves no
 * byte of it in any file: looked for in the raw bytes, also where the process
 * was killed, or the power cut, at any call of an earlier purge. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "../lib/os_sim_disk.h"
#include "../lib/secrets.h"
#include "folder.h"
#include "store/store.h"

enum {
    FEW = 48,
    MANY = 10000,
    SEGMENT = 4096,
    MEMTABLE = 3000,
    STEPS = 10000,
};

static os_sim *sim;
static persist_store *store;
static secrets all;

/* ---- on a simulated disk ---------------------------------------------- */

static void open_on(os_sim *s, persist_store **out)
{
    persist_error error;
    persist_options options = {
        PERSIST_OPTIONS,         .path = "store",           .create = true,
        .segment_size = SEGMENT, .memtable_size = MEMTABLE, .os = os_sim_os(s)};
    if (persist_open(&options, out, &error) != PERSIST_OK)
        fail_msg("%s", error.message);
}

static void must(persist_status status, const persist_error *error)
{
    if (status != PERSIST_OK)
        fail_msg("%s: %s", persist_status_code(status), error->message);
}

static int begin(void **state)
{
    persist_error error;
    (void)state;
    sim = os_sim_new(1);
    secrets_make(&all, FEW);
    open_on(sim, &store);
    must(secrets_write(&all, store, &error), &error);
    must(secrets_drop(&all, store, &error), &error);
    assert_int_equal(secrets_on_disk(&all, sim), FEW);
    return 0;
}

static int end(void **state)
{
    (void)state;
    persist_status status = persist_close(store, NULL);
    size_t open = os_sim_open_files(sim);
    store = NULL;
    os_sim_free(sim);
    secrets_release(&all);
    return status == PERSIST_OK && open == 0 ? 0 : -1;
}

static void none_is_left(const os_sim *s)
{
    const sim_plan lost = {.keep = SIM_KEEP_NONE};
    assert_int_equal(secrets_on_disk(&all, s), 0);
    os_sim *durable = os_sim_crash(s, &lost);
    assert_int_equal(secrets_on_disk(&all, durable), 0);
    os_sim_free(durable);
}

static void purge(persist_store *of)
{
    persist_error error;
    must(persist_purge(of, NULL, NULL, &error), &error);
    assert_true(secrets_left_the_rest(&all, of));
}

static void test_purge_leaves_nothing(void **state)
{
    (void)state;
    purge(store);
    none_is_left(sim);
}

/* Once more, with what comes after it. */
static void test_purge_again(void **state)
{
    persist_error error;
    (void)state;
    purge(store);
    secrets one;
    secrets_make(&one, 1);
    must(secrets_write(&one, store, &error), &error);
    must(persist_wait_durable(store, persist_latest(store), &error), &error);
    assert_int_equal(secrets_on_disk(&all, sim), 1);
    must(secrets_drop(&one, store, &error), &error);
    secrets_release(&one);
    must(persist_purge(store, NULL, NULL, &error), &error);
    none_is_left(sim);
}

static void test_compact_gives_room_back(void **state)
{
    persist_error error;
    persist_stats stats = {PERSIST_STATS};
    persist_tidied out = {PERSIST_TIDIED}, again = {PERSIST_TIDIED};
    (void)state;
    uint64_t before = os_sim_space_used(sim);
    must(persist_compact(store, NULL, &out, &error), &error);
    assert_true(secrets_left_the_rest(&all, store));
    persist_get_stats(store, &stats, NULL);
    assert_int_equal(stats.tables, 1);
    assert_true(os_sim_space_used(sim) < before);
    assert_true(out.now < out.before && out.kept == 0);
    assert_true(out.total > 0 && out.done == out.total);
    /* there is nothing left to do, and nothing is written for it */
    uint64_t writes = os_sim_calls(sim, SIM_WRITE);
    must(persist_compact(store, NULL, &again, &error), &error);
    assert_int_equal(os_sim_calls(sim, SIM_WRITE), writes);
    assert_int_equal(again.now, out.now);
    /* what is in memory is a part of all */
    const persist_edit edit = {.kind = PERSIST_PUT, .name = {"more", 4}};
    must(persist_commit(store, &edit, 1, NULL, NULL, &error), &error);
    persist_get_stats(store, &stats, NULL);
    uint64_t memory = stats.memory;
    must(persist_compact(store, NULL, &again, &error), &error);
    persist_get_stats(store, &stats, NULL);
    assert_true(stats.memory < memory && stats.tables == 1);
}

/* Cursors and snapshots that were opened before go on, and are waited for. */
static void test_readers(void **state)
{
    persist_error error;
    persist_snapshot *kept = NULL;
    persist_cursor *cursor = NULL;
    persist_tidied out = {PERSIST_TIDIED};
    const persist_tidy wait = {PERSIST_TIDY, .timeout_ms = 3000};
    (void)state;
    must(persist_snapshot_open(store, PERSIST_LATEST, &kept, &error), &error);
    must(persist_read_all(store, 0, PERSIST_NO_LIMIT, PERSIST_LATEST, &cursor,
                          &error),
         &error);
    must(persist_compact(store, NULL, &out, &error), &error);
    persist_stats stats = {PERSIST_STATS};
    persist_get_stats(store, &stats, NULL);
    assert_true(out.kept > 0 && stats.replaced == out.kept);
    uint64_t begun = os_sim_os(sim)->clock_us(os_sim_os(sim));
    assert_int_equal(persist_purge(store, &wait, &out, &error),
                     PERSIST_BAD_REQUEST);
    assert_non_null(strstr(error.message, "cursors, snapshots"));
    assert_true(out.kept > 0);
    uint64_t now = os_sim_os(sim)->clock_us(os_sim_os(sim));
    assert_in_range(now - begun, 3000 * 1000, 20000 * 1000);
    unsigned count = 0;
    const persist_event *event;
    while (persist_next_event(cursor, &event, &error) == PERSIST_OK)
        count++;
    assert_int_equal(count, FEW);
    persist_cursor_close(cursor);
    assert_int_equal(persist_purge(store, NULL, &out, &error),
                     PERSIST_BAD_REQUEST);
    persist_snapshot_close(kept);
    must(persist_purge(store, NULL, &out, &error), &error);
    assert_int_equal(out.kept, 0);
    none_is_left(sim);
}

/* ---- stopped, killed, cut off ------------------------------------------ */

typedef struct stop {
    unsigned at, seen;
    uint64_t done, total;
    bool closes, closing;
    pthread_t closer;
} stop;

static void *end_waits(void *context)
{
    persist_end_waits(context);
    return NULL;
}

/* Another thread closes the store: once it has begun to, waits are over. */
static void close_elsewhere(stop *s)
{
    if (!s->closing)
        assert_int_equal(pthread_create(&s->closer, NULL, end_waits, store), 0);
    s->closing = true;
    while (persist_wait_position(store, PERSIST_SEQ_MAX, 0, NULL, NULL) !=
           PERSIST_CLOSED)
        sched_yield();
}

static bool stop_at(void *context, const persist_tidied *t)
{
    stop *s = context;
    assert_true(t->done <= t->total && t->done >= s->done);
    assert_true(t->total >= s->total);
    s->done = t->done;
    s->total = t->total;
    if (s->seen++ < s->at)
        return true;
    if (s->closes)
        close_elsewhere(s);
    return s->closes;
}

static void
stop_everywhere(persist_status (*tidy)(persist_store *, const persist_tidy *,
                                       persist_tidied *, persist_error *),
                bool closes)
{
    persist_status status = PERSIST_NONE;
    persist_error error;
    unsigned at = 0;
    for (; status != PERSIST_OK; at++) {
        stop s = {.at = at, .closes = closes};
        const persist_tidy how = {PERSIST_TIDY, .context = &s,
                                  .progress = stop_at};
        status = tidy(store, &how, NULL, &error);
        if (s.closing)
            pthread_join(s.closer, NULL);
        if (s.seen <= at)
            break;
        assert_int_equal(status, closes ? PERSIST_CLOSED : PERSIST_NONE);
        assert_true(secrets_left_the_rest(&all, store));
        if (!closes)
            continue;
        must(persist_close(store, &error), &error);
        open_on(sim, &store);
    }
    assert_int_equal(status, PERSIST_OK);
    assert_true(at > 3);
    assert_true(secrets_left_the_rest(&all, store));
}

static void test_stopped(void **state)
{
    (void)state;
    stop_everywhere(persist_compact, false);
    stop_everywhere(persist_purge, false);
    none_is_left(sim);
}

static void test_closed(void **state)
{
    (void)state;
    stop_everywhere(persist_purge, true);
    none_is_left(sim);
}

/* A kill, and a loss of power, before each call that changes something. */
static unsigned killed;

static void kill_here(void *context, const os_sim *s, sim_call call)
{
    static const sim_plan plans[] = {
        {.keep = SIM_KEEP_NONE},
        {.keep = SIM_KEEP_ALL},
        {.keep = SIM_KEEP_RANDOM, .seed = 1},
    };
    (void)context;
    (void)call;
    for (size_t i = 0; i <= sizeof plans / sizeof *plans; i++) {
        os_sim *image =
            i == 0 ? os_sim_kill(s) : os_sim_crash(s, &plans[i - 1]);
        persist_store *again;
        open_on(image, &again);
        purge(again);
        none_is_left(image);
        assert_int_equal(persist_close(again, NULL), PERSIST_OK);
        none_is_left(image);
        os_sim_free(image);
        killed++;
    }
}

static void test_killed_everywhere(void **state)
{
    persist_error error;
    (void)state;
    must(persist_wait_durable(store, persist_latest(store), &error), &error);
    os_sim_watch(sim, kill_here, NULL);
    persist_status status = persist_purge(store, NULL, NULL, &error);
    os_sim_watch(sim, NULL, NULL);
    must(status, &error);
    none_is_left(sim);
    assert_true(killed > 100);
}

/* What cannot be deleted is told, and goes with the next one. */
static void test_deletions_fail(void **state)
{
    persist_error error;
    persist_status status = PERSIST_IO;
    unsigned told = 0;
    (void)state;
    for (uint64_t nth = 1; nth < 200; nth++) {
        os_sim_fail(
            sim,
            (sim_fault){.calls = 1u << SIM_UNLINK, .nth = nth, .error = EIO});
        uint64_t before = os_sim_faults(sim, SIM_UNLINK);
        status = persist_purge(store, NULL, NULL, &error);
        bool hit = os_sim_faults(sim, SIM_UNLINK) > before;
        os_sim_fail(sim, (sim_fault){0});
        told += status != PERSIST_OK;
        if (status == PERSIST_OK)
            none_is_left(sim);
        if (!hit)
            break;
    }
    assert_int_equal(status, PERSIST_OK);
    assert_true(told > 0);
}

/* Not of this kind of file, however often it is tried. */
static void test_nothing_can_be_deleted(void **state)
{
    static const char *const names[] = {".log", ".tbl"};
    persist_error error;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        os_sim_fail(sim, (sim_fault){.calls = 1u << SIM_UNLINK,
                                     .nth = 1,
                                     .from_then_on = true,
                                     .on = names[i],
                                     .error = EIO});
        assert_int_equal(persist_purge(store, NULL, NULL, &error), PERSIST_IO);
        assert_non_null(strstr(error.message, "delete older files in store/"));
        os_sim_fail(sim, (sim_fault){0});
        assert_true(secrets_left_the_rest(&all, store));
    }
    purge(store);
    none_is_left(sim);
}

static void test_full_disk(void **state)
{
    persist_error error;
    persist_tidied out = {PERSIST_TIDIED};
    (void)state;
    bool did = true;
    while (did)
        assert_int_equal(store_step(store, &did, &error), PERSIST_OK);
    os_sim_limit_space(sim, os_sim_space_used(sim) / 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(persist_purge(store, NULL, &out, &error),
                         PERSIST_NO_SPACE);
        assert_non_null(strstr(error.message, "make room and run it again"));
        assert_true(secrets_left_the_rest(&all, store));
    }
    os_sim_limit_space(sim, UINT64_MAX);
    purge(store);
    none_is_left(sim);
}

/* ---- arguments --------------------------------------------------------- */

static void test_arguments(void **state)
{
    persist_error error;
    persist_tidy wrong = {0};
    persist_tidied none = {0}, out = {PERSIST_TIDIED};
    persist_store *memory = NULL;
    const persist_options options = {PERSIST_OPTIONS};
    (void)state;
    assert_int_equal(persist_compact(NULL, NULL, NULL, NULL), PERSIST_CLOSED);
    assert_int_equal(persist_purge(NULL, NULL, NULL, NULL), PERSIST_CLOSED);
    assert_int_equal(persist_compact(store, &wrong, NULL, &error),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_purge(store, NULL, &none, &error),
                     PERSIST_BAD_REQUEST);
    must(persist_open(&options, &memory, &error), &error);
    must(persist_compact(memory, NULL, &out, &error), &error);
    must(persist_purge(memory, NULL, &out, &error), &error);
    assert_int_equal(out.now, 0);
    must(persist_close(memory, &error), &error);
}

/* ---- on the real system ------------------------------------------------- */

static void test_ten_thousand(void **state)
{
    persist_error error;
    secrets many;
    persist_store *real;
    persist_tidied out = {PERSIST_TIDIED};
    os_dir *dir = folder_make("purge");
    persist_options options = {
        PERSIST_OPTIONS,          .path = dir->path,
        .create = true,           .background = *state != NULL,
        .segment_size = 64 << 10, .memtable_size = 100 << 10};
    secrets_make(&many, MANY);
    must(persist_open(&options, &real, &error), &error);
    must(secrets_write(&many, real, &error), &error);
    must(secrets_drop(&many, real, &error), &error);
    must(persist_wait_durable(real, persist_latest(real), &error), &error);
    assert_true(secrets_in_folder(&many, dir->path) > 0);
    must(persist_purge(real, NULL, &out, &error), &error);
    assert_int_equal(secrets_in_folder(&many, dir->path), 0);
    assert_true(secrets_left_the_rest(&many, real));
    must(persist_close(real, &error), &error);
    assert_int_equal(secrets_in_folder(&many, dir->path), 0);
    secrets_release(&many);
    folder_remove(dir);
}

/* Others commit and read meanwhile, and several purge at once. */
typedef struct worker {
    pthread_t thread;
    persist_store *store;
    unsigned number;
    atomic_bool *ends;
} worker;

static void *commit_and_read(void *context)
{
    worker *w = context;
    for (unsigned i = 0; !atomic_load(w->ends); i++) {
        char name[32];
        size_t size = (size_t)snprintf(name, sizeof name, "worker-%u-%u",
                                       w->number, i % 50);
        persist_edit edits[] = {
            {.kind = PERSIST_PUT, .name = slice_of(name, size)},
            {.kind = PERSIST_APPEND,
             .name = slice_str("work"),
             .data = slice_of(name, size)}};
        persist_outcome out = {0};
        CHECK(persist_commit(w->store, edits, 2, NULL, &out, NULL) ==
              PERSIST_OK);
        CHECK(persist_has(w->store, slice_of(name, size), PERSIST_LATEST,
                          NULL) == PERSIST_OK);
        if (i % 64 == 0)
            CHECK(persist_wait_durable(w->store, out.lsn, NULL) == PERSIST_OK);
        persist_outcome_release(&out);
    }
    return NULL;
}

static void *tidy_again(void *context)
{
    worker *w = context;
    const persist_tidy wait = {PERSIST_TIDY, .timeout_ms = PERSIST_FOREVER};
    for (unsigned i = 0; i < 6; i++) {
        persist_error error;
        persist_status status =
            (i + w->number) % 2 == 0
                ? persist_purge(w->store, &wait, NULL, &error)
                : persist_compact(w->store, NULL, NULL, &error);
        CHECK(status == PERSIST_OK);
    }
    return NULL;
}

static void test_at_once(void **state)
{
    persist_error error;
    secrets some;
    persist_store *real;
    atomic_bool ends = false;
    worker w[4];
    os_dir *dir = folder_make("purge");
    persist_options options = {
        PERSIST_OPTIONS,          .path = dir->path,
        .create = true,           .background = *state != NULL,
        .segment_size = 64 << 10, .memtable_size = 64 << 10};
    secrets_make(&some, 1000);
    must(persist_open(&options, &real, &error), &error);
    must(secrets_write(&some, real, &error), &error);
    must(secrets_drop(&some, real, &error), &error);
    for (unsigned i = 0; i < 4; i++) {
        w[i] = (worker){.store = real, .number = i, .ends = &ends};
        assert_int_equal(pthread_create(&w[i].thread, NULL,
                                        i < 2 ? commit_and_read : tidy_again,
                                        &w[i]),
                         0);
    }
    for (unsigned i = 2; i < 4; i++)
        pthread_join(w[i].thread, NULL);
    assert_int_equal(secrets_in_folder(&some, dir->path), 0);
    atomic_store(&ends, true);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(w[i].thread, NULL);
    assert_true(secrets_left_the_rest(&some, real));
    must(persist_close(real, &error), &error);
    secrets_release(&some);
    folder_remove(dir);
}

#define SIMULATED(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    static int threads = 1;
    const struct CMUnitTest tests[] = {
        SIMULATED(test_purge_leaves_nothing),
        SIMULATED(test_purge_again),
        SIMULATED(test_compact_gives_room_back),
        SIMULATED(test_readers),
        SIMULATED(test_stopped),
        SIMULATED(test_closed),
        SIMULATED(test_killed_everywhere),
        SIMULATED(test_deletions_fail),
        SIMULATED(test_nothing_can_be_deleted),
        SIMULATED(test_full_disk),
        SIMULATED(test_arguments),
        cmocka_unit_test(test_ten_thousand),
        cmocka_unit_test_prestate(test_ten_thousand, &threads),
        cmocka_unit_test(test_at_once),
        cmocka_unit_test_prestate(test_at_once, &threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
