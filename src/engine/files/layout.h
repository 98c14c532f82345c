/* SPDX-License-Identifier: MIT */
/* The directory of a store: what is in it, making a new one.
 *
 *   DIR/lock                   held while a process has the store open
 *   DIR/manifest.0, .1, .tmp   the last two manifests, one in the making
 *   DIR/reserve.tmp            room for when the disk is full
 *   DIR/reserve.1 to .8        files for when it has no others
 *   DIR/wal/<number>.log       segments of the log
 *   DIR/tables/<number>.tbl    tables
 *   DIR/blobs/ab/<cid>         large blobs, by the first byte of the hash
 *   DIR/blobs/<number>.pak     packs of small ones
 *   DIR/tmp/blob-<number>      blobs in the making */
#ifndef ENGINE_FILES_LAYOUT_H
#define ENGINE_FILES_LAYOUT_H

#include "engine/files/manifest.h"

#define LAYOUT_LOCK "lock"
#define LAYOUT_LOG "wal"
#define LAYOUT_TABLES "tables"
#define LAYOUT_BLOBS "blobs"
#define LAYOUT_TEMPORARY "tmp"
#define LAYOUT_RESERVE "reserve.tmp"
#define LAYOUT_RESERVE_FILE "reserve." /* and a number from 1 */
#define LAYOUT_RESERVE_NAME 16
/* not ours: what mkfs leaves at the top of a disk of its own */
#define LAYOUT_LOST_FOUND "lost+found"

/* Tells whether a name may stand in the directory of a whole store. */
bool layout_has(const char *name);

/* A folder; in one that is missing there are no names. */
typedef struct layout_folder {
    const os_dir *dir; /* opened, or &gone; NULL: not looked for */
    os_dir *opened;    /* NULL: it is missing */
    os_stat is;        /* as it was opened */
    os_dir gone;
    char path[PERSIST_PATH_MAX];
} layout_folder;

/* The directory and its folders, held open: wherever their names lead later,
 * this is the store. Zeroed: none.
 *
 * Two locks say who owns it. That on the file `lock` tells people, and programs
 * before this one, who that is; that on the directory stays when somebody
 * deletes the file. Who cannot write there has both shared, and only reads. */
typedef struct layout {
    os_dir *root;
    layout_folder log, tables, blobs, temporary;
    const os_dir *base; /* where the path begins: the working directory as it
                           was, or the root of all */
    os_dir *held_base;  /* the same, or NULL */
    char name[PERSIST_PATH_MAX]; /* the path from there */
    os_file *lock;               /* NULL: there is none, and none can be made */
    os_stat root_is, lock_is;
    manifest_files manifests;
    os_watch *watch;    /* NULL: there is none */
    uint64_t looked_us; /* when all was looked at */
    bool file_alone; /* the directory has no lock: this file system has none */
    bool read_only;
    persist_error why; /* it is so */
} layout;

/* Takes the slashes off the end of a path. False, with PERSIST_BAD_REQUEST,
 * if names in the store would be too long behind it. */
bool layout_path(const char *path, char out[PERSIST_PATH_MAX], persist_error *);

/* Opens the directory, made first, with `create`, if it is missing. Errors:
 * PERSIST_BAD_STORE. Release the layout in any case, also for the next ones. */
persist_status layout_open(const os *, const char *path, bool create, layout *,
                           persist_error *);

/* Makes sure that a directory is a store, or, with `create`, is empty (or
 * holds what an interrupted creation left). Writes nothing. Errors:
 * PERSIST_BAD_STORE. */
persist_status layout_check(const os *, const os_dir *, bool create,
                            persist_error *);

/* Takes the locks, which layout_release lets go; shared, where nothing can be
 * written. make: the file `lock` is made if it is missing. Errors:
 * PERSIST_LOCKED, PERSIST_BAD_STORE. */
persist_status layout_lock(const os *, layout *, bool make, persist_error *);

/* Looks whether a name in a directory of the store leads to what is held, or,
 * if that is NULL, to any file, and whether that has so many bytes at the
 * least, as it was made with; says what has happened if not. */
persist_status layout_check_name(const os *, const os_dir *, const char *name,
                                 const os_stat *held, uint64_t size,
                                 persist_error *);

/* The same for the path of the store; for that, the lock and the manifests: it
 * is still ours to say something there; and for all these and the folders. */
persist_status layout_check_path(const os *, const layout *, persist_error *);
persist_status layout_check_root(const os *, layout *, persist_error *);
persist_status layout_check_hold(const os *, layout *, persist_error *);

/* Watches the directory and its folders, which are open, from now on; where
 * that cannot be, nothing is ever quiet. */
void layout_watch(const os *, layout *);

/* One thread at a time: tells whether nothing but the path can lead elsewhere
 * than at the last call that said no, after which the caller looks. */
bool layout_is_quiet(const os *, layout *, uint64_t now_us);

/* Makes an empty store in a directory that layout_check has passed. */
persist_status layout_create(const os *, layout *, persist_error *);

/* Opens a folder, which dir_close closes: 0 or a negative errno. */
int layout_find_folder(const os *, const os_dir *root, const char *name,
                       layout_folder *);

/* The same, with the locks held. One that is missing is PERSIST_CORRUPT if
 * something in it is needed; else it is made, where that can be. */
persist_status layout_open_folder(const os *, const layout *, const char *name,
                                  bool needed, layout_folder *,
                                  persist_error *);

/* Closes what is open. Safe on a zeroed one. */
void layout_release(const os *, layout *);

#endif
