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

/* Whatever was done with the lock held, a commit of it is news. */
void memory_leave(memory_store *m)
{
    bool committed = m->latest > m->told;
    bool wakes = committed && os_news_rise(&m->news, m->now->position);
    m->told = m->latest;
    pthread_mutex_unlock(&m->lock);
    if (committed)
        os_news_tell(&m->news, wakes);
}

persist_lsn memory_next_lsn(const memory_store *m)
{
    persist_lsn first = m->head.first_lsn;
    return m->latest + 1 < first ? first : m->latest + 1;
}

void memory_new_commit(memory_store *m, const uint64_t *given)
{
    uint64_t time = given != NULL ? *given : m->sys->wall_us(m->sys);
    m->latest = memory_next_lsn(m);
    if (time > m->time && time <= PERSIST_SEQ_MAX)
        m->time = time;
    m->commits++;
}

persist_status store_memory_skip(persist_store *store, persist_lsn next,
                                 persist_error *error)
{
    memory_store *m = memory_enter(store);
    CHECK(next > m->latest + 1);
    bool noted = gaps_add(&m->gaps, m->latest, next);
    if (noted)
        m->head.first_lsn = next;
    memory_leave(m);
    return noted ? PERSIST_OK : memory_out(error);
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

static uint64_t position(persist_store *store, persist_view view)
{
    (void)view;
    memory_store *m = memory_enter(store);
    uint64_t highest = m->now->position;
    memory_leave(m);
    return highest;
}

static persist_status await(persist_store *store, uint64_t above,
                            uint64_t timeout_ms, uint64_t *newest,
                            persist_error *error)
{
    CHECK(store->backend == &memory_backend);
    os_news *news = &((memory_store *)store)->news;
    os_news_end end = os_news_await(news, above, timeout_ms);
    *newest = os_news_newest(news);
    CHECK(end != OS_NEWS_OVER);
    (void)error;
    return end == OS_NEWS_CLOSED ? PERSIST_CLOSED
           : end == OS_NEWS_ROSE ? PERSIST_OK
                                 : PERSIST_NONE;
}

static os_news *news(persist_store *store)
{
    CHECK(store->backend == &memory_backend);
    return &((memory_store *)store)->news;
}

static persist_status step(persist_store *store, bool *did,
                           persist_error *error)
{
    (void)error;
    CHECK(store->backend == &memory_backend);
    *did = false;
    return PERSIST_OK;
}

static void identity(persist_store *store, uint8_t self[IDENTITY_SIZE],
                     uint8_t parent[IDENTITY_SIZE])
{
    memory_store *m = memory_enter(store);
    memcpy(self, m->id, sizeof m->id);
    memcpy(parent, m->parent, sizeof m->parent);
    memory_leave(m);
}

static persist_status become_another(persist_store *store,
                                     const uint8_t parent[IDENTITY_SIZE],
                                     persist_error *error)
{
    uint8_t id[IDENTITY_SIZE];
    memory_store *m = memory_enter(store);
    int code = m->sys->random(m->sys, id, sizeof id);
    if (code == 0) {
        memcpy(m->id, id, sizeof id);
        memcpy(m->parent, parent, sizeof m->parent);
    }
    memory_leave(m);
    return code == 0 ? PERSIST_OK
                     : os_failed(error, code, "draw an identity for",
                                 "a store in memory");
}

static void stats(persist_store *store, persist_stats *out)
{
    memory_store *m = memory_enter(store);
    CHECK(m->now->events <= m->now->position);
    out->commits = m->commits;
    out->streams = m->now->streams.count;
    out->events = m->now->events;
    out->memory = m->now->bytes;
    memory_leave(m);
}

static void count_open(persist_store *store, store_open *out)
{
    memory_store *m = memory_enter(store);
    *out = m->open;
    memory_leave(m);
}

static persist_status close_store(persist_store *store, persist_error *error)
{
    (void)error;
    memory_store *m = (memory_store *)store;
    os_news_close(&m->news);
    CHECK(store->backend == &memory_backend);
    CHECK(m->open.cursors + m->open.snapshots + m->open.blobs == 0);
    memory_state_leave(m->now);
    map_release(&m->onces, mem_free);
    gaps_release(&m->gaps);
    os_news_release(&m->news);
    pthread_mutex_destroy(&m->lock);
    mem_free(m);
    return PERSIST_OK;
}

const store_backend memory_backend = {
    .count_open = count_open,
    .close = close_store,
    .commit = memory_commit,
    .once_find = once_find,
    .wait_durable = wait_durable,
    .latest = latest,
    .visible = latest,
    .durable = latest,
    .position = position,
    .await = await,
    .news = news,
    .snapshot_open = memory_snapshot_open,
    .snapshot_close = memory_snapshot_close,
    .read = memory_read,
    .next_event = memory_next_event,
    .next_key = memory_next_key,
    .next_command = memory_next_command,
    .next_blob = memory_next_blob,
    .cursor_close = memory_cursor_close,
    .position_at = memory_position_at,
    .info = memory_info,
    .get = memory_get,
    .blob_size = memory_blob_size,
    .blob_add = memory_blob_add,
    .blob_create = memory_blob_create,
    .blob_write = memory_blob_write,
    .blob_finish = memory_blob_finish,
    .blob_abort = memory_blob_abort,
    .blob_open = memory_blob_open,
    .blob_read = memory_blob_read,
    .blob_read_at = memory_blob_read_at,
    .blob_close = memory_blob_close,
    .blob_delete = memory_blob_delete,
    .identity = identity,
    .become_another = become_another,
    .stats = stats,
    .step = step,
};

persist_status store_memory_open(const persist_options *options,
                                 persist_store **out, persist_error *error)
{
    CHECK(options->path == NULL);
    memory_store *m = mem_alloc_zero(sizeof *m);
    memory_state *now = m == NULL ? NULL : memory_state_new();
    if (now == NULL) {
        mem_free(m);
        return memory_out(error);
    }
    m->now = now;
    m->sys = options->os == NULL ? os_posix() : options->os;
    CHECK(m->sys->version == OS_VERSION);
    int code = m->sys->random(m->sys, m->id, sizeof m->id);
    if (code != 0) {
        memory_state_leave(now);
        mem_free(m);
        return os_failed(error, code, "draw an identity for",
                         "a store in memory");
    }
    m->head.backend = &memory_backend;
    m->head.first_lsn = 1;
    m->head.gaps = &m->gaps;
    pthread_mutex_init(&m->lock, NULL);
    os_news_init(&m->news, m->sys, &m->lock, 0);
    m->equal = options->equal;
    m->equal_context = options->equal_context;
    *out = &m->head;
    return PERSIST_OK;
}
