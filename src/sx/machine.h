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

enum {
    BRIEF_MAX = 60,       /* bytes of a value in a message */
    NAME_SHOWN_MAX = 200, /* and of a name */
    STACK_SLACK = 64,     /* words that any frame of a primitive may need */
};

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
    object head; /* aux: number of constants */
    uint32_t params;
    uint32_t locals;    /* variables that are not parameters, on the stack */
    uint32_t stack_max; /* words a frame needs beyond its arguments */
    bool rest;          /* the last parameter takes a list of what is over */
    instr *body;        /* within this object, after the constants */
    string *name;       /* NULL: anonymous; from here on, words to mark */
    value constants[];  /* what body refers to, to keep it alive */
} code;

/* A copy of the stack and of the registers that point into it. */
typedef struct continuation {
    object head;
    size_t fp, depth, guard;
    const instr *pc;
    size_t count;
    value words[];
} continuation;

typedef enum signal {
    SIGNAL_MEMORY,
    SIGNAL_ERROR,
    SIGNAL_SUSPEND,
    SIGNAL_DONE, /* the text is at its end */
} signal_kind;

/* The continuation, in C memory that is charged to the heap. */
typedef struct stack {
    value *base, *end;
    size_t capacity; /* words */
} stack;

struct compiler;

/* Sizes of what printer.c and reader.c keep on their stacks. */
enum { PRINT_LEVEL_SIZE = 24, READ_OPENING_SIZE = 32 };

/* The statuses of persist_base.h are below. */
enum { LAST_RESORTS = PERSIST_LIMIT + 1 };

/* What a caller of sx.h may have done wrong: see CHECK_CALLER. */
#define NO_MACHINE "there is no machine"
#define NOT_SUSPENDED "the machine is not SX_SUSPENDED"
#define NO_LIST "the value is no list"
#define NO_DICT "the value is no dict"

struct sx {
    heap heap; /* first: heap_of relies on it */

    /* registers */
    stack stack;
    value *sp, *fp;
    size_t stack_max; /* the largest stack_max of any code */
    const instr *pc;
    size_t depth; /* frames on the stack */
    size_t guard; /* offset of the innermost guard record, 0: none */
    signal_kind signal;
    const instr *call_return; /* of a call that waits: where it returns to, */
    size_t call_count;        /* and its number of arguments */
    value *call_base;         /* where a step function's call is put */

    /* an error on its way: a value, or status and message until the dict is
     * made */
    bool has_raised, out_of_memory;
    value raised;
    persist_error error;
    /* by status: raised when not even the dict of an error can be made */
    value last_resorts[LAST_RESORTS];

    const prim *prim;         /* the primitive that runs, for messages */
    const instr *prim_return; /* and where it returns to, for call/cc */

    sx_state state;
    value request, result, failure;

    value globals; /* a dict of boxes */
    value forms;   /* a dict of indexes of special forms */

    /* the loaded text */
    char *text;
    size_t text_size, text_at;
    size_t form_at, form_line; /* where the form read last begins */
    struct compiler *compiler;

    /* scratch, kept for the next time */
    walk_stack print_walk, print_order, read_values, read_openings;
    sx_out scratch;
    char brief[4][NAME_SHOWN_MAX + 4];
    unsigned brief_next;

    sx_options options;
};

/* ---- calls (call.c) --------------------------------------------------- */

/* Makes room for words more beyond sp; fp, sp and pointers into the stack may
 * change. False: memory is out, nothing changed. */
bool stack_reserve(sx *, size_t words);
/* Gives unused room back, between two steps. */
void stack_shrink(sx *);
/* Calls what stands below the count arguments on top of the stack, so that the
 * result replaces it and ret is next. Like an instruction: returns what to run
 * next, or NULL with m->signal set and nothing changed. */
const instr *call_value(sx *, size_t count, const instr *ret);
/* The same in place of the current frame, as ret would return from it. params:
 * of the current frame's code. */
const instr *call_tail(sx *, size_t count, uint32_t params, const instr *ret);
/* Returns the value on top of the stack from a frame. */
const instr *call_return(sx *, uint32_t params);
/* Runs the step function of the frame at fp; resumes its callbacks. */
extern const instr step_instr;

/* Ends an instruction that could not be done. */
static inline const instr *stop(sx *m, signal_kind why)
{
    m->signal = why;
    return NULL;
}

/* ---- raising (machine.c) ---------------------------------------------- */

/* A record on the stack for each guard that is active: what to go back to. */
enum { GUARD_PREVIOUS, GUARD_HANDLER, GUARD_FP, GUARD_DEPTH, GUARD_WORDS };

/* Makes the dict that guard binds; false: memory is out. */
bool machine_error(sx *, persist_status, const char *message, value *out);
/* Collects and gives stack back; not inside a step. */
void machine_collect(sx *, const value *keep, size_t count);

#endif
