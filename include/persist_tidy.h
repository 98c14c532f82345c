/* SPDX-License-Identifier: MIT */
/* What persist_compact and persist_purge, of persist.h, are told and tell. */
#ifndef PERSIST_TIDY_H
#define PERSIST_TIDY_H

#include <stdbool.h>

#include "persist_base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PERSIST_TIDIED .size = sizeof(persist_tidied)

/* How far it has come. All are bytes, but for the files. */
typedef struct persist_tidied {
    size_t size;     /* PERSIST_TIDIED */
    uint64_t done;   /* of tables and log: gone through so far, */
    uint64_t total;  /* of so many; it grows where others commit meanwhile */
    uint64_t before; /* what log and tables took on the disk as it began */
    uint64_t now;    /* what they take, those that somebody reads included */
    uint64_t kept;   /* of that, tables that are replaced, but read by cursors
                        and snapshots that were opened before: they go when
                        these are closed */
    uint64_t files;  /* of log and tables, that persist_purge has deleted in
                        the end beside those that go by themselves */
} persist_tidied;

#define PERSIST_TIDY .size = sizeof(persist_tidy)

/* What is wanted. NULL in its place, or all 0: nothing is told, and nobody is
 * waited for. */
typedef struct persist_tidy {
    size_t size; /* PERSIST_TIDY */
    void *context;
    /* Called between two steps, of some milliseconds mostly, by the thread that
     * has called, without a lock of the store: it may read and commit, but not
     * close the store or end its waits. False ends the work: what was begun is
     * taken back, what is done stays. NULL: it goes on to its end. */
    bool (*progress)(void *context, const persist_tidied *);
    /* How long persist_purge waits, in milliseconds, for the cursors and
     * snapshots that were opened before, and still read what is to go;
     * PERSIST_FOREVER: as long as it takes. persist_compact waits for none. */
    uint64_t timeout_ms;
} persist_tidy;

#ifdef __cplusplus
}
#endif

#endif
