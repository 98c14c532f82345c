/* SPDX-License-Identifier: MIT */
/* Shipping: the log, as it becomes durable, to whoever follows it. */
#ifndef ENGINE_BACKUP_SHIP_H
#define ENGINE_BACKUP_SHIP_H

#include "engine/state/state.h"

typedef struct engine_ship {
    engine *engine;
    wal_hold hold; /* behind what was handed out */
    bool holds;
    uint64_t segment, offset; /* where it goes on; 0: to be found */
    buf bytes;
    persist_shipped piece;
} engine_ship;

/* As the functions of persist_backup.h. The ship is the caller's, and stays
 * where it is; engine_ship_end also after one that could not begin. The caller
 * of engine_ship_next has entered the log's news, and words PERSIST_CLOSED. */
persist_status engine_ship_begin(engine *, persist_lsn after, engine_ship *,
                                 persist_error *);
persist_status engine_ship_next(engine_ship *, uint64_t timeout_ms,
                                persist_error *);
void engine_ship_end(engine_ship *);

#endif
