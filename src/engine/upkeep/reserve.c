/* SPDX-License-Identifier: MIT */
/* The reserve: a file without contents that keeps room on the disk for the way
 * out when that is full. So much that the memtable of which the log is longest
 * can be flushed, which gives its log back; that what is in tables can be
 * truncated and deleted, in rounds of a little log that is flushed each; and
 * that what lives then can be merged, which gives the rest.
 *
 * The log grows only while that is kept: it goes on in a segment when the
 * reserve has grown with it. Where it cannot, commits that add are refused,
 * early, and those that free space go on: they take their segments out of the
 * reserve, and upkeep its tables and manifests. Then it is made anew, of what
 * they have given back.
 *
 * Files can run out before bytes do: some without contents are kept as well,
 * and deleted where one is to be made. The same holds for them.
 *
 * Nothing rests on it: its bytes are never read, and a store without one, a new
 * one or a copy, gets it with the first step of upkeep, or when it is closed.
 */
#include <errno.h>
#include <stdio.h>

#include "engine/upkeep/upkeep.h"

static bool is_full(int code)
{
    return code == -ENOSPC || code == -EDQUOT;
}

/* ---- its files -------------------------------------------------------- */

static void name_file(char name[LAYOUT_RESERVE_NAME], unsigned n)
{
    CHECK(n < RESERVE_FILES);
    snprintf(name, LAYOUT_RESERVE_NAME, LAYOUT_RESERVE_FILE "%u", n + 1);
}

/* What has a second name is another's file, as for reserve_size. */
static int make_file(const engine *e, const char *name)
{
    os_stat found;
    os_file *file;
    CHECK(name[0] != '\0');
    int code = e->sys->stat(e->sys, e->at.root, name, &found);
    if (code == 0 && found.is_file && found.links > 1)
        e->sys->unlink(e->sys, e->at.root, name);
    else if (code == 0)
        return 0;
    code = e->sys->file_open(e->sys, e->at.root, name,
                             OS_WRITE | OS_CREATE | OS_EXCLUSIVE, &file);
    if (code == 0)
        e->sys->file_close(e->sys, file);
    return code;
}

/* So many are left by what adds. A store in which all was deleted has a table,
 * and two segments for a while: until it has them they are kept for it. */
static unsigned files_to_add(const engine *e, wal_size log)
{
    return RESERVE_FILES_ADD + (e->manifest.table_count == 0) +
           (log.segments < 2);
}

bool reserve_lacks_files(const engine *e)
{
    return e->reserve_files < RESERVE_FILES;
}

bool reserve_is_short(const engine *e)
{
    return e->reserve_files <= RESERVE_FILES_UPKEEP;
}

/* All that are missing, or as many as there are: false if the disk has no more.
 */
static bool make_files(engine *e)
{
    char name[LAYOUT_RESERVE_NAME];
    int code = 0;
    CHECK(!e->at.read_only && e->reserve_files <= RESERVE_FILES);
    while (reserve_lacks_files(e) && code == 0) {
        name_file(name, e->reserve_files);
        code = make_file(e, name);
        e->reserve_files += code == 0;
    }
    return !is_full(code);
}

/* The same; false if so few are there that what adds has to wait. */
static bool keep_files(engine *e, wal_size log)
{
    CHECK_STATIC(RESERVE_FILES == RESERVE_FILES_ADD + 2, "see files_to_add");
    return make_files(e) || e->reserve_files >= files_to_add(e, log);
}

/* One of them, also where it was not looked yet how many there are. */
static bool give_file(engine *e)
{
    char name[LAYOUT_RESERVE_NAME];
    CHECK(!e->at.read_only);
    for (unsigned n = RESERVE_FILES; n-- > 0;) {
        name_file(name, n);
        if (e->sys->unlink(e->sys, e->at.root, name) != 0)
            continue;
        if (e->reserve_files > n)
            e->reserve_files = n;
        atomic_store(&e->lacks_reserve, true);
        return true;
    }
    return false;
}

/* ---- the file that has room ------------------------------------------- */

/* What has its name, and is no file, is not touched. */
static bool find(const engine *e, os_stat *out)
{
    return e->sys->stat(e->sys, e->at.root, LAYOUT_RESERVE, out) == 0;
}

/* What has a second name is another's file: it gives way, unwritten. */
uint64_t reserve_size(const engine *e)
{
    os_stat found = {0};
    if (!find(e, &found) || !found.is_file)
        return 0;
    if (found.links == 1)
        return found.size;
    e->sys->unlink(e->sys, e->at.root, LAYOUT_RESERVE);
    return 0;
}

/* Looks whether the disk has room for all notes, and as much again. */
static void look_around(engine *e, wal_size log)
{
    uint64_t notes = reserve_all_notes(e, log.ahead);
    uint64_t size =
        atomic_load(&e->reserve_tables) + reserve_for_log(e, log) + notes;
    uint64_t room =
        notes == 0 ? UINT64_MAX : e->sys->dir_room(e->sys, e->at.root);
    uint64_t enough = 2 * size + RESERVE_MEMTABLES * e->memtable_size;
    bool is = room < enough && room + reserve_size(e) < enough;
    atomic_store(&e->is_scarce, is);
}

static bool give(engine *e)
{
    os_stat found;
    if (e->at.read_only)
        return false;
    atomic_store(&e->lacks_reserve, true);
    if (!find(e, &found) || !found.is_file)
        return false;
    if (e->sys->unlink(e->sys, e->at.root, LAYOUT_RESERVE) != 0)
        return false;
    wal_note_full(&e->wal);
    return found.size > 0 && found.links == 1;
}

bool reserve_give(engine *e)
{
    pthread_mutex_lock(&e->reserve);
    bool gave = (!e->at.read_only && give_file(e)) || give(e);
    pthread_mutex_unlock(&e->reserve);
    return gave;
}

static int open_file(const engine *e, os_file **out)
{
    return e->sys->file_open(e->sys, e->at.root, LAYOUT_RESERVE,
                             OS_WRITE | OS_CREATE, out);
}

/* All of it, or, in pieces that become smaller, as much as there is. It is
 * durable then, as far as that can be: nothing goes wrong without it. */
static uint64_t grow(const engine *e, uint64_t from, uint64_t size, bool all,
                     int *code)
{
    os_file *file;
    uint64_t at = from, piece = size - from;
    CHECK(from < size);
    *code = open_file(e, &file);
    if (*code != 0)
        return from;
    while (at < size && piece > 0) {
        if (piece > size - at)
            piece = size - at;
        *code = e->sys->file_take_room(e->sys, file, at + piece);
        if (*code == 0)
            at += piece;
        else if (all || piece < RESERVE_PIECE_MIN)
            break;
        else
            piece /= 2;
    }
    if (at > from && os_sync(e->sys, file) == 0 && from == 0)
        (void)os_dir_sync(e->sys, e->at.root);
    e->sys->file_close(e->sys, file);
    return at;
}

/* What was given is made whole again. The second name of another file gives
 * way. The one with the room comes first. False if the disk has not files
 * enough.
 */
static bool make(engine *e, wal_size log)
{
    os_stat found = {0};
    int ignored;
    CHECK(!e->at.read_only);
    look_around(e, log);
    uint64_t size = reserve_wanted(e, log);
    bool is_file = !find(e, &found) || found.is_file;
    found.size = is_file ? reserve_size(e) : size;
    if (found.size < size)
        found.size = grow(e, found.size, size, false, &ignored);
    bool any_left = make_files(e);
    atomic_store(&e->lacks_reserve, found.size < size || !keep_files(e, log));
    return any_left;
}

/* Files that wait to become part of the log give way to those of the reserve.
 */
static void make_whole(engine *e)
{
    bool again;
    CHECK(!e->at.read_only);
    do {
        wal_size log = wal_takes(&e->wal);
        pthread_mutex_lock(&e->reserve);
        again = !make(e, log);
        pthread_mutex_unlock(&e->reserve);
        again = again && wal_make_room(&e->wal);
    } while (again);
}

void reserve_make(engine *e, const layers *v)
{
    reserve_measure(e, v);
    make_whole(e);
}

/* ---- with the log ----------------------------------------------------- */

/* What a commit of that kind leaves when the log has that size. */
static uint64_t leaves(const engine *e, wal_size log, wal_claim claim)
{
    if (claim == WAL_FREES_LAST)
        return RESERVE_LAST_MIN;
    return claim == WAL_FREES ? reserve_for_log(e, log) + RESERVE_UPKEEP_MIN
                              : reserve_wanted(e, log);
}

/* Only a full disk keeps the log from growing, or memory that is out: where it
 * cannot be kept for another reason, such as what has its name, the log goes on
 * without. */
int reserve_keep(void *context, wal_size log, wal_claim claim)
{
    engine *e = context;
    int code = 0;
    CHECK(!e->at.read_only && claim != WAL_NO_SEGMENT);
    if (claim == WAL_FREES || claim == WAL_FREES_LAST)
        e->frees_tail = true; /* others are not the writer's alone */
    if (claim == WAL_FREES_LAST)
        return 0;
    pthread_mutex_lock(&e->reserve);
    if (claim == WAL_ADDS)
        look_around(e, log);
    uint64_t size = leaves(e, log, claim), has = reserve_size(e);
    if (has < size)
        has = grow(e, has, size, true, &code);
    bool full = has < size && is_full(code);
    if (!full && claim == WAL_ADDS && !keep_files(e, log)) {
        code = -ENOSPC;
        full = true;
    }
    if (claim == WAL_ADDS) {
        atomic_store(&e->lacks_reserve, full);
        e->frees_tail = e->frees_tail && full;
    }
    pthread_mutex_unlock(&e->reserve);
    return full || code == -ENOMEM ? code : 0;
}

static bool shrink(engine *e, uint64_t size)
{
    os_file *file;
    if (open_file(e, &file) != 0)
        return false;
    bool lent = e->sys->file_truncate(e->sys, file, size) == 0;
    e->sys->file_close(e->sys, file);
    return lent;
}

static unsigned leaves_files(const engine *e, wal_size log, wal_claim claim)
{
    CHECK(claim != WAL_NO_SEGMENT);
    return claim == WAL_ADDS ? files_to_add(e, log) : RESERVE_FILES_UPKEEP;
}

/* What it has beyond what it leaves; commits that free space are left less. A
 * file is lent as well: which of both is missing is not known. */
bool reserve_lend(void *context, wal_size log, uint64_t size, wal_claim claim)
{
    engine *e = context;
    bool lent = false;
    CHECK(size > 0 && claim != WAL_NO_SEGMENT && claim != WAL_SPARE);
    pthread_mutex_lock(&e->reserve);
    uint64_t has = reserve_size(e);
    if (has >= size + leaves(e, log, claim))
        lent = shrink(e, has - size);
    if (e->reserve_files > leaves_files(e, log, claim))
        lent = give_file(e) || lent;
    if (lent && claim != WAL_ADDS)
        atomic_store(&e->lacks_reserve, true);
    pthread_mutex_unlock(&e->reserve);
    return lent;
}

/* A merge gives back more files than it takes, and so does a flush of a log of
 * several; another one has to leave a file for the merge. */
static unsigned table_leaves(engine *e)
{
    bool gains = e->upkeep.begins_merge || wal_takes(&e->wal).segments > 2;
    return gains ? RESERVE_FILES_LAST : RESERVE_FILES_MERGE;
}

/* Piece by piece: what is free besides somebody else may take, and then the
 * table, which is deleted, makes it whole again. */
bool reserve_lend_table(void *context, uint64_t size)
{
    engine *e = context;
    CHECK(!e->at.read_only);
    unsigned files = table_leaves(e);
    pthread_mutex_lock(&e->reserve);
    uint64_t has = reserve_size(e), most = reserve_pages(size) + SEGMENT_ROUND;
    uint64_t left =
        has > most + RESERVE_LAST_MIN ? has - most : RESERVE_LAST_MIN;
    bool lent = size == 0 ? e->reserve_files > files && give_file(e)
                          : has > left && shrink(e, left);
    if (lent)
        atomic_store(&e->lacks_reserve, true);
    pthread_mutex_unlock(&e->reserve);
    return lent;
}

/* As reserve_keep, for what adds: files that wait to become part of the log
 * again give way. */
static int keep_or_make_room(engine *e, wal_size log)
{
    int code = reserve_keep(e, log, WAL_ADDS);
    return is_full(code) && wal_make_room(&e->wal)
               ? reserve_keep(e, log, WAL_ADDS)
               : code;
}

/* The log goes on in a small segment, for which something is kept. Where even
 * that cannot be it goes on in one for what frees space, if that gives much
 * back; this commit is refused. */
static persist_status leave_tail(engine *e, persist_error *error)
{
    persist_error ignored;
    persist_status status =
        wal_next_segment(&e->wal, RECORD_HEADER_SIZE, WAL_ADDS, error);
    if (status == PERSIST_NO_SPACE &&
        wal_takes(&e->wal).ahead > RESERVE_TAIL_MIN)
        e->covers_tail = wal_next_segment(&e->wal, RECORD_HEADER_SIZE,
                                          WAL_FREES, &ignored) == PERSIST_OK;
    return status;
}

/* The end of the log that an opening goes on with had nothing kept for it.
 * Where that cannot be, the log goes on in a smaller segment, and this one goes
 * with its table. */
static persist_status cover_tail(engine *e, persist_error *error)
{
    int code = 0;
    persist_status status = PERSIST_OK;
    if (e->covers_tail)
        return PERSIST_OK;
    wal_size log = wal_takes(&e->wal);
    CHECK(!e->at.read_only);
    if (log.ahead > 0)
        code = keep_or_make_room(e, log);
    if (is_full(code))
        status = leave_tail(e, error);
    else if (code != 0)
        status = os_failed(error, code, "keep a reserve in", e->at.root->path);
    if (status == PERSIST_OK)
        e->covers_tail = true;
    return status;
}

/* A segment that was made for what frees space is for that: what adds would use
 * up the reserve, a segment each time. But for what is in it already, that must
 * be whole. */
static persist_status cover_lent(engine *e, persist_error *error)
{
    if (!e->frees_tail)
        return PERSIST_OK;
    wal_size log = wal_takes(&e->wal);
    log.ahead = 0;
    int code = keep_or_make_room(e, log);
    return code == 0
               ? PERSIST_OK
               : os_failed(error, code, "keep a reserve in", e->at.root->path);
}

/* Other commits than those that free space get no segment until the reserve is
 * whole; what the log has ahead gives way to it. */
persist_status reserve_record(engine *e, wal_claim claim, persist_error *error)
{
    persist_status status = PERSIST_OK;
    if (claim == WAL_ADDS)
        status = cover_tail(e, error);
    if (status == PERSIST_OK && claim == WAL_ADDS)
        status = cover_lent(e, error);
    if (status != PERSIST_OK)
        return status;
    if (claim == WAL_ADDS && atomic_load(&e->lacks_reserve))
        claim = WAL_NO_SEGMENT;
    status = wal_reserve(&e->wal, claim, error);
    if (status != PERSIST_NO_SPACE || claim != WAL_NO_SEGMENT)
        return status;
    (void)wal_make_room(&e->wal);
    return reserve_keep(e, wal_takes(&e->wal), WAL_ADDS) == 0
               ? wal_reserve(&e->wal, WAL_ADDS, error)
               : status;
}

/* ---- with upkeep ------------------------------------------------------ */

void reserve_begin(engine *e, const layers *v)
{
    if (!e->upkeep.has_reserved)
        reserve_make(e, v);
    e->upkeep.has_reserved = true;
}

static bool lacks_any(const engine *e)
{
    return atomic_load(&e->lacks_reserve) || reserve_lacks_files(e);
}

void reserve_renew(engine *e, const layers *v)
{
    reserve_measure(e, v);
    if (lacks_any(e) && !wal_failed(&e->wal))
        reserve_make(e, v);
}

void reserve_refill(engine *e)
{
    if (e->at.read_only || !lacks_any(e) || wal_failed(&e->wal))
        return;
    make_whole(e);
}

/* What the log has ahead may never be written to: the next opening looks. */
void reserve_close(engine *e)
{
    reserve_make(e, e->layers);
    pthread_mutex_lock(&e->reserve);
    uint64_t size = reserve_wanted(e, (wal_size){0});
    CHECK(size >= RESERVE_MIN);
    if (reserve_size(e) > size)
        (void)shrink(e, size);
    pthread_mutex_unlock(&e->reserve);
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
    bool gave = false;
    while (status == PERSIST_NO_SPACE && !wal_failed(&e->wal) &&
           reserve_give(e)) {
        gave = true;
        status = engine_use(e, error);
    }
    if (gave)
        reserve_refill(e); /* a step may be measuring */
    return status;
}
