/* SPDX-License-Identifier: MIT */
/* This project's engine, through its C interface, with default options; and
 * with tables compressed, as those of some peers are by default. */
#include "bench.h"

#include <stdlib.h>

#include "persist.h"

typedef struct session {
    persist_store *store;
    persist_edit *edits;
    size_t capacity;
} session;

static void check(persist_status status, const persist_error *error)
{
    if (status != PERSIST_OK)
        fail("persist", error->message);
}

static void *open_store(const char *dir, bool compress)
{
    persist_options options = {PERSIST_OPTIONS, .path = dir, .create = true,
                               .background = true, .compress = compress};
    persist_store *store = NULL;
    persist_error error;
    check(persist_open(&options, &store, &error), &error);
    return store;
}

static void *ours_open(const char *dir)
{
    return open_store(dir, false);
}

static void *packed_open(const char *dir)
{
    return open_store(dir, true);
}

static void ours_close(void *db)
{
    persist_error error;
    check(persist_close(db, &error), &error);
}

static void *ours_session(void *db)
{
    session *s = must_alloc(sizeof *s);
    s->store = db;
    return s;
}

static void ours_session_end(void *context)
{
    session *s = context;
    free(s->edits);
    free(s);
}

static persist_edit *edits(session *s, size_t count)
{
    if (count > s->capacity) {
        free(s->edits);
        s->edits = must_alloc(count * sizeof *s->edits);
        s->capacity = count;
    }
    return s->edits;
}

static void wait_for(session *s, persist_lsn lsn)
{
    persist_error error;
    check(persist_wait_durable(s->store, lsn, &error), &error);
}

static void ours_append(void *context, const batch *b, bool durable)
{
    session *s = context;
    persist_edit *list = edits(s, b->event_count);
    persist_outcome outcome;
    persist_error error;
    for (size_t i = 0; i < b->event_count; i++)
        list[i] = (persist_edit){.kind = PERSIST_APPEND,
                                 .name = b->events[i].stream,
                                 .data = b->events[i].data,
                                 .tags = b->events[i].tags,
                                 .tag_count = b->events[i].tag_count};
    check(
        persist_commit(s->store, list, b->event_count, NULL, &outcome, &error),
        &error);
    for (size_t i = 0; i < b->event_count; i++)
        must(outcome.seqs[i] == b->events[i].seq, "append", "a wrong number");
    persist_lsn lsn = outcome.lsn;
    persist_outcome_release(&outcome);
    if (durable)
        wait_for(s, lsn);
}

static void ours_sync(void *context)
{
    session *s = context;
    wait_for(s, persist_latest(s->store));
}

/* Returns the last one's position. */
static uint64_t take_events(persist_cursor *cursor, sink *out)
{
    const persist_event *it;
    persist_error error;
    persist_status status;
    uint64_t position = 0;
    while ((status = persist_next_event(cursor, &it, &error)) == PERSIST_OK) {
        sink_take(out, it->seq, it->data.data, it->data.size);
        position = it->position;
    }
    if (status != PERSIST_NONE)
        fail("persist", error.message);
    persist_cursor_close(cursor);
    return position;
}

static void ours_read(void *context, slice stream, sink *out)
{
    session *s = context;
    persist_cursor *cursor = NULL;
    persist_error error;
    check(persist_read(s->store, stream, 0, PERSIST_NO_LIMIT, PERSIST_DURABLE,
                       &cursor, &error),
          &error);
    take_events(cursor, out);
}

static void ours_read_last(void *context, slice stream, unsigned count,
                           sink *out)
{
    session *s = context;
    persist_cursor *cursor = NULL;
    persist_error error;
    check(persist_read_back(s->store, stream, PERSIST_SEQ_MAX, count,
                            PERSIST_DURABLE, &cursor, &error),
          &error);
    take_events(cursor, out);
}

static void ours_read_all(void *context, sink *out)
{
    session *s = context;
    persist_cursor *cursor = NULL;
    persist_error error;
    check(persist_read_all(s->store, 1, PERSIST_NO_LIMIT, PERSIST_DURABLE,
                           &cursor, &error),
          &error);
    take_events(cursor, out);
}

static uint64_t take_matches(session *s, const persist_query_item *item,
                             persist_view view, sink *out)
{
    persist_cursor *cursor = NULL;
    persist_error error;
    check(persist_query(s->store, item, 1, 1, PERSIST_NO_LIMIT, view, &cursor,
                        &error),
          &error);
    return take_events(cursor, out);
}

static void ours_query(void *context, const slice *tags, size_t count,
                       sink *out)
{
    persist_query_item item = {.tags = tags, .tag_count = count};
    take_matches(context, &item, PERSIST_DURABLE, out);
}

/* Appends unless a match came behind a position. */
static bool append_behind(session *s, const event *it, uint64_t position)
{
    persist_query_item item = {.tags = it->tags, .tag_count = it->tag_count};
    persist_outcome outcome;
    persist_error error;
    persist_edit list[] = {{.kind = PERSIST_EXPECT_NONE,
                            .query = &item,
                            .query_count = 1,
                            .seq = position},
                           {.kind = PERSIST_APPEND,
                            .name = it->stream,
                            .data = it->data,
                            .tags = it->tags,
                            .tag_count = it->tag_count}};
    check(persist_commit(s->store, list, 2, NULL, &outcome, &error), &error);
    bool committed = outcome.kind == PERSIST_COMMITTED;
    must(!committed || outcome.seqs[0] == it->seq, "append", "a wrong number");
    persist_lsn lsn = outcome.lsn;
    persist_outcome_release(&outcome);
    wait_for(s, lsn);
    return committed;
}

static bool ours_append_if(void *context, const batch *b)
{
    session *s = context;
    const event *it = &b->events[0];
    persist_query_item item = {.tags = it->tags, .tag_count = it->tag_count};
    sink read = {0};
    return append_behind(s, it, take_matches(s, &item, PERSIST_LATEST, &read));
}

static bool ours_append_if_known(void *context, const batch *b)
{
    session *s = context;
    uint64_t seen = persist_position(s->store, PERSIST_LATEST);
    return append_behind(s, &b->events[0], seen);
}

static void ours_put(void *context, const pair *pairs, size_t count)
{
    session *s = context;
    persist_edit *list = edits(s, count);
    persist_outcome outcome;
    persist_error error;
    for (size_t i = 0; i < count; i++)
        list[i] = (persist_edit){
            .kind = PERSIST_PUT, .name = pairs[i].key, .data = pairs[i].value};
    check(persist_commit(s->store, list, count, NULL, &outcome, &error),
          &error);
    persist_lsn lsn = outcome.lsn;
    persist_outcome_release(&outcome);
    wait_for(s, lsn);
}

static void ours_get(void *context, slice key, sink *out)
{
    session *s = context;
    slice value;
    persist_error error;
    persist_status status =
        persist_get(s->store, key, PERSIST_DURABLE, &value, &error);
    if (status == PERSIST_NONE)
        return;
    check(status, &error);
    sink_take(out, 0, value.data, value.size);
    persist_free(value.data);
}

static void ours_scan(void *context, sink *out)
{
    session *s = context;
    persist_cursor *cursor = NULL;
    persist_error error;
    persist_status status;
    slice key, value;
    check(persist_scan(s->store, NULL, PERSIST_NO_LIMIT, PERSIST_DURABLE,
                       &cursor, &error),
          &error);
    while ((status = persist_next_key(cursor, &key, &value, &error)) ==
           PERSIST_OK)
        sink_take(out, 0, value.data, value.size);
    if (status != PERSIST_NONE)
        fail("persist", error.message);
    persist_cursor_close(cursor);
}

static void ours_put_blob(void *context, slice bytes)
{
    session *s = context;
    persist_cid cid;
    persist_error error;
    check(persist_blob_put(s->store, bytes, cid, &error), &error);
}

const engine engine_ours = {
    .name = "ours",
    .open = ours_open,
    .close = ours_close,
    .session = ours_session,
    .session_end = ours_session_end,
    .append = ours_append,
    .sync = ours_sync,
    .read = ours_read,
    .read_last = ours_read_last,
    .read_all = ours_read_all,
    .put = ours_put,
    .get = ours_get,
    .scan = ours_scan,
    .put_blob = ours_put_blob,
    .query = ours_query,
    .append_if = ours_append_if,
    .append_if_known = ours_append_if_known,
};

const engine engine_ours_packed = {
    .name = "ours packed",
    .packs = true,
    .open = packed_open,
    .close = ours_close,
    .session = ours_session,
    .session_end = ours_session_end,
    .append = ours_append,
    .read = ours_read,
};
