/* SPDX-License-Identifier: MIT */
/* One fault in one workload, and what must hold after it. */
#ifndef TEST_TRIAL_H
#define TEST_TRIAL_H

#include "explore.h"

/* Where the fault strikes: in a workload, in the recovery of a store that
 * crashed at one of three points of it, while the closed store is verified, or
 * in the memory backend. */
typedef enum where { WORKLOAD, RECOVERY, VERIFYING, IN_MEMORY } where;

/* Which fault a run is about. */
typedef struct trial {
    const char *name;
    where where;
    unsigned variant; /* of a recovery */
    sim_fault fault;
    uint64_t disk_size;  /* 0: no limit */
    uint64_t allocation; /* the nth fails; 0: none */
    bool allocations_from_then_on;
} trial;

typedef struct trial_figures {
    uint64_t points; /* at which a fault hit */
    uint64_t called[SIM_CALLS], failed[SIM_CALLS];
} trial_figures;

/* The explorer of all trials: the caller sets its first fields, and finds
 * violations in it. */
explorer *trial_explorer(void);

/* Takes the allocator over, and gives it back; note_sites: a trial fails the
 * first call that comes from a place where none was failed before, wherever its
 * own place is, see sites_choose; no crash images are made. */
void trial_begin(bool note_sites);
void trial_end(void);

/* Sets the ops of the next trials; they must live as long. Quiet ones print no
 * violation. */
void trial_workload(const op *, size_t count, bool be_quiet);

/* Runs a trial. Returns false when the fault was past its end. */
bool trial_run(const trial *);

/* Says which trial it is. */
enum { TRIAL_TEXT_MAX = 256 };
void trial_text(const trial *, uint64_t seed, char out[TRIAL_TEXT_MAX]);

/* The same as the last word of the program, and prints a violation that was
 * found. */
void trial_describe(const trial *, const explorer *, bool be_quiet);

/* True for a fault that goes on once it has hit. */
bool trial_lasts(const trial *);

/* True for a fault that is only to be tried again. */
bool trial_is_harmless(const trial *);

/* Tells whether a call that met the fault may answer so; read_only: the store
 * was, before. */
bool trial_excuses(const trial *, persist_status, bool read_only);

/* What was lost on its way to the disk ends writing for good, and when nobody
 * can look whether the directory is still the one. */
bool trial_may_stop(const os_sim *);

/* All figures so far. */
const trial_figures *trial_seen(void);

#endif
