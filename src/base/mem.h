/* SPDX-License-Identifier: MIT */
/* The one door to malloc, so that tests can make any allocation fail. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

/* Return NULL when memory is out (or a test says so); callers handle it. */
void *mem_alloc(size_t size);
void *mem_alloc_zero(size_t size);
/* alignment: a power of two; release with mem_free. */
void *mem_alloc_aligned(size_t alignment, size_t size);
void *mem_realloc(void *old, size_t size); /* old stays valid on NULL */
void mem_free(void *memory);               /* NULL is fine */

/* Makes room for `more` items behind the first `count` of an array that may
 * grow: `items` points at the pointer to it (NULL: empty), `size` is of one.
 * False when memory is out; nothing has changed then. */
static inline bool mem_grow(void *items, size_t count, size_t more,
                            size_t *capacity, size_t size);
/* The same where there is no room yet. */
bool mem_grow_more(void *items, size_t count, size_t more, size_t *capacity,
                   size_t size);

static inline bool mem_grow(void *items, size_t count, size_t more,
                            size_t *capacity, size_t size)
{
    CHECK(count <= *capacity);
    return more <= *capacity - count ||
           mem_grow_more(items, count, more, capacity, size);
}

/* Test seam: called before each allocation; when it returns nonzero, that
 * allocation fails. NULL: none. Set it while no other thread runs. */
typedef int (*mem_fail_fn)(void *context);
void mem_set_fail(mem_fail_fn fail, void *context);

#endif
