/* SPDX-License-Identifier: MIT */
/* Ageing: the days of a store that keeps a bounded amount of data, counted in
 * commits, in one process; once with the numbers of a new store, and once with
 * those of one that is years old. What is bounded on the first days stays so:
 * disk, files, handles, memory, and the calls of the system that a commit
 * costs, on average and at the most. The system counts for free: no sync takes
 * time here. */
#include <stdio.h>
#include <string.h>

#include "../lib/age.h"
#include "../lib/clock.h"
#include "../lib/os_sim_disk.h"
#include "../lib/space.h"
#include "base/check.h"
#include "store/store.h"

enum {
    STREAMS = 8,
    KEYS = 64,
    KEPT = 100,      /* events of a stream, about */
    VALUE_MAX = 300, /* bytes */
    BIG = 24 << 10,  /* a value that needs a segment of its own */
    BLOB = 2000,
    SEGMENT = 8 << 10,
    MEMTABLE = 16 << 10,
    DAY = 1500, /* commits */
    DAYS_MIN = 8,
    DAYS_MAX = 4000,
    /* twice what can live at a time */
    DISK_MAX = 2 * (STREAMS * KEPT * VALUE_MAX + KEYS * BIG),
};

/* What is measured of a day. */
typedef enum figure {
    DISK,      /* bytes */
    FILES,     /* segments and tables */
    HANDLES,   /* open files and mappings */
    MEMTABLES, /* bytes */
    CALLS,     /* of the system, of a day */
    SLOWEST,   /* the most calls that one commit took */
    FIGURES
} figure;

static const char *const figure_names[FIGURES] = {
    "bytes on disk", "files",        "open handles",
    "memtables",     "system calls", "calls of the slowest commit"};

typedef struct life {
    os_sim *sim;
    persist_store *store;
    uint64_t random, commits;
    uint64_t marks[STREAMS]; /* events ever appended */
    uint64_t days[DAYS_MAX][FIGURES];
    size_t day_count;
} life;

static void must(persist_status status, const persist_error *error)
{
    if (status > PERSIST_NONE)
        fprintf(stderr, "ageing: %s\n", error->message);
    CHECK(status <= PERSIST_NONE);
}

static uint64_t draw(life *l, uint64_t below)
{
    return sim_random(&l->random) % below;
}

static void open_store(life *l, uint32_t memtable_size)
{
    persist_error error;
    const persist_options options = {PERSIST_OPTIONS,
                                     .path = "store",
                                     .create = true,
                                     .segment_size = SEGMENT,
                                     .memtable_size = memtable_size,
                                     .os = os_sim_os(l->sim)};
    must(persist_open(&options, &l->store, &error), &error);
    store_disk_by_steps(l->store);
}

static void close_store(life *l)
{
    persist_error error;
    must(persist_close(l->store, &error), &error);
    l->store = NULL;
}

/* ---- one commit ------------------------------------------------------- */

static void commit(life *l, persist_edit edit)
{
    persist_error error;
    persist_outcome outcome;
    must(persist_commit(l->store, &edit, 1, NULL, &outcome, &error), &error);
    must(persist_wait_durable(l->store, outcome.lsn, &error), &error);
    persist_outcome_release(&outcome);
    l->commits++;
}

static void append_or_truncate(life *l)
{
    static char event[VALUE_MAX];
    char name[16];
    uint64_t s = draw(l, STREAMS);
    snprintf(name, sizeof name, "stream-%d", (int)s);
    persist_edit edit = {.kind = PERSIST_APPEND,
                         .name = slice_str(name),
                         .data = slice_of(event, draw(l, VALUE_MAX))};
    if (l->marks[s] % KEPT == KEPT - 1)
        commit(l, (persist_edit){.kind = PERSIST_TRUNCATE,
                                 .name = edit.name,
                                 .seq = l->marks[s] - KEPT / 2});
    l->marks[s]++;
    commit(l, edit);
}

static void put_or_delete(life *l)
{
    static char value[BIG];
    char name[16];
    snprintf(name, sizeof name, "key-%d", (int)draw(l, KEYS));
    bool big = draw(l, 100) == 0;
    bool deletes = draw(l, 4) == 0;
    commit(l,
           (persist_edit){.kind = deletes ? PERSIST_DELETE : PERSIST_PUT,
                          .name = slice_str(name),
                          .data = slice_of(value, deletes ? 0
                                                  : big   ? BIG
                                                        : draw(l, VALUE_MAX))});
}

/* The same few, again and again. */
static void put_blob(life *l)
{
    static char bytes[BLOB];
    persist_error error;
    persist_cid cid;
    bytes[0] = (char)draw(l, 4);
    must(persist_blob_put(l->store, slice_of(bytes, BLOB), cid, &error),
         &error);
}

static void work(life *l)
{
    uint64_t kind = draw(l, 100);
    if (kind == 0)
        put_blob(l);
    else if (kind < 60)
        append_or_truncate(l);
    else
        put_or_delete(l);
}

static void background(life *l)
{
    persist_error error;
    bool did = true;
    for (int i = 0; i < 4 && did; i++)
        must(store_step(l->store, &did, &error), &error);
}

/* ---- days ------------------------------------------------------------- */

static void live_a_day(life *l)
{
    uint64_t *day = l->days[l->day_count++];
    uint64_t first = os_sim_calls(l->sim, SIM_CALLS), until = l->commits + DAY;
    while (l->commits < until) {
        uint64_t before = os_sim_calls(l->sim, SIM_CALLS);
        work(l);
        uint64_t calls = os_sim_calls(l->sim, SIM_CALLS) - before;
        if (calls > day[SLOWEST])
            day[SLOWEST] = calls;
        uint64_t disk = os_sim_space_used(l->sim);
        if (disk > day[DISK])
            day[DISK] = disk;
        background(l);
    }
    persist_stats stats = {PERSIST_STATS};
    persist_get_stats(l->store, &stats, NULL);
    space_files files = space_count(l->sim);
    day[FILES] = files.segments + files.tables;
    day[HANDLES] = os_sim_open_files(l->sim);
    day[MEMTABLES] = stats.memory;
    day[CALLS] = os_sim_calls(l->sim, SIM_CALLS) - first;
}

static uint64_t most(const life *l, size_t from, size_t to, figure f)
{
    uint64_t found = 0;
    for (size_t i = from; i < to; i++)
        if (l->days[i][f] > found)
            found = l->days[i][f];
    return found;
}

/* The later half of a life against the days before, half as much again. */
static uint64_t compare(const char *which, const life *l)
{
    uint64_t failed = 0;
    size_t half = l->day_count / 2;
    for (figure f = 0; f < FIGURES; f++) {
        uint64_t young = most(l, 0, half, f);
        uint64_t old = most(l, half, l->day_count, f);
        printf("%s: %s: %llu at the most, %llu later\n", which, figure_names[f],
               (unsigned long long)young, (unsigned long long)old);
        bool grows = old > young + young / 2;
        bool much = f == DISK && (young > DISK_MAX || old > DISK_MAX);
        if (grows || much)
            printf("VIOLATION: it %s\n", grows ? "grows" : "is too much");
        failed += grows || much;
    }
    return failed;
}

static uint64_t live(const arguments *args, bool aged, double until)
{
    static life l;
    l = (life){.sim = os_sim_new(args->seed), .random = args->seed};
    open_store(&l, 1); /* the first commit becomes a table */
    commit(&l, (persist_edit){.kind = PERSIST_PUT, .name = slice_str("key-0")});
    close_store(&l);
    if (aged)
        age_store(os_sim_os(l.sim), "store", AGE_EPOCH);
    open_store(&l, MEMTABLE);
    while (l.day_count < DAYS_MIN ||
           (seconds() < until && l.day_count < DAYS_MAX)) {
        last_word("a day of ageing");
        live_a_day(&l);
    }
    uint64_t failed = compare(aged ? "years old" : "new", &l);
    printf("figure: a store %s lived %zu days of %d commits\n",
           aged ? "that is years old" : "that was new", l.day_count, DAY);
    close_store(&l);
    os_sim_free(l.sim);
    return failed;
}

int main(int argc, char **argv)
{
    arguments args = arguments_read(argc, argv, 10);
    uint64_t failed = live(&args, false, args.budget / 2);
    failed += live(&args, true, args.budget);
    return verdict(2 * FIGURES - failed, failed);
}
