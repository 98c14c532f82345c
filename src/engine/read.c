/* SPDX-License-Identifier: MIT */
/* Snapshots, and reads of one thing.
 *
 * A snapshot is a set of layers and an lsn. Nothing leaves a layer, and what
 * is frozen or in a table never changes; in the active memtable the lsn tells
 * what is seen. */
#include "base/mem.h"
#include "engine/engine.h"

/* ---- snapshots -------------------------------------------------------- */

/* What is durable, of that which can be seen. */
static persist_lsn durable(const engine *e)
{
    persist_lsn latest = e->latest, synced = wal_durable(&e->wal);
    return synced < latest ? synced : latest;
}

static persist_lsn visible(const engine *e, persist_view view)
{
    return view == PERSIST_DURABLE || wal_failed(&e->wal) ? durable(e)
                                                          : e->latest;
}

persist_lsn engine_visible(const engine *e)
{
    return visible(e, PERSIST_LATEST);
}

void engine_set_layers(engine *e, layers *v)
{
    e->layers = v;
    readers_set_layers(&e->readers, v);
}

/* The layers first: what is in their tables is durable by then. */
void snapshot_open(engine *e, persist_view view, snapshot *s)
{
    s->place = readers_enter(&e->readers, &s->own, &s->layers);
    s->lsn = visible(e, view);
    s->with_active = layers_shows_active(s->layers, s->lsn);
    CHECK(s->lsn >= layers_tables_last(s->layers));
}

void snapshot_close(engine *e, snapshot *s)
{
    CHECK(s->layers != NULL);
    if (UNLIKELY(s->place->wasted >= e->credit_share))
        credit_hand_in(e, s);
    readers_leave(&e->readers, s->place);
    if (UNLIKELY(atomic_load(&e->upkeep.awaits_readers)))
        upkeep_wake(e);
    s->layers = NULL;
}

const stream *snapshot_stream(const snapshot *s, slice name, bool *hidden)
{
    *hidden = false;
    if (!s->with_active)
        return NULL;
    const stream *found = memtable_stream(s->layers->active, name);
    *hidden = found != NULL && found->created > s->lsn;
    return *hidden ? NULL : found;
}

persist_status snapshot_find(engine *e, const snapshot *s, slice name,
                             stream_entry *out, size_t *layer,
                             persist_error *error)
{
    bool hidden = false;
    const stream *found = NULL;
    if (s->with_active) {
        readers_look(&e->readers, s->place);
        found = snapshot_stream(s, name, &hidden);
        if (found != NULL)
            stream_state_at(found, s->lsn, &out->state);
        readers_look_end(&e->readers, s->place);
    }
    *layer = s->layers->table_count + 1;
    if (found != NULL)
        return PERSIST_OK;
    if (hidden)
        return PERSIST_NONE;
    const layers *v = s->layers;
    persist_status status =
        layers_below_stream(v, name, s->lsn, out, layer, error);
    if (*layer < v->table_count)
        credit_note_looks(s, TABLE_STREAMS, v->tables[*layer]);
    return status;
}

persist_status snapshot_state(engine *e, const snapshot *s, slice name,
                              stream_state *out, persist_error *error)
{
    stream_entry entry;
    size_t layer;
    persist_status status = snapshot_find(e, s, name, &entry, &layer, error);
    if (status == PERSIST_OK)
        *out = entry.state;
    return status;
}

/* ---- one thing -------------------------------------------------------- */

persist_status engine_info(engine *e, slice name, persist_view view,
                           persist_stream_info *info, bool *known,
                           persist_error *error)
{
    stream_state state = {0};
    snapshot snap;
    *info = (persist_stream_info){0};
    snapshot_open(e, view, &snap);
    persist_status status = snapshot_state(e, &snap, name, &state, error);
    snapshot_close(e, &snap);
    if (known != NULL)
        *known = status == PERSIST_OK;
    if (status != PERSIST_OK)
        return status == PERSIST_NONE ? PERSIST_OK : status;
    info->mark = state.mark;
    info->count = state.count - state.floor.index;
    info->bytes = state.bytes - state.floor.bytes;
    info->first = info->count == 0 ? 0 : state.floor.first;
    return PERSIST_OK;
}

static persist_status copy_out(slice value, slice *out, persist_error *error)
{
    if (out == NULL)
        return PERSIST_OK;
    void *copy = mem_alloc(value.size);
    if (copy == NULL)
        return status_set(error, PERSIST_LIMIT, "out of memory");
    if (value.size > 0)
        memcpy(copy, value.data, value.size);
    *out = slice_of(copy, value.size);
    return PERSIST_OK;
}

/* PERSIST_NONE with *below: ask the layers below. */
static persist_status get_in_active(engine *e, const snapshot *s, slice name,
                                    slice *out, bool *below,
                                    persist_error *error)
{
    persist_status status = PERSIST_NONE;
    *below = true;
    if (!s->with_active)
        return PERSIST_NONE;
    readers_look(&e->readers, s->place);
    const key *k = memtable_key(s->layers->active, name);
    const version *v = k == NULL ? NULL : key_at(k, s->lsn);
    *below = v == NULL;
    if (v != NULL && !v->deleted)
        status = copy_out(slice_of(v->data, v->size), out, error);
    readers_look_end(&e->readers, s->place);
    return status;
}

persist_status engine_get(engine *e, slice name, persist_view view, slice *out,
                          persist_error *error)
{
    snapshot snap;
    found_value found;
    bool below;
    snapshot_open(e, view, &snap);
    persist_status status = get_in_active(e, &snap, name, out, &below, error);
    if (below) {
        status = layers_below_key(snap.layers, name, snap.lsn, &found, error);
        if (found.iter.table != NULL)
            credit_note_looks(&snap, TABLE_KEYS, found.iter.table);
        if (status == PERSIST_OK) {
            status = copy_out(found.value, out, error);
            found_value_release(&found);
        }
    }
    snapshot_close(e, &snap);
    return status;
}
