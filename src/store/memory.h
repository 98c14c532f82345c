/* SPDX-License-Identifier: MIT */
/* What the files of the memory backend share. */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include <pthread.h>

#include "os/os.h"
#include "store/map.h"
#include "store/store.h"

/* A stored blob. */
typedef struct memory_kept {
    cell *bytes;   /* owned */
    uint64_t time; /* of the commit that put it */
} memory_kept;

/* A stored event of a stream. */
typedef struct memory_event {
    cell *data;   /* owned */
    cell *tagged; /* owned; NULL: it has no tags */
    uint64_t seq;
    uint64_t position;
    uint64_t time; /* of its commit */
} memory_event;

typedef struct memory_stream {
    cell *name; /* of the map node */
    bool known; /* false only inside the commit that creates it */
    uint64_t mark;
    uint64_t bytes;       /* sum of the data sizes of what is stored */
    memory_event *events; /* by seq: events[first] to events[end - 1] */
    size_t first, end, capacity;
    /* what the commit in hand is about to do */
    uint64_t staged_mark;
    size_t staged_events;
} memory_stream;

/* A command id that was committed. */
typedef struct memory_once {
    uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE];
    persist_lsn lsn;
    size_t seq_count;
    uint64_t seqs[];
} memory_once;

/* An entry of the order of all events. The event may have been truncated. */
typedef struct memory_entry {
    memory_stream *stream;
    uint64_t seq;
    uint64_t position;
    uint64_t time;
} memory_entry;

/* What reads see, as it is after a commit. A snapshot shares that of the moment
 * with the store, and the first commit behind it changes a copy. */
typedef struct memory_state {
    size_t users;        /* the store, and snapshots */
    map streams;         /* of memory_stream */
    map keys;            /* of cell */
    map blobs;           /* of memory_kept, by cid */
    memory_entry *order; /* by position */
    size_t order_count, order_capacity;
    uint64_t position; /* the highest given */
    uint64_t events;   /* stored now */
    uint64_t bytes;    /* of their data, and of the values of keys */
} memory_state;

typedef struct memory_store {
    persist_store head;
    pthread_mutex_t lock;
    persist_equal_fn equal;
    void *equal_context;
    memory_state *now;
    map onces;     /* of memory_once */
    uint64_t time; /* of the last commit */
    const os *sys; /* whose clock is that of the commits */
    uint8_t id[IDENTITY_SIZE], parent[IDENTITY_SIZE];
    persist_lsn latest;
    uint64_t commits;
    gaps gaps;        /* see store_memory_skip */
    os_news news;     /* of the position, which is durable at once */
    persist_lsn told; /* the newest commit that it was told of */
    store_open open;
} memory_store;

typedef struct memory_snapshot {
    persist_snapshot head;
    memory_state *state;
} memory_snapshot;

extern const store_backend memory_backend;

/* Rows of the table; the public function of the name says what they do. */

/* See persist_commit. */
persist_status memory_commit(persist_store *, const persist_edit *, size_t,
                             const persist_once *, persist_outcome *,
                             persist_error *);
/* See read_request. */
persist_status memory_read(persist_store *, const read_request *,
                           persist_cursor **, persist_error *);
/* See persist_next_event. */
persist_status memory_next_event(persist_cursor *, const persist_event **,
                                 persist_error *);
/* See persist_next_key. */
persist_status memory_next_key(persist_cursor *, slice *name, slice *value,
                               persist_error *);
/* See persist_next_command. */
persist_status memory_next_command(persist_cursor *, const persist_command **,
                                   persist_error *);
/* See persist_next_blob. */
persist_status memory_next_blob(persist_cursor *, const persist_blob **,
                                persist_error *);
/* See persist_cursor_close. */
void memory_cursor_close(persist_cursor *);
/* See persist_info. */
persist_status memory_info(persist_store *, slice stream, persist_view,
                           persist_stream_info *, bool *known, persist_error *);
/* See persist_get and persist_has. */
persist_status memory_get(persist_store *, slice key, persist_view, slice *out,
                          persist_error *);
/* See persist_blob_size. */
persist_status memory_blob_size(persist_store *, slice cid, uint64_t *size,
                                persist_error *);
/* See persist_blob_add. */
persist_status memory_blob_add(persist_store *, slice bytes, persist_cid,
                               persist_lsn *, persist_error *);
/* See persist_blob_create. */
persist_status memory_blob_create(persist_store *, persist_blob_writer **,
                                  persist_error *);
/* See persist_blob_write. */
persist_status memory_blob_write(persist_blob_writer *, slice, persist_error *);
/* See persist_blob_finish. */
persist_status memory_blob_finish(persist_blob_writer *, persist_cid,
                                  persist_lsn *, persist_error *);
/* See persist_blob_abort. */
void memory_blob_abort(persist_blob_writer *);
/* See persist_blob_open. */
persist_status memory_blob_open(persist_store *, slice cid, uint64_t *size,
                                persist_blob_reader **, persist_error *);
/* See persist_blob_read. */
persist_status memory_blob_read(persist_blob_reader *, void *, size_t,
                                size_t *got, persist_error *);
/* See persist_blob_read_at. */
persist_status memory_blob_read_at(persist_blob_reader *, uint64_t offset,
                                   void *, size_t, size_t *got,
                                   persist_error *);
/* See persist_blob_delete. */
persist_status memory_blob_delete(persist_store *, slice cid,
                                  uint64_t put_before, persist_lsn *,
                                  persist_error *);
/* See persist_blob_close. */
void memory_blob_close(persist_blob_reader *);

/* PERSIST_LIMIT: memory is out. */
persist_status memory_out(persist_error *);

/* Copies bytes for the caller of a public function (persist_free). */
persist_status memory_copy(slice bytes, slice *out, persist_error *);

/* The lsn of the next commit. */
persist_lsn memory_next_lsn(const memory_store *);

/* One more commit: gives it its lsn and its time, which is the given one if
 * there is one. */
void memory_new_commit(memory_store *, const uint64_t *time);

/* See persist_position_at. */
persist_status memory_position_at(persist_store *, uint64_t time, persist_view,
                                  uint64_t *position, persist_error *);

/* Fills the outcome of a command that is repeated. */
persist_status memory_report_once(const memory_once *, persist_outcome *,
                                  persist_error *);

/* Returns the position of the first event that matches a query, from a position
 * on; 0: there is none. */
uint64_t memory_first_match(const memory_state *, const persist_query_item *,
                            size_t count, uint64_t from);

/* Frees a memory_stream. NULL is fine. */
void memory_kept_free(void *);
void memory_stream_free(void *stream);
void memory_kept_free(void *kept);

/* Makes an empty state; NULL when memory is out. */
memory_state *memory_state_new(void);
/* Gives up one use of a state; the last one frees it. With the lock held, like:
 */
void memory_state_leave(memory_state *);
/* Before a commit: makes sure that the state of now is the store's alone; false
 * when memory is out. */
bool memory_state_own(memory_store *);
/* Tells whether an edit only drops events that are gone already. */
bool memory_drops_nothing(const memory_store *, const persist_edit *);
/* The state that a view shows. */
const memory_state *memory_state_of(const memory_store *, persist_view);

/* See persist_snapshot_open and persist_snapshot_close. */
persist_status memory_snapshot_open(persist_store *, persist_view,
                                    persist_snapshot **, persist_error *);
void memory_snapshot_close(persist_snapshot *);

/* Returns the index in [first, end) of the stream's first event whose number
 * is seq or higher. */
size_t memory_stream_seek(const memory_stream *, uint64_t seq);

/* Takes the lock of a store, and gives it back. */
memory_store *memory_enter(persist_store *);
void memory_leave(memory_store *);

#endif
