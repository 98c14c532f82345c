/* SPDX-License-Identifier: MIT */
/* What each byte means to the reader, and so to the printer. */
#ifndef SX_CHARS_H
#define SX_CHARS_H

#include "sx/value.h"

enum {
    CHAR_SYMBOL = 1, /* may be in a symbol */
    CHAR_SPACE = 2,
    CHAR_ESCAPE = 4, /* a string escapes it */
    CHAR_DIGIT = 8,
};

extern const uint8_t char_class[256];

static inline bool char_is(char c, unsigned classes)
{
    return (char_class[(unsigned char)c] & classes) != 0;
}

/* Whether a token is to be a number: digits, perhaps behind a sign or point. */
bool chars_numeric(slice token);
/* Whether :name reads back as the keyword, and name as the symbol. */
bool chars_keyword(string *name);
bool chars_symbol(string *name);

#endif
