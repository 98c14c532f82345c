/* SPDX-License-Identifier: MIT */
/* Bugs on purpose, by name. */
#include "bugs.h"

#include <stdio.h>

#include "base/seeded_bug.h"

static const struct {
    const char *name, *text;
} sim_bugs[SIM_BUGS] = {
    [SIM_BUG_SKIP_SYNC] = {"os-skip-sync", "syncs no file"},
    [SIM_BUG_SKIP_NTH_SYNC] = {"os-skip-fifth-sync", "syncs four of five"},
    [SIM_BUG_SKIP_DIR_SYNC] = {"os-skip-dir-sync", "syncs no directory"},
    [SIM_BUG_DROP_RENAME] = {"os-drop-rename", "does two of three renames"},
    [SIM_BUG_IGNORE_SHORT] = {"os-ignore-short-write",
                              "takes a short write for a whole one"},
    [SIM_BUG_SWAP_WRITES] = {"os-swap-write-and-sync",
                             "writes after the sync that should follow"},
    [SIM_BUG_IGNORE_LOCK] = {"os-ignore-lock", "opens a store that is in use"},
    [SIM_BUG_IGNORE_EIO] = {"os-ignore-failed-sync",
                            "takes a failed sync for done"},
    [SIM_BUG_IGNORE_NOSPACE] = {"os-ignore-full-disk",
                                "takes a write on a full disk for done"},
};

static const char early[] = "acknowledge-early";

static void list(const char *name, const char *text)
{
    printf("%s\t%s\n", name, text);
}

void bugs_list(void)
{
    for (int i = 1; i < SIM_BUGS; i++)
        list(sim_bugs[i].name, sim_bugs[i].text);
    list(early, "acknowledges what is not yet durable");
#ifdef SEEDED_BUGS
    for (int i = 1; i < BUG_COUNT; i++)
        list(seeded_bug_name(i), seeded_bug_text(i));
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
        if (strcmp(name, sim_bugs[i].name) == 0) {
            x->bug = (sim_bug)i;
            return true;
        }
#ifdef SEEDED_BUGS
    return seeded_bug_choose(name);
#else
    return false;
#endif
}
