/* SPDX-License-Identifier: MIT */
/* Checksums are those of XXH3, whatever vectors the processor has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/hash.h"

enum { SIZE_MAX_TRIED = 5000, MARGIN = 64 };

static void all_sizes_and_places_agree(void **state)
{
    (void)state;
    static uint8_t bytes[SIZE_MAX_TRIED + MARGIN];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 7);
    for (size_t size = 0; size <= SIZE_MAX_TRIED; size++) {
        const uint8_t *at = bytes + size % MARGIN;
        uint64_t seed = size * 0x9e3779b97f4a7c15u;
        assert_true(hash_xxh3(slice_of(at, size)) == XXH3_64bits(at, size));
        assert_true(hash_xxh3_seed(slice_of(at, size), seed) ==
                    XXH3_64bits_withSeed(at, size, seed));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_sizes_and_places_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
