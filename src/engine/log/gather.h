/* SPDX-License-Identifier: MIT */
/* Whether who would sync now waits for others first.
 *
 * Those whom a sync has woken mostly come back at once with their next commit.
 * If the first of them syncs alone, all others wait for that sync and then for
 * their own: two groups take turns at the disk, each of half the threads. So
 * the first waits until all are back, for as long as a sync takes at the most,
 * counted from the last one's end: longer than a commit has to wait for a sync
 * under way it never waits for this. Where they do not come back in that time
 * it is not tried again for a while, and for longer each time.
 *
 * Waiting for the next request on purpose is anticipatory scheduling (S. Iyer
 * and P. Druschel, SOSP 2001), here for group commit. It is part of wal.h, and
 * all of it happens with its lock held. */
#ifndef ENGINE_LOG_GATHER_H
#define ENGINE_LOG_GATHER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct wal_gather {
    unsigned expected; /* threads that the last sync has let go */
    unsigned back;     /* that have come to wait since */
    uint64_t sync_us;  /* what a sync takes, smoothed; 0: not known */
    uint64_t until;    /* when waiting for them ends, by the clock */
    unsigned passes;   /* syncs to pass before it is tried again, */
    unsigned patience; /* as many as after the last failure */
    /* who of those that wait has an eye on the clock, by any address of its
       own; NULL: nobody */
    const void *watcher;
} wal_gather;

/* Somebody comes to wait for a commit of its own. */
static inline void gather_note_back(wal_gather *g)
{
    g->back++;
}

/* Whether the clock is to be read around the next sync: several wait. */
static inline bool gather_measures(const wal_gather *g)
{
    return g->expected > 1 || g->back > 1;
}

/* A sync has ended that let so many threads go. It began and ended at these
 * times, 0 if nobody has looked. */
void gather_note_sync(wal_gather *, unsigned threads, uint64_t began,
                      uint64_t ended);

/* Whether more are expected back, if the time for it is not over. */
static inline bool gather_hopes(const wal_gather *g)
{
    return g->back < g->expected && g->until != 0;
}

/* The time is over, and not all are back. */
void gather_note_late(wal_gather *);

#endif
