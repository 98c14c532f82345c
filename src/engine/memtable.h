/* SPDX-License-Identifier: MIT */
/* What a run of commits did, in memory, at every lsn that somebody may ask for.
 *
 * What came before it is in older layers: memtables and tables. A stream here
 * begins with the state it had there; a key knows whether it was there.
 *
 * Readers see the state at one lsn, their snapshot: of a key the newest
 * version that is not newer, of a stream the events in between. What no
 * snapshot and no durable read can see any more is garbage: it is queued with
 * the lsn that replaced it, and freed when the horizon has passed that.
 *
 * One writer at a time changes it, under the engine's state lock; it may look
 * without. A commit is applied edit by edit and can be taken back. Once it is
 * frozen nothing changes any more, garbage stays. */
#ifndef ENGINE_MEMTABLE_H
#define ENGINE_MEMTABLE_H

#include <stdatomic.h>

#include "base/btree.h"
#include "base/hashmap.h"
#include "engine/order.h"
#include "engine/stream.h"

/* The value a key had from an lsn on. */
typedef struct version {
    persist_lsn lsn;
    struct version *older;
    uint32_t size;
    bool deleted;
    uint8_t data[];
} version;

typedef struct key {
    slice name;          /* owned */
    version *newest;     /* NULL before the first edit */
    bool below;          /* older layers have a value for it */
    persist_lsn settled; /* the last commit whose garbage is queued */
} key;

/* A command id, with what its commit gave out. */
typedef struct once {
    slice id; /* owned */
    persist_lsn lsn;
    uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE];
    size_t seq_count;
    uint64_t seqs[];
} once;

typedef enum garbage_kind {
    GARBAGE_VERSIONS,  /* all that are older than a version */
    GARBAGE_KEY,       /* a key whose newest version is a deletion */
    GARBAGE_TRUNCATED, /* events of a stream */
} garbage_kind;

typedef struct garbage {
    persist_lsn lsn;
    garbage_kind kind;
    void *owner;      /* the key or stream */
    version *version; /* the one that replaced others */
} garbage;

/* What the whole store holds, older layers included. */
typedef struct store_counts {
    uint64_t next_position;
    uint64_t streams, keys, events;
} store_counts;

typedef struct memtable {
    _Atomic unsigned references;
    persist_lsn first, last; /* commits in it; last 0: none yet */
    uint64_t logged;         /* bytes of the log that they take */
    hashmap stream_map, key_map, once_map;
    btree stream_tree, key_tree;
    order order;
    store_counts counts;
    garbage *garbage; /* a queue: [garbage_first, garbage_end) */
    size_t garbage_first, garbage_end, garbage_capacity;
    uint64_t memory; /* bytes, roughly */
} memtable;

/* Makes an empty memtable with one reference, for commits from `first` on;
 * NULL when memory is out. */
memtable *memtable_new(uint64_t seed, persist_lsn first, const store_counts *);
memtable *memtable_ref(memtable *);
/* Gives a reference back; the last one frees all. NULL is fine. */
void memtable_unref(memtable *);

/* Finds a stream or key; NULL if it had no edit here (an edit in the making
 * counts). */
stream *memtable_stream(const memtable *, slice name);
key *memtable_key(const memtable *, slice name);
once *memtable_once(const memtable *, slice id);

/* Make one that is not here. base: the stream's state in older layers, NULL:
 * none; a new stream or key is invisible until an edit applies. NULL when
 * memory is out. */
stream *memtable_make_stream(memtable *, slice name, const stream_state *base);
key *memtable_make_key(memtable *, slice name, bool below);

/* Removes a stream or key that memtable_make_... made and no edit uses. */
void memtable_unmake_stream(memtable *, stream *);
void memtable_unmake_key(memtable *, key *);

/* Makes room for what one commit replaces, with that many edits that may, and
 * for a command id; false when memory is out. */
bool memtable_reserve(memtable *, size_t replacing, bool with_once);

/* One writing edit with its stream or key, as of a new lsn. */
typedef struct memtable_edit {
    const persist_edit *edit;
    void *target; /* stream or key; NULL: it is not there, or needs none */
    uint64_t seq; /* appends: the number given */
    stream_floor floor; /* truncations of events in older layers */
    uint64_t undo;      /* set by memtable_apply */
    bool applied;       /* set by memtable_apply: it changed something */
    bool made;          /* the target was made for it */
} memtable_edit;

/* Applies an edit; false when memory is out. Needs memtable_reserve. */
bool memtable_apply(memtable *, memtable_edit *, persist_lsn);
/* Takes edits back; in the reverse order of applying. */
void memtable_undo(memtable *, const memtable_edit *);
/* Queues what an applied edit replaced. */
void memtable_settle(memtable *, const memtable_edit *, persist_lsn);

/* Makes a command id record; NULL when memory is out. */
once *once_new(const persist_once *, persist_lsn, const uint64_t *seqs,
               size_t seq_count);
/* Keeps it; needs memtable_reserve. */
void memtable_add_once(memtable *, once *);

/* The version of a key at an lsn, which may be a deletion; NULL: ask older
 * layers. */
const version *key_at(const key *, persist_lsn);

/* The lsn of the oldest garbage; UINT64_MAX if there is none. */
persist_lsn memtable_garbage_from(const memtable *);
/* Frees garbage that nobody sees who looks at this lsn or a later one. */
void memtable_collect(memtable *, persist_lsn horizon);

#endif
