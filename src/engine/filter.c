/* SPDX-License-Identifier: MIT */
/* A Bloom filter in parts. */
#include "engine/filter.h"

#include "base/hash.h"
#include "base/mem.h"
#include "engine/limits.h"

enum { PROBES = 6, PART_ROUND = 64 };

bool filter_init(filter *f, uint64_t names)
{
    uint64_t size = FILTER_SIZE_MAX;
    if (names < FILTER_SIZE_MAX)
        size = names * FILTER_BITS / 8 + 1;
    if (size > FILTER_SIZE_MAX)
        size = FILTER_SIZE_MAX;
    size_t unit = size < FILTER_PART_SIZE ? PART_ROUND : FILTER_PART_SIZE;
    f->size = (size_t)((size + unit - 1) / unit * unit);
    f->part_size = f->size < FILTER_PART_SIZE ? f->size : FILTER_PART_SIZE;
    f->bits = mem_alloc_zero(f->size);
    CHECK(f->size % f->part_size == 0);
    return f->bits != NULL;
}

void filter_release(filter *f)
{
    mem_free(f->bits);
    *f = (filter){0};
}

uint64_t filter_hash(unsigned section, slice name)
{
    return hash_xxh64_seed(name, section);
}

uint64_t filter_part(uint64_t hash, uint64_t parts)
{
    CHECK(parts > 0);
    return (hash >> 32) % parts;
}

/* Each probe is a mix of the one before. Parts of a full filter have a power
 * of two of bits, which spares a division. */
static uint64_t next_probe(uint64_t *state, uint64_t bits)
{
    *state = (*state ^ *state >> 31) * 0xbf58476d1ce4e5b9u;
    uint64_t bit = *state >> 16;
    return bits == FILTER_PART_SIZE * 8 ? bit % (FILTER_PART_SIZE * 8)
                                        : bit % bits;
}

void filter_add(filter *f, uint64_t hash)
{
    CHECK(f->bits != NULL);
    uint64_t part = filter_part(hash, f->size / f->part_size);
    uint8_t *bits = f->bits + part * f->part_size;
    uint64_t state = hash | 1;
    for (int i = 0; i < PROBES; i++) {
        uint64_t bit = next_probe(&state, f->part_size * 8);
        bits[bit / 8] |= (uint8_t)(1u << bit % 8);
    }
}

bool filter_test(slice part, uint64_t hash)
{
    const uint8_t *bits = part.data;
    uint64_t state = hash | 1;
    for (int i = 0; i < PROBES; i++) {
        uint64_t bit = next_probe(&state, part.size * 8);
        if ((bits[bit / 8] & 1u << bit % 8) == 0)
            return false;
    }
    return true;
}
