/* SPDX-License-Identifier: MIT */
/* Disks that are full again and again: what frees space is always taken, and
 * what it frees is free for the next write, with no more work behind it than
 * what the store itself has called for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/os_sim_disk.h"
#include "fixture.h"
#include "store/store.h"

enum {
    BLOCK = 4096,
    STREAMS = 3,
    KEYS = 8,
    VALUE = 800,
    CYCLES = 4,
    TRIES = 20,
    STEPS = 10000,
};

typedef struct sizes {
    uint32_t memtable, segment;
    unsigned disk; /* MiB */
    uint64_t seed;
} sizes;

static fixture f;
static sizes now;
static uint64_t random_state;
static char data[200000 + 1];

static uint64_t draw(uint64_t below)
{
    return sim_random(&random_state) % below;
}

static persist_status try(persist_edit_kind kind, const char *of, unsigned n,
                          size_t size, uint64_t seq)
{
    persist_status status =
        fixture_try_one(&f, kind, of, n, slice_of(data, size), seq);
    if (status == PERSIST_OK)
        fixture_wait(&f);
    fixture_keep_pace(&f, draw(FIXTURE_PACES));
    return status;
}

static void must(bool holds, const char *what)
{
    if (!holds)
        fail_msg("disk %u MiB, memtable %u, seed %llu: %s (%s)", now.disk,
                 now.memtable, (unsigned long long)now.seed, what,
                 f.error.message);
}

static void truncate_some(unsigned n)
{
    char name[16];
    snprintf(name, sizeof name, "s%u", n);
    uint64_t mark = fixture_info(&f, name).mark;
    uint64_t other = fixture_info(&f, "s0").mark;
    if (mark > 0)
        must(try(PERSIST_TRUNCATE, "s", n, 0, other < mark ? other : mark) ==
                 PERSIST_OK,
             "a truncation is refused");
}

static void fill(void)
{
    static const size_t lengths[] = {10, 1000, 30000, 200000};
    unsigned refused = 0, most = draw(2) == 0 ? 1 : 6;
    for (int i = 0; i < 3000 && refused < most; i++) {
        uint64_t x = draw(100);
        size_t size = lengths[draw(4)];
        persist_status status = PERSIST_OK;
        if (x < 45)
            status = try(PERSIST_PUT, "k", (unsigned)draw(KEYS), size, 0);
        else if (x < 90)
            status = try(PERSIST_APPEND, "s", (unsigned)draw(STREAMS), size, 0);
        else
            truncate_some((unsigned)draw(STREAMS));
        refused += status != PERSIST_OK;
        must(status == PERSIST_OK || status == PERSIST_NO_SPACE,
             "refused, but not for want of space");
    }
}

static void empty(void)
{
    char name[16];
    for (unsigned i = 0; i < STREAMS; i++) {
        snprintf(name, sizeof name, "s%u", i);
        uint64_t mark = fixture_info(&f, name).mark;
        if (mark > 0)
            must(try(PERSIST_TRUNCATE, "s", i, 0, mark) == PERSIST_OK,
                 "a truncation of all is refused");
    }
    for (unsigned i = 0; i < KEYS; i++)
        must(try(PERSIST_DELETE, "k", i, 0, 0) == PERSIST_OK,
             "a deletion is refused");
}

static void write_again(void)
{
    int tries = 0;
    persist_status status;
    do {
        status = try(PERSIST_PUT, "a", 0, 1, 0);
        fixture_work(&f, STEPS);
    } while (status == PERSIST_NO_SPACE && ++tries < TRIES);
    must(status == PERSIST_OK, "nothing lives, and nothing can be written");
}

static void run(sizes of)
{
    now = of;
    random_state = of.seed;
    memset(data, '0', sizeof data);
    f = (fixture){.sim = os_sim_new(1),
                  .segment_size = of.segment,
                  .memtable_size = of.memtable};
    os_sim_use_blocks(f.sim, BLOCK);
    os_sim_limit_space(f.sim, (uint64_t)of.disk << 20);
    fixture_reopen(&f);
    store_disk_by_steps(f.store);
    for (int i = 0; i < CYCLES; i++) {
        fill();
        empty();
        write_again();
    }
    fixture_end(&f);
}

static void a_disk_is_full_again_and_again(void **state)
{
    (void)state;
    static const sizes all[] = {
        {0, 0, 3, 3},
        {0, 0, 4, 3},
        {0, 0, 6, 1},
        {256 << 10, 128 << 10, 5, 2},
        {256 << 10, 128 << 10, 8, 2},
        {64 << 10, 128 << 10, 4, 15},
        {128 << 10, 0, 7, 8},
        {256 << 10, 1 << 20, 7, 3},
#ifndef __SANITIZE_ADDRESS__ /* three quarters of the time */
        {256 << 10, 128 << 10, 11, 1},
        {0, 0, 10, 1},
#endif
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        run(all[i]);
}

static persist_status put_one(unsigned n)
{
    return fixture_try_one(&f, PERSIST_PUT, "k", n, slice_str(data), 0);
}

static void put_many(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        assert_int_equal(put_one(i), PERSIST_OK);
        fixture_work(&f, STEPS);
    }
}

/* A memtable finds no room for its table, but that of tables that were merged
 * away. They had a reader when the last step looked, who then leaves. */
static void what_was_read_gives_room(void **state)
{
    enum { MANY = 500 };
    persist_cursor *cursor;
    unsigned n = 2 * MANY;
    (void)state;
    memset(data, 0, sizeof data);
    memset(data, '0', VALUE);
    fixture_begin_tables(&f, 64 << 10, 2);
    os_sim_use_blocks(f.sim, BLOCK);
    store_disk_by_steps(f.store);
    put_many(0, MANY);
    assert_int_equal(
        persist_scan(f.store, NULL, 1, PERSIST_LATEST, &cursor, &f.error),
        PERSIST_OK);
    put_many(MANY, n); /* merged with those that are read */
    for (int i = 0; i < 60; i++)
        assert_int_equal(put_one(n++), PERSIST_OK);
    const os *sys = os_sim_os(f.sim);
    assert_int_equal(sys->unlink(sys, sys->cwd, "store/reserve.tmp"), 0);
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    while (put_one(n) == PERSIST_OK)
        n++;
    fixture_work(&f, STEPS);
    /* nor is it tried again for what it has read itself */
    for (bool did = true; did;)
        assert_int_equal(store_disk_step_called(f.store, &did, &f.error),
                         PERSIST_OK);
    assert_int_equal(put_one(n), PERSIST_NO_SPACE);
    persist_cursor_close(cursor);
    fixture_work(&f, STEPS);
    assert_int_equal(put_one(n), PERSIST_OK);
    fixture_end(&f);
}

/* What is put into the rest of a segment that was made for deletions takes
 * nothing of what further ones need. */
static void what_is_added_leaves_room_to_delete(void **state)
{
    enum { ROUNDS = 3000, NAMES = 5000 };
    (void)state;
    memset(data, 0, sizeof data);
    memset(data, '0', VALUE / 8);
    random_state = 1;
    f = (fixture){.sim = os_sim_new(1), .memtable_size = 64 << 10};
    os_sim_use_blocks(f.sim, BLOCK);
    fixture_reopen(&f);
    store_disk_by_steps(f.store);
    put_many(0, 50);
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
    for (int i = 0; i < ROUNDS; i++) {
        char name[16];
        for (int j = 0; j < 3; j++)
            (void)put_one((unsigned)draw(NAMES));
        snprintf(name, sizeof name, "k%u", (unsigned)draw(NAMES));
        fixture_do(&f, PERSIST_DELETE, name, "", 0);
        fixture_work(&f, STEPS);
    }
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_leaves_room_to_delete),
        cmocka_unit_test(what_was_read_gives_room),
        cmocka_unit_test(a_disk_is_full_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
