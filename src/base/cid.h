/* SPDX-License-Identifier: MIT */
/* Content identifiers: CIDv1, multibase base32 lower case, codec raw,
 * multihash sha2-256 (github.com/multiformats/cid), as text. */
#ifndef BASE_CID_H
#define BASE_CID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/slice.h"

enum { CID_SIZE = 59 }; /* characters, without the NUL */

/* Writes the cid of a SHA-256 digest, with a NUL. Never fails. */
void cid_encode(const uint8_t digest[HASH_SHA256_SIZE], char out[CID_SIZE + 1]);

/* Takes the digest out of a cid; false when the text is no cid of this kind
 * (then digest is unchanged). */
bool cid_decode(slice text, uint8_t digest[HASH_SHA256_SIZE]);

#endif
