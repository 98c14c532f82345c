/* SPDX-License-Identifier: MIT */
/* The memory backend through persist.h: what a commit does, read by read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/slice.h"
#include "persist.h"

static persist_store *open_memory(void)
{
    persist_store *store = NULL;
    persist_options options = {PERSIST_OPTIONS};
    assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
    return store;
}

static persist_edit edit(persist_edit_kind kind, const char *name,
                         const char *data, uint64_t seq)
{
    return (persist_edit){.kind = kind,
                          .name = slice_str(name),
                          .data = slice_str(data),
                          .seq = seq};
}

static void commit_one(persist_store *store, persist_edit e)
{
    persist_error error;
    persist_status status = persist_commit(store, &e, 1, NULL, NULL, &error);
    if (status != PERSIST_OK)
        fail_msg("commit: %s", error.message);
}

static void append(persist_store *store, const char *stream, const char *data)
{
    commit_one(store, edit(PERSIST_APPEND, stream, data, 0));
}

/* Reads a cursor to its end as "stream/seq@position=data " and closes it. */
static const char *events(persist_cursor *cursor)
{
    static char text[1024];
    size_t used = 0;
    const persist_event *e;
    text[0] = '\0';
    while (persist_next_event(cursor, &e, NULL) == PERSIST_OK)
        used += (size_t)snprintf(
            text + used, sizeof text - used, "%.*s/%d@%d=%.*s ",
            (int)e->stream.size, (const char *)e->stream.data, (int)e->seq,
            (int)e->position, (int)e->data.size, (const char *)e->data.data);
    persist_cursor_close(cursor);
    return text;
}

static const char *names(persist_cursor *cursor)
{
    static char text[1024];
    size_t used = 0;
    slice name, value;
    text[0] = '\0';
    while (persist_next_key(cursor, &name, &value, NULL) == PERSIST_OK)
        used += (size_t)snprintf(text + used, sizeof text - used, "%.*s=%.*s ",
                                 (int)name.size, (const char *)name.data,
                                 (int)value.size, (const char *)value.data);
    persist_cursor_close(cursor);
    return text;
}

static const char *read_stream(persist_store *store, const char *stream,
                               uint64_t from, uint64_t limit)
{
    persist_cursor *cursor = NULL;
    assert_int_equal(persist_read(store, slice_str(stream), from, limit,
                                  PERSIST_DURABLE, &cursor, NULL),
                     PERSIST_OK);
    return events(cursor);
}

static const char *read_back(persist_store *store, const char *stream,
                             uint64_t from, uint64_t limit)
{
    persist_cursor *cursor = NULL;
    assert_int_equal(persist_read_back(store, slice_str(stream), from, limit,
                                       PERSIST_LATEST, &cursor, NULL),
                     PERSIST_OK);
    return events(cursor);
}

static const char *read_all(persist_store *store, uint64_t from, uint64_t limit)
{
    persist_cursor *cursor = NULL;
    assert_int_equal(
        persist_read_all(store, from, limit, PERSIST_DURABLE, &cursor, NULL),
        PERSIST_OK);
    return events(cursor);
}

static const char *scan(persist_store *store, const char *prefix,
                        const char *after, uint64_t limit)
{
    persist_cursor *cursor = NULL;
    slice after_slice = slice_str(after == NULL ? "" : after);
    const persist_range range = {PERSIST_RANGE, .prefix = slice_str(prefix),
                                 .after = after == NULL ? NULL : &after_slice};
    assert_int_equal(
        persist_scan(store, &range, limit, PERSIST_DURABLE, &cursor, NULL),
        PERSIST_OK);
    return names(cursor);
}

static const char *streams(persist_store *store, const char *after)
{
    persist_cursor *cursor = NULL;
    slice after_slice = slice_str(after == NULL ? "" : after);
    const persist_range range = {PERSIST_RANGE,
                                 .after = after == NULL ? NULL : &after_slice};
    assert_int_equal(persist_streams(store, &range, PERSIST_NO_LIMIT,
                                     PERSIST_DURABLE, &cursor, NULL),
                     PERSIST_OK);
    return names(cursor);
}

static persist_stream_info info(persist_store *store, const char *stream,
                                bool *known)
{
    persist_stream_info out;
    assert_int_equal(persist_info(store, slice_str(stream), PERSIST_LATEST,
                                  &out, known, NULL),
                     PERSIST_OK);
    return out;
}

static void reads_events_forwards_backwards_and_in_commit_order(void **state)
{
    (void)state;
    persist_store *store = open_memory();
    append(store, "a", "1");
    append(store, "b", "2");
    commit_one(store, edit(PERSIST_APPEND_AT, "a", "3", 10));
    append(store, "a", "4");
    assert_string_equal(read_stream(store, "a", 0, PERSIST_NO_LIMIT),
                        "a/1@1=1 a/10@3=3 a/11@4=4 ");
    assert_string_equal(read_stream(store, "a", 2, 1), "a/10@3=3 ");
    assert_string_equal(read_stream(store, "a", 12, 9), "");
    assert_string_equal(read_stream(store, "none", 0, 9), "");
    assert_string_equal(read_back(store, "a", UINT64_MAX, 2),
                        "a/11@4=4 a/10@3=3 ");
    assert_string_equal(read_back(store, "a", 10, 9), "a/10@3=3 a/1@1=1 ");
    assert_string_equal(read_back(store, "a", 0, 9), "");
    assert_string_equal(read_all(store, 2, 2), "b/1@2=2 a/10@3=3 ");
    assert_string_equal(read_all(store, 0, 0), "");
    persist_close(store, NULL);
}

static void truncation_keeps_mark_stream_and_positions(void **state)
{
    (void)state;
    persist_store *store = open_memory();
    bool known;
    commit_one(store, edit(PERSIST_TRUNCATE, "a", "", 9));
    assert_string_equal(streams(store, NULL), "");
    for (int i = 0; i < 40; i++)
        append(store, "a", "xy");
    append(store, "b", "z");
    commit_one(store, edit(PERSIST_TRUNCATE, "a", "", 39));
    assert_int_equal(info(store, "a", &known).bytes, 2);
    assert_int_equal(info(store, "a", &known).first, 40);
    assert_string_equal(read_all(store, 0, 9), "a/40@40=xy b/1@41=z ");
    commit_one(store, edit(PERSIST_TRUNCATE, "a", "", 99));
    persist_stream_info gone = info(store, "a", &known);
    assert_true(known && gone.mark == 40 && gone.first == 0);
    assert_true(gone.count == 0 && gone.bytes == 0);
    append(store, "a", "n");
    assert_string_equal(read_stream(store, "a", 0, 9), "a/41@42=n ");
    assert_string_equal(streams(store, NULL), "a= b= ");
    assert_string_equal(streams(store, "a"), "b= ");
    persist_close(store, NULL);
}

static void numbers_conflict_only_climb_and_end(void **state)
{
    (void)state;
    persist_store *store = open_memory();
    persist_error error;
    bool known;
    const persist_edit twice[] = {edit(PERSIST_PUT, "k", "v", 0),
                                  edit(PERSIST_APPEND_AT, "s", "1", 5),
                                  edit(PERSIST_APPEND_AT, "s", "2", 5)};
    assert_int_equal(persist_commit(store, twice, 3, NULL, NULL, &error),
                     PERSIST_SEQ_CONFLICT);
    assert_int_equal(error.expected, 5);
    assert_int_equal(error.actual, 5);
    assert_memory_equal(error.stream, "s", error.stream_size);
    assert_string_equal(scan(store, "", NULL, 9), "");
    assert_string_equal(streams(store, NULL), "");
    commit_one(store, edit(PERSIST_SET_MARK, "s", "", 7));
    commit_one(store, edit(PERSIST_SET_MARK, "s", "", 7));
    commit_one(store, edit(PERSIST_SET_POSITION, "", "", 100));
    append(store, "s", "x");
    assert_string_equal(read_all(store, 0, 9), "s/8@100=x ");
    commit_one(store, edit(PERSIST_SET_MARK, "s", "", PERSIST_SEQ_MAX));
    persist_edit last = edit(PERSIST_APPEND, "s", "y", 0);
    assert_int_equal(persist_commit(store, &last, 1, NULL, NULL, &error),
                     PERSIST_BAD_REQUEST);
    commit_one(store, edit(PERSIST_SET_MARK, "empty", "", 0));
    assert_int_equal(info(store, "empty", &known).mark, 0);
    assert_true(known);
    persist_close(store, NULL);
}

static void expectations_see_the_state_before(void **state)
{
    (void)state;
    persist_store *store = open_memory();
    append(store, "s", "1");
    commit_one(store, edit(PERSIST_PUT, "k", "old", 0));
    persist_outcome out;
    const persist_edit good[] = {edit(PERSIST_APPEND, "s", "2", 0),
                                 edit(PERSIST_EXPECT_SEQ, "s", "", 1),
                                 edit(PERSIST_PUT, "k", "new", 0),
                                 edit(PERSIST_EXPECT_KEY, "k", "old", 0),
                                 edit(PERSIST_EXPECT_ABSENT, "none", "", 0)};
    assert_int_equal(persist_commit(store, good, 5, NULL, &out, NULL),
                     PERSIST_OK);
    assert_int_equal(out.kind, PERSIST_COMMITTED);
    assert_int_equal(out.lsn, 3);
    assert_true(out.seq_count == 1 && out.seqs[0] == 2);
    persist_outcome_release(&out);
    assert_int_equal(persist_commit(store, good, 5, NULL, &out, NULL),
                     PERSIST_OK);
    assert_int_equal(out.kind, PERSIST_CONFLICT);
    assert_int_equal(out.edit, 1);
    assert_int_equal(out.actual_seq, 2);
    assert_int_equal(out.lsn, 3);
    persist_outcome_release(&out);
    persist_edit wrong = edit(PERSIST_EXPECT_KEY, "k", "old", 0);
    assert_int_equal(persist_commit(store, &wrong, 1, NULL, &out, NULL),
                     PERSIST_OK);
    assert_int_equal(out.kind, PERSIST_CONFLICT);
    assert_true(out.actual_present);
    assert_true(slice_equal(out.actual_value, slice_str("new")));
    persist_outcome_release(&out);
    persist_edit empty = edit(PERSIST_EXPECT_SEQ, "s", "", 2);
    assert_int_equal(persist_commit(store, &empty, 1, NULL, &out, NULL),
                     PERSIST_OK);
    assert_int_equal(out.kind, PERSIST_COMMITTED);
    assert_int_equal(persist_latest(store), 3);
    persist_outcome_release(&out);
    persist_close(store, NULL);
}

static bool equal_but_case(void *context, slice a, slice b)
{
    assert_ptr_equal(context, (void *)equal_but_case);
    return a.size == 1 && b.size == 1 &&
           (*(const char *)a.data | 32) == (*(const char *)b.data | 32);
}

static void values_are_compared_by_the_callers_function(void **state)
{
    (void)state;
    persist_store *store = NULL;
    persist_options options = {PERSIST_OPTIONS, .equal = equal_but_case,
                               .equal_context = (void *)equal_but_case};
    assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
    commit_one(store, edit(PERSIST_PUT, "k", "v", 0));
    persist_outcome out;
    persist_edit upper = edit(PERSIST_EXPECT_KEY, "k", "V", 0);
    assert_int_equal(persist_commit(store, &upper, 1, NULL, &out, NULL),
                     PERSIST_OK);
    assert_int_equal(out.kind, PERSIST_COMMITTED);
    persist_outcome_release(&out);
    persist_close(store, NULL);
}

static void a_command_happens_once(void **state)
{
    (void)state;
    persist_store *store = open_memory();
    persist_once once = {slice_str("id"), {1}};
    persist_outcome out;
    const persist_edit edits[] = {edit(PERSIST_APPEND, "s", "1", 0),
                                  edit(PERSIST_EXPECT_SEQ, "s", "", 0),
                                  edit(PERSIST_APPEND_AT, "s", "2", 9)};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(persist_commit(store, edits, 3, &once, &out, NULL),
                         PERSIST_OK);
        assert_int_equal(out.kind,
                         i == 0 ? PERSIST_COMMITTED : PERSIST_REPEATED);
        assert_true(out.lsn == 1 && out.seq_count == 2);
        assert_true(out.seqs[0] == 1 && out.seqs[1] == 9);
        persist_outcome_release(&out);
    }
    once.fingerprint[31] = 1;
    assert_int_equal(persist_commit(store, edits, 3, &once, &out, NULL),
                     PERSIST_BAD_REQUEST);
    uint8_t found[PERSIST_FINGERPRINT_SIZE];
    assert_int_equal(
        persist_once_find(store, slice_str("id"), found, &out, NULL),
        PERSIST_OK);
    assert_true(out.kind == PERSIST_REPEATED && found[0] == 1);
    persist_outcome_release(&out);
    assert_int_equal(
        persist_once_find(store, slice_str("no"), found, &out, NULL),
        PERSIST_NONE);
    once.id = slice_str("empty");
    assert_int_equal(persist_commit(store, NULL, 0, &once, &out, NULL),
                     PERSIST_OK);
    assert_int_equal(out.lsn, 2);
    persist_outcome_release(&out);
    persist_close(store, NULL);
}

static void keys_scan_in_byte_order(void **state)
{
    (void)state;
    persist_store *store = open_memory();
    const char *keys[] = {"b", "a", "ab", "\xff", "", "abc", "a/"};
    for (size_t i = 0; i < 7; i++)
        commit_one(store, edit(PERSIST_PUT, keys[i], "1", 0));
    commit_one(store, edit(PERSIST_PUT, "ab", "", 0));
    assert_string_equal(scan(store, "", NULL, 99),
                        "=1 a=1 a/=1 ab= abc=1 b=1 \xff=1 ");
    assert_string_equal(scan(store, "a", "a/", 99), "ab= abc=1 ");
    assert_string_equal(scan(store, "ab", "a", 1), "ab= ");
    assert_string_equal(scan(store, "a", "b", 9), "");
    const persist_edit both[] = {
        edit(PERSIST_DELETE, "b", "", 0), edit(PERSIST_PUT, "b", "2", 0),
        edit(PERSIST_PUT, "c", "2", 0), edit(PERSIST_DELETE, "c", "", 0),
        edit(PERSIST_DELETE, "none", "", 0)};
    assert_int_equal(persist_commit(store, both, 5, NULL, NULL, NULL),
                     PERSIST_OK);
    assert_string_equal(scan(store, "b", NULL, 9), "b=2 ");
    assert_int_equal(persist_has(store, slice_str("c"), PERSIST_DURABLE, NULL),
                     PERSIST_NONE);
    slice value;
    assert_int_equal(
        persist_get(store, slice_str("ab"), PERSIST_DURABLE, &value, NULL),
        PERSIST_OK);
    assert_int_equal(value.size, 0);
    persist_free(value.data);
    persist_close(store, NULL);
}

static void a_cursor_shows_one_state(void **state)
{
    (void)state;
    persist_store *store = open_memory();
    persist_cursor *stream = NULL, *keys = NULL;
    append(store, "s", "1");
    commit_one(store, edit(PERSIST_PUT, "k", "v", 0));
    persist_read(store, slice_str("s"), 0, 9, PERSIST_DURABLE, &stream, NULL);
    persist_scan(store, NULL, 9, PERSIST_DURABLE, &keys, NULL);
    append(store, "s", "2");
    commit_one(store, edit(PERSIST_TRUNCATE, "s", "", 1));
    commit_one(store, edit(PERSIST_DELETE, "k", "", 0));
    const persist_event *event;
    slice name;
    assert_int_equal(persist_next_event(keys, &event, NULL),
                     PERSIST_BAD_REQUEST);
    assert_int_equal(persist_next_key(stream, &name, NULL, NULL),
                     PERSIST_BAD_REQUEST);
    assert_string_equal(events(stream), "s/1@1=1 ");
    assert_string_equal(names(keys), "k=v ");
    persist_close(store, NULL);
}

static void blobs_are_found_by_their_content(void **state)
{
    (void)state;
    persist_store *store = open_memory();
    persist_cid cid;
    char bytes[16];
    size_t got;
    uint64_t size;
    persist_blob_reader *reader = NULL;
    persist_cid_of(slice_str(""), cid);
    assert_string_equal(
        cid, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
    assert_int_equal(persist_blob_has(store, slice_str(cid), NULL),
                     PERSIST_NONE);
    assert_int_equal(persist_blob_has(store, slice_str("bafk"), NULL),
                     PERSIST_BAD_CID);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            persist_blob_put(store, slice_str("hello world"), cid, NULL),
            PERSIST_OK);
    assert_string_equal(
        cid, "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
    assert_int_equal(
        persist_blob_open(store, slice_str(cid), &size, &reader, NULL),
        PERSIST_OK);
    assert_int_equal(size, 11);
    assert_int_equal(persist_blob_read(reader, bytes, 6, &got, NULL),
                     PERSIST_OK);
    assert_int_equal(got, 6);
    assert_int_equal(persist_blob_read(reader, bytes, 16, &got, NULL),
                     PERSIST_OK);
    assert_memory_equal(bytes, "world", 5);
    assert_int_equal(persist_blob_read(reader, bytes, 16, &got, NULL),
                     PERSIST_OK);
    assert_int_equal(got, 0);
    persist_blob_close(reader);
    persist_close(store, NULL);
}

static void a_blob_is_written_in_pieces(void **state)
{
    (void)state;
    persist_store *store = open_memory();
    persist_blob_writer *writer;
    persist_cid cid, whole;
    for (int kept = 0; kept < 2; kept++) {
        assert_int_equal(persist_blob_create(store, &writer, NULL), PERSIST_OK);
        assert_int_equal(persist_blob_write(writer, slice_str("hello "), NULL),
                         PERSIST_OK);
        assert_int_equal(persist_blob_write(writer, slice_str("world"), NULL),
                         PERSIST_OK);
        persist_cid_of(slice_str("hello world"), whole);
        assert_int_equal(persist_blob_has(store, slice_str(whole), NULL),
                         PERSIST_NONE);
        if (kept)
            assert_int_equal(persist_blob_finish(writer, cid, NULL),
                             PERSIST_OK);
        else
            persist_blob_abort(writer);
    }
    assert_string_equal(cid, whole);
    assert_int_equal(persist_blob_has(store, slice_str(whole), NULL),
                     PERSIST_OK);
    persist_close(store, NULL);
}

static void a_malformed_cid_is_told_from_an_absent_one(void **state)
{
    (void)state;
    persist_cid cid;
    persist_cid_of(slice_str("x"), cid);
    assert_true(persist_cid_valid(slice_str(cid)));
    for (size_t i = 0; i < PERSIST_CID_SIZE; i++) {
        char saved = cid[i];
        cid[i] = 'A';
        assert_false(persist_cid_valid(slice_str(cid)));
        cid[i] = saved;
    }
    assert_false(persist_cid_valid(slice_of(cid, PERSIST_CID_SIZE - 1)));
    assert_false(persist_cid_valid(slice_of(NULL, 0)));
}

static int fail_at;

static int count_down(void *context)
{
    (void)context;
    return fail_at-- == 0;
}

/* Fails each allocation of a large commit in turn: nothing of it may show. */
static void a_commit_without_memory_leaves_nothing(void **state)
{
    (void)state;
    persist_store *store = open_memory();
    persist_once once = {slice_str("id"), {1}};
    const persist_edit edits[] = {
        edit(PERSIST_APPEND, "s", "1", 0), edit(PERSIST_PUT, "k", "v", 0),
        edit(PERSIST_APPEND, "t", "2", 0), edit(PERSIST_PUT, "k2", "v", 0),
        edit(PERSIST_SET_MARK, "u", "", 4)};
    persist_status status = PERSIST_LIMIT;
    int points = 0;
    for (; status != PERSIST_OK; points++) {
        persist_outcome out;
        fail_at = points;
        mem_set_fail(count_down, NULL);
        status = persist_commit(store, edits, 5, &once, &out, NULL);
        mem_set_fail(NULL, NULL);
        persist_outcome_release(&out);
        if (status == PERSIST_OK)
            break;
        assert_int_equal(status, PERSIST_LIMIT);
        assert_string_equal(streams(store, NULL), "");
        assert_string_equal(scan(store, "", NULL, 9), "");
        assert_int_equal(persist_latest(store), 0);
    }
    assert_in_range(points, 10, 50);
    assert_string_equal(streams(store, NULL), "s= t= u= ");
    persist_close(store, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_events_forwards_backwards_and_in_commit_order),
        cmocka_unit_test(truncation_keeps_mark_stream_and_positions),
        cmocka_unit_test(numbers_conflict_only_climb_and_end),
        cmocka_unit_test(expectations_see_the_state_before),
        cmocka_unit_test(values_are_compared_by_the_callers_function),
        cmocka_unit_test(a_command_happens_once),
        cmocka_unit_test(keys_scan_in_byte_order),
        cmocka_unit_test(a_cursor_shows_one_state),
        cmocka_unit_test(blobs_are_found_by_their_content),
        cmocka_unit_test(a_blob_is_written_in_pieces),
        cmocka_unit_test(a_malformed_cid_is_told_from_an_absent_one),
        cmocka_unit_test(a_commit_without_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
