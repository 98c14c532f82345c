/* SPDX-License-Identifier: MIT */
/* Expectations of a commit: they see the state before it, which is that of the
 * active memtable and the layers below. The writer's lock is held. */
#include "base/cid.h"
#include "base/mem.h"
#include "engine/commit/plan.h"
#include "engine/read/read.h"

static persist_status mark_of(const engine *e, slice name, uint64_t *mark,
                              persist_error *error)
{
    const stream *s = memtable_stream(e->layers->active, name);
    stream_state state = {0};
    persist_status status = PERSIST_OK;
    if (s == NULL)
        status = layers_below_state(e->layers, name, e->latest, &state, error);
    *mark = s == NULL ? state.mark : s->mark;
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

/* PERSIST_NONE: the key is absent. Release the value after a PERSIST_OK. */
static persist_status value_of(const engine *e, slice name, found_value *out,
                               persist_error *error)
{
    const key *k = memtable_key(e->layers->active, name);
    const version *v = k == NULL ? NULL : key_at(k, UINT64_MAX);
    if (v == NULL)
        return layers_below_key(e->layers, name, e->latest, out, error);
    *out = (found_value){.value = slice_of(v->data, v->size)};
    return v->deleted ? PERSIST_NONE : PERSIST_OK;
}

static bool values_agree(const engine *e, slice stored, slice expected)
{
    return slice_equal(stored, expected) ||
           (e->equal != NULL && e->equal(e->equal_context, stored, expected));
}

static persist_status check_mark(const engine *e, const persist_edit *edit,
                                 bool *holds, persist_outcome *out,
                                 persist_error *error)
{
    uint64_t mark;
    persist_status status = mark_of(e, edit->name, &mark, error);
    *holds = mark == edit->seq;
    if (status == PERSIST_OK && !*holds)
        out->actual_seq = mark;
    return status;
}

static persist_status check_value(const engine *e, const persist_edit *edit,
                                  bool *holds, persist_outcome *out,
                                  persist_error *error)
{
    found_value found;
    persist_status status = value_of(e, edit->name, &found, error);
    if (status > PERSIST_NONE)
        return status;
    bool absent = status == PERSIST_NONE;
    *holds = edit->kind == PERSIST_EXPECT_ABSENT
                 ? absent
                 : !absent && values_agree(e, found.value, edit->data);
    status = PERSIST_OK;
    if (!*holds && !absent)
        status = layers_copy_value(found.value, &out->actual_value, error);
    out->actual_present = !*holds && !absent;
    if (!absent)
        found_value_release(&found);
    return status;
}

/* ---- what must not have come ------------------------------------------- */

static bool is_query(const persist_edit *edit)
{
    return edit->kind == PERSIST_EXPECT_NONE && edit->query_count > 0;
}

/* The position first: whatever has one by then, each look sees. */
void expectations_look_ahead(commit *c)
{
    uint64_t through = UINT64_MAX;
    persist_error ignored;
    for (size_t i = 0; i < c->count; i++) {
        const persist_edit *edit = &c->edits[i];
        if (!is_query(edit))
            continue;
        if (through == UINT64_MAX)
            through = engine_position(c->e, VIEW_LATEST);
        uint64_t first = 0;
        persist_status status =
            edit->seq >= through
                ? PERSIST_NONE
                : engine_first_match(c->e, edit->query, edit->query_count,
                                     edit->seq + 1, &first, &ignored);
        if (status > PERSIST_NONE)
            return; /* whoever has the lock tells */
        if (status == PERSIST_OK && first <= through)
            through = first - 1;
    }
    c->looked = through == UINT64_MAX ? 0 : through;
}

/* Tells whether one of so many events, from a position on, matches: those that
 * are truncated, too. */
static bool comes(const memtable *t, const persist_edit *edit, uint64_t from)
{
    const order *o = &t->order;
    for (size_t i = order_seek(o, from); i < o->count; i++) {
        const order_block *b = o->blocks[i];
        for (uint64_t k = from > b->first ? from - b->first : 0; k < b->count;
             k++)
            if (query_matches(edit->query, edit->query_count,
                              event_tagged(b->items[k].event)))
                return true;
    }
    return false;
}

/* Tells whether so little has come from a position on that one look at each
 * event says at once that nothing matches. */
static bool is_clear(const engine *e, const persist_edit *edit, uint64_t from)
{
    const memtable *t = e->layers->active;
    uint64_t next = t->counts.next_position;
    if (from >= next)
        return true;
    return from >= t->first_position && next - from <= EXPECT_NEAR &&
           !comes(t, edit, from);
}

static persist_status check_none(const commit *c, const persist_edit *edit,
                                 bool *holds, persist_outcome *out,
                                 persist_error *error)
{
    uint64_t from = (edit->seq > c->looked ? edit->seq : c->looked) + 1;
    *holds = is_clear(c->e, edit, from);
    if (*holds)
        return PERSIST_OK;
    persist_status status = engine_first_match(
        c->e, edit->query, edit->query_count, from, &out->actual_seq, error);
    *holds = status == PERSIST_NONE;
    return *holds ? PERSIST_OK : status;
}

/* ---- all --------------------------------------------------------------- */

/* Blobs come with commits, which the writer's lock keeps out. */
static persist_status check_blob(const engine *e, const persist_edit *edit,
                                 bool *holds, persist_error *error)
{
    blob_entry entry;
    uint8_t digest[HASH_SHA256_SIZE];
    bool valid = cid_decode(edit->name, digest);
    CHECK(valid);
    slice name = slice_of(digest, sizeof digest);
    const blob_item *b = memtable_blob(e->layers->active, name);
    const blob_version *newest = b == NULL ? NULL : b->newest;
    *holds = newest != NULL && !newest->entry.deleted;
    if (newest != NULL)
        return PERSIST_OK;
    persist_status status =
        layers_below_blob(e->layers, name, e->latest, &entry, error);
    *holds = status == PERSIST_OK;
    return status == PERSIST_NONE ? PERSIST_OK : status;
}

persist_status expectation_check(const commit *c, size_t index, bool *holds,
                                 persist_outcome *out, persist_error *error)
{
    const engine *e = c->e;
    const persist_edit *edit = &c->edits[index];
    CHECK(index < c->count && edit_is_expectation(edit));
    persist_status status;
    if (edit->kind == PERSIST_EXPECT_SEQ)
        status = check_mark(e, edit, holds, out, error);
    else if (edit->kind == PERSIST_EXPECT_NONE)
        status = check_none(c, edit, holds, out, error);
    else if (edit->kind == PERSIST_EXPECT_BLOB)
        status = check_blob(e, edit, holds, error);
    else
        status = check_value(e, edit, holds, out, error);
    if (status != PERSIST_OK || *holds)
        return status;
    out->kind = PERSIST_CONFLICT;
    out->lsn = e->latest;
    out->edit = index;
    return PERSIST_OK;
}
