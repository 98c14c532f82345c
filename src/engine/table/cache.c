/* SPDX-License-Identifier: MIT */
/* The blocks that were read last. */
#include "engine/table/cache.h"

void cache_init(cache *c, size_t size_max)
{
    *c = (cache){.size_max = size_max};
    int code = pthread_mutex_init(&c->lock, NULL);
    CHECK(code == 0);
}

static block **slot_of(cache *c, uint64_t table, uint64_t offset)
{
    uint64_t mixed = (table * 0x9e3779b97f4a7c15u) ^ offset;
    mixed *= 0xbf58476d1ce4e5b9u;
    return &c->slots[mixed >> 32 & (CACHE_SLOTS - 1)];
}

static void list_out(cache *c, block *b)
{
    *(b->newer == NULL ? &c->newest : &b->newer->older) = b->older;
    *(b->older == NULL ? &c->oldest : &b->older->newer) = b->newer;
    b->newer = b->older = NULL;
}

static void list_in(cache *c, block *b)
{
    b->newer = NULL;
    b->older = c->newest;
    *(c->newest == NULL ? &c->oldest : &c->newest->newer) = b;
    c->newest = b;
}

static void drop(cache *c, block *b)
{
    block **link = slot_of(c, b->table, b->offset);
    while (*link != b)
        link = &(*link)->same;
    *link = b->same;
    list_out(c, b);
    CHECK(c->size >= b->memory);
    c->size -= b->memory;
    block_unref(b);
}

void cache_release(cache *c)
{
    while (c->oldest != NULL)
        drop(c, c->oldest);
    CHECK(c->size == 0 && c->lent == 0);
    pthread_mutex_destroy(&c->lock);
}

static block *find(cache *c, uint64_t table, uint64_t offset)
{
    block *b = *slot_of(c, table, offset);
    while (b != NULL && (b->table != table || b->offset != offset))
        b = b->same;
    return b;
}

block *cache_find(cache *c, uint64_t table, uint64_t offset)
{
    pthread_mutex_lock(&c->lock);
    block *b = find(c, table, offset);
    if (b != NULL) {
        block_ref(b);
        list_out(c, b);
        list_in(c, b);
    }
    pthread_mutex_unlock(&c->lock);
    return b;
}

/* The newest block may be over it. */
static void shrink(cache *c)
{
    while (c->size + c->lent > c->size_max && c->oldest != c->newest)
        drop(c, c->oldest);
}

void cache_add(cache *c, block *b)
{
    pthread_mutex_lock(&c->lock);
    if (find(c, b->table, b->offset) == NULL) {
        block **slot = slot_of(c, b->table, b->offset);
        b->same = *slot;
        *slot = block_ref(b);
        list_in(c, b);
        c->size += b->memory;
        shrink(c);
    }
    pthread_mutex_unlock(&c->lock);
}

size_t cache_lends(const cache *c)
{
    return c->size_max / 2; /* which never changes */
}

bool cache_lend(cache *c, size_t size)
{
    size_t most = cache_lends(c);
    pthread_mutex_lock(&c->lock);
    bool can = size <= most && c->lent <= most - size;
    if (can)
        c->lent += size;
    shrink(c);
    pthread_mutex_unlock(&c->lock);
    return can;
}

void cache_take_back(cache *c, size_t size)
{
    pthread_mutex_lock(&c->lock);
    CHECK(c->lent >= size);
    c->lent -= size;
    pthread_mutex_unlock(&c->lock);
}

size_t cache_size(cache *c)
{
    pthread_mutex_lock(&c->lock);
    size_t size = c->size + c->lent;
    pthread_mutex_unlock(&c->lock);
    return size;
}
