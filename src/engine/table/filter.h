/* SPDX-License-Identifier: MIT */
/* A Bloom filter (B. Bloom, 1970) in parts, and in them in lines (F. Putze and
 * others, 2007): a look-up reads one line of one part, so that a filter of any
 * size needs no memory of its own. */
#ifndef ENGINE_TABLE_FILTER_H
#define ENGINE_TABLE_FILTER_H

#include <stdbool.h>

#include "base/slice.h"

/* Bytes of a line; a part has whole lines. */
#define FILTER_LINE_SIZE 64u

/* A filter in the making, or a part of one. */
typedef struct filter {
    uint8_t *bits; /* owned */
    size_t size;   /* bytes, all parts together */
    size_t part_size;
    uint64_t names;   /* that were added; the line of the last one's hash is */
    uint64_t waiting; /* on its way to the processor */
} filter;

/* Sets up an empty filter for up to so many names; false when memory is out. */
bool filter_init(filter *, uint64_t names);
void filter_release(filter *);

/* Returns the hash of a name of a section. */
uint64_t filter_hash(unsigned section, slice name);

/* Adds the hash of a name. */
void filter_add(filter *, uint64_t hash);

/* Ends it: of far fewer names it becomes as small as if it was made for them.
 */
void filter_end(filter *);

/* Tells which of so many parts a hash belongs to. */
uint64_t filter_part(uint64_t hash, uint64_t parts);

/* Lets the processor fetch the line that filter_test will read. */
void filter_fetch(slice part, uint64_t hash);

/* Tells whether a part may hold the hash: false is certain. */
bool filter_test(slice part, uint64_t hash);

#endif
