/* SPDX-License-Identifier: MIT */
/* Runs a sequence of ops, and builds the crash states of every point. */
#include "explore.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "age.h"
#include "base/hash.h"
#include "store/store.h"

/* Systematic plans take each unit alone up to this many units. */
enum {
    SUBSET_UNITS_MAX = 4,
    SINGLE_UNITS_MAX = 8,
    TEARS = 4,
    ROTS = 3,
    SECTOR = 512
};

void explore_release(explorer *x)
{
    free(x->seen);
    x->seen = NULL;
    buf_release(&x->report);
}

void explore_fail(explorer *x, const char *format, ...)
{
    if (x->failed)
        return;
    x->failed = true;
    x->violations++;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_clear(&x->report);
    buf_put_str(&x->report, text);
    buf_put_byte(&x->report, '\n');
}

/* Options that a store is opened with one after the other. */
static const struct {
    uint32_t segments, memtables, packed_max;
    unsigned merge_width;
} variants[] = {{1, 1, EXPLORE_PACKED_MAX, 2},
                {3, 1, OP_PAYLOAD_MAX, 3},
                {1, 5, 1, 4},
                {2, 2, EXPLORE_PACKED_MAX, 0}};
enum { VARIANTS = sizeof variants / sizeof *variants };

persist_status explore_open(const explorer *x, os_sim *sim, persist_store **out,
                            persist_error *error)
{
    unsigned v = x->variant % VARIANTS;
    const persist_options options = {
        PERSIST_OPTIONS,
        .path = x->in_memory      ? NULL
                : x->path == NULL ? "store"
                                  : x->path,
        .compress = x->compress,
        .create = true,
        .segment_size = x->segment_size * variants[v].segments,
        .memtable_size = x->memtable_size * variants[v].memtables,
        .merge_width = x->memtable_size == 0 ? 0 : variants[v].merge_width,
        .packed_max = variants[v].packed_max,
        .os = os_sim_os(sim),
    };
    persist_status status = persist_open(&options, out, error);
    if (status == PERSIST_OK && x->by_steps && !x->in_memory)
        store_disk_by_steps(*out);
    if (status == PERSIST_OK && x->seed % 2 == 0 && !x->in_memory)
        store_disk_reads_pay(*out, 1000);
    return status;
}

/* ---- the crash states of one point ------------------------------------ */

static void try_plan(explorer *x, const os_sim *sim, sim_plan plan)
{
    if (x->failed)
        return;
    x->point.plan = plan;
    explore_check(x, os_sim_crash(sim, &plan), "power lost");
}

static uint64_t next_random(explorer *x)
{
    uint64_t parts[2] = {x->seed, ++x->random};
    return hash_xxh3(slice_of(parts, sizeof parts));
}

static void try_units(explorer *x, const os_sim *sim)
{
    size_t units = os_sim_units(sim);
    uint64_t subsets = units <= SUBSET_UNITS_MAX ? 1u << units : 0;
    for (uint64_t i = 1; i + 1 < subsets; i++)
        try_plan(x, sim, (sim_plan){SIM_KEEP_BITS, 0, i, 1});
    size_t singles = subsets > 0                ? 0
                     : units < SINGLE_UNITS_MAX ? units
                                                : SINGLE_UNITS_MAX;
    for (size_t i = 0; i < singles; i++) {
        uint64_t unit = units <= SINGLE_UNITS_MAX ? i : next_random(x) % units;
        try_plan(x, sim, (sim_plan){SIM_KEEP_ONE, 0, unit, 1});
        try_plan(x, sim, (sim_plan){SIM_KEEP_BUT, 0, unit, 1});
    }
}

static void try_tears(explorer *x, const os_sim *sim)
{
    size_t size = os_sim_last_write(sim);
    if (size == 0)
        return;
    for (int i = 0; i < TEARS; i++) {
        uint64_t any = next_random(x) % size;
        sim_plan plan = {SIM_KEEP_TORN, (sim_fill)(i % 3), any, any};
        try_plan(x, sim, plan);
        plan.unit = any / SECTOR * SECTOR;
        try_plan(x, sim, plan);
    }
}

/* Called before each call that changes something. */
static void at_call(void *context, const os_sim *sim, sim_call call)
{
    explorer *x = context;
    if (!x->watching || x->failed)
        return;
    x->points++;
    x->point.call = os_sim_call_name(call);
    x->point.number = os_sim_calls(sim, SIM_CALLS);
    for (sim_keep keep = SIM_KEEP_NONE; keep <= SIM_KEEP_NAMES; keep++)
        try_plan(x, sim, (sim_plan){.keep = keep, .seed = 1});
    const sim_plan fills[] = {
        {SIM_KEEP_ALL, SIM_FILL_GARBAGE, 0, next_random(x)},
        {SIM_KEEP_ALL, SIM_FILL_OLD, 0, next_random(x)}};
    try_plan(x, sim, fills[0]);
    try_plan(x, sim, fills[1]);
    try_units(x, sim);
    try_tears(x, sim);
    for (unsigned i = 0; i < x->random_plans; i++) {
        uint64_t seed = next_random(x);
        sim_plan plan = {SIM_KEEP_RANDOM, (sim_fill)(seed % 3), 0, seed};
        try_plan(x, sim, plan);
    }
    if (!x->failed)
        explore_check(x, os_sim_kill(sim), "process killed");
    x->point = (explore_point){0};
}

/* ---- the run ---------------------------------------------------------- */

static void acknowledge(explorer *x, persist_lsn lsn)
{
    if (lsn <= x->acknowledged)
        return;
    x->acknowledged_before = x->acknowledged;
    x->acknowledged = lsn;
}

static void open_store(explorer *x)
{
    persist_error error;
    if (explore_open(x, x->sim, &x->store, &error) != PERSIST_OK)
        explore_fail(x, "opening: %s", error.message);
}

/* One process at a time: a second one is told so, and disturbs nothing. */
static void check_lock(explorer *x)
{
    persist_store *second = NULL;
    persist_error error;
    if (explore_open(x, x->sim, &second, &error) != PERSIST_LOCKED)
        explore_fail(x, "a store that is open can be opened again");
    else if (!(error.has & PERSIST_HAS_HOLDER))
        explore_fail(x, "the holder of the lock is not told");
    persist_close(second, NULL);
}

void explore_let_go(explorer *x)
{
    buf why = {0};
    if (x->held != NULL && !x->failed &&
        !model_shows(&x->model, x->store, x->held, &why))
        explore_fail(x, "a snapshot that was held: %.*s", (int)why.size,
                     (const char *)why.data);
    persist_snapshot_close(x->held);
    x->held = NULL;
    buf_release(&why);
}

void explore_drop(explorer *x)
{
    explore_let_go(x);
    explore_end_backup(x);
    persist_close(x->store, NULL);
    x->store = NULL;
}

persist_status explore_hold(explorer *x, persist_view view,
                            persist_error *error)
{
    persist_store *session = NULL;
    explore_let_go(x);
    persist_status status = persist_session(x->store, &session, error);
    if (status == PERSIST_OK)
        status = persist_snapshot_open(session, view, &x->held, error);
    persist_close(session, NULL);
    return status;
}

/* Holds one, of this view or that. */
static void hold(explorer *x, op o)
{
    persist_error error;
    bool latest = o.serial % 2 == 0;
    persist_view view = latest ? PERSIST_LATEST : PERSIST_DURABLE;
    if (explore_hold(x, view, &error) != PERSIST_OK)
        explore_fail(x, "opening a snapshot: %s", error.message);
    persist_lsn lsn =
        latest ? store_visible(x->store) : persist_durable(x->store);
    if (persist_snapshot_lsn(x->held) != lsn)
        explore_fail(x, "a snapshot of commit %llu says that it is of %llu",
                     (unsigned long long)lsn,
                     (unsigned long long)persist_snapshot_lsn(x->held));
}

/* One op begins a backup, the next takes it, with all that came in between
 * behind its point. */
static void take_backup_begun(explorer *x)
{
    persist_error error;
    os_sim *place = NULL;
    if (x->backup != NULL && !x->failed &&
        explore_take_backup(x, &place, &error) != PERSIST_OK)
        explore_fail(x, "taking a backup: %s", error.message);
    explore_end_backup(x);
    explore_compare_backup(x, place);
}

static void back_up(explorer *x)
{
    persist_error error;
    take_backup_begun(x);
    if (x->failed || x->in_memory)
        return;
    if (explore_back_up(x, &error) != PERSIST_OK)
        explore_fail(x, "beginning a backup: %s", error.message);
    else
        acknowledge(x, x->backed.lsn);
}

static void close_store(explorer *x)
{
    persist_error error;
    explore_let_go(x);
    take_backup_begun(x);
    persist_store *store = x->store;
    x->store = NULL;
    if (store == NULL)
        return;
    if (persist_close(store, &error) != PERSIST_OK)
        explore_fail(x, "closing: %s", error.message);
    acknowledge(x, x->model.latest);
}

static void check_open_store(explorer *x, const char *when)
{
    buf why = {0};
    if (x->failed)
        return;
    persist_lsn latest = store_visible(x->store);
    if (latest < x->acknowledged || latest > x->model.latest)
        explore_fail(x, "%s: commit %llu, acknowledged %llu, asked for %llu",
                     when, (unsigned long long)latest,
                     (unsigned long long)x->acknowledged,
                     (unsigned long long)x->model.latest);
    else if (!model_matches(&x->model, x->store, PERSIST_LATEST, &why))
        explore_fail(x, "%s: %.*s", when, (int)why.size,
                     (const char *)why.data);
    buf_release(&why);
}

static void reopen(explorer *x)
{
    close_store(x);
    if (!x->failed)
        open_store(x);
    check_open_store(x, "reopened");
}

/* The process ends without closing; what it had not yet written is gone. */
static void kill_process(explorer *x)
{
    explore_let_go(x);
    take_backup_begun(x);
    os_sim *next = os_sim_kill(x->sim);
    os_sim_watch(x->sim, NULL, NULL);
    persist_close(x->store, NULL);
    os_sim_free(x->sim);
    x->store = NULL;
    x->sim = next;
    os_sim_watch(next, at_call, x);
    open_store(x);
    check_open_store(x, "opened after a kill");
    if (x->failed)
        return;
    const char *wrong = model_check_lsns(&x->model, x->store, false);
    if (wrong != NULL)
        explore_fail(x, "opened after a kill: %s", wrong);
    model_roll_back(&x->model, store_visible(x->store));
    model_skip(&x->model, x->store->first_lsn);
    acknowledge(x, store_visible(x->store));
}

static void wait(explorer *x)
{
    persist_error error;
    persist_lsn latest = store_visible(x->store);
    if (persist_wait_durable(x->store, latest, &error) != PERSIST_OK)
        explore_fail(x, "waiting: %s", error.message);
    else if (persist_durable(x->store) < latest)
        explore_fail(x, "waited, and yet not durable");
    acknowledge(x, latest);
}

static void forget_blob(explorer *x, op o)
{
    char room[OP_PAYLOAD_MAX], other[OP_PAYLOAD_MAX];
    slice bytes = op_blob(o, room);
    for (size_t i = 0; i < x->blob_count; i++)
        if (slice_equal(bytes, op_blob(x->blobs[i].op, other)))
            x->blobs[i].deleted = true;
}

void explore_blob_begin(explorer *x, op o, persist_lsn lsn)
{
    if (o.kind == OP_BLOB_DELETE)
        forget_blob(x, o);
    if (op_is_blob(o.kind) && x->blob_count < EXPLORE_BLOBS_MAX)
        x->blobs[x->blob_count++] = (explore_blob){.op = o, .lsn = lsn};
}

void explore_blob_acknowledge(explorer *x)
{
    CHECK(x->blob_count > 0);
    explore_blob *last = &x->blobs[x->blob_count - 1];
    x->blobs_acknowledged += !last->acknowledged;
    last->acknowledged = true;
}

static void apply(explorer *x, op o)
{
    buf expected = {0}, actual = {0};
    persist_error error;
    persist_status wanted = model_apply(&x->model, o, &expected);
    explore_blob_begin(x, o, x->model.latest);
    persist_status status = op_apply(x->store, o, &actual, &error);
    if (status != wanted ||
        !slice_equal(buf_slice(&expected), buf_slice(&actual)))
        explore_fail(x, "%s answered%.*s expected%.*s%s", op_name(o.kind),
                     (int)actual.size, (const char *)actual.data,
                     (int)expected.size, (const char *)expected.data,
                     status > PERSIST_NONE ? error.message : "");
    if (op_is_blob(o.kind))
        explore_blob_acknowledge(x);
    if (o.kind == OP_READ && !x->failed)
        hold(x, o);
    buf_release(&expected);
    buf_release(&actual);
}

/* A store that something was done to once, long ago. */
static void grow_old(explorer *x)
{
    const op first = {OP_PUT_K, 0};
    buf answers = {0}; /* they differ in the number of the commit */
    persist_error error;
    uint32_t memtable_size = x->memtable_size;
    x->memtable_size = 1; /* it becomes a table */
    open_store(x);
    if (!x->failed) {
        model_apply(&x->model, first, &answers);
        if (op_apply(x->store, first, &answers, &error) != PERSIST_OK)
            explore_fail(x, "the first commit: %s", error.message);
    }
    buf_release(&answers);
    close_store(x);
    x->memtable_size = memtable_size;
    if (!x->failed)
        age_store(os_sim_os(x->sim), "store", AGE_EPOCH);
}

static uint64_t log_syncs(const explorer *x)
{
    persist_stats stats = {PERSIST_STATS};
    persist_get_stats(x->store, &stats, NULL);
    return stats.syncs;
}

static void background(explorer *x)
{
    bool did;
    persist_error error;
    uint64_t writes = os_sim_calls(x->sim, SIM_WRITE), syncs = log_syncs(x);
    if (store_step(x->store, &did, &error) != PERSIST_OK)
        explore_fail(x, "background work: %s", error.message);
    /* A step that syncs the log for another reason writes more. */
    if (did && log_syncs(x) > syncs &&
        os_sim_calls(x->sim, SIM_WRITE) == writes + 1)
        x->proven = persist_durable(x->store);
}

static void open_again(explorer *x, op o)
{
    x->variant = o.serial;
    if (o.kind == OP_REOPEN)
        reopen(x);
    else
        kill_process(x);
}

/* A snapshot that is held is compared behind it; a purge waits for none. */
static void tidy(explorer *x, op o)
{
    persist_error error = {0};
    if (o.kind == OP_PURGE) {
        explore_let_go(x);
        take_backup_begun(x);
    }
    if (op_tidy(x->store, o, &error) != PERSIST_OK)
        explore_fail(x, "%s: %s", op_name(o.kind), error.message);
    check_open_store(x, op_name(o.kind));
}

static void step(explorer *x, op o)
{
    if (o.kind == OP_STEP)
        background(x);
    else if (op_is_tidy(o.kind))
        tidy(x, o);
    else if (o.kind == OP_WAIT)
        wait(x);
    else if (o.kind == OP_BACKUP)
        back_up(x);
    else if (o.kind == OP_REOPEN || o.kind == OP_KILL)
        open_again(x, o);
    else
        apply(x, o);
    if (x->wait_each && !x->failed && !op_is_control(o.kind))
        wait(x);
}

static void lose_bits(explorer *x, persist_lsn lowest)
{
    const sim_plan none = {.keep = SIM_KEEP_NONE};
    for (int i = 0; i < ROTS && !x->failed; i++)
        explore_check_rot(x, os_sim_crash(x->sim, &none), lowest,
                          next_random(x));
}

static void finish(explorer *x)
{
    lose_bits(x, x->proven > x->acknowledged_before ? x->proven
                                                    : x->acknowledged_before);
    os_sim_watch(x->sim, x->failed ? NULL : at_call, x);
    close_store(x);
    const sim_plan none = {.keep = SIM_KEEP_NONE};
    if (!x->failed)
        explore_check(x, os_sim_crash(x->sim, &none), "closed");
    lose_bits(x, x->acknowledged);
    if (!x->failed && os_sim_open_files(x->sim) != 0)
        explore_fail(x, "%zu files left open", os_sim_open_files(x->sim));
    os_sim_free(x->sim);
    x->sim = NULL;
    model_end(&x->model);
}

void explore_begin(explorer *x)
{
    x->sequences++;
    x->failed = false;
    x->held = NULL;
    x->backup = NULL;
    x->variant = 0;
    x->random = 0;
    x->acknowledged = x->acknowledged_before = x->proven = 0;
    x->blob_count = x->blobs_acknowledged = 0;
    model_begin(&x->model, x->aged);
    x->sim = os_sim_new(x->seed);
    /* Tables that are mapped, read, and some of each. */
    os_sim_refuse_maps(x->sim, x->wait_each ? 2 : x->by_steps ? 1 : 0);
}

bool explore_run(explorer *x, const op *ops, size_t count, size_t watch_from)
{
    x->ops = ops;
    x->op_count = count;
    explore_begin(x);
    if (x->aged)
        grow_old(x);
    os_sim_watch(x->sim, at_call, x);
    x->watching = watch_from == 0;
    open_store(x);
    if (count <= 1 && !x->failed)
        check_lock(x);
    for (size_t i = 0; i < count && !x->failed; i++) {
        x->watching = i >= watch_from;
        step(x, ops[i]);
    }
    x->watching = true;
    finish(x);
    return !x->failed;
}

size_t explore_shrink(explorer *x, op *ops, size_t count)
{
    uint64_t violations = x->violations;
    for (size_t i = count; i-- > 0;) {
        op removed = ops[i];
        memmove(&ops[i], &ops[i + 1], (count - i - 1) * sizeof *ops);
        x->seen_count = 0;
        memset(x->seen, 0, x->seen_capacity * sizeof *x->seen);
        if (!explore_run(x, ops, count - 1, 0)) {
            count--;
            continue;
        }
        memmove(&ops[i + 1], &ops[i], (count - i - 1) * sizeof *ops);
        ops[i] = removed;
    }
    if (x->seen != NULL)
        memset(x->seen, 0, x->seen_capacity * sizeof *x->seen);
    x->seen_count = 0;
    explore_run(x, ops, count, 0);
    x->violations = violations;
    return count;
}
