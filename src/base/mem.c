/* SPDX-License-Identifier: MIT */
/* The one door to malloc. */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { GROWN_LEAST = 8 }; /* items */

static mem_fail_fn fail_fn;
static void *fail_context;

void mem_set_fail(mem_fail_fn fail, void *context)
{
    fail_fn = fail;
    fail_context = context;
}

static int must_fail(void)
{
    return UNLIKELY(fail_fn != NULL) && fail_fn(fail_context);
}

void *mem_alloc(size_t size)
{
    return must_fail() ? NULL : malloc(size == 0 ? 1 : size);
}

void *mem_alloc_zero(size_t size)
{
    return must_fail() ? NULL : calloc(1, size == 0 ? 1 : size);
}

void *mem_alloc_aligned(size_t alignment, size_t size)
{
    CHECK(alignment >= sizeof(void *) && (alignment & (alignment - 1)) == 0);
    void *memory = NULL;
    if (must_fail() || posix_memalign(&memory, alignment, size) != 0)
        return NULL;
    return memory;
}

void *mem_realloc(void *old, size_t size)
{
    return must_fail() ? NULL : realloc(old, size == 0 ? 1 : size);
}

void mem_free(void *memory)
{
    free(memory);
}

bool mem_grow_more(void *items, size_t count, size_t more, size_t *capacity,
                   size_t size)
{
    void *old;
    CHECK(more > *capacity - count && size > 0);
    size_t wanted = *capacity * 2 > count + more ? *capacity * 2 : count + more;
    wanted = wanted < GROWN_LEAST ? GROWN_LEAST : wanted;
    memcpy(&old, items, sizeof old);
    void *grown = mem_realloc(old, wanted * size);
    if (grown == NULL)
        return false;
    memcpy(items, &grown, sizeof grown);
    *capacity = wanted;
    return true;
}
