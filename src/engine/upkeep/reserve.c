/* SPDX-License-Identifier: MIT */
/* The reserve: a file without contents that keeps room on the disk. Where there
 * is none left, it is deleted for what leads out of that: manifest and record
 * of a commit that truncates or deletes, the end of the log that an opening
 * writes again, the manifest of a close, the merge that lets go of what is
 * dead. Then it is made anew, of what they have left over.
 *
 * Nothing rests on it: its bytes are never read, and a store without one, a new
 * one or a copy, gets it with the first step of upkeep, or when it is closed.
 */
#include "engine/upkeep/upkeep.h"

/* A merge needs as much room as lives, which is more where tables are big. */
static uint64_t wanted(const engine *e, const layers *v)
{
    uint64_t usual = e->wal.segment_size;
    uint64_t least = usual / RESERVE_LEAST_SHARE;
    uint64_t size = v->table_bytes / RESERVE_TABLES_SHARE;
    if (least < RESERVE_MIN)
        least = RESERVE_MIN;
    if (size > usual)
        size = usual;
    return size < least ? least : size;
}

/* What has its name, and is no file, is not touched. */
static bool find(const engine *e, os_stat *out)
{
    return e->sys->stat(e->sys, e->at.root, LAYOUT_RESERVE, out) == 0;
}

static bool give(engine *e)
{
    os_stat found;
    if (e->at.read_only || !find(e, &found) || !found.is_file)
        return false;
    if (e->sys->unlink(e->sys, e->at.root, LAYOUT_RESERVE) != 0)
        return false;
    atomic_store(&e->lacks_reserve, true);
    wal_note_full(&e->wal);
    return found.size > 0 && found.links == 1;
}

bool reserve_give(engine *e)
{
    pthread_mutex_lock(&e->reserve);
    bool gave = give(e);
    pthread_mutex_unlock(&e->reserve);
    return gave;
}

/* As much as there is, if not all: in pieces that become smaller. It is durable
 * then, as far as that can be: nothing goes wrong without it. */
static uint64_t grow(const engine *e, uint64_t from, uint64_t size)
{
    os_file *file;
    uint64_t at = from, piece = size - from;
    if (e->sys->file_open(e->sys, e->at.root, LAYOUT_RESERVE,
                          OS_WRITE | OS_CREATE, &file) != 0)
        return from;
    while (at < size && piece >= RESERVE_PIECE_MIN) {
        if (at + piece <= size &&
            e->sys->file_allocate(e->sys, file, at + piece) == 0)
            at += piece;
        else
            piece /= 2;
    }
    if (at > from && os_sync(e->sys, file) == 0)
        (void)os_dir_sync(e->sys, e->at.root);
    e->sys->file_close(e->sys, file);
    return at;
}

/* What was given is made whole again; else tables may double before it grows,
 * or shrink to half before one that is too big gives way. So does the second
 * name of another file. */
static void make(engine *e, const layers *v)
{
    uint64_t size = wanted(e, v);
    os_stat found = {0};
    CHECK(!e->at.read_only);
    if (find(e, &found) && !found.is_file)
        return;
    if (found.links > 1 || found.size / 2 > size) {
        e->sys->unlink(e->sys, e->at.root, LAYOUT_RESERVE);
        found.size = 0;
    }
    uint64_t least = atomic_load(&e->lacks_reserve) ? size : size / 2;
    if (found.size < least)
        found.size = grow(e, found.size, size);
    atomic_store(&e->lacks_reserve, found.size < least);
}

void reserve_make(engine *e, const layers *v)
{
    pthread_mutex_lock(&e->reserve);
    make(e, v);
    pthread_mutex_unlock(&e->reserve);
}

/* What a flush has to leave. Only deletions may have of the last, and all of it
 * if so little lives that the merge which they lead to will find room. */
static uint64_t last(engine *e, const layers *v, bool deletes)
{
    uint64_t size = wanted(e, v), share = size / RESERVE_LAST_SHARE;
    if (deletes)
        return dead_leaves(e, v) <= size ? RESERVE_MERGE_MIN
                                         : RESERVE_DELETES_MIN;
    return share < RESERVE_LAST_MIN ? RESERVE_LAST_MIN : share;
}

/* A merge lets go of more than it takes, but what a flush takes stays. */
bool reserve_outlasts(engine *e, const layers *v, bool deletes)
{
    os_stat found;
    CHECK(!e->at.read_only);
    if (!atomic_load(&e->lacks_reserve))
        return true;
    reserve_make(e, v);
    if (find(e, &found) && found.size >= last(e, v, deletes))
        return true;
    (void)reserve_give(e); /* to try again with it is of no use */
    return false;
}

void reserve_begin(engine *e, const layers *v)
{
    if (!e->upkeep.has_reserved)
        reserve_make(e, v);
    e->upkeep.has_reserved = true;
}

void reserve_renew(engine *e, const layers *v)
{
    if (atomic_load(&e->lacks_reserve) && !wal_failed(&e->wal))
        reserve_make(e, v);
}

void reserve_take_up(engine *e)
{
    if (e->at.read_only)
        return;
    wal_note_full(&e->wal);
    reserve_make(e, e->layers);
}

persist_status reserve_use(engine *e, persist_error *error)
{
    persist_status status = engine_use(e, error);
    if (status != PERSIST_NO_SPACE || wal_failed(&e->wal) || !reserve_give(e))
        return status;
    status = engine_use(e, error);
    reserve_make(e, e->layers);
    return status;
}

static persist_status record_that_frees(engine *e, persist_error *error)
{
    persist_status status = wal_reserve(&e->wal, WAL_FREES, error);
    if (status != PERSIST_NO_SPACE || !reserve_give(e))
        return status;
    status = wal_reserve(&e->wal, WAL_FREES, error);
    reserve_make(e, e->layers);
    return status;
}

/* What frees space gets the reserve. Other commits get no segment until that is
 * whole; then, where the usual one finds no room, what is there beside it. */
persist_status reserve_record(engine *e, bool frees, persist_error *error)
{
    if (frees)
        return record_that_frees(e, error);
    wal_claim claim =
        atomic_load(&e->lacks_reserve) ? WAL_NO_SEGMENT : WAL_USUAL;
    persist_status status = wal_reserve(&e->wal, claim, error);
    if (status != PERSIST_NO_SPACE)
        return status;
    reserve_make(e, e->layers);
    if (!atomic_load(&e->lacks_reserve))
        status = wal_reserve(&e->wal, WAL_SMALLER, error);
    return status;
}
