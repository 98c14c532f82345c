/* SPDX-License-Identifier: MIT */
/* The reader's tokens: words and strings. */
#ifndef SX_TOKEN_H
#define SX_TOKEN_H

#include "sx/reader.h"

typedef struct reader {
    sx *m;
    const char *start, *at, *end;
    persist_error *error;
} reader;

/* Fills *error with "line l, column c: message"; returns READ_FAILED. */
read_status reader_fail(reader *, const char *at, persist_status,
                        const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* What to do where a text ends within what was begun. */
#define READ_REST "; add what closes it, or the rest of the text"

/* Each reads the token at r->at and moves behind it. */
read_status token_word(reader *, value *out); /* symbol, keyword, number */
read_status token_string(reader *, value *out);
read_status token_raw_string(reader *, value *out);

#endif
