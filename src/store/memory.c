/* SPDX-License-Identifier: MIT */
/* The memory backend: everything is durable at once, and gone with the
 * process. Opening, closing, command ids, figures, and the table. */
#include "store/memory.h"

#include "base/status.h"

persist_status memory_out(persist_error *error)
{
    return status_no_memory(error);
}

persist_status memory_copy(slice bytes, slice *out, persist_error *error)
{
    void *copy = mem_alloc(bytes.size);
    if (copy == NULL)
        return memory_out(error);
    if (bytes.size > 0)
        memcpy(copy, bytes.data, bytes.size);
    *out = slice_of(copy, bytes.size);
    return PERSIST_OK;
}

size_t memory_stream_seek(const memory_stream *stream, uint64_t seq)
{
    CHECK(stream->first <= stream->end && stream->end <= stream->capacity);
    size_t low = stream->first, high = stream->end;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (stream->events[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

memory_store *memory_enter(persist_store *store)
{
    memory_store *m = (memory_store *)store;
    CHECK(store->backend == &memory_backend);
    pthread_mutex_lock(&m->lock);
    return m;
}

void memory_leave(memory_store *m)
{
    pthread_mutex_unlock(&m->lock);
}

static persist_status once_find(persist_store *store, slice id,
                                uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE],
                                persist_outcome *outcome, persist_error *error)
{
    memory_store *m = memory_enter(store);
    persist_status status = PERSIST_NONE;
    const map_node *node = map_find(&m->onces, id);
    if (node != NULL) {
        const memory_once *once = node->value;
        CHECK(once != NULL);
        memcpy(fingerprint, once->fingerprint, PERSIST_FINGERPRINT_SIZE);
        status = memory_report_once(once, outcome, error);
    }
    memory_leave(m);
    return status;
}

static persist_status wait_durable(persist_store *store, persist_lsn lsn,
                                   persist_error *error)
{
    (void)lsn;
    (void)error;
    CHECK(store->backend == &memory_backend);
    return PERSIST_OK;
}

static persist_lsn latest(persist_store *store)
{
    memory_store *m = memory_enter(store);
    persist_lsn lsn = m->latest;
    memory_leave(m);
    return lsn;
}

static persist_status step(persist_store *store, bool *did,
                           persist_error *error)
{
    (void)error;
    CHECK(store->backend == &memory_backend);
    *did = false;
    return PERSIST_OK;
}

static void stats(persist_store *store, persist_stats *out)
{
    memory_store *m = memory_enter(store);
    CHECK(m->events <= m->position);
    out->commits = m->latest;
    out->streams = m->streams.count;
    out->events = m->events;
    out->memory = m->bytes;
    memory_leave(m);
}

void memory_stream_free(void *value)
{
    memory_stream *stream = value;
    if (stream == NULL)
        return;
    CHECK(stream->first <= stream->end && stream->end <= stream->capacity);
    for (size_t i = stream->first; i < stream->end; i++)
        cell_unref(stream->events[i].data);
    mem_free(stream->events);
    mem_free(stream);
}

static void drop_cell(void *value)
{
    cell_unref(value);
}

static persist_status close_store(persist_store *store, persist_error *error)
{
    (void)error;
    memory_store *m = (memory_store *)store;
    CHECK(m->handles == 0);
    CHECK(store->backend == &memory_backend && m->events <= m->order_count);
    map_release(&m->streams, memory_stream_free);
    map_release(&m->keys, drop_cell);
    map_release(&m->onces, mem_free);
    map_release(&m->blobs, drop_cell);
    mem_free(m->order);
    pthread_mutex_destroy(&m->lock);
    mem_free(m);
    return PERSIST_OK;
}

const store_backend memory_backend = {
    .close = close_store,
    .commit = memory_commit,
    .once_find = once_find,
    .wait_durable = wait_durable,
    .latest = latest,
    .visible = latest,
    .durable = latest,
    .read = memory_read,
    .next_event = memory_next_event,
    .next_key = memory_next_key,
    .cursor_close = memory_cursor_close,
    .info = memory_info,
    .get = memory_get,
    .blob_has = memory_blob_has,
    .blob_add = memory_blob_add,
    .blob_create = memory_blob_create,
    .blob_write = memory_blob_write,
    .blob_finish = memory_blob_finish,
    .blob_abort = memory_blob_abort,
    .blob_open = memory_blob_open,
    .blob_read = memory_blob_read,
    .blob_close = memory_blob_close,
    .stats = stats,
    .step = step,
};

persist_status store_memory_open(const persist_options *options,
                                 persist_store **out, persist_error *error)
{
    CHECK(options->path == NULL);
    memory_store *m = mem_alloc_zero(sizeof *m);
    if (m == NULL)
        return memory_out(error);
    m->head.backend = &memory_backend;
    pthread_mutex_init(&m->lock, NULL);
    m->equal = options->equal;
    m->equal_context = options->equal_context;
    *out = &m->head;
    return PERSIST_OK;
}
