/* SPDX-License-Identifier: MIT */
/* What reads see: views, snapshots, and ranges of names. */
#ifndef PERSIST_VIEW_H
#define PERSIST_VIEW_H

#include <stdbool.h>

#include "persist_base.h"
#include "persist_edit.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- views ------------------------------------------------------------ */

/* What a read sees: one state of the store. That is what is durable or what is
 * committed as the read begins, by one of the two below; or, when a snapshot is
 * given in their place, its state, for as many reads as like. Commits that come
 * later do not show in an open cursor. After a failed sync what is committed is
 * what was durable last. NULL is no view. */
typedef struct persist_snapshot persist_snapshot;
typedef const persist_snapshot *persist_view;

#define PERSIST_DURABLE ((persist_view)1)
#define PERSIST_LATEST ((persist_view)2)

/* Opens a snapshot: the state of a view, which is PERSIST_DURABLE or
 * PERSIST_LATEST, as it is now. Whatever is read in it agrees: streams, events,
 * queries, keys, positions. (Command ids have no view; of blobs a
 * view tells which there are, see persist_blobs, and their bytes have none.) On
 * success *out is a handle that persist_snapshot_close releases; a store with
 * open snapshots cannot be closed.
 *
 * Any number of threads may read in a snapshot at once, and any of them may
 * close it, when no call with it is in progress. Cursors that were opened in it
 * do not need it any more.
 *
 * What it keeps: of a store on disk the up to two memtables of the moment in
 * memory (see memtable_size), and tables that are merged or whose contents are
 * truncated, deleted or put anew since then on the disk; so a full disk is not
 * freed before it is closed. Files of the log are not kept. Commits, flushes
 * and merges go on. Of a store in memory it keeps all that was there, and the
 * first commit behind it copies what names and events are known by: it takes
 * time and memory for each, but not for their bytes. Opening and closing take
 * about as long as opening and closing a cursor, whatever is stored. There is
 * no limit of time: what is kept grows with what is replaced.
 *
 * After a failed sync a PERSIST_LATEST snapshot goes on to show what it showed,
 * though that may be lost: persist_wait_durable of its lsn tells. Errors:
 * PERSIST_BAD_REQUEST (another view). */
persist_status persist_snapshot_open(persist_store *store, persist_view view,
                                     persist_snapshot **out,
                                     persist_error *error);

/* Returns the commit that a snapshot shows the state after: wait for it before
 * anything leaves the program that rests on reads in a PERSIST_LATEST snapshot;
 * what is read in a PERSIST_DURABLE one is durable. 0 for what
 * is no snapshot (NULL, PERSIST_LATEST, PERSIST_DURABLE), and in a child of
 * fork. Never fails. */
persist_lsn persist_snapshot_lsn(const persist_snapshot *snapshot);

/* Closes a snapshot, and lets go of what it alone kept. NULL, PERSIST_LATEST
 * and PERSIST_DURABLE are fine. */
void persist_snapshot_close(persist_snapshot *snapshot);

/* ---- ranges ----------------------------------------------------------- */

#define PERSIST_RANGE .size = sizeof(persist_range)

/* Which names are read, of streams or of keys, and in which order. Names are
 * compared byte by byte, as numbers without sign, and one that begins another
 * comes before it. All that is given must hold; the slices are copied. To go on
 * where a page has ended, give its last name as `after`, or backwards as
 * `before`. */
typedef struct persist_range {
    size_t size;          /* PERSIST_RANGE */
    bool backward;        /* the greatest name first */
    persist_slice prefix; /* names that begin with it; empty: all do */
    /* bounds; NULL: none */
    const persist_slice *from;   /* not less than this one */
    const persist_slice *after;  /* greater */
    const persist_slice *to;     /* not greater */
    const persist_slice *before; /* less */
} persist_range;

#ifdef __cplusplus
}
#endif

#endif
