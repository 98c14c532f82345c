/* SPDX-License-Identifier: MIT */
/* The list of all groups of primitives. */
#include "sx/prim.h"

#include "sx/control.h"

const prim_group *const prim_groups[] = {
    &control_group,
};

const size_t prim_group_count = sizeof prim_groups / sizeof *prim_groups;
