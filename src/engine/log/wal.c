/* SPDX-License-Identifier: MIT */
/* The write-ahead log: appending, and group commit.
 *
 * Records gather in `fill`. A leader swaps it with the empty `out`, lets go
 * of the lock, writes and syncs. Syncs are numbered: a waiter whose record is
 * in the one in progress sleeps with those of that generation, all others with
 * those of the next. The leader wakes one of the next, who leads it, and all of
 * its own, with one call and without a lock that they would queue for: nobody
 * wakes in vain. */

#include "engine/log/wal.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "os/os_sleep.h"

enum { FAILURE_SHOWN = 300 }; /* bytes of what has failed */

/* ---- the leader ------------------------------------------------------- */

static int write_batch(const wal *w, const wal_batch *batch)
{
    int code = 0;
    for (size_t i = 0; i < batch->extent_count && code == 0; i++) {
        const wal_extent *e = &batch->extents[i];
        CHECK(e->from + e->size <= batch->bytes.size);
        CHECK(e->at + e->size <= e->segment->size);
        code = os_write_all(w->place.sys, e->segment->file,
                            batch->bytes.data + e->from, e->size, e->at);
    }
    return code;
}

/* What records name is durable before they are written. */
static int sync_named(const wal *w)
{
    return w->sync_first == NULL ? 0 : w->sync_first(w->context);
}

static int sync_segments(const wal *w, const wal_segment *list)
{
    int code = 0;
    for (; list != NULL && code == 0; list = list->sync_next)
        code = os_sync(w->place.sys, list->file);
    return code;
}

/* With the lock held: what the batch touches counts as written from now on.
 * Returns the list of all that needs a sync. */
static wal_segment *mark_written(wal *w)
{
    for (size_t i = 0; i < w->out.extent_count; i++) {
        wal_segment *segment = w->out.extents[i].segment;
        CHECK(segment->pending > 0);
        segment->unsynced = true;
    }
    wal_segment *list = NULL;
    for (wal_segment *s = w->open; s != NULL; s = s->next)
        if (s->unsynced) {
            s->sync_next = list;
            list = s;
        }
    return list;
}

/* What one big record needed is not kept. */
static void empty(const wal *w, buf *b)
{
    buf_clear(b);
    if (b->capacity <= w->buffer_size)
        return;
    uint8_t *smaller = mem_realloc(b->data, w->buffer_size);
    if (smaller != NULL) {
        b->data = smaller;
        b->capacity = w->buffer_size;
    }
}

static void clear_batch(const wal *w, wal_batch *batch)
{
    for (size_t i = 0; i < batch->extent_count; i++)
        batch->extents[i].segment->pending--;
    batch->extent_count = 0;
    empty(w, &batch->bytes);
}

/* ---- waiting ---------------------------------------------------------- */

static wal_waiters *waiters_of(wal *w, uint64_t generation)
{
    return &w->waiters[generation % 2];
}

/* With the lock held: who falls asleep from now on is not meant. Returns
 * whether somebody sleeps, and is to be woken when the lock is free. */
static bool call(wal_waiters *g, bool all)
{
    bool asleep = g->asleep > 0;
    if (asleep)
        atomic_fetch_add_explicit(&g->word, 1, memory_order_release);
    g->asleep = all || !asleep ? 0 : g->asleep - 1;
    return asleep;
}

/* With the lock held, which it lets go of: sleeps until somebody leads the next
 * turn, or until it is time to, which the first of those who do this finds
 * out. */
static void await_others(wal *w)
{
    CHECK(!w->led && gather_hopes(&w->gather));
    const os *sys = w->place.sys;
    wal_waiters *g = waiters_of(w, w->generation + 1);
    uint32_t word = atomic_load_explicit(&g->word, memory_order_relaxed);
    bool watches = w->gather.watcher == NULL;
    uint64_t now = watches ? sys->clock_us(sys) : 0;
    if (now >= w->gather.until) {
        gather_note_late(&w->gather);
        pthread_mutex_unlock(&w->lock);
        return;
    }
    g->asleep++;
    if (watches)
        w->gather.watcher = &word;
    uint64_t most = watches ? w->gather.until - now : UINT64_MAX;
    pthread_mutex_unlock(&w->lock);
    sys->sleep_while(sys, &g->word, word, most);
    if (!watches)
        return;
    pthread_mutex_lock(&w->lock);
    if (w->gather.watcher == &word)
        w->gather.watcher = NULL;
    if (word == atomic_load_explicit(&g->word, memory_order_relaxed))
        g->asleep--; /* nobody has called */
    pthread_mutex_unlock(&w->lock);
}

/* With the lock held, which it lets go of: sleeps until the turn in progress
 * is over, or until somebody is needed to lead the next. */
static void await_turn(wal *w, persist_lsn lsn)
{
    CHECK(w->led);
    bool covered = lsn <= w->syncing_last;
    wal_waiters *g = waiters_of(w, w->generation + (covered ? 0 : 1));
    uint32_t word = atomic_load_explicit(&g->word, memory_order_relaxed);
    g->asleep++;
    pthread_mutex_unlock(&w->lock);
    os_sleep_while(&g->word, word);
}

static void fail_locked(wal *w, const persist_error *why)
{
    CHECK(why->status > PERSIST_NONE);
    if (!wal_failed(w))
        w->failure = *why;
    atomic_store_explicit(&w->failed, true, memory_order_release);
    for (int i = 0; i < 2; i++)
        if (call(&w->waiters[i], true))
            os_wake_all(&w->waiters[i].word);
    if (os_news_stop(&w->news))
        os_wake_all(&w->news.word);
}

/* ---- writing and syncing --------------------------------------------- */

/* With the lock held: how much may be added to what is being filled. A record
 * that is bigger than the buffer comes alone. */
static void measure_room(wal *w)
{
    const wal_batch *batch = &w->fill;
    size_t room = SIZE_MAX;
    if (batch->extent_count == WAL_EXTENTS ||
        batch->bytes.size > w->buffer_size)
        room = 0;
    else if (batch->bytes.size > 0)
        room = w->buffer_size - batch->bytes.size;
    atomic_store_explicit(&w->room, room, memory_order_relaxed);
}

static wal_segment *begin_turn(wal *w, bool sync, wal_point *last)
{
    CHECK(!w->led && w->out.extent_count == 0);
    w->led = true;
    wal_batch swap = w->fill;
    w->fill = w->out;
    w->out = swap;
    measure_room(w);
    *last = w->appended;
    const wal_segment *s = w->active;
    w->turn_end = (segment_entry){0};
    if (s != NULL && s->first != 0)
        w->turn_end =
            (segment_entry){s->number, s->size, s->first, s->last, s->end};
    if (sync) {
        w->generation++;
        w->syncing_last = last->lsn;
    }
    return mark_written(w);
}

/* The first sealed segment behind that number; its own is 0: there is none. */
static segment_entry sealed_after(wal *w, uint64_t number)
{
    segment_entry found = {0};
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < w->sealed.segment_count && found.number == 0; i++)
        if (w->sealed.segments[i].number > number)
            found = w->sealed.segments[i];
    pthread_mutex_unlock(&w->lock);
    return found;
}

/* A file that is not there, or not whole, counts while it is still needed. */
static persist_status check_sealed(wal *w, persist_error *error)
{
    persist_status status = PERSIST_OK;
    segment_entry e = sealed_after(w, 0);
    for (; status == PERSIST_OK && e.number != 0;
         e = sealed_after(w, e.number)) {
        status = segment_check_name(&w->place, e.number, NULL, e.size, error);
        if (status != PERSIST_OK &&
            sealed_after(w, e.number - 1).number != e.number)
            status = PERSIST_OK;
    }
    return status;
}

/* A segment has its size before anything is written to it, and keeps it: one
 * that was cut is short also when it was written to again. Each once since the
 * last look at all names: that one has heard of what was done to a segment
 * before anything was written to it. */
static persist_status check_written(wal *w, wal_segment *written,
                                    persist_error *error)
{
    persist_status status = PERSIST_OK;
    uint64_t looks = atomic_load(&w->looks);
    for (; written != NULL && status == PERSIST_OK;
         written = written->sync_next) {
        if (written->looked == looks)
            continue;
        status = segment_check_name(&w->place, written->number, written->file,
                                    written->size, error);
        if (status == PERSIST_OK)
            written->looked = looks;
    }
    return status;
}

persist_status wal_check_names(wal *w, wal_segment *written,
                               persist_error *error)
{
    atomic_fetch_add(&w->looks, 1);
    persist_status status = check_sealed(w, error);
    return status == PERSIST_OK ? check_written(w, written, error) : status;
}

/* Whether what goes to the log is where it is looked for later. */
static bool is_held(wal *w, wal_segment *list, persist_error *why)
{
    return w->check_hold == NULL ||
           (w->check_hold(w->context, list, why) == PERSIST_OK &&
            check_written(w, list, why) == PERSIST_OK);
}

static void tell(const wal *w, int code, bool sync, persist_error *why)
{
    const char *path = w->place.dir->path;
    if (code == -ENOENT)
        status_set(why, PERSIST_IO,
                   "a file of %.300s was deleted while the store was open",
                   path);
    else if (code == -ERANGE)
        status_set(why, PERSIST_IO,
                   "a file of %.300s was cut short while the store was open",
                   path);
    else
        os_failed(why, code, sync ? "write and sync" : "write", path);
}

/* A sync has met a file that is gone, or is not whole: a look can name it. */
static bool names_it(wal *w, int code, wal_segment *list, persist_error *why)
{
    if (code != -ENOENT && code != -ERANGE)
        return false;
    atomic_fetch_add(&w->looks, 1);
    return !is_held(w, list, why);
}

/* The leader, without the lock: writes what is there, and syncs if told to.
 * False: why it counts for nothing. */
static bool write_out(wal *w, bool sync, wal_segment *list, persist_error *why)
{
    if (sync && !is_held(w, list, why))
        return false;
    int code = sync_named(w);
    if (code == 0)
        code = write_batch(w, &w->out);
    if (code == 0 && sync)
        code = sync_segments(w, list);
    if (code != 0) {
        if (!names_it(w, code, list, why))
            tell(w, code, sync, why);
        return false;
    }
    return !sync || is_held(w, list, why);
}

/* why: what has failed; NULL: nothing. Returns whether who waits for a position
 * is to be woken. */
static bool end_turn(wal *w, const persist_error *why, bool sync,
                     wal_point last, wal_segment *list)
{
    CHECK(w->led && last.lsn >= wal_durable(w));
    clear_batch(w, &w->out);
    w->led = false;
    w->syncing_last = 0;
    if (why != NULL) {
        fail_locked(w, why);
        return false;
    }
    /* What failed meanwhile elsewhere is final for these too. */
    if (!sync || wal_failed(w))
        return false;
    for (; list != NULL; list = list->sync_next)
        list->unsynced = false;
    w->syncs++;
    w->synced_end = w->turn_end;
    atomic_store_explicit(&w->durable, last.lsn, memory_order_release);
    wal_reap(w);
    if (w->rests)
        pthread_cond_signal(&w->worker.work);
    w->rests = false;
    return os_news_rise(&w->news, last.position);
}

void wal_lead(wal *w, bool sync)
{
    wal_point last;
    const os *sys = w->place.sys;
    wal_segment *list = begin_turn(w, sync, &last);
    bool rises = sync && last.lsn > wal_durable(w);
    bool measures = sync && gather_measures(&w->gather);
    pthread_mutex_unlock(&w->lock);
    persist_error why;
    uint64_t began = measures ? sys->clock_us(sys) : 0;
    bool done = write_out(w, sync, list, &why);
    uint64_t ended = measures ? sys->clock_us(sys) : 0;
    pthread_mutex_lock(&w->lock);
    bool news = end_turn(w, done ? NULL : &why, sync, last, list);
    wal_waiters *own = waiters_of(w, w->generation);
    wal_waiters *next = waiters_of(w, w->generation + 1);
    if (sync)
        gather_note_sync(&w->gather, own->asleep + 1, began, ended);
    bool wakes_next = call(next, false), wakes_own = sync && call(own, true);
    bool ships = rises && w->holds != NULL;
    if (ships)
        atomic_fetch_add(&w->shipped, 1);
    pthread_mutex_unlock(&w->lock);
    if (ships)
        os_wake_all(&w->shipped);
    if (wakes_own)
        os_wake_all(&own->word);
    if (wakes_next)
        os_wake_one(&next->word);
    if (rises || !done)
        os_news_tell(&w->news, news);
}

persist_status wal_wait(wal *w, persist_lsn lsn, persist_error *error)
{
    for (bool first = true; lsn > wal_durable(w); first = false) {
        if (wal_failed(w))
            return wal_read_only(w, error);
        pthread_mutex_lock(&w->lock);
        CHECK(lsn <= w->appended.lsn);
        if (first)
            gather_note_back(&w->gather);
        if (lsn <= wal_durable(w) || wal_failed(w))
            pthread_mutex_unlock(&w->lock);
        else if (w->led)
            await_turn(w, lsn);
        else if (gather_hopes(&w->gather))
            await_others(w);
        else
            wal_lead(w, true);
    }
    return PERSIST_OK;
}

/* With the lock: whoever has seen an lsn durable sees its position, too. */
wal_point wal_durable_point(wal *w)
{
    pthread_mutex_lock(&w->lock);
    wal_point point = {wal_durable(w), os_news_newest(&w->news)};
    pthread_mutex_unlock(&w->lock);
    return point;
}

/* ---- the writer ------------------------------------------------------- */

buf *wal_begin(wal *w)
{
    empty(w, &w->scratch);
    if (!buf_reserve(&w->scratch, RECORD_HEADER_SIZE))
        return NULL;
    w->scratch.size = RECORD_HEADER_SIZE;
    return &w->scratch;
}

/* Waits until a record has room in the buffer. */
static void await_room(wal *w, uint64_t size)
{
    bool slept = false;
    for (;;) {
        pthread_mutex_lock(&w->lock);
        if (size <= atomic_load(&w->room) || wal_failed(w))
            break;
        slept = slept || w->led;
        if (w->led)
            await_turn(w, UINT64_MAX);
        else
            wal_lead(w, false);
    }
    /* Pass on a wake-up that was meant for a leader. */
    wal_waiters *next = waiters_of(w, w->generation + 1);
    bool wakes = slept && !w->led && call(next, false);
    pthread_mutex_unlock(&w->lock);
    if (wakes)
        os_wake_one(&next->word);
}

/* What would be lost by a crash now is no more than the next opening leaves
 * out. */
static bool is_too_far(const wal *w)
{
    uint64_t from = wal_durable(w) + 1;
    from = from < w->first_lsn ? w->first_lsn : from;
    return UNLIKELY(w->next_lsn - from >= w->ahead_max);
}

persist_status wal_reserve(wal *w, wal_claim claim, persist_error *error)
{
    CHECK(!w->scratch.failed && w->scratch.size >= RECORD_HEADER_SIZE);
    uint64_t size = record_size(w->scratch.size - RECORD_HEADER_SIZE);
    if (!buf_reserve(&w->scratch, size - w->scratch.size))
        return status_no_memory(error);
    if (size > atomic_load_explicit(&w->room, memory_order_relaxed))
        await_room(w, size);
    if (wal_failed(w))
        return wal_read_only(w, error);
    if (is_too_far(w))
        return status_set(error, PERSIST_LIMIT,
                          "%llu commits are not durable yet, as many as can "
                          "be; wait for the last one and try again",
                          (unsigned long long)w->ahead_max);
    if (w->active == NULL || w->active->size - w->active->end < size) {
        persist_status status = wal_next_segment(w, size, claim, error);
        if (status != PERSIST_OK)
            return status;
    }
    record_header header = {(uint32_t)(w->scratch.size - RECORD_HEADER_SIZE),
                            w->next_lsn, w->place.identity, w->active->number,
                            wal_durable(w)};
    record_seal(w->scratch.data, &header, w->active->end);
    return PERSIST_OK;
}

/* With the lock held: puts the record in the buffer. The first one, which may
 * be bigger than the buffer, comes by swapping. */
static void buffer_record(wal *w, uint64_t size)
{
    wal_batch *batch = &w->fill;
    wal_segment *segment = w->active;
    wal_extent *last = batch->extent_count == 0
                           ? NULL
                           : &batch->extents[batch->extent_count - 1];
    if (last != NULL && last->segment == segment) {
        last->size += size;
    } else {
        CHECK(batch->extent_count < WAL_EXTENTS);
        batch->extents[batch->extent_count++] =
            (wal_extent){segment, segment->end, batch->bytes.size, size};
        segment->pending++;
    }
    if (batch->bytes.size == 0) {
        buf swap = batch->bytes;
        batch->bytes = w->scratch;
        w->scratch = swap;
        batch->bytes.size = size;
        CHECK(batch->bytes.capacity >= w->buffer_size);
    } else {
        CHECK(batch->bytes.size + size <= w->buffer_size);
        memcpy(batch->bytes.data + batch->bytes.size, w->scratch.data, size);
        batch->bytes.size += size;
    }
}

void wal_append(wal *w, wal_point p)
{
    wal_segment *segment = w->active;
    uint64_t size = record_size(w->scratch.size - RECORD_HEADER_SIZE);
    CHECK(p.lsn == w->next_lsn && p.lsn > w->appended.lsn);
    CHECK(p.position >= w->appended.position);
    CHECK(segment->size - segment->end >= size);
    pthread_mutex_lock(&w->lock);
    buffer_record(w, size);
    if (segment->first == 0)
        segment->first = w->appended.lsn + 1;
    segment->last = p.lsn;
    segment->end += size;
    w->appended = p;
    w->next_lsn = p.lsn + 1;
    w->bytes_logged += size;
    measure_room(w);
    if (w->worker.runs && wal_wants_spare(w))
        pthread_cond_signal(&w->worker.work);
    pthread_mutex_unlock(&w->lock);
}

/* ---- failure ---------------------------------------------------------- */

void wal_fail(wal *w, const persist_error *why)
{
    CHECK(why->status > PERSIST_NONE);
    pthread_mutex_lock(&w->lock);
    fail_locked(w, why);
    pthread_mutex_unlock(&w->lock);
    os_news_tell(&w->news, false);
}

void wal_shut(wal *w, const persist_error *why)
{
    CHECK(!wal_failed(w) && why->status == PERSIST_NO_SPACE);
    w->shut = true;
    wal_fail(w, why);
}

persist_status wal_read_only(wal *w, persist_error *error)
{
    CHECK(wal_failed(w));
    if (w->shut && os_is_size_limit(&w->failure))
        return status_set(error, PERSIST_NO_SPACE,
                          "the limit on file sizes was too low when the store "
                          "was opened, which can only be read "
                          "since; " OS_RAISE_LIMIT);
    if (w->shut)
        return status_set(error, PERSIST_NO_SPACE,
                          "the disk was full when the store was opened, which "
                          "can only be read since; free some space and open "
                          "it again");
    /* what to do now is another thing than what that says */
    const char *what = w->failure.message;
    size_t size = status_fault_size(what);
    return status_set(
        error, PERSIST_READ_ONLY,
        "nothing is written any more, for this failed: %.*s; "
        "mend that and open the store again (restart the program)",
        (int)(size < FAILURE_SHOWN ? size : FAILURE_SHOWN), what);
}
