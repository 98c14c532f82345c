/* SPDX-License-Identifier: MIT */
/* A growing byte buffer. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"

enum { BUF_FIRST_CAPACITY = 64, BUF_PRINTF_MAX = 512 };

void buf_release(buf *b)
{
    mem_free(b->data);
    *b = (buf){0};
}

void buf_clear(buf *b)
{
    b->size = 0;
    b->failed = false;
}

bool buf_grow(buf *b, size_t more)
{
    CHECK(b->size <= b->capacity);
    CHECK((b->data == NULL) == (b->capacity == 0));
    if (b->failed)
        return false;
    if (b->capacity - b->size >= more)
        return true;
    if (more > SIZE_MAX / 2 - b->size) {
        b->failed = true;
        return false;
    }
    size_t need = b->size + more;
    size_t capacity =
        b->capacity < BUF_FIRST_CAPACITY ? BUF_FIRST_CAPACITY : b->capacity * 2;
    if (capacity < need)
        capacity = need;
    uint8_t *data = mem_realloc(b->data, capacity);
    if (data == NULL) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->capacity = capacity;
    return true;
}

static void put_le(buf *b, uint64_t value, size_t size)
{
    CHECK(size <= sizeof value);
    if (!buf_reserve(b, size))
        return;
    for (size_t i = 0; i < size; i++)
        b->data[b->size++] = (uint8_t)(value >> (8 * i));
}

void buf_put_u16(buf *b, uint16_t value)
{
    put_le(b, value, 2);
}

void buf_put_u32(buf *b, uint32_t value)
{
    put_le(b, value, 4);
}

void buf_put_u64(buf *b, uint64_t value)
{
    put_le(b, value, 8);
}

/* Where there is room for the longest, it is looked for once. */
void buf_put_varint(buf *b, uint64_t value)
{
    if (b->failed || b->capacity - b->size < VARINT_MAX) {
        for (; value >= 0x80; value >>= 7)
            buf_put_byte(b, (uint8_t)(value | 0x80));
        buf_put_byte(b, (uint8_t)value);
        return;
    }
    b->size = (size_t)(put_varint(b->data + b->size, value) - b->data);
}

void buf_printf(buf *b, const char *format, ...)
{
    char text[BUF_PRINTF_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    CHECK(n >= 0);
    size_t size = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    buf_put(b, text, size);
}
