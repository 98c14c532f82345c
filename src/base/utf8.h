/* SPDX-License-Identifier: MIT */
/* UTF-8 (RFC 3629): a code point to bytes and back. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UTF8_MAX = 4, UTF8_CODE_MAX = 0x10ffff };

/* Neither a surrogate nor beyond the last code point. */
bool utf8_valid_code(int64_t code);

/* Writes the bytes of a valid code point; returns how many. */
size_t utf8_encode(uint32_t code, char out[UTF8_MAX]);

/* The length of the character that begins at data; 0 if it is not well-formed
 * (cut short, longer than needed, a surrogate, too large). size > 0. */
size_t utf8_length(const char *data, size_t size);

/* How many of the first bytes may stand alone: at most `most`, and less where
 * that would cut a character in two. */
size_t utf8_cut(const char *data, size_t size, size_t most);

/* A text for a message: its first bytes, and "..." if those are not all. out
 * has room for most + 4 bytes, and ends with a NUL. */
void utf8_shorten(const char *data, size_t size, size_t most, char *out);

#endif
