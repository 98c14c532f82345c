/* SPDX-License-Identifier: MIT */
/* The memory backend: reading. A cursor takes references to all that it will
 * show when it is opened, so later commits cannot change it. */
#include "base/status.h"
#include "engine/files/files.h"
#include "store/memory.h"

typedef struct row {
    cell *name;              /* of the stream, or the key */
    cell *value;             /* event or value; NULL for a stream's name */
    cell *tagged;            /* of an event, or NULL */
    const memory_once *once; /* of a command id; it stays for ever */
    uint64_t seq;
    uint64_t position;
    uint64_t time; /* of an event, 0: the cursor does not tell it; or a blob */
} row;

typedef struct memory_cursor {
    persist_cursor head;
    memory_store *store;
    row *rows;
    size_t count, capacity, next;
    persist_event event; /* the one that was returned last */
    persist_command command;
    persist_blob blob;
} memory_cursor;

static bool add_row(memory_cursor *c, row r)
{
    CHECK(r.name != NULL && c->count <= c->capacity);
    if (!mem_grow(&c->rows, c->count, 1, &c->capacity, sizeof *c->rows))
        return false;
    r.name = cell_ref(r.name);
    r.value = cell_ref(r.value);
    r.tagged = cell_ref(r.tagged);
    c->rows[c->count++] = r;
    return true;
}

static bool add_event(memory_cursor *c, const memory_stream *stream, size_t i,
                      bool timed)
{
    const memory_event *event = &stream->events[i];
    CHECK(i >= stream->first && i < stream->end);
    return add_row(c, (row){.name = stream->name,
                            .value = event->data,
                            .tagged = event->tagged,
                            .seq = event->seq,
                            .position = event->position,
                            .time = timed ? event->time : 0});
}

static const memory_stream *find_stream(const memory_state *s, slice name)
{
    const map_node *node = map_find(&s->streams, name);
    return node == NULL ? NULL : node->value;
}

static bool collect_stream(memory_cursor *c, const memory_state *s,
                           const read_request *r)
{
    const memory_stream *stream = find_stream(s, r->name);
    if (stream == NULL)
        return true;
    for (size_t i = memory_stream_seek(stream, r->from);
         i < stream->end && c->count < r->limit; i++)
        if (!add_event(c, stream, i, false))
            return false;
    return true;
}

static bool collect_stream_back(memory_cursor *c, const memory_state *s,
                                const read_request *r)
{
    const memory_stream *stream = find_stream(s, r->name);
    if (stream == NULL)
        return true;
    size_t end = r->from == UINT64_MAX
                     ? stream->end
                     : memory_stream_seek(stream, r->from + 1);
    while (end > stream->first && c->count < r->limit)
        if (!add_event(c, stream, --end, false))
            return false;
    return true;
}

static uint64_t position_of(const memory_entry *entry)
{
    return entry->position;
}

static uint64_t time_of(const memory_entry *entry)
{
    return entry->time;
}

/* The first entry of which a number, that grows along the order, is no less. */
static size_t seek_order(const memory_state *s, uint64_t number,
                         uint64_t (*of)(const memory_entry *))
{
    size_t low = 0, high = s->order_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (of(&s->order[middle]) < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Tells whether an event is still there, and where. */
static bool is_kept(const memory_entry *entry, size_t *at)
{
    *at = memory_stream_seek(entry->stream, entry->seq);
    return *at < entry->stream->end &&
           entry->stream->events[*at].seq == entry->seq;
}

persist_status memory_position_at(persist_store *store, uint64_t time,
                                  persist_view view, uint64_t *position,
                                  persist_error *error)
{
    (void)error;
    size_t at;
    memory_store *m = memory_enter(store);
    const memory_state *s = memory_state_of(m, view);
    size_t i = seek_order(s, time, time_of);
    while (i < s->order_count && !is_kept(&s->order[i], &at))
        i++;
    *position = i < s->order_count ? s->order[i].position : s->position + 1;
    memory_leave(m);
    return PERSIST_OK;
}

static bool collect_all(memory_cursor *c, const memory_state *s,
                        const read_request *r)
{
    for (size_t i = seek_order(s, r->from, position_of);
         i < s->order_count && c->count < r->limit; i++) {
        const memory_entry *entry = &s->order[i];
        CHECK(entry->position <= s->position);
        size_t at;
        if (is_kept(entry, &at) && !add_event(c, entry->stream, at, true))
            return false;
    }
    return true;
}

/* The next entry, from an index on, whose event matches; order_count if there
 * is none. Every event is looked at: who asks in earnest has a store on disk,
 * and this says what is right. */
static size_t next_match(const memory_state *s, size_t i,
                         const persist_query_item *items, size_t count,
                         size_t *at)
{
    for (; i < s->order_count; i++) {
        const memory_entry *entry = &s->order[i];
        const cell *bytes =
            is_kept(entry, at) ? entry->stream->events[*at].tagged : NULL;
        if (bytes != NULL && query_matches(items, count, bytes->bytes))
            break;
    }
    return i;
}

static bool collect_query(memory_cursor *c, const memory_state *s,
                          const read_request *r)
{
    size_t i = seek_order(s, r->from, position_of), at = 0;
    for (; c->count < r->limit; i++) {
        i = next_match(s, i, r->items, r->item_count, &at);
        if (i == s->order_count)
            break;
        if (!add_event(c, s->order[i].stream, at, true))
            return false;
    }
    return true;
}

uint64_t memory_first_match(const memory_state *s,
                            const persist_query_item *items, size_t count,
                            uint64_t from)
{
    size_t at;
    size_t i =
        next_match(s, seek_order(s, from, position_of), items, count, &at);
    return i == s->order_count ? 0 : s->order[i].position;
}

/* The index behind the last of the nodes from `first` on that begin with a
 * prefix: none of them is less. */
static size_t end_of_prefix(const map *names, size_t first, slice prefix)
{
    size_t low = first, high = names->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_starts_with(cell_slice(names->nodes[middle]->name), prefix))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t higher(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The nodes of a range are those from *first to before *end. */
static void find_range(const map *names, const persist_range *r, size_t *first,
                       size_t *end)
{
    *first = map_seek(names, r->prefix, false);
    if (r->from != NULL)
        *first = higher(*first, map_seek(names, *r->from, false));
    if (r->after != NULL)
        *first = higher(*first, map_seek(names, *r->after, true));
    *end = end_of_prefix(names, *first, r->prefix);
    size_t to = r->to == NULL ? *end : map_seek(names, *r->to, true);
    size_t before =
        r->before == NULL ? *end : map_seek(names, *r->before, false);
    if (to < *end)
        *end = to;
    if (before < *end)
        *end = before;
}

/* Streams, keys, or the command ids that a view shows. */
static bool collect_names(memory_cursor *c, const map *names,
                          const read_request *r)
{
    persist_lsn lsn = STORE_IS_KEPT(r->view) ? r->view->lsn : c->store->latest;
    size_t first, end;
    find_range(names, r->range, &first, &end);
    while (first < end && c->count < r->limit) {
        const map_node *node =
            names->nodes[r->range->backward ? --end : first++];
        row found = {.name = node->name};
        CHECK(node->value != NULL);
        if (r->kind == READ_BLOBS) {
            const memory_kept *kept = node->value;
            found.value = kept->bytes;
            found.time = kept->time;
        }
        if (r->kind == READ_KEYS)
            found.value = node->value;
        if (r->kind == READ_COMMANDS)
            found.once = node->value;
        if (found.once != NULL && found.once->lsn > lsn)
            continue;
        if (!add_row(c, found))
            return false;
    }
    return true;
}

static bool collect(memory_cursor *c, const memory_state *s,
                    const read_request *request)
{
    switch (request->kind) {
    case READ_STREAM:
        return collect_stream(c, s, request);
    case READ_STREAM_BACK:
        return collect_stream_back(c, s, request);
    case READ_ALL:
        return collect_all(c, s, request);
    case READ_QUERY:
        return collect_query(c, s, request);
    case READ_STREAMS:
        return collect_names(c, &s->streams, request);
    case READ_KEYS:
        return collect_names(c, &s->keys, request);
    case READ_COMMANDS:
        return collect_names(c, &c->store->onces, request);
    case READ_BLOBS:
        return collect_names(c, &s->blobs, request);
    }
    CHECK(false);
    return false;
}

static void release_cursor(memory_cursor *c)
{
    for (size_t i = 0; i < c->count; i++) {
        cell_unref(c->rows[i].name);
        cell_unref(c->rows[i].value);
        cell_unref(c->rows[i].tagged);
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
    bool ok = collect(c, memory_state_of(c->store, request->view), request);
    if (ok)
        c->store->open.cursors++;
    memory_leave(c->store);
    if (!ok) {
        release_cursor(c);
        return memory_out(error);
    }
    *out = &c->head;
    return PERSIST_OK;
}

/* The next row; NULL: there is none. */
static const row *next_row(persist_cursor *cursor)
{
    memory_cursor *c = (memory_cursor *)cursor;
    CHECK(cursor->backend == &memory_backend && c->next <= c->count);
    return c->next == c->count ? NULL : &c->rows[c->next++];
}

persist_status memory_next_event(persist_cursor *cursor,
                                 const persist_event **out,
                                 persist_error *error)
{
    (void)error;
    persist_event *event = &((memory_cursor *)cursor)->event;
    const row *r = next_row(cursor);
    if (r == NULL)
        return PERSIST_NONE;
    *event = (persist_event){cell_slice(r->name),
                             cell_slice(r->value),
                             r->seq,
                             r->position,
                             r->time,
                             r->tagged == NULL ? NULL : r->tagged->bytes};
    *out = event;
    return PERSIST_OK;
}

persist_status memory_next_key(persist_cursor *cursor, slice *name,
                               slice *value, persist_error *error)
{
    (void)error;
    const row *r = next_row(cursor);
    if (r == NULL)
        return PERSIST_NONE;
    *name = cell_slice(r->name);
    *value = r->value == NULL ? slice_of(NULL, 0) : cell_slice(r->value);
    return PERSIST_OK;
}

persist_status memory_next_command(persist_cursor *cursor,
                                   const persist_command **out,
                                   persist_error *error)
{
    (void)error;
    memory_cursor *c = (memory_cursor *)cursor;
    const row *r = next_row(cursor);
    if (r == NULL)
        return PERSIST_NONE;
    c->command = (persist_command){.id = cell_slice(r->name),
                                   .seqs = r->once->seqs,
                                   .seq_count = r->once->seq_count,
                                   .lsn = r->once->lsn};
    memcpy(c->command.fingerprint, r->once->fingerprint,
           sizeof c->command.fingerprint);
    *out = &c->command;
    return PERSIST_OK;
}

persist_status memory_next_blob(persist_cursor *cursor,
                                const persist_blob **out, persist_error *error)
{
    (void)error;
    memory_cursor *c = (memory_cursor *)cursor;
    const row *r = next_row(cursor);
    if (r == NULL)
        return PERSIST_NONE;
    c->blob = (persist_blob){.size = r->value->size, .time = r->time};
    CHECK(r->name->size == PERSIST_CID_SIZE);
    memcpy(c->blob.cid, r->name->bytes, PERSIST_CID_SIZE);
    *out = &c->blob;
    return PERSIST_OK;
}

void memory_cursor_close(persist_cursor *cursor)
{
    CHECK(cursor->backend == &memory_backend);
    memory_cursor *c = (memory_cursor *)cursor;
    memory_store *m = memory_enter(&c->store->head);
    CHECK(m->open.cursors > 0);
    m->open.cursors--;
    memory_leave(m);
    release_cursor(c);
}

persist_status memory_info(persist_store *store, slice name, persist_view view,
                           persist_stream_info *info, bool *known,
                           persist_error *error)
{
    (void)error;
    memory_store *m = memory_enter(store);
    const memory_stream *stream = find_stream(memory_state_of(m, view), name);
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
    memory_store *m = memory_enter(store);
    const map_node *node = map_find(&memory_state_of(m, view)->keys, key);
    persist_status status = node == NULL ? PERSIST_NONE : PERSIST_OK;
    if (node != NULL && out != NULL)
        status = memory_copy(cell_slice(node->value), out, error);
    memory_leave(m);
    return status;
}
