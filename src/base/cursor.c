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

uint8_t cursor_u8(cursor *c)
{
    return (uint8_t)get_le(c, 1);
}

uint32_t cursor_u32(cursor *c)
{
    return (uint32_t)get_le(c, 4);
}

uint64_t cursor_u64(cursor *c)
{
    return get_le(c, 8);
}

/* The number whose eight bytes hold seven bits each, the lowest first. */
static uint64_t join_sevens(uint64_t w)
{
    w = (w & 0x007f007f007f007fu) | (w & 0x7f007f007f007f00u) >> 1;
    w = (w & 0x00003fff00003fffu) | (w & 0x3fff00003fff0000u) >> 2;
    return (w & 0x000000000fffffffu) | (w & 0x0fffffff00000000u) >> 4;
}

/* Eight bytes at once, if there are so many and the number ends in them. */
static bool get_varint_in_8(cursor *c, uint64_t *value)
{
    uint64_t w, ends;
    if (cursor_left(c) < sizeof w)
        return false;
    memcpy(&w, c->at, sizeof w);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    ends = ~w & 0x8080808080808080u;
    if (ends == 0)
        return false;
    unsigned size = (unsigned)__builtin_ctzll(ends) / 8 + 1;
    if (size > 1 && c->at[size - 1] == 0)
        return false;
    *value = join_sevens(w & (ends ^ (ends - 1)));
    c->at += size;
    return true;
}

uint64_t cursor_varint_long(cursor *c)
{
    uint64_t value = 0;
    if (get_varint_in_8(c, &value))
        return value;
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
