/* SPDX-License-Identifier: MIT */
/* Encoding and decoding the log.
 *
 * segment:  | header, 512 | record | record | ... | zeros or old bytes |
 * record:   | checksum 8 | magic 4 | body size 4 | lsn 8 | identity 8 |
 *           | segment 8 | watermark 8 | body ... | zeros to 8 |
 */
#include "engine/log/record.h"

#include <endian.h>

#include "base/cursor.h"
#include "base/hash.h"
#include "base/mem.h"

enum {
    AT_CHECKSUM = 0,
    AT_MAGIC = 8,
    AT_BODY_SIZE = 12,
    AT_LSN = 16,
    AT_IDENTITY = 24,
    AT_SEGMENT = 32,
    AT_WATERMARK = 40,
    SUMMED_FROM = AT_MAGIC,
    HEADER_CHECKSUM_AT = SEGMENT_HEADER_SIZE - 8,
};

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
};

#define RECORD_MAGIC 0x43455250u /* "PREC" */
static const char segment_magic[8] = "persist";

static void store_le(uint8_t *at, uint64_t value, size_t size)
{
    value = htole64(value);
    memcpy(at, &value, size);
}

static uint64_t load_le(const uint8_t *at, size_t size)
{
    uint64_t value = 0;
    memcpy(&value, at, size);
    return le64toh(value);
}

/* ---- segment header --------------------------------------------------- */

void segment_header_encode(const segment_header *h,
                           uint8_t out[SEGMENT_HEADER_SIZE])
{
    CHECK(h->number != 0 && h->size >= SEGMENT_HEADER_SIZE);
    memset(out, 0, SEGMENT_HEADER_SIZE);
    memcpy(out, segment_magic, sizeof segment_magic);
    store_le(out + 8, FORMAT_VERSION, 4);
    store_le(out + 16, h->identity, 8);
    store_le(out + 24, h->number, 8);
    store_le(out + 32, h->epoch, 8);
    store_le(out + 40, h->size, 8);
    store_le(out + HEADER_CHECKSUM_AT,
             hash_xxh3(slice_of(out, HEADER_CHECKSUM_AT)), 8);
}

/* Only what encoding makes is a header: one way to tell all of it. */
bool segment_header_decode(slice bytes, segment_header *out)
{
    uint8_t again[SEGMENT_HEADER_SIZE];
    const uint8_t *at = bytes.data;
    if (bytes.size < SEGMENT_HEADER_SIZE)
        return false;
    segment_header h = {.identity = load_le(at + 16, 8),
                        .number = load_le(at + 24, 8),
                        .epoch = load_le(at + 32, 8),
                        .size = load_le(at + 40, 8)};
    if (h.number == 0 || h.size < SEGMENT_HEADER_SIZE)
        return false;
    segment_header_encode(&h, again);
    if (memcmp(at, again, sizeof again) != 0)
        return false;
    *out = h;
    return true;
}

bool segment_header_begins(slice bytes, segment_header *out)
{
    uint8_t again[SEGMENT_HEADER_SIZE];
    enum { EPOCH_END = 40 };
    const uint8_t *at = bytes.data;
    if (bytes.size < EPOCH_END)
        return false;
    *out = (segment_header){.identity = load_le(at + 16, 8),
                            .number = load_le(at + 24, 8),
                            .epoch = load_le(at + 32, 8),
                            .size = SEGMENT_HEADER_SIZE};
    if (out->number == 0)
        return false;
    segment_header_encode(out, again);
    return memcmp(at, again, EPOCH_END) == 0;
}

/* ---- record header ---------------------------------------------------- */

uint64_t record_size(uint64_t body_size)
{
    CHECK(body_size <= RECORD_BODY_MAX);
    uint64_t size = RECORD_HEADER_SIZE + body_size;
    return (size + LOG_ALIGN - 1) / LOG_ALIGN * LOG_ALIGN;
}

static uint64_t checksum(const uint8_t *record, uint64_t size, uint64_t offset)
{
    return hash_xxh3_seed(
        slice_of(record + SUMMED_FROM, (size_t)size - SUMMED_FROM), offset);
}

void record_seal(uint8_t *record, const record_header *h, uint64_t offset)
{
    CHECK(offset % LOG_ALIGN == 0 && h->lsn > h->watermark);
    uint64_t size = record_size(h->body_size);
    uint64_t used = RECORD_HEADER_SIZE + h->body_size;
    memset(record + used, 0, (size_t)(size - used));
    store_le(record + AT_MAGIC, RECORD_MAGIC, 4);
    store_le(record + AT_BODY_SIZE, h->body_size, 4);
    store_le(record + AT_LSN, h->lsn, 8);
    store_le(record + AT_IDENTITY, h->identity, 8);
    store_le(record + AT_SEGMENT, h->segment, 8);
    store_le(record + AT_WATERMARK, h->watermark, 8);
    store_le(record + AT_CHECKSUM, checksum(record, size, offset), 8);
}

void record_copy(uint8_t *record, uint64_t from, uint64_t segment, uint64_t to)
{
    uint64_t size = record_size(load_le(record + AT_BODY_SIZE, 4));
    CHECK(load_le(record + AT_CHECKSUM, 8) == checksum(record, size, from));
    store_le(record + AT_SEGMENT, segment, 8);
    store_le(record + AT_WATERMARK, load_le(record + AT_LSN, 8), 8);
    store_le(record + AT_CHECKSUM, checksum(record, size, to), 8);
}

uint64_t record_look(slice segment, uint64_t offset)
{
    const uint8_t *bytes = segment.data;
    CHECK(offset % LOG_ALIGN == 0);
    while (offset + RECORD_HEADER_SIZE <= segment.size) {
        const uint8_t *p = memchr(bytes + offset + AT_MAGIC, RECORD_MAGIC & 255,
                                  (size_t)(segment.size - offset - AT_MAGIC));
        if (p == NULL)
            break;
        offset = (uint64_t)(p - bytes) - AT_MAGIC;
        if (offset % LOG_ALIGN == 0 &&
            offset + RECORD_HEADER_SIZE <= segment.size &&
            load_le(p, 4) == RECORD_MAGIC)
            return offset;
        offset = (offset / LOG_ALIGN + 1) * LOG_ALIGN;
    }
    return segment.size;
}

/* The bytes behind the body, up to the next record, are zeros. */
static bool is_padded(const uint8_t *record, uint64_t used, uint64_t size)
{
    CHECK(used <= size && size - used < LOG_ALIGN);
    while (used < size && record[used] == 0)
        used++;
    return used == size;
}

bool record_read(slice segment, uint64_t offset, uint64_t identity,
                 uint64_t number, record_header *out, uint64_t *hashed)
{
    CHECK(offset % LOG_ALIGN == 0);
    if (offset > segment.size || segment.size - offset < RECORD_HEADER_SIZE)
        return false;
    const uint8_t *at = (const uint8_t *)segment.data + offset;
    if (load_le(at + AT_MAGIC, 4) != RECORD_MAGIC ||
        load_le(at + AT_IDENTITY, 8) != identity ||
        load_le(at + AT_SEGMENT, 8) != number)
        return false;
    uint32_t body_size = (uint32_t)load_le(at + AT_BODY_SIZE, 4);
    if (body_size > RECORD_BODY_MAX ||
        record_size(body_size) > segment.size - offset)
        return false;
    uint64_t size = record_size(body_size);
    if (hashed != NULL)
        *hashed += size;
    if (load_le(at + AT_CHECKSUM, 8) != checksum(at, size, offset))
        return false;
    if (!is_padded(at, RECORD_HEADER_SIZE + (uint64_t)body_size, size))
        return false;
    *out = (record_header){body_size, load_le(at + AT_LSN, 8), identity, number,
                           load_le(at + AT_WATERMARK, 8)};
    /* From more than this there is no counting on. */
    return out->lsn <= PERSIST_SEQ_MAX && out->watermark <= out->lsn;
}

/* ---- body ------------------------------------------------------------- */

static void put_slice(buf *b, slice s)
{
    buf_put_varint(b, s.size);
    buf_put_slice(b, s);
}

void record_put_position(buf *b, uint64_t position)
{
    CHECK(b->size >= RECORD_HEADER_SIZE && position > 0);
    buf_put_varint(b, position);
}

void record_put_edit(buf *b, const persist_edit *edit, uint64_t seq)
{
    switch (edit->kind) {
    case PERSIST_APPEND:
    case PERSIST_APPEND_AT:
        buf_put_byte(b, EDIT_APPEND);
        put_slice(b, edit->name);
        buf_put_varint(b, seq);
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
    case PERSIST_EXPECT_SEQ:
    case PERSIST_EXPECT_KEY:
    case PERSIST_EXPECT_ABSENT:
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
    buf_put_byte(b, EDIT_BLOB);
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

static void get_once(cursor *c, record_body *out)
{
    CHECK(!out->has_once);
    out->has_once = true;
    out->once.id = get_name(c);
    slice print = cursor_bytes(c, PERSIST_FINGERPRINT_SIZE);
    if (!c->failed)
        memcpy(out->once.fingerprint, print.data, print.size);
}

static void get_blob(cursor *c, record_body *out)
{
    if (out->edit_count > 0)
        c->failed = true;
    out->has_blob = true;
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

static bool get_next(cursor *c, uint8_t kind, record_body *out)
{
    record_past *past = past_of_next(out);
    if (!mem_grow(&out->edits, out->edit_count, 1, &out->edit_capacity,
                  sizeof *out->edits))
        return false;
    persist_edit *edit = &out->edits[out->edit_count++];
    *edit = (persist_edit){0};
    get_edit(c, kind, edit);
    if (past != NULL && !c->failed && !fits(past, edit))
        c->failed = true;
    return true;
}

record_result record_decode_body(slice bytes, record_body *out)
{
    cursor c = cursor_of(bytes);
    out->size = record_size(bytes.size);
    out->edit_count = out->past_count = 0;
    out->has_once = out->has_blob = false;
    out->position = cursor_varint(&c);
    /* The command id comes last, and a blob is alone. */
    while (!c.failed && !out->has_once && !out->has_blob &&
           cursor_left(&c) > 0) {
        uint8_t kind = cursor_u8(&c);
        bool made = true;
        if (kind == EDIT_ONCE)
            get_once(&c, out);
        else if (kind == EDIT_BLOB)
            get_blob(&c, out);
        else if (kind >= EDIT_NEW_STREAM && kind <= EDIT_FLOOR)
            made = get_past(&c, kind, out);
        else
            made = get_next(&c, kind, out);
        if (!made)
            return RECORD_NO_MEMORY;
    }
    bool whole = cursor_done(&c) && past_of_next(out) == NULL;
    return whole && out->position > 0 ? RECORD_OK : RECORD_MALFORMED;
}

void record_body_release(record_body *body)
{
    mem_free(body->edits);
    mem_free(body->pasts);
    *body = (record_body){0};
}

record_result record_guess_body(slice segment, uint64_t offset,
                                record_body *out)
{
    CHECK(offset % LOG_ALIGN == 0);
    if (offset > segment.size || segment.size - offset < RECORD_HEADER_SIZE)
        return RECORD_MALFORMED;
    const uint8_t *at = (const uint8_t *)segment.data + offset;
    uint64_t size = load_le(at + AT_BODY_SIZE, 4);
    uint64_t left = segment.size - offset - RECORD_HEADER_SIZE;
    if (size > left || size > RECORD_BODY_MAX)
        return RECORD_MALFORMED;
    return record_decode_body(slice_of(at + RECORD_HEADER_SIZE, (size_t)size),
                              out);
}
