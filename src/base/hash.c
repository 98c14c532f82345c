/* SPDX-License-Identifier: MIT */
/* Checksums and SHA-256. */
#include "base/hash.h"

#include <openssl/evp.h>

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

hash_sha256_state *hash_sha256_begin(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context != NULL &&
        EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(context);
        context = NULL;
    }
    return (hash_sha256_state *)context;
}

void hash_sha256_add(hash_sha256_state *state, slice bytes)
{
    int ok = EVP_DigestUpdate((EVP_MD_CTX *)state, bytes.data, bytes.size);
    CHECK(ok == 1);
}

void hash_sha256_end(hash_sha256_state *state, uint8_t out[HASH_SHA256_SIZE])
{
    int ok = EVP_DigestFinal_ex((EVP_MD_CTX *)state, out, NULL);
    CHECK(ok == 1);
    EVP_MD_CTX_free((EVP_MD_CTX *)state);
}

void hash_sha256(slice bytes, uint8_t out[HASH_SHA256_SIZE])
{
    int ok = EVP_Digest(bytes.data, bytes.size, out, NULL, EVP_sha256(), NULL);
    CHECK(ok == 1);
}
