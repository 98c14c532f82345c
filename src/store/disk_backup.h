/* SPDX-License-Identifier: MIT */
/* Backups of a store on disk: the rows of its table that are about them. */
#ifndef STORE_DISK_BACKUP_H
#define STORE_DISK_BACKUP_H

#include "store/store.h"

struct engine;

/* The engine of a store on disk. */
struct engine *disk_engine(persist_store *);

/* What store.h says of the rows of these names. */
persist_status disk_backup_begin(persist_store *, persist_backup **,
                                 persist_error *);
persist_status disk_backup_next(persist_backup *, const persist_backup_file **,
                                persist_error *);
persist_status disk_backup_read(persist_backup *, void *, size_t, size_t *got,
                                persist_error *);
int disk_backup_link(const persist_backup *, const os_dir *, const char *name);
void disk_backup_end(persist_backup *);
persist_status disk_ship_begin(persist_store *, persist_lsn, persist_ship **,
                               persist_error *);
persist_status disk_ship_next(persist_ship *, uint64_t timeout_ms,
                              const persist_shipped **, persist_error *);
void disk_ship_end(persist_ship *);

#endif
