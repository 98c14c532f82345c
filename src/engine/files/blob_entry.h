/* SPDX-License-Identifier: MIT */
/* What the index says of a blob: where its bytes are. The log and the tables
 * hold such entries, by digest; docs/FORMAT.md defines them. */
#ifndef ENGINE_FILES_BLOB_ENTRY_H
#define ENGINE_FILES_BLOB_ENTRY_H

#include "base/buf.h"
#include "base/hash.h"

typedef struct blob_entry {
    uint8_t digest[HASH_SHA256_SIZE];
    uint64_t pack;   /* number of a pack; 0: a file of its own */
    uint64_t offset; /* in the pack, bytes */
    uint64_t size;   /* of the blob, bytes */
    uint64_t time;   /* of the commit that put it; 0: not known */
    bool deleted;    /* it was there until then */
} blob_entry;

/* Appends place and size, as they follow the digest in the log; decodes them,
 * false if they are not well-formed. */
void blob_entry_put(buf *, const blob_entry *);
struct cursor;
bool blob_entry_get(struct cursor *, blob_entry *out);

static inline slice blob_entry_name(const blob_entry *e)
{
    return slice_of(e->digest, sizeof e->digest);
}

#endif
