/* SPDX-License-Identifier: MIT */
/* Importing: the place of the new store, which appears whole or not at all.
 *
 * The happy path: NEW is not there, NEW.importing/store is filled, closed, and
 * renamed to NEW. Whatever ends the process before leaves NEW.importing, which
 * the next try removes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "cli/import.h"

enum { TREE_DEPTH_MAX = 6 };

static const char lock_name[] = "lock", store_name[] = "store",
                  work_suffix[] = ".importing";

static persist_status refuse(import *im, const char *path, const char *why)
{
    return status_set(&im->error, PERSIST_BAD_STORE, "%.300s %s", path, why);
}

static int note_any(void *context, const char *name)
{
    (void)name;
    *(bool *)context = true;
    return 0;
}

/* ---- is one in the other? --------------------------------------------- */

static bool same(const os_stat *a, const os_stat *b)
{
    return a->device == b->device && a->inode == b->inode;
}

/* Tells whether a directory, or one above it, is one of the given ones. */
static int climb(const os *sys, const os_dir *dir, const os_stat *marks,
                 size_t count, bool *found)
{
    char up[IMPORT_PATH_SIZE] = ".";
    os_stat at, below = {0};
    *found = false;
    for (size_t size = 1; size + 3 < sizeof up; size += 3) {
        int code = sys->stat(sys, dir, up, &at);
        if (code != 0)
            return code;
        for (size_t i = 0; i < count; i++)
            *found = *found || same(&at, &marks[i]);
        if (*found || (size > 1 && same(&at, &below)))
            return 0;
        below = at;
        memcpy(up + size, "/..", 4);
    }
    return -ENAMETOOLONG;
}

/* Adds a directory to those that climb looks for, if it is there. */
static int mark(const os *sys, const os_dir *dir, const char *name,
                os_stat *marks, size_t *count)
{
    int code = sys->stat(sys, dir, name, &marks[*count]);
    *count += code == 0;
    return code == -ENOENT ? 0 : code;
}

/* By device and number, since many names may lead to one directory. */
static persist_status check_apart(import *im)
{
    const os *sys = im->os;
    const import_place *p = &im->place;
    os_stat marks[IMPORT_FOLDERS + 1];
    size_t count = 0;
    bool found = false;
    int code = mark(sys, im->old, ".", marks, &count);
    for (int i = 0; i < IMPORT_FOLDERS && code == 0; i++)
        if (im->folders[i] != NULL)
            code = mark(sys, im->folders[i], ".", marks, &count);
    if (code == 0)
        code = climb(sys, p->parent, marks, count, &found);
    if (code == 0 && found)
        return refuse(im, p->path,
                      "is inside the directory that is imported, which is "
                      "never written to; name another");
    count = 0;
    if (code == 0)
        code = mark(sys, p->parent, os_name(p->path), marks, &count);
    if (code == 0)
        code = mark(sys, p->parent, os_name(p->work_path), marks, &count);
    if (code == 0)
        code = climb(sys, im->old, marks, count, &found);
    if (code == 0 && found)
        return refuse(im, p->path,
                      "is the directory that is imported, or around it; name "
                      "another");
    return code == 0 ? PERSIST_OK
                     : os_failed(&im->error, code, "look above", p->path);
}

/* ---- where it is to be ------------------------------------------------ */

static persist_status open_parent(import *im)
{
    import_place *p = &im->place;
    char parent[IMPORT_PATH_SIZE];
    size_t size = (size_t)(os_name(p->path) - p->path);
    memcpy(parent, size == 0 ? "." : p->path, size == 0 ? 1 : size);
    parent[size == 0 ? 1 : size] = '\0';
    int code = im->os->dir_open(im->os, im->os->cwd, parent, &p->parent);
    if (code == -ENOENT || code == -ENOTDIR)
        return refuse(im, parent, "is no directory; make it first");
    return code == 0 ? PERSIST_OK : os_failed(&im->error, code, "open", parent);
}

/* NEW is missing, or an empty directory that a rename can replace. */
static persist_status look(import *im)
{
    import_place *p = &im->place;
    const os *sys = im->os;
    os_stat parent, found;
    int code = sys->stat(sys, p->parent, ".", &parent);
    if (code == 0)
        code = sys->stat(sys, p->parent, os_name(p->path), &found);
    if (code == -ENOENT)
        return PERSIST_OK;
    if (code == 0 && !found.is_dir)
        return refuse(im, p->path, "is there and no directory; name a new one");
    if (code == 0)
        code =
            os_list_in(sys, p->parent, os_name(p->path), note_any, &p->taken);
    if (code != 0)
        return os_failed(&im->error, code, "look at", p->path);
    if (!p->taken && found.device != parent.device)
        return refuse(im, p->path,
                      "is a disk of its own; name a directory on it");
    return PERSIST_OK;
}

/* ---- making room ------------------------------------------------------ */

/* Removes a store that was in the making: nothing else is in that place. */
static int remove_tree(const os *sys, const os_dir *at, const char *name,
                       int depth)
{
    os_dir *dir;
    buf names = {0};
    int code = sys->dir_open(sys, at, name, &dir);
    if (code == -ENOTDIR || code == -ELOOP)
        return sys->unlink(sys, at, name);
    if (code != 0)
        return code == -ENOENT ? 0 : code;
    code = depth == 0 ? -ENOTEMPTY
                      : sys->dir_list(sys, dir, import_keep_name, &names);
    for (size_t i = 0; code == 0 && i < names.size;) {
        const char *each = (const char *)names.data + i;
        code = remove_tree(sys, dir, each, depth - 1);
        i += strlen(each) + 1;
    }
    buf_release(&names);
    sys->dir_close(sys, dir);
    return code == 0 ? sys->dir_remove(sys, at, name) : code;
}

static int note_foreign(void *context, const char *name)
{
    bool ours = strcmp(name, lock_name) == 0 || strcmp(name, store_name) == 0;
    *(bool *)context = *(bool *)context || !ours;
    return 0;
}

static persist_status take_lock(import *im)
{
    import_place *p = &im->place;
    int64_t holder = 0;
    int code = im->os->file_open(im->os, p->work, lock_name,
                                 OS_READ | OS_WRITE | OS_CREATE, &p->lock);
    if (code != 0)
        return os_failed(&im->error, code, "make a lock in", p->work_path);
    code = im->os->file_lock(im->os, p->lock, false, &holder);
    if (code == 0)
        return PERSIST_OK;
    (void)im->os->file_close(im->os, p->lock);
    p->lock = NULL;
    if (code != -EWOULDBLOCK)
        return os_failed(&im->error, code, "lock", p->work_path);
    return status_set(&im->error, PERSIST_LOCKED,
                      "process %lld imports into %.300s already",
                      (long long)holder, p->path);
}

static persist_status check_work(import *im)
{
    import_place *p = &im->place;
    bool foreign = false;
    int code = im->os->dir_list(im->os, p->work, note_foreign, &foreign);
    if (code != 0)
        return os_failed(&im->error, code, "list", p->work_path);
    if (foreign)
        return refuse(im, p->work_path,
                      "holds more than an import leaves; move it away");
    return PERSIST_OK;
}

persist_status import_place_begin(import *im)
{
    import_place *p = &im->place;
    const char *work = os_name(p->work_path);
    CHECK(p->parent != NULL && p->work == NULL);
    int code = im->os->dir_make(im->os, p->parent, work);
    if (code == 0 || code == -EEXIST)
        code = im->os->dir_open(im->os, p->parent, work, &p->work);
    if (code != 0)
        return os_failed(&im->error, code, "make", p->work_path);
    persist_status status = check_work(im);
    if (status == PERSIST_OK)
        status = take_lock(im);
    if (status != PERSIST_OK)
        return status;
    code = remove_tree(im->os, p->work, store_name, TREE_DEPTH_MAX);
    return code == 0 ? PERSIST_OK
                     : os_failed(&im->error, code, "remove", p->store_path);
}

/* The store is closed, and all of it is durable but its name. */
static persist_status give_name(import *im)
{
    import_place *p = &im->place;
    int code = im->os->rename(im->os, p->work, store_name, p->parent,
                              os_name(p->path));
    if (code == 0)
        code = os_dir_sync(im->os, p->parent);
    return code == 0 ? PERSIST_OK
                     : os_failed(&im->error, code, "name", p->path);
}

persist_status import_place_end(import *im, persist_status status)
{
    import_place *p = &im->place;
    if (p->lock == NULL)
        return status;
    if (status == PERSIST_OK)
        status = give_name(im);
    int code = remove_tree(im->os, p->work, store_name, TREE_DEPTH_MAX);
    /* Who opens the lock before its name goes finds it locked; after that, a
     * directory that is gone. */
    if (code == 0)
        code = im->os->unlink(im->os, p->work, lock_name);
    if (code == 0)
        (void)im->os->dir_remove(im->os, p->parent, os_name(p->work_path));
    return status;
}

/* An import that was killed at its very end leaves its place to be removed. */
static persist_status refuse_taken(import *im)
{
    import_place *p = &im->place;
    os_stat work;
    int code = im->os->stat(im->os, p->parent, os_name(p->work_path), &work);
    if (code == 0 && import_place_begin(im) == PERSIST_OK)
        (void)import_place_end(im, PERSIST_BAD_STORE);
    return refuse(im, p->path, "holds data already; name a new directory");
}

persist_status import_place_find(import *im, const char *path)
{
    import_place *p = &im->place;
    size_t size = strlen(path);
    while (size > 0 && path[size - 1] == '/')
        size--;
    if (size + sizeof work_suffix + sizeof store_name > sizeof p->path)
        return status_set(&im->error, PERSIST_BAD_REQUEST,
                          "the path of NEW is too long");
    snprintf(p->path, sizeof p->path, "%.*s", (int)size, path);
    memcpy(p->work_path, p->path, size);
    memcpy(p->work_path + size, work_suffix, sizeof work_suffix);
    (void)os_join(p->store_path, sizeof p->store_path, p->work_path,
                  store_name);
    const char *name = os_name(p->path);
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return status_set(&im->error, PERSIST_BAD_REQUEST,
                          "NEW wants a name of its own, not \"%.200s\"", path);
    persist_status status = open_parent(im);
    if (status == PERSIST_OK)
        status = look(im);
    if (status == PERSIST_OK)
        status = check_apart(im);
    return status == PERSIST_OK && p->taken ? refuse_taken(im) : status;
}

void import_place_release(import *im)
{
    import_place *p = &im->place;
    if (p->lock != NULL)
        (void)im->os->file_close(im->os, p->lock);
    if (p->work != NULL)
        im->os->dir_close(im->os, p->work);
    if (p->parent != NULL)
        im->os->dir_close(im->os, p->parent);
}
