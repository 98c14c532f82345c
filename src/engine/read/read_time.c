/* SPDX-License-Identifier: MIT */
/* Positions by time. */
#include "engine/read/read.h"

static persist_status find_in_table(table *t, uint64_t time, uint64_t *position,
                                    persist_error *error)
{
    times_reader r;
    times_open(&r, t, false);
    persist_status status = times_find(&r, time, position, error);
    times_close(&r);
    return status;
}

static bool find_in_memtable(engine_cursor *c, const memtable *t, uint64_t time,
                             uint64_t *position)
{
    const order *o = &t->order;
    readers_look(&c->engine->readers, c->snapshot.place);
    size_t i = order_time_seek(o, time);
    bool found = i < o->time_count;
    if (found)
        *position = o->times[i].first;
    readers_look_end(&c->engine->readers, c->snapshot.place);
    return found;
}

/* In the oldest layer that has it: times grow from layer to layer. */
static persist_status find(engine_cursor *c, uint64_t time, uint64_t *position,
                           persist_error *error)
{
    const layers *v = c->snapshot.layers;
    persist_status status = PERSIST_NONE;
    for (size_t i = 0; i < v->table_count && status == PERSIST_NONE; i++)
        status = find_in_table(v->tables[i], time, position, error);
    if (status != PERSIST_NONE)
        return status;
    if (v->frozen != NULL && find_in_memtable(c, v->frozen, time, position))
        return PERSIST_OK;
    return c->snapshot.with_active &&
                   find_in_memtable(c, v->active, time, position)
               ? PERSIST_OK
               : PERSIST_NONE;
}

persist_status engine_position_at(engine *e, engine_cursor *c, uint64_t time,
                                  engine_view view, uint64_t *position,
                                  persist_error *error)
{
    const persist_event *events;
    size_t count;
    uint64_t from = 0, next = engine_position(e, view) + 1;
    persist_status status =
        engine_read(e, c, ENGINE_ALL, slice_of(NULL, 0), 1, 1, view, error);
    if (status != PERSIST_OK)
        return status;
    status = find(c, time, &from, error);
    if (status == PERSIST_OK) {
        order_reader_from(c, from);
        status = engine_next_events(c, &events, &count, error);
    }
    if (status <= PERSIST_NONE)
        *position = status == PERSIST_OK ? events[0].position : next;
    engine_cursor_close(c);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}
