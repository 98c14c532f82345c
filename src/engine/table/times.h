/* SPDX-License-Identifier: MIT */
/* When the events of a table were committed: a section by position, whose
 * entries tell of runs of positions each, in so few bits an event that a
 * look-up reads one entry. A table of version 2 has none: there the time is 0.
 */
#ifndef ENGINE_TABLE_TIMES_H
#define ENGINE_TABLE_TIMES_H

#include "engine/table/entry.h"

/* The differences of a run take so many bits at the most. A writer begins a new
 * one where a wider difference would make those before it wider by more bits
 * than an entry costs. */
enum { TIMES_BITS = 1024, TIMES_WIDTH_MAX = 56, TIMES_ENTRY_BITS = 128 };

/* An entry: positions from `first` on, so many of them, with their times. */
typedef struct times_entry {
    uint64_t first, span;
    uint64_t base;       /* time of the first */
    unsigned width;      /* bits of a difference; 0: all times are alike */
    const uint8_t *bits; /* of the differences, each to the event before */
} times_entry;

/* Decodes an entry; false if it is not well-formed. */
bool times_entry_get(slice key, slice value, times_entry *out);

/* Gathers a run for a table in the making. A zeroed one is empty and ready. */
typedef struct times_writer {
    uint64_t first, span, base;
    uint64_t last; /* time of the newest event */
    unsigned width;
    uint64_t later[TIMES_BITS + 1]; /* differences; valid if there is a width */
    buf value;
} times_writer;

/* Adds an event behind those before, at their time or later; ends the section;
 * failures show in the table writer. Then release it. */
void times_add(times_writer *, table_writer *, uint64_t position,
               uint64_t time);
void times_end(times_writer *, table_writer *);

/* Looks up times in a table; it holds a block while it is in use. */
typedef struct times_reader {
    table_iter iter;
    times_entry entry;     /* in hand; span 0: none */
    uint64_t offset, time; /* of a position in it: those behind it go on */
} times_reader;

/* Begins to look up in a table, which the caller holds; passing: without
 * filling the cache. */
void times_open(times_reader *, table *, bool passing);
/* Gives back what it holds. */
void times_close(times_reader *);

/* The time of the event at a position. */
persist_status times_at(times_reader *, uint64_t position, uint64_t *time,
                        persist_error *);

/* The first position of a table with a time that is not below; PERSIST_NONE:
 * there is none. An event that was there once counts, too. */
persist_status times_find(times_reader *, uint64_t time, uint64_t *position,
                          persist_error *);

#endif
