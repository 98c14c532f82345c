/* SPDX-License-Identifier: MIT */
/* What lies in the folders of a store on a simulated disk, and whether anything
 * names it. */
#ifndef TEST_SPACE_H
#define TEST_SPACE_H

#include "os_sim.h"
#include "persist.h"

typedef struct space_files {
    size_t segments, tables, temporary;
    /* of the first two: those that neither manifest lists */
    size_t segments_unlisted, tables_unlisted;
} space_files;

/* Counts the files of the store in the folder "store", as a reader sees them;
 * strays do not count. */
space_files space_count(const os_sim *);

/* What compacting lets go of at once: none of it may go while nothing can be
 * deleted. To be noted before it, of a store that is open. */
typedef struct space_let_go {
    uint64_t tables, segments;
} space_let_go;
void space_note_let_go(persist_store *, space_let_go *);

/* Tells whether files that nothing names are few, beside these; if not, why. */
enum { SPACE_WHY = 120 };
bool space_is_bounded(const os_sim *, persist_store *, const space_let_go *,
                      char why[SPACE_WHY]);
/* Whether there are none. */
bool space_is_clean(const os_sim *, char why[SPACE_WHY]);

/* Puts files into the folders of the store that are not its own, or look as if
 * they were. Nothing, where there is no store yet. */
void space_add_strays(os_sim *);

#endif
