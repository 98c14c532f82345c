/* SPDX-License-Identifier: MIT */
/* A disk that has no file left to give, but bytes: whatever the store has done
 * and whenever it is killed, again and again, it can be opened and written,
 * what is in it can be truncated and deleted, and then something else can be
 * written.
 *
 *     few_files_test [SEEDS [FIRST]]
 *
 * Each seed is one store on one disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/os_sim_disk.h"
#include "fixture.h"
#include "store/store.h"

enum {
    STREAMS = 4,
    KEYS = 40,
    COMMITS = 400,
    SIZE = 3000,
    SMALL_KEYS = 1000, /* the same, of those that are small */
    SMALL_SIZE = 600,
    SMALL_COMMITS = 100,
    SMALL_USE = 4000,
    BIG_KEYS = 400, /* and of those that are big */
    BIG_SIZE = 12000,
    BIG_COMMITS = 1500,
    BIG_SHARE = 100,  /* one of them for so many seeds, and the first is one */
    BIG_FIRST = 2002, /* that was refused a deletion once */
    KILLS = 6,        /* in a row */
    CALLS = 120,      /* of the system, within which the next one comes */
    TRIES = 10,
    STEPS = 10000,
#ifdef __SANITIZE_ADDRESS__
    SEEDS = 40,
#else
    SEEDS = 150,
#endif
};

typedef struct sizes {
    uint32_t memtable, segment;
} sizes;

/* What there is of keys, and how big values are. */
typedef struct amount {
    unsigned keys, size;
} amount;

static uint64_t seeds = SEEDS, first = 1;
static fixture f;
static amount much;
static uint64_t seed, random_state;
static char data[BIG_SIZE + 1];
static unsigned kills, waits, pace;

/* The next kill: the disk as it was at that call. */
static uint64_t kill_at;
static os_sim *killed;

static uint64_t draw(uint64_t below)
{
    return sim_random(&random_state) % below;
}

static void must(bool holds, const char *what)
{
    if (!holds)
        fail_msg("seed %llu, memtable %u, segment %u, %u kills: %s (%s)",
                 (unsigned long long)seed, f.memtable_size, f.segment_size,
                 kills, what, f.error.message);
}

static void watch(void *context, const os_sim *s, sim_call call)
{
    (void)context;
    (void)call;
    if (kill_at > 0 && --kill_at == 0)
        killed = os_sim_kill(s);
}

static void open_store(void)
{
    if (fixture_open(&f) != PERSIST_OK)
        must(false, "it cannot be opened");
    must(!store_is_shut(f.store), "it can only be read");
    store_disk_by_steps(f.store);
}

static persist_status try_one(persist_edit_kind kind, const char *of,
                              unsigned n, size_t size)
{
    uint64_t seq = kind == PERSIST_TRUNCATE ? PERSIST_SEQ_MAX : 0;
    persist_status status =
        fixture_try_one(&f, kind, of, n, slice_of(data, size), seq);
    if (status == PERSIST_OK && draw(4) < waits)
        fixture_wait(&f);
    fixture_keep_pace(&f, draw(pace));
    return status;
}

static persist_status add_one(void)
{
    size_t size = draw(much.size + 1);
    return draw(2) == 0
               ? try_one(PERSIST_PUT, "key-", (unsigned)draw(much.keys), size)
               : try_one(PERSIST_APPEND, "stream-", (unsigned)draw(STREAMS),
                         size);
}

static void fill(void)
{
    unsigned refused = 0;
    for (unsigned i = 0; i < COMMITS && refused < 3; i++) {
        persist_status status = add_one();
        refused = status == PERSIST_OK ? 0 : refused + 1;
        must(status == PERSIST_OK || status == PERSIST_NO_SPACE,
             "refused, but not for want of space");
    }
}

static void empty(void)
{
    for (unsigned i = 0; i < STREAMS; i++)
        must(try_one(PERSIST_TRUNCATE, "stream-", i, 0) == PERSIST_OK,
             "a truncation is refused");
    for (unsigned i = 0; i < much.keys; i++)
        must(try_one(PERSIST_DELETE, "key-", i, 0) == PERSIST_OK,
             "a deletion is refused");
}

static void write_again(void)
{
    int tries = 0;
    persist_status status;
    do {
        status = add_one();
        fixture_work(&f, STEPS);
    } while (status == PERSIST_NO_SPACE && ++tries < TRIES);
    must(status == PERSIST_OK, "nothing lives, and nothing can be written");
}

/* So many commits are made before others have all files that the store has not.
 */
static void begin_with(sizes of, unsigned commits)
{
    f = (fixture){.sim = os_sim_new(1),
                  .segment_size = of.segment,
                  .memtable_size = of.memtable};
    open_store();
    for (unsigned i = 0; i < commits; i++)
        must(add_one() == PERSIST_OK, "refused, where there is room");
    fixture_work(&f, STEPS);
    if (draw(3) == 0) {
        fixture_close(&f);
        open_store();
    }
    os_sim_limit_files(f.sim, os_sim_files_used(f.sim) + draw(3));
}

static void begin(void)
{
    static const sizes all[] = {
        {0, 0},         {16 << 10, 16 << 10}, {64 << 10, 8 << 10},
        {256 << 10, 0}, {64 << 10, 64 << 10}, {16 << 10, 4096}};
    sizes of = all[draw(sizeof all / sizeof *all)];
    begin_with(of, 1 + (unsigned)draw(COMMITS));
}

/* A memtable has room for more than there ever is. */
static void begin_small(void)
{
    begin_with((sizes){0, 0}, 1 + (unsigned)draw(SMALL_COMMITS));
}

/* The process is killed within the next calls, or at their end. */
static void kill_within(uint64_t calls, void (*does)(void))
{
    kill_at = 1 + draw(calls);
    killed = NULL;
    os_sim_watch(f.sim, watch, NULL);
    does();
    os_sim_watch(f.sim, NULL, NULL);
    kill_at = 0;
    os_sim *image = killed == NULL ? os_sim_kill(f.sim) : killed;
    fixture_become(&f, image);
    kills++;
}

static void open_and_empty(void)
{
    open_store();
    if (draw(2) == 0)
        fill();
    empty();
    write_again();
}

/* Most is in one table, for which there is no room a second time: until much is
 * deleted it stays, and the others are all that can be merged. */
static void begin_big(void)
{
    f = (fixture){.sim = os_sim_new(1),
                  .segment_size = 64 << 10,
                  .memtable_size = 64 << 10};
    open_store();
    for (unsigned i = 0; i < BIG_COMMITS; i++)
        must(add_one() == PERSIST_OK, "refused, where there is room");
    fixture_work(&f, STEPS);
    uint64_t used = os_sim_space_used(f.sim);
    os_sim_limit_space(f.sim, used + used / 2 + draw(used / 2));
    os_sim_limit_files(f.sim, os_sim_files_used(f.sim) + draw(3));
}

static void begin_seed(uint64_t of, amount amounts, void (*begins)(void))
{
    random_state = seed = of;
    kills = 0;
    waits = (unsigned)draw(3);
    much = amounts;
    begins();
}

static void one(uint64_t of, amount amounts, void (*begins)(void))
{
    pace = FIXTURE_PACES;
    begin_seed(of, amounts, begins);
    kill_within(draw(2) == 0 ? CALLS : 50 * CALLS, fill);
    for (int i = 0; i < KILLS; i++)
        kill_within(CALLS, open_and_empty);
    open_and_empty();
    fixture_close(&f);
    open_store();
    empty();
    write_again();
    fixture_end(&f);
}

/* Puts are refused again and again, and every deletion in between is taken. */
static void use(unsigned commits)
{
    for (unsigned i = 0; i < commits; i++) {
        unsigned which = (unsigned)draw(much.keys);
        persist_status status = PERSIST_OK;
        switch (draw(8)) {
        case 0:
            status = try_one(PERSIST_DELETE, "key-", which, 0);
            must(status == PERSIST_OK, "a deletion is refused");
            break;
        case 1:
            status = try_one(PERSIST_TRUNCATE, "stream-", which % STREAMS, 0);
            must(status == PERSIST_OK, "a truncation is refused");
            break;
        default:
            status = add_one();
            must(status == PERSIST_OK || status == PERSIST_NO_SPACE,
                 "refused, but not for want of space");
        }
    }
}

/* The store is small when others take all files, and is closed in peace. */
static void one_in_use(uint64_t of, amount amounts, void (*begins)(void),
                       unsigned commits)
{
    begin_seed(of, amounts, begins);
    for (int i = 0; i < KILLS / 2; i++) {
        use(commits);
        fixture_close(&f);
        open_store();
    }
    empty();
    write_again();
    fixture_end(&f);
}

static void who_goes_on_may_delete(void **state)
{
    (void)state;
    memset(data, 'x', sizeof data);
    pace = FIXTURE_PACES;
    for (uint64_t i = 0; i < seeds / 4; i++)
        one_in_use(first + i, (amount){KEYS, SIZE}, begin, 2 * COMMITS);
}

/* Segments are filled and wanted faster than anything gives files back. */
static void so_may_who_is_faster_than_the_threads(void **state)
{
    (void)state;
    memset(data, 'x', sizeof data);
    pace = FIXTURE_LAGS;
    for (uint64_t i = 0; i < seeds / 8; i++)
        one_in_use(first + i, (amount){SMALL_KEYS, SMALL_SIZE}, begin_small,
                   SMALL_USE);
}

static void files_that_run_out_leave_a_way_out(void **state)
{
    (void)state;
    memset(data, 'x', sizeof data);
    for (uint64_t i = 0; i < seeds; i++)
        one(first + i, (amount){KEYS, SIZE}, begin);
}

static void so_do_they_beside_a_big_table(void **state)
{
    (void)state;
    memset(data, 'x', sizeof data);
    for (uint64_t i = 0; i < seeds / BIG_SHARE + 1; i++)
        one(BIG_FIRST + first + i, (amount){BIG_KEYS, BIG_SIZE}, begin_big);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_goes_on_may_delete),
        cmocka_unit_test(so_may_who_is_faster_than_the_threads),
        cmocka_unit_test(files_that_run_out_leave_a_way_out),
        cmocka_unit_test(so_do_they_beside_a_big_table),
    };
    if (argc > 1)
        seeds = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        first = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
