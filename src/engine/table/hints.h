/* SPDX-License-Identifier: MIT */
/* What a table says of the streams that were looked up in it: a table never
 * changes, so it says the same for ever. The first that come are kept, none is
 * replaced: so whoever reads a hint needs no lock, only the table. */
#ifndef ENGINE_TABLE_HINTS_H
#define ENGINE_TABLE_HINTS_H

#include "engine/table/entry.h"

/* Finds a stream by its name and filter_hash; false: no hint. */
bool hints_find(const table *, slice name, uint64_t hash, stream_entry *out);

/* Keeps an entry, if there is room and memory for it. */
void hints_keep(table *, slice name, uint64_t hash, const stream_entry *);

/* Releases all, when nobody uses the table. */
void hints_release(table *);

#endif
