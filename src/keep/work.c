/* SPDX-License-Identifier: MIT */
/* Directories of backups: a store in the making, from the first folder to its
 * name. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "keep/keep.h"

enum { ROOM = 256 << 10 };

static const char *const folders[] = {LAYOUT_LOG, LAYOUT_TABLES, LAYOUT_BLOBS,
                                      LAYOUT_TEMPORARY};
enum { FOLDERS = sizeof folders / sizeof *folders, BLOBS = 2 };

static persist_status failed(const keep_work *w, int code, const char *what,
                             const char *name, persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    if (os_join(path, sizeof path, w->path, name) != 0)
        memcpy(path, w->path, sizeof path);
    return os_failed(error, code, what, path);
}

/* ---- making ---------------------------------------------------------------
 */

/* What is left of an earlier one goes, unless somebody has opened it as a
 * store.
 */
static int remove_left(const keep_work *w)
{
    const os *sys = w->sys;
    os_dir *left;
    int code = sys->dir_open(sys, w->place, KEEP_UNFINISHED, &left);
    if (code == 0) {
        code = sys->dir_lock(sys, left, false);
        sys->dir_close(sys, left);
    }
    return code == -EWOULDBLOCK ? code
                                : keep_remove(sys, w->place, KEEP_UNFINISHED);
}

persist_status keep_begin(keep_work *w, persist_error *error)
{
    const os *sys = w->sys;
    CHECK(w->dir == NULL && w->place != NULL);
    w->room = mem_alloc(ROOM);
    if (w->room == NULL)
        return status_no_memory(error);
    int code = remove_left(w);
    if (code == -EWOULDBLOCK)
        return status_of_path(error, PERSIST_LOCKED, w->path,
                              "%.300s is in use; end the program that has "
                              "opened it, and move it away if it is wanted",
                              w->path);
    if (code != 0)
        return os_failed(error, code, "remove what is left of", w->path);
    w->began = true;
    code = sys->dir_make(sys, w->place, KEEP_UNFINISHED);
    if (code == 0)
        code = sys->dir_open(sys, w->place, KEEP_UNFINISHED, &w->dir);
    if (code != 0)
        w->dir = NULL;
    for (size_t i = 0; code == 0 && i < FOLDERS; i++)
        code = sys->dir_make(sys, w->dir, folders[i]);
    return code == 0 ? PERSIST_OK : os_failed(error, code, "make", w->path);
}

/* Which folder of blobs a name is in; false: in none. */
static bool blob_folder(const char *name, char out[PERSIST_PATH_MAX],
                        unsigned *folder)
{
    static const char hex[] = "0123456789abcdef";
    size_t size = strlen(LAYOUT_BLOBS) + 3;
    const char *last = strrchr(name, '/');
    if (last == NULL || (size_t)(last - name) != size)
        return false;
    const char *high = strchr(hex, last[-2]), *low = strchr(hex, last[-1]);
    CHECK(high != NULL && low != NULL);
    *folder = (unsigned)((high - hex) * 16 + (low - hex));
    memcpy(out, name, size);
    out[size] = '\0';
    return true;
}

persist_status keep_make_way(keep_work *w, const char *name,
                             persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    unsigned folder = 0;
    if (!blob_folder(name, path, &folder) ||
        (w->folders[folder / 8] >> folder % 8 & 1) != 0)
        return PERSIST_OK;
    int code = w->sys->dir_make(w->sys, w->dir, path);
    if (code != 0)
        return failed(w, code, "make", path, error);
    w->folders[folder / 8] |= (uint8_t)(1u << folder % 8);
    return PERSIST_OK;
}

persist_status keep_tell(keep_work *w)
{
    CHECK(w->kept.size == sizeof w->kept);
    return w->progress == NULL || w->progress(w->context, &w->kept)
               ? PERSIST_OK
               : PERSIST_NONE;
}

/* Writes the bytes to an open file. */
static persist_status fill(keep_work *w, os_file *file, const char *name,
                           uint64_t size, keep_read_fn take, void *context,
                           persist_error *error)
{
    uint64_t at = 0;
    int code = 0;
    persist_status status = PERSIST_OK;
    while (at < size && code == 0 && status == PERSIST_OK) {
        size_t got = 0, want = size - at < ROOM ? (size_t)(size - at) : ROOM;
        status = take(context, w->room, want, &got, error);
        if (status != PERSIST_OK)
            break;
        if (got == 0)
            return status_set(error, PERSIST_IO,
                              "a file ends before its size, while %.300s is "
                              "copied; try again",
                              name);
        code = os_write_all(w->sys, file, w->room, got, at);
        w->sys->file_start_write(w->sys, file, at, got);
        at += got;
        w->kept.bytes += got;
        if (code == 0)
            status = keep_tell(w);
    }
    if (code == 0 && status == PERSIST_OK)
        code = os_sync(w->sys, file);
    return code == 0 ? status : failed(w, code, "write", name, error);
}

persist_status keep_copy(keep_work *w, const char *name, uint64_t size,
                         keep_read_fn take, void *context, persist_error *error)
{
    os_file *file;
    int code = w->sys->file_open(w->sys, w->dir, name,
                                 OS_WRITE | OS_CREATE | OS_EXCLUSIVE, &file);
    if (code != 0)
        return failed(w, code, "make", name, error);
    persist_status status = fill(w, file, name, size, take, context, error);
    code = w->sys->file_close(w->sys, file);
    if (code != 0 && status == PERSIST_OK)
        status = failed(w, code, "close", name, error);
    w->kept.files++;
    return status;
}

/* ---- syncing --------------------------------------------------------------
 */

static persist_status sync_folder(keep_work *w, const char *name,
                                  persist_error *error)
{
    CHECK(w->dir != NULL);
    int code = os_sync_in(w->sys, w->dir, name);
    return code == 0 ? PERSIST_OK : failed(w, code, "sync", name, error);
}

persist_status keep_sync(keep_work *w, persist_error *error)
{
    persist_status status = PERSIST_OK;
    for (unsigned i = 0; i < 8 * sizeof w->folders && status == PERSIST_OK;
         i++) {
        char path[PERSIST_PATH_MAX];
        if ((w->folders[i / 8] >> i % 8 & 1) == 0)
            continue;
        snprintf(path, sizeof path, "%s/%02x", folders[BLOBS], i);
        status = sync_folder(w, path, error);
    }
    for (size_t i = 0; i < FOLDERS && status == PERSIST_OK; i++)
        status = sync_folder(w, folders[i], error);
    return status == PERSIST_OK ? keep_sync_root(w, error) : status;
}

persist_status keep_sync_root(keep_work *w, persist_error *error)
{
    int code = os_dir_sync(w->sys, w->dir);
    return code == 0 ? PERSIST_OK : os_failed(error, code, "sync", w->path);
}

/* ---- verifying ------------------------------------------------------------
 */

typedef struct verifier {
    keep_work *work;
    persist_error *error;
    bool damaged;
} verifier;

static bool note_damage(void *context, const persist_finding *f)
{
    verifier *v = context;
    if (!f->damage)
        return true;
    v->damaged = true;
    status_of_path(v->error, PERSIST_CORRUPT, f->path, "%.200s, in %.200s: %s",
                   f->what, f->path, "verify the store that it comes from");
    return false;
}

static bool note_progress(void *context, const persist_progress *p)
{
    keep_work *w = ((verifier *)context)->work;
    w->kept.verified = p->bytes;
    w->kept.to_verify = p->bytes_total;
    return keep_tell(w) == PERSIST_OK;
}

persist_status keep_verify(keep_work *w, persist_error *error)
{
    verifier v = {w, error, false};
    CHECK(w->dir != NULL);
    const persist_options options = {PERSIST_OPTIONS, .path = w->path,
                                     .os = w->sys};
    const persist_watcher watcher = {PERSIST_WATCHER, &v, note_damage,
                                     note_progress};
    persist_progress p = {PERSIST_PROGRESS};
    persist_status status = persist_verify(&options, &watcher, &p, error);
    CHECK(status != PERSIST_OK || p.damages == 0);
    return v.damaged ? PERSIST_CORRUPT : status;
}

persist_status keep_check_open(keep_work *w, persist_error *error)
{
    persist_store *store;
    const persist_options options = {PERSIST_OPTIONS, .path = w->path,
                                     .os = w->sys, .unmapped = true};
    persist_status status = persist_open(&options, &store, error);
    if (status != PERSIST_OK)
        return status;
    persist_lsn lsn = persist_latest(store);
    uint64_t position = persist_position(store, PERSIST_LATEST);
    status = persist_close(store, error);
    if (status != PERSIST_OK)
        return status;
    if (lsn != w->kept.lsn || position != w->kept.position)
        return status_of_path(error, PERSIST_CORRUPT, w->path,
                              "%.300s ends with the commit %llu, not %llu; try "
                              "again",
                              w->path, (unsigned long long)lsn,
                              (unsigned long long)w->kept.lsn);
    return PERSIST_OK;
}

/* ---- the end --------------------------------------------------------------
 */

persist_status keep_end(keep_work *w, const char *name, persist_error *error)
{
    const os *sys = w->sys;
    CHECK(w->dir != NULL && w->parent != NULL && name[0] != '\0');
    sys->dir_close(sys, w->dir);
    w->dir = NULL;
    int code = sys->rename(sys, w->place, KEEP_UNFINISHED, w->parent, name);
    if (code == 0)
        code = os_dir_sync(sys, w->parent);
    return code == 0 ? PERSIST_OK : os_failed(error, code, "name", w->path);
}

void keep_release(keep_work *w)
{
    const os *sys = w->sys;
    if (w->dir != NULL)
        sys->dir_close(sys, w->dir);
    if (w->began)
        (void)keep_remove(sys, w->place, KEEP_UNFINISHED);
    if (w->place != NULL && w->place != w->parent)
        sys->dir_close(sys, w->place);
    if (w->parent != NULL)
        sys->dir_close(sys, w->parent);
    mem_free(w->room);
    *w = (keep_work){0};
}
