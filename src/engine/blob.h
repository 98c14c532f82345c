/* SPDX-License-Identifier: MIT */
/* Blobs: one file a cid, under two levels of folders.
 *
 * A blob is written to a temporary file, synced, renamed, and its folder
 * synced; only then is it said to be there. */
#ifndef ENGINE_BLOB_H
#define ENGINE_BLOB_H

#include <pthread.h>

#include "base/cid.h"
#include "base/status.h"
#include "os/os.h"
#include "persist.h"

enum { BLOB_FOLDERS = 65536 };

typedef struct blob_store {
    const os *sys;
    char dir[PERSIST_PATH_MAX];
    char temporary_dir[PERSIST_PATH_MAX];
    pthread_mutex_t lock;
    uint64_t next_temporary;
    /* folders whose own names, and all names in them that were there, have
     * been synced since the store was opened */
    uint8_t synced[BLOB_FOLDERS / 8];
} blob_store;

typedef struct blob_writer {
    blob_store *store;
    os_file *file;
    hash_sha256_state *hash;
    uint64_t size;
    char path[PERSIST_PATH_MAX];
} blob_writer;

typedef struct blob_reader {
    const blob_store *store;
    os_file *file;
    hash_sha256_state *hash;
    uint64_t at, size;
    uint8_t digest[HASH_SHA256_SIZE];
    char path[PERSIST_PATH_MAX];
} blob_reader;

/* Sets up; the folders `dir` and `temporary_dir` are there. Leftovers of
 * unfinished blobs are removed. */
persist_status blob_open_store(blob_store *, const os *, const char *dir,
                               const char *temporary_dir, persist_error *);
void blob_close_store(blob_store *);

/* The public functions without persist_ in front; writers and readers are the
 * caller's structs. What blob_has and blob_open find is
 * durable. *unsynced tells that a
 * sync failed: nothing that follows may be promised then. */
persist_status blob_has(blob_store *, slice cid, bool *unsynced,
                        persist_error *);
persist_status blob_create(blob_store *, blob_writer *, persist_error *);
persist_status blob_write(blob_writer *, slice bytes, persist_error *);
persist_status blob_finish(blob_writer *, persist_cid out, bool *unsynced,
                           persist_error *);
void blob_abort(blob_writer *);
persist_status blob_open(blob_store *, slice cid, blob_reader *, bool *unsynced,
                         persist_error *);
persist_status blob_read(blob_reader *, void *, size_t, size_t *got,
                         persist_error *);
void blob_close(blob_reader *);

/* For who changes nothing: as blob_open, but the name is not made durable, and
 * of the store only sys and dir are used. */
persist_status blob_open_as_is(const blob_store *, slice cid, blob_reader *,
                               persist_error *);
/* Writes the path of the blob of that digest. */
void blob_path(const blob_store *, const uint8_t digest[HASH_SHA256_SIZE],
               char out[PERSIST_PATH_MAX]);
/* Tells whether a name in the temporary folder is that of an unfinished blob.
 */
bool blob_is_temporary(const char *name);

#endif
