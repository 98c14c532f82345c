/* SPDX-License-Identifier: MIT */
/* Commits of several threads share syncs, all of them one: who comes first
 * waits until those are back whom the last sync has let go, and not for ever.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "engine/log/gather.h"
#include "fixture.h"

enum {
    THREADS = 8,
    COMMITS = 20,
    SYNC_MS = 20,
    RUNS_MAX = 10,
    FAILS_AT = 60,
    ROUNDS = 6, /* of three threads, of which one ends before the others: */
    SHORT = 4,
    LATE_MS = SYNC_MS / 2,
    GONE_S = 20, /* nothing takes so long but what has no end */
    TOOK = 100,  /* microseconds of a sync, below */
};

/* ---- when somebody waits ------------------------------------------------ */

static wal_gather g;

static void come_back(unsigned threads)
{
    for (unsigned i = 0; i < threads; i++)
        gather_note_back(&g);
}

/* A sync that lets so many go, at a time of its own. */
static void sync_for(unsigned threads, uint64_t at)
{
    gather_note_sync(&g, threads, at, at + TOOK);
}

static void it_hopes_until_all_are_back(void **state)
{
    (void)state;
    g = (wal_gather){0};
    assert_false(gather_measures(&g));
    assert_false(gather_hopes(&g));
    come_back(2);
    assert_true(gather_measures(&g));
    sync_for(2, 1000);
    assert_true(gather_measures(&g));
    come_back(1);
    assert_true(gather_hopes(&g));
    assert_int_equal(g.until, 1000 + TOOK + TOOK);
    come_back(1);
    assert_false(gather_hopes(&g));
}

static void who_is_alone_never_hopes(void **state)
{
    (void)state;
    g = (wal_gather){0};
    for (unsigned i = 0; i < 10; i++) {
        come_back(1);
        assert_false(gather_measures(&g));
        assert_false(gather_hopes(&g));
        gather_note_sync(&g, 1, 0, 0);
    }
    /* nor behind others, who have gone */
    come_back(2);
    sync_for(2, 1000);
    sync_for(1, 2000);
    assert_false(gather_hopes(&g));
}

static void nothing_is_hoped_for_before_a_sync_was_measured(void **state)
{
    (void)state;
    g = (wal_gather){0};
    come_back(3);
    gather_note_sync(&g, 3, 0, 0);
    assert_false(gather_hopes(&g));
}

static void nobody_watches_behind_a_sync(void **state)
{
    (void)state;
    g = (wal_gather){0};
    come_back(2);
    g.watcher = &g;
    sync_for(2, 1000);
    assert_null(g.watcher);
}

/* Passes over syncs until it hopes again, each of which lets two go. */
static unsigned passed(void)
{
    unsigned n = 0;
    while (!gather_hopes(&g)) {
        assert_true(n++ < 1000);
        come_back(2);
        sync_for(2, 1000);
    }
    return n;
}

static void in_vain_it_is_tried_less_and_less(void **state)
{
    (void)state;
    const unsigned expected[] = {2, 4, 8, 16, 32, 64, 128, 256, 256, 256};
    g = (wal_gather){0};
    assert_int_equal(passed(), 1);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        gather_note_late(&g);
        assert_false(gather_hopes(&g));
        assert_int_equal(passed(), expected[i]);
    }
    /* once all were back it is as before */
    come_back(2);
    sync_for(2, 1000);
    assert_true(gather_hopes(&g));
    gather_note_late(&g);
    assert_int_equal(passed(), 2);
}

static void it_learns_what_a_sync_takes(void **state)
{
    (void)state;
    g = (wal_gather){0};
    come_back(2);
    sync_for(2, 1000);
    assert_int_equal(g.sync_us, TOOK);
    for (unsigned i = 0; i < 50; i++)
        gather_note_sync(&g, 2, 1000, 1000 + 5 * TOOK);
    assert_in_range(g.sync_us, 4 * TOOK, 5 * TOOK);
    gather_note_sync(&g, 2, 2000, 1000); /* a clock that went back */
    assert_in_range(g.sync_us, 4 * TOOK, 5 * TOOK);
}

/* ---- a store on a slow disk ---------------------------------------------- */

static char dir[64];
static os sys;
static persist_store *store;
static atomic_uint syncs; /* of files, since the store is open */
static atomic_bool fails;
static atomic_uint refused;

static int file_sync(const os *o, os_file *file)
{
    struct timespec t = {.tv_nsec = SYNC_MS * 1000 * 1000};
    if (atomic_fetch_add(&syncs, 1) >= FAILS_AT && atomic_load(&fails))
        return -EIO;
    nanosleep(&t, NULL);
    return os_posix()->file_sync(o, file);
}

/* Who has an eye on the clock runs late, though it is woken in time. */
static void sleep_late(const os *o, const _Atomic uint32_t *word,
                       uint32_t value, uint64_t us)
{
    struct timespec t = {.tv_nsec = LATE_MS * 1000 * 1000};
    os_posix()->sleep_while(o, word, value, us);
    if (us != UINT64_MAX)
        nanosleep(&t, NULL);
}

static int set_up(void **state)
{
    (void)state;
    persist_error error = {0};
    snprintf(dir, sizeof dir, "/tmp/persist-gather-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    sys = *os_posix();
    sys.file_sync = file_sync;
    persist_options options = {PERSIST_OPTIONS, .path = dir, .create = true,
                               .os = &sys};
    fails = false;
    refused = 0;
    if (persist_open(&options, &store, &error) != PERSIST_OK)
        fail_msg("%s", error.message);
    syncs = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[96];
    (void)persist_close(store, NULL);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static persist_status commit(const void *name)
{
    persist_outcome out;
    persist_edit edit = {.kind = PERSIST_APPEND,
                         .name = slice_of(name, sizeof(unsigned)),
                         .data = slice_str("e")};
    persist_status status = persist_commit(store, &edit, 1, NULL, &out, NULL);
    if (status == PERSIST_OK) {
        persist_lsn lsn = out.lsn;
        persist_outcome_release(&out);
        status = persist_wait_durable(store, lsn, NULL);
    }
    return status;
}

static void *committer(void *context)
{
    for (unsigned i = 0; i < COMMITS; i++)
        if (commit(context) != PERSIST_OK) {
            atomic_fetch_add(&refused, 1);
            break;
        }
    return NULL;
}

static void commit_by_all(void)
{
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(
            pthread_create(&threads[i], NULL, committer, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* Two groups that take turns need twice as many as there are commits of one
 * thread, each time. On a busy machine some threads are late now and then, so
 * the best of some runs counts. */
static void all_threads_share_one_sync(void **state)
{
    unsigned fewest = UINT_MAX;
    for (int run = 0; run < RUNS_MAX && fewest >= COMMITS * 3 / 2; run++) {
        if (run > 0) {
            assert_int_equal(tear_down(state), 0);
            assert_int_equal(set_up(state), 0);
        }
        commit_by_all();
        assert_int_equal(atomic_load(&refused), 0);
        if (atomic_load(&syncs) < fewest)
            fewest = atomic_load(&syncs);
    }
    print_message("figure: %u syncs for %d commits of each of %d threads\n",
                  fewest, COMMITS, THREADS);
    assert_true(fewest < COMMITS * 3 / 2);
}

/* Whoever waits for others hears of it. */
static void a_sync_that_fails_ends_all_waits(void **state)
{
    (void)state;
    fails = true;
    while (atomic_load(&refused) == 0)
        commit_by_all();
    atomic_store(&refused, 0); /* of those who were not done before */
    commit_by_all();
    assert_int_equal(atomic_load(&refused), THREADS);
}

static void *commit_some(void *context)
{
    const unsigned *number = context;
    for (unsigned i = 0; i < *number; i++)
        if (commit(number) != PERSIST_OK)
            atomic_fetch_add(&refused, 1);
    return NULL;
}

/* One who watched the clock is done with the sync of another, and does not come
 * again: whoever waits by then, another one has to watch for it. */
static void nobody_waits_for_one_who_has_gone(void **state)
{
    (void)state;
    sys.sleep_while = sleep_late;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned numbers[] = {SHORT + round, 3 * SHORT, 3 * SHORT + 1};
        pthread_t threads[sizeof numbers / sizeof *numbers];
        for (int i = 0; i < 3; i++)
            assert_int_equal(
                pthread_create(&threads[i], NULL, commit_some, &numbers[i]), 0);
        struct timespec end;
        clock_gettime(CLOCK_REALTIME, &end);
        end.tv_sec += GONE_S;
        for (int i = 0; i < 3; i++)
            if (pthread_timedjoin_np(threads[i], NULL, &end) != 0) {
                print_message("[  FAILED  ] a commit waits for ever\n");
                _exit(1);
            }
    }
    assert_int_equal(atomic_load(&refused), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_hopes_until_all_are_back),
        cmocka_unit_test(who_is_alone_never_hopes),
        cmocka_unit_test(nothing_is_hoped_for_before_a_sync_was_measured),
        cmocka_unit_test(nobody_watches_behind_a_sync),
        cmocka_unit_test(in_vain_it_is_tried_less_and_less),
        cmocka_unit_test(it_learns_what_a_sync_takes),
        cmocka_unit_test_setup_teardown(all_threads_share_one_sync, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_sync_that_fails_ends_all_waits,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_waits_for_one_who_has_gone,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
