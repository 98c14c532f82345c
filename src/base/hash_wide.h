/* SPDX-License-Identifier: MIT */
/* XXH3 in wider vectors; the same values. Only for hash.c, which knows what the
 * processor can do. */
#ifndef BASE_HASH_WIDE_H
#define BASE_HASH_WIDE_H

#include <stddef.h>
#include <stdint.h>

/* XXH3 with a seed, on a processor that has AVX2; never fails. */
uint64_t hash_avx2(const void *data, size_t size, uint64_t seed);

#endif
