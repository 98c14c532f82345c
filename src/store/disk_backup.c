/* SPDX-License-Identifier: MIT */
/* Backups of a store on disk: the engine's behind the store's table. */
#include "store/disk_backup.h"

#include "base/mem.h"
#include "engine/engine.h"

typedef struct disk_backup {
    persist_backup head;
    engine_backup backup;
} disk_backup;

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
