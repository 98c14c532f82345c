/* SPDX-License-Identifier: MIT */
/* The layers of a store at one moment. */
#include "engine/state/layers.h"

#include "base/mem.h"
#include "engine/table/table.h"

layers *layers_new(memtable *active, memtable *frozen, table *const *tables,
                   size_t table_count)
{
    CHECK(active != NULL && active != frozen);
    layers *v = mem_alloc(sizeof *v + table_count * sizeof v->tables[0]);
    if (v == NULL)
        return NULL;
    *v = (layers){.active = memtable_ref(active), .table_count = table_count};
    if (frozen != NULL)
        v->frozen = memtable_ref(frozen);
    for (size_t i = 0; i < table_count; i++) {
        v->tables[i] = table_ref(tables[i]);
        v->table_bytes += tables[i]->footer.size;
        v->table_entries += tables[i]->footer.roots[TABLE_EVENTS].entries +
                            tables[i]->footer.roots[TABLE_KEYS].entries;
    }
    return v;
}

uint64_t layers_logged(const layers *v)
{
    return v->active->logged + (v->frozen == NULL ? 0 : v->frozen->logged);
}

uint64_t layers_notes(const layers *v)
{
    return v->active->notes + (v->frozen == NULL ? 0 : v->frozen->notes);
}

uint64_t layers_beyond(const layers *v)
{
    return v->active->beyond + (v->frozen == NULL ? 0 : v->frozen->beyond);
}

void layers_free(layers *v)
{
    if (v == NULL)
        return;
    memtable_unref(v->active);
    memtable_unref(v->frozen);
    for (size_t i = 0; i < v->table_count; i++)
        table_unref(v->tables[i]);
    mem_free(v);
}

bool layers_is_crowded(const layers *v)
{
    return v->table_count >= TABLES_CROWDED;
}

persist_lsn layers_tables_last(const layers *v)
{
    return v->table_count == 0 ? 0 : v->tables[v->table_count - 1]->footer.last;
}

/* Newer tables have higher positions. */
size_t layers_first_table(const layers *v, uint64_t position)
{
    for (size_t i = position > 1 ? v->table_count : 0; i-- > 0;) {
        uint64_t first = table_first_position(v->tables[i]);
        if (first != 0 && first <= position)
            return i;
    }
    return 0;
}

/* ---- decoding --------------------------------------------------------- */

persist_status table_get_stream(const table_iter *i, stream_entry *out,
                                persist_error *error)
{
    CHECK(i->section == TABLE_STREAMS);
    return entry_get_stream(table_value(i), out) ? PERSIST_OK
                                                 : table_bad_entry(i, error);
}

persist_status table_get_event(const table_iter *i, event_entry *out,
                               persist_error *error)
{
    CHECK(i->section == TABLE_EVENTS);
    return entry_get_event(table_key(i), table_value(i), out)
               ? PERSIST_OK
               : table_bad_entry(i, error);
}

persist_status table_get_blob(const table_iter *i, blob_entry *out,
                              persist_error *error)
{
    CHECK(i->section == TABLE_BLOBS);
    return entry_get_blob(table_key(i), table_value(i), out)
               ? PERSIST_OK
               : table_bad_entry(i, error);
}

/* ---- streams ---------------------------------------------------------- */

persist_status layers_stream_in_table(table *t, slice name, stream_entry *out,
                                      persist_error *error)
{
    table_iter i;
    uint64_t hash = filter_hash(TABLE_STREAMS, name);
    if (hints_find(t, name, hash, out))
        return PERSIST_OK;
    table_iter_init(&i, t, TABLE_STREAMS, false);
    persist_status status = table_find_hashed(&i, name, hash, error);
    if (status == PERSIST_OK)
        status = table_get_stream(&i, out, error);
    table_iter_release(&i);
    if (status == PERSIST_OK)
        hints_keep(t, name, hash, out);
    return status;
}

persist_status layers_tables_stream(const layers *v, slice name,
                                    stream_entry *out, size_t *layer,
                                    persist_error *error)
{
    persist_status status = PERSIST_NONE;
    for (size_t i = v->table_count; i-- > 0 && status == PERSIST_NONE;) {
        status = layers_stream_in_table(v->tables[i], name, out, error);
        *layer = i;
    }
    return status;
}

persist_status layers_below_stream(const layers *v, slice name, persist_lsn lsn,
                                   stream_entry *out, size_t *layer,
                                   persist_error *error)
{
    CHECK(lsn >= layers_tables_last(v));
    const stream *s =
        v->frozen == NULL ? NULL : memtable_stream(v->frozen, name);
    if (s != NULL && s->created > lsn)
        return PERSIST_NONE;
    if (s != NULL) {
        stream_state_at(s, lsn, &out->state);
        *layer = v->table_count;
        return PERSIST_OK;
    }
    return layers_tables_stream(v, name, out, layer, error);
}

persist_status layers_below_state(const layers *v, slice name, persist_lsn lsn,
                                  stream_state *out, persist_error *error)
{
    stream_entry entry;
    size_t layer;
    persist_status status =
        layers_below_stream(v, name, lsn, &entry, &layer, error);
    if (status == PERSIST_OK)
        *out = entry.state;
    return status;
}

/* Adds up what lies between the anchor and the event an iterator is at, and
 * leaves it at the anchor. */
static persist_status count_from_anchor(table_iter *i, uint64_t ordinal,
                                        stream_floor *floor,
                                        persist_error *error)
{
    uint64_t index = 0, bytes = 0;
    event_entry e;
    persist_status status = table_get_event(i, &e, error);
    floor->first = e.seq;
    while (status == PERSIST_OK && e.ordinal == ordinal && !e.anchored) {
        index++;
        status = table_previous(i, error);
        if (status == PERSIST_OK)
            status = table_get_event(i, &e, error);
        bytes += e.data.size;
    }
    if (status == PERSIST_NONE ||
        (status == PERSIST_OK && e.ordinal != ordinal))
        return table_corrupt(i->table, i->table->footer.size,
                             "a stream has no anchor", error);
    if (status != PERSIST_OK)
        return status;
    floor->index = e.index + index;
    floor->bytes = e.bytes_before + bytes;
    return PERSIST_OK;
}

/* PERSIST_NONE: the table has no event of the stream beyond `through`. */
static persist_status floor_in_table(table *t, slice name, uint64_t through,
                                     stream_floor *out, persist_error *error)
{
    stream_entry entry;
    persist_status status = layers_stream_in_table(t, name, &entry, error);
    if (status != PERSIST_OK)
        return status;
    if (entry.last <= through)
        return PERSIST_NONE;
    uint8_t place[ENTRY_EVENT_KEY_MAX];
    table_iter i;
    table_iter_init(&i, t, TABLE_EVENTS, false);
    slice at = entry_event_key(entry.ordinal, through + 1, place);
    status = table_seek(&i, at, error);
    if (status == PERSIST_OK)
        status = count_from_anchor(&i, entry.ordinal, out, error);
    else if (status == PERSIST_NONE)
        status = table_corrupt(t, t->footer.size, "events are missing", error);
    table_iter_release(&i);
    return status;
}

persist_status layers_below_floor(const layers *v, slice name,
                                  const stream_state *state, uint64_t through,
                                  stream_floor *out, persist_error *error)
{
    CHECK(through < state->mark);
    *out = (stream_floor){through, state->count, state->bytes, 0};
    persist_status status = PERSIST_NONE;
    for (size_t i = 0; i < v->table_count && status == PERSIST_NONE; i++)
        status = floor_in_table(v->tables[i], name, through, out, error);
    const stream *s =
        v->frozen == NULL ? NULL : memtable_stream(v->frozen, name);
    if (status == PERSIST_NONE && s != NULL) {
        uint64_t index = stream_index_of_seq(s, through + 1);
        if (index < s->count) {
            const event *e = stream_event(s, index);
            *out = (stream_floor){through, index, e->bytes_before, e->seq};
        }
    }
    if (status > PERSIST_NONE)
        return status;
    stream_state then = *state;
    then.floor = *out;
    if (!stream_state_holds(&then) || out->index < state->floor.index ||
        out->bytes < state->floor.bytes)
        return status_set(error, PERSIST_CORRUPT,
                          "the tables contradict each other on how many "
                          "events a stream had; restore the store from a "
                          "backup");
    return PERSIST_OK;
}

/* ---- keys ------------------------------------------------------------- */

static persist_status key_in_table(table *t, slice name, uint64_t hash,
                                   bool *deleted, found_value *out,
                                   persist_error *error)
{
    table_iter_init(&out->iter, t, TABLE_KEYS, false);
    persist_status status = table_find_hashed(&out->iter, name, hash, error);
    if (status == PERSIST_OK &&
        !entry_get_key(table_value(&out->iter), deleted, &out->value))
        status = table_bad_entry(&out->iter, error);
    if (status != PERSIST_OK)
        table_iter_release(&out->iter);
    return status;
}

persist_status layers_tables_key(const layers *v, slice name, found_value *out,
                                 persist_error *error)
{
    persist_status status = PERSIST_NONE;
    bool deleted = false;
    uint64_t hash = filter_hash(TABLE_KEYS, name);
    table_iter_init(&out->iter, NULL, TABLE_KEYS, false);
    /* most of a look-up is waiting for memory: ask for all of it at once */
    for (size_t i = v->table_count; i-- > 0;)
        table_fetch_filter(v->tables[i], hash);
    for (size_t i = v->table_count; i-- > 0 && status == PERSIST_NONE;)
        status = key_in_table(v->tables[i], name, hash, &deleted, out, error);
    if (status != PERSIST_OK || !deleted)
        return status;
    found_value_release(out);
    return PERSIST_NONE;
}

persist_status layers_below_key(const layers *v, slice name, persist_lsn lsn,
                                found_value *out, persist_error *error)
{
    CHECK(lsn >= layers_tables_last(v));
    const key *k = v->frozen == NULL ? NULL : memtable_key(v->frozen, name);
    const version *newest = k == NULL ? NULL : key_at(k, lsn);
    if (newest == NULL)
        return layers_tables_key(v, name, out, error);
    out->value = slice_of(newest->data, newest->size);
    table_iter_init(&out->iter, NULL, TABLE_KEYS, false);
    return newest->deleted ? PERSIST_NONE : PERSIST_OK;
}

persist_status layers_copy_value(slice value, slice *out, persist_error *error)
{
    if (out == NULL)
        return PERSIST_OK;
    void *copy = mem_alloc(value.size);
    if (copy == NULL)
        return status_no_memory(error);
    if (value.size > 0)
        memcpy(copy, value.data, value.size);
    *out = slice_of(copy, value.size);
    return PERSIST_OK;
}

void found_value_release(found_value *f)
{
    table_iter_release(&f->iter);
    f->value = slice_of(NULL, 0);
}

/* ---- command ids ------------------------------------------------------ */

static persist_status once_in_table(table *t, slice id, once **out,
                                    persist_error *error)
{
    table_iter i;
    once_entry entry;
    table_iter_init(&i, t, TABLE_ONCES, false);
    persist_status status = table_find(&i, id, error);
    if (status == PERSIST_OK && !entry_get_once(table_value(&i), &entry))
        status = table_bad_entry(&i, error);
    if (status == PERSIST_OK) {
        size_t count = (size_t)entry.seq_count;
        once *o = mem_alloc(sizeof *o + count * sizeof o->seqs[0]);
        if (o == NULL) {
            status = status_no_memory(error);
        } else {
            o->id = slice_of(NULL, 0);
            o->lsn = entry.lsn;
            o->seq_count = count;
            memcpy(o->fingerprint, entry.fingerprint, sizeof o->fingerprint);
            if (!entry_get_seqs(&entry, o->seqs))
                status = table_bad_entry(&i, error);
            *out = o;
        }
    }
    table_iter_release(&i);
    return status;
}

persist_status layers_below_once(const layers *v, slice id, const once **out,
                                 once **owned, persist_error *error)
{
    *owned = NULL;
    *out = v->frozen == NULL ? NULL : memtable_once(v->frozen, id);
    if (*out != NULL)
        return PERSIST_OK;
    persist_status status = PERSIST_NONE;
    for (size_t i = v->table_count; i-- > 0 && status == PERSIST_NONE;)
        status = once_in_table(v->tables[i], id, owned, error);
    if (status > PERSIST_NONE) {
        mem_free(*owned);
        *owned = NULL;
    }
    *out = *owned;
    return status;
}

/* ---- blobs ------------------------------------------------------------ */

static persist_status blob_in_table(table *t, slice digest, blob_entry *out,
                                    persist_error *error)
{
    table_iter i;
    table_iter_init(&i, t, TABLE_BLOBS, false);
    persist_status status = table_find(&i, digest, error);
    if (status == PERSIST_OK)
        status = table_get_blob(&i, out, error);
    table_iter_release(&i);
    return status;
}

static persist_status if_there(const blob_entry *e)
{
    return e->deleted ? PERSIST_NONE : PERSIST_OK;
}

persist_status layers_tables_blob(const layers *v, slice digest,
                                  blob_entry *out, persist_error *error)
{
    CHECK(digest.size == sizeof out->digest);
    persist_status status = PERSIST_NONE;
    for (size_t i = v->table_count; i-- > 0 && status == PERSIST_NONE;)
        status = blob_in_table(v->tables[i], digest, out, error);
    return status == PERSIST_OK ? if_there(out) : status;
}

persist_status layers_below_blob(const layers *v, slice digest, persist_lsn lsn,
                                 blob_entry *out, persist_error *error)
{
    CHECK(lsn >= layers_tables_last(v));
    const blob_item *b =
        v->frozen == NULL ? NULL : memtable_blob(v->frozen, digest);
    const blob_version *newest = b == NULL ? NULL : blob_at(b, lsn);
    if (newest == NULL)
        return layers_tables_blob(v, digest, out, error);
    *out = newest->entry;
    return if_there(out);
}
