/* SPDX-License-Identifier: MIT */
/* Memory for many small things that go together. */
#include "base/arena.h"

#include <stdbool.h>

#include "base/check.h"
#include "base/mem.h"

enum { BLOCK_SIZE = 256 << 10, ALIGN = 8 };

struct arena_block {
    arena_block *next; /* older one of the arena, or another of the pool */
    size_t size;       /* bytes behind this head */
    _Alignas(ALIGN) uint8_t bytes[];
};

/* What is bigger than the second has a block of its own, so that little is
 * left over at the end of the others. */
enum {
    USUAL_SIZE = BLOCK_SIZE - sizeof(arena_block),
    SMALL_MAX = USUAL_SIZE / 8,
};

/* ---- pool ------------------------------------------------------------- */

/* The address sanitizer can tell what is used too late if it is freed. */
static uint64_t kept_blocks(uint64_t bytes)
{
#ifdef __SANITIZE_ADDRESS__
    return 0 * bytes;
#else
    return bytes / BLOCK_SIZE + 2;
#endif
}

void arena_pool_init(arena_pool *pool, uint64_t kept,
                     void (*bring_in)(void *, size_t))
{
    *pool =
        (arena_pool){.kept = (size_t)kept_blocks(kept), .bring_in = bring_in};
    pthread_mutex_init(&pool->lock, NULL);
}

void arena_pool_release(arena_pool *pool)
{
    while (pool->free != NULL) {
        arena_block *block = pool->free;
        pool->free = block->next;
        mem_free(block);
    }
    pthread_mutex_destroy(&pool->lock);
}

static arena_block *take(arena_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    arena_block *block = pool->free;
    if (block != NULL) {
        pool->free = block->next;
        pool->count--;
    }
    pthread_mutex_unlock(&pool->lock);
    return block;
}

static void give(arena_pool *pool, arena_block *block)
{
    bool keeps = false;
    if (block->size == USUAL_SIZE) {
        pthread_mutex_lock(&pool->lock);
        keeps = pool->count < pool->kept;
        if (keeps) {
            block->next = pool->free;
            pool->free = block;
            pool->count++;
        }
        pthread_mutex_unlock(&pool->lock);
    }
    if (!keeps)
        mem_free(block);
}

/* ---- arena ------------------------------------------------------------ */

static arena_block *new_block(arena *a, size_t size)
{
    arena_block *block = size == USUAL_SIZE ? take(a->pool) : NULL;
    bool fresh = block == NULL;
    if (fresh)
        block = mem_alloc(sizeof *block + size);
    if (block == NULL)
        return NULL;
    if (fresh && a->pool->bring_in != NULL)
        a->pool->bring_in(block, sizeof *block + size);
    block->size = size;
    block->next = a->newest;
    a->newest = block;
    return block;
}

void *arena_alloc(arena *a, size_t size)
{
    CHECK(size > 0 && size <= SIZE_MAX / 2 && a->pool != NULL);
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    if (a->left < size) {
        bool small = size <= SMALL_MAX;
        arena_block *block = new_block(a, small ? USUAL_SIZE : size);
        if (block == NULL)
            return NULL;
        if (!small)
            return block->bytes;
        a->at = block->bytes;
        a->left = block->size;
    }
    uint8_t *memory = a->at;
    a->at += size;
    a->left -= size;
    return memory;
}

void arena_rewind(arena *a, const arena *then)
{
    CHECK(a->pool == then->pool);
    while (a->newest != then->newest) {
        arena_block *block = a->newest;
        CHECK(block != NULL);
        a->newest = block->next;
        give(a->pool, block);
    }
    *a = *then;
}

void arena_release(arena *a)
{
    arena none = arena_of(a->pool);
    arena_rewind(a, &none);
}
