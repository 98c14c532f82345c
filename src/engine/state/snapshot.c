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

static bool shows_durable(const engine *e, bool durable_only)
{
    return durable_only || wal_failed(&e->wal);
}

static persist_lsn visible(const engine *e, bool durable_only)
{
    return shows_durable(e, durable_only) ? durable(e) : e->latest;
}

persist_lsn engine_visible(const engine *e)
{
    return visible(e, false);
}

/* ---- positions -------------------------------------------------------- */

/* Behind every commit that has entered the log, which may be durable before it
 * is seen. */
static uint64_t position_seen(engine *e)
{
    layers *v;
    read_place own, *place = readers_enter(&e->readers, &own, &v);
    readers_look(&e->readers, place);
    uint64_t position = layers_position(v);
    readers_look_end(&e->readers, place);
    readers_leave(&e->readers, place);
    return position;
}

uint64_t engine_position(engine *e, engine_view view)
{
    if (view.kept != NULL)
        return view.kept->position;
    bool durable_only = shows_durable(e, view.durable);
    uint64_t position = durable_only ? wal_durable_point(&e->wal).position : 0;
    uint64_t seen = position_seen(e);
    CHECK(seen >= position);
    return durable_only ? position : seen;
}

persist_status engine_await(engine *e, uint64_t position, uint64_t timeout_ms,
                            uint64_t *newest, persist_error *error)
{
    os_news_end end = os_news_await(&e->wal.news, position, timeout_ms);
    *newest = os_news_newest(&e->wal.news);
    (void)position_seen(e);
    if (end == OS_NEWS_OVER)
        return wal_read_only(&e->wal, error);
    return end == OS_NEWS_CLOSED ? PERSIST_CLOSED
           : end == OS_NEWS_ROSE ? PERSIST_OK
                                 : PERSIST_NONE;
}

/* ---- snapshots -------------------------------------------------------- */

/* The layers first: what is in their tables is durable by then. */
void snapshot_open(engine *e, engine_view view, snapshot *s)
{
    if (view.kept == NULL) {
        s->place = readers_enter(&e->readers, &s->own, &s->layers);
        s->lsn = visible(e, view.durable);
        s->is_free = false;
    } else {
        s->layers = view.kept->layers;
        s->lsn = view.kept->lsn;
        s->place = readers_enter_kept(&e->readers, &s->own, s->layers);
        s->is_free = s->layers != atomic_load(&e->readers.current);
    }
    s->with_active = layers_shows_active(s->layers, s->lsn);
    CHECK(s->lsn >= layers_tables_last(s->layers));
}

/* Of the tables that wait for their readers one may be free now. */
static void call_if_awaited(engine *e)
{
    if (UNLIKELY(atomic_load(&e->upkeep.awaits_readers)))
        (void)engine_wake(e);
}

void snapshot_close(engine *e, snapshot *s)
{
    CHECK(s->layers != NULL);
    if (UNLIKELY(s->place->wasted >= e->credit_share))
        credit_hand_in(e, s);
    readers_leave(&e->readers, s->place);
    call_if_awaited(e);
    s->layers = NULL;
}

/* While commits are held up the newest one, whatever has been frozen in
 * between, is in the layers that are current, and what is durable has been
 * seen; so layers, lsn and position are of one state. */
void snapshot_keep(engine *e, bool durable_only, kept_snapshot *k)
{
    readers_hold_up(&e->readers);
    k->layers = readers_keep(&e->readers);
    wal_point newest = {e->latest, layers_position(k->layers)};
    if (shows_durable(e, durable_only))
        newest = wal_durable_point(&e->wal);
    readers_go_on(&e->readers);
    CHECK(newest.lsn <= e->latest &&
          newest.lsn >= layers_tables_last(k->layers));
    k->lsn = newest.lsn;
    k->position = newest.position;
}

void snapshot_let_go(engine *e, const kept_snapshot *k)
{
    CHECK(k->lsn <= e->latest);
    readers_unkeep(&e->readers, k->layers);
    call_if_awaited(e);
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
