/* SPDX-License-Identifier: MIT */
/* Errors of the store as values of the language. */
#include "host/host_private.h"

#include "base/check.h"
#include "base/status.h"

static bool put_bytes(op_call *call, sx_value dict, const char *key,
                      slice bytes)
{
    sx_value v;
    return sx_make_string(call->machine, bytes, &v) &&
           sx_dict_set(call->machine, dict, slice_str(key), v);
}

static bool put_integer(op_call *call, sx_value dict, const char *key,
                        int64_t number)
{
    sx_value v;
    return sx_make_integer(call->machine, number, &v) &&
           sx_dict_set(call->machine, dict, slice_str(key), v);
}

static bool put_number(op_call *call, sx_value dict, const char *key,
                       uint64_t number)
{
    int64_t shown = number > PERSIST_SEQ_MAX ? INT64_MAX : (int64_t)number;
    return put_integer(call, dict, key, shown);
}

/* The stream or key that the op was about, from its own arguments. */
static bool put_names(op_call *call, sx_value dict)
{
    const op_row *row = call->row;
    CHECK(call->given == 0 || row != NULL);
    bool ok = call->op.size == 0 || put_bytes(call, dict, "op", call->op);
    for (size_t i = 0; i < call->given; i++) {
        if (row->args[i] == ARG_STREAM)
            ok = ok && put_bytes(call, dict, "stream", call_bytes(call, i));
        if (row->args[i] == ARG_KEY)
            ok = ok && put_bytes(call, dict, "key", call_bytes(call, i));
    }
    return ok;
}

static bool put_context(op_call *call, sx_value dict)
{
    const persist_error *e = &call->error;
    bool ok = true;
    if (e->has & PERSIST_HAS_STREAM) {
        CHECK(e->stream_size <= sizeof e->stream);
        ok = ok && put_bytes(call, dict, "stream",
                             slice_of(e->stream, e->stream_size));
    }
    if (e->has & PERSIST_HAS_SEQ)
        ok = ok && put_number(call, dict, "seq", e->seq);
    if (e->has & PERSIST_HAS_NUMBERS) {
        ok = ok && put_integer(call, dict, "expected", (int64_t)e->expected);
        ok = ok && put_number(call, dict, "actual", e->actual);
    }
    if (e->has & PERSIST_HAS_PATH)
        ok = ok && put_bytes(call, dict, "path", slice_str(e->path));
    if (e->has & PERSIST_HAS_OFFSET)
        ok = ok && put_number(call, dict, "offset", e->offset);
    if (e->has & PERSIST_HAS_HOLDER)
        ok = ok && put_number(call, dict, "holder", (uint64_t)e->holder_pid);
    return ok;
}

static bool make_error(op_call *call, sx_value *out)
{
    return sx_make_error(call->machine, call->error.status,
                         slice_str(call->error.message), out) &&
           put_context(call, *out) && put_names(call, *out);
}

/* An error that does not fit in the heap any more is raised with the words that
 * its code has for everybody, which cost nothing. */
void call_raise(op_call *call)
{
    CHECK(call->error.status > PERSIST_NONE);
    sx_value error;
    bool made = make_error(call, &error);
    if (!made) {
        sx_collect(call->machine, NULL, 0);
        made = make_error(call, &error);
    }
    if (made)
        sx_raise(call->machine, error);
    else
        sx_raise_status(call->machine, call->error.status);
}
