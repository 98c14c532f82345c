/* SPDX-License-Identifier: MIT */
/* Where in a table the events lie that queries have found there, by position:
 * who asks for the same tags again need not look them up. A table never
 * changes, so it holds for ever; but two events may share a place, in which the
 * last one that was found stands, and a reader has to see whether it is the
 * one. */
#ifndef ENGINE_TABLE_SPOTS_H
#define ENGINE_TABLE_SPOTS_H

#include "engine/table/table_file.h"

/* Lets the processor fetch the place of an event. */
void spots_fetch(const table *, uint64_t position);

/* Returns the value of an entry that may be the one of that event, and lets the
 * processor fetch it; empty if none is known. It lives as long as the table. */
slice spots_find(const table *, uint64_t position);

/* Notes where an event lies that was found in the mapping, if there is memory
 * for it: of all tables it takes half of what the cache may take. */
void spots_note(table *, uint64_t position, slice value);

/* Tells whether there is memory for some; releases it, when nobody uses the
 * table. */
bool spots_any(const table *);
void spots_release(table *);

#endif
