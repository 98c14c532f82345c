/* SPDX-License-Identifier: MIT */
/* Backups: the files of a store as of one commit, held while somebody takes
 * them; see persist_backup.h.
 *
 * Tables are held as readers hold them, by a reference; the log by a hold on
 * its files (wal_hold); no blob is deleted while a backup is open. The manifest
 * is made for the point, and says that the store was closed there: so a copy
 * needs no recovery, and nothing behind the point is ever taken for a part of
 * it. */
#ifndef ENGINE_BACKUP_BACKUP_H
#define ENGINE_BACKUP_BACKUP_H

#include "engine/backup/ship.h"
#include "engine/state/state.h"

/* What is listed, in this order. */
typedef enum backup_stage {
    BACKUP_TABLES,
    BACKUP_PACKS,
    BACKUP_BLOBS,
    BACKUP_LOG,
    BACKUP_MANIFEST,
    BACKUP_DONE,
} backup_stage;

enum { BACKUP_NAME_MAX = 96, BACKUP_FOLDERS = 256 };

typedef struct engine_backup {
    engine *engine;
    persist_point point;
    manifest manifest; /* as the backup has it */
    table **tables;    /* references, so many as it lists */
    size_t table_count;
    wal_hold hold;
    bool holds_log;
    uint64_t pack, pack_size; /* the newest pack, and what it had */
    bool pack_is_open;

    /* the list */
    backup_stage stage;
    size_t at;           /* in the stage */
    number_list packs;   /* by number */
    unsigned folder;     /* of blobs: the next one */
    os_dir *blob_folder; /* in hand; NULL: none */
    buf names;           /* of its blobs, each with a NUL; `at` is in bytes */

    /* the file in hand */
    const os_dir *dir;
    char name[BACKUP_NAME_MAX];
    persist_backup_file file;
    os_file *open; /* NULL: not yet, or it is in memory: */
    bool in_memory;
    buf bytes;
    uint64_t read;
} engine_backup;

/* As the functions of persist_backup.h. The backup is the caller's, and stays
 * where it is; engine_backup_end also after one that could not begin. */
persist_status engine_backup_begin(engine *, engine_backup *, persist_error *);
persist_status engine_backup_next(engine_backup *, persist_error *);
persist_status engine_backup_read(engine_backup *, void *, size_t, size_t *got,
                                  persist_error *);
void engine_backup_end(engine_backup *);

/* Gives the file in hand, which is sealed, a second name in a directory: 0 or a
 * negative errno, see os.h. */
int engine_backup_link(const engine_backup *, const os_dir *, const char *name);

/* The bytes of what is not copied from a file as it is, for list.c: a segment
 * of the log up to the point, and the manifest. */
persist_status backup_load_log(engine_backup *, const segment_entry *,
                               persist_error *);
persist_status backup_load_manifest(engine_backup *, persist_error *);
/* Says that a file of the log is damaged at that byte: PERSIST_CORRUPT. For
 * ship.c, too. */
persist_status backup_log_damaged(const engine *, uint64_t number, uint64_t at,
                                  persist_error *);
/* Closes the file in hand. */
void backup_close_file(engine_backup *);

#endif
