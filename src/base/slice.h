/* SPDX-License-Identifier: MIT */
/* Byte slices: comparing and making them. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <string.h>

#include "persist_base.h"

typedef persist_slice slice;

static inline slice slice_of(const void *data, size_t size)
{
    return (slice){data, size};
}

/* The part [at, at + size) of a slice that has it. */
static inline slice slice_part(slice s, size_t at, size_t size)
{
    return slice_of((const uint8_t *)s.data + at, size);
}

static inline slice slice_str(const char *text)
{
    return (slice){text, strlen(text)};
}

/* Tells whether so many bytes are alike. Most names, tags and prefixes have up
 * to 16, for which a call does not pay: two words that may overlap are compared
 * instead. */
static inline bool bytes_alike(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a, *y = b;
    uint64_t p, q, p_end, q_end;
    uint32_t s, t, s_end, t_end;
    if (size > 2 * sizeof p)
        return memcmp(x, y, size) == 0;
    if (size >= sizeof p) {
        memcpy(&p, x, sizeof p);
        memcpy(&q, y, sizeof q);
        memcpy(&p_end, x + size - sizeof p, sizeof p);
        memcpy(&q_end, y + size - sizeof q, sizeof q);
        return p == q && p_end == q_end;
    }
    if (size >= sizeof s) {
        memcpy(&s, x, sizeof s);
        memcpy(&t, y, sizeof t);
        memcpy(&s_end, x + size - sizeof s, sizeof s);
        memcpy(&t_end, y + size - sizeof t, sizeof t);
        return s == t && s_end == t_end;
    }
    for (size_t i = 0; i < size; i++)
        if (x[i] != y[i])
            return false;
    return true;
}

static inline bool slice_equal(slice a, slice b)
{
    return a.size == b.size && bytes_alike(a.data, b.data, a.size);
}

static inline bool slice_starts_with(slice s, slice prefix)
{
    return s.size >= prefix.size &&
           bytes_alike(s.data, prefix.data, prefix.size);
}

/* Eight and four bytes as a number, the highest first. */
static inline uint64_t big_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static inline uint32_t big_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap32(value);
#endif
    return value;
}

/* Orders by bytes, as unsigned; a prefix comes first. Most names are too short
 * for a call to pay. */
static inline int slice_compare(slice a, slice b)
{
    const uint8_t *x = a.data, *y = b.data;
    size_t n = a.size < b.size ? a.size : b.size, at = 0;
    for (; at + 8 <= n; at += 8) {
        uint64_t p = big_u64(x + at), q = big_u64(y + at);
        if (p != q)
            return p < q ? -1 : 1;
    }
    for (; at < n; at++)
        if (x[at] != y[at])
            return x[at] < y[at] ? -1 : 1;
    return a.size < b.size ? -1 : a.size > b.size;
}

#endif
