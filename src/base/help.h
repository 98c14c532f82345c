/* SPDX-License-Identifier: MIT */
/* Text for people, in lines that fit on a terminal. */
#ifndef BASE_HELP_H
#define BASE_HELP_H

#include "base/buf.h"

/* Puts `text` in lines that begin at column `indent`, broken at spaces; in
 * front of them `head`, on a line of its own if it is too long. A newline in
 * the text stays; text may be empty. */
void help_put(buf *, size_t indent, const char *head, const char *text);

#endif
