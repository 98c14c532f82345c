/* SPDX-License-Identifier: MIT */
/* What the kernel is told of memory. */
#include "os/os_memory.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Since Linux 5.14; older C libraries have no name for it. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Whole pages only: what shares one with other memory may never be written, or
 * is somebody else's. */
static void advise(void *memory, size_t size, int advice)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)memory + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)memory + size) & ~(page - 1);
    if (from < end)
        (void)madvise((void *)from, end - from, advice);
}

void os_memory_bring_in(void *memory, size_t size)
{
    advise(memory, size, MADV_POPULATE_WRITE);
}

void os_memory_let_go(void *memory, size_t size)
{
    advise(memory, size, MADV_DONTNEED);
}
