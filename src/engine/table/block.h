/* SPDX-License-Identifier: MIT */
/* A block of a table: sorted entries under one checksum, compressed if that
 * pays, read where they lie. docs/FORMAT.md defines the bytes. */
#ifndef ENGINE_TABLE_BLOCK_H
#define ENGINE_TABLE_BLOCK_H

#include <stdatomic.h>

#include "base/buf.h"
#include "engine/files/files.h"

/* Bytes of each key that stand apart, for searching. */
#define BLOCK_HEAD_SIZE 4u

/* Returns a place's seed: a block verifies only in its own file and place. */
uint64_t block_seed(uint64_t identity, uint64_t table, uint64_t offset);

/* ---- writing ---------------------------------------------------------- */

/* Where an entry's key and value end among the writer's entries. */
typedef struct block_ends {
    uint32_t key, value;
} block_ends;

/* What makes blocks smaller, for one block after the other: it has memory of
 * its own from the first one on. A zeroed one is ready. */
typedef struct block_packer {
    struct ZSTD_CCtx_s *context;
} block_packer;

/* Releases what it holds. Safe on a zeroed one. */
void block_packer_release(block_packer *);

/* A block in the making; a zeroed one is ready. */
typedef struct block_writer {
    buf entries; /* the key, and then the value of each */
    buf ends;    /* of block_ends */
    buf raw;     /* for blocks to be compressed */
    uint32_t count;
} block_writer;

/* Releases what it holds. Safe on a zeroed one. */
void block_writer_release(block_writer *);

/* Adds an entry; keys must grow. A lack of memory shows in block_failed. */
void block_add(block_writer *, slice key, slice value);

/* Tells whether memory ran out since the block was begun. */
bool block_failed(const block_writer *);

/* Returns about how many bytes the block will take, at least. */
size_t block_size(const block_writer *);

/* Appends the packed block to `out` and empties the writer; false when memory
 * is out. kind is any number that tells what the block is for. Not compressed
 * without a packer, or when that has no memory. */
bool block_seal(block_writer *, uint8_t kind, block_packer *, uint64_t seed,
                buf *out);

/* The same for bytes that are no entries. */
bool block_seal_bytes(slice bytes, uint8_t kind, uint64_t seed, buf *out);

/* ---- reading ---------------------------------------------------------- */

typedef struct block_header {
    uint32_t stored, raw; /* bytes behind the header, and unpacked */
    uint32_t count;       /* entries; 0 in a block of bytes */
    uint32_t prefix;      /* bytes that all keys begin with */
    uint8_t kind;
    bool compressed;
} block_header;

/* Tells whether a packed block has its checksum. */
bool block_verify(slice packed, uint64_t seed);

/* Decodes the header of a packed block; false if it is of another kind, or
 * not what block_seal makes. */
bool block_get_header(slice packed, uint8_t kind, block_header *out);

/* The parts of an unpacked block, in memory that is somebody else's. */
typedef struct block_view {
    const uint8_t *prefix;  /* of all keys */
    const uint8_t *heads;   /* BLOCK_HEAD_SIZE bytes a key */
    const uint8_t *ends;    /* of each entry, counted from `entries` */
    const uint8_t *entries; /* or all, in a block of bytes */
    uint32_t count, prefix_size, size;
    bool wide; /* ends have four bytes, not two */
} block_view;

/* Finds the parts of unpacked bytes, header.raw of them; false if they are not
 * what block_seal makes. Entries are looked at later, one by one. */
bool block_lay_out(const block_header *, const uint8_t *raw, block_view *out);

/* An entry. Its key is the block's prefix, a head of which `rest` bytes count
 * if it is less than BLOCK_HEAD_SIZE, and a tail. */
typedef struct block_entry {
    const uint8_t *head;
    uint32_t rest; /* bytes of the key behind the prefix */
    slice tail, value;
} block_entry;

/* Decodes an entry that lies from one place to another; false if it is not
 * what block_seal makes. */
bool block_get_long(const block_view *, uint32_t from, uint32_t end,
                    block_entry *out);

static inline uint32_t block_end(const block_view *v, uint32_t index)
{
    const uint8_t *at = v->ends + (size_t)index * (v->wide ? 4 : 2);
    uint32_t low = (uint32_t)at[0] | (uint32_t)at[1] << 8;
    return v->wide ? low | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24 : low;
}

/* Decodes an entry; false if it is not what block_seal makes. */
static inline bool block_get(const block_view *v, uint32_t index,
                             block_entry *out)
{
    CHECK(index < v->count);
    uint32_t from = index == 0 ? 0 : block_end(v, index - 1);
    uint32_t end = block_end(v, index);
    out->head = v->heads + (size_t)index * BLOCK_HEAD_SIZE;
    if (from >= end || end > v->size)
        return false;
    const uint8_t *at = v->entries + from;
    out->rest = *at++;
    if (out->rest > BLOCK_HEAD_SIZE)
        return block_get_long(v, from, end, out);
    out->tail = slice_of(at, 0);
    out->value = slice_of(at, end - from - 1);
    return true;
}

/* Returns the size of an entry's key. */
static inline size_t block_key_size(const block_view *v, const block_entry *e)
{
    return (size_t)v->prefix_size + e->rest;
}

/* Puts the part of an entry's key that is behind the prefix into e.rest bytes,
 * of which BLOCK_HEAD_SIZE are written at least. */
static inline void block_put_rest(const block_entry *e, uint8_t *out)
{
    memcpy(out, e->head, BLOCK_HEAD_SIZE);
    if (e->tail.size > 0)
        memcpy(out + BLOCK_HEAD_SIZE, e->tail.data, e->tail.size);
}

/* Returns the index of the first entry whose key is not less (or, with
 * `beyond`, greater) than key; count if there is none. */
uint32_t block_search(const block_view *, slice key, bool beyond);

/* The same, with `beyond`, for a key that is a number of eight bytes, the
 * highest first. */
uint32_t block_search_number(const block_view *, uint64_t number);

/* Decodes an entry with such a key; false if it has no such, or is not what
 * block_seal makes. */
bool block_get_number(const block_view *, uint32_t index, uint64_t *number,
                      slice *value);

/* Lets the processor fetch the entry with a key, or what is in its place. */
void block_fetch(const block_view *, slice key);

/* ---- in memory -------------------------------------------------------- */

/* Bytes of a block in memory, immutable once filled, shared. */
typedef struct block {
    _Atomic unsigned references;
    uint64_t table, offset;             /* where it comes from */
    struct block *same, *newer, *older; /* the cache's */
    size_t memory;                      /* bytes it takes */
    block_view view;
    uint8_t bytes[];
} block;

/* Makes a block with room for so many bytes and one reference; NULL when
 * memory is out. */
block *block_new(size_t size);

/* Unpacks the stored bytes of a compressed block; *out has one reference.
 * Returns PERSIST_CORRUPT or PERSIST_LIMIT without an error's text. */
persist_status block_unpack(const block_header *, const uint8_t *stored,
                            block **out);

/* Gives a reference back. NULL is fine. */
void block_unref(block *);

static inline block *block_ref(block *b)
{
    atomic_fetch_add_explicit(&b->references, 1, memory_order_relaxed);
    return b;
}

#endif
