/* SPDX-License-Identifier: MIT */
/* Times of commits: they never go back, whatever the clock does, and positions
 * are found by them. */
#include "fixture.h"
#include "folder.h"

#include "../lib/os_sim_disk.h"
#include "../lib/wall.h"
#include "engine/table/times.h"

enum { EVERY_COMMIT = 1, NUMBER = 7, IDENTITY = 99, MANY = 4000 };

static fixture f;

static void append_at(uint64_t clock)
{
    wall_set(clock);
    fixture_append(&f, "s", "data");
}

static uint64_t time_of(uint64_t position)
{
    persist_cursor *cursor;
    const persist_event *e;
    assert_int_equal(persist_read_all(f.store, position, 1, PERSIST_LATEST,
                                      &cursor, &f.error),
                     PERSIST_OK);
    assert_int_equal(persist_next_event(cursor, &e, &f.error), PERSIST_OK);
    assert_int_equal(e->position, position);
    uint64_t time = e->time;
    persist_cursor_close(cursor);
    return time;
}

static uint64_t position_at(uint64_t time, persist_view view)
{
    uint64_t position = 0;
    persist_status status =
        persist_position_at(f.store, time, view, &position, &f.error);
    if (status != PERSIST_OK)
        fail_msg("%s", f.error.message);
    return position;
}

static void a_clock_that_goes_back_lowers_no_time(void **state)
{
    (void)state;
    for (uint32_t memory = 0; memory <= EVERY_COMMIT; memory++) {
        fixture_begin_tables(&f, memory, 2);
        append_at(500);
        append_at(300);
        append_at(900);
        fixture_close(&f);
        wall_set(10);
        fixture_reopen(&f);
        append_at(20);
        fixture_wait(&f);
        fixture_kill(&f);
        fixture_reopen(&f);
        append_at(30);
        append_at(901);
        static const uint64_t wanted[] = {500, 500, 900, 900, 900, 901};
        for (uint64_t i = 0; i < 6; i++)
            assert_int_equal(time_of(i + 1), wanted[i]);
        fixture_end(&f);
    }
}

/* All events are gone, and so are the commits that had the highest time. */
static void the_last_time_outlives_its_events(void **state)
{
    (void)state;
    for (uint32_t memory = 0; memory <= EVERY_COMMIT; memory++) {
        fixture_begin_tables(&f, memory, 2);
        append_at(5000);
        wall_set(7000);
        fixture_do(&f, PERSIST_TRUNCATE, "s", "", 1);
        wall_set(8000);
        fixture_do(&f, PERSIST_PUT, "k", "v", 0);
        for (int i = 0; i < 3; i++) {
            fixture_close(&f);
            fixture_reopen(&f);
        }
        append_at(1);
        assert_int_equal(time_of(2), 8000);
        fixture_end(&f);
    }
}

static void a_given_time_is_taken(void **state)
{
    (void)state;
    static const uint64_t given[] = {0, 40, 40, 100};
    fixture_begin_tables(&f, 0, 2);
    wall_set(5000);
    for (int i = 0; i < 4; i++) {
        const persist_edit edits[] = {
            {.kind = PERSIST_SET_TIME, .seq = given[i]},
            {.kind = PERSIST_APPEND, .name = slice_str("s")}};
        assert_int_equal(persist_commit(f.store, edits, 2, NULL, NULL, NULL),
                         PERSIST_OK);
    }
    fixture_do(&f, PERSIST_SET_TIME, "", "", 6000);
    fixture_append(&f, "s", "data");
    fixture_wait(&f);
    fixture_kill(&f);
    fixture_reopen(&f);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(time_of(i + 1), given[i]);
    assert_int_equal(time_of(5), 6000);
    assert_int_equal(
        fixture_try(&f, PERSIST_SET_TIME, "", "", PERSIST_SEQ_MAX + 1),
        PERSIST_BAD_REQUEST);
    fixture_end(&f);
}

/* ---- whatever ends it ---------------------------------------------------- */

static persist_lsn commit_at(uint64_t clock, uint64_t random)
{
    static const persist_edit_kind kinds[] = {
        PERSIST_PUT, PERSIST_DELETE, PERSIST_SET_MARK, PERSIST_TRUNCATE};
    persist_cid cid;
    wall_set(clock);
    if (random % 5 < 4)
        fixture_do(&f, kinds[random % 5], "k", random % 5 == 0 ? "v" : "", 0);
    else
        assert_int_equal(persist_blob_add(f.store, slice_of(&random, 8), cid,
                                          NULL, &f.error),
                         PERSIST_OK);
    return persist_latest(f.store);
}

/* Commits that make no event have the highest times: after each end, flush and
 * merge the next event is not before the last one of them that is left. */
static void no_end_lowers_the_time(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, EVERY_COMMIT, 300};
    for (unsigned kind = 0; kind < 12; kind++) {
        uint64_t random = kind, highest = 1, durable = 0;
        fixture_begin_tables(&f, sizes[kind % 3], 2);
        for (int round = 0; round < 30; round++) {
            for (uint64_t i = sim_random(&random) % 4; i > 0; i--) {
                uint64_t clock = highest + sim_random(&random) % 90;
                persist_lsn before = persist_latest(f.store);
                /* a truncation that drops nothing is none */
                if (commit_at(clock, sim_random(&random)) != before)
                    highest = clock > highest ? clock : highest;
            }
            if (round % 3 == 1) {
                fixture_wait(&f);
                durable = highest;
            }
            if (kind <
                6) { /* everything was acknowledged, or a close says so */
                fixture_close(&f);
                durable = highest;
            } else if (kind < 9) {
                fixture_kill(&f);
            } else {
                fixture_power_off(&f, SIM_KEEP_RANDOM);
            }
            wall_set(1);
            fixture_reopen(&f);
            fixture_append(&f, "s", "data");
            uint64_t time = time_of(persist_position(f.store, PERSIST_LATEST));
            assert_true(time >= durable && time <= highest);
            highest = time;
            fixture_do(&f, PERSIST_TRUNCATE, "s", "", PERSIST_SEQ_MAX);
        }
        fixture_end(&f);
    }
}

/* The commits of version 2 have no time; the first ones of version 3 have. */
static void a_store_of_version_2_gets_a_clock(void **state)
{
    (void)state;
    static const char *const stores[] = {"log", "tables", "crashed"};
    for (unsigned i = 0; i < 6; i++) {
        char command[512];
        os_dir *dir = folder_make("time");
        persist_options options = {PERSIST_OPTIONS, .path = dir->path,
                                   .memtable_size = i < 3 ? 0 : EVERY_COMMIT,
                                   .os = wall_os()};
        snprintf(command, sizeof command, "cp -r test/format/golden/2/%s/. %s",
                 stores[i % 3], dir->path);
        assert_int_equal(system(command), 0);
        static const uint64_t clocks[] = {5000, 70, 6000, 80};
        for (unsigned round = 0; round < 4; round++) {
            wall_set(clocks[round]);
            assert_int_equal(persist_open(&options, &f.store, &f.error),
                             PERSIST_OK);
            if (round == 0)
                assert_int_equal(
                    time_of(persist_position(f.store, PERSIST_LATEST)), 0);
            fixture_append(&f, "new", "data");
            uint64_t last = persist_position(f.store, PERSIST_LATEST);
            assert_int_equal(time_of(last), round < 2 ? 5000 : 6000);
            fixture_do(&f, PERSIST_TRUNCATE, "new", "", PERSIST_SEQ_MAX);
            assert_int_equal(persist_close(f.store, NULL), PERSIST_OK);
        }
        folder_remove(dir);
    }
}

/* What a clock shows that has no place in a record is no time. */
static void a_clock_beyond_all_times_is_none(void **state)
{
    (void)state;
    fixture_begin_tables(&f, EVERY_COMMIT, 2);
    append_at(700);
    append_at(UINT64_MAX);
    append_at(PERSIST_SEQ_MAX + 1);
    fixture_wait(&f);
    fixture_kill(&f);
    fixture_reopen(&f);
    append_at(PERSIST_SEQ_MAX);
    for (uint64_t i = 1; i <= 4; i++)
        assert_int_equal(time_of(i), i < 4 ? 700 : PERSIST_SEQ_MAX);
    fixture_end(&f);
}

/* Every layer of a store, and no layer at all. */
static void positions_are_found_by_time(void **state)
{
    (void)state;
    enum { EVENTS = 40 };
    for (uint32_t memory = 1; memory < 4000; memory *= 15) {
        fixture_begin_tables(&f, memory, 3);
        assert_int_equal(position_at(0, PERSIST_LATEST), 1);
        for (uint64_t i = 1; i <= EVENTS; i++)
            append_at(1000 + i / 2 * 10);
        fixture_wait(&f);
        for (uint64_t i = 1; i <= EVENTS; i++) {
            uint64_t first = i / 2 * 2 < 1 ? 1 : i / 2 * 2;
            uint64_t time = 1000 + i / 2 * 10;
            assert_int_equal(position_at(time, PERSIST_LATEST), first);
            assert_int_equal(position_at(time - 9, PERSIST_DURABLE), first);
        }
        assert_int_equal(position_at(1201, PERSIST_LATEST), EVENTS + 1);
        fixture_do(&f, PERSIST_TRUNCATE, "s", "", 17);
        assert_int_equal(position_at(0, PERSIST_LATEST), 18);
        fixture_do(&f, PERSIST_TRUNCATE, "s", "", EVENTS);
        assert_int_equal(position_at(0, PERSIST_LATEST), EVENTS + 1);
        append_at(2000);
        assert_int_equal(position_at(1500, PERSIST_LATEST), EVENTS + 1);
        assert_int_equal(position_at(2001, PERSIST_LATEST), EVENTS + 2);
        assert_int_equal(position_at(UINT64_MAX, PERSIST_LATEST), EVENTS + 2);
        fixture_end(&f);
    }
}

/* ---- the section of a table -------------------------------------------- */

static os_sim *sim;
static cache blocks;
static os_dir *folder;
static uint64_t positions[MANY], times[MANY];

static table *write_table(const table_place *place, size_t count)
{
    table_writer w;
    times_writer writer = {0};
    uint64_t size = 0;
    table *t = NULL;
    assert_int_equal(table_begin(&w, place, NUMBER, 4096, false, 0, NULL),
                     PERSIST_OK);
    for (size_t i = 0; i < count; i++)
        times_add(&writer, &w, positions[i], times[i]);
    times_end(&writer, &w);
    assert_int_equal(table_finish(&w, 1, 1, NULL), PERSIST_OK);
    size = w.footer.size;
    assert_int_equal(table_open(place, &blocks, NUMBER, size, &t, NULL),
                     PERSIST_OK);
    return t;
}

static void check_table(table *t, size_t count)
{
    times_reader r;
    persist_error error;
    uint64_t got;
    times_open(&r, t, false);
    for (size_t i = 0; i < count; i++) {
        size_t at = i * 7919 % count;
        assert_int_equal(times_at(&r, positions[at], &got, &error), PERSIST_OK);
        assert_int_equal(got, times[at]);
        bool first = at == 0 || times[at - 1] < times[at];
        if (!first)
            continue;
        assert_int_equal(times_find(&r, times[at], &got, &error), PERSIST_OK);
        assert_int_equal(got, positions[at]);
    }
    assert_int_equal(times_find(&r, times[count - 1] + 1, &got, &error),
                     PERSIST_NONE);
    assert_int_equal(times_at(&r, positions[count - 1] + 1, &got, &error),
                     PERSIST_CORRUPT);
    times_close(&r);
}

/* A folder for tables on a new disk. */
static table_place begin_tables(void)
{
    sim = os_sim_new(1);
    const os *sys = os_sim_os(sim);
    assert_int_equal(sys->dir_make(sys, sys->cwd, "t"), 0);
    assert_int_equal(sys->dir_open(sys, sys->cwd, "t", &folder), 0);
    cache_init(&blocks, 1 << 20);
    return (table_place){.sys = sys, .dir = folder, .identity = IDENTITY};
}

static void end_tables(const os *sys)
{
    cache_release(&blocks);
    sys->dir_close(sys, folder);
    assert_int_equal(os_sim_open_files(sim), 0);
    os_sim_free(sim);
}

/* Times of every width, positions with and without holes. */
static void a_table_tells_the_time_of_each_event(void **state)
{
    (void)state;
    static const uint64_t steps[] = {0, 1, 3, 900, 70000, 1u << 31};
    uint64_t random = 5;
    const table_place place = begin_tables();
    for (unsigned kind = 0; kind < 24; kind++) {
        uint64_t step = steps[kind % 6];
        uint64_t hole = kind < 6 ? 1 : kind / 6 * 40; /* 1: none */
        uint64_t pause = step == 0 ? 1 : 2 * step;
        uint64_t position = 1, time = kind % 5 == 0 ? 0 : 1u << 20;
        for (size_t i = 0; i < MANY; i++) {
            positions[i] = position;
            times[i] = time;
            position += 1 + sim_random(&random) % hole;
            time += sim_random(&random) % pause;
            if (i % 1999 == 1998)
                time += (uint64_t)1 << 58;
        }
        size_t count = kind == 7 ? 1 : MANY;
        table *t = write_table(&place, count);
        check_table(t, count);
        /* Without holes an event takes its bits, and next to nothing else. */
        if (hole == 1 && step == 900)
            assert_true(t->footer.size < MANY * 2);
        table_unref(t);
        char path[PERSIST_PATH_MAX];
        assert_int_equal(table_path(&place, NUMBER, path), 0);
        assert_int_equal(place.sys->unlink(place.sys, folder, os_name(path)),
                         0);
    }
    end_tables(place.sys);
}

/* A search that does not look at the highest position finds the one in front
 * of it. */
static void the_highest_position_is_found(void **state)
{
    (void)state;
    uint64_t got = 0;
    const table_place place = begin_tables();
    /* Too far from each other for one entry. */
    positions[0] = 1;
    times[0] = 5;
    positions[1] = PERSIST_SEQ_MAX;
    times[1] = 7;
    table *t = write_table(&place, 2);
    assert_int_equal(t->footer.roots[TABLE_TIMES].entries, 2);
    times_reader r;
    times_open(&r, t, false);
    for (uint64_t time = 4; time <= 7; time++) {
        assert_int_equal(times_find(&r, time, &got, &f.error), PERSIST_OK);
        assert_int_equal(got, time <= 5 ? 1 : PERSIST_SEQ_MAX);
    }
    assert_int_equal(times_find(&r, 8, &got, &f.error), PERSIST_NONE);
    times_close(&r);
    table_unref(t);
    end_tables(place.sys);
}

static void entries_that_nobody_writes_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t value[12];
        size_t size;
        bool valid;
    } entries[] = {
        {{9, 1}, 2, true},
        {{9, 3, 4, 0x11}, 4, true},
        {{9, 3, 3, 0x11}, 4, true},
        {{9, 3, 3, 0x51}, 4, false},
        {{9}, 1, false},
        {{9, 0}, 2, false},
        {{9, 3, 4}, 3, false},
        {{9, 3, 4, 1, 1}, 5, false},
        {{9, 3, 0, 1}, 4, false},
        {{9, 3, 57, 1}, 4, false},
        {{9, 0x82, 8, 1}, 4, false},
    };
    uint8_t bytes[ENTRY_ORDER_KEY_SIZE];
    times_entry e;
    entry_order_key(5, bytes);
    slice place = slice_of(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        assert_int_equal(
            times_entry_get(place, slice_of(entries[i].value, entries[i].size),
                            &e),
            entries[i].valid);
    assert_false(
        times_entry_get(slice_of(bytes, 7), slice_of(entries[0].value, 2), &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_that_goes_back_lowers_no_time),
        cmocka_unit_test(the_last_time_outlives_its_events),
        cmocka_unit_test(a_given_time_is_taken),
        cmocka_unit_test(no_end_lowers_the_time),
        cmocka_unit_test(a_store_of_version_2_gets_a_clock),
        cmocka_unit_test(a_clock_beyond_all_times_is_none),
        cmocka_unit_test(positions_are_found_by_time),
        cmocka_unit_test(a_table_tells_the_time_of_each_event),
        cmocka_unit_test(the_highest_position_is_found),
        cmocka_unit_test(entries_that_nobody_writes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
