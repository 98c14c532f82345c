/* SPDX-License-Identifier: MIT */
/* Order, equality and predicates. */
#include "sx/prim_compare.h"

#include "sx/machine.h"
#include "sx/prim_groups.h"
#include "sx/prim_number.h"

/* ---- order ------------------------------------------------------------ */

/* Compares args i and i + 1: two strings by bytes, else numbers. */
static bool order_at(sx *m, const value *args, size_t i, int *order)
{
    value a, b;
    if (is_string(args[i]) && is_string(args[i + 1])) {
        int o = slice_compare(string_slice(string_of(args[i])),
                              string_slice(string_of(args[i + 1])));
        *order = o < 0 ? -1 : o > 0;
        return true;
    }
    if (!arg_number(m, args, i, &a) || !arg_number(m, args, i + 1, &b))
        return false;
    *order = number_order(a, b);
    return true;
}

/* Whether every neighbouring pair has the order `wanted`, or `also`. */
static prim_status all_ordered(sx *m, const value *args, size_t count,
                               int wanted, int also, value *out)
{
    value ignored;
    bool all = true;
    int order;
    if (count == 1 && !is_string(args[0]) && !arg_number(m, args, 0, &ignored))
        return PRIM_FAILED;
    for (size_t i = 0; i + 1 < count; i++) {
        if (!order_at(m, args, i, &order))
            return PRIM_FAILED;
        all = all && (order == wanted || order == also);
    }
    *out = value_boolean(all);
    return PRIM_OK;
}

/* The same, at once for two fixnums. */
static inline prim_status ordered(sx *m, const value *args, size_t count,
                                  int wanted, int also, value *out)
{
    if (UNLIKELY(count != 2 || !both_fixnum(args[0], args[1])))
        return all_ordered(m, args, count, wanted, also, out);
    int64_t a = fixnum_of(args[0]), b = fixnum_of(args[1]);
    int order = a < b ? -1 : a > b;
    *out = value_boolean(order == wanted || order == also);
    return PRIM_OK;
}

prim_status prim_less(sx *m, value *args, size_t count, value *out)
{
    return ordered(m, args, count, -1, -1, out);
}

static prim_status prim_greater(sx *m, value *args, size_t count, value *out)
{
    return ordered(m, args, count, 1, 1, out);
}

static prim_status prim_at_most(sx *m, value *args, size_t count, value *out)
{
    return ordered(m, args, count, -1, 0, out);
}

static prim_status prim_at_least(sx *m, value *args, size_t count, value *out)
{
    return ordered(m, args, count, 1, 0, out);
}

prim_fn compare_plain_order(value f)
{
    if (!is_kind(f, KIND_PRIMITIVE))
        return NULL;
    prim_fn fn = ((const primitive *)object_of(f))->row->run;
    bool plain = fn == prim_less || fn == prim_greater || fn == prim_at_most ||
                 fn == prim_at_least;
    return plain ? fn : NULL;
}

/* ---- equality --------------------------------------------------------- */

static prim_status prim_same(sx *m, value *args, size_t count, value *out)
{
    bool same = true;
    if (LIKELY(count == 2 && both_fixnum(args[0], args[1]))) {
        *out = value_boolean(value_same(args[0], args[1]));
        return PRIM_OK;
    }
    for (size_t i = 0; same && i + 1 < count; i++) {
        prim_status status =
            values_same_number_or_equal(m, args[i], args[i + 1], &same);
        if (status != PRIM_OK)
            return status;
    }
    *out = value_boolean(same);
    return PRIM_OK;
}

static prim_status prim_differ(sx *m, value *args, size_t count, value *out)
{
    prim_status status = prim_same(m, args, count, out);
    if (status == PRIM_OK)
        *out = value_boolean(!is_true(*out));
    return status;
}

static prim_status prim_equal(sx *m, value *args, size_t count, value *out)
{
    bool equal;
    CHECK(count == 2);
    prim_status status = values_equal(m, args[0], args[1], &equal);
    if (status == PRIM_OK)
        *out = value_boolean(equal);
    return status;
}

/* Atoms by value, since equal ones cannot be told apart; all else by identity.
 */
static prim_status prim_identical(sx *m, value *args, size_t count, value *out)
{
    value a = args[0];
    if (is_number(a) || is_string(a))
        return prim_equal(m, args, count, out);
    *out = value_boolean(value_same(a, args[1]));
    return PRIM_OK;
}

static prim_status prim_not(sx *m, value *args, size_t count, value *out)
{
    (void)m;
    CHECK(count == 1);
    *out = value_boolean(!is_true(args[0]));
    return PRIM_OK;
}

/* ---- predicates ------------------------------------------------------- */

static bool is_boolean(value v)
{
    return value_same(v, VALUE_TRUE) || value_same(v, VALUE_FALSE);
}

#define PREDICATE(name, test)                                                  \
    static prim_status name(sx *m, value *args, size_t count, value *out)      \
    {                                                                          \
        (void)m;                                                               \
        CHECK(count == 1);                                                     \
        *out = value_boolean(test(args[0]));                                   \
        return PRIM_OK;                                                        \
    }

PREDICATE(prim_is_nil, is_nil)
PREDICATE(prim_is_boolean, is_boolean)
PREDICATE(prim_is_number, is_number)
PREDICATE(prim_is_integer, is_integer)
PREDICATE(prim_is_float, is_float)
PREDICATE(prim_is_string, is_string)
PREDICATE(prim_is_symbol, is_symbol)
PREDICATE(prim_is_keyword, is_keyword)
PREDICATE(prim_is_list, is_list)
PREDICATE(prim_is_dict, is_dict)
PREDICATE(prim_is_function, is_function)

static prim_status prim_is_empty(sx *m, value *args, size_t count, value *out)
{
    value v = args[0];
    CHECK(count == 1);
    if (is_nil(v))
        *out = VALUE_TRUE;
    else if (is_list(v))
        *out = value_boolean(list_size(list_of(v)) == 0);
    else if (is_dict(v))
        *out = value_boolean(dict_size(dict_of(v)) == 0);
    else if (is_string(v))
        *out = value_boolean(string_of(v)->size == 0);
    else
        return fail_argument(m, args, 0, "a list, dict or string");
    return PRIM_OK;
}

static prim_status prim_is_odd(sx *m, value *args, size_t count, value *out)
{
    int64_t n;
    CHECK(count == 1);
    if (!arg_integer(m, args, 0, &n))
        return PRIM_FAILED;
    *out = value_boolean((n & 1) != 0);
    return PRIM_OK;
}

static prim_status prim_is_even(sx *m, value *args, size_t count, value *out)
{
    prim_status status = prim_is_odd(m, args, count, out);
    if (status == PRIM_OK)
        *out = value_boolean(!is_true(*out));
    return status;
}

static prim_status prim_is_zero(sx *m, value *args, size_t count, value *out)
{
    value n;
    CHECK(count == 1);
    if (!arg_number(m, args, 0, &n))
        return PRIM_FAILED;
    *out = value_boolean(is_float(n) ? float_of(n) == 0 : integer_of(n) == 0);
    return PRIM_OK;
}

static prim_status prim_type_of(sx *m, value *args, size_t count, value *out)
{
    CHECK(count == 1);
    string *name = intern(m, slice_str(type_name(args[0])));
    if (name == NULL)
        return PRIM_MEMORY;
    *out = value_object(name);
    return PRIM_OK;
}

static const prim rows[] = {
    {"=", 1, PRIM_MANY, "x...",
     "Whether all are equal, numbers by value, all else as equal?.",
     .run = prim_same},
    {"!=", 2, 2, "a b", "Not =.", .run = prim_differ},
    {"<", 1, PRIM_MANY, "x...",
     "Whether each number (or string, by bytes) is less than the next.",
     .run = prim_less},
    {">", 1, PRIM_MANY, "x...", "Whether each is greater than the next.",
     .run = prim_greater},
    {"<=", 1, PRIM_MANY, "x...", "Whether each is at most the next.",
     .run = prim_at_most},
    {">=", 1, PRIM_MANY, "x...", "Whether each is at least the next.",
     .run = prim_at_least},
    {"not", 1, 1, "x", "True for nil and false.", .run = prim_not},
    {"eq?", 2, 2, "a b", "The same atom, or the very same list or dict.",
     .run = prim_identical},
    {"eqv?", 2, 2, "a b", "As eq?.", .run = prim_identical},
    {"equal?", 2, 2, "a b",
     "Deep equality; 1 and 1.0 differ, the order of keys does not count.",
     .run = prim_equal},
    {"nil?", 1, 1, "x", "Whether x is nil.", .run = prim_is_nil},
    {"boolean?", 1, 1, "x", "Whether x is true or false.",
     .run = prim_is_boolean},
    {"number?", 1, 1, "x", "Whether x is an integer or a float.",
     .run = prim_is_number},
    {"integer?", 1, 1, "x", "Whether x is an integer.", .run = prim_is_integer},
    {"float?", 1, 1, "x", "Whether x is a float.", .run = prim_is_float},
    {"string?", 1, 1, "x", "Whether x is a string.", .run = prim_is_string},
    {"symbol?", 1, 1, "x", "Whether x is a symbol.", .run = prim_is_symbol},
    {"keyword?", 1, 1, "x", "Whether x is a keyword.", .run = prim_is_keyword},
    {"list?", 1, 1, "x", "Whether x is a list.", .run = prim_is_list},
    {"dict?", 1, 1, "x", "Whether x is a dict.", .run = prim_is_dict},
    {"fn?", 1, 1, "x", "Whether x can be called.", .run = prim_is_function},
    {"empty?", 1, 1, "x", "Whether a list, dict or string has nothing in it.",
     .run = prim_is_empty},
    {"odd?", 1, 1, "n", "Whether an integer is odd.", .run = prim_is_odd},
    {"even?", 1, 1, "n", "Whether an integer is even.", .run = prim_is_even},
    {"zero?", 1, 1, "n", "Whether a number is zero.", .run = prim_is_zero},
    {"type-of", 1, 1, "x", "The name of x's type.", .run = prim_type_of},
};

const prim_group compare_group = {rows, sizeof rows / sizeof rows[0]};
