/* SPDX-License-Identifier: MIT */
/* The engine: one store directory, opened. Bytes in, durable bytes out.
 *
 * Locks, in the order they are taken: `upkeep` (one step of flushing and
 * merging at a time), `writer` (one commit at a time; a new set of layers needs
 * it too), `readers.change` (to change the active memtable, see readers.h),
 * then the small ones, `readers.lock` and the log's. No file work is done under
 * `readers.change`. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "engine/blob.h"
#include "engine/layout.h"
#include "engine/merge.h"
#include "engine/readers.h"
#include "engine/recover.h"
#include "engine/tournament.h"
#include "engine/wal.h"

/* A table that a merge has replaced; its file goes once no manifest lists it
 * and no reader uses it. */
typedef struct dropped_table {
    table *table;
    uint64_t generation; /* of the first manifest without it */
} dropped_table;

/* Files that earlier openings left behind. */
typedef struct number_list {
    uint64_t *numbers; /* owned */
    size_t count, capacity;
} number_list;

typedef struct leftovers {
    number_list segments, tables;
} leftovers;

/* Flushing and merging; see upkeep.c. */
typedef struct upkeep {
    pthread_mutex_t step; /* held while a step runs; for all up to `lock` */
    bool by_steps; /* without a thread: no more than engine_step is told to */
    bool merging;
    merge merge;
    bool paid;                  /* the merge is one that reads have paid for */
    atomic_bool flushed;        /* something, since the opening */
    _Atomic uint64_t credit;    /* bytes of merging that reads have paid for */
    _Atomic uint64_t dead;      /* bytes in tables; changed under step */
    uint64_t claimed;           /* of them the merge does away with */
    uint64_t given_up;          /* so many were dead when a merge met damage */
    atomic_bool awaits_readers; /* to delete a table */
    dropped_table *dropped;
    size_t dropped_count, dropped_capacity;

    pthread_mutex_t lock; /* for all below */
    pthread_cond_t work, done;
    pthread_t thread;
    bool thread_runs, thread_stops, wanted;
    uint64_t attempts;
    persist_status status; /* of the last step */
    persist_error error;
} upkeep;

typedef struct engine {
    const os *sys;
    os own_sys; /* where that points, if files are not mapped */
    layout at;
    uint64_t memtable_size; /* bytes */
    unsigned merge_width;   /* 0: by what the tables hold */
    uint32_t block_size;
    bool compress;
    uint64_t credit_share;  /* what a reader has wasted when it hands it in */
    uint32_t credit_factor; /* what reads waste counts so often; for tests */
    table_place table_place;
    cache cache;
    arena_pool pool; /* of the memtables */
    upkeep upkeep;
    leftovers leftovers; /* under upkeep.step, like: */
    uint64_t next_table;
    atomic_bool in_use; /* the newest manifest says that this opening writes */
    persist_equal_fn equal;
    void *equal_context;
    uint64_t looked_us; /* the leader's: when it was looked who holds it */
    uint64_t replayed;  /* log bytes read at opening */
    bool full;          /* the disk, which could be read only, at opening */
    bool no_room;       /* to write the end of the log again, at opening */
    atomic_bool lacks_reserve; /* it was given, and not made again in full */

    pthread_mutex_t writer;
    wal wal;
    manifest manifest;   /* as last stored */
    memtable_edit *plan; /* of the commit in hand */
    uint64_t *seqs;      /* numbers of its appends */
    size_t plan_capacity;
    uint64_t plan_number; /* counts plans */
    uint64_t keys_made;   /* counts keys that entered a memtable */
    bool installing;      /* nothing is frozen meanwhile */
    bool wakes_upkeep;    /* when the lock is given back */

    layers *layers; /* the current ones, for the writer */
    readers readers;
    _Atomic persist_lsn latest; /* the newest commit that applied */
    uint64_t commits;           /* under readers.change */

    blob_store blobs;
} engine;

/* ---- engine.c: opening and closing ------------------------------------ */

/* The operating system that options ask for; `own` is room for a table of its
 * own, and lives as long as what is returned. */
const os *engine_os(const persist_options *, os *own);

/* Tells what is wrong with the sizes in options: PERSIST_BAD_REQUEST. */
persist_status engine_check(const persist_options *, persist_error *);

/* Opens as persist_open does. The engine is allocated; *out is released by
 * engine_close. */
persist_status engine_open(const persist_options *, engine **out,
                           persist_error *);

/* Closes as persist_close does. */
persist_status engine_close(engine *, persist_error *);

/* Makes some background work that is due, for those who have no thread;
 * *did tells whether there was any. */
persist_status engine_step(engine *, bool *did, persist_error *);

/* The writer, before it writes anything but blobs: makes sure that the newest
 * manifest says that the store is in use. An opening that only reads never
 * writes one. */
persist_status engine_use(engine *, persist_error *);

/* Leaves the work to engine_step from now on, but for what a commit cannot go
 * on without: so a test decides what comes between two steps. */
void engine_by_steps(engine *);

/* Counts what reads waste so many times: so a test gets merges that reads pay
 * for. Before the first read. */
void engine_reads_pay(engine *, uint32_t times);

/* Fills in the figures. */
void engine_stats(engine *, persist_stats *);

/* ---- close.c ---------------------------------------------------------- */

/* Ends what this opening wrote: the store is closed cleanly. */
persist_status engine_end_log(engine *, persist_error *);

/* ---- commit.c --------------------------------------------------------- */

/* Commits as persist_commit does; sizes have been checked. */
persist_status engine_commit(engine *, const persist_edit *, size_t count,
                             const persist_once *, persist_outcome *,
                             persist_error *);

/* Finds a command id as persist_once_find does. */
persist_status engine_once_find(engine *, slice id,
                                uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE],
                                persist_outcome *, persist_error *);

/* Commits that a blob, which has its place, is there. */
persist_status engine_commit_blob(engine *, const blob_entry *,
                                  persist_lsn *lsn, persist_error *);

/* Applies a commit that was read from the log, which says all that is needed of
 * older layers: no table is read. PERSIST_CORRUPT if it contradicts what is
 * there. */
persist_status engine_replay(engine *, persist_lsn, const record_body *,
                             persist_error *);

/* ---- blob_index.c ----------------------------------------------------- */

/* As persist_blob_has, the cid being well-formed; persist_blob_add; and the
 * public functions on writers and readers, which are the caller's structs. The
 * others of them are in blob.h. finish takes the writer, and does not wait. */
persist_status engine_blob_has(engine *, slice cid, persist_error *);
persist_status engine_blob_add(engine *, slice bytes, persist_cid out,
                               persist_lsn *lsn, persist_error *);
persist_status engine_blob_finish(engine *, blob_writer *, persist_cid out,
                                  persist_lsn *lsn, persist_error *);
persist_status engine_blob_open(engine *, slice cid, blob_reader *out,
                                persist_error *);

/* ---- expect.c --------------------------------------------------------- */

/* The writer: tells whether an expectation, an edit of that index, holds; if
 * not, fills in the conflict. */
persist_status expectation_check(const engine *, const persist_edit *,
                                 size_t index, bool *holds, persist_outcome *,
                                 persist_error *);

/* ---- upkeep.c --------------------------------------------------------- */

/* Sets up, and releases; the latter stops the thread. */
void upkeep_init(engine *);
void upkeep_release(engine *);
/* Starts the thread. */
persist_status upkeep_start(engine *, persist_error *);
void upkeep_stop(engine *);

/* The writer: tells whether the active memtable has had its share. */
bool upkeep_is_full(const engine *);
/* The writer: freezes the active memtable if it is full and nothing frozen is
 * left; *did tells. After an error nothing has happened. */
persist_status upkeep_freeze(engine *, bool *did, persist_error *);
/* The same if it holds anything at all. */
persist_status upkeep_freeze_all(engine *, bool *did, persist_error *);
/* Waits, or works, until something can be frozen; an error if that cannot be.
 * The caller is not the writer. */
persist_status upkeep_await(engine *, persist_error *);
/* Tells the thread that there is work; works if there is none. */
void upkeep_call(engine *);
/* The same, but without a thread it is left for later: for readers. */
void upkeep_wake(engine *);
/* Tells whether this opening may begin a merge of these layers. */
bool upkeep_may_merge(const engine *, const layers *);
/* Makes one step of what is due; *did tells whether there was any. */
persist_status upkeep_step(engine *, bool *did, persist_error *);
/* Writes what the log holds into a table if that makes opening fast. */
void upkeep_close(engine *);
/* Deletes the files of tables that nobody needs any more; tells whether there
 * were any. */
bool upkeep_sweep(engine *);

/* Opens a table that has just been written; if that cannot be its file goes. */
persist_status upkeep_open_table(engine *, uint64_t number, uint64_t size,
                                 table **out, persist_error *);

/* The same layers but for the tables [from, to), which `t` takes the place of,
 * and for the frozen memtable, which it may be too: a new manifest, and a new
 * set of layers, with about so many keys. Takes the table over; after an error
 * its file is gone, unless nobody knows which manifest stands. For flush.c and
 * upkeep.c, under upkeep.step. */
persist_status upkeep_install(engine *, size_t from, size_t to, table *t,
                              bool flushed, uint64_t keys, persist_error *);

/* Writes the manifest once more, so that what it does not list can go. Under
 * upkeep.step. */
persist_status upkeep_settle(engine *, persist_error *);

/* ---- dead.c: space that goes by itself --------------------------------- */

/* Tells whether so many dead bytes in tables shall go. */
bool dead_is_much(const engine *, const layers *, uint64_t dead);
/* The writer: wakes whoever lets go of what is dead, if that is much by now. */
void dead_call(engine *);
/* The writer, on a full disk: the log gives back as well what a table of it
 * does without. */
void dead_call_all(engine *);
/* At opening: guesses what is dead in the tables. */
void dead_estimate(engine *);
/* Makes one step towards letting go of what is dead, but for merging. Under
 * upkeep.step, with nothing frozen. */
persist_status dead_step(engine *, const layers *, bool *did, persist_error *);

/* A step found no space: gives some back; false if there is none to give. Under
 * upkeep.step. */
bool dead_make_room(engine *, const layers *);

/* ---- reserve.c: room for a way out of a full disk ----------------------- */

/* Something that a full disk needs to be less full found no space: gives the
 * reserve back; false if there is none. */
bool reserve_give(engine *);
/* Makes the reserve, as big as it should be for these layers, or can. */
void reserve_make(engine *, const layers *);
/* The same after it was given, if it is not whole again. */
void reserve_renew(engine *, const layers *);
/* At opening, when the one before it has given it. */
void reserve_take_up(engine *);
/* The writer, for a commit that frees space: as engine_use and wal_reserve. */
persist_status reserve_use(engine *, persist_error *);
persist_status reserve_record(engine *, persist_error *);

/* ---- leftovers.c ------------------------------------------------------ */

/* At opening: notes tables that no manifest lists, and raises next_table above
 * the numbers of all. */
persist_status leftovers_find_tables(engine *, const manifest *listed,
                                     persist_error *);
/* At opening: notes segments that the newest manifest on disk does not list.
 * Those from its next_segment on may be its log. */
persist_status leftovers_find_segments(engine *, const manifest *newest,
                                       const recovery *, persist_error *);
/* Deletes at once those that the manifest before does not list either; both are
 * durable. */
void leftovers_delete_segments(engine *, const segment_place *,
                               const manifest *previous);
/* When there is no space for the copy of the log's end, or for the manifest:
 * deletes segments that were made ready and never written to. */
void leftovers_make_room(engine *, const manifest *newest,
                         const manifest *previous, const recovery *);
/* Deletes one file; false if there is none. In use only. */
bool leftovers_step(engine *);
void leftovers_release(leftovers *);

/* ---- flush.c ---------------------------------------------------------- */

/* Writes the frozen memtable as a table and lets it go. Under upkeep.step. */
persist_status flush_frozen(engine *, persist_error *);

/* ---- read.c: snapshots, and reads of one thing ------------------------- */

/* A snapshot: layers as of an lsn. */
typedef struct snapshot {
    layers *layers;
    persist_lsn lsn;
    bool with_active; /* the active memtable may be looked at */
    read_place *place;
    read_place own; /* where it is when all places are taken */
} snapshot;

/* Takes a snapshot; it ends with snapshot_close. Never fails. */
void snapshot_open(engine *, persist_view, snapshot *);
void snapshot_close(engine *, snapshot *);

/* Returns a stream of the active memtable as a snapshot sees it; NULL: ask
 * the layers below. *hidden: it is not there at all. The caller looks. */
const stream *snapshot_stream(const snapshot *, slice name, bool *hidden);

/* Finds a stream in a snapshot as layers_below_stream does; the number of the
 * active memtable is table_count + 1. */
persist_status snapshot_find(engine *, const snapshot *, slice name,
                             stream_entry *, size_t *layer, persist_error *);

/* The state of a stream in a snapshot; PERSIST_NONE: it is not there. */
persist_status snapshot_state(engine *, const snapshot *, slice name,
                              stream_state *, persist_error *);

/* ---- credit.c: merging that reading pays for --------------------------- */

/* Notes what a reader wastes, in bytes of merging that take as long. */
void credit_note(const snapshot *, uint64_t bytes);
/* The same for a look-up in the tables, of which the last it looked into is
 * that, or the oldest if it is NULL. */
void credit_note_looks(const snapshot *, table_section, const table *last);
/* Hands in what was noted. */
void credit_hand_in(engine *, const snapshot *);
/* Tells whether what was handed in covers the merge that gains most for what
 * it costs: that of the tables from *from on. */
bool credit_covers(const engine *, const layers *, size_t *from);
/* Uses all of it up. */
void credit_spend(engine *);

/* ---- cursor.c, read_stream.c, read_all.c, read_names.c ------------------ */

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

/* The newest visible lsn: after a failed sync the last durable one. */
persist_lsn engine_visible(const engine *);

/* The writer: makes layers, which are taken over, the current ones. */
void engine_set_layers(engine *, layers *);

#endif
