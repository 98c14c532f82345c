/* SPDX-License-Identifier: MIT */
/* Whether who would sync now waits for others first. */
#include "engine/log/gather.h"

#include <stddef.h>

#include "base/check.h"

enum { PASSES_MAX = 255, SMOOTHING = 4 };

static void note_length(wal_gather *g, uint64_t us)
{
    uint64_t known = g->sync_us;
    g->sync_us = known == 0 ? us : (known * (SMOOTHING - 1) + us) / SMOOTHING;
}

void gather_note_sync(wal_gather *g, unsigned threads, uint64_t began,
                      uint64_t ended)
{
    bool all_back = g->until != 0 && g->back >= g->expected;
    if (all_back && g->expected > 1)
        g->patience = 0;
    if (ended > began)
        note_length(g, ended - began);
    g->expected = threads;
    g->back = 0;
    g->until = 0;
    g->watcher = NULL; /* who watched may be done, and not come back */
    if (g->passes > 0)
        g->passes--;
    else if (threads > 1 && ended != 0 && g->sync_us > 0)
        g->until = ended + g->sync_us;
}

void gather_note_late(wal_gather *g)
{
    CHECK(g->until != 0);
    g->until = 0;
    g->patience = g->patience * 2 + 1;
    if (g->patience > PASSES_MAX)
        g->patience = PASSES_MAX;
    g->passes = g->patience;
}
