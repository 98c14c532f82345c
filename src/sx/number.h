/* SPDX-License-Identifier: MIT */
/* Numbers as text. */
#ifndef SX_NUMBER_H
#define SX_NUMBER_H

#include "sx/prim.h"

/* number_parse and float_text are in prim.h. */

enum { INTEGER_TEXT_MAX = 24 };
/* Decimal digits with a sign if negative; returns their number. */
size_t integer_text(int64_t, char out[INTEGER_TEXT_MAX]);

#endif
