/* SPDX-License-Identifier: MIT */
/* An ordered map from byte strings to pointers: a skip list (W. Pugh, 1990).
 * A zeroed map is empty and ready. */
#ifndef STORE_MAP_H
#define STORE_MAP_H

#include "store/cell.h"

enum { MAP_HEIGHT_MAX = 16 };

typedef struct map_node {
    cell *name; /* owned by the node */
    void *value;
    unsigned height;
    struct map_node *next[];
} map_node;

typedef struct map {
    map_node *head[MAP_HEIGHT_MAX];
    size_t count;
    uint64_t random;
} map;

/* Returns the first node whose name is not less, NULL if there is none. The
 * following ones are next[0]. */
map_node *map_seek(const map *, slice name);

/* Returns the node of a name, NULL if it is not there. */
map_node *map_find(const map *, slice name);

/* Returns the node of a name, a new one with a NULL value if it is not there;
 * NULL when memory is out. */
map_node *map_add(map *, slice name);

/* Removes the node of a name, if it is there; the value is the caller's. */
void map_remove(map *, slice name);

/* Removes all, calling drop with each value. */
void map_release(map *, void (*drop)(void *value));

#endif
