/* SPDX-License-Identifier: MIT */
/* Space that nobody can read any more goes by itself: what is truncated,
 * overwritten, deleted or replaced, beyond a share of what lives, is gone from
 * the disk without further commits. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../lib/clock.h"
#include "base/slice.h"
#include "folder.h"
#include "persist.h"
#include "store/store.h"

enum {
    MEMTABLE = 16 << 10,
    LEAST = 8 * MEMTABLE, /* what may stay dead however little lives */
    STREAMS = 20,
    EVENTS = 4000,
    EVENT = 400,
    SMALL = 20,
    VALUE = 8000,
    KEYS = 150,
    FEW = 60,
    WAIT = 15, /* seconds until something counts as never */
};

static os_dir *dir;
static persist_store *store;
static bool by_steps;

static void open_store(void)
{
    persist_error error = {0};
    persist_options options = {PERSIST_OPTIONS,
                               .path = dir->path,
                               .create = true,
                               .background = !by_steps,
                               .memtable_size = MEMTABLE,
                               .segment_size = MEMTABLE};
    if (persist_open(&options, &store, &error) != PERSIST_OK)
        fail_msg("%s", error.message);
    if (by_steps)
        store_disk_by_steps(store);
}

static int set_up(void **state)
{
    by_steps = *state != NULL;
    dir = folder_make("space");
    open_store();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return folder_end(dir, store);
}

/* ---- what is on disk -------------------------------------------------- */

static size_t size_of(const char *folder)
{
    char path[400];
    struct stat s;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", dir->path, folder);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s/%s", dir->path, folder, e->d_name);
        if (e->d_name[0] != '.' && stat(path, &s) == 0)
            size += (size_t)s.st_size;
    }
    closedir(d);
    return size;
}

static void work(int steps)
{
    bool did = by_steps;
    persist_error error;
    while (did && steps-- > 0)
        assert_int_equal(store_step(store, &did, &error), PERSIST_OK);
}

/* Only what was called for, as the threads do it. */
static void work_called(void)
{
    bool did = by_steps;
    persist_error error;
    while (did)
        assert_int_equal(store_disk_step_called(store, &did, &error),
                         PERSIST_OK);
}

/* All that there is to do is done, and nobody has called since. */
static void come_to_rest(void)
{
    struct timespec second = {by_steps ? 0 : 1, 0};
    work(1000000);
    work_called();
    nanosleep(&second, NULL);
}

/* Nothing is committed meanwhile. */
static void idle_until_below(size_t bytes)
{
    time_t end = time(NULL) + patience(WAIT);
    struct timespec moment = {0, 5 * 1000 * 1000};
    work_called();
    while (!by_steps && size_of("tables") > bytes && time(NULL) < end)
        nanosleep(&moment, NULL);
    assert_in_range(size_of("tables"), 0, bytes);
}

/* ---- what is in it ---------------------------------------------------- */

static slice name_of(const char *kind, int number, char out[24])
{
    return slice_of(out, (size_t)snprintf(out, 24, "%s-%04d", kind, number));
}

static void commit(persist_edit edit)
{
    persist_error error = {0};
    if (persist_commit(store, &edit, 1, NULL, NULL, &error) != PERSIST_OK)
        fail_msg("%s", error.message);
    work(2);
}

static void append(const char *kind, int streams, int events, size_t size)
{
    static uint8_t bytes[VALUE];
    char name[24];
    for (int i = 0; i < events; i++)
        commit((persist_edit){.kind = PERSIST_APPEND,
                              .name = name_of(kind, i % streams, name),
                              .data = slice_of(bytes, size)});
}

static void truncate_all(const char *kind, int streams)
{
    char name[24];
    for (int i = 0; i < streams; i++)
        commit((persist_edit){.kind = PERSIST_TRUNCATE,
                              .name = name_of(kind, i, name),
                              .seq = PERSIST_SEQ_MAX});
}

static void put_some(int count, size_t size)
{
    static uint8_t bytes[4 * VALUE];
    char name[24];
    for (int i = 0; i < count; i++)
        commit((persist_edit){.kind = PERSIST_PUT,
                              .name = name_of("key", i, name),
                              .data = slice_of(bytes, size)});
}

static void put_all(size_t size)
{
    put_some(KEYS, size);
}

static void delete_all(void)
{
    char name[24];
    for (int i = 0; i < KEYS; i++)
        commit((persist_edit){.kind = PERSIST_DELETE,
                              .name = name_of("key", i, name)});
}

static uint64_t count_of(const char *kind, int number)
{
    char name[24];
    persist_stream_info info;
    assert_int_equal(persist_info(store, name_of(kind, number, name),
                                  PERSIST_LATEST, &info, NULL, NULL),
                     PERSIST_OK);
    return info.count;
}

/* ---- tests ------------------------------------------------------------ */

static void what_is_truncated_goes(void **state)
{
    (void)state;
    append("s", STREAMS, EVENTS, EVENT);
    work(1000000);
    assert_true(size_of("tables") > 4 * LEAST);
    truncate_all("s", STREAMS);
    idle_until_below(LEAST);
    assert_in_range(size_of("wal"), 0, 16 * MEMTABLE);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    open_store();
    assert_in_range(size_of("tables") + size_of("wal"), 0, 2 * LEAST);
    assert_int_equal(count_of("s", 0), 0);
}

/* A few large events among many small ones: what counts is bytes. */
static void what_is_truncated_is_counted_in_bytes(void **state)
{
    (void)state;
    append("small", STREAMS, EVENTS, SMALL);
    append("large", 1, KEYS, VALUE);
    work(1000000);
    size_t before = size_of("tables");
    assert_true(before > (size_t)KEYS * VALUE);
    truncate_all("large", 1);
    idle_until_below(before - (size_t)KEYS * VALUE + LEAST);
    assert_int_equal(count_of("small", 0), EVENTS / STREAMS);
}

static void what_is_deleted_goes(void **state)
{
    (void)state;
    put_all(VALUE);
    work(1000000);
    assert_true(size_of("tables") > 4 * LEAST);
    delete_all();
    idle_until_below(LEAST);
}

/* Also when it is large and little in number, and what comes in its place is
 * small: no put but a few is looked after in other stores. */
static void what_is_overwritten_goes(void **state)
{
    (void)state;
    put_some(FEW, VALUE);
    work(1000000);
    assert_true(size_of("tables") > 2 * LEAST);
    put_some(FEW, SMALL);
    idle_until_below(3 * LEAST / 2);
}

/* Large values over large ones: each leaves one behind. */
static void what_is_replaced_goes(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        put_some(4, 4 * VALUE);
    idle_until_below(4 * 4 * VALUE * 5 / 4 + LEAST);
}

/* What an opening finds dead goes too, as soon as it writes. */
static void what_was_dead_goes(void **state)
{
    (void)state;
    append("s", STREAMS, EVENTS, EVENT);
    truncate_all("s", STREAMS);
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    open_store();
    commit((persist_edit){
        .kind = PERSIST_PUT, .name = slice_str("k"), .data = slice_str("v")});
    idle_until_below(LEAST);
}

static void open_again(void)
{
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    open_store();
}

/* Tables of a few large events each, of streams that have no others: neither
 * what was dead before nor what dies now is much without the other. */
static void what_was_dead_is_counted_in_bytes(void **state)
{
    (void)state;
    enum { ALL = 30, BEFORE = 12, AFTER = 20, FILL = 300 };
    append("s", ALL, ALL, VALUE);
    open_again();
    truncate_all("s", BEFORE);
    append("small", 1, FILL, SMALL);
    open_again();
    assert_in_range(size_of("tables"), ALL * VALUE, 2 * ALL * VALUE);
    truncate_all("s", AFTER);
    idle_until_below((ALL - AFTER) * VALUE + LEAST / 2);
    assert_int_equal(count_of("s", 0), 0);
    assert_int_equal(count_of("s", AFTER), 1);
}

/* Tables that somebody reads stay, and go with him. */
static void what_is_read_goes_with_its_reader(void **state)
{
    (void)state;
    persist_cursor *cursor;
    const persist_event *event;
    uint64_t count = 0;
    append("s", 1, EVENTS, EVENT);
    work(1000000);
    assert_int_equal(persist_read(store, slice_str("s-0000"), 0,
                                  PERSIST_NO_LIMIT, PERSIST_LATEST, &cursor,
                                  NULL),
                     PERSIST_OK);
    truncate_all("s", 1);
    come_to_rest(); /* what is read is merged meanwhile */
    assert_true(size_of("tables") > 4 * LEAST);
    while (persist_next_event(cursor, &event, NULL) == PERSIST_OK)
        count++;
    assert_int_equal(count, EVENTS);
    persist_cursor_close(cursor);
    idle_until_below(LEAST);
}

/* So do the tables that a snapshot reads in, which has no cursor open. */
static void what_is_kept_goes_with_its_snapshot(void **state)
{
    (void)state;
    persist_snapshot *snapshot;
    append("s", 1, EVENTS, EVENT);
    work(1000000);
    assert_int_equal(
        persist_snapshot_open(store, PERSIST_LATEST, &snapshot, NULL),
        PERSIST_OK);
    truncate_all("s", 1);
    come_to_rest(); /* what is kept is merged meanwhile */
    assert_true(size_of("tables") > 4 * LEAST);
    /* without a read before: its end would look after the tables, too */
    persist_snapshot_close(snapshot);
    idle_until_below(LEAST);
}

/* A store in which nothing is dead is written no more than before. */
static void what_lives_is_left_alone(void **state)
{
    (void)state;
    persist_stats before = {PERSIST_STATS}, after = {PERSIST_STATS};
    append("s", STREAMS, EVENTS, EVENT);
    truncate_all("nobody", STREAMS);
    work(1000000);
    persist_get_stats(store, &before, NULL);
    append("s", STREAMS, 1, EVENT);
    truncate_all("nobody", STREAMS);
    work(1000000);
    persist_get_stats(store, &after, NULL);
    if (by_steps)
        assert_int_equal(after.table_bytes, before.table_bytes);
    assert_in_range(count_of("s", 1), EVENTS / STREAMS, EVENTS);
}

#define BOTH(test)                                                             \
    cmocka_unit_test_setup_teardown(test, set_up, tear_down),                  \
        cmocka_unit_test_prestate_setup_teardown(test, set_up, tear_down,      \
                                                 &steps)

int main(void)
{
    static bool steps = true;
    const struct CMUnitTest tests[] = {
        BOTH(what_is_truncated_goes),
        BOTH(what_is_truncated_is_counted_in_bytes),
        BOTH(what_is_deleted_goes),
        BOTH(what_is_overwritten_goes),
        BOTH(what_is_replaced_goes),
        BOTH(what_was_dead_goes),
        BOTH(what_was_dead_is_counted_in_bytes),
        BOTH(what_is_read_goes_with_its_reader),
        BOTH(what_is_kept_goes_with_its_snapshot),
        BOTH(what_lives_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
