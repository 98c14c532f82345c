/* SPDX-License-Identifier: MIT */
/* The public functions on blobs: arguments are checked here, once. */
#include "base/check.h"
#include "base/cid.h"
#include "base/status.h"
#include "os/os_thread.h"
#include "store/args.h"
#include "store/store.h"

CHECK_STATIC(PERSIST_CID_SIZE == CID_SIZE, "one length of a cid");

void persist_cid_of(persist_slice bytes, persist_cid out)
{
    uint8_t digest[HASH_SHA256_SIZE];
    hash_sha256(bytes, digest);
    cid_encode(digest, out);
}

bool persist_cid_valid(persist_slice text)
{
    uint8_t digest[HASH_SHA256_SIZE];
    return cid_decode(text, digest);
}

static persist_status check_cid(const persist_store *store, slice cid,
                                persist_error *error)
{
    persist_status open = STORE_CHECK(store, "store", error);
    if (open != PERSIST_OK)
        return open;
    if (persist_cid_valid(cid))
        return PERSIST_OK;
    return status_set(error, PERSIST_BAD_CID,
                      "%zu bytes are not a CIDv1 of raw bytes in base32",
                      cid.size);
}

persist_status persist_blob_has(persist_store *store, persist_slice cid,
                                persist_error *error)
{
    OS_NO_CANCEL;
    persist_status status = check_cid(store, cid, error);
    return status == PERSIST_OK ? store->backend->blob_has(store, cid, error)
                                : status;
}

persist_status persist_blob_add(persist_store *store, persist_slice bytes,
                                persist_cid out, persist_lsn *lsn,
                                persist_error *error)
{
    OS_NO_CANCEL;
    persist_status open = STORE_CHECK(store, "store", error);
    if (open != PERSIST_OK)
        return open;
    if (out == NULL)
        return args_missing(error, "out");
    persist_lsn ignored;
    persist_status status = args_slice(bytes, SIZE_MAX, "blob", error);
    return status == PERSIST_OK
               ? store->backend->blob_add(store, bytes, out,
                                          lsn != NULL ? lsn : &ignored, error)
               : status;
}

persist_status persist_blob_put(persist_store *store, persist_slice bytes,
                                persist_cid out, persist_error *error)
{
    OS_NO_CANCEL;
    persist_lsn lsn = 0;
    persist_status status = persist_blob_add(store, bytes, out, &lsn, error);
    return status == PERSIST_OK
               ? store->backend->wait_durable(store, lsn, error)
               : status;
}

persist_status persist_blob_create(persist_store *store,
                                   persist_blob_writer **out,
                                   persist_error *error)
{
    OS_NO_CANCEL;
    persist_status open = STORE_CHECK(store, "store", error);
    if (open != PERSIST_OK)
        return open;
    if (out == NULL)
        return args_missing(error, "out");
    *out = NULL;
    persist_status status = store->backend->blob_create(store, out, error);
    if (status == PERSIST_OK) {
        (*out)->store = store;
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
                            "a write of this blob has failed; abort it, and "
                            "begin it again");
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
    if (status != PERSIST_OK)
        return status;
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
    if (writer != NULL && !STORE_FORKED(writer))
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
    persist_status status = check_cid(store, cid, error);
    if (status == PERSIST_OK)
        status = store->backend->blob_open(
            store, cid, size != NULL ? size : &ignored, out, error);
    if (status == PERSIST_OK)
        (*out)->process = store->process;
    return status;
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

void persist_blob_close(persist_blob_reader *reader)
{
    OS_NO_CANCEL;
    if (reader != NULL && !STORE_FORKED(reader))
        reader->backend->blob_close(reader);
}
