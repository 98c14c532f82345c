/* SPDX-License-Identifier: MIT */
/* Reading ahead: what a cursor is going to read of the next tables is asked for
 * before it is read, once, and nothing is when little is wanted. */
#include <string.h>

#include "fixture.h"

enum {
    TABLES = 6,
    EVENTS = 100, /* of each stream in each table */
    SIZE = 1000,
    KEYS = 2000, /* in a table of their own */
    ALL = TABLES + 1,
    MEMTABLE = TABLES * EVENTS * SIZE, /* all of a table, and more */
    ASKED_MAX = 1000
};

static fixture f;
static os watched;
static struct {
    const os_file *file;
    uint64_t from, end;
} asked[ASKED_MAX];
static size_t asked_count, blind; /* reads that were not asked for */

static void note_asked(const os *o, os_file *file, uint64_t at, uint64_t size)
{
    (void)o;
    assert_true(asked_count < ASKED_MAX && size > 0);
    asked[asked_count].file = file;
    asked[asked_count].from = at;
    asked[asked_count++].end = at + size;
}

static ssize_t read_watched(const os *o, os_file *file, void *data, size_t size,
                            uint64_t at)
{
    bool found = false;
    for (size_t i = 0; i < asked_count; i++)
        found = found || (asked[i].file == file && asked[i].from <= at &&
                          asked[i].end >= at + size);
    blind += !found;
    return os_sim_os(f.sim)->file_read(o, file, data, size, at);
}

/* Reopens the store with nothing in memory, and watches. */
static void open_watched(bool unmapped)
{
    persist_options options = {
        PERSIST_OPTIONS,        .path = "store",      .memtable_size = MEMTABLE,
        .merge_width = ALL + 1, .unmapped = unmapped, .os = &watched};
    if (f.store != NULL)
        fixture_close(&f);
    watched = *os_sim_os(f.sim);
    watched.file_start_read = note_asked;
    watched.file_read = read_watched;
    asked_count = 0;
    assert_int_equal(persist_open(&options, &f.store, NULL), PERSIST_OK);
    assert_int_equal(fixture_stats(&f).tables, ALL);
    assert_int_equal(asked_count, ALL); /* the end of each */
    blind = 0;
}

static void put_key(int number)
{
    char name[32], value[101];
    snprintf(name, sizeof name, "key-%06d", number);
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    assert_int_equal(fixture_try(&f, PERSIST_PUT, name, value, 0), PERSIST_OK);
}

/* Each table has a run of four streams. */
static int set_up(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d"};
    static char data[SIZE + 1];
    memset(data, 'x', SIZE);
    fixture_begin_tables(&f, MEMTABLE, ALL + 1);
    for (int round = 0; round < TABLES; round++) {
        for (int i = 0; i < 4 * EVENTS; i++)
            fixture_append(&f, names[i % 4], data);
        fixture_close(&f);
        fixture_reopen(&f);
    }
    for (int i = 0; i < KEYS; i++)
        put_key(i);
    fixture_close(&f);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_end(&f);
    return 0;
}

/* Reads a stream, or all of them; returns how many events. */
static int read_events(const char *name, bool back, uint64_t limit)
{
    persist_cursor *c = NULL;
    int count = 0;
    persist_status status =
        name == NULL
            ? persist_read_all(f.store, 1, limit, PERSIST_LATEST, &c, NULL)
        : back ? persist_read_back(f.store, slice_str(name), UINT64_MAX, limit,
                                   PERSIST_LATEST, &c, NULL)
               : persist_read(f.store, slice_str(name), 1, limit,
                              PERSIST_LATEST, &c, NULL);
    assert_int_equal(status, PERSIST_OK);
    const persist_event *e;
    while (persist_next_event(c, &e, NULL) == PERSIST_OK)
        count++;
    persist_cursor_close(c);
    return count;
}

static void a_stream_is_asked_for(void **state)
{
    (void)state;
    for (int back = 0; back < 2; back++) {
        open_watched(true);
        assert_int_equal(read_events("b", back, PERSIST_NO_LIMIT),
                         TABLES * EVENTS);
        assert_int_equal(blind, 0);
        assert_in_range(asked_count, ALL + TABLES, ALL + 2 * TABLES);
    }
}

static void all_events_are_asked_for(void **state)
{
    (void)state;
    open_watched(true);
    assert_int_equal(read_events(NULL, false, PERSIST_NO_LIMIT),
                     TABLES * 4 * EVENTS);
    assert_in_range(blind, 0, TABLES); /* the first block of the order */
}

/* From leaf to leaf of one table: only the first one and the index are not. */
static void the_next_leaves_are_asked_for(void **state)
{
    (void)state;
    open_watched(true);
    assert_int_equal(fixture_count_keys(&f), KEYS);
    assert_in_range(blind, 0, 6);
    assert_in_range(asked_count, ALL + 1, ALL + 8);
}

static void nothing_is_asked_for_twice(void **state)
{
    (void)state;
    for (int unmapped = 0; unmapped < 2; unmapped++) {
        open_watched(unmapped);
        (void)read_events("b", false, PERSIST_NO_LIMIT);
        assert_true(asked_count > ALL);
        size_t before = asked_count;
        (void)read_events("b", false, PERSIST_NO_LIMIT);
        (void)read_events("b", true, PERSIST_NO_LIMIT);
        assert_int_equal(asked_count, before);
    }
}

static void a_few_events_are_not_asked_for(void **state)
{
    (void)state;
    open_watched(true);
    assert_int_equal(read_events("c", false, 1), 1);
    assert_int_equal(read_events("d", true, 1), 1);
    assert_int_equal(read_events(NULL, false, 1), 1);
    assert_int_equal(asked_count, ALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_stream_is_asked_for, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(all_events_are_asked_for, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_next_leaves_are_asked_for, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_asked_for_twice, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_few_events_are_not_asked_for, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
