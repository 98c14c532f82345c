/* SPDX-License-Identifier: MIT */
/* A disk with no byte left: what is there is read, what frees space is taken,
 * and what it frees is free for all. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/space.h"
#include "fixture.h"
#include "store/store.h"

enum { MEMTABLE = 16 << 10, SEGMENT = 16 << 10, COUNT = 600, SIZE = 400 };

static fixture f;
static char data[SIZE + 1];

static void work(void)
{
    bool did = true;
    persist_error error;
    for (int i = 0; i < 1000 && did; i++)
        if (store_step(f.store, &did, &error) != PERSIST_OK)
            return;
}

/* Only what was called for, as the threads do it. */
static void work_called(void)
{
    fixture_work(&f, 1000);
}

static void begin(void)
{
    memset(data, 'x', SIZE);
    fixture_begin_tables(&f, MEMTABLE, 4);
    fixture_close(&f);
    f.segment_size = SEGMENT;
    fixture_reopen(&f);
    store_disk_by_steps(f.store);
    for (int i = 0; i < COUNT; i++) {
        fixture_append(&f, "s", data);
        work();
    }
}

/* Leaves no byte, and fills what the store has ahead, also what upkeep finds
 * room for when an event is refused. Returns how many events there are. */
static uint64_t fill(void)
{
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    for (int refused = 0; refused < 2;) {
        persist_status status = fixture_try(&f, PERSIST_APPEND, "s", data, 0);
        refused = status == PERSIST_OK ? 0 : refused + 1;
        assert_true(status == PERSIST_OK || status == PERSIST_NO_SPACE);
        work();
    }
    return fixture_info(&f, "s").count;
}

static void what_frees_space_is_taken(void **state)
{
    (void)state;
    begin();
    uint64_t count = fill();
    assert_true(count >= COUNT);
    assert_int_equal(fixture_try(&f, PERSIST_APPEND, "s", data, 0),
                     PERSIST_NO_SPACE);
    assert_int_equal(fixture_try(&f, PERSIST_TRUNCATE, "s", "", count - 1),
                     PERSIST_OK);
    assert_int_equal(fixture_try(&f, PERSIST_DELETE, "k", "", 0), PERSIST_OK);
    assert_int_equal(fixture_info(&f, "s").count, 1);
    work();
    for (int i = 0; i < COUNT / 2; i++) {
        fixture_append(&f, "s", data);
        work();
    }
    fixture_wait(&f);
    fixture_kill(&f);
    fixture_reopen(&f);
    assert_int_equal(fixture_info(&f, "s").count, COUNT / 2 + 1);
    fixture_end(&f);
}

/* All of it is log, which only a table gives back: a commit that finds no room
 * calls for it. */
static void what_is_refused_calls_for_upkeep(void **state)
{
    enum { ROOM = 1 << 20, TRIES = 5 };
    persist_status status = PERSIST_OK;
    (void)state;
    memset(data, 'x', SIZE);
    f = (fixture){.sim = os_sim_new(1), .segment_size = SEGMENT};
    os_sim_limit_space(f.sim, ROOM);
    fixture_reopen(&f);
    store_disk_by_steps(f.store);
    fixture_append(&f, "s", data);
    work_called();
    while (status == PERSIST_OK)
        status = fixture_try(&f, PERSIST_APPEND, "s", data, 0);
    assert_int_equal(status, PERSIST_NO_SPACE);
    work_called();
    fixture_do(&f, PERSIST_TRUNCATE, "s", "", PERSIST_SEQ_MAX);
    for (int i = 0; i < TRIES; i++) {
        status = fixture_try(&f, PERSIST_APPEND, "s", data, 0);
        work_called();
    }
    assert_int_equal(status, PERSIST_OK);
    fixture_end(&f);
}

/* A note of each would use up what is kept. */
static void deleting_nothing_takes_nothing(void **state)
{
    enum { MANY = 8000 };
    (void)state;
    begin();
    uint64_t count = fill();
    for (int i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof name, "never-%d", i);
        assert_int_equal(fixture_try(&f, PERSIST_DELETE, name, "", 0),
                         PERSIST_OK);
        work();
    }
    assert_int_equal(fixture_info(&f, "s").count, count);
    assert_int_equal(fixture_try(&f, PERSIST_TRUNCATE, "s", "", count - 1),
                     PERSIST_OK);
    work();
    fixture_append(&f, "s", data);
    fixture_end(&f);
}

static void what_is_there_is_read(void **state)
{
    (void)state;
    begin();
    uint64_t count = fill();
    fixture_wait(&f);
    fixture_kill(&f);
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    fixture_reopen(&f);
    assert_int_equal(fixture_info(&f, "s").count, count);
    assert_false(store_is_shut(f.store));
    assert_int_equal(fixture_try(&f, PERSIST_TRUNCATE, "s", "", count - 1),
                     PERSIST_OK);
    work();
    fixture_append(&f, "s", data);
    fixture_end(&f);
}

/* Not even the end of the log can be written again. */
static void it_is_read_without_any_room(void **state)
{
    (void)state;
    fixture_begin(&f, SEGMENT);
    fixture_append_many(&f, "s", "v", 4);
    fixture_kill(&f);
    const os *sys = os_sim_os(f.sim); /* an older program's has none */
    assert_int_equal(sys->unlink(sys, sys->cwd, "store/reserve.tmp"), 0);
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    for (int again = 0; again < 3; again++) {
        fixture_reopen(&f);
        assert_true(store_is_shut(f.store));
        assert_int_equal(fixture_info(&f, "s").count, 4);
        assert_int_equal(persist_durable(f.store), 4);
        assert_int_equal(fixture_try(&f, PERSIST_APPEND, "s", "x", 0),
                         PERSIST_NO_SPACE);
        assert_int_equal(fixture_try(&f, PERSIST_TRUNCATE, "s", "", 1),
                         PERSIST_NO_SPACE);
        fixture_wait(&f);
        if (again == 0)
            fixture_close(&f);
        else /* what it has shown was durable */
            fixture_power_off(&f, SIM_KEEP_NONE);
        os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    }
    os_sim_limit_space(f.sim, UINT64_MAX);
    fixture_reopen(&f);
    assert_false(store_is_shut(f.store));
    assert_int_equal(fixture_info(&f, "s").count, 4);
    fixture_append(&f, "s", "x");
    fixture_wait(&f);
    fixture_end(&f);
}

/* ---- opened anew ------------------------------------------------------ */

static void leave(uint64_t bytes)
{
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim) + bytes);
}

/* A store of tables with a last segment that is full or has room, closed
 * cleanly on a disk with so many bytes left, and opened there. */
static void open_full(int more, uint64_t bytes)
{
    begin();
    fixture_do(&f, PERSIST_PUT, "k", "v", 0);
    for (int i = 0; i < more; i++)
        fixture_append(&f, "s", data);
    fixture_close(&f);
    leave(bytes);
    fixture_reopen(&f);
    assert_false(store_is_shut(f.store));
    store_disk_by_steps(f.store);
}

/* Kills it, with the power or without, and opens it anew, still full. */
static void begin_anew(bool power)
{
    if (power)
        fixture_power_off(&f, SIM_KEEP_NONE);
    else
        fixture_kill(&f);
    leave(0);
    fixture_reopen(&f);
}

static uint64_t events(void)
{
    return fixture_info(&f, "s").count;
}

static void free_some(uint64_t left)
{
    uint64_t mark = fixture_info(&f, "s").mark;
    fixture_do(&f, PERSIST_TRUNCATE, "s", "", mark - left);
    fixture_do(&f, PERSIST_DELETE, "k", "", 0);
    fixture_wait(&f);
    assert_int_equal(events(), left);
}

/* What is free by now is free for all. */
static void goes_on(uint64_t left)
{
    work();
    for (int i = 0; i < COUNT / 2; i++) {
        fixture_append(&f, "s", data);
        work();
    }
    fixture_wait(&f);
    fixture_close(&f);
    leave(0);
    fixture_reopen(&f);
    assert_int_equal(events(), COUNT / 2 + left);
    assert_string_equal(fixture_value(&f, "k", PERSIST_LATEST), "-");
    fixture_end(&f);
}

static void what_frees_space_is_taken_when_opened_full(void **state)
{
    (void)state;
    for (int more = 0; more < 60; more++) {
        open_full(more, 0);
        if (more % 3 == 0) /* the last segment may have room */
            (void)fixture_try(&f, PERSIST_APPEND, "s", data, 0);
        free_some(2);
        goes_on(2);
    }
}

/* It is kept, whatever ends it, and the next opening frees space as well,
 * though somebody else takes each time what has come back. */
static void it_is_kept_and_goes_on_being_taken(void **state)
{
    (void)state;
    for (int end = 0; end < 3; end++) {
        open_full(7, 0);
        for (uint64_t left = 20; left > 10; left--) {
            free_some(left);
            if (end == 2) {
                work();
                fixture_close(&f);
                leave(0);
                fixture_reopen(&f);
            } else {
                begin_anew(end == 1);
            }
            store_disk_by_steps(f.store);
            assert_int_equal(events(), left);
        }
        free_some(2);
        os_sim_limit_space(f.sim, UINT64_MAX);
        goes_on(2);
    }
}

/* Somebody else's file takes what is given back. */
static void any_room_is_enough_or_refused(void **state)
{
    (void)state;
    for (uint64_t bytes = 0; bytes < 3 * SEGMENT; bytes += 509) {
        open_full(11, bytes);
        free_some(3);
        begin_anew(bytes % 2 == 0);
        assert_int_equal(events(), 3);
        free_some(2);
        goes_on(2);
    }
}

/* A close needs no spares any more: the table that it makes of the log may have
 * their room. */
static void a_close_gives_the_table_all_room(void **state)
{
    (void)state;
    enum { EVENTS = 100 };
    begin();
    fixture_close(&f);
    f.memtable_size = 8 * MEMTABLE;
    fixture_reopen(&f);
    store_disk_by_steps(f.store);
    for (int i = 0; i < EVENTS; i++) {
        fixture_append(&f, "t", data);
        work();
    }
    assert_int_equal(fixture_stats(&f).segments_spare, 2);
    leave(0);
    fixture_close(&f);
    leave(0);
    fixture_reopen(&f);
    assert_int_equal(fixture_stats(&f).replayed, 0);
    assert_int_equal(fixture_info(&f, "t").count, EVENTS);
    fixture_end(&f);
}

static uint64_t size_of_reserve(void)
{
    os_stat stat;
    const os *sys = os_sim_os(f.sim);
    int code = sys->stat(sys, sys->cwd, "store/reserve.tmp", &stat);
    assert_true(code == 0 || code == -ENOENT);
    return code == 0 && stat.is_file ? stat.size : 0;
}

static void close_once_more(uint32_t segment_size)
{
    f.segment_size = segment_size;
    fixture_reopen(&f);
    fixture_append(&f, "s", data);
    fixture_close(&f);
}

/* For what is in tables, and the log that a close has left. */
static void is_for_tables_and(uint64_t log)
{
    enum { LEAST = 64 << 10, NOTES = 4 << 10, PAGES = 8 << 10 };
    assert_in_range(size_of_reserve(), LEAST,
                    LEAST + NOTES + log + log / 8 + PAGES);
}

static void the_reserve_has_its_size(void **state)
{
    (void)state;
    begin();
    fixture_close(&f);
    is_for_tables_and(0);
    close_once_more(4 << 20);
    is_for_tables_and(SIZE);
    close_once_more(8 << 20);
    is_for_tables_and(2 * SIZE);
    close_once_more(SEGMENT);
    is_for_tables_and(3 * SIZE);
    /* what is no file is left alone */
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(sys->unlink(sys, sys->cwd, "store/reserve.tmp"), 0);
    assert_int_equal(sys->dir_make(sys, sys->cwd, "store/reserve.tmp"), 0);
    close_once_more(SEGMENT);
    assert_int_equal(size_of_reserve(), 0);
    leave(0);
    fixture_reopen(&f);
    assert_int_equal(fixture_try(&f, PERSIST_TRUNCATE, "s", "", 9),
                     PERSIST_NO_SPACE);
    fixture_end(&f);
}

/* What the log has ahead takes a table too: an opening that goes on with it
 * adds nothing before room for that is kept. */
static void the_end_of_the_log_is_kept_for(void **state)
{
    enum { ROOM = 4 << 20 };
    (void)state;
    memset(data, 'x', SIZE);
    fixture_begin(&f, ROOM);
    fixture_append_many(&f, "s", "v", 4);
    fixture_close(&f);
    leave(0);
    fixture_reopen(&f);
    store_disk_by_steps(f.store);
    assert_false(store_is_shut(f.store));
    assert_int_equal(fixture_try(&f, PERSIST_APPEND, "s", data, 0),
                     PERSIST_NO_SPACE);
    fixture_do(&f, PERSIST_TRUNCATE, "s", "", 2);
    leave(ROOM);
    fixture_append(&f, "s", data);
    fixture_end(&f);
}

/* An opening that writes the end of the log again does not keep the old one. */
static void what_was_copied_goes(void **state)
{
    (void)state;
    begin();
    fixture_kill(&f);
    fixture_reopen(&f);
    store_disk_by_steps(f.store);
    for (int i = 0; i < COUNT; i++) {
        fixture_append(&f, "s", data);
        work();
    }
    fixture_close(&f);
    assert_int_equal(space_count(f.sim).segments_unlisted, 0);
    fixture_end(&f);
}

/* An older program's: nothing is kept for it, and nothing is lost. */
static void a_store_without_a_reserve(void **state)
{
    (void)state;
    open_full(0, 0);
    fixture_close(&f);
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(sys->unlink(sys, sys->cwd, "store/reserve.tmp"), 0);
    leave(0);
    fixture_reopen(&f);
    assert_int_equal(fixture_try(&f, PERSIST_TRUNCATE, "s", "", 9),
                     PERSIST_NO_SPACE);
    assert_int_equal(events(), COUNT);
    os_sim_limit_space(f.sim, UINT64_MAX);
    fixture_append(&f, "s", data);
    fixture_close(&f);
    leave(0);
    fixture_reopen(&f);
    store_disk_by_steps(f.store);
    free_some(2);
    goes_on(2);
}

/* Calls that need room, and the others of the way out: one of them, or all from
 * it on, find none. What is told OK is kept, and the rest refused. */
static bool try_full_at(uint64_t nth, bool from_then_on)
{
    os_sim *before;
    open_full(13, 0);
    fixture_close(&f);
    os_sim_fail(f.sim,
                (sim_fault){.calls = 1u << SIM_OPEN | 1u << SIM_WRITE |
                                     1u << SIM_ALLOCATE | 1u << SIM_SYNC |
                                     1u << SIM_UNLINK | 1u << SIM_RENAME |
                                     1u << SIM_DIR_SYNC,
                            .nth = nth,
                            .from_then_on = from_then_on,
                            .error = ENOSPC});
    persist_status status = fixture_open(&f);
    uint64_t left = COUNT + 13;
    if (status == PERSIST_OK) {
        store_disk_by_steps(f.store);
        status = fixture_try(&f, PERSIST_TRUNCATE, "s", "", left - 2);
        if (status == PERSIST_OK)
            status = persist_wait_durable(f.store, persist_latest(f.store),
                                          &f.error);
        left = status == PERSIST_OK ? 2 : left;
        work();
    }
    bool hit = os_sim_faults(f.sim, SIM_CALLS) > 0;
    assert_true(status == PERSIST_OK || (hit && f.error.message[0] != '\0'));
    before = os_sim_kill(f.sim);
    os_sim_limit_space(before, UINT64_MAX);
    fixture_become(&f, before);
    fixture_reopen(&f);
    assert_true(events() == left || (status != PERSIST_OK && events() == 2));
    fixture_append(&f, "s", data);
    fixture_wait(&f);
    fixture_end(&f);
    return hit;
}

static void no_room_at_each_call(void **state)
{
    (void)state;
    for (int from_then_on = 0; from_then_on < 2; from_then_on++)
        for (uint64_t nth = 1; try_full_at(nth, from_then_on != 0); nth++)
            continue;
}

/* ---- small disks ------------------------------------------------------ */

enum { BIG = 8 << 10, SMALL_DISK = 8, NOT_SO_SMALL = 20, ROUNDS = 2 };

/* Tells how many there was room for. A refusal calls for what makes room: the
 * second in a row means that there is none. */
static int fill_with(persist_edit_kind kind, const char *big)
{
    char name[16];
    int count = 0;
    for (int refused = 0; refused < 2;) {
        snprintf(name, sizeof name, "k%d", count);
        persist_status status =
            fixture_try(&f, kind, kind == PERSIST_PUT ? name : "s", big, 0);
        refused = status == PERSIST_OK ? 0 : refused + 1;
        count += status == PERSIST_OK;
        if (refused > 0)
            assert_int_equal(status, PERSIST_NO_SPACE);
        if (refused > 0 || count % 64 == 0)
            work();
    }
    return count;
}

static void empty(persist_edit_kind kind, int count)
{
    enum { AT_ONCE = 64 };
    persist_edit edits[AT_ONCE];
    char names[AT_ONCE][16];
    if (kind == PERSIST_APPEND)
        fixture_do(&f, PERSIST_TRUNCATE, "s", "", fixture_info(&f, "s").mark);
    for (int i = 0; i < count && kind == PERSIST_PUT;) {
        size_t n = 0;
        for (; n < AT_ONCE && i < count; i++, n++) {
            snprintf(names[n], sizeof names[n], "k%d", i);
            edits[n] = (persist_edit){.kind = PERSIST_DELETE,
                                      .name = slice_str(names[n])};
        }
        if (persist_commit(f.store, edits, n, NULL, NULL, &f.error) !=
            PERSIST_OK)
            fail_msg("delete: %s", f.error.message);
    }
    fixture_wait(&f);
    work();
}

/* The usual sizes, where what was written last is in no table yet, and the log
 * takes most of the disk. */
static void small_disk(uint64_t megabytes, persist_edit_kind kind)
{
    static char big[BIG + 1];
    memset(big, 'x', BIG);
    fixture_begin(&f, 0);
    store_disk_by_steps(f.store);
    os_sim_limit_space(f.sim, megabytes << 20);
    for (int round = 0; round < ROUNDS; round++) {
        int count = fill_with(kind, big);
        if (count * (uint64_t)BIG < (megabytes << 20) / 4)
            fail_msg("%d MB, round %d: room for %d only", (int)megabytes, round,
                     count);
        empty(kind, count);
    }
    int again = fill_with(kind, big);
    fixture_wait(&f);
    fixture_kill(&f);
    os_sim_limit_space(f.sim, UINT64_MAX);
    fixture_reopen(&f);
    if (kind == PERSIST_APPEND)
        assert_int_equal(fixture_info(&f, "s").count, again);
    else
        assert_string_not_equal(fixture_value(&f, "k0", PERSIST_LATEST), "-");
    fixture_end(&f);
}

static void small_disks_can_be_emptied(void **state)
{
    (void)state;
    for (uint64_t size = SMALL_DISK; size <= NOT_SO_SMALL; size++) {
        small_disk(size, PERSIST_APPEND);
        if (size % 4 == 1)
            small_disk(size, PERSIST_PUT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_frees_space_is_taken),
        cmocka_unit_test(what_is_refused_calls_for_upkeep),
        cmocka_unit_test(deleting_nothing_takes_nothing),
        cmocka_unit_test(what_is_there_is_read),
        cmocka_unit_test(it_is_read_without_any_room),
        cmocka_unit_test(what_frees_space_is_taken_when_opened_full),
        cmocka_unit_test(it_is_kept_and_goes_on_being_taken),
        cmocka_unit_test(any_room_is_enough_or_refused),
        cmocka_unit_test(a_close_gives_the_table_all_room),
        cmocka_unit_test(the_reserve_has_its_size),
        cmocka_unit_test(the_end_of_the_log_is_kept_for),
        cmocka_unit_test(what_was_copied_goes),
        cmocka_unit_test(a_store_without_a_reserve),
        cmocka_unit_test(no_room_at_each_call),
        cmocka_unit_test(small_disks_can_be_emptied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
