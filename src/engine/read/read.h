/* SPDX-License-Identifier: MIT */
/* Reads: cursors over snapshots, and reads of one thing. */
#ifndef ENGINE_READ_READ_H
#define ENGINE_READ_READ_H

#include "engine/state/state.h"

typedef enum engine_read_kind {
    ENGINE_STREAM,
    ENGINE_STREAM_BACK,
    ENGINE_ALL,
    ENGINE_STREAMS,
    ENGINE_KEYS,
} engine_read_kind;

/* The events of a stream within [low, high], forwards or backwards. */
typedef struct stream_reader {
    slice name; /* owned, if it does not lie here: */
    uint8_t short_name[CURSOR_SHORT_NAME];
    bool back;
    uint64_t low, high; /* seqs */
    size_t layer;       /* counted from the one that is read first */
    size_t expected;    /* those before it are being read already */
    bool in_layer;
    bool ahead;         /* the iterator is at an event not in hand yet */
    size_t newest;      /* number of the newest layer that has the stream */
    stream_entry entry; /* and its entry there, if that is a table */
    uint64_t ordinal;
    bool sought;          /* in a table before this one */
    uint64_t seq, bound;  /* of the event in hand; where this table ends */
    const stream *stream; /* in a memtable: */
    uint64_t begin, end;  /* indexes of the events that are left */
    const chunk *chunk;   /* of the ones in hand, slots [slot, slot_end) */
    uint32_t slot, slot_end;
    table_iter iter; /* in a table */
} stream_reader;

/* An event of a memtable, for a batch that is taken in one look. */
typedef struct ordered_event {
    slice name;
    const event *event;
} ordered_event;

/* Where a reader of all events last stood in a stream of a table. */
typedef struct stream_place {
    slice name; /* owned */
    table_iter iter;
    uint64_t ordinal;
    uint64_t through; /* truncated up to here */
} stream_place;

typedef struct order_reader {
    uint64_t position; /* the next one */
    size_t layer;
    bool in_layer;
    stream_place *places; /* owned; by hash of the name */
    ordered_event *batch; /* owned */
    size_t at, count;
    bool ended; /* no further batch in this layer */
    table_iter iter;
} order_reader;

/* Names of one layer, merged with those of the others. */
typedef struct name_item {
    slice name, value;
    bool deleted;
} name_item;

typedef struct name_source {
    name_item item; /* the one in hand */
    bool ended;
    memtable *from;   /* a memtable's, in batches: */
    name_item *batch; /* owned */
    size_t at, count;
    bool last_batch;
    table_iter iter; /* or a table's */
} name_source;

typedef struct name_reader {
    bool of_keys;
    slice prefix; /* owned */
    buf after;    /* where to begin, or what the last batch ended with */
    bool has_after;
    name_source *sources; /* owned; newest first */
    size_t source_count;
    tournament tournament;
    bool many; /* several of them are tables with entries */
    uint64_t taken_count;
    bool taken; /* the winner's item is used up */
} name_reader;

typedef struct engine_cursor {
    engine *engine;
    snapshot snapshot;
    engine_read_kind kind;
    uint64_t left;         /* how many may still come */
    persist_status broken; /* what it failed with; PERSIST_OK: it did not */
    uint32_t ready_count;  /* events in hand */
    persist_event ready[CURSOR_EVENTS];
    union {
        stream_reader stream;
        order_reader order;
        name_reader names;
    } u;
} engine_cursor;

/* Opens a cursor in place. name: stream or prefix. */
persist_status engine_read(engine *, engine_cursor *out, engine_read_kind,
                           slice name, const slice *after, uint64_t from,
                           uint64_t limit, persist_view, persist_error *);
/* The next events, one or more, which the cursor owns until the next call. */
persist_status engine_next_events(engine_cursor *, const persist_event **out,
                                  size_t *count, persist_error *);
persist_status engine_next_key(engine_cursor *, slice *name, slice *value,
                               persist_error *);
void engine_cursor_close(engine_cursor *);

/* The parts of a cursor; after an error of open they are closed as well. The
 * next functions return PERSIST_NONE at the end; those of events put one or
 * more, at most `left`, in hand. */
persist_status stream_reader_open(engine_cursor *, slice name, uint64_t from,
                                  persist_error *);
persist_status stream_reader_next(engine_cursor *, persist_error *);
void stream_reader_close(engine_cursor *);
persist_status order_reader_open(engine_cursor *, uint64_t from,
                                 persist_error *);
persist_status order_reader_next(engine_cursor *, persist_error *);
void order_reader_close(engine_cursor *);
persist_status name_reader_open(engine_cursor *, slice prefix,
                                const slice *after, persist_error *);
persist_status name_reader_next(engine_cursor *, slice *name, slice *value,
                                persist_error *);
void name_reader_close(engine_cursor *);

/* The public reads of one thing. */
persist_status engine_info(engine *, slice name, persist_view,
                           persist_stream_info *, bool *known, persist_error *);
persist_status engine_get(engine *, slice name, persist_view, slice *out,
                          persist_error *);

#endif
