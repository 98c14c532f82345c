/* SPDX-License-Identifier: MIT */
/* The list of all groups of primitives. */
#include "sx/prim.h"

#include "sx/control.h"
#include "sx/prim_groups.h"

const prim_group *const prim_groups[] = {
    &control_group, &number_group,  &compare_group, &string_group, &list_group,
    &dict_group,    &iterate_group, &sort_group,    &json_group,   &text_group,
};

const size_t prim_group_count = sizeof prim_groups / sizeof *prim_groups;
