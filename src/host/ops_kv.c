/* SPDX-License-Identifier: MIT */
/* The ops on keys and values. */
#include "base/check.h"
#include "base/status.h"
#include "host/host_private.h"

persist_status serve_kv_get(op_call *call)
{
    slice text;
    persist_status status = persist_get(call->store, call_bytes(call, 0),
                                        PERSIST_LATEST, &text, &call->error);
    if (status == PERSIST_NONE)
        return PERSIST_OK; /* the answer is nil */
    if (status != PERSIST_OK)
        return status;
    status = call_parse(call, text, call_bytes(call, 0), 0, &call->answer);
    persist_free(text.data);
    return status;
}

persist_status serve_kv_put(op_call *call)
{
    sx_out *text = call_text(call);
    persist_status status = call_print(call, call->args[1], text);
    if (status != PERSIST_OK)
        return status;
    CHECK(text->size > 0);
    persist_edit edit = {
        .kind = PERSIST_PUT,
        .name = call_bytes(call, 0),
        .data = slice_of(text->data, text->size),
    };
    call->answer = call->args[1];
    return persist_commit(call->store, &edit, 1, NULL, NULL, &call->error);
}

persist_status serve_kv_delete(op_call *call)
{
    persist_edit edit = {.kind = PERSIST_DELETE, .name = call_bytes(call, 0)};
    return persist_commit(call->store, &edit, 1, NULL, NULL, &call->error);
}

persist_status serve_kv_has(op_call *call)
{
    persist_status status = persist_has(call->store, call_bytes(call, 0),
                                        PERSIST_LATEST, &call->error);
    call->answer = sx_boolean(status == PERSIST_OK);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

/* (key value), for kv-scan. */
static persist_status pair(op_call *call, slice text, sx_value *name)
{
    sx_value value, list;
    persist_status status = call_parse(call, text, sx_bytes(*name), 0, &value);
    if (status != PERSIST_OK)
        return status;
    if (!sx_make_list(call->machine, 2, &list) ||
        !sx_list_push(call->machine, list, *name) ||
        !sx_list_push(call->machine, list, value))
        return call_no_memory(call);
    *name = list;
    return PERSIST_OK;
}

persist_status call_collect_keys(op_call *call, persist_cursor *cursor,
                                 bool values)
{
    CHECK(cursor != NULL);
    slice name, text;
    persist_status status = PERSIST_OK;
    if (!sx_make_list(call->machine, 0, &call->answer))
        status = call_no_memory(call);
    while (status == PERSIST_OK) {
        sx_value item;
        status = persist_next_key(cursor, &name, &text, &call->error);
        if (status != PERSIST_OK)
            break;
        if (!sx_make_string(call->machine, name, &item))
            status = call_no_memory(call);
        if (status == PERSIST_OK && values)
            status = pair(call, text, &item);
        if (status == PERSIST_OK &&
            !sx_list_push(call->machine, call->answer, item))
            status = call_no_memory(call);
    }
    persist_cursor_close(cursor);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

persist_status serve_kv_keys(op_call *call)
{
    persist_cursor *cursor;
    persist_status status = persist_scan(call->store, NULL, PERSIST_NO_LIMIT,
                                         PERSIST_LATEST, &cursor, &call->error);
    if (status != PERSIST_OK)
        return status;
    return call_collect_keys(call, cursor, false);
}

persist_status serve_kv_scan(op_call *call)
{
    bool backward, from_start = sx_type_of(call->args[1]) == SX_NIL;
    uint64_t limit = limit_of(call->args[2], &backward);
    slice after = from_start ? slice_str("") : call_bytes(call, 1);
    persist_cursor *cursor;
    if (backward)
        return call_refuse_negative(call, "limit");
    const persist_range range = {PERSIST_RANGE, .prefix = call_bytes(call, 0),
                                 .after = from_start ? NULL : &after};
    persist_status status = persist_scan(call->store, &range, limit,
                                         PERSIST_LATEST, &cursor, &call->error);
    if (status != PERSIST_OK)
        return status;
    return call_collect_keys(call, cursor, true);
}
