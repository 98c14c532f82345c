/* SPDX-License-Identifier: MIT */
/* The write-ahead log: files that somebody needs besides the store, a backup or
 * whoever follows the log.
 *
 * What a manifest lets go is kept then, on a list of its own: recovery knows
 * nothing of it, and after a crash the next opening deletes it. It is recycled
 * or deleted when nobody holds it any more. Who follows may be slow, or have
 * been forgotten: what is kept for him is bounded, and goes where the disk is
 * full. */
#include "engine/log/wal.h"

#include "base/status.h"

static bool needs(const wal_hold *h, const segment_entry *s)
{
    return !h->gone && s->last > h->after && s->number <= h->upto;
}

static bool is_needed(const wal *w, const segment_entry *s)
{
    for (const wal_hold *h = w->holds; h != NULL; h = h->next)
        if (needs(h, s))
            return true;
    return false;
}

/* With the lock held: what nobody needs goes to the files that wait to be
 * recycled; where there is no memory for that it stays for a later call. */
static void sort_out(wal *w)
{
    manifest *held = &w->held;
    size_t kept = 0;
    for (size_t i = 0; i < held->segment_count; i++) {
        segment_entry s = held->segments[i];
        if (is_needed(w, &s) || !wal_free_segment(w, s.number, s.size))
            held->segments[kept++] = s;
    }
    held->segment_count = kept;
}

static uint64_t kept_for(const wal *w, const wal_hold *h)
{
    uint64_t size = 0;
    for (size_t i = 0; i < w->held.segment_count; i++)
        if (needs(h, &w->held.segments[i]))
            size += w->held.segments[i].size;
    return size;
}

bool wal_let_go(wal *w, segment_entry s)
{
    if (!is_needed(w, &s))
        return wal_free_segment(w, s.number, s.size);
    if (!manifest_add(&w->held, s))
        return false;
    bool gave_up = false;
    for (wal_hold *h = w->holds; h != NULL; h = h->next)
        if (!h->gone && kept_for(w, h) > h->most)
            h->gone = gave_up = true;
    if (gave_up)
        sort_out(w);
    return true;
}

void wal_hold_give_up(wal *w)
{
    for (wal_hold *h = w->holds; h != NULL; h = h->next)
        h->gone = h->gone || h->most != UINT64_MAX;
    sort_out(w);
}

/* With the lock held: behind which commit the log begins of which no file is
 * missing. Of those that are held some may be: each hold has its own. */
static persist_lsn begins_behind(const wal *w)
{
    const manifest *held = &w->held;
    persist_lsn from = w->appended.lsn;
    if (w->sealed.segment_count > 0)
        from = w->sealed.segments[0].first - 1;
    else if (w->active != NULL && w->active->first != 0)
        from = w->active->first - 1;
    for (size_t i = held->segment_count; i-- > 0;)
        if (held->segments[i].last == from)
            from = held->segments[i].first - 1;
    return from;
}

persist_status wal_hold_begin(wal *w, wal_hold *h, persist_error *error)
{
    CHECK(h->upto > 0);
    pthread_mutex_lock(&w->lock);
    persist_lsn from = begins_behind(w);
    bool there = h->after >= from;
    h->gone = false;
    if (there) {
        h->next = w->holds;
        w->holds = h;
    }
    pthread_mutex_unlock(&w->lock);
    return there ? PERSIST_OK
                 : status_set(error, PERSIST_LOST,
                              "the log behind the commit %llu is gone, what is "
                              "left begins behind %llu; begin another backup",
                              (unsigned long long)h->after,
                              (unsigned long long)from);
}

void wal_hold_move(wal *w, wal_hold *h, persist_lsn after)
{
    pthread_mutex_lock(&w->lock);
    CHECK(after >= h->after);
    h->after = after;
    if (w->held.segment_count > 0)
        sort_out(w);
    pthread_mutex_unlock(&w->lock);
}

void wal_hold_end(wal *w, wal_hold *h)
{
    pthread_mutex_lock(&w->lock);
    wal_hold **link = &w->holds;
    while (*link != h) {
        CHECK(*link != NULL);
        link = &(*link)->next;
    }
    *link = h->next;
    sort_out(w);
    pthread_mutex_unlock(&w->lock);
}

bool wal_holds_before(wal *w, uint64_t number)
{
    bool any = false;
    pthread_mutex_lock(&w->lock);
    CHECK(number > 0);
    for (size_t i = 0; i < w->held.segment_count; i++)
        any = any || w->held.segments[i].number < number;
    pthread_mutex_unlock(&w->lock);
    return any;
}

bool wal_find_behind(wal *w, persist_lsn after, segment_entry *out)
{
    const manifest *lists[] = {&w->held, &w->sealed};
    bool found = false;
    CHECK(w->holds != NULL);
    pthread_mutex_lock(&w->lock);
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < lists[k]->segment_count && !found; i++) {
            *out = lists[k]->segments[i];
            found = out->last > after && out->first <= after + 1;
        }
    const wal_segment *s = w->active;
    if (!found && s != NULL && s->first != 0 && s->last > after) {
        *out = (segment_entry){s->number, s->size, s->first, s->last, s->end};
        found = true;
    }
    pthread_mutex_unlock(&w->lock);
    return found;
}

bool wal_hold_is_gone(wal *w, const wal_hold *h)
{
    pthread_mutex_lock(&w->lock);
    bool gone = h->gone;
    pthread_mutex_unlock(&w->lock);
    return gone;
}
