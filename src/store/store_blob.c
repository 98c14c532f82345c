/* SPDX-License-Identifier: MIT */
/* The public functions on blobs: arguments are checked here, once. */
#include "base/check.h"
#include "base/cid.h"
#include "base/status.h"
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
    if (store == NULL)
        return args_closed(error, "store");
    if (persist_cid_valid(cid))
        return PERSIST_OK;
    return status_set(error, PERSIST_BAD_CID,
                      "%zu bytes are not a CIDv1 of raw bytes in base32",
                      cid.size);
}

persist_status persist_blob_has(persist_store *store, persist_slice cid,
                                persist_error *error)
{
    persist_status status = check_cid(store, cid, error);
    return status == PERSIST_OK ? store->backend->blob_has(store, cid, error)
                                : status;
}

static persist_status write_blob(persist_store *store, slice bytes,
                                 persist_cid out, persist_error *error)
{
    persist_blob_writer *writer = NULL;
    persist_status status = persist_blob_create(store, &writer, error);
    if (status != PERSIST_OK)
        return status;
    CHECK(writer->backend == store->backend);
    status = persist_blob_write(writer, bytes, error);
    if (status != PERSIST_OK) {
        persist_blob_abort(writer);
        return status;
    }
    return persist_blob_finish(writer, out, error);
}

persist_status persist_blob_put(persist_store *store, persist_slice bytes,
                                persist_cid out, persist_error *error)
{
    if (store == NULL)
        return args_closed(error, "store");
    if (out == NULL)
        return args_missing(error, "out");
    persist_status status = args_slice(bytes, SIZE_MAX, "blob", error);
    if (status != PERSIST_OK)
        return status;
    persist_cid_of(bytes, out);
    status = store->backend->blob_has(store, slice_str(out), error);
    return status == PERSIST_NONE ? write_blob(store, bytes, out, error)
                                  : status;
}

persist_status persist_blob_create(persist_store *store,
                                   persist_blob_writer **out,
                                   persist_error *error)
{
    if (store == NULL)
        return args_closed(error, "store");
    if (out == NULL)
        return args_missing(error, "out");
    *out = NULL;
    return store->backend->blob_create(store, out, error);
}

persist_status persist_blob_write(persist_blob_writer *writer,
                                  persist_slice bytes, persist_error *error)
{
    if (writer == NULL)
        return args_closed(error, "blob writer");
    persist_status status = args_slice(bytes, SIZE_MAX, "blob", error);
    return status == PERSIST_OK
               ? writer->backend->blob_write(writer, bytes, error)
               : status;
}

persist_status persist_blob_finish(persist_blob_writer *writer, persist_cid out,
                                   persist_error *error)
{
    if (writer == NULL)
        return args_closed(error, "blob writer");
    persist_cid ignored;
    return writer->backend->blob_finish(writer, out != NULL ? out : ignored,
                                        error);
}

void persist_blob_abort(persist_blob_writer *writer)
{
    if (writer != NULL)
        writer->backend->blob_abort(writer);
}

persist_status persist_blob_open(persist_store *store, persist_slice cid,
                                 uint64_t *size, persist_blob_reader **out,
                                 persist_error *error)
{
    if (out == NULL)
        return args_missing(error, "out");
    *out = NULL;
    persist_status status = check_cid(store, cid, error);
    uint64_t ignored;
    return status == PERSIST_OK
               ? store->backend->blob_open(
                     store, cid, size != NULL ? size : &ignored, out, error)
               : status;
}

persist_status persist_blob_read(persist_blob_reader *reader, void *buffer,
                                 size_t size, size_t *got, persist_error *error)
{
    if (reader == NULL)
        return args_closed(error, "blob reader");
    if (got == NULL || (buffer == NULL && size > 0))
        return args_missing(error, "buffer or got");
    *got = 0;
    return reader->backend->blob_read(reader, buffer, size, got, error);
}

void persist_blob_close(persist_blob_reader *reader)
{
    if (reader != NULL)
        reader->backend->blob_close(reader);
}
