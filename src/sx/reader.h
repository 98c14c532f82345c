/* SPDX-License-Identifier: MIT */
/* The reader: text to values, form by form. */
#ifndef SX_READER_H
#define SX_READER_H

#include "sx/prim.h"

typedef enum read_status {
    READ_VALUE,
    READ_END,    /* only space and comments were left */
    READ_FAILED, /* *error has syntax or limit, with line and column */
    READ_MEMORY, /* collect and try again from the same place */
} read_status;

/* Reads the next form at or after *at and moves *at behind it; on READ_FAILED
 * and READ_MEMORY *at stays. */
read_status reader_next(sx *, slice text, size_t *at, value *out,
                        persist_error *error);
/* Reads one value and nothing more but space and comments; READ_END if there
 * is no value. */
read_status reader_only(sx *, slice text, value *out, persist_error *error);

#endif
