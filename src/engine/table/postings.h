/* SPDX-License-Identifier: MIT */
/* The section of tags: which events have a tag. They lie in runs, each of one
 * tag, in the order of positions, under the position of its last one: so the
 * first run from a position on is the one that may have it. */
#ifndef ENGINE_TABLE_POSTINGS_H
#define ENGINE_TABLE_POSTINGS_H

#include "engine/table/entry.h"

/* A string of the run in hand that the next one may repeat. */
typedef struct posting_string {
    size_t at, size; /* in the bytes */
} posting_string;

/* Gathers runs. Zeroed it is ready. */
typedef struct postings_writer {
    uint8_t key[ENTRY_TAG_KEY_MAX]; /* its tag; the size 0: none is in hand */
    uint64_t first, last;           /* positions in the run */
    buf bytes; /* owned: of the run, behind room for its front */
    posting_string type, stream;
} postings_writer;

/* Adds the next event: of the tag in hand one with a higher position, or the
 * first of a higher tag. A lack of memory is one of the table's. */
void postings_add(postings_writer *, table_writer *, slice tag,
                  const posting *);
/* Tells whether an event of that position may come next, by its tag. */
bool postings_go_on(const postings_writer *, slice tag, uint64_t position);
/* Ends the last run; gives back the memory, also without. */
void postings_end(postings_writer *, table_writer *);
void postings_release(postings_writer *);

/* A run that is read from its first event on. */
typedef struct postings_reader {
    posting now; /* its strings live as long as the entry */
    uint64_t last;
    slice rest; /* not read yet */
} postings_reader;

/* Begins with the first; goes on, as long as now.position is below last. False
 * if the entry is not well-formed, from there on. */
bool postings_begin(postings_reader *, slice key, slice value);
bool postings_next(postings_reader *);

#endif
