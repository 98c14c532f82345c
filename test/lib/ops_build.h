/* SPDX-License-Identifier: MIT */
/* An op as edits. */
#ifndef TEST_OPS_BUILD_H
#define TEST_OPS_BUILD_H

#include "ops.h"

enum { OP_EDITS_MAX = 8 };

/* What an op builds on. */
typedef struct op_seen {
    uint64_t mark;   /* of the stream "a"; or the position of the last event
                        that the query of the op matches */
    uint64_t marked; /* the mark of the stream "marked" */
    uint64_t next;   /* position */
    uint64_t time;   /* of the newest event */
    slice value;     /* of the key "k", owned */
} op_seen;

/* The edits of an op; static parts of the store's state go into some. */
typedef struct op_command {
    persist_edit edits[OP_EDITS_MAX];
    size_t count;
    bool has_once;
    persist_once once;
    persist_command set; /* of PERSIST_SET_ONCE */
    uint64_t seqs[2];    /* of that */
    char rooms[OP_EDITS_MAX][OP_PAYLOAD_MAX];
} op_command;

/* Makes the edits of an op that commits some. */
void op_build(op_command *, op, const op_seen *);

#endif
