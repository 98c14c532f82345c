/* SPDX-License-Identifier: MIT */
/* Names in byte order, merged from all layers: keys with their values, and
 * streams. Of the same name the newest layer's entry counts; one that says
 * deleted hides the older ones. */
#include "base/mem.h"
#include "engine/read/read.h"

/* ---- memtables, in batches -------------------------------------------- */

static btree_at first_name(const name_reader *r, const btree *tree,
                           const name_source *s)
{
    if (s->count > 0)
        return btree_seek(tree, s->batch[s->count - 1].name, true);
    slice after = buf_slice(&r->after);
    if (r->has_after && slice_compare(after, r->prefix) >= 0)
        return btree_seek(tree, after, true);
    return btree_seek(tree, r->prefix, false);
}

/* False: the entry is not in the snapshot. */
static bool take_item(const engine_cursor *c, const void *item, name_item *out)
{
    persist_lsn lsn = c->snapshot.lsn;
    if (!c->u.names.of_keys) {
        const stream *s = item;
        *out = (name_item){.name = s->name};
        return s->created <= lsn;
    }
    const key *k = item;
    const version *v = key_at(k, lsn);
    if (v == NULL)
        return false;
    *out = (name_item){k->name, slice_of(v->data, v->size), v->deleted};
    return true;
}

/* Names of what a snapshot sees stay where they are: a batch of them can be
 * used without looking. */
static void fill(engine_cursor *c, name_source *s)
{
    name_reader *r = &c->u.names;
    readers_look(&c->engine->readers, c->snapshot.place);
    const btree *tree = r->of_keys ? &s->from->key_tree : &s->from->stream_tree;
    btree_at at = first_name(r, tree, s);
    s->at = s->count = 0;
    while (s->count < CURSOR_BATCH) {
        const void *item = btree_next(&at);
        if (item == NULL || !slice_starts_with(*(const slice *)item, r->prefix))
            break;
        if (take_item(c, item, &s->batch[s->count]))
            s->count++;
    }
    s->last_batch = s->count < CURSOR_BATCH;
    readers_look_end(&c->engine->readers, c->snapshot.place);
}

static void next_in_memtable(engine_cursor *c, name_source *s)
{
    if (s->at == s->count && !s->last_batch)
        fill(c, s);
    s->ended = s->at == s->count;
    if (!s->ended)
        s->item = s->batch[s->at++];
}

/* ---- tables ----------------------------------------------------------- */

/* Takes the entry that the iterator is at. */
static persist_status take_entry(const name_reader *r, name_source *s,
                                 persist_error *error)
{
    s->item = (name_item){.name = table_key(&s->iter)};
    s->ended = !slice_starts_with(s->item.name, r->prefix);
    if (s->ended || !r->of_keys)
        return PERSIST_OK;
    return entry_get_key(table_value(&s->iter), &s->item.deleted,
                         &s->item.value)
               ? PERSIST_OK
               : table_bad_entry(&s->iter, error);
}

static persist_status settle(const name_reader *r, name_source *s,
                             persist_status status, persist_error *error)
{
    if (status == PERSIST_OK)
        return take_entry(r, s, error);
    s->ended = true;
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

static persist_status begin_table(const name_reader *r, name_source *s,
                                  table *t, persist_error *error)
{
    slice after = buf_slice(&r->after);
    bool beyond = r->has_after && slice_compare(after, r->prefix) >= 0;
    table_section section = r->of_keys ? TABLE_KEYS : TABLE_STREAMS;
    table_iter_init(&s->iter, t, section, false);
    persist_status status =
        table_seek(&s->iter, beyond ? after : r->prefix, error);
    if (status == PERSIST_OK && beyond &&
        slice_equal(table_key(&s->iter), after))
        status = table_next(&s->iter, error);
    return settle(r, s, status, error);
}

static persist_status advance(engine_cursor *c, name_source *s,
                              persist_error *error)
{
    if (s->from == NULL)
        return settle(&c->u.names, s, table_next(&s->iter, error), error);
    next_in_memtable(c, s);
    return PERSIST_OK;
}

/* ---- merging ---------------------------------------------------------- */

/* Tells the tournament where a source stands. */
static void enter(name_reader *r, uint32_t source)
{
    const name_source *s = &r->sources[source];
    if (s->ended)
        tournament_end(&r->tournament, source);
    else
        tournament_set(&r->tournament, source, s->item.name);
}

persist_status name_reader_next(engine_cursor *c, slice *name, slice *value,
                                persist_error *error)
{
    name_reader *r = &c->u.names;
    tournament *t = &r->tournament;
    while (!tournament_over(t)) {
        name_source *s = &r->sources[t->winner];
        if (r->taken) {
            persist_status status = advance(c, s, error);
            if (status != PERSIST_OK)
                return status;
            enter(r, t->winner);
            tournament_play(t);
        }
        r->taken = !tournament_over(t);
        if (!r->taken)
            break;
        r->taken_count++;
        s = &r->sources[t->winner];
        if (t->players[t->winner].hidden || s->item.deleted)
            continue;
        *name = s->item.name;
        *value = s->item.value;
        return PERSIST_OK;
    }
    return PERSIST_NONE;
}

/* ---- opening and closing ---------------------------------------------- */

static name_source *add_source(name_reader *r)
{
    name_source *s = &r->sources[r->source_count++];
    memset(s, 0, offsetof(name_source, iter));
    table_iter_init(&s->iter, NULL, TABLE_KEYS, false);
    return s;
}

/* Who has nothing need not play. */
static void drop_source(name_reader *r)
{
    name_source *s = &r->sources[--r->source_count];
    CHECK(s->ended && s->from == NULL);
    table_iter_release(&s->iter);
}

static persist_status add_memtable(engine_cursor *c, memtable *t,
                                   persist_error *error)
{
    name_source *s = add_source(&c->u.names);
    s->from = t;
    s->batch = mem_alloc(CURSOR_BATCH * sizeof *s->batch);
    if (s->batch == NULL)
        return status_no_memory(error);
    next_in_memtable(c, s);
    return PERSIST_OK;
}

static persist_status add_sources(engine_cursor *c, persist_error *error)
{
    name_reader *r = &c->u.names;
    const layers *v = c->snapshot.layers;
    persist_status status = PERSIST_OK;
    if (c->snapshot.with_active)
        status = add_memtable(c, v->active, error);
    if (v->frozen != NULL && status == PERSIST_OK)
        status = add_memtable(c, v->frozen, error);
    size_t tables = 0;
    for (size_t i = v->table_count; i-- > 0 && status == PERSIST_OK;) {
        name_source *s = add_source(r);
        status = begin_table(r, s, v->tables[i], error);
        if (s->ended)
            drop_source(r);
        else
            tables++;
    }
    r->many = tables > 1;
    return status;
}

static persist_status keep_bounds(name_reader *r, slice prefix,
                                  const slice *after, persist_error *error)
{
    void *copy = mem_alloc(prefix.size);
    if (after != NULL) {
        buf_put_slice(&r->after, *after);
        r->has_after = true;
    }
    if (copy == NULL || r->after.failed) {
        mem_free(copy);
        return status_no_memory(error);
    }
    if (prefix.size > 0)
        memcpy(copy, prefix.data, prefix.size);
    r->prefix = slice_of(copy, prefix.size);
    return PERSIST_OK;
}

persist_status name_reader_open(engine_cursor *c, slice prefix,
                                const slice *after, persist_error *error)
{
    name_reader *r = &c->u.names;
    const layers *v = c->snapshot.layers;
    *r = (name_reader){0};
    r->of_keys = c->kind == ENGINE_KEYS;
    persist_status status = keep_bounds(r, prefix, after, error);
    if (status != PERSIST_OK)
        return status;
    size_t most = v->table_count + 2;
    r->sources = mem_alloc(most * sizeof *r->sources);
    if (r->sources == NULL)
        return status_no_memory(error);
    status = add_sources(c, error);
    CHECK(r->source_count <= most);
    if (status == PERSIST_OK &&
        !tournament_init(&r->tournament, (uint32_t)r->source_count))
        status = status_no_memory(error);
    if (status != PERSIST_OK)
        return status;
    for (uint32_t i = 0; i < r->source_count; i++)
        enter(r, i);
    tournament_begin(&r->tournament);
    return PERSIST_OK;
}

void name_reader_close(engine_cursor *c)
{
    name_reader *r = &c->u.names;
    CHECK(c->kind >= ENGINE_STREAMS);
    if (r->many)
        credit_note(&c->snapshot, r->taken_count * ENTRY_WORTH);
    for (size_t i = 0; i < r->source_count; i++) {
        table_iter_release(&r->sources[i].iter);
        mem_free(r->sources[i].batch);
    }
    mem_free(r->sources);
    tournament_release(&r->tournament);
    buf_release(&r->after);
    mem_free((void *)(uintptr_t)r->prefix.data);
}
