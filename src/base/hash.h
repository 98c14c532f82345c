/* SPDX-License-Identifier: MIT */
/* Checksums of stored bytes (XXH3, 64 bits: github.com/Cyan4973/xxHash) and
 * SHA-256 (FIPS 180-4, by libcrypto). */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { HASH_SHA256_SIZE = 32 };

/* Both take any bytes and never fail. */
uint64_t hash_xxh3(slice bytes);
/* The same with a seed: other seeds give unrelated values. */
uint64_t hash_xxh3_seed(slice bytes, uint64_t seed);
void hash_sha256(slice bytes, uint8_t out[HASH_SHA256_SIZE]);

/* SHA-256 in pieces: begin, add, and end once. It takes no memory but the
 * state, which needs no release. */
typedef struct hash_sha256_state {
    uint32_t words[28]; /* libcrypto's */
} hash_sha256_state;
void hash_sha256_begin(hash_sha256_state *);
void hash_sha256_add(hash_sha256_state *, slice bytes);
void hash_sha256_end(hash_sha256_state *, uint8_t out[HASH_SHA256_SIZE]);

#endif
