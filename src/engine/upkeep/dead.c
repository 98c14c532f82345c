/* SPDX-License-Identifier: MIT */
/* Dead space: bytes of tables that nobody can read any more. When they are much
 * they go by themselves, without further commits: the memtable that makes them
 * dead is flushed, all tables are merged into one, and a manifest is written
 * that lets the replaced ones go.
 *
 * A truncation knows the bytes that it makes dead in older layers. A deletion
 * looks for what it deletes, and one of many puts looks for what it overwrites
 * and stands for the others. What died before the store was opened is told by
 * numbers: those of the entries that tables hold, and of what is live. */
#include "engine/upkeep/upkeep.h"

static uint64_t least_of(const engine *e)
{
    uint64_t least = e->memtable_size * DEAD_MEMTABLES;
    return least < DEAD_SIZE_MIN ? least : DEAD_SIZE_MIN;
}

/* See dead_is_much: of what is more than the least, what lives is the rest. */
uint64_t dead_max(const engine *e, uint64_t table_bytes)
{
    uint64_t least = least_of(e), share = table_bytes / (DEAD_SHARE + 1);
    CHECK(least > 0);
    return share > least ? share : least;
}

/* On a full disk it goes as soon as it is worth a table, or, where files are
 * few or somebody waits for room, as that is no more than what lives. */
bool dead_is_much(const engine *e, const layers *v, uint64_t dead)
{
    uint64_t live = dead > v->table_bytes ? 0 : v->table_bytes - dead;
    bool much = dead > least_of(e) && dead > live / DEAD_SHARE;
    bool any = reserve_lacks_files(e) || atomic_load(&e->upkeep.refused);
    uint64_t worth = any ? 0 : e->memtable_size / CLOSE_LOG_SHARE;
    bool full = atomic_load(&e->wal.full) &&
                (dead > e->memtable_size / 2 ||
                 (dead > worth && dead > live / DEAD_SHARE));
    return v->table_count > 0 && (much || full);
}

void dead_call(engine *e)
{
    const layers *v = e->layers;
    if (dead_is_much(e, v, atomic_load(&e->upkeep.dead) + v->active->dead))
        e->wakes_upkeep = true;
}

/* A step that found no room may find some by now, whichever it was. */
void dead_call_all(engine *e, bool refused)
{
    persist_error ignored;
    bool did;
    if (refused || e->layers->active->logged > reserve_round(e))
        (void)upkeep_freeze_all(e, &did, &ignored);
    e->wakes_upkeep = true;
}

/* ---- what was dead before --------------------------------------------- */

/* What the events and keys of a table take of it, which are so many: all but
 * its other entries, of which each is an average one, but small: a stream's is
 * so much whatever its events are. */
static uint64_t size_of(const table_footer *f, uint64_t count)
{
    uint64_t others = 0;
    for (unsigned s = 0; s < TABLE_SECTIONS; s++)
        if (s != TABLE_EVENTS && s != TABLE_KEYS && s != TABLE_ORDER &&
            s != TABLE_TAGS)
            others += f->roots[s].entries;
    double all = (double)count + (double)others;
    double average = (double)f->size / all;
    if (average > OTHER_ENTRY)
        average = OTHER_ENTRY;
    double rest = (double)f->size - average * (double)others;
    return rest > 0 ? (uint64_t)rest : 0;
}

/* Of the entries that tables hold too many of, the oldest are taken to be the
 * dead ones. */
void dead_estimate(engine *e)
{
    const layers *v = e->layers;
    uint64_t held = 0, dead = 0;
    uint64_t live = e->manifest.events + e->manifest.keys;
    for (size_t i = 0; i < v->table_count; i++) {
        const table_root *roots = v->tables[i]->footer.roots;
        held += roots[TABLE_EVENTS].entries + roots[TABLE_KEYS].entries;
    }
    uint64_t left = held > live ? held - live : 0;
    for (size_t i = 0; i < v->table_count; i++) {
        const table_footer *f = &v->tables[i]->footer;
        uint64_t count =
            f->roots[TABLE_EVENTS].entries + f->roots[TABLE_KEYS].entries;
        uint64_t some = count < left ? count : left;
        left -= some;
        if (some > 0)
            dead += (uint64_t)((double)size_of(f, count) * (double)some /
                               (double)count);
    }
    atomic_store(&e->upkeep.dead, dead);
}

/* ---- letting go ------------------------------------------------------- */

/* Freezes the active memtable if what it knows makes much dead. */
static persist_status freeze(engine *e, bool *did, persist_error *error)
{
    persist_status status = PERSIST_OK;
    pthread_mutex_lock(&e->writer);
    const layers *v = e->layers;
    uint64_t more = v->active->dead;
    if (more > 0 && dead_is_much(e, v, atomic_load(&e->upkeep.dead) + more))
        status = upkeep_freeze_all(e, did, error);
    pthread_mutex_unlock(&e->writer);
    return status;
}

uint64_t dead_replaced(const engine *e, bool all)
{
    const upkeep *u = &e->upkeep;
    uint64_t bytes = 0;
    for (size_t i = 0; i < u->dropped_count; i++)
        if (all || u->dropped[i].generation >= e->manifest.generation)
            bytes += u->dropped[i].table->footer.size;
    return bytes;
}

/* On a full disk the log does not wait for the next flush either. */
static bool log_waits(engine *e, const layers *v)
{
    if (!atomic_load(&e->wal.full))
        return false;
    if (e->leftovers.copied.count > 0)
        return true;
    pthread_mutex_lock(&e->writer);
    bool waits = wal_may_trim(&e->wal, layers_tables_last(v));
    pthread_mutex_unlock(&e->writer);
    return waits;
}

/* What found no space, nor enough of the reserve, gets the room of tables that
 * are replaced, and of the log that tables stand for by now; then what the log
 * has ahead. */
bool dead_make_room(engine *e, const layers *v)
{
    persist_error ignored;
    wal_note_full(&e->wal);
    bool did = (dead_replaced(e, false) > 0 || log_waits(e, v)) &&
               upkeep_settle(e, &ignored) == PERSIST_OK;
    did = did || wal_make_room(&e->wal);
    if (did)
        e->upkeep.is_stuck = false;
    return did;
}

/* Where files are few, each of them is much. */
static bool much_waits(engine *e, const layers *v)
{
    uint64_t bytes = dead_replaced(e, false);
    return dead_is_much(e, v, bytes) || log_waits(e, v) ||
           (bytes > 0 && atomic_load(&e->wal.full) && reserve_lacks_files(e));
}

persist_status dead_step(engine *e, const layers *v, bool *did,
                         persist_error *error)
{
    persist_status status = freeze(e, did, error);
    if (status != PERSIST_OK || *did || !much_waits(e, v))
        return status;
    status = upkeep_settle(e, error);
    *did = status == PERSIST_OK;
    return status;
}
