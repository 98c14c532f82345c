/* SPDX-License-Identifier: MIT */
/* Dicts: entries in insertion order; small ones are searched by looking at
 * each key, large ones have an index. Nothing is deleted in place: dissoc makes
 * a new dict. bool: false when memory is out, nothing changed. */
#ifndef SX_DICT_H
#define SX_DICT_H

#include "sx/heap.h"

static inline size_t dict_size(const dict *d)
{
    return d->head.aux;
}

/* The entries in insertion order, dict_size of them. The pointer holds until
 * the dict grows. NULL when empty is possible. */
static inline entry *dict_entries(const dict *d)
{
    return d->table == NULL ? NULL : d->table->entries;
}

/* A new empty dict with room for capacity entries. */
bool dict_new(sx *, size_t capacity, value *out);
/* A new dict with the same entries and room for more of them. */
bool dict_copy(sx *, const dict *, size_t more, value *out);
/* The entry of a name, NULL if there is none. */
entry *dict_entry(const dict *, const string *name);
/* Sets a name, at the end if it is new. */
bool dict_set(sx *, dict *, string *name, value);
/* Finds by the bytes of a key; false if it is absent. */
bool dict_find(sx *, const dict *, slice key, value *out);

/* A dict being filled, for literals and copies: the room was reserved, so it
 * cannot fail for want of memory (while it stays within capacity). */
void dict_add(dict *, string *name, value);

#endif
