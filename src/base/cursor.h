/* SPDX-License-Identifier: MIT */
/* Bounds-checked decoding of bytes from outside. A read past the end makes
 * the cursor `failed` and yields zeros, so one test at the end is enough. */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

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

/* Little-endian integers. */
uint8_t cursor_u8(cursor *);
uint16_t cursor_u16(cursor *);
uint32_t cursor_u32(cursor *);
uint64_t cursor_u64(cursor *);
/* LEB128; fails on more than 64 bits or a form longer than needed. The short
 * way is for numbers of one byte. */
uint64_t cursor_varint_long(cursor *);

static inline uint64_t cursor_varint(cursor *c)
{
    if (!c->failed && c->at < c->end && *c->at < 0x80)
        return *c->at++;
    return cursor_varint_long(c);
}

/* The next size bytes, still owned by whoever owns the input. */
slice cursor_bytes(cursor *, uint64_t size);

#endif
