/* SPDX-License-Identifier: MIT */
/* Which lsns were given, and did not survive.
 *
 * An lsn is never given again. Who opens a store that was not closed begins
 * LSN_AHEAD higher than what survived, and no opening gives more lsns than that
 * beyond what is durable; so what the one before may have given lies in the
 * gap, for ever. The manifest keeps the gaps, of which each is between two
 * commits that survived. When they are too many, the two oldest become one, and
 * what lies between these survived or not: nobody knows any more. */
#ifndef ENGINE_FILES_GAPS_H
#define ENGINE_FILES_GAPS_H

#include "base/buf.h"
#include "engine/files/limits.h"

struct cursor;

/* The lsns that are above `end` and below `begin`. */
typedef struct gap {
    persist_lsn end, begin;
} gap;

typedef struct gaps {
    gap *items; /* owned, the oldest first */
    size_t count, capacity;
    bool merged; /* the oldest one was several */
} gaps;

/* What became of an lsn. */
typedef enum lsn_fate {
    LSN_SURVIVED, /* as far as lsns were given when the last gap was noted */
    LSN_LOST,
    LSN_UNKNOWN, /* it lies in a gap that was several */
} lsn_fate;

/* Release the items, not the struct. Safe on a zeroed one. */
void gaps_release(gaps *);

/* Copies into a list, in place of what it has; false when memory is out. */
bool gaps_copy(gaps *, const gaps *from);

/* The lsn of the commit after one that survived. */
persist_lsn gaps_next(const gaps *, persist_lsn last);

/* Notes that what lies between two lsns is lost, of which `last`, the newest
 * that survived, is not below the newest gap. False when memory is out. */
bool gaps_add(gaps *, persist_lsn last, persist_lsn begin);

/* Keeps no more than so many, GAPS_MAX or less, from now on in this process: so
 * a test need not end a store so often. */
void gaps_keep(size_t most);

/* Notes that what an opening gave beyond `last` is lost: gaps_next is so much
 * higher from now on. False when memory is out. */
bool gaps_note(gaps *, persist_lsn last);

/* What became of one. */
lsn_fate gaps_judge(const gaps *, persist_lsn);

/* An lsn that survived for sure and is not below one that did: that one itself,
 * unless it lies in a gap that was several. */
persist_lsn gaps_cover(const gaps *, persist_lsn);

/* Tells whether a commit can be the one behind another that survived. */
bool gaps_may_follow(const gaps *, persist_lsn last, persist_lsn next);

/* Tells whether commits can have survived up to there and no further when the
 * last gap was noted, or go on behind it. */
bool gaps_may_end(const gaps *, persist_lsn last);

/* Appends the items, and decodes so many; false: they are malformed, or memory
 * is out, as *memory tells. */
void gaps_encode(const gaps *, buf *);
bool gaps_decode(struct cursor *, uint64_t count, gaps *, bool *memory);

#endif
