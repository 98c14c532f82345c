/* SPDX-License-Identifier: MIT */
/* How a value is represented: one word, with a tag in the low bits.
 *
 *     xxx1  fixnum, 63 bits (wider integers are boxed)
 *     x000  a heap object, a pointer to its head
 *     x010  symbol, a pointer to an interned string
 *     x100  keyword, a pointer to an interned string
 *     x110  an immediate: nil, false, true, unbound
 *
 * A name (of a symbol, a keyword, a dict key) is a string that is interned:
 * two names are equal when their pointers are. So the name of a keyword is a
 * string value at no cost. Every object begins with a head and then has its
 * value words in one run (heap.c scans them without knowing more). */
#ifndef SX_VALUE_H
#define SX_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"
#include "sx.h"

typedef sx_value value;

enum kind {
    KIND_STRING = 1,
    KIND_FLOAT,
    KIND_INTEGER, /* one that is no fixnum */
    KIND_BYTES,   /* raw words: the index of a dict */
    KIND_VEC,     /* the elements behind lists */
    KIND_LIST,
    KIND_TABLE, /* the entries of a dict */
    KIND_DICT,
    KIND_BOX, /* a variable: global cells, and locals that are assigned */
    KIND_CODE,
    KIND_LAMBDA,
    KIND_MACRO,
    KIND_PRIMITIVE,
    KIND_CONTINUATION,
};

typedef struct object {
    uint8_t kind;
    uint8_t flags;
    uint16_t at;  /* while it is being marked; see collect.c */
    uint32_t aux; /* meaning depends on the kind */
} object;

enum {
    FLAG_LARGE = 1,
    /* of strings: is a name; what chars.h found out about its bytes */
    FLAG_INTERNED = 2,
    FLAG_CHECKED = 4,
    FLAG_AS_KEYWORD = 8,
    FLAG_AS_SYMBOL = 16,
    FLAG_VARIABLE = 32, /* the form being compiled binds it somewhere, */
    FLAG_HERE = 64,     /* among the parameters or in the body at work */
    /* of dicts: is the machine's own, and is lent to programs as it is */
    FLAG_LENT = 2,
    /* of all: was there when some evaluation began; see reserve.h */
    FLAG_OLD = 128,
};

/* Bytes, immutable. head.aux: its hash, 0 when not yet computed. */
typedef struct string {
    object head;
    size_t size;
    char bytes[]; /* size bytes, then a NUL for C functions */
} string;

typedef struct boxed_float {
    object head;
    double number;
} boxed_float;

typedef struct boxed_integer {
    object head;
    int64_t number;
} boxed_integer;

/* The store behind lists. head.aux: capacity. Elements lo to hi-1 are in use
 * by some list and are never overwritten; a list that ends at hi may grow in
 * place, and one that begins at lo may grow to the left. */
typedef struct vec {
    object head;
    uint32_t lo, hi;
    value items[];
} vec;

/* A window on a vec. head.aux: its length. */
typedef struct list {
    object head;
    vec *vec; /* NULL only while the list is empty */
    uint32_t start;
} list;

typedef struct entry {
    string *key; /* a name */
    value value;
} entry;

/* head.aux: capacity in entries. */
typedef struct table {
    object head;
    uint64_t used; /* entries filled, as the dict's size */
    entry entries[];
} table;

/* head.aux: number of entries. Entries are in insertion order. */
typedef struct dict {
    object head;
    table *table;        /* NULL only while the dict is empty */
    struct index *index; /* NULL while the dict is small */
} dict;

typedef struct box {
    object head;
    value value; /* VALUE_UNBOUND before it is defined */
    string *name;
} box;

typedef struct lambda {
    object head; /* aux: number of captured values */
    struct code *code;
    value captured[];
} lambda;

typedef struct macro {
    object head;
    lambda *expander;
} macro;

typedef struct primitive {
    object head;
    string *name;
    const struct prim *row; /* prim.h */
} primitive;

/* ---- tags ------------------------------------------------------------- */

enum { TAG_OBJECT = 0, TAG_SYMBOL = 2, TAG_KEYWORD = 4, TAG_IMMEDIATE = 6 };

#define VALUE_NIL ((value){0x06})
#define VALUE_FALSE ((value){0x0e})
#define VALUE_TRUE ((value){0x16})
#define VALUE_UNBOUND ((value){0x1e}) /* never seen by a program */

#define FIXNUM_MAX (INT64_MAX >> 1)
#define FIXNUM_MIN (INT64_MIN >> 1)

static inline bool value_same(value a, value b)
{
    return a.word == b.word;
}

static inline bool is_nil(value v)
{
    return v.word == VALUE_NIL.word;
}

static inline bool is_true(value v)
{
    return v.word != VALUE_NIL.word && v.word != VALUE_FALSE.word;
}

static inline value value_boolean(bool b)
{
    return b ? VALUE_TRUE : VALUE_FALSE;
}

static inline bool is_fixnum(value v)
{
    return (v.word & 1) != 0;
}

static inline bool both_fixnum(value a, value b)
{
    return (a.word & b.word & 1) != 0;
}

static inline int64_t fixnum_of(value v)
{
    return (int64_t)v.word >> 1;
}

/* n must be within FIXNUM_MIN and FIXNUM_MAX; sizes and indexes always are. */
static inline value value_fixnum(int64_t n)
{
    return (value){(uintptr_t)n << 1 | 1};
}

static inline bool is_object(value v)
{
    return (v.word & 7) == TAG_OBJECT;
}

static inline object *object_of(value v)
{
    return (object *)v.word;
}

static inline value value_object(const void *o)
{
    return (value){(uintptr_t)o};
}

static inline bool is_kind(value v, enum kind kind)
{
    return is_object(v) && object_of(v)->kind == kind;
}

static inline bool is_symbol(value v)
{
    return (v.word & 7) == TAG_SYMBOL;
}

static inline bool is_keyword(value v)
{
    return (v.word & 7) == TAG_KEYWORD;
}

/* The name of a symbol or keyword. */
static inline string *name_of(value v)
{
    return (string *)(v.word & ~(uintptr_t)7);
}

static inline value value_symbol(string *name)
{
    return (value){(uintptr_t)name | TAG_SYMBOL};
}

static inline value value_keyword(string *name)
{
    return (value){(uintptr_t)name | TAG_KEYWORD};
}

static inline bool is_string(value v)
{
    return is_kind(v, KIND_STRING);
}

static inline string *string_of(value v)
{
    return (string *)object_of(v);
}

static inline slice string_slice(const string *s)
{
    return slice_of(s->bytes, s->size);
}

static inline bool is_list(value v)
{
    return is_kind(v, KIND_LIST);
}

static inline list *list_of(value v)
{
    return (list *)object_of(v);
}

static inline bool is_dict(value v)
{
    return is_kind(v, KIND_DICT);
}

static inline dict *dict_of(value v)
{
    return (dict *)object_of(v);
}

static inline bool is_float(value v)
{
    return is_kind(v, KIND_FLOAT);
}

static inline double float_of(value v)
{
    return ((const boxed_float *)object_of(v))->number;
}

static inline bool is_integer(value v)
{
    return is_fixnum(v) || is_kind(v, KIND_INTEGER);
}

static inline int64_t integer_of(value v)
{
    return is_fixnum(v) ? fixnum_of(v)
                        : ((const boxed_integer *)object_of(v))->number;
}

static inline bool is_number(value v)
{
    return is_integer(v) || is_float(v);
}

/* Lambda, primitive or continuation: what a call accepts. */
static inline bool is_function(value v)
{
    return is_object(v) && (object_of(v)->kind == KIND_LAMBDA ||
                            object_of(v)->kind == KIND_PRIMITIVE ||
                            object_of(v)->kind == KIND_CONTINUATION);
}

#endif
