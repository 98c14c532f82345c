/* SPDX-License-Identifier: MIT */
/* Snapshots: one state for as many reads as like, in memory and on disk,
 * whatever is committed, flushed and merged behind it; which commit it rests
 * on; and that what it kept goes with it. */
#include <errno.h>

#include "../lib/ops.h"
#include "../lib/space.h"
#include "fixture.h"
#include "store/store.h"

enum { SEGMENT = 65536, EVERY_COMMIT = 1, ROUNDS = 12, MANY = 300 };

static fixture f;

/* On a disk, or in memory; tables of each commit, or none. */
typedef struct place {
    bool in_memory;
    uint32_t memtable_size;
} place;

static const place places[] = {
    {true, 0}, {false, 0}, {false, EVERY_COMMIT}, {false, 2000}};
enum { PLACES = sizeof places / sizeof *places };

static void begin(const place *p)
{
    fixture_begin_tables(&f, p->memtable_size, 2);
    if (!p->in_memory)
        return;
    fixture_close(&f);
    const persist_options options = {PERSIST_OPTIONS, .os = os_sim_os(f.sim)};
    assert_int_equal(persist_open(&options, &f.store, NULL), PERSIST_OK);
}

static persist_snapshot *open_snapshot(persist_view view)
{
    persist_snapshot *s;
    assert_int_equal(persist_snapshot_open(f.store, view, &s, &f.error),
                     PERSIST_OK);
    return s;
}

static void step_all(void)
{
    bool did = true;
    while (did)
        assert_int_equal(store_step(f.store, &did, NULL), PERSIST_OK);
}

/* A commit that changes some of all that can be seen. */
static persist_lsn change(unsigned round)
{
    char name[16], data[32];
    snprintf(name, sizeof name, "s%u", round % 3);
    snprintf(data, sizeof data, "data of round %u", round);
    persist_edit tagged = {.kind = PERSIST_APPEND,
                           .name = slice_str(name),
                           .data = slice_str(data)};
    pool_tag(&tagged, round * 37 + 7);
    const persist_edit edits[] = {
        tagged,
        {.kind = PERSIST_APPEND,
         .name = slice_str(data),
         .data = slice_str(name)},
        {.kind = PERSIST_PUT, .name = slice_str("k"), .data = slice_str(data)},
        {.kind = round % 2 == 0 ? PERSIST_PUT : PERSIST_DELETE,
         .name = slice_str(name),
         .data = slice_str(round % 2 == 0 ? data : "")},
        {.kind = PERSIST_TRUNCATE, .name = slice_str("s0"), .seq = round / 4},
        {.kind = PERSIST_SET_MARK, .name = slice_str("m"), .seq = 2 * round},
        {.kind = PERSIST_SET_POSITION, .seq = 10 * round + 10}};
    persist_outcome out;
    assert_int_equal(persist_commit(f.store, edits, 7, NULL, &out, &f.error),
                     PERSIST_OK);
    persist_lsn lsn = out.lsn;
    persist_outcome_release(&out);
    return lsn;
}

static void expect_dump(persist_view view, slice expected)
{
    buf now = {0}, why = {0};
    assert_int_equal(store_dump(f.store, view, &now, &f.error), PERSIST_OK);
    dump_difference(expected, buf_slice(&now), &why);
    if (!slice_equal(expected, buf_slice(&now)))
        fail_msg("%.*s", (int)why.size, (const char *)why.data);
    buf_release(&now);
    buf_release(&why);
}

/* All that is seen in each of many, of all rounds, stays as it was. */
static void a_snapshot_shows_one_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < PLACES; i++) {
        persist_snapshot *kept[ROUNDS];
        buf seen[ROUNDS] = {{0}};
        begin(&places[i]);
        for (unsigned round = 0; round < ROUNDS; round++) {
            persist_lsn lsn = change(round);
            if (round % 2 == 0)
                fixture_wait(&f);
            kept[round] = open_snapshot(PERSIST_LATEST);
            assert_int_equal(persist_snapshot_lsn(kept[round]), lsn);
            assert_int_equal(
                store_dump(f.store, kept[round], &seen[round], &f.error),
                PERSIST_OK);
            if (round % 3 == 0)
                step_all();
        }
        fixture_wait(&f);
        step_all();
        expect_dump(PERSIST_DURABLE, buf_slice(&seen[ROUNDS - 1]));
        for (unsigned n = 0; n < ROUNDS; n++) {
            unsigned round = n * 5 % ROUNDS;
            expect_dump(kept[round], buf_slice(&seen[round]));
            persist_snapshot_close(kept[round]);
            buf_release(&seen[round]);
            step_all();
        }
        fixture_end(&f);
    }
}

static void each_rests_on_its_commit(void **state)
{
    (void)state;
    fixture_begin(&f, SEGMENT);
    persist_snapshot *empty = open_snapshot(PERSIST_LATEST);
    fixture_append(&f, "s", "a");
    fixture_wait(&f);
    fixture_append(&f, "s", "b");
    persist_snapshot *latest = open_snapshot(PERSIST_LATEST);
    persist_snapshot *durable = open_snapshot(PERSIST_DURABLE);
    assert_int_equal(persist_snapshot_lsn(empty), 0);
    assert_int_equal(persist_snapshot_lsn(latest), 2);
    assert_int_equal(persist_snapshot_lsn(durable), 1);
    assert_int_equal(persist_durable(f.store), 1);
    assert_int_equal(
        persist_wait_durable(f.store, persist_snapshot_lsn(latest), NULL),
        PERSIST_OK);
    assert_int_equal(persist_durable(f.store), 2);
    fixture_append(&f, "s", "c");
    assert_string_equal(fixture_events(&f, "s", empty), "");
    assert_string_equal(fixture_events(&f, "s", latest), "1:a 2:b");
    assert_string_equal(fixture_events(&f, "s", durable), "1:a");
    assert_int_equal(persist_position(f.store, empty), 0);
    assert_int_equal(persist_position(f.store, latest), 2);
    assert_int_equal(persist_position(f.store, durable), 1);
    uint64_t position;
    assert_int_equal(
        persist_position_at(f.store, UINT64_MAX, durable, &position, NULL),
        PERSIST_OK);
    assert_int_equal(position, 2);
    persist_snapshot_close(empty);
    persist_snapshot_close(latest);
    persist_snapshot_close(durable);
    fixture_end(&f);
}

/* What was shown goes on to be shown; that it is lost is told. */
static void a_failed_sync_is_told(void **state)
{
    (void)state;
    fixture_begin(&f, SEGMENT);
    fixture_append(&f, "s", "a");
    fixture_wait(&f);
    fixture_append(&f, "s", "b");
    persist_snapshot *before = open_snapshot(PERSIST_LATEST);
    const sim_fault fault = {.calls = 1u << SIM_SYNC, .nth = 1, .error = EIO};
    os_sim_fail(f.sim, fault);
    assert_int_equal(persist_wait_durable(f.store, 2, NULL), PERSIST_READ_ONLY);
    persist_snapshot *after = open_snapshot(PERSIST_LATEST);
    assert_string_equal(fixture_events(&f, "s", before), "1:a 2:b");
    assert_string_equal(fixture_events(&f, "s", after), "1:a");
    assert_int_equal(persist_snapshot_lsn(after), 1);
    assert_int_equal(persist_position(f.store, after), 1);
    assert_int_equal(
        persist_wait_durable(f.store, persist_snapshot_lsn(before), NULL),
        PERSIST_READ_ONLY);
    assert_int_equal(
        persist_wait_durable(f.store, persist_snapshot_lsn(after), NULL),
        PERSIST_OK);
    persist_snapshot_close(before);
    persist_snapshot_close(after);
    fixture_end(&f);
}

static void a_cursor_outlives_its_snapshot(void **state)
{
    (void)state;
    for (size_t i = 0; i < PLACES; i++) {
        persist_cursor *cursor;
        begin(&places[i]);
        fixture_append_many(&f, "s", "d", 3);
        persist_snapshot *s = open_snapshot(PERSIST_LATEST);
        fixture_append_many(&f, "s", "e", 3);
        assert_int_equal(persist_read(f.store, slice_str("s"), 0,
                                      PERSIST_NO_LIMIT, s, &cursor, NULL),
                         PERSIST_OK);
        persist_snapshot_close(s);
        fixture_do(&f, PERSIST_TRUNCATE, "s", "", 9);
        fixture_append_many(&f, "t", "e", 9);
        step_all();
        assert_string_equal(fixture_drain(&f, cursor), "1:d1 2:d2 3:d3");
        fixture_end(&f);
    }
}

/* Tables that are merged stay for as long as one of many snapshots has them,
 * and not longer. */
static void what_is_kept_goes(void **state)
{
    (void)state;
    static persist_snapshot *kept[MANY];
    fixture_begin_tables(&f, EVERY_COMMIT, 2);
    for (size_t i = 0; i < MANY; i++) {
        if (i % 20 == 0)
            fixture_append(&f, "s", "data");
        fixture_wait(&f);
        kept[i] = open_snapshot(i % 2 == 0 ? PERSIST_LATEST : PERSIST_DURABLE);
    }
    step_all();
    size_t most = space_count(f.sim).tables;
    assert_true(space_count(f.sim).tables_unlisted > 3);
    for (size_t i = 0; i < MANY; i++)
        persist_snapshot_close(kept[(i * 7) % MANY]);
    fixture_append(&f, "s", "data");
    step_all();
    assert_true(space_count(f.sim).tables < most);
    assert_int_equal(space_count(f.sim).tables_unlisted, 0);
    fixture_end(&f);
}

static void only_of_its_store(void **state)
{
    (void)state;
    persist_store *other;
    persist_snapshot *of_other, *none;
    const persist_options options = {PERSIST_OPTIONS};
    fixture_begin(&f, SEGMENT);
    assert_int_equal(persist_open(&options, &other, NULL), PERSIST_OK);
    assert_int_equal(
        persist_snapshot_open(other, PERSIST_LATEST, &of_other, NULL),
        PERSIST_OK);
    assert_int_equal(persist_has(f.store, slice_str("k"), of_other, &f.error),
                     PERSIST_BAD_REQUEST);
    assert_non_null(strstr(f.error.message, "another store"));
    assert_int_equal(persist_position(f.store, of_other), 0);
    assert_int_equal(persist_snapshot_open(other, of_other, &none, &f.error),
                     PERSIST_BAD_REQUEST);
    assert_null(none);
    persist_snapshot_close(of_other);
    assert_int_equal(persist_close(other, NULL), PERSIST_OK);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_shows_one_state),
        cmocka_unit_test(each_rests_on_its_commit),
        cmocka_unit_test(a_failed_sync_is_told),
        cmocka_unit_test(a_cursor_outlives_its_snapshot),
        cmocka_unit_test(what_is_kept_goes),
        cmocka_unit_test(only_of_its_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
