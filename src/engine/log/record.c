/* SPDX-License-Identifier: MIT */
/* Encoding and decoding the log, but for what a record holds.
 *
 * segment:  | header, 512 | record | record | ... | zeros or old bytes |
 * record:   | checksum 8 | magic 4 | body size 4 | lsn 8 | identity 8 |
 *           | segment 8 | watermark 8 | body ... | zeros to 8 |
 */
#include "engine/log/record.h"

#include <endian.h>

#include "base/hash.h"

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
    CHECK(format_is_known(h->version));
    memset(out, 0, SEGMENT_HEADER_SIZE);
    memcpy(out, segment_magic, sizeof segment_magic);
    store_le(out + 8, h->version, 4);
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
                        .size = load_le(at + 40, 8),
                        .version = load_le(at + 8, 4)};
    if (h.number == 0 || h.size < SEGMENT_HEADER_SIZE ||
        !format_is_known(h.version))
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
                            .size = SEGMENT_HEADER_SIZE,
                            .version = load_le(at + 8, 4)};
    if (out->number == 0 || !format_is_known(out->version))
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
    CHECK(offset % LOG_ALIGN == 0);
    CHECK(h->lsn > h->watermark || record_is_proof(h));
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

bool record_read_part(slice bytes, uint64_t from, uint64_t offset,
                      uint64_t identity, uint64_t number, record_header *out,
                      uint64_t *hashed)
{
    CHECK(offset % LOG_ALIGN == 0 && from <= offset);
    uint64_t in_bytes = offset - from;
    if (in_bytes > bytes.size || bytes.size - in_bytes < RECORD_HEADER_SIZE)
        return false;
    const uint8_t *at = (const uint8_t *)bytes.data + in_bytes;
    if (load_le(at + AT_MAGIC, 4) != RECORD_MAGIC ||
        load_le(at + AT_IDENTITY, 8) != identity ||
        load_le(at + AT_SEGMENT, 8) != number)
        return false;
    uint32_t body_size = (uint32_t)load_le(at + AT_BODY_SIZE, 4);
    if (body_size > RECORD_BODY_MAX ||
        record_size(body_size) > bytes.size - in_bytes)
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

bool record_read(slice segment, uint64_t offset, uint64_t identity,
                 uint64_t number, record_header *out, uint64_t *hashed)
{
    return record_read_part(segment, 0, offset, identity, number, out, hashed);
}

/* ---- damaged --------------------------------------------------------- */

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
