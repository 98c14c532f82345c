/* SPDX-License-Identifier: MIT */
/* tkrzw: a tree in a file, a letter before each key for its kind. After each
 * commit a hard synchronization, which is fsync; the file is only appended to,
 * and restored to its last synchronization, so that a commit is there whole or
 * not at all. What was replaced stays in the file until somebody rebuilds it.
 */
#include "bench.h"

#define ENGINE_NAME "tkrzw"
#if __has_include(<tkrzw_langc.h>)
#include <stdio.h>
#include <stdlib.h>
#include <tkrzw_langc.h>

static const char settings_text[] =
    "dbm=TreeDBM,update_mode=UPDATE_APPENDING,restore_mode=RESTORE_SYNC";

enum { KEY_SIZE = NAME_SIZE + 16 };

typedef struct session {
    TkrzwDBM *db;
    TkrzwDBMIter *iter;
    TkrzwKeyValuePair *records;
    char (*keys)[KEY_SIZE];
    char (*marks)[8];
    size_t capacity;
} session;

static void check(bool ok)
{
    if (!ok)
        fail(ENGINE_NAME, tkrzw_get_last_status().message);
}

static void *tk_open(const char *dir)
{
    char path[PATH_SIZE];
    make_dir(dir);
    int n = snprintf(path, sizeof path, "%s/events.tkt", dir);
    must(n > 0 && n < PATH_SIZE, dir, "too long");
    TkrzwDBM *db = tkrzw_dbm_open(path, true, settings_text);
    check(db != NULL);
    return db;
}

static void tk_close(void *db)
{
    check(tkrzw_dbm_close(db));
}

static void *tk_session(void *db)
{
    session *s = must_alloc(sizeof *s);
    s->db = db;
    s->iter = tkrzw_dbm_make_iterator(db);
    return s;
}

static void tk_session_end(void *context)
{
    session *s = context;
    tkrzw_dbm_iter_free(s->iter);
    free(s->records);
    free(s->keys);
    free(s->marks);
    free(s);
}

static void make_room(session *s, size_t count)
{
    if (count <= s->capacity)
        return;
    free(s->records);
    free(s->keys);
    free(s->marks);
    s->records = must_alloc(count * sizeof *s->records);
    s->keys = must_alloc(count * sizeof *s->keys);
    s->marks = must_alloc(count * sizeof *s->marks);
    s->capacity = count;
}

static int make_key(char out[KEY_SIZE], char kind, slice name)
{
    out[0] = kind;
    memcpy(out + 1, name.data, name.size);
    return (int)name.size + 1;
}

/* The key of an event: its stream's name, a zero byte, seq. */
static int event_key(char out[KEY_SIZE], slice stream, uint64_t seq)
{
    int size = make_key(out, 'e', stream);
    out[size] = 0;
    be64(seq, (unsigned char *)out + size + 1);
    return size + 9;
}

static void commit(session *s, size_t count)
{
    check(tkrzw_dbm_set_multi(s->db, s->records, (int)count, true));
    check(tkrzw_dbm_synchronize(s->db, true, NULL, NULL, ""));
}

static void tk_append(void *context, const batch *b, bool durable)
{
    session *s = context;
    size_t n = 0;
    (void)durable;
    make_room(s, b->event_count + b->mark_count);
    for (size_t i = 0; i < b->event_count; i++, n++) {
        const event *e = &b->events[i];
        int size = event_key(s->keys[n], e->stream, e->seq);
        s->records[n] = (TkrzwKeyValuePair){s->keys[n], size, e->data.data,
                                            (int)e->data.size};
    }
    for (size_t i = 0; i < b->mark_count; i++, n++) {
        int size = make_key(s->keys[n], 'm', b->marks[i].stream);
        be64(b->marks[i].seq, (unsigned char *)s->marks[n]);
        s->records[n] = (TkrzwKeyValuePair){s->keys[n], size, s->marks[n], 8};
    }
    commit(s, n);
}

static void tk_put(void *context, const pair *pairs, size_t count)
{
    session *s = context;
    make_room(s, count);
    for (size_t i = 0; i < count; i++) {
        int size = make_key(s->keys[i], 'k', pairs[i].key);
        s->records[i] = (TkrzwKeyValuePair){
            s->keys[i], size, pairs[i].value.data, (int)pairs[i].value.size};
    }
    commit(s, count);
}

/* Takes the records whose keys begin with a prefix, those of events with their
 * numbers. */
static void take_all(session *s, const char *prefix, int prefix_size,
                     bool events, sink *out)
{
    char *key, *value;
    int key_size, value_size;
    check(tkrzw_dbm_iter_jump(s->iter, prefix, prefix_size));
    while (tkrzw_dbm_iter_step(s->iter, &key, &key_size, &value, &value_size)) {
        bool within = key_size >= prefix_size &&
                      memcmp(key, prefix, (size_t)prefix_size) == 0;
        if (within)
            sink_take(out, events ? from_be64(key + key_size - 8) : 0, value,
                      (size_t)value_size);
        free(key);
        free(value);
        if (!within)
            break;
    }
}

static void tk_read(void *context, slice stream, sink *out)
{
    char key[KEY_SIZE];
    int size = event_key(key, stream, 0);
    take_all(context, key, size - 8, true, out);
}

static void tk_get(void *context, slice name, sink *out)
{
    session *s = context;
    char key[KEY_SIZE];
    int size;
    char *value = tkrzw_dbm_get(s->db, key, make_key(key, 'k', name), &size);
    if (value == NULL)
        return;
    sink_take(out, 0, value, (size_t)size);
    free(value);
}

static void tk_scan(void *context, sink *out)
{
    take_all(context, "k", 1, false, out);
}

const engine engine_tkrzw = {
    .name = ENGINE_NAME,
    .few = true,
    .open = tk_open,
    .close = tk_close,
    .session = tk_session,
    .session_end = tk_session_end,
    .append = tk_append,
    .read = tk_read,
    .put = tk_put,
    .get = tk_get,
    .scan = tk_scan,
};
#else
const engine engine_tkrzw = {.name = ENGINE_NAME};
#endif
