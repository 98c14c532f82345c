/* SPDX-License-Identifier: MIT */
/* Takes what a backup lists into a directory. */
#include "take.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "store/store.h"

enum { PIECE = 700, PATH_SIZE = 512 };

/* Makes the folders that a path goes through. */
static int make_folders(const os *sys, const char *path)
{
    char above[PATH_SIZE];
    for (const char *at = strchr(path + 1, '/'); at != NULL;
         at = strchr(at + 1, '/')) {
        snprintf(above, sizeof above, "%.*s", (int)(at - path), path);
        int code = sys->dir_make(sys, sys->cwd, above);
        if (code != 0 && code != -EEXIST)
            return code;
    }
    return 0;
}

static persist_status copy(const os *sys, persist_backup *backup,
                           const char *path, uint64_t *size,
                           persist_error *error)
{
    char bytes[PIECE];
    os_file *file;
    size_t got = 1;
    *size = 0;
    if (sys->file_open(sys, sys->cwd, path, OS_WRITE | OS_CREATE | OS_EXCLUSIVE,
                       &file) != 0)
        return PERSIST_NONE;
    persist_status status = PERSIST_OK;
    while (status == PERSIST_OK && got > 0) {
        status = persist_backup_read(backup, bytes, sizeof bytes, &got, error);
        if (status == PERSIST_OK &&
            os_write_all(sys, file, bytes, got, *size) != 0)
            status = PERSIST_NONE;
        *size += got;
    }
    sys->file_close(sys, file);
    return status;
}

static persist_status take_file(const os *sys, persist_backup *backup,
                                const persist_backup_file *f, const char *dir,
                                taken *t, persist_error *error)
{
    char path[PATH_SIZE];
    os_dir *at;
    uint64_t size = f->size;
    snprintf(path, sizeof path, "%s/%s", dir, f->name);
    if (make_folders(sys, path) != 0)
        return PERSIST_NONE;
    persist_status status = PERSIST_OK;
    if (t->link && f->sealed) {
        if (sys->dir_open(sys, sys->cwd, dir, &at) != 0)
            return PERSIST_NONE;
        if (store_backup_link(backup, at, f->name) != 0)
            status = PERSIST_NONE;
        sys->dir_close(sys, at);
    } else {
        status = copy(sys, backup, path, &size, error);
    }
    CHECK(status != PERSIST_OK || size == f->size);
    t->files++;
    t->sealed += f->sealed;
    t->bytes += size;
    return status;
}

persist_status take_backup(const os *sys, persist_backup *backup,
                           const char *dir, taken *t, persist_error *error)
{
    const persist_backup_file *f;
    persist_status status;
    int code = sys->dir_make(sys, sys->cwd, dir);
    if (code != 0 && code != -EEXIST)
        return PERSIST_NONE;
    while ((status = persist_backup_next(backup, &f, error)) == PERSIST_OK) {
        status = take_file(sys, backup, f, dir, t, error);
        if (status != PERSIST_OK)
            return status;
    }
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

static int keep_name(void *context, const char *name)
{
    buf_put(context, name, strlen(name) + 1);
    return 0;
}

void take_away(const os *sys, const char *dir)
{
    buf names = {0};
    (void)os_list_in(sys, sys->cwd, dir, keep_name, &names);
    for (size_t at = 0; at < names.size;) {
        char path[PATH_SIZE];
        const char *name = (const char *)names.data + at;
        snprintf(path, sizeof path, "%s/%s", dir, name);
        if (sys->unlink(sys, sys->cwd, path) != 0)
            take_away(sys, path);
        at += strlen(name) + 1;
    }
    buf_release(&names);
    (void)sys->dir_remove(sys, sys->cwd, dir);
}
