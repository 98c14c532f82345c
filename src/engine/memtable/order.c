/* SPDX-License-Identifier: MIT */
/* The order of all events. */
#include "engine/memtable/order.h"

#include "base/mem.h"

void order_release(order *o)
{
    for (size_t i = 0; i < o->count; i++)
        mem_free(o->blocks[i]);
    mem_free(o->blocks);
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

bool order_push(order *o, const stream *s, const event *e)
{
    order_block *block = o->count == 0 ? NULL : o->blocks[o->count - 1];
    CHECK(block == NULL || e->position >= block->first + block->count);
    if (block == NULL || block->count == ORDER_BLOCK ||
        e->position != block->first + block->count)
        block = add_block(o, e->position);
    if (block == NULL)
        return false;
    block->items[block->count++] = (order_item){s, e};
    return true;
}

void order_pop(order *o)
{
    CHECK(o->count > 0);
    order_block *block = o->blocks[o->count - 1];
    CHECK(block->count > 0);
    block->count--;
    if (block->count == 0) {
        mem_free(block);
        o->count--;
    }
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
