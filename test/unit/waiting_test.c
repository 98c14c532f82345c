/* SPDX-License-Identifier: MIT */
/* Who waits for events: how positions move, thousands who are woken at once,
 * and how a wait ends that no event ends. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "../lib/clock.h"
#include "fixture.h"
#include "store/store.h"

enum {
    SEGMENT = 16 << 10,
    LATER = 1000, /* a position that nothing reaches */
    ROUNDS = 3000,
    WRITERS = 3,
    WAIT = 60, /* seconds until something counts as hanging */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    WAITERS = 200,
    STACK = 1 << 20
#else
    WAITERS = 2000,
    STACK = 128 << 10 /* as persist.h promises */
#endif
};

static char dir[64];
static os sys;
static persist_store *store;
static atomic_bool sync_fails, no_sync, appends_meanwhile;
static pthread_t main_thread;
static atomic_int told, woken, asleep, awake; /* the last two: how often */

static void nap(void)
{
    struct timespec t = {.tv_nsec = 1000 * 1000};
    nanosleep(&t, NULL);
}

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* ---- stores ------------------------------------------------------------ */

static persist_lsn append(const char *name);

static int file_sync(const os *o, os_file *file)
{
    if (atomic_load(&appends_meanwhile) &&
        pthread_equal(pthread_self(), main_thread)) {
        atomic_store(&appends_meanwhile, false);
        (void)append("s");
    }
    if (atomic_load(&sync_fails))
        return -EIO;
    return atomic_load(&no_sync) ? 0 : os_posix()->file_sync(o, file);
}

static void sleep_while(const os *o, const _Atomic uint32_t *word,
                        uint32_t value, uint64_t us)
{
    atomic_fetch_add(&asleep, 1);
    os_posix()->sleep_while(o, word, value, us);
    atomic_fetch_add(&awake, 1);
}

static void open_store(const char *path)
{
    persist_error error = {0};
    persist_options options = {PERSIST_OPTIONS,
                               .path = path,
                               .create = true,
                               .background = true,
                               .segment_size = SEGMENT,
                               .memtable_size = 4096,
                               .os = &sys};
    if (persist_open(&options, &store, &error) != PERSIST_OK)
        fail_msg("%s", error.message);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/persist-waiting-XXXXXX");
    sys = *os_posix();
    sys.file_sync = file_sync;
    sys.sleep_while = sleep_while;
    sync_fails = no_sync = appends_meanwhile = false;
    main_thread = pthread_self();
    told = woken = asleep = awake = 0;
    if (mkdtemp(dir) == NULL)
        return -1;
    open_store(dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[96];
    (void)persist_close(store, NULL);
    store = NULL;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static persist_lsn append(const char *name)
{
    persist_outcome out;
    persist_edit edit = {.kind = PERSIST_APPEND,
                         .name = slice_str(name),
                         .data = slice_str("e")};
    check(persist_commit(store, &edit, 1, NULL, &out, NULL) == PERSIST_OK);
    persist_lsn lsn = out.lsn;
    persist_outcome_release(&out);
    return lsn;
}

static persist_status append_durably(void)
{
    return persist_wait_durable(store, append("s"), NULL);
}

/* ---- threads ----------------------------------------------------------- */

typedef struct waiter {
    pthread_t thread;
    uint64_t position, newest;
    persist_status status;
} waiter;

static waiter waiters[WAITERS];

static void *wait_once(void *context)
{
    waiter *w = context;
    w->status = persist_wait_position(store, w->position, PERSIST_FOREVER,
                                      &w->newest, NULL);
    atomic_fetch_add(&woken, 1);
    return NULL;
}

static uint32_t count_inside(void)
{
    return atomic_load(&store->backend->news(store)->inside);
}

static void start(pthread_t *thread, void *(*run)(void *), void *context)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    assert_int_equal(pthread_attr_setstacksize(&attributes, STACK), 0);
    assert_int_equal(pthread_create(thread, &attributes, run, context), 0);
    pthread_attr_destroy(&attributes);
}

static void join(pthread_t thread)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += patience(WAIT);
    if (pthread_timedjoin_np(thread, NULL, &until) != 0) {
        print_error("a thread hangs: 1 FAILED TEST(S)\n");
        _exit(1);
    }
}

/* All wait, each above its position; most of them asleep by now. */
static void start_waiters(uint64_t position)
{
    for (int i = 0; i < WAITERS; i++) {
        waiters[i].position = position;
        start(&waiters[i].thread, wait_once, &waiters[i]);
    }
    while (count_inside() < WAITERS)
        nap();
    nap();
}

static void join_waiters(persist_status expected)
{
    for (int i = 0; i < WAITERS; i++) {
        join(waiters[i].thread);
        assert_int_equal(waiters[i].status, expected);
    }
}

/* ---- positions --------------------------------------------------------- */

static void positions_move_with_commits_and_syncs(void **state)
{
    (void)state;
    fixture f;
    fixture_begin(&f, SEGMENT);
    assert_int_equal(persist_position(f.store, PERSIST_LATEST), 0);
    fixture_append(&f, "a", "1");
    fixture_append(&f, "b", "2");
    fixture_do(&f, PERSIST_PUT, "k", "v", 0);
    assert_int_equal(persist_position(f.store, PERSIST_LATEST), 2);
    assert_int_equal(persist_position(f.store, PERSIST_DURABLE), 0);
    fixture_wait(&f);
    assert_int_equal(persist_position(f.store, PERSIST_DURABLE), 2);
    fixture_do(&f, PERSIST_TRUNCATE, "b", "", 1);
    fixture_do(&f, PERSIST_SET_POSITION, "", "", 10);
    fixture_append(&f, "a", "3");
    assert_int_equal(persist_position(f.store, PERSIST_LATEST), 10);
    assert_int_equal(persist_position(f.store, PERSIST_DURABLE), 2);
    fixture_wait(&f);
    fixture_kill(&f);
    fixture_reopen(&f);
    assert_int_equal(persist_position(f.store, PERSIST_DURABLE), 10);
    fixture_close(&f);
    fixture_reopen(&f);
    assert_int_equal(persist_position(f.store, PERSIST_DURABLE), 10);
    fixture_end(&f);
}

static void what_comes_during_a_sync_is_not_durable_with_it(void **state)
{
    (void)state;
    persist_lsn lsn = append("s");
    atomic_store(&appends_meanwhile, true);
    assert_int_equal(persist_wait_durable(store, lsn, NULL), PERSIST_OK);
    assert_false(atomic_load(&appends_meanwhile));
    assert_int_equal(persist_position(store, PERSIST_LATEST), 2);
    assert_int_equal(persist_position(store, PERSIST_DURABLE), 1);
    assert_int_equal(append_durably(), PERSIST_OK);
    assert_int_equal(persist_position(store, PERSIST_DURABLE), 3);
}

/* What a failed sync takes back has no position any more. */
static void a_failed_sync_takes_positions_back(void **state)
{
    (void)state;
    fixture f;
    uint64_t newest;
    fixture_begin(&f, SEGMENT);
    fixture_append(&f, "a", "1");
    fixture_wait(&f);
    fixture_append(&f, "a", "2");
    sim_fault fault = {.calls = 1u << SIM_SYNC, .nth = 1, .error = EIO};
    os_sim_fail(f.sim, fault);
    assert_int_equal(persist_wait_durable(f.store, 2, NULL), PERSIST_READ_ONLY);
    assert_int_equal(persist_position(f.store, PERSIST_LATEST), 1);
    assert_int_equal(persist_wait_position(f.store, 0, 0, &newest, NULL),
                     PERSIST_OK);
    assert_int_equal(newest, 1);
    assert_int_equal(persist_wait_position(f.store, 1, 5, &newest, &f.error),
                     PERSIST_READ_ONLY);
    assert_non_null(strstr(f.error.message, "open the store again"));
    fixture_end(&f);
}

/* ---- time -------------------------------------------------------------- */

static void time_passes_without_news(void **state)
{
    (void)state;
    fixture f;
    uint64_t newest = 99;
    fixture_begin(&f, SEGMENT);
    const os *sim = os_sim_os(f.sim);
    fixture_append(&f, "a", "1");
    uint64_t before = sim->clock_us(sim);
    assert_int_equal(persist_wait_position(f.store, 0, 60000, &newest, NULL),
                     PERSIST_NONE);
    assert_int_equal(newest, 0); /* not durable, and not made so */
    assert_true(sim->clock_us(sim) - before >= 60000 * 1000ull);
    fixture_wait(&f);
    before = sim->clock_us(sim);
    assert_int_equal(
        persist_wait_position(f.store, 0, PERSIST_FOREVER, &newest, NULL),
        PERSIST_OK);
    assert_int_equal(newest, 1);
    assert_int_equal(persist_wait_position(f.store, 1, 0, NULL, NULL),
                     PERSIST_NONE);
    assert_true(sim->clock_us(sim) - before < 1000 * 1000);
    fixture_end(&f);
    (void)persist_close(store, NULL);
    open_store(NULL);
    assert_int_equal(persist_wait_position(store, 0, 20, &newest, NULL),
                     PERSIST_NONE);
    (void)append("a");
    assert_int_equal(persist_wait_position(store, 0, 20, &newest, NULL),
                     PERSIST_OK);
    assert_int_equal(newest, 1);
}

/* ---- many -------------------------------------------------------------- */

static void all_are_woken_by_one_sync(void **state)
{
    (void)state;
    start_waiters(0);
    persist_lsn lsn = append("s");
    assert_int_equal(atomic_load(&woken), 0);
    assert_int_equal(persist_wait_durable(store, lsn, NULL), PERSIST_OK);
    join_waiters(PERSIST_OK);
    for (int i = 0; i < WAITERS; i++)
        assert_int_equal(waiters[i].newest, 1);
}

static void all_are_woken_in_memory(void **state)
{
    (void)state;
    (void)persist_close(store, NULL);
    open_store(NULL);
    start_waiters(0);
    (void)append("s");
    join_waiters(PERSIST_OK);
}

/* Each for another position: woken by that one, not by those before. */
static void each_waits_for_its_own(void **state)
{
    (void)state;
    enum { EACH = 40 };
    for (int i = 0; i < EACH; i++) {
        waiters[i].position = (uint64_t)i;
        start(&waiters[i].thread, wait_once, &waiters[i]);
    }
    while (count_inside() < EACH)
        nap();
    for (int i = 0; i < EACH; i++) {
        assert_true(atomic_load(&woken) <= i);
        assert_int_equal(append_durably(), PERSIST_OK);
        join(waiters[i].thread);
        assert_int_equal(waiters[i].status, PERSIST_OK);
        assert_true(waiters[i].newest == (uint64_t)i + 1);
    }
}

static engine *engine_of(persist_store *s)
{
    char *news = (char *)s->backend->news(s);
    return (engine *)(void *)(news - offsetof(engine, wal) -
                              offsetof(wal, news));
}

/* A commit is in the log, and durable, a moment before it is seen. Who is told
 * of it then sees it. */
static void a_wait_ends_when_the_commit_is_seen(void **state)
{
    (void)state;
    engine *e = engine_of(store);
    persist_lsn lsn = append("s");
    waiters[0].position = 0;
    start(&waiters[0].thread, wait_once, &waiters[0]);
    while (atomic_load(&asleep) == 0)
        nap();
    readers_change(&e->readers); /* as a commit does that is not done yet */
    assert_int_equal(persist_wait_durable(store, lsn, NULL), PERSIST_OK);
    while (atomic_load(&awake) == 0)
        nap();
    for (int i = 0; i < 20; i++)
        nap();
    assert_int_equal(atomic_load(&woken), 0);
    readers_change_end(&e->readers);
    join(waiters[0].thread);
    assert_int_equal(waiters[0].newest, 1);
}

/* ---- other ends -------------------------------------------------------- */

static void closing_ends_the_waits(void **state)
{
    (void)state;
    start_waiters(LATER);
    assert_int_equal(append_durably(), PERSIST_OK);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    store = NULL;
    join_waiters(PERSIST_CLOSED);
}

static void *wait_again_and_again(void *unused)
{
    uint64_t newest;
    persist_status status = PERSIST_OK;
    while (status <= PERSIST_NONE)
        status = persist_wait_position(store, LATER, 1, &newest, NULL);
    check(status == PERSIST_CLOSED);
    return unused;
}

static void those_who_wait_again_are_ended_first(void **state)
{
    (void)state;
    enum { FEW = 8 };
    persist_error error;
    pthread_t threads[FEW];
    for (int i = 0; i < FEW; i++)
        start(&threads[i], wait_again_and_again, NULL);
    for (int i = 0; i < 20; i++)
        nap();
    persist_end_waits(store);
    for (int i = 0; i < FEW; i++)
        join(threads[i]);
    assert_int_equal(
        persist_wait_position(store, 0, PERSIST_FOREVER, NULL, &error),
        PERSIST_CLOSED);
    assert_int_equal(append_durably(), PERSIST_OK);
    assert_int_equal(persist_position(store, PERSIST_DURABLE), 1);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    store = NULL;
}

static void a_failed_sync_ends_the_waits(void **state)
{
    (void)state;
    assert_int_equal(append_durably(), PERSIST_OK);
    start_waiters(1);
    persist_lsn lsn = append("s");
    atomic_store(&sync_fails, true);
    assert_int_equal(persist_wait_durable(store, lsn, NULL), PERSIST_READ_ONLY);
    join_waiters(PERSIST_READ_ONLY);
    for (int i = 0; i < WAITERS; i++)
        assert_int_equal(waiters[i].newest, 1);
}

static int on_a_disk_mounted_read_only(const os *o, const os_dir *at)
{
    (void)o;
    (void)at;
    return -EROFS;
}

/* Where nothing can be written, nothing comes. */
static void nobody_waits_where_nothing_is_written(void **state)
{
    (void)state;
    uint64_t newest;
    assert_int_equal(append_durably(), PERSIST_OK);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    sys.dir_may_write = on_a_disk_mounted_read_only;
    open_store(dir);
    assert_int_equal(persist_position(store, PERSIST_LATEST), 1);
    assert_int_equal(
        persist_wait_position(store, 0, PERSIST_FOREVER, &newest, NULL),
        PERSIST_OK);
    assert_int_equal(newest, 1);
    assert_int_equal(
        persist_wait_position(store, 1, PERSIST_FOREVER, &newest, NULL),
        PERSIST_READ_ONLY);
}

/* ---- being told -------------------------------------------------------- */

static void note(void *counter)
{
    atomic_fetch_add((atomic_int *)counter, 1);
}

static void syncs_are_told_of(void **state)
{
    (void)state;
    persist_notify(store, note, &told);
    persist_lsn lsn = append("s");
    assert_int_equal(atomic_load(&told), 0);
    assert_int_equal(persist_wait_durable(store, lsn, NULL), PERSIST_OK);
    assert_int_equal(atomic_load(&told), 1);
    persist_notify(store, note, &woken);
    assert_int_equal(append_durably(), PERSIST_OK);
    assert_int_equal(atomic_load(&told), 1);
    assert_int_equal(atomic_load(&woken), 1);
    atomic_store(&sync_fails, true);
    assert_int_equal(append_durably(), PERSIST_READ_ONLY);
    assert_int_equal(atomic_load(&woken), 2);
    persist_notify(store, NULL, NULL);
    (void)persist_close(store, NULL);
    assert_int_equal(atomic_load(&woken), 2);
    open_store(NULL);
    persist_notify(store, note, &told);
    (void)append("s");
    assert_int_equal(persist_position(store, PERSIST_LATEST), 1);
    assert_int_equal(atomic_load(&told), 2);
}

/* ---- following --------------------------------------------------------- */

static void *write_on(void *name)
{
    for (int i = 0; i < ROUNDS; i++)
        check(persist_wait_durable(store, append(name), NULL) == PERSIST_OK);
    return NULL;
}

/* Counts the events above a position that are durable; all up to the newest
 * must be there. */
static uint64_t follow(uint64_t position, uint64_t newest)
{
    persist_cursor *cursor;
    const persist_event *got;
    check(persist_read_all(store, position + 1, PERSIST_NO_LIMIT,
                           PERSIST_DURABLE, &cursor, NULL) == PERSIST_OK);
    while (persist_next_event(cursor, &got, NULL) == PERSIST_OK)
        check(got->position == ++position);
    persist_cursor_close(cursor);
    check(position >= newest);
    check(persist_position(store, PERSIST_DURABLE) >= position);
    check(persist_position(store, PERSIST_LATEST) >= position);
    return newest;
}

/* Writers and the thread of upkeep sync; nobody misses what they are told of,
 * and somebody else listens now and then. */
static void a_follower_misses_nothing(void **state)
{
    (void)state;
    static char names[WRITERS][2] = {"a", "b", "c"};
    pthread_t threads[WRITERS];
    uint64_t position = 0, newest = 0;
    atomic_store(&no_sync, true);
    for (int i = 0; i < WRITERS; i++)
        start(&threads[i], write_on, names[i]);
    for (int i = 0; position < (uint64_t)WRITERS * ROUNDS; i++) {
        check(persist_wait_position(store, position, PERSIST_FOREVER, &newest,
                                    NULL) == PERSIST_OK);
        position = follow(position, newest);
        persist_notify(store, i % 2 == 0 ? note : NULL, &told);
    }
    for (int i = 0; i < WRITERS; i++)
        join(threads[i]);
    assert_int_equal(persist_position(store, PERSIST_DURABLE),
                     WRITERS * ROUNDS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(positions_move_with_commits_and_syncs),
        TEST(what_comes_during_a_sync_is_not_durable_with_it),
        TEST(a_failed_sync_takes_positions_back),
        TEST(time_passes_without_news),
        TEST(all_are_woken_by_one_sync),
        TEST(all_are_woken_in_memory),
        TEST(each_waits_for_its_own),
        TEST(a_wait_ends_when_the_commit_is_seen),
        TEST(closing_ends_the_waits),
        TEST(those_who_wait_again_are_ended_first),
        TEST(a_failed_sync_ends_the_waits),
        TEST(nobody_waits_where_nothing_is_written),
        TEST(syncs_are_told_of),
        TEST(a_follower_misses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
