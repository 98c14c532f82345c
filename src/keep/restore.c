/* SPDX-License-Identifier: MIT */
/* Directories of backups: a new store of one of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/cid.h"
#include "base/mem.h"
#include "base/sized.h"
#include "engine/log/log.h"
#include "keep/keep.h"
#include "os/os_thread.h"
#include "store/args.h"

static const sized options_size = {"persist_restore_options", "PERSIST_RESTORE",
                                   sizeof(persist_restore_options),
                                   SIZED_UP_TO(persist_restore_options, os)};
static const sized kept_size = {"persist_kept", "PERSIST_KEPT",
                                sizeof(persist_kept),
                                SIZED_UP_TO(persist_kept, to_verify)};

typedef struct restore {
    keep_work work;
    const persist_restore_options *options;
    os_dir *from;      /* PATH */
    uint64_t *numbers; /* of the backups in it */
    size_t count, capacity;
    bool is_backup;              /* PATH is one itself */
    os_dir *backup;              /* the one that is taken */
    manifest manifest;           /* its own */
    char into[PERSIST_PATH_MAX]; /* last name of INTO */
} restore;

/* ---- which backup ---------------------------------------------------------
 */

static int note_backup(void *context, const char *name)
{
    restore *r = context;
    uint64_t number;
    r->is_backup = r->is_backup || manifest_is_name(name);
    if (!keep_number(name, &number))
        return 0;
    if (!mem_grow(&r->numbers, r->count, 1, &r->capacity, sizeof *r->numbers))
        return -ENOMEM;
    r->numbers[r->count++] = number;
    return 0;
}

static int newest_first(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x > y ? -1 : x < y;
}

static persist_status find_backups(restore *r, persist_error *error)
{
    const os *sys = r->work.sys;
    const char *path = r->options->path;
    int code = sys->dir_open(sys, sys->cwd, path, &r->from);
    if (code != 0)
        r->from = NULL;
    if (code == -ENOENT || code == -ENOTDIR)
        return status_of_path(error, PERSIST_BAD_STORE, path,
                              "%.300s is no directory of backups; check the "
                              "path",
                              path);
    if (code == 0)
        code = sys->dir_list(sys, r->from, note_backup, r);
    if (code != 0)
        return os_failed(error, code, "open", path);
    if (r->count == 0 && !r->is_backup)
        return status_of_path(error, PERSIST_BAD_STORE, path,
                              "%.300s holds no backup; check the path", path);
    if (r->count > 1)
        qsort(r->numbers, r->count, sizeof *r->numbers, newest_first);
    return PERSIST_OK;
}

static bool is_behind(const restore *r, const persist_point *p)
{
    uint64_t value = r->options->value;
    switch (r->options->at) {
    case PERSIST_AT_LSN:
        return p->lsn > value;
    case PERSIST_AT_POSITION:
        return p->position > value;
    case PERSIST_AT_TIME:
        return p->time > value;
    default:
        return false;
    }
}

static persist_status too_old(const persist_point *oldest, persist_error *error)
{
    return status_set(error, PERSIST_BAD_REQUEST,
                      "no backup is so old: the first one is of the commit "
                      "%llu, at position %llu, at the time %llu "
                      "(microseconds since 1970); ask for that or later",
                      (unsigned long long)oldest->lsn,
                      (unsigned long long)oldest->position,
                      (unsigned long long)oldest->time);
}

/* Opens one; PERSIST_NONE: it is behind what is wanted. */
static persist_status look_at(restore *r, const char *name,
                              persist_point *point, persist_error *error)
{
    const os *sys = r->work.sys;
    CHECK(r->backup == NULL && r->from != NULL);
    int code = sys->dir_open(sys, r->from, name, &r->backup);
    if (code != 0) {
        r->backup = NULL;
        return os_failed(error, code, "open a backup in", r->options->path);
    }
    persist_status status =
        keep_point(sys, r->backup, point, &r->manifest, error);
    if (status == PERSIST_OK && !is_behind(r, point))
        return status;
    sys->dir_close(sys, r->backup);
    r->backup = NULL;
    manifest_release(&r->manifest);
    r->manifest = (manifest){0};
    return status == PERSIST_OK ? PERSIST_NONE : status;
}

static persist_status choose(restore *r, persist_error *error)
{
    persist_point point = {0};
    char name[KEEP_NAME_MAX];
    persist_status status = PERSIST_NONE;
    persist_kept *kept = &r->work.kept;
    CHECK(r->is_backup || r->count > 0);
    if (r->is_backup)
        status = look_at(r, ".", &point, error);
    for (size_t i = 0; !r->is_backup && i < r->count; i++) {
        status = look_at(r, keep_name(r->numbers[i], name), &point, error);
        kept->number = r->numbers[i];
        if (status != PERSIST_NONE)
            break;
    }
    if (status == PERSIST_NONE)
        return too_old(&point, error);
    kept->lsn = point.lsn;
    kept->position = point.position;
    kept->time = point.time;
    return status;
}

/* ---- where it is made -----------------------------------------------------
 */

static int note_any(void *context, const char *name)
{
    (void)name;
    *(bool *)context = true;
    return 0;
}

/* INTO is missing, or an empty directory, which the rename replaces. */
static persist_status check_into(restore *r, persist_error *error)
{
    keep_work *w = &r->work;
    CHECK(w->parent != NULL && r->into[0] != '\0');
    bool taken = false;
    int code = os_list_in(w->sys, w->parent, r->into, note_any, &taken);
    if (code == -ENOENT)
        return PERSIST_OK;
    if (code == -ENOTDIR || code == -ELOOP || taken)
        return status_of_path(error, PERSIST_BAD_STORE, r->options->into,
                              "%.300s is there already; name a new directory",
                              r->options->into);
    return code == 0 ? PERSIST_OK
                     : os_failed(error, code, "look at", r->options->into);
}

/* Beside the backups a store would be taken for one of them, or for what is
 * left of one in the making. */
static persist_status check_outside(restore *r, persist_error *error)
{
    keep_work *w = &r->work;
    os_stat from, to;
    CHECK(w->parent != NULL && r->from != NULL);
    int code = w->sys->stat(w->sys, r->from, ".", &from);
    if (code == 0)
        code = w->sys->stat(w->sys, w->parent, ".", &to);
    if (code != 0)
        return os_failed(error, code, "look at", r->options->into);
    if (from.device != to.device || from.inode != to.inode)
        return PERSIST_OK;
    return status_of_path(error, PERSIST_BAD_REQUEST, r->options->into,
                          "%.300s is among the backups; name a directory that "
                          "is somewhere else",
                          r->options->into);
}

static persist_status lock_place(restore *r, persist_error *error)
{
    keep_work *w = &r->work;
    CHECK(w->place != NULL && w->dir == NULL);
    int code = w->sys->dir_lock(w->sys, w->place, false);
    if (code == 0 || code == -EOPNOTSUPP)
        return PERSIST_OK;
    w->sys->dir_close(w->sys, w->place);
    w->place = NULL; /* it is another one's */
    if (code != -EWOULDBLOCK)
        return os_failed(error, code, "lock the place of", r->options->into);
    return status_of_path(error, PERSIST_LOCKED, r->options->into,
                          "another restore makes %.300s already; wait until it "
                          "is done",
                          r->options->into);
}

/* A store for a group becomes one for a group. */
static persist_status find_group(restore *r, persist_error *error)
{
    keep_work *w = &r->work;
    os_stat stat;
    CHECK(r->backup != NULL);
    int code = w->sys->stat(w->sys, r->backup, ".", &stat);
    if (code != 0)
        return os_failed(error, code, "look at", r->backup->path);
    if (stat.for_group) {
        w->own_sys = *w->sys;
        w->own_sys.group = true;
        w->sys = &w->own_sys;
    }
    return PERSIST_OK;
}

/* Writes INTO.restoring, or that with the store in it, behind a name. */
static int name_place(const char *into, const char *behind,
                      char out[PERSIST_PATH_MAX])
{
    size_t size = strlen(into);
    while (size > 1 && into[size - 1] == '/')
        size--;
    int got = snprintf(out, PERSIST_PATH_MAX, "%.*s" KEEP_RESTORING "%s",
                       (int)size, into, behind);
    CHECK(got > 0);
    return got < PERSIST_PATH_MAX ? 0 : -ENAMETOOLONG;
}

static persist_status open_place(restore *r, persist_error *error)
{
    keep_work *w = &r->work;
    char name[PERSIST_PATH_MAX];
    persist_status status =
        keep_open_parent(w->sys, r->options->into, &w->parent, r->into, error);
    if (status == PERSIST_OK)
        status = check_outside(r, error);
    if (status == PERSIST_OK)
        status = check_into(r, error);
    if (status != PERSIST_OK)
        return status;
    int code = name_place(r->into, "", name);
    if (code == 0)
        code = name_place(r->options->into, "/" KEEP_UNFINISHED, w->path);
    if (code == 0)
        code = w->sys->dir_make(w->sys, w->parent, name);
    if (code == 0 || code == -EEXIST)
        code = w->sys->dir_open(w->sys, w->parent, name, &w->place);
    if (code != 0) {
        w->place = NULL;
        return os_failed(error, code, "make", r->options->into);
    }
    return lock_place(r, error);
}

/* ---- files ----------------------------------------------------------------
 */

typedef struct source {
    const os *sys;
    os_file *file;
    uint64_t at;
    const char *path;
} source;

static persist_status read_source(void *context, void *bytes, size_t size,
                                  size_t *got, persist_error *error)
{
    source *s = context;
    int code = os_read_all(s->sys, s->file, bytes, size, s->at, got);
    s->at += *got;
    return code == 0 ? PERSIST_OK : os_failed(error, code, "read", s->path);
}

static persist_status copy_file(restore *r, const char *name,
                                persist_error *error)
{
    keep_work *w = &r->work;
    const os *sys = w->sys;
    source s = {sys, NULL, 0, r->backup->path};
    uint64_t size = 0;
    persist_status status = keep_make_way(w, name, error);
    if (status != PERSIST_OK)
        return status;
    int code = sys->file_open(sys, r->backup, name, OS_READ, &s.file);
    if (code != 0)
        return os_failed(error, code, "open a file of", r->backup->path);
    code = sys->file_size(sys, s.file, &size);
    status = code == 0 ? keep_copy(w, name, size, read_source, &s, error)
                       : os_failed(error, code, "read", r->backup->path);
    (void)sys->file_close(sys, s.file);
    return status;
}

/* Whether a file in a folder is one of a store's. */
static bool is_ours(const char *folder, const char *name)
{
    uint8_t digest[HASH_SHA256_SIZE];
    uint64_t number;
    if (strcmp(folder, LAYOUT_LOG) == 0)
        return segment_number(name, &number);
    if (strcmp(folder, LAYOUT_TABLES) == 0)
        return numbered_parse(name, ".tbl", &number);
    if (strcmp(folder, LAYOUT_BLOBS) == 0)
        return numbered_parse(name, ".pak", &number);
    return cid_decode(slice_str(name), digest);
}

static persist_status copy_folder(restore *r, const char *folder,
                                  persist_error *error)
{
    const os *sys = r->work.sys;
    os_dir *dir;
    buf names = {0};
    char name[PERSIST_PATH_MAX];
    int code = sys->dir_open(sys, r->backup, folder, &dir);
    if (code == -ENOENT)
        return PERSIST_OK;
    if (code == 0) {
        code = keep_list(sys, dir, &names);
        sys->dir_close(sys, dir);
    }
    persist_status status =
        code == 0 ? PERSIST_OK
                  : os_failed(error, code, "list a folder of", r->backup->path);
    for (size_t i = 0; i < names.size && status == PERSIST_OK;) {
        const char *each = (const char *)names.data + i;
        i += strlen(each) + 1;
        if (!is_ours(folder, each))
            continue;
        code = os_join(name, sizeof name, folder, each);
        status = code == 0 ? copy_file(r, name, error)
                           : os_failed(error, code, "copy", r->backup->path);
    }
    buf_release(&names);
    return status;
}

static persist_status copy_all(restore *r, persist_error *error)
{
    char folder[PERSIST_PATH_MAX];
    keep_work *w = &r->work;
    CHECK(w->dir != NULL && r->backup != NULL);
    persist_status status = copy_folder(r, LAYOUT_TABLES, error);
    if (status == PERSIST_OK)
        status = copy_folder(r, LAYOUT_LOG, error);
    if (status == PERSIST_OK)
        status = copy_folder(r, LAYOUT_BLOBS, error);
    for (unsigned i = 0; i < 256 && status == PERSIST_OK; i++) {
        snprintf(folder, sizeof folder, LAYOUT_BLOBS "/%02x", i);
        status = copy_folder(r, folder, error);
    }
    if (status == PERSIST_OK)
        status = keep_sync(w, error);
    if (status == PERSIST_OK)
        status = copy_file(r, manifest_name(r->manifest.generation % 2), error);
    return status == PERSIST_OK ? keep_sync_root(w, error) : status;
}

/* ---- a store of its own -----------------------------------------------------
 */

static persist_status become_another(restore *r, persist_error *error)
{
    keep_work *w = &r->work;
    CHECK(w->dir != NULL && r->backup != NULL);
    persist_store *store;
    const persist_options options = {PERSIST_OPTIONS, .path = w->path,
                                     .os = w->sys, .unmapped = true};
    persist_status status = persist_open(&options, &store, error);
    if (status != PERSIST_OK)
        return status;
    status = store_become_another(store, NULL, error);
    persist_status closed =
        persist_close(store, status == PERSIST_OK ? error : NULL);
    return status == PERSIST_OK ? closed : status;
}

static persist_status make(restore *r, persist_error *error)
{
    keep_work *w = &r->work;
    persist_status status = find_backups(r, error);
    if (status == PERSIST_OK)
        status = choose(r, error);
    if (status == PERSIST_OK)
        status = find_group(r, error);
    if (status == PERSIST_OK)
        status = open_place(r, error);
    if (status == PERSIST_OK)
        status = keep_begin(w, error);
    if (status == PERSIST_OK)
        status = copy_all(r, error);
    if (status == PERSIST_OK)
        status = become_another(r, error);
    if (status == PERSIST_OK)
        status = keep_verify(w, error);
    if (status == PERSIST_OK)
        status = keep_check_open(w, error);
    return status == PERSIST_OK ? keep_end(w, r->into, error) : status;
}

/* What was not finished is removed, and the place where it was. */
static void release(restore *r)
{
    keep_work *w = &r->work;
    const os *sys = w->sys;
    char name[PERSIST_PATH_MAX];
    if (w->place != NULL && name_place(r->into, "", name) == 0) {
        if (w->dir != NULL)
            sys->dir_close(sys, w->dir);
        w->dir = NULL;
        if (!w->began || keep_remove(sys, w->place, KEEP_UNFINISHED) == 0)
            (void)sys->dir_remove(sys, w->parent, name);
    }
    if (r->backup != NULL)
        sys->dir_close(sys, r->backup);
    if (r->from != NULL)
        sys->dir_close(sys, r->from);
    manifest_release(&r->manifest);
    mem_free(r->numbers);
    keep_release(w);
}

persist_status persist_restore(const persist_restore_options *given,
                               persist_kept *out, persist_error *error)
{
    OS_NO_CANCEL;
    persist_restore_options options;
    persist_kept kept;
    if (given == NULL)
        return args_missing(error, "options");
    persist_status status = sized_take(&options_size, given, &options, error);
    if (status == PERSIST_OK && out != NULL)
        status = sized_take(&kept_size, out, &kept, error);
    if (status != PERSIST_OK)
        return status;
    if (options.path == NULL || options.path[0] == '\0' ||
        options.into == NULL || options.into[0] == '\0')
        return args_missing(error, "the paths of the backups and of the store");
    if (options.at > PERSIST_AT_TIME)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the state that is wanted is none of persist_at");
    restore r = {.options = &options};
    r.work.sys = options.os != NULL ? options.os : os_posix();
    r.work.kept.size = sizeof r.work.kept;
    r.work.progress = options.progress;
    r.work.context = options.context;
    status = make(&r, error);
    if (status == PERSIST_OK && out != NULL)
        sized_give(&kept_size, &r.work.kept, out);
    release(&r);
    return status;
}
