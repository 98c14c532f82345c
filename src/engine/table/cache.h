/* SPDX-License-Identifier: MIT */
/* The blocks that were read last, in a bounded amount of memory.
 *
 * A block that somebody holds stays, whatever the cache does with it. */
#ifndef ENGINE_TABLE_CACHE_H
#define ENGINE_TABLE_CACHE_H

#include <pthread.h>

#include "engine/table/block.h"

enum { CACHE_SLOTS = 4096 };

typedef struct cache {
    pthread_mutex_t lock;
    size_t size_max; /* bytes; the newest block may be over it */
    size_t size;     /* of blocks */
    size_t lent;
    block *slots[CACHE_SLOTS];
    block *newest, *oldest;
} cache;

/* Sets up an empty cache of so many bytes. */
void cache_init(cache *, size_t size_max);
/* Lets all blocks go. */
void cache_release(cache *);

/* Returns a block with a reference for the caller; NULL if it is not here. */
block *cache_find(cache *, uint64_t table, uint64_t offset);

/* Keeps a block of that place, unless there is one already. */
void cache_add(cache *, block *);

/* Lends so many bytes of its room to who keeps something else of tables, false
 * if it would be more than half of it in all; and takes them back. */
bool cache_lend(cache *, size_t size);
size_t cache_lends(const cache *); /* in all, at the most */
void cache_take_back(cache *, size_t size);

/* Returns the bytes that the blocks in it take, and those that are lent. */
size_t cache_size(cache *);

#endif
