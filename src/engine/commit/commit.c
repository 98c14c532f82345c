/* SPDX-License-Identifier: MIT */
/* Committing: look the command id up, check the expectations, plan (streams,
 * keys, numbers), reserve room in the log, and only then apply.
 *
 * Everything that can be refused is refused before the memtable changes, but
 * for memory that runs out while applying: then the edits are taken back, last
 * first. From the append to the log on nothing can fail. */
#include <string.h>

#include "base/mem.h"
#include "engine/commit/plan.h"

/* ---- command ids ------------------------------------------------------ */

static persist_status copy_seqs(const uint64_t *seqs, size_t count,
                                persist_outcome *out, persist_error *error)
{
    out->seqs = NULL;
    out->seq_count = count;
    if (count == 0)
        return PERSIST_OK;
    out->seqs = mem_alloc(count * sizeof *seqs);
    if (out->seqs == NULL)
        return status_no_memory(error);
    memcpy(out->seqs, seqs, count * sizeof *seqs);
    return PERSIST_OK;
}

static persist_status repeat(const engine *e, const once *o,
                             persist_outcome *out, persist_error *error)
{
    *out = (persist_outcome){.kind = PERSIST_REPEATED};
    out->lsn = gaps_cover(&e->gaps, o->lsn);
    return copy_seqs(o->seqs, o->seq_count, out, error);
}

persist_status commit_find_once(const layers *v, slice id, const once **out,
                                once **owned, persist_error *error)
{
    *owned = NULL;
    *out = memtable_once(v->active, id);
    return *out != NULL ? PERSIST_OK
                        : layers_below_once(v, id, out, owned, error);
}

static persist_status check_once(const engine *e, const persist_once *given,
                                 bool *repeated, persist_outcome *out,
                                 persist_error *error)
{
    const once *o;
    once *owned;
    persist_status status =
        commit_find_once(e->layers, given->id, &o, &owned, error);
    *repeated = status == PERSIST_OK;
    if (status != PERSIST_OK)
        return status == PERSIST_NONE ? PERSIST_OK : status;
    bool same =
        memcmp(o->fingerprint, given->fingerprint, sizeof o->fingerprint) == 0;
    if (same)
        status = repeat(e, o, out, error);
    else
        status = status_set(error, PERSIST_BAD_REQUEST,
                            "the command id was used for another command; "
                            "choose a new one");
    mem_free(owned);
    return status;
}

persist_status engine_once_find(engine *e, slice id,
                                uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE],
                                persist_outcome *out, persist_error *error)
{
    once *owned = NULL;
    snapshot snap;
    snapshot_open(e, VIEW_LATEST, &snap);
    readers_look(&e->readers, snap.place);
    const once *o =
        snap.with_active ? memtable_once(snap.layers->active, id) : NULL;
    readers_look_end(&e->readers, snap.place);
    persist_status status = PERSIST_OK;
    if (o == NULL)
        status = layers_below_once(snap.layers, id, &o, &owned, error);
    if (o == NULL || owned != NULL)
        credit_note_looks(&snap, TABLE_ONCES, NULL);
    CHECK(status != PERSIST_OK || o != NULL);
    if (status == PERSIST_OK && o->lsn > snap.lsn)
        status = PERSIST_NONE;
    if (status == PERSIST_OK) {
        memcpy(fingerprint, o->fingerprint, sizeof o->fingerprint);
        status = repeat(e, o, out, error);
    }
    mem_free(owned);
    snapshot_close(e, &snap);
    return status;
}

/* ---- applying --------------------------------------------------------- */

static bool apply_all(commit *c)
{
    memtable *t = c->e->layers->active;
    memtable_pass_plain(t);
    for (size_t i = 0; i < c->planned; i++) {
        if (memtable_apply(t, &c->e->plan[i], c->lsn, c->time))
            continue;
        while (i-- > 0)
            memtable_undo(t, &c->e->plan[i]);
        return false;
    }
    return true;
}

/* Tells whether all that a commit does is to make space free. */
static bool frees_space(const commit *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->edits[i].kind != PERSIST_TRUNCATE &&
            c->edits[i].kind != PERSIST_DELETE &&
            !edit_is_expectation(&c->edits[i]))
            return false;
    return c->given_once == NULL &&
           (c->given_blob == NULL || c->given_blob->deleted);
}

static void publish(commit *c)
{
    engine *e = c->e;
    memtable *t = e->layers->active;
    CHECK(c->lsn > e->latest);
    if (c->blob != NULL)
        memtable_set_blob(t, c->blob, c->blob_version);
    t->last = c->lsn;
    t->counts.time = c->time;
    t->logged += c->logged;
    reserve_note_log(e, e->layers, frees_space(c) ? 0 : c->logged);
    t->edits += c->count;
    e->latest = c->lsn;
    dead_publish(c);
}

/* An edit, and what its replay has to know of older layers. */
static void put_planned(buf *record, const memtable_edit *m)
{
    const stream *s = m->target;
    if (m->edit->kind == PERSIST_SET_ONCE) {
        if (m->made) /* else it is there, as it should be */
            record_put_edit(record, m->edit, 0);
        return;
    }
    if (m->made && !edit_is_of_key(m->edit))
        record_put_stream(record, s->based ? &s->base : NULL);
    if (m->floor.through > 0)
        record_put_floor(record, &m->floor);
    record_put_edit(record, m->edit, m->seq);
}

static persist_status log_record(commit *c, persist_error *error)
{
    engine *e = c->e;
    buf *record = wal_begin(&e->wal);
    CHECK(c->planned > 0 || c->given_once != NULL || c->given_blob != NULL);
    if (record == NULL)
        return status_no_memory(error);
    record_put_position(record, e->layers->active->counts.next_position,
                        c->time);
    for (size_t i = 0; i < c->planned; i++)
        put_planned(record, &e->plan[i]);
    if (c->given_once != NULL)
        record_put_once(record, c->given_once);
    if (c->given_blob != NULL)
        record_put_blob(record, c->given_blob);
    if (record->failed)
        return status_no_memory(error);
    if (record->size - RECORD_HEADER_SIZE > RECORD_BODY_MAX)
        return status_set(error, PERSIST_TOO_LARGE,
                          "the commit is over the size of a log record");
    c->logged = record_size(record->size - RECORD_HEADER_SIZE);
    wal_claim claim = c->last ? WAL_FREES_LAST : WAL_FREES;
    return reserve_record(e, frees_space(c) ? claim : WAL_ADDS, error);
}

/* The one that is given, or that of the clock, but never less than that of the
 * commit before. */
static persist_status take_time(commit *c, persist_error *error)
{
    const engine *e = c->e;
    uint64_t last = e->layers->active->counts.time;
    for (size_t i = 0; i < c->count; i++) {
        if (c->edits[i].kind != PERSIST_SET_TIME)
            continue;
        c->time = c->edits[i].seq;
        return c->time >= last ? PERSIST_OK
                               : status_downwards(error, "the time of commits",
                                                  c->time, last);
    }
    uint64_t now = e->sys->wall_us(e->sys);
    bool later = now > last && now <= PERSIST_SEQ_MAX; /* else it is no time */
    c->time = later ? now : last;
    return PERSIST_OK;
}

static persist_status write_commit(commit *c, persist_outcome *out,
                                   persist_error *error)
{
    engine *e = c->e;
    c->lsn = e->wal.next_lsn;
    c->before = e->layers->active->arena;
    persist_status status = reserve_use(e, error);
    if (status == PERSIST_OK)
        status = take_time(c, error);
    if (status == PERSIST_OK)
        status = plan_commit(c, error);
    if (status == PERSIST_OK && plan_does_nothing(c)) {
        plan_abandon(c);
        return PERSIST_OK;
    }
    if (status == PERSIST_OK)
        status = log_record(c, error);
    if (status == PERSIST_OK && out != NULL)
        status = copy_seqs(e->seqs, c->appends, out, error);
    if (status == PERSIST_OK) {
        readers_change(&e->readers);
        if (apply_all(c)) {
            wal_append(&e->wal,
                       (wal_point){c->lsn, layers_position(e->layers)});
            publish(c);
            e->commits++;
        } else {
            status = status_no_memory(error);
        }
        readers_change_end(&e->readers);
    }
    if (status != PERSIST_OK)
        plan_abandon(c);
    bool refused = status == PERSIST_NO_SPACE, frees = frees_space(c);
    bool full = refused || (frees && atomic_load(&e->wal.full));
    if (!frees)
        atomic_store(&e->upkeep.refused, refused);
    if (full && !wal_failed(&e->wal))
        dead_call_all(e, refused);
    return status;
}

/* The writer's lock is held. *done: nothing is to be written. */
static persist_status check(commit *c, bool *done, persist_outcome *out,
                            persist_error *error)
{
    engine *e = c->e;
    bool writes = c->given_once != NULL || c->given_blob != NULL;
    *done = true;
    if (wal_failed(&e->wal))
        return wal_read_only(&e->wal, error);
    if (c->given_once != NULL) {
        bool repeated;
        persist_status status =
            check_once(e, c->given_once, &repeated, out, error);
        if (status != PERSIST_OK || repeated)
            return status;
    }
    for (size_t i = 0; i < c->count; i++) {
        bool holds = true;
        persist_status status = PERSIST_OK;
        if (edit_is_expectation(&c->edits[i]))
            status = expectation_check(c, i, &holds, out, error);
        else
            writes = true;
        if (status != PERSIST_OK || !holds)
            return status;
    }
    *done = !writes;
    return PERSIST_OK;
}

/* Takes the writer's lock when there is room for one more commit. What makes
 * space free need not wait for a table that finds none. */
static persist_status enter(engine *e, bool frees, persist_error *error)
{
    for (;;) {
        bool did = false;
        pthread_mutex_lock(&e->writer);
        if (!upkeep_is_full(e) || wal_failed(&e->wal))
            return PERSIST_OK;
        persist_status status = upkeep_freeze(e, &did, error);
        pthread_mutex_unlock(&e->writer);
        if (did)
            upkeep_call(e);
        else if (status == PERSIST_OK)
            status = upkeep_await(e, error);
        if (status == PERSIST_NO_SPACE && frees) {
            pthread_mutex_lock(&e->writer);
            return PERSIST_OK;
        }
        if (status != PERSIST_OK)
            return status;
    }
}

/* Gives the lock back, with the memtable frozen if it is full by now. */
static void leave(engine *e)
{
    persist_error ignored; /* the next commit tries again, and tells */
    bool did;
    plan_trim(e);
    (void)upkeep_freeze(e, &did, &ignored);
    did = did || e->wakes_upkeep;
    e->wakes_upkeep = false;
    pthread_mutex_unlock(&e->writer);
    if (did)
        upkeep_call(e);
}

static persist_status run_once(commit *c, persist_outcome *out,
                               persist_error *error)
{
    engine *e = c->e;
    persist_outcome ignored;
    persist_outcome *result = out == NULL ? &ignored : out;
    *result = (persist_outcome){.kind = PERSIST_COMMITTED};
    bool done;
    persist_status status = enter(e, frees_space(c), error);
    if (status != PERSIST_OK)
        return status;
    status = check(c, &done, result, error);
    if (status == PERSIST_OK && !done)
        status = write_commit(c, out, error);
    if (status == PERSIST_OK && result->kind == PERSIST_COMMITTED)
        result->lsn = e->latest;
    leave(e);
    return status;
}

/* What frees space waits for upkeep to give room, or to give back what a table
 * in the making has taken; where there is nothing to wait for, it gets all but
 * the last. */
static persist_status run(commit *c, persist_outcome *out, persist_error *error)
{
    const commit given = *c;
    bool more = frees_space(c);
    persist_status status = run_once(c, out, error);
    while (status == PERSIST_NO_SPACE && more && !wal_failed(&c->e->wal)) {
        more = upkeep_await_gain(c->e);
        *c = given;
        c->last = !more;
        status = run_once(c, out, error);
    }
    return status;
}

persist_status engine_commit_blob(engine *e, const blob_entry *entry,
                                  persist_lsn *lsn, persist_error *error)
{
    commit c = {.e = e, .given_blob = entry};
    persist_status status = run(&c, NULL, error);
    *lsn = c.lsn;
    return status;
}

persist_status engine_commit(engine *e, const persist_edit *edits, size_t count,
                             const persist_once *given, persist_outcome *out,
                             persist_error *error)
{
    commit c = {.e = e, .edits = edits, .count = count, .given_once = given};
    CHECK(out != NULL || given == NULL);
    expectations_look_ahead(&c);
    persist_status status = run(&c, out, error);
    if (status != PERSIST_OK && out != NULL) {
        mem_free(out->seqs);
        mem_free((void *)(uintptr_t)out->actual_value.data);
        *out = (persist_outcome){0};
    }
    return status;
}

/* ---- replaying -------------------------------------------------------- */

persist_status engine_replay(engine *e, persist_lsn lsn,
                             const record_body *body, persist_error *error)
{
    memtable *t = e->layers->active;
    commit c = {.e = e, .edits = body->edits, .count = body->edit_count};
    c.replayed = true;
    c.pasts = body->pasts;
    c.past_count = body->past_count;
    c.given_once = body->has_once ? &body->once : NULL;
    c.given_blob = body->has_blob ? &body->blob : NULL;
    c.lsn = lsn;
    c.time = body->time;
    c.before = t->arena;
    if (lsn <= layers_tables_last(e->layers))
        return PERSIST_OK;
    if (lsn <= e->latest || body->position < t->counts.next_position ||
        body->position > PERSIST_SEQ_MAX + 1 || body->time < t->counts.time ||
        (body->has_once && memtable_once(t, body->once.id) != NULL))
        return status_set(error, PERSIST_CORRUPT, "a record is out of order");
    t->counts.next_position = body->position;
    c.logged = body->size;
    persist_status status = plan_commit(&c, error);
    if (status == PERSIST_SEQ_CONFLICT || status == PERSIST_BAD_REQUEST)
        status = status_set(error, PERSIST_CORRUPT,
                            "a record gives numbers that are taken");
    if (status == PERSIST_OK && !apply_all(&c))
        status = status_no_memory(error);
    if (status != PERSIST_OK) {
        plan_abandon(&c);
        return status;
    }
    publish(&c);
    return PERSIST_OK;
}
