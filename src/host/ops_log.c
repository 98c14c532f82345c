/* SPDX-License-Identifier: MIT */
/* The ops on streams. */
#include <stdio.h>

#include "base/check.h"
#include "base/status.h"
#include "host/host_private.h"

/* ---- writing ---------------------------------------------------------- */

static persist_status bad_event(op_call *call, const char *what)
{
    return status_set(&call->error, PERSIST_BAD_REQUEST,
                      "%s: the event must be a dict {:stream :seq :type :at "
                      ":data}: %s",
                      (const char *)call->row->name.data, what);
}

static persist_status check_event(op_call *call, sx_value event, slice stream,
                                  int64_t *seq)
{
    static const char *const free_keys[] = {"type", "at", "data"};
    sx_value v;
    if (!sx_dict_find(call->machine, event, slice_str("stream"), &v) ||
        sx_type_of(v) != SX_STRING || !slice_equal(sx_bytes(v), stream))
        return bad_event(call, ":stream must equal the stream argument");
    if (!sx_dict_find(call->machine, event, slice_str("seq"), &v) ||
        sx_type_of(v) != SX_INTEGER)
        return bad_event(call, ":seq must be an integer");
    *seq = sx_integer(v);
    for (size_t i = 0; i < sizeof free_keys / sizeof free_keys[0]; i++)
        if (!sx_dict_find(call->machine, event, slice_str(free_keys[i]), &v)) {
            char what[32];
            snprintf(what, sizeof what, ":%s is missing", free_keys[i]);
            return bad_event(call, what);
        }
    return PERSIST_OK;
}

/* No mark is below 0, so a number that is not positive is always taken. */
static persist_status refuse_number(op_call *call, slice stream, int64_t seq)
{
    CHECK(seq <= 0);
    persist_stream_info info;
    persist_status status = persist_info(call->store, stream, PERSIST_LATEST,
                                         &info, NULL, &call->error);
    if (status != PERSIST_OK)
        return status;
    status_set(&call->error, PERSIST_SEQ_CONFLICT,
               "the number %lld is not greater than the mark %llu; read the "
               "mark and try again",
               (long long)seq, (unsigned long long)info.mark);
    call->error.has = PERSIST_HAS_NUMBERS;
    /* dispatch shows it as given */
    call->error.expected = (uint64_t)seq;
    call->error.actual = info.mark;
    return PERSIST_SEQ_CONFLICT;
}

persist_status serve_append(op_call *call)
{
    slice stream = call_bytes(call, 0);
    int64_t seq = 0;
    persist_status status = check_event(call, call->args[1], stream, &seq);
    if (status != PERSIST_OK)
        return status;
    sx_out *text = call_text(call);
    status = call_print(call, call->args[1], text);
    if (status != PERSIST_OK)
        return status;
    CHECK(text->size > 0);
    persist_edit edit = {
        .kind = PERSIST_APPEND_AT,
        .name = stream,
        .data = slice_of(text->data, text->size),
        .seq = (uint64_t)seq,
    };
    status = call_tags(call, call->args[1], &edit);
    if (status != PERSIST_OK)
        return call_prefix(call, (const char *)call->row->name.data);
    if (seq <= 0)
        return refuse_number(call, stream, seq);
    call->answer = call->args[1];
    return persist_commit(call->store, &edit, 1, NULL, NULL, &call->error);
}

persist_status serve_truncate(op_call *call)
{
    int64_t through = sx_integer(call->args[1]);
    persist_edit edit = {
        .kind = PERSIST_TRUNCATE,
        .name = call_bytes(call, 0),
        .seq = through < 0 ? 0 : (uint64_t)through,
    };
    return persist_commit(call->store, &edit, 1, NULL, NULL, &call->error);
}

/* ---- reading ---------------------------------------------------------- */

/* {:position :time :event}, for read-all. */
static persist_status with_position(op_call *call, const persist_event *event,
                                    sx_value *value)
{
    sx_value dict;
    if (!sx_make_dict(call->machine, &dict))
        return call_no_memory(call);
    persist_status status =
        call_set_integer(call, dict, "position", event->position);
    if (status == PERSIST_OK)
        status = call_set_integer(call, dict, "time", event->time);
    if (status == PERSIST_OK)
        status = call_set(call, dict, "event", *value);
    *value = dict;
    return status;
}

/* Answers with what a cursor yields, and closes it. */
static persist_status collect_events(op_call *call, persist_cursor *cursor,
                                     bool positions)
{
    CHECK(cursor != NULL);
    const persist_event *event;
    persist_status status = PERSIST_OK;
    if (!sx_make_list(call->machine, 0, &call->answer))
        status = call_no_memory(call);
    while (status == PERSIST_OK) {
        sx_value value;
        status = persist_next_event(cursor, &event, &call->error);
        if (status != PERSIST_OK)
            break;
        status =
            call_parse(call, event->data, event->stream, event->seq, &value);
        if (status == PERSIST_OK && positions)
            status = with_position(call, event, &value);
        if (status == PERSIST_OK &&
            !sx_list_push(call->machine, call->answer, value))
            status = call_no_memory(call);
    }
    persist_cursor_close(cursor);
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

persist_status serve_read(op_call *call)
{
    persist_cursor *cursor;
    persist_status status =
        persist_read(call->store, call_bytes(call, 0), 0, PERSIST_NO_LIMIT,
                     PERSIST_LATEST, &cursor, &call->error);
    if (status != PERSIST_OK)
        return status;
    return collect_events(call, cursor, false);
}

persist_status serve_read_range(op_call *call)
{
    bool backward, from_end = sx_type_of(call->args[1]) == SX_NIL;
    uint64_t limit = limit_of(call->args[2], &backward);
    int64_t given = from_end ? 0 : sx_integer(call->args[1]);
    uint64_t from = given < 0 ? 0 : (uint64_t)given;
    slice stream = call_bytes(call, 0);
    persist_cursor *cursor;
    persist_status status;
    if (backward)
        status = persist_read_back(call->store, stream,
                                   from_end ? PERSIST_SEQ_MAX : from, limit,
                                   PERSIST_LATEST, &cursor, &call->error);
    else
        status = persist_read(call->store, stream, from, limit, PERSIST_LATEST,
                              &cursor, &call->error);
    if (status != PERSIST_OK)
        return status;
    return collect_events(call, cursor, false);
}

persist_status serve_read_all(op_call *call)
{
    bool backward, from_start = sx_type_of(call->args[0]) == SX_NIL;
    uint64_t limit = limit_of(call->args[1], &backward);
    int64_t given = from_start ? 0 : sx_integer(call->args[0]);
    persist_cursor *cursor;
    if (backward || given < 0)
        return call_refuse_negative(call, backward ? "limit" : "position");
    persist_status status =
        persist_read_all(call->store, (uint64_t)given, limit, PERSIST_LATEST,
                         &cursor, &call->error);
    if (status != PERSIST_OK)
        return status;
    return collect_events(call, cursor, true);
}

persist_status serve_query(op_call *call)
{
    bool backward, from_start = sx_type_of(call->args[1]) == SX_NIL;
    uint64_t limit = limit_of(call->args[2], &backward);
    int64_t given = from_start ? 0 : sx_integer(call->args[1]);
    const persist_query_item *items;
    size_t count;
    persist_cursor *cursor;
    if (backward || given < 0)
        return call_refuse_negative(call, backward ? "limit" : "position");
    persist_status status = call_query(call, call->args[0], &items, &count);
    if (status == PERSIST_OK)
        status = persist_query(call->store, items, count, (uint64_t)given,
                               limit, PERSIST_LATEST, &cursor, &call->error);
    if (status != PERSIST_OK)
        return call_prefix(call, (const char *)call->row->name.data);
    return collect_events(call, cursor, true);
}

persist_status serve_last_seq(op_call *call)
{
    persist_stream_info info;
    persist_status status =
        persist_info(call->store, call_bytes(call, 0), PERSIST_LATEST, &info,
                     NULL, &call->error);
    if (status != PERSIST_OK)
        return status;
    CHECK(info.mark <= PERSIST_SEQ_MAX);
    if (!sx_make_integer(call->machine, (int64_t)info.mark, &call->answer))
        return call_no_memory(call);
    return PERSIST_OK;
}

persist_status serve_stream_info(op_call *call)
{
    persist_stream_info info;
    persist_status status =
        persist_info(call->store, call_bytes(call, 0), PERSIST_LATEST, &info,
                     NULL, &call->error);
    if (status != PERSIST_OK)
        return status;
    if (!sx_make_dict(call->machine, &call->answer))
        return call_no_memory(call);
    const struct {
        const char *key;
        uint64_t number;
    } pairs[] = {{"last-seq", info.mark},
                 {"first-seq", info.first},
                 {"count", info.count},
                 {"bytes", info.bytes}};
    for (size_t i = 0; i < 4 && status == PERSIST_OK; i++)
        status =
            call_set_integer(call, call->answer, pairs[i].key, pairs[i].number);
    return status;
}

persist_status serve_streams(op_call *call)
{
    persist_cursor *cursor;
    persist_status status =
        persist_streams(call->store, NULL, PERSIST_NO_LIMIT, PERSIST_LATEST,
                        &cursor, &call->error);
    if (status != PERSIST_OK)
        return status;
    return call_collect_keys(call, cursor, false);
}
