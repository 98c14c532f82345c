/* SPDX-License-Identifier: MIT */
/* Checksums and SHA-256. */
#include "base/hash.h"

/* The interface of OpenSSL 1.1.1. What 3.0 would have instead of these calls
 * allocates, with the first use of the library and with each hash, and a hash
 * must not fail. */
#define OPENSSL_API_COMPAT 0x10101000L
#include <openssl/sha.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "base/hash_wide.h"

/* Up to here XXH3 uses no vectors, and a call costs more than it. */
enum { VECTORS_FROM = XXH3_MIDSIZE_MAX + 1 };

uint64_t hash_xxh3(slice bytes)
{
    return hash_xxh3_seed(bytes, 0);
}

uint64_t hash_xxh3_seed(slice bytes, uint64_t seed)
{
    CHECK(bytes.data != NULL || bytes.size == 0);
#ifdef __x86_64__
    if (bytes.size >= VECTORS_FROM && __builtin_cpu_supports("avx2"))
        return hash_avx2(bytes.data, bytes.size, seed);
#endif
    return XXH3_64bits_withSeed(bytes.data, bytes.size, seed);
}

CHECK_STATIC(sizeof(XXH64_hash_t) == sizeof(uint64_t), "a checksum is 64 bits");

CHECK_STATIC(sizeof(hash_sha256_state) == sizeof(SHA256_CTX),
             "room for libcrypto's state");

static SHA256_CTX *context_of(hash_sha256_state *state)
{
    return (SHA256_CTX *)state->words;
}

void hash_sha256_begin(hash_sha256_state *state)
{
    int ok = SHA256_Init(context_of(state));
    CHECK(ok == 1);
}

void hash_sha256_add(hash_sha256_state *state, slice bytes)
{
    int ok = SHA256_Update(context_of(state), bytes.data, bytes.size);
    CHECK(ok == 1);
}

void hash_sha256_end(hash_sha256_state *state, uint8_t out[HASH_SHA256_SIZE])
{
    int ok = SHA256_Final(out, context_of(state));
    CHECK(ok == 1);
}

void hash_sha256(slice bytes, uint8_t out[HASH_SHA256_SIZE])
{
    hash_sha256_state state;
    hash_sha256_begin(&state);
    hash_sha256_add(&state, bytes);
    hash_sha256_end(&state, out);
}
