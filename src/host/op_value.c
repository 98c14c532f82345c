/* SPDX-License-Identifier: MIT */
/* Values to their stored text and back, and the pieces of an answer. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "host/host_private.h"

enum { SHOWN_MAX = 60, SHOWN_SIZE = SHOWN_MAX + sizeof "..." };

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
    return status_prefix(&call->error, what);
}

/* A name may be any bytes, and long: the front of it, in one line. */
static const char *shown(slice name, char out[SHOWN_SIZE])
{
    const unsigned char *bytes = name.data;
    size_t n = 0;
    for (; n < name.size && n < SHOWN_MAX; n++)
        out[n] = bytes[n] > ' ' && bytes[n] < 0x7f ? (char)bytes[n] : '?';
    snprintf(out + n, SHOWN_SIZE - n, "%s", n < name.size ? "..." : "");
    return out;
}

/* The bytes are those that were written: who wrote them was no SX program. */
static persist_status not_sx(op_call *call, slice name, uint64_t seq,
                             const char *why)
{
    char where[SHOWN_SIZE + 32], text[SHOWN_SIZE];
    size_t fault = status_fault_size(why); /* what to do is another thing */
    if (seq == 0)
        snprintf(where, sizeof where, "the value of %s", shown(name, text));
    else
        snprintf(where, sizeof where, "event %llu of %s",
                 (unsigned long long)seq, shown(name, text));
    status_set(&call->error, PERSIST_NOT_STORABLE,
               "%s: %s is no SX value (%.*s): a C program stored it; read it "
               "there, or with the tool persist",
               (const char *)call->row->name.data, where, (int)fault, why);
    if (seq != 0) {
        status_of_stream(&call->error, name);
        call->error.seq = seq;
        call->error.has |= PERSIST_HAS_SEQ;
    }
    return PERSIST_NOT_STORABLE;
}

persist_status call_parse(op_call *call, slice text, slice name, uint64_t seq,
                          sx_value *out)
{
    persist_error reading;
    persist_status status = sx_read(call->machine, text, out, &reading);
    if (status == PERSIST_OK)
        return PERSIST_OK;
    if (status == PERSIST_LIMIT)
        return call_no_memory(call);
    return not_sx(call, name, seq,
                  status == PERSIST_NONE ? "it is empty" : reading.message);
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
