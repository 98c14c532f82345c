/* SPDX-License-Identifier: MIT */
/* XXH3 for processors with AVX2: the Makefile lets the compiler use it here. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/hash_wide.h"

uint64_t hash_avx2(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}
