/* SPDX-License-Identifier: MIT */
/* Memory for many small things that go together: it is handed out front to
 * back, from blocks, and given back as a whole. A pool keeps the blocks of
 * arenas that went for those that come, so that in a long run neither the
 * allocator nor the kernel has to be asked. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

typedef struct arena_block arena_block;

/* Any thread may use it. It outlives its arenas. */
typedef struct arena_pool {
    pthread_mutex_t lock;
    arena_block *free;
    size_t count; /* of free blocks */
    size_t kept;  /* so many at the most */
    void (*bring_in)(void *, size_t);
} arena_pool;

/* kept: bytes that the pool keeps at the most. bring_in, NULL for none, is
 * called with each new block, which will be written from end to end. */
void arena_pool_init(arena_pool *, uint64_t kept,
                     void (*bring_in)(void *, size_t));
void arena_pool_release(arena_pool *);

/* One thread at a time. */
typedef struct arena {
    arena_pool *pool;
    arena_block *newest; /* NULL: none yet */
    uint8_t *at;         /* what is free of the newest block */
    size_t left;
} arena;

/* An arena without a block. */
static inline arena arena_of(arena_pool *pool)
{
    return (arena){.pool = pool};
}

/* Returns size bytes, aligned to 8; NULL when memory is out. */
void *arena_alloc(arena *, size_t size);

/* Gives back all that was handed out since the arena was a copy of `then`. */
void arena_rewind(arena *, const arena *then);

/* Gives all back. */
void arena_release(arena *);

#endif
