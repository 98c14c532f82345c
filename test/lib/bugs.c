/* SPDX-License-Identifier: MIT */
/* Bugs on purpose, by name. */
#include "bugs.h"

#include <stdio.h>

#include "base/seeded_bug.h"

static const char *const sim_names[SIM_BUGS] = {
    [SIM_BUG_SKIP_SYNC] = "os-skip-sync",
    [SIM_BUG_SKIP_NTH_SYNC] = "os-skip-fifth-sync",
    [SIM_BUG_SKIP_DIR_SYNC] = "os-skip-dir-sync",
    [SIM_BUG_DROP_RENAME] = "os-drop-rename",
    [SIM_BUG_IGNORE_SHORT] = "os-ignore-short-write",
    [SIM_BUG_SWAP_WRITES] = "os-swap-write-and-sync",
    [SIM_BUG_IGNORE_LOCK] = "os-ignore-lock",
    [SIM_BUG_IGNORE_EIO] = "os-ignore-failed-sync",
    [SIM_BUG_IGNORE_NOSPACE] = "os-ignore-full-disk",
};

static const char early[] = "acknowledge-early";

#ifdef SEEDED_BUGS
static const char *const seeded_names[BUG_COUNT] = {
#define SEEDED_NAME(name, text) [BUG_##name] = #name,
    SEEDED_BUG_LIST(SEEDED_NAME)
#undef SEEDED_NAME
};
#endif

void bugs_list(void)
{
    for (int i = 1; i < SIM_BUGS; i++)
        puts(sim_names[i]);
    puts(early);
#ifdef SEEDED_BUGS
    for (int i = 1; i < BUG_COUNT; i++)
        puts(seeded_names[i]);
#endif
}

bool bugs_set(explorer *x, const char *name)
{
    if (name == NULL)
        return true;
    if (strcmp(name, early) == 0) {
        x->ack_early = true;
        return true;
    }
    for (int i = 1; i < SIM_BUGS; i++)
        if (strcmp(name, sim_names[i]) == 0) {
            x->bug = (sim_bug)i;
            return true;
        }
#ifdef SEEDED_BUGS
    for (int i = 1; i < BUG_COUNT; i++)
        if (strcmp(name, seeded_names[i]) == 0) {
            seeded_bug = i;
            return true;
        }
#endif
    return false;
}
