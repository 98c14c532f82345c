/* SPDX-License-Identifier: MIT */
/* Truncations that drop nothing are no commits, on disk and in memory: who
 * truncates all streams again and again writes nothing, also where the disk is
 * full. */
#include "fixture.h"

enum { EVERY_COMMIT = 1, EVENTS = 5 };

static persist_store *store;

static persist_edit edit_of(persist_edit_kind kind, const char *name,
                            uint64_t seq)
{
    return (persist_edit){.kind = kind, .name = slice_str(name), .seq = seq};
}

/* Tells whether the edits became a commit, which has an lsn of its own. */
static bool commits(const persist_edit *edits, size_t count)
{
    persist_lsn before = persist_latest(store);
    persist_outcome out;
    assert_int_equal(persist_commit(store, edits, count, NULL, &out, NULL),
                     PERSIST_OK);
    assert_int_equal(out.kind, PERSIST_COMMITTED);
    assert_int_equal(out.lsn, persist_latest(store));
    persist_outcome_release(&out);
    return persist_latest(store) != before;
}

static bool truncates(const char *name, uint64_t seq)
{
    persist_edit edit = edit_of(PERSIST_TRUNCATE, name, seq);
    return commits(&edit, 1);
}

static void append_some(const char *name)
{
    persist_edit edit = edit_of(PERSIST_APPEND, name, 0);
    for (int i = 0; i < EVENTS; i++)
        assert_true(commits(&edit, 1));
}

static void what_is_gone_is_gone(void)
{
    append_some("s");
    assert_false(truncates("s", 0));
    assert_false(truncates("never", 3));
    assert_true(truncates("s", 3));
    assert_false(truncates("s", 3));
    assert_false(truncates("s", 2));
    assert_true(truncates("s", 4));
    assert_true(truncates("s", PERSIST_SEQ_MAX));
    assert_false(truncates("s", PERSIST_SEQ_MAX));
    assert_false(truncates("s", EVENTS));
    persist_edit mark = edit_of(PERSIST_SET_MARK, "s", 10);
    assert_true(commits(&mark, 1));
    assert_false(truncates("s", 10)); /* no event has such a number */
    append_some("s");
    assert_false(truncates("s", 10));
    assert_true(truncates("s", 11));
}

/* One edit that does something is enough, and so is a command id. */
static void with_others(void)
{
    persist_edit edits[] = {edit_of(PERSIST_TRUNCATE, "s", 1),
                            edit_of(PERSIST_TRUNCATE, "t", 1),
                            edit_of(PERSIST_EXPECT_SEQ, "t", 0)};
    assert_false(commits(edits, 3));
    edits[2] = edit_of(PERSIST_APPEND, "t", 0);
    assert_true(commits(edits, 3));
    assert_true(commits(edits, 2)); /* there is an event now */
    assert_false(commits(edits, 2));
    const persist_once given = {.id = slice_str("id")};
    persist_lsn before = persist_latest(store);
    persist_outcome out;
    assert_int_equal(persist_commit(store, edits, 2, &given, &out, NULL),
                     PERSIST_OK);
    assert_int_equal(out.lsn, before + 1);
    persist_outcome_release(&out);
}

static void in(bool memory, uint32_t memtable_size)
{
    os_sim *sim = os_sim_new(1);
    const persist_options options = {
        PERSIST_OPTIONS, .path = memory ? NULL : "store", .create = true,
        .memtable_size = memtable_size, .os = os_sim_os(sim)};
    assert_int_equal(persist_open(&options, &store, NULL), PERSIST_OK);
    what_is_gone_is_gone();
    with_others();
    assert_int_equal(persist_close(store, NULL), PERSIST_OK);
    os_sim_free(sim);
}

static void in_memory(void **state)
{
    (void)state;
    in(true, 0);
}

static void in_memtables(void **state)
{
    (void)state;
    in(false, 0);
}

static void in_tables(void **state)
{
    (void)state;
    in(false, EVERY_COMMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_memory),
        cmocka_unit_test(in_memtables),
        cmocka_unit_test(in_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
