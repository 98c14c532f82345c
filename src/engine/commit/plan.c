/* SPDX-License-Identifier: MIT */
/* Planning a commit: its streams, keys and numbers, before anything changes
 * that a reader could see. */
#include "engine/commit/plan.h"

#include "base/mem.h"

static bool grow_plan(engine *e, size_t count)
{
    if (count <= e->plan_capacity)
        return true;
    size_t capacity = count < PLAN_KEPT ? PLAN_KEPT : count;
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

void plan_trim(engine *e)
{
    if (e->plan_capacity <= PLAN_KEPT)
        return;
    mem_free(e->plan);
    mem_free(e->seqs);
    e->plan = NULL;
    e->seqs = NULL;
    e->plan_capacity = 0;
}

/* A stream with its mark and floor at this point of the plan. */
static stream *planned(commit *c, stream *s)
{
    if (s->plan != c->e->plan_number) {
        s->plan = c->e->plan_number;
        s->plan_mark = s->mark;
        s->plan_floor = *stream_floor_at(s, UINT64_MAX);
    }
    CHECK(s->plan_mark >= s->mark);
    return s;
}

static persist_status plan_append(commit *c, memtable_edit *m,
                                  persist_error *error)
{
    stream *s = planned(c, m->target);
    uint64_t *mark = &s->plan_mark;
    m->seq = m->edit->kind == PERSIST_APPEND ? *mark + 1 : m->edit->seq;
    if (m->seq <= *mark)
        return status_seq_conflict(error, s->name, m->seq, *mark);
    if (m->seq > PERSIST_SEQ_MAX)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the stream has no numbers left");
    if (c->position > PERSIST_SEQ_MAX)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the store has no positions left");
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
    if (m->made)
        dead_note_key(c, m->edit);
    return m->made ? PERSIST_OK : status_no_memory(error);
}

static persist_status contradiction(persist_error *error)
{
    return status_set(error, PERSIST_CORRUPT,
                      "a record contradicts what came before it");
}

static persist_status make_stream(commit *c, memtable_edit *m,
                                  const stream_state *base,
                                  persist_error *error)
{
    engine *e = c->e;
    readers_change(&e->readers);
    m->target = memtable_make_stream(e->layers->active, m->edit->name, base);
    readers_change_end(&e->readers);
    m->made = m->target != NULL;
    return m->made ? PERSIST_OK : status_no_memory(error);
}

/* Enters a stream where the log says so, with the state that it says. One that
 * is there already was entered for the memtable after it, and must agree. */
static persist_status replay_stream(commit *c, memtable_edit *m,
                                    const record_past *past,
                                    persist_error *error)
{
    const stream *s = m->target;
    if (past == NULL || !past->enters)
        return s != NULL || m->edit->kind == PERSIST_TRUNCATE
                   ? PERSIST_OK
                   : contradiction(error);
    const stream_state *base = past->based ? &past->base : NULL;
    if (s == NULL)
        return make_stream(c, m, base, error);
    return base != NULL && base->mark == s->mark && base->count == s->count &&
                   base->bytes == s->bytes
               ? PERSIST_OK
               : contradiction(error);
}

/* Finds a stream there, or enters it with the state it has in older layers; a
 * truncation makes none. */
static persist_status find_stream(commit *c, memtable_edit *m,
                                  const record_past *past, persist_error *error)
{
    engine *e = c->e;
    stream_state base;
    m->target = memtable_stream(e->layers->active, m->edit->name);
    if (c->replayed)
        return replay_stream(c, m, past, error);
    if (m->target != NULL)
        return PERSIST_OK;
    persist_status status =
        layers_below_state(e->layers, m->edit->name, e->latest, &base, error);
    if (status > PERSIST_NONE)
        return status;
    bool based = status == PERSIST_OK;
    if (!based && m->edit->kind == PERSIST_TRUNCATE)
        return PERSIST_OK;
    return make_stream(c, m, based ? &base : NULL, error);
}

/* Tells whether a floor fits what older layers have of a stream. When nothing
 * of that is left, its first event may be one that came since: the log is
 * perhaps that of two memtables. */
static bool floor_fits(const stream *s, const stream_floor *f)
{
    stream_state then = s->base;
    then.floor = *f;
    if (f->first <= s->base.mark)
        return stream_state_holds(&then);
    return f->index == s->base.count && f->bytes == s->base.bytes &&
           s->count > f->index && stream_event(s, f->index)->seq == f->first;
}

/* Takes the floor that the log gives, if it can be one. */
static persist_status replay_floor(memtable_edit *m, const record_past *past,
                                   persist_error *error)
{
    const stream *s = m->target;
    const stream_floor *least = &s->plan_floor;
    if (past == NULL || !past->cuts)
        return contradiction(error);
    m->floor = past->floor;
    bool valid = floor_fits(s, &m->floor) && m->floor.index >= least->index &&
                 m->floor.bytes >= least->bytes;
    return valid ? PERSIST_OK : contradiction(error);
}

static bool drops_nothing(const stream *s, const stream_floor *floor)
{
    return floor->index == stream_floor_at(s, UINT64_MAX)->index;
}

/* A truncation of events in older layers has to know what is left there. */
static persist_status plan_truncate(commit *c, memtable_edit *m,
                                    const record_past *past,
                                    persist_error *error)
{
    uint64_t seq = m->edit->seq;
    m->drops_nothing = true;
    if (m->target == NULL)
        return PERSIST_OK;
    stream *s = planned(c, m->target);
    if (seq <= s->plan_floor.through)
        return PERSIST_OK;
    stream_floor before = s->plan_floor;
    if (seq >= s->base.mark) {
        stream_floor floor = stream_floor_of(s, seq < s->mark ? seq : s->mark);
        m->drops_nothing = drops_nothing(s, &floor);
        s->plan_floor.through = seq < s->plan_mark ? seq : s->plan_mark;
        dead_note_floor(c, s, &before, &s->plan_floor);
        return PERSIST_OK;
    }
    stream_state now = s->base;
    now.floor = s->plan_floor;
    persist_status status =
        c->replayed ? replay_floor(m, past, error)
                    : layers_below_floor(c->e->layers, s->name, &now, seq,
                                         &m->floor, error);
    if (status != PERSIST_OK)
        return status;
    m->drops_nothing = drops_nothing(s, &m->floor);
    s->plan_floor = m->floor;
    dead_note_floor(c, s, &before, &s->plan_floor);
    return PERSIST_OK;
}

/* What the log says in front of the edit that is planned next. */
static const record_past *take_past(commit *c)
{
    if (c->past_count == 0 || c->pasts->edit != c->planned)
        return NULL;
    c->past_count--;
    return c->pasts++;
}

/* Records of older versions may say less than what is there. */
static persist_status plan_position(commit *c, const persist_edit *edit,
                                    persist_error *error)
{
    if (edit->seq < c->position && !c->replayed)
        return status_downwards(error, "the next position", edit->seq,
                                c->position);
    if (edit->seq > c->position)
        c->position = edit->seq;
    return PERSIST_OK;
}

static persist_status plan_mark(commit *c, const memtable_edit *m,
                                persist_error *error)
{
    stream *s = planned(c, m->target);
    if (m->edit->seq < s->plan_mark && !c->replayed) {
        status_downwards(error, "the mark", m->edit->seq, s->plan_mark);
        status_of_stream(error, s->name);
        return PERSIST_SEQ_CONFLICT;
    }
    if (m->edit->seq > s->plan_mark)
        s->plan_mark = m->edit->seq;
    return PERSIST_OK;
}

/* Nobody sees it before its commit is visible. */
static once *make_once(commit *c, const persist_once *from,
                       const uint64_t *seqs, size_t seq_count)
{
    engine *e = c->e;
    readers_change(&e->readers);
    once *o =
        memtable_make_once(e->layers->active, from, c->lsn, seqs, seq_count);
    readers_change_end(&e->readers);
    return o;
}

static bool is_same(const once *o, const persist_command *command)
{
    return memcmp(o->fingerprint, command->fingerprint,
                  sizeof o->fingerprint) == 0 &&
           o->seq_count == command->seq_count &&
           (o->seq_count == 0 || memcmp(o->seqs, command->seqs,
                                        o->seq_count * sizeof *o->seqs) == 0);
}

static persist_status plan_set_once(commit *c, memtable_edit *m,
                                    persist_error *error)
{
    const persist_command *command = m->edit->command;
    const layers *v = c->e->layers;
    const once *there = NULL;
    once *owned = NULL;
    persist_status status =
        c->replayed ? PERSIST_NONE
                    : commit_find_once(v, command->id, &there, &owned, error);
    if (c->replayed && memtable_once(v->active, command->id) != NULL)
        return contradiction(error);
    if (status == PERSIST_OK && !is_same(there, command))
        status = status_set(error, PERSIST_BAD_REQUEST,
                            "a command id that is set is there already, of "
                            "another command");
    mem_free(owned);
    if (status != PERSIST_NONE)
        return status;
    persist_once from = {.id = command->id};
    memcpy(from.fingerprint, command->fingerprint, sizeof from.fingerprint);
    m->target = make_once(c, &from, command->seqs, command->seq_count);
    m->made = m->target != NULL;
    return m->made ? PERSIST_OK : status_no_memory(error);
}

/* That of the commit itself. */
static persist_status plan_once(commit *c, persist_error *error)
{
    const persist_once *given = c->given_once;
    if (memtable_once(c->e->layers->active, given->id) != NULL)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the command id of a commit cannot be set by an edit "
                          "of it");
    c->once = make_once(c, given, c->e->seqs, c->appends);
    return c->once != NULL ? PERSIST_OK : status_no_memory(error);
}

static persist_status plan_edit(commit *c, const persist_edit *edit,
                                persist_error *error)
{
    const record_past *past = take_past(c);
    memtable_edit *m = &c->e->plan[c->planned++];
    CHECK(c->planned <= c->e->plan_capacity);
    *m = (memtable_edit){.edit = edit};
    if (edit->kind == PERSIST_SET_POSITION)
        return plan_position(c, edit, error);
    if (edit->kind == PERSIST_SET_TIME)
        return PERSIST_OK;
    if (edit->kind == PERSIST_SET_ONCE)
        return plan_set_once(c, m, error);
    persist_status status = edit_is_of_key(edit)
                                ? find_key(c, m, error)
                                : find_stream(c, m, past, error);
    if (status != PERSIST_OK)
        return status;
    if (edit->kind == PERSIST_TRUNCATE)
        return plan_truncate(c, m, past, error);
    if (edit->kind == PERSIST_APPEND || edit->kind == PERSIST_APPEND_AT)
        return plan_append(c, m, error);
    return edit->kind == PERSIST_SET_MARK ? plan_mark(c, m, error) : PERSIST_OK;
}

static persist_status plan_blob(commit *c, persist_error *error)
{
    engine *e = c->e;
    memtable *t = e->layers->active;
    slice digest = blob_entry_name(c->given_blob);
    c->blob = memtable_blob(t, digest);
    readers_change(&e->readers);
    if (c->blob == NULL) {
        c->blob = memtable_make_blob(t, digest);
        c->blob_made = c->blob != NULL;
    }
    if (c->blob != NULL)
        c->blob_version = memtable_make_blob_version(t, c->given_blob, c->lsn);
    readers_change_end(&e->readers);
    if (c->blob_version == NULL)
        return status_no_memory(error);
    c->blob_version->entry.time = c->time;
    return PERSIST_OK;
}

persist_status plan_commit(commit *c, persist_error *error)
{
    CHECK(c->planned == 0 && c->appends == 0);
    if (!grow_plan(c->e, c->count))
        return status_no_memory(error);
    c->e->plan_number++;
    c->position = c->e->layers->active->counts.next_position;
    persist_status status = PERSIST_OK;
    for (size_t i = 0; i < c->count && status == PERSIST_OK; i++)
        if (!edit_is_expectation(&c->edits[i]))
            status = plan_edit(c, &c->edits[i], error);
    if (status == PERSIST_OK && c->given_once != NULL)
        status = plan_once(c, error);
    if (status == PERSIST_OK && c->given_blob != NULL)
        status = plan_blob(c, error);
    return status;
}

bool plan_does_nothing(const commit *c)
{
    if (c->given_once != NULL || c->given_blob != NULL)
        return false;
    for (size_t i = 0; i < c->planned; i++)
        if (!c->e->plan[i].drops_nothing)
            return false;
    return true;
}

void plan_abandon(commit *c)
{
    memtable *t = c->e->layers->active;
    CHECK(c->lsn > c->e->latest);
    readers_change(&c->e->readers);
    if (c->once != NULL)
        memtable_unmake_once(t, c->once);
    for (size_t i = c->planned; i-- > 0;) {
        const memtable_edit *m = &c->e->plan[i];
        if (m->made && m->edit->kind == PERSIST_SET_ONCE)
            memtable_unmake_once(t, m->target);
        else if (m->made && edit_is_of_key(m->edit))
            memtable_unmake_key(t, m->target);
        else if (m->made)
            memtable_unmake_stream(t, m->target);
    }
    if (c->blob_made)
        memtable_unmake_blob(t, c->blob);
    arena_rewind(&t->arena, &c->before);
    readers_change_end(&c->e->readers);
}
