/* SPDX-License-Identifier: MIT */
/* What a file is, without asking for its times. */
#include "os/os_look.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

/* File systems count in the kernel's ticks, 10 ms at the most. */
#define TICKS_NS UINT64_C(20000000)
#define SECOND_NS UINT64_C(1000000000)

int os_look(int fd, const char *name, int flags, struct stat *out)
{
    struct statx x;
    const unsigned mask =
        STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_INO | STATX_SIZE;
    if (name == NULL)
        flags |= AT_EMPTY_PATH;
    if (statx(fd, name == NULL ? "" : name, flags, mask, &x) < 0)
        return -errno;
    *out = (struct stat){.st_dev = makedev(x.stx_dev_major, x.stx_dev_minor),
                         .st_ino = x.stx_ino,
                         .st_mode = x.stx_mode,
                         .st_nlink = x.stx_nlink,
                         .st_size = (off_t)x.stx_size};
    return 0;
}

os_identity os_identity_of(const struct stat *info)
{
    return (os_identity){info->st_dev, info->st_ino};
}

int os_look_again(int fd, const os_identity *is, struct stat *now)
{
    int code = os_look(fd, NULL, 0, now);
    if (code != 0)
        return code;
    bool same = now->st_dev == is->device && now->st_ino == is->inode;
    return same ? 0 : -EBADF;
}

int os_take_room(int fd, uint64_t size, uint64_t *from)
{
    struct stat info = {0};
    int code = os_look(fd, NULL, 0, &info);
    if (code != 0)
        return code;
    *from = (uint64_t)info.st_size;
    if (*from < size &&
        fallocate(fd, 0, (off_t)*from, (off_t)(size - *from)) < 0)
        return -errno;
    return 0;
}

uint64_t os_look_changed(int fd, bool *settled)
{
    struct statx x;
    struct timespec now;
    *settled = false;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_CTIME, &x) < 0 ||
        (x.stx_mask & STATX_CTIME) == 0 ||
        clock_gettime(CLOCK_REALTIME, &now) < 0 || x.stx_ctime.tv_sec < 0)
        return 0;
    uint64_t changed_ns =
        (uint64_t)x.stx_ctime.tv_sec * SECOND_NS + x.stx_ctime.tv_nsec;
    uint64_t now_ns = (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
    *settled = changed_ns + TICKS_NS < now_ns;
    return changed_ns;
}

/* The place in a listing is one of a descriptor: it has a copy, which a child
 * of a fork may keep, for there is no lock on it. */
static int open_listing(int dir, DIR **out)
{
    int fd = fcntl(dir, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    *out = fd < 0 ? NULL : fdopendir(fd);
    int code = *out == NULL ? -errno : 0;
    if (code != 0 && fd >= 0)
        close(fd);
    return code;
}

int os_look_through(int dir, int (*each)(void *context, const char *name),
                    void *context)
{
    DIR *listing;
    int code = open_listing(dir, &listing);
    if (code != 0)
        return code;
    CHECK(listing != NULL);
    while (code == 0) {
        errno = 0;
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else has it */
        const struct dirent *entry = readdir(listing);
        if (entry == NULL) {
            code = -errno;
            break;
        }
        const char *name = entry->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
            code = each(context, name);
    }
    closedir(listing);
    return code;
}
