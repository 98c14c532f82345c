/* SPDX-License-Identifier: MIT */
/* Directories of backups: making one more. */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/sized.h"
#include "keep/keep.h"
#include "os/os_thread.h"
#include "store/args.h"

static const sized options_size = {"persist_back_up_options", "PERSIST_BACK_UP",
                                   sizeof(persist_back_up_options),
                                   SIZED_UP_TO(persist_back_up_options, os)};
static const sized kept_size = {"persist_kept", "PERSIST_KEPT",
                                sizeof(persist_kept),
                                SIZED_UP_TO(persist_kept, to_verify)};

typedef struct back_up {
    keep_work work;
    const persist_back_up_options *options;
    persist_backup *backup;
    os_dir *before;    /* the newest backup that is there; NULL: none */
    manifest manifest; /* its own */
    uint64_t newest;   /* its number */
} back_up;

/* ---- the directory --------------------------------------------------------
 */

static persist_status make_path(back_up *b, persist_error *error)
{
    keep_work *w = &b->work;
    const os *sys = w->sys;
    char name[PERSIST_PATH_MAX];
    os_dir *above;
    persist_status status =
        keep_open_parent(sys, b->options->path, &above, name, error);
    if (status != PERSIST_OK)
        return status;
    int code = sys->dir_make(sys, above, name);
    if (code == 0)
        code = os_dir_sync(sys, above);
    sys->dir_close(sys, above);
    if (code == 0 || code == -EEXIST)
        code = sys->dir_open(sys, sys->cwd, b->options->path, &w->parent);
    if (code != 0)
        w->parent = NULL;
    if (code == -ENOTDIR)
        return status_of_path(error, PERSIST_BAD_STORE, b->options->path,
                              "%.300s is no directory; choose another path for "
                              "backups",
                              b->options->path);
    return code == 0 ? PERSIST_OK
                     : os_failed(error, code, "make", b->options->path);
}

/* Nobody else makes one there. */
static persist_status lock_path(back_up *b, persist_error *error)
{
    keep_work *w = &b->work;
    int code = w->sys->dir_lock(w->sys, w->parent, false);
    if (code == -EWOULDBLOCK)
        return status_of_path(error, PERSIST_LOCKED, b->options->path,
                              "another backup is being made in %.300s; wait "
                              "until it is done",
                              b->options->path);
    return code == 0 || code == -EOPNOTSUPP
               ? PERSIST_OK
               : os_failed(error, code, "lock", b->options->path);
}

static int note_name(void *context, const char *name)
{
    back_up *b = context;
    uint64_t number;
    CHECK(b->before == NULL);
    if (keep_number(name, &number)) {
        if (number > b->newest)
            b->newest = number;
        return 0;
    }
    return strcmp(name, KEEP_UNFINISHED) == 0 ||
                   strcmp(name, LAYOUT_LOST_FOUND) == 0
               ? 0
               : -ENOTEMPTY;
}

static persist_status find_newest(back_up *b, persist_error *error)
{
    keep_work *w = &b->work;
    int code = w->sys->dir_list(w->sys, w->parent, note_name, b);
    if (code == -ENOTEMPTY)
        return status_of_path(error, PERSIST_BAD_STORE, b->options->path,
                              "%.300s holds something else than backups; "
                              "choose another path for them",
                              b->options->path);
    return code == 0 ? PERSIST_OK
                     : os_failed(error, code, "list", b->options->path);
}

/* One that somebody has opened and written to since is no backup any more. */
static persist_status open_newest(back_up *b, persist_error *error)
{
    keep_work *w = &b->work;
    char name[KEEP_NAME_MAX];
    manifest previous = {0};
    CHECK(w->parent != NULL && b->before == NULL);
    if (b->newest == 0)
        return PERSIST_OK;
    int code = w->sys->dir_open(w->sys, w->parent, keep_name(b->newest, name),
                                &b->before);
    if (code != 0) {
        b->before = NULL;
        return os_failed(error, code, "open the newest backup in",
                         b->options->path);
    }
    persist_status status =
        manifest_load(w->sys, b->before, &b->manifest, &previous, error);
    manifest_release(&previous);
    return status == PERSIST_NONE
               ? status_of_path(error, PERSIST_BAD_STORE, b->before->path,
                                "%.300s is no backup: it has no manifest; move "
                                "it away",
                                b->before->path)
               : status;
}

/* A power cut in the middle of the rename can leave it both names, on a file
 * system without a journal: what is removed as unfinished would be the newest
 * backup. */
static persist_status check_name(const back_up *b, persist_error *error)
{
    const keep_work *w = &b->work;
    char name[KEEP_NAME_MAX];
    os_stat newest, unfinished;
    if (b->before == NULL ||
        w->sys->stat(w->sys, w->parent, KEEP_UNFINISHED, &unfinished) != 0)
        return PERSIST_OK;
    int code = w->sys->stat(w->sys, b->before, ".", &newest);
    if (code == 0 && !os_same(&newest, &unfinished))
        return PERSIST_OK;
    if (code == 0)
        code = w->sys->rename(w->sys, w->parent, KEEP_UNFINISHED, w->parent,
                              keep_name(b->newest, name));
    if (code == 0 &&
        w->sys->stat(w->sys, w->parent, KEEP_UNFINISHED, &unfinished) == 0)
        code = -EEXIST; /* two names of one directory: it is to be repaired */
    return code == 0 ? PERSIST_OK
                     : os_failed(error, code, "tell apart what is in",
                                 b->options->path);
}

static persist_status check_store(const back_up *b, persist_store *store,
                                  persist_error *error)
{
    uint8_t self[IDENTITY_SIZE], of[IDENTITY_SIZE];
    if (b->before == NULL)
        return PERSIST_OK;
    store->root->backend->identity(store->root, self, of);
    if (memcmp(self, b->manifest.id, sizeof self) != 0)
        return status_of_path(error, PERSIST_BAD_STORE, b->options->path,
                              "%.300s holds backups of another store; choose "
                              "another path for those of this one",
                              b->options->path);
    return PERSIST_OK;
}

/* ---- files ----------------------------------------------------------------
 */

static persist_status read_backup(void *context, void *bytes, size_t size,
                                  size_t *got, persist_error *error)
{
    return persist_backup_read(context, bytes, size, got, error);
}

/* Whether the newest backup has the same file. */
static bool has_before(const back_up *b, const persist_backup_file *f)
{
    const os *sys = b->work.sys;
    os_file *file;
    os_stat found;
    uint64_t mark = 0;
    if (b->before == NULL || sys->stat(sys, b->before, f->name, &found) != 0 ||
        !found.is_file || found.size != f->size)
        return false;
    if (f->mark == 0)
        return true;
    if (sys->file_open(sys, b->before, f->name, OS_READ, &file) != 0)
        return false;
    int code = file_mark(sys, file, f->size, &mark);
    (void)sys->file_close(sys, file);
    return code == 0 && mark == f->mark;
}

static persist_status cannot_link(const back_up *b, int code,
                                  const persist_backup_file *f,
                                  persist_error *error)
{
    const char *path = b->options->path;
    if (code == -EXDEV)
        return status_of_path(error, PERSIST_BAD_STORE, path,
                              "%.300s is on another disk than the store, to "
                              "whose files no links can lead; copy them "
                              "(--copy)",
                              path);
    if (code == -EPERM || code == -EOPNOTSUPP || code == -EMLINK)
        return status_of_path(error, PERSIST_BAD_STORE, path,
                              "%.200s cannot be linked to, into %.200s; copy "
                              "it (--copy)",
                              f->name, path);
    return os_failed(error, code, "link a file of the store into", path);
}

/* What is sealed gets one more name: of the earlier backup's file, where it is
 * the same, else, unless all is to be copied, of the store's. */
static persist_status take_sealed(back_up *b, const persist_backup_file *f,
                                  bool *done, persist_error *error)
{
    keep_work *w = &b->work;
    int code = -ENOENT;
    *done = true;
    if (has_before(b, f))
        code = w->sys->link(w->sys, b->before, f->name, w->dir, f->name);
    if (code != 0 && !b->options->copy) {
        code = store_backup_link(b->backup, w->dir, f->name);
        if (code != 0)
            return cannot_link(b, code, f, error);
    }
    *done = code == 0;
    if (code == 0) {
        w->kept.linked++;
        w->kept.linked_bytes += f->size;
    }
    return code == 0 ? keep_tell(w) : PERSIST_OK;
}

/* All but the manifest has its name for good before that is written. */
static persist_status take_file(back_up *b, const persist_backup_file *f,
                                persist_error *error)
{
    keep_work *w = &b->work;
    bool done = false;
    persist_status status = keep_make_way(w, f->name, error);
    if (status == PERSIST_OK && manifest_is_name(f->name))
        status = keep_sync(w, error);
    if (status == PERSIST_OK && f->sealed)
        status = take_sealed(b, f, &done, error);
    return status == PERSIST_OK && !done
               ? keep_copy(w, f->name, f->size, read_backup, b->backup, error)
               : status;
}

static persist_status take_all(back_up *b, persist_error *error)
{
    CHECK(b->backup != NULL && b->work.dir != NULL);
    const persist_backup_file *f;
    for (;;) {
        persist_status status = persist_backup_next(b->backup, &f, error);
        if (status == PERSIST_NONE)
            return keep_sync_root(&b->work, error);
        if (status == PERSIST_OK)
            status = take_file(b, f, error);
        if (status != PERSIST_OK)
            return status;
    }
}

/* ---- all of it --------------------------------------------------------------
 */

static persist_status begin(back_up *b, persist_store *store,
                            persist_error *error)
{
    persist_point point;
    keep_work *w = &b->work;
    persist_status status =
        persist_backup_begin(store, &b->backup, &point, error);
    if (status != PERSIST_OK)
        return status;
    if (b->before != NULL && point.lsn < b->manifest.watermark)
        return status_of_path(
            error, PERSIST_BAD_STORE, b->options->path,
            "the store ends with the commit %llu, and a backup in %.200s with "
            "%llu: it was put back to an older state; choose another path",
            (unsigned long long)point.lsn, b->options->path,
            (unsigned long long)b->manifest.watermark);
    w->kept.lsn = point.lsn;
    w->kept.position = point.position;
    w->kept.time = point.time;
    w->kept.number = b->newest + 1;
    return keep_begin(w, error);
}

static persist_status prepare(back_up *b, persist_store *store,
                              persist_error *error)
{
    keep_work *w = &b->work;
    persist_status status = make_path(b, error);
    if (status == PERSIST_OK)
        status = find_newest(b, error); /* or it is something else's */
    if (status == PERSIST_OK)
        status = lock_path(b, error);
    if (status == PERSIST_OK)
        status = find_newest(b, error);
    if (status == PERSIST_OK)
        status = open_newest(b, error);
    if (status == PERSIST_OK)
        status = check_name(b, error);
    if (status == PERSIST_OK)
        status = check_store(b, store, error);
    if (status != PERSIST_OK)
        return status;
    w->place = w->parent;
    int code =
        os_join(w->path, sizeof w->path, w->parent->path, KEEP_UNFINISHED);
    return code == 0 ? PERSIST_OK
                     : os_failed(error, code, "make", w->parent->path);
}

/* Files are let go before they are verified, which takes long. */
static persist_status make(back_up *b, persist_store *store,
                           persist_error *error)
{
    keep_work *w = &b->work;
    char name[KEEP_NAME_MAX];
    persist_status status = prepare(b, store, error);
    if (status == PERSIST_OK)
        status = begin(b, store, error);
    if (status == PERSIST_OK)
        status = take_all(b, error);
    persist_backup_end(b->backup);
    if (status == PERSIST_OK)
        status = keep_verify(w, error);
    if (status == PERSIST_OK)
        status = keep_check_open(w, error);
    if (status == PERSIST_OK)
        status = keep_end(w, keep_name(w->kept.number, name), error);
    return status;
}

persist_status persist_back_up(persist_store *store,
                               const persist_back_up_options *given,
                               persist_kept *out, persist_error *error)
{
    OS_NO_CANCEL;
    persist_back_up_options options;
    persist_kept kept;
    persist_status status = STORE_CHECK(store, "store", error);
    if (status == PERSIST_OK && given == NULL)
        status = args_missing(error, "options");
    if (status == PERSIST_OK)
        status = sized_take(&options_size, given, &options, error);
    if (status == PERSIST_OK && out != NULL)
        status = sized_take(&kept_size, out, &kept, error);
    if (status != PERSIST_OK)
        return status;
    if (options.path == NULL || options.path[0] == '\0')
        return args_missing(error, "the path of the backups");
    back_up b = {.options = &options};
    b.work.sys = options.os != NULL ? options.os : os_posix();
    b.work.kept.size = sizeof b.work.kept;
    b.work.progress = options.progress;
    b.work.context = options.context;
    status = make(&b, store, error);
    if (status == PERSIST_OK && out != NULL)
        sized_give(&kept_size, &b.work.kept, out);
    if (b.before != NULL)
        b.work.sys->dir_close(b.work.sys, b.before);
    manifest_release(&b.manifest);
    keep_release(&b.work);
    return status;
}
