/* SPDX-License-Identifier: MIT */
/* The machine: registers, the stack, compiled code, and the step loop.
 *
 * The continuation is one contiguous stack of values. A frame is
 *
 *     callee | args... | saved fp | saved pc | locals and temporaries...
 *              ^ fp
 *
 * and a result replaces the callee. A primitive with a step function has the
 * same frame, with its slots as locals and a pc that is `run the step again`.
 * An instruction is one machine step: it either happens wholly, or changes
 * nothing and says in `signal` what it needs. */
#ifndef SX_MACHINE_H
#define SX_MACHINE_H

#include "sx/heap.h"
#include "sx/prim.h"

typedef struct instr instr;

/* Runs one instruction: returns the next one, or NULL with m->signal set. */
typedef const instr *(*instr_fn)(sx *, const instr *);

struct instr {
    instr_fn run;
    union {
        value constant;
        const instr *target; /* of a jump */
        box *cell;           /* of a global */
        struct {
            uint32_t a, b;
        };
    };
};

/* What a lambda runs. The value words come first, for the collector. */
typedef struct code {
    object head;  /* aux: number of constants */
    string *name; /* NULL: anonymous */
    uint32_t params;
    uint32_t stack_max; /* words a frame needs beyond its arguments */
    uint32_t locals;
    bool rest;         /* the last parameter takes a list of what is over */
    instr *body;       /* within this object, after the constants */
    value constants[]; /* what body refers to, to keep it alive */
} code;

typedef enum signal {
    SIGNAL_MEMORY,
    SIGNAL_ERROR,
    SIGNAL_SUSPEND,
    SIGNAL_FORM_DONE,
} signal_kind;

typedef struct stack {
    value *base, *end; /* end: minus a reserve */
    size_t capacity;   /* words */
} stack;

struct compiler;
struct reader;

struct sx {
    heap heap;

    /* registers */
    stack stack;
    value *sp, *fp;
    const instr *pc;
    size_t depth; /* frames on the stack */
    size_t guard; /* offset of the innermost guard record, 0: none */
    signal_kind signal;

    /* an error on its way: a value, or status and message until the dict is
     * made */
    value raised;
    persist_error error;

    const prim *prim; /* the primitive that runs, for messages */
    value *call_base; /* where a step function's call is put */
    uint32_t call_count;

    sx_state state;
    value request, result, failure;

    value globals; /* a dict of boxes */
    value forms;   /* a dict of indexes of special forms */

    /* the loaded text */
    char *text;
    size_t text_size, text_at;

    struct compiler *compiler;
    struct reader *reader;
    sx_out scratch;
    char brief[4][64];
    unsigned brief_next;

    sx_options options;
};

#endif
