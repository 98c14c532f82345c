/* SPDX-License-Identifier: MIT */
/* Reading one stream: layer after layer, each of which holds a run of it.
 *
 * In a memtable a reader finds the next chunk while it looks; the bytes
 * in it never move or change while the snapshot holds, so events are handed
 * out without looking. In a table it holds the block it stands in. */
#include "base/mem.h"
#include "engine/read/read.h"

/* ---- layers ----------------------------------------------------------- */

static size_t layer_count(const snapshot *s)
{
    return s->layers->table_count + 2;
}

/* Layers are read oldest first, or newest first when going back: the tables,
 * the frozen memtable, the active one. */
static size_t layer_index(const engine_cursor *c)
{
    const stream_reader *r = &c->u.stream;
    return r->back ? layer_count(&c->snapshot) - 1 - r->layer : r->layer;
}

static const memtable *memtable_of(const snapshot *s, size_t index)
{
    if (index == s->layers->table_count)
        return s->layers->frozen;
    return s->with_active ? s->layers->active : NULL;
}

static void enter_memtable(engine_cursor *c, const memtable *t)
{
    stream_reader *r = &c->u.stream;
    persist_lsn lsn = c->snapshot.lsn;
    r->begin = r->end = 0;
    if (t == NULL)
        return;
    readers_look(&c->engine->readers, c->snapshot.place);
    const stream *s = memtable_stream(t, r->name);
    if (s != NULL && s->created <= lsn) {
        stream_range_at(s, lsn, &r->begin, &r->end);
        uint64_t low = stream_index_of_seq(s, r->low);
        uint64_t high = stream_index_of_seq(s, r->high + 1);
        r->begin = low > r->begin ? low : r->begin;
        r->end = high < r->end ? high : r->end;
        if (r->begin > r->end)
            r->begin = r->end;
    }
    r->stream = s;
    readers_look_end(&c->engine->readers, c->snapshot.place);
}

/* Tells whether a stream has events in the range in a table. */
static bool is_in_range(const stream_reader *r, const stream_entry *e)
{
    return e->events > 0 && e->last >= r->low && e->first <= r->high;
}

/* The seqs of the range that a table has. */
static void clip(const stream_reader *r, const stream_entry *e, uint64_t *first,
                 uint64_t *last)
{
    *first = e->first > r->low ? e->first : r->low;
    *last = e->last < r->high ? e->last : r->high;
}

/* Begins to read what a table has of the stream. */
static void expect_run(const stream_reader *r, table *t, const stream_entry *e)
{
    uint8_t from[ENTRY_EVENT_KEY_MAX], to[ENTRY_EVENT_KEY_MAX];
    uint64_t first, last;
    table_iter i;
    clip(r, e, &first, &last);
    table_iter_init(&i, t, TABLE_EVENTS, true);
    table_expect(&i, entry_event_key(e->ordinal, first, from),
                 entry_event_key(e->ordinal, last, to), r->back);
}

/* The same for a table that comes later; returns how many events it has. */
static uint64_t expect_later(const stream_reader *r, table *t)
{
    stream_entry e;
    persist_error ignored; /* whoever reads it will tell */
    if (layers_stream_in_table(t, r->name, &e, &ignored) != PERSIST_OK ||
        !is_in_range(r, &e))
        return 0;
    expect_run(r, t, &e);
    return e.events;
}

/* What is read of this table and of those that come next is asked for in one
 * piece each, once, unless less is wanted. */
static void expect_tables(engine_cursor *c, size_t index,
                          const stream_entry *here)
{
    stream_reader *r = &c->u.stream;
    const layers *v = c->snapshot.layers;
    size_t left = r->back ? index : v->table_count - 1 - index;
    uint64_t found = here->events;
    if (r->expected <= r->layer && found <= c->left) {
        expect_run(r, v->tables[index], here);
        r->expected = r->layer + 1;
    }
    for (size_t n = 1; n <= left && n <= TABLES_AHEAD && found < c->left; n++) {
        if (r->layer + n < r->expected)
            continue;
        found += expect_later(r, v->tables[r->back ? index - n : index + n]);
        r->expected = r->layer + n + 1;
    }
}

/* PERSIST_NONE: the table has none of the events. */
static persist_status enter_table(engine_cursor *c, size_t index,
                                  persist_error *error)
{
    stream_reader *r = &c->u.stream;
    table *t = c->snapshot.layers->tables[index];
    stream_entry entry = r->entry;
    uint8_t place[ENTRY_EVENT_KEY_MAX];
    persist_status status =
        index == r->newest ? PERSIST_OK
                           : layers_stream_in_table(t, r->name, &entry, error);
    if (status != PERSIST_OK)
        return status;
    if (!is_in_range(r, &entry))
        return PERSIST_NONE;
    expect_tables(c, index, &entry);
    if (r->sought)
        credit_note(&c->snapshot, SEEK_WORTH);
    r->sought = true;
    r->ordinal = entry.ordinal;
    unsigned scanned = r->iter.scanned;
    table_iter_init(&r->iter, t, TABLE_EVENTS, scanned > SCAN_BLOCKS);
    r->iter.scanned = scanned;
    /* from an event that is there to another: no other block is needed */
    uint64_t first, last;
    clip(r, &entry, &first, &last);
    r->bound = r->back ? first : last;
    slice at = entry_event_key(r->ordinal, r->back ? last : first, place);
    r->ahead = true;
    status = r->back ? table_seek_back(&r->iter, at, error)
                     : table_seek(&r->iter, at, error);
    if (status == PERSIST_OK && r->layer < r->expected)
        r->iter.asked = table_leaf(&r->iter)->offset + AHEAD_MAX;
    return status;
}

static persist_status enter_layer(engine_cursor *c, persist_error *error)
{
    const layers *v = c->snapshot.layers;
    size_t index = layer_index(c);
    CHECK(index < v->table_count + 2);
    c->u.stream.in_layer = true;
    c->u.stream.slot = c->u.stream.slot_end = 0;
    if (index < v->table_count)
        return enter_table(c, index, error);
    enter_memtable(c, memtable_of(&c->snapshot, index));
    return PERSIST_OK;
}

static void leave_layer(stream_reader *r)
{
    table_iter_release(&r->iter);
    r->stream = NULL;
    r->in_layer = false;
    r->layer++;
}

/* ---- events ----------------------------------------------------------- */

/* Takes the next chunk in hand; false at the end. */
static bool take_chunk(engine_cursor *c)
{
    stream_reader *r = &c->u.stream;
    if (r->begin == r->end)
        return false;
    readers_look(&c->engine->readers, c->snapshot.place);
    r->chunk = stream_chunk(r->stream, r->back ? r->end - 1 : r->begin);
    uint64_t first = r->chunk->first, behind = first + r->chunk->count;
    readers_look_end(&c->engine->readers, c->snapshot.place);
    uint64_t from = first > r->begin ? first : r->begin;
    uint64_t to = behind < r->end ? behind : r->end;
    r->slot = (uint32_t)(from - first);
    r->slot_end = (uint32_t)(to - first);
    CHECK(r->slot < r->slot_end);
    if (r->back)
        r->end = from;
    else
        r->begin = to;
    return true;
}

static bool has_room(const engine_cursor *c)
{
    return c->ready_count < CURSOR_EVENTS && c->ready_count < c->left;
}

static void put(engine_cursor *c, const event *e)
{
    c->ready[c->ready_count++] = (persist_event){
        c->u.stream.name, slice_of(e->data, e->size), e->seq, e->position, 0,
        event_tagged(e)};
}

static persist_status next_in_memtable(engine_cursor *c)
{
    stream_reader *r = &c->u.stream;
    if (r->slot == r->slot_end && !take_chunk(c))
        return PERSIST_NONE;
    while (r->slot < r->slot_end && has_room(c))
        put(c, chunk_event(r->chunk, r->back ? --r->slot_end : r->slot++));
    return PERSIST_OK;
}

/* Takes events from the one on that the iterator is at, as long as they lie in
 * its block, and stands at the last one; returns how many. */
static uint32_t take_run(engine_cursor *c)
{
    stream_reader *r = &c->u.stream;
    const table_step *leaf = table_leaf(&r->iter);
    event_run run = {leaf->at, r->back, r->ordinal, r->low, r->high, r->name};
    uint32_t most = c->left < CURSOR_EVENTS ? (uint32_t)c->left : CURSOR_EVENTS;
    uint32_t n = entry_get_run(&leaf->view, &run, c->ready, most);
    if (n == 0)
        return 0;
    c->ready_count = n;
    table_iter_set(&r->iter, r->back ? leaf->at - (n - 1) : leaf->at + (n - 1));
    r->seq = c->ready[n - 1].seq;
    return n;
}

static persist_status next_in_table(engine_cursor *c, persist_error *error)
{
    stream_reader *r = &c->u.stream;
    event_entry e;
    persist_status status = PERSIST_OK;
    if (!r->ahead && (r->back ? r->seq <= r->bound : r->seq >= r->bound))
        return PERSIST_NONE;
    if (!r->ahead)
        status = r->back ? table_previous(&r->iter, error)
                         : table_next(&r->iter, error);
    r->ahead = false;
    if (status != PERSIST_OK || take_run(c) > 0)
        return status;
    /* what is there is not in range, or another stream's, or damaged */
    status = table_get_event(&r->iter, &e, error);
    return status == PERSIST_OK ? PERSIST_NONE : status;
}

persist_status stream_reader_next(engine_cursor *c, persist_error *error)
{
    stream_reader *r = &c->u.stream;
    CHECK(c->ready_count == 0 && c->left > 0);
    while (r->layer < layer_count(&c->snapshot)) {
        persist_status status =
            r->in_layer ? PERSIST_OK : enter_layer(c, error);
        if (status == PERSIST_OK)
            status = layer_index(c) < c->snapshot.layers->table_count
                         ? next_in_table(c, error)
                         : next_in_memtable(c);
        if (status != PERSIST_NONE)
            return status;
        leave_layer(r);
    }
    return PERSIST_NONE;
}

/* ---- opening and closing ---------------------------------------------- */

persist_status stream_reader_open(engine_cursor *c, slice name, uint64_t from,
                                  persist_error *error)
{
    stream_reader *r = &c->u.stream;
    memset(r, 0, offsetof(stream_reader, iter));
    table_iter_init(&r->iter, NULL, TABLE_EVENTS, false);
    void *copy = name.size <= sizeof r->short_name ? r->short_name
                                                   : mem_alloc(name.size);
    if (copy == NULL)
        return status_no_memory(error);
    if (name.size > 0)
        memcpy(copy, name.data, name.size);
    r->name = slice_of(copy, name.size);
    r->back = c->kind == ENGINE_STREAM_BACK;
    persist_status status = snapshot_find(c->engine, &c->snapshot, name,
                                          &r->entry, &r->newest, error);
    if (status > PERSIST_NONE)
        return status;
    const stream_state *state = &r->entry.state;
    r->low = status == PERSIST_NONE ? 1 : state->floor.through + 1;
    r->high = status == PERSIST_NONE ? 0 : state->mark;
    if (r->back)
        r->layer = layer_count(&c->snapshot) - 1 - r->newest;
    if (r->back && from < r->high)
        r->high = from;
    if (!r->back && from > r->low)
        r->low = from;
    if (r->low > r->high)
        r->layer = layer_count(&c->snapshot);
    return PERSIST_OK;
}

void stream_reader_close(engine_cursor *c)
{
    stream_reader *r = &c->u.stream;
    CHECK(c->kind <= ENGINE_STREAM_BACK);
    table_iter_release(&r->iter);
    if (r->name.data != r->short_name)
        mem_free((void *)(uintptr_t)r->name.data);
}
