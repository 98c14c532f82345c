/* SPDX-License-Identifier: MIT */
/* Packs: files that hold the bytes of many blobs, one behind the other, and
 * nothing else. Only what the index names is there; the rest of a pack is what
 * a crash or a refused put has left.
 *
 * An opening makes packs of its own, numbered by its epoch, when it needs them;
 * what another opening has written is never written again. One writer at a
 * time adds; any thread may sync. */
#ifndef ENGINE_BLOB_PACK_H
#define ENGINE_BLOB_PACK_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/slice.h"
#include "os/os.h"

#define PACK_SUFFIX ".pak"

typedef struct pack_writer {
    const os *sys;
    const os_dir *dir;
    uint64_t first;    /* numbers of this opening begin here */
    uint64_t size_max; /* bytes; then comes the next pack */
    /* the writer's */
    uint64_t number;      /* of the pack in hand */
    uint64_t end, before; /* of what is in it; before the last blob came */

    pthread_mutex_t sync; /* held while syncing, and to change the file */
    os_file *file;        /* of the pack in hand; NULL: none yet */
    atomic_bool unsynced;
    _Atomic uint64_t whole; /* bytes that the pack in hand has, at least */
    int failure;            /* what a sync failed with, for good; 0: none has */
} pack_writer;

/* Sets up; the directory lives as long. Nothing is written before pack_add. */
void pack_open(pack_writer *, const os *, const os_dir *, uint64_t epoch,
               uint64_t size_max);
void pack_close(pack_writer *);

/* Writes the path of a pack. Returns 0 or -ENAMETOOLONG. */
int pack_path(const os_dir *, uint64_t number, char out[PERSIST_PATH_MAX]);

/* The writer: adds bytes to a pack; *number and *offset say where they are. The
 * name of the pack is durable, the bytes are so after pack_sync. Returns 0 or
 * a negative errno: then nothing has been added. *unsynced tells that a sync
 * failed. */
int pack_add(pack_writer *, slice bytes, uint64_t *number, uint64_t *offset,
             bool *unsynced);

/* The writer: takes back what was added last; the next bytes go there. */
void pack_take_back(pack_writer *);

/* The writer: puts bytes to their place in a pack of any opening again, which
 * may have gone, and makes them durable. Returns 0 or a negative errno.
 * *unsynced tells that a sync failed. */
int pack_restore(pack_writer *, uint64_t number, uint64_t offset, slice bytes,
                 bool *unsynced);

/* Looks whether the name of the pack in hand leads to it, and it is whole; says
 * what has happened if not. */
persist_status pack_check_name(pack_writer *, persist_error *);

/* Which pack is the newest, and how many bytes it has: all blobs that were
 * added before lie in it, up to there, or in older ones. False: none will be
 * added to it any more. */
bool pack_in_hand(pack_writer *, uint64_t *number, uint64_t *size);

/* Makes durable what was added. Returns 0 or a negative errno, from then on the
 * same: what a sync has lost, no other one brings back. */
int pack_sync(pack_writer *);

#endif
