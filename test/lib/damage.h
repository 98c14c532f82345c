/* SPDX-License-Identifier: MIT */
/* What can happen to the bytes of a store at rest, and what must then be true:
 *
 * - it opens, or says that it is corrupt; it opens as after its latest commit,
 *   or, where that cannot be told (see docs/FORMAT.md), after an earlier one;
 * - every read is right, or says corrupt; where a bit flipped, only the reads
 *   fail that need what persist_verify says is touched;
 * - persist_verify names the file of whatever is not as it should be. */
#ifndef TEST_DAMAGE_H
#define TEST_DAMAGE_H

#include "base/buf.h"
#include "shapes.h"
#include "sim_files.h"

typedef enum damage_kind {
    DAMAGE_FLIP, /* each bit of the byte at `at`, one after the other */
    DAMAGE_CUT,  /* the file ends at `at` */
    DAMAGE_ZERO, /* the sector at `at` */
    DAMAGE_SWAP, /* the sectors at `at`, and at `from` in the other file */
    DAMAGE_COPY, /* the sector at `from` in the other file is at `at` too */
    DAMAGE_DELETE,
    DAMAGE_OLDER,       /* the file as it was in the snapshot `from` */
    DAMAGE_OLDER_GROUP, /* all files of its folder, names and bytes */
    DAMAGE_KINDS
} damage_kind;

typedef struct damage {
    damage_kind kind;
    uint16_t shape, file, other; /* numbers; other: the one it comes from */
    uint32_t at, from;
} damage;

/* A shape with its files, and every damage that can be done to it. */
typedef struct target {
    shape *shape;
    sim_file files[SIM_FILES_MAX];
    size_t file_count;
    size_t last_log; /* the file that holds the latest commit; or file_count */
    uint32_t proof;  /* the offset of its proof; UINT32_MAX: it has none */
    sim_file older[OLDER_MAX][SIM_FILES_MAX];
    size_t older_counts[OLDER_MAX];
    damage *damages;
    size_t damage_count, damage_capacity;
    /* per file and byte: which offset verify named for a flip there, + 1 */
    uint32_t *named[SIM_FILES_MAX];
} target;

typedef struct damage_figures {
    uint64_t tried[DAMAGE_KINDS]; /* single damages; a byte counts eight */
    uint64_t refused, failed;     /* openings; openings with failing reads */
    uint64_t found;               /* by verify alone: all reads were right */
    uint64_t harmless;            /* nothing noticed, every read right */
    uint64_t earlier; /* opened as after an earlier commit, where it may */
    uint64_t violations;
} damage_figures;

/* Makes the target of that number below SHAPES. */
void target_make(target *, uint16_t number);
void target_release(target *);

/* Does a damage and judges what is left; false: what must be true is not, and
 * `report` says how. */
bool damage_judge(target *, const damage *, damage_figures *, buf *report);

/* Flips of neighbouring bytes name the same place, or the second one the place
 * where a new part begins: false, with a report, if not. */
bool damage_check_places(target *, buf *report);

const char *damage_name(damage_kind);

#endif
