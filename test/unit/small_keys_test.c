/* SPDX-License-Identifier: MIT */
/* The way out of a full disk where what deletes a key takes as much as it does
 * away with: keys with small values, or streams with an event, and names of any
 * length, fill it. All are deleted, in any order, and what comes back can be
 * written again. Names of streams stay for ever. Commits that work themselves
 * come to an end.
 *
 *     small_keys_test [SEEDS [FIRST]]
 *
 * Each seed is one store on one disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/time.h>

#include <cmocka.h>

#include "../lib/os_sim_disk.h"
#include "fixture.h"
#include "store/store.h"

enum {
    BLOCK = 4096,
    NAME_MAX_SIZE = 2000,
    NAME_USUAL = 200,
    SYNC_EVERY = 20,
    REFUSED = 3,
    AT_ONCE = 64,
    STEPS = 100000,
    MORE = 7919, /* a prime, more than there ever are of a part */
#ifdef __SANITIZE_ADDRESS__
    SEEDS = 2, /* of which each takes so much longer */
#else
    SEEDS = 36,
#endif
};

typedef enum turn {
    AS_WRITTEN,
    EVERY_SECOND,
    ALL_OVER,
    TURNS,
} turn;

typedef enum between {
    NOTHING,
    CLOSED,
    KILLED,
    BETWEENS,
} between;

static uint64_t seeds = SEEDS, first = 1;
static fixture f;
static uint64_t random_state, seed, disk;
static unsigned name_size, value_size, at_once;
static turn how;
static between before;
static bool streams, with_tags, by_itself; /* no step but those of commits */
static char data[NAME_USUAL + 1];

static uint64_t draw(uint64_t below)
{
    return sim_random(&random_state) % below;
}

static void must(bool holds, const char *what)
{
    if (!holds)
        fail_msg("seed %llu (disk %llu KiB, memtable %u, names of %u, values "
                 "of %u, %u at once, turn %d, between %d%s%s%s): %s (%s)",
                 (unsigned long long)seed, (unsigned long long)disk >> 10,
                 f.memtable_size, name_size, value_size, at_once, how, before,
                 streams ? ", streams" : "", with_tags ? ", tags" : "",
                 by_itself ? ", by itself" : "", what, f.error.message);
}

/* The threads come to all of it, to a part, or to nothing. */
static void let_work(void)
{
    static const int steps[] = {0, 1, 2, STEPS};
    if (draw(SYNC_EVERY) == 0)
        fixture_wait(&f);
    if (by_itself)
        return;
    fixture_work(&f, steps[draw(sizeof steps / sizeof *steps)]);
}

static void open_store(void)
{
    must(fixture_open(&f) == PERSIST_OK, "it cannot be opened");
    must(!store_is_shut(f.store), "it can only be read");
    if (!by_itself)
        store_disk_by_steps(f.store);
}

/* Names whose order is not that of their numbers. */
static slice name_of(uint64_t n, char *out)
{
    uint64_t spread = n * 0x9e3779b97f4a7c15u >> 24;
    int size =
        snprintf(out, NAME_MAX_SIZE, "%010llx", (unsigned long long)spread);
    while (size < (int)name_size)
        out[size++] = 'x';
    return slice_of(out, (size_t)size);
}

static persist_status put(uint64_t n)
{
    static const slice tags[] = {{"customer-1", 10}, {"order-1", 7}};
    char name[NAME_MAX_SIZE];
    persist_edit edit = {.kind = streams ? PERSIST_APPEND : PERSIST_PUT,
                         .name = name_of(n, name),
                         .data = slice_of(data, draw(value_size + 1))};
    if (with_tags) {
        edit.tags = tags;
        edit.tag_count = 2;
    }
    persist_status status =
        persist_commit(f.store, &edit, 1, NULL, NULL, &f.error);
    must(status == PERSIST_OK || status == PERSIST_NO_SPACE,
         "refused, but not for want of space");
    let_work();
    return status;
}

/* Tells how many found room. */
static uint64_t fill(uint64_t most)
{
    uint64_t count = 0;
    for (int refused = 0; refused < REFUSED && count < most;) {
        bool put_it = put(count) == PERSIST_OK;
        refused = put_it ? 0 : refused + 1;
        count += put_it;
        if (!put_it && !by_itself)
            fixture_work(&f, STEPS);
    }
    fixture_wait(&f);
    return count;
}

/* The number of what is deleted next. */
static uint64_t turn_of(uint64_t i, uint64_t count)
{
    uint64_t half = (count + 1) / 2;
    if (how == EVERY_SECOND)
        return i < half ? 2 * i : 2 * (i - half) + 1;
    return how == ALL_OVER ? i * MORE % count : i;
}

static void empty(uint64_t count)
{
    persist_edit edits[AT_ONCE];
    char names[AT_ONCE][NAME_MAX_SIZE];
    for (uint64_t i = 0; i < count;) {
        size_t n = 0;
        for (; n < at_once && i < count; n++, i++)
            edits[n] = (persist_edit){
                .kind = streams ? PERSIST_TRUNCATE : PERSIST_DELETE,
                .name = name_of(turn_of(i, count), names[n]),
                .seq = streams ? 1 : 0};
        must(persist_commit(f.store, edits, n, NULL, NULL, &f.error) ==
                 PERSIST_OK,
             "a deletion is refused");
        let_work();
    }
    fixture_wait(&f);
    if (!by_itself)
        fixture_work(&f, STEPS);
}

static void end_and_open(void)
{
    if (before == CLOSED)
        fixture_close(&f);
    else if (before == KILLED)
        fixture_kill(&f);
    os_sim_limit_space(f.sim, disk);
    if (before != NOTHING)
        open_store();
}

/* A segment may be of several memtables, and what it will hold is not known. */
static void vary(void)
{
    uint64_t kind = seed / 2;
    if (seed % 3 == 0)
        f.segment_size = 1 << 20;
    streams = seed % 2 == 1;
    with_tags = streams && draw(3) == 0;
    by_itself = draw(2) == 0;
    if (kind % 2 == 0) {
        name_size = kind % 4 == 0 ? 300 : NAME_MAX_SIZE - 1;
        at_once = 1;
    }
}

/* Tells how many of the things that were deleted are still there. */
static uint64_t left(void)
{
    return streams ? fixture_stats(&f).events
                   : (uint64_t)fixture_count_keys(&f);
}

static void one(void)
{
    static const unsigned values[] = {10, 60, 200};
    random_state = seed;
    disk = (((uint64_t)1 << 20) + draw(2 << 20)) / BLOCK * BLOCK;
    name_size = draw(3) == 0 ? NAME_USUAL - 1 : 10 + (unsigned)draw(50);
    value_size = values[draw(3)];
    at_once = draw(2) == 0 ? 1 : AT_ONCE;
    how = (turn)draw(TURNS);
    before = (between)draw(BETWEENS);
    f = (fixture){.sim = os_sim_new(1), .segment_size = 64 << 10};
    vary();
    f.memtable_size = draw(2) == 0 ? 64 << 10 : 256 << 10;
    os_sim_use_blocks(f.sim, BLOCK);
    os_sim_limit_space(f.sim, disk);
    open_store();
    uint64_t count = fill(UINT64_MAX);
    end_and_open();
    empty(count);
    must(left() == 0, "something is left");
    uint64_t least = disk < 2 * f.segment_size ? 1 : count / (streams ? 4 : 2);
    must(fill(count) >= least, "too little fits in again");
    fixture_end(&f);
}

static void all_keys_can_be_deleted(void **state)
{
    (void)state;
    memset(data, '0', sizeof data);
    for (seed = first; seed < first + seeds; seed++)
        one();
}

/* ---- without any room ---------------------------------------------------- */

/* Others take all that is free, the reserve too: deletions may be refused then,
 * but not after trying again and again. */
static void a_refusal_comes_to_an_end(void **state)
{
    (void)state;
    enum { NAME = 300, VALUE = 200, CPU_SECONDS = 20 };
    static const struct itimerval limit = {.it_value.tv_sec = CPU_SECONDS},
                                  none;
    memset(data, '0', sizeof data);
    random_state = seed = 1;
    disk = (uint64_t)1 << 20;
    name_size = NAME;
    value_size = VALUE;
    streams = by_itself = true;
    with_tags = false;
    f = (fixture){.sim = os_sim_new(1), .segment_size = 64 << 10};
    f.memtable_size = 64 << 10;
    os_sim_use_blocks(f.sim, BLOCK);
    os_sim_limit_space(f.sim, disk);
    open_store();
    uint64_t count = fill(UINT64_MAX), refused = 0;
    const os *sys = os_sim_os(f.sim);
    os_dir *dir;
    assert_int_equal(sys->dir_open(sys, sys->cwd, "store", &dir), 0);
    setitimer(ITIMER_PROF, &limit, NULL); /* ends the program */
    for (uint64_t i = 0; i < count; i++) {
        char name[NAME_MAX_SIZE];
        persist_edit edit = {
            .kind = PERSIST_TRUNCATE, .name = name_of(i, name), .seq = 1};
        if (i >= count / 3) {
            (void)sys->unlink(sys, dir, LAYOUT_RESERVE);
            os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
        }
        persist_status status =
            persist_commit(f.store, &edit, 1, NULL, NULL, &f.error);
        must(status == PERSIST_OK || status == PERSIST_NO_SPACE, "it fails");
        refused += status == PERSIST_NO_SPACE;
    }
    setitimer(ITIMER_PROF, &none, NULL);
    assert_true(refused > 0);
    sys->dir_close(sys, dir);
    os_sim_limit_space(f.sim, UINT64_MAX);
    how = AS_WRITTEN;
    at_once = 1;
    empty(count);
    must(left() == 0, "something is left");
    fixture_end(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_keys_can_be_deleted),
        cmocka_unit_test(a_refusal_comes_to_an_end),
    };
    if (argc > 1)
        seeds = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        first = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
