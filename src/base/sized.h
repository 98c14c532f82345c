/* SPDX-License-Identifier: MIT */
/* Structs of a caller that begin with their size (a size_t): taken from, and
 * given to, programs whose headers are older or newer. */
#ifndef BASE_SIZED_H
#define BASE_SIZED_H

#include "persist_base.h"

/* The size that a struct had when `last` was its last field. */
#define SIZED_UP_TO(type, last)                                                \
    (offsetof(type, last) + sizeof(((type *)NULL)->last))

/* What nobody's struct has: such a size was never set. */
#define SIZED_MAX 4096u

/* Such a struct: its name, the macro that begins it, the size that it has here,
 * and the one that it had in the first release. */
typedef struct sized {
    const char *name, *macro;
    size_t size, first;
} sized;

/* Copies what the caller has given into a struct of ours, where all that it
 * does not have is 0. PERSIST_BAD_REQUEST: the size cannot be, or the caller
 * asks for more than is known here. */
persist_status sized_take(const sized *, const void *given, void *own,
                          persist_error *);

/* Copies a struct of ours into one that sized_take has accepted, as far as that
 * goes. */
void sized_give(const sized *, const void *own, void *given);

#endif
