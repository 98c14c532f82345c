/* SPDX-License-Identifier: MIT */
/* The compiler: a form becomes a lambda without parameters.
 *
 * It keeps a stack of tasks (compile this, then emit that) in place of the C
 * stack, so that a macro can be expanded by the machine in the middle, and so
 * that depth of nesting is only a matter of memory. Tasks emit intermediate
 * instructions into units, one for each lambda. When the form is done it is
 * known which variables are assigned, and units are assembled into code, the
 * innermost first.
 *
 * A definition may stand anywhere in a body, or come out of a macro, behind
 * uses of its name. So a name is emitted as a reference to what was in scope,
 * and what it means is looked up when the whole form is compiled.
 *
 * Variables live on the stack, and closures copy what they capture. A variable
 * that is assigned by set!, or captured before it is defined, lives in a box,
 * which is made where its body begins; so a continuation that is entered twice
 * sees assignments, and else may copy the stack. */
#ifndef SX_COMPILER_H
#define SX_COMPILER_H

#include "sx/prim.h"

/* Intermediate instructions. */
typedef enum ir_op {
    IR_CONSTANT,   /* a: constant */
    IR_EMPTY_LIST, /* */
    IR_NAME,       /* a: reference; becomes IR_GET or IR_GLOBAL */
    IR_SET_NAME,   /* the same for set! */
    IR_GET,        /* a: variable */
    IR_SET,
    IR_DEFINE,
    IR_BIND,   /* the variable's value is in its slot: box it if need be */
    IR_BODY,   /* a: the body that begins: unbound boxes for its locals */
    IR_GLOBAL, /* a: constant, the box */
    IR_SET_GLOBAL,
    IR_DEFINE_GLOBAL,
    IR_DEFINE_MACRO,
    IR_POP,
    IR_SLIDE, /* a: how many */
    IR_JUMP,  /* a: label */
    IR_JUMP_FALSE,
    IR_JUMP_FALSE_KEEP,
    IR_JUMP_TRUE_KEEP,
    IR_LABEL,
    IR_CLOSURE, /* a: unit */
    IR_CALL,    /* a: number of arguments */
    IR_TAIL_CALL,
    IR_RETURN,
    IR_DICT, /* a: constant, b: number of values */
    IR_APPEND,
    IR_APPEND_ALL,
    IR_CASE_EQUAL,
    IR_GUARD, /* a: label */
    IR_UNGUARD,
    IR_RAISE,
} ir_op;

typedef struct ir {
    ir_op op;
    uint32_t a, b;
} ir;

typedef enum variable_kind {
    VARIABLE_PARAM, /* slot: its number */
    VARIABLE_TEMP,  /* slot: its height above the frame's locals */
    VARIABLE_LOCAL, /* slot: its number among the locals */
    VARIABLE_SELF,  /* the lambda that runs; slot: as local, once assigned */
    VARIABLE_BODY,  /* none: stands for the locals of a body, and has no name;
                       slot: the newest of them */
} variable_kind;

enum { NOTHING = UINT32_MAX }; /* in place of a variable: the globals */

typedef struct variable {
    string *name;
    uint32_t unit;
    uint32_t outer; /* what is in scope around it; of a local: the one of its
                       body before it */
    uint32_t slot;
    uint32_t defined;  /* of a local: how many references came before its first
                          definition */
    uint32_t constant; /* of a local: its name, when the unit is assembled */
    uint32_t captured; /* its number among the captures of the unit that is */
    variable_kind kind;
    bool boxed;
} variable;

/* A name that was met, and the innermost variable in scope there. */
typedef struct reference {
    string *name;
    uint32_t scope;
} reference;

/* A lambda in the making. */
typedef struct unit {
    uint32_t parent;
    uint32_t params;
    bool rest;
    string *name;
    uint32_t locals;
    uint32_t depth, depth_max; /* temporaries on the stack */
    uint32_t labels;
    walk_stack code;      /* of ir */
    walk_stack constants; /* of value */
    walk_stack captures;  /* of uint32_t, variables */
    value made;           /* the code object */
} unit;

typedef struct task task;
/* Returns false after fail(). */
typedef bool (*task_fn)(sx *, const task *);

struct task {
    task_fn run;
    value form;
    uint32_t a, b;
    bool tail;
    string *name; /* for a lambda that is to be bound to it; or NULL */
};

typedef struct compiler {
    walk_stack tasks;
    walk_stack units;
    walk_stack variables;
    walk_stack references;
    walk_stack roots;   /* of value: the form and what macros made of it */
    uint32_t unit;      /* the current one */
    uint32_t scope;     /* the innermost variable, or NOTHING */
    uint32_t body;      /* the innermost body; NOTHING at top level */
    uint32_t resolving; /* the unit that resolve_names has come to, */
    size_t resolved;    /* and how much of it is done */
    /* a macro call that waits for its expansion */
    bool waiting;
    int64_t serial; /* which one: a continuation may come back too late */
    value expander, macro_form;
    bool tail;
    string *name;
} compiler;

typedef bool (*form_fn)(sx *, const task *);

/* A special form: form is the list, arguments counted from 1. */
typedef struct special_form {
    const char *name;
    uint32_t min, max; /* number of arguments */
    const char *usage;
    form_fn compile;
} special_form;

extern const special_form forms[];
extern const size_t form_count;

/* ---- for the machine -------------------------------------------------- */

/* Makes m->compiler; false: memory is out. */
bool compiler_open(sx *);
/* Releases it; also when there is none. */
void compiler_close(sx *);
/* Drops what is being compiled. */
void compiler_reset(sx *);
/* Gives back what it keeps for the next form. */
void compiler_trim(sx *);
/* Begins with a form: false when memory is out. */
bool compiler_begin(sx *, value v);
/* Marks what is being compiled, for the collector. */
void compiler_mark(sx *);
/* A primitive without arguments that compiles the form and returns the lambda;
 * its step function expands macros by calling them. */
extern const prim compile_prim;

/* ---- tasks (compile.c) ------------------------------------------------ */

/* Tasks run in the reverse order of being pushed. */
bool push_task(sx *, task);
bool push_expr(sx *, value v, bool tail);
/* The same, not in tail position; a lambda is to have the name. */
bool push_named(sx *, value v, string *name);
/* The forms of a list from index on, as a body: the value of the last one; its
 * definitions are local unless at top level. */
bool push_body(sx *, value body, uint32_t from, bool tail);
/* The same without a scope of its own, as of begin. */
bool push_forms(sx *, value body, uint32_t from, bool tail);
/* Emits a return if tail. */
bool push_return(sx *, bool tail);
/* The macro that the head of a list means, if any. */
bool find_macro(sx *, value head, value *out);
/* Restores the scope and the body of now. */
bool push_leave(sx *);
/* Emits an instruction that changes the height of the stack by delta. */
bool push_emit(sx *, ir_op, uint32_t a, int delta);
bool syntax_failed(sx *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- units and variables (scope.c) ------------------------------------ */

/* The machine's compiler. */
compiler *compiler_of(sx *);
/* Makes room for one more item; collects if it must. False: `limit`. */
bool compiler_grow(sx *, walk_stack *);
/* The lambda that is being compiled; the pointer holds until begin_unit. */
unit *current_unit(sx *);
/* Adds an instruction to the current unit; delta: by how many words it changes
 * the height of the stack. False: `limit`. */
bool emit(sx *, ir_op, uint32_t a, uint32_t b, int delta);
/* Emits the push of a constant. */
bool emit_constant(sx *, value);
/* Emits a return if tail. */
bool emit_end(sx *, bool tail);
/* The index of a value among the unit's constants. */
bool add_constant(sx *, value, uint32_t *out);
uint32_t new_label(sx *);
/* A global's box, made on first sight, among the constants. */
bool add_global(sx *, string *name, uint32_t *out);

/* Makes a name mean a new variable of the current unit, *out, until the scope
 * is left; a local belongs to the current body. False: `limit`. */
bool declare(sx *, string *name, variable_kind, uint32_t slot, uint32_t *out);
/* A variable by its number; the pointer holds until the next declare. */
variable *variable_at(sx *, uint32_t);
/* Begins a body, for definitions to belong to; false: `limit`. */
bool begin_body(sx *);
/* A local of the current body, not of one around it. */
bool find_in_body(sx *, const string *name, uint32_t *out);
/* Emits IR_NAME or IR_SET_NAME for a name; false: `limit`. */
bool emit_name(sx *, ir_op, string *name, int delta);
/* Finds out what some more names mean, and captures variables on the way;
 * *done: there are none left. False: `limit`. */
bool resolve_names(sx *, bool *done);
/* Whether a name means a variable here, as far as is known. */
bool is_local(sx *, string *name);
/* Notes that a variable is set more than once: it must live in a box. */
void mark_assigned(sx *, variable *);

/* Begins a lambda inside the current unit; false: `limit`. */
bool begin_unit(sx *, string *name);
/* Leaves the current unit; *out is its number. */
void end_unit(sx *, uint32_t *out);
/* The form of a symbol that is not shadowed; NULL if it names none. */
const special_form *form_of(sx *, value symbol);

/* ---- code (assemble.c) ------------------------------------------------ */

/* Makes the lambda of all units; PRIM_AGAIN: there is more to do. */
prim_status assemble(sx *, value *out);

static inline value form_at(value v, uint32_t i)
{
    CHECK(is_list(v));
    return list_at(list_of(v), i);
}

static inline uint32_t form_size(value v)
{
    CHECK(is_list(v));
    return (uint32_t)list_size(list_of(v));
}

#endif
