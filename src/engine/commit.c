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
    persist_lsn lsn;
    size_t planned;   /* entries of e->plan */
    size_t appends;   /* numbers in e->seqs */
    size_t replacing; /* edits that may replace something */
    uint64_t position;
    once *once; /* to be kept */
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

static persist_status check_once(const engine *e, const persist_once *given,
                                 bool *repeated, persist_outcome *out,
                                 persist_error *error)
{
    const once *o = memtable_once(&e->memtable, given->id);
    *repeated = o != NULL;
    if (o == NULL)
        return PERSIST_OK;
    if (memcmp(o->fingerprint, given->fingerprint, sizeof o->fingerprint) != 0)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the command id was used for another command; "
                          "choose a new one");
    return repeat(o, out, error);
}

persist_status engine_once_find(engine *e, slice id,
                                uint8_t fingerprint[PERSIST_FINGERPRINT_SIZE],
                                persist_outcome *out, persist_error *error)
{
    pthread_rwlock_rdlock(&e->state);
    const once *o = memtable_once(&e->memtable, id);
    bool hidden =
        o != NULL && wal_failed(&e->wal) && o->lsn > wal_durable(&e->wal);
    persist_status status = PERSIST_NONE;
    if (o != NULL && !hidden) {
        memcpy(fingerprint, o->fingerprint, sizeof o->fingerprint);
        status = repeat(o, out, error);
    }
    pthread_rwlock_unlock(&e->state);
    return status;
}

/* ---- expectations ----------------------------------------------------- */

static uint64_t mark_of(const engine *e, slice name)
{
    const stream *s = memtable_stream(&e->memtable, name);
    return s == NULL ? 0 : s->mark;
}

static const version *value_of(const engine *e, slice name)
{
    const key *k = memtable_key(&e->memtable, name);
    return k == NULL ? NULL : key_at(k, UINT64_MAX);
}

static bool holds(const engine *e, const persist_edit *edit)
{
    if (edit->kind == PERSIST_EXPECT_SEQ)
        return mark_of(e, edit->name) == edit->seq;
    const version *v = value_of(e, edit->name);
    if (edit->kind == PERSIST_EXPECT_ABSENT || v == NULL)
        return edit->kind == PERSIST_EXPECT_ABSENT && v == NULL;
    slice stored = slice_of(v->data, v->size);
    return slice_equal(stored, edit->data) ||
           (e->equal != NULL && e->equal(e->equal_context, stored, edit->data));
}

static persist_status report_conflict(const engine *e, const persist_edit *edit,
                                      size_t index, persist_outcome *out,
                                      persist_error *error)
{
    *out = (persist_outcome){.kind = PERSIST_CONFLICT, .lsn = e->latest};
    CHECK(is_expectation(edit));
    out->edit = index;
    if (edit->kind == PERSIST_EXPECT_SEQ) {
        out->actual_seq = mark_of(e, edit->name);
        return PERSIST_OK;
    }
    const version *v = value_of(e, edit->name);
    out->actual_present = v != NULL;
    if (v == NULL)
        return PERSIST_OK;
    void *copy = mem_alloc(v->size);
    if (copy == NULL)
        return no_memory(error);
    memcpy(copy, v->data, v->size);
    out->actual_value = slice_of(copy, v->size);
    return PERSIST_OK;
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
    *mark = m->seq;
    c->position++;
    c->e->seqs[c->appends++] = m->seq;
    return PERSIST_OK;
}

/* Finds what an edit works on, and makes it if the edit creates it. */
static bool find_target(commit *c, memtable_edit *m)
{
    engine *e = c->e;
    bool of_key =
        m->edit->kind == PERSIST_PUT || m->edit->kind == PERSIST_DELETE;
    bool makes =
        m->edit->kind != PERSIST_DELETE && m->edit->kind != PERSIST_TRUNCATE;
    if (of_key)
        m->target = memtable_key(&e->memtable, m->edit->name);
    else
        m->target = memtable_stream(&e->memtable, m->edit->name);
    if (m->target != NULL || !makes)
        return true;
    pthread_rwlock_wrlock(&e->state);
    if (of_key)
        m->target = memtable_make_key(&e->memtable, m->edit->name);
    else
        m->target = memtable_make_stream(&e->memtable, m->edit->name);
    pthread_rwlock_unlock(&e->state);
    m->made = m->target != NULL;
    return m->made;
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
    if (!find_target(c, m))
        return no_memory(error);
    if (edit->kind == PERSIST_APPEND || edit->kind == PERSIST_APPEND_AT)
        return plan_append(c, m, error);
    if (edit->kind == PERSIST_SET_MARK) {
        uint64_t *mark = planned_mark(c, m->target);
        if (edit->seq > *mark)
            *mark = edit->seq;
        return PERSIST_OK;
    }
    c->replacing++;
    return PERSIST_OK;
}

static persist_status plan(commit *c, persist_error *error)
{
    CHECK(c->planned == 0 && c->appends == 0);
    if (!grow_plan(c->e, c->count))
        return no_memory(error);
    c->e->plan_number++;
    c->position = c->e->memtable.next_position;
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < c->count && status == PERSIST_OK; i++)
        if (!is_expectation(&c->edits[i]))
            status = plan_edit(c, &c->edits[i], error);
    if (status != PERSIST_OK || c->given_once == NULL)
        return status;
    c->once = once_new(c->given_once, c->lsn, c->e->seqs, c->appends);
    return c->once == NULL ? no_memory(error) : PERSIST_OK;
}

/* Drops what only a commit that failed has made. */
static void abandon(commit *c)
{
    memtable *t = &c->e->memtable;
    CHECK(c->lsn == c->e->latest + 1);
    pthread_rwlock_wrlock(&c->e->state);
    for (size_t i = c->planned; i-- > 0;) {
        const memtable_edit *m = &c->e->plan[i];
        if (m->made && m->edit->kind == PERSIST_PUT)
            memtable_unmake_key(t, m->target);
        else if (m->made)
            memtable_unmake_stream(t, m->target);
    }
    pthread_rwlock_unlock(&c->e->state);
    mem_free(c->once);
}

/* ---- applying --------------------------------------------------------- */

static bool apply_all(commit *c)
{
    memtable *t = &c->e->memtable;
    if (!memtable_reserve(t, c->replacing, c->once != NULL))
        return false;
    for (size_t i = 0; i < c->planned; i++) {
        if (memtable_apply(t, &c->e->plan[i], c->lsn))
            continue;
        while (i-- > 0)
            memtable_undo(t, &c->e->plan[i]);
        return false;
    }
    return true;
}

static void publish(commit *c)
{
    engine *e = c->e;
    memtable *t = &e->memtable;
    CHECK(c->lsn == e->latest + 1);
    if (c->replacing > 0)
        for (size_t i = 0; i < c->planned; i++)
            memtable_settle(t, &e->plan[i], c->lsn);
    if (c->once != NULL)
        memtable_add_once(t, c->once);
    e->latest = c->lsn;
}

static persist_status log_record(commit *c, persist_error *error)
{
    engine *e = c->e;
    buf *record = wal_begin(&e->wal);
    CHECK(c->planned > 0 || c->given_once != NULL);
    if (record == NULL)
        return no_memory(error);
    record_encode_body(record, e->memtable.next_position, c->edits, c->count,
                       c->given_once, e->seqs);
    if (record->failed)
        return no_memory(error);
    if (record->size - RECORD_HEADER_SIZE > RECORD_BODY_MAX)
        return status_set(error, PERSIST_TOO_LARGE,
                          "the commit is over the size of a log record");
    return wal_reserve(&e->wal, error);
}

static persist_status write_commit(commit *c, persist_outcome *out,
                                   persist_error *error)
{
    engine *e = c->e;
    c->lsn = e->latest + 1;
    persist_status status = plan(c, error);
    if (status == PERSIST_OK)
        status = log_record(c, error);
    if (status == PERSIST_OK && out != NULL)
        status = copy_seqs(e->seqs, c->appends, out, error);
    if (status == PERSIST_OK) {
        pthread_rwlock_wrlock(&e->state);
        if (apply_all(c)) {
            wal_append(&e->wal, c->lsn);
            publish(c);
            e->commits++;
            if (memtable_garbage_from(&e->memtable) <= wal_durable(&e->wal))
                memtable_collect(&e->memtable, engine_horizon(e));
        } else {
            status = no_memory(error);
        }
        pthread_rwlock_unlock(&e->state);
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
    bool writes = c->given_once != NULL;
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
        if (!is_expectation(&c->edits[i]))
            writes = true;
        else if (!holds(e, &c->edits[i]))
            return report_conflict(e, &c->edits[i], i, out, error);
    }
    *done = !writes;
    return PERSIST_OK;
}

persist_status engine_commit(engine *e, const persist_edit *edits, size_t count,
                             const persist_once *given, persist_outcome *out,
                             persist_error *error)
{
    commit c = {.e = e, .edits = edits, .count = count, .given_once = given};
    persist_outcome ignored;
    persist_outcome *result = out == NULL ? &ignored : out;
    *result = (persist_outcome){.kind = PERSIST_COMMITTED};
    bool done;
    CHECK(out != NULL || given == NULL);
    pthread_mutex_lock(&e->writer);
    persist_status status = check(&c, &done, result, error);
    if (status == PERSIST_OK && !done)
        status = write_commit(&c, out, error);
    if (status == PERSIST_OK && result->kind == PERSIST_COMMITTED)
        result->lsn = e->latest;
    pthread_mutex_unlock(&e->writer);
    if (status != PERSIST_OK && out != NULL) {
        mem_free(out->seqs);
        *out = (persist_outcome){0};
    }
    return status;
}

/* ---- replaying -------------------------------------------------------- */

persist_status engine_replay(engine *e, persist_lsn lsn,
                             const record_body *body, persist_error *error)
{
    commit c = {.e = e, .edits = body->edits, .count = body->edit_count};
    c.given_once = body->has_once ? &body->once : NULL;
    c.lsn = lsn;
    if (SEEDED_BUG(FORGET_ONCE))
        c.given_once = NULL;
    if (SEEDED_BUG(HALF_COMMIT) && c.count > 1)
        c.count--;
    if (lsn != e->latest + 1 || body->position < e->memtable.next_position ||
        body->position > PERSIST_SEQ_MAX + 1 ||
        (body->has_once && memtable_once(&e->memtable, body->once.id) != NULL))
        return status_set(error, PERSIST_CORRUPT, "a record is out of order");
    e->memtable.next_position = body->position;
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
    memtable_collect(&e->memtable, lsn); /* nobody reads yet */
    return PERSIST_OK;
}
