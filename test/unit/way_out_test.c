/* SPDX-License-Identifier: MIT */
/* The way out of a full disk: whatever the sizes of disk, memtable and
 * segments, whatever was written and however the store has ended meanwhile,
 * everything in it can be truncated and deleted, it can be closed and opened,
 * and what was freed can be written again.
 *
 *     way_out_test [SEEDS [FIRST]]
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
    BLOCK = 4096,
    STREAMS = 30,
    KEYS = 2000,
    SYNC_EVERY = 20,
    REFUSED = 3,
    COMMITS_MAX = 60000,
    TRIES = 20,
    STEPS = 100000,
#ifdef __SANITIZE_ADDRESS__
    SEEDS = 6, /* of which each takes so much longer */
#else
    SEEDS = 20,
#endif
};

/* What comes between the full disk and the deletions. */
typedef enum between {
    NOTHING,
    CLOSED,
    KILLED,
    POWER_LOST,
    BETWEENS,
} between;

typedef struct plan {
    uint64_t seed;
    uint64_t disk; /* bytes */
    uint32_t memtable, segment;
    uint32_t small, big; /* values have so many bytes at the most */
    unsigned puts;       /* of 100 commits, the others append */
    unsigned keys;
    unsigned at_once; /* edits in a commit that deletes */
    between between, behind;
    bool taken;      /* somebody else takes what is left before */
    bool keys_first; /* are deleted */
    bool looked_at;  /* where nothing may be written, once it is full */
} plan;

static uint64_t seeds = SEEDS, first = 1;
static fixture f;
static plan now;
static uint64_t random_state;
static char data[8000 + 1];
static uint64_t written; /* bytes, since the last fill began */

static uint64_t draw(uint64_t below)
{
    return sim_random(&random_state) % below;
}

static void must(bool holds, const char *what)
{
    if (!holds)
        fail_msg("seed %llu (disk %llu KiB, memtable %u, segment %u, values of "
                 "%u and %u, %u keys, %u%% puts, %u at once, between %d, "
                 "behind %d, taken %d, keys first %d): %s (%s)",
                 (unsigned long long)now.seed,
                 (unsigned long long)now.disk >> 10, now.memtable, now.segment,
                 now.small, now.big, now.keys, now.puts, now.at_once,
                 now.between, now.behind, now.taken, now.keys_first, what,
                 f.error.message);
}

static void open_store(void)
{
    if (fixture_open(&f) != PERSIST_OK)
        must(false, "it cannot be opened");
    must(!store_is_shut(f.store), "it can only be read");
    store_disk_by_steps(f.store);
}

static void somebody_takes_the_rest(void)
{
    os_sim_limit_space(f.sim, os_sim_space_used(f.sim));
}

/* ---- filling ---------------------------------------------------------- */

static persist_status put_one(unsigned n)
{
    bool put = draw(100) < now.puts;
    uint64_t most = draw(10) == 0 ? now.big : now.small;
    uint64_t size = draw(most + 1);
    persist_status status = fixture_try_one(
        &f, put ? PERSIST_PUT : PERSIST_APPEND, put ? "key-" : "stream-",
        (unsigned)draw(put ? now.keys : STREAMS), slice_of(data, size), 0);
    written += status == PERSIST_OK ? size : 0;
    if (n % SYNC_EVERY == 0)
        fixture_wait(&f);
    fixture_keep_pace(&f, draw(FIXTURE_PACES));
    return status;
}

/* again: what upkeep can do is done before it counts. */
static void fill(bool again)
{
    unsigned refused = 0;
    written = 0;
    for (unsigned i = 0; i < COMMITS_MAX && refused < REFUSED; i++) {
        persist_status status = put_one(i);
        if (status == PERSIST_NO_SPACE && again) {
            fixture_work(&f, STEPS);
            status = put_one(i);
        }
        refused += status != PERSIST_OK;
        must(status == PERSIST_OK || status == PERSIST_NO_SPACE,
             "refused, but not for want of space");
    }
    fixture_wait(&f);
}

/* ---- emptying --------------------------------------------------------- */

static void free_some(const persist_edit *edits, size_t count)
{
    persist_status status =
        persist_commit(f.store, edits, count, NULL, NULL, &f.error);
    must(status == PERSIST_OK, "what frees space is refused");
    if (draw(SYNC_EVERY) == 0)
        fixture_wait(&f);
    fixture_keep_pace(&f, draw(FIXTURE_PACES));
}

static void free_all(persist_edit_kind kind, unsigned count)
{
    enum { AT_ONCE = 64 };
    persist_edit edits[AT_ONCE];
    char names[AT_ONCE][32];
    size_t n = 0;
    for (unsigned i = 0; i < count; i++) {
        snprintf(names[n], sizeof names[n],
                 kind == PERSIST_DELETE ? "key-%u" : "stream-%u", i);
        edits[n] = (persist_edit){.kind = kind, .name = slice_str(names[n])};
        if (kind == PERSIST_TRUNCATE)
            edits[n].seq = PERSIST_SEQ_MAX;
        if (++n == now.at_once || i + 1 == count) {
            free_some(edits, n);
            n = 0;
        }
    }
}

static void empty(void)
{
    if (now.keys_first)
        free_all(PERSIST_DELETE, now.keys);
    free_all(PERSIST_TRUNCATE, STREAMS);
    if (!now.keys_first)
        free_all(PERSIST_DELETE, now.keys);
    fixture_wait(&f);
}

static void write_again(void)
{
    int tries = 0;
    persist_status status;
    do {
        status = fixture_try(&f, PERSIST_PUT, "again", "x", 0);
        fixture_work(&f, STEPS);
    } while (status == PERSIST_NO_SPACE && ++tries < TRIES);
    must(status == PERSIST_OK, "nothing lives, and nothing can be written");
}

/* ---- one store on one disk -------------------------------------------- */

static void end_and_open(between how)
{
    if (how == NOTHING)
        return;
    if (how == CLOSED) {
        persist_status status = persist_close(f.store, &f.error);
        f.store = NULL;
        must(status == PERSIST_OK, "it cannot be closed");
    } else if (how == KILLED) {
        fixture_kill(&f);
    } else {
        fixture_power_off(&f, SIM_KEEP_NONE);
    }
    os_sim_limit_space(f.sim, now.taken ? os_sim_space_used(f.sim) : now.disk);
    open_store();
}

/* What is there is read, with no byte to write and no right to. */
static void look(void)
{
    os_sim *image = os_sim_kill(f.sim);
    persist_store *store;
    persist_options options = {
        PERSIST_OPTIONS, .path = "store", .segment_size = f.segment_size,
        .memtable_size = f.memtable_size, .os = os_sim_os(image)};
    os_sim_read_only(image, true);
    int keys = fixture_count_keys(&f);
    if (persist_open(&options, &store, &f.error) != PERSIST_OK)
        must(false, "it cannot be opened to be read");
    persist_store *own = f.store;
    f.store = store;
    must(fixture_count_keys(&f) == keys, "keys are missing");
    f.store = own;
    persist_close(store, NULL);
    os_sim_free(image);
}

static void draw_plan(uint64_t seed)
{
    static const uint32_t memtables[] = {16 << 10, 64 << 10, 256 << 10,
                                         1 << 20};
    static const uint32_t segments[] = {8 << 10, 16 << 10, 64 << 10, 256 << 10,
                                        1 << 20};
    static const uint32_t bigs[] = {8000, 8000, 1000, 0};
    random_state = seed;
    now = (plan){.seed = seed};
    now.memtable = memtables[draw(4)];
    now.segment = segments[draw(5)];
    now.disk = (((uint64_t)1 << 20) + draw(5 << 20)) / BLOCK * BLOCK;
    now.big = bigs[draw(4)];
    now.small = draw(2) == 0 ? 200 : 800;
    now.puts = draw(3) == 0 ? 20 : 60;
    now.keys = draw(3) == 0 ? KEYS / 10 : KEYS;
    now.at_once = draw(3) == 0 ? 64 : 1;
    now.between = (between)(draw(2) == 0 ? NOTHING : draw(BETWEENS));
    now.behind = (between)draw(BETWEENS);
    now.taken = draw(3) == 0;
    now.keys_first = draw(2) == 0;
    now.looked_at = draw(4) == 0;
    if (now.disk < 3 * now.memtable)
        now.disk = 3 * now.memtable;
}

static void one(uint64_t seed)
{
    draw_plan(seed);
    f = (fixture){.sim = os_sim_new(1),
                  .segment_size = now.segment,
                  .memtable_size = now.memtable};
    os_sim_use_blocks(f.sim, BLOCK);
    os_sim_limit_space(f.sim, now.disk);
    open_store();
    fill(false);
    uint64_t before = written;
    if (now.looked_at)
        look();
    if (now.taken)
        somebody_takes_the_rest();
    end_and_open(now.between);
    empty();
    end_and_open(now.behind);
    if (now.behind == NOTHING || !now.taken) /* else what came back is, too */
        write_again();
    os_sim_limit_space(f.sim, now.disk);
    write_again();
    fill(true);
    must(written >= before / 2, "less than half fits in again");
    now.taken = false;
    end_and_open(CLOSED);
    fixture_end(&f);
}

static void every_disk_has_a_way_out(void **state)
{
    (void)state;
    memset(data, '0', sizeof data);
    for (uint64_t i = 0; i < seeds; i++)
        one(first + i);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_disk_has_a_way_out),
    };
    if (argc > 1)
        seeds = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        first = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
