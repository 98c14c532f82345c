/* SPDX-License-Identifier: MIT */
/* The tags of all events of a memtable, in the order of the keys that they have
 * in a table: by size, then by bytes, then by position. */
#ifndef ENGINE_MEMTABLE_TAG_SORT_H
#define ENGINE_MEMTABLE_TAG_SORT_H

#include "engine/memtable/order.h"

enum { TAG_FRONT = 3 * sizeof(uint64_t) };

/* A tag to be sorted. Its size and first bytes, which mostly decide, are at
 * hand, the highest first. It lies in one cache line. */
typedef struct sorted_tag {
    uint64_t front[TAG_FRONT / sizeof(uint64_t)];
    uint32_t event; /* whose; they grow with the position */
    uint16_t at;    /* behind the size of the event's type are its size, a byte,
                       and it */
} sorted_tag;

/* An event that has some, in one cache line too. */
typedef struct sorted_event {
    _Alignas(64) posting posting;
} sorted_event;

/* Where it comes: by eight bytes of it, while these are sorted. */
typedef struct tag_place {
    uint64_t key;
    const sorted_tag *tag;
} tag_place;

/* Zeroed it is ready. It may be made again: then it has the memory already. */
typedef struct tag_sort {
    void *room; /* owned: of all below */
    size_t room_size;
    bool used;         /* the room, since it was let go */
    sorted_tag *tags;  /* as they were gathered */
    tag_place *places; /* in order */
    size_t count;
    sorted_event *events; /* side by side: they are all over memory */
    size_t event_count;
    size_t event_room, tag_room; /* for so many there is room */
} tag_sort;

/* Takes memory for so many events, which have so many tags; false when memory
 * is out. Then sorts the tags of those events that are not gone by what their
 * streams say, and needs nothing else: another thread may do that. It is good
 * until an event or a stream goes. */
bool tag_sort_begin(tag_sort *, size_t events, size_t tags);
void tag_sort_end(tag_sort *, const order *);
void tag_sort_release(tag_sort *);
/* Lets the pages of the memory go, until it is made again. */
void tag_sort_rest(tag_sort *);

/* Copies a tag, and tells whose it is. */
slice tag_sort_get(const tag_sort *, size_t index,
                   uint8_t out[PERSIST_TAG_SIZE_MAX + TAG_FRONT],
                   const posting **whose);

#endif
