/* SPDX-License-Identifier: MIT */
/* One fault in one workload.
 *
 * After it: nothing acknowledged is lost, nothing half done is seen, no handle
 * is left open, a full disk heals by itself, and a failed sync ends writing
 * and shows nothing past the durable point. */
#include "trial.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "clock.h"
#include "sites.h"
#include "store/store.h"

static explorer x;
static const op *workload;
static size_t workload_count;
static trial_figures figures;
static bool quiet, noting;
static const trial *current;
static uint64_t allocations;
static bool armed, read_only;
/* A blob whose sync failed: whether it is there, the next opening tells. */
static op unknown;
static bool has_unknown;

static int fail_allocation(void *context)
{
    (void)context;
    if (!armed || current->allocation == 0)
        return 0;
    allocations++;
    bool hit = allocations == current->allocation ||
               (current->allocations_from_then_on &&
                allocations > current->allocation);
    if (hit && noting)
        sites_note();
    return hit;
}

static void fail_call(sim_call call)
{
    (void)call;
    if (noting)
        sites_note();
}

/* Arms the fault of the trial in hand; room: bytes that a limited disk has
 * beyond those of the trial. */
static void arm(uint64_t room)
{
    os_sim_on_fault(x.sim, fail_call);
    os_sim_fail(x.sim, current->fault);
    if (current->disk_size > 0)
        os_sim_limit_space(x.sim, room + current->disk_size - 1);
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

/* A put of a blob that failed may have logged it all the same. */
static void allow_unknown(void)
{
    buf ignored = {0};
    if (has_unknown)
        model_apply(&x.model, unknown, &ignored);
    has_unknown = false;
    buf_release(&ignored);
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
    if (latest > x.model.latest)
        allow_unknown();
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
        bool same = slice_equal(buf_slice(&expected), buf_slice(&actual));
        /* The background may have met the fault: then only what is durable is
         * shown, and checked at the end. */
        if (!same && o.kind == OP_READ && fault_was_hit())
            read_only = refuses_writes();
        if (!same && !(o.kind == OP_READ && read_only))
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
    if (x.in_memory && op_is_control(o.kind))
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
        figures.failed[i] += os_sim_faults(x.sim, (sim_call)i);
        figures.called[i] += os_sim_calls(x.sim, (sim_call)i);
    }
    os_sim_fail(x.sim, (sim_fault){0});
    persist_close(x.store, NULL);
    x.store = NULL;
    allow_unknown();
    if (!x.failed && !x.in_memory && !noting)
        check_images();
    if (!x.failed && os_sim_open_files(x.sim) != 0)
        explore_fail(&x, "%zu files left open", os_sim_open_files(x.sim));
    os_sim_free(x.sim);
    x.sim = NULL;
    model_end(&x.model);
}

static const char *place_of(const trial *t)
{
    static const char *const recoveries[] = {"recovery", "recovery, later",
                                             "recovery, latest"};
    CHECK(t->variant < sizeof recoveries / sizeof *recoveries);
    return t->where == WORKLOAD    ? "workload"
           : t->where == IN_MEMORY ? "memory"
           : t->where == VERIFYING ? "verify"
                                   : recoveries[t->variant];
}

static void describe(const trial *t)
{
    static char word[256];
    snprintf(
        word, sizeof word,
        "faults --seed %llu: %s, %s, call %llu, error %d%s, disk %llu, "
        "allocation %llu",
        (unsigned long long)x.seed, place_of(t), t->name,
        (unsigned long long)t->fault.nth, t->fault.error,
        t->fault.from_then_on || t->allocations_from_then_on ? " from then on"
                                                             : "",
        (unsigned long long)t->disk_size, (unsigned long long)t->allocation);
    last_word(word);
    if (x.failed && !quiet)
        printf("VIOLATION in %s\n%.*s", word, (int)x.report.size,
               (const char *)x.report.data);
}

static void begin(const trial *t)
{
    current = t;
    allocations = 0;
    read_only = has_unknown = false;
    x.in_memory = t->where == IN_MEMORY;
    explore_begin(&x);
    describe(t);
}

/* Runs the first ops of the workload without a fault. */
static void run_first(size_t count)
{
    static const trial none = {.name = "none"};
    const trial *t = current;
    current = &none;
    open_store();
    for (size_t i = 0; i < count && !x.failed; i++)
        step(workload[i]);
    current = t;
}

/* Runs part of the workload and crashes it; the model and what was
 * acknowledged stay. */
static void crash_workload(unsigned variant)
{
    static const char piece[8192];
    persist_blob_writer *unfinished = NULL;
    run_first(workload_count - workload_count / 6 * variant);
    if (!x.failed &&
        persist_blob_create(x.store, &unfinished, NULL) == PERSIST_OK)
        persist_blob_write(unfinished, slice_of(piece, sizeof piece), NULL);
    const sim_plan plan = {variant == 0 ? SIM_KEEP_ALL : SIM_KEEP_RANDOM, 0, 0,
                           x.seed + variant};
    os_sim *crashed = os_sim_crash(x.sim, &plan);
    persist_blob_abort(unfinished);
    persist_close(x.store, NULL);
    x.store = NULL;
    os_sim_free(x.sim);
    x.sim = crashed;
}

/* A whole store has no damage, and a fault is told of, or did no harm. */
static void verify(void)
{
    persist_progress seen = {0};
    persist_error error;
    const persist_options options = {.path = x.path == NULL ? "store" : x.path,
                                     .os = os_sim_os(x.sim)};
    armed = true;
    persist_status status = persist_verify(&options, NULL, &seen, &error);
    armed = false;
    bool told = succeeded("verify", status, &error);
    if (told && seen.damages > 0 && !excused(PERSIST_IO) &&
        !excused(PERSIST_LIMIT))
        explore_fail(&x, "verify: %llu damages in a whole store",
                     (unsigned long long)seen.damages);
}

/* Runs the part that the fault of the trial in hand strikes. */
static void run_armed(const trial *t)
{
    arm(t->where == RECOVERY ? os_sim_space_used(x.sim) : 0);
    if (t->where == VERIFYING) {
        verify();
        return;
    }
    open_store();
    for (size_t i = 0; i < workload_count && t->where != RECOVERY && !x.failed;
         i++)
        step(workload[i]);
}

/* Runs one trial. Returns false when the fault was past its end. */
bool trial_run(const trial *t)
{
    begin(t);
    if (t->where == RECOVERY)
        crash_workload(t->variant);
    if (t->where == VERIFYING) {
        run_first(workload_count);
        close_store();
    }
    run_armed(t);
    bool hit = fault_was_hit();
    figures.points += hit;
    if (!x.failed && x.store != NULL &&
        (t->where == IN_MEMORY || (t->where == WORKLOAD && t->disk_size > 0)))
        check_reads();
    if (!x.failed && t->where != IN_MEMORY)
        check_heals();
    finish();
    describe(t);
    return hit;
}

/* ---- what the caller sets and sees ------------------------------------- */

explorer *trial_explorer(void)
{
    return &x;
}

void trial_begin(bool note_sites)
{
    noting = note_sites;
    mem_set_fail(fail_allocation, NULL);
}

void trial_end(void)
{
    mem_set_fail(NULL, NULL);
}

void trial_workload(const op *ops, size_t count, bool be_quiet)
{
    workload = ops;
    workload_count = count;
    quiet = be_quiet;
}

const trial_figures *trial_seen(void)
{
    return &figures;
}
