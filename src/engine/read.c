/* SPDX-License-Identifier: MIT */
/* Reading: a snapshot is an lsn and a pin that keeps what it sees in memory.
 *
 * Under the state lock a cursor finds the next chunk or batch; the bytes in it
 * never move or change while the pin holds, so events are handed out without
 * a lock. */
#include "base/mem.h"
#include "base/seeded_bug.h"
#include "engine/engine.h"

/* ---- snapshots -------------------------------------------------------- */

/* The state lock is held. */
static persist_lsn snapshot(engine *e, persist_view view)
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
    persist_lsn lsn = snapshot(e, PERSIST_LATEST);
    pthread_rwlock_unlock(&e->state);
    return lsn;
}

/* ---- events of one stream --------------------------------------------- */

static const stream *find_stream(const engine *e, slice name, persist_lsn lsn)
{
    const stream *s = memtable_stream(&e->memtable, name);
    return s != NULL && s->created <= lsn ? s : NULL;
}

static void find_range(engine_cursor *c, uint64_t from)
{
    stream_range_at(c->stream, c->pin.lsn, &c->begin, &c->end);
    CHECK(c->begin <= c->end);
    if (c->kind == ENGINE_STREAM) {
        uint64_t first = stream_index_of_seq(c->stream, from);
        if (first > c->begin)
            c->begin = first < c->end ? first : c->end;
        if (c->end - c->begin > c->left)
            c->end = c->begin + c->left;
    } else {
        if (from < PERSIST_SEQ_MAX) {
            uint64_t behind = stream_index_of_seq(c->stream, from + 1);
            if (behind < c->end)
                c->end = behind > c->begin ? behind : c->begin;
        }
        if (c->end - c->begin > c->left)
            c->begin = c->end - c->left;
    }
}

/* Takes the next chunk in hand; false at the end. */
static bool take_chunk(engine_cursor *c)
{
    if (c->begin == c->end)
        return false;
    bool back = c->kind == ENGINE_STREAM_BACK;
    pthread_rwlock_rdlock(&c->engine->state);
    c->chunk = stream_chunk(c->stream, back ? c->end - 1 : c->begin);
    uint64_t first = c->chunk->first, behind = first + c->chunk->count;
    pthread_rwlock_unlock(&c->engine->state);
    uint64_t from = first > c->begin ? first : c->begin;
    uint64_t to = behind < c->end ? behind : c->end;
    c->slot = (uint32_t)(from - first);
    c->slot_end = (uint32_t)(to - first);
    CHECK(c->slot < c->slot_end);
    if (back)
        c->end = from;
    else
        c->begin = to;
    return true;
}

static void show(slice name, const event *e, persist_event *out)
{
    out->stream = name;
    out->data = slice_of(e->data, e->size);
    out->seq = e->seq;
    out->position = e->position;
}

/* ---- batches ---------------------------------------------------------- */

static void take_item(engine_cursor *c, slice name, slice value, const event *e)
{
    c->items[c->item_count++] = (cursor_item){name, value, e};
    c->left--;
}

static bool is_full(const engine_cursor *c)
{
    return c->left == 0 || c->item_count == CURSOR_BATCH;
}

/* Returns false when no later event can be in the snapshot. */
static bool take_ordered(engine_cursor *c, const order_item *item)
{
    const event *e = item->event;
    if (e == NULL)
        return true;
    if (e->lsn > c->pin.lsn)
        return false;
    uint64_t gone = history_at(&item->stream->truncations, c->pin.lsn);
    if (e->seq > gone)
        take_item(c, item->stream->name, slice_of(NULL, 0), e);
    return true;
}

static void fill_all(engine_cursor *c)
{
    const order *o = &c->engine->memtable.order;
    for (size_t i = order_seek(o, c->position); i < o->count; i++) {
        const order_block *b = o->blocks[i];
        uint32_t slot =
            c->position > b->first ? (uint32_t)(c->position - b->first) : 0;
        for (; slot < b->count; slot++) {
            if (is_full(c))
                return;
            c->ended = !take_ordered(c, &b->items[slot]);
            if (c->ended)
                return;
            c->position = b->first + slot + 1;
        }
    }
    c->ended = true;
}

static btree_at first_name(const engine_cursor *c, const btree *tree)
{
    if (c->has_after && slice_compare(c->after, c->prefix) >= 0)
        return btree_seek(tree, c->after, true);
    return btree_seek(tree, c->prefix, false);
}

static void fill_keys(engine_cursor *c)
{
    btree_at at = first_name(c, &c->engine->memtable.key_tree);
    while (!is_full(c) && !c->ended) {
        const key *k = btree_next(&at);
        c->ended = k == NULL || !slice_starts_with(k->name, c->prefix);
        const version *v = c->ended ? NULL : key_at(k, c->pin.lsn);
        if (v != NULL)
            take_item(c, k->name, slice_of(v->data, v->size), NULL);
    }
}

static void fill_streams(engine_cursor *c)
{
    btree_at at = first_name(c, &c->engine->memtable.stream_tree);
    while (!is_full(c) && !c->ended) {
        const stream *s = btree_next(&at);
        c->ended = s == NULL;
        if (s != NULL && s->created <= c->pin.lsn)
            take_item(c, s->name, slice_of(NULL, 0), NULL);
    }
}

/* Fills the next batch. The state lock is held. */
static void fill(engine_cursor *c)
{
    CHECK(c->item == c->item_count);
    c->item = c->item_count = 0;
    if (c->ended || c->left == 0)
        return;
    if (c->kind == ENGINE_ALL) {
        fill_all(c);
        return;
    }
    if (c->kind == ENGINE_KEYS)
        fill_keys(c);
    else
        fill_streams(c);
    if (c->item_count > 0) {
        c->after = c->items[c->item_count - 1].name;
        c->has_after = true;
    }
}

static const cursor_item *next_item(engine_cursor *c)
{
    CHECK(c->item <= c->item_count && c->items != NULL);
    if (c->item == c->item_count) {
        pthread_rwlock_rdlock(&c->engine->state);
        fill(c);
        pthread_rwlock_unlock(&c->engine->state);
    }
    return c->item == c->item_count ? NULL : &c->items[c->item++];
}

/* ---- cursors ---------------------------------------------------------- */

static persist_status prepare(engine_cursor *c, slice name,
                              persist_error *error)
{
    if (c->kind == ENGINE_STREAM || c->kind == ENGINE_STREAM_BACK)
        return PERSIST_OK;
    c->items = mem_alloc(CURSOR_BATCH * sizeof *c->items);
    void *copy = c->kind == ENGINE_KEYS ? mem_alloc(name.size) : NULL;
    if (c->items == NULL || (c->kind == ENGINE_KEYS && copy == NULL)) {
        mem_free(c->items);
        mem_free(copy);
        return status_set(error, PERSIST_LIMIT, "out of memory");
    }
    if (copy != NULL && name.size > 0)
        memcpy(copy, name.data, name.size);
    c->prefix = slice_of(copy, copy == NULL ? 0 : name.size);
    return PERSIST_OK;
}

persist_status engine_read(engine *e, engine_cursor *out, engine_read_kind kind,
                           slice name, const slice *after, uint64_t from,
                           uint64_t limit, persist_view view,
                           persist_error *error)
{
    engine_cursor *c = out;
    *c = (engine_cursor){.engine = e, .kind = kind, .left = limit};
    persist_status status = prepare(c, name, error);
    if (status != PERSIST_OK)
        return status;
    c->position = from;
    if (after != NULL) {
        c->after = *after;
        c->has_after = true;
    }
    pthread_rwlock_rdlock(&e->state);
    pin_add(e, &c->pin, snapshot(e, view));
    if (c->items != NULL) {
        fill(c); /* before the caller's `after` is gone */
        c->has_after = c->has_after && c->item_count > 0;
        c->ended = c->ended || c->item_count == 0;
    } else {
        c->stream = find_stream(e, name, c->pin.lsn);
        if (c->stream != NULL)
            find_range(c, from);
    }
    pthread_rwlock_unlock(&e->state);
    return PERSIST_OK;
}

persist_status engine_next_event(engine_cursor *c, persist_event *out,
                                 persist_error *error)
{
    CHECK(c->kind <= ENGINE_ALL);
    (void)error;
    if (c->kind == ENGINE_ALL) {
        const cursor_item *item = next_item(c);
        if (item == NULL)
            return PERSIST_NONE;
        show(item->name, item->event, out);
        return PERSIST_OK;
    }
    if (c->slot == c->slot_end && !take_chunk(c))
        return PERSIST_NONE;
    uint32_t slot = c->kind == ENGINE_STREAM_BACK ? --c->slot_end : c->slot++;
    show(c->stream->name, chunk_event(c->chunk, slot), out);
    return PERSIST_OK;
}

persist_status engine_next_key(engine_cursor *c, slice *name, slice *value,
                               persist_error *error)
{
    CHECK(c->kind >= ENGINE_STREAMS);
    (void)error;
    const cursor_item *item = next_item(c);
    if (item == NULL)
        return PERSIST_NONE;
    if (name != NULL)
        *name = item->name;
    if (value != NULL)
        *value = item->value;
    return PERSIST_OK;
}

void engine_cursor_close(engine_cursor *c)
{
    CHECK(c->engine != NULL);
    pin_remove(c->engine, &c->pin);
    mem_free(c->items);
    mem_free((void *)(uintptr_t)c->prefix.data);
    c->engine = NULL;
}

/* ---- one thing -------------------------------------------------------- */

persist_status engine_info(engine *e, slice name, persist_view view,
                           persist_stream_info *info, bool *known)
{
    *info = (persist_stream_info){0};
    pthread_rwlock_rdlock(&e->state);
    persist_lsn lsn = snapshot(e, view);
    const stream *s = find_stream(e, name, lsn);
    if (s != NULL) {
        uint64_t begin, end;
        stream_range_at(s, lsn, &begin, &end);
        info->mark = stream_mark_at(s, lsn);
        CHECK(begin == end || info->mark > 0);
        info->count = end - begin;
        info->bytes = stream_bytes_between(s, begin, end);
        if (begin < end) {
            const chunk *c = stream_chunk(s, begin);
            info->first = chunk_event(c, (uint32_t)(begin - c->first))->seq;
        }
    }
    pthread_rwlock_unlock(&e->state);
    if (known != NULL)
        *known = s != NULL;
    return PERSIST_OK;
}

persist_status engine_get(engine *e, slice name, persist_view view, slice *out,
                          persist_error *error)
{
    persist_status status = PERSIST_NONE;
    pthread_rwlock_rdlock(&e->state);
    const key *k = memtable_key(&e->memtable, name);
    const version *v = k == NULL ? NULL : key_at(k, snapshot(e, view));
    if (v != NULL)
        status = PERSIST_OK;
    if (v != NULL && out != NULL) {
        void *copy = mem_alloc(v->size);
        if (copy == NULL)
            status = status_set(error, PERSIST_LIMIT, "out of memory");
        else
            *out = slice_of(memcpy(copy, v->data, v->size), v->size);
    }
    pthread_rwlock_unlock(&e->state);
    return status;
}
