/* SPDX-License-Identifier: MIT */
/* JSON (RFC 8259) to values and back, without recursion.
 *
 * Integers stay integers and floats floats. Symbols and keywords are written
 * as strings; what has no JSON form (functions, NaN, infinities, strings that
 * are not UTF-8) is not-storable. Of equal keys the last one wins. */
#include <math.h>

#include "base/utf8.h"
#include "sx/number.h"
#include "sx/prim_groups.h"

/* ---- writing ---------------------------------------------------------- */

/* A list or dict that is being written. */
typedef struct open_value {
    value container;
    size_t next;
} open_value;

typedef struct json_writer {
    sx *m;
    sx_out *text;
    walk_stack walk;
} json_writer;

static bool put_text(json_writer *w, const char *text)
{
    return text_put(w->text, slice_str(text));
}

static prim_status put_number(json_writer *w, value v)
{
    char text[FLOAT_TEXT_MAX + INTEGER_TEXT_MAX]; /* room for either */
    if (is_float(v) && !isfinite(float_of(v)))
        return fail(w->m, PERSIST_NOT_STORABLE,
                    "json-encode: JSON has no NaN and no infinity");
    size_t size = is_float(v) ? float_text(float_of(v), text)
                              : integer_text(integer_of(v), text);
    return text_put(w->text, slice_of(text, size)) ? PRIM_OK : PRIM_MEMORY;
}

static bool put_escaped(json_writer *w, char c)
{
    static const char digits[] = "0123456789abcdef";
    char code[] = {'\\', 'u', '0', '0', digits[c >> 4 & 15], digits[c & 15], 0};
    switch (c) {
    case '"':
        return put_text(w, "\\\"");
    case '\\':
        return put_text(w, "\\\\");
    case '\n':
        return put_text(w, "\\n");
    case '\r':
        return put_text(w, "\\r");
    case '\t':
        return put_text(w, "\\t");
    default:
        return put_text(w, code);
    }
}

/* The length of what may stand in a string as it is, from data on. 0: an
 * escape is needed, or *valid is false. */
static size_t plain_run(const char *data, size_t size, bool *valid)
{
    size_t at = 0;
    *valid = true;
    while (at < size && data[at] != '"' && data[at] != '\\' &&
           (uint8_t)data[at] >= 0x20) {
        size_t length = utf8_length(data + at, size - at);
        if (length == 0) {
            *valid = false;
            break;
        }
        at += length;
    }
    return at;
}

static prim_status put_string(json_writer *w, const string *s)
{
    bool ok = text_put_byte(w->text, '"'), valid;
    for (size_t at = 0; ok && at < s->size;) {
        size_t plain = plain_run(s->bytes + at, s->size - at, &valid);
        if (!valid)
            return fail(w->m, PERSIST_NOT_STORABLE,
                        "json-encode: a string is not UTF-8");
        ok = text_put(w->text, slice_of(s->bytes + at, plain));
        at += plain;
        if (ok && at < s->size)
            ok = put_escaped(w, s->bytes[at++]);
    }
    return ok && text_put_byte(w->text, '"') ? PRIM_OK : PRIM_MEMORY;
}

static prim_status put_open(json_writer *w, value v)
{
    if (w->walk.count >= machine_depth_max(w->m))
        return fail(w->m, PERSIST_LIMIT, "json-encode: nested too deep");
    if (!walk_grow(w->m, &w->walk) || !put_text(w, is_list(v) ? "[" : "{"))
        return PRIM_MEMORY;
    ((open_value *)w->walk.items)[w->walk.count++] = (open_value){v, 0};
    return PRIM_OK;
}

/* Writes an atom, or opens a list or dict. */
static prim_status put_value(json_writer *w, value v)
{
    if (is_list(v) || is_dict(v))
        return put_open(w, v);
    if (is_string(v))
        return put_string(w, string_of(v));
    if (is_symbol(v) || is_keyword(v))
        return put_string(w, name_of(v));
    if (is_number(v))
        return put_number(w, v);
    if (is_function(v) || is_kind(v, KIND_MACRO))
        return fail(w->m, PERSIST_NOT_STORABLE,
                    "json-encode: a function has no JSON form");
    const char *name = is_nil(v) ? "null" : is_true(v) ? "true" : "false";
    return put_text(w, name) ? PRIM_OK : PRIM_MEMORY;
}

/* Writes the next element of the innermost list or dict, or closes it. */
static prim_status put_next(json_writer *w)
{
    open_value *top = (open_value *)w->walk.items + w->walk.count - 1;
    bool in_list = is_list(top->container);
    size_t size = in_list ? list_size(list_of(top->container))
                          : dict_size(dict_of(top->container));
    if (top->next == size) {
        w->walk.count--;
        return put_text(w, in_list ? "]" : "}") ? PRIM_OK : PRIM_MEMORY;
    }
    size_t i = top->next++;
    if (i > 0 && !put_text(w, ","))
        return PRIM_MEMORY;
    if (in_list)
        return put_value(w, list_at(list_of(top->container), i));
    entry e = dict_entries(dict_of(top->container))[i];
    prim_status status = put_string(w, e.key);
    if (status == PRIM_OK && !put_text(w, ":"))
        status = PRIM_MEMORY;
    return status == PRIM_OK ? put_value(w, e.value) : status;
}

static prim_status prim_encode(sx *m, value *args, size_t count, value *out)
{
    json_writer w = {m, text_scratch(m), {.item_size = sizeof(open_value)}};
    CHECK(count == 1);
    prim_status status = put_value(&w, args[0]);
    while (status == PRIM_OK && w.walk.count > 0)
        status = put_next(&w);
    walk_release(m, &w.walk);
    return status == PRIM_OK ? text_string(m, w.text, out) : status;
}

/* ---- reading: bytes --------------------------------------------------- */

/* A list or dict that is being read, and the key of its next value. */
typedef struct pending {
    value container;
    string *key;
} pending;

typedef struct json_reader {
    sx *m;
    const char *start, *at, *end;
    walk_stack walk;
} json_reader;

static prim_status fail_syntax(json_reader *r, const char *what)
{
    return fail(r->m, SX_SYNTAX, "json-decode: %s at byte %zu", what,
                (size_t)(r->at - r->start));
}

/* The next byte, 0 at the end (a NUL is never right outside strings). */
static char peek(const json_reader *r)
{
    return r->at < r->end ? *r->at : '\0';
}

static char peek_token(json_reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\n' || peek(r) == '\r' ||
           peek(r) == '\t')
        r->at++;
    return peek(r);
}

static prim_status get_word(json_reader *r, const char *word, value v,
                            value *out)
{
    slice left = slice_of(r->at, (size_t)(r->end - r->at));
    if (!slice_starts_with(left, slice_str(word)))
        return fail_syntax(r, "an unknown word");
    r->at += strlen(word);
    *out = v;
    return PRIM_OK;
}

/* ---- reading: numbers ------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Passes over digits; false if there is none. */
static bool skip_digits(json_reader *r)
{
    const char *from = r->at;
    while (is_digit(peek(r)))
        r->at++;
    return r->at > from;
}

/* Passes over a number by the grammar of the RFC. */
static bool skip_number(json_reader *r)
{
    if (peek(r) == '-')
        r->at++;
    if (peek(r) == '0')
        r->at++;
    else if (!skip_digits(r))
        return false;
    if (peek(r) == '.') {
        r->at++;
        if (!skip_digits(r))
            return false;
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        r->at++;
        if (peek(r) == '+' || peek(r) == '-')
            r->at++;
        return skip_digits(r);
    }
    return true;
}

static prim_status get_number(json_reader *r, value *out)
{
    const char *from = r->at;
    int64_t n;
    double d;
    if (!skip_number(r))
        return fail_syntax(r, "a malformed number");
    switch (number_parse(slice_of(from, (size_t)(r->at - from)), &n, &d)) {
    case NUMBER_INTEGER:
        return make_integer(r->m, n, out) ? PRIM_OK : PRIM_MEMORY;
    case NUMBER_FLOAT:
        return make_float(r->m, d, out) ? PRIM_OK : PRIM_MEMORY;
    case NUMBER_MEMORY:
        return PRIM_MEMORY;
    default:
        return fail_syntax(r, "a number out of range");
    }
}

/* ---- reading: strings ------------------------------------------------- */

/* Four hex digits; -1 if they are not. */
static int32_t get_hex(json_reader *r)
{
    int32_t code = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        char c = peek(r);
        char small = (char)(c | 0x20);
        if (is_digit(c))
            code = code * 16 + (c - '0');
        else if (small >= 'a' && small <= 'f')
            code = code * 16 + (small - 'a' + 10);
        else
            return -1;
    }
    return code;
}

/* What follows \u: one code unit, or a pair of surrogates. */
static prim_status get_unicode(json_reader *r, sx_out *text)
{
    char bytes[UTF8_MAX];
    int32_t code = get_hex(r);
    if (code >= 0xd800 && code <= 0xdbff && r->end - r->at >= 2 &&
        r->at[0] == '\\' && r->at[1] == 'u') {
        r->at += 2;
        int32_t low = get_hex(r);
        bool paired = low >= 0xdc00 && low <= 0xdfff;
        code = paired ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : -1;
    }
    if (!utf8_valid_code(code))
        return fail_syntax(r, "a malformed \\u escape");
    size_t size = utf8_encode((uint32_t)code, bytes);
    return text_put(text, slice_of(bytes, size)) ? PRIM_OK : PRIM_MEMORY;
}

static prim_status get_escape(json_reader *r, sx_out *text)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    r->at++;
    char c = peek(r);
    const char *found = c == '\0' ? NULL : strchr(from, c);
    if (c != 'u' && found == NULL)
        return fail_syntax(r, "an unknown escape");
    r->at++;
    if (c == 'u')
        return get_unicode(r, text);
    return text_put_byte(text, to[found - from]) ? PRIM_OK : PRIM_MEMORY;
}

/* The bytes of a string, from behind its opening quote to behind the closing
 * one; they are in the input, or in the scratch text if there were escapes. */
static prim_status get_bytes(json_reader *r, slice *out)
{
    sx_out *text = NULL;
    for (r->at++;;) {
        bool valid;
        size_t size = plain_run(r->at, (size_t)(r->end - r->at), &valid);
        slice plain = slice_of(r->at, size);
        r->at += size;
        if (!valid)
            return fail_syntax(r, "a string that is not UTF-8");
        if (text == NULL && peek(r) == '"')
            *out = plain;
        else if (!text_put(text = text != NULL ? text : text_scratch(r->m),
                           plain))
            return PRIM_MEMORY;
        if (peek(r) != '\\')
            break;
        prim_status status = get_escape(r, text);
        if (status != PRIM_OK)
            return status;
    }
    if (peek(r) != '"')
        return fail_syntax(r, "an unclosed string or a control character");
    r->at++;
    if (text != NULL)
        *out = slice_of(text->data, text->size);
    return PRIM_OK;
}

static prim_status get_string(json_reader *r, value *out)
{
    slice bytes = {0};
    prim_status status = get_bytes(r, &bytes);
    if (status != PRIM_OK)
        return status;
    return make_string(r->m, bytes, out) ? PRIM_OK : PRIM_MEMORY;
}

/* ---- reading: lists and dicts ----------------------------------------- */

static pending *top_of(json_reader *r)
{
    CHECK(r->walk.count > 0);
    return (pending *)r->walk.items + r->walk.count - 1;
}

/* A key and its colon. */
static prim_status get_key(json_reader *r)
{
    slice bytes = {0};
    if (peek_token(r) != '"')
        return fail_syntax(r, "no key");
    prim_status status = get_bytes(r, &bytes);
    if (status != PRIM_OK)
        return status;
    if ((top_of(r)->key = intern(r->m, bytes)) == NULL)
        return PRIM_MEMORY;
    if (peek_token(r) != ':')
        return fail_syntax(r, "no colon");
    r->at++;
    return PRIM_OK;
}

/* Begins a list or dict; *empty: it ends at once and is in *out. */
static prim_status get_open(json_reader *r, bool *empty, value *out)
{
    bool is_array = *r->at == '[';
    if (r->walk.count >= machine_depth_max(r->m))
        return fail(r->m, PERSIST_LIMIT, "json-decode: nested too deep");
    if (!walk_grow(r->m, &r->walk) ||
        !(is_array ? list_new(r->m, 0, out) : dict_new(r->m, 0, out)))
        return PRIM_MEMORY;
    r->at++;
    *empty = peek_token(r) == (is_array ? ']' : '}');
    if (*empty) {
        r->at++;
        return PRIM_OK;
    }
    ((pending *)r->walk.items)[r->walk.count++] = (pending){*out, NULL};
    return is_array ? PRIM_OK : get_key(r);
}

/* Puts a value where it belongs, and closes what ends with it. *more: another
 * value has to follow; else *v is the whole. */
static prim_status place_value(json_reader *r, value *v, bool *more)
{
    for (*more = true; r->walk.count > 0; r->walk.count--) {
        pending *top = top_of(r);
        bool in_list = is_list(top->container);
        if (!(in_list ? list_push(r->m, list_of(top->container), *v)
                      : dict_set(r->m, dict_of(top->container), top->key, *v)))
            return PRIM_MEMORY;
        char c = peek_token(r);
        if (c != ',' && c != (in_list ? ']' : '}'))
            return fail_syntax(r, "neither a comma nor an end");
        r->at++;
        if (c == ',')
            return in_list ? PRIM_OK : get_key(r);
        *v = top->container;
    }
    *more = false;
    return PRIM_OK;
}

/* One value, or the beginning of a list or dict (*whole is false then). */
static prim_status get_value(json_reader *r, bool *whole, value *out)
{
    *whole = true;
    switch (peek_token(r)) {
    case '[':
    case '{':
        return get_open(r, whole, out);
    case '"':
        return get_string(r, out);
    case 't':
        return get_word(r, "true", VALUE_TRUE, out);
    case 'f':
        return get_word(r, "false", VALUE_FALSE, out);
    case 'n':
        return get_word(r, "null", VALUE_NIL, out);
    default:
        if (peek(r) == '-' || is_digit(peek(r)))
            return get_number(r, out);
        return fail_syntax(r, "no value");
    }
}

static prim_status get_all(json_reader *r, value *out)
{
    bool whole, more = true;
    while (more) {
        prim_status status = get_value(r, &whole, out);
        if (status == PRIM_OK && whole)
            status = place_value(r, out, &more);
        if (status != PRIM_OK)
            return status;
    }
    if (peek_token(r) != '\0' || r->at < r->end)
        return fail_syntax(r, "text after the value");
    return PRIM_OK;
}

static prim_status prim_decode(sx *m, value *args, size_t count, value *out)
{
    string *s;
    CHECK(count == 1);
    if (!arg_string(m, args, 0, &s))
        return PRIM_FAILED;
    json_reader r = {m,
                     s->bytes,
                     s->bytes,
                     s->bytes + s->size,
                     {.item_size = sizeof(pending)}};
    prim_status status = get_all(&r, out);
    walk_release(m, &r.walk);
    return status;
}

static const prim rows[] = {
    {"json-encode", 1, 1, "x", "The JSON text of a value.", .run = prim_encode},
    {"json-decode", 1, 1, "s", "The value of a JSON text.", .run = prim_decode},
};

const prim_group json_group = {rows, sizeof rows / sizeof rows[0]};
