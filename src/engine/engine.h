/* SPDX-License-Identifier: MIT */
/* The engine: one store directory, opened. Bytes in, durable bytes out.
 *
 * Its rooms, lowest first: files; log, memtable, table, blob; state; read,
 * upkeep; commit; and this. Verifying stands beside. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "engine/backup/backup.h"
#include "engine/commit/commit.h"
#include "engine/read/read.h"

/* Tells what is wrong with the sizes in options: PERSIST_BAD_REQUEST. */
persist_status engine_check(const persist_options *, persist_error *);

/* Opens as persist_open does. The engine is allocated; *out is released by
 * engine_close. */
persist_status engine_open(const persist_options *, engine **out,
                           persist_error *);

/* Count the cursors, the snapshots, the backups, and those who follow the log,
 * that are open. */
size_t engine_cursors(engine *);
size_t engine_snapshots(engine *);
size_t engine_backups(engine *);
size_t engine_ships(engine *);

/* Closes as persist_close does; nothing is open. */
persist_status engine_close(engine *, persist_error *);

/* Makes some background work that is due, for those who have no thread;
 * *did tells whether there was any. */
persist_status engine_step(engine *, bool *did, persist_error *);

/* The same as the threads do it: upkeep only if somebody has called for it,
 * until there is none left or it fails. */
persist_status engine_step_called(engine *, bool *did, persist_error *);

/* Leaves the work to engine_step from now on, but for what a commit cannot go
 * on without: so a test decides what comes between two steps. */
void engine_by_steps(engine *);

/* Counts what reads waste so many times: so a test gets merges that reads pay
 * for. Before the first read. */
void engine_reads_pay(engine *, uint32_t times);

/* Fills in the figures. */
void engine_stats(engine *, persist_stats *);

/* ---- close.c ---------------------------------------------------------- */

/* Ends what this opening wrote: the store is closed cleanly. */
persist_status engine_end_log(engine *, persist_error *);

#endif
