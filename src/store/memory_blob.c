/* SPDX-License-Identifier: MIT */
/* The memory backend: blobs. */
#include "base/buf.h"
#include "base/status.h"
#include "store/memory.h"

typedef struct memory_writer {
    persist_blob_writer head;
    memory_store *store;
    buf bytes;
} memory_writer;

typedef struct memory_reader {
    persist_blob_reader head;
    memory_store *store;
    cell *bytes; /* a reference */
    size_t next;
} memory_reader;

persist_status memory_blob_size(persist_store *store, slice cid, uint64_t *size,
                                persist_error *error)
{
    (void)error;
    memory_store *m = memory_enter(store);
    const map_node *node = map_find(&m->now->blobs, cid);
    if (node != NULL)
        *size = ((const memory_kept *)node->value)->bytes->size;
    memory_leave(m);
    return node != NULL ? PERSIST_OK : PERSIST_NONE;
}

persist_status memory_blob_create(persist_store *store,
                                  persist_blob_writer **out,
                                  persist_error *error)
{
    memory_writer *w = mem_alloc_zero(sizeof *w);
    if (w == NULL)
        return memory_out(error);
    w->head.backend = store->backend;
    w->store = memory_enter(store);
    w->store->open.blobs++;
    memory_leave(w->store);
    *out = &w->head;
    return PERSIST_OK;
}

persist_status memory_blob_write(persist_blob_writer *writer, slice bytes,
                                 persist_error *error)
{
    CHECK(writer->backend == &memory_backend);
    memory_writer *w = (memory_writer *)writer;
    buf_put_slice(&w->bytes, bytes);
    return w->bytes.failed ? memory_out(error) : PERSIST_OK;
}

void memory_blob_abort(persist_blob_writer *writer)
{
    CHECK(writer->backend == &memory_backend);
    memory_writer *w = (memory_writer *)writer;
    memory_store *m = memory_enter(&w->store->head);
    CHECK(m->open.blobs > 0);
    m->open.blobs--;
    memory_leave(m);
    buf_release(&w->bytes);
    mem_free(w);
}

static bool keep_blob(memory_store *m, slice cid, slice bytes)
{
    if (!memory_state_own(m))
        return false;
    map_node *node = map_add(&m->now->blobs, cid);
    memory_kept *kept = node == NULL ? NULL : mem_alloc_zero(sizeof *kept);
    if (kept != NULL)
        kept->bytes = cell_new(bytes);
    if (kept != NULL && kept->bytes != NULL) {
        node->value = kept;
        return true;
    }
    memory_kept_free(kept);
    map_remove(&m->now->blobs, cid);
    return false;
}

/* A repeated put makes it new, if it is old. */
static bool is_due(const memory_store *m, const memory_kept *kept)
{
    uint64_t now = m->sys->wall_us(m->sys);
    return now >= BLOB_RENEW_US && kept->time <= now - BLOB_RENEW_US;
}

static bool make_new(memory_store *m, slice cid)
{
    if (!memory_state_own(m))
        return false;
    memory_new_commit(m, NULL);
    memory_kept *kept = map_find(&m->now->blobs, cid)->value;
    kept->time = m->time;
    return true;
}

persist_status memory_blob_delete(persist_store *store, slice cid,
                                  uint64_t put_before, persist_lsn *lsn,
                                  persist_error *error)
{
    CHECK(cid.size == PERSIST_CID_SIZE);
    memory_store *m = memory_enter(store);
    const map_node *node = map_find(&m->now->blobs, cid);
    const memory_kept *kept = node == NULL ? NULL : node->value;
    persist_status status = PERSIST_NONE;
    bool old = put_before == 0 || (put_before > BLOB_RENEW_US && kept != NULL &&
                                   kept->time < put_before - BLOB_RENEW_US);
    if (kept != NULL && old)
        status = memory_state_own(m) ? PERSIST_OK : memory_out(error);
    if (status == PERSIST_OK) {
        memory_kept_free(map_find(&m->now->blobs, cid)->value);
        map_remove(&m->now->blobs, cid);
        memory_new_commit(m, NULL);
        *lsn = m->latest;
    }
    memory_leave(m);
    return status;
}

/* A blob that was not there before is a commit. */
persist_status memory_blob_add(persist_store *store, slice bytes,
                               persist_cid out, persist_lsn *lsn,
                               persist_error *error)
{
    persist_cid_of(bytes, out);
    memory_store *m = memory_enter(store);
    const map_node *node = map_find(&m->now->blobs, slice_str(out));
    bool done = true;
    if (node == NULL)
        done = keep_blob(m, slice_str(out), bytes);
    if (done && (node == NULL || is_due(m, node->value)))
        done = make_new(m, slice_str(out));
    *lsn = m->latest;
    memory_leave(m);
    return done ? PERSIST_OK : memory_out(error);
}

persist_status memory_blob_finish(persist_blob_writer *writer, persist_cid out,
                                  persist_lsn *lsn, persist_error *error)
{
    CHECK(writer->backend == &memory_backend);
    memory_writer *w = (memory_writer *)writer;
    persist_status status =
        w->bytes.failed ? memory_out(error)
                        : memory_blob_add(&w->store->head, buf_slice(&w->bytes),
                                          out, lsn, error);
    memory_blob_abort(writer);
    return status;
}

persist_status memory_blob_open(persist_store *store, slice cid, uint64_t *size,
                                persist_blob_reader **out, persist_error *error)
{
    memory_reader *r = mem_alloc_zero(sizeof *r);
    if (r == NULL)
        return memory_out(error);
    r->head.backend = store->backend;
    r->store = memory_enter(store);
    const map_node *node = map_find(&r->store->now->blobs, cid);
    if (node != NULL) {
        CHECK(node->value != NULL);
        r->bytes = cell_ref(((memory_kept *)node->value)->bytes);
        r->store->open.blobs++;
    }
    memory_leave(r->store);
    if (node == NULL) {
        mem_free(r);
        return PERSIST_NONE;
    }
    *size = r->bytes->size;
    *out = &r->head;
    return PERSIST_OK;
}

persist_status memory_blob_read_at(persist_blob_reader *reader, uint64_t offset,
                                   void *buffer, size_t size, size_t *got,
                                   persist_error *error)
{
    CHECK(reader->backend == &memory_backend);
    (void)error;
    const cell *bytes = ((memory_reader *)reader)->bytes;
    size_t left = offset < bytes->size ? bytes->size - (size_t)offset : 0;
    *got = size < left ? size : left;
    if (*got > 0)
        memcpy(buffer, bytes->bytes + offset, *got);
    return PERSIST_OK;
}

persist_status memory_blob_read(persist_blob_reader *reader, void *buffer,
                                size_t size, size_t *got, persist_error *error)
{
    memory_reader *r = (memory_reader *)reader;
    persist_status status =
        memory_blob_read_at(reader, r->next, buffer, size, got, error);
    r->next += *got;
    CHECK(r->next <= r->bytes->size);
    return status;
}

void memory_blob_close(persist_blob_reader *reader)
{
    CHECK(reader->backend == &memory_backend);
    memory_reader *r = (memory_reader *)reader;
    memory_store *m = memory_enter(&r->store->head);
    CHECK(m->open.blobs > 0);
    m->open.blobs--;
    memory_leave(m);
    cell_unref(r->bytes);
    mem_free(r);
}
