/* SPDX-License-Identifier: MIT */
/* Checksums that hold: of whole ends and manifests, which have no seed; of
 * blocks, whose seed is such a sum itself; of records, whose seed is where they
 * lie. Names and numbers are hashed as ever: for filters, for maps, and where
 * two sets are compared. */
#include "engine/files/limits.h"
#include "fuzz.h"

enum { SUMMED_SIZE_MIN = 24 }; /* the place of a block */

/* Not zero: bytes that nobody wrote have no checksum. */
#define ANY_SUM UINT64_C(0x6d75736b63656863)

bool fuzz_sums_hold;

uint64_t __wrap_hash_xxh3(slice bytes)
{
    return fuzz_sums_hold && bytes.size >= SUMMED_SIZE_MIN
               ? ANY_SUM
               : __real_hash_xxh3(bytes);
}

uint64_t __wrap_hash_xxh3_seed(slice bytes, uint64_t seed)
{
    bool of_block = seed == ANY_SUM;
    bool of_record = seed >= SEGMENT_HEADER_SIZE && seed < SEGMENT_SIZE_MAX;
    return fuzz_sums_hold && (of_block || of_record)
               ? ANY_SUM
               : __real_hash_xxh3_seed(bytes, seed);
}
