/* SPDX-License-Identifier: MIT */
/* XXH3 for processors with AVX2: the Makefile lets the compiler use it here. */
#define XXH_INLINE_ALL
#include <xxhash.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#include "base/hash_wide.h"

/* The upper halves of the vector registers are given back clean, or all code
 * with narrow vectors that comes later is slowed down. The compiler, which
 * does that as a rule, leaves it out here. */
uint64_t hash_avx2(const void *data, size_t size, uint64_t seed)
{
    uint64_t hash = XXH3_64bits_withSeed(data, size, seed);
#ifdef __AVX2__
    _mm256_zeroupper();
#endif
    return hash;
}
