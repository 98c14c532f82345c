/* SPDX-License-Identifier: MIT */
/* Directories of backups: what the parts share.
 *
 *   PATH/000001      a backup: a whole store
 *   PATH/unfinished  one in the making
 *   INTO.restoring/unfinished   a store that is being restored
 *
 * The happy path is the same for both: a directory is filled, its manifest
 * last, all of it is synced, verified and opened; then a rename gives it its
 * name. Whatever ends it before leaves a directory of another name, which the
 * next one removes. */
#ifndef KEEP_KEEP_H
#define KEEP_KEEP_H

#include "base/buf.h"
#include "engine/files/files.h"
#include "os/os.h"
#include "store/store.h"

#define KEEP_UNFINISHED "unfinished"
#define KEEP_RESTORING ".restoring"

enum { KEEP_NAME_MAX = 24 };

/* A store in the making, and how far that is. */
typedef struct keep_work {
    const os *sys;
    os own_sys;     /* where that points, in a store for a group */
    os_dir *parent; /* where it gets its name */
    os_dir *place;  /* where it is made: the same, or INTO.restoring */
    os_dir *dir;    /* the store itself; NULL: not yet */
    bool began;     /* what is there by that name is this one's */
    char path[PERSIST_PATH_MAX]; /* of it */
    uint8_t folders[32];         /* of blobs, that were made */
    uint8_t *room;               /* for bytes on their way */
    persist_kept kept;
    persist_kept_fn progress;
    void *context;
} keep_work;

/* Where the bytes of a file come from: as persist_backup_read. */
typedef persist_status (*keep_read_fn)(void *context, void *, size_t,
                                       size_t *got, persist_error *);

/* ---- tree.c ------------------------------------------------------------ */

/* Removes a directory with all that is in it; 0, also where there is none, or a
 * negative errno. */
int keep_remove(const os *, const os_dir *at, const char *name);

/* Lists names, each with a NUL. */
int keep_list(const os *, const os_dir *, buf *out);

/* Opens the directory that a path is in, and tells its last name. Errors:
 * PERSIST_BAD_STORE. */
persist_status keep_open_parent(const os *, const char *path, os_dir **,
                                char name[PERSIST_PATH_MAX], persist_error *);

/* Takes the number of a backup out of its name, and the name out of a number.
 */
bool keep_number(const char *name, uint64_t *number);
const char *keep_name(uint64_t number, char out[KEEP_NAME_MAX]);

/* ---- work.c: a store in the making -------------------------------------- */

/* Makes the directory anew in `place`, and its folders. */
persist_status keep_begin(keep_work *, persist_error *);
/* Makes what a name needs that is to be made: a folder of blobs. */
persist_status keep_make_way(keep_work *, const char *name, persist_error *);
/* Makes a file of so many bytes, and syncs it. PERSIST_NONE: the caller of all
 * this has ended it. */
persist_status keep_copy(keep_work *, const char *name, uint64_t size,
                         keep_read_fn, void *context, persist_error *);
/* Syncs the folders: all names but the manifest's, or its own, too. */
persist_status keep_sync(keep_work *, persist_error *);
persist_status keep_sync_root(keep_work *, persist_error *);
/* Tells who wants to know how far it is; PERSIST_NONE: he has ended it. */
persist_status keep_tell(keep_work *);
/* Reads all of the store, and opens it: no damage, and it ends with the commit
 * that it should. */
persist_status keep_verify(keep_work *, persist_error *);
persist_status keep_check_open(keep_work *, persist_error *);
/* Gives it its name. */
persist_status keep_end(keep_work *, const char *name, persist_error *);
/* Removes what there is of it, if it has no name, and releases all. */
void keep_release(keep_work *);

/* ---- point.c ------------------------------------------------------------ */

/* Reads a backup's manifest, and its log: where it ends. */
persist_status keep_point(const os *, const os_dir *, persist_point *out,
                          manifest *, persist_error *);

#endif
