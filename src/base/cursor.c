/* SPDX-License-Identifier: MIT */
/* Bounds-checked decoding of bytes from outside. */
#include "base/cursor.h"

#include "base/check.h"

static uint64_t get_le(cursor *c, size_t size)
{
    CHECK(size <= sizeof(uint64_t) && c->at <= c->end);
    if (c->failed || cursor_left(c) < size) {
        c->failed = true;
        return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)c->at[i] << (8 * i);
    c->at += size;
    return value;
}

uint32_t cursor_u32(cursor *c)
{
    return (uint32_t)get_le(c, 4);
}

uint64_t cursor_u64(cursor *c)
{
    return get_le(c, 8);
}

uint64_t cursor_varint_long(cursor *c)
{
    uint64_t value = 0;
    const uint8_t *at = c->at;
    for (unsigned shift = 0; shift < 64 && !c->failed; shift += 7) {
        if (at == c->end)
            break;
        uint8_t byte = *at++;
        uint64_t bits = byte & 0x7f;
        if ((shift == 63 && bits > 1) || (shift > 0 && byte == 0))
            break;
        value |= bits << shift;
        if (byte < 0x80) {
            c->at = at;
            return value;
        }
    }
    c->failed = true;
    return 0;
}
