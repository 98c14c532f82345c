/* SPDX-License-Identifier: MIT */
/* Reads: cursors over snapshots, and reads of one thing. */
#ifndef ENGINE_READ_READ_H
#define ENGINE_READ_READ_H

#include "base/cid.h"
#include "engine/state/state.h"

typedef enum engine_read_kind {
    ENGINE_STREAM,
    ENGINE_STREAM_BACK,
    ENGINE_ALL,
    ENGINE_QUERY,
    ENGINE_STREAMS,
    ENGINE_KEYS,
    ENGINE_ONCES,
    ENGINE_BLOBS,
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
    uint64_t time;
} ordered_event;

/* Where a reader of all events last stood in a stream of a table. */
typedef struct stream_place {
    slice name; /* owned; NULL: nothing of the rest is valid */
    table_iter iter;
    uint64_t ordinal;
    uint64_t through; /* truncated up to here */
} stream_place;

typedef struct engine_cursor engine_cursor;

/* How the events are found that a reader by position reads: all, or those of a
 * query. */
typedef struct order_ways {
    /* Begin to read in a table, from the reader's position on; put the first
     * event there in hand, and maybe more (move: the next ones); end.
     * PERSIST_NONE: there is none. */
    persist_status (*enter)(engine_cursor *, table *, persist_error *);
    persist_status (*next)(engine_cursor *, bool move, persist_error *);
    void (*leave)(engine_cursor *);
    /* Fills the next batch from a memtable, with any number of events, or says
     * that there are no more. The caller looks. */
    void (*fill)(engine_cursor *, const memtable *);
    /* Before the first batch of a memtable; NULL: nothing is to be done. */
    persist_status (*prepare)(engine_cursor *, memtable *, persist_error *);
} order_ways;

typedef struct order_reader {
    const order_ways *ways;
    uint64_t position; /* the next one */
    size_t layer;
    bool in_layer;
    stream_place *places; /* owned; by hash of the name; NULL: of a query */
    size_t place_count;
    ordered_event *batch; /* owned; NULL: in no memtable yet */
    size_t at, count;
    uint64_t passed; /* events that are truncated, for that batch */
    bool ended;      /* no further batch in this layer */
    table_iter iter;
    times_reader times;
} order_reader;

/* The events of one layer that have a tag of a query. */
typedef struct query_tag {
    slice tag, prefix; /* and what the keys in a table begin with */
    uint64_t hash;     /* its filter_hash */
    const tag_list
        *list;           /* in a memtable, while the caller looks; NULL: none */
    size_t at;           /* there: the event in hand */
    uint64_t position;   /* of the one in hand; 0: none yet */
    postings_reader run; /* in a table: where the one in hand is; */
    bool lone;           /* its run has no other one */
} query_tag;

/* And all the tags of an item. */
typedef struct query_part {
    const persist_query_item *item;
    query_tag *tags;
    table_iter *iters; /* in a table: one for each */
    bool ended;
    uint64_t position;   /* of the event that matches; 0: not known yet */
    const query_tag *by; /* a tag of it; */
    bool sure;           /* it has all; else it has to be asked itself */
} query_part;

/* What is to be known of a stream in a table. */
typedef struct query_stream {
    const table *of; /* NULL: nothing of the rest is valid */
    uint8_t name[CURSOR_SHORT_NAME];
    size_t name_size;
    uint64_t ordinal;
    uint64_t through; /* truncated up to here */
} query_stream;

/* A match in a table, whose event is looked up with those of others. */
typedef struct query_look {
    posting entry;
    const query_tag *by; /* the tag that led to it, */
    bool sure;           /* and whether it matches in any case */
    table_step from;     /* the tag's leaf, which keeps it in memory */
    slice known;         /* the entry that may be the event's; empty: none is */
    table_spot spot;     /* else */
} query_look;

/* What a query needs in a table: matches that are looked up together; what came
 * after the last of them, if that is to be told later; and for each tag where
 * it stands. */
typedef struct query_looks {
    size_t count;
    query_look looks[QUERY_AHEAD];
    persist_status then;
    persist_error error;
    table_iter iters[];
} query_looks;

typedef struct query_reader {
    order_reader order; /* the first: it is the cursor's u.order, too */
    void *copy;         /* owned: the query */
    query_part *parts;  /* in the copy */
    size_t count;
    query_looks *ahead; /* owned; NULL: in no table yet */
    size_t tag_count;   /* of all items */
    bool inside;        /* a table, in which it reads */
    bool sought;        /* in a table before this one */
    bool whole;         /* nothing in this one is truncated */
    bool quiet;         /* no memtable has truncated anything */
    table_iter events;  /* in a table: to look them up */
    query_stream streams[QUERY_STREAMS]; /* by hash of the name */
} query_reader;

/* Names of one layer, merged with those of the others. */
typedef struct name_item {
    slice name;
    slice value; /* of a key; of a command id or blob of a table, as there */
    const once *once;         /* of one of a memtable, */
    const blob_version *blob; /* or this */
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

/* Where a range begins or ends; not given: nowhere. */
typedef struct name_bound {
    slice name;
    bool given;
    bool open; /* the name itself is outside */
} name_bound;

typedef struct name_reader {
    table_section section; /* keys, streams, command ids or blobs */
    bool back;
    void *bytes; /* owned: the names of the bounds */
    name_bound low, high;
    name_source *sources; /* owned; newest first */
    size_t source_count;
    tournament tournament;
    bool many; /* several of them are tables with entries */
    uint64_t taken_count;
    bool taken;              /* the winner's item is used up */
    persist_command command; /* the one in hand, */
    uint64_t *seqs;          /* and its numbers, if a table had them; owned */
    size_t seq_capacity;
} name_reader;

/* Blobs in the order of their cids, part by part; see read_blobs.c. */
typedef struct blob_lister {
    name_reader names;        /* the first: it is the cursor's u.names, too */
    char part[CID_SIZE + 1];  /* cids that begin with so many of these */
    unsigned size, size_min;  /* characters are in the part in hand */
    char after[CID_SIZE + 1]; /* only what comes behind it is listed */
    bool ended;               /* no part comes behind those read */
    persist_blob *found;      /* owned: of the part before, in order */
    size_t at, count;
} blob_lister;

struct engine_cursor {
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
        query_reader query;
        name_reader names;
        blob_lister blobs;
    } u;
};

/* Open a cursor in place: over events of a stream or of all, over those that
 * match a query, over names. */
persist_status engine_read(engine *, engine_cursor *out, engine_read_kind,
                           slice name, uint64_t from, uint64_t limit,
                           engine_view, persist_error *);
persist_status engine_query(engine *, engine_cursor *out,
                            const persist_query_item *, size_t count,
                            uint64_t from, uint64_t limit, engine_view,
                            persist_error *);
persist_status engine_read_names(engine *, engine_cursor *out, engine_read_kind,
                                 const persist_range *, uint64_t limit,
                                 engine_view, persist_error *);
/* Those blobs whose cids are greater than a text, which is one, or empty. */
persist_status engine_list_blobs(engine *, engine_cursor *out, slice after,
                                 uint64_t limit, engine_view, persist_error *);
/* The position of the first event, from a position on, that matches a query
 * now; for the writer. PERSIST_NONE: there is none. */
persist_status engine_first_match(engine *, const persist_query_item *,
                                  size_t count, uint64_t from,
                                  uint64_t *position, persist_error *);
/* The next events, one or more, which the cursor owns until the next call. */
persist_status engine_next_events(engine_cursor *, const persist_event **out,
                                  size_t *count, persist_error *);
persist_status engine_next_key(engine_cursor *, slice *name, slice *value,
                               persist_error *);
persist_status engine_next_once(engine_cursor *, const persist_command **,
                                persist_error *);
persist_status engine_next_blob(engine_cursor *, const persist_blob **,
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
/* Before the first event: begins at another position. */
void order_reader_from(engine_cursor *, uint64_t position);
persist_status query_reader_open(engine_cursor *, const persist_query_item *,
                                 size_t count, uint64_t from, persist_error *);
void query_reader_close(engine_cursor *);
/* Of the matches in hand in a table: look for their events, and leave out those
 * that are truncated; put the events into the cursor's hand; let them all go.
 * After an error, which is kept for later, there are those in front of it. */
void query_looks_aim(engine_cursor *);
void query_looks_read(engine_cursor *);
void query_looks_drop(query_reader *);
persist_status name_reader_open(engine_cursor *, const persist_range *,
                                persist_error *);
persist_status name_reader_next(engine_cursor *, slice *name, slice *value,
                                persist_error *);
/* After name_reader_next: fills in the command id that it came to. */
persist_status name_reader_command(engine_cursor *, persist_error *);
/* The same: where the blob that it came to is. */
persist_status name_reader_blob(const engine_cursor *, blob_entry *,
                                persist_error *);
void name_reader_close(engine_cursor *);
persist_status blob_lister_open(engine_cursor *, slice after, persist_error *);
persist_status blob_lister_next(engine_cursor *, const persist_blob **,
                                persist_error *);
void blob_lister_close(engine_cursor *);

/* As persist_position_at. The cursor is memory for it, and is closed after. */
persist_status engine_position_at(engine *, engine_cursor *, uint64_t time,
                                  engine_view, uint64_t *position,
                                  persist_error *);
/* What both readers by position share: beginning; and taking an event of a
 * memtable into the batch, unless it is truncated, false when neither it nor a
 * later one is in the snapshot. */
persist_status order_reader_begin(engine_cursor *, const order_ways *,
                                  uint64_t from, persist_error *);
bool order_take(engine_cursor *, const order_item *, uint64_t time);

/* The public reads of one thing. */
persist_status engine_info(engine *, slice name, engine_view,
                           persist_stream_info *, bool *known, persist_error *);
persist_status engine_get(engine *, slice name, engine_view, slice *out,
                          persist_error *);

#endif
