/* SPDX-License-Identifier: MIT */
/* The write-ahead log: what is kept on the disk beside its segments, so that a
 * full one has a way out. Who keeps it is told how much a log takes. */
#include "engine/log/wal.h"

static void note_size(const wal *w, wal_size *takes, uint64_t size)
{
    CHECK(size <= SEGMENT_SIZE_MAX);
    if (size > w->segment_size && size > takes->biggest)
        takes->biggest = size;
}

wal_size wal_size_of(const wal *w)
{
    wal_size takes = {.segments = w->sealed.segment_count};
    for (size_t i = 0; i < w->sealed.segment_count; i++)
        note_size(w, &takes, w->sealed.segments[i].size);
    if (w->active != NULL) {
        CHECK(w->active->end <= w->active->size);
        note_size(w, &takes, w->active->size);
        takes.segments++;
        takes.ahead = w->active->size - w->active->end;
    }
    return takes;
}

wal_size wal_takes(wal *w)
{
    pthread_mutex_lock(&w->lock);
    wal_size takes = wal_size_of(w);
    pthread_mutex_unlock(&w->lock);
    return takes;
}

static wal_size size_with(const wal *w, wal_size takes, uint64_t size)
{
    note_size(w, &takes, size);
    takes.ahead = size;
    takes.segments++;
    return takes;
}

int wal_keep(const wal *w, wal_size takes, uint64_t size, wal_claim claim)
{
    if (w->keep == NULL || claim == WAL_SPARE)
        return 0;
    return w->keep(w->context, size_with(w, takes, size), claim);
}

bool wal_lend(const wal *w, wal_size takes, uint64_t size, wal_claim claim)
{
    if (w->lend == NULL || claim == WAL_SPARE)
        return false;
    return w->lend(w->context, size_with(w, takes, size), size, claim);
}

/* ---- figures ---------------------------------------------------------- */

void wal_stats(wal *w, persist_stats *out)
{
    pthread_mutex_lock(&w->lock);
    out->syncs = w->syncs;
    out->bytes_logged = w->bytes_logged;
    out->segments = w->sealed.segment_count + (w->active == NULL ? 0 : 1);
    out->segments_spare = w->spare_count;
    pthread_mutex_unlock(&w->lock);
}

uint64_t wal_bytes(wal *w)
{
    uint64_t bytes = 0;
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < w->sealed.segment_count; i++)
        bytes += w->sealed.segments[i].size;
    for (const wal_segment *s = w->spares; s != NULL; s = s->next)
        bytes += s->size;
    for (size_t i = 0; i < w->free_count; i++)
        bytes += w->free_files[i].size;
    bytes += w->active == NULL ? 0 : w->active->size;
    pthread_mutex_unlock(&w->lock);
    return bytes;
}

bool wal_has_before(const wal *w, uint64_t number)
{
    const manifest *sealed = &w->sealed;
    return sealed->segment_count > 0 && sealed->segments[0].number < number;
}
