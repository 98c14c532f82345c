/* SPDX-License-Identifier: MIT */
/* Snapshots, and reads of one thing.
 *
 * A snapshot is a set of layers, an lsn, and a pin that keeps in the active
 * memtable what that lsn sees. What is frozen or in a table never changes. */
#include "base/mem.h"
#include "base/seeded_bug.h"
#include "engine/engine.h"

/* ---- snapshots -------------------------------------------------------- */

/* The state lock is held. */
static persist_lsn visible(engine *e, persist_view view)
{
    persist_lsn durable = wal_durable(&e->wal);
    if (SEEDED_BUG(SHOW_UNDURABLE))
        return e->latest;
    if ((view == PERSIST_DURABLE || wal_failed(&e->wal)) && durable < e->latest)
        return durable;
    return e->latest;
}

static void pin_add(engine *e, pin *p, persist_lsn lsn)
{
    pthread_mutex_lock(&e->pins_lock);
    *p = (pin){lsn, NULL, e->pins};
    if (e->pins != NULL)
        e->pins->previous = p;
    e->pins = p;
    pthread_mutex_unlock(&e->pins_lock);
}

static void pin_remove(engine *e, pin *p)
{
    pthread_mutex_lock(&e->pins_lock);
    CHECK(p->previous != NULL || e->pins == p);
    if (p->previous != NULL)
        p->previous->next = p->next;
    else
        e->pins = p->next;
    if (p->next != NULL)
        p->next->previous = p->previous;
    pthread_mutex_unlock(&e->pins_lock);
}

persist_lsn engine_horizon(engine *e)
{
    persist_lsn horizon = wal_durable(&e->wal);
    pthread_mutex_lock(&e->pins_lock);
    for (const pin *p = e->pins; p != NULL; p = p->next)
        if (p->lsn < horizon)
            horizon = p->lsn;
    pthread_mutex_unlock(&e->pins_lock);
    return horizon;
}

persist_lsn engine_latest(engine *e)
{
    pthread_rwlock_rdlock(&e->state);
    persist_lsn lsn = visible(e, PERSIST_LATEST);
    pthread_rwlock_unlock(&e->state);
    return lsn;
}

void snapshot_open(engine *e, persist_view view, snapshot *s)
{
    pthread_rwlock_rdlock(&e->state);
    s->layers = layers_ref(e->layers);
    pin_add(e, &s->pin, visible(e, view));
    pthread_rwlock_unlock(&e->state);
    s->with_active = layers_shows_active(s->layers, s->pin.lsn);
    CHECK(s->pin.lsn >= layers_tables_last(s->layers));
}

void snapshot_close(engine *e, snapshot *s)
{
    CHECK(s->layers != NULL);
    pin_remove(e, &s->pin);
    layers_unref(s->layers);
    s->layers = NULL;
}

const stream *snapshot_stream(const snapshot *s, slice name, bool *hidden)
{
    *hidden = false;
    if (!s->with_active)
        return NULL;
    const stream *found = memtable_stream(s->layers->active, name);
    *hidden = found != NULL && found->created > s->pin.lsn;
    return *hidden ? NULL : found;
}

persist_status snapshot_find(engine *e, const snapshot *s, slice name,
                             stream_entry *out, size_t *layer,
                             persist_error *error)
{
    bool hidden;
    pthread_rwlock_rdlock(&e->state);
    const stream *found = snapshot_stream(s, name, &hidden);
    if (found != NULL)
        stream_state_at(found, s->pin.lsn, &out->state);
    pthread_rwlock_unlock(&e->state);
    *layer = s->layers->table_count + 1;
    if (found != NULL)
        return PERSIST_OK;
    return hidden ? PERSIST_NONE
                  : layers_below_stream(s->layers, name, s->pin.lsn, out, layer,
                                        error);
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
    stream_state state;
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

persist_status engine_get(engine *e, slice name, persist_view view, slice *out,
                          persist_error *error)
{
    snapshot snap;
    found_value found;
    persist_status status = PERSIST_NONE;
    snapshot_open(e, view, &snap);
    pthread_rwlock_rdlock(&e->state);
    const key *k =
        snap.with_active ? memtable_key(snap.layers->active, name) : NULL;
    const version *v = k == NULL ? NULL : key_at(k, snap.pin.lsn);
    if (v != NULL && !v->deleted)
        status = copy_out(slice_of(v->data, v->size), out, error);
    pthread_rwlock_unlock(&e->state);
    if (v == NULL) {
        status =
            layers_below_key(snap.layers, name, snap.pin.lsn, &found, error);
        if (status == PERSIST_OK) {
            status = copy_out(found.value, out, error);
            found_value_release(&found);
        }
    }
    snapshot_close(e, &snap);
    return status;
}
