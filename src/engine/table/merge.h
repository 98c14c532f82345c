/* SPDX-License-Identifier: MIT */
/* Merging: tables that lie side by side become one, in steps.
 *
 * Of a stream the newest state stays, and its events that are not truncated,
 * nor parted from the newest ones by some that are;
 * of a key, and of a blob, the newest entry, of a deletion nothing if no older
 * table could hold what it deletes. Marks and command ids stay for ever. */
#ifndef ENGINE_TABLE_MERGE_H
#define ENGINE_TABLE_MERGE_H

#include "engine/table/entry.h"
#include "engine/table/postings.h"
#include "engine/table/times.h"
#include "engine/table/tournament.h"

typedef enum merge_stage {
    MERGE_STREAMS, /* with their events */
    MERGE_KEYS,
    MERGE_ONCES,
    MERGE_BLOBS,
    MERGE_TAGS,
    MERGE_ORDER,
    MERGE_DONE,
} merge_stage;

typedef struct merge_source {
    table *table; /* with a reference */
    table_iter iter;
    table_iter events;
    bool has;           /* the iterator is at an entry */
    stream_entry entry; /* of the stream in hand */
} merge_source;

typedef struct merge {
    table_writer writer;
    merge_stage stage;
    bool opened;           /* the sources are at the stage's entries */
    bool to_the_bottom;    /* no older table is left out */
    merge_source *sources; /* owned; oldest first */
    size_t source_count;
    tournament tournament; /* between them, the newest first */
    uint32_t *same;        /* owned: those with the key in hand, oldest first */
    size_t same_count;
    size_t order_source; /* the one whose order is being copied */
    uint64_t ordinal;    /* of the next stream */
    uint64_t gone;       /* of the stream in hand, every event up to this seq */
    bool dropped;        /* some events are gone, */
    bool parted;         /* also some that no state says are truncated */
    buf name, value;     /* of the entry in hand */
    bool named;          /* there was an entry before it in its section */
    postings_writer tags; /* of the tag in hand */
    uint64_t position;    /* of the newest event of the order */
    times_writer times;   /* of the events of the order */
    times_reader when;    /* in the source whose order is being copied */
    uint64_t cached_gone; /* of the stream in `cached_name` */
    buf cached_name;
    bool has_cached;
    uint64_t entries, moved; /* that the sources have; gone through so far */
    uint64_t bytes;          /* that they have */
} merge;

/* Begins the merge of tables, oldest first, into one of that number. Ends with
 * merge_finish or merge_abort unless it fails. */
persist_status merge_begin(merge *, const table_place *, table *const *tables,
                           size_t count, bool to_the_bottom, uint64_t number,
                           uint32_t block_size, bool compress, persist_error *);

/* Does a part of it; the stage MERGE_DONE tells that nothing is left. */
persist_status merge_step(merge *, persist_error *);

/* About how many bytes of its sources it has gone through. */
uint64_t merge_done(const merge *);

/* Makes the table durable; *size is that of its file. Releases the merge. */
persist_status merge_finish(merge *, uint64_t *size, persist_error *);

/* Drops it all. Safe on a zeroed merge. */
void merge_abort(merge *);

#endif
