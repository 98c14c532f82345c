/* SPDX-License-Identifier: MIT */
/* Strings: bytes in, bytes out. Indexes count bytes; case is ASCII's. */
#include "base/utf8.h"
#include "sx/prim_groups.h"
#include "sx/prim_text.h"

static bool arg_slice(sx *m, const value *args, size_t i, slice *out)
{
    string *s;
    if (!arg_string(m, args, i, &s))
        return false;
    *out = string_slice(s);
    return true;
}

static prim_status give(sx *m, slice s, value *out)
{
    return make_string(m, s, out) ? PRIM_OK : PRIM_MEMORY;
}

static const char *bytes_of(slice s)
{
    return s.data;
}

/* ---- slice, substring ------------------------------------------------- */

static size_t clamp_index(int64_t i, size_t size)
{
    if (i < 0)
        return 0;
    return (uint64_t)i < size ? (size_t)i : size;
}

/* The range that args 1 and 2 name within size: clamped, empty when it runs
 * backwards, to the end when arg 2 is nil or absent. A negative index counts
 * from the end if wrap is set, else it is 0. */
static bool arg_range(sx *m, const value *args, size_t count, size_t size,
                      bool wrap, size_t *from, size_t *length)
{
    int64_t a, b = (int64_t)size;
    if (!arg_integer(m, args, 1, &a))
        return false;
    if (count > 2 && !is_nil(args[2]) && !arg_integer(m, args, 2, &b))
        return false;
    if (wrap && a < 0)
        a += (int64_t)size;
    if (wrap && b < 0)
        b += (int64_t)size;
    *from = clamp_index(a, size);
    size_t to = clamp_index(b, size);
    *length = to > *from ? to - *from : 0;
    return true;
}

static prim_status prim_slice(sx *m, value *args, size_t count, value *out)
{
    size_t from, length;
    value v = args[0];
    if (is_string(v)) {
        slice s = string_slice(string_of(v));
        if (!arg_range(m, args, count, s.size, true, &from, &length))
            return PRIM_FAILED;
        return give(m, slice_of(bytes_of(s) + from, length), out);
    }
    if (!is_list(v) && !is_nil(v))
        return fail_argument(m, args, 0, "a string or a list");
    size_t size = is_nil(v) ? 0 : list_size(list_of(v));
    if (!arg_range(m, args, count, size, true, &from, &length))
        return PRIM_FAILED;
    bool made = is_nil(v) ? list_new(m, 0, out)
                          : list_slice(m, list_of(v), from, length, out);
    return made ? PRIM_OK : PRIM_MEMORY;
}

static prim_status prim_substring(sx *m, value *args, size_t count, value *out)
{
    slice s;
    size_t from, length;
    if (!arg_slice(m, args, 0, &s) ||
        !arg_range(m, args, count, s.size, false, &from, &length))
        return PRIM_FAILED;
    return give(m, slice_of(bytes_of(s) + from, length), out);
}

/* ---- searching -------------------------------------------------------- */

/* The first place of part at or after from; SIZE_MAX if there is none. */
static size_t find(slice s, slice part, size_t from)
{
    CHECK(from <= s.size);
    const char *at =
        memmem(bytes_of(s) + from, s.size - from, part.data, part.size);
    return at == NULL ? SIZE_MAX : (size_t)(at - bytes_of(s));
}

static prim_status index_in_list(sx *m, value *args, value *out)
{
    span items;
    if (!arg_items(m, args, 0, &items))
        return PRIM_FAILED;
    *out = value_fixnum(-1);
    for (size_t i = 0; i < items.size; i++) {
        bool equal;
        prim_status status = values_equal(m, items.at[i], args[1], &equal);
        if (status != PRIM_OK)
            return status;
        if (equal) {
            *out = value_fixnum((int64_t)i);
            break;
        }
    }
    return PRIM_OK;
}

static prim_status prim_index_of(sx *m, value *args, size_t count, value *out)
{
    slice s, part;
    CHECK(count == 2);
    if (is_list(args[0]) || is_nil(args[0]))
        return index_in_list(m, args, out);
    if (!arg_slice(m, args, 0, &s) || !arg_slice(m, args, 1, &part))
        return PRIM_FAILED;
    size_t at = find(s, part, 0);
    *out = value_fixnum(at == SIZE_MAX ? -1 : (int64_t)at);
    return PRIM_OK;
}

static prim_status prim_string_contains(sx *m, value *args, size_t count,
                                        value *out)
{
    slice s, part;
    CHECK(count == 2);
    if (!arg_slice(m, args, 0, &s) || !arg_slice(m, args, 1, &part))
        return PRIM_FAILED;
    *out = value_boolean(find(s, part, 0) != SIZE_MAX);
    return PRIM_OK;
}

static prim_status prim_starts_with(sx *m, value *args, size_t count,
                                    value *out)
{
    slice s, part;
    CHECK(count == 2);
    if (!arg_slice(m, args, 0, &s) || !arg_slice(m, args, 1, &part))
        return PRIM_FAILED;
    *out = value_boolean(slice_starts_with(s, part));
    return PRIM_OK;
}

static prim_status prim_ends_with(sx *m, value *args, size_t count, value *out)
{
    slice s, part;
    CHECK(count == 2);
    if (!arg_slice(m, args, 0, &s) || !arg_slice(m, args, 1, &part))
        return PRIM_FAILED;
    bool fits = part.size <= s.size;
    size_t from = fits ? s.size - part.size : 0;
    slice end = slice_of(bytes_of(s) + from, s.size - from);
    *out = value_boolean(fits && slice_equal(end, part));
    return PRIM_OK;
}

/* ---- case and blanks -------------------------------------------------- */

/* A copy in which the letters from first to first + 25 change their case. */
static prim_status change_case(sx *m, const value *args, char first, value *out)
{
    slice s;
    if (!arg_slice(m, args, 0, &s))
        return PRIM_FAILED;
    string *copy = string_alloc(m, s.size);
    if (copy == NULL)
        return PRIM_MEMORY;
    for (size_t i = 0; i < s.size; i++) {
        char c = bytes_of(s)[i];
        bool letter = c >= first && c <= first + 25;
        copy->bytes[i] = letter ? (char)(c ^ 0x20) : c;
    }
    *out = value_object(copy);
    return PRIM_OK;
}

static prim_status prim_upper(sx *m, value *args, size_t count, value *out)
{
    CHECK(count == 1);
    return change_case(m, args, 'a', out);
}

static prim_status prim_lower(sx *m, value *args, size_t count, value *out)
{
    CHECK(count == 1);
    return change_case(m, args, 'A', out);
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static prim_status prim_trim(sx *m, value *args, size_t count, value *out)
{
    slice s;
    CHECK(count == 1);
    if (!arg_slice(m, args, 0, &s))
        return PRIM_FAILED;
    size_t from = 0, to = s.size;
    while (from < to && is_blank(bytes_of(s)[from]))
        from++;
    while (to > from && is_blank(bytes_of(s)[to - 1]))
        to--;
    return give(m, slice_of(bytes_of(s) + from, to - from), out);
}

static prim_status prim_string_length(sx *m, value *args, size_t count,
                                      value *out)
{
    slice s;
    CHECK(count == 1);
    if (!arg_slice(m, args, 0, &s))
        return PRIM_FAILED;
    *out = value_fixnum((int64_t)s.size);
    return PRIM_OK;
}

/* ---- split, join, replace --------------------------------------------- */

static bool push_piece(sx *m, value pieces, slice s, size_t from, size_t to)
{
    value piece;
    return make_string(m, slice_of(bytes_of(s) + from, to - from), &piece) &&
           list_push(m, list_of(pieces), piece);
}

/* An empty separator splits into single bytes. */
static prim_status prim_split(sx *m, value *args, size_t count, value *out)
{
    slice s, separator;
    CHECK(count == 2);
    if (!arg_slice(m, args, 0, &s) || !arg_slice(m, args, 1, &separator))
        return PRIM_FAILED;
    if (!list_new(m, separator.size == 0 ? s.size : 0, out))
        return PRIM_MEMORY;
    size_t from = 0, at;
    if (separator.size == 0) {
        for (; from < s.size; from++)
            if (!push_piece(m, *out, s, from, from + 1))
                return PRIM_MEMORY;
        return PRIM_OK;
    }
    for (; (at = find(s, separator, from)) != SIZE_MAX;
         from = at + separator.size)
        if (!push_piece(m, *out, s, from, at))
            return PRIM_MEMORY;
    return push_piece(m, *out, s, from, s.size) ? PRIM_OK : PRIM_MEMORY;
}

static prim_status prim_join(sx *m, value *args, size_t count, value *out)
{
    slice separator;
    span items;
    CHECK(count == 2);
    if (!arg_slice(m, args, 0, &separator) || !arg_items(m, args, 1, &items))
        return PRIM_FAILED;
    sx_out *text = text_scratch(m);
    for (size_t i = 0; i < items.size; i++) {
        if (i > 0 && !text_put(text, separator))
            return PRIM_MEMORY;
        prim_status status = text_put_plain(m, text, items.at[i]);
        if (status != PRIM_OK)
            return status;
    }
    return text_string(m, text, out);
}

/* Replaces all; an empty old is nowhere. */
static prim_status prim_replace(sx *m, value *args, size_t count, value *out)
{
    slice s, old, new;
    CHECK(count == 3);
    if (!arg_slice(m, args, 0, &s) || !arg_slice(m, args, 1, &old) ||
        !arg_slice(m, args, 2, &new))
        return PRIM_FAILED;
    size_t from = 0, at = old.size == 0 ? SIZE_MAX : find(s, old, 0);
    if (at == SIZE_MAX) {
        *out = args[0];
        return PRIM_OK;
    }
    sx_out *text = text_scratch(m);
    for (; at != SIZE_MAX; at = find(s, old, from)) {
        if (!text_put(text, slice_of(bytes_of(s) + from, at - from)) ||
            !text_put(text, new))
            return PRIM_MEMORY;
        from = at + old.size;
    }
    if (!text_put(text, slice_of(bytes_of(s) + from, s.size - from)))
        return PRIM_MEMORY;
    return text_string(m, text, out);
}

/* ---- numbers, characters, names --------------------------------------- */

/* Args 0 and 1 of the parse functions: the text, empty for nil, and what to
 * return when it is no number. */
static bool arg_text(sx *m, const value *args, size_t count, slice *text,
                     value *otherwise)
{
    *otherwise = count > 1 ? args[1] : VALUE_NIL;
    *text = slice_of("", 0);
    return is_nil(args[0]) || arg_slice(m, args, 0, text);
}

static prim_status prim_parse_int(sx *m, value *args, size_t count, value *out)
{
    slice text;
    int64_t n;
    double d;
    if (!arg_text(m, args, count, &text, out))
        return PRIM_FAILED;
    number_kind kind = number_parse(text, &n, &d);
    if (kind == NUMBER_INTEGER)
        return make_integer(m, n, out) ? PRIM_OK : PRIM_MEMORY;
    return kind == NUMBER_MEMORY ? PRIM_MEMORY : PRIM_OK;
}

/* An integer beyond 64 bits is a float all the same: an exponent says so. */
static number_kind parse_float(sx *m, slice text, double *out)
{
    int64_t n;
    number_kind kind = number_parse(text, &n, out);
    if (kind == NUMBER_INTEGER) {
        *out = (double)n;
        return NUMBER_FLOAT;
    }
    if (kind != NUMBER_OUT_OF_RANGE)
        return kind;
    sx_out *copy = text_scratch(m);
    if (!text_put(copy, text) || !text_put(copy, slice_str("e0")))
        return NUMBER_MEMORY;
    return number_parse(slice_of(copy->data, copy->size), &n, out);
}

static prim_status prim_parse_float(sx *m, value *args, size_t count,
                                    value *out)
{
    slice text;
    double d;
    if (!arg_text(m, args, count, &text, out))
        return PRIM_FAILED;
    number_kind kind = parse_float(m, text, &d);
    if (kind == NUMBER_FLOAT)
        return make_float(m, d, out) ? PRIM_OK : PRIM_MEMORY;
    return kind == NUMBER_MEMORY ? PRIM_MEMORY : PRIM_OK;
}

static prim_status prim_char_from_code(sx *m, value *args, size_t count,
                                       value *out)
{
    int64_t code;
    char bytes[UTF8_MAX];
    CHECK(count == 1);
    if (!arg_integer(m, args, 0, &code))
        return PRIM_FAILED;
    if (!utf8_valid_code(code))
        return fail_argument(m, args, 0, "a Unicode code point");
    return give(m, slice_of(bytes, utf8_encode((uint32_t)code, bytes)), out);
}

/* A keyword that was evaluated is a string already. */
static prim_status prim_keyword_name(sx *m, value *args, size_t count,
                                     value *out)
{
    CHECK(count == 1);
    if (!is_keyword(args[0]) && !is_string(args[0]))
        return fail_argument(m, args, 0, "a keyword");
    *out = is_string(args[0]) ? args[0] : value_object(name_of(args[0]));
    return PRIM_OK;
}

static prim_status prim_symbol_name(sx *m, value *args, size_t count,
                                    value *out)
{
    CHECK(count == 1);
    if (!is_symbol(args[0]))
        return fail_argument(m, args, 0, "a symbol");
    *out = value_object(name_of(args[0]));
    return PRIM_OK;
}

static const prim rows[] = {
    {"slice", 2, 3, "s from to",
     "Bytes (or elements) from an index up to another; negative ones count "
     "from the end.",
     .run = prim_slice},
    {"substring", 2, 3, "s from to", "Bytes from an index up to another.",
     .run = prim_substring},
    {"index-of", 2, 2, "s sub", "Where sub first stands in s, or -1.",
     .run = prim_index_of},
    {"upper", 1, 1, "s", "With ASCII capitals.", .run = prim_upper},
    {"upcase", 1, 1, "s", "As upper.", .run = prim_upper},
    {"lower", 1, 1, "s", "With ASCII small letters.", .run = prim_lower},
    {"downcase", 1, 1, "s", "As lower.", .run = prim_lower},
    {"trim", 1, 1, "s", "Without white space at both ends.", .run = prim_trim},
    {"split", 2, 2, "s sep", "The pieces between separators.",
     .run = prim_split},
    {"join", 2, 2, "sep lst", "Elements as str has them, sep between them.",
     .run = prim_join},
    {"replace", 3, 3, "s old new", "Every old replaced by new.",
     .run = prim_replace},
    {"starts-with?", 2, 2, "s p", "Whether s begins with p.",
     .run = prim_starts_with},
    {"ends-with?", 2, 2, "s p", "Whether s ends with p.",
     .run = prim_ends_with},
    {"string-contains?", 2, 2, "s sub", "Whether sub stands in s.",
     .run = prim_string_contains},
    {"string-length", 1, 1, "s", "The number of bytes.",
     .run = prim_string_length},
    {"parse-int", 1, 2, "s default",
     "The integer that s is, else default (nil).", .run = prim_parse_int},
    {"parse-float", 1, 2, "s default",
     "The float that s is, else default (nil).", .run = prim_parse_float},
    {"char-from-code", 1, 1, "n", "The UTF-8 bytes of a code point.",
     .run = prim_char_from_code},
    {"keyword-name", 1, 1, "k", "The name of a keyword, a string.",
     .run = prim_keyword_name},
    {"symbol-name", 1, 1, "s", "The name of a symbol, a string.",
     .run = prim_symbol_name},
};

const prim_group string_group = {rows, sizeof rows / sizeof rows[0]};
