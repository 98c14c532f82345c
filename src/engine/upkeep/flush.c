/* SPDX-License-Identifier: MIT */
/* Flushing: the frozen memtable becomes a table.
 *
 * It is written when all commits are durable, so that a table never holds what
 * a crash may take back. What it replaced and truncated itself is left out, and
 * so is what commits behind it did away with: the log has those, and on a full
 * disk nothing but leaving it out makes room. A deletion is kept if an older
 * table may hold what it deletes. */
#include "base/mem.h"
#include "engine/upkeep/upkeep.h"
#include "os/os_thread.h"

enum { AHEAD = 24 }; /* so far events that are all over memory are fetched */

typedef struct flush {
    engine *e;
    const memtable *from;
    snapshot newer;      /* what is durable by now */
    const layers *older; /* whose tables lie below */
    table_writer writer;
    times_writer times;
    uint64_t ordinal;
    buf value;
    pthread_t sorter; /* of the tags, if that has a thread: */
    bool sorts_apart;
    bool failed; /* memory ran out */
} flush;

static void add(flush *f, table_section section, slice name)
{
    f->failed = f->failed || f->value.failed;
    if (f->failed)
        return;
    table_add(&f->writer, section, name, buf_slice(&f->value));
}

/* Finds out up to which seq the events of a stream are gone. */
static void find_gone(const flush *f, stream *s)
{
    bool hidden;
    readers_look(&f->e->readers, f->newer.place);
    const stream *newer = snapshot_stream(&f->newer, s->name, &hidden);
    s->gone = stream_floor_at(newer == NULL ? s : newer, f->newer.lsn)->through;
    readers_look_end(&f->e->readers, f->newer.place);
}

/* Once its stream has been written. */
static bool is_gone(const order_item *item)
{
    CHECK(item->stream->created != STREAM_NOT_CREATED);
    return item->event->seq <= item->stream->gone;
}

/* A key that was put or deleted since. */
static bool is_replaced(const flush *f, const key *k)
{
    if (!f->newer.with_active)
        return false;
    readers_look(&f->e->readers, f->newer.place);
    const key *newer = memtable_key(f->newer.layers->active, k->name);
    bool is = newer != NULL && key_at(newer, f->newer.lsn) != NULL;
    readers_look_end(&f->e->readers, f->newer.place);
    return is;
}

static void flush_event(flush *f, const event *e, uint64_t index,
                        stream_entry *out)
{
    uint8_t place[ENTRY_EVENT_KEY_MAX];
    event_entry entry = {.position = e->position, .index = index};
    bool first = out->events == 0;
    CHECK(e->seq > out->last && index < out->state.count);
    entry.anchored = first || table_begins_block(&f->writer, TABLE_EVENTS);
    entry.bytes_before = e->bytes_before;
    entry.tagged = slice_of(event_tagged(e), e->tagged_size);
    entry.data = slice_of(e->data, e->size);
    buf_clear(&f->value);
    entry_put_event(&f->value, &entry);
    add(f, TABLE_EVENTS, entry_event_key(f->ordinal, e->seq, place));
    out->first = first ? e->seq : out->first;
    out->last = e->seq;
    out->events++;
}

static void flush_stream(flush *f, stream *s)
{
    stream_entry out = {.ordinal = f->ordinal};
    if (!f->sorts_apart)
        find_gone(f, s);
    stream_state_at(s, UINT64_MAX, &out.state);
    for (size_t i = 0; i < s->chunk_count; i++) {
        const chunk *c = s->chunks[i];
        for (uint32_t slot = 0; slot < c->count; slot++) {
            const event *e = chunk_event(c, slot);
            if (e->seq > s->gone)
                flush_event(f, e, c->first + slot, &out);
        }
    }
    buf_clear(&f->value);
    entry_put_stream(&f->value, &out);
    add(f, TABLE_STREAMS, s->name);
    f->ordinal++;
}

static void flush_streams(flush *f)
{
    btree_at at = btree_seek(&f->from->stream_tree, slice_of(NULL, 0), false);
    for (stream *s; (s = btree_next(&at)) != NULL;) {
        CHECK(s->created != STREAM_NOT_CREATED);
        flush_stream(f, s);
    }
}

/* Whether an older table says that a key is there; or cannot be read, and may.
 */
static bool is_below(const flush *f, slice name)
{
    found_value found;
    persist_error ignored;
    persist_status status = layers_tables_key(f->older, name, &found, &ignored);
    if (status == PERSIST_OK)
        found_value_release(&found);
    return status != PERSIST_NONE;
}

static void flush_keys(flush *f)
{
    btree_at at = btree_seek(&f->from->key_tree, slice_of(NULL, 0), false);
    for (const key *k; (k = btree_next(&at)) != NULL;) {
        const version *v = k->newest;
        if (v == NULL || is_replaced(f, k) ||
            (v->deleted && !is_below(f, k->name)))
            continue;
        buf_clear(&f->value);
        entry_put_key(&f->value, v->deleted, slice_of(v->data, v->size));
        add(f, TABLE_KEYS, k->name);
    }
}

static void flush_onces(flush *f)
{
    btree_at at = btree_seek(&f->from->once_tree, slice_of(NULL, 0), false);
    for (const once *o; (o = btree_next(&at)) != NULL;) {
        buf_clear(&f->value);
        entry_put_once(&f->value, o->lsn, o->fingerprint, o->seqs,
                       o->seq_count);
        add(f, TABLE_ONCES, o->id);
    }
}

/* As is_below. */
static bool is_blob_below(const flush *f, slice digest)
{
    blob_entry entry;
    persist_error ignored;
    return layers_tables_blob(f->older, digest, &entry, &ignored) !=
           PERSIST_NONE;
}

static void flush_blobs(flush *f)
{
    btree_at at = btree_seek(&f->from->blob_tree, slice_of(NULL, 0), false);
    for (const blob_item *b; (b = btree_next(&at)) != NULL;) {
        const blob_entry *newest = &b->newest->entry;
        CHECK(b->newest != NULL);
        if (newest->deleted && !is_blob_below(f, b->digest))
            continue;
        buf_clear(&f->value);
        entry_put_blob(&f->value, newest);
        add(f, TABLE_BLOBS, b->digest);
    }
}

static void flush_order(flush *f)
{
    const order *all = &f->from->order;
    size_t when = 0;
    for (size_t i = 0; i < all->count; i++)
        for (uint32_t slot = 0; slot < all->blocks[i]->count; slot++) {
            const order_item *item = &all->blocks[i]->items[slot];
            uint8_t place[ENTRY_ORDER_KEY_SIZE];
            order_fetch(all->blocks[i], slot + AHEAD);
            if (is_gone(item))
                continue;
            buf_clear(&f->value);
            entry_put_order(&f->value, item->event->seq, item->stream->name);
            entry_order_key(item->event->position, place);
            add(f, TABLE_ORDER, slice_of(place, sizeof place));
            while (when + 1 < all->time_count &&
                   all->times[when + 1].first <= item->event->position)
                when++;
            times_add(&f->times, &f->writer, item->event->position,
                      all->times[when].time);
        }
    times_end(&f->times, &f->writer);
}

static void *sort_tags(void *context)
{
    const flush *f = context;
    tag_sort_end(&f->e->upkeep.tags, &f->from->order);
    return NULL;
}

/* If commits have waited for the flush before, tags are sorted by one thread
 * more, while the streams are written; else it would only take time from the
 * commits. It reads which events are gone, so that is found first. */
static void begin_tags(flush *f)
{
    const memtable *from = f->from;
    uint64_t waited_us = atomic_exchange(&f->e->upkeep.waited_us, 0);
    if (!tag_sort_begin(&f->e->upkeep.tags, from->tagged_count,
                        from->tag_count)) {
        f->failed = true;
        return;
    }
    if (from->tag_count < TAGS_APART || waited_us < TAGS_APART_US ||
        !upkeep_has_thread(f->e))
        return;
    btree_at at = btree_seek(&from->stream_tree, slice_of(NULL, 0), false);
    for (stream *s; (s = btree_next(&at)) != NULL;)
        find_gone(f, s);
    f->sorts_apart = os_thread_start(&f->sorter, sort_tags, f) == 0;
    f->e->upkeep.apart += f->sorts_apart;
}

static void flush_tags(flush *f)
{
    uint8_t room[PERSIST_TAG_SIZE_MAX + TAG_FRONT];
    postings_writer runs = {0};
    const tag_sort *sorted = &f->e->upkeep.tags;
    if (f->sorts_apart)
        pthread_join(f->sorter, NULL);
    else if (!f->failed)
        (void)sort_tags(f);
    for (size_t i = 0; i < sorted->count && !f->failed; i++) {
        const posting *e;
        slice tag = tag_sort_get(sorted, i, room, &e);
        postings_add(&runs, &f->writer, tag, e);
    }
    postings_end(&runs, &f->writer);
}

/* The manifest that lists the table says what its blobs have. */
static void note_features(engine *e, const memtable *from)
{
    pthread_mutex_lock(&e->writer);
    if (from->blob_map.count > 0)
        e->manifest.features |= FEATURE_BLOBS_GO;
    pthread_mutex_unlock(&e->writer);
}

static persist_status write_table(engine *e, const layers *v, uint64_t number,
                                  uint64_t *size, persist_error *error)
{
    const memtable *from = v->frozen;
    flush f = {.e = e, .from = from, .older = v};
    /* at the most: a tag may be that of many events */
    uint64_t names = from->stream_map.count + from->key_map.count +
                     from->once_map.count + from->blob_map.count +
                     from->tag_count;
    persist_status status =
        table_begin(&f.writer, &e->table_place, number, e->block_size,
                    e->compress, names, error);
    if (status != PERSIST_OK)
        return status;
    snapshot_open(e, VIEW_DURABLE, &f.newer);
    begin_tags(&f);
    flush_streams(&f);
    flush_keys(&f);
    flush_onces(&f);
    flush_order(&f);
    flush_blobs(&f);
    flush_tags(&f);
    snapshot_close(e, &f.newer);
    buf_release(&f.value);
    buf_release(&f.times.value);
    if (f.failed) {
        table_abort(&f.writer);
        return status_no_memory(error);
    }
    CHECK(from->first <= from->last);
    status = table_finish(&f.writer, from->first, from->last, error);
    *size = f.writer.footer.size;
    return status;
}

/* Tells about how many keys there are with those of a memtable, which may be
 * in tables already: some of them are looked up. What cannot be read is taken
 * for new. */
static uint64_t count_keys(const layers *v, const memtable *from, uint64_t keys)
{
    size_t stride = from->key_map.count / KEYS_SAMPLED + 1, n = 0;
    uint64_t more = 0, less = 0;
    btree_at at = btree_seek(&from->key_tree, slice_of(NULL, 0), false);
    for (const key *k; (k = btree_next(&at)) != NULL;) {
        found_value found;
        persist_error ignored;
        if (k->newest == NULL || n++ % stride != 0)
            continue;
        bool there =
            layers_tables_key(v, k->name, &found, &ignored) == PERSIST_OK;
        if (there)
            found_value_release(&found);
        more += !there && !k->newest->deleted;
        less += there && k->newest->deleted;
    }
    CHECK(more + less <= KEYS_SAMPLED + 1);
    keys += more * stride;
    return keys > less * stride ? keys - less * stride : 0;
}

persist_status flush_frozen(engine *e, persist_error *error)
{
    /* Only a step changes what is frozen, and this is one. */
    const layers *v = e->layers;
    const memtable *frozen = v->frozen;
    CHECK(atomic_load(&e->in_use));
    uint64_t number = e->next_table++, size = 0;
    CHECK(frozen != NULL && frozen->last > 0);
    persist_status status = wal_wait(&e->wal, e->latest, error);
    note_features(e, frozen);
    if (status == PERSIST_OK)
        status = write_table(e, v, number, &size, error);
    table *t = NULL;
    if (status == PERSIST_OK)
        status = upkeep_open_table(e, number, size, &t, error);
    if (status != PERSIST_OK)
        return status;
    size_t end = v->table_count;
    status = upkeep_install(e, end, end, t, true,
                            count_keys(v, frozen, e->manifest.keys), error);
    if (status == PERSIST_OK)
        atomic_fetch_add(&e->upkeep.flushed_bytes, size);
    return status;
}
