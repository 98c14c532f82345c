/* SPDX-License-Identifier: MIT */
/* An ordered map from byte strings to pointers: a sorted array. It is slower
 * than the engine's indexes when it is large, and plainly right, since the
 * memory backend is what the others are tested against. A zeroed map is empty
 * and ready. */
#ifndef STORE_MAP_H
#define STORE_MAP_H

#include "store/cell.h"

typedef struct map_node {
    cell *name; /* owned by the node */
    void *value;
} map_node;

typedef struct map {
    map_node **nodes; /* by name */
    size_t count, capacity;
} map;

/* Returns the index of the first node whose name is not less (or, with
 * `beyond`, greater) than the given one; count if there is none. */
size_t map_seek(const map *, slice name, bool beyond);

/* Returns the node of a name, NULL if it is not there. It stays where it is
 * until it is removed. */
map_node *map_find(const map *, slice name);

/* Returns the node of a name, a new one with a NULL value if it is not there;
 * NULL when memory is out. */
map_node *map_add(map *, slice name);

/* Removes the node of a name, if it is there; the value is the caller's. */
void map_remove(map *, slice name);

/* Removes all, calling drop with each value. */
void map_release(map *, void (*drop)(void *value));

#endif
