/* SPDX-License-Identifier: MIT */
/* Every decoder of a few bytes that lie on disk or are told from outside: what
 * decodes is encoded again to the same bytes. The first byte says which. */
#include "base/cid.h"
#include "base/mem.h"
#include "engine/files/blob_entry.h"
#include "engine/files/manifest.h"
#include "engine/log/record.h"
#include "engine/log/segment.h"
#include "engine/table/postings.h"
#include "engine/table/times.h"
#include "lib/fuzz.h"

static void expect_same(slice from, buf *again)
{
    CHECK(!again->failed && slice_equal(from, buf_slice(again)));
    buf_release(again);
}

static void try_cid(slice s)
{
    uint8_t digest[HASH_SHA256_SIZE];
    char text[CID_SIZE + 1];
    if (!cid_decode(s, digest))
        return;
    cid_encode(digest, text);
    CHECK(slice_equal(s, slice_str(text)));
}

static void try_file_names(slice s)
{
    char name[64] = "", path[PERSIST_PATH_MAX];
    const os_dir dir = {.path = ""};
    const segment_place log = {.dir = &dir};
    const table_place tables = {.dir = &dir};
    uint64_t number;
    if (s.size >= sizeof name)
        return;
    if (s.size > 0)
        memcpy(name, s.data, s.size);
    if (segment_number(name, &number)) {
        CHECK(segment_path(&log, number, path) == 0);
        CHECK(strcmp(path + 1, name) == 0);
    }
    if (table_number(name, &number)) {
        CHECK(table_path(&tables, number, path) == 0);
        CHECK(strcmp(path + 1, name) == 0);
    }
}

/* ---- the log ---------------------------------------------------------- */

static void try_segment(slice s)
{
    segment_header header;
    uint8_t again[SEGMENT_HEADER_SIZE];
    if (!segment_header_decode(s, &header))
        return;
    segment_header_encode(&header, again);
    CHECK(memcmp(s.data, again, sizeof again) == 0);
}

static void encode_record(const record_body *body, buf *out)
{
    static const uint8_t header[RECORD_HEADER_SIZE];
    size_t past = 0;
    buf_put(out, header, sizeof header);
    record_put_position(out, body->position, body->time);
    for (size_t i = 0; i < body->edit_count; i++) {
        const record_past *p =
            past < body->past_count ? &body->pasts[past] : NULL;
        if (p != NULL && p->edit == i) {
            if (p->enters)
                record_put_stream(out, p->based ? &p->base : NULL);
            if (p->cuts)
                record_put_floor(out, &p->floor);
            past++;
        }
        record_put_edit(out, &body->edits[i], body->edits[i].seq);
    }
    CHECK(past == body->past_count);
    if (body->has_once)
        record_put_once(out, &body->once);
    if (body->has_blob)
        record_put_blob(out, &body->blob);
}

static void try_record(slice s)
{
    record_body body = {0};
    buf again = {0};
    if (record_decode_body(s, &body) == RECORD_OK) {
        encode_record(&body, &again);
        CHECK(!again.failed && again.size == RECORD_HEADER_SIZE + s.size);
        CHECK(memcmp(again.data + RECORD_HEADER_SIZE, s.data, s.size) == 0);
    }
    buf_release(&again);
    record_body_release(&body);
}

static void try_manifest(slice s)
{
    manifest m = {0};
    persist_error error;
    buf again = {0};
    persist_status status = manifest_decode(s, &m, &error);
    if (status == PERSIST_OK) {
        manifest_encode(&m, &again);
        if (s.size == again.size) /* version 2 was shorter */
            expect_same(s, &again);
        buf_release(&again);
    } else {
        CHECK(error.status == status);
    }
    manifest_release(&m);
}

/* ---- tables ----------------------------------------------------------- */

static void try_table_header(slice s)
{
    uint64_t identity, number;
    uint8_t again[TABLE_HEADER_SIZE];
    if (s.size < TABLE_HEADER_SIZE)
        return;
    memcpy(&identity, (const uint8_t *)s.data + 16, sizeof identity);
    memcpy(&number, (const uint8_t *)s.data + 24, sizeof number);
    if (!table_header_is(s, identity))
        return;
    table_header_encode(identity, number, again);
    /* but version and checksum */
    CHECK(memcmp((const uint8_t *)s.data + 16, again + 16, sizeof again - 24) ==
          0);
}

static void try_table_footer(slice s)
{
    table_footer footer;
    uint8_t again[TABLE_FOOTER_SIZE];
    if (!table_footer_decode(s, &footer))
        return;
    table_footer_encode(&footer, again);
    CHECK(memcmp(s.data, again, sizeof again) == 0);
}

static void try_stream(slice s)
{
    stream_entry e;
    buf again = {0};
    if (!entry_get_stream(s, &e))
        return;
    entry_put_stream(&again, &e);
    expect_same(s, &again);
}

/* Takes a key of so many bytes; the value is the rest. */
static bool split(cursor c, size_t size, slice *key, slice *value)
{
    *key = cursor_bytes(&c, size);
    *value = slice_of(c.at, cursor_left(&c));
    return !c.failed;
}

static void expect_position(slice key, uint64_t position)
{
    uint8_t bytes[ENTRY_ORDER_KEY_SIZE];
    entry_order_key(position, bytes);
    CHECK(slice_equal(slice_of(bytes, sizeof bytes), key));
}

static void try_event(slice s)
{
    event_entry e;
    buf again = {0};
    uint8_t room[ENTRY_EVENT_KEY_MAX];
    cursor c = cursor_of(s);
    size_t size = cursor_u8(&c) % (sizeof room + 1);
    slice given, value;
    if (!split(c, size, &given, &value) || !entry_get_event(given, value, &e))
        return;
    CHECK(slice_equal(entry_event_key(e.ordinal, e.seq, room), given));
    entry_put_event(&again, &e);
    expect_same(value, &again);
}

static void try_key(slice s)
{
    buf again = {0};
    bool deleted;
    slice value;
    if (!entry_get_key(s, &deleted, &value))
        return;
    entry_put_key(&again, deleted, value);
    expect_same(s, &again);
}

static void try_once(slice s)
{
    once_entry e;
    buf again = {0};
    if (!entry_get_once(s, &e))
        return;
    uint64_t *seqs = mem_alloc(e.seq_count * sizeof *seqs + 1);
    CHECK(seqs != NULL);
    if (entry_get_seqs(&e, seqs)) {
        entry_put_once(&again, e.lsn, e.fingerprint, seqs, e.seq_count);
        expect_same(s, &again);
    }
    mem_free(seqs);
}

static void try_order(slice s)
{
    buf again = {0};
    uint64_t position, seq;
    slice given, value, name;
    if (!split(cursor_of(s), ENTRY_ORDER_KEY_SIZE, &given, &value) ||
        !entry_get_order(given, value, &position, &seq, &name))
        return;
    expect_position(given, position);
    entry_put_order(&again, seq, name);
    expect_same(value, &again);
}

static void try_blob(slice s)
{
    blob_entry e;
    buf again = {0};
    cursor c = cursor_of(s);
    if (!blob_entry_get(&c, &e) || !cursor_done(&c))
        return;
    blob_entry_put(&again, &e);
    expect_same(s, &again);
}

/* Runs are written by a table's writer alone, whose block is looked at. */
static void try_tag(slice s)
{
    postings_reader r;
    slice given, value;
    cursor c = cursor_of(s);
    size_t size = cursor_u8(&c);
    if (!split(c, size, &given, &value) || !postings_begin(&r, given, value))
        return;
    uint64_t before = 0;
    size_t count = 1;
    for (; r.now.position < r.last; count++) {
        CHECK(r.now.position > before && r.now.seq > 0);
        before = r.now.position;
        if (!postings_next(&r))
            return;
    }
    CHECK(r.rest.size == 0 && count <= value.size);
}

static void try_times(slice s)
{
    times_entry e;
    buf again = {0};
    slice given, value;
    if (!split(cursor_of(s), ENTRY_ORDER_KEY_SIZE, &given, &value) ||
        !times_entry_get(given, value, &e))
        return;
    expect_position(given, e.first);
    CHECK(e.span > 0 && e.width <= TIMES_WIDTH_MAX);
    buf_put_varint(&again, e.base);
    buf_put_varint(&again, e.span);
    if (e.width > 0) {
        buf_put_byte(&again, (uint8_t)e.width);
        buf_put(&again, e.bits, ((e.span - 1) * e.width + 7) / 8);
    }
    expect_same(value, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const decoders[])(slice) = {
        try_cid,      try_file_names,   try_segment,      try_record,
        try_manifest, try_table_header, try_table_footer, try_stream,
        try_event,    try_key,          try_once,         try_order,
        try_blob,     try_tag,          try_times,
    };
    cursor c = cursor_of(slice_of(data, size));
    uint8_t which = cursor_u8(&c);
    fuzz_sums_hold = true;
    if (which < sizeof decoders / sizeof *decoders)
        decoders[which](slice_of(c.at, cursor_left(&c)));
    return 0;
}
