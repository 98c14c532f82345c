/* SPDX-License-Identifier: MIT */
/* WiredTiger: logged transactions, each synced, and checkpoints by size of
 * the log, as its documentation recommends. */
#include "bench.h"

#if __has_include(<wiredtiger.h>)
#include <stdio.h>
#include <stdlib.h>
#include <wiredtiger.h>

enum { EVENTS, MARKS, KEYS, BLOBS, KINDS };

static const char settings_text[] =
    "create,cache_size=256MB,session_max=64,log=(enabled=true,file_max=16MB),"
    "transaction_sync=(enabled=true,method=fsync),"
    "checkpoint=(wait=60,log_size=256MB)";

static const char *const tables[KINDS] = {"table:events", "table:marks",
                                          "table:keys", "table:blobs"};

typedef struct session {
    WT_SESSION *session;
    WT_CURSOR *cursors[KINDS];
} session;

static void check(int status)
{
    if (status != 0)
        fail("WiredTiger", wiredtiger_strerror(status));
}

static void *wt_open(const char *dir)
{
    static const char *const formats[KINDS] = {
        "key_format=SQ,value_format=u", "key_format=S,value_format=Q",
        "key_format=u,value_format=u", "key_format=u,value_format=u"};
    WT_CONNECTION *connection;
    WT_SESSION *first;
    make_dir(dir);
    check(wiredtiger_open(dir, NULL, settings_text, &connection));
    check(connection->open_session(connection, NULL, NULL, &first));
    for (int i = 0; i < KINDS; i++)
        check(first->create(first, tables[i], formats[i]));
    check(first->close(first, NULL));
    return connection;
}

static void wt_close(void *db)
{
    WT_CONNECTION *connection = db;
    check(connection->close(connection, NULL));
}

static void *wt_session(void *db)
{
    WT_CONNECTION *connection = db;
    session *s = must_alloc(sizeof *s);
    check(connection->open_session(connection, NULL, NULL, &s->session));
    for (int i = 0; i < KINDS; i++)
        check(s->session->open_cursor(s->session, tables[i], NULL, NULL,
                                      &s->cursors[i]));
    return s;
}

static void wt_session_end(void *context)
{
    session *s = context;
    check(s->session->close(s->session, NULL));
    free(s);
}

static void begin(session *s)
{
    check(s->session->begin_transaction(s->session, NULL));
}

static void commit(session *s, bool durable)
{
    check(s->session->commit_transaction(s->session,
                                         durable ? "sync=on" : "sync=off"));
}

static WT_ITEM item(slice s)
{
    return (WT_ITEM){.data = s.data, .size = s.size};
}

static void insert(WT_CURSOR *c, slice value)
{
    WT_ITEM it = item(value);
    c->set_value(c, &it);
    check(c->insert(c));
}

/* Stream names are C strings here: those of the work end with a zero. */
static void wt_append(void *context, const batch *b, bool durable)
{
    session *s = context;
    WT_CURSOR *events = s->cursors[EVENTS], *marks = s->cursors[MARKS];
    begin(s);
    for (size_t i = 0; i < b->event_count; i++) {
        const event *e = &b->events[i];
        events->set_key(events, e->stream.data, e->seq);
        insert(events, e->data);
    }
    for (size_t i = 0; i < b->mark_count; i++) {
        marks->set_key(marks, b->marks[i].stream.data);
        marks->set_value(marks, b->marks[i].seq);
        check(marks->insert(marks));
    }
    commit(s, durable);
}

static void wt_sync(void *context)
{
    session *s = context;
    check(s->session->log_flush(s->session, "sync=on"));
}

static bool take_event(WT_CURSOR *c, slice stream, sink *out)
{
    const char *name;
    uint64_t seq;
    WT_ITEM value;
    check(c->get_key(c, &name, &seq));
    if (strcmp(name, stream.data) != 0)
        return false;
    check(c->get_value(c, &value));
    sink_take(out, seq, value.data, value.size);
    return true;
}

/* Moves on; false at the end. */
static bool moved(int status)
{
    must(status == 0 || status == WT_NOTFOUND, "WiredTiger",
         wiredtiger_strerror(status));
    return status == 0;
}

static void wt_read(void *context, slice stream, sink *out)
{
    session *s = context;
    WT_CURSOR *c = s->cursors[EVENTS];
    int side;
    c->set_key(c, stream.data, (uint64_t)0);
    bool more = moved(c->search_near(c, &side));
    if (more && side < 0)
        more = moved(c->next(c));
    while (more && take_event(c, stream, out))
        more = moved(c->next(c));
    check(c->reset(c));
}

static void wt_read_last(void *context, slice stream, unsigned count, sink *out)
{
    session *s = context;
    WT_CURSOR *c = s->cursors[EVENTS];
    int side;
    c->set_key(c, stream.data, UINT64_MAX);
    bool more = moved(c->search_near(c, &side));
    if (more && side > 0)
        more = moved(c->prev(c));
    while (count-- > 0 && more && take_event(c, stream, out))
        if (count > 0)
            more = moved(c->prev(c));
    check(c->reset(c));
}

static void wt_put(void *context, const pair *pairs, size_t count)
{
    session *s = context;
    WT_CURSOR *c = s->cursors[KEYS];
    begin(s);
    for (size_t i = 0; i < count; i++) {
        WT_ITEM key = item(pairs[i].key);
        c->set_key(c, &key);
        insert(c, pairs[i].value);
    }
    commit(s, true);
}

static void wt_get(void *context, slice name, sink *out)
{
    session *s = context;
    WT_CURSOR *c = s->cursors[KEYS];
    WT_ITEM key = item(name), value;
    c->set_key(c, &key);
    if (moved(c->search(c))) {
        check(c->get_value(c, &value));
        sink_take(out, 0, value.data, value.size);
    }
    check(c->reset(c));
}

static void wt_scan(void *context, sink *out)
{
    session *s = context;
    WT_CURSOR *c = s->cursors[KEYS];
    WT_ITEM value;
    check(c->reset(c));
    while (moved(c->next(c))) {
        check(c->get_value(c, &value));
        sink_take(out, 0, value.data, value.size);
    }
    check(c->reset(c));
}

static void wt_put_blob(void *context, slice bytes)
{
    session *s = context;
    WT_CURSOR *keys = s->cursors[KEYS], *blobs = s->cursors[BLOBS];
    unsigned char digest[32];
    WT_ITEM key = {.data = digest, .size = sizeof digest};
    sha256(bytes, digest);
    keys->set_key(keys, &key);
    bool there = moved(keys->search(keys));
    check(keys->reset(keys));
    if (there)
        return;
    begin(s);
    keys->set_key(keys, &key);
    insert(keys, (slice){"", 0});
    blobs->set_key(blobs, &key);
    insert(blobs, bytes);
    commit(s, true);
}

const engine engine_wiredtiger = {
    .name = "WiredTiger",
    .open = wt_open,
    .close = wt_close,
    .session = wt_session,
    .session_end = wt_session_end,
    .append = wt_append,
    .sync = wt_sync,
    .read = wt_read,
    .read_last = wt_read_last,
    .put = wt_put,
    .get = wt_get,
    .scan = wt_scan,
    .put_blob = wt_put_blob,
};
#else
const engine engine_wiredtiger = {.name = "WiredTiger"};
#endif
