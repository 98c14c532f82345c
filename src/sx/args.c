/* SPDX-License-Identifier: MIT */
/* What primitives are helped with: arguments, errors, texts. */
#include <stdarg.h>
#include <stdio.h>

#include "base/status.h"
#include "base/utf8.h"
#include "sx/machine.h"
#include "sx/reader.h"
#include "sx/reserve.h"

/* ---- failing ---------------------------------------------------------- */

prim_status fail(sx *m, persist_status status, const char *format, ...)
{
    char text[PERSIST_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    status_set(&m->error, status, "%s", text);
    m->has_raised = false;
    return PRIM_FAILED;
}

prim_status fail_memory(sx *m)
{
    heap_why(m, &m->error);
    m->has_raised = false;
    return PRIM_FAILED;
}

prim_status raise_value(sx *m, value v)
{
    CHECK(!value_same(v, VALUE_UNBOUND));
    m->raised = v;
    m->has_raised = true;
    return PRIM_FAILED;
}

const char *type_name(value v)
{
    static const char *const names[] = {
        [KIND_STRING] = "string",
        [KIND_FLOAT] = "float",
        [KIND_INTEGER] = "integer",
        [KIND_LIST] = "list",
        [KIND_DICT] = "dict",
        [KIND_LAMBDA] = "lambda",
        [KIND_MACRO] = "macro",
        [KIND_PRIMITIVE] = "primitive",
        [KIND_CONTINUATION] = "continuation",
    };
    if (is_fixnum(v))
        return "integer";
    if (is_symbol(v))
        return "symbol";
    if (is_keyword(v))
        return "keyword";
    if (is_nil(v))
        return "nil";
    if (!is_object(v))
        return "boolean";
    CHECK(names[object_of(v)->kind] != NULL);
    return names[object_of(v)->kind];
}

static char *next_brief(sx *m)
{
    return m->brief[m->brief_next++ % 4];
}

const char *brief_name(sx *m, const string *name)
{
    char *text = next_brief(m);
    utf8_shorten(name->bytes, name->size, NAME_SHOWN_MAX, text);
    return text;
}

const char *brief(sx *m, value v)
{
    char *text = next_brief(m);
    char room[BRIEF_MAX * 4];
    sx_out out = {room, 0, sizeof room, sizeof room};
    if (is_list(v) || is_dict(v))
        snprintf(text, BRIEF_MAX, "a %s of %u", type_name(v),
                 object_of(v)->aux);
    else if (is_string(v) && string_of(v)->size > BRIEF_MAX / 2)
        snprintf(text, BRIEF_MAX, "a string of %zu bytes", string_of(v)->size);
    else if (is_symbol(v) || is_keyword(v))
        utf8_shorten(name_of(v)->bytes, name_of(v)->size, BRIEF_MAX, text);
    else if (sx_print(m, v, 0, &out, NULL) != PERSIST_OK)
        snprintf(text, BRIEF_MAX, "a %s", type_name(v));
    else
        utf8_shorten(room, out.size, BRIEF_MAX, text);
    return text;
}

prim_status fail_argument(sx *m, const value *args, size_t i,
                          const char *wanted)
{
    CHECK(m->prim != NULL && i < m->prim->max);
    return fail(m, SX_TYPE, "%s: argument %zu must be %s, not %s",
                m->prim->name, i + 1, wanted, brief(m, args[i]));
}

/* ---- arguments -------------------------------------------------------- */

static bool reject(sx *m, const value *args, size_t i, const char *wanted)
{
    fail_argument(m, args, i, wanted);
    return false;
}

bool arg_integer(sx *m, const value *args, size_t i, int64_t *out)
{
    if (is_nil(args[i])) {
        *out = 0;
        return true;
    }
    if (!is_integer(args[i]))
        return reject(m, args, i, "an integer");
    *out = integer_of(args[i]);
    return true;
}

bool arg_number(sx *m, const value *args, size_t i, value *out)
{
    if (!is_nil(args[i]) && !is_number(args[i]))
        return reject(m, args, i, "a number");
    *out = is_nil(args[i]) ? value_fixnum(0) : args[i];
    return true;
}

bool arg_float(sx *m, const value *args, size_t i, double *out)
{
    value v;
    if (!arg_number(m, args, i, &v))
        return false;
    *out = is_float(v) ? float_of(v) : (double)integer_of(v);
    return true;
}

bool arg_string(sx *m, const value *args, size_t i, string **out)
{
    if (!is_string(args[i]))
        return reject(m, args, i, "a string");
    *out = string_of(args[i]);
    return true;
}

bool arg_items(sx *m, const value *args, size_t i, span *out)
{
    *out = (span){NULL, 0};
    if (is_nil(args[i]))
        return true;
    if (!is_list(args[i]))
        return reject(m, args, i, "a list");
    list *l = list_of(args[i]);
    *out = (span){list_items(l), list_size(l)};
    return true;
}

bool arg_list(sx *m, const value *args, size_t i, list **out)
{
    if (!is_list(args[i]))
        return reject(m, args, i, "a list");
    *out = list_of(args[i]);
    return true;
}

bool arg_dict(sx *m, const value *args, size_t i, const dict **out)
{
    *out = NULL;
    if (is_nil(args[i]))
        return true;
    if (!is_dict(args[i]))
        return reject(m, args, i, "a dict");
    *out = dict_of(args[i]);
    return true;
}

bool arg_dict_mutable(sx *m, const value *args, size_t i, dict **out)
{
    if (!is_dict(args[i]))
        return reject(m, args, i, "a dict");
    if ((object_of(args[i])->flags & FLAG_LENT) != 0) {
        fail(m, PERSIST_LIMIT,
             "%s: an error that there was no memory for is the same each time, "
             "and cannot be changed; (assoc e k v) gives one that can",
             m->prim->name);
        return false;
    }
    *out = dict_of(args[i]);
    return true;
}

prim_status arg_key(sx *m, const value *args, size_t i, string **out)
{
    value v = args[i];
    if (is_symbol(v) || is_keyword(v)) {
        *out = name_of(v);
        return PRIM_OK;
    }
    if (!is_string(v))
        return fail_argument(m, args, i, "a string, keyword or symbol");
    *out = intern_string(m, string_of(v));
    return *out == NULL ? PRIM_MEMORY : PRIM_OK;
}

bool arg_function(sx *m, const value *args, size_t i, value *out)
{
    if (!is_function(args[i]))
        return reject(m, args, i, "a function");
    *out = args[i];
    return true;
}

/* ---- calling back ----------------------------------------------------- */

prim_status frame_call1(sx *m, value f, value a)
{
    CHECK(m->call_base + 2 <= m->stack.end);
    m->call_base[0] = f;
    m->call_base[1] = a;
    m->call_count = 1;
    return PRIM_CALL;
}

prim_status frame_call2(sx *m, value f, value a, value b)
{
    CHECK(m->call_base + 3 <= m->stack.end);
    m->call_base[0] = f;
    m->call_base[1] = a;
    m->call_base[2] = b;
    m->call_count = 2;
    return PRIM_CALL;
}

/* ---- texts ------------------------------------------------------------ */

enum { SCRATCH_KEEP = 1 << 20 };

sx_out *text_scratch(sx *m)
{
    CHECK(m->heap.used <= m->heap.max);
    sx_out *o = &m->scratch;
    if (o->capacity > SCRATCH_KEEP)
        sx_out_release(o);
    o->size = 0;
    /* Half, since the text is to become a string besides. */
    o->size_max = (m->heap.max - m->heap.used) / 2;
    if (o->size_max == 0)
        o->size_max = 1;
    return o;
}

prim_status text_string(sx *m, const sx_out *o, value *out)
{
    CHECK(o->size <= o->capacity);
    return make_string(m, slice_of(o->data, o->size), out) ? PRIM_OK
                                                           : PRIM_MEMORY;
}

prim_status text_read(sx *m, slice text, value *out)
{
    persist_error error;
    switch (reader_only(m, text, out, &error)) {
    case READ_VALUE:
        return PRIM_OK;
    case READ_MEMORY:
        return PRIM_MEMORY;
    case READ_END:
        return fail(m, SX_SYNTAX, "there is no value in the text");
    default:
        return fail(m, error.status, "%s", error.message);
    }
}

/* ---- options ---------------------------------------------------------- */

void machine_write(sx *m, slice text)
{
    if (m->options.write != NULL)
        m->options.write(m->options.write_context, text);
}

size_t machine_depth_max(const sx *m)
{
    CHECK(m->options.depth_max > 0);
    return m->options.depth_max;
}
