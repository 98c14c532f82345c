/* SPDX-License-Identifier: MIT */
/* What a record of the log holds: the edits of a commit, one after the other.
 */
#include "engine/log/record.h"

#include "base/cursor.h"
#include "base/mem.h"

/* Kinds of edit on disk: never changed, only added to. */
enum {
    EDIT_APPEND = 1,
    EDIT_TRUNCATE = 2,
    EDIT_PUT = 3,
    EDIT_DELETE = 4,
    EDIT_SET_MARK = 5,
    EDIT_SET_POSITION = 6,
    EDIT_ONCE = 7,
    EDIT_BLOB = 8,
    /* in front of another: */
    EDIT_NEW_STREAM = 9,
    EDIT_STREAM = 10,
    EDIT_FLOOR = 11,
    /* before all others: */
    EDIT_TIME = 12,
    /* an append with tags: */
    EDIT_TAGGED = 13,
    /* the command id of another commit: */
    EDIT_SET_ONCE = 14,
    /* alone in its record, as that it is there: */
    EDIT_BLOB_DELETED = 15,
};

static void put_slice(buf *b, slice s)
{
    buf_put_varint(b, s.size);
    buf_put_slice(b, s);
}

void record_put_position(buf *b, uint64_t position, uint64_t time)
{
    CHECK(b->size >= RECORD_HEADER_SIZE && position > 0);
    buf_put_varint(b, position);
    if (time == 0)
        return;
    buf_put_byte(b, EDIT_TIME);
    buf_put_varint(b, time);
}

static void put_command(buf *b, const persist_command *command)
{
    buf_put_byte(b, EDIT_SET_ONCE);
    put_slice(b, command->id);
    buf_put(b, command->fingerprint, sizeof command->fingerprint);
    buf_put_varint(b, command->seq_count);
    for (size_t i = 0; i < command->seq_count; i++)
        buf_put_varint(b, command->seqs[i]);
}

void record_put_edit(buf *b, const persist_edit *edit, uint64_t seq)
{
    switch (edit->kind) {
    case PERSIST_APPEND:
    case PERSIST_APPEND_AT:
        buf_put_byte(b, edit->tag_count > 0 ? EDIT_TAGGED : EDIT_APPEND);
        put_slice(b, edit->name);
        buf_put_varint(b, seq);
        tagged_put(b, edit);
        put_slice(b, edit->data);
        break;
    case PERSIST_TRUNCATE:
    case PERSIST_SET_MARK:
        buf_put_byte(b, edit->kind == PERSIST_TRUNCATE ? EDIT_TRUNCATE
                                                       : EDIT_SET_MARK);
        put_slice(b, edit->name);
        buf_put_varint(b, edit->seq);
        break;
    case PERSIST_PUT:
        buf_put_byte(b, EDIT_PUT);
        put_slice(b, edit->name);
        put_slice(b, edit->data);
        break;
    case PERSIST_DELETE:
        buf_put_byte(b, EDIT_DELETE);
        put_slice(b, edit->name);
        break;
    case PERSIST_SET_POSITION:
        buf_put_byte(b, EDIT_SET_POSITION);
        buf_put_varint(b, edit->seq);
        break;
    case PERSIST_SET_ONCE:
        put_command(b, edit->command);
        break;
    case PERSIST_SET_TIME: /* is the record's */
    case PERSIST_EXPECT_SEQ:
    case PERSIST_EXPECT_KEY:
    case PERSIST_EXPECT_ABSENT:
    case PERSIST_EXPECT_NONE:
    case PERSIST_EXPECT_BLOB:
        break;
    }
}

void record_put_once(buf *b, const persist_once *once)
{
    CHECK(b->size > RECORD_HEADER_SIZE);
    buf_put_byte(b, EDIT_ONCE);
    put_slice(b, once->id);
    buf_put(b, once->fingerprint, sizeof once->fingerprint);
}

void record_put_blob(buf *b, const blob_entry *e)
{
    CHECK(b->size > RECORD_HEADER_SIZE);
    buf_put_byte(b, e->deleted ? EDIT_BLOB_DELETED : EDIT_BLOB);
    buf_put_slice(b, blob_entry_name(e));
    blob_entry_put(b, e);
}

void record_put_stream(buf *b, const stream_state *base)
{
    CHECK(b->size > RECORD_HEADER_SIZE);
    buf_put_byte(b, base == NULL ? EDIT_NEW_STREAM : EDIT_STREAM);
    if (base != NULL)
        stream_state_put(b, base);
}

void record_put_floor(buf *b, const stream_floor *f)
{
    CHECK(b->size > RECORD_HEADER_SIZE && f->through > 0);
    buf_put_byte(b, EDIT_FLOOR);
    buf_put_varint(b, f->index);
    buf_put_varint(b, f->bytes);
    buf_put_varint(b, f->first);
}

static slice get_slice(cursor *c, uint64_t size_max)
{
    uint64_t size = cursor_varint(c);
    if (size > size_max)
        c->failed = true;
    return cursor_bytes(c, size);
}

static slice get_name(cursor *c)
{
    return get_slice(c, PERSIST_NAME_SIZE_MAX);
}

static slice get_data(cursor *c)
{
    return get_slice(c, PERSIST_VALUE_SIZE_MAX);
}

static uint64_t get_seq(cursor *c)
{
    uint64_t seq = cursor_varint(c);
    if (seq > PERSIST_SEQ_MAX)
        c->failed = true;
    return seq;
}

static void get_print(cursor *c, uint8_t out[PERSIST_FINGERPRINT_SIZE])
{
    slice print = cursor_bytes(c, PERSIST_FINGERPRINT_SIZE);
    if (!c->failed)
        memcpy(out, print.data, print.size);
}

static void get_once(cursor *c, record_body *out)
{
    CHECK(!out->has_once);
    out->has_once = true;
    out->once.id = get_name(c);
    get_print(c, out->once.fingerprint);
}

static void get_blob(cursor *c, bool deleted, record_body *out)
{
    if (out->edit_count > 0)
        c->failed = true;
    out->has_blob = true;
    out->blob = (blob_entry){.deleted = deleted};
    slice digest = cursor_bytes(c, sizeof out->blob.digest);
    if (!c->failed)
        memcpy(out->blob.digest, digest.data, digest.size);
    if (!blob_entry_get(c, &out->blob))
        c->failed = true;
}

static void get_edit(cursor *c, uint8_t kind, persist_edit *e)
{
    switch (kind) {
    case EDIT_APPEND:
        e->kind = PERSIST_APPEND_AT;
        e->name = get_name(c);
        e->seq = get_seq(c);
        c->failed = c->failed || e->seq == 0;
        e->data = get_data(c);
        break;
    case EDIT_TRUNCATE:
    case EDIT_SET_MARK:
        e->kind = kind == EDIT_TRUNCATE ? PERSIST_TRUNCATE : PERSIST_SET_MARK;
        e->name = get_name(c);
        e->seq = get_seq(c);
        break;
    case EDIT_PUT:
        e->kind = PERSIST_PUT;
        e->name = get_name(c);
        e->data = get_data(c);
        break;
    case EDIT_DELETE:
        e->kind = PERSIST_DELETE;
        e->name = get_name(c);
        break;
    case EDIT_SET_POSITION:
        e->kind = PERSIST_SET_POSITION;
        e->seq = get_seq(c);
        break;
    default:
        c->failed = true;
    }
}

/* What is in front of the next edit; NULL: nothing. */
static record_past *past_of_next(const record_body *body)
{
    record_past *last =
        body->past_count == 0 ? NULL : &body->pasts[body->past_count - 1];
    return last != NULL && last->edit == body->edit_count ? last : NULL;
}

static bool get_past(cursor *c, uint8_t kind, record_body *out)
{
    record_past *p = past_of_next(out);
    if (p == NULL) {
        if (!mem_grow(&out->pasts, out->past_count, 1, &out->past_capacity,
                      sizeof *p))
            return false;
        p = &out->pasts[out->past_count++];
        *p = (record_past){.edit = out->edit_count};
    }
    if (p->cuts || (p->enters && kind != EDIT_FLOOR)) {
        c->failed = true;
    } else if (kind == EDIT_FLOOR) {
        p->cuts = true;
        p->floor.index = cursor_varint(c);
        p->floor.bytes = cursor_varint(c);
        p->floor.first = cursor_varint(c);
    } else {
        p->enters = true;
        p->based = kind == EDIT_STREAM;
        if (p->based && !stream_state_get(c, &p->base))
            c->failed = true;
    }
    return true;
}

/* Tells whether an edit is one that can have this in front of it. */
static bool fits(record_past *p, const persist_edit *e)
{
    CHECK(p->enters || p->cuts);
    p->floor.through = e->seq;
    if (e->kind == PERSIST_APPEND_AT || e->kind == PERSIST_SET_MARK)
        return !p->cuts;
    return e->kind == PERSIST_TRUNCATE && (p->based || !p->enters) &&
           (!p->cuts ||
            (e->seq > 0 && (p->floor.first == 0 || p->floor.first > e->seq)));
}

/* The tags of all edits lie in one array, which moves while it grows: see
 * place_tags. */
static bool get_tags(cursor *c, persist_edit *e, record_body *out)
{
    slice bytes;
    if (!tagged_get(c, &bytes) || !tagged_differ(bytes.data)) {
        c->failed = true;
        return true;
    }
    tag_set t = tagged_of(bytes.data);
    e->type = t.type;
    if (!mem_grow(&out->tags, out->tag_count, t.left, &out->tag_capacity,
                  sizeof *out->tags))
        return false;
    slice *tags = out->tags + out->tag_count;
    for (slice tag; tagged_next(&t, &tag); e->tag_count++)
        tags[e->tag_count] = tag;
    out->tag_count += e->tag_count;
    return true;
}

static bool get_tagged(cursor *c, persist_edit *e, record_body *out)
{
    e->kind = PERSIST_APPEND_AT;
    e->name = get_name(c);
    e->seq = get_seq(c);
    c->failed = c->failed || e->seq == 0;
    bool made = get_tags(c, e, out);
    e->data = get_data(c);
    return made;
}

static void place_tags(record_body *body)
{
    size_t at = 0;
    for (size_t i = 0; i < body->edit_count && at < body->tag_count; i++) {
        persist_edit *e = &body->edits[i];
        if (e->tag_count > 0)
            e->tags = body->tags + at;
        at += e->tag_count;
    }
    CHECK(at == body->tag_count);
}

/* Commands, and the numbers of all of them, lie in arrays that move, too. */
static bool get_command(cursor *c, persist_edit *e, record_body *out)
{
    e->kind = PERSIST_SET_ONCE;
    if (!mem_grow(&out->commands, out->command_count, 1, &out->command_capacity,
                  sizeof *out->commands))
        return false;
    persist_command *command = &out->commands[out->command_count++];
    *command = (persist_command){.id = get_name(c)};
    get_print(c, command->fingerprint);
    uint64_t count = cursor_varint(c);
    if (count > cursor_left(c))
        c->failed = true;
    if (c->failed)
        return true;
    if (!mem_grow(&out->seqs, out->seq_count, (size_t)count, &out->seq_capacity,
                  sizeof *out->seqs))
        return false;
    for (; command->seq_count < count; command->seq_count++) {
        uint64_t seq = get_seq(c);
        c->failed = c->failed || seq == 0;
        out->seqs[out->seq_count++] = seq;
    }
    return true;
}

static void place_commands(record_body *body)
{
    size_t seqs = 0, commands = 0;
    for (size_t i = 0; i < body->command_count; i++) {
        persist_command *command = &body->commands[i];
        if (command->seq_count > 0) /* else there may be no array */
            command->seqs = body->seqs + seqs;
        seqs += command->seq_count;
    }
    for (size_t i = 0; i < body->edit_count && commands < body->command_count;
         i++)
        if (body->edits[i].kind == PERSIST_SET_ONCE)
            body->edits[i].command = &body->commands[commands++];
    CHECK(seqs == body->seq_count && commands == body->command_count);
}

/* The kinds whose fields may take memory, and the others. */
static bool get_fields(cursor *c, uint8_t kind, persist_edit *edit,
                       record_body *out)
{
    if (kind == EDIT_TAGGED)
        return get_tagged(c, edit, out);
    if (kind == EDIT_SET_ONCE)
        return get_command(c, edit, out);
    get_edit(c, kind, edit);
    return true;
}

static bool get_next(cursor *c, uint8_t kind, record_body *out)
{
    record_past *past = past_of_next(out);
    if (!mem_grow(&out->edits, out->edit_count, 1, &out->edit_capacity,
                  sizeof *out->edits))
        return false;
    persist_edit *edit = &out->edits[out->edit_count++];
    *edit = (persist_edit){0};
    if (!get_fields(c, kind, edit, out))
        return false;
    if (past != NULL && !c->failed && !fits(past, edit))
        c->failed = true;
    return true;
}

/* The first position and the time, of which version 2 had none. */
static void get_position(cursor *c, record_body *out)
{
    out->position = cursor_varint(c);
    out->time = 0;
    if (cursor_left(c) == 0 || *c->at != EDIT_TIME)
        return;
    (void)cursor_u8(c);
    out->time = get_seq(c);
    if (out->time == 0)
        c->failed = true;
}

record_result record_decode_body(slice bytes, record_body *out)
{
    cursor c = cursor_of(bytes);
    out->size = record_size(bytes.size);
    out->edit_count = out->past_count = out->tag_count = 0;
    out->command_count = out->seq_count = 0;
    out->has_once = out->has_blob = false;
    get_position(&c, out);
    /* The command id comes last, and a blob is alone. */
    while (!c.failed && !out->has_once && !out->has_blob &&
           cursor_left(&c) > 0) {
        uint8_t kind = cursor_u8(&c);
        bool made = true;
        if (kind == EDIT_ONCE)
            get_once(&c, out);
        else if (kind == EDIT_BLOB || kind == EDIT_BLOB_DELETED)
            get_blob(&c, kind == EDIT_BLOB_DELETED, out);
        else if (kind >= EDIT_NEW_STREAM && kind <= EDIT_FLOOR)
            made = get_past(&c, kind, out);
        else
            made = get_next(&c, kind, out);
        if (!made)
            return RECORD_NO_MEMORY;
    }
    place_tags(out);
    place_commands(out);
    bool whole = cursor_done(&c) && past_of_next(out) == NULL;
    return whole && out->position > 0 ? RECORD_OK : RECORD_MALFORMED;
}

void record_body_release(record_body *body)
{
    mem_free(body->edits);
    mem_free(body->pasts);
    mem_free(body->tags);
    mem_free(body->commands);
    mem_free(body->seqs);
    *body = (record_body){0};
}
