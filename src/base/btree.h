/* SPDX-License-Identifier: MIT */
/* Items ordered by name: a B+ tree in memory. Items belong to the caller and
 * begin with the slice that names them. */
#ifndef BASE_BTREE_H
#define BASE_BTREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

typedef struct btree_node btree_node;

/* A zeroed btree is empty and ready. */
typedef struct btree {
    btree_node *root;
} btree;

/* A place in a tree; it holds until the tree changes. */
typedef struct btree_at {
    const btree_node *leaf;
    unsigned index;
} btree_at;

/* Releases the nodes, not the items. */
void btree_release(btree *);

/* Adds an item whose name is not there; false when memory is out. */
bool btree_add(btree *, void *item);

/* Takes an item out that is there. */
void btree_remove(btree *, const void *item);

/* Returns the place of the first item whose name is not less (or, with
 * `beyond`, greater) than the given one. */
btree_at btree_seek(const btree *, slice name, bool beyond);

/* Returns the place behind the last item. */
btree_at btree_end(const btree *);

/* Returns the item at a place and moves on; NULL at the end. */
void *btree_next(btree_at *);

/* Moves back and returns the item there; NULL at the start. */
void *btree_previous(btree_at *);

#endif
