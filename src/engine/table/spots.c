/* SPDX-License-Identifier: MIT */
/* Where events lie. A place is one word, so that readers need no lock: offset
 * in the file and size of an entry's value. */
#include "engine/table/spots.h"

#include "base/mem.h"

enum { SIZE_BITS = 24, CACHE_LINE = 64, FETCHED = 5 * CACHE_LINE };

#define OFFSET_END ((uint64_t)1 << (64 - SIZE_BITS))

typedef struct spots {
    uint64_t mask;             /* places less one: a power of two less one */
    _Atomic uint64_t places[]; /* 0: empty */
} spots;

/* What the places take, of the cache's room. */
static size_t memory_of(uint64_t count)
{
    return (size_t)count * sizeof(uint64_t);
}

/* As many as there are events, in powers of two: positions lie side by side.
 * Fewer if all that the cache lends is not enough. */
static uint64_t places_of(const table *t)
{
    CHECK_STATIC((SPOTS_MIN & (SPOTS_MIN - 1)) == 0, "a power of two");
    uint64_t count = SPOTS_MIN;
    while (count < t->footer.roots[TABLE_ORDER].entries && count < SPOTS_MAX &&
           memory_of(2 * count) <= cache_lends(t->cache))
        count *= 2;
    return count;
}

static const spots *spots_of(const table *t)
{
    return atomic_load_explicit(&t->spots, memory_order_acquire);
}

bool spots_any(const table *t)
{
    return spots_of(t) != NULL;
}

void spots_fetch(const table *t, uint64_t position)
{
    const spots *s = spots_of(t);
    if (s != NULL)
        __builtin_prefetch(
            (const void *)(uintptr_t)(s->places + (position & s->mask)));
}

slice spots_find(const table *t, uint64_t position)
{
    const spots *s = spots_of(t);
    uint64_t place = s == NULL
                         ? 0
                         : atomic_load_explicit(&s->places[position & s->mask],
                                                memory_order_relaxed);
    if (place == 0)
        return slice_of(NULL, 0);
    const uint8_t *value = t->map.data + (place >> SIZE_BITS);
    size_t size = place & (((uint64_t)1 << SIZE_BITS) - 1);
    CHECK(size > 0 && (place >> SIZE_BITS) + size <= t->footer.size);
    for (size_t at = 0; at < size && at < FETCHED; at += CACHE_LINE)
        __builtin_prefetch(value + at);
    return slice_of(value, size);
}

/* One of those who come at once makes them, and the others use its. Where the
 * cache lends nothing, it is asked again after a while: tables go, which have
 * been merged into this one, say. */
static spots *make(table *t)
{
    uint64_t count = places_of(t);
    if (atomic_fetch_add_explicit(&t->spots_missed, 1, memory_order_relaxed) %
            SPOTS_PATIENCE !=
        0)
        return NULL;
    if (!cache_lend(t->cache, memory_of(count)))
        return NULL;
    spots *mine = mem_alloc_zero(sizeof *mine + memory_of(count)),
          *there = NULL;
    if (mine != NULL) {
        mine->mask = count - 1;
        if (atomic_compare_exchange_strong(&t->spots, &there, mine))
            return mine;
        mem_free(mine);
    }
    cache_take_back(t->cache, memory_of(count));
    return there;
}

void spots_note(table *t, uint64_t position, slice value)
{
    CHECK(t->map.data != NULL && value.size > 0);
    uint64_t offset = (uint64_t)((const uint8_t *)value.data - t->map.data);
    CHECK(offset < t->footer.size);
    if (offset >= OFFSET_END || value.size >> SIZE_BITS != 0)
        return;
    spots *s = atomic_load_explicit(&t->spots, memory_order_acquire);
    if (s == NULL)
        s = make(t);
    if (s != NULL)
        atomic_store_explicit(&s->places[position & s->mask],
                              offset << SIZE_BITS | value.size,
                              memory_order_relaxed);
}

void spots_release(table *t)
{
    spots *s = atomic_load(&t->spots);
    if (s != NULL)
        cache_take_back(t->cache, memory_of(s->mask + 1));
    mem_free(s);
    atomic_store(&t->spots, NULL);
}
