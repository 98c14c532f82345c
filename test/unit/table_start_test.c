/* SPDX-License-Identifier: MIT */
/* While a table is made the disk is asked to begin with what is written of it:
 * with each page once, when it is whole, and with most of them before the
 * sync. */
#include "fixture.h"

#include "engine/table/table_file.h"

enum { BLOCK = 32 << 10, VALUE = 1000, NUMBER = 7, PAGE = 4096 };

static os_sim *sim;
static os watched;
static table_place place;
static os_dir *folder;
static uint64_t written, started, left; /* the last: at the sync */
static size_t starts;

static ssize_t note_write(const os *o, os_file *file, const void *data,
                          size_t size, uint64_t at)
{
    assert_int_equal(at, written);
    ssize_t done = os_sim_os(sim)->file_write(o, file, data, size, at);
    assert_true(done > 0);
    written += (uint64_t)done;
    return done;
}

static void note_start(const os *o, os_file *file, uint64_t at, uint64_t size)
{
    assert_int_equal(at, started);
    assert_true(size > 0 && at + size <= written);
    assert_int_equal(size % PAGE, 0);
    started += size;
    starts++;
    os_sim_os(sim)->file_start_write(o, file, at, size);
}

static int note_sync(const os *o, os_file *file)
{
    left = written - started;
    return os_sim_os(sim)->file_sync(o, file);
}

static int set_up(void **state)
{
    (void)state;
    sim = os_sim_new(1);
    watched = *os_sim_os(sim);
    watched.file_write = note_write;
    watched.file_start_write = note_start;
    watched.file_sync = note_sync;
    assert_int_equal(watched.dir_make(&watched, watched.cwd, "t"), 0);
    assert_int_equal(watched.dir_open(&watched, watched.cwd, "t", &folder), 0);
    place = (table_place){.sys = &watched, .dir = folder, .identity = 1};
    written = started = left = 0;
    starts = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    watched.dir_close(&watched, folder);
    assert_int_equal(os_sim_open_files(sim), 0);
    os_sim_free(sim);
    return 0;
}

static void write_table(size_t size)
{
    static char data[VALUE];
    char name[32];
    table_writer w;
    assert_int_equal(
        table_begin(&w, &place, NUMBER, BLOCK, false, size / VALUE, NULL),
        PERSIST_OK);
    for (size_t i = 0; i < size / VALUE; i++) {
        int bytes = snprintf(name, sizeof name, "key-%08zu", i);
        table_add(&w, TABLE_KEYS, slice_of(name, (size_t)bytes),
                  slice_of(data, sizeof data));
    }
    assert_int_equal(table_finish(&w, 1, 9, NULL), PERSIST_OK);
}

static void little_is_left_for_the_sync(void **state)
{
    (void)state;
    write_table(8 * TABLE_START_SIZE);
    assert_true(written > 8 * TABLE_START_SIZE);
    assert_true(starts > 4 && starts <= 8);
    assert_true(left < TABLE_START_SIZE + 2 * TABLE_WRITE_SIZE);
}

/* One that is synced at once anyhow costs no call. */
static void a_small_one_is_only_synced(void **state)
{
    (void)state;
    write_table(TABLE_START_SIZE / 2);
    assert_int_equal(starts, 0);
    assert_int_equal(left, written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(little_is_left_for_the_sync, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_small_one_is_only_synced, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
