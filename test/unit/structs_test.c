/* SPDX-License-Identifier: MIT */
/* Structs of callers whose header is older or newer than the library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "base/sized.h"
#include "persist.h"
#include "sx.h"

/* One struct in three releases, and the macro that begins it. */
typedef struct first {
    size_t size;
    uint64_t a;
} first;
typedef struct second {
    size_t size;
    uint64_t a, b;
} second;
typedef struct third {
    size_t size;
    uint64_t a, b, c;
} third;
static const sized released = {"thing", "THING", sizeof(second), sizeof(first)};

static persist_error error;

/* Looks that a sentence was given, and that it names what to write. */
static void is_refused(persist_status status, const char *names)
{
    assert_int_equal(status, PERSIST_BAD_REQUEST);
    assert_int_equal(error.status, PERSIST_BAD_REQUEST);
    if (strstr(error.message, names) == NULL)
        fail_msg("no %s in: %s", names, error.message);
    error = (persist_error){0};
}

static void an_older_caller_is_understood(void **state)
{
    (void)state;
    first old = {sizeof old, 7};
    second own = {9, 9, 9};
    assert_int_equal(sized_take(&released, &old, &own, &error), PERSIST_OK);
    assert_int_equal(own.size, sizeof own);
    assert_int_equal(own.a, 7);
    assert_int_equal(own.b, 0);
    struct {
        first given;
        uint64_t behind;
    } place = {{sizeof(first), 0}, 3};
    sized_give(&released, &(second){sizeof(second), 1, 2}, &place.given);
    assert_int_equal(place.given.size, sizeof(first));
    assert_int_equal(place.given.a, 1);
    assert_int_equal(place.behind, 3);
}

static void a_newer_caller_is_understood_or_told(void **state)
{
    (void)state;
    third new = {sizeof new, 1, 2, 0};
    second own;
    assert_int_equal(sized_take(&released, &new, &own, &error), PERSIST_OK);
    assert_int_equal(own.b, 2);
    sized_give(&released, &(second){sizeof(second), 5, 6}, &new);
    assert_int_equal(new.size, sizeof new);
    assert_int_equal(new.b, 6);
    assert_int_equal(new.c, 0);
    new.c = (uint64_t)1 << 63;
    is_refused(sized_take(&released, &new, &own, &error), "newer");
    new.c = 0;
    const size_t sizes[] = {0, 1, sizeof(first) - 1, SIZED_MAX + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        new.size = sizes[i];
        is_refused(sized_take(&released, &new, &own, &error), "{THING, ...}");
    }
}

/* A struct of this header in front of a field of the next one. */
#define NEWER(type)                                                            \
    struct {                                                                   \
        type now;                                                              \
        uint64_t next;                                                         \
    }

static void options_say_their_size(void **state)
{
    (void)state;
    persist_store *store = NULL;
    persist_options none = {0};
    is_refused(persist_open(&none, &store, &error), "{PERSIST_OPTIONS, ...}");
    is_refused(persist_verify(&none, NULL, NULL, &error), "PERSIST_OPTIONS");
    NEWER(persist_options) newer = {{PERSIST_OPTIONS}, 1};
    newer.now.size = sizeof newer;
    is_refused(persist_open(&newer.now, &store, &error), "persist_options");
    assert_null(store);
    newer.next = 0;
    assert_int_equal(persist_open(&newer.now, &store, &error), PERSIST_OK);
    assert_int_equal(persist_close(store, &error), PERSIST_OK);
    sx *m = NULL;
    sx_options machine = {0};
    is_refused(sx_open(&machine, &m, &error), "{SX_OPTIONS, ...}");
    assert_null(m);
    is_refused(sx_open(NULL, NULL, &error), "out");
    machine.size = sizeof machine;
    assert_int_equal(sx_open(&machine, &m, &error), PERSIST_OK);
    sx_close(m);
}

static void figures_say_their_size(void **state)
{
    (void)state;
    persist_store *store;
    persist_options options = {PERSIST_OPTIONS, .path = "/nowhere/at/all"};
    persist_progress progress = {0};
    persist_watcher watcher = {0};
    is_refused(persist_verify(&options, &watcher, NULL, &error),
               "PERSIST_WATCHER");
    is_refused(persist_verify(&options, NULL, &progress, &error),
               "PERSIST_PROGRESS");
    options.path = NULL;
    assert_int_equal(persist_open(&options, &store, &error), PERSIST_OK);
    persist_stats stats = {0};
    is_refused(persist_get_stats(store, &stats, &error), "PERSIST_STATS");
    is_refused(persist_get_stats(store, NULL, &error), "out");
    NEWER(persist_stats) newer = {{PERSIST_STATS}, 0};
    newer.now.size = sizeof newer;
    newer.now.commits = 99;
    assert_int_equal(persist_get_stats(store, &newer.now, &error), PERSIST_OK);
    assert_int_equal(newer.now.size, sizeof newer);
    assert_int_equal(newer.now.commits, 0);
    assert_int_equal(newer.next, 0);
    assert_int_equal(persist_close(store, &error), PERSIST_OK);
}

static void reserved_words_are_0(void **state)
{
    (void)state;
    persist_store *store;
    persist_options options = {PERSIST_OPTIONS};
    assert_int_equal(persist_open(&options, &store, &error), PERSIST_OK);
    persist_edit edit = {.kind = PERSIST_PUT, .name = {"k", 1}};
    const size_t count = sizeof edit.reserved / sizeof *edit.reserved;
    for (size_t i = 0; i < count; i++) {
        edit.reserved[i] = (uint64_t)1 << (8 * i % 64);
        is_refused(persist_commit(store, &edit, 1, NULL, NULL, &error),
                   "reserved");
        edit.reserved[i] = 0;
    }
    assert_int_equal(persist_latest(store), 0);
    assert_int_equal(persist_commit(store, &edit, 1, NULL, NULL, &error),
                     PERSIST_OK);
    assert_int_equal(persist_close(store, &error), PERSIST_OK);
}

static void reserved_words_of_items_are_0(void **state)
{
    (void)state;
    const persist_options options = {PERSIST_OPTIONS};
    persist_store *store;
    persist_cursor *cursor;
    persist_slice tag = {"t", 1};
    assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
    for (size_t i = 0; i < 3; i++) {
        persist_query_item item = {.tags = &tag, .tag_count = 1};
        if (i < 2)
            item.reserved[i] = 1;
        assert_int_equal(
            persist_query(store, &item, 1, 0, 1, PERSIST_LATEST, &cursor, NULL),
            i < 2 ? PERSIST_BAD_REQUEST : PERSIST_OK);
        persist_cursor_close(cursor);
    }
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_older_caller_is_understood),
        cmocka_unit_test(a_newer_caller_is_understood_or_told),
        cmocka_unit_test(options_say_their_size),
        cmocka_unit_test(figures_say_their_size),
        cmocka_unit_test(reserved_words_are_0),
        cmocka_unit_test(reserved_words_of_items_are_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
