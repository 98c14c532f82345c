/* SPDX-License-Identifier: MIT */
/* The order of all events: by position, in blocks of fixed size. */
#ifndef ENGINE_MEMTABLE_ORDER_H
#define ENGINE_MEMTABLE_ORDER_H

#include "engine/files/files.h"
#include "engine/memtable/stream.h"

typedef struct order_item {
    const stream *stream;
    const event *event;
} order_item;

/* Positions [first, first + count). */
typedef struct order_block {
    uint64_t first;
    uint32_t count;
    order_item items[ORDER_BLOCK];
} order_block;

/* The time of the events from a position on. */
typedef struct order_time {
    uint64_t first, time;
} order_time;

typedef struct order {
    order_block **blocks;
    size_t count, capacity;
    order_time *times; /* one for each that differs from the one before */
    size_t time_count, time_capacity;
} order;

/* A zeroed order is empty and ready. Releases the blocks, not the events. */
void order_release(order *);

/* Adds an event whose position is the highest so far, and whose time is no
 * lower than those before; false when memory is out. */
bool order_push(order *, const stream *, const event *, uint64_t time);
/* Takes the newest back. */
void order_pop(order *);

/* Lets the processor fetch the head of an event, if there is one in that slot.
 */
static inline void order_fetch(const order_block *b, uint32_t slot)
{
    if (slot < b->count)
        __builtin_prefetch(b->items[slot].event);
}

/* Returns the index of the first block that ends behind a position; the count
 * of blocks if none does. */
size_t order_seek(const order *, uint64_t position);

/* The index of the time that an event here has, or that comes first at or after
 * a time (the count of times if none does). */
size_t order_time_at(const order *, uint64_t position);
size_t order_time_seek(const order *, uint64_t time);

#endif
