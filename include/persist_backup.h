/* SPDX-License-Identifier: MIT */
/* Backups of a store that is in use: a part of persist.h, which includes it.
 *
 * A backup is the list of the files that make up a store as it was after one
 * commit. Whoever takes them, by these names, into another directory has a
 * store there: it opens to that commit. Writers go on meanwhile. */
#ifndef PERSIST_BACKUP_H
#define PERSIST_BACKUP_H

#include <stdbool.h>

#include "persist_edit.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct persist_backup persist_backup;

/* A state of a store: after which commit; the highest position that any event
 * has by then, and the time of that commit, in microseconds since 1970 (0: none
 * is known). */
typedef struct persist_point {
    persist_lsn lsn;
    uint64_t position;
    uint64_t time;
    uint64_t reserved[5];
} persist_point;

/* Begins a backup of all that is committed by now, which is made durable first.
 * *point, unless NULL, is the commit.
 *
 * While it is open no file that it lists goes: tables that merges replace,
 * files of the log, blobs. So until it ends the disk may hold, beside what the
 * store needs, as much as the store took when it began, and no more; one that
 * nobody ends holds that for ever, and persist_close is refused. Commits wait
 * for nothing but the sync that it begins with. Threads: as a cursor. Errors:
 * PERSIST_READ_ONLY (a sync has failed, and what is visible is not durable),
 * PERSIST_BAD_REQUEST (a store in memory has no files). */
persist_status persist_backup_begin(persist_store *store, persist_backup **out,
                                    persist_point *point, persist_error *error);

/* A file of a backup. The library makes it: look at it where it is. */
typedef struct persist_backup_file {
    /* where it belongs in the new directory, such as
     * "tables/0000000000000001.tbl"; the same in that of the store */
    const char *name;
    uint64_t size; /* bytes: so many are taken, whatever the file has more */
    /* The store never writes to it again, and it may be linked (link, FICLONE)
     * in place of being copied. What has two names is one file: what damages
     * it, damages both stores, and the space is free when both have let go. The
     * others, the log, the pack that blobs are just added to, and the manifest,
     * are copied by persist_backup_read: its bytes are not those of the file.
     */
    bool sealed;
    /* Of a sealed file: a hash of its end. What an earlier backup of this store
     * (persist_identity) has under the same name, with the same size and mark,
     * is the same file, and need not be taken again. */
    uint64_t mark;
} persist_backup_file;

/* Moves on to the next file; PERSIST_NONE when there are no more: what was
 * listed by then is the backup. The manifest comes last, so that a copy that is
 * not complete is no store. *out lives until the next call on the backup. */
persist_status persist_backup_next(persist_backup *backup,
                                   const persist_backup_file **out,
                                   persist_error *error);

/* Reads the next bytes of the file that persist_backup_next has given, at most
 * size of them; *got is 0 only behind its last one. Records of the log are
 * verified; the rest is by whoever verifies the copy (persist_verify). */
persist_status persist_backup_read(persist_backup *backup, void *buffer,
                                   size_t size, size_t *got,
                                   persist_error *error);

/* Ends a backup, at any time, and lets go of what it held. NULL is fine. */
void persist_backup_end(persist_backup *backup);

#ifdef __cplusplus
}
#endif

#endif
