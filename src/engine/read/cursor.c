/* SPDX-License-Identifier: MIT */
/* Cursors: a snapshot with a reader over it. */
#include "engine/read/read.h"

static void close_reader(engine_cursor *c)
{
    if (c->kind <= ENGINE_STREAM_BACK)
        stream_reader_close(c);
    else if (c->kind == ENGINE_ALL)
        order_reader_close(c);
    else if (c->kind == ENGINE_QUERY)
        query_reader_close(c);
    else if (c->kind == ENGINE_BLOBS)
        blob_lister_close(c);
    else
        name_reader_close(c);
}

static void begin(engine *e, engine_cursor *out, engine_read_kind kind,
                  uint64_t limit, engine_view view)
{
    out->engine = e;
    out->kind = kind;
    out->left = limit;
    out->broken = PERSIST_OK;
    out->ready_count = 0;
    snapshot_open(e, view, &out->snapshot);
}

persist_status engine_read(engine *e, engine_cursor *out, engine_read_kind kind,
                           slice name, uint64_t from, uint64_t limit,
                           engine_view view, persist_error *error)
{
    CHECK(kind <= ENGINE_ALL);
    begin(e, out, kind, limit, view);
    persist_status status = kind == ENGINE_ALL
                                ? order_reader_open(out, from, error)
                                : stream_reader_open(out, name, from, error);
    if (status != PERSIST_OK)
        engine_cursor_close(out);
    return status;
}

persist_status engine_read_names(engine *e, engine_cursor *out,
                                 engine_read_kind kind,
                                 const persist_range *range, uint64_t limit,
                                 engine_view view, persist_error *error)
{
    CHECK(kind >= ENGINE_STREAMS && kind <= ENGINE_ONCES);
    begin(e, out, kind, limit, view);
    persist_status status = name_reader_open(out, range, error);
    if (status != PERSIST_OK)
        engine_cursor_close(out);
    return status;
}

persist_status engine_list_blobs(engine *e, engine_cursor *out, slice after,
                                 uint64_t limit, engine_view view,
                                 persist_error *error)
{
    begin(e, out, ENGINE_BLOBS, limit, view);
    persist_status status = blob_lister_open(out, after, error);
    if (status != PERSIST_OK)
        engine_cursor_close(out);
    return status;
}

static persist_status open_query(engine *e, engine_cursor *out,
                                 const persist_query_item *items, size_t count,
                                 uint64_t from, uint64_t limit,
                                 engine_view view, persist_error *error)
{
    begin(e, out, ENGINE_QUERY, limit, view);
    persist_status status = query_reader_open(out, items, count, from, error);
    if (status != PERSIST_OK)
        engine_cursor_close(out);
    return status;
}

persist_status engine_query(engine *e, engine_cursor *out,
                            const persist_query_item *items, size_t count,
                            uint64_t from, uint64_t limit, engine_view view,
                            persist_error *error)
{
    persist_status status =
        open_query(e, out, items, count, from, limit, view, error);
    if (status == PERSIST_OK)
        credit_note_looks(&out->snapshot, TABLE_TAGS, NULL);
    return status;
}

persist_status engine_first_match(engine *e, const persist_query_item *items,
                                  size_t count, uint64_t from,
                                  uint64_t *position, persist_error *error)
{
    engine_cursor c;
    const persist_event *first = NULL;
    size_t got;
    persist_status status =
        open_query(e, &c, items, count, from, 1, VIEW_LATEST, error);
    if (status != PERSIST_OK)
        return status;
    c.snapshot.is_free = true; /* a commit asks */
    status = engine_next_events(&c, &first, &got, error);
    CHECK(status != PERSIST_OK || first != NULL);
    if (status == PERSIST_OK)
        *position = first->position;
    engine_cursor_close(&c);
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
    CHECK(c->kind <= ENGINE_QUERY);
    if (c->broken != PERSIST_OK)
        return still_broken(c, error);
    if (c->left == 0)
        return PERSIST_NONE;
    c->ready_count = 0;
    persist_status status = c->kind <= ENGINE_STREAM_BACK
                                ? stream_reader_next(c, error)
                                : order_reader_next(c, error);
    CHECK(c->ready_count <= c->left);
    *out = c->ready;
    *count = c->ready_count;
    return account(c, status, c->ready_count);
}

persist_status engine_next_key(engine_cursor *c, slice *name, slice *value,
                               persist_error *error)
{
    CHECK(c->kind == ENGINE_STREAMS || c->kind == ENGINE_KEYS);
    if (c->broken != PERSIST_OK)
        return still_broken(c, error);
    if (c->left == 0)
        return PERSIST_NONE;
    persist_status status = name_reader_next(c, name, value, error);
    return account(c, status, 1);
}

persist_status engine_next_once(engine_cursor *c, const persist_command **out,
                                persist_error *error)
{
    slice id, value;
    CHECK(c->kind == ENGINE_ONCES);
    if (c->broken != PERSIST_OK)
        return still_broken(c, error);
    if (c->left == 0)
        return PERSIST_NONE;
    persist_status status = name_reader_next(c, &id, &value, error);
    if (status == PERSIST_OK)
        status = name_reader_command(c, error);
    *out = &c->u.names.command;
    return account(c, status, 1);
}

persist_status engine_next_blob(engine_cursor *c, const persist_blob **out,
                                persist_error *error)
{
    CHECK(c->kind == ENGINE_BLOBS);
    if (c->broken != PERSIST_OK)
        return still_broken(c, error);
    if (c->left == 0)
        return PERSIST_NONE;
    return account(c, blob_lister_next(c, out, error), 1);
}
