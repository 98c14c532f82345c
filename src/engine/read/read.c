/* SPDX-License-Identifier: MIT */
/* Reads of one thing. */
#include "engine/read/read.h"
#include "base/mem.h"

persist_status engine_info(engine *e, slice name, engine_view view,
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
        status = layers_copy_value(slice_of(v->data, v->size), out, error);
    readers_look_end(&e->readers, s->place);
    return status;
}

persist_status engine_get(engine *e, slice name, engine_view view, slice *out,
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
            status = layers_copy_value(found.value, out, error);
            found_value_release(&found);
        }
    }
    snapshot_close(e, &snap);
    return status;
}
