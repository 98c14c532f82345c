/* SPDX-License-Identifier: MIT */
/* The memory backend: states that snapshots keep. */
#include "store/memory.h"

#include "base/status.h"

void memory_stream_free(void *value)
{
    memory_stream *stream = value;
    if (stream == NULL)
        return;
    CHECK(stream->first <= stream->end && stream->end <= stream->capacity);
    for (size_t i = stream->first; i < stream->end; i++) {
        cell_unref(stream->events[i].data);
        cell_unref(stream->events[i].tagged);
    }
    mem_free(stream->events);
    mem_free(stream);
}

static void drop_cell(void *value)
{
    cell_unref(value);
}

void memory_kept_free(void *value)
{
    memory_kept *kept = value;
    if (kept == NULL)
        return;
    cell_unref(kept->bytes);
    mem_free(kept);
}

memory_state *memory_state_new(void)
{
    memory_state *s = mem_alloc_zero(sizeof *s);
    if (s != NULL)
        s->users = 1;
    return s;
}

void memory_state_leave(memory_state *s)
{
    CHECK(s->users > 0 && s->events <= s->order_count);
    if (--s->users > 0)
        return;
    map_release(&s->streams, memory_stream_free);
    map_release(&s->keys, drop_cell);
    map_release(&s->blobs, memory_kept_free);
    mem_free(s->order);
    mem_free(s);
}

/* ---- copying ----------------------------------------------------------- */

/* A copy has room for what it holds and no more, from the front on. */
static bool copy_stream(memory_stream *to, const memory_stream *from)
{
    size_t count = from->end - from->first;
    CHECK(from->first <= from->end && to->events == NULL);
    *to = (memory_stream){.name = to->name,
                          .known = from->known,
                          .mark = from->mark,
                          .bytes = from->bytes};
    if (!mem_grow(&to->events, 0, count, &to->capacity, sizeof *to->events))
        return false;
    for (; to->end < count; to->end++) {
        const memory_event *event = &from->events[from->first + to->end];
        to->events[to->end] = *event;
        cell_ref(event->data);
        cell_ref(event->tagged);
    }
    return true;
}

static bool copy_streams(memory_state *to, const memory_state *from)
{
    for (size_t i = 0; i < from->streams.count; i++) {
        const map_node *old = from->streams.nodes[i];
        map_node *node = map_add(&to->streams, cell_slice(old->name));
        memory_stream *stream =
            node == NULL ? NULL : mem_alloc_zero(sizeof *stream);
        if (stream == NULL)
            return false;
        node->value = stream;
        stream->name = node->name;
        if (!copy_stream(stream, old->value))
            return false;
    }
    return true;
}

static bool copy_cells(map *to, const map *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const map_node *old = from->nodes[i];
        map_node *node = map_add(to, cell_slice(old->name));
        if (node == NULL)
            return false;
        CHECK(old->value != NULL);
        node->value = cell_ref(old->value);
    }
    return true;
}

static bool copy_blobs(map *to, const map *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const memory_kept *old = from->nodes[i]->value;
        map_node *node = map_add(to, cell_slice(from->nodes[i]->name));
        memory_kept *kept = node == NULL ? NULL : mem_alloc(sizeof *kept);
        if (kept == NULL)
            return false;
        *kept = (memory_kept){cell_ref(old->bytes), old->time};
        node->value = kept;
    }
    return true;
}

/* Entries name streams of their own state. */
static bool copy_order(memory_state *to, const memory_state *from)
{
    if (!mem_grow(&to->order, 0, from->order_count, &to->order_capacity,
                  sizeof *to->order))
        return false;
    for (size_t i = 0; i < from->order_count; i++) {
        const memory_entry *old = &from->order[i];
        const map_node *node =
            map_find(&to->streams, cell_slice(old->stream->name));
        CHECK(node != NULL);
        to->order[i] = *old;
        to->order[i].stream = node->value;
    }
    to->order_count = from->order_count;
    return true;
}

bool memory_state_own(memory_store *m)
{
    memory_state *old = m->now;
    if (old->users == 1)
        return true;
    memory_state *copy = memory_state_new();
    if (copy == NULL)
        return false;
    if (!copy_streams(copy, old) || !copy_cells(&copy->keys, &old->keys) ||
        !copy_blobs(&copy->blobs, &old->blobs) || !copy_order(copy, old)) {
        memory_state_leave(copy);
        return false;
    }
    copy->position = old->position;
    copy->events = old->events;
    copy->bytes = old->bytes;
    m->now = copy;
    memory_state_leave(old);
    return true;
}

/* ---- snapshots --------------------------------------------------------- */

const memory_state *memory_state_of(const memory_store *m, persist_view view)
{
    if (!STORE_IS_KEPT(view))
        return m->now;
    CHECK(view->backend == &memory_backend);
    return ((const memory_snapshot *)view)->state;
}

/* All is durable: the two views are one. */
bool memory_drops_nothing(const memory_store *m, const persist_edit *edit)
{
    if (edit->kind != PERSIST_TRUNCATE)
        return false;
    const map_node *node = map_find(&m->now->streams, edit->name);
    const memory_stream *s = node == NULL ? NULL : node->value;
    return s == NULL || s->first == s->end ||
           s->events[s->first].seq > edit->seq;
}

persist_status memory_snapshot_open(persist_store *store, persist_view view,
                                    persist_snapshot **out,
                                    persist_error *error)
{
    (void)view;
    memory_snapshot *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return memory_out(error);
    memory_store *m = memory_enter(store);
    m->now->users++;
    m->open.snapshots++;
    s->state = m->now;
    s->head = (persist_snapshot){.backend = store->backend,
                                 .lsn = m->latest,
                                 .position = m->now->position};
    memory_leave(m);
    *out = &s->head;
    return PERSIST_OK;
}

void memory_snapshot_close(persist_snapshot *snapshot)
{
    memory_snapshot *s = (memory_snapshot *)snapshot;
    memory_store *m = memory_enter(snapshot->store);
    CHECK(m->open.snapshots > 0);
    m->open.snapshots--;
    memory_state_leave(s->state);
    memory_leave(m);
    mem_free(s);
}
