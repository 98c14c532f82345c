/* SPDX-License-Identifier: MIT */
/* A store of the usual sizes that is small when others fill the disk to the
 * last byte: all of it can be deleted, and then something small is taken, while
 * the store stays open, and when it is opened again.
 *
 *     small_store_test [SEEDS [FIRST]]
 */
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
    LEAST = 40000,  /* bytes: with its reserve and its log a store has more */
    MOST = 1000000, /* than so much, and less */
    VALUE = 3000,
    SMALL = 100,
    TRIES = 3,
    STEPS = 100000,
#ifdef __SANITIZE_ADDRESS__
    SEEDS = 8,
#else
    SEEDS = 60,
#endif
};

static uint64_t seeds = SEEDS, first = 1;
static fixture f;
static uint64_t random_state, seed, disk;
static unsigned value_size, count;
static bool streams;
static char data[VALUE];

static uint64_t draw(uint64_t below)
{
    return sim_random(&random_state) % below;
}

static void must(bool holds, const char *what)
{
    if (!holds)
        fail_msg("seed %llu (disk %llu KiB, %u %s of %u bytes): %s (%s)",
                 (unsigned long long)seed, (unsigned long long)disk >> 10,
                 count, streams ? "streams" : "values", value_size, what,
                 f.error.message);
}

static persist_status put(const char *of, unsigned n, size_t size)
{
    persist_status status =
        fixture_try_one(&f, streams ? PERSIST_APPEND : PERSIST_PUT, of, n,
                        slice_of(data, size), 0);
    fixture_work(&f, STEPS);
    return status;
}

static void open_again(void)
{
    fixture_close(&f);
    must(fixture_open(&f) == PERSIST_OK, "it cannot be opened");
    store_disk_by_steps(f.store);
}

static void takes_something_small(const char *when)
{
    persist_status status = PERSIST_NO_SPACE;
    for (int i = 0; i < TRIES && status == PERSIST_NO_SPACE; i++)
        status = put("small", 0, SMALL);
    must(status == PERSIST_OK, when);
}

static void fill(void)
{
    value_size = (unsigned)draw(VALUE - SMALL) + SMALL;
    count = LEAST / value_size +
            (unsigned)draw((MOST - LEAST) / value_size / (1 + draw(8)));
    streams = draw(2) == 0;
    for (unsigned i = 0; i < count; i++)
        must(put("k", i, value_size) == PERSIST_OK, "there is room");
}

static void empty(void)
{
    for (unsigned i = 0; i < count; i++) {
        must(fixture_try_one(&f, streams ? PERSIST_TRUNCATE : PERSIST_DELETE,
                             "k", i, slice_of(NULL, 0),
                             streams ? 1 : 0) == PERSIST_OK,
             "a deletion is refused");
        fixture_work(&f, STEPS);
    }
}

static void one(void)
{
    random_state = seed;
    f = (fixture){.sim = os_sim_new(1)};
    os_sim_use_blocks(f.sim, BLOCK);
    must(fixture_open(&f) == PERSIST_OK, "it cannot be made");
    store_disk_by_steps(f.store);
    fill();
    bool again = draw(2) == 0;
    if (again)
        open_again();
    disk = os_sim_space_used(f.sim);
    os_sim_limit_space(f.sim, disk);
    empty();
    takes_something_small("nothing is taken");
    open_again();
    takes_something_small("nothing is taken once it is opened again");
    os_sim_limit_space(f.sim, UINT64_MAX);
    fixture_end(&f);
}

/* A store on disk, as disk.c has it. */
typedef struct opened {
    persist_store head;
    engine *engine;
} opened;

static void flush(void)
{
    engine *e = ((const opened *)f.store)->engine;
    bool did;
    pthread_mutex_lock(&e->writer);
    must(upkeep_freeze_all(e, &did, &f.error) == PERSIST_OK, "it is frozen");
    pthread_mutex_unlock(&e->writer);
    fixture_work(&f, STEPS);
}

/* All that it has is a log with much ahead, and what that is opened with. */
static void it_goes_on_without_its_log(void **state)
{
    enum { MANY = 2000, WHEN_SMALL = 600 << 10 };
    (void)state;
    random_state = 1;
    seed = 0;
    streams = false;
    value_size = VALUE;
    f = (fixture){.sim = os_sim_new(1)};
    os_sim_use_blocks(f.sim, BLOCK);
    must(fixture_open(&f) == PERSIST_OK, "it cannot be made");
    store_disk_by_steps(f.store);
    for (count = 0; count < MANY; count++)
        must(put("k", count, value_size) == PERSIST_OK, "there is room");
    empty();
    flush();
    must(put("k", 0, value_size) == PERSIST_OK, "there is room");
    count = 1;
    fixture_close(&f);
    disk = os_sim_space_used(f.sim);
    must(disk > WHEN_SMALL, "it has no more than it needs");
    os_sim_limit_space(f.sim, disk);
    must(fixture_open(&f) == PERSIST_OK, "it cannot be opened");
    store_disk_by_steps(f.store);
    empty();
    takes_something_small("nothing is taken");
    os_sim_limit_space(f.sim, UINT64_MAX);
    fixture_end(&f);
}

static void it_can_be_emptied_and_goes_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)('a' + i * i % 26);
    for (seed = first; seed < first + seeds; seed++)
        one();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_can_be_emptied_and_goes_on),
        cmocka_unit_test(it_goes_on_without_its_log),
    };
    if (argc > 1)
        seeds = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        first = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
