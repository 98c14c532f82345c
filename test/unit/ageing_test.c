/* SPDX-License-Identifier: MIT */
/* The 10,000th hour of a process is like its first: what counts up for as long
 * as it lives decides nothing, and what one big commit needed is not kept. */
#include "fixture.h"

enum {
    SEGMENT = 64 << 10,
    HOURS = 40,   /* each logs: */
    COMMITS = 16, /* of */
    VALUE = 8 << 10,
    BIG = 3 * SEGMENT,
    MANY = 5000, /* edits */
    ROOM = 64 << 10
};

static os_sim *sim;
static engine *e;

static int set_up(void **state)
{
    (void)state;
    persist_error error;
    sim = os_sim_new(1);
    persist_options options = {PERSIST_OPTIONS,
                               .path = "store",
                               .create = true,
                               .segment_size = SEGMENT,
                               .memtable_size = 2 * SEGMENT,
                               .os = os_sim_os(sim)};
    return engine_open(&options, &e, &error) == PERSIST_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    persist_status status = engine_close(e, NULL);
    os_sim_free(sim);
    return status == PERSIST_OK ? 0 : -1;
}

static void put(size_t size)
{
    persist_error error;
    uint8_t *bytes = calloc(1, size);
    assert_non_null(bytes);
    persist_edit edit = {.kind = PERSIST_PUT,
                         .name = slice_str("key"),
                         .data = slice_of(bytes, size)};
    if (engine_commit(e, &edit, 1, NULL, NULL, &error) != PERSIST_OK ||
        wal_wait(&e->wal, e->latest, &error) != PERSIST_OK)
        fail_msg("%s", error.message);
    free(bytes);
}

static void live_an_hour(void)
{
    for (int i = 0; i < COMMITS; i++)
        put(VALUE);
}

static int add_size(void *context, const char *name)
{
    os_stat stat;
    const os *sys = os_sim_os(sim);
    uint64_t *largest = context;
    assert_int_equal(sys->stat(sys, e->at.log.dir, name, &stat), 0);
    if (stat.size > *largest)
        *largest = stat.size;
    return 0;
}

static uint64_t largest_segment(void)
{
    uint64_t largest = 0;
    const os *sys = os_sim_os(sim);
    assert_int_equal(sys->dir_list(sys, e->at.log.dir, add_size, &largest), 0);
    return largest;
}

static void test_a_segment_is_as_large_as_its_record_needs(void **state)
{
    (void)state;
    for (int i = 0; i < HOURS; i++)
        live_an_hour();
    assert_true(largest_segment() <= SEGMENT);
    put(BIG);
    assert_true(largest_segment() <= BIG + 2 * SEGMENT_ROUND);
}

/* 250 MB and years: a record that needs more than the usual size. */
static void test_what_was_logged_before_decides_nothing(void **state)
{
    (void)state;
    static const uint64_t logged[] = {250u << 20, 300u << 20, (uint64_t)1 << 62,
                                      UINT64_MAX / 2};
    for (size_t i = 0; i < sizeof logged / sizeof *logged; i++) {
        live_an_hour();
        e->wal.bytes_logged = logged[i];
        put(BIG);
        assert_true(largest_segment() <= BIG + 2 * SEGMENT_ROUND);
    }
    live_an_hour();
    live_an_hour();
    assert_true(largest_segment() <= SEGMENT);
}

static uint64_t space_after_hours(int hours)
{
    for (int i = 0; i < hours; i++)
        live_an_hour();
    return os_sim_space_used(sim);
}

/* Counters as after months: disk, free files and memory are as before. */
static void test_what_is_bounded_stays_bounded(void **state)
{
    (void)state;
    uint64_t young = space_after_hours(HOURS), free_count = e->wal.free_count;
    e->wal.bytes_logged += (uint64_t)1 << 50;
    e->wal.syncs += (uint64_t)1 << 50;
    e->wal.generation += (uint64_t)1 << 50;
    e->plan_number += (uint64_t)1 << 50;
    e->commits += (uint64_t)1 << 50;
    uint64_t old = space_after_hours(HOURS);
    assert_true(old <= young + 2 * SEGMENT);
    assert_true(e->wal.free_count <= free_count + SEGMENT_SPARES);
    assert_true(e->wal.spare_count <= SEGMENT_SPARES);
}

static void test_a_big_commit_leaves_no_big_buffers(void **state)
{
    (void)state;
    static persist_edit edits[MANY];
    persist_error error;
    for (size_t i = 0; i < MANY; i++)
        edits[i] = (persist_edit){.kind = PERSIST_APPEND,
                                  .name = slice_str("stream"),
                                  .data = {"sixteen bytes...", 16}};
    assert_int_equal(engine_commit(e, edits, MANY, NULL, NULL, &error),
                     PERSIST_OK);
    put(BIG);
    /* refused: the record is made before it is known that it has no room */
    os_sim_limit_space(sim, os_sim_space_used(sim));
    edits[0] = (persist_edit){.kind = PERSIST_PUT, .name = slice_str("key")};
    edits[0].data = slice_of(calloc(1, 4 * BIG), 4 * BIG);
    assert_int_equal(engine_commit(e, edits, 1, NULL, NULL, &error),
                     PERSIST_NO_SPACE);
    free((void *)(uintptr_t)edits[0].data.data);
    os_sim_limit_space(sim, UINT64_MAX);
    put(1);
    size_t usual = e->wal.buffer_size + ROOM;
    assert_true(e->plan_capacity <= PLAN_KEPT);
    assert_true(e->wal.scratch.capacity <= usual);
    assert_true(e->wal.fill.bytes.capacity <= usual);
    assert_true(e->wal.out.bytes.capacity <= usual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_a_segment_is_as_large_as_its_record_needs),
        TEST(test_what_was_logged_before_decides_nothing),
        TEST(test_what_is_bounded_stays_bounded),
        TEST(test_a_big_commit_leaves_no_big_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
