/* SPDX-License-Identifier: MIT */
/* Files in memory, and how to read them without a signal. */
#include "os/os_map.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "os/os_again.h"

/* Since Linux 5.14; older C libraries have no name for it. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/* Fills the page table from the file. Where a touch would raise SIGBUS this is
 * EFAULT, or EHWPOISON. */
int os_map_load(const os *sys, const os_map *map, uint64_t at, uint64_t size)
{
    (void)sys;
    CHECK(at <= map->size && size <= map->size - at);
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)(map->data + at) & ~(page - 1);
    uintptr_t end = (uintptr_t)(map->data + at + size);
    int code, again = 0;
    /* page by page it would be read one after the other */
    if (end - from > page)
        (void)madvise((void *)from, end - from, MADV_WILLNEED);
    do {
        int done = madvise((void *)from, end - from, MADV_POPULATE_READ);
        code = done < 0 ? -errno : 0;
        if (code == -EAGAIN)
            code = -EINTR;
    } while (os_again(code, &again));
    return code == -EFAULT || code == -EHWPOISON ? -EIO : code;
}

/* Giving back may need memory itself, or one mapping more than a process may
 * have (ENOMEM): what is refused stays until the end of the process, and with
 * it the room of a file that has no name any more. Only what was never a
 * mapping is a mistake of ours. */
void os_map_release(const os *sys, os_map *map)
{
    (void)sys;
    if (map->data != NULL) {
        int code = munmap((void *)(uintptr_t)map->data, (size_t)map->size);
        CHECK(code == 0 || errno != EINVAL);
    }
    *map = (os_map){0};
}

/* The last byte is brought in as a trial: a mapping that cannot be loaded with
 * an error instead of a signal is of no use. */
int os_map_file(int fd, uint64_t size, os_map *out)
{
    CHECK(size > 0);
    void *data = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
        return -errno;
    *out = (os_map){data, size};
    /* The system reads 128 KiB around each page that is missing: too much for
     * a look-up, too little for a run. What is needed is asked for. */
    (void)madvise(data, (size_t)size, MADV_RANDOM);
    int code = os_map_load(NULL, out, size - 1, 1);
    if (code != 0)
        os_map_release(NULL, out);
    return code;
}
