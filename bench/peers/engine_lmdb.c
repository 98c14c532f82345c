/* SPDX-License-Identifier: MIT */
/* LMDB: synchronous commits, one named database a kind, a kept read
 * transaction that is renewed for each read. Tags: sorted duplicates of the
 * tag, each a position and the key of its event; the last position is a mark
 * of its own. */
#include "bench.h"

#if __has_include(<lmdb.h>)
#include <lmdb.h>
#include <stdlib.h>

#define MAP_SIZE ((size_t)64 << 30)

enum { EVENTS, MARKS, KEYS, BLOBS, TAGS, KINDS };

typedef struct database {
    MDB_env *env;
    MDB_dbi kinds[KINDS];
} database;

typedef struct session {
    const database *db;
    MDB_txn *txn;
    MDB_cursor *cursors[KINDS], *other; /* one more over the tags */
    unsigned char key[NAME_SIZE + 16];
} session;

static void check(int status)
{
    if (status != MDB_SUCCESS)
        fail("LMDB", mdb_strerror(status));
}

static MDB_val val(slice s)
{
    return (MDB_val){s.size, (void *)(uintptr_t)s.data};
}

static void *lmdb_open(const char *dir)
{
    static const char *const names[KINDS] = {"events", "marks", "keys", "blobs",
                                             "tags"};
    database *d = must_alloc(sizeof *d);
    MDB_txn *txn;
    make_dir(dir);
    check(mdb_env_create(&d->env));
    check(mdb_env_set_maxdbs(d->env, KINDS));
    check(mdb_env_set_mapsize(d->env, MAP_SIZE));
    check(mdb_env_open(d->env, dir, 0, 0666));
    check(mdb_txn_begin(d->env, NULL, 0, &txn));
    for (int i = 0; i < KINDS; i++)
        check(mdb_dbi_open(txn, names[i],
                           MDB_CREATE | (i == TAGS ? MDB_DUPSORT : 0),
                           &d->kinds[i]));
    check(mdb_txn_commit(txn));
    return d;
}

static void lmdb_close(void *context)
{
    database *d = context;
    mdb_env_close(d->env);
    free(d);
}

static void *lmdb_session(void *context)
{
    session *s = must_alloc(sizeof *s);
    s->db = context;
    return s;
}

static void lmdb_session_end(void *context)
{
    session *s = context;
    for (int i = 0; s->txn != NULL && i < KINDS; i++)
        mdb_cursor_close(s->cursors[i]);
    if (s->txn != NULL) {
        mdb_cursor_close(s->other);
        mdb_txn_abort(s->txn);
    }
    free(s);
}

static void read_begin(session *s)
{
    bool first = s->txn == NULL;
    check(first ? mdb_txn_begin(s->db->env, NULL, MDB_RDONLY, &s->txn)
                : mdb_txn_renew(s->txn));
    for (int i = 0; i < KINDS; i++)
        check(first ? mdb_cursor_open(s->txn, s->db->kinds[i], &s->cursors[i])
                    : mdb_cursor_renew(s->txn, s->cursors[i]));
    if (first)
        check(mdb_cursor_open(s->txn, s->db->kinds[TAGS], &s->other));
}

static void read_end(session *s)
{
    mdb_txn_reset(s->txn);
}

/* The key of an event: name, a zero byte, seq. */
static MDB_val event_key(session *s, slice stream, uint64_t seq)
{
    memcpy(s->key, stream.data, stream.size);
    s->key[stream.size] = 0;
    be64(seq, s->key + stream.size + 1);
    return (MDB_val){stream.size + 9, s->key};
}

static void put_number(session *s, MDB_txn *txn, slice name, uint64_t number)
{
    unsigned char bytes[8];
    MDB_val key = val(name), value = {sizeof bytes, bytes};
    be64(number, bytes);
    check(mdb_put(txn, s->db->kinds[MARKS], &key, &value, 0));
}

static void put_tags(session *s, MDB_txn *txn, const batch *b)
{
    static const slice last = {"", 1};
    unsigned char place[8 + sizeof s->key];
    uint64_t position = 0;
    MDB_val key = val(last), value;
    if (mdb_get(txn, s->db->kinds[MARKS], &key, &value) == MDB_SUCCESS)
        position = from_be64(value.mv_data);
    for (size_t i = 0; i < b->event_count; i++) {
        const event *e = &b->events[i];
        MDB_val of = event_key(s, e->stream, e->seq);
        be64(++position, place);
        memcpy(place + 8, of.mv_data, of.mv_size);
        for (size_t k = 0; k < e->tag_count; k++) {
            key = val(e->tags[k]);
            value = (MDB_val){8 + of.mv_size, place};
            check(mdb_put(txn, s->db->kinds[TAGS], &key, &value, 0));
        }
    }
    put_number(s, txn, last, position);
}

static void put_events(session *s, MDB_txn *txn, const batch *b)
{
    MDB_val key, value;
    for (size_t i = 0; i < b->event_count; i++) {
        key = event_key(s, b->events[i].stream, b->events[i].seq);
        value = val(b->events[i].data);
        check(mdb_put(txn, s->db->kinds[EVENTS], &key, &value, 0));
    }
    for (size_t i = 0; i < b->mark_count; i++)
        put_number(s, txn, b->marks[i].stream, b->marks[i].seq);
    if (b->events[0].tag_count > 0)
        put_tags(s, txn, b);
}

static void lmdb_append(void *context, const batch *b, bool durable)
{
    session *s = context;
    MDB_txn *txn;
    (void)durable;
    check(mdb_txn_begin(s->db->env, NULL, 0, &txn));
    put_events(s, txn, b);
    check(mdb_txn_commit(txn));
}

static bool is_of(const MDB_val *key, slice stream)
{
    return key->mv_size == stream.size + 9 &&
           memcmp(key->mv_data, stream.data, stream.size) == 0;
}

static void take_event(const MDB_val *key, const MDB_val *value, sink *out)
{
    const unsigned char *end = (const unsigned char *)key->mv_data;
    uint64_t seq = from_be64(end + key->mv_size - 8);
    sink_take(out, seq, value->mv_data, value->mv_size);
}

static void lmdb_read(void *context, slice stream, sink *out)
{
    session *s = context;
    read_begin(s);
    MDB_val value, key = event_key(s, stream, 0);
    int status =
        mdb_cursor_get(s->cursors[EVENTS], &key, &value, MDB_SET_RANGE);
    while (status == MDB_SUCCESS && is_of(&key, stream)) {
        take_event(&key, &value, out);
        status = mdb_cursor_get(s->cursors[EVENTS], &key, &value, MDB_NEXT);
    }
    must(status == MDB_SUCCESS || status == MDB_NOTFOUND, "LMDB",
         mdb_strerror(status));
    read_end(s);
}

static void lmdb_read_last(void *context, slice stream, unsigned count,
                           sink *out)
{
    session *s = context;
    read_begin(s);
    MDB_cursor *cursor = s->cursors[EVENTS];
    MDB_val value, key = event_key(s, stream, UINT64_MAX);
    int status = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    status = mdb_cursor_get(cursor, &key, &value,
                            status == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
    while (count-- > 0 && status == MDB_SUCCESS && is_of(&key, stream)) {
        take_event(&key, &value, out);
        if (count > 0)
            status = mdb_cursor_get(cursor, &key, &value, MDB_PREV);
    }
    read_end(s);
}

/* Takes the events that have a tag, those with another one too if that is not
 * NULL, with two cursors over tags; returns the last one's position. */
static uint64_t take_matches(session *s, MDB_txn *txn, MDB_cursor *tag,
                             MDB_cursor *other, const slice *tags, sink *out)
{
    uint64_t last = 0;
    MDB_val key = val(tags[0]), at, data;
    int status = mdb_cursor_get(tag, &key, &at, MDB_SET_KEY);
    for (; status == MDB_SUCCESS;
         status = mdb_cursor_get(tag, &key, &at, MDB_NEXT_DUP)) {
        if (other != NULL) {
            MDB_val second = val(tags[1]), same = at;
            if (mdb_cursor_get(other, &second, &same, MDB_GET_BOTH) !=
                MDB_SUCCESS)
                continue;
        }
        last = from_be64(at.mv_data);
        if (out == NULL)
            continue;
        MDB_val of = {at.mv_size - 8, (char *)at.mv_data + 8};
        check(mdb_get(txn, s->db->kinds[EVENTS], &of, &data));
        take_event(&of, &data, out);
    }
    must(status == MDB_NOTFOUND, "LMDB", mdb_strerror(status));
    return last;
}

static uint64_t read_matches(session *s, const slice *tags, size_t count,
                             sink *out)
{
    read_begin(s);
    MDB_cursor *other = count == 2 ? s->other : NULL;
    check(mdb_cursor_renew(s->txn, s->other));
    uint64_t last = take_matches(s, s->txn, s->cursors[TAGS], other, tags, out);
    read_end(s);
    return last;
}

static void lmdb_query(void *context, const slice *tags, size_t count,
                       sink *out)
{
    (void)read_matches(context, tags, count, out);
}

static bool lmdb_append_if(void *context, const batch *b)
{
    session *s = context;
    const slice *tags = b->events[0].tags;
    sink read = {0};
    MDB_txn *txn;
    MDB_cursor *tag, *other;
    uint64_t last = read_matches(s, tags, 2, &read);
    check(mdb_txn_begin(s->db->env, NULL, 0, &txn));
    check(mdb_cursor_open(txn, s->db->kinds[TAGS], &tag));
    check(mdb_cursor_open(txn, s->db->kinds[TAGS], &other));
    bool holds = take_matches(s, txn, tag, other, tags, NULL) == last;
    mdb_cursor_close(tag);
    mdb_cursor_close(other);
    if (holds)
        put_events(s, txn, b);
    check(mdb_txn_commit(txn));
    return holds;
}

static void lmdb_put(void *context, const pair *pairs, size_t count)
{
    session *s = context;
    MDB_txn *txn;
    check(mdb_txn_begin(s->db->env, NULL, 0, &txn));
    for (size_t i = 0; i < count; i++) {
        MDB_val key = val(pairs[i].key), value = val(pairs[i].value);
        check(mdb_put(txn, s->db->kinds[KEYS], &key, &value, 0));
    }
    check(mdb_txn_commit(txn));
}

static void lmdb_get(void *context, slice name, sink *out)
{
    session *s = context;
    MDB_val key = val(name), value;
    read_begin(s);
    if (mdb_get(s->txn, s->db->kinds[KEYS], &key, &value) == MDB_SUCCESS)
        sink_take(out, 0, value.mv_data, value.mv_size);
    read_end(s);
}

static void lmdb_scan(void *context, sink *out)
{
    session *s = context;
    MDB_val key, value;
    read_begin(s);
    MDB_cursor *cursor = s->cursors[KEYS];
    int status = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    while (status == MDB_SUCCESS) {
        sink_take(out, 0, value.mv_data, value.mv_size);
        status = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    must(status == MDB_NOTFOUND, "LMDB", mdb_strerror(status));
    read_end(s);
}

static void lmdb_put_blob(void *context, slice bytes)
{
    session *s = context;
    unsigned char digest[32];
    MDB_val key = {sizeof digest, digest}, value = val(bytes), found;
    MDB_txn *txn;
    sha256(bytes, digest);
    read_begin(s);
    int status = mdb_get(s->txn, s->db->kinds[BLOBS], &key, &found);
    read_end(s);
    if (status == MDB_SUCCESS)
        return;
    check(mdb_txn_begin(s->db->env, NULL, 0, &txn));
    check(mdb_put(txn, s->db->kinds[BLOBS], &key, &value, 0));
    check(mdb_txn_commit(txn));
}

const engine engine_lmdb = {
    .name = "LMDB",
    .open = lmdb_open,
    .close = lmdb_close,
    .session = lmdb_session,
    .session_end = lmdb_session_end,
    .append = lmdb_append,
    .read = lmdb_read,
    .read_last = lmdb_read_last,
    .put = lmdb_put,
    .get = lmdb_get,
    .scan = lmdb_scan,
    .put_blob = lmdb_put_blob,
    .query = lmdb_query,
    .append_if = lmdb_append_if,
};
#else
const engine engine_lmdb = {.name = "LMDB"};
#endif
