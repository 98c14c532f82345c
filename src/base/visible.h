/* SPDX-License-Identifier: MIT */
/* Bytes from outside for a terminal, which obeys some of them. */
#ifndef BASE_VISIBLE_H
#define BASE_VISIBLE_H

#include "base/buf.h"

/* The length of the character that begins at data, if a terminal only shows
 * it; 0 for a control character, and for bytes that are no UTF-8. size > 0. */
size_t visible_length(const char *data, size_t size);

enum { VISIBLE_MAX = 4 };

/* Takes the first character off bytes and writes how it is shown; returns how
 * many bytes that takes, VISIBLE_MAX at most. rest->size > 0. */
size_t visible_next(slice *rest, char out[VISIBLE_MAX]);

/* Appends bytes so that they are only shown: those of well-formed UTF-8 as
 * they are; control characters and all else as \xNN. */
void visible_put(buf *, slice);

#endif
