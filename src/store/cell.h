/* SPDX-License-Identifier: MIT */
/* Immutable bytes that the memory backend and its cursors share. */
#ifndef STORE_CELL_H
#define STORE_CELL_H

#include <stdatomic.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/slice.h"

typedef struct cell {
    atomic_uint references;
    size_t size;
    uint8_t bytes[];
} cell;

/* Copies bytes into a new cell with one reference; NULL: out of memory. */
static inline cell *cell_new(slice bytes)
{
    cell *c = mem_alloc(sizeof *c + bytes.size);
    if (c == NULL)
        return NULL;
    atomic_init(&c->references, 1);
    c->size = bytes.size;
    if (bytes.size > 0)
        memcpy(c->bytes, bytes.data, bytes.size);
    return c;
}

/* Takes one more reference. NULL is fine. */
static inline cell *cell_ref(cell *c)
{
    if (c != NULL)
        atomic_fetch_add(&c->references, 1);
    return c;
}

/* Gives a reference back; the last one frees the cell. NULL is fine. */
static inline void cell_unref(cell *c)
{
    if (c == NULL)
        return;
    unsigned before = atomic_fetch_sub(&c->references, 1);
    CHECK(before > 0);
    if (before == 1)
        mem_free(c);
}

static inline slice cell_slice(const cell *c)
{
    return slice_of(c->bytes, c->size);
}

#endif
