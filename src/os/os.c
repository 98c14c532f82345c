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

persist_status os_failed(persist_error *error, int code, const char *what,
                         const char *path)
{
    CHECK(code < 0);
    persist_status status = PERSIST_IO;
    const char *hint = "check the disk and the permissions";
    const char *reason = os_reason(code);
    if (code == -ENOSPC || code == -EDQUOT) {
        status = PERSIST_NO_SPACE;
        hint = "free some space; writing goes on by itself";
    } else if (code == -EFBIG) {
        status = PERSIST_NO_SPACE;
        hint = "raise the limit on file sizes (ulimit -f) and start again";
    } else if (code == -EINTR) {
        hint = "see what sends so many signals, and try again";
    } else if (code == -ENOMEM) {
        status = PERSIST_LIMIT;
        hint = "free some memory and try again";
    } else if (code == -EMFILE || code == -ENFILE) {
        hint = "raise the limit of open files (ulimit -n)";
    } else if (code == -EACCES || code == -EPERM) {
        hint = "give this user the permission, or run as the one whose it is";
    } else if (code == -EROFS) {
        hint = "mount it for writing; if it stopped by itself, the system's "
               "log says why";
    } else if (code == -EMLINK) {
        reason = "it has a second name (a hard link)";
        hint = "put a copy of it in its place (cp, then mv)";
    } else if (code == -ELOOP || code == -EMEDIUMTYPE) {
        reason = code == -ELOOP ? "it is a symbolic link"
                                : "it is not a regular file";
        hint = "put what belongs there in its place";
    }
    return status_of_path(error, status, path, "cannot %s %s: %s; %s", what,
                          path, reason, hint);
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
