/* SPDX-License-Identifier: MIT */
/* The SX language for C programs: a reader, a CEK machine whose `perform`
 * suspends, and a printer.
 *
 * The way through: sx_open, then for each text sx_load (it is read and run form
 * by form), sx_run until it is done; when it says SX_SUSPENDED, look at
 * sx_request, answer with sx_resume or sx_raise, and sx_run again.
 *
 * Values: an sx_value is one word. It is valid until the machine collects,
 * which happens only inside sx_run, sx_load and sx_collect; making values never
 * collects. To keep one longer, make it a global (sx_define).
 *
 * Limits: memory of the heap is counted before it is taken. A function that
 * makes a value returns false when the limit is reached: sx_collect with the
 * values still needed, try once more, and then raise PERSIST_LIMIT. The end of
 * the heap is kept back, so that a program can still be loaded that drops what
 * has filled it: sx_define, sx_list_push and sx_dict_set say no before that.
 *
 * Mistakes of the caller: a machine that is NULL, a function that is called in
 * another state than stands beside it, a value of another type, an index that
 * is out of range. The panic function is told which, and the process ends.
 *
 * Threads: a machine is used from one thread at a time; machines share
 * nothing. */
#ifndef SX_H
#define SX_H

#include <stdbool.h>

#include "persist_base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sx sx;

typedef struct sx_value {
    uintptr_t word;
} sx_value;

/* ---- statuses --------------------------------------------------------- */

/* What can go wrong in a program: further statuses, as PERSIST_STATUS_LIST has
 * those of the store. */
#define SX_STATUS_LIST(X)                                                      \
    X(ERROR, 100, "error", "raised by the program")                            \
    X(SYNTAX, 101, "syntax", "the text is not a well-formed expression")       \
    X(UNBOUND, 102, "unbound", "the name has no value")                        \
    X(NOT_CALLABLE, 103, "not-callable", "the value is not a function")        \
    X(ARITY, 104, "arity", "wrong number of arguments")                        \
    X(TYPE, 105, "type", "an argument has the wrong type")                     \
    X(OVERFLOW, 106, "overflow", "the integer does not fit in 64 bits")        \
    X(DIVIDE, 107, "divide", "division by zero")                               \
    X(ASSERT, 108, "assert", "an assertion of the program failed")

enum {
#define SX_STATUS_ENUM(name, number, code, hint) SX_##name = (number),
    SX_STATUS_LIST(SX_STATUS_ENUM)
#undef SX_STATUS_ENUM
};

/* ---- the machine ------------------------------------------------------ */

/* Receives text that the program prints (print, println). */
typedef void (*sx_write_fn)(void *context, persist_slice text);

#define SX_OPTIONS .size = sizeof(sx_options)

/* Begins with its size, like the structs of persist.h that may grow. */
typedef struct sx_options {
    size_t size;       /* SX_OPTIONS */
    size_t heap_max;   /* bytes; 0: the default, 1 GiB */
    size_t depth_max;  /* frames, or levels of nested data; 0: 1,000,000 */
    sx_write_fn write; /* NULL: printed text is dropped */
    void *write_context;
    uint64_t hash_seed; /* any random bits: then nobody can choose keys of dicts
                           that take long to find. No result depends on it */
} sx_options;

/* Makes a machine with all primitives, which sx_close releases. NULL options:
 * the defaults. Errors: PERSIST_LIMIT, and PERSIST_BAD_REQUEST for a size of
 * the options that cannot be, and for a NULL out. */
persist_status sx_open(const sx_options *options, sx **out,
                       persist_error *error);

/* Releases a machine and every value of it. NULL is fine. */
void sx_close(sx *);

/* The same as persist_on_panic, for this library. */
void sx_on_panic(persist_panic_fn, void *context);

typedef enum sx_state {
    SX_IDLE,      /* no program is loaded */
    SX_READY,     /* sx_run has something to do */
    SX_SUSPENDED, /* a perform waits for sx_resume or sx_raise */
    SX_DONE,      /* ended: sx_result has the value of the last form */
    SX_FAILED,    /* ended by an error: sx_failure has it */
} sx_state;

/* Loads a text to be read and run form by form, each compiled just before it
 * runs. The text is copied. What was loaded or suspended before is dropped;
 * globals stay. Returns SX_READY, or SX_FAILED when memory is out. */
sx_state sx_load(sx *, persist_slice text);

/* The line, from 1, at which the form begins that was read last. */
size_t sx_line(const sx *);

/* Runs until done, failed, suspended, or steps machine steps are over
 * (SX_READY); 0: no such bound. */
sx_state sx_run(sx *, uint64_t steps);

/* Tells where the machine is. Never fails. */
sx_state sx_get_state(const sx *);

/* SX_SUSPENDED: the value that perform was given. */
sx_value sx_request(const sx *);
/* SX_DONE: the value of the last form, nil for an empty text. */
sx_value sx_result(const sx *);
/* SX_FAILED: the value that nobody guarded against. */
sx_value sx_failure(const sx *);

/* SX_SUSPENDED: answers the perform, which returns the value, or raises it. */
void sx_resume(sx *, sx_value answer);
void sx_raise(sx *, sx_value error);
/* Raises the error of a status of persist_base.h (another one is raised as
 * PERSIST_LIMIT), with its hint as message: for when there is no memory for
 * more, since this needs none. */
void sx_raise_status(sx *, persist_status);

/* Drops what is loaded or suspended; globals stay. */
void sx_reset(sx *);

/* Collects now; the given values, globals and the loaded program survive. */
void sx_collect(sx *, const sx_value *keep, size_t count);

/* Bytes of the heap in use, and its limit. */
size_t sx_heap_used(const sx *);
size_t sx_heap_max(const sx *);

/* Gives a global a value; false when the limit is reached. */
bool sx_define(sx *, persist_slice name, sx_value value);
/* Finds a global; false if it is unbound. out may be NULL. */
bool sx_lookup(sx *, persist_slice name, sx_value *out);

/* ---- looking at values ------------------------------------------------ */

typedef enum sx_type {
    SX_NIL,
    SX_BOOLEAN,
    SX_INTEGER,
    SX_FLOAT,
    SX_STRING,
    SX_SYMBOL,
    SX_KEYWORD,
    SX_LIST,
    SX_DICT,
    SX_FUNCTION, /* lambda, primitive, continuation, macro */
} sx_type;

/* Tells the type of any value. Never fails. */
sx_type sx_type_of(sx_value);
bool sx_is_true(sx_value); /* all but nil and false */

/* Each needs a value of the type. */
int64_t sx_integer(sx_value);
double sx_float(sx_value);
/* Bytes of a string, or the name of a symbol or keyword; they live as long as
 * the value. */
persist_slice sx_bytes(sx_value);
size_t sx_list_size(sx_value);
sx_value sx_list_at(sx_value list, size_t index);
size_t sx_dict_size(sx_value);
/* Entry in insertion order; the key's bytes live as long as the dict. Of what
 * is found in a dict, key, value and out may be NULL. */
void sx_dict_at(sx_value dict, size_t index, persist_slice *key,
                sx_value *value);
bool sx_dict_find(sx *, sx_value dict, persist_slice key, sx_value *out);

/* Deep equality as the primitive equal? has it; false past the depth limit. */
bool sx_equal(sx *, sx_value, sx_value);

/* ---- making values ---------------------------------------------------- */

/* Each gives the value, or sets *out to it and returns true; false when the
 * limit is reached. Bytes are copied. */
sx_value sx_nil(void);
sx_value sx_boolean(bool);
bool sx_make_integer(sx *, int64_t, sx_value *out);
bool sx_make_float(sx *, double, sx_value *out);
bool sx_make_string(sx *, persist_slice, sx_value *out);
bool sx_make_symbol(sx *, persist_slice, sx_value *out);
bool sx_make_keyword(sx *, persist_slice, sx_value *out);
/* An empty list with room for capacity elements. */
bool sx_make_list(sx *, size_t capacity, sx_value *out);
bool sx_list_push(sx *, sx_value list, sx_value element);
bool sx_make_dict(sx *, sx_value *out);
/* Sets a key, at the end if it is new. False too for an error of
 * sx_raise_status, which is the machine's. */
bool sx_dict_set(sx *, sx_value dict, persist_slice key, sx_value value);
/* The dict {:error code :message text} that guard binds for errors of the
 * host; add more keys with sx_dict_set. */
bool sx_make_error(sx *, persist_status, persist_slice message, sx_value *out);

/* ---- text ------------------------------------------------------------- */

/* Reads one value from text; white space and comments may stand around it.
 * PERSIST_NONE if nothing else is there; SX_SYNTAX, with line and column
 * in the message, if the text is no or more than one value; PERSIST_LIMIT;
 * PERSIST_BAD_REQUEST for a NULL out.
 * Nothing is evaluated. */
persist_status sx_read(sx *, persist_slice text, sx_value *out,
                       persist_error *error);

enum {
    SX_PRINT_STORABLE = 1, /* refuse what does not read back (functions, NaN,
                              infinities): PERSIST_NOT_STORABLE */
    SX_PRINT_SORTED = 2,   /* dict keys in byte order */
};

/* A growing text that the caller owns; reuse it to save allocations. Zeroed
 * it is empty. Release with sx_out_release. */
typedef struct sx_out {
    char *data;
    size_t size, capacity; /* bytes */
    size_t size_max;       /* 0: no limit; beyond it PERSIST_TOO_LARGE */
} sx_out;
/* NULL is fine. */
void sx_out_release(sx_out *);

/* Appends the printed form of a value. Errors: PERSIST_NOT_STORABLE (see
 * flags), PERSIST_TOO_LARGE, PERSIST_LIMIT (nested too deep, cyclic data
 * included), PERSIST_BAD_REQUEST (a NULL out); the text is then as it was. */
persist_status sx_print(sx *, sx_value, unsigned flags, sx_out *out,
                        persist_error *error);

/* Appends the text that people see of a raised value: "code: message" for the
 * dict of an error, the printed form for all else; after 64 KiB it is cut and
 * ends with "...". Errors: as sx_print. */
persist_status sx_print_failure(sx *, sx_value, sx_out *out,
                                persist_error *error);

#ifdef __cplusplus
}
#endif

#endif
