/* SPDX-License-Identifier: MIT */
/* Snapshots.
 *
 * A snapshot is a set of layers and an lsn. Nothing leaves a layer, and what
 * is frozen or in a table never changes; in the active memtable the lsn tells
 * what is seen. */
#include "engine/state/state.h"

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
        (void)engine_wake(e);
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
