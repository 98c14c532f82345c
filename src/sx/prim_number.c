/* SPDX-License-Identifier: MIT */
/* Arithmetic. Integers stay integers; what does not fit is an error.
 *
 * Where the result of an operation on integers is not an integer (/, sqrt,
 * pow with a negative exponent) it is a float. Floats follow IEEE 754, so that
 * infinities may arise; but division by zero, and what has no real result, are
 * errors. */
#include "sx/prim_number.h"

#include <math.h>

#include "sx/machine.h"
#include "sx/prim_groups.h"

/* A number outside the heap: real says which of the two holds it. */
typedef struct number {
    bool real;
    int64_t integer;
    double decimal;
} number;

static const double two_to_63 = 9223372036854775808.0;

static number number_integer(int64_t n)
{
    return (number){.integer = n};
}

static number number_real(double d)
{
    return (number){.real = true, .decimal = d};
}

static double as_double(number n)
{
    return n.real ? n.decimal : (double)n.integer;
}

static bool arg_num(sx *m, const value *args, size_t i, number *out)
{
    value v;
    if (!arg_number(m, args, i, &v))
        return false;
    *out =
        is_float(v) ? number_real(float_of(v)) : number_integer(integer_of(v));
    return true;
}

static prim_status give(sx *m, number n, value *out)
{
    bool made = n.real ? make_float(m, n.decimal, out)
                       : make_integer(m, n.integer, out);
    return made ? PRIM_OK : PRIM_MEMORY;
}

static prim_status fail_overflow(sx *m)
{
    return fail(m, SX_OVERFLOW, "%s: the result does not fit in 64 bits",
                m->prim->name);
}

static prim_status fail_divide(sx *m)
{
    return fail(m, SX_DIVIDE, "%s: division by zero", m->prim->name);
}

static prim_status fail_real(sx *m)
{
    return fail(m, SX_TYPE, "%s: the result is not a real number",
                m->prim->name);
}

/* ---- comparing -------------------------------------------------------- */

static int order_mixed(int64_t i, double d)
{
    if (isnan(d))
        return NUMBER_UNORDERED;
    if (d >= two_to_63)
        return -1;
    if (d < -two_to_63)
        return 1;
    int64_t whole = (int64_t)d;
    if (i != whole)
        return i < whole ? -1 : 1;
    double part = d - (double)whole;
    return part > 0 ? -1 : part < 0;
}

int number_order(value a, value b)
{
    CHECK(is_number(a) && is_number(b));
    if (is_integer(a) && is_integer(b)) {
        int64_t x = integer_of(a), y = integer_of(b);
        return x < y ? -1 : x > y;
    }
    if (is_integer(a))
        return order_mixed(integer_of(a), float_of(b));
    if (is_integer(b)) {
        int order = order_mixed(integer_of(b), float_of(a));
        return order == NUMBER_UNORDERED ? order : -order;
    }
    double x = float_of(a), y = float_of(b);
    if (isnan(x) || isnan(y))
        return NUMBER_UNORDERED;
    return x < y ? -1 : x > y;
}

/* ---- + - * / ---------------------------------------------------------- */

/* One operation; PRIM_OK or PRIM_FAILED. */
typedef prim_status (*operation)(sx *, number, number, number *);

static prim_status add(sx *m, number a, number b, number *out)
{
    *out = number_real(as_double(a) + as_double(b));
    if (a.real || b.real)
        return PRIM_OK;
    out->real = false;
    return __builtin_add_overflow(a.integer, b.integer, &out->integer)
               ? fail_overflow(m)
               : PRIM_OK;
}

static prim_status subtract(sx *m, number a, number b, number *out)
{
    *out = number_real(as_double(a) - as_double(b));
    if (a.real || b.real)
        return PRIM_OK;
    out->real = false;
    return __builtin_sub_overflow(a.integer, b.integer, &out->integer)
               ? fail_overflow(m)
               : PRIM_OK;
}

static prim_status multiply(sx *m, number a, number b, number *out)
{
    *out = number_real(as_double(a) * as_double(b));
    if (a.real || b.real)
        return PRIM_OK;
    out->real = false;
    return __builtin_mul_overflow(a.integer, b.integer, &out->integer)
               ? fail_overflow(m)
               : PRIM_OK;
}

static prim_status divide(sx *m, number a, number b, number *out)
{
    if (as_double(b) == 0)
        return fail_divide(m);
    if (!a.real && !b.real) {
        if (a.integer == INT64_MIN && b.integer == -1)
            return fail_overflow(m);
        if (a.integer % b.integer == 0) {
            *out = number_integer(a.integer / b.integer);
            return PRIM_OK;
        }
    }
    *out = number_real(as_double(a) / as_double(b));
    return PRIM_OK;
}

/* Applies an operation from the left to the right, beginning with start if it
 * is not NULL, else with the first argument: 0 + -0.0 would be 0.0. */
static prim_status fold(sx *m, operation op, const value *args, size_t count,
                        const number *start, value *out)
{
    number acc, next;
    size_t i = 0;
    if (start != NULL)
        acc = *start;
    else if (!arg_num(m, args, i++, &acc))
        return PRIM_FAILED;
    for (; i < count; i++)
        if (!arg_num(m, args, i, &next) || op(m, acc, next, &acc) != PRIM_OK)
            return PRIM_FAILED;
    return give(m, acc, out);
}

/* The same where one argument is taken for the second. */
static prim_status fold_from(sx *m, operation op, int64_t first,
                             const value *args, size_t count, value *out)
{
    number start = number_integer(first);
    return fold(m, op, args, count, count < 2 ? &start : NULL, out);
}

/* Nearly all numbers are fixnums: two are added without a fold. */
CHECK_STATIC(FIXNUM_MAX <= INT64_MAX / 2 && FIXNUM_MIN >= INT64_MIN / 2,
             "the sum of two fixnums fits, and so does their difference");

static prim_status give_integer(sx *m, int64_t n, value *out)
{
    return make_integer(m, n, out) ? PRIM_OK : PRIM_MEMORY;
}

static prim_status prim_add(sx *m, value *args, size_t count, value *out)
{
    if (LIKELY(count == 2 && both_fixnum(args[0], args[1])))
        return give_integer(m, fixnum_of(args[0]) + fixnum_of(args[1]), out);
    number none = number_integer(0);
    return fold(m, add, args, count, count == 0 ? &none : NULL, out);
}

static prim_status prim_multiply(sx *m, value *args, size_t count, value *out)
{
    number none = number_integer(1);
    return fold(m, multiply, args, count, count == 0 ? &none : NULL, out);
}

static prim_status prim_subtract(sx *m, value *args, size_t count, value *out)
{
    number first;
    if (LIKELY(count == 2 && both_fixnum(args[0], args[1])))
        return give_integer(m, fixnum_of(args[0]) - fixnum_of(args[1]), out);
    if (!arg_num(m, args, 0, &first))
        return PRIM_FAILED;
    if (count == 1 && first.real)
        return give(m, number_real(-first.decimal), out);
    return fold_from(m, subtract, 0, args, count, out);
}

static prim_status prim_divide(sx *m, value *args, size_t count, value *out)
{
    return fold_from(m, divide, 1, args, count, out);
}

/* ---- mod, pow, sqrt --------------------------------------------------- */

static number mod_real(double a, double b)
{
    double r = fmod(a, b);
    if (r == 0)
        return number_real(copysign(0, b));
    return number_real((r < 0) != (b < 0) ? r + b : r);
}

static number mod_integer(int64_t a, int64_t b)
{
    if (b == -1) /* INT64_MIN % -1 traps */
        return number_integer(0);
    int64_t r = a % b;
    return number_integer(r != 0 && (r < 0) != (b < 0) ? r + b : r);
}

static prim_status prim_mod(sx *m, value *args, size_t count, value *out)
{
    number a, b;
    CHECK(count == 2);
    if (!arg_num(m, args, 0, &a) || !arg_num(m, args, 1, &b))
        return PRIM_FAILED;
    if (as_double(b) == 0)
        return fail_divide(m);
    bool real = a.real || b.real;
    return give(m,
                real ? mod_real(as_double(a), as_double(b))
                     : mod_integer(a.integer, b.integer),
                out);
}

/* By squaring; false: it does not fit. */
static bool power(int64_t base, int64_t exponent, int64_t *out)
{
    *out = 1;
    for (;; exponent >>= 1) {
        if ((exponent & 1) && __builtin_mul_overflow(*out, base, out))
            return false;
        if (exponent <= 1)
            return true;
        if (__builtin_mul_overflow(base, base, &base))
            return false;
    }
}

static prim_status prim_pow(sx *m, value *args, size_t count, value *out)
{
    number a, b;
    CHECK(count == 2);
    if (!arg_num(m, args, 0, &a) || !arg_num(m, args, 1, &b))
        return PRIM_FAILED;
    if (!a.real && !b.real && b.integer >= 0) {
        number result = {0};
        if (!power(a.integer, b.integer, &result.integer))
            return fail_overflow(m);
        return give(m, result, out);
    }
    double x = as_double(a), y = as_double(b);
    if (x == 0 && y < 0)
        return fail_divide(m);
    double result = pow(x, y);
    if (isnan(result) && !isnan(x) && !isnan(y))
        return fail_real(m);
    return give(m, number_real(result), out);
}

/* The exact root of n, or 0 if it is not an integer. */
static int64_t exact_root(int64_t n)
{
    uint64_t guess = (uint64_t)sqrt((double)n);
    for (uint64_t r = guess > 0 ? guess - 1 : 0; r <= guess + 1; r++)
        if (r * r == (uint64_t)n)
            return (int64_t)r;
    return 0;
}

static prim_status prim_sqrt(sx *m, value *args, size_t count, value *out)
{
    number n;
    CHECK(count == 1);
    if (!arg_num(m, args, 0, &n))
        return PRIM_FAILED;
    if (as_double(n) < 0)
        return fail_real(m);
    if (!n.real) {
        int64_t root = exact_root(n.integer);
        if (root * root == n.integer)
            return give(m, number_integer(root), out);
    }
    return give(m, number_real(sqrt(as_double(n))), out);
}

/* ---- rounding --------------------------------------------------------- */

static prim_status whole(sx *m, const value *args, double (*rounding)(double),
                         value *out)
{
    number n;
    if (!arg_num(m, args, 0, &n))
        return PRIM_FAILED;
    if (!n.real)
        return give(m, n, out);
    double d = rounding(n.decimal);
    if (!(d >= -two_to_63 && d < two_to_63))
        return fail_overflow(m);
    return give(m, number_integer((int64_t)d), out);
}

static prim_status prim_floor(sx *m, value *args, size_t count, value *out)
{
    CHECK(count == 1);
    return whole(m, args, floor, out);
}

static prim_status prim_ceil(sx *m, value *args, size_t count, value *out)
{
    CHECK(count == 1);
    return whole(m, args, ceil, out);
}

static prim_status prim_round(sx *m, value *args, size_t count, value *out)
{
    CHECK(count == 1);
    return whole(m, args, round, out); /* half away from zero */
}

static prim_status prim_abs(sx *m, value *args, size_t count, value *out)
{
    number n;
    CHECK(count == 1);
    if (!arg_num(m, args, 0, &n))
        return PRIM_FAILED;
    if (n.real)
        return give(m, number_real(fabs(n.decimal)), out);
    if (n.integer == INT64_MIN)
        return fail_overflow(m);
    return give(m, number_integer(n.integer < 0 ? -n.integer : n.integer), out);
}

/* ---- min, max, clamp, inc, dec ---------------------------------------- */

static double real_of(value n)
{
    return is_float(n) ? float_of(n) : (double)integer_of(n);
}

/* Whether a is beyond b, in the direction of sign: -0.0 is less than 0.0, and a
 * NaN is beyond all, so that the order of arguments does not matter. */
static bool is_beyond(value a, value b, int sign)
{
    int order = number_order(a, b);
    if (order == NUMBER_UNORDERED)
        return is_float(a) && isnan(float_of(a));
    if (order == 0 && real_of(a) == 0)
        order = (signbit(real_of(b)) != 0) - (signbit(real_of(a)) != 0);
    return order == sign;
}

/* The first argument that no other is beyond. */
static prim_status extreme(sx *m, const value *args, size_t count, int sign,
                           value *out)
{
    value best, next;
    if (!arg_number(m, args, 0, &best))
        return PRIM_FAILED;
    for (size_t i = 1; i < count; i++) {
        if (!arg_number(m, args, i, &next))
            return PRIM_FAILED;
        if (is_beyond(next, best, sign))
            best = next;
    }
    *out = best;
    return PRIM_OK;
}

static prim_status prim_min(sx *m, value *args, size_t count, value *out)
{
    return extreme(m, args, count, -1, out);
}

static prim_status prim_max(sx *m, value *args, size_t count, value *out)
{
    return extreme(m, args, count, 1, out);
}

static prim_status prim_clamp(sx *m, value *args, size_t count, value *out)
{
    value x, low, high;
    CHECK(count == 3);
    if (!arg_number(m, args, 0, &x) || !arg_number(m, args, 1, &low) ||
        !arg_number(m, args, 2, &high))
        return PRIM_FAILED;
    if (number_order(x, high) == 1)
        x = high;
    *out = number_order(x, low) == -1 ? low : x;
    return PRIM_OK;
}

static prim_status prim_inc(sx *m, value *args, size_t count, value *out)
{
    CHECK(count == 1);
    if (LIKELY(is_fixnum(args[0])))
        return give_integer(m, fixnum_of(args[0]) + 1, out);
    return fold_from(m, add, 1, args, count, out);
}

static prim_status prim_dec(sx *m, value *args, size_t count, value *out)
{
    CHECK(count == 1);
    if (LIKELY(is_fixnum(args[0])))
        return give_integer(m, fixnum_of(args[0]) - 1, out);
    return fold_from(m, add, -1, args, count, out);
}

static const prim rows[] = {
    {"+", 0, PRIM_MANY, "n...", "The sum.", .run = prim_add},
    {"-", 1, PRIM_MANY, "n...", "The difference; of one, its negation.",
     .run = prim_subtract},
    {"*", 0, PRIM_MANY, "n...", "The product.", .run = prim_multiply},
    {"/", 1, PRIM_MANY, "n...",
     "The quotient, an integer when it is exact; of one, its reciprocal.",
     .run = prim_divide},
    {"mod", 2, 2, "a b", "The remainder with the divisor's sign.",
     .run = prim_mod},
    {"floor", 1, 1, "n", "The nearest integer below.", .run = prim_floor},
    {"ceil", 1, 1, "n", "The nearest integer above.", .run = prim_ceil},
    {"round", 1, 1, "n", "The nearest integer, half away from zero.",
     .run = prim_round},
    {"abs", 1, 1, "n", "The number without its sign.", .run = prim_abs},
    {"sqrt", 1, 1, "n", "The square root, an integer when it is exact.",
     .run = prim_sqrt},
    {"pow", 2, 2, "base exponent", "The power.", .run = prim_pow},
    {"min", 1, PRIM_MANY, "n...", "The least.", .run = prim_min},
    {"max", 1, PRIM_MANY, "n...", "The greatest.", .run = prim_max},
    {"inc", 1, 1, "n", "One more.", .run = prim_inc},
    {"dec", 1, 1, "n", "One less.", .run = prim_dec},
    {"clamp", 3, 3, "x lo hi", "x, or the bound that it is beyond.",
     .run = prim_clamp},
};

const prim_group number_group = {rows, sizeof rows / sizeof rows[0]};
