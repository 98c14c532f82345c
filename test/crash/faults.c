/* SPDX-License-Identifier: MIT */
/* One fault at every call: the first, second, third ... call of the system,
 * or allocation, fails in each way, once or from then on, in a workload and
 * in the recovery; and disks of every size up to enough. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../lib/clock.h"
#include "../lib/os_sim_disk.h"
#include "../lib/sites.h"
#include "../lib/trial.h"

enum {
    SEGMENT_SIZE = 4096,
    VIOLATIONS_MAX = 3,
    DISK_MAX = 64 << 10,
    DISK_STEP = 509, /* once the first bytes were counted one by one */
    DISK_BYTES = 20,
    WORKLOAD_MAX = 96,
    PASSES = 16, /* each over every so manieth place */
    SHRINK_SECONDS = 60,
};

static explorer *x;
static arguments args;

/* The first workload; the next ones are drawn. */
static const op fixed[] = {
    {OP_APPEND_A, 1},       {OP_PUT_K, 2},          {OP_WAIT, 0},
    {OP_BATCH, 3},          {OP_ONCE_APPEND, 0},    {OP_BLOB_SMALL, 4},
    {OP_APPEND_LARGE, 5},   {OP_STEP, 0},           {OP_WAIT, 0},
    {OP_APPEND_HUGE, 6},    {OP_APPEND_LARGE, 7},   {OP_APPEND_LARGE, 8},
    {OP_TRUNCATE_HALF, 0},  {OP_WAIT, 0},           {OP_EXPECT_KEY, 9},
    {OP_DELETE_K, 0},       {OP_EXPECT_ABSENT, 22}, {OP_STEP, 0},
    {OP_BACKUP, 0},         {OP_PUT_LARGE, 10},     {OP_BLOB_LARGE, 11},
    {OP_BLOB_READ, 4},      {OP_BLOB_LARGE, 11},    {OP_BLOB_WRITE, 23},
    {OP_BLOB_SMALL, 24},    {OP_BLOB_SMALL, 25},    {OP_BLOB_SMALL, 26},
    {OP_BLOB_SMALL, 27},    {OP_BACKUP, 1},         {OP_BACKUP, 2},
    {OP_MIXED, 17},         {OP_READ, 0},           {OP_REOPEN, 0},
    {OP_ONCE_APPEND, 0},    {OP_APPEND_AT, 12},     {OP_APPEND_LARGE, 13},
    {OP_APPEND_LARGE, 14},  {OP_WAIT, 0},           {OP_EXPECT_HOLDS, 15},
    {OP_TRUNCATE_HALF, 0},  {OP_APPEND_HUGE, 18},   {OP_PUT_K, 19},
    {OP_EXPECT_ABSENT, 20}, {OP_APPEND_HUGE, 21},   {OP_STEP, 0},
    {OP_REOPEN, 1},         {OP_BATCH, 16},         {OP_READ, 0},
    {OP_TAGGED, 9},         {OP_TAGGED, 31},        {OP_DECIDED, 1},
    {OP_APPEND_LARGE, 28},  {OP_APPEND_HUGE, 29},   {OP_STEP, 0},
    {OP_COMPACT, 0},        {OP_TAGGED, 24},        {OP_DECIDED, 3},
    {OP_UNDECIDED, 12},     {OP_READ, 0},           {OP_TAGGED, 33},
    {OP_TRUNCATE_ALL, 0},   {OP_PURGE, 0},          {OP_STEP, 0},
    {OP_STEP, 0},           {OP_APPEND_A, 30},      {OP_WAIT, 0},
    {OP_BLOB_LARGE, 31},    {OP_REOPEN, 2},         {OP_PUT_K, 32},
    {OP_SET_ONCE, 5},       {OP_REFER, 4},          {OP_SET_MARK, 4},
    {OP_SET_ONCE, 7},       {OP_WAIT, 0},           {OP_READ, 0},
};
enum { FIXED = sizeof fixed / sizeof *fixed };

/* Each workload is run with a table for every commit, for some, for none, and
 * with tables that are made step by step. */
static const struct {
    uint32_t memtable_size;
    bool by_steps, compress;
    const char *path;
} modes[] = {{1, false, false, NULL},
             {0, false, false, NULL},
             {600, true, true, "./store"},
             {600, false, false, NULL},
             {1, true, false, NULL}};
enum { MODES = sizeof modes / sizeof *modes };

/* What once lost something, or left files behind, each with a reason. */
static const struct {
    uint32_t memtable_size;
    bool by_steps;
    const char *ops;
} found[] = {
    /* a table was deleted that a renamed manifest listed */
    {12000, false,
     "append-large:0 append-large:1 append-large:2 append-large:3 "
     "append-large:4 append-large:5 append-large:6 append-large:7"},
    /* a refused commit left a segment that no manifest named */
    {1, true,
     "append-a:1 append-huge:4 step:0 step:0 append-a:5 wait:0 append-a:6"},
    {600, true, "append-large:2 append-huge:4 step:0 step:0 put-k:5 wait:0"},
    /* each commit that was refused left a table */
    {1, false,
     "append-a:1 put-k:2 batch:3 once-append:0 blob-small:4 append-large:5 "
     "append-a:6 put-k:7 append-a:8 put-k:9 append-a:10 put-k:11 append-a:12"},
};
enum { FOUND = sizeof found / sizeof *found };

static op workload[WORKLOAD_MAX];
static size_t workload_count;
static uint64_t workloads;
/* Which places are tried: this one, and every so manieth after it. */
static uint64_t first_place = 1, stride = 1, passes;

static bool may_go_on(void)
{
    uint64_t most = args.first ? 1 : VIOLATIONS_MAX;
    return x->violations < most && seconds() < args.budget;
}

/* ---- all trials ------------------------------------------------------- */

/* The errors of each call, by its manual page. */
#define BIT(call) (1u << SIM_##call)
enum {
    TRANSFERS = BIT(READ) | BIT(WRITE),
    SYNCS = BIT(SYNC) | BIT(DIR_SYNC),
    LOOKS = BIT(STAT) | BIT(MAY_WRITE),
    LOCKS = BIT(LOCK) | BIT(DIR_LOCK),
    NAMES = BIT(RENAME) | BIT(UNLINK) | BIT(MKDIR),
    GROWS = BIT(OPEN) | BIT(WRITE) | BIT(ALLOCATE) | BIT(MKDIR) | BIT(RENAME),
    FULL = GROWS | SYNCS | BIT(CLOSE) | BIT(UNLINK) | BIT(TRUNCATE),
    OPENS = BIT(OPEN) | BIT(LIST) | BIT(DIR_OPEN),
    CHANGES = BIT(OPEN) | BIT(WRITE) | BIT(ALLOCATE) | BIT(TRUNCATE),
    MEMORY = OPENS | NAMES | LOOKS | BIT(SIZE) | BIT(FILE_STAT) | BIT(MAP) |
             BIT(MAP_LOAD),
    INTERRUPTED = TRANSFERS | SYNCS | BIT(ALLOCATE),
};
#define ONCE(error_) .name = #error_, .fault.error = (error_)
#define LASTING(error_)                                                        \
    .name = #error_, .fault.error = (error_), .fault.from_then_on = true
#define DONE(error_) .name = "done", .fault.error = (error_), .fault.done = true
#define CALLS(calls_) .fault.calls = (calls_)
#define NAMED(calls_, name_) .fault.calls = (calls_), .fault.on = (name_)

static const trial kinds[] = {
    {ONCE(EIO), CALLS(~0u)},
    {ONCE(ENOSPC), CALLS(FULL)},
    {ONCE(EINTR), CALLS(INTERRUPTED), .fault.keep_pages = true},
    {ONCE(EMFILE), CALLS(OPENS)},
    {.name = "short", CALLS(TRANSFERS)},
    {LASTING(EIO), CALLS(~0u)},
    {LASTING(ENOSPC), CALLS(FULL)},
    {.name = "short", CALLS(TRANSFERS), .fault.from_then_on = true},
    {ONCE(ENOMEM), CALLS(MEMORY)},
    {ONCE(EDQUOT), CALLS(FULL)},
    {ONCE(EROFS), CALLS(CHANGES | NAMES | SYNCS | BIT(PROTECT))},
    {ONCE(EACCES), CALLS(OPENS | NAMES | LOOKS)},
    {ONCE(EPERM),
     CALLS(BIT(OPEN) | NAMES | BIT(PROTECT) | BIT(ALLOCATE) | BIT(TRUNCATE))},
    {ONCE(ENFILE), CALLS(OPENS | BIT(MAP))},
    {ONCE(EFBIG), CALLS(BIT(WRITE) | BIT(ALLOCATE) | BIT(TRUNCATE))},
    {ONCE(EBUSY), CALLS(BIT(RENAME) | BIT(UNLINK))},
    /* Of what is there, as a network's file system may say of a handle. */
    {ONCE(ENOENT), CALLS(BIT(DIR_OPEN) | LOOKS)},
    {ONCE(ENOLCK), CALLS(LOCKS)},
    {LASTING(EROFS),
     CALLS(CHANGES | NAMES | SYNCS | BIT(PROTECT) | BIT(MAY_WRITE))},
    {LASTING(EACCES), CALLS(OPENS | NAMES | LOOKS)},
    {LASTING(EMFILE), CALLS(OPENS)},
    {LASTING(ENOMEM), CALLS(MEMORY)},
    /* One file that fails while all others do not. */
    {LASTING(EACCES), NAMED(BIT(OPEN), "manifest.tmp")},
    {LASTING(EIO), NAMED(BIT(RENAME), "manifest.tmp")},
    {LASTING(EIO), NAMED(BIT(RENAME), ".log")},
    {LASTING(EIO), NAMED(BIT(OPEN), ".log")},
    {LASTING(EIO), NAMED(BIT(OPEN), ".tbl")},
    /* What a network's file system has done, and tells an error of. */
    {DONE(EIO), CALLS(NAMES)},
    {DONE(ENOENT), CALLS(BIT(RENAME)), .fault.from_then_on = true},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Puts a trial at one of the places of its kind; false past the last one. */
static bool set_place(trial *t, uint64_t place)
{
    uint64_t most = t->where == RECOVERY ? DISK_MAX / 4 : DISK_MAX;
    if (t->fault.nth > 0)
        t->fault.nth = place;
    else if (t->allocation > 0)
        t->allocation = place;
    else
        t->disk_size = place <= DISK_BYTES
                           ? place
                           : DISK_BYTES + (place - DISK_BYTES) * DISK_STEP;
    return t->disk_size < most;
}

/* Runs a trial at its places, until one fails. */
static bool sweep(trial t, bool shrinking)
{
    uint64_t before = x->violations;
    trial_workload(workload, workload_count, shrinking);
    for (uint64_t place = shrinking ? 1 : first_place; set_place(&t, place);
         place += shrinking ? 1 : stride)
        if ((!trial_run(&t) && t.disk_size == 0) || x->violations > before ||
            (!shrinking && !may_go_on()))
            break;
    return x->violations == before;
}

/* Takes ops away from the workload while the trial goes on to fail at some
 * place, and tells how to replay what is left. */
static void shrink(const trial *t)
{
    uint64_t violations = x->violations;
    double until = seconds() + SHRINK_SECONDS;
    for (size_t i = workload_count;
         i-- > 0 && !args.first && seconds() < until;) {
        op removed = workload[i];
        size_t behind = workload_count - i - 1;
        memmove(&workload[i], &workload[i + 1], behind * sizeof removed);
        workload_count--;
        if (!sweep(*t, true))
            continue;
        memmove(&workload[i + 1], &workload[i], behind * sizeof removed);
        workload[i] = removed;
        workload_count++;
    }
    x->violations = violations;
    buf text = {0};
    ops_print(workload, workload_count, &text);
    printf("replay: faults --seed %llu --memtable %u%s --replay \"%.*s\"\n",
           (unsigned long long)x->seed, x->memtable_size,
           x->by_steps ? " --by-steps" : "", (int)text.size,
           (const char *)text.data);
    buf_release(&text);
}

static void try_everywhere(trial t)
{
    if (may_go_on() && !sweep(t, false))
        shrink(&t);
}

static void all_calls(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        trial t = kinds[kind];
        bool at_sites = t.fault.error == EIO && !t.fault.done;
        if ((args.sites != NULL && !at_sites) ||
            (!arguments_want(&args, "calls") && !arguments_want(&args, t.name)))
            continue;
        t.fault.nth = 1;
        try_everywhere(t);
        t.where = RECOVERY;
        for (t.variant = 0; t.variant < 3; t.variant++)
            try_everywhere(t);
        t.variant = 0;
        t.where = VERIFYING;
        try_everywhere(t);
        t.where = IN_MEMORY;
        try_everywhere(t);
    }
}

static void all_allocations(void)
{
    static const where places[] = {WORKLOAD, RECOVERY, VERIFYING, IN_MEMORY};
    for (int forever = 0; forever < (args.sites == NULL ? 2 : 1); forever++)
        for (size_t i = 0; i < sizeof places / sizeof *places; i++)
            try_everywhere((trial){.name = "no memory",
                                   .where = places[i],
                                   .variant = places[i] == RECOVERY,
                                   .allocation = 1,
                                   .allocations_from_then_on = forever != 0});
}

static void all_disks(void)
{
    try_everywhere((trial){.name = "full disk", .disk_size = 1});
    try_everywhere((trial){
        .name = "full disk", .where = RECOVERY, .variant = 2, .disk_size = 1});
}

static void draw_workload(uint64_t *random)
{
    workload_count = FIXED / 2 + sim_random(random) % FIXED / 2;
    for (size_t i = 0; i < workload_count; i++)
        workload[i] = op_random(random);
}

static void try_workload(void)
{
    op whole[WORKLOAD_MAX];
    size_t count = workload_count;
    memcpy(whole, workload, sizeof whole);
    workloads++;
    all_calls();
    if (arguments_want(&args, "disks") && args.sites == NULL)
        all_disks();
    if (arguments_want(&args, "allocations"))
        all_allocations();
    memcpy(workload, whole, sizeof whole);
    workload_count = count;
}

/* Frees more segments at once than are kept as spares. */
static void try_many_segments(void)
{
    workload_count = 18;
    for (unsigned i = 0; i < workload_count; i++)
        workload[i] = (op){OP_APPEND_LARGE, i};
    x->memtable_size = 12000;
    try_workload();
}

static void try_found(void)
{
    for (int i = 0; i < FOUND && may_go_on(); i++) {
        x->memtable_size = found[i].memtable_size;
        x->by_steps = found[i].by_steps;
        workload_count = ops_parse(found[i].ops, workload, WORKLOAD_MAX);
        try_workload();
    }
}

static void try_modes(void)
{
    for (int mode = 0; mode < MODES && may_go_on(); mode++) {
        x->memtable_size = modes[mode].memtable_size;
        x->by_steps = modes[mode].by_steps;
        x->compress = modes[mode].compress;
        x->path = modes[mode].path;
        try_workload();
    }
    x->compress = false;
    x->path = NULL;
}

static void try_fixed(void)
{
    x->by_steps = false;
    try_many_segments();
    try_found();
    memcpy(workload, fixed, sizeof fixed);
    workload_count = FIXED;
    try_modes();
}

/* All places of the fixed workloads, a part of them in each pass; then those
 * that are drawn. */
static void all_trials(void)
{
    uint64_t random = x->seed;
    if (args.sites != NULL) {
        try_fixed();
        if (seconds() >= args.budget) {
            printf("not all places were tried: --budget %.0f is too small\n",
                   args.budget);
            x->violations++;
        }
        return;
    }
    stride = PASSES;
    for (passes = 0; passes < PASSES && may_go_on(); passes++) {
        first_place = 1 + (passes * 7 + x->seed) % PASSES;
        try_fixed();
    }
    while (may_go_on()) {
        first_place = 1 + sim_random(&random) % PASSES;
        draw_workload(&random);
        try_modes();
    }
}

static void replay(void)
{
    workload_count = ops_parse(args.replay, workload, WORKLOAD_MAX);
    x->memtable_size = args.memtable;
    x->by_steps = args.by_steps;
    try_workload();
}

/* Counts the functions of the system that were used, and that failed. */
static void count_functions(unsigned *used, unsigned *failed, bool tell)
{
    const trial_figures *seen = trial_seen();
    *used = *failed = 0;
    for (int i = 0; i < SIM_CALLS; i++) {
        *used += seen->called[i] > 0;
        *failed += seen->failed[i] > 0;
        if (tell && seen->called[i] > 0 && seen->failed[i] == 0)
            printf("not reached: %s\n", os_sim_call_name((sim_call)i));
    }
}

int main(int argc, char **argv)
{
    args = arguments_read(argc, argv, 30);
    x = trial_explorer();
    x->seed = args.seed;
    x->segment_size = SEGMENT_SIZE;
    trial_begin(args.sites != NULL);
    if (args.replay != NULL)
        replay();
    else
        all_trials();
    trial_end();
    unsigned used, failed;
    bool partial = passes < PASSES || args.only != NULL;
    count_functions(&used, &failed, !partial);
    if (args.sites != NULL && !sites_write(args.sites))
        x->violations++;
    printf("figure: %llu fault points hit in %llu workloads (each kind of "
           "error, allocations, disk sizes), %llu of %d passes over the fixed "
           "ones, "
           "%u of %u os functions that are used "
           "were failed, %llu states reopened, violations %llu, %.0f s\n",
           (unsigned long long)trial_seen()->points,
           (unsigned long long)workloads, (unsigned long long)passes, PASSES,
           failed, used, (unsigned long long)x->unique,
           (unsigned long long)x->violations, seconds());
    int code = verdict(x->checks, x->violations + (failed < used && !partial));
    explore_release(x);
    return code;
}
