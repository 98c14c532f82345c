/* SPDX-License-Identifier: MIT */
/* Bounds-checked decoding of bytes from outside. A read past the end makes
 * the cursor `failed` and yields zeros, so one test at the end is enough. */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"

typedef struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
} cursor;

static inline cursor cursor_of(slice s)
{
    const uint8_t *data = s.data;
    return (cursor){data, s.size == 0 ? data : data + s.size, false};
}

static inline size_t cursor_left(const cursor *c)
{
    return c->failed ? 0 : (size_t)(c->end - c->at);
}

/* True when everything was read and nothing failed. */
static inline bool cursor_done(const cursor *c)
{
    return !c->failed && c->at == c->end;
}

/* Puts eight bytes, the highest first; big_u64 gets them. */
static inline void put_big_u64(uint8_t *at, uint64_t value)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    memcpy(at, &value, sizeof value);
}

/* The next byte. */
static inline uint8_t cursor_u8(cursor *c)
{
    if (cursor_left(c) == 0) {
        c->failed = true;
        return 0;
    }
    return *c->at++;
}

/* Little-endian integers. */
uint32_t cursor_u32(cursor *);
uint64_t cursor_u64(cursor *);
/* The number whose eight bytes hold seven bits each, the lowest first. */
static inline uint64_t join_sevens(uint64_t w)
{
    w = (w & 0x007f007f007f007fu) | (w & 0x7f007f007f007f00u) >> 1;
    w = (w & 0x00003fff00003fffu) | (w & 0x3fff00003fff0000u) >> 2;
    return (w & 0x000000000fffffffu) | (w & 0x0fffffff00000000u) >> 4;
}

/* LEB128; fails on more than 64 bits or a form longer than needed. The short
 * ways are for numbers of one byte and of two, and for those that end within
 * eight. */
uint64_t cursor_varint_long(cursor *);

static inline uint64_t cursor_varint(cursor *c)
{
    const uint8_t *at = c->at;
    size_t left = cursor_left(c);
    if (left >= 1 && at[0] < 0x80) {
        c->at = at + 1;
        return at[0];
    }
    if (left >= 2 && at[1] > 0 && at[1] < 0x80) {
        c->at = at + 2;
        return (uint64_t)at[1] << 7 | (at[0] & 0x7f);
    }
    uint64_t w, ends = 0;
    if (left >= sizeof w) {
        memcpy(&w, at, sizeof w);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        w = __builtin_bswap64(w);
#endif
        ends = ~w & 0x8080808080808080u;
    }
    if (ends == 0)
        return cursor_varint_long(c);
    unsigned last = (unsigned)__builtin_ctzll(ends) / 8;
    if (at[last] == 0)
        return cursor_varint_long(c);
    c->at = at + last + 1;
    return join_sevens(w & (ends ^ (ends - 1)));
}

/* The next size bytes, still owned by whoever owns the input. */
static inline slice cursor_bytes(cursor *c, uint64_t size)
{
    CHECK(c->at <= c->end);
    if (cursor_left(c) < size || c->failed) {
        c->failed = true;
        return slice_of(NULL, 0);
    }
    slice s = slice_of(c->at, (size_t)size);
    c->at += size;
    return s;
}

#endif
