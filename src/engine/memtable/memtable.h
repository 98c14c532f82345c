/* SPDX-License-Identifier: MIT */
/* What a run of commits did, in memory, at every lsn that somebody may ask for.
 *
 * What came before it is in older layers: memtables and tables. A stream here
 * begins with the state it had there; a key does not know whether it was, so
 * that a put reads nothing.
 *
 * Readers see the state at one lsn, their snapshot: of a key the newest
 * version that is not newer, of a stream the events in between. Nothing leaves
 * before the memtable goes as a whole: it stands for a bounded part of the log.
 *
 * One writer at a time changes it, while nobody looks (see readers.h). A commit
 * is applied edit by edit and can be taken back. Once it is frozen nothing
 * changes any more, but for the index of tags: who asks for events by tag makes
 * it, as far as he sees, while nobody else looks. */
#ifndef ENGINE_MEMTABLE_MEMTABLE_H
#define ENGINE_MEMTABLE_MEMTABLE_H

#include <stdatomic.h>

#include "base/btree.h"
#include "base/hashmap.h"
#include "engine/files/files.h"
#include "engine/memtable/order.h"
#include "engine/memtable/stream.h"
#include "engine/memtable/tag_sort.h"
#include "engine/memtable/tags.h"

/* The value a key had from an lsn on. */
typedef struct version {
    persist_lsn lsn;
    struct version *older;
    uint32_t size;
    bool deleted;
    uint8_t data[];
} version;

typedef struct key {
    slice name;      /* owned */
    version *newest; /* NULL before the first edit */
} key;

/* A command id, with what its commit gave out. */
typedef struct once {
    slice id; /* owned */
    persist_lsn lsn;
    uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE];
    size_t seq_count;
    uint64_t seqs[];
} once;

/* Where a blob is, from an lsn on. */
typedef struct blob_version {
    persist_lsn lsn;
    struct blob_version *older;
    blob_entry entry;
} blob_version;

typedef struct blob_item {
    slice digest;         /* owned */
    blob_version *newest; /* NULL before the first commit */
} blob_item;

/* What the whole store holds, older layers included. Of keys nobody knows. */
typedef struct store_counts {
    uint64_t next_position;
    uint64_t streams, events;
    uint64_t time; /* of the last commit */
} store_counts;

typedef struct memtable {
    _Atomic unsigned references;
    persist_lsn first, last; /* commits in it; last 0: none yet */
    uint64_t logged;         /* bytes of the log that they take */
    uint64_t edits;          /* in them */
    uint64_t dead;           /* bytes of older layers that they make dead */
    uint64_t beyond;  /* bytes of a table that the log has not, at most */
    uint64_t notes;   /* bytes that deleting its keys, and truncating its
                         streams, takes of one, about */
    size_t long_name; /* names of this size take more of a table */
    hashmap stream_map, key_map, once_map, blob_map;
    tag_index tags;
    size_t tag_count, tagged_count; /* of all events, and those that have any */
    btree stream_tree, key_tree, once_tree, blob_tree;
    order order;
    arena arena;             /* streams and events, keys and versions */
    uint64_t first_position; /* older layers have lower ones */
    store_counts counts;
    uint64_t memory; /* bytes, roughly; but for the index of tags */
    /* How much readers have passed over that is gone, here or by what is here.
     */
    _Atomic uint64_t passed;
    atomic_bool truncates; /* some stream, maybe */
} memtable;

/* Makes an empty memtable with one reference, for commits from `first` on,
 * whose table will have leaves of names of that size; NULL when memory is out.
 */
memtable *memtable_new(arena_pool *, uint64_t seed, persist_lsn first,
                       const store_counts *, size_t leaf);
memtable *memtable_ref(memtable *);
/* Gives a reference back; the last one frees all. NULL is fine. */
void memtable_unref(memtable *);

/* Finds a stream or key; NULL if it had no edit here (an edit in the making
 * counts). */
stream *memtable_stream(const memtable *, slice name);
key *memtable_key(const memtable *, slice name);
once *memtable_once(const memtable *, slice id);
blob_item *memtable_blob(const memtable *, slice digest);

/* What it takes, in bytes, roughly. */
uint64_t memtable_memory(const memtable *);

/* Tells whether the index of tags has all events up to an lsn, which is
 * visible: it stays so. Indexes some more; false when memory is out. */
bool memtable_is_indexed(const memtable *, persist_lsn);
bool memtable_index_some(memtable *, persist_lsn);
/* The writer, before a commit: an index that lacks no tag has all that is here,
 * also what has none. Else who found it whole would find it behind, once there
 * is an event with tags that he does not see. */
void memtable_pass_plain(memtable *);
/* The events of a tag, up to an lsn to which they are indexed, or beyond; NULL:
 * there are none. */
const tag_list *memtable_tag(const memtable *, slice tag, persist_lsn);

/* Make one that is not here. base: the stream's state in older layers, NULL:
 * none; a new stream or key is invisible until an edit applies. NULL when
 * memory is out. */
stream *memtable_make_stream(memtable *, slice name, const stream_state *base);
key *memtable_make_key(memtable *, slice name);

/* Removes a stream or key that memtable_make_... made and no edit uses. Its
 * memory, like that of an edit which is undone, stays in the arena: whoever
 * takes a commit back rewinds that. */
void memtable_unmake_stream(memtable *, stream *);
void memtable_unmake_key(memtable *, key *);

/* One writing edit with its stream or key, as of a new lsn. */
typedef struct memtable_edit {
    const persist_edit *edit;
    void *target; /* stream or key; NULL: it is not there, or needs none */
    uint64_t seq; /* appends: the number given */
    stream_floor floor; /* truncations of events in older layers */
    uint64_t undo;      /* set by memtable_apply */
    bool applied;       /* set by memtable_apply: it changed something */
    bool made;          /* the target was made for it */
    bool drops_nothing; /* a truncation up to where nothing is left */
} memtable_edit;

/* Applies an edit; false when memory is out. */
bool memtable_apply(memtable *, memtable_edit *, persist_lsn, uint64_t time);
/* Takes edits back; in the reverse order of applying. */
void memtable_undo(memtable *, const memtable_edit *);

/* Keeps a command id that is not here, visible from an lsn on; NULL when memory
 * is out. Takes it back, and frees it. */
once *memtable_make_once(memtable *, const persist_once *, persist_lsn,
                         const uint64_t *seqs, size_t seq_count);
void memtable_unmake_once(memtable *, once *);

/* Make a blob that is not here, invisible as long as it has no version; and a
 * version, which belongs to none yet. NULL when memory is out. */
blob_item *memtable_make_blob(memtable *, slice digest);
blob_version *memtable_make_blob_version(memtable *, const blob_entry *,
                                         persist_lsn);
/* Removes a blob that has no version; gives one a version, for good. */
void memtable_unmake_blob(memtable *, blob_item *);
void memtable_set_blob(memtable *, blob_item *, blob_version *);

/* The version of a blob at an lsn; NULL: ask older layers. */
const blob_version *blob_at(const blob_item *, persist_lsn);

/* The version of a key at an lsn, which may be a deletion; NULL: ask older
 * layers. */
const version *key_at(const key *, persist_lsn);

#endif
