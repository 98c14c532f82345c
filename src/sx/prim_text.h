/* SPDX-License-Identifier: MIT */
/* The text of values as people see it. */
#ifndef SX_PRIM_TEXT_H
#define SX_PRIM_TEXT_H

#include "sx/prim.h"

/* Appends a value as str has it: strings raw, nil as nothing, the rest
 * printed. As text_put_value. */
prim_status text_put_plain(sx *, sx_out *, value);

#endif
