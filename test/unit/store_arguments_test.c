/* SPDX-License-Identifier: MIT */
/* What persist.h refuses before any backend sees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/slice.h"
#include "persist.h"

static persist_store *store;

static int open_store(void **state)
{
    (void)state;
    persist_options options = {0};
    return persist_open(&options, &store, NULL);
}

static int close_store(void **state)
{
    (void)state;
    return persist_close(store, NULL);
}

static persist_status commit(persist_edit_kind kind, slice name, slice data,
                             uint64_t seq)
{
    persist_outcome out;
    persist_error error = {0};
    persist_edit edit = {kind, name, data, seq};
    persist_status status = persist_commit(store, &edit, 1, NULL, &out, &error);
    assert_int_equal(error.status, status);
    assert_true(status == PERSIST_OK || error.message[0] != '\0');
    persist_outcome_release(&out);
    return status;
}

static void sizes_have_limits(void **state)
{
    (void)state;
    char *large = calloc(1, PERSIST_VALUE_SIZE_MAX + 1);
    slice none = slice_of(NULL, 0), k = slice_str("k");
    slice name = slice_of(large, PERSIST_NAME_SIZE_MAX);
    slice value = slice_of(large, PERSIST_VALUE_SIZE_MAX);
    assert_int_equal(commit(PERSIST_PUT, name, value, 0), PERSIST_OK);
    assert_int_equal(commit(PERSIST_PUT, none, none, 0), PERSIST_OK);
    name.size++;
    value.size++;
    assert_int_equal(commit(PERSIST_PUT, name, none, 0), PERSIST_TOO_LARGE);
    assert_int_equal(commit(PERSIST_PUT, k, value, 0), PERSIST_TOO_LARGE);
    assert_int_equal(commit(PERSIST_APPEND, k, value, 0), PERSIST_TOO_LARGE);
    assert_int_equal(commit(PERSIST_PUT, k, slice_of(NULL, 1), 0),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_has(store, name, PERSIST_DURABLE, NULL),
                     PERSIST_TOO_LARGE);
    value.size--;
    persist_edit edits[4];
    for (size_t i = 0; i < 4; i++)
        edits[i] = (persist_edit){PERSIST_PUT, k, value, 0};
    assert_int_equal(persist_commit(store, edits, 3, NULL, NULL, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_commit(store, edits, 4, NULL, NULL, NULL),
                     PERSIST_TOO_LARGE);
    free(large);
}

static void numbers_have_a_limit(void **state)
{
    (void)state;
    slice s = slice_str("s");
    const persist_edit_kind kinds[] = {PERSIST_APPEND_AT, PERSIST_TRUNCATE,
                                       PERSIST_SET_MARK, PERSIST_SET_POSITION,
                                       PERSIST_EXPECT_SEQ};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(commit(kinds[i], s, s, PERSIST_SEQ_MAX + 1),
                         PERSIST_BAD_REQUEST);
    assert_int_equal(commit((persist_edit_kind)99, s, s, 0),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(commit(PERSIST_APPEND_AT, s, s, 0), PERSIST_SEQ_CONFLICT);
    persist_lsn future = persist_latest(store) + 1;
    assert_int_equal(persist_wait_durable(store, future, NULL), PERSIST_OK);
    assert_int_equal(persist_wait_durable(store, 0, NULL), PERSIST_OK);
}

static void missing_arguments_are_told(void **state)
{
    (void)state;
    slice s = slice_str("s");
    persist_once once = {s, {0}};
    persist_edit expect = {PERSIST_EXPECT_SEQ, s, s, 0};
    persist_cursor *cursor;
    persist_store *other = store;
    slice value;
    assert_int_equal(persist_commit(NULL, NULL, 0, NULL, NULL, NULL),
                     PERSIST_CLOSED);
    assert_int_equal(persist_commit(store, NULL, 1, NULL, NULL, NULL),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_commit(store, NULL, 0, &once, NULL, NULL),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_commit(store, &expect, 1, NULL, NULL, NULL),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_commit(store, NULL, 0, NULL, NULL, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_get(store, s, (persist_view)7, &value, NULL),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(
        persist_read(store, s, 0, 0, (persist_view)7, &cursor, NULL),
        PERSIST_BAD_REQUEST);
    assert_int_equal(persist_next_event(NULL, NULL, NULL), PERSIST_CLOSED);
    assert_int_equal(persist_blob_put(store, s, NULL, NULL),
                     PERSIST_BAD_REQUEST);
    persist_options empty = {.path = ""};
    assert_int_equal(persist_open(&empty, &other, NULL), PERSIST_BAD_REQUEST);
    assert_null(other);
    assert_int_equal(persist_close(NULL, NULL), PERSIST_OK);
    persist_cursor_close(NULL);
    persist_blob_close(NULL);
    persist_blob_abort(NULL);
    persist_outcome_release(NULL);
    persist_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sizes_have_limits, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(numbers_have_a_limit, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(missing_arguments_are_told, open_store,
                                        close_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
