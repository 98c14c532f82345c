/* SPDX-License-Identifier: MIT */
/* What every os shares: loops over short calls, paths, errno to status. */
#include "os/os.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "os/os_again.h"

int os_read_all(const os *sys, os_file *file, void *data, size_t size,
                uint64_t at, size_t *got)
{
    CHECK(sys->version == OS_VERSION);
    *got = 0;
    for (int again = 0; *got < size;) {
        ssize_t n = sys->file_read(sys, file, (uint8_t *)data + *got,
                                   size - *got, at + *got);
        if (n == 0)
            break;
        if (n > 0) {
            *got += (size_t)n;
            again = 0;
        } else if (!os_again((int)n, &again)) {
            return (int)n;
        }
    }
    return 0;
}

int os_read_start(const os *sys, const os_dir *dir, const char *name,
                  void *data, size_t size, size_t *got)
{
    os_file *file;
    *got = 0;
    memset(data, 0, size);
    int code = sys->file_open(sys, dir, name, OS_READ, &file);
    if (code != 0)
        return code;
    code = os_read_all(sys, file, data, size, 0, got);
    sys->file_close(sys, file);
    return code;
}

static int refuse_map(const os *sys, os_file *file, uint64_t size, os_map *out)
{
    (void)sys;
    (void)file;
    CHECK(size > 0 && out->data == NULL);
    return -EOPNOTSUPP;
}

void os_without_maps(const os *sys, os *out)
{
    CHECK(sys->version == OS_VERSION);
    *out = *sys;
    out->file_map = refuse_map;
}

int os_write_all(const os *sys, os_file *file, const void *data, size_t size,
                 uint64_t at)
{
    CHECK(sys->version == OS_VERSION);
    size_t done = 0;
    for (int again = 0; done < size;) {
        ssize_t n = sys->file_write(sys, file, (const uint8_t *)data + done,
                                    size - done, at + done);
        if (n == 0)
            return -EIO;
        if (n > 0) {
            done += (size_t)n;
            again = 0;
        } else if (!os_again((int)n, &again)) {
            return (int)n;
        }
    }
    return 0;
}

int os_sync(const os *sys, os_file *file)
{
    CHECK(sys->version == OS_VERSION);
    int code, again = 0;
    do {
        code = sys->file_sync(sys, file);
    } while (os_again(code, &again));
    return code;
}

int os_dir_sync(const os *sys, const os_dir *dir)
{
    CHECK(sys->version == OS_VERSION);
    int code, again = 0;
    do {
        code = sys->dir_sync(sys, dir);
    } while (os_again(code, &again));
    return code;
}

int os_sync_in(const os *sys, const os_dir *at, const char *name)
{
    os_dir *dir;
    int code = sys->dir_open(sys, at, name, &dir);
    if (code != 0)
        return code;
    code = os_dir_sync(sys, dir);
    sys->dir_close(sys, dir);
    return code;
}

int os_list_in(const os *sys, const os_dir *at, const char *name,
               os_list_fn each, void *context)
{
    os_dir *dir;
    int code = sys->dir_open(sys, at, name, &dir);
    if (code != 0)
        return code;
    code = sys->dir_list(sys, dir, each, context);
    sys->dir_close(sys, dir);
    return code;
}

bool os_same(const os_stat *a, const os_stat *b)
{
    return a->device == b->device && a->inode == b->inode;
}

bool os_forbids_writing(int code)
{
    return code == -EROFS || code == -EACCES || code == -EPERM;
}

const char *os_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

int os_join(char *out, size_t size, const char *dir, const char *name)
{
    CHECK(size > 0);
    int n = snprintf(out, size, "%s/%s", dir, name);
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

const char *os_reason(int code)
{
    CHECK(code < 0);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): glibc has a buffer per thread */
    return strerror(-code);
}

/* What is told of an errno: the status, the reason where the system's words say
 * too little, and what to do: in one piece, which who knows better takes off
 * (status_fault_size). */
static const struct advice {
    int code; /* -errno */
    persist_status status;
    const char *reason, *hint;
} advices[] = {
    {-ENOSPC, PERSIST_NO_SPACE, NULL,
     "free some space, and writing goes on by itself"},
    {-EDQUOT, PERSIST_NO_SPACE, NULL,
     "free some space, and writing goes on by itself"},
    {-EFBIG, PERSIST_NO_SPACE, NULL, OS_RAISE_LIMIT},
    {-EINTR, PERSIST_IO, NULL, "see what sends so many signals, and try again"},
    {-ENOMEM, PERSIST_LIMIT, NULL, "free some memory and try again"},
    {-EMFILE, PERSIST_IO, NULL, "raise the limit of open files (ulimit -n)"},
    {-ENFILE, PERSIST_IO, NULL, "raise the limit of open files (ulimit -n)"},
    {-EACCES, PERSIST_IO, NULL,
     "give this user the permission, or run as the one whose it is"},
    {-EPERM, PERSIST_IO, NULL,
     "give this user the permission, or run as the one whose it is"},
    {-EROFS, PERSIST_IO, NULL,
     "mount it for writing (if it stopped by itself, the system's log says "
     "why)"},
    {-EMLINK, PERSIST_IO, "it has a second name (a hard link)",
     "put a copy of it in its place (cp, then mv)"},
    {-ELOOP, PERSIST_IO, "it is a symbolic link",
     "put what belongs there in its place"},
    {-EMEDIUMTYPE, PERSIST_IO, "it is not a regular file",
     "put what belongs there in its place"},
    {-EISDIR, PERSIST_IO, NULL, "put what belongs there in its place"},
    {-ERANGE, PERSIST_IO, "somebody has cut it short while it was open",
     "keep others away from the files of an open store"},
    {-ENOENT, PERSIST_IO, NULL,
     "check the path, and whether it was moved or deleted"},
    {-ENOTDIR, PERSIST_IO, NULL, "check the path: a part of it is a file"},
    {-ENAMETOOLONG, PERSIST_IO, NULL,
     "take shorter names: a part of a path has 255 bytes at the most"},
    {-ENOLCK, PERSIST_IO, NULL,
     "put it on a file system that has locks, or free some"},
    {-EBUSY, PERSIST_IO, NULL, "see what else uses it, and try again"},
};

persist_status os_failed(persist_error *error, int code, const char *what,
                         const char *path)
{
    CHECK(code < 0);
    struct advice told = {code, PERSIST_IO, NULL,
                          "check the disk and the permissions"};
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
        if (advices[i].code == code)
            told = advices[i];
    return status_of_path(
        error, told.status, path, "cannot %s %s: %s; %s", what, path,
        told.reason != NULL ? told.reason : os_reason(code), told.hint);
}

bool os_is_size_limit(const persist_error *error)
{
    CHECK(error->status == PERSIST_NO_SPACE);
    size_t size = status_fault_size(error->message);
    return strcmp(error->message + size, "; " OS_RAISE_LIMIT) == 0;
}

void os_advise_space(persist_error *error, const char *then)
{
    CHECK(error->status == PERSIST_NO_SPACE);
    size_t size = status_fault_size(error->message);
    if (!os_is_size_limit(error))
        snprintf(error->message + size, sizeof error->message - size,
                 "; free some space and %s", then);
}

persist_status os_no_thread(persist_error *error, int code, const char *path)
{
    CHECK(code < 0);
    return status_of_path(
        error, PERSIST_LIMIT, path,
        "cannot start a thread for %s: %s; allow more of them (ulimit "
        "-u), or free some memory",
        path, os_reason(code));
}
