/* SPDX-License-Identifier: MIT */
/* The write-ahead log: the proof of a quiet one.
 *
 * What tells that a batch was durable is the next record, or a manifest: until
 * then nobody could tell a batch that was damaged from one that was never
 * wholly written. So when all that came is durable, and nothing comes for a
 * moment, a record without a body is written where the next one will be, and
 * says it. The log does not grow by that, and the next record is written over
 * it: it is longer than the proof. */
#include "engine/log/wal.h"

/* With the lock held: tells whether the newest record is durable, and nothing
 * on disk says so. Where the segment has no room for the proof there is none.
 */
static bool wants_proof(const wal *w)
{
    const wal_segment *s = w->active;
    persist_lsn durable = wal_durable(w);
    return !wal_failed(w) && !w->led && durable == w->appended.lsn &&
           durable > w->told && s != NULL && s->first != 0 &&
           s->size - s->end >= RECORD_HEADER_SIZE;
}

/* With the lock held, let go of meanwhile: a turn of a leader that writes
 * nothing but the proof. A commit that comes meanwhile waits for it, so that
 * the two are never on their way to the same place. */
static void write_proof(wal *w)
{
    wal_batch *batch = &w->fill;
    wal_segment *s = w->active;
    persist_lsn newest = w->appended.lsn;
    CHECK(batch->extent_count == 0 && batch->bytes.size == 0);
    CHECK(batch->bytes.capacity >= RECORD_HEADER_SIZE);
    record_header proof = {0, newest, w->place.identity, s->number, newest};
    record_seal(batch->bytes.data, &proof, s->end);
    batch->bytes.size = RECORD_HEADER_SIZE;
    batch->extents[batch->extent_count++] =
        (wal_extent){s, s->end, 0, RECORD_HEADER_SIZE};
    s->pending++;
    wal_lead(w, true);
    pthread_mutex_lock(&w->lock);
    if (!wal_failed(w) && newest > w->told)
        w->told = newest;
}

/* While commits come this wakes up now and then, and writes nothing: to be
 * woken by each sync would take time from those who commit. While none do, it
 * sleeps.
 */
void wal_rest(wal *w)
{
    persist_lsn newest = w->appended.lsn;
    bool comes = newest != w->seen;
    w->seen = newest;
    if (!comes && !wants_proof(w)) {
        w->rests = true;
        pthread_cond_wait(&w->worker.work, &w->lock);
        w->rests = false;
    } else if (os_worker_rest(&w->worker, &w->lock, PROOF_AFTER_US) &&
               !w->worker.stops && newest == w->appended.lsn &&
               wants_proof(w)) {
        write_proof(w);
    }
}

persist_status wal_proof_step(wal *w, bool *did, persist_error *error)
{
    pthread_mutex_lock(&w->lock);
    bool due = wants_proof(w);
    if (due)
        write_proof(w);
    pthread_mutex_unlock(&w->lock);
    *did = due && !wal_failed(w);
    return due && !*did ? wal_read_only(w, error) : PERSIST_OK;
}
