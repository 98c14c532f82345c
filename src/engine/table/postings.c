/* SPDX-License-Identifier: MIT */
/* Runs of postings, in bytes. Whatever two neighbours have in common stands
 * once (I. Witten, A. Moffat, T. Bell, "Managing Gigabytes", 1999, chapter 3).
 */
#include "engine/table/postings.h"

#include "base/cursor.h"

enum { FRONT = 10 }; /* room for a varint */

/* ---- writing ----------------------------------------------------------- */

/* 0: the one before it again; else its size and 1, and its bytes. */
static void put_string(buf *b, posting_string *before, slice s)
{
    if (b->failed)
        return; /* and what was before is not there */
    if (slice_equal(s, slice_of(b->data + before->at, before->size))) {
        buf_put_byte(b, 0);
        return;
    }
    buf_put_varint(b, s.size + 1);
    *before = (posting_string){b->size, s.size};
    buf_put_slice(b, s);
}

/* Writes the run in hand: how far its last event is from the first one stands
 * in front, and is known by now. */
static void put_run(postings_writer *w, table_writer *out)
{
    uint8_t key[ENTRY_TAG_KEY_MAX], front[FRONT];
    buf b = {.data = front, .capacity = sizeof front};
    slice tag = slice_of(w->tag, w->tag_size);
    w->tag_size = 0;
    if (w->bytes.failed) {
        table_add_buf(out, TABLE_TAGS, tag, &w->bytes);
        return;
    }
    buf_put_varint(&b, w->last - w->first);
    size_t from = FRONT - b.size;
    CHECK(w->bytes.size > FRONT && b.size <= FRONT);
    memcpy(w->bytes.data + from, front, b.size);
    table_add(out, TABLE_TAGS, entry_tag_key(tag, w->last, key),
              slice_of(w->bytes.data + from, w->bytes.size - from));
}

static void begin_run(postings_writer *w, slice tag, uint64_t position)
{
    static const uint8_t front[FRONT];
    CHECK(tag.size > 0 && tag.size <= sizeof w->tag);
    memcpy(w->tag, tag.data, tag.size);
    w->tag_size = tag.size;
    w->first = w->last = position;
    w->type = w->stream = (posting_string){0};
    buf_clear(&w->bytes);
    buf_put(&w->bytes, front, sizeof front);
}

static bool has_tag(const postings_writer *w, slice tag)
{
    return slice_equal(tag, slice_of(w->tag, w->tag_size));
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
    if (w->tag_size > 0 && (!same || w->bytes.size >= POSTINGS_SIZE)) {
        put_run(w, out);
        same = false;
    }
    if (same)
        buf_put_varint(&w->bytes, p->position - w->last);
    else
        begin_run(w, tag, p->position);
    w->last = p->position;
    buf_put_varint(&w->bytes, p->seq);
    put_string(&w->bytes, &w->type, p->type);
    put_string(&w->bytes, &w->stream, p->stream);
}

void postings_release(postings_writer *w)
{
    buf_release(&w->bytes);
    w->tag_size = 0;
}

void postings_end(postings_writer *w, table_writer *out)
{
    if (w->tag_size > 0)
        put_run(w, out);
    postings_release(w);
}

/* ---- reading ----------------------------------------------------------- */

/* Reads a string; one that repeats the one before says so. */
static bool get_string(cursor *c, slice *s, size_t most)
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
static bool get_rest(postings_reader *r, cursor *c)
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
