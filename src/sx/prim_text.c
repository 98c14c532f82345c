/* SPDX-License-Identifier: MIT */
/* Printing, parsing, hashing, and errors with a text. */
#include "sx/prim_text.h"

#include "base/hash.h"
#include "sx/prim_groups.h"

prim_status text_put_plain(sx *m, sx_out *text, value v)
{
    if (is_nil(v))
        return PRIM_OK;
    if (is_string(v))
        return text_put(text, string_slice(string_of(v))) ? PRIM_OK
                                                          : PRIM_MEMORY;
    return text_put_value(m, text, v, 0);
}

static prim_status prim_str(sx *m, value *args, size_t count, value *out)
{
    sx_out *text = text_scratch(m);
    for (size_t i = 0; i < count; i++) {
        prim_status status = text_put_plain(m, text, args[i]);
        if (status != PRIM_OK)
            return status;
    }
    return text_string(m, text, out);
}

/* The arguments with a space between them, nil as "nil". */
static prim_status put_line(sx *m, sx_out *text, const value *args,
                            size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && !text_put_byte(text, ' '))
            return PRIM_MEMORY;
        prim_status status = is_nil(args[i])
                                 ? text_put_value(m, text, args[i], 0)
                                 : text_put_plain(m, text, args[i]);
        if (status != PRIM_OK)
            return status;
    }
    return PRIM_OK;
}

static prim_status print(sx *m, const value *args, size_t count,
                         const char *end, value *out)
{
    sx_out *text = text_scratch(m);
    prim_status status = put_line(m, text, args, count);
    if (status != PRIM_OK)
        return status;
    if (!text_put(text, slice_str(end)))
        return PRIM_MEMORY;
    machine_write(m, slice_of(text->data, text->size));
    *out = VALUE_NIL;
    return PRIM_OK;
}

static prim_status prim_print(sx *m, value *args, size_t count, value *out)
{
    return print(m, args, count, "", out);
}

static prim_status prim_println(sx *m, value *args, size_t count, value *out)
{
    return print(m, args, count, "\n", out);
}

static prim_status prim_parse(sx *m, value *args, size_t count, value *out)
{
    string *s;
    CHECK(count == 1);
    if (!arg_string(m, args, 0, &s))
        return PRIM_FAILED;
    return text_read(m, string_slice(s), out);
}

static prim_status prim_serialize(sx *m, value *args, size_t count, value *out)
{
    CHECK(count == 1);
    sx_out *text = text_scratch(m);
    prim_status status = text_put_value(m, text, args[0], SX_PRINT_STORABLE);
    return status == PRIM_OK ? text_string(m, text, out) : status;
}

static prim_status prim_sha256(sx *m, value *args, size_t count, value *out)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[HASH_SHA256_SIZE];
    char text[2 * HASH_SHA256_SIZE];
    string *s;
    CHECK(count == 1);
    if (!arg_string(m, args, 0, &s))
        return PRIM_FAILED;
    hash_sha256(string_slice(s), hash);
    for (size_t i = 0; i < sizeof hash; i++) {
        text[2 * i] = digits[hash[i] >> 4];
        text[2 * i + 1] = digits[hash[i] & 15];
    }
    return make_string(m, slice_of(text, sizeof text), out) ? PRIM_OK
                                                            : PRIM_MEMORY;
}

/* ---- errors ----------------------------------------------------------- */

/* Raises {:error code :message} of the arguments in one line. */
static prim_status raise_line(sx *m, persist_status code, const value *args,
                              size_t count)
{
    value error;
    sx_out *text = text_scratch(m);
    prim_status status = put_line(m, text, args, count);
    if (status != PRIM_OK)
        return status;
    if (!sx_make_error(m, code, slice_of(text->data, text->size), &error))
        return PRIM_MEMORY;
    return raise_value(m, error);
}

static prim_status prim_error(sx *m, value *args, size_t count, value *out)
{
    (void)out;
    return raise_line(m, SX_ERROR, args, count);
}

static prim_status prim_assert(sx *m, value *args, size_t count, value *out)
{
    *out = args[0];
    if (is_true(args[0]))
        return PRIM_OK;
    if (count == 1)
        return fail(m, SX_ASSERT, "assertion failed");
    return raise_line(m, SX_ASSERT, args + 1, count - 1);
}

static const prim rows[] = {
    {"str", 0, PRIM_MANY, "x...",
     "All in one string: strings raw, nil as nothing, the rest printed.",
     .run = prim_str},
    {"print", 0, PRIM_MANY, "x...", "Writes all, a space between them.",
     .run = prim_print},
    {"println", 0, PRIM_MANY, "x...", "Writes all and ends the line.",
     .run = prim_println},
    {"sx-parse", 1, 1, "s", "Reads one value from a text.", .run = prim_parse},
    {"sx-serialize", 1, 1, "x", "The text that reads back as x.",
     .run = prim_serialize},
    {"sha256", 1, 1, "s", "The SHA-256 of the bytes, in lower-case hex.",
     .run = prim_sha256},
    {"error", 1, PRIM_MANY, "text more...",
     "Raises an error dict with code error.", .run = prim_error},
    {"assert", 1, PRIM_MANY, "x text...",
     "x if it is true; else raises an error dict with code assert.",
     .run = prim_assert},
};

const prim_group text_group = {rows, sizeof rows / sizeof rows[0]};
