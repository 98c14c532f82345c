/* SPDX-License-Identifier: MIT */
/* Numbers as text: reading, and the shortest float that reads back. */
#include "sx/number.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    EXACT_POWER = 22, /* 10^22 is the largest power of ten a double holds */
    DIGITS_MAX = 17,  /* enough for any double */
    PLAIN_DECIMALS = 6,
    TEXT_MAX = 128, /* bytes of a number that is read without allocating */
};

CHECK_STATIC(INTEGER_TEXT_MAX >= 20, "a sign and 19 digits");
CHECK_STATIC(FLOAT_TEXT_MAX >= 1 + DIGITS_MAX + 2 + 5,
             "a sign, the digits with .0 or e, an exponent");

static const double powers[EXACT_POWER + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static const double exact_max = 9007199254740992.0; /* 2^53 */

/* ---- reading ---------------------------------------------------------- */

typedef struct shape {
    bool negative, real, digits;
    const char *fraction, *exponent; /* NULL: none; behind the . or e */
} shape;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && is_digit(*at))
        at++;
    return at;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit before or after the
 * point. */
static bool scan_shape(slice text, shape *s)
{
    const char *at = text.data, *end = at + text.size;
    *s = (shape){.negative = at < end && *at == '-'};
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    const char *whole = at;
    at = skip_digits(at, end);
    s->digits = at > whole;
    if (at < end && *at == '.') {
        s->real = true;
        s->fraction = ++at;
        at = skip_digits(at, end);
        s->digits = s->digits || at > s->fraction;
    }
    if (!s->digits)
        return false;
    if (at < end && (*at == 'e' || *at == 'E')) {
        s->real = true;
        s->exponent = ++at;
        if (at < end && (*at == '-' || *at == '+'))
            at++;
        const char *first = at;
        at = skip_digits(at, end);
        if (at == first)
            return false;
    }
    return at == end;
}

static number_kind parse_integer(slice text, bool negative, int64_t *out)
{
    CHECK(text.size > 0);
    const char *at = text.data, *end = at + text.size;
    uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    uint64_t n = 0;
    for (at += !is_digit(*at); at < end; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (n > (limit - digit) / 10)
            return NUMBER_OUT_OF_RANGE;
        n = n * 10 + digit;
    }
    *out = negative ? (int64_t)(0 - n) : (int64_t)n;
    return NUMBER_INTEGER;
}

/* Few digits and a small exponent: one exact operation, rounded once. */
static bool parse_short(slice text, const shape *s, double *out)
{
    const char *at = text.data, *end = at + text.size;
    if (s->exponent != NULL || text.size > 16)
        return false;
    CHECK(s->real && s->fraction != NULL);
    int64_t n = 0;
    for (at += !is_digit(*at) && *at != '.'; at < end; at++) {
        if (*at != '.')
            n = n * 10 + (*at - '0');
    }
    double real = (double)n / powers[end - s->fraction];
    *out = s->negative ? -real : real;
    return true;
}

/* strtod in the C locale on a copy that ends with a NUL. */
static double parse_any(const char *text)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* a static one */
    CHECK(c != (locale_t)0);
    double v = strtod_l(text, NULL, c);
    freelocale(c);
    return v;
}

number_kind number_parse(slice text, int64_t *integer, double *real)
{
    shape s;
    if (text.size == 0 || !scan_shape(text, &s))
        return NUMBER_NONE;
    if (!s.real)
        return parse_integer(text, s.negative, integer);
    if (parse_short(text, &s, real))
        return NUMBER_FLOAT;
    char local[TEXT_MAX];
    char *copy = text.size < sizeof local ? local : mem_alloc(text.size + 1);
    if (copy == NULL)
        return NUMBER_MEMORY;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    *real = parse_any(copy);
    if (copy != local)
        mem_free(copy);
    return isfinite(*real) ? NUMBER_FLOAT : NUMBER_OUT_OF_RANGE;
}

/* ---- printing --------------------------------------------------------- */

size_t integer_text(int64_t n, char out[INTEGER_TEXT_MAX])
{
    char reversed[INTEGER_TEXT_MAX];
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    size_t count = 0, size = 0;
    do {
        reversed[count++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (n < 0)
        out[size++] = '-';
    while (count > 0)
        out[size++] = reversed[--count];
    return size;
}

/* Floats that are a few decimals: m / 10^k read back is the float itself. */
static size_t plain_text(double v, char *out)
{
    CHECK(v >= 0);
    for (int k = 0; k <= PLAIN_DECIMALS; k++) {
        double scaled = v * powers[k];
        if (scaled >= exact_max)
            return 0;
        int64_t n = (int64_t)(scaled + 0.5);
        if ((double)n / powers[k] != v)
            continue;
        int64_t unit = (int64_t)powers[k];
        size_t size = integer_text(n / unit, out);
        out[size++] = '.';
        char digits[INTEGER_TEXT_MAX];
        size_t count = integer_text(n % unit, digits);
        for (size_t pad = count; pad < (size_t)k; pad++)
            out[size++] = '0';
        memcpy(out + size, digits, count);
        return size + count;
    }
    return 0;
}

/* Decimal digits and exponent: 0.d1d2d3... * 10^exponent. */
typedef struct decimal {
    uint64_t digits;
    int exponent;
} decimal;

static double decimal_value(decimal d, int count)
{
    CHECK(d.digits > 0);
    char text[64];
    snprintf(text, sizeof text, "%llue%d", (unsigned long long)d.digits,
             d.exponent - count);
    return parse_any(text);
}

/* The nearest decimal with count digits or, where the float is a power of two
 * and its neighbours are not equally far, the next one up. */
static bool try_digits(double v, int count, decimal *out)
{
    CHECK(v > 0 && count > 0 && count <= DIGITS_MAX);
    char text[64];
    snprintf(text, sizeof text, "%.*e", count - 1, v);
    decimal d = {0, 0};
    const char *at = text;
    for (; *at != 'e'; at++) {
        if (is_digit(*at)) /* whatever the locale's point is */
            d.digits = d.digits * 10 + (uint64_t)(*at - '0');
    }
    d.exponent = (int)strtol(at + 1, NULL, 10) + 1;
    for (int up = 0; up <= 1; up++, d.digits++) {
        if (decimal_value(d, count) == v) {
            *out = d;
            return true;
        }
    }
    return false;
}

static decimal shortest(double v)
{
    decimal d = {0, 0};
    int from = v < 2.2250738585072014e-308 ? 1 : 15; /* denormal: fewer */
    for (int count = from; count <= DIGITS_MAX; count++) {
        if (try_digits(v, count, &d))
            break;
    }
    CHECK(d.digits != 0);
    while (d.digits % 10 == 0)
        d.digits /= 10;
    return d;
}

/* d.ddde-7, or plain digits where the exponent is near 0. */
static size_t decimal_text(decimal d, char *out)
{
    char digits[INTEGER_TEXT_MAX];
    int count = (int)integer_text((int64_t)d.digits, digits);
    CHECK(count > 0 && count <= DIGITS_MAX);
    char *at = out;
    if (d.exponent > -5 && d.exponent <= 0) {
        memcpy(at, "0.0000", 6);
        at += 2 - d.exponent;
        memcpy(at, digits, (size_t)count);
        return (size_t)(at + count - out);
    }
    int point = d.exponent > 0 && d.exponent < DIGITS_MAX ? d.exponent : 1;
    for (int i = 0; i < count || i < point; i++) {
        if (i == point)
            *at++ = '.';
        *at++ = i < count ? digits[i] : '0';
    }
    if (point == d.exponent) {
        if (count <= point) {
            *at++ = '.';
            *at++ = '0';
        }
        return (size_t)(at - out);
    }
    *at++ = 'e';
    return (size_t)(at - out) + integer_text(d.exponent - 1, at);
}

size_t float_text(double v, char out[FLOAT_TEXT_MAX])
{
    if (!isfinite(v)) {
        const char *text = isnan(v) ? "#<nan>" : v > 0 ? "#<inf>" : "#<-inf>";
        size_t size = strlen(text);
        memcpy(out, text, size);
        return size;
    }
    size_t sign = signbit(v) ? 1 : 0;
    out[0] = '-';
    v = fabs(v);
    size_t size = plain_text(v, out + sign);
    return sign + (size > 0 ? size : decimal_text(shortest(v), out + sign));
}
