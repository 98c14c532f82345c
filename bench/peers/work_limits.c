/* SPDX-License-Identifier: MIT */
/* What the machine does without any engine: copies, hashes, a sync. */
#include "bench.h"

#define XXH_INLINE_ALL
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

enum { MEMORY_SIZE = 64 << 20, SHA_SIZE = 8 << 20, PAGE = 4096 };

static double gigabytes_a_second(double bytes, double start)
{
    return bytes / 1e9 / (now_s() - start);
}

static double sync_us(const char *path, const char *page, uint64_t count)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
    must(fd >= 0, path, NULL);
    for (uint64_t i = 0; i < count; i++)
        must(pwrite(fd, page, PAGE, (off_t)(i * PAGE)) == PAGE, path, NULL);
    must(fsync(fd) == 0, path, NULL);
    double start = now_s();
    for (uint64_t i = 0; i < count; i++)
        must(pwrite(fd, page, PAGE, (off_t)(i * PAGE)) == PAGE &&
                 fdatasync(fd) == 0,
             path, NULL);
    double each = (now_s() - start) / (double)count * 1e6;
    close(fd);
    must(unlink(path) == 0, path, NULL);
    return each;
}

static void limits(cell *c)
{
    char *from = must_alloc(MEMORY_SIZE), *to = must_alloc(MEMORY_SIZE);
    unsigned char digest[32];
    random_fill(from, MEMORY_SIZE, 1);
    memcpy(to, from, MEMORY_SIZE);
    double start = now_s();
    memcpy(to, from + 1, MEMORY_SIZE - 1);
    c->result[0] = gigabytes_a_second(MEMORY_SIZE, start);
    start = now_s();
    c->result[4] = (double)XXH3_64bits(to, MEMORY_SIZE);
    c->result[1] = gigabytes_a_second(MEMORY_SIZE, start);
    start = now_s();
    sha256((slice){to, SHA_SIZE}, digest);
    c->result[2] = gigabytes_a_second(SHA_SIZE, start);
    c->result[3] = sync_us(c->dir, from, set.singles);
    free(from);
    free(to);
}

void work_limits(const engine *e)
{
    char path[PATH_SIZE];
    cell c;
    if (e != engines[RAW])
        return;
    cell_init(&c, e, path);
    cell_run(&c, limits);
    figure_add(F_COPY, e, c.result[0]);
    figure_add(F_HASH, e, c.result[1]);
    figure_add(F_SHA, e, c.result[2]);
    figure_add(F_SYNC, e, c.result[3]);
}
