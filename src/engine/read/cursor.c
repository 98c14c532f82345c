/* SPDX-License-Identifier: MIT */
/* Cursors: a snapshot with a reader over it. */
#include "engine/read/read.h"

static persist_status open_reader(engine_cursor *c, slice name,
                                  const slice *after, uint64_t from,
                                  persist_error *error)
{
    switch (c->kind) {
    case ENGINE_STREAM:
    case ENGINE_STREAM_BACK:
        return stream_reader_open(c, name, from, error);
    case ENGINE_ALL:
        return order_reader_open(c, from, error);
    case ENGINE_STREAMS:
        name = slice_of(NULL, 0);
        break;
    case ENGINE_KEYS:
        break;
    }
    return name_reader_open(c, name, after, error);
}

static void close_reader(engine_cursor *c)
{
    if (c->kind <= ENGINE_STREAM_BACK)
        stream_reader_close(c);
    else if (c->kind == ENGINE_ALL)
        order_reader_close(c);
    else
        name_reader_close(c);
}

persist_status engine_read(engine *e, engine_cursor *out, engine_read_kind kind,
                           slice name, const slice *after, uint64_t from,
                           uint64_t limit, persist_view view,
                           persist_error *error)
{
    CHECK(kind <= ENGINE_KEYS);
    out->engine = e;
    out->kind = kind;
    out->left = limit;
    out->broken = PERSIST_OK;
    out->ready_count = 0;
    snapshot_open(e, view, &out->snapshot);
    persist_status status = open_reader(out, name, after, from, error);
    if (status != PERSIST_OK)
        engine_cursor_close(out);
    return status;
}

void engine_cursor_close(engine_cursor *c)
{
    CHECK(c->engine != NULL);
    close_reader(c);
    snapshot_close(c->engine, &c->snapshot);
    c->engine = NULL;
}

/* A cursor that has failed goes on failing: its end is not the end. */
static persist_status account(engine_cursor *c, persist_status status,
                              uint64_t count)
{
    if (status == PERSIST_OK)
        c->left -= count;
    if (status > PERSIST_NONE)
        c->broken = status;
    return status;
}

static persist_status still_broken(const engine_cursor *c, persist_error *error)
{
    return status_set(error, c->broken, "the cursor has failed before");
}

persist_status engine_next_events(engine_cursor *c, const persist_event **out,
                                  size_t *count, persist_error *error)
{
    CHECK(c->kind <= ENGINE_ALL);
    if (c->broken != PERSIST_OK)
        return still_broken(c, error);
    if (c->left == 0)
        return PERSIST_NONE;
    c->ready_count = 0;
    persist_status status = c->kind == ENGINE_ALL
                                ? order_reader_next(c, error)
                                : stream_reader_next(c, error);
    CHECK(c->ready_count <= c->left);
    *out = c->ready;
    *count = c->ready_count;
    return account(c, status, c->ready_count);
}

persist_status engine_next_key(engine_cursor *c, slice *name, slice *value,
                               persist_error *error)
{
    CHECK(c->kind >= ENGINE_STREAMS);
    if (c->broken != PERSIST_OK)
        return still_broken(c, error);
    if (c->left == 0)
        return PERSIST_NONE;
    persist_status status = name_reader_next(c, name, value, error);
    return account(c, status, 1);
}
