/* SPDX-License-Identifier: MIT */
/* A segment of the log: wherever a record is valid, it can be sealed again to
 * the same bytes. */
#include "engine/log/record.h"
#include "engine/log/segment.h"
#include "lib/fuzz.h"

static void check_record(slice segment, uint64_t at, const record_header *h)
{
    uint64_t size = record_size(h->body_size);
    CHECK(at + size <= segment.size && size >= RECORD_HEADER_SIZE);
    slice whole = slice_of((const uint8_t *)segment.data + at, (size_t)size);
    record_body body = {0};
    slice bytes = slice_of((const uint8_t *)whole.data + RECORD_HEADER_SIZE,
                           h->body_size);
    record_result result = record_decode_body(bytes, &body);
    CHECK(result != RECORD_OK || body.size == size);
    if (h->watermark < h->lsn || record_is_proof(h)) {
        buf again = {0};
        buf_put_slice(&again, whole);
        CHECK(!again.failed);
        record_seal(again.data, h, at);
        CHECK(slice_equal(whole, buf_slice(&again)));
        buf_release(&again);
    }
    record_body_release(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice segment = slice_of(data, size);
    segment_header header;
    record_header h;
    uint64_t hashed = 0;
    fuzz_sums_hold = true;
    if (!segment_header_decode(segment, &header))
        return 0;
    for (uint64_t at = SEGMENT_HEADER_SIZE; at < size; at += LOG_ALIGN)
        if (record_read(segment, at, header.identity, header.number, &h,
                        &hashed))
            check_record(segment, at, &h);
    return 0;
}
