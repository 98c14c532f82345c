/* SPDX-License-Identifier: MIT */
/* The bytes of blobs: small ones in packs, each large one in a file of its own,
 * named by its cid. Which blobs there are the index says; see blob_index.c.
 *
 * A file of its own is written under a temporary name, synced, renamed, and
 * its folder synced: then the index may name it. */
#ifndef ENGINE_BLOB_BLOB_H
#define ENGINE_BLOB_BLOB_H

#include <stdatomic.h>

#include "base/cid.h"
#include "base/status.h"
#include "engine/blob/pack.h"
#include "engine/files/files.h"

enum { BLOB_FOLDERS = 256 };

/* A blob that was deleted, and has a file of its own that may be there. */
typedef struct gone_blob {
    persist_lsn lsn; /* of the commit that deleted it */
    blob_entry entry;
} gone_blob;

typedef struct blob_store {
    const os *sys;
    const os_dir *dir, *temporary;
    uint32_t packed_max; /* bytes of a blob that goes into a pack */
    /* The last large blob that was put was there; true before the first. */
    atomic_bool repeats;
    /* hashes of what large blobs began with, the newest where two collide */
    _Atomic uint64_t seen[BLOBS_SEEN];
    /* files that hold what was put, as they were then, hashed */
    _Atomic uint64_t compared[BLOBS_COMPARED];
    _Atomic uint64_t next_temporary;
    atomic_uint mending; /* odd: what is there may not be durable yet */
    atomic_bool unsure;  /* nor ever be: a sync failed while mending */

    pthread_mutex_t lock; /* for all below; held while a blob gets its place
                             and enters the index */
    uint8_t named[BLOB_FOLDERS / 8]; /* folders whose names are durable */
    gone_blob *gone;                 /* owned; in the order of lsns */
    size_t gone_count, gone_capacity;
    pack_writer packs;
} blob_store;

/* A blob in the making: in memory while it is small, then in a file. */
typedef struct blob_writer {
    blob_store *store;
    bool hashing; /* else the digest is known */
    hash_sha256_state hash;
    uint8_t digest[HASH_SHA256_SIZE];
    uint64_t size;
    buf small;
    os_file *file; /* NULL: not yet */
    char path[PERSIST_PATH_MAX];
} blob_writer;

typedef struct blob_reader {
    const blob_store *store;
    os_file *file;
    bool hashing; /* the end has not been reached */
    hash_sha256_state hash;
    uint64_t base; /* where the blob begins in the file */
    uint64_t at, size;
    uint8_t digest[HASH_SHA256_SIZE];
    char path[PERSIST_PATH_MAX];
    /* For reads at any place: what the bytes of each part hash to; */
    uint64_t *parts; /* owned; NULL: not known yet */
    uint8_t *room;   /* owned: for one part */
} blob_reader;

/* Sets up; the folders live as long. Leftovers of unfinished blobs are
 * removed. */
persist_status blob_open_store(blob_store *, const os *, const os_dir *dir,
                               const os_dir *temporary, uint64_t epoch,
                               uint32_t packed_max, persist_error *);
void blob_close_store(blob_store *);

/* Begins a blob; a digest that is known already need not be computed. Ends with
 * blob_release. */
void blob_begin(blob_store *, blob_writer *, const uint8_t *digest);
persist_status blob_write(blob_writer *, slice bytes, persist_error *);
/* All is written: computes the digest, once. */
void blob_end(blob_writer *);
/* Makes the bytes durable if they are in a file. *unsynced tells that a sync
 * failed: nothing that follows may be promised then. */
persist_status blob_sync(blob_writer *, bool *unsynced, persist_error *);
/* With the store's lock: gives the file, ended and synced, its own name, and
 * makes that durable; the index may then have the entry. */
persist_status blob_place(blob_writer *, blob_entry *, bool *unsynced,
                          persist_error *);
/* With the store's lock: takes the file of a blob away. */
void blob_remove(const blob_store *, const blob_entry *);
/* Releases a writer, and the bytes that have no place. */
void blob_release(blob_writer *);

/* The bytes of a blob that is put: in memory, or, if there is a writer, in its
 * file. */
typedef struct blob_source {
    slice bytes;
    blob_writer *writer;
} blob_source;

/* Compares a blob that the index has with the same one that is put, and waits
 * while one is being mended. PERSIST_NONE: it is missing or damaged. In _here
 * the caller has the store's lock, and nobody mends. */
persist_status blob_compare(blob_store *, const blob_entry *,
                            const blob_source *, persist_error *);
persist_status blob_compare_here(blob_store *, const blob_entry *,
                                 const blob_source *, persist_error *);

/* The file of a blob was just written: what it holds need not be compared for
 * as long as nobody else writes to it. */
void blob_remember(blob_store *, const blob_entry *, os_file *);

/* With the store's lock: stores such a blob anew, where the index says that it
 * is, and makes it durable. *unsynced: as in blob_sync. */
persist_status blob_mend(blob_store *, const blob_entry *, const blob_source *,
                         bool *unsynced, persist_error *);

/* The bytes of a writer go to a file, however few they are. */
persist_status blob_to_file(blob_writer *, persist_error *);

/* Opens the file that has a blob, to read; writes its path. Returns 0 or a
 * negative errno. */
int blob_open_file(const blob_store *, const blob_entry *,
                   char path[PERSIST_PATH_MAX], os_file **);

/* Opens a blob that the index has. */
persist_status blob_open(const blob_store *, const blob_entry *, blob_reader *,
                         persist_error *);
/* Reads as persist_blob_read does. */
persist_status blob_read(blob_reader *, void *, size_t, size_t *got,
                         persist_error *);
/* Reads as persist_blob_read_at does. */
persist_status blob_read_at(blob_reader *, uint64_t offset, void *, size_t,
                            size_t *got, persist_error *);
void blob_close(blob_reader *);
/* Says that its bytes are not what was put. */
persist_status blob_corrupt(const blob_reader *, persist_error *);

/* Tells whether a name in the temporary folder is that of an unfinished blob.
 */
bool blob_is_temporary(const char *name);

#endif
