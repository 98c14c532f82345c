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

/* With the blobs' lock: adds a blob to a pack, by its digest, which is computed
 * if it is not known. *there: it was there before. */
static persist_status add_to_pack(engine *e, slice bytes, uint8_t *digest,
                                  bool known, bool *there, persist_lsn *lsn,
                                  persist_error *error)
{
    blob_store *b = &e->blobs;
    blob_entry entry = {.size = bytes.size};
    bool unsynced, indexed;
    persist_error why;
    int code =
        pack_add(&b->packs, bytes, &entry.pack, &entry.offset, &unsynced);
    if (code != 0) {
        persist_status status =
            os_failed(&why, code, "write a pack in", b->dir->path);
        return settle(e, status, unsynced, &why, error);
    }
    if (!known)
        hash_sha256(bytes, digest);
    memcpy(entry.digest, digest, sizeof entry.digest);
    persist_status status = look_up(e, digest, &indexed, lsn, error);
    *there = status == PERSIST_OK;
    if (status == PERSIST_NONE)
        status = engine_commit_blob(e, &entry, lsn, error);
    if (status != PERSIST_OK || *there)
        pack_take_back(&b->packs);
    return status;
}

static persist_status add_packed(engine *e, slice bytes, uint8_t *digest,
                                 bool known, bool *there, persist_lsn *lsn,
                                 persist_error *error)
{
    CHECK(bytes.size <= e->blobs.packed_max);
    pthread_mutex_lock(&e->blobs.lock);
    persist_status status =
        add_to_pack(e, bytes, digest, known, there, lsn, error);
    pthread_mutex_unlock(&e->blobs.lock);
    return status;
}

/* With the blobs' lock: gives a file its name, and commits that. */
static persist_status name_file(engine *e, blob_writer *w, bool indexed,
                                persist_lsn *lsn, persist_error *error)
{
    blob_entry entry;
    bool unsynced;
    persist_error why;
    persist_status status = blob_place(w, &entry, &unsynced, &why);
    status = settle(e, status, unsynced, &why, error);
    if (status != PERSIST_OK || indexed)
        return status;
    status = engine_commit_blob(e, &entry, lsn, error);
    if (status != PERSIST_OK)
        blob_take_back(&e->blobs, &entry);
    return status;
}

/* Adds a blob whose bytes are in the writer's file. */
static persist_status add_file(engine *e, blob_writer *w, bool *there,
                               persist_lsn *lsn, persist_error *error)
{
    blob_store *b = &e->blobs;
    bool indexed, unsynced;
    persist_error why;
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
    if (status == PERSIST_NONE && wal_failed(&e->wal))
        status = wal_read_only(&e->wal, error);
    else if (status == PERSIST_NONE)
        status = name_file(e, w, indexed, lsn, error);
    pthread_mutex_unlock(&b->lock);
    return status;
}

static persist_status finish(engine *e, blob_writer *w, bool *there,
                             persist_lsn *lsn, persist_error *error)
{
    bool indexed;
    blob_end(w);
    if (w->file != NULL)
        return add_file(e, w, there, lsn, error);
    persist_status status = look_up(e, w->digest, &indexed, lsn, error);
    return status == PERSIST_NONE
               ? add_packed(e, buf_slice(&w->small), w->digest, true, there,
                            lsn, error)
               : status;
}

persist_status engine_blob_finish(engine *e, blob_writer *w, persist_cid out,
                                  persist_lsn *lsn, persist_error *error)
{
    bool there;
    CHECK(w->store == &e->blobs);
    persist_status status = finish(e, w, &there, lsn, error);
    if (status == PERSIST_OK)
        cid_encode(w->digest, out);
    blob_release(w);
    return status;
}

static persist_status add_large(engine *e, slice bytes, uint8_t *digest,
                                bool known, bool *there, persist_lsn *lsn,
                                persist_error *error)
{
    blob_writer w;
    persist_status status =
        blob_begin(&e->blobs, &w, known ? digest : NULL, error);
    if (status != PERSIST_OK)
        return status;
    status = blob_write(&w, bytes, error);
    if (status == PERSIST_OK)
        status = finish(e, &w, there, lsn, error);
    if (status == PERSIST_OK)
        memcpy(digest, w.digest, sizeof w.digest);
    blob_release(&w);
    return status;
}

static uint64_t hash_beginning(slice bytes)
{
    slice first = bytes;
    if (first.size > BLOB_BEGINNING)
        first.size = BLOB_BEGINNING;
    return hash_xxh3_seed(first, bytes.size);
}

/* The disk is at work while the digest is computed: in vain if it turns out
 * that the blob was there. So one that begins like another of its size, or
 * comes after a repeat, is looked up first. A few bytes are hashed in no time.
 */
persist_status engine_blob_add(engine *e, slice bytes, persist_cid out,
                               persist_lsn *lsn, persist_error *error)
{
    blob_store *b = &e->blobs;
    uint8_t digest[HASH_SHA256_SIZE];
    bool small = bytes.size < b->packed_max / BLOB_AHEAD_SHARE;
    uint64_t hash = small ? 0 : hash_beginning(bytes);
    _Atomic uint64_t *seen = &b->seen[hash % BLOBS_SEEN];
    bool known = small || atomic_load(&b->repeats) ||
                 atomic_load(seen) == hash || wal_failed(&e->wal);
    bool there = true, indexed;
    persist_status status = PERSIST_NONE;
    if (known) {
        hash_sha256(bytes, digest);
        status = look_up(e, digest, &indexed, lsn, error);
    }
    if (status == PERSIST_NONE && wal_failed(&e->wal))
        return wal_read_only(&e->wal, error);
    if (status == PERSIST_NONE)
        status = (bytes.size <= b->packed_max ? add_packed : add_large)(
            e, bytes, digest, known, &there, lsn, error);
    if (status != PERSIST_OK)
        return status;
    cid_encode(digest, out);
    if (!small) {
        atomic_store(&b->repeats, there);
        atomic_store(seen, hash);
    }
    return PERSIST_OK;
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
