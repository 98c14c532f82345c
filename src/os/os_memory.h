/* SPDX-License-Identifier: MIT */
/* What the kernel is told of memory. */
#ifndef OS_OS_MEMORY_H
#define OS_OS_MEMORY_H

#include <stddef.h>

/* Brings in memory that will be written from end to end, in one call: page by
 * page, as it is touched, takes twice as long. Only a hint. */
void os_memory_bring_in(void *memory, size_t size);

/* Gives the pages back, of memory that stays the caller's and that will be
 * written before it is read: nothing is known of what it holds. Only a hint. */
void os_memory_let_go(void *memory, size_t size);

#endif
