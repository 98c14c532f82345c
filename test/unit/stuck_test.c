/* SPDX-License-Identifier: MIT */
/* A merge of all tables that found no room on a full disk is tried again as
 * soon as it may find some, whatever that is told by, and not before.
 *
 * What is deleted is in one commit, mostly: where small tables are merged, that
 * one is tried again, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/os_sim_disk.h"
#include "engine/upkeep/upkeep.h"
#include "fixture.h"
#include "store/store.h"

enum {
    BLOCK = 4096,
    MEMTABLE = 64 << 10,
    SEGMENT = 16 << 10,
    BIG = 20000,
    MANY = 3000,
    REFUSED = 20, /* in a row: there is no room */
    STEPS = 10000,
};

static const char reserve[] = "store/reserve.tmp";

static fixture f;
static uint64_t random_state;

/* A value of so many bytes, of which the first are noise. */
typedef struct what {
    size_t size, noise;
} what;

static const what big = {BIG, BIG}, noise = {1500, 1500};
static const what small = {60, 60}, tiny = {10, 10};
/* A table packs it: what died is then counted for more than there is. */
static const what packs = {1500, 350};

static persist_status put(const char *of, unsigned n, what w)
{
    char data[BIG] = {0};
    CHECK(w.noise <= w.size && w.size <= sizeof data);
    for (size_t i = 0; i < w.noise; i++)
        data[i] = (char)sim_random(&random_state);
    persist_status status =
        fixture_try_one(&f, PERSIST_PUT, of, n, slice_of(data, w.size), 0);
    fixture_work(&f, STEPS);
    return status;
}

static void put_many(const char *of, unsigned from, unsigned to, what w)
{
    for (unsigned i = from; i < to; i++)
        assert_int_equal(put(of, i, w), PERSIST_OK);
}

/* From one of them on, till no more fits. Returns the number of the next. */
static unsigned fill(const char *of, unsigned n, what w)
{
    for (int refused = 0; refused < REFUSED;) {
        bool fits = put(of, n, w) == PERSIST_OK;
        refused = fits ? 0 : refused + 1;
        n += fits;
    }
    return n;
}

/* In one commit. */
static void delete_all(const char *of, unsigned from, unsigned to)
{
    static persist_edit edits[MANY];
    static char names[MANY][16];
    size_t n = 0;
    CHECK(to <= MANY);
    for (unsigned i = from; i < to; i++, n++) {
        snprintf(names[n], sizeof names[n], "%s%u", of, i);
        edits[n] =
            (persist_edit){.kind = PERSIST_DELETE, .name = slice_str(names[n])};
    }
    if (persist_commit(f.store, edits, n, NULL, NULL, &f.error) != PERSIST_OK)
        fail_msg("what frees space is refused: %s", f.error.message);
    fixture_wait(&f);
    fixture_work(&f, STEPS);
}

static void open_store(uint32_t merge_width)
{
    persist_options options = {PERSIST_OPTIONS,
                               .path = "store",
                               .create = true,
                               .segment_size = SEGMENT,
                               .memtable_size = MEMTABLE,
                               .merge_width = merge_width,
                               .compress = true,
                               .os = os_sim_os(f.sim)};
    assert_int_equal(persist_open(&options, &f.store, &f.error), PERSIST_OK);
    store_disk_by_steps(f.store);
}

static void begin(uint32_t merge_width)
{
    random_state = 1;
    f = (fixture){.sim = os_sim_new(1)};
    os_sim_use_blocks(f.sim, BLOCK);
    open_store(merge_width);
}

static void limit(uint64_t more)
{
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim) + more);
}

/* A full disk. Returns how many there are. */
static unsigned begin_full(uint32_t merge_width)
{
    begin(merge_width);
    put_many("k", 0, 1000, packs);
    limit(0);
    return fill("k", 1000, noise);
}

static uint64_t table_bytes(void)
{
    return fixture_stats(&f).table_bytes;
}

/* What is deleted is so much that all would be merged. */
static void is_stuck(unsigned from, unsigned to)
{
    uint64_t before = table_bytes();
    delete_all("k", from, to);
    assert_true(table_bytes() >= before);
}

static bool is_merged_from(uint64_t before)
{
    return table_bytes() < before * 2 / 3;
}

/* Most entries live, but of the bytes next to none. */
static void less_is_known_to_live(void **state)
{
    (void)state;
    begin(0);
    put_many("small", 0, 500, small);
    put_many("k", 0, 40, big);
    limit(0);
    unsigned n = fill("k", 40, big);
    is_stuck(0, 4);
    uint64_t before = table_bytes();
    delete_all("k", 4, n);
    assert_true(is_merged_from(before));
    assert_true(fill("new", 0, big) > n / 2);
    fixture_end(&f);
}

/* All that there is was known to be dead before. */
static void less_is_counted(void **state)
{
    (void)state;
    unsigned n = begin_full(0);
    is_stuck(0, n / 2);
    uint64_t before = table_bytes();
    delete_all("k", n / 2, n - 20);
    assert_true(is_merged_from(before));
    fixture_end(&f);
}

/* Others give so much that nothing is refused. */
static void the_disk_is_not_full_any_more(void **state)
{
    (void)state;
    unsigned n = begin_full(0);
    is_stuck(0, n / 2);
    uint64_t before = table_bytes();
    os_sim_limit_space(f.sim, UINT64_MAX);
    put_many("new", 0, 1000, tiny);
    assert_true(is_merged_from(before));
    fixture_end(&f);
}

/* Others take of what is kept, and give it back. */
static void more_is_kept(void **state)
{
    enum { LESS = 60000, MORE = 240 << 10 };
    os_stat found;
    (void)state;
    unsigned n = begin_full(0);
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(sys->stat(sys, sys->cwd, reserve, &found), 0);
    assert_int_equal(sys->unlink(sys, sys->cwd, reserve), 0);
    limit(LESS);
    is_stuck(0, n * 7 / 10);
    uint64_t before = table_bytes();
    limit(MORE);
    delete_all("k", n - 1, n);
    assert_true(is_merged_from(before));
    fixture_end(&f);
}

/* Tables that were merged have had a reader till then. */
static void what_was_read_goes(void **state)
{
    persist_cursor *cursor;
    (void)state;
    begin(2);
    put_many("k", 0, 500, packs);
    assert_int_equal(
        persist_scan(f.store, NULL, 1, PERSIST_LATEST, &cursor, &f.error),
        PERSIST_OK);
    put_many("k", 500, 1000, packs);
    limit(0);
    unsigned n = fill("k", 1000, noise);
    is_stuck(0, n / 2);
    uint64_t before = table_bytes();
    persist_cursor_close(cursor);
    delete_all("k", n - 1, n);
    assert_true(is_merged_from(before));
    fixture_end(&f);
}

/* Each deletion would write as much as there is room for, in vain, of what is
 * kept for others. */
static void it_is_not_tried_in_vain(void **state)
{
    enum { DELETED = 32 };
    (void)state;
    unsigned n = begin_full(0);
    is_stuck(0, n / 2);
    uint64_t lent = os_sim_calls(f.sim, SIM_TRUNCATE);
    for (unsigned i = 0; i < DELETED; i++)
        delete_all("k", n / 2 + i, n / 2 + i + 1);
    assert_true(os_sim_calls(f.sim, SIM_TRUNCATE) - lent < DELETED / 2);
    fixture_end(&f);
}

/* ---- waiting for what gives room ----------------------------------------- */

/* A store on disk, as disk.c has it. */
typedef struct opened {
    persist_store head;
    engine *engine;
} opened;

static engine *engine_of(void)
{
    const opened *o = (const opened *)f.store;
    return o->engine;
}

/* A table of one key. */
static void put_table(const char *of, unsigned n)
{
    engine *e = engine_of();
    bool did;
    assert_int_equal(put(of, n, tiny), PERSIST_OK);
    pthread_mutex_lock(&e->writer);
    assert_int_equal(upkeep_freeze_all(e, &did, &f.error), PERSIST_OK);
    pthread_mutex_unlock(&e->writer);
    while (did)
        assert_int_equal(upkeep_step(e, &did, &f.error), PERSIST_OK);
}

/* What dies while it is merged is in the way of that merge, and not of the next
 * one: that needs next to no room. */
static void what_dies_meanwhile_counts(void **state)
{
    (void)state;
    enum { KEYS = 600, LITTLE = 64 << 10 };
    persist_error error;
    begin(MERGE_WIDTH_MAX);
    put_many("k", 0, KEYS, noise);
    engine *e = engine_of();
    bool did = true;
    atomic_store(&e->upkeep.dead, fixture_stats(&f).table_bytes / 2);
    wal_note_full(&e->wal);
    while (!e->upkeep.merging && did)
        assert_int_equal(upkeep_step(e, &did, &error), PERSIST_OK);
    assert_true(e->upkeep.merging);
    assert_true(e->upkeep.merge.sources[0].table == e->layers->tables[0]);
    atomic_store(&e->upkeep.dead, fixture_stats(&f).table_bytes);
    e->manifest.keys = 0;
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(sys->unlink(sys, sys->cwd, reserve), 0);
    (void)wal_make_room(&e->wal);
    limit(0);
    while (upkeep_step(e, &did, &error) == PERSIST_OK && did) {
    }
    assert_false(e->upkeep.merging);
    size_t from = 1;
    assert_true(policy_find_work(e, e->layers, &from));
    assert_int_equal(from, 0);
    e->manifest.keys = KEYS;
    os_sim_limit_space(f.sim, UINT64_MAX);
    fixture_end(&f);
}

/* What the active memtable knows to be dead becomes a table, though the merge
 * finds no room: then there is less to be merged. */
static void what_has_died_is_told(void **state)
{
    (void)state;
    enum { KEYS = 100, LITTLE = 32 << 10 }; /* less than a round */
    static persist_edit edits[KEYS];
    static char names[KEYS][16];
    persist_error error;
    bool did = true;
    begin(MERGE_WIDTH_MAX);
    put_many("k", 0, KEYS, big);
    engine *e = engine_of();
    atomic_store(&e->upkeep.dead, fixture_stats(&f).table_bytes / 2);
    wal_note_full(&e->wal);
    while (!e->upkeep.merging && did)
        assert_int_equal(upkeep_step(e, &did, &error), PERSIST_OK);
    assert_true(e->upkeep.merging);
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(names[i], sizeof names[i], "k%u", i);
        edits[i] =
            (persist_edit){.kind = PERSIST_DELETE, .name = slice_str(names[i])};
    }
    assert_int_equal(persist_commit(f.store, edits, KEYS, NULL, NULL, &error),
                     PERSIST_OK);
    fixture_wait(&f);
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(sys->unlink(sys, sys->cwd, reserve), 0);
    (void)wal_make_room(&e->wal);
    limit(LITTLE);
    while (upkeep_step(e, &did, &error) == PERSIST_OK && did) {
    }
    assert_true(table_bytes() < LITTLE);
    os_sim_limit_space(f.sim, UINT64_MAX);
    fixture_end(&f);
}

/* A merge of small tables begins, and finds no room: who waits for that need
 * not try again. */
static void a_merge_that_begins_is_no_gain(void **state)
{
    (void)state;
    unsigned n = 0;
    begin(MERGE_WIDTH_MAX);
    put_many("k", 0, 100, noise);
    while (n < 2 * MERGE_WIDTH_SMALL)
        put_table("s", n++);
    assert_true(fixture_stats(&f).tables > n);
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(sys->unlink(sys, sys->cwd, reserve), 0);
    (void)wal_make_room(&engine_of()->wal);
    limit(0);
    n = 0;
    while (n < REFUSED && upkeep_await_gain(engine_of()))
        n++;
    assert_true(n < REFUSED);
    os_sim_limit_space(f.sim, UINT64_MAX);
    assert_true(upkeep_await_gain(engine_of()));
    assert_true(fixture_stats(&f).tables < 2 * MERGE_WIDTH_SMALL);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_merge_that_begins_is_no_gain),
        cmocka_unit_test(what_dies_meanwhile_counts),
        cmocka_unit_test(what_has_died_is_told),
        cmocka_unit_test(less_is_known_to_live),
        cmocka_unit_test(less_is_counted),
        cmocka_unit_test(the_disk_is_not_full_any_more),
        cmocka_unit_test(more_is_kept),
        cmocka_unit_test(what_was_read_goes),
        cmocka_unit_test(it_is_not_tried_in_vain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
