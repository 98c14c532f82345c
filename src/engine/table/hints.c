/* SPDX-License-Identifier: MIT */
/* What a table says of the streams that were looked up in it. */
#include "engine/table/hints.h"

#include "base/mem.h"

typedef struct stream_hint {
    uint64_t hash;
    stream_entry entry;
    size_t size;
    uint8_t name[];
} stream_hint;

/* A hint lies in one of two places. */
enum { PLACES = 2 };

static size_t place_of(uint64_t hash, unsigned n)
{
    CHECK_STATIC(TABLE_HINTS % PLACES == 0, "places lie side by side");
    return (size_t)(hash ^ n) % TABLE_HINTS;
}

bool hints_find(const table *t, slice name, uint64_t hash, stream_entry *out)
{
    for (unsigned n = 0; n < PLACES; n++) {
        const stream_hint *h = atomic_load_explicit(
            &t->hints[place_of(hash, n)], memory_order_acquire);
        if (h == NULL || h->hash != hash ||
            !slice_equal(slice_of(h->name, h->size), name))
            continue;
        *out = h->entry;
        return true;
    }
    return false;
}

void hints_keep(table *t, slice name, uint64_t hash, const stream_entry *entry)
{
    stream_hint *h = NULL;
    for (unsigned n = 0; n < PLACES && name.size <= HINT_NAME_MAX; n++) {
        _Atomic(stream_hint *) *place = &t->hints[place_of(hash, n)];
        stream_hint *empty = NULL;
        if (atomic_load_explicit(place, memory_order_relaxed) != NULL)
            continue;
        if (h == NULL)
            h = mem_alloc(sizeof *h + name.size);
        if (h == NULL)
            return;
        h->hash = hash;
        h->entry = *entry;
        h->size = name.size;
        if (name.size > 0)
            memcpy(h->name, name.data, name.size);
        if (atomic_compare_exchange_strong_explicit(
                place, &empty, h, memory_order_release, memory_order_relaxed))
            return;
    }
    mem_free(h);
}

void hints_release(table *t)
{
    for (unsigned i = 0; i < TABLE_HINTS; i++)
        mem_free(atomic_load(&t->hints[i]));
}
