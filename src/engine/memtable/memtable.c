/* SPDX-License-Identifier: MIT */
/* What the store holds, in memory. */
#include "engine/memtable/memtable.h"

#include "base/mem.h"

memtable *memtable_new(arena_pool *pool, uint64_t seed, persist_lsn first,
                       const store_counts *counts, size_t leaf)
{
    CHECK(first > 0 && counts->next_position > 0);
    memtable *t = mem_alloc_zero(sizeof *t);
    if (t == NULL)
        return NULL;
    atomic_init(&t->references, 1);
    atomic_init(&t->passed, 0);
    t->first = first;
    t->counts = *counts;
    t->first_position = counts->next_position;
    t->long_name = leaf / LONG_NAME_SHARE;
    t->arena = arena_of(pool);
    hashmap_init(&t->stream_map, seed);
    hashmap_init(&t->key_map, seed);
    hashmap_init(&t->once_map, seed);
    hashmap_init(&t->blob_map, seed);
    tag_index_init(&t->tags, pool, seed);
    return t;
}

memtable *memtable_ref(memtable *t)
{
    unsigned before =
        atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
    CHECK(before > 0);
    return t;
}

static void release(memtable *t)
{
    size_t at = 0;
    for (stream *s; (s = hashmap_next(&t->stream_map, &at)) != NULL;)
        stream_release(s);
    at = 0;
    for (once *o; (o = hashmap_next(&t->once_map, &at)) != NULL;)
        mem_free(o);
    hashmap_release(&t->stream_map);
    hashmap_release(&t->key_map);
    hashmap_release(&t->once_map);
    hashmap_release(&t->blob_map);
    tag_index_release(&t->tags);
    btree_release(&t->stream_tree);
    btree_release(&t->key_tree);
    btree_release(&t->once_tree);
    btree_release(&t->blob_tree);
    order_release(&t->order);
    arena_release(&t->arena);
    mem_free(t);
}

void memtable_unref(memtable *t)
{
    if (t == NULL)
        return;
    unsigned before =
        atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1)
        release(t);
}

/* ---- finding and making ----------------------------------------------- */

stream *memtable_stream(const memtable *t, slice name)
{
    return hashmap_find(&t->stream_map, name);
}

key *memtable_key(const memtable *t, slice name)
{
    return hashmap_find(&t->key_map, name);
}

once *memtable_once(const memtable *t, slice id)
{
    return hashmap_find(&t->once_map, id);
}

blob_item *memtable_blob(const memtable *t, slice digest)
{
    CHECK(digest.size == HASH_SHA256_SIZE);
    return hashmap_find(&t->blob_map, digest);
}

uint64_t memtable_memory(const memtable *t)
{
    return t->memory +
           atomic_load_explicit(&t->tags.memory, memory_order_relaxed);
}

/* Those without tags need not be looked at. */
bool memtable_is_indexed(const memtable *t, persist_lsn lsn)
{
    CHECK(t->tags.count <= t->tagged_count);
    return t->tags.count == t->tagged_count ||
           tag_index_reaches(&t->tags, &t->order, lsn);
}

void memtable_pass_plain(memtable *t)
{
    if (t->tags.count != t->tagged_count)
        return;
    CHECK(t->tags.next <= t->counts.next_position);
    t->tags.next = t->counts.next_position;
}

bool memtable_index_some(memtable *t, persist_lsn lsn)
{
    return tag_index_some(&t->tags, &t->order, lsn);
}

const tag_list *memtable_tag(const memtable *t, slice tag, persist_lsn lsn)
{
    CHECK(memtable_is_indexed(t, lsn));
    return tag_index_find(&t->tags, tag);
}

/* Notes what a name takes of the blocks above a table's leaves: where it is
 * long it stands in two, of which each has two names at the least. Shorter
 * ones, of which many share a leaf, take next to nothing. */
static uint64_t count_name(memtable *t, slice name, bool back)
{
    uint64_t size = name.size < t->long_name ? 0 : 2 * name.size;
    CHECK(!back || t->beyond >= size);
    t->beyond += back ? 0 - size : size;
    return size + name.size;
}

/* The same of one that may be deleted, so often while tables are merged. */
static void count_note(memtable *t, slice name, unsigned often, bool back)
{
    uint64_t size = often * (RESERVE_NOTE + count_name(t, name, back));
    CHECK(!back || t->notes >= size);
    t->notes += back ? 0 - size : size;
}

static bool enter(hashmap *map, btree *tree, void *item)
{
    if (!hashmap_reserve(map) || !btree_add(tree, item))
        return false;
    hashmap_put(map, item);
    return true;
}

static void leave(hashmap *map, btree *tree, const void *item)
{
    btree_remove(tree, item);
    hashmap_remove(map, item);
}

stream *memtable_make_stream(memtable *t, slice name, const stream_state *base)
{
    stream *s = stream_new(&t->arena, name, base);
    if (s == NULL)
        return NULL;
    if (!enter(&t->stream_map, &t->stream_tree, s)) {
        stream_release(s);
        return NULL;
    }
    t->memory += sizeof *s + name.size + NAME_OVERHEAD;
    count_note(t, name, STREAM_NOTES, false);
    return s;
}

void memtable_unmake_stream(memtable *t, stream *s)
{
    CHECK(s->based ? s->count == s->base.count
                   : s->created == STREAM_NOT_CREATED);
    leave(&t->stream_map, &t->stream_tree, s);
    CHECK(t->memory >= sizeof *s + s->name.size + NAME_OVERHEAD);
    t->memory -= sizeof *s + s->name.size + NAME_OVERHEAD;
    count_note(t, s->name, STREAM_NOTES, true);
    stream_release(s);
}

key *memtable_make_key(memtable *t, slice name)
{
    key *k = arena_alloc(&t->arena, sizeof *k + name.size);
    if (k == NULL)
        return NULL;
    if (name.size > 0)
        memcpy(k + 1, name.data, name.size);
    *k = (key){.name = slice_of(k + 1, name.size)};
    if (!enter(&t->key_map, &t->key_tree, k))
        return NULL;
    t->memory += sizeof *k + name.size + NAME_OVERHEAD;
    count_note(t, name, 1, false);
    return k;
}

void memtable_unmake_key(memtable *t, key *k)
{
    CHECK(k->newest == NULL);
    leave(&t->key_map, &t->key_tree, k);
    CHECK(t->memory >= sizeof *k + k->name.size + NAME_OVERHEAD);
    t->memory -= sizeof *k + k->name.size + NAME_OVERHEAD;
    count_note(t, k->name, 1, true);
}

/* ---- command ids ------------------------------------------------------ */

static once *once_new(const persist_once *from, persist_lsn lsn,
                      const uint64_t *seqs, size_t seq_count)
{
    CHECK(lsn > 0);
    once *o = mem_alloc(sizeof *o + seq_count * sizeof *seqs + from->id.size);
    if (o == NULL)
        return NULL;
    uint8_t *id = (uint8_t *)(o->seqs + seq_count);
    if (from->id.size > 0)
        memcpy(id, from->id.data, from->id.size);
    o->id = slice_of(id, from->id.size);
    o->lsn = lsn;
    memcpy(o->fingerprint, from->fingerprint, sizeof o->fingerprint);
    o->seq_count = seq_count;
    if (seq_count > 0)
        memcpy(o->seqs, seqs, seq_count * sizeof *seqs);
    return o;
}

static uint64_t once_memory(const once *o)
{
    return sizeof *o + o->seq_count * sizeof o->seqs[0] + o->id.size +
           NAME_OVERHEAD;
}

once *memtable_make_once(memtable *t, const persist_once *from, persist_lsn lsn,
                         const uint64_t *seqs, size_t seq_count)
{
    CHECK(memtable_once(t, from->id) == NULL);
    once *o = once_new(from, lsn, seqs, seq_count);
    if (o == NULL)
        return NULL;
    if (!enter(&t->once_map, &t->once_tree, o)) {
        mem_free(o);
        return NULL;
    }
    t->memory += once_memory(o);
    (void)count_name(t, o->id, false);
    return o;
}

void memtable_unmake_once(memtable *t, once *o)
{
    leave(&t->once_map, &t->once_tree, o);
    CHECK(t->memory >= once_memory(o));
    t->memory -= once_memory(o);
    (void)count_name(t, o->id, true);
    mem_free(o);
}

/* ---- blobs ------------------------------------------------------------ */

blob_item *memtable_make_blob(memtable *t, slice digest)
{
    CHECK(memtable_blob(t, digest) == NULL);
    blob_item *b = arena_alloc(&t->arena, sizeof *b + digest.size);
    if (b == NULL)
        return NULL;
    memcpy(b + 1, digest.data, digest.size);
    *b = (blob_item){.digest = slice_of(b + 1, digest.size)};
    if (!enter(&t->blob_map, &t->blob_tree, b))
        return NULL;
    t->memory += sizeof *b + digest.size + NAME_OVERHEAD;
    return b;
}

void memtable_unmake_blob(memtable *t, blob_item *b)
{
    uint64_t memory = sizeof *b + b->digest.size + NAME_OVERHEAD;
    CHECK(b->newest == NULL && t->memory >= memory);
    leave(&t->blob_map, &t->blob_tree, b);
    t->memory -= memory;
}

blob_version *memtable_make_blob_version(memtable *t, const blob_entry *entry,
                                         persist_lsn lsn)
{
    CHECK(lsn > 0);
    blob_version *v = arena_alloc(&t->arena, sizeof *v);
    if (v != NULL)
        *v = (blob_version){.lsn = lsn, .entry = *entry};
    return v;
}

void memtable_set_blob(memtable *t, blob_item *b, blob_version *v)
{
    CHECK(b->newest == NULL || b->newest->lsn < v->lsn);
    v->older = b->newest;
    b->newest = v;
    t->memory += sizeof *v + ALLOCATION_OVERHEAD;
}

const blob_version *blob_at(const blob_item *b, persist_lsn lsn)
{
    const blob_version *v = b->newest;
    while (v != NULL && v->lsn > lsn)
        v = v->older;
    return v;
}

/* ---- applying --------------------------------------------------------- */

const version *key_at(const key *k, persist_lsn lsn)
{
    const version *v = k->newest;
    while (v != NULL && v->lsn > lsn)
        v = v->older;
    return v;
}

static bool apply_version(memtable *t, memtable_edit *m, persist_lsn lsn)
{
    key *k = m->target;
    bool deletes = m->edit->kind == PERSIST_DELETE;
    slice data = deletes ? slice_of(NULL, 0) : m->edit->data;
    version *v = arena_alloc(&t->arena, sizeof *v + data.size);
    if (v == NULL)
        return false;
    *v = (version){lsn, k->newest, (uint32_t)data.size, deletes};
    if (data.size > 0)
        memcpy(v->data, data.data, data.size);
    t->memory += sizeof *v + data.size + ALLOCATION_OVERHEAD;
    k->newest = v;
    m->applied = true;
    return true;
}

static void create(memtable *t, stream *s, persist_lsn lsn)
{
    if (s->created != STREAM_NOT_CREATED)
        return;
    s->created = lsn;
    t->counts.streams++;
}

/* What tags cost: memory, and time to replay, as edits do. */
/* The table has the event by each tag, with the stream's name. */
static void count_postings(memtable *t, const stream *s, tag_set set, bool back)
{
    slice tag;
    uint64_t size = 0;
    while (tagged_next(&set, &tag)) {
        size += POSTING_OVERHEAD + tag.size + s->name.size + set.type.size;
        (void)count_name(t, tag, back);
    }
    CHECK(!back || t->beyond >= size);
    t->beyond += back ? 0 - size : size;
}

static void count_tags(memtable *t, const stream *s, const event *e, bool back)
{
    tag_set set = tagged_of(event_tagged(e));
    uint64_t count = set.left;
    uint64_t edits = (count + TAGS_AN_EDIT - 1) / TAGS_AN_EDIT;
    uint64_t memory = e->tagged_size;
    CHECK(!back || (t->edits >= edits && t->memory >= memory));
    t->edits += back ? 0 - edits : edits;
    t->memory += back ? 0 - memory : memory;
    t->tag_count += back ? 0 - count : count;
    t->tagged_count += back ? (size_t)-1 : 1;
    count_postings(t, s, set, back);
}

static bool apply_append(memtable *t, memtable_edit *m, persist_lsn lsn,
                         uint64_t time)
{
    stream *s = m->target;
    const event *e = stream_append(s, &t->arena, m->edit, m->seq,
                                   t->counts.next_position, lsn);
    if (e == NULL)
        return false;
    if (!order_push(&t->order, s, e, time)) {
        stream_pop(s);
        return false;
    }
    if (e->tagged_size > 0)
        count_tags(t, s, e, false);
    create(t, s, lsn);
    t->counts.next_position++;
    t->counts.events++;
    t->memory += sizeof(event) + sizeof(order_item) + m->edit->data.size;
    m->applied = true;
    return true;
}

static bool apply_truncate(memtable *t, memtable_edit *m, persist_lsn lsn)
{
    stream *s = m->target;
    if (s == NULL)
        return true;
    /* Later events have higher numbers: they are not meant. */
    uint64_t through = m->edit->seq < s->mark ? m->edit->seq : s->mark;
    stream_floor old = *stream_floor_at(s, UINT64_MAX);
    CHECK(old.through <= s->mark);
    if (through <= old.through)
        return true;
    stream_floor floor =
        through < s->base.mark ? m->floor : stream_floor_of(s, through);
    CHECK(floor.through == through && floor.index >= old.index);
    if (!history_push(&s->truncations, lsn, floor))
        return false;
    atomic_store(&t->truncates, true);
    m->undo = floor.index - old.index;
    if (m->undo > t->counts.events)
        m->undo = t->counts.events; /* the manifest says fewer than there are */
    t->counts.events -= m->undo;
    m->applied = true;
    return true;
}

static bool apply_mark(memtable *t, memtable_edit *m, persist_lsn lsn)
{
    stream *s = m->target;
    uint64_t mark = m->edit->seq > s->mark ? m->edit->seq : s->mark;
    m->undo = s->mark;
    if (!history_push(&s->marks, lsn, (stream_floor){.through = mark}))
        return false;
    s->mark = mark;
    create(t, s, lsn);
    m->applied = true;
    return true;
}

bool memtable_apply(memtable *t, memtable_edit *m, persist_lsn lsn,
                    uint64_t time)
{
    m->applied = false;
    switch (m->edit->kind) {
    case PERSIST_APPEND:
    case PERSIST_APPEND_AT:
        return apply_append(t, m, lsn, time);
    case PERSIST_TRUNCATE:
        return apply_truncate(t, m, lsn);
    case PERSIST_PUT:
    case PERSIST_DELETE:
        return apply_version(t, m, lsn);
    case PERSIST_SET_MARK:
        return apply_mark(t, m, lsn);
    case PERSIST_SET_POSITION:
        m->undo = t->counts.next_position;
        if (m->edit->seq > t->counts.next_position)
            t->counts.next_position = m->edit->seq;
        m->applied = true;
        return true;
    case PERSIST_SET_TIME:
    case PERSIST_SET_ONCE: /* kept, or not, as a whole: see plan.c */
    case PERSIST_EXPECT_SEQ:
    case PERSIST_EXPECT_KEY:
    case PERSIST_EXPECT_ABSENT:
    case PERSIST_EXPECT_NONE:
    case PERSIST_EXPECT_BLOB:
        break;
    }
    return true;
}

/* ---- taking back ------------------------------------------------------ */

static void undo_version(memtable *t, key *k)
{
    version *v = k->newest;
    CHECK(v != NULL && t->memory >= sizeof *v + v->size);
    k->newest = v->older;
    t->memory -= sizeof *v + v->size + ALLOCATION_OVERHEAD;
}

static void uncreate(memtable *t, stream *s)
{
    if (s->based || s->count > 0 || s->marks.count > 0)
        return;
    CHECK(s->created != STREAM_NOT_CREATED);
    s->created = STREAM_NOT_CREATED;
    t->counts.streams--;
}

static void undo_append(memtable *t, const memtable_edit *m)
{
    const stream *s = m->target;
    CHECK(t->counts.events > 0 && t->counts.next_position > 1);
    const event *e = stream_event(s, s->count - 1);
    CHECK(e->position >= t->tags.next); /* nobody has seen it */
    if (e->tagged_size > 0)
        count_tags(t, s, e, true);
    order_pop(&t->order);
    stream_pop(m->target);
    uncreate(t, m->target);
    t->counts.next_position--;
    t->counts.events--;
    t->memory -= sizeof(event) + sizeof(order_item) + m->edit->data.size;
}

void memtable_undo(memtable *t, const memtable_edit *m)
{
    stream *s = m->target;
    if (!m->applied)
        return;
    switch (m->edit->kind) {
    case PERSIST_APPEND:
    case PERSIST_APPEND_AT:
        undo_append(t, m);
        break;
    case PERSIST_TRUNCATE:
        history_pop(&s->truncations);
        t->counts.events += m->undo;
        break;
    case PERSIST_PUT:
    case PERSIST_DELETE:
        undo_version(t, m->target);
        break;
    case PERSIST_SET_MARK:
        history_pop(&s->marks);
        s->mark = m->undo;
        uncreate(t, s);
        break;
    case PERSIST_SET_POSITION:
        t->counts.next_position = m->undo;
        break;
    case PERSIST_SET_TIME:
    case PERSIST_SET_ONCE: /* kept, or not, as a whole: see plan.c */
    case PERSIST_EXPECT_SEQ:
    case PERSIST_EXPECT_KEY:
    case PERSIST_EXPECT_ABSENT:
    case PERSIST_EXPECT_NONE:
    case PERSIST_EXPECT_BLOB:
        break;
    }
}
