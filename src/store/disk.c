/* SPDX-License-Identifier: MIT */
/* The disk backend: the engine behind the store's table. */
#include "base/mem.h"
#include "engine/engine.h"
#include "store/disk_backup.h"

typedef struct disk_cursor {
    persist_cursor head;
    struct disk_store *store;
    engine_cursor cursor;
} disk_cursor;

/* What a store has for each thread: a cursor that was closed is kept for the
 * next one, and its count of handles of blobs is the sum of all. */
typedef union thread_room {
    struct {
        _Atomic(disk_cursor *) spare;
        atomic_llong blobs; /* opened here, less those closed here */
    } mine;
    /* cppcheck-suppress unusedStructMember ; makes the room */
    uint8_t room[READER_ROOM]; /* no two share a cache line */
} thread_room;

typedef struct disk_store {
    persist_store head;
    engine *engine;
    thread_room threads[READERS_MAX];
} disk_store;

typedef struct disk_snapshot {
    persist_snapshot head;
    kept_snapshot kept;
} disk_snapshot;

typedef struct disk_writer {
    persist_blob_writer head;
    blob_writer writer;
} disk_writer;

typedef struct disk_reader {
    persist_blob_reader head;
    disk_store *store;
    blob_reader reader;
} disk_reader;

static const store_backend disk_backend;

static engine *engine_of(persist_store *store)
{
    CHECK(store->backend == &disk_backend);
    return ((disk_store *)store)->engine;
}

engine *disk_engine(persist_store *store)
{
    return engine_of(store);
}

static void note_blobs(disk_store *s, int more)
{
    atomic_fetch_add(&s->threads[readers_thread()].mine.blobs, more);
}

static void disk_count_open(persist_store *store, store_open *out)
{
    disk_store *s = (disk_store *)store;
    long long count = 0;
    for (size_t i = 0; i < READERS_MAX; i++)
        count += atomic_load(&s->threads[i].mine.blobs);
    CHECK(count >= 0);
    out->blobs = (size_t)count;
    out->cursors = engine_cursors(engine_of(store));
    out->snapshots = engine_snapshots(engine_of(store));
    out->backups = engine_backups(engine_of(store));
    out->ships = engine_ships(engine_of(store));
}

static persist_status disk_close(persist_store *store, persist_error *error)
{
    disk_store *s = (disk_store *)store;
    persist_status status = engine_close(engine_of(store), error);
    for (size_t i = 0; i < READERS_MAX; i++)
        mem_free(atomic_load(&s->threads[i].mine.spare));
    mem_free(s);
    return status;
}

/* ---- views ------------------------------------------------------------ */

static engine_view view_of(persist_view view)
{
    if (!STORE_IS_KEPT(view))
        return view == PERSIST_DURABLE ? VIEW_DURABLE : VIEW_LATEST;
    CHECK(view->backend == &disk_backend);
    return (engine_view){.kept = &((const disk_snapshot *)view)->kept};
}

static persist_status disk_snapshot_open(persist_store *store,
                                         persist_view view,
                                         persist_snapshot **out,
                                         persist_error *error)
{
    disk_snapshot *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return status_no_memory(error);
    snapshot_keep(engine_of(store), view == PERSIST_DURABLE, &s->kept);
    s->head = (persist_snapshot){.backend = store->backend,
                                 .lsn = s->kept.lsn,
                                 .position = s->kept.position};
    *out = &s->head;
    return PERSIST_OK;
}

static void disk_snapshot_close(persist_snapshot *s)
{
    CHECK(s->backend == &disk_backend);
    snapshot_let_go(engine_of(s->store), &((disk_snapshot *)s)->kept);
    mem_free(s);
}

/* ---- writing ---------------------------------------------------------- */

static persist_status disk_commit(persist_store *store,
                                  const persist_edit *edits, size_t count,
                                  const persist_once *given,
                                  persist_outcome *outcome,
                                  persist_error *error)
{
    return engine_commit(engine_of(store), edits, count, given, outcome, error);
}

static persist_status
disk_once_find(persist_store *store, slice id,
               uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE],
               persist_outcome *outcome, persist_error *error)
{
    return engine_once_find(engine_of(store), id, fingerprint, outcome, error);
}

static persist_status disk_wait_durable(persist_store *store, persist_lsn lsn,
                                        persist_error *error)
{
    return wal_wait(&engine_of(store)->wal, lsn, error);
}

static persist_lsn disk_latest(persist_store *store)
{
    return engine_of(store)->latest;
}

static persist_lsn disk_visible(persist_store *store)
{
    return engine_visible(engine_of(store));
}

static persist_lsn disk_durable(persist_store *store)
{
    return wal_durable(&engine_of(store)->wal);
}

static uint64_t disk_position(persist_store *store, persist_view view)
{
    return engine_position(engine_of(store), view_of(view));
}

static persist_status disk_await(persist_store *store, uint64_t position,
                                 uint64_t timeout_ms, uint64_t *newest,
                                 persist_error *error)
{
    return engine_await(engine_of(store), position, timeout_ms, newest, error);
}

static os_news *disk_news(persist_store *store)
{
    return &engine_of(store)->wal.news;
}

/* ---- reading ---------------------------------------------------------- */

static engine_read_kind kind_of(read_kind kind)
{
    static const engine_read_kind kinds[] = {
        [READ_STREAM] = ENGINE_STREAM,
        [READ_STREAM_BACK] = ENGINE_STREAM_BACK,
        [READ_ALL] = ENGINE_ALL,
        [READ_QUERY] = ENGINE_QUERY,
        [READ_STREAMS] = ENGINE_STREAMS,
        [READ_KEYS] = ENGINE_KEYS,
        [READ_COMMANDS] = ENGINE_ONCES,
        [READ_BLOBS] = ENGINE_BLOBS,
    };
    CHECK((size_t)kind < sizeof kinds / sizeof *kinds);
    return kinds[kind];
}

static disk_cursor *take_cursor(disk_store *s)
{
    disk_cursor *c =
        atomic_exchange(&s->threads[readers_thread()].mine.spare, NULL);
    return c != NULL ? c : mem_alloc(sizeof *c);
}

static void give_cursor(disk_store *s, disk_cursor *c)
{
    mem_free(atomic_exchange(&s->threads[readers_thread()].mine.spare, c));
}

static persist_status disk_read(persist_store *store, const read_request *r,
                                persist_cursor **out, persist_error *error)
{
    disk_store *s = (disk_store *)store;
    disk_cursor *c = take_cursor(s);
    if (c == NULL)
        return status_no_memory(error);
    c->head.backend = store->backend;
    c->store = s;
    engine *e = engine_of(store);
    engine_view view = view_of(r->view);
    const slice none = slice_of(NULL, 0);
    persist_status status;
    if (r->kind == READ_QUERY)
        status = engine_query(e, &c->cursor, r->items, r->item_count, r->from,
                              r->limit, view, error);
    else if (r->kind == READ_BLOBS)
        status = engine_list_blobs(
            e, &c->cursor, r->range->after != NULL ? *r->range->after : none,
            r->limit, view, error);
    else if (r->range != NULL)
        status = engine_read_names(e, &c->cursor, kind_of(r->kind), r->range,
                                   r->limit, view, error);
    else
        status = engine_read(e, &c->cursor, kind_of(r->kind), r->name, r->from,
                             r->limit, view, error);
    if (status == PERSIST_OK)
        *out = &c->head;
    else
        give_cursor(s, c);
    return status;
}

static persist_status disk_next_event(persist_cursor *cursor,
                                      const persist_event **out,
                                      persist_error *error)
{
    CHECK(cursor->backend == &disk_backend);
    const persist_event *events;
    size_t count;
    persist_status status = engine_next_events(&((disk_cursor *)cursor)->cursor,
                                               &events, &count, error);
    if (status != PERSIST_OK)
        return status;
    *out = events;
    cursor->ready = events + 1;
    cursor->ready_end = events + count;
    return PERSIST_OK;
}

static persist_status disk_next_key(persist_cursor *cursor, slice *name,
                                    slice *value, persist_error *error)
{
    CHECK(cursor->backend == &disk_backend);
    return engine_next_key(&((disk_cursor *)cursor)->cursor, name, value,
                           error);
}

static persist_status disk_next_command(persist_cursor *cursor,
                                        const persist_command **out,
                                        persist_error *error)
{
    CHECK(cursor->backend == &disk_backend);
    return engine_next_once(&((disk_cursor *)cursor)->cursor, out, error);
}

static persist_status disk_next_blob(persist_cursor *cursor,
                                     const persist_blob **out,
                                     persist_error *error)
{
    CHECK(cursor->backend == &disk_backend);
    return engine_next_blob(&((disk_cursor *)cursor)->cursor, out, error);
}

static void disk_cursor_close(persist_cursor *cursor)
{
    CHECK(cursor->backend == &disk_backend);
    disk_cursor *c = (disk_cursor *)cursor;
    engine_cursor_close(&c->cursor);
    give_cursor(c->store, c);
}

static persist_status disk_position_at(persist_store *store, uint64_t time,
                                       persist_view view, uint64_t *position,
                                       persist_error *error)
{
    disk_store *s = (disk_store *)store;
    disk_cursor *c = take_cursor(s);
    if (c == NULL)
        return status_no_memory(error);
    persist_status status = engine_position_at(
        engine_of(store), &c->cursor, time, view_of(view), position, error);
    give_cursor(s, c);
    return status;
}

static persist_status disk_info(persist_store *store, slice name,
                                persist_view view, persist_stream_info *info,
                                bool *known, persist_error *error)
{
    return engine_info(engine_of(store), name, view_of(view), info, known,
                       error);
}

static persist_status disk_get(persist_store *store, slice name,
                               persist_view view, slice *out,
                               persist_error *error)
{
    return engine_get(engine_of(store), name, view_of(view), out, error);
}

/* ---- blobs ------------------------------------------------------------ */

static persist_status disk_blob_size(persist_store *store, slice cid,
                                     uint64_t *size, persist_error *error)
{
    return engine_blob_size(engine_of(store), cid, size, error);
}

static persist_status disk_blob_add(persist_store *store, slice bytes,
                                    persist_cid out, persist_lsn *lsn,
                                    persist_error *error)
{
    return engine_blob_add(engine_of(store), bytes, out, lsn, error);
}

static persist_status disk_blob_create(persist_store *store,
                                       persist_blob_writer **out,
                                       persist_error *error)
{
    engine *e = engine_of(store);
    if (wal_failed(&e->wal))
        return wal_read_only(&e->wal, error);
    disk_writer *w = mem_alloc(sizeof *w);
    if (w == NULL)
        return status_no_memory(error);
    w->head.backend = store->backend;
    blob_begin(&e->blobs, &w->writer, NULL);
    note_blobs((disk_store *)store, 1);
    *out = &w->head;
    return PERSIST_OK;
}

static persist_status disk_blob_write(persist_blob_writer *writer, slice bytes,
                                      persist_error *error)
{
    CHECK(writer->backend == &disk_backend);
    disk_writer *w = (disk_writer *)writer;
    persist_status status = blob_write(&w->writer, bytes, error);
    return engine_explain(engine_of(writer->store), status, error);
}

static void disk_blob_abort(persist_blob_writer *writer)
{
    CHECK(writer->backend == &disk_backend);
    blob_release(&((disk_writer *)writer)->writer);
    note_blobs((disk_store *)writer->store, -1);
    mem_free(writer);
}

static persist_status disk_blob_finish(persist_blob_writer *writer,
                                       persist_cid out, persist_lsn *lsn,
                                       persist_error *error)
{
    CHECK(writer->backend == &disk_backend);
    disk_writer *w = (disk_writer *)writer;
    persist_status status = engine_blob_finish(engine_of(writer->store),
                                               &w->writer, out, lsn, error);
    note_blobs((disk_store *)writer->store, -1);
    mem_free(w);
    return status;
}

static persist_status disk_blob_delete(persist_store *store, slice cid,
                                       uint64_t put_before, persist_lsn *lsn,
                                       persist_error *error)
{
    return engine_blob_delete(engine_of(store), cid, put_before, lsn, error);
}

static persist_status disk_blob_open(persist_store *store, slice cid,
                                     uint64_t *size, persist_blob_reader **out,
                                     persist_error *error)
{
    disk_reader *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return status_no_memory(error);
    r->head.backend = store->backend;
    persist_status status =
        engine_blob_open(engine_of(store), cid, &r->reader, error);
    if (status != PERSIST_OK) {
        mem_free(r);
        return status;
    }
    if (size != NULL)
        *size = r->reader.size;
    r->store = (disk_store *)store;
    note_blobs(r->store, 1);
    *out = &r->head;
    return PERSIST_OK;
}

static persist_status disk_blob_read(persist_blob_reader *reader, void *data,
                                     size_t size, size_t *got,
                                     persist_error *error)
{
    CHECK(reader->backend == &disk_backend);
    return blob_read(&((disk_reader *)reader)->reader, data, size, got, error);
}

static persist_status disk_blob_read_at(persist_blob_reader *reader,
                                        uint64_t offset, void *data,
                                        size_t size, size_t *got,
                                        persist_error *error)
{
    CHECK(reader->backend == &disk_backend);
    return blob_read_at(&((disk_reader *)reader)->reader, offset, data, size,
                        got, error);
}

static void disk_blob_close(persist_blob_reader *reader)
{
    CHECK(reader->backend == &disk_backend);
    disk_reader *r = (disk_reader *)reader;
    blob_close(&r->reader);
    note_blobs(r->store, -1);
    mem_free(r);
}

/* ---- the table -------------------------------------------------------- */

static persist_status disk_step(persist_store *store, bool *did,
                                persist_error *error)
{
    return engine_step(engine_of(store), did, error);
}

static bool disk_is_shut(persist_store *store)
{
    return engine_of(store)->full;
}

persist_status store_disk_step_called(persist_store *store, bool *did,
                                      persist_error *error)
{
    return engine_step_called(engine_of(store), did, error);
}

void store_disk_by_steps(persist_store *store)
{
    engine_by_steps(engine_of(store));
}

void store_disk_ahead_max(persist_store *store, uint64_t commits)
{
    CHECK(commits > 0 && commits <= LSN_AHEAD);
    engine_of(store)->wal.ahead_max = commits;
}

void store_disk_reads_pay(persist_store *store, uint32_t times)
{
    engine_reads_pay(engine_of(store), times);
}

static void disk_identity(persist_store *store, uint8_t self[IDENTITY_SIZE],
                          uint8_t parent[IDENTITY_SIZE])
{
    engine_identity(engine_of(store), self, parent);
}

static persist_status disk_become_another(persist_store *store,
                                          const uint8_t parent[IDENTITY_SIZE],
                                          persist_error *error)
{
    return engine_become_another(engine_of(store), parent, error);
}

static void disk_stats(persist_store *store, persist_stats *out)
{
    engine_stats(engine_of(store), out);
}

static persist_status disk_compact(persist_store *store,
                                   const persist_tidy *tidy,
                                   persist_tidied *out, persist_error *error)
{
    return upkeep_compact(engine_of(store), tidy, out, error);
}

static persist_status disk_purge(persist_store *store, const persist_tidy *tidy,
                                 persist_tidied *out, persist_error *error)
{
    return upkeep_purge(engine_of(store), tidy, out, error);
}

static const store_backend disk_backend = {
    .count_open = disk_count_open,
    .close = disk_close,
    .commit = disk_commit,
    .once_find = disk_once_find,
    .wait_durable = disk_wait_durable,
    .latest = disk_latest,
    .visible = disk_visible,
    .durable = disk_durable,
    .position = disk_position,
    .await = disk_await,
    .news = disk_news,
    .snapshot_open = disk_snapshot_open,
    .snapshot_close = disk_snapshot_close,
    .read = disk_read,
    .next_event = disk_next_event,
    .next_key = disk_next_key,
    .next_command = disk_next_command,
    .next_blob = disk_next_blob,
    .cursor_close = disk_cursor_close,
    .position_at = disk_position_at,
    .info = disk_info,
    .get = disk_get,
    .blob_size = disk_blob_size,
    .blob_add = disk_blob_add,
    .blob_create = disk_blob_create,
    .blob_write = disk_blob_write,
    .blob_finish = disk_blob_finish,
    .blob_abort = disk_blob_abort,
    .blob_open = disk_blob_open,
    .blob_read = disk_blob_read,
    .blob_read_at = disk_blob_read_at,
    .blob_close = disk_blob_close,
    .blob_delete = disk_blob_delete,
    .identity = disk_identity,
    .become_another = disk_become_another,
    .backup_begin = disk_backup_begin,
    .backup_next = disk_backup_next,
    .backup_read = disk_backup_read,
    .backup_link = disk_backup_link,
    .backup_end = disk_backup_end,
    .ship_begin = disk_ship_begin,
    .ship_next = disk_ship_next,
    .ship_end = disk_ship_end,
    .stats = disk_stats,
    .compact = disk_compact,
    .purge = disk_purge,
    .step = disk_step,
    .is_shut = disk_is_shut,
};

persist_status store_disk_check(const persist_options *options,
                                persist_error *error)
{
    return engine_check(options, error);
}

persist_status store_disk_open(const persist_options *options,
                               persist_store **out, persist_error *error)
{
    disk_store *store = mem_alloc_zero(sizeof *store);
    if (store == NULL)
        return status_no_memory(error);
    store->head.backend = &disk_backend;
    persist_status status = engine_open(options, &store->engine, error);
    if (status != PERSIST_OK) {
        mem_free(store);
        return status;
    }
    store->head.first_lsn = store->engine->wal.first_lsn;
    store->head.gaps = &store->engine->gaps;
    *out = &store->head;
    return PERSIST_OK;
}
