/* SPDX-License-Identifier: MIT */
/* What a trial is about: in words, and in the answers it may lead to. */
#include <errno.h>
#include <stdio.h>

#include "clock.h"
#include "trial.h"

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

bool trial_lasts(const trial *t)
{
    return t->fault.from_then_on || t->allocations_from_then_on;
}

void trial_text(const trial *t, uint64_t seed, char out[TRIAL_TEXT_MAX])
{
    snprintf(
        out, TRIAL_TEXT_MAX,
        "faults --seed %llu: %s, %s, call %llu%s%s, error %d%s, disk "
        "%llu, allocation %llu",
        (unsigned long long)seed, place_of(t), t->name,
        (unsigned long long)t->fault.nth, t->fault.on == NULL ? "" : " on ",
        t->fault.on == NULL ? "" : t->fault.on, t->fault.error,
        trial_lasts(t) ? " from then on" : "", (unsigned long long)t->disk_size,
        (unsigned long long)t->allocation);
}

void trial_describe(const trial *t, const explorer *x, bool be_quiet)
{
    static char word[TRIAL_TEXT_MAX];
    trial_text(t, x->seed, word);
    last_word(word);
    if (!x->failed || be_quiet)
        return;
    printf("VIOLATION in %s\n%.*s", word, (int)x->report.size,
           (const char *)x->report.data);
    fflush(stdout); /* whoever is told to end while shrinking has said this */
}

bool trial_is_harmless(const trial *t)
{
    const sim_fault *f = &t->fault;
    return f->nth > 0 && (f->error == 0 || f->error == EINTR);
}

bool trial_excuses(const trial *t, persist_status status, bool read_only)
{
    if (t->disk_size > 0)
        return status == PERSIST_NO_SPACE;
    if (trial_is_harmless(t))
        return false;
    if (t->allocation > 0)
        return status == PERSIST_LIMIT ||
               (read_only && status == PERSIST_READ_ONLY);
    /* what the system says is not there is not: a store, a file of one */
    if (t->fault.error == ENOENT && !t->fault.done &&
        (status == PERSIST_BAD_STORE || status == PERSIST_CORRUPT))
        return true;
    return status == PERSIST_IO || status == PERSIST_NO_SPACE ||
           status == PERSIST_READ_ONLY || status == PERSIST_LIMIT;
}

bool trial_may_stop(const os_sim *sim)
{
    static const sim_call final[] = {SIM_WRITE, SIM_SYNC, SIM_DIR_SYNC,
                                     SIM_STAT, SIM_FILE_STAT};
    uint64_t faults = 0;
    for (size_t i = 0; i < sizeof final / sizeof *final; i++)
        faults += os_sim_faults(sim, final[i]);
    return faults > 0;
}
