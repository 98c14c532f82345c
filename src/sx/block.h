/* SPDX-License-Identifier: MIT */
/* Blocks and large objects as the allocator and the collector share them. */
#ifndef SX_BLOCK_H
#define SX_BLOCK_H

#include "sx/heap.h"

/* A block of cells of one size. A bit for each granule says whether the object
 * that begins there was reached by the last collection. */
struct block {
    block *next;
    uint32_t cell_size, cells;
    uint32_t live; /* cells reached by the last collection */
    uint64_t marks[BLOCK_SIZE / GRANULE / 64];
};

enum { BLOCK_HEAD = (sizeof(block) + GRANULE - 1) / GRANULE * GRANULE };

/* An object that stands alone. */
struct large {
    large *next;
    size_t size; /* bytes of the object */
    size_t at;   /* as that of a small object */
    bool marked;
    _Alignas(GRANULE) object object;
};

static inline char *block_first(block *b)
{
    return (char *)b + BLOCK_HEAD;
}

static inline bool block_marked(const block *b, const char *cell)
{
    size_t bit = (size_t)(cell - (const char *)b) / GRANULE;
    return (b->marks[bit / 64] >> (bit % 64) & 1) != 0;
}

static inline block *block_of(object *o)
{
    return (block *)((uintptr_t)o & ~(uintptr_t)(BLOCK_SIZE - 1));
}

static inline large *large_of(object *o)
{
    return (large *)(void *)((char *)o - offsetof(large, object));
}

/* Makes touching a free cell an error in address-sanitizer builds. */
static inline void block_poison(block *b)
{
#ifdef HEAP_ASAN
    char *cell = block_first(b);
    for (size_t i = 0; i < b->cells; i++, cell += b->cell_size) {
        if (!block_marked(b, cell))
            HEAP_POISON(cell, b->cell_size);
    }
#else
    (void)b;
#endif
}

/* Gives free blocks beyond keep back to the system. */
void heap_trim(sx *, size_t keep);
/* After marking: finds empty blocks, and starts handing out free cells. */
void heap_sweep_blocks(sx *);
/* After marking: frees large objects that were not reached. */
void heap_sweep_large(sx *);
/* After marking: forgets names that were not reached. */
void names_sweep(sx *);
/* Then makes the table of names smaller, if few are left. */
void names_fit(sx *);
/* Whether an object was reached, after marking. */
bool heap_is_marked(object *);

#endif
