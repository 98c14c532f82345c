/* SPDX-License-Identifier: MIT */
/* The memory backend: committing.
 *
 * A commit goes in three steps: check what can be refused, stage everything
 * that can fail (memory), apply what cannot. Staging may leave entries that
 * mean nothing yet (a stream not known, a key without value); sweeping takes
 * them away at the end of every commit. */
#include "store/memory.h"

#include "base/status.h"
#include "engine/files/files.h"

/* What staging prepared for one edit. */
typedef struct staged {
    memory_stream *stream;
    map_node *key;
    cell *data;   /* owned until applied */
    cell *tagged; /* the same */
    uint64_t seq;
    bool set_once; /* it entered a command id, until applied */
} staged;

/* A commit in hand. */
typedef struct batch {
    memory_store *store;
    const persist_edit *edits;
    size_t count;
    const persist_once *once;
    staged *staged;
    size_t appends;
    uint64_t position;
    uint64_t *seqs;          /* for the outcome, one an append */
    memory_once *once_value; /* owned until applied */
} batch;

/* ---- expectations ----------------------------------------------------- */

static uint64_t mark_of(const memory_store *m, slice name)
{
    const map_node *node = map_find(&m->now->streams, name);
    return node == NULL ? 0 : ((const memory_stream *)node->value)->mark;
}

static uint64_t first_match(const memory_store *m, const persist_edit *edit)
{
    CHECK(edit->kind == PERSIST_EXPECT_NONE);
    return memory_first_match(m->now, edit->query, edit->query_count,
                              edit->seq + 1);
}

static bool holds(const memory_store *m, const persist_edit *edit)
{
    CHECK(edit_is_expectation(edit));
    if (edit->kind == PERSIST_EXPECT_SEQ)
        return mark_of(m, edit->name) == edit->seq;
    if (edit->kind == PERSIST_EXPECT_NONE)
        return first_match(m, edit) == 0;
    if (edit->kind == PERSIST_EXPECT_BLOB)
        return map_find(&m->now->blobs, edit->name) != NULL;
    const map_node *node = map_find(&m->now->keys, edit->name);
    if (edit->kind == PERSIST_EXPECT_ABSENT)
        return node == NULL;
    if (node == NULL)
        return false;
    CHECK(node->value != NULL); /* else it was swept */
    slice stored = cell_slice(node->value);
    return slice_equal(stored, edit->data) ||
           (m->equal != NULL && m->equal(m->equal_context, stored, edit->data));
}

static persist_status report_conflict(const memory_store *m,
                                      const persist_edit *edit, size_t index,
                                      persist_outcome *out,
                                      persist_error *error)
{
    CHECK(edit_is_expectation(edit));
    out->kind = PERSIST_CONFLICT;
    out->lsn = m->latest;
    out->edit = index;
    if (edit->kind == PERSIST_EXPECT_SEQ) {
        out->actual_seq = mark_of(m, edit->name);
        return PERSIST_OK;
    }
    if (edit->kind == PERSIST_EXPECT_NONE) {
        out->actual_seq = first_match(m, edit);
        return PERSIST_OK;
    }
    if (edit->kind == PERSIST_EXPECT_BLOB)
        return PERSIST_OK;
    const map_node *node = map_find(&m->now->keys, edit->name);
    out->actual_present = node != NULL;
    if (node == NULL)
        return PERSIST_OK;
    return memory_copy(cell_slice(node->value), &out->actual_value, error);
}

/* Sets *refused when an expectation does not hold, with the outcome. */
static persist_status check_expectations(const batch *b, bool *refused,
                                         persist_outcome *outcome,
                                         persist_error *error)
{
    for (size_t i = 0; i < b->count; i++) {
        const persist_edit *edit = &b->edits[i];
        if (!edit_is_expectation(edit) || holds(b->store, edit))
            continue;
        CHECK(outcome != NULL);
        *refused = true;
        return report_conflict(b->store, edit, i, outcome, error);
    }
    return PERSIST_OK;
}

/* ---- command ids ------------------------------------------------------ */

static persist_status copy_seqs(const uint64_t *seqs, size_t count,
                                persist_outcome *outcome, persist_error *error)
{
    if (count == 0)
        return PERSIST_OK;
    CHECK(outcome->seqs == NULL);
    slice copy;
    persist_status status =
        memory_copy(slice_of(seqs, count * sizeof *seqs), &copy, error);
    if (status != PERSIST_OK)
        return status;
    outcome->seqs = (uint64_t *)(uintptr_t)copy.data;
    outcome->seq_count = count;
    return PERSIST_OK;
}

persist_status memory_report_once(const memory_once *once,
                                  persist_outcome *outcome,
                                  persist_error *error)
{
    outcome->kind = PERSIST_REPEATED;
    outcome->lsn = once->lsn;
    return copy_seqs(once->seqs, once->seq_count, outcome, error);
}

static persist_status check_once(const batch *b, bool *repeated,
                                 persist_outcome *outcome, persist_error *error)
{
    const map_node *node =
        b->once == NULL ? NULL : map_find(&b->store->onces, b->once->id);
    if (node == NULL)
        return PERSIST_OK;
    const memory_once *once = node->value;
    CHECK(once != NULL && outcome != NULL);
    if (memcmp(once->fingerprint, b->once->fingerprint,
               PERSIST_FINGERPRINT_SIZE) != 0)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the command id was used for another command; "
                          "choose a new one");
    *repeated = true;
    return memory_report_once(once, outcome, error);
}

/* ---- staging: all that can fail --------------------------------------- */

static memory_stream *add_stream(memory_store *m, slice name)
{
    map_node *node = map_add(&m->now->streams, name);
    if (node == NULL || node->value != NULL)
        return node == NULL ? NULL : node->value;
    memory_stream *stream = mem_alloc_zero(sizeof *stream);
    if (stream == NULL) {
        map_remove(&m->now->streams, name);
        return NULL;
    }
    stream->name = node->name;
    node->value = stream;
    return stream;
}

/* Room for what the commit appends; dropped events at the front give theirs
 * back when that is half of the array. */
static bool reserve_events(memory_stream *stream)
{
    size_t kept = stream->end - stream->first;
    if (stream->first > kept) {
        memmove(stream->events, stream->events + stream->first,
                kept * sizeof *stream->events);
        stream->first = 0;
        stream->end = kept;
    }
    bool ok = mem_grow(&stream->events, stream->end, stream->staged_events,
                       &stream->capacity, sizeof *stream->events);
    CHECK(!ok || stream->capacity - stream->end >= stream->staged_events);
    return ok;
}

static bool stage_tags(const persist_edit *edit, staged *st)
{
    buf bytes = {0};
    if (edit->tag_count == 0)
        return true;
    tagged_put(&bytes, edit);
    CHECK(st->tagged == NULL);
    if (!bytes.failed)
        st->tagged = cell_new(buf_slice(&bytes));
    buf_release(&bytes);
    return st->tagged != NULL;
}

static persist_status stage_append(batch *b, const persist_edit *edit,
                                   staged *st, persist_error *error)
{
    memory_stream *stream = st->stream;
    CHECK(stream != NULL && stream->staged_mark >= stream->mark);
    st->seq =
        edit->kind == PERSIST_APPEND ? stream->staged_mark + 1 : edit->seq;
    if (st->seq <= stream->staged_mark)
        return status_seq_conflict(
            error, slice_of(stream->name->bytes, stream->name->size), st->seq,
            stream->staged_mark);
    if (st->seq > PERSIST_SEQ_MAX)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the stream has no numbers left");
    if (b->position >= PERSIST_SEQ_MAX)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the store has no positions left");
    st->data = cell_new(edit->data);
    if (st->data == NULL || !stage_tags(edit, st))
        return memory_out(error);
    stream->staged_mark = st->seq;
    stream->staged_events++;
    b->position++;
    b->appends++;
    return reserve_events(stream) ? PERSIST_OK : memory_out(error);
}

static persist_status stage_mark(const persist_edit *edit, const staged *st,
                                 persist_error *error)
{
    memory_stream *stream = st->stream;
    if (edit->seq < stream->staged_mark) {
        status_downwards(error, "the mark", edit->seq, stream->staged_mark);
        status_of_stream(error, edit->name);
        return PERSIST_SEQ_CONFLICT;
    }
    stream->staged_mark = edit->seq;
    return PERSIST_OK;
}

static memory_once *new_once(const uint8_t *fingerprint, persist_lsn lsn,
                             const uint64_t *seqs, size_t seq_count)
{
    memory_once *o = mem_alloc_zero(sizeof *o + seq_count * sizeof *seqs);
    if (o == NULL)
        return NULL;
    memcpy(o->fingerprint, fingerprint, sizeof o->fingerprint);
    o->lsn = lsn;
    o->seq_count = seq_count;
    if (seq_count > 0)
        memcpy(o->seqs, seqs, seq_count * sizeof *seqs);
    return o;
}

/* What is there is there; else it enters the map at once, and is swept out
 * again if the commit is refused. */
static persist_status stage_set_once(batch *b, const persist_command *command,
                                     staged *st, persist_error *error)
{
    map_node *node = map_add(&b->store->onces, command->id);
    if (node == NULL)
        return memory_out(error);
    const memory_once *there = node->value;
    if (there == NULL) {
        st->set_once = true;
        node->value = new_once(command->fingerprint, memory_next_lsn(b->store),
                               command->seqs, command->seq_count);
        return node->value != NULL ? PERSIST_OK : memory_out(error);
    }
    size_t size = command->seq_count * sizeof *command->seqs;
    bool same = memcmp(there->fingerprint, command->fingerprint,
                       sizeof there->fingerprint) == 0 &&
                there->seq_count == command->seq_count &&
                (size == 0 || memcmp(there->seqs, command->seqs, size) == 0);
    return same ? PERSIST_OK
                : status_set(error, PERSIST_BAD_REQUEST,
                             "a command id that is set is there already, of "
                             "another command");
}

static persist_status stage_edit(batch *b, size_t i, persist_error *error)
{
    const persist_edit *edit = &b->edits[i];
    staged *st = &b->staged[i];
    switch (edit->kind) {
    case PERSIST_APPEND:
    case PERSIST_APPEND_AT:
        return stage_append(b, edit, st, error);
    case PERSIST_SET_MARK:
        return stage_mark(edit, st, error);
    case PERSIST_SET_POSITION:
        if (edit->seq < b->position + 1)
            return status_downwards(error, "the next position", edit->seq,
                                    b->position + 1);
        b->position = edit->seq - 1;
        return PERSIST_OK;
    case PERSIST_SET_ONCE:
        return stage_set_once(b, edit->command, st, error);
    case PERSIST_PUT:
        st->key = map_add(&b->store->now->keys, edit->name);
        st->data = cell_new(edit->data);
        return st->key == NULL || st->data == NULL ? memory_out(error)
                                                   : PERSIST_OK;
    default:
        return PERSIST_OK;
    }
}

/* Finds or makes the streams that are written, with their marks as staging
 * begins. */
static bool stage_streams(batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const persist_edit *edit = &b->edits[i];
        if (!edit_is_append(edit) && edit->kind != PERSIST_SET_MARK)
            continue;
        memory_stream *stream = add_stream(b->store, edit->name);
        if (stream == NULL)
            return false;
        stream->staged_mark = stream->mark;
        stream->staged_events = 0;
        b->staged[i].stream = stream;
    }
    return true;
}

static bool stage_seqs(batch *b)
{
    b->seqs = mem_alloc(b->appends * sizeof *b->seqs);
    if (b->seqs == NULL)
        return false;
    size_t appends = 0;
    for (size_t i = 0; i < b->count; i++)
        if (edit_is_append(&b->edits[i]))
            b->seqs[appends++] = b->staged[i].seq;
    CHECK(appends == b->appends);
    return true;
}

static persist_status stage_once(batch *b, persist_error *error)
{
    if (b->once == NULL)
        return PERSIST_OK;
    CHECK(b->once_value == NULL);
    const map_node *node = map_add(&b->store->onces, b->once->id);
    if (node != NULL && node->value != NULL)
        return status_set(error, PERSIST_BAD_REQUEST,
                          "the command id of a commit cannot be set by an edit "
                          "of it");
    b->once_value = new_once(b->once->fingerprint, memory_next_lsn(b->store),
                             b->seqs, b->appends);
    return node != NULL && b->once_value != NULL ? PERSIST_OK
                                                 : memory_out(error);
}

/* NULL: none is. */
static const uint64_t *given_time(const batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->edits[i].kind == PERSIST_SET_TIME)
            return &b->edits[i].seq;
    return NULL;
}

static persist_status stage(batch *b, persist_error *error)
{
    CHECK(b->staged == NULL && b->appends == 0);
    memory_store *m = b->store;
    const uint64_t *time = given_time(b);
    if (time != NULL && *time < m->time)
        return status_downwards(error, "the time of commits", *time, m->time);
    b->position = m->now->position;
    b->staged = mem_alloc_zero(b->count * sizeof *b->staged);
    if (b->staged == NULL || !stage_streams(b))
        return memory_out(error);
    for (size_t i = 0; i < b->count; i++) {
        persist_status status = stage_edit(b, i, error);
        if (status != PERSIST_OK)
            return status;
    }
    bool ok = mem_grow(&m->now->order, m->now->order_count, b->appends,
                       &m->now->order_capacity, sizeof *m->now->order);
    return ok && stage_seqs(b) ? stage_once(b, error) : memory_out(error);
}

/* ---- applying: cannot fail -------------------------------------------- */

static void apply_append(memory_store *m, staged *st)
{
    memory_stream *stream = st->stream;
    CHECK(st->seq > stream->mark && stream->end < stream->capacity);
    CHECK(m->now->order_count < m->now->order_capacity);
    m->now->position++;
    m->now->events++;
    stream->events[stream->end++] = (memory_event){
        st->data, st->tagged, st->seq, m->now->position, m->time};
    m->now->order[m->now->order_count++] =
        (memory_entry){stream, st->seq, m->now->position, m->time};
    stream->known = true;
    stream->mark = st->seq;
    stream->bytes += st->data->size;
    m->now->bytes += st->data->size;
    st->data = NULL;
    st->tagged = NULL;
}

/* Forgets the places of truncated events once they are the most. */
static void trim_order(memory_store *m)
{
    if (m->now->order_count < 16 || m->now->order_count / 2 < m->now->events)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < m->now->order_count; i++) {
        const memory_stream *stream = m->now->order[i].stream;
        if (stream->first < stream->end &&
            m->now->order[i].seq >= stream->events[stream->first].seq)
            m->now->order[kept++] = m->now->order[i];
    }
    CHECK(kept == m->now->events);
    m->now->order_count = kept;
}

static void apply_truncate(memory_store *m, const persist_edit *edit)
{
    map_node *node = map_find(&m->now->streams, edit->name);
    if (node == NULL)
        return;
    memory_stream *stream = node->value;
    while (stream->first < stream->end &&
           stream->events[stream->first].seq <= edit->seq) {
        cell_unref(stream->events[stream->first].tagged);
        cell *data = stream->events[stream->first++].data;
        CHECK(m->now->events > 0 && stream->bytes >= data->size);
        stream->bytes -= data->size;
        m->now->bytes -= data->size;
        m->now->events--;
        cell_unref(data);
    }
}

/* Gives a key a new value; NULL: none. */
static void set_value(memory_store *m, map_node *key, cell *value)
{
    cell *old = key->value;
    CHECK(old == NULL || m->now->bytes >= old->size);
    m->now->bytes -= old == NULL ? 0 : old->size;
    m->now->bytes += value == NULL ? 0 : value->size;
    cell_unref(old);
    key->value = value;
}

static void apply_delete(memory_store *m, const persist_edit *edit)
{
    map_node *node = map_find(&m->now->keys, edit->name);
    if (node != NULL)
        set_value(m, node, NULL);
}

static void apply_edit(memory_store *m, const persist_edit *edit, staged *st)
{
    switch (edit->kind) {
    case PERSIST_APPEND:
    case PERSIST_APPEND_AT:
        apply_append(m, st);
        break;
    case PERSIST_TRUNCATE:
        apply_truncate(m, edit);
        break;
    case PERSIST_PUT:
        set_value(m, st->key, st->data);
        st->data = NULL;
        break;
    case PERSIST_DELETE:
        apply_delete(m, edit);
        break;
    case PERSIST_SET_MARK:
        st->stream->known = true;
        CHECK(edit->seq >= st->stream->mark);
        st->stream->mark = edit->seq;
        break;
    case PERSIST_SET_ONCE:
        st->set_once = false;
        break;
    case PERSIST_SET_POSITION:
        CHECK(edit->seq > m->now->position);
        m->now->position = edit->seq - 1;
        break;
    default:
        break;
    }
}

static void apply(batch *b)
{
    memory_store *m = b->store;
    CHECK((b->once == NULL) == (b->once_value == NULL));
    memory_new_commit(m, given_time(b));
    for (size_t i = 0; i < b->count; i++)
        apply_edit(m, &b->edits[i], &b->staged[i]);
    CHECK(m->now->position == b->position);
    if (b->once != NULL) {
        CHECK(b->once_value->lsn == m->latest);
        map_find(&m->onces, b->once->id)->value = b->once_value;
        b->once_value = NULL;
    }
    trim_order(m);
}

/* ---- the commit ------------------------------------------------------- */

/* Takes away what staging made and applying did not fill, and what deleting
 * left empty. */
static void sweep(const batch *b)
{
    memory_store *m = b->store;
    for (size_t i = 0; i < b->count; i++) {
        slice name = b->edits[i].name;
        const map_node *key = map_find(&m->now->keys, name);
        if (key != NULL && key->value == NULL)
            map_remove(&m->now->keys, name);
        const map_node *node = map_find(&m->now->streams, name);
        if (node != NULL && !((memory_stream *)node->value)->known) {
            memory_stream_free(node->value);
            map_remove(&m->now->streams, name);
        }
    }
    for (size_t i = 0; b->staged != NULL && i < b->count; i++)
        if (b->staged[i].set_once) {
            slice id = b->edits[i].command->id;
            mem_free(map_find(&m->onces, id)->value);
            map_remove(&m->onces, id);
        }
    const map_node *once =
        b->once == NULL ? NULL : map_find(&m->onces, b->once->id);
    if (once != NULL && once->value == NULL)
        map_remove(&m->onces, b->once->id);
}

static void release_batch(batch *b)
{
    for (size_t i = 0; b->staged != NULL && i < b->count; i++) {
        cell_unref(b->staged[i].data);
        cell_unref(b->staged[i].tagged);
    }
    mem_free(b->staged);
    mem_free(b->seqs);
    mem_free(b->once_value);
}

static bool writes(const batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (!edit_is_expectation(&b->edits[i]) &&
            !memory_drops_nothing(b->store, &b->edits[i]))
            return true;
    return b->once != NULL;
}

static persist_status commit_batch(batch *b, persist_outcome *outcome,
                                   persist_error *error)
{
    CHECK(b->once == NULL || outcome != NULL);
    bool settled = false;
    persist_status status = check_once(b, &settled, outcome, error);
    if (status == PERSIST_OK && !settled)
        status = check_expectations(b, &settled, outcome, error);
    if (status != PERSIST_OK || settled)
        return status;
    if (writes(b)) {
        if (!memory_state_own(b->store))
            return memory_out(error);
        status = stage(b, error);
        if (status == PERSIST_OK && outcome != NULL)
            status = copy_seqs(b->seqs, b->appends, outcome, error);
        if (status == PERSIST_OK)
            apply(b);
        sweep(b);
    }
    if (outcome != NULL)
        outcome->lsn = b->store->latest;
    return status;
}

persist_status memory_commit(persist_store *store, const persist_edit *edits,
                             size_t count, const persist_once *once,
                             persist_outcome *outcome, persist_error *error)
{
    memory_store *m = memory_enter(store);
    batch b = {.store = m, .edits = edits, .count = count, .once = once};
    persist_status status = commit_batch(&b, outcome, error);
    release_batch(&b);
    memory_leave(m);
    return status;
}
