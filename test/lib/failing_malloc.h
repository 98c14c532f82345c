/* SPDX-License-Identifier: MIT */
/* Takes the place of malloc for the whole process: of its own code and of
 * every library. For the one file of a program that includes it; the
 * sanitizers have a malloc of their own, which fails for base/mem.h alone. */
#ifndef TEST_FAILING_MALLOC_H
#define TEST_FAILING_MALLOC_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Allocations so far, and which of them fail: from the first on, to the last;
 * none while that is 0. */
static _Atomic uint64_t malloc_count, malloc_fail_first, malloc_fail_last;

static bool malloc_fails(void)
{
    uint64_t nth = atomic_fetch_add(&malloc_count, 1) + 1;
    return nth >= atomic_load(&malloc_fail_first) &&
           nth <= atomic_load(&malloc_fail_last);
}

/* Allocations fail from the nth on that comes now, or only that one. */
static inline void malloc_fail(uint64_t nth, bool for_good)
{
    atomic_store(&malloc_count, 0);
    atomic_store(&malloc_fail_first, nth);
    atomic_store(&malloc_fail_last, for_good ? UINT64_MAX : nth);
}

/* No more fail. Returns how many there were since malloc_fail. */
static inline uint64_t malloc_fail_no_more(void)
{
    atomic_store(&malloc_fail_last, 0);
    return atomic_load(&malloc_count);
}

#ifdef __has_feature /* clang */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MALLOC_IS_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MALLOC_IS_SANITIZED
#endif

#ifdef MALLOC_IS_SANITIZED

#include "base/mem.h"

static int mem_fails(void *context)
{
    (void)context;
    return malloc_fails();
}

__attribute__((constructor)) static void set_mem_fails(void)
{
    mem_set_fail(mem_fails, NULL);
}

#else

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static bool malloc_says_no(void)
{
    if (!malloc_fails())
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return malloc_says_no() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return malloc_says_no() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return malloc_says_no() ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return malloc_says_no() ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (malloc_fails())
        return ENOMEM;
    *out = __libc_memalign(alignment, size);
    return *out == NULL ? ENOMEM : 0;
}

#endif
#endif
