/* SPDX-License-Identifier: MIT */
/* The tables of primitives, one a file; prim.c gathers them. */
#ifndef SX_PRIM_GROUPS_H
#define SX_PRIM_GROUPS_H

#include "sx/prim.h"

extern const prim_group number_group;  /* arithmetic */
extern const prim_group compare_group; /* order, equality, predicates */
extern const prim_group string_group;
extern const prim_group list_group;
extern const prim_group iterate_group; /* map and its kin */
extern const prim_group sort_group;
extern const prim_group dict_group;
extern const prim_group json_group;
extern const prim_group text_group; /* printing, parsing, error, assert */

#endif
