/* SPDX-License-Identifier: MIT */
/* The system may refuse to take a mapping back, where a process has as many as
 * it may: the mapping stays, and nothing else comes of it. */
#include "world.h"

#include <sys/mman.h>
#include <sys/syscall.h>

static unsigned refused;
static int refuses_with; /* 0: it does not */

/* Takes the place of the C library's in this program. */
int munmap(void *at, size_t size)
{
    if (refuses_with != 0) {
        refused++;
        errno = refuses_with;
        return -1;
    }
    return (int)syscall(SYS_munmap, at, size);
}

static int begin(void **state)
{
    refused = 0;
    refuses_with = 0;
    return set_up(state);
}

static int end(void **state)
{
    refuses_with = 0;
    return tear_down(state);
}

static void make_file(const os *sys, const char *path, os_map *out)
{
    os_file *file;
    const int flags = OS_READ | OS_WRITE | OS_CREATE;
    assert_int_equal(sys->file_open(sys, sys->cwd, path, flags, &file), 0);
    assert_int_equal(os_write_all(sys, file, "bytes", 5, 0), 0);
    assert_int_equal(sys->file_map(sys, file, 5, out), 0);
    assert_int_equal(sys->file_close(sys, file), 0);
}

static void a_mapping_stays(void **state)
{
    (void)state;
    const os *sys = os_posix();
    char path[128];
    os_map map, next;
    snprintf(path, sizeof path, "%s/f", top);
    make_file(sys, path, &map);
    const uint8_t *kept = map.data;
    refuses_with = ENOMEM;
    sys->map_release(sys, &map);
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    assert_int_equal(refused, 1);
    assert_memory_equal(kept, "bytes", 5);
    sys->map_release(sys, &map); /* it is not asked for twice */
    assert_int_equal(refused, 1);
    make_file(sys, path, &next);
    assert_ptr_not_equal(next.data, kept);
    refuses_with = 0;
    sys->map_release(sys, &next);
    assert_int_equal(munmap((void *)(uintptr_t)kept, 5), 0);
}

static int release_wrongly(void *map)
{
    const os *sys = os_posix();
    signal(SIGABRT, SIG_DFL);
    (void)freopen("/dev/null", "w", stderr);
    refuses_with = EINVAL;
    sys->map_release(sys, map);
    return 1;
}

/* What was no mapping is a mistake of the library. */
static void a_mistake_ends_the_process(void **state)
{
    (void)state;
    const os *sys = os_posix();
    char path[128];
    os_map map;
    snprintf(path, sizeof path, "%s/f", top);
    make_file(sys, path, &map);
    assert_int_equal(in_child(release_wrongly, &map), 1000 + SIGABRT);
    sys->map_release(sys, &map);
}

/* Its log is read at each opening, its tables are made, read and merged. */
static void a_store_goes_on(void **state)
{
    (void)state;
    enum { ROUNDS = 3, KEYS = 40 };
    char key[32];
    refuses_with = ENOMEM;
    for (int round = 0; round < ROUNDS; round++) {
        persist_store *s;
        const persist_options options = {PERSIST_OPTIONS, .path = data,
                                         .create = true, .memtable_size = 1};
        assert_int_equal(persist_open(&options, &s, &error), PERSIST_OK);
        for (int i = 0; i < KEYS; i++) {
            snprintf(key, sizeof key, "%d.%d", round, i);
            assert_int_equal(put(s, key), PERSIST_OK);
        }
        for (int i = 0; i < KEYS; i++) {
            snprintf(key, sizeof key, "0.%d", i);
            assert_true(has(s, key));
        }
        assert_int_equal(persist_close(s, &error), PERSIST_OK);
        const persist_options closed = {PERSIST_OPTIONS, .path = data};
        assert_int_equal(persist_verify(&closed, NULL, NULL, &error),
                         PERSIST_OK);
    }
    assert_true(refused > ROUNDS);
    printf("figure: %u mappings were not taken back, and nothing was lost\n",
           refused);
}

#define UNMAPPED(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNMAPPED(a_mapping_stays),
        UNMAPPED(a_mistake_ends_the_process),
        UNMAPPED(a_store_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
