/* SPDX-License-Identifier: MIT */
/* What LevelDB and RocksDB have in common: their C interfaces differ in the
 * prefix of names. Included once by each adapter, which defines DB(name), the
 * name of the engine, and how its options are made; all is static.
 *
 * Keys: e stream 0 seq: event; m stream: mark; k key: value; b digest: a blob
 * is there; B digest: its bytes. */
#include <stdlib.h>

typedef struct database {
    DB(t) * db;
    DB(options_t) * options;
    DB(writeoptions_t) * sync, *lazy;
    DB(readoptions_t) * read;
} database;

typedef struct session {
    const database *d;
    DB(writebatch_t) * batch;
    char key[NAME_SIZE + 48];
} session;

static void check(char *error)
{
    if (error != NULL)
        fail(ENGINE_NAME, error);
}

static void lsm_options(database *);

static void *lsm_open(const char *dir)
{
    database *d = must_alloc(sizeof *d);
    char *error = NULL;
    d->options = DB(options_create)();
    d->sync = DB(writeoptions_create)();
    d->lazy = DB(writeoptions_create)();
    d->read = DB(readoptions_create)();
    DB(options_set_create_if_missing)(d->options, 1);
    DB(writeoptions_set_sync)(d->sync, 1);
    lsm_options(d);
    d->db = DB(open)(d->options, dir, &error);
    check(error);
    return d;
}

static void lsm_close(void *context)
{
    database *d = context;
    DB(close)(d->db);
    DB(readoptions_destroy)(d->read);
    DB(writeoptions_destroy)(d->lazy);
    DB(writeoptions_destroy)(d->sync);
    DB(options_destroy)(d->options);
    free(d);
}

static void *lsm_session(void *context)
{
    session *s = must_alloc(sizeof *s);
    s->d = context;
    s->batch = DB(writebatch_create)();
    return s;
}

static void lsm_session_end(void *context)
{
    session *s = context;
    DB(writebatch_destroy)(s->batch);
    free(s);
}

static size_t make_key(session *s, char kind, slice name)
{
    s->key[0] = kind;
    memcpy(s->key + 1, name.data, name.size);
    return name.size + 1;
}

static size_t event_key(session *s, slice stream, uint64_t seq)
{
    size_t size = make_key(s, 'e', stream);
    s->key[size] = 0;
    be64(seq, (unsigned char *)s->key + size + 1);
    return size + 9;
}

static void batch_put(session *s, size_t key_size, slice value)
{
    DB(writebatch_put)(s->batch, s->key, key_size, value.data, value.size);
}

static void write_batch(session *s, bool durable)
{
    char *error = NULL;
    DB(write)(s->d->db, durable ? s->d->sync : s->d->lazy, s->batch, &error);
    check(error);
    DB(writebatch_clear)(s->batch);
}

static void lsm_append(void *context, const batch *b, bool durable)
{
    session *s = context;
    for (size_t i = 0; i < b->event_count; i++) {
        const event *e = &b->events[i];
        batch_put(s, event_key(s, e->stream, e->seq), e->data);
    }
    for (size_t i = 0; i < b->mark_count; i++) {
        unsigned char seq[8];
        be64(b->marks[i].seq, seq);
        batch_put(s, make_key(s, 'm', b->marks[i].stream),
                  (slice){seq, sizeof seq});
    }
    write_batch(s, durable);
}

/* Takes the event under the iterator if it is of the stream. */
static bool take_event(DB(iterator_t) * it, slice stream, sink *out)
{
    size_t key_size, size;
    if (!DB(iter_valid)(it))
        return false;
    const char *key = DB(iter_key)(it, &key_size);
    if (key_size != stream.size + 10 || key[0] != 'e' ||
        memcmp(key + 1, stream.data, stream.size) != 0)
        return false;
    const char *data = DB(iter_value)(it, &size);
    sink_take(out, from_be64(key + key_size - 8), data, size);
    return true;
}

static void iter_end(DB(iterator_t) * it)
{
    char *error = NULL;
    DB(iter_get_error)(it, &error);
    check(error);
    DB(iter_destroy)(it);
}

static void lsm_read(void *context, slice stream, sink *out)
{
    session *s = context;
    DB(iterator_t) *it = DB(create_iterator)(s->d->db, s->d->read);
    size_t size = event_key(s, stream, 0);
    DB(iter_seek)(it, s->key, size);
    while (take_event(it, stream, out))
        DB(iter_next)(it);
    iter_end(it);
}

static void lsm_read_last(void *context, slice stream, unsigned count,
                          sink *out)
{
    session *s = context;
    DB(iterator_t) *it = DB(create_iterator)(s->d->db, s->d->read);
    size_t size = event_key(s, stream, UINT64_MAX);
    DB(iter_seek)(it, s->key, size);
    if (DB(iter_valid)(it))
        DB(iter_prev)(it);
    else
        DB(iter_seek_to_last)(it);
    while (count-- > 0 && take_event(it, stream, out))
        if (count > 0)
            DB(iter_prev)(it);
    iter_end(it);
}

static void lsm_put(void *context, const pair *pairs, size_t count)
{
    session *s = context;
    for (size_t i = 0; i < count; i++)
        batch_put(s, make_key(s, 'k', pairs[i].key), pairs[i].value);
    write_batch(s, true);
}

static void lsm_scan(void *context, sink *out)
{
    session *s = context;
    DB(iterator_t) *it = DB(create_iterator)(s->d->db, s->d->read);
    size_t size;
    for (DB(iter_seek)(it, "k", 1); DB(iter_valid)(it); DB(iter_next)(it)) {
        if (DB(iter_key)(it, &size)[0] != 'k')
            break;
        const char *data = DB(iter_value)(it, &size);
        sink_take(out, 0, data, size);
    }
    iter_end(it);
}

static bool has_key(session *s, size_t size)
{
    char *error = NULL;
    size_t value_size;
    char *value =
        DB(get)(s->d->db, s->d->read, s->key, size, &value_size, &error);
    check(error);
    DB(free)(value);
    return value != NULL;
}

static void lsm_put_blob(void *context, slice bytes)
{
    session *s = context;
    unsigned char digest[32];
    slice name = {digest, sizeof digest};
    sha256(bytes, digest);
    size_t size = make_key(s, 'b', name);
    if (has_key(s, size))
        return;
    batch_put(s, size, (slice){"", 0});
    batch_put(s, make_key(s, 'B', name), bytes);
    write_batch(s, true);
}

static void lsm_get(void *, slice, sink *);
static void lsm_sync(void *);

#define LSM_ENGINE                                                             \
    {                                                                          \
        .name = ENGINE_NAME, .open = lsm_open, .close = lsm_close,             \
        .session = lsm_session, .session_end = lsm_session_end,                \
        .append = lsm_append, .sync = lsm_sync, .read = lsm_read,              \
        .read_last = lsm_read_last, .put = lsm_put, .get = lsm_get,            \
        .scan = lsm_scan, .put_blob = lsm_put_blob                             \
    }
