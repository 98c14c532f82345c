/* SPDX-License-Identifier: MIT */
/* The events that have a tag, by position. */
#ifndef ENGINE_MEMTABLE_TAGS_H
#define ENGINE_MEMTABLE_TAGS_H

#include "base/hashmap.h"
#include "engine/memtable/order.h"

/* Room for events of a tag; a bigger one has a copy of what was in it. */
typedef struct tag_room {
    struct tag_room *smaller; /* the one before; NULL: none */
    size_t capacity;
    order_item items[];
} tag_room;

typedef struct tag_list {
    slice name; /* owned */
    tag_room *room;
    size_t count;
} tag_list;

/* Adds an event, which has tags and the highest position so far, to the lists
 * of a map; false when memory is out. */
bool tags_add(hashmap *, arena *, const stream *, const event *);
/* Takes the newest event back, but not its memory. */
void tags_pop(hashmap *, const event *);

/* Returns the index of the first event from a position on; the count of events
 * if there is none. The newest ones are found first. */
size_t tag_seek(const tag_list *, uint64_t position);

#endif
