/* SPDX-License-Identifier: MIT */
/* What lies in the folders of a store on a simulated disk, and whether anything
 * names it. */
#ifndef TEST_SPACE_H
#define TEST_SPACE_H

#include "os_sim.h"

typedef struct space_files {
    size_t segments, tables, temporary;
    /* of the first two: those that neither manifest lists */
    size_t segments_unlisted, tables_unlisted;
} space_files;

/* Counts the files of the store in the folder "store", as a reader sees them;
 * strays do not count. */
space_files space_count(const os_sim *);

/* Puts files into the folders of the store that are not its own, or look as if
 * they were. Nothing, where there is no store yet. */
void space_add_strays(os_sim *);

#endif
