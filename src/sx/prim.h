/* SPDX-License-Identifier: MIT */
/* How a primitive is written: a row in a table, and a function.
 *
 * A plain primitive computes at once:
 *
 *     static prim_status prim_nth(sx *m, value *args, size_t count, value *out)
 *     {
 *         span items;
 *         int64_t i;
 *         if (!arg_items(m, args, 0, &items) || !arg_integer(m, args, 1, &i))
 *             return PRIM_FAILED;
 *         bool inside = i >= 0 && (uint64_t)i < items.size;
 *         *out = inside ? items.at[i] : VALUE_NIL;
 *         return PRIM_OK;
 *     }
 *     ...
 *     {.name = "nth", .min = 2, .max = 2, .usage = "lst i",
 *      .doc = "Element i of a list; nil outside.", .run = prim_nth},
 *
 * The number of arguments was checked against the row.
 *
 * Memory: nothing collects while a primitive runs, so values in C variables
 * are safe. When something that makes values says that memory is out, return
 * PRIM_MEMORY: the machine collects and calls the primitive again with the
 * same arguments, and if memory is still out it raises `limit`. So make
 * everything first, and only then change what the program can see.
 *
 * Errors: `return fail(m, SX_TYPE, "nth: ...")`. The arg_ functions have
 * failed already when they return false.
 *
 * A primitive that calls back is a frame of the machine: its row has `step`
 * and `slots` in place of `run`. step is called first with result NULL, then
 * again with the result of each call that it asked for:
 *
 *     enum { MAP_OUT, MAP_NEXT, MAP_SLOTS };
 *     static prim_status map_step(sx *m, value *args, value *slots,
 *                                 const value *result, value *out)
 *     {
 *         span items;
 *         if (!arg_items(m, args, 1, &items))
 *             return PRIM_FAILED;
 *         if (result == NULL) {
 *             if (!list_new(m, items.size, &slots[MAP_OUT]))
 *                 return PRIM_MEMORY;
 *             slots[MAP_NEXT] = value_fixnum(0);
 *         } else if (!list_append(m, list_of(slots[MAP_OUT]), *result,
 *                                 &slots[MAP_OUT])) {
 *             return PRIM_MEMORY;
 *         }
 *         size_t i = (size_t)fixnum_of(slots[MAP_NEXT]);
 *         if (i >= items.size) {
 *             *out = slots[MAP_OUT];
 *             return PRIM_OK;
 *         }
 *         slots[MAP_NEXT] = value_fixnum((int64_t)i + 1);
 *         return frame_call1(m, args[0], items.at[i]);
 *     }
 *
 * Between two steps anything may happen: the callback may perform, raise,
 * or capture the continuation, which copies args and slots (nothing else), and
 * enter it again later. So all state is in slots, and what slots point to is
 * not changed in place: list_append, not list_push. slots are nil at first;
 * absent optional arguments of such a primitive are nil. out may be a slot or
 * any variable. The list itself may grow meanwhile; look at it anew. */
#ifndef SX_PRIM_H
#define SX_PRIM_H

#include "sx/dict.h"
#include "sx/list.h"
#include "sx/value.h"

typedef enum prim_status {
    PRIM_OK,      /* *out is the result */
    PRIM_MEMORY,  /* memory is out: collect and try this step again */
    PRIM_FAILED,  /* fail() or raise_value() was called */
    PRIM_CALL,    /* frame_call() was called: step wants its result */
    PRIM_TAIL,    /* of control.c: call what stands at args[-1] in its place */
    PRIM_SUSPEND, /* of control.c: perform */
    PRIM_AGAIN,   /* of compile.c: step wants to be run once more */
} prim_status;

typedef prim_status (*prim_fn)(sx *, value *args, size_t count, value *out);
typedef prim_status (*prim_step_fn)(sx *, value *args, value *slots,
                                    const value *result, value *out);

#define PRIM_MANY UINT32_MAX /* max of a primitive without one */

typedef struct prim {
    const char *name;
    uint32_t min, max; /* number of arguments */
    const char *usage; /* the arguments, as in "f lst" */
    const char *doc;   /* one sentence */
    prim_fn run;       /* either run ... */
    prim_step_fn step; /* ... or step and slots; max is at most 8 then */
    uint32_t slots;
} prim;

/* The rows of one prim_*.c file; prim.c lists all groups. */
typedef struct prim_group {
    const prim *rows;
    size_t count;
} prim_group;

extern const prim_group *const prim_groups[];
extern const size_t prim_group_count;

/* ---- failing ---------------------------------------------------------- */

/* Raises the dict {:error code :message text}; one line, cut at 511 bytes. */
/* The same for memory that is out, after a collection. */
prim_status fail_memory(sx *);
prim_status fail(sx *, persist_status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Raises any value. */
prim_status raise_value(sx *, value);
/* Raises `type`: "name: argument i must be <wanted>, not <what it is>". i
 * counts from 0, as in args; the message counts from 1. */
prim_status fail_argument(sx *, const value *args, size_t i,
                          const char *wanted);
/* A value for a message: its printed form, cut to a few dozen bytes. The text
 * holds until the next call but three. */
const char *brief(sx *, value);
/* A name for a message, cut to 200 bytes. The same holds for the text. */
const char *brief_name(sx *, const string *);
/* "integer", "float", "string", ... as type-of has it. Static. */
const char *type_name(value);

/* ---- arguments -------------------------------------------------------- */

/* Elements that may not be written to; see list_items. */
typedef struct span {
    const value *at;
    size_t size;
} span;

/* Each reads args[i]; false when it has failed with a `type` error. Where nil
 * counts as something, the comment says so. */
bool arg_integer(sx *, const value *args, size_t i, int64_t *out); /* nil: 0 */
/* nil counts as the integer 0; *out is an integer or a float. */
bool arg_number(sx *, const value *args, size_t i, value *out);
bool arg_float(sx *, const value *args, size_t i, double *out); /* nil: 0 */
bool arg_string(sx *, const value *args, size_t i, string **out);
bool arg_items(sx *, const value *args, size_t i, span *out); /* nil: none */
bool arg_list(sx *, const value *args, size_t i, list **out); /* not nil */
/* *out is NULL for nil: the empty dict. */
bool arg_dict(sx *, const value *args, size_t i, const dict **out);
bool arg_dict_mutable(sx *, const value *args, size_t i, dict **out);
/* The name that a string, keyword or symbol is as a dict key; PRIM_OK,
 * PRIM_FAILED or PRIM_MEMORY. */
prim_status arg_key(sx *, const value *args, size_t i, string **out);
bool arg_function(sx *, const value *args, size_t i, value *out);

/* ---- calling back, from a step function ------------------------------- */

/* Asks for a call; the step returns what these return. */
prim_status frame_call1(sx *, value f, value a);
prim_status frame_call2(sx *, value f, value a, value b);

/* ---- comparing -------------------------------------------------------- */

/* equal? as the contract has it. PRIM_OK: *out says; PRIM_FAILED: `limit`, past
 * the depth limit or cyclic; PRIM_MEMORY. */
prim_status values_equal(sx *, value, value, bool *out);
/* `=`: numbers by value, all else as equal?. */
prim_status values_same_number_or_equal(sx *, value, value, bool *out);

/* ---- text ------------------------------------------------------------- */

/* The machine's scratch text, emptied, its size bounded by what the heap has
 * left. One user at a time. Nothing to release. */
sx_out *text_scratch(sx *);
/* Appends; false: over size_max or memory is out (return PRIM_MEMORY). */
bool text_put(sx_out *, slice);
bool text_put_byte(sx_out *, char);
/* Appends the printed form, as sx_print. PRIM_FAILED: `limit` (depth, cyclic)
 * or not-storable; PRIM_MEMORY: over size_max or memory is out. */
prim_status text_put_value(sx *, sx_out *, value, unsigned flags);
/* A string of the text. PRIM_OK or PRIM_MEMORY. */
prim_status text_string(sx *, const sx_out *, value *out);
/* The shortest digits that read back as the same float, always with '.' or
 * 'e'; returns their number. */
enum { FLOAT_TEXT_MAX = 32 };
size_t float_text(double, char out[FLOAT_TEXT_MAX]);
/* Reads a number as the reader does: NUMBER_NONE if the text is no number,
 * NUMBER_OUT_OF_RANGE for an integer beyond 64 bits or a float beyond its
 * range, NUMBER_MEMORY when memory is out (return PRIM_MEMORY). */
typedef enum number_kind {
    NUMBER_NONE,
    NUMBER_INTEGER,
    NUMBER_FLOAT,
    NUMBER_OUT_OF_RANGE,
    NUMBER_MEMORY
} number_kind;
number_kind number_parse(slice text, int64_t *integer, double *real);
/* Reads one value, for sx-parse: PRIM_FAILED is a raised `syntax` or `limit`.
 */
prim_status text_read(sx *, slice, value *out);

/* ---- the machine's options -------------------------------------------- */

/* Hands text to the host's write function, for print. */
void machine_write(sx *, slice);
/* Levels of nested data that a walk may go down. */
size_t machine_depth_max(const sx *);
/* C memory for the explicit stack of a walk, charged to the heap: grows an
 * array of items so that one more fits; false: memory is out. Release with
 * walk_release. A zeroed walk_stack is empty. */
typedef struct walk_stack {
    void *items;
    size_t count, capacity, item_size;
} walk_stack;
bool walk_grow(sx *, walk_stack *);
void walk_release(sx *, walk_stack *);

#endif
