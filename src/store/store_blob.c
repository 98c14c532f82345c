/* SPDX-License-Identifier: MIT */
/* The public functions on blobs: arguments are checked here, once. */
#include "base/check.h"
#include "base/cid.h"
#include "base/status.h"
#include "os/os_thread.h"
#include "store/session.h"

CHECK_STATIC(PERSIST_CID_SIZE == CID_SIZE, "one length of a cid");

void persist_cid_of(persist_slice bytes, persist_cid out)
{
    uint8_t digest[HASH_SHA256_SIZE];
    if (out == NULL)
        return;
    out[0] = '\0';
    if (bytes.data == NULL && bytes.size > 0)
        return;
    hash_sha256(bytes, digest);
    cid_encode(digest, out);
}

bool persist_cid_valid(persist_slice text)
{
    uint8_t digest[HASH_SHA256_SIZE];
    return cid_decode(text, digest);
}

static persist_status begin_cid(persist_store *store, slice cid,
                                store_call *call, persist_error *error)
{
    persist_status open = store_begin(store, call, error);
    return open == PERSIST_OK ? args_cid(cid, error) : open;
}

persist_status persist_blob_size(persist_store *store, persist_slice cid,
                                 uint64_t *size, persist_error *error)
{
    OS_NO_CANCEL;
    uint64_t ignored;
    store_call call;
    if (size == NULL)
        size = &ignored;
    *size = 0;
    persist_status status = begin_cid(store, cid, &call, error);
    if (status != PERSIST_OK)
        return status;
    status = call.root->backend->blob_size(call.root, cid, size, error);
    return store_end(store, &call, status);
}

persist_status persist_blob_has(persist_store *store, persist_slice cid,
                                persist_error *error)
{
    return persist_blob_size(store, cid, NULL, error);
}

persist_status persist_blob_delete(persist_store *store, persist_slice cid,
                                   uint64_t put_before, persist_lsn *lsn,
                                   persist_error *error)
{
    OS_NO_CANCEL;
    persist_lsn ignored = 0;
    store_call call;
    persist_status status = begin_cid(store, cid, &call, error);
    if (status != PERSIST_OK)
        return status;
    status = call.root->backend->blob_delete(
        call.root, cid, put_before, lsn != NULL ? lsn : &ignored, error);
    return store_end(store, &call, status);
}

persist_status persist_blob_add(persist_store *store, persist_slice bytes,
                                persist_cid out, persist_lsn *lsn,
                                persist_error *error)
{
    OS_NO_CANCEL;
    store_call call;
    persist_status open = store_begin(store, &call, error);
    if (open != PERSIST_OK)
        return open;
    if (out == NULL)
        return args_missing(error, "out");
    persist_lsn ignored;
    persist_status status = args_slice(bytes, SIZE_MAX, "blob", error);
    if (status == PERSIST_OK)
        status = call.root->backend->blob_add(
            call.root, bytes, out, lsn != NULL ? lsn : &ignored, error);
    return store_end(store, &call, status);
}

persist_status persist_blob_put(persist_store *store, persist_slice bytes,
                                persist_cid out, persist_error *error)
{
    OS_NO_CANCEL;
    persist_lsn lsn = 0;
    persist_status status = persist_blob_add(store, bytes, out, &lsn, error);
    return status == PERSIST_OK
               ? store->root->backend->wait_durable(store->root, lsn, error)
               : status;
}

persist_status persist_blob_create(persist_store *store,
                                   persist_blob_writer **out,
                                   persist_error *error)
{
    OS_NO_CANCEL;
    store_call call;
    persist_status open = store_begin(store, &call, error);
    if (open != PERSIST_OK)
        return open;
    if (out == NULL)
        return args_missing(error, "out");
    *out = NULL;
    persist_status status =
        call.root->backend->blob_create(call.root, out, error);
    if (status == PERSIST_OK) {
        (*out)->store = call.root;
        (*out)->process = store->process;
        (*out)->failed = PERSIST_OK;
    }
    return status;
}

/* What a failed write has left out would be missing in the middle. */
static persist_status check_whole(const persist_blob_writer *writer,
                                  persist_error *error)
{
    return writer->failed == PERSIST_OK
               ? PERSIST_OK
               : status_set(error, writer->failed,
                            "a write of this blob has failed; begin it again");
}

persist_status persist_blob_write(persist_blob_writer *writer,
                                  persist_slice bytes, persist_error *error)
{
    OS_NO_CANCEL;
    persist_status open = STORE_CHECK(writer, "blob writer", error);
    if (open != PERSIST_OK)
        return open;
    persist_status status = check_whole(writer, error);
    if (status == PERSIST_OK)
        status = args_slice(bytes, SIZE_MAX, "blob", error);
    if (status == PERSIST_OK)
        status = writer->backend->blob_write(writer, bytes, error);
    writer->failed = status;
    return status;
}

persist_status persist_blob_finish(persist_blob_writer *writer, persist_cid out,
                                   persist_error *error)
{
    OS_NO_CANCEL;
    persist_status open = STORE_CHECK(writer, "blob writer", error);
    if (open != PERSIST_OK)
        return open;
    persist_cid ignored;
    persist_lsn lsn;
    persist_store *store = writer->store;
    CHECK(store != NULL && store->backend == writer->backend);
    persist_status status = check_whole(writer, error);
    if (status != PERSIST_OK) {
        writer->backend->blob_abort(writer);
        return status;
    }
    status = store->backend->blob_finish(writer, out != NULL ? out : ignored,
                                         &lsn, error);
    return status == PERSIST_OK
               ? store->backend->wait_durable(store, lsn, error)
               : status;
}

void persist_blob_abort(persist_blob_writer *writer)
{
    OS_NO_CANCEL;
    if (STORE_IS_OPEN(writer))
        writer->backend->blob_abort(writer);
}

persist_status persist_blob_open(persist_store *store, persist_slice cid,
                                 uint64_t *size, persist_blob_reader **out,
                                 persist_error *error)
{
    OS_NO_CANCEL;
    if (out == NULL)
        return args_missing(error, "out");
    *out = NULL;
    uint64_t ignored;
    store_call call;
    persist_status status = begin_cid(store, cid, &call, error);
    if (status != PERSIST_OK)
        return status;
    status = call.root->backend->blob_open(
        call.root, cid, size != NULL ? size : &ignored, out, error);
    if (status == PERSIST_OK)
        (*out)->process = store->process;
    return store_end(store, &call, status);
}

persist_status persist_blob_read(persist_blob_reader *reader, void *buffer,
                                 size_t size, size_t *got, persist_error *error)
{
    OS_NO_CANCEL;
    persist_status open = STORE_CHECK(reader, "blob reader", error);
    if (open != PERSIST_OK)
        return open;
    if (got == NULL || (buffer == NULL && size > 0))
        return args_missing(error, "buffer or got");
    *got = 0;
    return reader->backend->blob_read(reader, buffer, size, got, error);
}

persist_status persist_blob_read_at(persist_blob_reader *reader,
                                    uint64_t offset, void *buffer, size_t size,
                                    size_t *got, persist_error *error)
{
    OS_NO_CANCEL;
    persist_status open = STORE_CHECK(reader, "blob reader", error);
    if (open != PERSIST_OK)
        return open;
    if (got == NULL || (buffer == NULL && size > 0))
        return args_missing(error, "buffer or got");
    *got = 0;
    return reader->backend->blob_read_at(reader, offset, buffer, size, got,
                                         error);
}

void persist_blob_close(persist_blob_reader *reader)
{
    OS_NO_CANCEL;
    if (STORE_IS_OPEN(reader))
        reader->backend->blob_close(reader);
}
