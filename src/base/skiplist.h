/* SPDX-License-Identifier: MIT */
/* Items ordered by name: a skip list (W. Pugh, 1990). Items belong to the
 * caller and begin with the slice that names them. */
#ifndef BASE_SKIPLIST_H
#define BASE_SKIPLIST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { SKIPLIST_LEVELS = 20 };

typedef struct skiplist_node skiplist_node;
struct skiplist_node {
    void *item;
    uint64_t prefix; /* the first bytes of the name, as a number */
    skiplist_node *next[];
};

typedef struct skiplist {
    skiplist_node *head[SKIPLIST_LEVELS];
    uint64_t random; /* any state; it chooses the heights */
} skiplist;

/* A zeroed skiplist is empty and ready. Releases the nodes, not the items. */
void skiplist_release(skiplist *);

/* Adds an item whose name is not there; false when memory is out. */
bool skiplist_add(skiplist *, void *item);

/* Takes an item out that is there. */
void skiplist_remove(skiplist *, const void *item);

/* Returns the first node whose name is not less (or, with `beyond`, greater)
 * than the given one; NULL if there is none. Walk on with next[0]. */
skiplist_node *skiplist_seek(const skiplist *, slice name, bool beyond);

#endif
