/* SPDX-License-Identifier: MIT */
/* A commit in hand, live or read from the log, and its plan. */
#ifndef ENGINE_COMMIT_PLAN_H
#define ENGINE_COMMIT_PLAN_H

#include "engine/commit/commit.h"

/* The entries of its plan are the engine's, for reuse. */
typedef struct commit {
    engine *e;
    const persist_edit *edits;
    size_t count;
    const persist_once *given_once;
    const blob_entry *given_blob;
    bool last; /* it frees space, and nothing else can be done: gets the last */
    bool replayed;            /* it was read from the log, */
    const record_past *pasts; /* which says this of its edits */
    size_t past_count;
    uint64_t looked; /* up to this position nothing meets an expectation */
    persist_lsn lsn;
    arena before;   /* the memtable's, to go back to */
    size_t planned; /* entries of e->plan */
    size_t appends; /* numbers in e->seqs */
    uint64_t position;
    uint64_t time;
    once *once;      /* in the memtable */
    blob_item *blob; /* the same, */
    bool blob_made;  /* for it; and what is new of it: */
    blob_version *blob_version;
    uint64_t logged; /* bytes of its record */
    uint64_t dead;   /* bytes of older layers that it makes dead, see died.c */
} commit;

/* Finds or enters the streams and keys of the edits in the active memtable,
 * where nobody sees them yet, and gives numbers. A commit that is not applied
 * then ends with plan_abandon, also when this fails. */
persist_status plan_commit(commit *, persist_error *);

/* Tells whether all that is planned is to drop events that are gone already. */
bool plan_does_nothing(const commit *);

/* Drops what only a commit that failed, or did nothing, has made. */
void plan_abandon(commit *);

/* Finds a command id in the memtable, edits of this commit included, or below;
 * *owned, from below, is the caller's to free. PERSIST_NONE. */
persist_status commit_find_once(const layers *, slice id, const once **out,
                                once **owned, persist_error *);

/* ---- expect.c ---------------------------------------------------------- */

/* Before the writer's lock is taken: looks for what must not have come, as far
 * as there is something by now. Queries read tables, for which others need not
 * wait. */
void expectations_look_ahead(commit *);

/* The writer: tells whether an expectation, an edit of that index, holds; if
 * not, fills in the conflict. */
persist_status expectation_check(const commit *, size_t index, bool *holds,
                                 persist_outcome *, persist_error *);

/* ---- died.c ------------------------------------------------------------ */

/* A truncation, in the plan, that moves the floor of a stream. */
void dead_note_floor(commit *, const stream *, const stream_floor *before,
                     const stream_floor *after);
/* The first edit in this memtable of a key. */
void dead_note_key(commit *, const persist_edit *);
/* The commit applies. */
void dead_publish(const commit *);

/* After a commit: gives back what a big one needed. */
void plan_trim(engine *);

#endif
