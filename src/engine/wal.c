/* SPDX-License-Identifier: MIT */
/* The write-ahead log: appending, and group commit.
 *
 * Records gather in `fill`. A leader swaps it with the empty `flush`, lets go
 * of the lock, writes and syncs. Syncs are numbered: a waiter whose record is
 * in the one in progress sleeps on that generation's condition, all others on
 * the next one's. The leader wakes all of its own and one of the next, who
 * leads it: nobody wakes in vain. */
#include "engine/wal.h"

#include "base/mem.h"
#include "base/seeded_bug.h"

/* ---- the leader ------------------------------------------------------- */

static int write_batch(const wal *w, const wal_batch *batch)
{
    int code = 0;
    for (size_t i = 0; i < batch->extent_count && code == 0; i++) {
        const wal_extent *e = &batch->extents[i];
        CHECK(e->from + e->size <= batch->bytes.size);
        CHECK(e->at + e->size <= e->segment->size);
        code = os_write_all(w->place.sys, e->segment->file,
                            batch->bytes.data + e->from, e->size, e->at);
    }
    return code;
}

static int sync_segments(const wal *w, const wal_segment *list)
{
    int code = 0;
    if (SEEDED_BUG(SKIP_LOG_SYNC))
        return 0;
    for (; list != NULL && code == 0; list = list->sync_next)
        code = os_sync(w->place.sys, list->file);
    return code;
}

/* With the lock held: what the batch touches counts as written from now on.
 * Returns the list of all that needs a sync. */
static wal_segment *mark_written(wal *w)
{
    for (size_t i = 0; i < w->flush.extent_count; i++) {
        wal_segment *segment = w->flush.extents[i].segment;
        CHECK(segment->pending > 0);
        segment->unsynced = true;
    }
    wal_segment *list = NULL;
    for (wal_segment *s = w->open; s != NULL; s = s->next)
        if (s->unsynced) {
            s->sync_next = list;
            list = s;
        }
    return list;
}

static void clear_batch(const wal *w, wal_batch *batch)
{
    for (size_t i = 0; i < batch->extent_count; i++)
        batch->extents[i].segment->pending--;
    batch->extent_count = 0;
    buf_clear(&batch->bytes);
    if (batch->bytes.capacity <= w->buffer_size)
        return;
    uint8_t *smaller = mem_realloc(batch->bytes.data, w->buffer_size);
    if (smaller != NULL) {
        batch->bytes.data = smaller;
        batch->bytes.capacity = w->buffer_size;
    }
}

static void fail_locked(wal *w, const persist_error *why)
{
    CHECK(why->status > PERSIST_NONE);
    if (!wal_failed(w))
        w->failure = *why;
    atomic_store_explicit(&w->failed, true, memory_order_release);
    pthread_cond_broadcast(&w->covered[0]);
    pthread_cond_broadcast(&w->covered[1]);
}

static void finish_flush(wal *w, int code, bool sync, persist_lsn last,
                         wal_segment *list)
{
    CHECK(w->flushing && last >= wal_durable(w));
    clear_batch(w, &w->flush);
    w->flushing = false;
    w->flushing_last = 0;
    if (code != 0 && !SEEDED_BUG(IGNORE_READ_ONLY)) {
        persist_error why;
        os_failed(&why, code, sync ? "write and sync" : "write", w->place.dir);
        fail_locked(w, &why);
        return;
    }
    if (sync) {
        for (; list != NULL; list = list->sync_next)
            list->unsynced = false;
        w->syncs++;
        atomic_store_explicit(&w->durable, last, memory_order_release);
        pthread_cond_broadcast(&w->covered[w->generation % 2]);
        wal_reap(w);
    }
    pthread_cond_signal(&w->covered[(w->generation + 1) % 2]);
}

/* Becomes the leader: writes what is there, and syncs if told to. Called and
 * returns with the lock held. */
static void flush(wal *w, bool sync)
{
    CHECK(!w->flushing && w->flush.extent_count == 0);
    w->flushing = true;
    wal_batch swap = w->fill;
    w->fill = w->flush;
    w->flush = swap;
    persist_lsn last = w->appended;
    if (sync) {
        w->generation++;
        w->flushing_last = last;
    }
    wal_segment *list = mark_written(w);
    pthread_mutex_unlock(&w->lock);
    int code = write_batch(w, &w->flush);
    if (code == 0 && sync)
        code = sync_segments(w, list);
    pthread_mutex_lock(&w->lock);
    finish_flush(w, code, sync, last, list);
}

/* With the lock held: sleeps until the flush in progress is over, or until
 * somebody is needed to lead the next. */
static void await_turn(wal *w, persist_lsn lsn)
{
    CHECK(w->flushing);
    bool covered = lsn <= w->flushing_last;
    uint64_t generation = w->generation + (covered ? 0 : 1);
    pthread_cond_wait(&w->covered[generation % 2], &w->lock);
}

persist_status wal_wait(wal *w, persist_lsn lsn, persist_error *error)
{
    if (lsn <= wal_durable(w))
        return PERSIST_OK;
    pthread_mutex_lock(&w->lock);
    if (lsn > w->appended)
        lsn = w->appended;
    while (lsn > wal_durable(w) && !wal_failed(w)) {
        if (w->flushing)
            await_turn(w, lsn);
        else
            flush(w, true);
    }
    bool durable = lsn <= wal_durable(w);
    pthread_mutex_unlock(&w->lock);
    return durable ? PERSIST_OK : wal_read_only(w, error);
}

/* ---- the writer ------------------------------------------------------- */

buf *wal_begin(wal *w)
{
    buf_clear(&w->scratch);
    if (!buf_reserve(&w->scratch, RECORD_HEADER_SIZE))
        return NULL;
    w->scratch.size = RECORD_HEADER_SIZE;
    return &w->scratch;
}

static bool has_room(const wal *w, const wal_batch *batch, uint64_t size)
{
    if (batch->bytes.size == 0)
        return true;
    return batch->bytes.size + size <= w->buffer_size &&
           batch->extent_count < WAL_EXTENTS;
}

persist_status wal_reserve(wal *w, persist_error *error)
{
    CHECK(!w->scratch.failed && w->scratch.size >= RECORD_HEADER_SIZE);
    uint64_t size = record_size(w->scratch.size - RECORD_HEADER_SIZE);
    if (!buf_reserve(&w->scratch, size - w->scratch.size))
        return status_set(error, PERSIST_LIMIT, "out of memory");
    pthread_mutex_lock(&w->lock);
    while (!has_room(w, &w->fill, size) && !wal_failed(w)) {
        if (w->flushing)
            await_turn(w, UINT64_MAX);
        else
            flush(w, false);
    }
    if (!w->flushing) /* pass on a wake-up that was meant for a leader */
        pthread_cond_signal(&w->covered[(w->generation + 1) % 2]);
    pthread_mutex_unlock(&w->lock);
    if (wal_failed(w))
        return wal_read_only(w, error);
    if (w->active == NULL || w->active->size - w->active->end < size) {
        persist_status status = wal_next_segment(w, size, error);
        if (status != PERSIST_OK)
            return status;
    }
    record_header header = {(uint32_t)(w->scratch.size - RECORD_HEADER_SIZE),
                            w->appended + 1, w->place.identity,
                            w->active->number, wal_durable(w)};
    if (SEEDED_BUG(EARLY_WATERMARK))
        header.watermark = w->appended;
    record_seal(w->scratch.data, &header, w->active->end);
    return PERSIST_OK;
}

/* With the lock held: puts the record in the buffer. One that is bigger than
 * the buffer comes alone, by swapping. */
static void buffer_record(wal *w, uint64_t size)
{
    wal_batch *batch = &w->fill;
    wal_segment *segment = w->active;
    wal_extent *last = batch->extent_count == 0
                           ? NULL
                           : &batch->extents[batch->extent_count - 1];
    if (last != NULL && last->segment == segment) {
        last->size += size;
    } else {
        CHECK(batch->extent_count < WAL_EXTENTS);
        batch->extents[batch->extent_count++] =
            (wal_extent){segment, segment->end, batch->bytes.size, size};
        segment->pending++;
    }
    if (size > w->buffer_size) {
        CHECK(batch->bytes.size == 0);
        buf swap = batch->bytes;
        batch->bytes = w->scratch;
        w->scratch = swap;
        batch->bytes.size = size;
    } else {
        CHECK(batch->bytes.capacity - batch->bytes.size >= size);
        memcpy(batch->bytes.data + batch->bytes.size, w->scratch.data, size);
        batch->bytes.size += size;
    }
}

void wal_append(wal *w, persist_lsn lsn)
{
    wal_segment *segment = w->active;
    uint64_t size = record_size(w->scratch.size - RECORD_HEADER_SIZE);
    CHECK(lsn == w->appended + 1 && segment->size - segment->end >= size);
    pthread_mutex_lock(&w->lock);
    buffer_record(w, size);
    if (segment->first == 0)
        segment->first = lsn;
    segment->last = lsn;
    segment->end += size;
    w->appended = lsn;
    w->bytes_logged += size;
    if (w->thread_runs && wal_wants_spare(w))
        pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
}

/* ---- failure ---------------------------------------------------------- */

void wal_fail(wal *w, const persist_error *why)
{
    CHECK(why->status > PERSIST_NONE);
    pthread_mutex_lock(&w->lock);
    fail_locked(w, why);
    pthread_mutex_unlock(&w->lock);
}

persist_status wal_read_only(wal *w, persist_error *error)
{
    CHECK(wal_failed(w));
    return status_set(error, PERSIST_READ_ONLY,
                      "nothing is written any more, for this failed: %.300s; "
                      "mend that and open the store again",
                      w->failure.message);
}
