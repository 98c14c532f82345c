/* SPDX-License-Identifier: MIT */
/* What a tagged event has besides its data: a type and tags, packed. The bytes
 * are the same in the log, in memory and in tables; docs/FORMAT.md defines
 * them. */
#ifndef ENGINE_FILES_TAGGED_H
#define ENGINE_FILES_TAGGED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "persist.h"

/* Returns how many bytes the tags of an edit take; 0: it has none. */
size_t tagged_size(const persist_edit *);

/* Writes these bytes; or appends them. */
void tagged_write(const persist_edit *, uint8_t *out);
void tagged_put(buf *, const persist_edit *);

/* Takes such bytes, without a look at what they say; false if they are not
 * well-formed. */
struct cursor;
bool tagged_get(struct cursor *, slice *out);

/* Well-formed bytes: the type, and the tags that are still to come. */
typedef struct tag_set {
    slice type;
    size_t left;
    const uint8_t *at;
} tag_set;

/* Tells whether the tags of well-formed bytes are all different, as they have
 * to be. */
bool tagged_differ(const void *bytes);

/* Begins to take well-formed bytes apart. */
static inline tag_set tagged_of(const void *bytes)
{
    const uint8_t *at = bytes;
    tag_set t = {.type = slice_of(at + 1, *at)};
    at += 1 + t.type.size;
    t.left = *at;
    t.at = at + 1;
    CHECK(t.left > 0 && t.left <= PERSIST_TAGS_MAX);
    return t;
}

/* Takes the next tag; false when there is none. */
static inline bool tagged_next(tag_set *t, slice *tag)
{
    if (t->left == 0)
        return false;
    CHECK(*t->at > 0);
    *tag = slice_of(t->at + 1, *t->at);
    t->at += 1 + tag->size;
    t->left--;
    return true;
}

/* An event that has a tag: what a query has to know of it before it is read. */
typedef struct posting {
    uint64_t position, seq;
    slice type, stream;
} posting;

/* Tells whether an item of a query is for events of a type. */
bool query_has_type(const persist_query_item *, slice type);
/* Tells whether an event with these bytes (NULL: without tags) matches. */
bool query_matches(const persist_query_item *, size_t count, const void *bytes);

#endif
