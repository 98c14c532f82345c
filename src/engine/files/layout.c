/* SPDX-License-Identifier: MIT */
/* The directory of a store. Nothing is written into a directory that is not
 * known to be ours or empty, not even the lock. */
#include "engine/files/layout.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cid.h"
#include "engine/files/numbered.h"

/* What a listing of a directory has shown. */
typedef struct contents {
    bool manifest;
    bool old_host;
    bool foreign;
    char name[64]; /* of the first that is foreign */
} contents;

static bool is_reserve_file(const char *name)
{
    size_t size = strlen(LAYOUT_RESERVE_FILE);
    return strncmp(name, LAYOUT_RESERVE_FILE, size) == 0 && name[size] > '0' &&
           name[size] <= '0' + (int)RESERVE_FILES && name[size + 1] == '\0';
}

bool layout_has(const char *name)
{
    static const char *const names[] = {
        LAYOUT_LOCK,      LAYOUT_LOG,     LAYOUT_TABLES,     LAYOUT_BLOBS,
        LAYOUT_TEMPORARY, LAYOUT_RESERVE, LAYOUT_LOST_FOUND,
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return manifest_is_name(name) || is_reserve_file(name);
}

static int note_store(void *context, const char *name)
{
    contents *c = context;
    if (manifest_is_name(name))
        c->manifest = true;
    if (strcmp(name, "streams") == 0 || strcmp(name, "kv") == 0)
        c->old_host = true;
    if (layout_has(name) || manifest_is_temporary(name))
        return 0;
    if (!c->foreign)
        snprintf(c->name, sizeof c->name, "%s", name);
    c->foreign = true;
    return 0;
}

static int note_folder(void *context, const char *name)
{
    contents *c = context;
    uint8_t digest[HASH_SHA256_SIZE];
    if (cid_decode(slice_str(name), digest))
        c->old_host = true;
    if (!c->foreign)
        snprintf(c->name, sizeof c->name, "%s", name);
    c->foreign = true;
    return 0;
}

static int list_folder(const os *sys, const os_dir *dir, const char *name,
                       contents *c)
{
    int code = os_list_in(sys, dir, name, note_folder, c);
    return code == -ENOENT ? 0 : code;
}

static persist_status bad_store(persist_error *error, const char *dir,
                                const char *what, const char *hint)
{
    return status_of_path(error, PERSIST_BAD_STORE, dir, "%.200s %s; %s", dir,
                          what, hint);
}

static persist_status old_host(persist_error *error, const char *dir)
{
    return status_of_path(
        error, PERSIST_BAD_STORE, dir,
        "%.150s holds the files of an older host; type: persist import "
        "--legacy %.150s NEWDIR",
        dir, dir);
}

/* The directory has no manifest: it must be empty, but for what creating a
 * store makes before the manifest. */
static persist_status check_blank(const os *sys, const os_dir *dir, bool create,
                                  contents *c, persist_error *error)
{
    int code = list_folder(sys, dir, LAYOUT_LOG, c);
    if (code == 0)
        code = list_folder(sys, dir, LAYOUT_TABLES, c);
    if (code == 0)
        code = list_folder(sys, dir, LAYOUT_BLOBS, c);
    if (code == 0)
        code = list_folder(sys, dir, LAYOUT_TEMPORARY, c);
    bool other = code == -ENOTDIR || code == -ELOOP;
    if (code != 0 && !other)
        return os_failed(error, code, "list", dir->path);
    uint64_t number;
    if (c->old_host)
        return old_host(error, dir->path);
    if (segment_number(c->name, &number)) {
        return status_of_path(
            error, PERSIST_CORRUPT, dir->path,
            "%.200s has a log but no manifest; restore the store from "
            "a backup",
            dir->path);
    }
    if (c->foreign || other)
        return bad_store(error, dir->path, "is not a store and not empty",
                         "choose another directory");
    if (!create)
        return bad_store(error, dir->path, "is empty, not a store",
                         "check the path, or start sx_server on it, which "
                         "makes a store here, also where the making of one was "
                         "cut short");
    return PERSIST_OK;
}

bool layout_path(const char *path, char out[PERSIST_PATH_MAX],
                 persist_error *error)
{
    /* Room for the longest name in a store: a blob's. */
    enum { LONGEST_NAME = 96, SIZE_LIMIT = PERSIST_PATH_MAX - LONGEST_NAME };
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    if (size > SIZE_LIMIT) {
        status_set(error, PERSIST_BAD_REQUEST,
                   "the path of the store has %zu bytes, more than %d; name a "
                   "shorter one, from the working directory or by a link",
                   size, SIZE_LIMIT);
        return false;
    }
    memcpy(out, path, size);
    out[size] = '\0';
    return true;
}

/* Tells whether so many bytes of a path lead to something. */
static bool is_there(const os *sys, const char *path, int size)
{
    char above[PERSIST_PATH_MAX];
    os_stat found;
    CHECK(size >= 0 && (size_t)size < sizeof above);
    snprintf(above, sizeof above, "%.*s", size, path);
    return size > 0 && sys->stat(sys, sys->cwd, above, &found) == 0;
}

static persist_status make(const os *sys, const char *path, bool create,
                           persist_error *error)
{
    if (!create)
        return bad_store(error, path, "does not exist",
                         "check the path, or make the store first");
    int code = sys->dir_make(sys, sys->cwd, path);
    int above = (int)(os_name(path) - path);
    if (code == -ENOENT && is_there(sys, path, above))
        return bad_store(error, path,
                         "cannot be made: the file system of the directory it "
                         "is to be in makes none there",
                         "choose another path");
    if (code == -ENOENT && above > 1)
        return status_of_path(error, PERSIST_BAD_STORE, path,
                              "%.200s cannot be made: the directory it is to "
                              "be in is missing; make %.*s first",
                              path, above > 200 ? 200 : above - 1, path);
    return code == 0 || code == -EEXIST ? PERSIST_OK
                                        : os_failed(error, code, "make", path);
}

/* Elsewhere than in cwd links are not followed. */
static bool is_link(const os *sys, const char *path)
{
    os_dir *here;
    os_stat found;
    if (sys->dir_open(sys, sys->cwd, ".", &here) != 0)
        return false;
    bool there = sys->stat(sys, here, path, &found) == 0;
    sys->dir_close(sys, here);
    return there && !found.is_dir && !found.is_file;
}

/* A path that begins in the working directory goes on beginning in this one,
 * though the process may turn to another. The dot follows a link that the path
 * may end with. */
static int hold_base(const os *sys, const char *path, layout *l)
{
    bool from_root = path[0] == '/';
    int code =
        sys->dir_open(sys, sys->cwd, from_root ? "/" : ".", &l->held_base);
    if (code != 0 && code != -EACCES)
        return code;
    l->base = code == 0 ? l->held_base : sys->cwd;
    path += code == 0 ? strspn(path, "/") : 0;
    int size = snprintf(l->name, sizeof l->name, "%s%s.", path,
                        path[0] == '\0' ? "" : "/");
    CHECK(size > 0 && (size_t)size < sizeof l->name);
    return 0;
}

persist_status layout_open(const os *sys, const char *path, bool create,
                           layout *out, persist_error *error)
{
    CHECK(path[0] != '\0' && out->root == NULL);
    pthread_mutex_init(&out->manifests.lock, NULL);
    persist_status status = PERSIST_OK;
    int code = hold_base(sys, path, out);
    /* whatever it is, it says nothing of the store */
    if (code != 0)
        return os_failed(error, code, "open the directory that leads to", path);
    code = sys->dir_open(sys, sys->cwd, path, &out->root);
    if (code == -ENOENT && is_link(sys, path))
        return bad_store(error, path, "is a link that leads nowhere",
                         "make the directory it leads to, or remove it");
    if (code == -ENOENT) {
        status = make(sys, path, create, error);
        code = status == PERSIST_OK
                   ? sys->dir_open(sys, sys->cwd, path, &out->root)
                   : 0;
    }
    if (code == -ENOTDIR)
        return bad_store(error, path, "is a file, not a directory",
                         "choose another path");
    return code == 0 ? status : os_failed(error, code, "open", path);
}

persist_status layout_check(const os *sys, const os_dir *dir, bool create,
                            persist_error *error)
{
    contents c = {0}, later = {0};
    int code = sys->dir_list(sys, dir, note_store, &c);
    if (code != 0)
        return os_failed(error, code, "list", dir->path);
    if (c.manifest)
        return PERSIST_OK;
    persist_status status = check_blank(sys, dir, create, &c, error);
    if (status == PERSIST_OK)
        return PERSIST_OK;
    /* Somebody may have made a store of it between two looks. */
    code = sys->dir_list(sys, dir, note_store, &later);
    return code == 0 && later.manifest ? PERSIST_OK : status;
}

/* A file system without a journal keeps the name of a new folder when its
 * parent is synced, and the folder itself only when that is. */
static int make_folder(const os *sys, const os_dir *dir, const char *name)
{
    int code = sys->dir_make(sys, dir, name);
    if (code == -EEXIST)
        code = 0;
    if (code == 0)
        code = os_sync_in(sys, dir, name);
    return code;
}

persist_status layout_create(const os *sys, layout *l, persist_error *error)
{
    const os_dir *dir = l->root;
    manifest m = {.next_segment = 1, .clean = true};
    m.next_table = m.next_position = 1;
    bool renamed;
    /* one that is not ours stays as it is */
    int code = sys->dir_protect(sys, dir);
    if (code == 0 || os_forbids_writing(code))
        code = make_folder(sys, dir, LAYOUT_LOG);
    if (code == 0)
        code = make_folder(sys, dir, LAYOUT_TABLES);
    if (code == 0)
        code = make_folder(sys, dir, LAYOUT_BLOBS);
    if (code == 0)
        code = make_folder(sys, dir, LAYOUT_TEMPORARY);
    if (code == 0)
        code = os_dir_sync(sys, dir);
    /* the name of the directory itself */
    if (code == 0)
        code = os_sync_in(sys, dir, "..");
    if (code == 0)
        code = sys->random(sys, &m.identity, sizeof m.identity);
    if (code == 0)
        code = sys->random(sys, m.id, sizeof m.id);
    if (code != 0)
        return os_failed(error, code, "make a store in", dir->path);
    return manifest_store(sys, dir, &l->manifests, &m, &renamed, error);
}

int layout_find_folder(const os *sys, const os_dir *root, const char *name,
                       layout_folder *f)
{
    CHECK(f->opened == NULL);
    int code = os_join(f->path, sizeof f->path, root->path, name);
    if (code == 0)
        code = sys->dir_open(sys, root, name, &f->opened);
    if (code == 0)
        code = sys->stat(sys, f->opened, ".", &f->is);
    if (code != 0 && f->opened != NULL) {
        sys->dir_close(sys, f->opened);
        f->opened = NULL;
    }
    f->gone = (os_dir){.path = f->path, .gone = true};
    f->dir = code == 0 ? f->opened : &f->gone;
    return code;
}

persist_status layout_open_folder(const os *sys, const layout *l,
                                  const char *name, bool needed,
                                  layout_folder *f, persist_error *error)
{
    CHECK(l->root != NULL);
    int code = layout_find_folder(sys, l->root, name, f);
    if (code == -ENOENT && !needed && l->read_only)
        return PERSIST_OK;
    if (code == -ENOENT && !needed) {
        code = make_folder(sys, l->root, name);
        if (code == 0)
            code = os_dir_sync(sys, l->root);
        if (code == 0)
            code = layout_find_folder(sys, l->root, name, f);
    }
    if (code == 0)
        return PERSIST_OK;
    if (code != -ENOENT && code != -ENOTDIR)
        return os_failed(error, code, "open", f->path);
    return status_of_path(
        error, PERSIST_CORRUPT, f->path,
        code == -ENOENT
            ? "the folder %.200s is missing; restore the store from a backup"
            : "%.200s is no folder; put the folder that belongs there in its "
              "place, or restore the store from a backup",
        f->path);
}

void layout_release(const os *sys, layout *l)
{
    os_dir *all[] = {l->held_base,    l->log.opened,       l->tables.opened,
                     l->blobs.opened, l->temporary.opened, l->root};
    if (l->watch != NULL)
        sys->watch_close(sys, l->watch);
    manifest_release_files(sys, &l->manifests);
    if (l->lock != NULL)
        sys->file_close(sys, l->lock);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] != NULL)
            sys->dir_close(sys, all[i]);
    pthread_mutex_destroy(&l->manifests.lock);
    *l = (layout){0};
}
