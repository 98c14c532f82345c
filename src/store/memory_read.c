/* SPDX-License-Identifier: MIT */
/* The memory backend: reading. A cursor takes references to all that it will
 * show when it is opened, so later commits cannot change it. */
#include "base/status.h"
#include "store/memory.h"

typedef struct row {
    cell *name;  /* of the stream, or the key */
    cell *value; /* event or value; NULL for a stream's name */
    uint64_t seq;
    uint64_t position;
} row;

typedef struct memory_cursor {
    persist_cursor head;
    memory_store *store;
    row *rows;
    size_t count, capacity, next;
} memory_cursor;

static bool add_row(memory_cursor *c, cell *name, cell *value, uint64_t seq,
                    uint64_t position)
{
    CHECK(name != NULL && c->count <= c->capacity);
    if (c->count == c->capacity) {
        size_t capacity = c->capacity == 0 ? 16 : c->capacity * 2;
        row *rows = mem_realloc(c->rows, capacity * sizeof *rows);
        if (rows == NULL)
            return false;
        c->rows = rows;
        c->capacity = capacity;
    }
    c->rows[c->count++] = (row){cell_ref(name), cell_ref(value), seq, position};
    return true;
}

static bool add_event(memory_cursor *c, const memory_stream *stream, size_t i)
{
    const memory_event *event = &stream->events[i];
    CHECK(i >= stream->first && i < stream->end);
    return add_row(c, stream->name, event->data, event->seq, event->position);
}

static const memory_stream *find_stream(const memory_store *m, slice name)
{
    const map_node *node = map_find(&m->streams, name);
    return node == NULL ? NULL : node->value;
}

static bool collect_stream(memory_cursor *c, const read_request *r)
{
    const memory_stream *stream = find_stream(c->store, r->name);
    if (stream == NULL)
        return true;
    for (size_t i = memory_stream_seek(stream, r->from);
         i < stream->end && c->count < r->limit; i++)
        if (!add_event(c, stream, i))
            return false;
    return true;
}

static bool collect_stream_back(memory_cursor *c, const read_request *r)
{
    const memory_stream *stream = find_stream(c->store, r->name);
    if (stream == NULL)
        return true;
    size_t end = r->from == UINT64_MAX
                     ? stream->end
                     : memory_stream_seek(stream, r->from + 1);
    while (end > stream->first && c->count < r->limit)
        if (!add_event(c, stream, --end))
            return false;
    return true;
}

static size_t seek_order(const memory_store *m, uint64_t position)
{
    size_t low = 0, high = m->order_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->order[middle].position < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool collect_all(memory_cursor *c, const read_request *r)
{
    const memory_store *m = c->store;
    for (size_t i = seek_order(m, r->from);
         i < m->order_count && c->count < r->limit; i++) {
        const memory_entry *entry = &m->order[i];
        CHECK(entry->position <= m->position);
        size_t at = memory_stream_seek(entry->stream, entry->seq);
        bool truncated = at == entry->stream->end ||
                         entry->stream->events[at].seq != entry->seq;
        if (!truncated && !add_event(c, entry->stream, at))
            return false;
    }
    return true;
}

/* Nodes with names greater than `after`; all of them if it is NULL. */
static size_t seek_after(const map *m, const slice *after)
{
    return after == NULL ? 0 : map_seek(m, *after, true);
}

static bool collect_streams(memory_cursor *c, const read_request *r)
{
    const map *streams = &c->store->streams;
    CHECK(c->count == 0);
    for (size_t i = seek_after(streams, r->after);
         i < streams->count && c->count < r->limit; i++)
        if (!add_row(c, streams->nodes[i]->name, NULL, 0, 0))
            return false;
    return true;
}

static bool collect_keys(memory_cursor *c, const read_request *r)
{
    const map *keys = &c->store->keys;
    bool inside = r->after != NULL && slice_compare(*r->after, r->name) >= 0;
    size_t i =
        inside ? seek_after(keys, r->after) : map_seek(keys, r->name, false);
    for (; i < keys->count && c->count < r->limit; i++) {
        const map_node *node = keys->nodes[i];
        CHECK(node->value != NULL);
        if (!slice_starts_with(cell_slice(node->name), r->name))
            return true;
        if (!add_row(c, node->name, node->value, 0, 0))
            return false;
    }
    return true;
}

static bool collect(memory_cursor *c, const read_request *request)
{
    switch (request->kind) {
    case READ_STREAM:
        return collect_stream(c, request);
    case READ_STREAM_BACK:
        return collect_stream_back(c, request);
    case READ_ALL:
        return collect_all(c, request);
    case READ_STREAMS:
        return collect_streams(c, request);
    case READ_KEYS:
        return collect_keys(c, request);
    }
    CHECK(false);
    return false;
}

static void release_cursor(memory_cursor *c)
{
    for (size_t i = 0; i < c->count; i++) {
        cell_unref(c->rows[i].name);
        cell_unref(c->rows[i].value);
    }
    mem_free(c->rows);
    mem_free(c);
}

persist_status memory_read(persist_store *store, const read_request *request,
                           persist_cursor **out, persist_error *error)
{
    memory_cursor *c = mem_alloc_zero(sizeof *c);
    if (c == NULL)
        return memory_out(error);
    c->head.backend = store->backend;
    c->store = memory_enter(store);
    bool ok = collect(c, request);
    if (ok)
        c->store->handles++;
    memory_leave(c->store);
    if (!ok) {
        release_cursor(c);
        return memory_out(error);
    }
    *out = &c->head;
    return PERSIST_OK;
}

persist_status memory_next_event(persist_cursor *cursor, persist_event *out,
                                 persist_error *error)
{
    (void)error;
    memory_cursor *c = (memory_cursor *)cursor;
    CHECK(c->next <= c->count);
    CHECK(cursor->backend == &memory_backend);
    if (c->next == c->count)
        return PERSIST_NONE;
    const row *r = &c->rows[c->next++];
    *out = (persist_event){cell_slice(r->name), cell_slice(r->value), r->seq,
                           r->position};
    return PERSIST_OK;
}

persist_status memory_next_key(persist_cursor *cursor, slice *name,
                               slice *value, persist_error *error)
{
    (void)error;
    memory_cursor *c = (memory_cursor *)cursor;
    CHECK(c->next <= c->count);
    CHECK(cursor->backend == &memory_backend);
    if (c->next == c->count)
        return PERSIST_NONE;
    const row *r = &c->rows[c->next++];
    *name = cell_slice(r->name);
    *value = r->value == NULL ? slice_of(NULL, 0) : cell_slice(r->value);
    return PERSIST_OK;
}

void memory_cursor_close(persist_cursor *cursor)
{
    CHECK(cursor->backend == &memory_backend);
    memory_cursor *c = (memory_cursor *)cursor;
    memory_store *m = memory_enter(&c->store->head);
    CHECK(m->handles > 0);
    m->handles--;
    memory_leave(m);
    release_cursor(c);
}

persist_status memory_info(persist_store *store, slice name, persist_view view,
                           persist_stream_info *info, bool *known,
                           persist_error *error)
{
    (void)view;
    (void)error;
    memory_store *m = memory_enter(store);
    const memory_stream *stream = find_stream(m, name);
    *known = stream != NULL;
    if (stream != NULL) {
        CHECK(stream->known);
        info->mark = stream->mark;
        info->count = stream->end - stream->first;
        info->first = info->count == 0 ? 0 : stream->events[stream->first].seq;
        info->bytes = stream->bytes;
    }
    memory_leave(m);
    return PERSIST_OK;
}

persist_status memory_get(persist_store *store, slice key, persist_view view,
                          slice *out, persist_error *error)
{
    (void)view;
    memory_store *m = memory_enter(store);
    const map_node *node = map_find(&m->keys, key);
    persist_status status = node == NULL ? PERSIST_NONE : PERSIST_OK;
    if (node != NULL && out != NULL)
        status = memory_copy(cell_slice(node->value), out, error);
    memory_leave(m);
    return status;
}
