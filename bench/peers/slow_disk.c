/* SPDX-License-Identifier: MIT */
/* A disk whose flush takes a given time, for engines that run in memory.
 *
 * What makes bytes durable is called in place of the C library's, by us and by
 * all peers alike, since a program's own functions come before those of shared
 * libraries. Each does its work, in memory at once, and then waits for a flush
 * of the one disk there is. A disk has one flush under way at a time, and those
 * who ask meanwhile share the next one, as Linux has it (block/blk-flush.c).
 * How fast the disk takes bytes is not simulated. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SLACK_NS = 1 };

static long flush_ns; /* 0: nothing is simulated */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static uint64_t flushes; /* that have ended */
static bool under_way;

void slow_disk_begin(unsigned us)
{
    flush_ns = (long)us * 1000;
    /* A sleep ends when it should; threads begun from here on inherit that. */
    must(us == 0 || prctl(PR_SET_TIMERSLACK, SLACK_NS, 0, 0, 0) == 0,
         "PR_SET_TIMERSLACK", NULL);
}

static void sleep_until(struct timespec t)
{
    t.tv_nsec += flush_ns;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

/* Returns once a flush has ended that began after this. */
static void flush(void)
{
    struct timespec now;
    if (flush_ns == 0)
        return;
    pthread_mutex_lock(&lock);
    uint64_t mine = flushes + 1 + under_way;
    while (flushes < mine) {
        if (under_way) {
            pthread_cond_wait(&ended, &lock);
            continue;
        }
        under_way = true;
        pthread_mutex_unlock(&lock);
        clock_gettime(CLOCK_MONOTONIC, &now);
        sleep_until(now);
        pthread_mutex_lock(&lock);
        under_way = false;
        flushes++;
        pthread_cond_broadcast(&ended);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- what makes durable ------------------------------------------------- */

int fsync(int fd)
{
    int result = (int)syscall(SYS_fsync, fd);
    flush();
    return result;
}

int fdatasync(int fd)
{
    int result = (int)syscall(SYS_fdatasync, fd);
    flush();
    return result;
}

int msync(void *from, size_t size, int flags)
{
    int result = (int)syscall(SYS_msync, from, size, flags);
    if ((flags & MS_SYNC) != 0)
        flush();
    return result;
}

/* LMDB writes its meta page through a descriptor that syncs each write. */
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    ssize_t result = syscall(SYS_pwrite64, fd, bytes, size, at);
    if (flush_ns != 0 && (fcntl(fd, F_GETFL) & O_DSYNC) != 0)
        flush();
    return result;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
    __attribute__((alias("pwrite")));
