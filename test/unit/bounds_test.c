/* SPDX-License-Identifier: MIT */
/* The figures of what goes on behind the commits stay within the bounds that
 * are stated with them (persist_stats), whatever is committed: how much is
 * dead, how many tables a look-up asks, and how often a byte is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/os_sim_disk.h"
#include "fixture.h"
#include "store/store.h"

enum {
    MEMTABLE = 16 << 10,
    ROUNDS = 120, /* of a memtable or so each */
    A_ROUND = 64, /* commits */
    VALUE = 220,
    KEYS = 900,
    STEPS = 10000,
};

static fixture f;
static uint64_t random_state;

static slice some_bytes(void)
{
    static char bytes[VALUE];
    for (size_t i = 0; i < VALUE; i++)
        bytes[i] = (char)sim_random(&random_state);
    return slice_of(bytes, VALUE);
}

static void commit(persist_edit_kind kind, const char *of, uint64_t n,
                   uint64_t seq)
{
    char name[24];
    persist_edit edit = {.kind = kind, .seq = seq};
    edit.name = slice_of(
        name, (size_t)snprintf(name, sizeof name, "%s-%05u", of, (unsigned)n));
    if (kind == PERSIST_APPEND || kind == PERSIST_PUT)
        edit.data = some_bytes();
    if (persist_commit(f.store, &edit, 1, NULL, NULL, &f.error) != PERSIST_OK)
        fail_msg("%s", f.error.message);
}

/* ---- what is committed ------------------------------------------------ */

static void append(unsigned round)
{
    for (unsigned i = 0; i < A_ROUND; i++)
        commit(PERSIST_APPEND, "s", (round + i) % 10, 0);
}

static void append_to_many(unsigned round)
{
    for (unsigned i = 0; i < A_ROUND; i++)
        commit(PERSIST_APPEND, "many", round * A_ROUND + i, 0);
}

static void overwrite(unsigned round)
{
    (void)round;
    for (unsigned i = 0; i < A_ROUND; i++)
        commit(PERSIST_PUT, "k", sim_random(&random_state) % KEYS, 0);
}

/* A few hundred events are kept of each stream. */
static void truncate(unsigned round)
{
    append(round);
    for (unsigned i = 0; i < 10 && round > 40; i++)
        commit(PERSIST_TRUNCATE, "s", i, (uint64_t)(round - 40) * A_ROUND / 10);
}

/* Made, and taken away some rounds later. */
static void put_and_delete(unsigned round)
{
    for (unsigned i = 0; i < A_ROUND; i++) {
        commit(PERSIST_PUT, "k", (uint64_t)round * A_ROUND + i, 0);
        if (round > 20)
            commit(PERSIST_DELETE, "k", (uint64_t)(round - 20) * A_ROUND + i,
                   0);
    }
}

static void all_of_it(unsigned round)
{
    static void (*const each[])(unsigned) = {append, overwrite, truncate,
                                             append_to_many};
    each[sim_random(&random_state) % 4](round);
}

static const struct {
    const char *name;
    void (*run)(unsigned round);
} workloads[] = {
    {"append", append},
    {"append to many", append_to_many},
    {"overwrite", overwrite},
    {"truncate", truncate},
    {"put and delete", put_and_delete},
    {"all of it", all_of_it},
};

/* ---- what must hold --------------------------------------------------- */

static void at_most(const char *what, uint64_t is, uint64_t most)
{
    if (is > most)
        fail_msg("%s: %llu, and %llu is the most", what, (unsigned long long)is,
                 (unsigned long long)most);
}

static void check_bounds(persist_stats before)
{
    persist_stats s = fixture_stats(&f);
    uint64_t few =
        s.merged - s.merged_for_dead - s.merged_for_reads - s.merged_asked;
    at_most("dead", s.dead, s.dead_max);
    at_most("replaced", s.replaced, s.dead_max);
    if (s.flushed > 0)
        at_most("tables", s.tables, s.tables_max);
    at_most("merged for few tables", few,
            s.merge_passes * (s.flushed + before.table_bytes));
    at_most("merged for dead", s.merged_for_dead, 4 * s.freed);
    assert_true(s.merged >= few);
}

static void drive(uint32_t width, size_t of, bool reopens)
{
    fixture_begin_tables(&f, MEMTABLE, width);
    random_state = 1 + of;
    persist_stats before = {0};
    for (unsigned round = 0; round < ROUNDS; round++) {
        workloads[of].run(round);
        fixture_work(&f, STEPS);
        check_bounds(before);
        if (!reopens || round % 50 != 49)
            continue;
        fixture_close(&f);
        fixture_reopen(&f);
        before = fixture_stats(&f);
    }
    persist_stats s = fixture_stats(&f);
    if (persist_compact(f.store, NULL, NULL, &f.error) != PERSIST_OK)
        fail_msg("%s", f.error.message);
    persist_stats after = fixture_stats(&f);
    /* what is counted is what is known, see docs/OPERATING.md */
    uint64_t gone = s.table_bytes > after.table_bytes
                        ? s.table_bytes - after.table_bytes
                        : 0;
    at_most("really dead", gone, 2 * s.dead_max);
    assert_true(after.merged_asked > 0 || s.tables <= 1);
    assert_int_equal(after.dead, 0);
    fixture_end(&f);
}

static void test_bounds(void **state)
{
    static const uint32_t widths[] = {0, 2, 3, 8};
    (void)state;
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++)
            drive(widths[w], i, (w + i) % 2 == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
