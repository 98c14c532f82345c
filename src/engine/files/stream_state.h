/* SPDX-License-Identifier: MIT */
/* What is known of a stream but its events: the same bytes in records and in
 * tables. */
#ifndef ENGINE_FILES_STREAM_STATE_H
#define ENGINE_FILES_STREAM_STATE_H

#include <stdbool.h>

#include "base/buf.h"

struct cursor;

/* Where the events that are kept begin. */
typedef struct stream_floor {
    uint64_t through; /* every event up to this seq is gone */
    uint64_t index;   /* of the first kept: so many ever came before it */
    uint64_t bytes;   /* of those before it */
    uint64_t first;   /* seq of the first kept; 0: the next one to come */
} stream_floor;

/* All that is known of a stream but its events. */
typedef struct stream_state {
    uint64_t mark;
    uint64_t count; /* events ever appended */
    uint64_t bytes; /* of them */
    stream_floor floor;
} stream_state;

/* Tells whether a state can be one: its parts do not contradict each other. */
bool stream_state_holds(const stream_state *);

/* Appends a state; decodes one, false if it is malformed or contradicts
 * itself. */
void stream_state_put(buf *, const stream_state *);
bool stream_state_get(struct cursor *, stream_state *);

#endif
