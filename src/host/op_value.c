/* SPDX-License-Identifier: MIT */
/* Values to their stored text and back, and the pieces of an answer. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "host/host_private.h"

slice call_bytes(const op_call *call, size_t index)
{
    CHECK(index < call->given);
    CHECK(index < OP_ARGS_MAX);
    return sx_bytes(call->args[index]);
}

sx_out *call_text(op_call *call)
{
    sx_out *text = &call->host->text;
    text->size = 0;
    text->size_max = PERSIST_VALUE_SIZE_MAX;
    return text;
}

persist_status call_print(op_call *call, sx_value value, sx_out *text)
{
    CHECK(text->size_max > 0); /* or it would know no bound */
    persist_status status =
        sx_print(call->machine, value, SX_PRINT_STORABLE, text, &call->error);
    return status == PERSIST_OK
               ? PERSIST_OK
               : call_prefix(call, (const char *)call->row->name.data);
}

persist_status call_prefix(op_call *call, const char *what)
{
    persist_error *e = &call->error;
    char message[PERSIST_MESSAGE_MAX];
    CHECK(e->status > PERSIST_NONE);
    memcpy(message, e->message, sizeof message);
    return status_set(e, e->status, "%s: %s", what, message);
}

persist_status call_parse(op_call *call, slice text, sx_value *out)
{
    persist_error reading;
    persist_status status = sx_read(call->machine, text, out, &reading);
    if (status == PERSIST_OK)
        return PERSIST_OK;
    if (status == PERSIST_LIMIT)
        return call_no_memory(call);
    return status_set(&call->error, PERSIST_CORRUPT,
                      "a stored value does not read back (%s); check the "
                      "store and restore it from a backup",
                      reading.message);
}

persist_status call_no_memory(op_call *call)
{
    return status_set(&call->error, PERSIST_LIMIT,
                      "the answer does not fit in the machine's heap of %zu "
                      "bytes; read less at once, or raise --heap-max",
                      sx_heap_max(call->machine));
}

persist_status call_refuse_negative(op_call *call, const char *what)
{
    return status_set(&call->error, PERSIST_BAD_REQUEST,
                      "%s: the %s must not be negative",
                      (const char *)call->row->name.data, what);
}

persist_status call_set(op_call *call, sx_value dict, const char *key,
                        sx_value value)
{
    if (sx_dict_set(call->machine, dict, slice_str(key), value))
        return PERSIST_OK;
    return call_no_memory(call);
}

persist_status call_set_integer(op_call *call, sx_value dict, const char *key,
                                uint64_t number)
{
    CHECK(number <= PERSIST_SEQ_MAX);
    sx_value value;
    if (!sx_make_integer(call->machine, (int64_t)number, &value))
        return call_no_memory(call);
    return call_set(call, dict, key, value);
}

uint64_t limit_of(sx_value value, bool *backward)
{
    *backward = false;
    if (sx_type_of(value) == SX_NIL)
        return PERSIST_NO_LIMIT;
    int64_t limit = sx_integer(value);
    *backward = limit < 0;
    return limit < 0 ? 0 - (uint64_t)limit : (uint64_t)limit;
}

bool host_equal_texts(void *context, slice stored, slice expected)
{
    host *h = context;
    sx_value a, b;
    persist_status status = sx_read(h->machine, stored, &a, NULL);
    if (status == PERSIST_OK)
        status = sx_read(h->machine, expected, &b, NULL);
    if (status == PERSIST_LIMIT)
        h->no_memory = true;
    return status == PERSIST_OK && sx_equal(h->machine, a, b);
}

bool host_equal_failed(host *h)
{
    bool failed = h->no_memory;
    h->no_memory = false;
    return failed;
}
