/* SPDX-License-Identifier: MIT */
/* One op: its row in the table, the call, and what the handlers share.
 *
 * A handler makes every SX value of its answer before it changes the store:
 * when the heap limit is reached it returns PERSIST_LIMIT, dispatch collects
 * and calls it once more. */
#ifndef HOST_OPS_H
#define HOST_OPS_H

#include "base/buf.h"
#include "host/host.h"

typedef struct op_call op_call;
typedef persist_status (*op_fn)(op_call *);

/* What an op wants as an argument; dispatch checks it before the handler. */
typedef enum arg_kind {
    ARG_END,
    ARG_STREAM,         /* string of at most PERSIST_NAME_SIZE_MAX bytes */
    ARG_KEY,            /* the same */
    ARG_PREFIX,         /* the same */
    ARG_KEY_OR_NIL,     /* the same, or nil */
    ARG_BYTES,          /* string */
    ARG_BYTES_OR_NIL,   /* string or nil */
    ARG_INTEGER,        /* integer */
    ARG_INTEGER_OR_NIL, /* integer or nil */
    ARG_DICT,           /* dict */
    ARG_LIST,           /* list */
    ARG_VALUE,          /* anything */
    ARG_KIND_COUNT
} arg_kind;

enum { OP_ARGS_MAX = 3 };

typedef struct op_row {
    slice name; /* NUL-terminated, too */
    op_fn run;
    arg_kind args[OP_ARGS_MAX + 1]; /* ARG_END behind the last */
} op_row;

struct op_call {
    host *host;
    sx *machine;
    persist_store *store;
    const op_row *row; /* NULL: nobody's op */
    slice op;          /* its name, empty when there is none */
    sx_value args[OP_ARGS_MAX];
    size_t given;        /* arguments checked and filled in so far */
    sx_value answer;     /* set by the handler on PERSIST_OK */
    persist_error error; /* set by whoever returns an error */
};

/* Finds the row of an op; NULL if nobody owns it. */
const op_row *op_find(slice name);

/* Answers a request value by its row: resumes the machine or raises, or leaves
 * it suspended for an op that waits. */
void host_dispatch(host *, const op_row *, sx_value args);

/* Raises {:error :message :op ...} into the suspended machine. */
void call_raise(op_call *);

/* Opens the store if no op did so before. */
persist_status host_store(host *, persist_store **, persist_error *);

/* Closes a store that is shut, and opens it again. */
persist_status host_open_anew(host *, persist_store **, persist_error *);

/* The handlers, one a row of ops.def. */
#define OP(name, run, ...) persist_status run(op_call *);
#include "host/ops.def"
#undef OP

/* ---- what handlers share (op_value.c) --------------------------------- */

/* The bytes of a string argument; they live as long as the request. */
slice call_bytes(const op_call *, size_t index);

/* Appends the stored form of a value to text. Errors: not-storable, too-large,
 * limit. */
persist_status call_print(op_call *, sx_value, sx_out *text);

/* Puts what it was about before the message of the call's error; returns its
 * status. */
persist_status call_prefix(op_call *, const char *what);

/* Reads a stored text back: of an event, or with the number 0 the value of a
 * key. What a C program has stored may be no SX text: PERSIST_NOT_STORABLE,
 * naming it. */
persist_status call_parse(op_call *, slice text, slice name, uint64_t seq,
                          sx_value *out);

/* Set a key of a dict that is being made; PERSIST_LIMIT when memory is out. */
persist_status call_set(op_call *, sx_value dict, const char *key, sx_value);
persist_status call_set_integer(op_call *, sx_value dict, const char *key,
                                uint64_t);

/* The error of a heap that is full. */
persist_status call_no_memory(op_call *);

/* The text buffer of the host, emptied: one for each call, reused. */
sx_out *call_text(op_call *);

/* PERSIST_BAD_REQUEST: an argument is below 0. */
persist_status call_refuse_negative(op_call *, const char *what);

/* A limit argument: nil is no limit; *backward for a negative one. */
uint64_t limit_of(sx_value, bool *backward);

/* The tags of an event, with its type, for the edit that appends it; the items
 * of a query. They live until the next op. Errors: bad-request, not-storable,
 * limit, without what they are about in front. (tags.c) */
persist_status call_tags(op_call *, sx_value event, persist_edit *);
persist_status call_query(op_call *, sx_value query,
                          const persist_query_item **, size_t *count);

/* Answers with the names that a cursor yields, or with (name value) pairs, and
 * closes it. */
persist_status call_collect_keys(op_call *, persist_cursor *, bool values);

/* Compares stored texts as values, for expectations; persist_equal_fn. */
bool host_equal_texts(void *host, slice stored, slice expected);

/* True once since the last call if host_equal_texts ran out of memory. */
bool host_equal_failed(host *);

#endif
