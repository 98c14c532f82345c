/* SPDX-License-Identifier: MIT */
/* The simulated and the real operating system answer alike, call for call, as
 * long as nothing crashes: what the crash tests show of the one then holds for
 * the other. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../lib/os_sim.h"
#include "../lib/os_sim_disk.h"

enum { NAMES = 6, HANDLES = 4, BYTES_MAX = 3000, CALLS_MAX = 2000 };

/* One of the two, with the same files open under the same numbers. */
typedef struct side {
    const os *sys;
    const char *root;
    os_file *files[HANDLES];
    int flags[HANDLES];
} side;

static void path_of(const side *s, uint64_t name, char out[128])
{
    static const char *const names[NAMES] = {"a",     "b",     "dir",
                                             "dir/a", "dir/b", "no/a"};
    snprintf(out, 128, "%s/%s", s->root, names[name % NAMES]);
}

static int count_names(void *context, const char *name)
{
    uint64_t *sum = context;
    for (size_t i = 0; name[i] != '\0'; i++)
        *sum += (uint64_t)name[i] * (i + 1);
    return 0;
}

static int64_t open_file(side *s, uint64_t handle, uint64_t name, uint64_t how)
{
    static const int flags[] = {OS_READ | OS_WRITE,
                                OS_READ | OS_WRITE | OS_CREATE,
                                OS_READ | OS_WRITE | OS_CREATE | OS_EXCLUSIVE};
    char path[128];
    path_of(s, name, path);
    if (s->files[handle] != NULL)
        return s->sys->file_close(s->sys, s->files[handle]) == 0
                   ? (s->files[handle] = NULL, 0)
                   : -1;
    s->flags[handle] = flags[how % 3];
    return s->sys->file_open(s->sys, s->sys->cwd, path, flags[how % 3],
                             &s->files[handle]);
}

/* A call on an open file. */
static int64_t on_file(side *s, os_file *file, const uint64_t r[4])
{
    char bytes[BYTES_MAX];
    uint64_t size = 0, at = r[2] % 9000;
    int64_t rc, sum = 0;
    size_t got = 0;
    switch (r[0] % 8) {
    case 0:
    case 1:
        memset(bytes, (int)('a' + r[1] % 26), sizeof bytes);
        return os_write_all(s->sys, file, bytes, r[3] % BYTES_MAX, at);
    case 2:
    case 3:
        rc = os_read_all(s->sys, file, bytes, r[3] % BYTES_MAX, at, &got);
        for (size_t i = 0; i < got; i++)
            sum += bytes[i] * (int64_t)(i + 1);
        return rc + sum;
    case 4:
        rc = s->sys->file_size(s->sys, file, &size);
        return rc + (int64_t)size;
    case 5:
        return s->sys->file_truncate(s->sys, file, at);
    case 6:
        return s->sys->file_allocate(s->sys, file, at + 1);
    default:
        return s->sys->file_sync(s->sys, file);
    }
}

static int64_t on_names(side *s, const uint64_t r[4])
{
    char path[128], to[128];
    os_stat stat = {0};
    uint64_t sum = 0;
    int64_t rc;
    path_of(s, r[1], path);
    path_of(s, r[2], to);
    switch (r[0] % 6) {
    case 0:
        rc = s->sys->stat(s->sys, s->sys->cwd, path, &stat);
        return rc != 0 ? rc : stat.is_dir ? -1000 : (int64_t)stat.size;
    case 1: /* directories are not renamed by the engine */
        if (r[1] % NAMES == 2 || r[2] % NAMES == 2)
            return 0;
        return s->sys->rename(s->sys, s->sys->cwd, path, s->sys->cwd, to);
    case 2:
        return r[1] % NAMES == 2 ? 0
                                 : s->sys->unlink(s->sys, s->sys->cwd, path);
    case 3:
        return r[1] % NAMES != 2 ? 0
                                 : s->sys->dir_make(s->sys, s->sys->cwd, path);
    case 4:
        snprintf(path, sizeof path, "%s%s", s->root,
                 r[1] % 2 == 0 ? "" : "/dir");
        return os_sync_in(s->sys, s->sys->cwd, path);
    default:
        snprintf(path, sizeof path, "%s%s", s->root,
                 r[1] % 3 == 0   ? ""
                 : r[1] % 3 == 1 ? "/dir"
                                 : "/no");
        rc = os_list_in(s->sys, s->sys->cwd, path, count_names, &sum);
        return rc + (int64_t)sum;
    }
}

static int64_t call(side *s, const uint64_t r[4])
{
    uint64_t handle = r[3] % HANDLES;
    if (r[0] / 8 % 4 == 0)
        return open_file(s, handle, r[1], r[2]);
    if (r[0] / 8 % 4 == 1)
        return on_names(s, r);
    return s->files[handle] == NULL ? 0 : on_file(s, s->files[handle], r);
}

static void close_all(side *s)
{
    for (int i = 0; i < HANDLES; i++)
        if (s->files[i] != NULL)
            s->sys->file_close(s->sys, s->files[i]);
}

/* A second handle is refused, told the holder, and let in after the first. */
static void check_lock(const side *s)
{
    char path[128];
    int64_t holder = 0;
    os_file *first, *second;
    path_of(s, 0, path);
    int flags = OS_READ | OS_WRITE | OS_CREATE;
    assert_int_equal(
        s->sys->file_open(s->sys, s->sys->cwd, path, flags, &first), 0);
    assert_int_equal(
        s->sys->file_open(s->sys, s->sys->cwd, path, flags, &second), 0);
    assert_int_equal(s->sys->file_lock(s->sys, first, false, &holder), 0);
    assert_int_equal(s->sys->file_lock(s->sys, first, false, &holder), 0);
    assert_int_equal(s->sys->file_lock(s->sys, second, false, &holder),
                     -EWOULDBLOCK);
    assert_true(holder > 0);
    assert_int_equal(s->sys->file_close(s->sys, first), 0);
    assert_int_equal(s->sys->file_lock(s->sys, second, false, &holder), 0);
    assert_int_equal(s->sys->file_close(s->sys, second), 0);
    assert_int_equal(s->sys->unlink(s->sys, s->sys->cwd, path), 0);
}

/* A mapping outlives name and handle, and says when bytes are gone. */
static void check_map(const side *s)
{
    enum { SIZE = 50000, CUT = 4096 };
    static char bytes[SIZE];
    char path[128];
    os_file *file, *other;
    os_map map, second;
    path_of(s, 0, path);
    memset(bytes, 'm', SIZE);
    int flags = OS_READ | OS_WRITE | OS_CREATE;
    assert_int_equal(s->sys->file_open(s->sys, s->sys->cwd, path, flags, &file),
                     0);
    assert_int_equal(
        s->sys->file_open(s->sys, s->sys->cwd, path, flags, &other), 0);
    assert_int_equal(os_write_all(s->sys, file, bytes, SIZE, 0), 0);
    assert_int_equal(s->sys->file_map(s->sys, file, 2 * SIZE, &map), -EIO);
    assert_int_equal(s->sys->file_map(s->sys, file, SIZE, &map), 0);
    assert_int_equal(s->sys->file_map(s->sys, file, SIZE, &second), 0);
    assert_int_equal(s->sys->file_close(s->sys, file), 0);
    assert_int_equal(s->sys->unlink(s->sys, s->sys->cwd, path), 0);
    assert_int_equal(s->sys->map_load(s->sys, &map, 700, SIZE - 700), 0);
    assert_memory_equal(map.data + 700, bytes + 700, SIZE - 700);
    s->sys->map_release(s->sys, &map);
    assert_null(map.data);
    assert_int_equal(s->sys->file_truncate(s->sys, other, CUT), 0);
    assert_int_equal(s->sys->map_load(s->sys, &second, SIZE - 1, 1), -EIO);
    assert_int_equal(s->sys->map_load(s->sys, &second, CUT - 1, 2), -EIO);
    assert_int_equal(s->sys->map_load(s->sys, &second, 0, CUT), 0);
    assert_memory_equal(second.data, bytes, CUT);
    s->sys->map_release(s->sys, &second);
    assert_int_equal(s->sys->file_close(s->sys, other), 0);
}

static void both_answer_alike(uint64_t seed)
{
    char dir[] = "/tmp/persist-twin-XXXXXX", command[64];
    assert_non_null(mkdtemp(dir));
    os_sim *sim = os_sim_new(1);
    side real = {.sys = os_posix(), .root = dir};
    side twin = {.sys = os_sim_os(sim), .root = "root"};
    assert_int_equal(twin.sys->dir_make(twin.sys, twin.sys->cwd, "root"), 0);
    check_lock(&real);
    check_lock(&twin);
    check_map(&real);
    check_map(&twin);
    for (int i = 0; i < CALLS_MAX; i++) {
        uint64_t r[4];
        for (int k = 0; k < 4; k++)
            r[k] = sim_random(&seed);
        int64_t a = call(&real, r), b = call(&twin, r);
        if (a != b)
            fail_msg("call %d (%d %d %d %d): the real system says %lld, the "
                     "twin %lld",
                     i, (int)(r[0] % 32), (int)(r[1] % NAMES),
                     (int)(r[2] % NAMES), (int)(r[3] % HANDLES), (long long)a,
                     (long long)b);
    }
    close_all(&real);
    close_all(&twin);
    assert_int_equal(os_sim_open_files(sim), 0);
    os_sim_free(sim);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static void twins(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++)
        both_answer_alike(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(twins)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
