/* SPDX-License-Identifier: MIT */
/* The ops on what is durable, and on what comes. */
#include "base/status.h"
#include "host/host_private.h"

static persist_status answer_position(op_call *call, uint64_t position)
{
    if (position > PERSIST_SEQ_MAX)
        return status_set(&call->error, PERSIST_BAD_REQUEST,
                          "%s: the newest event has the highest position that "
                          "there is: none is behind it",
                          (const char *)call->row->name.data);
    if (!sx_make_integer(call->machine, (int64_t)position, &call->answer))
        return call_no_memory(call);
    return PERSIST_OK;
}

persist_status serve_position(op_call *call)
{
    return answer_position(call, persist_position(call->store, PERSIST_LATEST));
}

persist_status serve_position_at(op_call *call)
{
    int64_t time = sx_integer(call->args[0]);
    uint64_t position;
    persist_status status =
        persist_position_at(call->store, time < 0 ? 0 : (uint64_t)time,
                            PERSIST_LATEST, &position, &call->error);
    return status == PERSIST_OK ? answer_position(call, position) : status;
}

persist_status serve_sync(op_call *call)
{
    return persist_wait_durable(call->store, persist_latest(call->store),
                                &call->error);
}

/* An op that waits is asked again, until it has an answer or its time is up. */
persist_status serve_wait(op_call *call)
{
    host *h = call->host;
    int64_t above = sx_integer(call->args[0]), ms = sx_integer(call->args[1]);
    if (above < 0)
        return call_refuse_negative(call, "position");
    if (ms < 0 || ms > HOST_WAIT_MS_MAX)
        return status_set(&call->error, PERSIST_BAD_REQUEST,
                          "%s: the milliseconds must be from 0 to %d",
                          (const char *)call->row->name.data, HOST_WAIT_MS_MAX);
    if (!h->waits)
        h->waits_until_us = host_clock_us(h) + (uint64_t)ms * 1000;
    persist_status status = serve_sync(call);
    if (status != PERSIST_OK)
        return status;
    uint64_t newest;
    status = persist_wait_position(call->store, (uint64_t)above, 0, &newest,
                                   &call->error);
    if (status > PERSIST_NONE)
        return status;
    if (status == PERSIST_NONE && host_wait_ms(h) > 0) {
        h->waits = true;
        return PERSIST_OK;
    }
    status = answer_position(call, newest);
    if (status == PERSIST_OK)
        h->waits = false;
    return status;
}
