/* SPDX-License-Identifier: MIT */
/* What persist.h refuses before any backend sees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/edit_fields.h"
#include "base/slice.h"
#include "persist.h"
#include "store/store.h"

static persist_store *store;

static int open_store(void **state)
{
    (void)state;
    persist_options options = {PERSIST_OPTIONS};
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
    persist_edit edit = {.kind = kind, .name = name, .data = data, .seq = seq};
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
        edits[i] =
            (persist_edit){.kind = PERSIST_PUT, .name = k, .data = value};
    assert_int_equal(persist_commit(store, edits, 3, NULL, NULL, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_commit(store, edits, 4, NULL, NULL, NULL),
                     PERSIST_TOO_LARGE);
    free(large);
}

/* However short they are, new streams and keys take memory. */
static void edits_have_a_limit(void **state)
{
    (void)state;
    enum { NAMES = 2, MOST = PERSIST_COMMIT_SIZE_MAX / PERSIST_EDIT_OVERHEAD };
    const uint32_t each = PERSIST_EDIT_OVERHEAD + PERSIST_NAME_OVERHEAD;
    persist_edit *edits = calloc(MOST, sizeof *edits);
    slice names[NAMES] = {slice_str("a"), slice_str("b")};
    for (size_t i = 0; i < MOST; i++)
        edits[i].name = names[i % NAMES];
    size_t fit = PERSIST_COMMIT_SIZE_MAX / (each + 1);
    assert_int_equal(persist_commit(store, edits, fit, NULL, NULL, NULL),
                     PERSIST_OK);
    assert_int_equal(persist_commit(store, edits, fit + 1, NULL, NULL, NULL),
                     PERSIST_TOO_LARGE);
    for (size_t i = 0; i < MOST; i++)
        edits[i].name = names[0];
    assert_int_equal(persist_commit(store, edits, MOST, NULL, NULL, NULL),
                     PERSIST_TOO_LARGE);
    assert_int_equal(persist_commit(store, edits, 3 * fit, NULL, NULL, NULL),
                     PERSIST_OK);
    free(edits);
}

/* The figures of persist_edit.h. */
static void a_limit_is_what_is_said(void **state)
{
    (void)state;
    static const char data[100], key[9];
    static const struct {
        slice name, data;
        size_t fit;
        bool other; /* the names differ */
    } all[] = {{{"one", 3}, {data, 1}, 986892, false},
               {{"one", 3}, {data, 100}, 401848, false},
               {{key, 9}, {data, 3}, 250406, true}};
    for (size_t a = 0; a < sizeof all / sizeof *all; a++) {
        size_t count = all[a].fit + 1, size = all[a].name.size + 1;
        persist_edit *edits = calloc(count, sizeof *edits);
        char *names = calloc(count, size);
        for (size_t i = 0; i < count; i++) {
            edits[i].kind = all[a].other ? PERSIST_PUT : PERSIST_APPEND;
            edits[i].name = all[a].name;
            edits[i].data = all[a].data;
            if (!all[a].other)
                continue;
            snprintf(names + i * size, size, "%09zu", i % 1000000000);
            edits[i].name.data = names + i * size;
        }
        assert_int_equal(persist_commit(store, edits, count, NULL, NULL, NULL),
                         PERSIST_TOO_LARGE);
        assert_int_equal(
            persist_commit(store, edits, count - 1, NULL, NULL, NULL),
            PERSIST_OK);
        free(edits);
        free(names);
    }
}

/* Each way to be wrong, behind edits that are right. */
static void of_several_edits_the_wrong_one_is_told(void **state)
{
    (void)state;
    enum { RIGHT = 3 };
    slice s = slice_str("s"), tags[2] = {s, s};
    const persist_command none = {.id = s, .seq_count = 1};
    const persist_edit wrong[] = {
        {.kind = (persist_edit_kind)99},
        {.name = {tags, PERSIST_NAME_SIZE_MAX + 1}},
        {.name = s, .data = {NULL, 1}},
        {.name = s, .reserved[0] = 1},
        {.kind = PERSIST_TRUNCATE, .name = s, .seq = PERSIST_SEQ_MAX + 1},
        {.kind = PERSIST_DELETE, .name = s, .seq = 1},
        {.name = s, .tags = tags, .tag_count = 2},
        {.kind = PERSIST_EXPECT_BLOB, .name = s},
        {.kind = PERSIST_SET_ONCE, .command = &none},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        persist_error alone, error;
        persist_outcome out;
        char told[sizeof error.message + 16];
        persist_edit edits[RIGHT + 2] = {0};
        edits[RIGHT] = wrong[i];
        persist_status status =
            persist_commit(store, &wrong[i], 1, NULL, &out, &alone);
        assert_true(status > PERSIST_NONE);
        assert_int_equal(
            persist_commit(store, edits, RIGHT + 2, NULL, &out, &error),
            status);
        assert_int_equal(error.status, status);
        snprintf(told, sizeof told, "edit %d: %s", RIGHT, alone.message);
        assert_string_equal(error.message, told);
        assert_int_equal(
            persist_commit(store, edits, RIGHT + 2, NULL, &out, NULL), status);
    }
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
    assert_int_equal(persist_wait_durable(store, future, NULL),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_wait_durable(store, UINT64_MAX, NULL),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_wait_durable(store, 0, NULL), PERSIST_OK);
}

/* What is used up is the store's, not the stream's. */
static void positions_run_out(void **state)
{
    (void)state;
    slice s = slice_str("s"), none = slice_of(NULL, 0);
    persist_error error;
    const persist_edit more = {.kind = PERSIST_APPEND, .name = slice_str("t")};
    assert_int_equal(commit(PERSIST_SET_POSITION, none, none, PERSIST_SEQ_MAX),
                     PERSIST_OK);
    assert_int_equal(commit(PERSIST_APPEND, s, s, 0), PERSIST_OK);
    assert_int_equal(persist_commit(store, &more, 1, NULL, NULL, &error),
                     PERSIST_BAD_REQUEST);
    assert_non_null(strstr(error.message, "the store has no positions left"));
    assert_true(persist_position(store, PERSIST_LATEST) == PERSIST_SEQ_MAX);
    assert_int_equal(commit(PERSIST_PUT, s, s, 0), PERSIST_OK);
}

static const char *const kind_names[EDIT_KINDS] = {
    [PERSIST_APPEND] = "PERSIST_APPEND ",
    [PERSIST_APPEND_AT] = "PERSIST_APPEND_AT ",
    [PERSIST_TRUNCATE] = "PERSIST_TRUNCATE ",
    [PERSIST_PUT] = "PERSIST_PUT ",
    [PERSIST_DELETE] = "PERSIST_DELETE ",
    [PERSIST_SET_MARK] = "PERSIST_SET_MARK ",
    [PERSIST_SET_POSITION] = "PERSIST_SET_POSITION ",
    [PERSIST_SET_TIME] = "PERSIST_SET_TIME ",
    [PERSIST_EXPECT_SEQ] = "PERSIST_EXPECT_SEQ ",
    [PERSIST_EXPECT_KEY] = "PERSIST_EXPECT_KEY ",
    [PERSIST_EXPECT_ABSENT] = "PERSIST_EXPECT_ABSENT ",
    [PERSIST_EXPECT_NONE] = "PERSIST_EXPECT_NONE ",
    [PERSIST_EXPECT_BLOB] = "PERSIST_EXPECT_BLOB ",
    [PERSIST_SET_ONCE] = "PERSIST_SET_ONCE ",
};

/* Each field is right where it is taken. */
static persist_edit with_all_fields(void)
{
    static const slice tag = {"t", 1};
    static const persist_query_item item = {.tags = &tag, .tag_count = 1};
    static const persist_command command = {.id = {"id", 2}};
    static persist_cid cid;
    persist_cid_of(slice_str("none"), cid);
    return (persist_edit){.name = slice_of(cid, PERSIST_CID_SIZE),
                          .data = {"d", 1},
                          .seq = 1,
                          .tags = &tag,
                          .tag_count = 1,
                          .type = {"y", 1},
                          .query = &item,
                          .query_count = 1,
                          .command = &command};
}

static persist_status commit_edit(const persist_edit *edit,
                                  persist_error *error)
{
    persist_outcome out = {0};
    persist_status status = persist_commit(store, edit, 1, NULL, &out, error);
    persist_outcome_release(&out);
    return status;
}

static void a_field_of_another_kind_is_told(void **state)
{
    (void)state;
    persist_error error;
    persist_lsn before = persist_latest(store);
    persist_edit all = with_all_fields();
    unsigned refused = 0;
    for (int kind = 0; kind < EDIT_KINDS; kind++)
        for (size_t i = 0; i < EDIT_FIELDS; i++) {
            char field[16];
            all.kind = (persist_edit_kind)kind;
            persist_edit edit = edit_trimmed(&all);
            if (edit_takes(edit.kind, i))
                continue;
            edit_copy_field(&edit, &all, i);
            assert_int_equal(commit_edit(&edit, &error), PERSIST_BAD_REQUEST);
            snprintf(field, sizeof field, "`%s`", edit_field_names[i]);
            assert_non_null(strstr(error.message, field));
            assert_non_null(strstr(error.message, kind_names[kind]));
            refused++;
        }
    assert_int_equal(refused, EDIT_KINDS * EDIT_FIELDS - 27);
    assert_true(persist_latest(store) == before);
}

/* Also where what is empty points to something. */
static void a_kind_takes_its_fields(void **state)
{
    (void)state;
    persist_error error;
    slice nothing = slice_of("x", 0);
    persist_query_item item = {0};
    persist_edit all = with_all_fields();
    for (int kind = 0; kind < EDIT_KINDS; kind++) {
        all.kind = (persist_edit_kind)kind;
        persist_edit edit = edit_trimmed(&all);
        persist_status status = commit_edit(&edit, &error);
        /* the events before have raised mark, position and time */
        if (status != PERSIST_SEQ_CONFLICT)
            assert_int_equal(status, PERSIST_OK);
        edit.name = edit.name.size == 0 ? nothing : edit.name;
        edit.data = edit.data.size == 0 ? nothing : edit.data;
        edit.type = edit.type.size == 0 ? nothing : edit.type;
        edit.tags = edit.tag_count == 0 ? &nothing : edit.tags;
        edit.query = edit.query_count == 0 ? &item : edit.query;
        status = commit_edit(&edit, &error);
        if (status != PERSIST_SEQ_CONFLICT)
            assert_int_equal(status, PERSIST_OK);
    }
}

/* A forgotten count would make a condition that always holds. */
static void a_query_is_counted(void **state)
{
    (void)state;
    persist_error error;
    persist_outcome out;
    persist_edit edits[2] = {{.kind = PERSIST_PUT}, with_all_fields()};
    edits[1].kind = PERSIST_EXPECT_NONE;
    edits[1] = edit_trimmed(&edits[1]);
    edits[1].query_count = 0;
    assert_int_equal(persist_commit(store, edits, 2, NULL, &out, &error),
                     PERSIST_BAD_REQUEST);
    assert_non_null(strstr(error.message, "edit 1: "));
    assert_non_null(strstr(error.message, "`query_count`"));
    assert_true(persist_latest(store) == 0);
    edits[1].query = NULL;
    assert_int_equal(persist_commit(store, edits, 2, NULL, &out, &error),
                     PERSIST_OK);
    assert_int_equal(out.kind, PERSIST_COMMITTED);
    persist_outcome_release(&out);
    edits[1].query_count = 1;
    assert_int_equal(commit_edit(&edits[1], &error), PERSIST_BAD_REQUEST);
}

static void missing_arguments_are_told(void **state)
{
    (void)state;
    slice s = slice_str("s");
    persist_once once = {s, {0}};
    persist_edit expect = {.kind = PERSIST_EXPECT_SEQ, .name = s};
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
    assert_int_equal(persist_get(store, s, NULL, &value, NULL),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(
        persist_read(store, s, 0, 0, (persist_view)7, &cursor, NULL),
        PERSIST_BAD_REQUEST);
    assert_int_equal(persist_next_event(NULL, NULL, NULL), PERSIST_CLOSED);
    assert_int_equal(persist_blob_put(store, s, NULL, NULL),
                     PERSIST_BAD_REQUEST);
    persist_options empty = {PERSIST_OPTIONS, .path = ""};
    assert_int_equal(persist_open(&empty, &other, NULL), PERSIST_BAD_REQUEST);
    assert_null(other);
    assert_int_equal(persist_close(NULL, NULL), PERSIST_OK);
    persist_cursor_close(NULL);
    persist_blob_close(NULL);
    persist_blob_abort(NULL);
    persist_outcome_release(NULL);
    persist_free(NULL);
}

/* Every function says so when it has no handle, and fills its error. */
static void a_missing_handle_is_closed(void **state)
{
    (void)state;
    slice s = slice_str("s"), name;
    persist_error error;
    persist_outcome out;
    persist_cursor *cursor;
    const persist_command *command;
    persist_stream_info info;
    persist_blob_writer *writer;
    persist_blob_reader *reader;
    persist_cid cid;
    persist_snapshot *snapshot;
    uint8_t print[PERSIST_FINGERPRINT_SIZE];
    size_t got;
    const persist_view view = PERSIST_LATEST;
    const persist_status said[] = {
        persist_snapshot_open(NULL, view, &snapshot, &error),
        persist_once_find(NULL, s, print, &out, &error),
        persist_wait_durable(NULL, 1, &error),
        persist_wait_position(NULL, 0, 0, NULL, &error),
        persist_read(NULL, s, 0, 1, view, &cursor, &error),
        persist_read_back(NULL, s, 0, 1, view, &cursor, &error),
        persist_read_all(NULL, 0, 1, view, &cursor, &error),
        persist_streams(NULL, NULL, PERSIST_NO_LIMIT, view, &cursor, &error),
        persist_scan(NULL, NULL, 1, view, &cursor, &error),
        persist_commands(NULL, s, NULL, 1, view, &cursor, &error),
        persist_next_command(NULL, &command, &error),
        persist_next_key(NULL, &name, NULL, &error),
        persist_info(NULL, s, view, &info, NULL, &error),
        persist_get(NULL, s, view, &name, &error),
        persist_has(NULL, s, view, &error),
        persist_blob_put(NULL, s, cid, &error),
        persist_blob_has(NULL, s, &error),
        persist_blob_create(NULL, &writer, &error),
        persist_blob_write(NULL, s, &error),
        persist_blob_finish(NULL, cid, &error),
        persist_blob_open(NULL, s, NULL, &reader, &error),
        persist_blob_read(NULL, print, sizeof print, &got, &error),
    };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (said[i] != PERSIST_CLOSED)
            fail_msg("the function of index %zu said %d", i, (int)said[i]);
    assert_int_equal(error.status, PERSIST_CLOSED);
}

/* Those that never fail do not fail without a handle either. */
static void a_missing_handle_is_nothing(void **state)
{
    (void)state;
    assert_int_equal(persist_latest(NULL), 0);
    assert_int_equal(persist_durable(NULL), 0);
    assert_int_equal(persist_position(NULL, PERSIST_LATEST), 0);
    assert_int_equal(persist_position(NULL, PERSIST_DURABLE), 0);
    assert_int_equal(persist_snapshot_lsn(NULL), 0);
    assert_int_equal(persist_snapshot_lsn(PERSIST_LATEST), 0);
    assert_int_equal(persist_snapshot_lsn(PERSIST_DURABLE), 0);
    persist_snapshot_close((persist_snapshot *)(uintptr_t)PERSIST_LATEST);
    persist_snapshot_close(NULL);
    persist_end_waits(NULL);
    persist_notify(NULL, NULL, NULL);
    persist_cid cid = "before";
    persist_cid_of(slice_str("of it"), NULL);
    persist_cid_of(slice_of(NULL, 5), cid);
    assert_string_equal(cid, "");
    slice tags[PERSIST_TAGS_MAX], type = slice_str("before");
    assert_int_equal(persist_event_tags(NULL, tags, &type), 0);
    assert_int_equal(type.size, 0);
}

/* Nor can an answer be given to nobody. */
static void a_missing_result_is_told(void **state)
{
    (void)state;
    slice s = slice_str("s");
    uint8_t print[PERSIST_FINGERPRINT_SIZE];
    persist_outcome out;
    persist_store *other;
    persist_options options = {PERSIST_OPTIONS};
    persist_blob_reader *reader;
    persist_cid cid;
    size_t got;
    const persist_view view = PERSIST_LATEST;
    assert_int_equal(persist_blob_put(store, s, cid, NULL), PERSIST_OK);
    assert_int_equal(
        persist_blob_open(store, slice_str(cid), NULL, &reader, NULL),
        PERSIST_OK);
    const persist_status said[] = {
        persist_open(NULL, &other, NULL),
        persist_open(&options, NULL, NULL),
        persist_once_find(store, s, NULL, &out, NULL),
        persist_once_find(store, s, print, NULL, NULL),
        persist_read(store, s, 0, 1, view, NULL, NULL),
        persist_streams(store, NULL, PERSIST_NO_LIMIT, view, NULL, NULL),
        persist_scan(store, NULL, PERSIST_NO_LIMIT, view, NULL, NULL),
        persist_snapshot_open(store, view, NULL, NULL),
        persist_info(store, s, view, NULL, NULL, NULL),
        persist_get(store, s, view, NULL, NULL),
        persist_blob_create(store, NULL, NULL),
        persist_blob_open(store, slice_str(cid), NULL, NULL, NULL),
        persist_blob_read(reader, NULL, 1, &got, NULL),
        persist_blob_read(reader, print, 1, NULL, NULL),
        persist_once_find(store, slice_of(NULL, 1), print, &out, NULL),
        persist_info(store, slice_of(NULL, 1), view, NULL, NULL, NULL),
    };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (said[i] != PERSIST_BAD_REQUEST)
            fail_msg("the function of index %zu said %d", i, (int)said[i]);
    persist_blob_close(reader);
}

/* A store in memory has no background, and counts what it holds. */
static void a_store_in_memory_counts(void **state)
{
    (void)state;
    persist_stats stats = {PERSIST_STATS};
    bool did = true;
    slice s = slice_str("s");
    assert_int_equal(commit(PERSIST_APPEND, s, s, 0), PERSIST_OK);
    assert_int_equal(commit(PERSIST_APPEND, s, s, 0), PERSIST_OK);
    assert_int_equal(commit(PERSIST_PUT, s, s, 0), PERSIST_OK);
    assert_int_equal(store_step(store, &did, NULL), PERSIST_OK);
    assert_false(did);
    persist_get_stats(store, &stats, NULL);
    assert_int_equal(stats.commits, 3);
    assert_int_equal(stats.streams, 1);
    assert_int_equal(stats.events, 2);
    assert_int_equal(stats.tables, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sizes_have_limits, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(edits_have_a_limit, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(a_limit_is_what_is_said, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(of_several_edits_the_wrong_one_is_told,
                                        open_store, close_store),
        cmocka_unit_test_setup_teardown(numbers_have_a_limit, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(positions_run_out, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(a_field_of_another_kind_is_told,
                                        open_store, close_store),
        cmocka_unit_test_setup_teardown(a_kind_takes_its_fields, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(a_query_is_counted, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(missing_arguments_are_told, open_store,
                                        close_store),
        cmocka_unit_test(a_missing_handle_is_closed),
        cmocka_unit_test(a_missing_handle_is_nothing),
        cmocka_unit_test_setup_teardown(a_missing_result_is_told, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(a_store_in_memory_counts, open_store,
                                        close_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
