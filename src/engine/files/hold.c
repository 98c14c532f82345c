/* SPDX-License-Identifier: MIT */
/* Owning the directory of a store.
 *
 * The happy path is: nobody has the locks, and nobody touches the directory
 * until it is closed. Somebody may: a directory is moved, a copy put in its
 * place, `lock` deleted. What is held by handles stays held; whether they are
 * what a newcomer would find is looked at before anything is acknowledged. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "engine/files/layout.h"

/* ---- the file --------------------------------------------------------- */

/* Only reading is left: of a lock that cannot be read, too. */
static int open_shared(const os *sys, layout *l, int refused, const char *path)
{
    l->read_only = true;
    os_failed(&l->why, refused, "write", path);
    int code = sys->file_open(sys, l->root, LAYOUT_LOCK, OS_READ, &l->lock);
    return code == -ENOENT || code == -EACCES ? 0 : code;
}

/* A directory in which nothing can be made has nothing to write in. */
static int open_lock(const os *sys, layout *l, bool make, const char *path)
{
    int code = sys->dir_may_write(sys, l->root);
    if (os_forbids_writing(code))
        return open_shared(sys, l, code, l->root->path);
    int flags = OS_READ | OS_WRITE | (make ? OS_CREATE : 0);
    if (code == 0)
        code = sys->file_open(sys, l->root, LAYOUT_LOCK, flags, &l->lock);
    if (os_forbids_writing(code))
        return open_shared(sys, l, code, path);
    return code == -ENOENT && !make ? 0 : code;
}

static persist_status held_by_another(const layout *l, const char *path,
                                      int64_t holder, persist_error *error)
{
    const char *dir = l->root->path;
    if (holder != 0)
        status_set(error, PERSIST_LOCKED,
                   "the store %.200s is open in process %lld; close it there "
                   "first",
                   dir, (long long)holder);
    else
        status_set(error, PERSIST_LOCKED,
                   "the store %.200s is open in another process, whose number "
                   "is not known; close it there first",
                   dir);
    status_at(error, path, STATUS_NO_OFFSET);
    if (error != NULL) {
        error->holder_pid = holder;
        error->has |= PERSIST_HAS_HOLDER;
    }
    return PERSIST_LOCKED;
}

/* A second name may be that of somebody's file, or of another store's, as a
 * copy made of hard links has it: what is written there must not go into that.
 * So a new file takes this name, by who has the directory locked. Verifying
 * makes none, and does with the directory. */
static int renew_lock(const os *sys, layout *l, bool make)
{
    int code = sys->dir_lock(sys, l->root, false);
    if (code == -EOPNOTSUPP)
        return -EMLINK;
    if (code != 0)
        return code;
    sys->file_close(sys, l->lock);
    l->lock = NULL;
    if (!make)
        return 0;
    code = sys->unlink(sys, l->root, LAYOUT_LOCK);
    if (code == 0 || code == -ENOENT)
        code = sys->file_open(sys, l->root, LAYOUT_LOCK,
                              OS_READ | OS_WRITE | OS_CREATE | OS_EXCLUSIVE,
                              &l->lock);
    return code == 0 ? sys->file_stat(sys, l->lock, &l->lock_is) : code;
}

/* Who has it open since before it got a new file must not write there either:
 * only what is still found by this name is locked. */
static persist_status check_lock(const os *sys, layout *l, bool make,
                                 const char *path, persist_error *error)
{
    int code = sys->stat(sys, l->root, ".", &l->root_is);
    if (code == 0 && l->lock != NULL)
        code = sys->file_stat(sys, l->lock, &l->lock_is);
    if (code == 0 && l->lock != NULL && l->lock_is.links > 1 && !l->read_only)
        code = renew_lock(sys, l, make);
    if (code == -EWOULDBLOCK)
        return held_by_another(l, path, 0, error);
    if (code == -EMLINK)
        return status_of_path(
            error, PERSIST_BAD_STORE, path,
            "%.200s is a hard link of another file, which would be written "
            "to; delete this name of it",
            path);
    return code == 0 ? layout_check_hold(sys, l, error)
                     : os_failed(error, code, "look at", path);
}

/* ---- the locks -------------------------------------------------------- */

/* The file first: it tells who has it. A file system that has no locks for
 * directories does with the file. */
static int take_locks(const os *sys, layout *l, int64_t *holder)
{
    int code = 0;
    if (l->lock != NULL)
        code = sys->file_lock(sys, l->lock, l->read_only, holder);
    if (code != 0)
        return code;
    code = sys->dir_lock(sys, l->root, l->read_only);
    if (code == -EWOULDBLOCK)
        *holder = 0;
    l->file_alone = code == -EOPNOTSUPP;
    return l->file_alone ? 0 : code;
}

persist_status layout_lock(const os *sys, layout *l, bool make,
                           persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    int64_t holder = 0;
    CHECK(l->root != NULL && l->lock == NULL);
    int code = os_join(path, sizeof path, l->root->path, LAYOUT_LOCK);
    if (code == 0)
        code = open_lock(sys, l, make, path);
    if (code != 0)
        return os_failed(error, code, "open", path);
    persist_status status = check_lock(sys, l, make, path, error);
    if (status != PERSIST_OK)
        return status;
    code = take_locks(sys, l, &holder);
    if (code == -EWOULDBLOCK)
        return held_by_another(l, path, holder, error);
    return code == 0 ? layout_check_hold(sys, l, error)
                     : os_failed(error, code, "lock", path);
}

/* ---- holding on ------------------------------------------------------- */

static persist_status lost(persist_error *error, const char *what,
                           const char *path, const char *happened)
{
    return status_of_path(error, PERSIST_IO, path,
                          "%s %.200s %s while the store was open", what, path,
                          happened);
}

static bool leads_nowhere(int code)
{
    return code == -ENOENT || code == -ENOTDIR || code == -ELOOP;
}

/* The name of a file or a folder leads to what is held, and all of it. */
persist_status layout_check_name(const os *sys, const os_dir *dir,
                                 const char *name, const os_stat *held,
                                 uint64_t size, persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    os_stat named;
    int code = sys->stat(sys, dir, name, &named);
    bool found = code == 0 && (held == NULL || os_same(&named, held));
    if (found && named.size >= size)
        return PERSIST_OK;
    int joined = os_join(path, sizeof path, dir->path, name);
    CHECK(joined == 0);
    if (code != 0 && !leads_nowhere(code))
        return os_failed(error, code, "look for", path);
    bool is_dir = held != NULL && held->is_dir;
    const char *what = is_dir ? "the folder" : "the file";
    if (code != 0)
        return lost(error, what, path, "was moved or deleted");
    if (found)
        return lost(error, what, path, "was cut short");
    return lost(error, what, path,
                is_dir ? "was moved, and another is in its place,"
                       : "was replaced");
}

static persist_status check_lock_held(const os *sys, const layout *l,
                                      persist_error *error)
{
    os_stat held;
    if (l->lock == NULL)
        return PERSIST_OK;
    int code = l->file_alone ? sys->file_stat(sys, l->lock, &held) : 0;
    if (code == -EBADF ||
        (l->file_alone && code == 0 && !os_same(&held, &l->lock_is)))
        return lost(error, "the descriptor of the lock in", l->root->path,
                    "was closed by this program");
    return code == 0 ? layout_check_name(sys, l->root, LAYOUT_LOCK, &l->lock_is,
                                         0, error)
                     : os_failed(error, code, "look at", l->root->path);
}

static persist_status check_folders(const os *sys, const layout *l,
                                    persist_error *error)
{
    const struct {
        const char *name;
        const layout_folder *folder;
    } all[] = {{LAYOUT_LOG, &l->log},
               {LAYOUT_TABLES, &l->tables},
               {LAYOUT_BLOBS, &l->blobs},
               {LAYOUT_TEMPORARY, &l->temporary}};
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (status == PERSIST_OK && all[i].folder->opened != NULL)
            status = layout_check_name(sys, l->root, all[i].name,
                                       &all[i].folder->is, 0, error);
    return status;
}

static persist_status check_manifest(const os *sys, const layout *l,
                                     unsigned number, persist_error *error)
{
    os_stat held;
    os_file *file = l->manifests.held[number];
    if (file == NULL)
        return PERSIST_OK;
    int code = sys->file_stat(sys, file, &held);
    return code == 0
               ? layout_check_name(sys, l->root, manifest_name(number), &held,
                                   l->manifests.size[number], error)
               : os_failed(error, code, "look at", l->root->path);
}

/* Nobody stores one meanwhile. */
static persist_status check_manifests(const os *sys, layout *l,
                                      persist_error *error)
{
    pthread_mutex_lock(&l->manifests.lock);
    persist_status status = check_manifest(sys, l, 0, error);
    if (status == PERSIST_OK)
        status = check_manifest(sys, l, 1, error);
    pthread_mutex_unlock(&l->manifests.lock);
    return status;
}

persist_status layout_check_path(const os *sys, const layout *l,
                                 persist_error *error)
{
    os_stat named;
    int code = sys->stat(sys, l->base, l->name, &named);
    if (leads_nowhere(code))
        return lost(error, "the directory", l->root->path,
                    "was moved or deleted");
    if (code != 0)
        return os_failed(error, code, "look for", l->root->path);
    return os_same(&named, &l->root_is)
               ? PERSIST_OK
               : lost(error, "the directory", l->root->path,
                      "was moved, and another is in its place,");
}

persist_status layout_check_root(const os *sys, layout *l, persist_error *error)
{
    persist_status status = layout_check_path(sys, l, error);
    if (status == PERSIST_OK)
        status = check_lock_held(sys, l, error);
    return status == PERSIST_OK ? check_manifests(sys, l, error) : status;
}

persist_status layout_check_hold(const os *sys, layout *l, persist_error *error)
{
    persist_status status = layout_check_path(sys, l, error);
    if (status == PERSIST_OK)
        status = check_lock_held(sys, l, error);
    if (status == PERSIST_OK)
        status = check_folders(sys, l, error);
    return status == PERSIST_OK ? check_manifests(sys, l, error) : status;
}

/* ---- whether anything has happened ------------------------------------ */

/* Not where the directory cannot be locked: that is a network's file system,
 * and what others do there is not heard of. */
void layout_watch(const os *sys, layout *l)
{
    const os_dir *dirs[] = {l->root, l->log.opened, l->blobs.opened};
    CHECK(l->watch == NULL && dirs[1] != NULL && dirs[2] != NULL);
    if (l->file_alone ||
        sys->watch_open(sys, dirs, sizeof dirs / sizeof *dirs, &l->watch) != 0)
        l->watch = NULL;
}

bool layout_is_quiet(const os *sys, layout *l, uint64_t now_us)
{
    bool quiet = l->watch != NULL && sys->watch_is_quiet(sys, l->watch) &&
                 now_us - l->looked_us < LOOK_AT_ALL_US;
    if (!quiet)
        l->looked_us = now_us;
    return quiet;
}
