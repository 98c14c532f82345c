/* SPDX-License-Identifier: MIT */
/* Reading the events of all streams in commit order.
 *
 * A table's order section tells the stream and number of each position; the
 * reader remembers, for a bounded number of streams, where in the table it
 * last stood, so that the next event of the stream is most often at hand. */
#include "base/hash.h"
#include "base/mem.h"
#include "engine/read/read.h"

/* In which a stream may have its place. */
enum { PLACES = 4 };
CHECK_STATIC(CURSOR_STREAMS % PLACES == 0, "sets of places are whole");

/* ---- memtables -------------------------------------------------------- */

bool order_take(engine_cursor *c, const order_item *item, uint64_t time)
{
    order_reader *r = &c->u.order;
    const event *e = item->event;
    bool hidden;
    if (e->lsn > c->snapshot.lsn)
        return false;
    const stream *s = item->stream;
    const stream *newer = snapshot_stream(&c->snapshot, s->name, &hidden);
    uint64_t through =
        stream_floor_at(newer == NULL ? s : newer, c->snapshot.lsn)->through;
    if (e->seq > through)
        r->batch[r->count++] = (ordered_event){s->name, e, time};
    else
        r->passed++;
    return true;
}

/* The index of the time at a position, near that of one before it; SIZE_MAX:
 * not known. */
static size_t time_of(const order *o, size_t near, uint64_t position)
{
    if (near == SIZE_MAX)
        return order_time_at(o, position);
    while (near + 1 < o->time_count && o->times[near + 1].first <= position)
        near++;
    return near;
}

static void fill(engine_cursor *c, const memtable *t)
{
    order_reader *r = &c->u.order;
    const order *o = &t->order;
    size_t when = SIZE_MAX;
    for (size_t i = order_seek(o, r->position); i < o->count; i++) {
        const order_block *b = o->blocks[i];
        uint32_t slot =
            r->position > b->first ? (uint32_t)(r->position - b->first) : 0;
        for (; slot < b->count; slot++) {
            if (r->count == CURSOR_BATCH)
                return;
            when = time_of(o, when, b->first + slot);
            r->ended = !order_take(c, &b->items[slot], o->times[when].time);
            if (r->ended)
                return;
            r->position = b->first + slot + 1;
        }
    }
    r->ended = true;
}

static persist_status next_in_memtable(engine_cursor *c, memtable *t)
{
    order_reader *r = &c->u.order;
    while (r->at == r->count && !r->ended) {
        r->at = r->count = 0;
        readers_look(&c->engine->readers, c->snapshot.place);
        r->ways->fill(c, t);
        readers_look_end(&c->engine->readers, c->snapshot.place);
        credit_note_passed(&c->snapshot, t, r->passed);
        r->passed = 0;
    }
    if (r->at == r->count)
        return PERSIST_NONE;
    const ordered_event *item = &r->batch[r->at++];
    const event *e = item->event;
    c->ready[0] = (persist_event){item->name, slice_of(e->data, e->size),
                                  e->seq,     e->position,
                                  item->time, event_tagged(e)};
    c->ready_count = 1;
    return PERSIST_OK;
}

/* ---- tables ----------------------------------------------------------- */

static void forget(stream_place *p)
{
    if (p->name.data == NULL)
        return;
    table_iter_release(&p->iter);
    mem_free((void *)(uintptr_t)p->name.data);
    p->name = slice_of(NULL, 0);
}

/* They are big: there are no more than so many events can use, and what is not
 * used is not written. */
static void make_places(order_reader *r, uint64_t left)
{
    r->place_count = left >= CURSOR_STREAMS
                         ? CURSOR_STREAMS
                         : ((size_t)left / PLACES + 1) * PLACES;
    r->places = mem_alloc(r->place_count * sizeof *r->places);
    for (size_t i = 0; r->places != NULL && i < r->place_count; i++)
        r->places[i].name = slice_of(NULL, 0);
}

/* Learns what is to be known of a stream in a table, of which it reads from a
 * seq on. */
static persist_status learn(engine_cursor *c, table *t, slice name,
                            uint64_t seq, stream_place *p, persist_error *error)
{
    uint8_t from[ENTRY_EVENT_KEY_MAX], to[ENTRY_EVENT_KEY_MAX];
    stream_state state;
    stream_entry entry;
    forget(p);
    persist_status status =
        snapshot_state(c->engine, &c->snapshot, name, &state, error);
    if (status != PERSIST_OK)
        return status;
    table_iter_init(&p->iter, t, TABLE_STREAMS, false);
    status = table_find(&p->iter, name, error);
    if (status == PERSIST_OK)
        status = table_get_stream(&p->iter, &entry, error);
    table_iter_release(&p->iter);
    table_iter_init(&p->iter, t, TABLE_EVENTS, false);
    if (status != PERSIST_OK)
        return status;
    void *copy = mem_alloc(name.size);
    if (copy == NULL)
        return status_no_memory(error);
    if (name.size > 0)
        memcpy(copy, name.data, name.size);
    p->name = slice_of(copy, name.size);
    p->ordinal = entry.ordinal;
    p->through = state.floor.through;
    /* met for the first time: soon its neighbour will be too */
    if (seq == entry.first && entry.events <= c->left)
        table_expect(&p->iter, entry_event_key(entry.ordinal, seq, from),
                     entry_event_key(entry.ordinal + 1, UINT64_MAX, to), false);
    return PERSIST_OK;
}

/* A stream has one of a few places; who comes later takes one by its hash. */
static persist_status find_place(engine_cursor *c, table *t, slice name,
                                 uint64_t seq, stream_place **out,
                                 persist_error *error)
{
    order_reader *r = &c->u.order;
    uint64_t hash = hash_xxh3(name), sets = r->place_count / PLACES;
    stream_place *set = &r->places[hash % sets * PLACES];
    stream_place *mine = &set[(hash >> 32) % PLACES];
    for (size_t i = 0; i < PLACES; i++) {
        *out = &set[i];
        if (set[i].name.data == NULL || set[i].iter.table != t)
            mine = &set[i];
        else if (slice_equal(set[i].name, name))
            return PERSIST_OK;
    }
    *out = mine;
    return learn(c, t, name, seq, mine, error);
}

/* Moves to the event with that number, which most often is the next one. */
static persist_status find_event(stream_place *p, uint64_t seq,
                                 event_entry *out, persist_error *error)
{
    persist_status status = PERSIST_NONE;
    if (table_iter_valid(&p->iter)) {
        status = table_next(&p->iter, error);
        if (status == PERSIST_OK)
            status = table_get_event(&p->iter, out, error);
        if (status > PERSIST_NONE)
            return status;
        if (status == PERSIST_OK && out->ordinal == p->ordinal &&
            out->seq == seq)
            return PERSIST_OK;
    }
    uint8_t place[ENTRY_EVENT_KEY_MAX];
    status =
        table_find(&p->iter, entry_event_key(p->ordinal, seq, place), error);
    return status == PERSIST_OK ? table_get_event(&p->iter, out, error)
                                : status;
}

/* Reads the event that an entry of the order names; out->seq is 0 if it is
 * truncated. */
static persist_status show(engine_cursor *c, const table_iter *from, slice name,
                           uint64_t seq, uint64_t position, persist_event *out,
                           persist_error *error)
{
    stream_place *p;
    event_entry e;
    persist_status status = find_place(c, from->table, name, seq, &p, error);
    if (status == PERSIST_OK && seq <= p->through) {
        out->seq = 0; /* truncated: go on */
        return PERSIST_OK;
    }
    if (status == PERSIST_OK)
        status = find_event(p, seq, &e, error);
    if (status == PERSIST_NONE ||
        (status == PERSIST_OK && e.position != position))
        return table_bad_entry(from, error);
    if (status != PERSIST_OK)
        return status;
    *out = (persist_event){p->name, e.data, seq, position, 0, e.tagged.data};
    return times_at(&c->u.order.times, position, &out->time, error);
}

static persist_status next_in_table(engine_cursor *c, bool move,
                                    persist_error *error)
{
    order_reader *r = &c->u.order;
    persist_event *out = &c->ready[0];
    for (;; move = true) {
        uint64_t position, seq;
        slice name;
        persist_status status = move ? table_next(&r->iter, error) : PERSIST_OK;
        if (status != PERSIST_OK)
            return status;
        if (!entry_get_order(table_key(&r->iter), table_value(&r->iter),
                             &position, &seq, &name))
            return table_bad_entry(&r->iter, error);
        status = show(c, &r->iter, name, seq, position, out, error);
        if (status != PERSIST_OK)
            return status;
        r->position = position + 1;
        c->ready_count = out->seq != 0;
        if (c->ready_count > 0)
            return PERSIST_OK;
        credit_note_gone(&c->snapshot);
    }
}

static persist_status enter_table(engine_cursor *c, table *t,
                                  persist_error *error)
{
    order_reader *r = &c->u.order;
    uint8_t place[ENTRY_ORDER_KEY_SIZE];
    entry_order_key(r->position, place);
    table_iter_init(&r->iter, t, TABLE_ORDER, false);
    times_open(&r->times, t, false);
    return table_seek(&r->iter, slice_of(place, sizeof place), error);
}

static void leave_table(engine_cursor *c)
{
    table_iter_release(&c->u.order.iter);
    times_close(&c->u.order.times);
}

/* ---- layers ----------------------------------------------------------- */

static memtable *memtable_of(const snapshot *s, size_t layer)
{
    if (layer == s->layers->table_count)
        return s->layers->frozen;
    return s->with_active ? s->layers->active : NULL;
}

static persist_status enter_layer(engine_cursor *c, persist_error *error)
{
    order_reader *r = &c->u.order;
    const layers *v = c->snapshot.layers;
    r->in_layer = true;
    r->ended = false;
    r->at = r->count = 0;
    if (r->layer < v->table_count)
        return r->ways->enter(c, v->tables[r->layer], error);
    memtable *t = memtable_of(&c->snapshot, r->layer);
    if (t == NULL)
        return PERSIST_NONE;
    if (r->batch == NULL)
        r->batch = mem_alloc(CURSOR_BATCH * sizeof *r->batch);
    if (r->batch == NULL)
        return status_no_memory(error);
    return r->ways->prepare == NULL ? PERSIST_OK
                                    : r->ways->prepare(c, t, error);
}

persist_status order_reader_next(engine_cursor *c, persist_error *error)
{
    order_reader *r = &c->u.order;
    const layers *v = c->snapshot.layers;
    while (r->layer < v->table_count + 2) {
        bool entered = !r->in_layer;
        persist_status status = entered ? enter_layer(c, error) : PERSIST_OK;
        if (status == PERSIST_OK)
            status =
                r->layer < v->table_count
                    ? r->ways->next(c, !entered, error)
                    : next_in_memtable(c, memtable_of(&c->snapshot, r->layer));
        if (status != PERSIST_NONE)
            return status;
        r->ways->leave(c);
        r->in_layer = false;
        r->layer++;
    }
    return PERSIST_NONE;
}

static const order_ways all_ways = {enter_table, next_in_table, leave_table,
                                    fill, NULL};

persist_status order_reader_open(engine_cursor *c, uint64_t from,
                                 persist_error *error)
{
    CHECK(c->kind == ENGINE_ALL);
    return order_reader_begin(c, &all_ways, from, error);
}

persist_status order_reader_begin(engine_cursor *c, const order_ways *ways,
                                  uint64_t from, persist_error *error)
{
    order_reader *r = &c->u.order;
    const layers *v = c->snapshot.layers;
    const memtable *oldest = v->frozen != NULL ? v->frozen : v->active;
    memset(r, 0, offsetof(order_reader, iter));
    table_iter_init(&r->iter, NULL, TABLE_ORDER, false);
    times_open(&r->times, NULL, false);
    r->ways = ways;
    r->position = from;
    r->layer = from >= oldest->first_position
                   ? v->table_count /* no table has it */
                   : layers_first_table(v, from);
    bool tables = c->kind == ENGINE_ALL && r->layer < v->table_count;
    if (tables)
        make_places(r, c->left);
    return r->places != NULL || !tables ? PERSIST_OK : status_no_memory(error);
}

void order_reader_from(engine_cursor *c, uint64_t position)
{
    CHECK(c->kind == ENGINE_ALL && !c->u.order.in_layer);
    c->u.order.position = position;
}

void order_reader_close(engine_cursor *c)
{
    order_reader *r = &c->u.order;
    table_iter_release(&r->iter);
    times_close(&r->times);
    for (size_t i = 0; r->places != NULL && i < r->place_count; i++)
        forget(&r->places[i]);
    mem_free(r->places);
    mem_free(r->batch);
}
