/* SPDX-License-Identifier: MIT */
/* The ops on blobs. */
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "host/host_private.h"

/* The string is made before the blob is stored, so that nothing can fail
 * after; its bytes are those of the cid whatever the store says. */
persist_status serve_blob_put(op_call *call)
{
    persist_cid cid;
    slice bytes = call_bytes(call, 0);
    persist_cid_of(bytes, cid);
    if (!sx_make_string(call->machine, slice_str(cid), &call->answer))
        return call_no_memory(call);
    return persist_blob_add(call->store, bytes, cid, NULL, &call->error);
}

static persist_status read_whole(op_call *call, persist_blob_reader *reader,
                                 uint8_t *bytes, size_t size)
{
    size_t at = 0, got = 1;
    while (got != 0) {
        persist_status status = persist_blob_read(reader, bytes + at, size - at,
                                                  &got, &call->error);
        if (status != PERSIST_OK)
            return status;
        CHECK(got <= size - at);
        at += got;
    }
    if (!sx_make_string(call->machine, slice_of(bytes, at), &call->answer))
        return call_no_memory(call);
    return PERSIST_OK;
}

/* Of a text that is no cid, where it came from. */
static persist_status name_cid(op_call *call, persist_status status)
{
    char what[32];
    if (status != PERSIST_BAD_CID)
        return status;
    snprintf(what, sizeof what, "%s: cid", (const char *)call->row->name.data);
    return call_prefix(call, what);
}

persist_status serve_blob_get(op_call *call)
{
    uint64_t size;
    persist_blob_reader *reader;
    persist_status status = persist_blob_open(call->store, call_bytes(call, 0),
                                              &size, &reader, &call->error);
    if (status == PERSIST_NONE)
        return PERSIST_OK; /* the answer is nil */
    if (status != PERSIST_OK)
        return name_cid(call, status);
    uint8_t *bytes =
        size > sx_heap_max(call->machine) ? NULL : mem_alloc((size_t)size + 1);
    status = bytes == NULL ? call_no_memory(call)
                           : read_whole(call, reader, bytes, (size_t)size + 1);
    mem_free(bytes);
    persist_blob_close(reader);
    return status;
}

persist_status serve_blob_has(op_call *call)
{
    persist_status status =
        persist_blob_has(call->store, call_bytes(call, 0), &call->error);
    call->answer = sx_boolean(status == PERSIST_OK);
    return status == PERSIST_NONE ? PERSIST_OK : name_cid(call, status);
}

persist_status serve_blob_size(op_call *call)
{
    uint64_t size;
    persist_status status = persist_blob_size(call->store, call_bytes(call, 0),
                                              &size, &call->error);
    if (status == PERSIST_NONE)
        return PERSIST_OK; /* the answer is nil */
    if (status != PERSIST_OK)
        return name_cid(call, status);
    CHECK(size <= INT64_MAX);
    return sx_make_integer(call->machine, (int64_t)size, &call->answer)
               ? PERSIST_OK
               : call_no_memory(call);
}

static persist_status read_range(op_call *call, persist_blob_reader *reader,
                                 uint64_t from, uint64_t size)
{
    size_t got = 0;
    uint8_t *bytes =
        size > sx_heap_max(call->machine) ? NULL : mem_alloc((size_t)size);
    persist_status status =
        bytes == NULL ? call_no_memory(call)
                      : persist_blob_read_at(reader, from, bytes, (size_t)size,
                                             &got, &call->error);
    if (status == PERSIST_OK &&
        !sx_make_string(call->machine, slice_of(bytes, got), &call->answer))
        status = call_no_memory(call);
    mem_free(bytes);
    return status;
}

persist_status serve_blob_read(op_call *call)
{
    persist_blob_reader *reader;
    int64_t from = sx_integer(call->args[1]);
    int64_t most = sx_integer(call->args[2]);
    uint64_t size, left;
    if (from < 0 || most < 0)
        return call_refuse_negative(call, from < 0 ? "from" : "size");
    persist_status status = persist_blob_open(call->store, call_bytes(call, 0),
                                              &size, &reader, &call->error);
    if (status == PERSIST_NONE)
        return PERSIST_OK; /* the answer is nil */
    if (status != PERSIST_OK)
        return name_cid(call, status);
    left = (uint64_t)from < size ? size - (uint64_t)from : 0;
    status = read_range(call, reader, (uint64_t)from,
                        (uint64_t)most < left ? (uint64_t)most : left);
    persist_blob_close(reader);
    return status;
}

/* (cid size), for blob/list. */
static bool push_blob(op_call *call, const persist_blob *blob)
{
    sx *machine = call->machine;
    sx_value cid, size, pair;
    CHECK(blob->size <= INT64_MAX);
    return sx_make_string(machine, slice_str(blob->cid), &cid) &&
           sx_make_integer(machine, (int64_t)blob->size, &size) &&
           sx_make_list(machine, 2, &pair) &&
           sx_list_push(machine, pair, cid) &&
           sx_list_push(machine, pair, size) &&
           sx_list_push(machine, call->answer, pair);
}

static persist_status collect_blobs(op_call *call, persist_cursor *cursor)
{
    const persist_blob *blob;
    persist_status status = PERSIST_OK;
    if (!sx_make_list(call->machine, 0, &call->answer))
        return call_no_memory(call);
    while (status == PERSIST_OK) {
        status = persist_next_blob(cursor, &blob, &call->error);
        if (status == PERSIST_OK && !push_blob(call, blob))
            status = call_no_memory(call);
    }
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

persist_status serve_blob_list(op_call *call)
{
    bool backward, from_start = sx_type_of(call->args[0]) == SX_NIL;
    uint64_t limit = limit_of(call->args[1], &backward);
    slice after = from_start ? slice_str("") : call_bytes(call, 0);
    persist_cursor *cursor;
    if (backward)
        return call_refuse_negative(call, "limit");
    persist_status status =
        persist_blobs(call->store, from_start ? NULL : &after, limit,
                      PERSIST_LATEST, &cursor, &call->error);
    if (status != PERSIST_OK)
        return name_cid(call, status);
    status = collect_blobs(call, cursor);
    persist_cursor_close(cursor);
    return status;
}

persist_status serve_blob_delete(op_call *call)
{
    persist_status status = persist_blob_delete(
        call->store, call_bytes(call, 0), 0, NULL, &call->error);
    call->answer = sx_boolean(status == PERSIST_OK);
    return status == PERSIST_NONE ? PERSIST_OK : name_cid(call, status);
}
