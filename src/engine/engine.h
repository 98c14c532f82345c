/* SPDX-License-Identifier: MIT */
/* The engine: one store directory, opened. Bytes in, durable bytes out.
 *
 * Locks, in the order they are taken: `writer` (one commit at a time), `state`
 * (the memtable: shared by readers, exclusive to apply a commit), then the
 * small ones, `pins` and the log's. No file work is done under `state`. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "engine/blob.h"
#include "engine/memtable.h"
#include "engine/wal.h"

/* An open cursor's claim on the state at an lsn. */
typedef struct pin {
    persist_lsn lsn;
    struct pin *previous, *next;
} pin;

typedef struct engine {
    const os *sys;
    char dir[PERSIST_PATH_MAX];
    char log_dir[PERSIST_PATH_MAX];
    persist_equal_fn equal;
    void *equal_context;
    os_file *lock_file;
    uint64_t replayed; /* log bytes read at opening */

    pthread_mutex_t writer;
    wal wal;
    manifest manifest;   /* as last stored */
    memtable_edit *plan; /* of the commit in hand */
    uint64_t *seqs;      /* numbers of its appends */
    size_t plan_capacity;
    uint64_t plan_number; /* counts plans */

    pthread_rwlock_t state;
    memtable memtable;
    persist_lsn latest; /* the newest commit that applied */
    uint64_t commits;

    pthread_mutex_t pins_lock;
    pin *pins;

    blob_store blobs;
} engine;

/* ---- engine.c: opening and closing ------------------------------------ */

/* Opens as persist_open does. The engine is allocated; *out is released by
 * engine_close. */
persist_status engine_open(const persist_options *, engine **out,
                           persist_error *);

/* Closes as persist_close does. */
persist_status engine_close(engine *, persist_error *);

/* Makes some background work that is due, for those who have no thread;
 * *did tells whether there was any. */
persist_status engine_step(engine *, bool *did, persist_error *);

/* Fills in the figures. */
void engine_stats(engine *, persist_stats *);

/* ---- commit.c --------------------------------------------------------- */

/* Commits as persist_commit does; sizes have been checked. */
persist_status engine_commit(engine *, const persist_edit *, size_t count,
                             const persist_once *, persist_outcome *,
                             persist_error *);

/* Finds a command id as persist_once_find does. */
persist_status engine_once_find(engine *, slice id,
                                uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE],
                                persist_outcome *, persist_error *);

/* Applies a commit that was read from the log. PERSIST_CORRUPT if it
 * contradicts what is there. */
persist_status engine_replay(engine *, persist_lsn, const record_body *,
                             persist_error *);

/* ---- read.c ----------------------------------------------------------- */

typedef enum engine_read_kind {
    ENGINE_STREAM,
    ENGINE_STREAM_BACK,
    ENGINE_ALL,
    ENGINE_STREAMS,
    ENGINE_KEYS,
} engine_read_kind;

/* What a cursor over all events, or over names, took under one lock. */
typedef struct cursor_item {
    slice name, value;
    const event *event;
} cursor_item;

/* A cursor; it needs no allocation of its own but for a batch of items. */
typedef struct engine_cursor {
    engine *engine;
    pin pin;
    engine_read_kind kind;
    uint64_t left; /* how many may still come */

    const stream *stream;
    uint64_t begin, end; /* indexes of the events that are left */
    const chunk *chunk;  /* of the ones in hand, slots [slot, slot_end) */
    uint32_t slot, slot_end;

    uint64_t position;   /* where the next batch begins */
    slice prefix, after; /* of names; prefix is owned */
    bool has_after;
    cursor_item *items; /* owned */
    size_t item, item_count;
    bool ended; /* no further batch */
} engine_cursor;

/* Opens a cursor in place. name: stream or prefix. */
persist_status engine_read(engine *, engine_cursor *out, engine_read_kind,
                           slice name, const slice *after, uint64_t from,
                           uint64_t limit, persist_view, persist_error *);
persist_status engine_next_event(engine_cursor *, persist_event *,
                                 persist_error *);
persist_status engine_next_key(engine_cursor *, slice *name, slice *value,
                               persist_error *);
void engine_cursor_close(engine_cursor *);

/* The public reads of one thing. */
persist_status engine_info(engine *, slice name, persist_view,
                           persist_stream_info *, bool *known);
persist_status engine_get(engine *, slice name, persist_view, slice *out,
                          persist_error *);

/* The newest visible lsn. */
persist_lsn engine_latest(engine *);

/* The lowest lsn that an open cursor, or a durable read, may look at. */
persist_lsn engine_horizon(engine *);

#endif
