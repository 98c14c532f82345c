/* SPDX-License-Identifier: MIT */
/* The order of all events. */
#include "engine/memtable/order.h"

#include "base/mem.h"

void order_release(order *o)
{
    for (size_t i = 0; i < o->count; i++)
        mem_free(o->blocks[i]);
    mem_free(o->blocks);
    mem_free(o->times);
    *o = (order){0};
}

static order_block *add_block(order *o, uint64_t first)
{
    if (!mem_grow(&o->blocks, o->count, 1, &o->capacity, sizeof *o->blocks))
        return NULL;
    order_block *block = mem_alloc(sizeof *block);
    if (block == NULL)
        return NULL;
    block->first = first;
    block->count = 0;
    o->blocks[o->count++] = block;
    return block;
}

static void drop_if_empty(order *o, order_block *last)
{
    if (last->count > 0)
        return;
    mem_free(last);
    o->count--;
}

static bool push_time(order *o, uint64_t position, uint64_t time)
{
    const order_time *last =
        o->time_count == 0 ? NULL : &o->times[o->time_count - 1];
    CHECK(last == NULL || last->time <= time);
    if (last != NULL && last->time == time)
        return true;
    if (!mem_grow(&o->times, o->time_count, 1, &o->time_capacity,
                  sizeof *o->times))
        return false;
    o->times[o->time_count++] = (order_time){position, time};
    return true;
}

static void pop_time(order *o, uint64_t position)
{
    CHECK(o->time_count > 0);
    if (o->times[o->time_count - 1].first == position)
        o->time_count--;
}

bool order_push(order *o, const stream *s, const event *e, uint64_t time)
{
    order_block *block = o->count == 0 ? NULL : o->blocks[o->count - 1];
    CHECK(block == NULL || e->position >= block->first + block->count);
    if (block == NULL || block->count == ORDER_BLOCK ||
        e->position != block->first + block->count)
        block = add_block(o, e->position);
    if (block == NULL)
        return false;
    if (!push_time(o, e->position, time)) {
        drop_if_empty(o, block);
        return false;
    }
    block->items[block->count++] = (order_item){s, e};
    return true;
}

void order_pop(order *o)
{
    CHECK(o->count > 0);
    order_block *block = o->blocks[o->count - 1];
    CHECK(block->count > 0);
    block->count--;
    pop_time(o, block->first + block->count);
    drop_if_empty(o, block);
}

size_t order_seek(const order *o, uint64_t position)
{
    size_t low = 0, high = o->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const order_block *block = o->blocks[middle];
        if (block->first + block->count <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t order_time_at(const order *o, uint64_t position)
{
    size_t low = 0, high = o->time_count;
    CHECK(o->time_count > 0 && o->times[0].first <= position);
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (o->times[middle].first <= position)
            low = middle;
        else
            high = middle;
    }
    return low;
}

size_t order_time_seek(const order *o, uint64_t time)
{
    size_t low = 0, high = o->time_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (o->times[middle].time < time)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
