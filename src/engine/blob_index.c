/* SPDX-License-Identifier: MIT */
/* Blobs: their index, and how one enters it.
 *
 * A blob is there when the index has its digest. The index is part of what
 * commits do: its entries are in the log, in memtables and in tables. A put
 * first gives the bytes a place, then commits the entry; bytes in a pack are
 * made durable right before the log is (see wal.h), so an entry that
 * survives a crash never names bytes that did not. */
#include "engine/engine.h"

/* PERSIST_NONE: it is not there. *lsn: the commit that has to be durable for
 * it to be; 0: it is. */
static persist_status find(engine *e, const uint8_t *digest, blob_entry *out,
                           persist_lsn *lsn, persist_error *error)
{
    slice name = slice_of(digest, HASH_SHA256_SIZE);
    snapshot snap;
    const blob_item *b = NULL;
    snapshot_open(e, PERSIST_LATEST, &snap);
    const memtable *frozen = snap.layers->frozen;
    *lsn = frozen == NULL ? 0 : frozen->last;
    if (snap.with_active) {
        readers_look(&e->readers, snap.place);
        b = memtable_blob(snap.layers->active, name);
        if (b != NULL) {
            *out = b->entry;
            *lsn = b->lsn;
        }
        readers_look_end(&e->readers, snap.place);
    }
    persist_status status = *lsn <= snap.lsn ? PERSIST_OK : PERSIST_NONE;
    if (b == NULL)
        status = layers_below_blob(snap.layers, name, snap.lsn, out, error);
    snapshot_close(e, &snap);
    return status;
}

/* A sync that failed may have lost what another blob or commit relies on. */
static persist_status settle(engine *e, persist_status status, bool unsynced,
                             const persist_error *why, persist_error *error)
{
    CHECK(!unsynced || status > PERSIST_NONE);
    if (unsynced)
        wal_fail(&e->wal, why);
    if (status > PERSIST_NONE && error != NULL)
        *error = *why;
    return status;
}

/* ---- putting ---------------------------------------------------------- */

/* With the blobs' lock: gives a blob its place, and commits that. */
static persist_status enter(engine *e, blob_writer *w, bool indexed,
                            persist_lsn *lsn, persist_error *error)
{
    blob_entry entry;
    bool unsynced;
    persist_error why;
    if (wal_failed(&e->wal))
        return wal_read_only(&e->wal, error);
    persist_status status = blob_place(w, &entry, &unsynced, &why);
    status = settle(e, status, unsynced, &why, error);
    if (status != PERSIST_OK || indexed)
        return status;
    status = engine_commit_blob(e, &entry, lsn, error);
    if (status != PERSIST_OK)
        blob_take_back(&e->blobs, &entry);
    return status;
}

/* Looks a blob up. PERSIST_NONE: it has to be written; *indexed tells whether
 * the index has it all the same. */
static persist_status look_up(engine *e, const uint8_t *digest, bool *indexed,
                              persist_lsn *lsn, persist_error *error)
{
    blob_entry entry;
    persist_status status = find(e, digest, &entry, lsn, error);
    *indexed = status == PERSIST_OK;
    return *indexed && !blob_is_whole(&e->blobs, &entry) ? PERSIST_NONE
                                                         : status;
}

/* All bytes are written. *there: they were there before. */
static persist_status keep(engine *e, blob_writer *w, bool *there,
                           persist_lsn *lsn, persist_error *error)
{
    blob_store *b = &e->blobs;
    bool indexed, unsynced;
    persist_error why;
    blob_end(w);
    persist_status status = look_up(e, w->digest, &indexed, lsn, error);
    *there = status == PERSIST_OK;
    if (status != PERSIST_NONE)
        return status;
    status = blob_sync(w, &unsynced, &why);
    status = settle(e, status, unsynced, &why, error);
    if (status != PERSIST_OK)
        return status;
    pthread_mutex_lock(&b->lock);
    /* Somebody may have put the same in between. */
    status = look_up(e, w->digest, &indexed, lsn, error);
    if (status == PERSIST_NONE)
        status = enter(e, w, indexed, lsn, error);
    pthread_mutex_unlock(&b->lock);
    return status;
}

persist_status engine_blob_finish(engine *e, blob_writer *w, persist_cid out,
                                  persist_lsn *lsn, persist_error *error)
{
    bool there;
    CHECK(w->store == &e->blobs);
    persist_status status = keep(e, w, &there, lsn, error);
    if (status == PERSIST_OK)
        cid_encode(w->digest, out);
    blob_release(w);
    return status;
}

/* A small blob costs little to hash and to copy: first it is looked up. So is a
 * large one when the one before was a repeat; else it is written while it is
 * hashed, for nothing if it turns out to be a repeat. */
persist_status engine_blob_add(engine *e, slice bytes, persist_cid out,
                               persist_lsn *lsn, persist_error *error)
{
    blob_store *b = &e->blobs;
    blob_writer w;
    uint8_t digest[HASH_SHA256_SIZE];
    bool large = bytes.size > b->packed_max, there = true, indexed;
    bool first = !large || atomic_load(&b->repeats);
    persist_status status = PERSIST_NONE;
    if (first) {
        hash_sha256(bytes, digest);
        cid_encode(digest, out);
        status = look_up(e, digest, &indexed, lsn, error);
    }
    if (status != PERSIST_NONE)
        return status;
    if (wal_failed(&e->wal))
        return wal_read_only(&e->wal, error);
    status = blob_begin(b, &w, first ? digest : NULL, error);
    if (status != PERSIST_OK)
        return status;
    status = blob_write(&w, bytes, error);
    if (status == PERSIST_OK)
        status = keep(e, &w, &there, lsn, error);
    if (status == PERSIST_OK)
        cid_encode(w.digest, out);
    if (status == PERSIST_OK && large)
        atomic_store(&b->repeats, there);
    blob_release(&w);
    return status;
}

/* ---- reading ---------------------------------------------------------- */

static persist_status find_cid(engine *e, slice cid, blob_entry *out,
                               persist_error *error)
{
    uint8_t digest[HASH_SHA256_SIZE];
    persist_lsn ignored;
    bool valid = cid_decode(cid, digest);
    CHECK(valid);
    memcpy(out->digest, digest, sizeof digest);
    return find(e, digest, out, &ignored, error);
}

persist_status engine_blob_has(engine *e, slice cid, persist_error *error)
{
    blob_entry entry;
    return find_cid(e, cid, &entry, error);
}

persist_status engine_blob_open(engine *e, slice cid, blob_reader *out,
                                persist_error *error)
{
    blob_entry entry;
    persist_status status = find_cid(e, cid, &entry, error);
    return status == PERSIST_OK ? blob_open(&e->blobs, &entry, out, error)
                                : status;
}
