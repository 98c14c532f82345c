/* SPDX-License-Identifier: MIT */
/* SQLite: WAL, synchronous=FULL, prepared statements, WITHOUT ROWID tables
 * keyed by (stream, seq), the mark in the same transaction; plain, and tuned
 * with a big cache, mapped reads, larger pages and rarer checkpoints. Tags: a
 * table keyed by (tag, position) that says which event, filled in the same
 * transaction; the last position is the mark of the stream ''. */
#include "bench.h"

#if __has_include(<sqlite3.h>)
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BEGIN,
    COMMIT,
    APPEND,
    MARK,
    READ,
    READ_LAST,
    PUT,
    GET,
    SCAN,
    BLOB_HAS,
    BLOB_PUT,
    ROLLBACK,
    POSITION,
    TAG,
    QUERY,
    QUERY_TWO,
    LAST_TWO,
    STATEMENTS
};

static const char *const texts[STATEMENTS] = {
    "BEGIN IMMEDIATE",
    "COMMIT",
    "INSERT INTO events VALUES (?1, ?2, ?3)",
    "INSERT INTO marks VALUES (?1, ?2) "
    "ON CONFLICT (stream) DO UPDATE SET seq = excluded.seq",
    "SELECT seq, data FROM events WHERE stream = ?1 ORDER BY seq",
    "SELECT seq, data FROM events WHERE stream = ?1 "
    "ORDER BY seq DESC LIMIT ?2",
    "INSERT INTO kv VALUES (?1, ?2) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    "SELECT value FROM kv WHERE key = ?1",
    "SELECT key, value FROM kv ORDER BY key",
    "SELECT 1 FROM blobs WHERE digest = ?1",
    "INSERT INTO blobs VALUES (?1, ?2)",
    "ROLLBACK",
    "SELECT seq FROM marks WHERE stream = ''",
    "INSERT INTO tags VALUES (?1, ?2, ?3, ?4)",
    "SELECT e.seq, e.data, t.position FROM tags t CROSS JOIN events e "
    "WHERE t.tag = ?1 AND e.stream = t.stream AND e.seq = t.seq "
    "ORDER BY t.position",
    "SELECT e.seq, e.data, t.position FROM tags t CROSS JOIN tags u "
    "CROSS JOIN events e WHERE t.tag = ?1 AND u.tag = ?2 "
    "AND u.position = t.position AND e.stream = t.stream AND e.seq = t.seq "
    "ORDER BY t.position",
    "SELECT t.position FROM tags t CROSS JOIN tags u WHERE t.tag = ?1 "
    "AND u.tag = ?2 AND u.position = t.position "
    "ORDER BY t.position DESC LIMIT 1",
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS events (stream TEXT, seq INTEGER, data BLOB,"
    " PRIMARY KEY (stream, seq)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS marks (stream TEXT PRIMARY KEY, seq INTEGER)"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS tags (tag TEXT, position INTEGER, stream TEXT,"
    " seq INTEGER, PRIMARY KEY (tag, position)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value BLOB)"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS blobs (digest BLOB PRIMARY KEY, data BLOB);";

typedef struct session {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
} session;

typedef struct database {
    char file[PATH_SIZE];
    bool tuned;
    session *first; /* holds the database open */
} database;

static void check(bool ok, sqlite3 *db)
{
    if (!ok)
        fail("SQLite", sqlite3_errmsg(db));
}

static void run(sqlite3 *db, const char *sql)
{
    check(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, db);
}

static void *sqlite_session(void *context)
{
    const database *d = context;
    session *s = must_alloc(sizeof *s);
    check(sqlite3_open(d->file, &s->db) == SQLITE_OK, s->db);
    check(sqlite3_busy_timeout(s->db, 600000) == SQLITE_OK, s->db);
    if (d->tuned)
        run(s->db, "PRAGMA page_size=8192");
    run(s->db, "PRAGMA journal_mode=WAL");
    run(s->db, "PRAGMA synchronous=FULL");
    if (d->tuned)
        run(s->db, "PRAGMA cache_size=-262144; PRAGMA mmap_size=1073741824;"
                   "PRAGMA wal_autocheckpoint=16384");
    run(s->db, schema);
    for (int i = 0; i < STATEMENTS; i++)
        check(sqlite3_prepare_v3(s->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                 &s->statements[i], NULL) == SQLITE_OK,
              s->db);
    return s;
}

static void sqlite_session_end(void *context)
{
    session *s = context;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(s->statements[i]);
    check(sqlite3_close(s->db) == SQLITE_OK, s->db);
    free(s);
}

static database *open_file(const char *dir, bool tuned)
{
    database *d = must_alloc(sizeof *d);
    make_dir(dir);
    snprintf(d->file, sizeof d->file, "%s/events.db", dir);
    d->tuned = tuned;
    d->first = sqlite_session(d);
    return d;
}

static void *plain_open(const char *dir)
{
    return open_file(dir, false);
}

static void *tuned_open(const char *dir)
{
    return open_file(dir, true);
}

static void sqlite_end(void *context)
{
    database *d = context;
    sqlite_session_end(d->first);
    free(d);
}

static sqlite3_stmt *bind_text(session *s, int statement, slice text)
{
    sqlite3_stmt *st = s->statements[statement];
    check(sqlite3_bind_text(st, 1, text.data, (int)text.size, SQLITE_STATIC) ==
              SQLITE_OK,
          s->db);
    return st;
}

static void bind_bytes(session *s, sqlite3_stmt *st, int column, slice bytes)
{
    check(sqlite3_bind_blob64(st, column, bytes.data, bytes.size,
                              SQLITE_STATIC) == SQLITE_OK,
          s->db);
}

static void bind_number(session *s, sqlite3_stmt *st, uint64_t number)
{
    check(sqlite3_bind_int64(st, 2, (sqlite3_int64)number) == SQLITE_OK, s->db);
}

static void finish(session *s, sqlite3_stmt *st)
{
    check(sqlite3_step(st) == SQLITE_DONE, s->db);
    check(sqlite3_reset(st) == SQLITE_OK, s->db);
}

static void set_mark(session *s, slice stream, uint64_t seq)
{
    sqlite3_stmt *st = bind_text(s, MARK, stream);
    bind_number(s, st, seq);
    finish(s, st);
}

/* The first column of a statement that gives one row or none: then 0. */
static uint64_t number_of(session *s, sqlite3_stmt *st)
{
    uint64_t number = 0;
    if (sqlite3_step(st) == SQLITE_ROW)
        number = (uint64_t)sqlite3_column_int64(st, 0);
    check(sqlite3_reset(st) == SQLITE_OK, s->db);
    return number;
}

static void insert_tags(session *s, const batch *b)
{
    uint64_t position = number_of(s, s->statements[POSITION]);
    for (size_t i = 0; i < b->event_count; i++) {
        const event *e = &b->events[i];
        position++;
        for (size_t k = 0; k < e->tag_count; k++) {
            sqlite3_stmt *st = bind_text(s, TAG, e->tags[k]);
            bind_number(s, st, position);
            check(sqlite3_bind_text(st, 3, e->stream.data, (int)e->stream.size,
                                    SQLITE_STATIC) == SQLITE_OK &&
                      sqlite3_bind_int64(st, 4, (sqlite3_int64)e->seq) ==
                          SQLITE_OK,
                  s->db);
            finish(s, st);
        }
    }
    set_mark(s, (slice){"", 0}, position);
}

/* Within a transaction. */
static void insert(session *s, const batch *b)
{
    for (size_t i = 0; i < b->event_count; i++) {
        sqlite3_stmt *st = bind_text(s, APPEND, b->events[i].stream);
        bind_number(s, st, b->events[i].seq);
        bind_bytes(s, st, 3, b->events[i].data);
        finish(s, st);
    }
    for (size_t i = 0; i < b->mark_count; i++)
        set_mark(s, b->marks[i].stream, b->marks[i].seq);
    if (b->events[0].tag_count > 0)
        insert_tags(s, b);
}

static void sqlite_append(void *context, const batch *b, bool durable)
{
    session *s = context;
    (void)durable;
    finish(s, s->statements[BEGIN]);
    insert(s, b);
    finish(s, s->statements[COMMIT]);
}

static void take_rows(session *s, sqlite3_stmt *st, sink *out)
{
    int status;
    while ((status = sqlite3_step(st)) == SQLITE_ROW) {
        uint64_t seq = (uint64_t)sqlite3_column_int64(st, 0);
        const void *data = sqlite3_column_blob(st, 1);
        sink_take(out, seq, data, (size_t)sqlite3_column_bytes(st, 1));
    }
    check(status == SQLITE_DONE && sqlite3_reset(st) == SQLITE_OK, s->db);
}

static void sqlite_read(void *context, slice stream, sink *out)
{
    take_rows(context, bind_text(context, READ, stream), out);
}

static void sqlite_read_last(void *context, slice stream, unsigned count,
                             sink *out)
{
    sqlite3_stmt *st = bind_text(context, READ_LAST, stream);
    bind_number(context, st, count);
    take_rows(context, st, out);
}

static sqlite3_stmt *bind_tags(session *s, int statement, const slice *tags,
                               size_t count)
{
    sqlite3_stmt *st = bind_text(s, statement, tags[0]);
    if (count == 2)
        check(sqlite3_bind_text(st, 2, tags[1].data, (int)tags[1].size,
                                SQLITE_STATIC) == SQLITE_OK,
              s->db);
    return st;
}

static void sqlite_query(void *context, const slice *tags, size_t count,
                         sink *out)
{
    int statement = count == 1 ? QUERY : QUERY_TWO;
    take_rows(context, bind_tags(context, statement, tags, count), out);
}

static bool sqlite_append_if(void *context, const batch *b)
{
    session *s = context;
    const event *e = &b->events[0];
    sink read = {0};
    int status;
    uint64_t last = 0;
    sqlite3_stmt *st = bind_tags(s, QUERY_TWO, e->tags, 2);
    while ((status = sqlite3_step(st)) == SQLITE_ROW) {
        sink_take(&read, (uint64_t)sqlite3_column_int64(st, 0),
                  sqlite3_column_blob(st, 1),
                  (size_t)sqlite3_column_bytes(st, 1));
        last = (uint64_t)sqlite3_column_int64(st, 2);
    }
    check(status == SQLITE_DONE && sqlite3_reset(st) == SQLITE_OK, s->db);
    finish(s, s->statements[BEGIN]);
    bool holds = number_of(s, bind_tags(s, LAST_TWO, e->tags, 2)) == last;
    if (holds)
        insert(s, b);
    finish(s, s->statements[holds ? COMMIT : ROLLBACK]);
    return holds;
}

static void sqlite_put(void *context, const pair *pairs, size_t count)
{
    session *s = context;
    finish(s, s->statements[BEGIN]);
    for (size_t i = 0; i < count; i++) {
        sqlite3_stmt *st = bind_text(s, PUT, pairs[i].key);
        bind_bytes(s, st, 2, pairs[i].value);
        finish(s, st);
    }
    finish(s, s->statements[COMMIT]);
}

static void sqlite_get(void *context, slice key, sink *out)
{
    session *s = context;
    sqlite3_stmt *st = bind_text(s, GET, key);
    if (sqlite3_step(st) == SQLITE_ROW) {
        const void *data = sqlite3_column_blob(st, 0);
        sink_take(out, 0, data, (size_t)sqlite3_column_bytes(st, 0));
    }
    check(sqlite3_reset(st) == SQLITE_OK, s->db);
}

static void sqlite_scan(void *context, sink *out)
{
    session *s = context;
    sqlite3_stmt *st = s->statements[SCAN];
    while (sqlite3_step(st) == SQLITE_ROW) {
        const void *data = sqlite3_column_blob(st, 1);
        sink_take(out, 0, data, (size_t)sqlite3_column_bytes(st, 1));
    }
    check(sqlite3_reset(st) == SQLITE_OK, s->db);
}

static void sqlite_put_blob(void *context, slice bytes)
{
    session *s = context;
    unsigned char digest[32];
    sha256(bytes, digest);
    slice name = {digest, sizeof digest};
    sqlite3_stmt *has = s->statements[BLOB_HAS];
    bind_bytes(s, has, 1, name);
    bool there = sqlite3_step(has) == SQLITE_ROW;
    check(sqlite3_reset(has) == SQLITE_OK, s->db);
    if (there)
        return;
    sqlite3_stmt *st = s->statements[BLOB_PUT];
    bind_bytes(s, st, 1, name);
    bind_bytes(s, st, 2, bytes);
    finish(s, st);
}

#define SQLITE_ENGINE(title, opener, plain)                                    \
    {                                                                          \
        .name = (title), .slow = (plain), .open = (opener),                    \
        .close = sqlite_end, .session = sqlite_session,                        \
        .session_end = sqlite_session_end, .append = sqlite_append,            \
        .read = sqlite_read, .read_last = sqlite_read_last, .put = sqlite_put, \
        .get = sqlite_get, .scan = sqlite_scan, .put_blob = sqlite_put_blob,   \
        .query = sqlite_query, .append_if = sqlite_append_if                   \
    }

const engine engine_sqlite = SQLITE_ENGINE("SQLite", plain_open, true);
const engine engine_sqlite_tuned =
    SQLITE_ENGINE("SQLite tuned", tuned_open, false);
#else
const engine engine_sqlite = {.name = "SQLite"};
const engine engine_sqlite_tuned = {.name = "SQLite tuned"};
#endif
