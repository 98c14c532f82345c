/* SPDX-License-Identifier: MIT */
/* The layers of a store at one moment: the memtable that takes commits, the
 * frozen one that is about to become a table, and the tables.
 *
 * A set of layers is shared, see readers.h; it keeps every layer in it. What a
 * newer layer says goes before what older ones say. */
#ifndef ENGINE_STATE_LAYERS_H
#define ENGINE_STATE_LAYERS_H

#include "engine/memtable/memtable.h"
#include "engine/table/table.h"

typedef struct layers {
    memtable *active;
    memtable *frozen; /* NULL: none */
    /* for readers.c: of one that was replaced; who uses it without a place */
    struct layers **retired_link, *retired_next;
    size_t users;
    uint64_t table_bytes; /* of all their files */
    uint64_t
        table_entries; /* events and keys in them, also those that are gone */
    size_t table_count;
    table *tables[]; /* oldest first */
} layers;

/* Makes a set, which takes references to the layers; NULL when memory is out.
 */
layers *layers_new(memtable *active, memtable *frozen, table *const *tables,
                   size_t table_count);
/* Gives the references back. NULL is fine. */
void layers_free(layers *);

/* Returns the last commit that is in a table; 0: none. */
persist_lsn layers_tables_last(const layers *);

/* Bytes of records that are in no table; those that a table of them may have
 * beyond; and what deleting it all takes: the writer's. */
uint64_t layers_logged(const layers *);
uint64_t layers_beyond(const layers *);
uint64_t layers_notes(const layers *);

/* Tells whether the tables are so many that merging goes before making more.
 */
bool layers_is_crowded(const layers *);

/* Tells whether a reader at an lsn may see anything of the active memtable,
 * whose entries build on the whole of the frozen one. */
static inline bool layers_shows_active(const layers *v, persist_lsn lsn)
{
    return lsn >= v->active->first;
}

/* The highest position that any event has. */
static inline uint64_t layers_position(const layers *v)
{
    return v->active->counts.next_position - 1;
}

/* The layers below the active memtable. Their functions do file work, and
 * need no lock. */

/* Which table is the first that may have an event from a position on; where
 * none tells, all may. */
size_t layers_first_table(const layers *, uint64_t position);

/* Finds a stream in one table; PERSIST_NONE: it is not there. */
persist_status layers_stream_in_table(table *, slice name, stream_entry *,
                                      persist_error *);

/* Finds a stream at an lsn, and which layer has its newest state: a table, or
 * the frozen memtable, whose number is table_count; there the entry is but its
 * state. PERSIST_NONE: it is not there. */
persist_status layers_below_stream(const layers *, slice name, persist_lsn,
                                   stream_entry *, size_t *layer,
                                   persist_error *);

/* The same in the tables alone, of which *layer is one then. */
persist_status layers_tables_stream(const layers *, slice name, stream_entry *,
                                    size_t *layer, persist_error *);

/* The state of a stream at an lsn; PERSIST_NONE: it is not there. */
persist_status layers_below_state(const layers *, slice name, persist_lsn,
                                  stream_state *, persist_error *);

/* A value and what keeps it in memory. */
typedef struct found_value {
    slice value;
    table_iter iter;
} found_value;

/* The value that a key has in the tables; otherwise as layers_below_key. */
persist_status layers_tables_key(const layers *, slice name, found_value *,
                                 persist_error *);

/* The value of a key at an lsn; PERSIST_NONE: it is absent. Release the value
 * after a PERSIST_OK. */
persist_status layers_below_key(const layers *, slice name, persist_lsn,
                                found_value *, persist_error *);
void found_value_release(found_value *);

/* Copies a value for who called the store, and releases it with persist_free.
 * out may be NULL. */
persist_status layers_copy_value(slice value, slice *out, persist_error *);

/* A command id. PERSIST_NONE: it is not there. On PERSIST_OK *owned is what
 * the caller gives to mem_free, or NULL. */
persist_status layers_below_once(const layers *, slice id, const once **out,
                                 once **owned, persist_error *);

/* A blob in the tables, or at an lsn. PERSIST_NONE: it is not there. */
persist_status layers_tables_blob(const layers *, slice digest, blob_entry *,
                                  persist_error *);
persist_status layers_below_blob(const layers *, slice digest, persist_lsn,
                                 blob_entry *, persist_error *);

/* The floor that a stream, which is there in this state, would have after a
 * truncation through a seq below its mark. */
persist_status layers_below_floor(const layers *, slice name,
                                  const stream_state *, uint64_t through,
                                  stream_floor *, persist_error *);

/* Decodes the entry of a section that an iterator is at. */
persist_status table_get_stream(const table_iter *, stream_entry *,
                                persist_error *);
persist_status table_get_event(const table_iter *, event_entry *,
                               persist_error *);
persist_status table_get_blob(const table_iter *, blob_entry *,
                              persist_error *);

#endif
