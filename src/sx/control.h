/* SPDX-License-Identifier: MIT */
/* The primitives that are the machine itself: apply, call/cc, perform, raise.
 */
#ifndef SX_CONTROL_H
#define SX_CONTROL_H

#include "sx/prim.h"

extern const prim_group control_group;

#endif
