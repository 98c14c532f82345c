/* SPDX-License-Identifier: MIT */
/* The reader's tokens: words and strings. */
#include "sx/token.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/status.h"
#include "base/utf8.h"
#include "sx/chars.h"

enum { FIXNUM_DIGITS_MAX = 18, SHOWN_MAX = 40, UNICODE_DIGITS = 4 };

CHECK_STATIC(FIXNUM_MAX >= INT64_C(999999999999999999),
             "FIXNUM_DIGITS_MAX nines are a fixnum");

read_status reader_fail(reader *r, const char *at, persist_status status,
                        const char *format, ...)
{
    CHECK(r->start <= at && at <= r->end);
    char text[PERSIST_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t line = 1;
    const char *line_start = r->start;
    for (const char *p = r->start; p < at; p++) {
        if (*p == '\n') {
            line++;
            line_start = p + 1;
        }
    }
    status_set(r->error, status, "line %zu, column %zu: %s", line,
               (size_t)(at - line_start) + 1, text);
    return READ_FAILED;
}

/* ---- words ------------------------------------------------------------ */

static bool short_integer(slice s, value *out)
{
    CHECK(s.size > 0);
    const char *at = s.data, *end = at + s.size;
    bool negative = *at == '-';
    if (*at == '-' || *at == '+')
        at++;
    if (at == end || end - at > FIXNUM_DIGITS_MAX)
        return false;
    int64_t n = 0;
    for (; at < end; at++) {
        if (!char_is(*at, CHAR_DIGIT))
            return false;
        n = n * 10 + (*at - '0');
    }
    *out = value_fixnum(negative ? -n : n);
    return true;
}

static read_status number(reader *r, slice s, value *out)
{
    int64_t n;
    double real;
    int shown = (int)(s.size < SHOWN_MAX ? s.size : SHOWN_MAX);
    switch (number_parse(s, &n, &real)) {
    case NUMBER_INTEGER:
        return make_integer(r->m, n, out) ? READ_VALUE : READ_MEMORY;
    case NUMBER_FLOAT:
        return make_float(r->m, real, out) ? READ_VALUE : READ_MEMORY;
    case NUMBER_OUT_OF_RANGE:
        return reader_fail(r, s.data, SX_SYNTAX,
                           "the number %.*s is out of range", shown,
                           (const char *)s.data);
    case NUMBER_MEMORY:
        return READ_MEMORY;
    default:
        return reader_fail(r, s.data, SX_SYNTAX, "%.*s is no number", shown,
                           (const char *)s.data);
    }
}

static bool constant(slice s, value *out)
{
    const char *text = s.data;
    if (s.size == 3 && memcmp(text, "nil", 3) == 0)
        *out = VALUE_NIL;
    else if (s.size == 4 && memcmp(text, "true", 4) == 0)
        *out = VALUE_TRUE;
    else if (s.size == 5 && memcmp(text, "false", 5) == 0)
        *out = VALUE_FALSE;
    else
        return false;
    return true;
}

static read_status keyword(reader *r, slice s, value *out)
{
    CHECK(s.size > 0 && *(const char *)s.data == ':');
    if (s.size == 1)
        return reader_fail(r, s.data, SX_SYNTAX, ": without a name");
    slice name = slice_of((const char *)s.data + 1, s.size - 1);
    return make_keyword(r->m, name, out) ? READ_VALUE : READ_MEMORY;
}

read_status token_word(reader *r, value *out)
{
    const char *first = r->at, *at = first;
    while (at < r->end && char_is(*at, CHAR_SYMBOL))
        at++;
    CHECK(at > first);
    slice s = slice_of(first, (size_t)(at - first));
    r->at = at;
    if (*first == ':')
        return keyword(r, s, out);
    if (char_is(*first, CHAR_DIGIT) || chars_numeric(s))
        return short_integer(s, out) ? READ_VALUE : number(r, s, out);
    if (constant(s, out))
        return READ_VALUE;
    return make_symbol(r->m, s, out) ? READ_VALUE : READ_MEMORY;
}

/* ---- strings ---------------------------------------------------------- */

/* Four hex digits; -1 if they are not there. */
static long hex4(const char *at, const char *end)
{
    if (end - at < UNICODE_DIGITS)
        return -1;
    long code = 0;
    for (int i = 0; i < UNICODE_DIGITS; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

/* The code behind \u, two of them where the first is half of a pair. */
static bool unicode_escape(const char **at, const char *end, uint32_t *out)
{
    long code = hex4(*at, end);
    if (code < 0 || (code >= 0xdc00 && code < 0xe000))
        return false;
    *at += UNICODE_DIGITS;
    if (code >= 0xd800 && code < 0xdc00) {
        if (end - *at < 2 || (*at)[0] != '\\' || (*at)[1] != 'u')
            return false;
        long low = hex4(*at + 2, end);
        if (low < 0xdc00 || low >= 0xe000)
            return false;
        *at += 2 + UNICODE_DIGITS;
        code = 0x10000 + (code - 0xd800) * 0x400 + (low - 0xdc00);
    }
    *out = (uint32_t)code;
    return true;
}

/* Copies the text between the quotes, escapes resolved; it never grows. */
static read_status unescape(reader *r, const char *at, const char *end,
                            string *s)
{
    char *out = s->bytes;
    while (at < end) {
        if (*at != '\\') {
            *out++ = *at++;
            continue;
        }
        const char *escape = at++;
        char c = *at++;
        uint32_t code;
        switch (c) {
        case 'n':
            *out++ = '\n';
            break;
        case 't':
            *out++ = '\t';
            break;
        case 'r':
            *out++ = '\r';
            break;
        case '"':
        case '\\':
            *out++ = c;
            break;
        case 'u':
            if (unicode_escape(&at, end, &code)) {
                out += utf8_encode(code, out);
                break;
            }
            return reader_fail(r, escape, SX_SYNTAX,
                               "\\u needs four hex digits of a character");
        default:
            return reader_fail(r, escape, SX_SYNTAX,
                               "unknown escape in a string");
        }
    }
    CHECK((size_t)(out - s->bytes) <= s->size);
    s->size = (size_t)(out - s->bytes);
    *out = '\0';
    return READ_VALUE;
}

read_status token_string(reader *r, value *out)
{
    CHECK(*r->at == '"');
    const char *first = r->at + 1, *at = first;
    bool escapes = false;
    for (;; at++) {
        while (at < r->end && !char_is(*at, CHAR_ESCAPE))
            at++;
        if (at < r->end && *at == '"')
            break;
        if (at < r->end && *at == '\\') {
            escapes = true;
            at++;
        }
        if (at >= r->end)
            return reader_fail(r, r->at, SX_SYNTAX,
                               "this string is never closed" READ_REST);
    }
    slice bytes = slice_of(first, (size_t)(at - first));
    r->at = at + 1;
    if (!escapes)
        return make_string(r->m, bytes, out) ? READ_VALUE : READ_MEMORY;
    string *s = string_alloc(r->m, bytes.size);
    if (s == NULL)
        return READ_MEMORY;
    *out = value_object(s);
    return unescape(r, first, at, s);
}

read_status token_raw_string(reader *r, value *out)
{
    CHECK(r->end - r->at >= 2 && r->at[1] == '|');
    const char *first = r->at + 2;
    const char *bar = memchr(first, '|', (size_t)(r->end - first));
    if (bar == NULL)
        return reader_fail(r, r->at, SX_SYNTAX,
                           "this raw string is never closed" READ_REST);
    r->at = bar + 1;
    slice bytes = slice_of(first, (size_t)(bar - first));
    return make_string(r->m, bytes, out) ? READ_VALUE : READ_MEMORY;
}
