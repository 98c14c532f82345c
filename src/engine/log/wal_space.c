/* SPDX-License-Identifier: MIT */
/* The write-ahead log: its segments, made ready ahead of time.
 *
 * Segments carry growing numbers and are used in that order. A spare is whole
 * (blocks, header, name) and durable before anybody may write to it. Making
 * one is the only file work that an append can meet, and only when the
 * background has not kept up or there is none. */
#include "engine/log/wal.h"

#include <errno.h>

#include "base/mem.h"
#include "os/os_sleep.h"
#include "os/os_thread.h"

/* ---- segments --------------------------------------------------------- */

static void close_segment(wal *w, wal_segment *segment)
{
    w->place.sys->file_close(w->place.sys, segment->file);
    mem_free(segment);
}

void wal_reap(wal *w)
{
    wal_segment **link = &w->open;
    while (*link != NULL) {
        wal_segment *s = *link;
        if (s->sealed && s->pending == 0 && !s->unsynced) {
            *link = s->next;
            close_segment(w, s);
        } else {
            link = &s->next;
        }
    }
}

bool wal_free_segment(wal *w, uint64_t number, uint64_t size)
{
    if (!mem_grow(&w->free_files, w->free_count, 1, &w->free_capacity,
                  sizeof *w->free_files))
        return false;
    w->free_files[w->free_count++] = (wal_free_file){number, size};
    return true;
}

/* With the lock held: a file that waits to be used again; 0: there is none. */
static uint64_t next_free(wal *w)
{
    return w->free_count == 0 || w->renewals > 0
               ? 0
               : w->free_files[--w->free_count].number;
}

/* What found no space is tried without each of the files that wait to be used
 * again, the failure has deleted the one; then smaller. */
static bool try_less(uint64_t recycled, uint64_t least, uint64_t *size)
{
    uint64_t half = *size / 2 / SEGMENT_ROUND * SEGMENT_ROUND;
    if (recycled != 0)
        return true;
    if (*size <= least)
        return false;
    *size = half < least ? least : half;
    return true;
}

static persist_status no_room(const wal *w, persist_error *error)
{
    return os_failed(error, -ENOSPC, "make a segment in", w->place.dir->path);
}

/* Nobody would ask for it again: where this fails, the next opening deletes it.
 */
static void delete_file(const wal *w, uint64_t number)
{
    char path[PERSIST_PATH_MAX];
    if (segment_path(&w->place, number, path) == 0)
        w->place.sys->unlink(w->place.sys, w->place.dir, os_name(path));
}

/* Makes the file, of what is kept where that is more than it need be. */
static persist_status make_file(const wal *w, wal_size takes, wal_claim claim,
                                uint64_t recycled, wal_segment *s,
                                persist_error *error)
{
    int code = wal_keep(w, takes, s->size, claim);
    if (code != 0) {
        if (recycled != 0)
            delete_file(w, recycled);
        return os_failed(error, code, "make a segment in", w->place.dir->path);
    }
    persist_status status = segment_prepare(&w->place, s->number, s->size,
                                            recycled, &s->file, error);
    if (status == PERSIST_NO_SPACE && wal_lend(w, takes, s->size, claim))
        status =
            segment_prepare(&w->place, s->number, s->size, 0, &s->file, error);
    return status;
}

/* With the lock held, let go of meanwhile: makes one segment, of the given size
 * or, where the disk has no room for it, of less. */
static persist_status prepare(wal *w, uint64_t size, uint64_t least,
                              wal_claim claim, wal_segment **out,
                              persist_error *error)
{
    CHECK(!w->preparing && least >= SEGMENT_SIZE_MIN && least <= size);
    wal_segment *segment = mem_alloc_zero(sizeof *segment);
    persist_status status;
    uint64_t wanted = size, recycled;
    bool is_full = atomic_load(&w->full);
    if (segment == NULL)
        return status_no_memory(error);
    w->preparing = true;
    segment->end = SEGMENT_HEADER_SIZE;
    do {
        recycled = next_free(w);
        wal_size takes = wal_size_of(w);
        segment->number = w->next_number++;
        segment->size = size;
        pthread_mutex_unlock(&w->lock);
        status = make_file(w, takes, claim, recycled, segment, error);
        pthread_mutex_lock(&w->lock);
    } while (status == PERSIST_NO_SPACE && try_less(recycled, least, &size));
    w->preparing = false;
    pthread_cond_broadcast(&w->prepared);
    if (status == PERSIST_OK || status == PERSIST_NO_SPACE)
        atomic_store(&w->full, status != PERSIST_OK || size < wanted ||
                                   (wal_frees(claim) && is_full));
    if (status == PERSIST_OK)
        *out = segment;
    else
        mem_free(segment);
    return status;
}

/* How much room a log that writes as this opening does should have ahead: what
 * it has written, up to what is ever kept ready. Nothing else is decided by
 * figures that grow as long as a process lives. */
static uint64_t pace(const wal *w)
{
    uint64_t most = (SEGMENT_SPARES + 1) * w->segment_size;
    return w->bytes_logged < most ? w->bytes_logged : most;
}

/* Filling a segment costs as much as writing it, and the first commit waits
 * for that: segments begin small, and grow up to the usual size with what an
 * opening writes. A record that needs more gets that, and no more. */
static uint64_t next_size(const wal *w, uint64_t need)
{
    uint64_t usual = w->segment_size;
    uint64_t size = pace(w) * SEGMENT_GROWTH;
    if (size < usual / SEGMENT_FIRST_SHARE)
        size = usual / SEGMENT_FIRST_SHARE;
    if (size > usual)
        size = usual;
    if (size < need)
        size = need;
    size = (size + SEGMENT_ROUND - 1) / SEGMENT_ROUND * SEGMENT_ROUND;
    if (size > usual && need <= usual)
        size = usual;
    CHECK(size >= need && size >= SEGMENT_SIZE_MIN && size <= SEGMENT_SIZE_MAX);
    return size;
}

/* As much is kept ready as was written, and two segments at the most: a store
 * that writes little, or nothing, needs no spare. */
bool wal_wants_spare(const wal *w)
{
    const wal_segment *active = w->active;
    if (w->bytes_logged == 0 || w->preparing || w->awaited || wal_failed(w) ||
        atomic_load(&w->full))
        return false;
    CHECK(active != NULL && active->end <= active->size);
    uint64_t ready = active->size - active->end;
    for (const wal_segment *s = w->spares; s != NULL; s = s->next)
        ready += s->size;
    return w->spare_count < SEGMENT_SPARES && ready < pace(w);
}

/* What does for a record of so many bytes, with the header, where the disk has
 * no room for more. */
static uint64_t least_size(const wal *w, uint64_t need, wal_claim claim)
{
    uint64_t usual = next_size(w, need), least = need;
    uint64_t little = w->segment_size / SEGMENT_LITTLE_SHARE;
    if (claim == WAL_ADDS && little > need)
        least = little;
    least = (least + SEGMENT_ROUND - 1) / SEGMENT_ROUND * SEGMENT_ROUND;
    return least < usual ? least : usual;
}

static persist_status prepare_spare(wal *w, bool *did, persist_error *error)
{
    *did = false;
    CHECK(w->spare_count <= SEGMENT_SPARES);
    if (!wal_wants_spare(w))
        return PERSIST_OK;
    uint64_t size = next_size(w, 0);
    wal_segment *segment = NULL;
    persist_status status = prepare(w, size, size, WAL_SPARE, &segment, error);
    if (status != PERSIST_OK)
        return status;
    wal_segment **link = &w->spares;
    while (*link != NULL)
        link = &(*link)->next;
    *link = segment;
    w->spare_count++;
    *did = true;
    return PERSIST_OK;
}

persist_status wal_prepare_step(wal *w, bool *did, persist_error *error)
{
    pthread_mutex_lock(&w->lock);
    persist_status status = prepare_spare(w, did, error);
    pthread_mutex_unlock(&w->lock);
    return status;
}

/* Takes the first spare away. */
static wal_segment *next_spare(wal *w)
{
    wal_segment *spare = w->spares;
    CHECK(spare != NULL && w->spare_count > 0);
    w->spares = spare->next;
    w->spare_count--;
    return spare;
}

/* A spare has a lower number than all that come after it, so it cannot be used
 * behind them. Its file can, under a new number. */
static void drop_spare(wal *w)
{
    wal_segment *spare = next_spare(w);
    wal_free_segment(w, spare->number, spare->size);
    close_segment(w, spare);
}

/* Waits for the segment that the background is making, which begins no other
 * meanwhile: one after the other could be too small for the record. */
static void await_prepared(wal *w)
{
    CHECK(w->preparing && !w->awaited);
    w->awaited = true;
    while (w->preparing)
        pthread_cond_wait(&w->prepared, &w->lock);
    w->awaited = false;
}

/* On a full disk what frees space takes little, and leaves the rest to upkeep,
 * whose tables and manifests are what makes it free. */
static uint64_t size_for(const wal *w, uint64_t need, wal_claim claim)
{
    uint64_t size = next_size(w, need), little = least_size(w, need, claim);
    if (!wal_frees(claim) || !atomic_load(&w->full))
        return size;
    if (little < w->segment_size / SEGMENT_LITTLE_SHARE)
        little = w->segment_size / SEGMENT_LITTLE_SHARE / SEGMENT_ROUND *
                 SEGMENT_ROUND;
    return little < size ? little : size;
}

/* With the lock held, let go of meanwhile: whether the first spare may be used,
 * of that size. If not, all give way to a smaller one. */
static bool may_use_spare(wal *w, uint64_t size, wal_claim claim)
{
    wal_size takes = wal_size_of(w);
    pthread_mutex_unlock(&w->lock);
    bool may = wal_keep(w, takes, size, claim) == 0;
    pthread_mutex_lock(&w->lock);
    while (!may && w->spares != NULL)
        drop_spare(w);
    return may;
}

/* With the lock held: a spare if one is big enough, else a new one. */
static persist_status take_segment(wal *w, uint64_t need, wal_claim claim,
                                   wal_segment **out, persist_error *error)
{
    uint64_t size = SEGMENT_HEADER_SIZE + need, kept = 0;
    CHECK(need >= RECORD_HEADER_SIZE && need % LOG_ALIGN == 0);
    if (claim == WAL_NO_SEGMENT)
        return no_room(w, error);
    for (;;) {
        while (w->spares != NULL && w->spares->size < size)
            drop_spare(w);
        if (w->spares != NULL && w->spares->size <= kept) {
            *out = next_spare(w);
            return PERSIST_OK;
        }
        if (w->spares != NULL) {
            kept = w->spares->size;
            if (!may_use_spare(w, kept, claim))
                kept = 0;
            continue;
        }
        if (!w->preparing)
            return prepare(w, size_for(w, size, claim),
                           least_size(w, size, claim), claim, out, error);
        await_prepared(w);
    }
}

static segment_entry entry_of(const wal_segment *s)
{
    CHECK(s->first != 0 && s->last >= s->first && s->end <= s->size);
    return (segment_entry){s->number, s->size, s->first, s->last, s->end};
}

persist_status wal_next_segment(wal *w, uint64_t need, wal_claim claim,
                                persist_error *error)
{
    wal_segment *old = w->active, *segment = NULL;
    bool used = old != NULL && old->first != 0;
    pthread_mutex_lock(&w->lock);
    if (used && !manifest_add(&w->sealed, entry_of(old))) {
        pthread_mutex_unlock(&w->lock);
        return status_no_memory(error);
    }
    persist_status status = take_segment(w, need, claim, &segment, error);
    if (status == PERSIST_OK) {
        CHECK(segment != NULL);
        if (old != NULL) {
            CHECK(segment->number > old->number);
            old->sealed = true;
            if (!used)
                wal_free_segment(w, old->number, old->size);
        }
        segment->next = w->open;
        w->open = segment;
        w->active = segment;
        wal_reap(w);
        pthread_cond_signal(&w->worker.work);
    } else if (used) {
        w->sealed.segment_count--;
    }
    pthread_mutex_unlock(&w->lock);
    return status;
}

/* ---- the background --------------------------------------------------- */

static void *background(void *context)
{
    wal *w = context;
    pthread_mutex_lock(&w->lock);
    while (!w->worker.stops) {
        bool did;
        persist_error ignored; /* an append that needs a segment will tell */
        persist_status status = prepare_spare(w, &did, &ignored);
        if ((status != PERSIST_OK || !did) && !w->worker.stops)
            wal_rest(w);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

persist_status wal_start(wal *w, persist_error *error)
{
    int code = os_worker_start(&w->worker, &w->lock, background, w);
    if (code != 0)
        return os_no_thread(error, code, w->place.dir->path);
    return PERSIST_OK;
}

void wal_stop(wal *w)
{
    os_worker_stop(&w->worker, &w->lock);
}

/* ---- opening and closing ---------------------------------------------- */

static persist_status adopt(wal *w, const manifest *listed, bool resume,
                            persist_error *error)
{
    size_t sealed = listed->segment_count - (resume ? 1 : 0);
    for (size_t i = 0; i < sealed; i++)
        if (!manifest_add(&w->sealed, listed->segments[i]))
            return status_no_memory(error);
    if (!resume)
        return PERSIST_OK;
    const segment_entry *e = &listed->segments[sealed];
    CHECK(e->last == listed->watermark);
    wal_segment *segment = mem_alloc_zero(sizeof *segment);
    if (segment == NULL)
        return status_no_memory(error);
    persist_status status =
        segment_open(&w->place, e->number, &segment->file, error);
    if (status != PERSIST_OK)
        mem_free(segment);
    if (status == PERSIST_NONE)
        return manifest_add(&w->sealed, *e) ? PERSIST_OK
                                            : status_no_memory(error);
    if (status != PERSIST_OK)
        return status;
    segment->number = e->number;
    segment->size = e->size;
    segment->end = e->end;
    segment->first = e->first;
    segment->last = e->last;
    w->active = w->open = segment;
    w->synced_end = *e;
    return PERSIST_OK;
}

persist_status wal_open(wal *w, const segment_place *place,
                        uint64_t segment_size, const manifest *listed,
                        bool resume, uint64_t next_number, uint64_t position,
                        persist_error *error)
{
    CHECK(!resume || listed->segment_count > 0);
    *w = (wal){.place = *place, .segment_size = segment_size};
    w->next_number = next_number;
    w->appended = (wal_point){listed->watermark, position};
    w->told = listed->watermark;
    w->first_lsn = w->next_lsn = manifest_next_lsn(listed);
    w->ahead_max = LSN_AHEAD;
    atomic_init(&w->durable, listed->watermark);
    atomic_init(&w->room, SIZE_MAX);
    os_brief_lock_init(&w->lock);
    os_news_init(&w->news, place->sys, &w->lock, position);
    pthread_cond_init(&w->prepared, NULL);
    os_worker_init(&w->worker);
    w->buffer_size = (size_t)(LOG_BUFFER_SEGMENTS * segment_size);
    if (w->buffer_size > LOG_BUFFER_SIZE_MAX)
        w->buffer_size = LOG_BUFFER_SIZE_MAX;
    if (!buf_reserve(&w->scratch, w->buffer_size) ||
        !buf_reserve(&w->fill.bytes, w->buffer_size) ||
        !buf_reserve(&w->out.bytes, w->buffer_size))
        return status_no_memory(error);
    return adopt(w, listed, resume, error);
}

void wal_close(wal *w)
{
    if (w->place.sys == NULL)
        return;
    wal_stop(w);
    while (w->spares != NULL)
        drop_spare(w);
    while (w->open != NULL) {
        wal_segment *s = w->open;
        w->open = s->next;
        close_segment(w, s);
    }
    manifest_release(&w->sealed);
    manifest_release(&w->held);
    buf_release(&w->scratch);
    buf_release(&w->fill.bytes);
    buf_release(&w->out.bytes);
    mem_free(w->free_files);
    os_news_release(&w->news);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->prepared);
    os_worker_release(&w->worker);
    w->place.sys = NULL;
}

persist_status wal_describe(wal *w, persist_lsn tables_last, bool closing,
                            manifest *out, persist_error *error)
{
    persist_lsn last = w->appended.lsn;
    CHECK(last == wal_durable(w) && tables_last <= last);
    bool added = true;
    out->segment_count = 0;
    for (size_t i = 0; i < w->sealed.segment_count && added; i++)
        if (w->sealed.segments[i].last > tables_last)
            added = manifest_add(out, w->sealed.segments[i]);
    bool needed = w->active != NULL && w->active->first != 0 &&
                  (!closing || w->active->last > tables_last);
    if (added && needed)
        added = manifest_add(out, entry_of(w->active));
    out->watermark = last;
    pthread_mutex_lock(&w->lock);
    out->next_segment = w->next_number;
    pthread_mutex_unlock(&w->lock);
    if (w->active != NULL && !closing)
        out->next_segment = w->active->number + (needed ? 1 : 0);
    return added ? PERSIST_OK : status_no_memory(error);
}

bool wal_may_trim(const wal *w, persist_lsn tables_last)
{
    const manifest *sealed = &w->sealed;
    return sealed->segment_count > 0 && sealed->segments[0].last <= tables_last;
}

void wal_trim(wal *w, const manifest *m)
{
    size_t gone = 0;
    persist_lsn tables_last = manifest_tables_last(m);
    manifest *sealed = &w->sealed;
    pthread_mutex_lock(&w->lock);
    if (m->watermark > w->told)
        w->told = m->watermark;
    while (gone < sealed->segment_count &&
           sealed->segments[gone].last <= tables_last &&
           !manifest_lists(m, sealed->segments[gone].number) &&
           wal_let_go(w, sealed->segments[gone]))
        gone++;
    sealed->segment_count -= gone;
    if (gone > 0)
        memmove(sealed->segments, sealed->segments + gone,
                sealed->segment_count * sizeof *sealed->segments);
    pthread_mutex_unlock(&w->lock);
}

/* With the lock held: takes a file that is not to be kept off the list; 0:
 * there is none. */
static uint64_t take_unwanted(wal *w, size_t kept)
{
    size_t i = w->free_count;
    if (w->free_count <= kept)
        while (i > 0 && w->free_files[i - 1].size <= w->segment_size)
            i--;
    if (i == 0)
        return 0;
    uint64_t number = w->free_files[i - 1].number;
    w->free_files[i - 1] = w->free_files[--w->free_count];
    return number;
}

void wal_drop_free(wal *w, size_t kept)
{
    for (;;) {
        pthread_mutex_lock(&w->lock);
        uint64_t number = take_unwanted(w, kept);
        pthread_mutex_unlock(&w->lock);
        if (number == 0)
            return;
        delete_file(w, number);
    }
}

bool wal_make_room(wal *w)
{
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->full, true);
    while (w->spares != NULL)
        drop_spare(w);
    wal_hold_give_up(w);
    bool any = w->free_count > 0;
    pthread_mutex_unlock(&w->lock);
    wal_drop_free(w, 0);
    return any;
}

persist_status wal_renew(wal *w, uint64_t *from, persist_error *error)
{
    persist_status status = PERSIST_OK;
    pthread_mutex_lock(&w->lock);
    w->renewals++;
    while (w->preparing)
        await_prepared(w);
    while (w->spares != NULL)
        drop_spare(w);
    pthread_mutex_unlock(&w->lock);
    if (w->active != NULL)
        status = wal_next_segment(w, RECORD_HEADER_SIZE, WAL_ADDS, error);
    wal_drop_free(w, 0);
    pthread_mutex_lock(&w->lock);
    *from = w->active == NULL ? w->next_number : w->active->number;
    w->renewals -= status != PERSIST_OK;
    CHECK(*from > 0);
    pthread_mutex_unlock(&w->lock);
    return status;
}

void wal_renew_end(wal *w)
{
    pthread_mutex_lock(&w->lock);
    CHECK(w->renewals > 0);
    w->renewals--;
    pthread_mutex_unlock(&w->lock);
}

void wal_note_full(wal *w)
{
    atomic_store(&w->full, true);
}

void wal_leave(wal *w, const manifest *before)
{
    CHECK(!w->worker.runs && w->holds == NULL);
    while (w->spares != NULL)
        drop_spare(w);
    wal_trim(w, before);
    wal_drop_free(w, 0);
}
