/* SPDX-License-Identifier: MIT */
/* A Bloom filter in parts. */
#include "engine/table/filter.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "engine/files/files.h"

enum {
    PROBES = 6,
    LINE_BITS = 9, /* that say which bit of a line */
};

CHECK_STATIC(1 << LINE_BITS == FILTER_LINE_SIZE * 8, "a bit of a line each");
CHECK_STATIC(FILTER_PART_SIZE % FILTER_LINE_SIZE == 0,
             "parts have whole lines");
CHECK_STATIC(LINE_BITS *PROBES <= 64, "one number gives all probes");

/* Lines of one part, or whole parts. */
static void set_size(filter *f, size_t size)
{
    f->size = size;
    f->part_size = size < FILTER_PART_SIZE ? size : FILTER_PART_SIZE;
    CHECK(f->size > 0 && f->size % f->part_size == 0);
}

static size_t size_for(uint64_t names)
{
    uint64_t size = FILTER_SIZE_MAX;
    if (names < FILTER_SIZE_MAX)
        size = names * FILTER_BITS / 8 + 1;
    if (size > FILTER_SIZE_MAX)
        size = FILTER_SIZE_MAX;
    size_t unit = size < FILTER_PART_SIZE ? FILTER_LINE_SIZE : FILTER_PART_SIZE;
    return (size_t)((size + unit - 1) / unit * unit);
}

bool filter_init(filter *f, uint64_t names)
{
    *f = (filter){0};
    set_size(f, size_for(names));
    f->bits = mem_alloc_zero(f->size);
    return f->bits != NULL;
}

void filter_release(filter *f)
{
    mem_free(f->bits);
    *f = (filter){0};
}

uint64_t filter_hash(unsigned section, slice name)
{
    return hash_xxh3_seed(name, section);
}

/* Maps a hash of 32 bits to a number below a bound, without a division. */
static uint64_t scale(uint64_t hash, uint64_t bound)
{
    CHECK(bound > 0 && bound <= UINT32_MAX);
    return (hash & UINT32_MAX) * bound >> 32;
}

uint64_t filter_part(uint64_t hash, uint64_t parts)
{
    return scale(hash >> 32, parts);
}

/* All bits of a name lie in one line of a part, so that a look-up reads one
 * cache line or two. */
static uint64_t find_line(uint64_t hash, size_t part_size)
{
    CHECK(part_size % FILTER_LINE_SIZE == 0);
    return scale(hash, part_size / FILTER_LINE_SIZE) * FILTER_LINE_SIZE;
}

/* Returns LINE_BITS bits for each probe. */
static uint64_t mix(uint64_t hash)
{
    return (hash ^ hash >> 31) * 0xbf58476d1ce4e5b9u >>
           (64 - PROBES * LINE_BITS);
}

static uint8_t *line_of(const filter *f, uint64_t hash)
{
    uint64_t part = filter_part(hash, f->size / f->part_size);
    return f->bits + part * f->part_size + find_line(hash, f->part_size);
}

static void put(filter *f, uint64_t hash)
{
    uint8_t *line = line_of(f, hash);
    uint64_t bits = mix(hash);
    for (int i = 0; i < PROBES; i++, bits >>= LINE_BITS)
        line[bits % (1u << LINE_BITS) / 8] |= (uint8_t)(1u << bits % 8);
}

/* Lines are all over memory: each is asked for an entry ahead. */
void filter_add(filter *f, uint64_t hash)
{
    CHECK(f->bits != NULL);
    __builtin_prefetch(line_of(f, hash), 1);
    if (f->names > 0)
        put(f, f->waiting);
    f->waiting = hash;
    f->names++;
}

/* Of many units of so many bytes come few, but no fewer than `least`; returns
 * how many. Hashes are scaled to units: those of a new one were in old ones
 * side by side, of which the first and the last may have some of its
 * neighbours, too. What a new one is written over, no later one needs. */
static size_t fold(uint8_t *bits, size_t unit, size_t from, size_t least)
{
    CHECK(least > 0 && from > 0);
    size_t many = from / least, to = many < 2 ? from : (from - 1) / many + 1;
    for (size_t n = 0; n < to && to < from; n++) {
        size_t first = n * from / to, last = ((n + 1) * from - 1) / to;
        memmove(bits + n * unit, bits + first * unit, unit);
        for (size_t i = first + 1; i <= last; i++)
            for (size_t at = 0; at < unit; at++)
                bits[n * unit + at] |= bits[i * unit + at];
    }
    return to;
}

void filter_end(filter *f)
{
    size_t unit = f->part_size, least = size_for(f->names);
    if (f->names > 0)
        put(f, f->waiting);
    set_size(f, unit * fold(f->bits, unit, f->size / unit,
                            (least + unit - 1) / unit));
    unit = FILTER_LINE_SIZE;
    if (f->size == f->part_size)
        set_size(f, unit * fold(f->bits, unit, f->size / unit, least / unit));
}

void filter_fetch(slice part, uint64_t hash)
{
    __builtin_prefetch((const uint8_t *)part.data + find_line(hash, part.size));
}

bool filter_test(slice part, uint64_t hash)
{
    const uint8_t *line = part.data;
    line += find_line(hash, part.size);
    uint64_t bits = mix(hash);
    for (int i = 0; i < PROBES; i++, bits >>= LINE_BITS)
        if ((line[bits % (1u << LINE_BITS) / 8] & 1u << bits % 8) == 0)
            return false;
    return true;
}
