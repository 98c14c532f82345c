/* SPDX-License-Identifier: MIT */
/* Backups of a store on disk: the engine's behind the store's table. */
#include "store/disk_backup.h"

#include "base/mem.h"
#include "engine/engine.h"

typedef struct disk_backup {
    persist_backup head;
    engine_backup backup;
} disk_backup;

typedef struct disk_ship {
    persist_ship head;
    engine_ship ship;
} disk_ship;

static engine_backup *backup_of(persist_backup *backup)
{
    CHECK(backup->backend->backup_end == disk_backup_end);
    return &((disk_backup *)backup)->backup;
}

persist_status disk_backup_begin(persist_store *store, persist_backup **out,
                                 persist_error *error)
{
    disk_backup *b = mem_alloc_zero(sizeof *b);
    if (b == NULL)
        return status_no_memory(error);
    persist_status status =
        engine_backup_begin(disk_engine(store), &b->backup, error);
    if (status != PERSIST_OK) {
        engine_backup_end(&b->backup);
        mem_free(b);
        return status;
    }
    b->head =
        (persist_backup){.backend = store->backend, .point = b->backup.point};
    *out = &b->head;
    return PERSIST_OK;
}

persist_status disk_backup_next(persist_backup *backup,
                                const persist_backup_file **out,
                                persist_error *error)
{
    engine_backup *b = backup_of(backup);
    persist_status status = engine_backup_next(b, error);
    if (status == PERSIST_OK)
        *out = &b->file;
    return status;
}

persist_status disk_backup_read(persist_backup *backup, void *buffer,
                                size_t size, size_t *got, persist_error *error)
{
    return engine_backup_read(backup_of(backup), buffer, size, got, error);
}

int disk_backup_link(const persist_backup *backup, const os_dir *to,
                     const char *name)
{
    CHECK(backup->backend->backup_end == disk_backup_end);
    return engine_backup_link(&((const disk_backup *)backup)->backup, to, name);
}

void disk_backup_end(persist_backup *backup)
{
    engine_backup_end(backup_of(backup));
    mem_free(backup);
}

/* ---- the log ---------------------------------------------------------- */

static engine_ship *ship_of(persist_ship *ship)
{
    CHECK(ship->backend->ship_end == disk_ship_end);
    return &((disk_ship *)ship)->ship;
}

persist_status disk_ship_begin(persist_store *store, persist_lsn after,
                               persist_ship **out, persist_error *error)
{
    disk_ship *s = mem_alloc_zero(sizeof *s);
    if (s == NULL)
        return status_no_memory(error);
    persist_status status =
        engine_ship_begin(disk_engine(store), after, &s->ship, error);
    if (status != PERSIST_OK) {
        engine_ship_end(&s->ship);
        mem_free(s);
        return status;
    }
    s->head = (persist_ship){.backend = store->backend, .store = store};
    *out = &s->head;
    return PERSIST_OK;
}

persist_status disk_ship_next(persist_ship *ship, uint64_t timeout_ms,
                              const persist_shipped **out, persist_error *error)
{
    engine_ship *s = ship_of(ship);
    CHECK(timeout_ms == 0 || ship->store != NULL);
    persist_status status = engine_ship_next(s, timeout_ms, error);
    if (status == PERSIST_OK)
        *out = &s->piece;
    return status;
}

void disk_ship_end(persist_ship *ship)
{
    engine_ship_end(ship_of(ship));
    mem_free(ship);
}
