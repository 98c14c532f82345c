/* SPDX-License-Identifier: MIT */
/* Upkeep: flushing what is frozen, merging tables, deleting what they
 * replaced. All of it is steps; a thread, or whoever has none, calls them.
 *
 * A step that fails has changed nothing, and is tried again when the next
 * commit needs it. */
#include <errno.h>

#include "base/mem.h"
#include "engine/upkeep/upkeep.h"
#include "os/os_thread.h"

/* Deletes the table in the making of a merge. */
void upkeep_give_up_merge(engine *e)
{
    upkeep *u = &e->upkeep;
    if (u->merging)
        merge_abort(&u->merge);
    u->merging = false;
}

/* ---- setting up ------------------------------------------------------- */

void upkeep_init(engine *e)
{
    upkeep *u = &e->upkeep;
    pthread_mutex_init(&u->step, NULL);
    pthread_mutex_init(&u->lock, NULL);
    os_worker_init(&u->worker);
    pthread_cond_init(&u->done, NULL);
}

void upkeep_release(engine *e)
{
    upkeep *u = &e->upkeep;
    upkeep_stop(e);
    upkeep_give_up_merge(e);
    for (size_t i = 0; i < u->dropped_count; i++)
        table_unref(u->dropped[i].table);
    mem_free(u->dropped);
    tag_sort_release(&u->tags);
    pthread_mutex_destroy(&u->step);
    pthread_mutex_destroy(&u->lock);
    os_worker_release(&u->worker);
    pthread_cond_destroy(&u->done);
}

/* ---- merging ---------------------------------------------------------- */

static persist_status begin_merge(engine *e, const layers *v, size_t from,
                                  persist_error *error)
{
    upkeep *u = &e->upkeep;
    size_t count = v->table_count - from;
    u->begins_merge = true;
    persist_status status = merge_begin(
        &u->merge, &e->table_place, v->tables + from, count, from == 0,
        e->next_table++, e->block_size, e->compress, error);
    u->begins_merge = false;
    u->merging = status == PERSIST_OK;
    u->claimed = from == 0 ? atomic_load(&u->dead) : 0;
    policy_note_begun(e, v);
    return status;
}

/* Finds where the sources of the merge are now. */
static size_t place_of_sources(const upkeep *u, const layers *v)
{
    size_t at = 0;
    while (at < v->table_count && v->tables[at] != u->merge.sources[0].table)
        at++;
    CHECK(at + u->merge.source_count <= v->table_count);
    return at;
}

/* Of some of the tables it is what they have shrunk by. */
static void note_freed(upkeep *u, uint64_t bytes)
{
    uint64_t dead = atomic_load(&u->dead);
    atomic_store(&u->dead, bytes < dead ? dead - bytes : 0);
    u->given_up = 0;
}

static persist_status end_merge(engine *e, const layers *v,
                                persist_error *error)
{
    upkeep *u = &e->upkeep;
    size_t from = place_of_sources(u, v);
    size_t to = from + u->merge.source_count;
    uint64_t number = u->merge.writer.footer.number, size, before = 0;
    table *t;
    for (size_t i = from; i < to; i++)
        before += v->tables[i]->footer.size;
    u->merging = false;
    /* What was wasted meanwhile, this merge has done away with. */
    if (u->paid)
        credit_spend(e);
    persist_status status = merge_finish(&u->merge, &size, error);
    if (status == PERSIST_OK)
        status = upkeep_open_table(e, number, size, &t, error);
    if (status == PERSIST_OK)
        status = upkeep_install(e, from, to, t, false, e->manifest.keys, error);
    if (status != PERSIST_OK)
        return status;
    credit_note_end(e, false);
    atomic_fetch_add(&u->merged_bytes[u->cause], size);
    atomic_fetch_add(&u->freed_bytes, size < before ? before - size : 0);
    note_freed(u, from == 0 ? u->claimed : size < before ? before - size : 0);
    return PERSIST_OK;
}

bool upkeep_merges_all(const engine *e, const layers *v)
{
    return e->upkeep.merging && place_of_sources(&e->upkeep, v) == 0;
}

persist_status upkeep_merge(engine *e, const layers *v, size_t from, bool *did,
                            persist_error *error)
{
    upkeep *u = &e->upkeep;
    persist_status status = PERSIST_OK;
    bool whole = u->merging ? upkeep_merges_all(e, v) : from == 0;
    if (!u->merging)
        status = begin_merge(e, v, from, error);
    else if (u->merge.stage == MERGE_DONE)
        status = end_merge(e, v, error);
    else
        status = merge_step(&u->merge, error);
    if (status == PERSIST_NO_SPACE && whole)
        policy_note_stuck(e);
    if (status != PERSIST_OK)
        upkeep_give_up_merge(e);
    if (status != PERSIST_OK && u->paid)
        credit_note_end(e, true);
    if (status == PERSIST_CORRUPT)
        u->given_up = atomic_load(&u->dead);
    *did = status == PERSIST_OK;
    return status;
}

static persist_status step_merge(engine *e, const layers *v, bool *did,
                                 persist_error *error)
{
    size_t from = 0;
    return e->upkeep.merging || policy_find_work(e, v, &from)
               ? upkeep_merge(e, v, from, did, error)
               : PERSIST_OK;
}

/* ---- steps ------------------------------------------------------------ */

/* Once the new layers stand, a commit may put others in their place: they are
 * used as readers use them. */
static void renew_reserve(engine *e)
{
    layers *now;
    read_place own, *place = readers_enter(&e->readers, &own, &now);
    reserve_renew(e, now);
    readers_leave(&e->readers, place);
}

persist_status upkeep_flush(engine *e, const layers *v, bool *did,
                            persist_error *error)
{
    uint64_t dead = v->frozen->dead;
    persist_status status = flush_frozen(e, error);
    *did = status == PERSIST_OK;
    if (*did) {
        atomic_fetch_add(&e->upkeep.dead, dead);
        atomic_store(&e->upkeep.flushed, true);
        renew_reserve(e);
    }
    return status;
}

/* An opening that has only read so far begins to write when its reads have paid
 * for a merge; where it cannot, they pay for the next try. */
static persist_status begin_use(engine *e, const layers *v,
                                persist_error *error)
{
    size_t from;
    CHECK(v->frozen == NULL && !e->at.read_only);
    if (!credit_covers(e, v, &from))
        return PERSIST_OK;
    pthread_mutex_lock(&e->writer);
    persist_status status = engine_use(e, error);
    pthread_mutex_unlock(&e->writer);
    if (status != PERSIST_OK) {
        credit_spend(e);
        credit_note_end(e, true);
    }
    return status;
}

/* What is due, the most important first. */
static persist_status work(engine *e, const layers *v, void *context, bool *did,
                           persist_error *error)
{
    persist_status status = PERSIST_OK;
    CHECK(context == NULL);
    if (wal_failed(&e->wal))
        return wal_read_only(&e->wal, error);
    if (!atomic_load(&e->in_use)) {
        status = begin_use(e, v, error);
        if (status != PERSIST_OK || !atomic_load(&e->in_use))
            return status;
    }
    reserve_begin(e, v);
    bool full = atomic_load(&e->wal.full);
    *did = (v->frozen == NULL || full) && leftovers_step(e);
    if (!*did)
        status = e->blob_step(e, did, error);
    if (status != PERSIST_OK || *did)
        return status;
    if (!*did && (v->frozen == NULL || layers_is_crowded(v) ||
                  (full && (e->upkeep.merging || reserve_lacks_files(e) ||
                            policy_dead_shall_go(e, v)))))
        status = step_merge(e, v, did, error);
    /* Tables that cannot be merged must not keep others from being made. */
    if (v->frozen != NULL && !*did && !wal_failed(&e->wal))
        return upkeep_flush(e, v, did, error);
    if (status == PERSIST_OK && !*did)
        return dead_step(e, v, did, error);
    /* Nor from knowing what has died, which makes them smaller. */
    persist_error ignored;
    if (status == PERSIST_NO_SPACE && !*did &&
        dead_step(e, v, did, &ignored) == PERSIST_OK && *did)
        return PERSIST_OK;
    return status;
}

/* The thread may look before who has started it says so. */
bool upkeep_has_thread(engine *e)
{
    upkeep *u = &e->upkeep;
    pthread_mutex_lock(&u->lock);
    bool runs = u->worker.runs;
    pthread_mutex_unlock(&u->lock);
    return runs;
}

persist_status upkeep_step_of(engine *e, upkeep_work some, void *context,
                              bool *did, persist_error *error)
{
    upkeep *u = &e->upkeep;
    *did = false;
    pthread_mutex_lock(&u->step);
    /* Who leaves before the tables are looked after need not call for another
     * step; what this one reads would, each time. */
    atomic_store(&u->awaits_readers, false);
    layers *v;
    read_place own, *place = readers_enter(&e->readers, &own, &v);
    persist_status status = some(e, v, context, did, error);
    if (status == PERSIST_NO_SPACE && dead_make_room(e, v)) {
        *did = true;
        status = PERSIST_OK;
    }
    if (!*did) {
        reserve_renew(e, v);
        if (!upkeep_has_thread(e))
            tag_sort_rest(&u->tags);
    }
    readers_leave(&e->readers, place);
    /* What found no room may find it where the tables were. */
    if (upkeep_sweep(e) &&
        (status == PERSIST_OK || status == PERSIST_NO_SPACE)) {
        *did = true;
        status = PERSIST_OK;
    }
    if (!u->merging)
        reserve_refill(e);
    /* a merge may end in nothing */
    if (*did && !u->merging)
        atomic_fetch_add(&u->gains, 1);
    pthread_mutex_unlock(&u->step);
    return status;
}

persist_status upkeep_step(engine *e, bool *did, persist_error *error)
{
    return upkeep_step_of(e, work, NULL, did, error);
}

static persist_status work_inline(engine *e, persist_error *error)
{
    bool did = true;
    persist_status status = PERSIST_OK;
    do
        status = upkeep_step(e, &did, error);
    while (did && status == PERSIST_OK && !e->upkeep.by_steps);
    return status;
}

void upkeep_call(engine *e)
{
    persist_error ignored; /* the commit that needs the room will tell */
    if (!engine_wake(e) && !e->upkeep.by_steps)
        (void)work_inline(e, &ignored);
}

bool upkeep_is_called(engine *e)
{
    upkeep *u = &e->upkeep;
    pthread_mutex_lock(&u->lock);
    bool called = u->wanted;
    u->wanted = false;
    pthread_mutex_unlock(&u->lock);
    return called;
}

/* ---- the thread ------------------------------------------------------- */

/* With the lock held, when nothing is due: sleeps. The next flush may come at
 * once; if it does not, what the last one has sorted in goes. */
static void sleep_some(upkeep *u)
{
    if (!u->tags.used) {
        pthread_cond_wait(&u->worker.work, &u->lock);
    } else if (os_worker_rest(&u->worker, &u->lock, TAGS_REST_US) &&
               !u->wanted && !u->worker.stops) {
        pthread_mutex_unlock(&u->lock);
        pthread_mutex_lock(&u->step);
        tag_sort_rest(&u->tags);
        pthread_mutex_unlock(&u->step);
        pthread_mutex_lock(&u->lock);
    }
}

static void *background(void *context)
{
    engine *e = context;
    upkeep *u = &e->upkeep;
    pthread_mutex_lock(&u->lock);
    bool busy = false; /* the last step did something */
    for (;;) {
        while (!busy && !u->wanted && !u->worker.stops)
            sleep_some(u);
        if (u->worker.stops)
            break;
        bool did;
        u->wanted = false;
        u->begun++;
        pthread_mutex_unlock(&u->lock);
        persist_error why = {0};
        persist_status status = upkeep_step(e, &did, &why);
        pthread_mutex_lock(&u->lock);
        busy = status == PERSIST_OK && did;
        u->ended++;
        u->status = status;
        u->did = busy;
        u->error = why;
        pthread_cond_broadcast(&u->done);
    }
    pthread_mutex_unlock(&u->lock);
    return NULL;
}

persist_status upkeep_start(engine *e, persist_error *error)
{
    upkeep *u = &e->upkeep;
    int code = os_worker_start(&u->worker, &u->lock, background, e);
    if (code != 0)
        return os_no_thread(error, code, e->at.root->path);
    return PERSIST_OK;
}

void upkeep_stop(engine *e)
{
    upkeep *u = &e->upkeep;
    os_worker_stop(&u->worker, &u->lock);
}

/* Tells whether nothing can be frozen now. */
static bool is_busy(engine *e)
{
    pthread_mutex_lock(&e->writer);
    bool busy = e->layers->frozen != NULL || e->installing;
    pthread_mutex_unlock(&e->writer);
    return busy;
}

/* Waits for a step to begin and to end: one that runs already may have looked
 * before there was anything to do. */
static persist_status await_thread(upkeep *u, persist_error *error, bool *did)
{
    pthread_mutex_lock(&u->lock);
    uint64_t until = u->begun + 1;
    u->wanted = true;
    pthread_cond_signal(&u->worker.work);
    while (u->ended < until)
        pthread_cond_wait(&u->done, &u->lock);
    persist_status status = u->status;
    *did = u->did;
    if (status != PERSIST_OK && error != NULL)
        *error = u->error;
    pthread_mutex_unlock(&u->lock);
    return status;
}

persist_status upkeep_await(engine *e, persist_error *error)
{
    persist_status status = PERSIST_OK;
    bool did;
    uint64_t begun = e->sys->clock_us(e->sys);
    while (is_busy(e) && status == PERSIST_OK)
        status = e->upkeep.worker.runs ? await_thread(&e->upkeep, error, &did)
                                       : work_inline(e, error);
    atomic_fetch_add(&e->upkeep.waited_us, e->sys->clock_us(e->sys) - begun);
    return is_busy(e) ? status : PERSIST_OK;
}

bool upkeep_await_gain(engine *e)
{
    upkeep *u = &e->upkeep;
    uint64_t before = atomic_load(&u->gains);
    persist_error ignored;
    bool did;
    do
        if (u->worker.runs)
            (void)await_thread(u, &ignored, &did);
        else if (upkeep_step(e, &did, &ignored) != PERSIST_OK)
            did = false;
    while (did && atomic_load(&u->gains) == before);
    return atomic_load(&u->gains) != before;
}

/* ---- closing ---------------------------------------------------------- */

/* Closing leaves little log for the next opening to replay. */
static void freeze_the_rest(engine *e)
{
    persist_error ignored;
    bool did;
    uint64_t share = e->memtable_size / CLOSE_LOG_SHARE;
    pthread_mutex_lock(&e->writer);
    if (e->layers->active->logged > share)
        (void)upkeep_freeze_all(e, &did, &ignored);
    pthread_mutex_unlock(&e->writer);
}

/* A table that is half made, and what earlier openings left and this one was
 * too short to deal with: a store that was closed holds nothing unfinished. */
static void delete_unfinished(engine *e)
{
    upkeep *u = &e->upkeep;
    CHECK(!u->worker.runs);
    upkeep_give_up_merge(e);
    persist_error ignored;
    bool did = true;
    while (!wal_failed(&e->wal) && leftovers_step(e)) {
    }
    if (!atomic_load(&e->in_use) || e->blobs.gone_count == 0)
        return;
    did = wal_wait(&e->wal, e->latest, &ignored) == PERSIST_OK;
    while (did) {
        did = false;
        (void)e->blob_step(e, &did, &ignored);
    }
}

/* Tables that are too many are merged now: there may never be an opening that
 * lives long enough to do it. */
void upkeep_close(engine *e)
{
    persist_error ignored;
    bool did;
    upkeep_stop(e);
    do {
        freeze_the_rest(e);
        const layers *v = e->layers;
        persist_status status = PERSIST_OK;
        did = false;
        if (v->frozen != NULL || layers_is_crowded(v))
            status = upkeep_step(e, &did, &ignored);
        /* no spare is needed any more */
        if (status != PERSIST_OK)
            did = status == PERSIST_NO_SPACE && !wal_failed(&e->wal) &&
                  wal_make_room(&e->wal);
    } while (did);
    delete_unfinished(e);
}
