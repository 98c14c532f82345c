/* SPDX-License-Identifier: MIT */
/* Lists: windows on shared vecs, so that taking and adding at both ends costs
 * constant time on average. bool: false when memory is out, nothing changed. */
#ifndef SX_LIST_H
#define SX_LIST_H

#include "sx/heap.h"

enum { LIST_SIZE_MAX = UINT32_MAX / 2 };

static inline size_t list_size(const list *l)
{
    return l->head.aux;
}

/* The elements, list_size of them. The pointer holds until the list grows;
 * they must not be written to. NULL when empty is possible. */
static inline const value *list_items(const list *l)
{
    return l->vec == NULL ? NULL : l->vec->items + l->start;
}

static inline value list_at(const list *l, size_t i)
{
    CHECK(i < list_size(l));
    return l->vec->items[l->start + i];
}

/* A new empty list with room for capacity elements. */
bool list_new(sx *, size_t capacity, value *out);
/* A new list of a copy of items. They may be in another list. */
bool list_from(sx *, const value *items, size_t count, value *out);
/* A new list on the same elements; start + count <= size. */
bool list_slice(sx *, const list *, size_t start, size_t count, value *out);
/* A new list with one element more; the old list does not change. Amortised
 * constant time: what map and its kin collect with, since a captured frame
 * that is entered again must find its list as it was. */
bool list_append(sx *, const list *, value, value *out);
bool list_cons(sx *, value, const list *, value *out);
/* A new list of both. */
bool list_concat(sx *, const list *, const value *items, size_t count,
                 value *out);
/* Changes the list itself. */
bool list_push(sx *, list *, value);

#endif
