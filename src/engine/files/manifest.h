/* SPDX-License-Identifier: MIT */
/* The manifest: what the store consists of, replaced whole.
 *
 * There are two of it, in files that take turns: writing a new one puts it
 * over the older, by a rename, so the last two are always there. */
#ifndef ENGINE_FILES_MANIFEST_H
#define ENGINE_FILES_MANIFEST_H

#include <pthread.h>

#include "base/buf.h"
#include "base/status.h"
#include "engine/files/gaps.h"
#include "engine/files/limits.h"
#include "os/os.h"

/* A segment of the log with the run of records it holds. */
typedef struct segment_entry {
    uint64_t number;
    uint64_t size; /* of the file, bytes */
    persist_lsn first, last;
    uint64_t end; /* offset behind the last record */
} segment_entry;

/* A table with the run of commits it holds. */
typedef struct table_file {
    uint64_t number;
    uint64_t size; /* of the file, bytes */
    persist_lsn first, last;
} table_file;

typedef struct manifest {
    uint64_t identity;       /* of the files; random, never changes */
    uint64_t generation;     /* counts manifests, from 1 */
    uint64_t epoch;          /* counts openings */
    bool clean;              /* closed: the log ends where the list does */
    persist_lsn watermark;   /* everything up to it is durable */
    uint64_t next_segment;   /* segments that are not listed and belong to the
                                log have this number or a higher one */
    segment_entry *segments; /* owned, in order */
    size_t segment_count;
    size_t segment_capacity;

    uint64_t next_table; /* table files with this number or a higher one are
                            unfinished */
    table_file *tables;  /* owned; runs of commits that follow each other */
    size_t table_count, table_capacity;
    /* what the store holds as of the last table */
    uint64_t next_position, streams, keys, events;
    uint64_t time; /* of the last commit that carried one */

    uint64_t features;             /* bits of FORMAT_FEATURES */
    gaps gaps;                     /* between the lsns of all */
    uint8_t id[IDENTITY_SIZE];     /* of the store */
    uint8_t parent[IDENTITY_SIZE]; /* of the one that it came from; 0: none */
} manifest;

/* Releases the entries, not the struct. Safe on a zeroed one. */
void manifest_release(manifest *);

/* Add an entry; false when memory is out. */
bool manifest_add(manifest *, segment_entry);
bool manifest_add_table(manifest *, table_file);

/* Tells whether it lists a segment. */
bool manifest_lists(const manifest *, uint64_t segment);
bool manifest_lists_table(const manifest *, uint64_t number);

/* The last commit that is in a table; 0: none. */
persist_lsn manifest_tables_last(const manifest *);

/* Copies what a manifest says of tables; false when memory is out. */
bool manifest_copy_tables(manifest *, const manifest *from);

/* Copies what stays from one manifest to the next: whose they are, features and
 * gaps. False when memory is out. */
bool manifest_copy_self(manifest *, const manifest *from);

/* The lsn of the first commit behind those that it lists. */
persist_lsn manifest_next_lsn(const manifest *);

/* Encodes into an empty buffer, and decodes; the latter version 2, too.
 * Decoding fails on anything that encoding does not make: PERSIST_CORRUPT, or
 * PERSIST_BAD_STORE for another version, and for features that nobody here
 * knows. out must be zeroed; release it in any case. */
void manifest_encode(const manifest *, buf *);
persist_status manifest_decode(slice bytes, manifest *out, persist_error *);

/* Says what is wrong with the bytes of one; returns PERSIST_CORRUPT. */
persist_status manifest_damaged(persist_error *, const char *what);

/* What is said of a damaged one where the other is whole: by that the store
 * opens, or the log tells that there was a newer one. */
#define MANIFEST_SPARE_ADVICE                                                  \
    "the other manifest is whole: put this one away in a copy of the store, "  \
    "which then opens by the other or tells that it is too old, or restore "   \
    "the store from a backup"

/* Whether that is so, from what loading both gave. */
bool manifest_is_spare(persist_status one, persist_status other);

/* Reads the newest manifest of a store, and the one before (generation 0: there
 * is none). PERSIST_NONE: the directory has no manifest. PERSIST_CORRUPT: one
 * is damaged or missing, so nobody knows which is the newest. Release both in
 * any case. */
persist_status manifest_load(const os *, const os_dir *, manifest *newest,
                             manifest *previous, persist_error *);

/* Reads one of the two files, number 0 or 1, whatever the other one says.
 * PERSIST_NONE: it is not there. The error names it. Release it in any case. */
persist_status manifest_load_one(const os *, const os_dir *, unsigned number,
                                 manifest *out, persist_error *);

/* The two files, open: only of such a one a file system that numbers what is in
 * memory tells for sure which it is. */
typedef struct manifest_files {
    pthread_mutex_t lock; /* held while one is exchanged */
    os_file *held[2];     /* NULL: not known */
    uint64_t size[2];     /* bytes, of what is held */
} manifest_files;

/* Opens them, when these are loaded, in the place of what a creation holds: 0
 * or a negative errno; and closes them. */
int manifest_hold_files(const os *, const os_dir *, const manifest *newest,
                        const manifest *previous, manifest_files *);
void manifest_release_files(const os *, manifest_files *);

/* Deletes what is left of one that was being written; durable then: 0 or a
 * negative errno. Nobody writes one meanwhile. */
int manifest_drop_temporary(const os *, const os_dir *);

/* Raises the generation, writes the manifest and makes it durable. After an
 * error the generation is the old one and the store may be tried again, unless
 * *renamed says that the new one may be there: what it lists stays then. */
persist_status manifest_store(const os *, const os_dir *, manifest_files *,
                              manifest *, bool *renamed, persist_error *);

/* The name of the one of even generations, or of the other one. */
const char *manifest_name(unsigned number);

/* Tells whether a name in the store directory is a manifest's, and whether it
 * is that of an unfinished one. */
bool manifest_is_name(const char *name);
bool manifest_is_temporary(const char *name);

/* Tells whether a directory holds a manifest: it is a store. */
bool manifest_is_there(const os *, const os_dir *);

/* Tells whether records of the log may be needed: listed ones, or a tail. */
static inline bool manifest_needs_log(const manifest *m)
{
    return !m->clean || m->segment_count > 0;
}

#endif
