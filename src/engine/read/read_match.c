/* SPDX-License-Identifier: MIT */
/* Looking up the events of a query's matches in a table.
 *
 * Several go together, so that what each of them waits for comes at once: first
 * all places are fetched, then all events, then they are read. Where an event
 * lies the table knows if a query has found it before (spots.h); else it is
 * looked up by stream and number. */
#include "base/hash.h"
#include "engine/read/read.h"

/* Finds up to where a stream is truncated. What no memtable has truncated a
 * table tells, and nobody else is asked. */
static persist_status find_floor(engine_cursor *c, slice name,
                                 uint64_t *through, persist_error *error)
{
    stream_entry entry;
    size_t layer = 0;
    const layers *v = c->snapshot.layers;
    persist_status status =
        c->u.query.quiet ? layers_tables_stream(v, name, &entry, &layer, error)
                         : snapshot_find(c->engine, &c->snapshot, name, &entry,
                                         &layer, error);
    if (c->u.query.quiet && status <= PERSIST_NONE)
        credit_note_looks(&c->snapshot, TABLE_STREAMS, v->tables[layer]);
    *through = status == PERSIST_OK ? entry.state.floor.through : 0;
    return status;
}

/* Learns what is to be known of a stream, in a place that others with such a
 * hash take, too. */
static persist_status find_stream(engine_cursor *c, slice name,
                                  const query_stream **out,
                                  persist_error *error)
{
    query_reader *r = &c->u.query;
    table *t = r->events.table;
    stream_entry entry;
    CHECK(t != NULL);
    query_stream *s = &r->streams[hash_xxh3(name) % QUERY_STREAMS];
    *out = s;
    if (s->of == t && slice_equal(name, slice_of(s->name, s->name_size)))
        return PERSIST_OK;
    s->of = NULL;
    persist_status status = find_floor(c, name, &s->through, error);
    if (status == PERSIST_OK)
        status = layers_stream_in_table(t, name, &entry, error);
    if (status != PERSIST_OK)
        return status;
    s->ordinal = entry.ordinal;
    if (name.size > sizeof s->name)
        return PERSIST_OK;
    s->of = t;
    s->name_size = name.size;
    if (name.size > 0)
        memcpy(s->name, name.data, name.size);
    return PERSIST_OK;
}

static void drop_look(query_look *look)
{
    table_spot_release(&look->spot);
    block_unref(look->from.held);
}

/* Looks for the event of a match by its key; PERSIST_NONE: it is truncated. */
static persist_status seek_event(engine_cursor *c, query_look *look,
                                 persist_error *error)
{
    query_reader *r = &c->u.query;
    uint8_t place[ENTRY_EVENT_KEY_MAX];
    const query_stream *s;
    persist_status status = find_stream(c, look->entry.stream, &s, error);
    if (status == PERSIST_OK && look->entry.seq <= s->through) {
        credit_note_gone(&c->snapshot);
        return PERSIST_NONE;
    }
    if (status == PERSIST_OK)
        status = table_aim(&r->events,
                           entry_event_key(s->ordinal, look->entry.seq, place),
                           &look->spot, error);
    return status == PERSIST_NONE
               ? table_bad_step(&r->events, &look->from, error)
               : status;
}

/* Looks for the event of a match; PERSIST_NONE: it is truncated. */
static persist_status aim(engine_cursor *c, query_look *look,
                          persist_error *error)
{
    query_reader *r = &c->u.query;
    const query_stream *s;
    CHECK(look->entry.position > 0 && look->spot.step.held == NULL);
    look->known = spots_find(r->events.table, look->entry.position);
    if (look->known.size == 0)
        return seek_event(c, look, error);
    if (r->whole)
        return PERSIST_OK;
    persist_status status = find_stream(c, look->entry.stream, &s, error);
    if (status != PERSIST_OK || look->entry.seq > s->through)
        return status == PERSIST_NONE
                   ? table_bad_step(&r->events, &look->from, error)
                   : status;
    credit_note_gone(&c->snapshot);
    return PERSIST_NONE;
}

/* Looks for the events of all matches in hand, together. Of those that are
 * truncated none stays, and behind an error none. */
void query_looks_aim(engine_cursor *c)
{
    query_looks *a = c->u.query.ahead;
    persist_status status = PERSIST_OK;
    size_t kept = 0;
    CHECK(a->count <= QUERY_AHEAD && c->u.query.events.table != NULL);
    for (size_t i = 0; i < a->count; i++) {
        if (status <= PERSIST_NONE)
            status = aim(c, &a->looks[i], &a->error);
        if (status != PERSIST_OK)
            drop_look(&a->looks[i]);
        else if (kept++ != i)
            a->looks[kept - 1] = a->looks[i];
    }
    a->count = kept;
    if (status > PERSIST_NONE)
        a->then = status;
}

static bool is_of(const posting *e, slice value, event_entry *out)
{
    return entry_get_event_value(value, out) && out->position == e->position;
}

/* Finds the event of a match that is near. */
static persist_status find_event(engine_cursor *c, query_look *look,
                                 event_entry *out, persist_error *error)
{
    query_reader *r = &c->u.query;
    const posting *e = &look->entry;
    table_spot *spot = &look->spot;
    persist_status status = PERSIST_OK;
    if (look->known.size > 0 && is_of(e, look->known, out))
        return PERSIST_OK;
    if (look->known.size > 0) { /* another one has its place */
        status = seek_event(c, look, error);
        if (status == PERSIST_OK)
            status = table_near(&r->events, spot, error);
    }
    if (status == PERSIST_OK)
        status = table_land(&r->events, spot, error);
    if (status == PERSIST_NONE)
        return table_bad_step(&r->events, &look->from, error);
    if (status != PERSIST_OK)
        return status;
    if (!entry_get_event(slice_of(spot->key, spot->key_size), spot->entry.value,
                         out))
        return table_bad_step(&r->events, &spot->step, error);
    if (out->position != e->position)
        return table_bad_step(&r->events, &look->from, error);
    if (spot->step.held == NULL)
        spots_note(r->events.table, e->position, spot->entry.value);
    return PERSIST_OK;
}

/* Tells whether an event matches, by the tags it has itself. */
static bool has_tags(const query_reader *r, const void *tagged)
{
    for (size_t i = 0; i < r->count; i++)
        if (query_matches(r->parts[i].item, 1, tagged))
            return true;
    return false;
}

/* PERSIST_NONE: it is none. It has the tag that led to it in any case. */
static persist_status is_match(const query_reader *r, const query_look *look,
                               const event_entry *found, persist_error *error)
{
    const persist_query_item by = {.tags = &look->by->tag, .tag_count = 1};
    if (look->sure || has_tags(r, found->tagged.data))
        return PERSIST_OK;
    return query_matches(&by, 1, found->tagged.data)
               ? PERSIST_NONE
               : table_bad_step(&r->events, &look->from, error);
}

/* Reads a match; PERSIST_NONE: it is none. */
static persist_status read_match(engine_cursor *c, query_look *look,
                                 persist_event *out, persist_error *error)
{
    event_entry found = {0};
    const posting *e = &look->entry;
    persist_status status = find_event(c, look, &found, error);
    if (status == PERSIST_OK)
        status = is_match(&c->u.query, look, &found, error);
    if (status != PERSIST_OK)
        return status;
    *out = (persist_event){e->stream,   found.data, e->seq,
                           e->position, 0,          found.tagged.data};
    return times_at(&c->u.query.order.times, e->position, &out->time, error);
}

/* Those in front of one that cannot be read come before the error. */
void query_looks_read(engine_cursor *c)
{
    query_reader *r = &c->u.query;
    query_looks *a = r->ahead;
    persist_status status = PERSIST_OK;
    size_t near = 0;
    CHECK(c->ready_count == 0 && a->count <= QUERY_AHEAD);
    for (; near < a->count && status == PERSIST_OK; near++)
        if (a->looks[near].known.size == 0)
            status = table_near(&r->events, &a->looks[near].spot, &a->error);
    near -= status != PERSIST_OK;
    for (size_t i = 0; i < near; i++) {
        persist_status read =
            read_match(c, &a->looks[i], &c->ready[c->ready_count], &a->error);
        if (read > PERSIST_NONE) {
            status = read;
            break;
        }
        c->ready_count += read == PERSIST_OK;
    }
    if (status != PERSIST_OK)
        a->then = status;
}

void query_looks_drop(query_reader *r)
{
    for (size_t i = 0; r->ahead != NULL && i < r->ahead->count; i++)
        drop_look(&r->ahead->looks[i]);
    if (r->ahead != NULL)
        r->ahead->count = 0;
}
