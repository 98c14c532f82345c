/* SPDX-License-Identifier: MIT */
/* What the threads of a program may go through while they call the store:
 * they are cancelled, they have small stacks, they ask for figures at any
 * moment; and what the threads of the store leave alone: signals. */
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../lib/clock.h"
#include "base/slice.h"
#include "os/os.h"
#include "persist.h"

enum {
    SMALL = 4096,
    SEGMENT = 16 << 10,
    CANCELS = 30,
    FIGURES = 3000,
    CHANGES = 60,
    WAIT = 30, /* seconds until something counts as hanging */
    BLOB = 300,
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    STACK = 1 << 20 /* sanitizers need more */
#else
    STACK = 128 << 10 /* as persist.h promises */
#endif
};

static char dir[64];
static persist_store *store;
static os slow;
static atomic_bool stops;

static void nap(long nanoseconds)
{
    struct timespec t = {0, nanoseconds};
    nanosleep(&t, NULL);
}

/* A sync in which a cancellation finds the thread. */
static int sync_slowly(const os *sys, os_file *file)
{
    nap(2 * 1000 * 1000);
    return os_posix()->file_sync(sys, file);
}

static persist_options options_of(const os *sys, bool background)
{
    return (persist_options){PERSIST_OPTIONS,         .path = dir,
                             .create = true,          .background = background,
                             .segment_size = SEGMENT, .memtable_size = SMALL,
                             .merge_width = 2,        .packed_max = BLOB - 1,
                             .unmapped = true,        .os = sys};
}

static void open_on(const os *sys)
{
    persist_error error = {0};
    persist_options options = options_of(sys, true);
    if (persist_open(&options, &store, &error) != PERSIST_OK)
        fail_msg("%s", error.message);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/persist-callers-XXXXXX");
    slow = *os_posix();
    slow.file_sync = sync_slowly;
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[96];
    int status = persist_close(store, NULL);
    store = NULL;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return status == PERSIST_OK ? system(command) : -1;
}

/* Waits for a thread; a failure if it does not end. */
static void *await(pthread_t thread)
{
    struct timespec until;
    void *result;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += patience(WAIT);
    if (pthread_timedjoin_np(thread, &result, &until) != 0) {
        print_error("a thread hangs: 1 FAILED TEST(S)\n");
        _exit(1);
    }
    return result;
}

static bool append(const char *name)
{
    persist_outcome out;
    persist_edit edit = {.kind = PERSIST_APPEND,
                         .name = slice_str(name),
                         .data = slice_str("data")};
    bool done = persist_commit(store, &edit, 1, NULL, &out, NULL) == PERSIST_OK;
    persist_lsn lsn = out.lsn;
    persist_outcome_release(&out);
    return done && persist_wait_durable(store, lsn, NULL) == PERSIST_OK;
}

/* ---- cancelled -------------------------------------------------------- */

static void *append_for_ever(void *name)
{
    while (append(name))
        pthread_testcancel();
    return NULL;
}

static void *append_once(void *name)
{
    return append(name) ? name : NULL;
}

static void a_cancelled_thread_keeps_nobody_waiting(void **state)
{
    (void)state;
    static char a[] = "a", b[] = "b"; /* streams */
    open_on(&slow);
    for (int i = 0; i < CANCELS; i++) {
        pthread_t cancelled, other;
        assert_int_equal(pthread_create(&cancelled, NULL, append_for_ever, a),
                         0);
        nap(1000 * 1000 * (1 + i % 5));
        assert_int_equal(pthread_cancel(cancelled), 0);
        assert_ptr_equal(await(cancelled), PTHREAD_CANCELED);
        assert_int_equal(pthread_create(&other, NULL, append_once, b), 0);
        assert_non_null(await(other));
    }
}

/* ---- figures ---------------------------------------------------------- */

static void *change(void *unused)
{
    static uint8_t bytes[SEGMENT];
    for (int i = 0; i < CHANGES; i++) {
        persist_edit edits[] = {
            {.kind = PERSIST_APPEND,
             .name = slice_str("s"),
             .data = slice_of(bytes, SEGMENT / 3)},
            {.kind = PERSIST_PUT,
             .name = slice_str("k"),
             .data = slice_of(bytes, 100)},
        };
        if (persist_commit(store, edits, 2, NULL, NULL, NULL) != PERSIST_OK ||
            (i % 8 == 0 && !append("t")))
            return store;
    }
    atomic_store(&stops, true);
    return unused;
}

static void figures_are_asked_for_at_any_moment(void **state)
{
    (void)state;
    pthread_t thread;
    persist_stats stats = {PERSIST_STATS};
    open_on(NULL);
    atomic_store(&stops, false);
    assert_int_equal(pthread_create(&thread, NULL, change, NULL), 0);
    for (int i = 0; i < FIGURES || !atomic_load(&stops); i++) {
        persist_get_stats(store, &stats, NULL);
        assert_true(stats.commits <= persist_latest(store));
    }
    assert_null(await(thread));
    persist_get_stats(store, &stats, NULL);
    assert_true(stats.segments > 0 && stats.tables > 0);
}

/* ---- signals ---------------------------------------------------------- */

/* Looks at the masks of all threads of this process but the one that asks. */
static int count_blocking(unsigned long long wanted)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *d; (d = readdir(tasks)) != NULL;) {
        char path[300], line[128];
        unsigned long long mask = 0;
        if (d->d_name[0] == '.' || strtol(d->d_name, NULL, 10) == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", d->d_name);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        while (fgets(line, sizeof line, file) != NULL)
            if (strncmp(line, "SigBlk:", 7) == 0)
                mask = strtoull(line + 7, NULL, 16);
        fclose(file);
        count += (mask & wanted) == wanted;
    }
    closedir(tasks);
    return count;
}

static unsigned long long bit_of(int signal)
{
    return 1ull << (signal - 1);
}

/* Sanitizers have threads of their own, so others may be there. */
static void threads_of_the_store_take_no_signals(void **state)
{
    (void)state;
    sigset_t before, after;
    unsigned long long wanted = bit_of(SIGTERM) | bit_of(SIGINT) |
                                bit_of(SIGHUP) | bit_of(SIGUSR1) |
                                bit_of(SIGALRM) | bit_of(SIGCHLD);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    int others = count_blocking(wanted);
    open_on(NULL);
    nap(100 * 1000 * 1000); /* a thread that begins blocks all for a moment */
    assert_int_equal(count_blocking(wanted), others + 2);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int i = 1; i < SIGRTMIN; i++)
        assert_int_equal(sigismember(&before, i), sigismember(&after, i));
}

/* ---- stacks ----------------------------------------------------------- */

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void use_blobs(void)
{
    static uint8_t bytes[2 * BLOB], back[2 * BLOB];
    persist_cid cid;
    persist_lsn lsn;
    persist_blob_writer *writer;
    persist_blob_reader *reader;
    size_t got;
    persist_error error;
    for (size_t size = BLOB / 2; size <= sizeof bytes; size += BLOB) {
        slice all = slice_of(bytes, size);
        memset(bytes, (int)size, size);
        check(persist_blob_add(store, all, cid, &lsn, &error) == PERSIST_OK);
        check(persist_blob_put(store, all, cid, &error) == PERSIST_OK);
        check(persist_blob_has(store, slice_str(cid), &error) == PERSIST_OK);
        check(persist_blob_create(store, &writer, &error) == PERSIST_OK);
        check(persist_blob_write(writer, all, &error) == PERSIST_OK);
        check(persist_blob_write(writer, all, &error) == PERSIST_OK);
        check(persist_blob_finish(writer, cid, &error) == PERSIST_OK);
        check(persist_blob_open(store, slice_str(cid), NULL, &reader, &error) ==
              PERSIST_OK);
        check(persist_blob_read(reader, back, sizeof back, &got, &error) ==
              PERSIST_OK);
        persist_blob_close(reader);
        check(persist_blob_create(store, &writer, &error) == PERSIST_OK);
        persist_blob_abort(writer);
    }
}

static void use_cursor(persist_cursor *cursor, bool names)
{
    const persist_event *event;
    slice name;
    persist_error error;
    int count = 0;
    while ((names ? persist_next_key(cursor, &name, NULL, &error)
                  : persist_next_event(cursor, &event, &error)) == PERSIST_OK)
        count++;
    persist_cursor_close(cursor);
    check(count > 0);
}

static void use_reads_in(persist_view view)
{
    persist_cursor *c;
    persist_error error;
    slice s = slice_str("s"), k = slice_str("k"), out;
    persist_stream_info info;
    persist_stats stats = {PERSIST_STATS};
    check(persist_read(store, s, 0, 99, view, &c, &error) == PERSIST_OK);
    use_cursor(c, false);
    check(persist_read_back(store, s, INT64_MAX, 99, view, &c, &error) ==
          PERSIST_OK);
    use_cursor(c, false);
    check(persist_read_all(store, 0, 999, view, &c, &error) == PERSIST_OK);
    use_cursor(c, false);
    check(persist_streams(store, NULL, 99, view, &c, &error) == PERSIST_OK);
    use_cursor(c, true);
    check(persist_scan(store, NULL, 99, view, &c, &error) == PERSIST_OK);
    use_cursor(c, true);
    check(persist_info(store, s, view, &info, NULL, &error) == PERSIST_OK);
    check(persist_get(store, k, view, &out, &error) == PERSIST_OK);
    persist_free(out.data);
    check(persist_has(store, k, view, &error) == PERSIST_OK);
    persist_get_stats(store, &stats, NULL);
    check(stats.tables > 0);
}

static void use_reads(void)
{
    persist_snapshot *snapshot;
    persist_error error;
    use_reads_in(PERSIST_LATEST);
    check(persist_snapshot_open(store, PERSIST_LATEST, &snapshot, &error) ==
          PERSIST_OK);
    use_reads_in(snapshot);
    persist_snapshot_close(snapshot);
}

static void use_commits(void)
{
    static uint8_t bytes[SMALL];
    persist_error error;
    for (uint64_t i = 1; i <= CHANGES; i++) {
        persist_once once = {.id = slice_of(&i, sizeof i)}, *id = &once;
        persist_outcome out;
        persist_edit edits[] = {
            {.kind = PERSIST_APPEND,
             .name = slice_str("s"),
             .data = slice_of(bytes, SMALL / 9)},
            {.kind = PERSIST_PUT,
             .name = slice_str("k"),
             .data = slice_of(bytes, i)},
            {.kind = PERSIST_TRUNCATE, .name = slice_str("s"), .seq = i / 2},
            {.kind = PERSIST_EXPECT_KEY,
             .name = slice_str("k"),
             .data = slice_of(bytes, i - 1)},
            {.kind = PERSIST_DELETE, .name = slice_of(&i, sizeof i)},
        };
        size_t count = i == 1 ? 3 : 5;
        check(persist_commit(store, edits, count, id, &out, &error) ==
              PERSIST_OK);
        check(persist_wait_durable(store, out.lsn, &error) == PERSIST_OK);
        persist_outcome_release(&out);
        check(persist_once_find(store, once.id, once.fingerprint, &out,
                                &error) == PERSIST_OK);
        persist_outcome_release(&out);
    }
}

/* All public functions; flushing and merging are done by the commits. */
static void *use_everything(void *unused)
{
    persist_error error;
    for (int i = 0; i < 2; i++) {
        persist_options options = options_of(NULL, false);
        options.compress = i > 0;
        options.unmapped = i > 0;
        check(persist_open(&options, &store, &error) == PERSIST_OK);
        if (i == 0)
            use_commits();
        use_reads();
        use_blobs();
        check(persist_latest(store) >= persist_durable(store));
        persist_notify(store, NULL, NULL);
        check(persist_position(store, PERSIST_DURABLE) > 0);
        check(persist_wait_position(store, 0, 1, NULL, &error) == PERSIST_OK);
        check(persist_wait_position(store, INT64_MAX, 1, NULL, &error) ==
              PERSIST_NONE);
        persist_end_waits(store);
        check(persist_close(store, &error) == PERSIST_OK);
        check(persist_verify(&options, NULL, NULL, &error) == PERSIST_OK);
    }
    return unused;
}

static void a_small_stack_is_enough(void **state)
{
    (void)state;
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    assert_int_equal(pthread_attr_setstacksize(&attributes, STACK), 0);
    assert_int_equal(pthread_create(&thread, &attributes, use_everything, NULL),
                     0);
    pthread_attr_destroy(&attributes);
    assert_null(await(thread));
    open_on(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_cancelled_thread_keeps_nobody_waiting,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(figures_are_asked_for_at_any_moment,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(threads_of_the_store_take_no_signals,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_small_stack_is_enough, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
