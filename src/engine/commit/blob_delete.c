/* SPDX-License-Identifier: MIT */
/* Deleting blobs.
 *
 * That a blob is deleted is a commit, as that it is there, and hides what older
 * layers have of it. Its bytes go behind that: a file of its own is taken away
 * once the deletion is durable, in a step of upkeep, if it was not put again;
 * whoever has it open goes on reading. A pack is not written to.
 *
 * Steps take the blobs' lock only if it is free: who has it may be waiting for
 * a step. */
#include "base/cid.h"
#include "base/mem.h"
#include "engine/commit/commit.h"

static bool note_gone(blob_store *b, const blob_entry *e, persist_lsn lsn)
{
    if (!mem_grow(&b->gone, b->gone_count, 1, &b->gone_capacity,
                  sizeof *b->gone))
        return false;
    CHECK(lsn > 0 && e->pack == 0);
    b->gone[b->gone_count++] = (gone_blob){lsn, *e};
    return true;
}

bool blob_is_gone(const blob_store *b, const uint8_t *digest)
{
    for (size_t i = 0; i < b->gone_count; i++)
        if (memcmp(b->gone[i].entry.digest, digest, HASH_SHA256_SIZE) == 0)
            return true;
    return false;
}

/* ---- deleting --------------------------------------------------------- */

/* A time may be BLOB_RENEW_US older than the last put. */
static bool was_put_before(const blob_entry *e, uint64_t time)
{
    return time == 0 ||
           (time > BLOB_RENEW_US && e->time < time - BLOB_RENEW_US);
}

/* With the blobs' lock, so that nobody puts it meanwhile. */
static persist_status delete_here(engine *e, const uint8_t *digest,
                                  uint64_t put_before, persist_lsn *lsn,
                                  persist_error *error)
{
    blob_store *b = &e->blobs;
    blob_entry entry;
    persist_lsn ignored;
    persist_status status = blob_find(e, digest, &entry, &ignored, error);
    if (status != PERSIST_OK)
        return status;
    if (!was_put_before(&entry, put_before))
        return PERSIST_NONE;
    /* what can fail, before the commit */
    if (entry.pack == 0 && !note_gone(b, &entry, UINT64_MAX))
        return status_no_memory(error);
    memcpy(entry.digest, digest, sizeof entry.digest);
    entry.deleted = true;
    status = engine_commit_blob(e, &entry, lsn, error);
    if (entry.pack != 0)
        return status;
    if (status == PERSIST_OK)
        b->gone[b->gone_count - 1] = (gone_blob){*lsn, entry};
    else
        b->gone_count--;
    return status;
}

persist_status engine_blob_delete(engine *e, slice cid, uint64_t put_before,
                                  persist_lsn *lsn, persist_error *error)
{
    uint8_t digest[HASH_SHA256_SIZE];
    blob_entry entry;
    bool valid = cid_decode(cid, digest);
    CHECK(valid);
    persist_status status = blob_find(e, digest, &entry, lsn, error);
    if (status == PERSIST_OK && wal_failed(&e->wal))
        status = wal_read_only(&e->wal, error);
    if (status == PERSIST_OK)
        status = upkeep_feature(e, FEATURE_BLOBS_GO, error);
    if (status != PERSIST_OK)
        return engine_explain(e, status, error);
    pthread_mutex_lock(&e->blobs.lock);
    status = delete_here(e, digest, put_before, lsn, error);
    bool many = e->blobs.gone_count > GONE_MAX;
    pthread_mutex_unlock(&e->blobs.lock);
    if (many)
        upkeep_call(e);
    else
        (void)engine_wake(e);
    return engine_explain(e, status, error);
}

/* ---- their files ------------------------------------------------------ */

static persist_status find_in(engine *e, const memtable *t,
                              persist_error *error)
{
    btree_at at = btree_seek(&t->blob_tree, slice_of(NULL, 0), false);
    for (const blob_item *b; (b = btree_next(&at)) != NULL;) {
        const blob_version *v = b->newest;
        if (v->entry.deleted && v->entry.pack == 0 &&
            !note_gone(&e->blobs, &v->entry, v->lsn))
            return status_no_memory(error);
    }
    return PERSIST_OK;
}

persist_status engine_find_gone(engine *e, persist_error *error)
{
    const layers *v = e->layers;
    persist_status status = PERSIST_OK;
    CHECK(e->blobs.gone_count == 0);
    if (v->frozen != NULL)
        status = find_in(e, v->frozen, error);
    return status == PERSIST_OK ? find_in(e, v->active, error) : status;
}

/* Without a thread, who commits would wait for a sync that nobody asked for. */
static bool may_wait(engine *e, size_t count)
{
    return e->upkeep.worker.runs || e->upkeep.by_steps || count > GONE_MAX ||
           atomic_load(&e->wal.full) || e->layers->frozen != NULL;
}

/* What was put again has another file of the same name. What the index cannot
 * tell stays. */
static void take_away(engine *e, const blob_entry *gone)
{
    blob_entry entry;
    persist_lsn ignored;
    persist_error why;
    if (blob_find(e, gone->digest, &entry, &ignored, &why) == PERSIST_NONE)
        blob_remove(&e->blobs, gone);
}

/* How many a step may take, and the commit that has to be durable for it; 0:
 * none, or somebody has the lock. */
static size_t look_at_gone(blob_store *b, size_t *all, persist_lsn *upto)
{
    *upto = 0;
    if (pthread_mutex_trylock(&b->lock) != 0)
        return 0;
    *all = b->gone_count;
    size_t some = *all > GONE_STEP ? GONE_STEP : *all;
    /* cppcheck-suppress knownConditionTrueFalse ; others add to it */
    if (some > 0)
        *upto = b->gone[some - 1].lsn;
    pthread_mutex_unlock(&b->lock);
    return some;
}

persist_status engine_blob_step(engine *e, bool *did, persist_error *error)
{
    blob_store *b = &e->blobs;
    persist_status status = PERSIST_OK;
    size_t all = 0, taken = 0;
    persist_lsn upto;
    size_t some = look_at_gone(b, &all, &upto);
    if (upto > wal_durable(&e->wal) && may_wait(e, all))
        status = wal_wait(&e->wal, upto, error);
    if (status != PERSIST_OK || some == 0 ||
        pthread_mutex_trylock(&b->lock) != 0)
        return status;
    CHECK(some <= b->gone_count);
    if (atomic_load(&e->backups) > 0) /* what was there before they may need */
        some = 0;
    while (taken < some && b->gone[taken].lsn <= wal_durable(&e->wal))
        take_away(e, &b->gone[taken++].entry);
    b->gone_count -= taken;
    memmove(b->gone, b->gone + taken, b->gone_count * sizeof *b->gone);
    pthread_mutex_unlock(&b->lock);
    *did = taken > 0;
    return PERSIST_OK;
}
