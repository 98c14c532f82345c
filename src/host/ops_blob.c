/* SPDX-License-Identifier: MIT */
/* The ops on blobs. */
#include <stdio.h>

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
