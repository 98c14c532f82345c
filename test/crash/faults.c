/* SPDX-License-Identifier: MIT */
/* One fault at every call: the first, second, third ... call of the system,
 * or allocation, fails in each way, once or from then on, in a workload and
 * in the recovery; and disks of every size up to enough.
 *
 * After it: nothing acknowledged is lost, nothing half done is seen, no handle
 * is left open, a full disk heals by itself, and a failed sync ends writing
 * and shows nothing past the durable point. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../lib/bugs.h"
#include "../lib/clock.h"
#include "../lib/explore.h"
#include "../lib/os_sim_disk.h"
#include "base/mem.h"
#include "store/store.h"

enum { SEGMENT_SIZE = 4096, VIOLATIONS_MAX = 3, DISK_MAX = 64 << 10 };

static explorer x;
static arguments args;
static uint64_t fault_points, reached[SIM_CALLS], called[SIM_CALLS];

/* Which fault a run is about. */
typedef struct trial {
    const char *name;
    sim_fault fault;
    uint64_t disk_size;  /* 0: no limit */
    uint64_t allocation; /* the nth fails; 0: none */
    bool allocations_from_then_on;
} trial;

static const trial *current;
static uint64_t allocations;
static bool armed, read_only;
/* A blob whose sync failed: whether it is there, the next opening tells. */
static op unknown;
static bool has_unknown;

/* The first workload; the next ones are drawn. */
static const op fixed[] = {
    {OP_APPEND_A, 1},      {OP_PUT_K, 2},         {OP_WAIT, 0},
    {OP_BATCH, 3},         {OP_ONCE_APPEND, 0},   {OP_BLOB_SMALL, 4},
    {OP_APPEND_LARGE, 5},  {OP_STEP, 0},          {OP_WAIT, 0},
    {OP_APPEND_HUGE, 6},   {OP_APPEND_LARGE, 7},  {OP_APPEND_LARGE, 8},
    {OP_TRUNCATE_HALF, 0}, {OP_WAIT, 0},          {OP_EXPECT_KEY, 9},
    {OP_DELETE_K, 0},      {OP_STEP, 0},          {OP_PUT_LARGE, 10},
    {OP_BLOB_LARGE, 11},   {OP_BLOB_READ, 4},     {OP_MIXED, 17},
    {OP_REOPEN, 0},        {OP_ONCE_APPEND, 0},   {OP_APPEND_AT, 12},
    {OP_APPEND_LARGE, 13}, {OP_APPEND_LARGE, 14}, {OP_WAIT, 0},
    {OP_EXPECT_HOLDS, 15}, {OP_BATCH, 16},        {OP_WAIT, 0},
};
enum { WORKLOAD_MAX = sizeof fixed / sizeof *fixed };

/* Each workload is run with a table for every commit, for some, for none. */
enum { MODES = 3 };
static const uint32_t memtable_sizes[MODES] = {1, 600, 0};

static op workload[WORKLOAD_MAX];
static size_t workload_count;
static uint64_t workloads;
static bool ended_one; /* workload, before the time was over */

static int fail_allocation(void *context)
{
    (void)context;
    if (!armed || current->allocation == 0)
        return 0;
    allocations++;
    return allocations == current->allocation ||
           (current->allocations_from_then_on &&
            allocations > current->allocation);
}

static bool fault_was_hit(void)
{
    return os_sim_faults(x.sim, SIM_CALLS) > 0 || current->disk_size > 0 ||
           (current->allocation > 0 && allocations >= current->allocation);
}

/* May this be the answer of a call that met the fault? */
static bool excused(persist_status status)
{
    if (current->disk_size > 0)
        return status == PERSIST_NO_SPACE;
    bool harmless = current->fault.error == 0 || current->fault.error == EINTR;
    if (!fault_was_hit() || (harmless && current->allocation == 0))
        return false;
    if (current->allocation > 0)
        return status == PERSIST_LIMIT ||
               (read_only && status == PERSIST_READ_ONLY);
    return status == PERSIST_IO || status == PERSIST_NO_SPACE ||
           status == PERSIST_READ_ONLY || status == PERSIST_LIMIT;
}

/* Takes note of an answer; true when the call did what it was asked. */
static bool succeeded(const char *what, persist_status status,
                      const persist_error *error)
{
    x.checks++;
    if (status <= PERSIST_NONE)
        return true;
    read_only = read_only || status == PERSIST_READ_ONLY;
    if (!excused(status))
        explore_fail(&x, "%s: %s: %s", what, persist_status_code(status),
                     error->message);
    return false;
}

/* ---- the workload ----------------------------------------------------- */

/* Opens the store. What was not acknowledged may be gone by then. */
static bool open_store(void)
{
    persist_error error;
    armed = true;
    persist_status status = explore_open(&x, x.sim, &x.store, &error);
    armed = false;
    if (!succeeded("open", status, &error))
        return false;
    read_only = false;
    persist_lsn latest = persist_latest(x.store);
    buf ignored = {0};
    if (has_unknown && latest > x.model.latest)
        model_apply(&x.model, unknown, &ignored);
    buf_release(&ignored);
    has_unknown = false;
    if (latest < x.acknowledged || latest > x.model.latest)
        explore_fail(&x, "opened at commit %llu", (unsigned long long)latest);
    else
        model_roll_back(&x.model, latest);
    return true;
}

static void close_store(void)
{
    persist_error error;
    armed = true;
    persist_status status = persist_close(x.store, &error);
    armed = false;
    x.store = NULL;
    if (succeeded("close", status, &error))
        x.acknowledged = x.model.latest;
}

static void reopen(void)
{
    close_store();
    open_store();
}

static void wait(void)
{
    persist_error error;
    persist_lsn latest = persist_latest(x.store);
    armed = true;
    persist_status status = persist_wait_durable(x.store, latest, &error);
    armed = false;
    if (succeeded("wait", status, &error) && latest > x.acknowledged)
        x.acknowledged = latest;
}

/* Asks the store, by a commit that writes nothing. */
static bool refuses_writes(void)
{
    return persist_commit(x.store, NULL, 0, NULL, NULL, NULL) ==
           PERSIST_READ_ONLY;
}

static void apply(op o)
{
    buf expected = {0}, actual = {0};
    persist_error error = {0};
    /* A put that failed may have left its blob: nothing is promised of it. */
    if (o.kind == OP_BLOB_READ &&
        op_read_blob(x.model.store, o, NULL) != PERSIST_OK)
        return;
    buf_reserve(&actual, 4096);
    if (op_is_blob(o.kind))
        explore_blob_begin(&x, o, UINT64_MAX);
    persist_lsn before = persist_latest(x.store);
    armed = true;
    persist_status status = op_apply(x.store, o, &actual, &error);
    armed = false;
    bool refused = status > PERSIST_NONE && fault_was_hit() && excused(status);
    if (refused) {
        read_only = refuses_writes();
        if (!read_only && persist_latest(x.store) != before)
            explore_fail(&x, "%s failed and yet is visible", op_name(o.kind));
        if (read_only && op_is_blob(o.kind) && !has_unknown) {
            unknown = o;
            has_unknown = true;
        }
    } else {
        model_apply(&x.model, o, &expected);
        if (!slice_equal(buf_slice(&expected), buf_slice(&actual)))
            explore_fail(&x, "%s answered%.*s expected%.*s%s", op_name(o.kind),
                         (int)actual.size, (const char *)actual.data,
                         (int)expected.size, (const char *)expected.data,
                         error.message);
        if (op_is_blob(o.kind))
            explore_blob_acknowledge(&x);
    }
    x.checks++;
    buf_release(&expected);
    buf_release(&actual);
}

static void background(void)
{
    bool did;
    persist_error error;
    armed = true;
    persist_status status = store_step(x.store, &did, &error);
    armed = false;
    succeeded("background work", status, &error);
}

static void step(op o)
{
    if (x.store == NULL && !open_store())
        return;
    if (o.kind == OP_STEP)
        background();
    else if (o.kind == OP_WAIT)
        wait();
    else if (op_is_control(o.kind))
        reopen();
    else if (!read_only)
        apply(o);
}

/* ---- what must hold after it ------------------------------------------ */

/* A store that stopped writing shows what was durable, and refuses. */
static void check_read_only(void)
{
    buf why = {0};
    if (persist_latest(x.store) != persist_durable(x.store))
        explore_fail(&x, "read-only, and shows what is not durable");
    else if (persist_durable(x.store) < x.acknowledged)
        explore_fail(&x, "read-only, and an acknowledged commit is gone");
    else if (!model_matches(&x.model, x.store, PERSIST_LATEST, &why))
        explore_fail(&x, "read-only: %.*s", (int)why.size,
                     (const char *)why.data);
    buf answer = {0};
    persist_error error;
    if (op_apply(x.store, (op){OP_PUT_K, 99}, &answer, &error) !=
        PERSIST_READ_ONLY)
        explore_fail(&x, "read-only, and yet writes");
    x.checks += 2;
    buf_release(&why);
    buf_release(&answer);
}

/* A full disk stops nobody from reading what is there. */
static void check_reads(void)
{
    buf why = {0};
    bool same = model_matches(&x.model, x.store, PERSIST_LATEST, &why);
    if (!same)
        explore_fail(&x, "reading on a full disk: %.*s", (int)why.size,
                     (const char *)why.data);
    x.checks++;
    buf_release(&why);
}

/* The fault is over: a store that is not read-only goes on by itself. */
static void check_heals(void)
{
    static const trial none = {.name = "healed"};
    const trial *before = current;
    os_sim_fail(x.sim, (sim_fault){0});
    os_sim_limit_space(x.sim, UINT64_MAX);
    current = &none;
    if (x.store == NULL && !open_store()) {
        explore_fail(&x, "does not open after the fault is over");
    } else if (!x.failed && !read_only) {
        buf answer = {0};
        persist_error error = {0};
        persist_status status =
            op_apply(x.store, (op){OP_APPEND_B, 98}, &answer, &error);
        buf_clear(&answer);
        bool stopped = status == PERSIST_READ_ONLY && before->disk_size == 0;
        if (status == PERSIST_OK)
            model_apply(&x.model, (op){OP_APPEND_B, 98}, &answer);
        else if (!stopped)
            explore_fail(&x, "does not heal: %s: %s",
                         persist_status_code(status), error.message);
        read_only = stopped;
        buf_release(&answer);
        if (!stopped)
            wait();
    }
    if (!x.failed && read_only)
        check_read_only();
    current = before;
}

static void check_images(void)
{
    const sim_plan plans[] = {{SIM_KEEP_NONE, 0, 0, 1},
                              {SIM_KEEP_ALL, 0, 0, 1},
                              {SIM_KEEP_RANDOM, 0, 0, x.seed},
                              {SIM_KEEP_RANDOM, 1, 0, x.seed + 1}};
    for (size_t i = 0; i < sizeof plans / sizeof *plans && !x.failed; i++)
        explore_check(&x, os_sim_crash(x.sim, &plans[i]), "power loss");
    if (!x.failed)
        explore_check(&x, os_sim_kill(x.sim), "killed");
}

static void finish(void)
{
    for (int i = 0; i < SIM_CALLS; i++) {
        reached[i] += os_sim_faults(x.sim, (sim_call)i);
        called[i] += os_sim_calls(x.sim, (sim_call)i);
    }
    os_sim_fail(x.sim, (sim_fault){0});
    persist_close(x.store, NULL);
    x.store = NULL;
    if (!x.failed)
        check_images();
    if (!x.failed && os_sim_open_files(x.sim) != 0)
        explore_fail(&x, "%zu files left open", os_sim_open_files(x.sim));
    os_sim_free(x.sim);
    x.sim = NULL;
    model_end(&x.model);
}

static void describe(const char *where, const trial *t)
{
    static char word[256];
    snprintf(
        word, sizeof word,
        "faults --seed %llu: %s, %s, call %llu, error %d%s, disk %llu, "
        "allocation %llu",
        (unsigned long long)x.seed, where, t->name,
        (unsigned long long)t->fault.nth, t->fault.error,
        t->fault.from_then_on || t->allocations_from_then_on ? " from then on"
                                                             : "",
        (unsigned long long)t->disk_size, (unsigned long long)t->allocation);
    last_word(word);
    if (x.failed)
        printf("VIOLATION in %s\n%.*s", word, (int)x.report.size,
               (const char *)x.report.data);
}

static void begin(const char *where, const trial *t)
{
    current = t;
    allocations = 0;
    read_only = has_unknown = false;
    explore_begin(&x);
    describe(where, t);
}

static bool may_go_on(void)
{
    uint64_t most = args.bug == NULL ? VIOLATIONS_MAX : 1;
    return x.violations < most && seconds() < args.budget;
}

/* Returns false when the fault was past the end of the workload. */
static bool run_workload(const trial *t)
{
    begin("workload", t);
    os_sim_fail(x.sim, t->fault);
    if (t->disk_size > 0)
        os_sim_limit_space(x.sim, t->disk_size - 1);
    open_store();
    for (size_t i = 0; i < workload_count && !x.failed; i++)
        step(workload[i]);
    bool hit = fault_was_hit();
    fault_points += hit;
    if (!x.failed && t->disk_size > 0 && x.store != NULL)
        check_reads();
    if (!x.failed)
        check_heals();
    finish();
    describe("workload", t);
    return hit && may_go_on();
}

/* ---- faults in the recovery ------------------------------------------- */

/* Runs part of the workload and crashes it; the model and what was
 * acknowledged stay. */
static void crash_workload(unsigned variant)
{
    static const trial none = {.name = "none"};
    const trial *t = current;
    current = &none;
    open_store();
    size_t count = workload_count - workload_count / 6 * variant;
    for (size_t i = 0; i < count && !x.failed; i++)
        step(workload[i]);
    const sim_plan plan = {variant == 0 ? SIM_KEEP_ALL : SIM_KEEP_RANDOM, 0, 0,
                           x.seed + variant};
    os_sim *crashed = os_sim_crash(x.sim, &plan);
    persist_close(x.store, NULL);
    x.store = NULL;
    os_sim_free(x.sim);
    x.sim = crashed;
    current = t;
}

static bool run_recovery(const trial *t, unsigned variant)
{
    begin("recovery", t);
    crash_workload(variant);
    os_sim_fail(x.sim, t->fault);
    if (t->disk_size > 0)
        os_sim_limit_space(x.sim, os_sim_space_used(x.sim) + t->disk_size - 1);
    open_store();
    bool hit = fault_was_hit();
    fault_points += hit;
    if (!x.failed)
        check_heals();
    finish();
    describe("recovery", t);
    return hit && may_go_on();
}

/* ---- all trials ------------------------------------------------------- */

static const trial kinds[] = {
    {.name = "EIO", .fault = {.error = EIO}},
    {.name = "ENOSPC", .fault = {.error = ENOSPC}},
    {.name = "EINTR", .fault = {.error = EINTR, .keep_pages = true}},
    {.name = "EMFILE", .fault = {.error = EMFILE}},
    {.name = "short", .fault = {.error = 0}},
    {.name = "EIO", .fault = {.error = EIO, .from_then_on = true}},
    {.name = "ENOSPC", .fault = {.error = ENOSPC, .from_then_on = true}},
    {.name = "short", .fault = {.error = 0, .from_then_on = true}},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Calls that the error can come from. */
static unsigned calls_for(const trial *t)
{
    const unsigned transfers = 1u << SIM_READ | 1u << SIM_WRITE;
    if (t->fault.error == 0)
        return transfers;
    if (t->fault.error == EINTR)
        return transfers | 1u << SIM_SYNC | 1u << SIM_ALLOCATE;
    if (t->fault.error == ENOSPC)
        return 1u << SIM_OPEN | 1u << SIM_WRITE | 1u << SIM_ALLOCATE |
               1u << SIM_MKDIR | 1u << SIM_RENAME | 1u << SIM_SYNC;
    if (t->fault.error == EMFILE)
        return 1u << SIM_OPEN | 1u << SIM_LIST;
    return ~0u;
}

static void all_calls(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        trial t = kinds[kind];
        t.fault.calls = calls_for(&t);
        for (t.fault.nth = 1; run_workload(&t); t.fault.nth++)
            ;
        for (unsigned variant = 0; variant < 3 && may_go_on(); variant++)
            for (t.fault.nth = 1; run_recovery(&t, variant); t.fault.nth++)
                ;
    }
}

static void all_allocations(void)
{
    for (int forever = 0; forever < 2; forever++) {
        trial t = {.name = "no memory",
                   .allocations_from_then_on = forever != 0};
        for (t.allocation = 1; run_workload(&t); t.allocation++)
            ;
        for (t.allocation = 1; run_recovery(&t, 1); t.allocation++)
            ;
    }
}

static void all_disks(void)
{
    trial t = {.name = "full disk"};
    for (t.disk_size = 1; t.disk_size < DISK_MAX && may_go_on();
         t.disk_size += t.disk_size < 20 ? 1 : 509)
        run_workload(&t);
    for (t.disk_size = 1; t.disk_size < DISK_MAX / 4 && may_go_on();
         t.disk_size += 509)
        run_recovery(&t, 2);
}

static void draw_workload(uint64_t *random)
{
    workload_count = WORKLOAD_MAX / 2 + sim_random(random) % WORKLOAD_MAX / 2;
    for (size_t i = 0; i < workload_count; i++)
        workload[i] = op_random(random);
}

static void all_trials(void)
{
    uint64_t random = x.seed;
    memcpy(workload, fixed, sizeof fixed);
    workload_count = WORKLOAD_MAX;
    do {
        x.memtable_size = memtable_sizes[workloads++ % MODES];
        all_calls();
        all_allocations();
        all_disks();
        ended_one = ended_one || may_go_on();
        if (workloads % MODES == 0)
            draw_workload(&random);
    } while (may_go_on());
}

int main(int argc, char **argv)
{
    args = arguments_read(argc, argv, 30);
    x.seed = args.seed;
    x.segment_size = SEGMENT_SIZE;
    if (!bugs_set(&x, args.bug)) {
        bugs_list();
        return 2;
    }
    mem_set_fail(fail_allocation, NULL);
    all_trials();
    mem_set_fail(NULL, NULL);
    unsigned used = 0, hit = 0;
    for (int i = 0; i < SIM_CALLS; i++) {
        used += called[i] > 0;
        hit += reached[i] > 0;
        if (called[i] > 0 && reached[i] == 0)
            printf("not reached: %s\n", os_sim_call_name((sim_call)i));
    }
    printf("figure: %llu fault points hit in %llu workloads (%d kinds, "
           "allocations, disk sizes), %u of %u os functions that are used "
           "were failed, %llu states reopened, violations %llu, %.0f s\n",
           (unsigned long long)fault_points, (unsigned long long)workloads,
           KINDS, hit, used, (unsigned long long)x.unique,
           (unsigned long long)x.violations, seconds());
    int code = verdict(x.checks, x.violations + (ended_one && hit < used));
    explore_release(&x);
    return code;
}
