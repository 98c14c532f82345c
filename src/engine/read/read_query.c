/* SPDX-License-Identifier: MIT */
/* Reading the events that match a query, in commit order.
 *
 * Layer after layer, oldest first, as all events are read. Of an item the lists
 * of its tags are joined: whoever stands at a lower position than another one
 * goes on to that, until all stand at the same (T. Veldhuizen, "Leapfrog
 * Triejoin", 2014). So the shortest list says how often anybody moves. Of the
 * items the lowest position comes next. */
#include "base/mem.h"
#include "engine/read/read.h"

enum { NEAR = 2 }; /* runs of a list that are passed before a search */

/* ---- the query, copied ------------------------------------------------- */

/* One piece of memory holds all of a query, which is the caller's. */
typedef struct copy {
    uint8_t *at;
    size_t left;
} copy;

static void *take(copy *c, size_t size)
{
    void *out = c->at;
    size = (size + 7) / 8 * 8;
    CHECK(size <= c->left);
    c->at += size;
    c->left -= size;
    return out;
}

static size_t room_of(const slice *list, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += (1 + list[i].size + 7) / 8 * 8;
    return size;
}

static slice take_slice(copy *c, slice s)
{
    void *bytes = take(c, s.size);
    if (s.size > 0)
        memcpy(bytes, s.data, s.size);
    return slice_of(bytes, s.size);
}

static query_tag take_tag(copy *c, slice tag)
{
    uint8_t place[ENTRY_TAG_KEY_MAX];
    (void)entry_tag_key(tag, 0, place);
    slice prefix = take_slice(c, slice_of(place, 1 + tag.size));
    return (query_tag){.prefix = prefix,
                       .tag = entry_tag_of(prefix),
                       .hash = filter_hash(TABLE_TAGS, tag)};
}

static void copy_item(copy *c, const persist_query_item *from, query_part *to)
{
    persist_query_item *item = take(c, sizeof *item);
    slice *types = take(c, from->type_count * sizeof *types);
    slice *tags = take(c, from->tag_count * sizeof *tags);
    for (size_t i = 0; i < from->type_count; i++)
        types[i] = take_slice(c, from->types[i]);
    *item = (persist_query_item){.types = types,
                                 .type_count = from->type_count,
                                 .tags = tags,
                                 .tag_count = from->tag_count};
    *to = (query_part){.item = item};
    to->tags = take(c, from->tag_count * sizeof *to->tags);
    for (size_t i = 0; i < from->tag_count; i++) {
        to->tags[i] = take_tag(c, from->tags[i]);
        tags[i] = to->tags[i].tag;
    }
}

static bool copy_query(query_reader *r, const persist_query_item *items,
                       size_t count)
{
    copy c = {.left = count * (sizeof *r->parts + sizeof *items)};
    for (size_t i = 0; i < count; i++) {
        const persist_query_item *item = &items[i];
        c.left += room_of(item->types, item->type_count) +
                  room_of(item->tags, item->tag_count) +
                  item->type_count * sizeof(slice) +
                  item->tag_count * (sizeof(query_tag) + sizeof(slice));
        r->tag_count += item->tag_count;
    }
    r->copy = c.at = mem_alloc(c.left);
    if (r->copy == NULL)
        return false;
    r->parts = take(&c, count * sizeof *r->parts);
    r->count = count;
    for (size_t i = 0; i < count; i++)
        copy_item(&c, &items[i], &r->parts[i]);
    return true;
}

/* ---- an item ----------------------------------------------------------- */

/* How a list goes to its first event from a position on: the lists of a
 * memtable and those of a table differ in nothing else. */
typedef persist_status (*seek_fn)(const engine_cursor *, query_part *,
                                  size_t tag, uint64_t position,
                                  persist_error *);
/* The type of the event that all lists of an item stand at. */
typedef slice (*type_fn)(const query_part *);

/* Lets all lists of an item stand at one event from a position on; PERSIST_NONE
 * when there is none. Where a list has but one event, the others are not asked:
 * a search in each takes as long as a look at the event, which is to be read in
 * any case if it matches, and says which tags it has. */
static persist_status join(const engine_cursor *c, query_part *p, seek_fn seek,
                           uint64_t position, persist_error *error)
{
    size_t agreed = 0;
    bool lone = false;
    for (size_t i = 0; agreed < p->item->tag_count && !lone;
         i = i + 1 == p->item->tag_count ? 0 : i + 1) {
        query_tag *t = &p->tags[i];
        if (t->position < position) {
            persist_status status = seek(c, p, i, position, error);
            if (status != PERSIST_OK)
                return status;
        }
        CHECK(t->position >= position);
        agreed = t->position == position ? agreed + 1 : 1;
        position = t->position;
        lone = t->lone;
        p->by = t;
    }
    p->sure = agreed == p->item->tag_count;
    return PERSIST_OK;
}

/* Finds the next event that matches an item, unless that is known. */
static persist_status match(const engine_cursor *c, query_part *p, seek_fn seek,
                            type_fn type, uint64_t position,
                            persist_error *error)
{
    if (p->ended || p->position >= position)
        return PERSIST_OK;
    for (;; position++) {
        persist_status status = join(c, p, seek, position, error);
        p->ended = status == PERSIST_NONE;
        if (status != PERSIST_OK)
            return p->ended ? PERSIST_OK : status;
        position = p->by->position;
        if (query_has_type(p->item, type(p)))
            break;
    }
    p->position = position;
    return PERSIST_OK;
}

/* The item whose match comes first; NULL: none has one. */
static query_part *lowest(const query_reader *r)
{
    query_part *best = NULL;
    for (size_t i = 0; i < r->count; i++) {
        query_part *p = &r->parts[i];
        if (!p->ended && (best == NULL || p->position < best->position))
            best = p;
    }
    return best;
}

/* Of the next layer nothing is known. */
static void forget(query_reader *r)
{
    for (size_t i = 0; i < r->count; i++) {
        query_part *p = &r->parts[i];
        p->ended = false;
        p->position = 0;
        for (size_t k = 0; k < p->item->tag_count; k++) {
            p->tags[k].at = p->tags[k].position = 0;
            p->tags[k].lone = false;
        }
    }
}

/* ---- memtables --------------------------------------------------------- */

static persist_status seek_list(const engine_cursor *c, query_part *p,
                                size_t tag, uint64_t position,
                                persist_error *error)
{
    (void)error;
    query_tag *t = &p->tags[tag];
    const tag_list *l = t->list;
    if (l == NULL)
        return PERSIST_NONE;
    const order_item *items = l->room->items;
    bool near = t->at < l->count && items[t->at].event->position < position;
    if (near)
        t->at++; /* mostly this is the one */
    if (!near || t->at == l->count || items[t->at].event->position < position)
        t->at = tag_seek(l, position);
    if (t->at == l->count || items[t->at].event->lsn > c->snapshot.lsn)
        return PERSIST_NONE;
    t->position = items[t->at].event->position;
    return PERSIST_OK;
}

static const order_item *item_of(const query_part *p)
{
    const query_tag *t = &p->tags[0];
    CHECK(t->list != NULL && t->at < t->list->count);
    return &t->list->room->items[t->at];
}

static slice type_in_list(const query_part *p)
{
    return tagged_of(event_tagged(item_of(p)->event)).type;
}

static void find_lists(query_reader *r, const memtable *m, persist_lsn lsn)
{
    for (size_t i = 0; i < r->count; i++)
        for (size_t k = 0; k < r->parts[i].item->tag_count; k++) {
            query_tag *t = &r->parts[i].tags[k];
            t->list = memtable_tag(m, t->tag, lsn);
        }
}

/* Brings the lists of a memtable up to what the snapshot sees. Then they stay
 * there. In between the steps others look and commit. */
static persist_status index_tags(engine_cursor *c, memtable *m,
                                 persist_error *error)
{
    readers *r = &c->engine->readers;
    bool whole = true;
    readers_look(r, c->snapshot.place);
    bool done = memtable_is_indexed(m, c->snapshot.lsn);
    readers_look_end(r, c->snapshot.place);
    while (!done && whole) {
        readers_change(r);
        whole = memtable_index_some(m, c->snapshot.lsn);
        done = memtable_is_indexed(m, c->snapshot.lsn);
        readers_change_end(r);
    }
    return whole ? PERSIST_OK : status_no_memory(error);
}

static bool take_match(engine_cursor *c, const order *all,
                       const order_item *item)
{
    size_t when = order_time_at(all, item->event->position);
    return order_take(c, item, all->times[when].time);
}

/* A memtable is small: it is gone through in one look. */
static void fill(engine_cursor *c, const memtable *m)
{
    query_reader *r = &c->u.query;
    order_reader *o = &r->order;
    find_lists(r, m, c->snapshot.lsn);
    while (o->count < CURSOR_BATCH && o->count < c->left && !o->ended) {
        for (size_t i = 0; i < r->count; i++)
            (void)match(c, &r->parts[i], seek_list, type_in_list, o->position,
                        NULL);
        const query_part *p = lowest(r);
        o->ended = p == NULL || !take_match(c, &m->order, item_of(p));
        if (!o->ended)
            o->position = p->position + 1;
    }
}

/* ---- tables ------------------------------------------------------------ */

/* Goes on in the run in hand to the first event from a position on, or to its
 * last one. */
static persist_status pass(query_tag *t, const table_iter *i, uint64_t position,
                           persist_error *error)
{
    while (t->run.now.position < position && t->run.now.position < t->run.last)
        if (!postings_next(&t->run))
            return table_bad_entry(i, error);
    t->position = t->run.now.position;
    return PERSIST_OK;
}

/* Takes the run that an iterator is at, if it is one of the tag. */
static persist_status take_run(query_tag *t, const table_iter *i,
                               uint64_t position, persist_error *error)
{
    if (!slice_equal(entry_tag_of(table_key(i)), t->tag))
        return PERSIST_NONE;
    if (!postings_begin(&t->run, table_key(i), table_value(i)))
        return table_bad_entry(i, error);
    t->lone = t->run.now.position == t->run.last;
    return pass(t, i, position, error);
}

static persist_status find_in_table(query_tag *t, table_iter *i,
                                    uint64_t position, persist_error *error)
{
    uint8_t place[ENTRY_TAG_KEY_MAX];
    persist_status status = PERSIST_OK;
    if (table_iter_valid(i) && t->run.last >= position)
        return pass(t, i, position, error);
    for (unsigned n = 0;
         n < NEAR && table_iter_valid(i) && status == PERSIST_OK; n++) {
        status = table_next(i, error);
        if (status == PERSIST_OK)
            status = take_run(t, i, position, error);
        if (status == PERSIST_OK && t->position >= position)
            return PERSIST_OK;
    }
    if (status == PERSIST_OK)
        status = table_seek(i, entry_tag_key(t->tag, position, place), error);
    return status == PERSIST_OK ? take_run(t, i, position, error) : status;
}

static persist_status seek_table(const engine_cursor *c, query_part *p,
                                 size_t tag, uint64_t position,
                                 persist_error *error)
{
    query_tag *t = &p->tags[tag];
    CHECK(c->u.query.ahead != NULL);
    persist_status status = find_in_table(t, &p->iters[tag], position, error);
    if (status == PERSIST_OK && t->position < position)
        return table_bad_entry(&p->iters[tag], error);
    return status;
}

static slice type_in_table(const query_part *p)
{
    return p->by->run.now.type;
}

/* Ends the items of which a table has not every tag; PERSIST_NONE: so it is
 * with all. */
static persist_status ask_filters(query_reader *r, table *t,
                                  persist_error *error)
{
    size_t left = 0;
    for (size_t i = 0; i < r->count; i++) {
        query_part *p = &r->parts[i];
        for (size_t k = 0; k < p->item->tag_count && !p->ended; k++) {
            persist_status status =
                table_may_have(t, TABLE_TAGS, p->tags[k].hash, error);
            if (status > PERSIST_NONE)
                return status;
            p->ended = status == PERSIST_NONE;
        }
        left += !p->ended;
    }
    return left > 0 ? PERSIST_OK : PERSIST_NONE;
}

/* Tells whether surely nothing is truncated by what is in no table yet. */
static bool is_quiet(const snapshot *s)
{
    const layers *v = s->layers;
    return !(v->frozen != NULL && atomic_load(&v->frozen->truncates)) &&
           !(s->with_active && atomic_load(&v->active->truncates));
}

/* Tells whether surely nothing that a table has is truncated: what is by
 * commits up to its last one, it has not. */
static bool is_whole(const engine_cursor *c, const table *t)
{
    const layers *v = c->snapshot.layers;
    CHECK(v->table_count > 0);
    return c->u.query.quiet && t == v->tables[v->table_count - 1];
}

static persist_status enter(engine_cursor *c, table *t, persist_error *error)
{
    query_reader *r = &c->u.query;
    persist_status status = ask_filters(r, t, error);
    if (status != PERSIST_OK)
        return status;
    if (r->ahead == NULL)
        r->ahead =
            mem_alloc(sizeof *r->ahead + r->tag_count * sizeof(table_iter));
    if (r->ahead == NULL)
        return status_no_memory(error);
    r->ahead->count = 0;
    r->ahead->then = PERSIST_OK;
    table_iter *iter = r->ahead->iters;
    for (size_t i = 0; i < r->count; i++) {
        r->parts[i].iters = iter;
        for (size_t k = 0; k < r->parts[i].item->tag_count; k++, iter++) {
            table_iter_init(iter, t, TABLE_TAGS, false);
            table_iter_within(iter, r->parts[i].tags[k].prefix);
        }
    }
    if (r->sought)
        credit_note(&c->snapshot, r->tag_count * TAG_WORTH);
    r->sought = true;
    CHECK(!r->inside && !table_iter_valid(&r->events));
    r->inside = true;
    table_iter_init(&r->events, t, TABLE_EVENTS, false);
    r->quiet = is_quiet(&c->snapshot);
    r->whole = is_whole(c, t);
    times_open(&r->order.times, t, false);
    return PERSIST_OK;
}

/* Takes the next match in hand, whose event will be looked for with others. */
static persist_status gather(engine_cursor *c, persist_error *error)
{
    query_reader *r = &c->u.query;
    persist_status status = PERSIST_OK;
    CHECK(r->ahead->count < QUERY_AHEAD);
    for (size_t i = 0; i < r->count && status == PERSIST_OK; i++)
        status = match(c, &r->parts[i], seek_table, type_in_table,
                       r->order.position, error);
    if (status != PERSIST_OK)
        return status;
    const query_part *p = lowest(r);
    if (p == NULL)
        return PERSIST_NONE;
    query_look *look = &r->ahead->looks[r->ahead->count++];
    look->entry = p->by->run.now;
    look->by = p->by;
    look->sure = p->sure;
    look->from = *table_leaf(&p->iters[p->by - p->tags]);
    if (look->from.held != NULL)
        (void)block_ref(look->from.held);
    look->known = slice_of(NULL, 0);
    look->spot.step = (table_step){0};
    spots_fetch(r->events.table, look->entry.position);
    r->order.position = look->entry.position + 1;
    return PERSIST_OK;
}

static persist_status next(engine_cursor *c, bool move, persist_error *error)
{
    query_reader *r = &c->u.query;
    query_looks *a = r->ahead;
    (void)move; /* the position tells */
    do {
        query_looks_drop(r);
        while (a->then == PERSIST_OK && a->count < QUERY_AHEAD &&
               a->count < c->left)
            a->then = gather(c, &a->error);
        query_looks_aim(c);
        query_looks_read(c);
    } while (c->ready_count == 0 && a->then == PERSIST_OK);
    if (c->ready_count > 0)
        return PERSIST_OK;
    CHECK(a->then != PERSIST_OK);
    if (error != NULL && a->then != PERSIST_NONE)
        *error = a->error;
    return a->then;
}

static void release_iters(query_reader *r)
{
    for (size_t i = 0; r->ahead != NULL && i < r->tag_count; i++)
        table_iter_release(&r->ahead->iters[i]);
}

/* Of most tables no more than the filter was asked. */
static void leave(engine_cursor *c)
{
    query_reader *r = &c->u.query;
    if (r->inside) {
        query_looks_drop(r);
        release_iters(r);
        table_iter_release(&r->events);
        times_close(&r->order.times);
    }
    r->inside = false;
    forget(r);
}

/* ---- opening and closing ----------------------------------------------- */

/* The first tag's part of each filter is on its way before one is asked. */
static void fetch_filters(const engine_cursor *c)
{
    const layers *v = c->snapshot.layers;
    const query_reader *r = &c->u.query;
    for (size_t i = r->order.layer; r->count > 0 && i < v->table_count; i++)
        table_fetch_filter(v->tables[i], r->parts[0].tags[0].hash);
}

static const order_ways query_ways = {enter, next, leave, fill, index_tags};

persist_status query_reader_open(engine_cursor *c,
                                 const persist_query_item *items, size_t count,
                                 uint64_t from, persist_error *error)
{
    query_reader *r = &c->u.query;
    CHECK(c->kind == ENGINE_QUERY);
    r->copy = NULL;
    r->ahead = NULL;
    for (size_t i = 0; i < QUERY_STREAMS; i++)
        r->streams[i].of = NULL;
    r->inside = r->sought = false;
    r->tag_count = r->count = 0;
    table_iter_init(&r->events, NULL, TABLE_EVENTS, false);
    persist_status status =
        order_reader_begin(c, &query_ways, from == 0 ? 1 : from, error);
    if (status == PERSIST_OK && !copy_query(r, items, count))
        status = status_no_memory(error);
    if (status == PERSIST_OK)
        fetch_filters(c);
    return status;
}

void query_reader_close(engine_cursor *c)
{
    query_reader *r = &c->u.query;
    query_looks_drop(r);
    release_iters(r);
    table_iter_release(&r->events);
    mem_free(r->ahead);
    mem_free(r->copy);
    order_reader_close(c);
}
