/* SPDX-License-Identifier: MIT */
/* Clock, directories, the accounts of the kernel, and how to give up. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void fail(const char *what, const char *why)
{
    fprintf(stderr, "engines: %s: %s\n", what, why);
    _exit(1);
}

void must(bool ok, const char *what, const char *why)
{
    if (!ok)
        fail(what, why != NULL ? why : strerror(errno));
}

void *must_alloc(size_t size)
{
    void *memory = calloc(1, size);
    must(memory != NULL, "memory", NULL);
    return memory;
}

static int remove_entry(const char *path, const struct stat *st, int kind,
                        struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

void remove_dir(const char *dir)
{
    if (nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        must(errno == ENOENT, dir, NULL);
}

void make_dir(const char *dir)
{
    must(mkdir(dir, 0777) == 0 || errno == EEXIST, dir, NULL);
}

static double bytes_seen;

static int add_entry(const char *path, const struct stat *st, int kind,
                     struct FTW *at)
{
    (void)path, (void)at;
    if (kind == FTW_F)
        bytes_seen += (double)st->st_blocks * 512;
    return 0;
}

double dir_bytes(const char *dir)
{
    bytes_seen = 0;
    must(nftw(dir, add_entry, 16, FTW_PHYS) == 0, dir, NULL);
    return bytes_seen;
}

/* Only clean pages can be dropped, so they are written first. */
static int uncache_entry(const char *path, const struct stat *st, int kind,
                         struct FTW *at)
{
    (void)st, (void)at;
    if (kind != FTW_F)
        return 0;
    int fd = open(path, O_RDONLY);
    must(fd >= 0 && fsync(fd) == 0, path, NULL);
    int error = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    must(error == 0, path, strerror(error));
    close(fd);
    return 0;
}

void dir_uncache(const char *dir)
{
    must(nftw(dir, uncache_entry, 16, FTW_PHYS) == 0, dir, NULL);
}

double written_bytes(void)
{
    char line[128];
    double written = 0, value;
    FILE *f = fopen("/proc/self/io", "r");
    must(f != NULL, "/proc/self/io", NULL);
    while (fgets(line, sizeof line, f) != NULL) {
        const char *colon = strchr(line, ':');
        value = colon == NULL ? 0 : strtod(colon + 1, NULL);
        if (strncmp(line, "write_bytes", 11) == 0)
            written += value;
        if (strncmp(line, "cancelled_write_bytes", 21) == 0)
            written -= value;
    }
    fclose(f);
    return written;
}

void be64(uint64_t value, unsigned char out[8])
{
    value = __builtin_bswap64(value);
    memcpy(out, &value, 8);
}

uint64_t from_be64(const void *data)
{
    uint64_t value;
    memcpy(&value, data, 8);
    return __builtin_bswap64(value);
}

void sha256(slice bytes, unsigned char out[32])
{
    must(EVP_Digest(bytes.data, bytes.size, out, NULL, EVP_sha256(), NULL) == 1,
         "SHA-256", "libcrypto refuses");
}
