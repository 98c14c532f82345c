/* SPDX-License-Identifier: MIT */
/* What compacting and purging share. */
#ifndef ENGINE_UPKEEP_TIDY_H
#define ENGINE_UPKEEP_TIDY_H

#include "engine/upkeep/upkeep.h"

/* One of them in progress. Its steps are run by tidy_go_on, each with
 * upkeep.step, and find it as their context. */
typedef struct tidying {
    engine *e;
    const persist_tidy *tidy;
    persist_tidied *out;
    bool done;           /* set by the step that finds nothing left to do */
    bool anew;           /* one table is written anew whatever is in it */
    bool is_one;         /* they were merged */
    persist_lsn through; /* what was committed up to there */
    uint64_t old;        /* tables of lower numbers are to go; 0: not known */
    uint64_t log_from;   /* so are files of the log */
    uint64_t until_us;   /* readers are waited for; UINT64_MAX: for ever */
    bool renewed, waits;
    unsigned failed; /* so often there was no room */
} tidying;

/* Counts it among those in progress meanwhile. */
persist_status tidy_run(tidying *,
                        persist_status (*run)(tidying *, persist_error *),
                        persist_error *);
/* Makes steps until one says that it is done. PERSIST_NONE, PERSIST_CLOSED: it
 * shall not go on. */
persist_status tidy_go_on(tidying *, upkeep_work, persist_error *);

/* Fills in the figures. */
void tidy_look(tidying *, const layers *);
/* Makes sure that this opening may write. */
persist_status tidy_use(engine *, const layers *, persist_error *);
/* A step: towards one table of what was committed up to `through`. */
persist_status tidy_compact(engine *, const layers *, void *context, bool *did,
                            persist_error *);

#endif
