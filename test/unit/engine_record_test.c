/* SPDX-License-Identifier: MIT */
/* The bytes of records, segment headers and manifests: what goes in comes out,
 * and nothing else is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/files/manifest.h"
#include "engine/log/record.h"

enum { OFFSET = 512, SEGMENT = 7, IDENTITY = 99 };

static const uint64_t gave[] = {1, PERSIST_SEQ_MAX};
static const persist_command commands[] = {
    {.id = {"", 0}},
    {.id = {"a\0b", 3}, .fingerprint = {9}, .seqs = gave, .seq_count = 2}};
static const persist_edit edits[] = {
    {.kind = PERSIST_APPEND, .name = {"s", 1}, .data = {"event", 5}},
    {.kind = PERSIST_EXPECT_SEQ, .name = {"s", 1}, .seq = 3},
    {.kind = PERSIST_APPEND_AT,
     .name = {"t\0u", 3},
     .data = {"", 0},
     .seq = 1000},
    {.kind = PERSIST_TRUNCATE, .name = {"s", 1}, .seq = PERSIST_SEQ_MAX},
    {.kind = PERSIST_PUT, .name = {"", 0}, .data = {"\xff\0", 2}},
    {.kind = PERSIST_DELETE, .name = {"k", 1}},
    {.kind = PERSIST_SET_MARK, .name = {"s", 1}, .seq = 70},
    {.kind = PERSIST_SET_POSITION, .seq = 1u << 31},
    {.kind = PERSIST_SET_ONCE, .command = &commands[0]},
    {.kind = PERSIST_SET_ONCE, .command = &commands[1]},
    {.kind = PERSIST_SET_TIME, .seq = 1u << 30}, /* is the record's */
};
enum { EDITS = sizeof edits / sizeof *edits };

/* Of the stream that is truncated. */
static const stream_state base = {9, 5, 300, {3, 2, 100, 4}};
static const stream_floor left = {PERSIST_SEQ_MAX, 5, 300, 0};

/* A segment that holds one record at OFFSET. */
static void make_record(buf *out, uint64_t offset)
{
    static const uint64_t seqs[EDITS] = {4, 1000};
    persist_once id = {{"command", 7}, {1, 2, 3}};
    buf record = {0};
    uint8_t header[RECORD_HEADER_SIZE] = {0};
    buf_put(&record, header, sizeof header);
    record_put_position(&record, 12, 1u << 30);
    for (size_t i = 0, append = 0; i < EDITS; i++) {
        bool appends = edits[i].kind <= PERSIST_APPEND_AT;
        if (i == 0)
            record_put_stream(&record, NULL);
        if (edits[i].kind == PERSIST_TRUNCATE) {
            record_put_stream(&record, &base);
            record_put_floor(&record, &left);
        }
        record_put_edit(&record, &edits[i], appends ? seqs[append++] : 0);
    }
    record_put_once(&record, &id);
    record_header h = {(uint32_t)(record.size - RECORD_HEADER_SIZE), 5,
                       IDENTITY, SEGMENT, 4};
    uint64_t size = record_size(h.body_size);
    assert_true(buf_reserve(&record, LOG_ALIGN));
    record_seal(record.data, &h, offset);
    buf_clear(out);
    for (uint64_t i = 0; i < offset; i++)
        buf_put_byte(out, 0xaa);
    buf_put(out, record.data, size);
    buf_release(&record);
}

static void a_record_comes_back(void **state)
{
    (void)state;
    buf bytes = {0};
    record_header h;
    record_body body = {0};
    make_record(&bytes, OFFSET);
    assert_true(
        record_read(buf_slice(&bytes), OFFSET, IDENTITY, SEGMENT, &h, NULL));
    assert_int_equal(h.lsn, 5);
    assert_int_equal(h.watermark, 4);
    slice inner =
        slice_of(bytes.data + OFFSET + RECORD_HEADER_SIZE, h.body_size);
    assert_int_equal(record_decode_body(inner, &body), RECORD_OK);
    assert_int_equal(body.position, 12);
    assert_int_equal(body.time, 1u << 30);
    assert_int_equal(body.edit_count, EDITS - 2); /* no expectation, no time */
    assert_int_equal(body.edits[0].kind, PERSIST_APPEND_AT);
    assert_int_equal(body.edits[0].seq, 4);
    assert_true(slice_equal(body.edits[0].data, slice_str("event")));
    assert_int_equal(body.edits[1].seq, 1000);
    assert_int_equal(body.edits[1].name.size, 3);
    assert_int_equal(body.edits[2].seq, PERSIST_SEQ_MAX);
    assert_true(slice_equal(body.edits[3].data, slice_of("\xff\0", 2)));
    assert_int_equal(body.edits[4].kind, PERSIST_DELETE);
    assert_int_equal(body.edits[5].seq, 70);
    assert_int_equal(body.edits[6].seq, 1u << 31);
    for (int i = 0; i < 2; i++) {
        const persist_command *c = body.edits[7 + i].command;
        assert_int_equal(body.edits[7 + i].kind, PERSIST_SET_ONCE);
        assert_true(slice_equal(c->id, commands[i].id));
        assert_memory_equal(c->fingerprint, commands[i].fingerprint,
                            sizeof c->fingerprint);
        assert_int_equal(c->seq_count, commands[i].seq_count);
    }
    assert_memory_equal(body.edits[8].command->seqs, gave, sizeof gave);
    assert_int_equal(body.past_count, 2);
    assert_int_equal(body.pasts[0].edit, 0);
    assert_true(body.pasts[0].enters && !body.pasts[0].based);
    assert_int_equal(body.pasts[1].edit, 2);
    assert_true(body.pasts[1].based && body.pasts[1].cuts);
    assert_memory_equal(&body.pasts[1].base, &base, sizeof base);
    assert_memory_equal(&body.pasts[1].floor, &left, sizeof left);
    assert_true(body.has_once);
    assert_true(slice_equal(body.once.id, slice_str("command")));
    assert_int_equal(body.once.fingerprint[2], 3);
    record_body_release(&body);
    buf_release(&bytes);
}

static bool reads(const buf *bytes, uint64_t offset, uint64_t identity,
                  uint64_t segment)
{
    record_header h;
    return record_read(buf_slice(bytes), offset, identity, segment, &h, NULL);
}

static void every_flipped_bit_is_seen(void **state)
{
    (void)state;
    buf bytes = {0};
    make_record(&bytes, OFFSET);
    for (size_t bit = OFFSET * 8; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(reads(&bytes, OFFSET, IDENTITY, SEGMENT));
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(reads(&bytes, OFFSET, IDENTITY, SEGMENT));
    buf_release(&bytes);
}

static void a_record_belongs_to_its_place(void **state)
{
    (void)state;
    buf bytes = {0};
    make_record(&bytes, OFFSET);
    assert_false(reads(&bytes, OFFSET, IDENTITY + 1, SEGMENT));
    assert_false(reads(&bytes, OFFSET, IDENTITY, SEGMENT + 1));
    bytes.size--;
    assert_false(reads(&bytes, OFFSET, IDENTITY, SEGMENT));
    bytes.size++;
    memmove(bytes.data + 504, bytes.data + OFFSET, bytes.size - OFFSET);
    assert_false(reads(&bytes, 504, IDENTITY, SEGMENT));
    assert_false(reads(&bytes, bytes.size, IDENTITY, SEGMENT));
    assert_false(reads(&bytes, (bytes.size + 8) / 8 * 8, IDENTITY, SEGMENT));
    buf_release(&bytes);
}

static void a_copy_says_that_it_is_one(void **state)
{
    (void)state;
    buf bytes = {0};
    record_header h;
    make_record(&bytes, OFFSET);
    record_copy(bytes.data + OFFSET, OFFSET, SEGMENT + 1, OFFSET);
    assert_false(reads(&bytes, OFFSET, IDENTITY, SEGMENT));
    assert_true(record_read(buf_slice(&bytes), OFFSET, IDENTITY, SEGMENT + 1,
                            &h, NULL));
    assert_int_equal(h.watermark, h.lsn);
    buf_release(&bytes);
}

/* Every magic at a place where a record may begin is found, no other is. */
static void a_beginning_is_found(void **state)
{
    (void)state;
    uint8_t bytes[256] = {0};
    slice all = slice_of(bytes, sizeof bytes);
    const uint64_t last = sizeof bytes - RECORD_HEADER_SIZE;
    for (uint64_t at = 0; at + 12 <= sizeof bytes; at++) {
        memset(bytes, 'P', sizeof bytes);
        memcpy(bytes + at + 8, "PREC", 4);
        bool begins = at % LOG_ALIGN == 0 && at <= last;
        for (uint64_t from = 0; from <= last; from += LOG_ALIGN)
            assert_int_equal(record_look(all, from),
                             begins && from <= at ? at : sizeof bytes);
    }
    assert_int_equal(record_look(all, last + LOG_ALIGN), sizeof bytes);
}

#define FINGERPRINT "ffffffffffffffffffffffffffffffff"

/* Any bytes: decoding ends, within them, and takes no more memory than they
 * are long. */
static void hostile_bodies_are_malformed(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",                             /* no position */
        "\x00",                         /* position 0 */
        "\x01\x01",                     /* append without a name */
        "\x01\x01\x05n",                /* name longer than the body */
        "\x01\x0c",                     /* no such kind */
        "\x01\x03\xff\xff\xff\xff\x7f", /* a name of 32 GiB */
        "\x01\x06\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", /* seq over max */
        "\x01\x07\x01x",                 /* a command id without fingerprint */
        "\x81\x00",                      /* a number longer than needed */
        "\x01\x09",                      /* a stream is new, and no edit */
        "\x01\x09\x09\x01\x01s\x01\x01", /* twice */
        "\x01\x09\x04\x01k",             /* of a key */
        "\x01\x09\x02\x01s\x01",         /* of a truncation */
        "\x01\x0a\x01\x01\x01\x02\x01\x01\x01\x02\x01s\x01", /* floor > mark */
        "\x01\x0b\x01\x01\x02\x01\x01s\x01\x01", /* a floor of an append */
        "\x01\x0b\x01\x01\x02\x02\x01s\x05",     /* left: what is truncated */
        "\x01\x0e\x01x", /* a command that is set, without fingerprint */
        /* NOLINTNEXTLINE(bugprone-suspicious-missing-comma): one text */
        "\x01\x0e\x01x" FINGERPRINT "\x03\x01\x01", /* numbers are missing */
        "\x01\x0e\x01x" FINGERPRINT "\xff\xff\xff\xff\x7f",
        "\x01\x0e\x01x" FINGERPRINT "\x01\xff\xff\xff\xff\xff\xff\xff\xff"
        "\xff\x01",                                 /* over the highest */
        "\x01\x09\x0e\x01x" FINGERPRINT "\x01\x01", /* makes no stream */
    };
    record_body body = {0};
    assert_int_equal(record_decode_body(slice_of("", 0), &body),
                     RECORD_MALFORMED);
    assert_int_equal(record_decode_body(slice_of("\0", 1), &body),
                     RECORD_MALFORMED);
    for (size_t i = 2; i < sizeof cases / sizeof *cases; i++) {
        size_t size = i == 8 ? 2 : strlen(cases[i]);
        assert_int_equal(record_decode_body(slice_of(cases[i], size), &body),
                         RECORD_MALFORMED);
    }
    buf bytes = {0};
    make_record(&bytes, OFFSET);
    srand(1);
    for (int round = 0; round < 20000; round++) {
        uint8_t copy[256];
        size_t size = bytes.size - OFFSET - RECORD_HEADER_SIZE;
        memcpy(copy, bytes.data + OFFSET + RECORD_HEADER_SIZE, size);
        for (int i = rand() % 4; i >= 0; i--)
            copy[(size_t)rand() % size] = (uint8_t)rand();
        size -= (size_t)rand() % size;
        (void)record_decode_body(slice_of(copy, size), &body);
        assert_true(body.edit_count <= size);
    }
    record_body_release(&body);
    buf_release(&bytes);
}

static void a_segment_header_comes_back(void **state)
{
    (void)state;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    segment_header in = {1, 2, 3, 4096, FORMAT_VERSION}, out;
    segment_header_encode(&in, bytes);
    assert_true(segment_header_decode(slice_of(bytes, sizeof bytes), &out));
    assert_memory_equal(&in, &out, sizeof in);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(
            segment_header_decode(slice_of(bytes, sizeof bytes), &out));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_false(
        segment_header_decode(slice_of(bytes, sizeof bytes - 1), &out));
}

static void make_manifest(manifest *m, buf *bytes)
{
    *m = (manifest){.identity = 1,
                    .next_table = 1,
                    .next_position = 1,
                    .generation = 2,
                    .epoch = 3,
                    .clean = true,
                    .watermark = 9,
                    .next_segment = 6};
    assert_true(manifest_add(m, (segment_entry){2, 4096, 1, 4, 1024}));
    assert_true(manifest_add(m, (segment_entry){5, 8192, 5, 9, 8192}));
    manifest_encode(m, bytes);
}

static void a_manifest_comes_back(void **state)
{
    (void)state;
    manifest m, out = {0};
    buf bytes = {0};
    make_manifest(&m, &bytes);
    assert_int_equal(manifest_decode(buf_slice(&bytes), &out, NULL),
                     PERSIST_OK);
    assert_true(out.clean);
    assert_int_equal(out.epoch, 3);
    assert_int_equal(out.segment_count, 2);
    assert_memory_equal(out.segments, m.segments, 2 * sizeof *m.segments);
    manifest_release(&out);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(manifest_decode(buf_slice(&bytes), &out, NULL),
                         PERSIST_CORRUPT);
        manifest_release(&out);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(
            manifest_decode(slice_of(bytes.data, size), &out, NULL),
            PERSIST_CORRUPT);
    manifest_release(&m);
    buf_release(&bytes);
}

/* Entries that contradict each other are refused, checksum or not. */
static void a_manifest_is_consistent(void **state)
{
    (void)state;
    static const segment_entry bad[] = {
        {2, 8192, 5, 9, 1024},  /* the same number again */
        {5, 8192, 6, 9, 1024},  /* a gap */
        {5, 8192, 5, 4, 1024},  /* no record */
        {6, 8192, 5, 9, 1024},  /* not below next_segment */
        {5, 8192, 5, 9, 1023},  /* not aligned */
        {5, 8192, 5, 10, 1024}, /* beyond the watermark */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        manifest m, out = {0};
        buf bytes = {0};
        make_manifest(&m, &bytes);
        m.segments[1] = bad[i];
        buf_clear(&bytes);
        manifest_encode(&m, &bytes);
        assert_int_equal(manifest_decode(buf_slice(&bytes), &out, NULL),
                         PERSIST_CORRUPT);
        manifest_release(&out);
        manifest_release(&m);
        buf_release(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back),
        cmocka_unit_test(every_flipped_bit_is_seen),
        cmocka_unit_test(a_record_belongs_to_its_place),
        cmocka_unit_test(a_copy_says_that_it_is_one),
        cmocka_unit_test(a_beginning_is_found),
        cmocka_unit_test(hostile_bodies_are_malformed),
        cmocka_unit_test(a_segment_header_comes_back),
        cmocka_unit_test(a_manifest_comes_back),
        cmocka_unit_test(a_manifest_is_consistent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
