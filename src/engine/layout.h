/* SPDX-License-Identifier: MIT */
/* The directory of a store: what is in it, making a new one.
 *
 *   DIR/lock                   held while a process has the store open
 *   DIR/manifest.0, .1, .tmp   the last two manifests, one in the making
 *   DIR/wal/<number>.log       segments of the log
 *   DIR/tables/<number>.tbl    tables
 *   DIR/blobs/ab/cd/<cid>      blobs
 *   DIR/tmp/blob-<number>      blobs in the making */
#ifndef ENGINE_LAYOUT_H
#define ENGINE_LAYOUT_H

#include "engine/manifest.h"

#define LAYOUT_LOCK "lock"
#define LAYOUT_LOG "wal"
#define LAYOUT_TABLES "tables"
#define LAYOUT_BLOBS "blobs"
#define LAYOUT_TEMPORARY "tmp"

/* Makes sure that a directory is a store, or, with `create`, is missing or
 * empty (or holds what an interrupted creation left). Makes the directory, but
 * nothing in it. Errors: PERSIST_BAD_STORE. */
persist_status layout_check(const os *, const char *dir, bool create,
                            persist_error *);

/* Takes the lock; *out must stay open. Errors: PERSIST_LOCKED. */
persist_status layout_lock(const os *, const char *dir, os_file **out,
                           persist_error *);

/* Makes an empty store in a directory that layout_check has passed. */
persist_status layout_create(const os *, const char *dir, persist_error *);

/* Tells whether a store's folders are there: PERSIST_CORRUPT if not. */
persist_status layout_check_folders(const os *, const char *dir,
                                    persist_error *);

#endif
