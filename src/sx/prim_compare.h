/* SPDX-License-Identifier: MIT */
/* The order of values, for sort. */
#ifndef SX_PRIM_COMPARE_H
#define SX_PRIM_COMPARE_H

#include "sx/prim.h"

/* The function of `<`: numbers by value, strings by bytes. */
prim_status prim_less(sx *, value *args, size_t count, value *out);

/* The function of f when f is one of the primitives < > <= >=, which never call
 * back; NULL for everything else. */
prim_fn compare_plain_order(value f);

#endif
