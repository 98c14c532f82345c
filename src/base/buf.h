/* SPDX-License-Identifier: MIT */
/* A growing byte buffer. An allocation that fails makes the buffer `failed`;
 * later writes do nothing, so one test at the end is enough. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/slice.h"

typedef struct buf {
    uint8_t *data;
    size_t size;     /* bytes used */
    size_t capacity; /* bytes allocated */
    bool failed;     /* an allocation failed: the content is cut short */
} buf;

/* A zeroed buf is empty and ready. */
void buf_release(buf *);
/* Forgets the content and the failure, keeps the memory. */
void buf_clear(buf *);
/* Makes room for `more` bytes beyond size; false when memory is out. */
bool buf_grow(buf *, size_t more);

static inline bool buf_reserve(buf *b, size_t more)
{
    return (!b->failed && b->capacity - b->size >= more) || buf_grow(b, more);
}

static inline void buf_put(buf *b, const void *data, size_t size)
{
    if (size == 0 || !buf_reserve(b, size))
        return;
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): was reserved */
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static inline void buf_put_byte(buf *b, uint8_t byte)
{
    if (buf_reserve(b, 1))
        b->data[b->size++] = byte;
}

static inline void buf_put_slice(buf *b, slice s)
{
    buf_put(b, s.data, s.size);
}

static inline void buf_put_str(buf *b, const char *text)
{
    buf_put(b, text, strlen(text));
}

/* Little-endian fixed width. */
void buf_put_u16(buf *, uint16_t);
void buf_put_u32(buf *, uint32_t);
void buf_put_u64(buf *, uint64_t);
/* LEB128, one to ten bytes. */
enum { VARINT_MAX = 10 };
void buf_put_varint(buf *, uint64_t);
/* printf; at most 512 bytes. */
void buf_printf(buf *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same where there is room; returns the place behind it. */
static inline uint8_t *put_varint(uint8_t *at, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        *at++ = (uint8_t)(number | 0x80);
    *at++ = (uint8_t)number;
    return at;
}

static inline slice buf_slice(const buf *b)
{
    return (slice){b->data, b->size};
}

#endif
