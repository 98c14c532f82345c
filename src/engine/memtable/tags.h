/* SPDX-License-Identifier: MIT */
/* The events that have a tag, by position: an index over the order of all
 * events, which is made as far as somebody has asked for it. Most memtables
 * become tables without. */
#ifndef ENGINE_MEMTABLE_TAGS_H
#define ENGINE_MEMTABLE_TAGS_H

#include <stdatomic.h>

#include "base/hashmap.h"
#include "engine/memtable/order.h"

/* Room for events of a tag; a bigger one has a copy of what was in it. */
typedef struct tag_room {
    struct tag_room *smaller; /* the one before; NULL: none */
    size_t capacity;
    order_item items[];
} tag_room;

typedef struct tag_list {
    slice name; /* in its first event, which stays */
    tag_room *room;
    size_t count;
} tag_list;

/* Its memory is its own: commits that are taken back rewind that of events. */
typedef struct tag_index {
    hashmap map; /* of tag_list */
    arena arena;
    uint64_t next;           /* events from this position on are not in it */
    size_t count;            /* events in it: all before that have tags */
    _Atomic uint64_t memory; /* bytes, roughly: the writer reads it, too */
} tag_index;

/* Sets up an index of nothing. Gives back what it holds, not the events. */
void tag_index_init(tag_index *, arena_pool *, uint64_t seed);
void tag_index_release(tag_index *);

/* The events of a tag that are in it; NULL: none. */
const tag_list *tag_index_find(const tag_index *, slice tag);

/* Tells whether all events up to an lsn are in it. */
bool tag_index_reaches(const tag_index *, const order *, persist_lsn);

/* Adds the next events up to an lsn, some at a time: who adds them keeps
 * others waiting. False when memory is out; what is in it by then is whole. */
bool tag_index_some(tag_index *, const order *, persist_lsn);

/* Returns the index of the first event from a position on; the count of events
 * if there is none. The newest ones are found first. */
size_t tag_seek(const tag_list *, uint64_t position);

#endif
