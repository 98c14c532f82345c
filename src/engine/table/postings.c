/* SPDX-License-Identifier: MIT */
/* Runs of postings, in bytes. Whatever two neighbours have in common stands
 * once (I. Witten, A. Moffat, T. Bell, "Managing Gigabytes", 1999, chapter 3).
 */
#include "engine/table/postings.h"

#include "base/cursor.h"

enum { FRONT = VARINT_MAX };

/* ---- writing ----------------------------------------------------------- */

/* 0: the one before it again; else its size and 1, and its bytes. */
static uint8_t *put_string(const buf *b, uint8_t *at, posting_string *before,
                           slice s)
{
    if (slice_equal(s, slice_of(b->data + before->at, before->size))) {
        *at = 0;
        return at + 1;
    }
    at = put_varint(at, s.size + 1);
    *before = (posting_string){(size_t)(at - b->data), s.size};
    if (s.size > 0)
        memcpy(at, s.data, s.size);
    return at + s.size;
}

/* Writes the run in hand: how far its last event is from the first one stands
 * in front, and is known by now. Mostly it is the only one. */
static void put_run(postings_writer *w, table_writer *out)
{
    uint8_t front[FRONT], *bytes = w->bytes.data;
    slice key = entry_tag_key_of(w->key, w->last);
    size_t size = (size_t)(put_varint(front, w->last - w->first) - front);
    size_t from = FRONT - size;
    CHECK(size <= FRONT);
    if (w->bytes.failed) {
        table_add_buf(out, TABLE_TAGS, key, &w->bytes);
    } else {
        CHECK(w->bytes.size > FRONT);
        if (size == 1)
            bytes[from] = front[0];
        else
            memcpy(bytes + from, front, size);
        table_add(out, TABLE_TAGS, key,
                  slice_of(bytes + from, w->bytes.size - from));
    }
    w->key[0] = 0;
}

static void begin_run(postings_writer *w, slice tag, uint64_t position)
{
    CHECK(tag.size > 0 && tag.size < sizeof w->key);
    w->key[0] = (uint8_t)tag.size;
    memcpy(w->key + 1, tag.data, tag.size);
    w->first = w->last = position;
    w->type = w->stream = (posting_string){0};
    buf_clear(&w->bytes);
    if (buf_reserve(&w->bytes, FRONT))
        w->bytes.size = FRONT;
}

static bool has_tag(const postings_writer *w, slice tag)
{
    return slice_equal(tag, slice_of(w->key + 1, w->key[0]));
}

bool postings_go_on(const postings_writer *w, slice tag, uint64_t position)
{
    return position > (has_tag(w, tag) ? w->last : 0);
}

void postings_add(postings_writer *w, table_writer *out, slice tag,
                  const posting *p)
{
    bool same = has_tag(w, tag);
    CHECK(p->position > (same ? w->last : 0) && p->seq > 0);
    CHECK(p->type.size <= PERSIST_TYPE_SIZE_MAX);
    if (w->key[0] > 0 && (!same || w->bytes.size >= POSTINGS_SIZE)) {
        put_run(w, out);
        same = false;
    }
    uint64_t before = w->last;
    if (!same)
        begin_run(w, tag, p->position);
    w->last = p->position;
    size_t numbers = (size_t)4 * VARINT_MAX;
    if (!buf_reserve(&w->bytes, numbers + p->type.size + p->stream.size))
        return; /* the table is told with the run */
    uint8_t *at = w->bytes.data + w->bytes.size;
    if (same)
        at = put_varint(at, p->position - before);
    at = put_varint(at, p->seq);
    at = put_string(&w->bytes, at, &w->type, p->type);
    at = put_string(&w->bytes, at, &w->stream, p->stream);
    w->bytes.size = (size_t)(at - w->bytes.data);
}

void postings_release(postings_writer *w)
{
    buf_release(&w->bytes);
    w->key[0] = 0;
}

void postings_end(postings_writer *w, table_writer *out)
{
    if (w->key[0] > 0)
        put_run(w, out);
    postings_release(w);
}

/* ---- reading ----------------------------------------------------------- */

/* Reads a string; one that repeats the one before says so. */
static inline bool get_string(cursor *c, slice *s, size_t most)
{
    uint64_t size = cursor_varint(c);
    if (size == 0)
        return !c->failed;
    if (--size > most || size > cursor_left(c))
        return false;
    slice got = cursor_bytes(c, (size_t)size);
    bool repeats = slice_equal(got, *s);
    *s = got;
    return !repeats;
}

/* Reads what there is of an event behind its position. */
static inline bool get_rest(postings_reader *r, cursor *c)
{
    posting *p = &r->now;
    p->seq = cursor_varint(c);
    if (!get_string(c, &p->type, PERSIST_TYPE_SIZE_MAX) ||
        !get_string(c, &p->stream, PERSIST_NAME_SIZE_MAX))
        return false;
    r->rest = slice_of(c->at, cursor_left(c));
    return p->seq > 0 && p->seq <= PERSIST_SEQ_MAX &&
           (p->position == r->last) == (r->rest.size == 0);
}

bool postings_begin(postings_reader *r, slice key, slice value)
{
    slice tag;
    cursor c = cursor_of(value);
    uint64_t span = cursor_varint(&c);
    if (!entry_split_tag(key, &tag, &r->last) || r->last > PERSIST_SEQ_MAX ||
        span >= r->last)
        return false;
    r->now = (posting){.position = r->last - span};
    return get_rest(r, &c);
}

bool postings_next(postings_reader *r)
{
    CHECK(r->now.position < r->last);
    cursor c = cursor_of(r->rest);
    uint64_t by = cursor_varint(&c);
    if (by == 0 || by > r->last - r->now.position)
        return false;
    r->now.position += by;
    return get_rest(r, &c);
}
