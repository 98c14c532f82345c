/* SPDX-License-Identifier: MIT */
/* A block of a table: sorted entries, packed, compressed if that pays, under
 * one checksum. docs/FORMAT.md defines the bytes. */
#ifndef ENGINE_BLOCK_H
#define ENGINE_BLOCK_H

#include <stdatomic.h>

#include "base/buf.h"
#include "engine/limits.h"

/* An entry of a decoded block. */
typedef struct block_entry {
    const uint8_t *key, *value;
    uint32_t key_size, value_size;
} block_entry;

/* A block in memory: decoded, immutable, shared. */
typedef struct block {
    _Atomic unsigned references;
    uint64_t table, offset;             /* where it comes from */
    struct block *same, *newer, *older; /* the cache's */
    size_t memory;                      /* bytes it takes */
    uint8_t *bytes;                     /* owned; raw lies in it */
    slice raw;                          /* what was packed */
    uint32_t count;
    block_entry *entries;
} block;

/* Returns a place's seed: a block verifies only in its own file and place. */
uint64_t block_seed(uint64_t identity, uint64_t table, uint64_t offset);

/* A block in the making; a zeroed one is ready. */
typedef struct block_writer {
    buf raw;
    buf last_key;
    uint32_t count;
    uint64_t key_bytes;
} block_writer;

/* Releases what it holds. Safe on a zeroed one. */
void block_writer_release(block_writer *);

/* Adds an entry; keys must grow. A lack of memory shows in raw.failed. */
void block_add(block_writer *, slice key, slice value);

/* Appends the packed block to `out` and empties the writer; false when memory
 * is out. kind is any number that tells what the block is for. */
bool block_seal(block_writer *, uint8_t kind, bool compress, uint64_t seed,
                buf *out);

/* The same for bytes that are no entries. */
bool block_seal_bytes(slice bytes, uint8_t kind, uint64_t seed, buf *out);

/* Decodes a packed block of that kind; *out has one reference. Takes over the
 * bytes, which are from mem_alloc, also when it fails. Returns PERSIST_CORRUPT
 * or PERSIST_LIMIT without an error's text. */
persist_status block_decode(uint8_t *packed, size_t size, uint8_t kind,
                            uint64_t seed, bool with_entries, block **out);

/* Gives a reference back. NULL is fine. */
void block_unref(block *);

static inline block *block_ref(block *b)
{
    atomic_fetch_add_explicit(&b->references, 1, memory_order_relaxed);
    return b;
}

static inline slice block_key(const block *b, uint32_t index)
{
    return slice_of(b->entries[index].key, b->entries[index].key_size);
}

static inline slice block_value(const block *b, uint32_t index)
{
    return slice_of(b->entries[index].value, b->entries[index].value_size);
}

/* Returns the index of the first entry whose key is not less (or, with
 * `beyond`, greater) than key; count if there is none. */
uint32_t block_search(const block *, slice key, bool beyond);

#endif
