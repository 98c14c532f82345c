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

/* ---- shipping the log -----------------------------------------------------
 */

typedef struct persist_ship persist_ship;

/* Begins to ship the log behind a commit that is durable: after the one of a
 * backup that is still open, say, so that both together have every commit.
 * While it is open the store keeps the log that was not shipped yet, but no
 * more than 64 MiB of it beside what it needs itself, and none on a full disk:
 * who is further behind is told so. A store with open ships cannot be closed.
 * Threads: as a cursor. Errors: PERSIST_LOST (the log behind that commit is
 * gone already: begin another backup), PERSIST_BAD_REQUEST (the commit is not
 * durable; a store in memory). */
persist_status persist_ship_begin(persist_store *store, persist_lsn after,
                                  persist_ship **out, persist_error *error);

/* A piece of the log: the commits [first, last], whole. The library makes it:
 * look at it where it is. */
typedef struct persist_shipped {
    persist_lsn first, last;
    uint64_t segment, offset; /* in which file of the log, by number, and where
                                 in it, the bytes lie */
    persist_slice bytes;      /* records, as they lie there */
} persist_shipped;

/* Gives the next piece as soon as more is durable, and waits for that so many
 * milliseconds at the most (0: not at all, PERSIST_FOREVER); PERSIST_NONE: the
 * time is up. The records were verified; *out lives until the next call.
 * Waiting syncs nothing. Errors: PERSIST_LOST (it is so far behind that the log
 * is gone: begin another backup, and ship behind that), PERSIST_READ_ONLY (a
 * sync has failed: nothing more will be durable), PERSIST_CLOSED (waits were
 * ended: persist_end_waits). */
persist_status persist_ship_next(persist_ship *ship, uint64_t timeout_ms,
                                 const persist_shipped **out,
                                 persist_error *error);

/* Ends it, and lets the log go. NULL is fine. */
void persist_ship_end(persist_ship *ship);

/* ---- directories of backups --------------------------------------------- */

#define PERSIST_KEPT .size = sizeof(persist_kept)

/* What making a backup, or restoring one, has done: at the end, or so far. */
typedef struct persist_kept {
    size_t size;                   /* PERSIST_KEPT */
    persist_lsn lsn;               /* the commit whose state it is, */
    uint64_t position, time;       /* as in a persist_point */
    uint64_t number;               /* of the backup, in its directory */
    uint64_t files, bytes;         /* that were copied */
    uint64_t linked, linked_bytes; /* files that got one more name */
    uint64_t verified, to_verify;  /* bytes; 0: it has not begun */
} persist_kept;

/* Is told now and then how far it is; false ends it, and nothing is left. */
typedef bool (*persist_kept_fn)(void *context, const persist_kept *);

#define PERSIST_BACK_UP .size = sizeof(persist_back_up_options)

typedef struct persist_back_up_options {
    size_t size;      /* PERSIST_BACK_UP */
    const char *path; /* the directory of backups; made if it is missing */
    bool copy;        /* copy what is sealed, too, where no earlier backup there
                         has it: else it is linked to the store's own files */
    persist_kept_fn progress; /* may be NULL */
    void *context;
    const struct os *os; /* NULL: the real operating system */
} persist_back_up_options;

/* Makes a backup of a store that is in use, as PATH/000001, or with the next
 * number: a directory that is a store, and can be verified, opened and copied
 * as such. It has that name only when all of it is durable, was verified
 * (persist_verify) and opened: whatever ends this before leaves
 * PATH/unfinished, which the next one removes. What an earlier backup there has
 * is linked to that. All backups in a directory are of one store.
 *
 * Linked files are the store's own: a disk that damages one damages both, and
 * what is deleted in the store, and purged, is still in backups. Backups are
 * deleted as any directory, the oldest first or in any order. out may be NULL.
 * Threads: any, one at a time for each PATH. Errors: PERSIST_LOCKED (somebody
 * makes one there), PERSIST_BAD_STORE (something else is there, backups of
 * another store, or of a later state of this one; PATH is on another disk and
 * cannot be linked to: then `copy`), PERSIST_NO_SPACE, PERSIST_CORRUPT (what
 * was read is damaged). PERSIST_NONE: `progress` ended it. */
persist_status persist_back_up(persist_store *store,
                               const persist_back_up_options *options,
                               persist_kept *out, persist_error *error);

/* Which state is wanted: the newest one, or the newest one that is not behind a
 * commit, a position or a time. */
typedef enum persist_at {
    PERSIST_AT_NEWEST = 0,
    PERSIST_AT_LSN = 1,
    PERSIST_AT_POSITION = 2,
    PERSIST_AT_TIME = 3, /* microseconds since 1970 */
} persist_at;

#define PERSIST_RESTORE .size = sizeof(persist_restore_options)

typedef struct persist_restore_options {
    size_t size;      /* PERSIST_RESTORE */
    const char *path; /* the directory of backups, or one of them */
    const char *into; /* the new store: missing, or an empty directory */
    persist_at at;
    uint64_t value;           /* what `at` says; 0 for PERSIST_AT_NEWEST */
    persist_kept_fn progress; /* may be NULL */
    void *context;
    const struct os *os; /* NULL: the real operating system */
} persist_restore_options;

/* Makes a new store of the newest backup that is not behind what is wanted, and
 * tells in *out, which may be NULL, which that was. The files are copied, the
 * new store has an identity of its own, and that of the backup's store as its
 * parent (persist_identity): numbers above its point may be given again there.
 * INTO has its name only when all of it is durable and was verified; whatever
 * ends this before leaves INTO.restoring, which is no store, and which the next
 * try removes. The backups are not written to. Errors: PERSIST_BAD_STORE (no
 * backups are there, or something is in INTO), PERSIST_BAD_REQUEST (the oldest
 * backup is behind what is wanted, or INTO is among the backups),
 * PERSIST_LOCKED, PERSIST_NO_SPACE, PERSIST_CORRUPT. PERSIST_NONE: `progress`
 * ended it. */
persist_status persist_restore(const persist_restore_options *options,
                               persist_kept *out, persist_error *error);

#ifdef __cplusplus
}
#endif

#endif
