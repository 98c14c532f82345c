/* SPDX-License-Identifier: MIT */
/* The real system, made slow. */
#include "os_slow.h"

#include <time.h>

#include "base/hash.h"

static void nap(const os *o)
{
    static _Thread_local uint64_t naps;
    const os_slow *slow = o->context;
    uint64_t drawn[2] = {++naps, (uintptr_t)&naps};
    uint64_t random = hash_xxh3(slice_of(drawn, sizeof drawn));
    long most = (long)slow->nap_max * 1000 + 1;
    struct timespec time = {.tv_nsec = (long)(random % (uint64_t)most)};
    nanosleep(&time, NULL);
}

static int file_sync(const os *o, os_file *file)
{
    nap(o);
    return os_posix()->file_sync(o, file);
}

static int file_allocate(const os *o, os_file *file, uint64_t size)
{
    nap(o);
    return os_posix()->file_allocate(o, file, size);
}

static int dir_sync(const os *o, const os_dir *dir)
{
    nap(o);
    return os_posix()->dir_sync(o, dir);
}

void os_slow_table(os_slow *slow, os *out)
{
    *out = *os_posix();
    out->context = slow;
    out->file_sync = file_sync;
    out->file_allocate = file_allocate;
    out->dir_sync = dir_sync;
}
