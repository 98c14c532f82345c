/* SPDX-License-Identifier: MIT */
/* One store directory, opened: all of its state, and what every room above
 * needs of it.
 *
 * Locks, in the order they are taken: `upkeep` (one step of flushing and
 * merging at a time), `writer` (one commit at a time; a new set of layers needs
 * it too), `readers.change` (to change the active memtable, see readers.h),
 * then the small ones, `readers.lock` and the log's. No file work is done under
 * `readers.change`. */
#ifndef ENGINE_STATE_STATE_H
#define ENGINE_STATE_STATE_H

#include "engine/blob/blob.h"
#include "engine/files/files.h"
#include "engine/log/log.h"
#include "engine/state/readers.h"
#include "engine/table/table.h"
#include "os/os_thread.h"

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
    number_list copied; /* segments that recovery wrote again: they go with the
                           manifest behind this one */
    uint64_t copied_with;
} leftovers;

/* Flushing and merging; see upkeep.c. */
/* About so many bytes of tables live, by what is known to be dead, and by how
 * many entries there are; both may be far off. */
typedef struct living {
    uint64_t known, counted;
} living;

/* Why tables are merged: so that they are few; for space; since reads have paid
 * for it; since somebody has asked. */
typedef enum merge_cause {
    MERGE_FOR_SIZE,
    MERGE_FOR_DEAD,
    MERGE_FOR_READS,
    MERGE_ASKED,
    MERGE_CAUSES
} merge_cause;

typedef struct upkeep {
    pthread_mutex_t step; /* held while a step runs; for all up to `lock` */
    bool by_steps; /* without a thread: no more than engine_step is told to */
    bool merging, begins_merge;
    merge merge;
    tag_sort tags;              /* of a flush; its memory is that of the next */
    _Atomic uint64_t waited_us; /* so long commits did, since the last flush */
    unsigned apart;             /* flushes that had a thread sort them */
    bool paid;                  /* the merge is one that reads have paid for */
    merge_cause cause;          /* of the merge */
    /* bytes, see persist_stats */
    _Atomic uint64_t flushed_bytes, merged_bytes[MERGE_CAUSES], freed_bytes;
    _Atomic uint64_t replaced; /* bytes of what is dropped */
    unsigned tidying;        /* so many have asked for compacting, or purging */
    atomic_bool flushed;     /* something, since the opening */
    bool has_reserved;       /* the reserve was looked for */
    _Atomic uint64_t credit; /* bytes of merging that reads have paid for */
    _Atomic unsigned vain;   /* such merges that failed, one after another */
    _Atomic uint64_t dead;   /* bytes in tables; changed under step */
    uint64_t claimed;        /* of them the merge does away with */
    bool is_stuck;           /* a merge of all tables found no room, */
    living stuck_at;         /* when so much lived, */
    uint64_t stuck_with;     /* with a reserve of so many bytes; */
    living began_at;         /* the present merge began when so much did, */
    uint64_t began_with;     /* with so many */
    uint64_t given_up;       /* so many were dead when a merge met damage */
    atomic_bool awaits_readers; /* to delete a table */
    atomic_bool refused;        /* the last commit that adds found no room */
    dropped_table *dropped;
    size_t dropped_count, dropped_capacity;

    pthread_mutex_t lock; /* for all below */
    os_worker worker;
    pthread_cond_t done;
    bool wanted;
    uint64_t begun, ended; /* steps of the thread */
    persist_status status; /* of the last one */
    bool did;              /* that did something */
    persist_error error;
    _Atomic uint64_t gains; /* steps that did, but for parts of merges */
} upkeep;

/* What a name takes of a table, as one of that number tells. */
typedef struct note_size {
    uint64_t size, of;
} note_size;

/* So many bytes of records that add had a table with so much more than they,
 * and notes of so much to delete it. */
typedef struct log_tells {
    uint64_t logged, beyond, notes;
} log_tells;

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
    _Atomic uint64_t features; /* bits that it has */
    /* what upkeep does for blobs, see engine_blob_step */
    persist_status (*blob_step)(struct engine *, bool *did, persist_error *);
    persist_equal_fn equal;
    void *equal_context;
    uint64_t looked_us; /* the leader's: when it was looked who holds it */
    uint64_t replayed;  /* log bytes read at opening */
    bool full;          /* the disk, which could be read only, at opening */
    bool no_room;       /* to write the end of the log again, at opening */
    bool spares;        /* it writes no more of it than has to be, at opening */
    atomic_bool lacks_reserve; /* it was given, and not made again in full */
    _Atomic uint64_t reserve_tables; /* bytes of it that are not for the log; */
    _Atomic uint64_t reserve_notes;  /* and that come to it on a scarce disk */
    atomic_bool is_scarce;
    note_size key_note, stream_note; /* under step */
    _Atomic uint64_t unflushed; /* bytes of records that are in no table, */
    _Atomic uint64_t beyond;    /* what a table of them has more, */
    _Atomic uint64_t notes;     /* and what deletes it all: see memtable */
    _Atomic uint64_t
        beyond_share;             /* of both what a byte of the log comes to, */
    _Atomic uint64_t notes_share; /* in LOG_SHARE_ONE, by what came last */
    log_tells log_tells;          /* the writer's */
    _Atomic unsigned
        reserve_files; /* so many of the files that are kept are there */
    bool covers_tail;  /* it was grown for what the log had ahead when opened */
    bool frees_tail;   /* the segment was made for what frees; the writer's */
    pthread_mutex_t reserve; /* held while it is given or made; the last */

    pthread_mutex_t writer;
    wal wal;
    manifest manifest;   /* as last stored */
    gaps gaps;           /* of lsns, before this opening */
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
    atomic_uint backups; /* that are open: no blob's file goes meanwhile */
    atomic_uint ships;   /* that are open */
} engine;

/* The newest manifests may not be durable yet, if the last process ended
 * between a rename and its sync: makes them so. Before anything is deleted that
 * they do not list, or one of them is replaced. */
persist_status engine_sync_manifests(const engine *, persist_error *);

/* The writer, before it writes anything but blobs: makes sure that the newest
 * manifest says that the store is in use. An opening that only reads never
 * writes one. */
persist_status engine_use(engine *, persist_error *);

/* Which store it is, and of which it came: zeros, of none. */
void engine_identity(engine *, uint8_t self[IDENTITY_SIZE],
                     uint8_t parent[IDENTITY_SIZE]);

/* Gives the store a new identity, and that of its parent; durable then. */
persist_status engine_become_another(engine *,
                                     const uint8_t parent[IDENTITY_SIZE],
                                     persist_error *);

/* The leader: whether the directory, and what was written to, is still where
 * the next opening looks for it; for wal.h. */
persist_status engine_check_hold(void *context, wal_segment *written,
                                 persist_error *why);

/* When all is written: whether the files of log and blobs still are there, and
 * as long as they were made. */
persist_status engine_check_files(engine *, persist_error *why);

/* After a call has failed: if it did because the directory or a part of it was
 * taken away, that is the error, and ends writing. Returns the status. */
persist_status engine_explain(engine *, persist_status, persist_error *);

/* The writer: makes layers, which are taken over, the current ones. */
void engine_set_layers(engine *, layers *);

/* The newest visible lsn: after a failed sync the last durable one. */
persist_lsn engine_visible(const engine *);

/* What a read sees: what is committed as it begins, or only what is durable;
 * or a state that is kept. */
typedef struct engine_view {
    bool durable;
    const struct kept_snapshot *kept; /* NULL: none */
} engine_view;

#define VIEW_LATEST ((engine_view){.durable = false})
#define VIEW_DURABLE ((engine_view){.durable = true})

/* The highest position that any event of a view has. */
uint64_t engine_position(engine *, engine_view);

/* Waits until an event above a position is durable; see persist_wait_position.
 * The caller has entered the log's news, and words PERSIST_CLOSED. */
persist_status engine_await(engine *, uint64_t position, uint64_t timeout_ms,
                            uint64_t *newest, persist_error *);

/* Tells the thread of upkeep that there is work; whether there is a thread. */
bool engine_wake(engine *);

/* Tells whether this opening may begin a merge of these layers. */
bool engine_may_merge(const engine *, const layers *);

/* ---- snapshots -------------------------------------------------------- */

/* A snapshot: layers as of an lsn. */
typedef struct snapshot {
    layers *layers;
    persist_lsn lsn;
    bool with_active; /* the active memtable may be looked at */
    bool is_free;     /* what it wastes is not counted, see credit.c */
    read_place *place;
    read_place own; /* where it is when all places are taken */
} snapshot;

/* Takes a snapshot; it ends with snapshot_close. Never fails. */
void snapshot_open(engine *, engine_view, snapshot *);
void snapshot_close(engine *, snapshot *);

/* A state that is kept for as many snapshots as are opened of it, by any
 * threads: the layers of the moment, what is seen of them, and the highest
 * position that any event has there. */
typedef struct kept_snapshot {
    layers *layers;
    persist_lsn lsn;
    uint64_t position;
} kept_snapshot;

/* Keeps the state of a view; lets it go, when no snapshot is being opened of
 * it. Never fail. */
void snapshot_keep(engine *, bool durable, kept_snapshot *);
void snapshot_let_go(engine *, const kept_snapshot *);

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

/* ---- credit.c: merging and flushing that reading pays for --------------- */

/* Notes what a reader wastes, in bytes of merging that take as long. */
void credit_note(const snapshot *, uint64_t bytes);
/* The same for a look-up in the tables, of which the last it looked into is
 * that, or the oldest if it is NULL. */
void credit_note_looks(const snapshot *, table_section, const table *last);
/* The same for an event in a table that is truncated: a merge drops it, once a
 * table says that it is. */
void credit_note_gone(const snapshot *);
/* Notes that a reader has passed over so many things that are gone, in a
 * memtable or by what that says; tells whether that has cost as much by now as
 * it takes to write the active one, which leaves them out. */
void credit_note_passed(const snapshot *, memtable *, uint64_t count);
bool credit_covers_flush(const engine *);
/* Hands in what was noted. */
void credit_hand_in(engine *, const snapshot *);
/* Tells whether what was handed in covers the merge that gains most for what
 * it costs: that of the tables from *from on. */
bool credit_covers(const engine *, const layers *, size_t *from);
/* Uses all of it up. */
void credit_spend(engine *);
/* A merge that reads have paid for failed, or any one ended well. */
void credit_note_end(engine *, bool failed);

#endif
