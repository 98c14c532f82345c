/* SPDX-License-Identifier: MIT */
/* A file system with one file, `disk`, that logs what is written to it.
 *
 *     recorder IMAGE LOG MOUNTPOINT
 *
 * Mounted, MOUNTPOINT/disk shows IMAGE. A loop device on it is a disk whose
 * every write and flush is known, in order: LOG is a sequence of entries, each
 * an offset and a size (8 bytes each, of this machine) and that many bytes; a
 * size of 0 is a flush. When a flush is answered, all before it is in LOG. */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int image, record;

static int log_entry(uint64_t offset, const void *bytes, uint64_t size)
{
    uint64_t head[2] = {offset, size};
    if (write(record, head, sizeof head) != (ssize_t)sizeof head)
        return -EIO;
    if (size > 0 && write(record, bytes, size) != (ssize_t)size)
        return -EIO;
    return 0;
}

static int get_attributes(const char *path, struct stat *out,
                          struct fuse_file_info *info)
{
    (void)info;
    memset(out, 0, sizeof *out);
    if (strcmp(path, "/") == 0) {
        out->st_mode = S_IFDIR | 0755;
        out->st_nlink = 2;
        return 0;
    }
    if (strcmp(path, "/disk") != 0)
        return -ENOENT;
    struct stat real;
    if (fstat(image, &real) != 0)
        return -errno;
    out->st_mode = S_IFREG | 0600;
    out->st_nlink = 1;
    out->st_size = real.st_size;
    return 0;
}

static int read_directory(const char *path, void *buffer, fuse_fill_dir_t fill,
                          off_t offset, struct fuse_file_info *info,
                          enum fuse_readdir_flags flags)
{
    (void)offset, (void)info, (void)flags;
    if (strcmp(path, "/") != 0)
        return -ENOTDIR;
    fill(buffer, "disk", NULL, 0, 0);
    return 0;
}

static int open_disk(const char *path, struct fuse_file_info *info)
{
    (void)info;
    return strcmp(path, "/disk") == 0 ? 0 : -ENOENT;
}

static int read_disk(const char *path, char *out, size_t size, off_t at,
                     struct fuse_file_info *info)
{
    (void)path, (void)info;
    ssize_t got = pread(image, out, size, at);
    return got < 0 ? -errno : (int)got;
}

static int write_disk(const char *path, const char *bytes, size_t size,
                      off_t at, struct fuse_file_info *info)
{
    (void)path, (void)info;
    int failed = log_entry((uint64_t)at, bytes, size);
    if (failed)
        return failed;
    ssize_t put = pwrite(image, bytes, size, at);
    return put == (ssize_t)size ? (int)size : -EIO;
}

static int flush_disk(const char *path, int data_only,
                      struct fuse_file_info *info)
{
    (void)path, (void)data_only, (void)info;
    return log_entry(0, NULL, 0);
}

int main(int count, char **arguments)
{
    if (count != 4) {
        fprintf(stderr, "usage: recorder IMAGE LOG MOUNTPOINT\n");
        return 2;
    }
    image = open(arguments[1], O_RDWR);
    record = open(arguments[2], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (image < 0 || record < 0) {
        perror("recorder");
        return 1;
    }
    static const struct fuse_operations operations = {
        .getattr = get_attributes,
        .readdir = read_directory,
        .open = open_disk,
        .read = read_disk,
        .write = write_disk,
        .fsync = flush_disk,
    };
    /* in the foreground, one request after the other: the log is an order */
    char *fuse[] = {arguments[0], (char[]){"-f"}, (char[]){"-s"}, arguments[3],
                    NULL};
    return fuse_main(4, fuse, &operations, NULL);
}
