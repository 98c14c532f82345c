/* SPDX-License-Identifier: MIT */
/* A hash map from byte strings to items, open addressing, linear probing.
 * Items belong to the caller and begin with the slice that names them. */
#ifndef BASE_HASHMAP_H
#define BASE_HASHMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

typedef struct hashmap_slot {
    uint64_t hash;
    void *item; /* NULL: free */
} hashmap_slot;

typedef struct hashmap {
    hashmap_slot *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
    uint64_t seed;
} hashmap;

/* Sets up an empty map; the seed keeps outsiders from choosing collisions. */
void hashmap_init(hashmap *, uint64_t seed);

/* Releases the table, not the items. */
void hashmap_release(hashmap *);

/* Returns the item with this name, or NULL. */
void *hashmap_find(const hashmap *, slice name);

/* Makes room for one more item; false when memory is out. */
bool hashmap_reserve(hashmap *);

/* Adds an item whose name is not there, after hashmap_reserve. */
void hashmap_put(hashmap *, void *item);

/* Takes an item out that is there. */
void hashmap_remove(hashmap *, const void *item);

/* Walks over all items in no order: *at begins at 0; NULL at the end. */
void *hashmap_next(const hashmap *, size_t *at);

#endif
