/* SPDX-License-Identifier: MIT */
/* One stream in memory: its events in chunks that never move, and what it was
 * at every lsn that somebody may still ask for.
 *
 * Events are numbered by index, from 0, over all that were ever appended. */
#ifndef ENGINE_MEMTABLE_STREAM_H
#define ENGINE_MEMTABLE_STREAM_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "engine/files/files.h"
#include "persist.h"

/* An event as it lies in a chunk. */
typedef struct event {
    uint64_t seq;
    uint64_t position;
    persist_lsn lsn;
    uint64_t bytes_before; /* sizes of all events before it, ever */
    uint32_t size;         /* bytes */
    uint32_t tagged_size;  /* bytes behind them that have type and tags */
    uint8_t data[];
} event;

/* Type and tags, packed; NULL: it has none. */
static inline const uint8_t *event_tagged(const event *e)
{
    return e->tagged_size == 0 ? NULL : e->data + e->size;
}

typedef struct chunk {
    uint64_t first;    /* index of its first event */
    uint32_t count;    /* events */
    uint32_t used;     /* bytes of events, from the front */
    uint32_t capacity; /* bytes; offsets of events grow from the back */
    _Alignas(8) uint8_t bytes[];
} chunk;

/* Something that changes: its values, each with the lsn it holds from. Marks
 * use `through` alone. */
typedef struct history {
    struct history_item {
        persist_lsn lsn;
        stream_floor value;
    } * items;
    size_t count, capacity;
} history;

/* The value at an lsn; NULL before the first. */
const stream_floor *history_at(const history *, persist_lsn);
/* Adds a value; false when memory is out. */
bool history_push(history *, persist_lsn, stream_floor value);
/* Takes the newest back. */
void history_pop(history *);

typedef struct stream {
    slice name;          /* owned */
    bool based;          /* older layers have it: */
    stream_state base;   /* as it was there */
    persist_lsn created; /* STREAM_NOT_CREATED before the first edit */
    chunk **chunks;      /* by index */
    size_t chunk_count, chunk_capacity;
    uint64_t count; /* events ever appended */
    uint64_t bytes; /* of them */
    uint64_t mark;  /* the newest; also inside a commit in the making */
    uint64_t plan;  /* the commit being planned, and inside of it: */
    uint64_t plan_mark;
    stream_floor plan_floor;
    history marks;       /* set without an event */
    history truncations; /* every event up to this seq is gone */
    uint64_t gone;       /* used by whoever writes a table of it, alone */
} stream;

#define STREAM_NOT_CREATED UINT64_MAX

/* Makes a stream without events in memory, which goes on from what older
 * layers hold (NULL: they have no such stream); NULL when memory is out. It and
 * its events lie in an arena; releasing gives back what does not. */
stream *stream_new(arena *, slice name, const stream_state *base);
void stream_release(stream *);

/* Adds the event of an edit, seq > mark; NULL when memory is out. */
const event *stream_append(stream *, arena *, const persist_edit *,
                           uint64_t seq, uint64_t position, persist_lsn);
/* Takes the newest event back, but not its memory. */
void stream_pop(stream *);

/* The mark, the floor, and all of the state, as they were at an lsn. */
uint64_t stream_mark_at(const stream *, persist_lsn);
const stream_floor *stream_floor_at(const stream *, persist_lsn);
void stream_state_at(const stream *, persist_lsn, stream_state *);

/* The floor that truncating through a seq, not below the base's mark, makes. */
stream_floor stream_floor_of(const stream *, uint64_t through);

/* Indexes: of the first event with that seq or a higher one, and behind the
 * last one with that lsn or a lower one. */
uint64_t stream_index_of_seq(const stream *, uint64_t seq);
uint64_t stream_index_after_lsn(const stream *, persist_lsn);

/* The events in memory that are there at an lsn have the indexes
 * [*begin, *end). */
void stream_range_at(const stream *, persist_lsn, uint64_t *begin,
                     uint64_t *end);

/* The chunk that holds an event in memory. */
const chunk *stream_chunk(const stream *, uint64_t index);

/* An event of a chunk. */
static inline const event *chunk_event(const chunk *c, uint32_t slot)
{
    uint32_t at;
    memcpy(&at, c->bytes + c->capacity - sizeof at * (slot + 1), sizeof at);
    return (const event *)(const void *)(c->bytes + at);
}

/* An event in memory by its index. */
const event *stream_event(const stream *, uint64_t index);

#endif
