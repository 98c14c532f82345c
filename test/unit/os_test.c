/* SPDX-License-Identifier: MIT */
/* The loops over calls that do less than they were asked, and the real table.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/status.h"
#include "os/os.h"
#include "os/os_again.h"
#include "os/os_sleep.h"

/* ---- a reluctant system ----------------------------------------------- */

static char content[64];
static size_t content_size;
static int turn, sync_turns;

/* Every other call is interrupted; the rest move three bytes at most. */
static ssize_t slow_read(const os *sys, os_file *file, void *data, size_t size,
                         uint64_t at)
{
    (void)sys;
    (void)file;
    if (turn++ % 2 == 0)
        return -EINTR;
    size_t left = at < content_size ? content_size - at : 0;
    size_t n = size < 3 ? size : 3;
    n = n < left ? n : left;
    memcpy(data, content + at, n);
    return (ssize_t)n;
}

static ssize_t slow_write(const os *sys, os_file *file, const void *data,
                          size_t size, uint64_t at)
{
    (void)sys;
    (void)file;
    if (turn++ % 2 == 0)
        return -EINTR;
    if (at >= sizeof content)
        return -ENOSPC;
    size_t left = sizeof content - at;
    size_t n = size < 3 ? size : 3;
    n = n < left ? n : left;
    memcpy(content + at, data, n);
    content_size = at + n;
    return (ssize_t)n;
}

static int slow_sync(const os *sys, os_file *file)
{
    (void)sys;
    (void)file;
    return sync_turns++ < 3 ? -EINTR : -EIO;
}

static const os slow = {.version = OS_VERSION,
                        .file_read = slow_read,
                        .file_write = slow_write,
                        .file_sync = slow_sync};

static void short_and_interrupted_calls_are_repeated(void **state)
{
    (void)state;
    char out[64] = "";
    size_t got;
    assert_int_equal(os_write_all(&slow, NULL, "hello world", 11, 2), 0);
    assert_int_equal(content_size, 13);
    assert_int_equal(os_read_all(&slow, NULL, out, 11, 2, &got), 0);
    assert_int_equal(got, 11);
    assert_string_equal(out, "hello world");
    assert_int_equal(os_read_all(&slow, NULL, out, 64, 2, &got), 0);
    assert_int_equal(got, 11);
    assert_int_equal(os_write_all(&slow, NULL, out, 64, 2), -ENOSPC);
    assert_int_equal(os_sync(&slow, NULL), -EIO);
    assert_int_equal(sync_turns, 4);
}

/* ---- a system that is interrupted all the time ------------------------ */

static int calls, lets_through;

static int interrupt(void)
{
    return ++calls == lets_through ? 1 : -EINTR;
}

static ssize_t deaf_read(const os *sys, os_file *file, void *data, size_t size,
                         uint64_t at)
{
    (void)sys;
    (void)file;
    (void)at;
    if (size > 0)
        *(char *)data = 'x';
    return interrupt();
}

static ssize_t deaf_write(const os *sys, os_file *file, const void *data,
                          size_t size, uint64_t at)
{
    (void)sys;
    (void)file;
    (void)data;
    (void)size;
    (void)at;
    return interrupt();
}

static int deaf_sync(const os *sys, os_file *file)
{
    (void)sys;
    (void)file;
    return interrupt();
}

static int deaf_dir_sync(const os *sys, const os_dir *dir)
{
    (void)sys;
    (void)dir;
    return interrupt();
}

static const os deaf = {.version = OS_VERSION,
                        .file_read = deaf_read,
                        .file_write = deaf_write,
                        .file_sync = deaf_sync,
                        .dir_sync = deaf_dir_sync};

static int calls_made(int through)
{
    int made = calls;
    calls = 0;
    lets_through = through;
    return made;
}

static void interruptions_have_an_end(void **state)
{
    (void)state;
    char bytes[4];
    size_t got;
    persist_error error;
    calls_made(0);
    assert_int_equal(os_read_all(&deaf, NULL, bytes, 4, 0, &got), -EINTR);
    assert_int_equal(calls_made(0), OS_AGAIN_MAX);
    assert_int_equal(os_write_all(&deaf, NULL, bytes, 4, 0), -EINTR);
    assert_int_equal(calls_made(0), OS_AGAIN_MAX);
    assert_int_equal(os_sync(&deaf, NULL), -EINTR);
    assert_int_equal(calls_made(0), OS_AGAIN_MAX);
    assert_int_equal(os_dir_sync(&deaf, NULL), -EINTR);
    assert_int_equal(calls_made(50), OS_AGAIN_MAX);
    /* it is counted anew where something was moved */
    assert_int_equal(os_read_all(&deaf, NULL, bytes, 4, 0, &got), -EINTR);
    assert_int_equal(got, 1);
    assert_int_equal(calls_made(50), 50 + OS_AGAIN_MAX);
    assert_int_equal(os_write_all(&deaf, NULL, bytes, 4, 0), -EINTR);
    assert_int_equal(calls_made(0), 50 + OS_AGAIN_MAX);
    assert_int_equal(os_failed(&error, -EINTR, "sync", "x"), PERSIST_IO);
    assert_non_null(strstr(error.message, "cannot sync x: Interrupted"));
}

static void paths_are_joined_or_refused(void **state)
{
    (void)state;
    char path[8];
    assert_int_equal(os_join(path, sizeof path, "abc", "def"), 0);
    assert_string_equal(path, "abc/def");
    assert_int_equal(os_join(path, sizeof path, "abc", "defg"), -ENAMETOOLONG);
}

static void an_errno_becomes_a_status(void **state)
{
    (void)state;
    persist_error error;
    assert_int_equal(os_failed(&error, -ENOSPC, "write", "x"),
                     PERSIST_NO_SPACE);
    assert_int_equal(os_failed(&error, -EDQUOT, "write", "x"),
                     PERSIST_NO_SPACE);
    assert_int_equal(os_failed(&error, -ENOMEM, "open", "x"), PERSIST_LIMIT);
    assert_int_equal(os_failed(&error, -EIO, "read", "the/path"), PERSIST_IO);
    assert_string_equal(error.path, "the/path");
    assert_non_null(strstr(error.message, "cannot read the/path"));
    assert_int_equal(os_failed(&error, -EROFS, "sync", "x"), PERSIST_IO);
    assert_non_null(strstr(error.message, "cannot sync x"));
    assert_non_null(strstr(error.message, "mount it for writing"));
    /* one piece of advice, which can be taken off */
    for (int code = 1; code < 134; code++) {
        os_failed(&error, -code, "open", "x");
        const char *advice = strstr(error.message, "; ");
        assert_non_null(advice);
        assert_null(strstr(advice + 2, "; "));
        assert_int_equal(status_fault_size(error.message),
                         advice - error.message);
    }
    static const struct {
        int code;
        const char *advice;
    } told[] = {{-ENOENT, "check the path"},
                {-ENOTDIR, "check the path"},
                {-ENAMETOOLONG, "name too long; take shorter names"},
                {-EISDIR, "in its place"},
                {-ENOLCK, "that has locks"},
                {-EBUSY, "what else uses it"},
                {-EIO, "check the disk"}};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        assert_int_equal(os_failed(&error, told[i].code, "open", "x"),
                         PERSIST_IO);
        assert_non_null(strstr(error.message, told[i].advice));
    }
}

/* ---- the real one ----------------------------------------------------- */

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/persist-os-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static int count_name(void *context, const char *name)
{
    int *count = context;
    assert_true(name[0] != '.');
    return ++*count == 3 ? 42 : 0;
}

/* The stamp of a file that nobody has written to for a while; the clock that
 * it is taken from may be the coarse one of the kernel. */
static uint64_t await_stamp(const os *sys, os_file *file)
{
    uint64_t stamp = 0;
    bool settled = false;
    for (int i = 0; i < 10000 && !settled; i++) {
        usleep(1000);
        stamp = sys->file_stamp(sys, file, &settled);
    }
    assert_true(settled && stamp != 0);
    return stamp;
}

static void a_write_changes_the_stamp_and_the_last_name_counts(void **state)
{
    (void)state;
    const os *sys = os_posix();
    char path[96];
    os_file *file, *other;
    snprintf(path, sizeof path, "%s/a", dir);
    int flags = OS_READ | OS_WRITE | OS_CREATE;
    assert_int_equal(sys->file_open(sys, sys->cwd, path, flags, &file), 0);
    assert_int_equal(os_write_all(sys, file, "abc", 3, 0), 0);
    uint64_t before = await_stamp(sys, file);
    assert_int_equal(await_stamp(sys, file), before);
    assert_int_equal(sys->file_open(sys, sys->cwd, path, OS_WRITE, &other), 0);
    assert_int_equal(os_write_all(sys, other, "X", 1, 1), 0);
    bool settled;
    assert_int_not_equal(sys->file_stamp(sys, file, &settled), before);
    assert_int_not_equal(await_stamp(sys, file), before);
    assert_int_equal(os_sync(sys, file), 0);
    assert_int_equal(sys->unlink(sys, sys->cwd, path), 0);
    assert_int_equal(os_sync(sys, file), -ENOENT);
    assert_int_equal(sys->file_close(sys, other), 0);
    assert_int_equal(sys->file_close(sys, file), 0);
}

static void files_and_names(void **state)
{
    (void)state;
    const os *sys = os_posix();
    os_file *file, *again;
    os_stat stat;
    uint64_t size;
    char a[80], b[80], bytes[4];
    size_t got;
    int count = 0;
    snprintf(a, sizeof a, "%s/a", dir);
    snprintf(b, sizeof b, "%s/b", dir);
    assert_int_equal(sys->file_open(sys, sys->cwd, a, OS_READ, &file), -ENOENT);
    int flags = OS_READ | OS_WRITE | OS_CREATE | OS_EXCLUSIVE;
    assert_int_equal(sys->file_open(sys, sys->cwd, a, flags, &file), 0);
    assert_int_equal(sys->file_open(sys, sys->cwd, a, flags, &again), -EEXIST);
    assert_int_equal(os_write_all(sys, file, "data", 4, 10), 0);
    assert_int_equal(sys->file_size(sys, file, &size), 0);
    assert_int_equal(size, 14);
    assert_int_equal(sys->file_truncate(sys, file, 12), 0);
    assert_int_equal(os_read_all(sys, file, bytes, 4, 10, &got), 0);
    assert_int_equal(got, 2);
    assert_int_equal(sys->file_sync(sys, file), 0);
    assert_int_equal(sys->file_close(sys, file), 0);
    assert_int_equal(sys->rename(sys, sys->cwd, a, sys->cwd, b), 0);
    assert_int_equal(os_sync_in(sys, sys->cwd, dir), 0);
    assert_int_equal(sys->stat(sys, sys->cwd, a, &stat), -ENOENT);
    assert_int_equal(sys->stat(sys, sys->cwd, b, &stat), 0);
    assert_int_equal(stat.size, 12);
    assert_false(stat.is_dir);
    assert_int_equal(sys->dir_make(sys, sys->cwd, a), 0);
    assert_int_equal(sys->dir_make(sys, sys->cwd, a), -EEXIST);
    assert_int_equal(os_list_in(sys, sys->cwd, dir, count_name, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(os_list_in(sys, sys->cwd, dir, count_name, &count), 42);
    assert_int_equal(sys->unlink(sys, sys->cwd, b), 0);
    assert_int_equal(os_list_in(sys, sys->cwd, b, count_name, &count), -ENOENT);
    uint64_t first = 0, second = 0;
    assert_int_equal(sys->random(sys, &first, sizeof first), 0);
    assert_int_equal(sys->random(sys, &second, sizeof second), 0);
    assert_true(first != second);
    assert_true(sys->clock_us(sys) <= sys->clock_us(sys));
}

/* Blocks that are there and written: nothing is left for a later sync. */
static void allocated_blocks_are_there(void **state)
{
    (void)state;
    const os *sys = os_posix();
    os_file *file;
    char path[80], bytes[8] = "x";
    size_t got;
    struct stat info;
    enum { SIZE = 300000 };
    snprintf(path, sizeof path, "%s/f", dir);
    assert_int_equal(sys->file_open(sys, sys->cwd, path,
                                    OS_READ | OS_WRITE | OS_CREATE, &file),
                     0);
    assert_int_equal(os_write_all(sys, file, "start", 5, 0), 0);
    assert_int_equal(sys->file_allocate(sys, file, SIZE), 0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, SIZE);
    assert_true(info.st_blocks * 512 >= SIZE);
    assert_int_equal(os_read_all(sys, file, bytes, 8, 0, &got), 0);
    assert_memory_equal(bytes, "start\0\0\0", 8);
    assert_int_equal(os_read_all(sys, file, bytes, 8, SIZE - 8, &got), 0);
    assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0", 8);
    /* never shrinks */
    assert_int_equal(sys->file_allocate(sys, file, 10), 0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, SIZE);
    assert_int_equal(sys->file_close(sys, file), 0);
}

static void a_lock_belongs_to_a_handle(void **state)
{
    (void)state;
    const os *sys = os_posix();
    os_file *first, *second;
    char path[80];
    int64_t holder;
    int flags = OS_READ | OS_WRITE | OS_CREATE;
    snprintf(path, sizeof path, "%s/lock", dir);
    assert_int_equal(sys->file_open(sys, sys->cwd, path, flags, &first), 0);
    assert_int_equal(sys->file_open(sys, sys->cwd, path, flags, &second), 0);
    assert_int_equal(sys->file_lock(sys, first, false, &holder), 0);
    assert_int_equal(sys->file_lock(sys, second, false, &holder), -EWOULDBLOCK);
    assert_int_equal(holder, getpid());
    assert_int_equal(sys->file_close(sys, first), 0);
    assert_int_equal(sys->file_lock(sys, second, false, &holder), 0);
    assert_int_equal(sys->file_close(sys, second), 0);
}

/* What cannot be read any more is an error, not the end of the process. */
static void a_mapping_fails_without_a_signal(void **state)
{
    (void)state;
    const os *sys = os_posix();
    enum { SIZE = 1 << 20, KEPT = 1 << 18 };
    static char bytes[SIZE];
    os_file *file;
    os_map map;
    char path[80];
    snprintf(path, sizeof path, "%s/f", dir);
    int flags = OS_READ | OS_WRITE | OS_CREATE;
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i / 4096 + i);
    assert_int_equal(sys->file_open(sys, sys->cwd, path, flags, &file), 0);
    assert_int_equal(os_write_all(sys, file, bytes, SIZE, 0), 0);
    assert_int_equal(sys->file_map(sys, file, 2 * SIZE, &map), -EIO);
    assert_int_equal(sys->file_map(sys, file, SIZE, &map), 0);
    assert_int_equal(sys->unlink(sys, sys->cwd, path), 0);
    assert_int_equal(sys->map_load(sys, &map, 5000, 1), 0);
    assert_int_equal(sys->map_load(sys, &map, 0, SIZE), 0);
    assert_memory_equal(map.data, bytes, SIZE);
    assert_int_equal(sys->file_truncate(sys, file, KEPT), 0);
    assert_int_equal(sys->map_load(sys, &map, KEPT - 100, 101), -EIO);
    assert_int_equal(sys->map_load(sys, &map, SIZE - 1, 1), -EIO);
    assert_int_equal(sys->file_close(sys, file), 0);
    assert_int_equal(sys->map_load(sys, &map, 0, KEPT), 0);
    assert_memory_equal(map.data, bytes, KEPT);
    sys->map_release(sys, &map);
    assert_null(map.data);
    sys->map_release(sys, &map);
    assert_int_equal(
        sys->file_open(sys, sys->cwd, path, OS_WRITE | OS_CREATE, &file), 0);
    assert_int_equal(os_write_all(sys, file, bytes, SIZE, 0), 0);
    assert_int_equal(sys->file_map(sys, file, SIZE, &map), -EACCES);
    assert_int_equal(sys->file_close(sys, file), 0);
}

#define REAL(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* ---- syncs of one directory -------------------------------------------- */

static _Atomic int in_sync, in_sync_max;

/* In the place of the C library's: who is not kept out gets in meanwhile. */
int fsync(int fd)
{
    int now = atomic_fetch_add(&in_sync, 1) + 1;
    if (now > atomic_load(&in_sync_max))
        atomic_store(&in_sync_max, now);
    usleep(1000);
    atomic_fetch_sub(&in_sync, 1);
    return (int)syscall(SYS_fsync, fd);
}

static void *sync_often(void *context)
{
    for (int i = 0; i < 20; i++)
        if (os_dir_sync(os_posix(), context) != 0)
            return context;
    return NULL;
}

/* The kernel lets a second sync of a directory pass before the first has
 * written what both shall cover. */
static void syncs_of_a_directory_take_turns(void **state)
{
    (void)state;
    const os *sys = os_posix();
    os_dir *held;
    pthread_t threads[4];
    void *failed;
    assert_int_equal(sys->dir_open(sys, sys->cwd, dir, &held), 0);
    atomic_store(&in_sync_max, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sync_often, held),
                         0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    sys->dir_close(sys, held);
    assert_int_equal(atomic_load(&in_sync_max), 1);
}

/* ---- sleeping ---------------------------------------------------------- */

enum { SLEEPERS = 6, TIMES = 200 };

static _Atomic uint32_t word;
static _Atomic int awake;

static void *sleep_often(void *context)
{
    (void)context;
    for (uint32_t i = 0; i < TIMES; i++) {
        while (atomic_load(&word) == i)
            os_sleep_while(&word, i);
        atomic_fetch_add(&awake, 1);
    }
    return NULL;
}

/* All are woken each time the word changes, whether they sleep by then or are
 * about to; nobody gets through before. */
static void sleepers_are_woken(void **state)
{
    (void)state;
    pthread_t threads[SLEEPERS];
    for (int i = 0; i < SLEEPERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sleep_often, NULL),
                         0);
    for (int i = 0; i < TIMES; i++) {
        assert_int_equal(atomic_load(&awake), i * SLEEPERS);
        atomic_fetch_add(&word, 1);
        if (i % 2 == 0)
            os_wake_all(&word);
        while (atomic_load(&awake) < (i + 1) * SLEEPERS)
            if (i % 2 == 0)
                sched_yield();
            else
                os_wake_one(&word);
    }
    for (int i = 0; i < SLEEPERS; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_and_interrupted_calls_are_repeated),
        cmocka_unit_test(interruptions_have_an_end),
        cmocka_unit_test(paths_are_joined_or_refused),
        cmocka_unit_test(an_errno_becomes_a_status),
        cmocka_unit_test(sleepers_are_woken),
        REAL(a_write_changes_the_stamp_and_the_last_name_counts),
        REAL(files_and_names),
        REAL(allocated_blocks_are_there),
        REAL(a_lock_belongs_to_a_handle),
        REAL(a_mapping_fails_without_a_signal),
        REAL(syncs_of_a_directory_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
