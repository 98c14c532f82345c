/* SPDX-License-Identifier: MIT */
/* Comparing numbers by value, for other primitives. */
#ifndef SX_PRIM_NUMBER_H
#define SX_PRIM_NUMBER_H

#include "sx/value.h"

enum { NUMBER_UNORDERED = 2 };

/* Negative, 0 or positive as a is less than, equal to or greater than b, to the
 * last bit also between integers and floats; NUMBER_UNORDERED with a NaN. Both
 * must be numbers. */
int number_order(value a, value b);

#endif
