/* SPDX-License-Identifier: MIT */
/* Content identifiers as text: base32 of a fixed prefix and a digest. */
#include "base/cid.h"

#include "base/check.h"

enum { PREFIX_SIZE = 4, RAW_SIZE = PREFIX_SIZE + HASH_SHA256_SIZE };

CHECK_STATIC((RAW_SIZE * 8 + 4) / 5 + 1 == CID_SIZE, "base32, and the 'b'");

/* Version 1, codec raw, multihash sha2-256 of 32 bytes. */
static const uint8_t prefix[PREFIX_SIZE] = {0x01, 0x55, 0x12, 0x20};
static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";

void cid_encode(const uint8_t digest[HASH_SHA256_SIZE], char out[CID_SIZE + 1])
{
    uint8_t raw[RAW_SIZE];
    memcpy(raw, prefix, PREFIX_SIZE);
    memcpy(raw + PREFIX_SIZE, digest, HASH_SHA256_SIZE);
    size_t size = 0;
    unsigned bits = 0, held = 0;
    out[size++] = 'b';
    for (size_t i = 0; i < RAW_SIZE; i++) {
        bits = (bits << 8) | raw[i];
        for (held += 8; held >= 5; held -= 5)
            out[size++] = digits[(bits >> (held - 5)) & 31];
    }
    if (held > 0)
        out[size++] = digits[(bits << (5 - held)) & 31];
    CHECK(size == CID_SIZE);
    out[size] = '\0';
}

static int digit_value(char digit)
{
    if (digit >= 'a' && digit <= 'z')
        return digit - 'a';
    return digit >= '2' && digit <= '7' ? digit - '2' + 26 : -1;
}

bool cid_decode(slice text, uint8_t digest[HASH_SHA256_SIZE])
{
    const char *at = text.data;
    if (text.size != CID_SIZE || at == NULL || at[0] != 'b')
        return false;
    uint8_t raw[RAW_SIZE];
    size_t size = 0;
    unsigned bits = 0, held = 0;
    for (size_t i = 1; i < CID_SIZE; i++) {
        int value = digit_value(at[i]);
        if (value < 0)
            return false;
        bits = (bits << 5) | (unsigned)value;
        held += 5;
        if (held >= 8) {
            held -= 8;
            raw[size++] = (uint8_t)(bits >> held);
        }
    }
    CHECK(size == RAW_SIZE);
    bool spare_bits_zero = (bits & ((1u << held) - 1)) == 0;
    if (!spare_bits_zero || memcmp(raw, prefix, PREFIX_SIZE) != 0)
        return false;
    memcpy(digest, raw + PREFIX_SIZE, HASH_SHA256_SIZE);
    return true;
}
