/* SPDX-License-Identifier: MIT */
/* Blobs: their index, and how one enters it.
 *
 * A blob is there when the index has its digest. The index is part of what
 * commits do: its entries are in the log, in memtables and in tables. A put
 * first gives the bytes a place, then commits the entry; bytes in a pack are
 * made durable right before the log is (see wal.h), so an entry that
 * survives a crash never names bytes that did not. */
#include "engine/commit/commit.h"

persist_status blob_find(engine *e, const uint8_t *digest, blob_entry *out,
                         persist_lsn *lsn, persist_error *error)
{
    slice name = slice_of(digest, HASH_SHA256_SIZE);
    snapshot snap;
    const blob_version *v = NULL;
    snapshot_open(e, VIEW_LATEST, &snap);
    const memtable *frozen = snap.layers->frozen;
    *lsn = frozen == NULL ? 0 : frozen->last;
    if (snap.with_active) {
        readers_look(&e->readers, snap.place);
        const blob_item *b = memtable_blob(snap.layers->active, name);
        v = b == NULL ? NULL : blob_at(b, snap.lsn);
        if (v != NULL) {
            *out = v->entry;
            *lsn = v->lsn;
        }
        readers_look_end(&e->readers, snap.place);
    }
    persist_status status =
        v == NULL || !v->entry.deleted ? PERSIST_OK : PERSIST_NONE;
    if (v == NULL)
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

/* A blob that is put. */
typedef struct blob_put {
    engine *engine;
    blob_source source;
    uint8_t *digest;
    blob_entry entry; /* what the index has, if it has it */
    bool indexed;
    persist_lsn *lsn;
} blob_put;

/* Looks a blob up. PERSIST_NONE: the index does not have it, or what is there
 * is not whole. locked: the caller has the blobs' lock. */
static persist_status look_up(blob_put *p, uint64_t size, bool locked,
                              persist_error *error)
{
    blob_store *b = &p->engine->blobs;
    persist_status status =
        blob_find(p->engine, p->digest, &p->entry, p->lsn, error);
    p->indexed = status == PERSIST_OK;
    if (!p->indexed)
        return status;
    memcpy(p->entry.digest, p->digest, sizeof p->entry.digest);
    if (p->entry.size != size)
        return status_set(error, PERSIST_CORRUPT,
                          "the index of blobs tells another size of one; "
                          "restore the store from a backup");
    status = locked ? blob_compare_here(b, &p->entry, &p->source, error)
                    : blob_compare(b, &p->entry, &p->source, error);
    return status == PERSIST_OK && atomic_load(&b->unsure)
               ? wal_read_only(&p->engine->wal, error)
               : status;
}

/* With the blobs' lock: what the index has is stored anew. Nobody takes it for
 * done before it is durable, or the log has failed. */
static persist_status mend(blob_put *p, persist_error *error)
{
    engine *e = p->engine;
    bool unsynced;
    persist_error why;
    CHECK(p->indexed);
    if (wal_failed(&e->wal))
        return wal_read_only(&e->wal, error);
    atomic_fetch_add(&e->blobs.mending, 1);
    persist_status status =
        blob_mend(&e->blobs, &p->entry, &p->source, &unsynced, &why);
    status = settle(e, status, unsynced, &why, error);
    if (unsynced)
        atomic_store(&e->blobs.unsure, true);
    atomic_fetch_add(&e->blobs.mending, 1);
    return status;
}

/* With the blobs' lock: adds a blob to a pack, and computes its digest if that
 * is not known. *there: it was there before. */
static persist_status add_to_pack(blob_put *p, slice bytes, bool known,
                                  bool *there, persist_error *error)
{
    engine *e = p->engine;
    blob_store *b = &e->blobs;
    blob_entry entry = {.size = bytes.size};
    bool unsynced;
    persist_error why;
    int code =
        pack_add(&b->packs, bytes, &entry.pack, &entry.offset, &unsynced);
    if (code != 0) {
        persist_status status =
            os_failed(&why, code, "write a pack in", b->dir->path);
        return settle(e, status, unsynced, &why, error);
    }
    if (!known)
        hash_sha256(bytes, p->digest);
    memcpy(entry.digest, p->digest, sizeof entry.digest);
    persist_status status = look_up(p, bytes.size, true, error);
    *there = status == PERSIST_OK || p->indexed;
    if (status == PERSIST_NONE && !p->indexed)
        status = engine_commit_blob(e, &entry, p->lsn, error);
    if (status != PERSIST_OK || *there)
        pack_take_back(&b->packs);
    return status == PERSIST_NONE ? mend(p, error) : status;
}

static persist_status add_packed(blob_put *p, slice bytes, bool known,
                                 bool *there, persist_error *error)
{
    blob_store *b = &p->engine->blobs;
    CHECK(bytes.size <= b->packed_max);
    pthread_mutex_lock(&b->lock);
    persist_status status = add_to_pack(p, bytes, known, there, error);
    pthread_mutex_unlock(&b->lock);
    return status;
}

/* With the blobs' lock: gives a file its name, and commits that. */
static persist_status name_file(blob_put *p, persist_error *error)
{
    engine *e = p->engine;
    blob_entry entry;
    bool unsynced;
    persist_error why;
    persist_status status =
        blob_place(p->source.writer, &entry, &unsynced, &why);
    status = settle(e, status, unsynced, &why, error);
    if (status != PERSIST_OK)
        return status;
    status = engine_commit_blob(e, &entry, p->lsn, error);
    /* one that is deleted, and may be there again after a crash, needs it */
    if (status != PERSIST_OK && !blob_is_gone(&e->blobs, entry.digest))
        blob_remove(&e->blobs, &entry);
    return status;
}

/* Adds a blob whose bytes are in the writer's file, and not there yet. */
static persist_status add_file(blob_put *p, persist_error *error)
{
    engine *e = p->engine;
    blob_store *b = &e->blobs;
    blob_writer *w = p->source.writer;
    bool unsynced;
    persist_error why;
    persist_status status = blob_sync(w, &unsynced, &why);
    status = settle(e, status, unsynced, &why, error);
    if (status != PERSIST_OK)
        return status;
    pthread_mutex_lock(&b->lock);
    /* Somebody may have put the same in between. */
    status = look_up(p, w->size, true, error);
    if (status == PERSIST_NONE && wal_failed(&e->wal))
        status = wal_read_only(&e->wal, error);
    else if (status == PERSIST_NONE)
        status = p->indexed ? mend(p, error) : name_file(p, error);
    pthread_mutex_unlock(&b->lock);
    return status;
}

/* The index has it, but it is not whole. PERSIST_NONE: by now it was deleted,
 * which has taken it away. */
static persist_status add_again(blob_put *p, uint64_t size,
                                persist_error *error)
{
    blob_store *b = &p->engine->blobs;
    pthread_mutex_lock(&b->lock);
    persist_status status = look_up(p, size, true, error);
    if (status == PERSIST_NONE && p->indexed)
        status = mend(p, error);
    pthread_mutex_unlock(&b->lock);
    return status;
}

/* Adds a blob of which all is written. */
static persist_status finish(blob_put *p, bool *there, persist_error *error)
{
    blob_writer *w = p->source.writer;
    blob_end(w);
    persist_status status = look_up(p, w->size, false, error);
    *there = status == PERSIST_OK || p->indexed;
    if (status == PERSIST_NONE && p->indexed)
        status = add_again(p, w->size, error);
    if (status != PERSIST_NONE)
        return status;
    return w->file != NULL
               ? add_file(p, error)
               : add_packed(p, buf_slice(&w->small), true, there, error);
}

/* What was put again is as new as that. Who deletes it comes before or after:
 * before, it stands as it was put then. */
static persist_status renew(blob_put *p, persist_error *error)
{
    engine *e = p->engine;
    uint64_t now = e->sys->wall_us(e->sys);
    if (!p->indexed || now < BLOB_RENEW_US ||
        p->entry.time > now - BLOB_RENEW_US)
        return PERSIST_OK;
    if (wal_failed(&e->wal))
        return wal_read_only(&e->wal, error);
    persist_status status = upkeep_feature(e, FEATURE_BLOBS_GO, error);
    if (status != PERSIST_OK)
        return status;
    pthread_mutex_lock(&e->blobs.lock);
    status = blob_find(e, p->digest, &p->entry, p->lsn, error);
    memcpy(p->entry.digest, p->digest, sizeof p->entry.digest);
    if (status == PERSIST_OK)
        status = engine_commit_blob(e, &p->entry, p->lsn, error);
    pthread_mutex_unlock(&e->blobs.lock);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

persist_status engine_blob_finish(engine *e, blob_writer *w, persist_cid out,
                                  persist_lsn *lsn, persist_error *error)
{
    bool there;
    blob_put p = {
        .engine = e, .source = {.writer = w}, .digest = w->digest, .lsn = lsn};
    CHECK(w->store == &e->blobs);
    persist_status status = finish(&p, &there, error);
    if (status == PERSIST_OK)
        status = renew(&p, error);
    if (status == PERSIST_OK)
        cid_encode(w->digest, out);
    blob_release(w);
    return engine_explain(e, status, error);
}

static persist_status add_large(blob_put *p, slice bytes, bool known,
                                bool *there, persist_error *error)
{
    blob_writer w;
    blob_begin(&p->engine->blobs, &w, known ? p->digest : NULL);
    blob_put through = *p;
    through.source = (blob_source){.writer = &w};
    through.digest = w.digest;
    persist_status status = blob_write(&w, bytes, error);
    if (status == PERSIST_OK)
        status = finish(&through, there, error);
    if (status == PERSIST_OK)
        memcpy(p->digest, w.digest, sizeof w.digest);
    p->indexed = through.indexed;
    p->entry = through.entry;
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

/* Adds what the index does not have, or may not have if that is not known. */
static persist_status add(blob_put *p, bool known, bool *there,
                          persist_error *error)
{
    engine *e = p->engine;
    slice bytes = p->source.bytes;
    *there = true;
    if (wal_failed(&e->wal))
        return wal_read_only(&e->wal, error);
    if (p->indexed) {
        persist_status status = add_again(p, bytes.size, error);
        if (status != PERSIST_NONE)
            return status;
    }
    return bytes.size <= e->blobs.packed_max
               ? add_packed(p, bytes, known, there, error)
               : add_large(p, bytes, known, there, error);
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
    blob_put p = {
        .engine = e, .source = {.bytes = bytes}, .digest = digest, .lsn = lsn};
    bool small = bytes.size < b->packed_max / BLOB_AHEAD_SHARE;
    uint64_t hash = small ? 0 : hash_beginning(bytes);
    _Atomic uint64_t *seen = &b->seen[hash % BLOBS_SEEN];
    bool known = small || atomic_load(&b->repeats) ||
                 atomic_load(seen) == hash || wal_failed(&e->wal);
    bool there = true;
    persist_status status = PERSIST_NONE;
    if (known) {
        hash_sha256(bytes, digest);
        status = look_up(&p, bytes.size, false, error);
    }
    if (status == PERSIST_NONE)
        status = add(&p, known, &there, error);
    if (status == PERSIST_OK)
        status = renew(&p, error);
    if (status != PERSIST_OK)
        return engine_explain(e, status, error);
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
    return blob_find(e, digest, out, &ignored, error);
}

persist_status engine_blob_size(engine *e, slice cid, uint64_t *size,
                                persist_error *error)
{
    blob_entry entry;
    persist_status status = find_cid(e, cid, &entry, error);
    if (status == PERSIST_OK)
        *size = entry.size;
    return status;
}

persist_status engine_blob_open(engine *e, slice cid, blob_reader *out,
                                persist_error *error)
{
    blob_entry entry;
    persist_status status = find_cid(e, cid, &entry, error);
    if (status == PERSIST_OK)
        status = blob_open(&e->blobs, &entry, out, error);
    /* its file may have been taken away in between */
    if (status != PERSIST_CORRUPT ||
        find_cid(e, cid, &entry, NULL) == PERSIST_OK)
        return status;
    return find_cid(e, cid, &entry, error);
}
