/* SPDX-License-Identifier: MIT */
/* Backups: the point, and holding what it consists of. */
#include "engine/backup/backup.h"

#include "base/mem.h"

/* The size that the copy of a segment has: its records, and no more. */
static uint64_t cut_size(const segment_entry *s)
{
    return s->end < SEGMENT_SIZE_MIN ? SEGMENT_SIZE_MIN : s->end;
}

/* The writer: what a store consists of that was closed just now. */
static persist_status describe(engine *e, manifest *m, persist_error *error)
{
    const manifest *now = &e->manifest;
    *m = (manifest){
        .generation = now->generation + 1, .epoch = now->epoch, .clean = true};
    if (!manifest_copy_tables(m, now) || !manifest_copy_self(m, now))
        return status_no_memory(error);
    persist_status status =
        wal_describe(&e->wal, layers_tables_last(e->layers), true, m, error);
    for (size_t i = 0; status == PERSIST_OK && i < m->segment_count; i++)
        m->segments[i].size = cut_size(&m->segments[i]);
    return status;
}

/* The writer: references to the tables, which the manifest lists. */
static persist_status keep_tables(engine_backup *b, persist_error *error)
{
    const layers *v = b->engine->layers;
    CHECK(v->table_count == b->manifest.table_count);
    b->tables = mem_alloc((v->table_count + 1) * sizeof(table *));
    if (b->tables == NULL)
        return status_no_memory(error);
    for (; b->table_count < v->table_count; b->table_count++) {
        table *t = v->tables[b->table_count];
        CHECK(t->footer.number == b->manifest.tables[b->table_count].number);
        b->tables[b->table_count] = table_ref(t);
    }
    return PERSIST_OK;
}

/* The writer: the segments that the manifest lists, and none behind them. */
static persist_status keep_log(engine_backup *b, persist_error *error)
{
    const manifest *m = &b->manifest;
    b->hold.after = manifest_tables_last(m);
    b->hold.most = UINT64_MAX;
    if (m->segment_count == 0)
        return PERSIST_OK;
    b->hold.upto = m->segments[m->segment_count - 1].number;
    persist_status status = wal_hold_begin(&b->engine->wal, &b->hold, error);
    CHECK(status == PERSIST_OK);
    b->holds_log = true;
    return status;
}

static persist_status take_point(engine_backup *b, persist_error *error)
{
    engine *e = b->engine;
    persist_status status = wal_wait(&e->wal, e->latest, error);
    if (status == PERSIST_OK)
        status = describe(e, &b->manifest, error);
    if (status == PERSIST_OK)
        status = keep_tables(b, error);
    if (status == PERSIST_OK)
        status = keep_log(b, error);
    if (status != PERSIST_OK)
        return status;
    b->pack_is_open = pack_in_hand(&e->blobs.packs, &b->pack, &b->pack_size);
    b->point = (persist_point){.lsn = e->latest,
                               .position = layers_position(e->layers),
                               .time = e->layers->active->counts.time};
    CHECK(b->point.lsn == b->manifest.watermark);
    return PERSIST_OK;
}

/* Most of what is not durable yet is made so before anybody has to wait. */
persist_status engine_backup_begin(engine *e, engine_backup *b,
                                   persist_error *error)
{
    *b = (engine_backup){.engine = e};
    atomic_fetch_add(&e->backups, 1);
    /* Whoever takes files of blobs away does so with the lock, and is done. */
    pthread_mutex_lock(&e->blobs.lock);
    pthread_mutex_unlock(&e->blobs.lock);
    persist_status status = wal_wait(&e->wal, e->latest, error);
    if (status != PERSIST_OK)
        return engine_explain(e, status, error);
    pthread_mutex_lock(&e->writer);
    status = take_point(b, error);
    pthread_mutex_unlock(&e->writer);
    return status;
}

void engine_backup_end(engine_backup *b)
{
    engine *e = b->engine;
    backup_close_file(b);
    if (b->blob_folder != NULL)
        e->sys->dir_close(e->sys, b->blob_folder);
    if (b->holds_log) {
        wal_hold_end(&e->wal, &b->hold);
        wal_drop_free(&e->wal, SEGMENT_FREE_MAX);
    }
    for (size_t i = 0; i < b->table_count; i++)
        table_unref(b->tables[i]);
    mem_free(b->tables);
    mem_free(b->packs.numbers);
    buf_release(&b->names);
    buf_release(&b->bytes);
    manifest_release(&b->manifest);
    unsigned before = atomic_fetch_sub(&e->backups, 1);
    CHECK(before > 0);
    /* What waits for its readers may go now. */
    if (atomic_load(&e->upkeep.awaits_readers))
        (void)engine_wake(e);
}
