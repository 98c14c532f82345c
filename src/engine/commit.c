/* SPDX-License-Identifier: MIT */
/* Committing: look the command id up, check the expectations, plan (streams,
 * keys, numbers), reserve room in the log, and only then apply.
 *
 * Everything that can be refused is refused before the memtable changes, but
 * for memory that runs out while applying: then the edits are taken back, last
 * first. From the append to the log on nothing can fail. */
#include <string.h>

#include "base/mem.h"
#include "base/seeded_bug.h"
#include "engine/engine.h"

/* A commit in hand. The plan itself is the engine's, for reuse. */
typedef struct commit {
    engine *e;
    const persist_edit *edits;
    size_t count;
    const persist_once *given_once;
    const blob_entry *given_blob;
    bool replayed; /* it was read from the log */
    persist_lsn lsn;
    arena before;   /* the memtable's, to go back to */
    size_t planned; /* entries of e->plan */
    size_t appends; /* numbers in e->seqs */
    uint64_t position;
    once *once;      /* to be kept */
    blob_item *blob; /* the same */
    uint64_t logged; /* bytes of its record */
} commit;

static persist_status no_memory(persist_error *error)
{
    return status_set(error, PERSIST_LIMIT, "out of memory");
}

static bool is_expectation(const persist_edit *edit)
{
    return edit->kind == PERSIST_EXPECT_SEQ ||
           edit->kind == PERSIST_EXPECT_KEY ||
           edit->kind == PERSIST_EXPECT_ABSENT;
}

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
        return no_memory(error);
    memcpy(out->seqs, seqs, count * sizeof *seqs);
    return PERSIST_OK;
}

static persist_status repeat(const once *o, persist_outcome *out,
                             persist_error *error)
{
    *out = (persist_outcome){.kind = PERSIST_REPEATED, .lsn = o->lsn};
    return copy_seqs(o->seqs, o->seq_count, out, error);
}

static persist_status find_once(const layers *v, slice id, const once **out,
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
    persist_status status = find_once(e->layers, given->id, &o, &owned, error);
    *repeated = status == PERSIST_OK;
    if (status != PERSIST_OK)
        return status == PERSIST_NONE ? PERSIST_OK : status;
    bool same =
        memcmp(o->fingerprint, given->fingerprint, sizeof o->fingerprint) == 0;
    if (same || SEEDED_BUG(ONCE_ANY_COMMAND))
        status = repeat(o, out, error);
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
    snapshot_open(e, PERSIST_LATEST, &snap);
    readers_look(&e->readers, snap.place);
    const once *o =
        snap.with_active ? memtable_once(snap.layers->active, id) : NULL;
    readers_look_end(&e->readers, snap.place);
    persist_status status = PERSIST_OK;
    if (o == NULL)
        status = layers_below_once(snap.layers, id, &o, &owned, error);
    if (o == NULL || owned != NULL)
        credit_note_looks(&snap, TABLE_ONCES, NULL);
    if (status == PERSIST_OK && o->lsn > snap.lsn)
        status = PERSIST_NONE;
    if (status == PERSIST_OK) {
        memcpy(fingerprint, o->fingerprint, sizeof o->fingerprint);
        status = repeat(o, out, error);
    }
    mem_free(owned);
    snapshot_close(e, &snap);
    return status;
}

/* ---- planning --------------------------------------------------------- */

static bool grow_plan(engine *e, size_t count)
{
    if (count <= e->plan_capacity)
        return true;
    size_t capacity = count * 2;
    memtable_edit *plan = mem_realloc(e->plan, capacity * sizeof *plan);
    if (plan != NULL)
        e->plan = plan;
    uint64_t *seqs = mem_realloc(e->seqs, capacity * sizeof *seqs);
    if (seqs != NULL)
        e->seqs = seqs;
    if (plan == NULL || seqs == NULL)
        return false;
    e->plan_capacity = capacity;
    return true;
}

/* The mark that a stream has at this point of the plan. */
static uint64_t *planned_mark(commit *c, stream *s)
{
    if (s->plan != c->e->plan_number) {
        s->plan = c->e->plan_number;
        s->plan_mark = s->mark;
    }
    CHECK(s->plan_mark >= s->mark);
    return &s->plan_mark;
}

static persist_status seq_conflict(const stream *s, uint64_t seq, uint64_t mark,
                                   persist_error *error)
{
    status_set(error, PERSIST_SEQ_CONFLICT,
               "number %llu is taken: the stream is at %llu",
               (unsigned long long)seq, (unsigned long long)mark);
    if (error == NULL)
        return PERSIST_SEQ_CONFLICT;
    error->has |= PERSIST_HAS_NUMBERS | PERSIST_HAS_STREAM;
    error->expected = seq;
    error->actual = mark;
    error->stream_size = s->name.size < sizeof error->stream
                             ? s->name.size
                             : sizeof error->stream;
    if (error->stream_size > 0)
        memcpy(error->stream, s->name.data, error->stream_size);
    return PERSIST_SEQ_CONFLICT;
}

static persist_status plan_append(commit *c, memtable_edit *m,
                                  persist_error *error)
{
    uint64_t *mark = planned_mark(c, m->target);
    m->seq = m->edit->kind == PERSIST_APPEND ? *mark + 1 : m->edit->seq;
    if (m->seq <= *mark)
        return seq_conflict(m->target, m->seq, *mark, error);
    if (m->seq > PERSIST_SEQ_MAX || c->position > PERSIST_SEQ_MAX)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the numbers of the stream are used up");
    if (!SEEDED_BUG(GIVE_TWICE))
        *mark = m->seq;
    c->position++;
    c->e->seqs[c->appends++] = m->seq;
    return PERSIST_OK;
}

/* Finds a key in the active memtable, or enters it there: whatever older
 * layers have, nothing is read. */
static persist_status find_key(commit *c, memtable_edit *m,
                               persist_error *error)
{
    engine *e = c->e;
    memtable *t = e->layers->active;
    m->target = memtable_key(t, m->edit->name);
    if (m->target != NULL)
        return PERSIST_OK;
    readers_change(&e->readers);
    m->target = memtable_make_key(t, m->edit->name);
    readers_change_end(&e->readers);
    m->made = m->target != NULL;
    return m->made ? PERSIST_OK : no_memory(error);
}

persist_status engine_lost(const engine *e, persist_error *error)
{
    CHECK(e->lost.status == PERSIST_CORRUPT);
    return status_copy(error, &e->lost);
}

static void lose(engine *e, stream *s, const persist_error *why)
{
    s->lost = true;
    if (e->lost.status == PERSIST_OK)
        e->lost = *why;
}

/* Finds a stream there, or enters it with the state it has in older layers; a
 * truncation makes none. */
static persist_status find_stream(commit *c, memtable_edit *m,
                                  persist_error *error)
{
    engine *e = c->e;
    memtable *t = e->layers->active;
    stream_state base;
    stream *s = m->target = memtable_stream(t, m->edit->name);
    if (s != NULL)
        return s->lost && !c->replayed ? engine_lost(e, error) : PERSIST_OK;
    persist_error why;
    persist_status status =
        layers_below_state(e->layers, m->edit->name, e->latest, &base, &why);
    bool lost = status == PERSIST_CORRUPT && c->replayed;
    if (status > PERSIST_NONE && !lost)
        return status_copy(error, &why);
    if (lost)
        base = (stream_state){0};
    bool based = status == PERSIST_OK || lost;
    if (!based && m->edit->kind == PERSIST_TRUNCATE)
        return PERSIST_OK;
    readers_change(&e->readers);
    s = m->target =
        memtable_make_stream(t, m->edit->name, based ? &base : NULL);
    readers_change_end(&e->readers);
    m->made = s != NULL;
    if (lost && m->made)
        lose(e, s, &why);
    return m->made ? PERSIST_OK : no_memory(error);
}

/* A truncation of events in older layers has to know what is left there. */
static persist_status plan_truncate(commit *c, memtable_edit *m,
                                    persist_error *error)
{
    stream *s = m->target;
    persist_error why;
    if (s == NULL || m->edit->seq >= s->base.mark)
        return PERSIST_OK;
    stream_state now = s->base;
    now.floor = *stream_floor_at(s, UINT64_MAX);
    if (m->edit->seq <= now.floor.through)
        return PERSIST_OK;
    persist_status status = layers_below_floor(c->e->layers, s->name, &now,
                                               m->edit->seq, &m->floor, &why);
    if (status == PERSIST_CORRUPT && c->replayed) {
        lose(c->e, s, &why);
        m->floor = s->base.floor;
        m->floor.through = m->edit->seq;
        return PERSIST_OK;
    }
    return status == PERSIST_OK ? status : status_copy(error, &why);
}

static persist_status plan_edit(commit *c, const persist_edit *edit,
                                persist_error *error)
{
    memtable_edit *m = &c->e->plan[c->planned++];
    CHECK(c->planned <= c->e->plan_capacity);
    *m = (memtable_edit){.edit = edit};
    if (edit->kind == PERSIST_SET_POSITION) {
        if (edit->seq > c->position)
            c->position = edit->seq;
        return PERSIST_OK;
    }
    bool of_key = edit->kind == PERSIST_PUT || edit->kind == PERSIST_DELETE;
    persist_status status =
        of_key ? find_key(c, m, error) : find_stream(c, m, error);
    if (status != PERSIST_OK)
        return status;
    if (edit->kind == PERSIST_TRUNCATE)
        return plan_truncate(c, m, error);
    if (edit->kind == PERSIST_APPEND || edit->kind == PERSIST_APPEND_AT)
        return plan_append(c, m, error);
    if (edit->kind == PERSIST_SET_MARK) {
        uint64_t *mark = planned_mark(c, m->target);
        if (edit->seq > *mark)
            *mark = edit->seq;
        return PERSIST_OK;
    }
    return PERSIST_OK;
}

static persist_status plan(commit *c, persist_error *error)
{
    CHECK(c->planned == 0 && c->appends == 0);
    if (!grow_plan(c->e, c->count))
        return no_memory(error);
    c->e->plan_number++;
    c->position = c->e->layers->active->counts.next_position;
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < c->count && status == PERSIST_OK; i++)
        if (!is_expectation(&c->edits[i]))
            status = plan_edit(c, &c->edits[i], error);
    if (status != PERSIST_OK)
        return status;
    if (c->given_once != NULL)
        c->once = once_new(c->given_once, c->lsn, c->e->seqs, c->appends);
    if (c->given_blob != NULL)
        c->blob = blob_item_new(c->given_blob, c->lsn);
    bool made = (c->given_once == NULL || c->once != NULL) &&
                (c->given_blob == NULL || c->blob != NULL);
    return made ? PERSIST_OK : no_memory(error);
}

/* Drops what only a commit that failed has made. */
static void abandon(commit *c)
{
    memtable *t = c->e->layers->active;
    CHECK(c->lsn == c->e->latest + 1);
    readers_change(&c->e->readers);
    for (size_t i = c->planned; i-- > 0;) {
        const memtable_edit *m = &c->e->plan[i];
        if (m->made &&
            (m->edit->kind == PERSIST_PUT || m->edit->kind == PERSIST_DELETE))
            memtable_unmake_key(t, m->target);
        else if (m->made && !SEEDED_BUG(REFUSED_LEAVES_STREAM))
            memtable_unmake_stream(t, m->target);
    }
    arena_rewind(&t->arena, &c->before);
    readers_change_end(&c->e->readers);
    mem_free(c->once);
    mem_free(c->blob);
}

/* ---- applying --------------------------------------------------------- */

static bool apply_all(commit *c)
{
    memtable *t = c->e->layers->active;
    if (c->once != NULL && !memtable_reserve_once(t))
        return false;
    if (c->blob != NULL && !hashmap_reserve(&t->blob_map))
        return false;
    for (size_t i = 0; i < c->planned; i++) {
        if (memtable_apply(t, &c->e->plan[i], c->lsn))
            continue;
        while (i-- > 0 && !SEEDED_BUG(UNDO_NOTHING))
            memtable_undo(t, &c->e->plan[i]);
        return false;
    }
    return true;
}

static void publish(commit *c)
{
    engine *e = c->e;
    memtable *t = e->layers->active;
    CHECK(c->lsn == e->latest + 1);
    if (c->once != NULL)
        memtable_add_once(t, c->once);
    if (c->blob != NULL)
        memtable_add_blob(t, c->blob);
    t->last = c->lsn;
    t->logged += c->logged;
    e->latest = c->lsn;
}

static persist_status log_record(commit *c, persist_error *error)
{
    engine *e = c->e;
    buf *record = wal_begin(&e->wal);
    CHECK(c->planned > 0 || c->given_once != NULL || c->given_blob != NULL);
    if (record == NULL)
        return no_memory(error);
    record_encode_body(record, e->layers->active->counts.next_position,
                       c->edits, c->count, c->given_once, e->seqs);
    if (c->given_blob != NULL)
        record_encode_blob(record, c->given_blob);
    if (record->failed)
        return no_memory(error);
    if (record->size - RECORD_HEADER_SIZE > RECORD_BODY_MAX)
        return status_set(error, PERSIST_TOO_LARGE,
                          "the commit is over the size of a log record");
    c->logged = record_size(record->size - RECORD_HEADER_SIZE);
    return wal_reserve(&e->wal, error);
}

static persist_status write_commit(commit *c, persist_outcome *out,
                                   persist_error *error)
{
    engine *e = c->e;
    c->lsn = e->latest + 1;
    c->before = e->layers->active->arena;
    persist_status status = engine_use(e, error);
    if (status == PERSIST_OK)
        status = plan(c, error);
    if (status == PERSIST_OK)
        status = log_record(c, error);
    if (status == PERSIST_NO_SPACE && SEEDED_BUG(FULL_DISK_STOPS))
        wal_fail(&e->wal, error);
    if (status == PERSIST_OK && out != NULL)
        status = copy_seqs(e->seqs, c->appends, out, error);
    if (status == PERSIST_OK) {
        readers_change(&e->readers);
        if (apply_all(c)) {
            wal_append(&e->wal, c->lsn);
            publish(c);
            e->commits++;
        } else {
            status = no_memory(error);
        }
        readers_change_end(&e->readers);
    }
    if (status != PERSIST_OK)
        abandon(c);
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
        if (is_expectation(&c->edits[i]))
            status = expectation_check(e, &c->edits[i], i, &holds, out, error);
        else
            writes = true;
        if (status != PERSIST_OK || !holds)
            return status;
    }
    *done = !writes;
    return PERSIST_OK;
}

/* Takes the writer's lock when there is room for one more commit. */
static persist_status enter(engine *e, persist_error *error)
{
    for (;;) {
        bool did = false;
        pthread_mutex_lock(&e->writer);
        if (!upkeep_is_full(e) || e->installing || wal_failed(&e->wal))
            return PERSIST_OK;
        persist_status status = upkeep_freeze(e, &did, error);
        pthread_mutex_unlock(&e->writer);
        if (did)
            upkeep_call(e);
        else if (status == PERSIST_OK)
            status = upkeep_await(e, error);
        if (status != PERSIST_OK)
            return status;
    }
}

/* Gives the lock back, with the memtable frozen if it is full by now. */
static void leave(engine *e)
{
    persist_error ignored; /* the next commit tries again, and tells */
    bool did;
    (void)upkeep_freeze(e, &did, &ignored);
    did = did || e->wakes_upkeep;
    e->wakes_upkeep = false;
    pthread_mutex_unlock(&e->writer);
    if (did)
        upkeep_call(e);
}

static persist_status run(commit *c, persist_outcome *out, persist_error *error)
{
    engine *e = c->e;
    persist_outcome ignored;
    persist_outcome *result = out == NULL ? &ignored : out;
    *result = (persist_outcome){.kind = PERSIST_COMMITTED};
    bool done;
    persist_status status = enter(e, error);
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
    c.given_once = body->has_once ? &body->once : NULL;
    c.given_blob = body->has_blob ? &body->blob : NULL;
    c.lsn = lsn;
    c.before = t->arena;
    if (lsn <= layers_tables_last(e->layers))
        return PERSIST_OK;
    if (SEEDED_BUG(FORGET_ONCE))
        c.given_once = NULL;
    if (SEEDED_BUG(HALF_COMMIT) && c.count > 1)
        c.count--;
    if (lsn != e->latest + 1 || body->position < t->counts.next_position ||
        body->position > PERSIST_SEQ_MAX + 1 ||
        (body->has_once && memtable_once(t, body->once.id) != NULL) ||
        (body->has_blob &&
         memtable_blob(t, blob_entry_name(&body->blob)) != NULL))
        return status_set(error, PERSIST_CORRUPT, "a record is out of order");
    t->counts.next_position = body->position;
    c.logged = body->size;
    persist_status status = plan(&c, error);
    if (status == PERSIST_SEQ_CONFLICT || status == PERSIST_BAD_REQUEST)
        status = status_set(error, PERSIST_CORRUPT,
                            "a record gives numbers that are taken");
    if (status == PERSIST_OK && !apply_all(&c))
        status = no_memory(error);
    if (status != PERSIST_OK) {
        abandon(&c);
        return status;
    }
    publish(&c);
    return PERSIST_OK;
}
