/* SPDX-License-Identifier: MIT */
/* One fault in one workload.
 *
 * After it: nothing acknowledged is lost, nothing half done is seen, no handle
 * is left open, a full disk heals by itself, and a failed sync ends writing
 * and shows nothing past the durable point. */
#include "trial.h"

#include "base/mem.h"
#include "clock.h"
#include "sites.h"
#include "space.h"
#include "store/store.h"
#include <errno.h>
#include <stdio.h>

static explorer x;
static const op *workload;
static size_t workload_count;
static trial_figures figures;
static bool quiet, noting;
static const char healed[] = "healed"; /* the trial after the fault */
static const trial *current;
static uint64_t allocations;
static bool armed, allocation_failed, read_only;
/* The store was opened, and writes nothing. */
static bool reading;
/* Ops since the fault hit that were looked at. */
static unsigned looked;
/* What compacting has let go of at once. */
static space_let_go let_go;

enum {
    LOOKS = 5, /* ops after a fault behind which crash images are made */
    OPENINGS_TRIED = 8, /* while the fault lasts */
    SPACE_SLACK = 1024, /* bytes: of manifests */
    STEPS_MAX = 64,
};

static bool choose_site(void)
{
    return sites_choose((unsigned)current->where * 4 + current->variant,
                        trial_lasts(current));
}

static int fail_allocation(void *context)
{
    (void)context;
    if (!armed || current->allocation == 0)
        return 0;
    uint64_t nth = ++allocations, first = current->allocation;
    bool hit = noting ? choose_site()
                      : nth == first || (nth > first && trial_lasts(current));
    allocation_failed = allocation_failed || hit;
    return hit;
}

/* Arms the fault of the trial in hand; room: bytes that a limited disk has
 * beyond those of the trial. */
static void arm(uint64_t room)
{
    os_sim_choose(x.sim, noting ? choose_site : NULL);
    os_sim_fail(x.sim, current->fault);
    if (current->disk_size > 0)
        os_sim_limit_space(x.sim, room + current->disk_size - 1);
}

static bool fault_was_hit(void)
{
    return os_sim_faults(x.sim, SIM_CALLS) > 0 || current->disk_size > 0 ||
           allocation_failed;
}

static bool excused(persist_status status)
{
    return fault_was_hit() && trial_excuses(current, status, read_only);
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

/* ---- crashes ---------------------------------------------------------- */

/* Checks what crashes leave now: with nothing of what was not synced, with all,
 * and so many others. */
static void check_images(unsigned others)
{
    const sim_plan plans[] = {
        {SIM_KEEP_NONE, 0, 0, 1},
        {SIM_KEEP_ALL, 0, 0, 1},
        {SIM_KEEP_RANDOM, 0, 0, x.seed + looked},
        {SIM_KEEP_RANDOM, 1, 0, x.seed + looked + 1},
    };
    uint64_t space = os_sim_space(x.sim);
    persist_lsn shown = x.model.latest;
    os_sim_limit_space(x.sim, UINT64_MAX); /* somebody makes room */
    model_redo(&x.model);
    for (size_t i = 0; i < 2 + others && !x.failed; i++)
        explore_check(&x, os_sim_crash(x.sim, &plans[i]), "power loss");
    if (!x.failed && others > 1)
        explore_check(&x, os_sim_kill(x.sim), "killed");
    model_undo(&x.model, shown);
    os_sim_limit_space(x.sim, space);
}

/* What a crash leaves right after a fault, and after each of the next ops:
 * nothing is closed, so nothing has healed. */
static void look_after_fault(void)
{
    bool wanted = fault_was_hit() && !trial_is_harmless(current) &&
                  looked < LOOKS && current->name != healed;
    if (!wanted || x.failed || x.in_memory || noting)
        return;
    looked++;
    check_images(looked % 2);
}

/* ---- the workload ----------------------------------------------------- */

/* Asks the store, by a commit that writes nothing. */
static bool refuses_writes(void)
{
    return persist_commit(x.store, NULL, 0, NULL, NULL, NULL) ==
           PERSIST_READ_ONLY;
}

/* Takes over what an opening shows, which is durable. What was not acknowledged
 * may be gone by then: for good, if the opening has written. One that only
 * reads leaves on the disk what it did not see, and another may see it. */
static void settle(void)
{
    persist_lsn latest = store_visible(x.store), given = x.model.latest;
    model_redo(&x.model);
    if (latest < x.acknowledged || latest > x.model.latest) {
        explore_fail(&x, "opened at commit %llu, acknowledged %llu of %llu",
                     (unsigned long long)latest,
                     (unsigned long long)x.acknowledged,
                     (unsigned long long)x.model.latest);
        return;
    }
    model_undo(&x.model, latest);
    reading = refuses_writes() || store_is_shut(x.store);
    if (!reading) {
        model_not_given(&x.model, given + 1, x.store->first_lsn);
        model_skip(&x.model, x.store->first_lsn);
    }
    x.acknowledged = latest;
}

static bool open_store(void)
{
    persist_error error;
    armed = true;
    persist_status status = explore_open(&x, x.sim, &x.store, &error);
    armed = false;
    if (!succeeded("open", status, &error))
        return false;
    read_only = false;
    settle();
    return true;
}

/* One op begins a backup, the next one takes it and begins another. What is
 * told to be taken is whole, whatever the fault has done. */
static void back_up(void)
{
    persist_error error;
    persist_status status = PERSIST_OK;
    os_sim *place = NULL;
    armed = true;
    if (x.backup != NULL)
        status = explore_take_backup(&x, &place, &error);
    armed = false;
    (void)succeeded("taking a backup", status, &error);
    explore_compare_backup(&x, place);
    armed = true;
    status = explore_back_up(&x, &error);
    armed = false;
    if (!succeeded("beginning a backup", status, &error))
        read_only = refuses_writes();
    else if (x.backed.lsn > x.acknowledged)
        x.acknowledged = x.backed.lsn;
}

static void close_store(void)
{
    persist_error error;
    explore_let_go(&x);
    explore_end_backup(&x);
    armed = true;
    persist_status status = persist_close(x.store, &error);
    armed = false;
    x.store = NULL;
    if (succeeded("close", status, &error))
        x.acknowledged = x.model.latest;
}

static void reopen(op o)
{
    close_store();
    x.variant = o.serial;
    /* nobody adds a file where nothing can be written */
    if (o.serial % 2 == 1 && !reading)
        space_add_strays(x.sim);
    open_store();
}

static void wait(void)
{
    persist_error error;
    persist_lsn latest = store_visible(x.store);
    armed = true;
    persist_status status = persist_wait_durable(x.store, latest, &error);
    armed = false;
    if (succeeded("wait", status, &error) && latest > x.acknowledged)
        x.acknowledged = latest;
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
    explore_blob_begin(&x, o, UINT64_MAX);
    persist_lsn before = store_visible(x.store);
    armed = true;
    persist_status status = op_apply(x.store, o, &actual, &error);
    armed = false;
    bool refused = status > PERSIST_NONE && fault_was_hit() && excused(status);
    if (refused) {
        read_only = refuses_writes();
        if (!read_only && store_visible(x.store) != before)
            explore_fail(&x, "%s failed and yet is visible", op_name(o.kind));
        /* the sync that failed may have been that of its record */
        if (read_only && op_is_blob(o.kind) && !reading)
            model_add_undone(&x.model, o);
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
        explore_let_go(&x);
        armed = o.kind == OP_READ;
        status = armed ? explore_hold(&x, PERSIST_LATEST, &error) : PERSIST_OK;
        armed = false; /* on disk it would keep files that are counted */
        if (succeeded("opening a snapshot", status, &error) && !x.in_memory)
            explore_let_go(&x);
    }
    x.checks++;
    buf_release(&expected);
    buf_release(&actual);
}

static void background(op o)
{
    bool did;
    persist_error error;
    explore_let_go(&x);
    if (o.kind == OP_PURGE)
        explore_end_backup(&x);
    if (op_is_tidy(o.kind))
        space_note_let_go(x.store, &let_go);
    armed = true;
    persist_status status = op_is_tidy(o.kind)
                                ? op_tidy(x.store, o, &error)
                                : store_step(x.store, &did, &error);
    armed = false;
    succeeded(op_name(o.kind), status, &error);
}

static void step(op o)
{
    if (x.store == NULL && !open_store())
        return;
    if (x.in_memory && op_is_control(o.kind))
        return;
    if (o.kind == OP_STEP || op_is_tidy(o.kind))
        background(o);
    else if (o.kind == OP_WAIT)
        wait();
    else if (o.kind == OP_BACKUP)
        back_up();
    else if (op_is_control(o.kind))
        reopen(o);
    else if (!read_only)
        apply(o);
    explore_check_files(&x, &let_go);
    look_after_fault();
}

/* ---- what must hold after it ------------------------------------------ */

/* A store that stopped writing shows what was durable, and refuses. */
static void check_read_only(void)
{
    buf why = {0};
    if (store_visible(x.store) != persist_durable(x.store))
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

static void work(void)
{
    bool did = !x.failed;
    if (did)
        apply((op){OP_APPEND_B, 97});
    for (int i = 0; i < STEPS_MAX && did && !x.failed; i++)
        if (store_step(x.store, &did, NULL) != PERSIST_OK)
            explore_fail(&x, "background work after the fault");
}

/* The store is opened once more and written to, and once more, since a manifest
 * that stood at one opening may name what goes in the next: then there are no
 * files but those that are needed. */
static void check_space(void)
{
    if (read_only) {
        explore_drop(&x);
        open_store();
    } else {
        reopen((op){OP_REOPEN, 0});
    }
    work();
    if (!x.failed)
        reopen((op){OP_REOPEN, 0});
    work();
    if (!x.failed)
        close_store();
    char why[SPACE_WHY];
    x.checks++;
    /* A file with half a header, which could not be deleted either, is left
     * alone as what is not understood. */
    if (os_sim_faults(x.sim, SIM_UNLINK) > 0 &&
        os_sim_faults(x.sim, SIM_WRITE) > 0)
        return;
    if (!x.failed && !space_is_clean(x.sim, why))
        explore_fail(&x, "%s", why);
}

/* The fault is over: a store that is not read-only goes on by itself. */
static void check_heals(void)
{
    static const trial none = {.name = healed};
    const trial *before = current;
    os_sim_fail(x.sim, (sim_fault){0});
    os_sim_limit_space(x.sim, UINT64_MAX);
    current = &none;
    /* opened on a full disk, to be read, it is opened again */
    if (x.store != NULL && store_is_shut(x.store))
        explore_drop(&x);
    if (x.store == NULL && !open_store()) {
        explore_fail(&x, "does not open after the fault is over");
    } else if (!x.failed && !read_only) {
        buf answer = {0};
        persist_error error = {0};
        persist_status status =
            op_apply(x.store, (op){OP_APPEND_B, 98}, &answer, &error);
        buf_clear(&answer);
        bool stopped = status == PERSIST_READ_ONLY && before->disk_size == 0 &&
                       (reading || trial_may_stop(x.sim));
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
    if (!x.failed && !noting)
        check_images(2);
    current = &none;
    if (!x.failed)
        check_space();
    current = before;
}

static void finish(void)
{
    for (int i = 0; i < SIM_CALLS; i++) {
        figures.failed[i] += os_sim_faults(x.sim, (sim_call)i);
        figures.called[i] += os_sim_calls(x.sim, (sim_call)i);
    }
    os_sim_fail(x.sim, (sim_fault){0});
    explore_drop(&x);
    if (!x.failed && !x.in_memory && !noting)
        check_images(0);
    if (!x.failed && os_sim_open_files(x.sim) != 0)
        explore_fail(&x, "%zu files left open", os_sim_open_files(x.sim));
    os_sim_free(x.sim);
    x.sim = NULL;
    model_end(&x.model);
}

static void begin(const trial *t)
{
    current = t;
    allocations = 0;
    read_only = reading = allocation_failed = false;
    sites_begin();
    looked = 0;
    let_go = (space_let_go){0};
    x.in_memory = t->where == IN_MEMORY;
    explore_begin(&x);
    trial_describe(t, &x, quiet);
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
    explore_drop(&x);
    os_sim_free(x.sim);
    x.sim = crashed;
}

/* A whole store has no damage, and a fault is told of, or did no harm. */
static void verify(void)
{
    persist_progress seen = {PERSIST_PROGRESS};
    persist_error error;
    const persist_options options = {PERSIST_OPTIONS,
                                     .path = x.path == NULL ? "store" : x.path,
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

/* An opening that fails again and again leaves no more each time: what the two
 * manifests list, and what is in the making. */
static void open_in_vain(void)
{
    uint64_t before = 0;
    for (int i = 0; i < OPENINGS_TRIED && x.store == NULL && !x.failed; i++) {
        if (i == OPENINGS_TRIED / 2)
            before = os_sim_space_used(x.sim);
        allocations = 0;
        allocation_failed = false;
        if (!current->fault.from_then_on)
            os_sim_fail(x.sim, current->fault);
        open_store();
    }
    uint64_t after = os_sim_space_used(x.sim);
    if (!x.failed && x.store == NULL && after > before + SPACE_SLACK)
        explore_fail(&x, "openings that fail leave %llu bytes, then %llu",
                     (unsigned long long)before, (unsigned long long)after);
}

/* Runs one trial. Returns false when the fault was past its end. */
bool trial_run(const trial *t)
{
    begin(t);
    if (t->where == RECOVERY)
        crash_workload(t->variant);
    if (t->where == RECOVERY && t->fault.nth % 2 == 1)
        space_add_strays(x.sim);
    if (t->where == VERIFYING) {
        run_first(workload_count);
        close_store();
    }
    run_armed(t);
    bool hit = fault_was_hit();
    look_after_fault();
    if (t->where == RECOVERY)
        open_in_vain();
    figures.points += hit;
    if (!x.failed && x.store != NULL &&
        (t->where == IN_MEMORY || (t->where == WORKLOAD && t->disk_size > 0)))
        check_reads();
    if (!x.failed && t->where != IN_MEMORY)
        check_heals();
    finish();
    trial_describe(t, &x, quiet);
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
