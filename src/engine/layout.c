/* SPDX-License-Identifier: MIT */
/* The directory of a store. Nothing is written into a directory that is not
 * known to be ours or empty, not even the lock. */
#include "engine/layout.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cid.h"
#include "base/seeded_bug.h"
#include "engine/segment.h"

/* What a listing of a directory has shown. */
typedef struct contents {
    bool manifest;
    bool old_host;
    bool foreign;
    char name[64]; /* of the first that is foreign */
} contents;

static int note_store(void *context, const char *name)
{
    static const char *const ours[] = {LAYOUT_LOCK, LAYOUT_LOG, LAYOUT_TABLES,
                                       LAYOUT_BLOBS, LAYOUT_TEMPORARY};
    contents *c = context;
    if (manifest_is_name(name))
        c->manifest = true;
    if (strcmp(name, "streams") == 0 || strcmp(name, "kv") == 0)
        c->old_host = true;
    if (manifest_is_name(name) || manifest_is_temporary(name))
        return 0;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strcmp(name, ours[i]) == 0)
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

static int list_folder(const os *sys, const char *dir, const char *name,
                       contents *c)
{
    char path[PERSIST_PATH_MAX];
    int code = os_join(path, sizeof path, dir, name);
    if (code == 0)
        code = sys->dir_list(sys, path, note_folder, c);
    return code == -ENOENT ? 0 : code;
}

static persist_status bad_store(persist_error *error, const char *dir,
                                const char *what, const char *hint)
{
    status_set(error, PERSIST_BAD_STORE, "%.200s %s; %s", dir, what, hint);
    status_at(error, dir, STATUS_NO_OFFSET);
    return PERSIST_BAD_STORE;
}

static persist_status old_host(persist_error *error, const char *dir)
{
    status_set(error, PERSIST_BAD_STORE,
               "%.150s holds the files of an older host; type: persist import "
               "--legacy %.150s NEWDIR",
               dir, dir);
    status_at(error, dir, STATUS_NO_OFFSET);
    return PERSIST_BAD_STORE;
}

/* The directory has no manifest: it must be empty, but for what creating a
 * store makes before the manifest. */
static persist_status check_blank(const os *sys, const char *dir, bool create,
                                  contents *c, persist_error *error)
{
    int code = list_folder(sys, dir, LAYOUT_LOG, c);
    if (code == 0)
        code = list_folder(sys, dir, LAYOUT_TABLES, c);
    if (code == 0)
        code = list_folder(sys, dir, LAYOUT_BLOBS, c);
    if (code == 0)
        code = list_folder(sys, dir, LAYOUT_TEMPORARY, c);
    if (code != 0 && code != -ENOTDIR)
        return os_failed(error, code, "list", dir);
    uint64_t number;
    if (c->old_host)
        return old_host(error, dir);
    if (segment_number(c->name, &number)) {
        status_set(error, PERSIST_CORRUPT,
                   "%.200s has a log but no manifest; restore the store from "
                   "a backup",
                   dir);
        status_at(error, dir, STATUS_NO_OFFSET);
        return PERSIST_CORRUPT;
    }
    if (c->foreign || code == -ENOTDIR)
        return bad_store(error, dir, "is not a store and not empty",
                         "choose another directory");
    if (!create)
        return bad_store(error, dir, "is empty, not a store",
                         "open it with the option to create");
    return PERSIST_OK;
}

/* Makes the name of the directory durable. */
static int sync_parent(const os *sys, const char *dir)
{
    char parent[PERSIST_PATH_MAX];
    size_t size = strlen(dir);
    if (size >= sizeof parent)
        return -ENAMETOOLONG;
    while (size > 1 && dir[size - 1] == '/')
        size--;
    while (size > 0 && dir[size - 1] != '/')
        size--;
    while (size > 1 && dir[size - 1] == '/')
        size--;
    if (size == 0)
        return sys->dir_sync(sys, ".");
    memcpy(parent, dir, size);
    parent[size] = '\0';
    return sys->dir_sync(sys, parent);
}

static persist_status make(const os *sys, const char *dir, bool create,
                           persist_error *error)
{
    if (!create)
        return bad_store(error, dir, "does not exist",
                         "check the path, or open it with the option to "
                         "create");
    int code = sys->dir_make(sys, dir);
    return code == 0 || code == -EEXIST ? PERSIST_OK
                                        : os_failed(error, code, "make", dir);
}

persist_status layout_check(const os *sys, const char *dir, bool create,
                            persist_error *error)
{
    os_stat stat;
    contents c = {0};
    CHECK(dir[0] != '\0');
    int code = sys->stat(sys, dir, &stat);
    if (code == -ENOENT)
        return make(sys, dir, create, error);
    if (code != 0)
        return os_failed(error, code, "open", dir);
    if (!stat.is_dir)
        return bad_store(error, dir, "is a file, not a directory",
                         "choose another path");
    code = sys->dir_list(sys, dir, note_store, &c);
    if (code != 0)
        return os_failed(error, code, "list", dir);
    return c.manifest ? PERSIST_OK : check_blank(sys, dir, create, &c, error);
}

persist_status layout_lock(const os *sys, const char *dir, os_file **out,
                           persist_error *error)
{
    char path[PERSIST_PATH_MAX];
    os_file *file;
    int64_t holder = 0;
    int code = os_join(path, sizeof path, dir, LAYOUT_LOCK);
    if (code == 0)
        code = sys->file_open(sys, path, OS_READ | OS_WRITE | OS_CREATE, &file);
    if (code != 0)
        return os_failed(error, code, "open", path);
    code = sys->file_lock(sys, file, &holder);
    if (code == 0) {
        *out = file;
        return PERSIST_OK;
    }
    sys->file_close(sys, file);
    if (code != -EWOULDBLOCK)
        return os_failed(error, code, "lock", path);
    status_set(error, PERSIST_LOCKED,
               "the store %.200s is open in process %lld; close it there first",
               dir, (long long)holder);
    status_at(error, path, STATUS_NO_OFFSET);
    if (error != NULL) {
        error->holder_pid = holder;
        error->has |= PERSIST_HAS_HOLDER;
    }
    return PERSIST_LOCKED;
}

/* A file system without a journal keeps the name of a new folder when its
 * parent is synced, and the folder itself only when that is. */
static int make_folder(const os *sys, const char *dir, const char *name)
{
    char path[PERSIST_PATH_MAX];
    int code = os_join(path, sizeof path, dir, name);
    if (code == 0)
        code = sys->dir_make(sys, path);
    if (code == -EEXIST)
        code = 0;
    if (code == 0 && !SEEDED_BUG(SKIP_FOLDER_SYNC))
        code = sys->dir_sync(sys, path);
    return code;
}

persist_status layout_create(const os *sys, const char *dir,
                             persist_error *error)
{
    manifest m = {.next_segment = 1, .clean = true};
    m.next_table = m.next_position = 1;
    bool renamed;
    int code = make_folder(sys, dir, LAYOUT_LOG);
    if (code == 0)
        code = make_folder(sys, dir, LAYOUT_TABLES);
    if (code == 0)
        code = make_folder(sys, dir, LAYOUT_BLOBS);
    if (code == 0)
        code = make_folder(sys, dir, LAYOUT_TEMPORARY);
    if (code == 0)
        code = sys->dir_sync(sys, dir);
    if (code == 0)
        code = sync_parent(sys, dir);
    if (code == 0)
        code = sys->random(sys, &m.identity, sizeof m.identity);
    if (code != 0)
        return os_failed(error, code, "make a store in", dir);
    return manifest_store(sys, dir, &m, &renamed, error);
}

persist_status layout_check_folders(const os *sys, const char *dir,
                                    persist_error *error)
{
    static const char *const needed[] = {LAYOUT_LOG, LAYOUT_TABLES,
                                         LAYOUT_BLOBS, LAYOUT_TEMPORARY};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        char path[PERSIST_PATH_MAX];
        os_stat stat;
        int code = os_join(path, sizeof path, dir, needed[i]);
        if (code == 0)
            code = sys->stat(sys, path, &stat);
        if (code == 0 && stat.is_dir)
            continue;
        if (code != 0 && code != -ENOENT)
            return os_failed(error, code, "look at", path);
        status_set(error, PERSIST_CORRUPT,
                   "the folder %.200s is missing; restore the store from a "
                   "backup",
                   path);
        status_at(error, path, STATUS_NO_OFFSET);
        return PERSIST_CORRUPT;
    }
    return PERSIST_OK;
}
