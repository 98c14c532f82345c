/* SPDX-License-Identifier: MIT */
/* persist/commit in the making: edits of the language to edits of the store. */
#ifndef HOST_COMMIT_BUILD_H
#define HOST_COMMIT_BUILD_H

#include "host/ops.h"

typedef struct commit_item {
    persist_edit edit; /* data.data is set when all texts are printed */
    size_t text_at;    /* offset of the data in the text */
    size_t owner;      /* index of the edit in the request */
} commit_item;

typedef struct commit_build {
    op_call *call;
    size_t index; /* of the edit at work */
    sx_out *text;
    buf items;        /* of commit_item */
    sx_value marks;   /* stream -> the highest number given so far */
    sx_value results; /* one for each edit */
    bool has_once;
    persist_once once;
    persist_outcome first; /* of a repeated command */
    bool repeated;
    size_t numbers_used;
} commit_build;

/* Checks every edit of the list, prints what it stores and makes its result.
 * Errors: bad-request, not-storable, too-large, limit, and those of reading. */
persist_status commit_build_edits(commit_build *, sx_value edits);

/* Finds the edit {:once id} and, if that command was committed before, its
 * outcome; refuses a second one, and other edits under the same id. */
persist_status commit_build_once(commit_build *, sx_value edits);

#endif
