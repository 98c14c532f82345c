/* SPDX-License-Identifier: MIT */
/* The os table over POSIX and Linux calls. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "os/os.h"
#include "os/os_again.h"
#include "os/os_fork.h"
#include "os/os_look.h"
#include "os/os_map.h"
#include "os/os_owner.h"
#include "os/os_sleep.h"
#include "os/os_thread.h"
#include "os/os_watch.h"

enum {
    FILE_MODE = 0600,
    DIR_MODE = 0700,
    GROUP_FILE_MODE = 0660,
    GROUP_DIR_MODE = 0770,
    LOCK_TEXT_SIZE = 21, /* a pid, right-aligned, and a newline */
    ZEROS_SIZE = 4096,
};

struct os_file {
    os_held held;
    os_identity is;
    _Atomic uint64_t whole; /* bytes that it had, or was given through this */
    bool locked;
};

static int result(int returned)
{
    return returned < 0 ? -errno : 0;
}

/* A descriptor of a directory, or what stands for the current one. */
typedef struct posix_dir {
    os_dir head; /* first: this is what callers hold */
    os_held held;
    os_identity is;
    bool locked;
    pthread_mutex_t sync; /* held by who syncs it */
    char path[];
} posix_dir;

static posix_dir current = {.head = {.path = "."},
                            .held = {.fd = AT_FDCWD},
                            .sync = PTHREAD_MUTEX_INITIALIZER};

static const posix_dir *posix_of(const os_dir *dir)
{
    CHECK(!dir->gone);
    return (const posix_dir *)dir;
}

static int fd_of(const os_dir *dir)
{
    return posix_of(dir)->held.fd;
}

/* Who puts a pipe in the place of a file does not make us wait. */
static int open_held(const os *sys, const os_dir *dir, const char *name,
                     int flags, os_held *out)
{
    flags |= O_NONBLOCK | O_NOCTTY;
    if (dir != &current.head)
        flags |= O_NOFOLLOW;
    return os_held_open(out, fd_of(dir), name, flags,
                        sys->group ? GROUP_FILE_MODE : FILE_MODE);
}

/* Makes a file if it is missing. Only what was made here is given away: another
 * name of a file of root's may have been put there. */
static int open_made(const os *sys, const os_dir *dir, const char *name,
                     int flags, os_held *out)
{
    int code = open_held(sys, dir, name, flags | O_CREAT | O_EXCL, out);
    if (code == 0)
        os_give_to_owner(out->fd, fd_of(dir));
    return code == -EEXIST && (flags & O_EXCL) == 0
               ? open_held(sys, dir, name, flags, out)
               : code;
}

/* What somebody else has opened by now is not closed; what cannot be looked at
 * is, or its lock would stay. A child that was just forked may not have closed
 * its copy yet: locks do not wait for that. */
static int close_held(os_held *held, const os_identity *is, bool locked)
{
    struct flock none = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    struct stat ignored;
    bool ours = os_look_again(held->fd, is, &ignored) != -EBADF;
    if (ours && locked) {
        (void)fcntl(held->fd, F_OFD_SETLK, &none);
        (void)flock(held->fd, LOCK_UN);
    }
    return os_held_close(held, ours);
}

static int dir_open(const os *sys, const os_dir *at, const char *name,
                    os_dir **out)
{
    if (at->gone)
        return -ENOENT;
    bool here = at == &current.head;
    size_t size = (here ? 0 : strlen(at->path) + 1) + strlen(name) + 1;
    posix_dir *dir = mem_alloc(sizeof *dir + size);
    struct stat info;
    if (dir == NULL)
        return -ENOMEM;
    int code = open_held(sys, at, name, O_RDONLY | O_DIRECTORY, &dir->held);
    if (code == -ENOTDIR && !here &&
        os_look(fd_of(at), name, AT_SYMLINK_NOFOLLOW, &info) == 0 &&
        S_ISLNK(info.st_mode))
        code = -ELOOP;
    if (code == 0) {
        code = os_look(dir->held.fd, NULL, 0, &info);
        if (code != 0)
            os_held_close(&dir->held, true);
    }
    if (code != 0) {
        mem_free(dir);
        return code;
    }
    snprintf(dir->path, size, "%s%s%s", here ? "" : at->path, here ? "" : "/",
             name);
    dir->head = (os_dir){.path = dir->path};
    dir->is = os_identity_of(&info);
    dir->locked = false;
    pthread_mutex_init(&dir->sync, NULL);
    *out = &dir->head;
    return 0;
}

static void dir_close(const os *sys, os_dir *dir)
{
    (void)sys;
    CHECK(!dir->gone && dir != &current.head);
    posix_dir *held = (posix_dir *)dir;
    close_held(&held->held, &held->is, held->locked);
    pthread_mutex_destroy(&held->sync);
    mem_free(dir);
}

static int check_regular(os_file *file)
{
    struct stat info;
    int code = os_look(file->held.fd, NULL, 0, &info);
    if (code != 0)
        return code;
    file->is = os_identity_of(&info);
    atomic_init(&file->whole, (uint64_t)info.st_size);
    return S_ISREG(info.st_mode)   ? 0
           : S_ISDIR(info.st_mode) ? -EISDIR
                                   : -EMEDIUMTYPE;
}

static int file_open(const os *sys, const os_dir *dir, const char *name,
                     int flags, os_file **out)
{
    CHECK((flags & (OS_READ | OS_WRITE)) != 0);
    int mode = (flags & OS_WRITE) == 0  ? O_RDONLY
               : (flags & OS_READ) == 0 ? O_WRONLY
                                        : O_RDWR;
    if (flags & OS_EXCLUSIVE)
        mode |= O_EXCL;
    if (dir->gone)
        return -ENOENT;
    os_file *file = mem_alloc(sizeof *file);
    if (file == NULL)
        return -ENOMEM;
    int code = flags & OS_CREATE ? open_made(sys, dir, name, mode, &file->held)
                                 : open_held(sys, dir, name, mode, &file->held);
    if (code == 0) {
        code = check_regular(file);
        if (code != 0)
            os_held_close(&file->held, true);
    }
    if (code != 0) {
        mem_free(file);
        /* a pipe that nobody reads, a socket */
        return code == -ENXIO ? -EMEDIUMTYPE : code;
    }
    file->locked = false;
    *out = file;
    return 0;
}

/* After EINTR the descriptor is gone on Linux: never closed twice. */
static int file_close(const os *sys, os_file *file)
{
    (void)sys;
    int code = close_held(&file->held, &file->is, file->locked);
    mem_free(file);
    return code == -EINTR ? 0 : code;
}

static ssize_t file_read(const os *sys, os_file *file, void *data, size_t size,
                         uint64_t at)
{
    (void)sys;
    OS_NO_CANCEL;
    ssize_t n = pread(file->held.fd, data, size, (off_t)at);
    return n < 0 ? -errno : n;
}

static ssize_t file_write(const os *sys, os_file *file, const void *data,
                          size_t size, uint64_t at)
{
    (void)sys;
    ssize_t n = pwrite(file->held.fd, data, size, (off_t)at);
    if (n < 0)
        return -errno;
    if (n > 0 && at + (uint64_t)n > atomic_load(&file->whole))
        atomic_store(&file->whole, at + (uint64_t)n);
    return n;
}

/* Where it is not ours any more, what was written went elsewhere: nothing
 * counts as durable. One look tells that, and whether anything is gone. */
static int file_sync(const os *sys, os_file *file)
{
    (void)sys;
    struct stat now;
    uint64_t whole = atomic_load(&file->whole); /* others may write on */
    int code = result(fdatasync(file->held.fd));
    if (code == 0)
        code = os_look_again(file->held.fd, &file->is, &now);
    if (code != 0)
        return code;
    return now.st_nlink == 0               ? -ENOENT
           : (uint64_t)now.st_size < whole ? -ERANGE
                                           : 0;
}

static void file_start_write(const os *sys, os_file *file, uint64_t at,
                             uint64_t size)
{
    (void)sys;
    (void)sync_file_range(file->held.fd, (off_t)at, (off_t)size,
                          SYNC_FILE_RANGE_WRITE);
}

static void file_start_read(const os *sys, os_file *file, uint64_t at,
                            uint64_t size)
{
    (void)sys;
    (void)posix_fadvise(file->held.fd, (off_t)at, (off_t)size,
                        POSIX_FADV_WILLNEED);
}

/* Blocks that hold written zeros, not unwritten extents: a sync of what is
 * put there later then moves data only, no file metadata. Written a page at a
 * time: big pieces become big folios of the page cache, and what is put into
 * one is written with all of it. */
static int file_allocate(const os *sys, os_file *file, uint64_t size)
{
    static const char zeros[ZEROS_SIZE];
    uint64_t at = 0;
    int code = os_take_room(file->held.fd, size, &at);
    if (code != 0 && code != -EOPNOTSUPP)
        return code;
    for (code = 0; code == 0 && at < size;) {
        uint64_t n = size - at < ZEROS_SIZE ? size - at : ZEROS_SIZE;
        code = os_write_all(sys, file, zeros, (size_t)n, at);
        at += n;
    }
    return code;
}

static int file_take_room(const os *sys, os_file *file, uint64_t size)
{
    uint64_t from;
    int code = os_take_room(file->held.fd, size, &from);
    return code == -EOPNOTSUPP ? file_allocate(sys, file, size) : code;
}

static int file_truncate(const os *sys, os_file *file, uint64_t size)
{
    (void)sys;
    int code, again = 0;
    do {
        code = result(ftruncate(file->held.fd, (off_t)size));
    } while (os_again(code, &again));
    if (code == 0)
        atomic_store(&file->whole, size);
    return code;
}

static int file_size(const os *sys, os_file *file, uint64_t *size)
{
    (void)sys;
    struct stat info;
    int code = os_look(file->held.fd, NULL, 0, &info);
    if (code == 0)
        *size = (uint64_t)info.st_size;
    return code;
}

/* Who has it shared has no name there; the text is of somebody before. */
static int64_t read_holder(int fd)
{
    char text[LOCK_TEXT_SIZE + 1] = "";
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_RDLCK)
        return 0;
    ssize_t n = pread(fd, text, LOCK_TEXT_SIZE, 0);
    return n == LOCK_TEXT_SIZE ? strtoll(text, NULL, 10) : 0;
}

/* The lock belongs to the open file, so a second handle of this process is
 * refused too. It does not tell who holds it: the holder's pid stands in the
 * file, for this function and for people. */
static int file_lock(const os *sys, os_file *file, bool shared, int64_t *holder)
{
    char text[LOCK_TEXT_SIZE + 1] = "";
    struct flock lock = {.l_type = shared ? F_RDLCK : F_WRLCK,
                         .l_whence = SEEK_SET};
    *holder = 0;
    if (fcntl(file->held.fd, F_OFD_SETLK, &lock) < 0) {
        if (errno != EAGAIN && errno != EACCES)
            return -errno;
        *holder = read_holder(file->held.fd);
        return -EWOULDBLOCK;
    }
    file->locked = true;
    if (shared)
        return 0;
    int size = snprintf(text, sizeof text, "%20lld\n", (long long)getpid());
    CHECK(size == LOCK_TEXT_SIZE);
    /* A full disk only costs the name of the holder. */
    (void)os_write_all(sys, file, text, LOCK_TEXT_SIZE, 0);
    return 0;
}

static int file_map(const os *sys, os_file *file, uint64_t size, os_map *out)
{
    (void)sys;
    return os_map_file(file->held.fd, size, out);
}

static os_stat stat_of(const struct stat *info)
{
    return (os_stat){.size = (uint64_t)info->st_size,
                     .is_dir = S_ISDIR(info->st_mode),
                     .is_file = S_ISREG(info->st_mode),
                     .device = (uint64_t)info->st_dev,
                     .inode = (uint64_t)info->st_ino,
                     .links = (uint64_t)info->st_nlink,
                     .for_group = (info->st_mode & S_IRGRP) != 0 &&
                                  (info->st_mode & S_IRWXO) == 0};
}

static int file_stat(const os *sys, os_file *file, os_stat *out)
{
    (void)sys;
    struct stat info;
    int code = os_look(file->held.fd, NULL, 0, &info);
    if (code == 0)
        *out = stat_of(&info);
    return code;
}

static uint64_t file_stamp(const os *sys, os_file *file, bool *settled)
{
    (void)sys;
    return os_look_changed(file->held.fd, settled);
}

static int path_stat(const os *sys, const os_dir *dir, const char *name,
                     os_stat *out)
{
    (void)sys;
    struct stat info;
    if (dir->gone)
        return -ENOENT;
    int flags = dir == &current.head ? 0 : AT_SYMLINK_NOFOLLOW;
    int code = os_look(fd_of(dir), name, flags, &info);
    if (code == 0)
        *out = stat_of(&info);
    return code;
}

static int path_rename(const os *sys, const os_dir *from_dir, const char *from,
                       const os_dir *to_dir, const char *to)
{
    (void)sys;
    if (from_dir->gone || to_dir->gone)
        return -ENOENT;
    return result(renameat(fd_of(from_dir), from, fd_of(to_dir), to));
}

static int path_link(const os *sys, const os_dir *from_dir, const char *from,
                     const os_dir *to_dir, const char *to)
{
    (void)sys;
    CHECK(!from_dir->gone && !to_dir->gone);
    return result(linkat(fd_of(from_dir), from, fd_of(to_dir), to, 0));
}

static int path_unlink(const os *sys, const os_dir *dir, const char *name)
{
    (void)sys;
    return dir->gone ? -ENOENT : result(unlinkat(fd_of(dir), name, 0));
}

static int dir_make(const os *sys, const os_dir *dir, const char *name)
{
    if (dir->gone)
        return -ENOENT;
    int code = result(
        mkdirat(fd_of(dir), name, sys->group ? GROUP_DIR_MODE : DIR_MODE));
    if (code == 0)
        os_give_folder(fd_of(dir), name);
    return code;
}

static int dir_protect(const os *sys, const os_dir *dir)
{
    struct stat info;
    int code = os_look(fd_of(dir), NULL, 0, &info);
    if (code != 0)
        return code;
    mode_t now = info.st_mode & ALLPERMS;
    mode_t kept = now & ~(mode_t)(sys->group ? S_IRWXO : S_IRWXG | S_IRWXO);
    return kept == now ? 0 : result(fchmod(fd_of(dir), kept));
}

static int dir_may_write(const os *sys, const os_dir *dir)
{
    (void)sys;
    return result(faccessat(fd_of(dir), ".", W_OK | X_OK, AT_EACCESS));
}

static int dir_lock(const os *sys, const os_dir *dir, bool shared)
{
    (void)sys;
    int code, again = 0;
    do {
        code =
            result(flock(fd_of(dir), (shared ? LOCK_SH : LOCK_EX) | LOCK_NB));
    } while (os_again(code, &again));
    ((posix_dir *)(uintptr_t)dir)->locked |= code == 0;
    /* a network's file system wants a descriptor that can write */
    return code == -EBADF || code == -EINVAL || code == -ENOSYS ? -EOPNOTSUPP
                                                                : code;
}

static int dir_remove(const os *sys, const os_dir *dir, const char *name)
{
    (void)sys;
    return dir->gone ? -ENOENT
                     : result(unlinkat(fd_of(dir), name, AT_REMOVEDIR));
}

/* One thread after the other: on ext4 without a journal (Linux 6.5 and later)
 * a sync takes the changed blocks of a directory off its list before it waits
 * for them, and another one that finds the list empty returns at once. */
static int dir_sync(const os *sys, const os_dir *dir)
{
    (void)sys;
    if (dir->gone)
        return -ENOENT;
    struct stat ignored;
    pthread_mutex_t *sync = &((posix_dir *)(uintptr_t)dir)->sync;
    pthread_mutex_lock(sync);
    int code = result(fsync(fd_of(dir)));
    pthread_mutex_unlock(sync);
    return code == 0 ? os_look_again(fd_of(dir), &posix_of(dir)->is, &ignored)
                     : code;
}

/* What has no blocks at all does not tell. */
static uint64_t dir_room(const os *sys, const os_dir *dir)
{
    struct statvfs disk;
    (void)sys;
    if (dir->gone || fstatvfs(fd_of(dir), &disk) < 0 || disk.f_blocks == 0)
        return UINT64_MAX;
    return (uint64_t)disk.f_bavail * disk.f_frsize;
}

static int dir_list(const os *sys, const os_dir *at, os_list_fn each,
                    void *context)
{
    os_held held;
    if (at->gone)
        return 0;
    int code = open_held(sys, at, ".", O_RDONLY | O_DIRECTORY, &held);
    if (code != 0)
        return code;
    code = os_look_through(held.fd, each, context);
    os_held_close(&held, true);
    return code;
}

static int watch_open(const os *sys, const os_dir *const *dirs, size_t count,
                      os_watch **out)
{
    (void)sys;
    int fds[OS_WATCHED];
    CHECK(count <= OS_WATCHED);
    for (size_t i = 0; i < count; i++)
        fds[i] = fd_of(dirs[i]);
    return os_watch_open(fds, count, out);
}

static uint64_t clock_us(const os *sys)
{
    (void)sys;
    return os_clock_us();
}

static void sleep_while(const os *sys, const _Atomic uint32_t *word,
                        uint32_t value, uint64_t us)
{
    (void)sys;
    os_sleep_for(word, value, us);
}

static uint64_t wall_us(const os *sys)
{
    (void)sys;
    return os_wall_us();
}

static int random_bytes(const os *sys, void *data, size_t size)
{
    (void)sys;
    int again = 0;
    for (uint8_t *at = data; size > 0;) {
        ssize_t n = getrandom(at, size, 0);
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        } else if (!os_again(-errno, &again)) {
            return -errno;
        }
    }
    return 0;
}

const os *os_posix(void)
{
    static const os table = {
        .version = OS_VERSION,
        .cwd = &current.head,
        .dir_open = dir_open,
        .dir_close = dir_close,
        .file_open = file_open,
        .file_close = file_close,
        .file_read = file_read,
        .file_write = file_write,
        .file_sync = file_sync,
        .file_start_write = file_start_write,
        .file_start_read = file_start_read,
        .file_allocate = file_allocate,
        .file_take_room = file_take_room,
        .file_truncate = file_truncate,
        .file_size = file_size,
        .file_stat = file_stat,
        .file_stamp = file_stamp,
        .file_lock = file_lock,
        .file_map = file_map,
        .map_load = os_map_load,
        .map_release = os_map_release,
        .stat = path_stat,
        .rename = path_rename,
        .link = path_link,
        .unlink = path_unlink,
        .dir_make = dir_make,
        .dir_protect = dir_protect,
        .dir_may_write = dir_may_write,
        .dir_lock = dir_lock,
        .dir_remove = dir_remove,
        .dir_sync = dir_sync,
        .dir_room = dir_room,
        .dir_list = dir_list,
        .watch_open = watch_open,
        .watch_is_quiet = os_watch_is_quiet,
        .watch_close = os_watch_close,
        .clock_us = clock_us,
        .sleep_while = sleep_while,
        .wall_us = wall_us,
        .random = random_bytes,
    };
    return &table;
}
