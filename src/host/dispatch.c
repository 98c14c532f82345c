/* SPDX-License-Identifier: MIT */
/* From a request to its handler: the table, argument checks, typed errors. */
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "host/host_private.h"
#include "store/store.h"

static const op_row rows[] = {
#define OP(name, run, ...) {{name, sizeof name - 1}, run, {__VA_ARGS__}},
#include "host/ops.def"
#undef OP
};

const op_row *op_find(slice name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (slice_equal(name, rows[i].name))
            return &rows[i];
    return NULL;
}

#define TYPE(type) (1u << (type))

static const struct {
    unsigned types; /* the TYPE bits it takes */
    const char *wants;
} kinds[ARG_KIND_COUNT] = {
    [ARG_STREAM] = {TYPE(SX_STRING), "a stream name, a string"},
    [ARG_KEY] = {TYPE(SX_STRING), "a key, a string"},
    [ARG_PREFIX] = {TYPE(SX_STRING), "a key prefix, a string"},
    [ARG_KEY_OR_NIL] = {TYPE(SX_STRING) | TYPE(SX_NIL),
                        "a key, a string, or nil"},
    [ARG_BYTES] = {TYPE(SX_STRING), "a string"},
    [ARG_BYTES_OR_NIL] = {TYPE(SX_STRING) | TYPE(SX_NIL), "a string or nil"},
    [ARG_INTEGER] = {TYPE(SX_INTEGER), "an integer"},
    [ARG_INTEGER_OR_NIL] = {TYPE(SX_INTEGER) | TYPE(SX_NIL),
                            "an integer or nil"},
    [ARG_DICT] = {TYPE(SX_DICT), "a dict"},
    [ARG_LIST] = {TYPE(SX_LIST), "a list"},
    [ARG_VALUE] = {~0u, "a value"},
};

static size_t arity(const op_row *row)
{
    size_t n = 0;
    while (n < OP_ARGS_MAX && row->args[n] != ARG_END)
        n++;
    CHECK(row->args[n] == ARG_END);
    return n;
}

static persist_status check_arg(op_call *call, size_t i)
{
    arg_kind kind = call->row->args[i];
    CHECK(kind < ARG_KIND_COUNT && kinds[kind].types != 0);
    if ((kinds[kind].types & TYPE(sx_type_of(call->args[i]))) == 0)
        return status_set(
            &call->error, PERSIST_BAD_REQUEST, "%s: argument %zu must be %s",
            (const char *)call->row->name.data, i + 1, kinds[kind].wants);
    bool named = kind >= ARG_STREAM && kind <= ARG_KEY_OR_NIL &&
                 sx_type_of(call->args[i]) == SX_STRING;
    size_t size = named ? sx_bytes(call->args[i]).size : 0;
    if (size > PERSIST_NAME_SIZE_MAX)
        return status_set(&call->error, PERSIST_TOO_LARGE,
                          "%s: a name of %zu bytes is over the limit of %u",
                          (const char *)call->row->name.data, size,
                          PERSIST_NAME_SIZE_MAX);
    return PERSIST_OK;
}

/* An absent :args is the empty list, any other non-list a list of itself. */
static persist_status unpack(op_call *call, sx_value args)
{
    size_t given = 1, wanted = arity(call->row);
    if (sx_type_of(args) == SX_LIST)
        given = sx_list_size(args);
    else if (sx_type_of(args) == SX_NIL)
        given = 0;
    if (given != wanted)
        return status_set(&call->error, PERSIST_BAD_REQUEST,
                          "%s wants %zu argument%s, got %zu",
                          (const char *)call->row->name.data, wanted,
                          wanted == 1 ? "" : "s", given);
    for (size_t i = 0; i < given; i++) {
        bool list = sx_type_of(args) == SX_LIST;
        call->args[i] = list ? sx_list_at(args, i) : args;
        persist_status status = check_arg(call, i);
        if (status != PERSIST_OK)
            return status;
        call->given = i + 1;
    }
    return PERSIST_OK;
}

static persist_status run(op_call *call, sx_value args)
{
    CHECK(call->row != NULL && call->given == 0);
    host *h = call->host;
    persist_status status = unpack(call, args);
    if (status == PERSIST_OK)
        status = host_store(h, &call->store, &call->error);
    if (status != PERSIST_OK)
        return status;
    status = host_serve(call);
    /* There may be space by now, and nobody else need open it anew. */
    if (status == PERSIST_NO_SPACE && store_is_shut(call->store)) {
        status = host_open_anew(h, &call->store, &call->error);
        if (status != PERSIST_OK)
            return status;
        status = host_serve(call);
        if (status == PERSIST_NO_SPACE && store_is_shut(call->store))
            os_advise_space(&call->error, "try again");
    }
    if (status != PERSIST_LIMIT)
        return status;
    /* Nothing has changed yet; the request is a root of the machine. */
    sx_collect(h->machine, NULL, 0);
    return host_serve(call);
}

void host_dispatch(host *h, const op_row *row, sx_value args)
{
    CHECK(sx_get_state(h->machine) == SX_SUSPENDED);
    op_call call = {
        .host = h, .machine = h->machine, .row = row, .op = row->name};
    call.answer = sx_nil();
    persist_status status = run(&call, args);
    CHECK(status == PERSIST_OK || status > PERSIST_NONE);
    if (status == PERSIST_OK) {
        if (!h->waits)
            sx_resume(h->machine, call.answer);
        return;
    }
    CHECK(call.error.status == status);
    h->waits = false;
    call_raise(&call);
}
