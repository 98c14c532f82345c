/* SPDX-License-Identifier: MIT */
/* Which tables a full disk has merged: sizes of tables that are not there, and
 * what is kept and what is free beside them. A bigger one is the older. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../lib/os_sim_disk.h"
#include "engine/upkeep/upkeep.h"
#include "fixture.h"

enum {
    ROUND = 8 << 10, /* surely finds room */
    ROOM = 16 * ROUND,
    MEMTABLE = 64 << 10,
    MOST = 8, /* tables */
    NO_WORK = -1,
};

static fixture f;
static engine *e;
static table tables[MOST];
static layers *given;

static void begin(void)
{
    persist_error error;
    f = (fixture){.sim = os_sim_new(1)};
    const persist_options options = {PERSIST_OPTIONS, .path = "store",
                                     .create = true, .memtable_size = MEMTABLE,
                                     .os = os_sim_os(f.sim)};
    assert_int_equal(engine_open(&options, &e, &error), PERSIST_OK);
    given = calloc(1, sizeof *given + MOST * sizeof(table *));
    assert_non_null(given);
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim) + ROOM);
    atomic_store(&e->reserve_tables, ROUND * RESERVE_ROUND_SHARE);
    atomic_store(&e->is_scarce, false);
    atomic_store(&e->lacks_reserve, false);
    e->reserve_files = RESERVE_FILES;
    wal_note_full(&e->wal);
}

static void end(void)
{
    persist_error error;
    free(given);
    os_sim_limit_space(f.sim, UINT64_MAX);
    assert_int_equal(engine_close(e, &error), PERSIST_OK);
    fixture_end(&f);
}

/* Of so many, in quarters of a round, oldest first: the first that is merged
 * with all that are newer. */
static int first_of(size_t count, const unsigned *quarters)
{
    size_t from;
    given->table_count = count;
    given->table_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        tables[i] = (table){.footer.size = quarters[i] * (ROUND / 4)};
        given->tables[i] = &tables[i];
        given->table_bytes += tables[i].footer.size;
    }
    return policy_find_work(e, given, &from) ? (int)from : NO_WORK;
}

#define FIRST_OF(...)                                                          \
    first_of(sizeof((unsigned[]){__VA_ARGS__}) / sizeof(unsigned),             \
             (unsigned[]){__VA_ARGS__})

/* No free byte is needed. */
static void small_ones_are_merged(void **state)
{
    (void)state;
    begin();
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    assert_int_equal(FIRST_OF(80, 1, 1, 1, 1), 1);
    assert_int_equal(FIRST_OF(80, 2, 1, 1, 1, 1), 2);
    assert_int_equal(FIRST_OF(1, 1, 1, 1), 0);
    assert_int_equal(FIRST_OF(80, 1, 1, 1), NO_WORK);
    assert_int_equal(FIRST_OF(80, 1, 1, 1, 2, 5), NO_WORK);
    atomic_store(&e->wal.full, false);
    assert_int_equal(FIRST_OF(80, 1, 1, 1, 1), NO_WORK);
    end();
}

/* Of what is kept, less is there than should be. */
static void few_files_have_more_merged(void **state)
{
    (void)state;
    begin();
    e->reserve_files = RESERVE_FILES_ADD;
    assert_int_equal(FIRST_OF(80, 2, 1), 1);
    /* bigger ones of about one size, that leave as much room */
    assert_int_equal(FIRST_OF(12, 8), 0);
    assert_int_equal(FIRST_OF(24, 12), NO_WORK);
    assert_int_equal(FIRST_OF(20, 4), NO_WORK);
    atomic_store(&e->wal.full, false);
    assert_int_equal(FIRST_OF(12, 8), NO_WORK);
    wal_note_full(&e->wal);
    e->reserve_files = RESERVE_FILES_UPKEEP;
    assert_int_equal(FIRST_OF(20, 4), 0); /* of any */
    assert_int_equal(FIRST_OF(24, 12), NO_WORK);
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    assert_int_equal(FIRST_OF(12, 8), NO_WORK);
    assert_int_equal(FIRST_OF(80, 2, 1), 1);
    end();
}

static void what_is_dead_has_all_merged(void **state)
{
    (void)state;
    begin();
    assert_int_equal(FIRST_OF(80, 1, 1), NO_WORK);
    atomic_store(&e->upkeep.dead, MEMTABLE);
    assert_int_equal(FIRST_OF(80, 1, 1), 0);
    e->upkeep.given_up = MEMTABLE; /* they are damaged */
    assert_int_equal(FIRST_OF(80, 1, 1), NO_WORK);
    end();
}

/* An opening that has only read so far, or next to it. */
static void who_writes_nothing_merges_no_run(void **state)
{
    (void)state;
    begin();
    atomic_store(&e->wal.full, false);
    e->merge_width = 2;
    atomic_store(&e->in_use, true);
    assert_int_equal(FIRST_OF(400, 1, 1), NO_WORK);
    atomic_store(&e->upkeep.flushed, true);
    assert_int_equal(FIRST_OF(400, 1, 1), 1);
    atomic_store(&e->upkeep.flushed, false);
    atomic_store(&e->in_use, false);
    end();
}

static persist_status put(void)
{
    static const char value[ROOM]; /* a spare is made for as much again */
    const persist_edit edit = {.kind = PERSIST_PUT,
                               .name = slice_str("key"),
                               .data = slice_of(value, sizeof value)};
    persist_error error;
    return engine_commit(e, &edit, 1, NULL, NULL, &error);
}

/* There is room, and a segment that nobody has written to. */
static void begin_with_spare(void)
{
    persist_error error;
    bool did;
    begin();
    os_sim_limit_space(f.sim, UINT64_MAX);
    atomic_store(&e->wal.full, false);
    assert_int_equal(put(), PERSIST_OK);
    assert_int_equal(wal_prepare_step(&e->wal, &did, &error), PERSIST_OK);
    assert_true(did);
}

/* Segments that nobody has written to give way, and that is tried again. */
static void room_of_the_log_is_tried(void **state)
{
    (void)state;
    begin_with_spare();
    policy_note_begun(e, e->layers);
    policy_note_stuck(e);
    assert_true(dead_make_room(e, e->layers));
    assert_false(e->upkeep.is_stuck);
    policy_note_begun(e, e->layers);
    policy_note_stuck(e);
    assert_false(dead_make_room(e, e->layers)); /* there is no more */
    assert_true(e->upkeep.is_stuck);
    end();
}

/* What adds goes on in a spare only where the reserve has grown with it; else
 * in a smaller segment, for which there is room where the spare was, or not. */
static void a_spare_needs_a_reserve(void **state)
{
    persist_status status;
    (void)state;
    begin_with_spare();
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(sys->unlink(sys, e->at.root, LAYOUT_RESERVE), 0);
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    uint64_t number = e->wal.active->number;
    do
        status = put();
    while (status == PERSIST_OK && e->wal.active->number == number);
    assert_true(status == PERSIST_OK || status == PERSIST_NO_SPACE);
    if (status == PERSIST_OK)
        assert_true(reserve_size(e) >= reserve_wanted(e, wal_takes(&e->wal)));
    else
        assert_int_equal(e->wal.active->number, number);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spare_needs_a_reserve),
        cmocka_unit_test(small_ones_are_merged),
        cmocka_unit_test(few_files_have_more_merged),
        cmocka_unit_test(what_is_dead_has_all_merged),
        cmocka_unit_test(who_writes_nothing_merges_no_run),
        cmocka_unit_test(room_of_the_log_is_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
