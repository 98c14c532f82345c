/* SPDX-License-Identifier: MIT */
/* Names in byte order, or in the opposite one, merged from all layers: keys
 * with their values, streams, command ids with what is kept of them, and
 * digests of blobs with where those are. Of the
 * same name the newest layer's entry counts; one that says deleted hides the
 * older ones. */
#include "base/mem.h"
#include "engine/read/read.h"

/* ---- bounds ------------------------------------------------------------ */

/* One more bound of the same side. */
static void narrow(name_bound *b, bool low, slice name, bool open)
{
    int sign = b->given ? slice_compare(name, b->name) : low ? 1 : -1;
    if (low ? sign > 0 : sign < 0)
        *b = (name_bound){name, true, open};
    else if (sign == 0)
        b->open = b->open || open;
}

/* The lowest name that is greater than all that begin with a prefix, in room
 * for as many bytes; false: there is none. */
static bool name_behind(slice prefix, uint8_t *room, slice *out)
{
    size_t size = prefix.size;
    const uint8_t *bytes = prefix.data;
    while (size > 0 && bytes[size - 1] == UINT8_MAX)
        size--;
    if (size == 0)
        return false;
    memcpy(room, bytes, size);
    room[size - 1]++;
    *out = slice_of(room, size);
    return true;
}

static uint8_t *keep(name_bound *b, uint8_t *room)
{
    if (b->name.size > 0)
        memcpy(room, b->name.data, b->name.size);
    b->name.data = room;
    return room + b->name.size;
}

/* Takes the bounds of a range, which are the caller's. */
static bool take_bounds(name_reader *r, const persist_range *range)
{
    slice behind;
    if (range->prefix.size > 0)
        narrow(&r->low, true, range->prefix, false);
    if (range->from != NULL)
        narrow(&r->low, true, *range->from, false);
    if (range->after != NULL)
        narrow(&r->low, true, *range->after, true);
    if (range->to != NULL)
        narrow(&r->high, false, *range->to, false);
    if (range->before != NULL)
        narrow(&r->high, false, *range->before, true);
    size_t size = r->low.name.size + r->high.name.size;
    uint8_t *room = r->bytes = mem_alloc(size + range->prefix.size);
    if (room == NULL)
        return false;
    room = keep(&r->high, keep(&r->low, room));
    if (name_behind(range->prefix, room, &behind))
        narrow(&r->high, false, behind, true);
    return true;
}

/* Tells whether a name lies behind the end, to which the reader goes. */
static bool is_past(const name_reader *r, slice name)
{
    const name_bound *end = r->back ? &r->low : &r->high;
    if (!end->given)
        return false;
    int sign = slice_compare(name, end->name);
    return sign == 0 ? end->open : (sign > 0) != r->back;
}

/* ---- memtables, in batches -------------------------------------------- */

/* Where a batch begins: behind the one before, or where the range does. */
static btree_at first_place(const name_reader *r, const btree *tree,
                            const name_source *s)
{
    if (s->count > 0)
        return btree_seek(tree, s->batch[s->count - 1].name, !r->back);
    if (r->back)
        return r->high.given ? btree_seek(tree, r->high.name, !r->high.open)
                             : btree_end(tree);
    return r->low.given ? btree_seek(tree, r->low.name, r->low.open)
                        : btree_seek(tree, slice_of(NULL, 0), false);
}

/* False: the entry is not in the snapshot. */
static bool take_item(const engine_cursor *c, const void *item, name_item *out)
{
    persist_lsn lsn = c->snapshot.lsn;
    if (c->u.names.section == TABLE_STREAMS) {
        const stream *s = item;
        *out = (name_item){.name = s->name};
        return s->created <= lsn;
    }
    if (c->u.names.section == TABLE_ONCES) {
        const once *o = item;
        *out = (name_item){.name = o->id, .once = o};
        return o->lsn <= lsn;
    }
    if (c->u.names.section == TABLE_BLOBS) {
        const blob_item *b = item;
        const blob_version *v = blob_at(b, lsn);
        *out = (name_item){.name = b->digest, .blob = v};
        out->deleted = v != NULL && v->entry.deleted;
        return v != NULL;
    }
    const key *k = item;
    const version *v = key_at(k, lsn);
    if (v == NULL)
        return false;
    *out = (name_item){.name = k->name,
                       .value = slice_of(v->data, v->size),
                       .deleted = v->deleted};
    return true;
}

static const btree *tree_of(const name_reader *r, const memtable *t)
{
    if (r->section == TABLE_ONCES)
        return &t->once_tree;
    if (r->section == TABLE_BLOBS)
        return &t->blob_tree;
    return r->section == TABLE_KEYS ? &t->key_tree : &t->stream_tree;
}

/* Names of what a snapshot sees stay where they are: a batch of them can be
 * used without looking. */
static void fill(engine_cursor *c, name_source *s)
{
    name_reader *r = &c->u.names;
    uint64_t passed = 0;
    readers_look(&c->engine->readers, c->snapshot.place);
    btree_at at = first_place(r, tree_of(r, s->from), s);
    s->at = s->count = 0;
    while (s->count < CURSOR_BATCH) {
        const void *item = r->back ? btree_previous(&at) : btree_next(&at);
        if (item == NULL || is_past(r, *(const slice *)item))
            break;
        if (take_item(c, item, &s->batch[s->count]))
            passed += s->batch[s->count++].deleted;
    }
    s->last_batch = s->count < CURSOR_BATCH;
    readers_look_end(&c->engine->readers, c->snapshot.place);
    credit_note_passed(&c->snapshot, s->from, passed);
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
    s->ended = is_past(r, s->item.name);
    if (r->section == TABLE_ONCES || r->section == TABLE_BLOBS)
        s->item.value = table_value(&s->iter);
    if (r->section == TABLE_BLOBS)
        s->item.deleted = s->item.value.size == 0;
    if (s->ended || r->section != TABLE_KEYS)
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

static persist_status step(const name_reader *r, name_source *s,
                           persist_error *error)
{
    return r->back ? table_previous(&s->iter, error)
                   : table_next(&s->iter, error);
}

static persist_status begin_table(const name_reader *r, name_source *s,
                                  table *t, persist_error *error)
{
    const name_bound *start = r->back ? &r->high : &r->low;
    table_iter_init(&s->iter, t, r->section, false);
    persist_status status = !r->back ? table_seek(&s->iter, start->name, error)
                            : start->given
                                ? table_seek_back(&s->iter, start->name, error)
                                : table_seek_last(&s->iter, error);
    if (status == PERSIST_OK && start->open &&
        slice_equal(table_key(&s->iter), start->name))
        status = step(r, s, error);
    return settle(r, s, status, error);
}

static persist_status advance(engine_cursor *c, name_source *s,
                              persist_error *error)
{
    if (s->from == NULL)
        return settle(&c->u.names, s, step(&c->u.names, s, error), error);
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

static persist_status decode_command(name_reader *r, const table_iter *i,
                                     slice value, persist_error *error)
{
    once_entry e;
    if (!entry_get_once(value, &e))
        return table_bad_entry(i, error);
    if (!mem_grow(&r->seqs, 0, (size_t)e.seq_count, &r->seq_capacity,
                  sizeof *r->seqs))
        return status_no_memory(error);
    if (!entry_get_seqs(&e, r->seqs))
        return table_bad_entry(i, error);
    r->command.seqs = r->seqs;
    r->command.seq_count = (size_t)e.seq_count;
    r->command.lsn = e.lsn;
    memcpy(r->command.fingerprint, e.fingerprint, sizeof e.fingerprint);
    return PERSIST_OK;
}

persist_status name_reader_command(engine_cursor *c, persist_error *error)
{
    name_reader *r = &c->u.names;
    CHECK(r->section == TABLE_ONCES && r->taken);
    const name_source *s = &r->sources[r->tournament.winner];
    const once *o = s->item.once;
    r->command = (persist_command){.id = s->item.name};
    if (o == NULL) {
        persist_status status =
            decode_command(r, &s->iter, s->item.value, error);
        r->command.lsn = gaps_cover(&c->engine->gaps, r->command.lsn);
        return status;
    }
    r->command.seqs = o->seqs;
    r->command.seq_count = o->seq_count;
    r->command.lsn = gaps_cover(&c->engine->gaps, o->lsn);
    memcpy(r->command.fingerprint, o->fingerprint, sizeof o->fingerprint);
    return PERSIST_OK;
}

persist_status name_reader_blob(const engine_cursor *c, blob_entry *out,
                                persist_error *error)
{
    const name_reader *r = &c->u.names;
    CHECK(r->section == TABLE_BLOBS && r->taken);
    const name_source *s = &r->sources[r->tournament.winner];
    if (s->item.blob != NULL) {
        *out = s->item.blob->entry;
        return PERSIST_OK;
    }
    return table_get_blob(&s->iter, out, error);
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

persist_status name_reader_open(engine_cursor *c, const persist_range *range,
                                persist_error *error)
{
    name_reader *r = &c->u.names;
    const layers *v = c->snapshot.layers;
    *r = (name_reader){0};
    r->section = c->kind == ENGINE_KEYS      ? TABLE_KEYS
                 : c->kind == ENGINE_STREAMS ? TABLE_STREAMS
                 : c->kind == ENGINE_ONCES   ? TABLE_ONCES
                                             : TABLE_BLOBS;
    r->back = range->backward;
    if (!take_bounds(r, range))
        return status_no_memory(error);
    size_t most = v->table_count + 2;
    r->sources = mem_alloc(most * sizeof *r->sources);
    if (r->sources == NULL)
        return status_no_memory(error);
    persist_status status = add_sources(c, error);
    CHECK(r->source_count <= most);
    if (status == PERSIST_OK &&
        !tournament_init(&r->tournament, (uint32_t)r->source_count))
        status = status_no_memory(error);
    if (status != PERSIST_OK)
        return status;
    r->tournament.back = r->back;
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
    mem_free(r->seqs);
    tournament_release(&r->tournament);
    mem_free(r->bytes);
}
