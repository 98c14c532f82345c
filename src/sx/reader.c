/* SPDX-License-Identifier: MIT */
/* The reader: tokens go to a stack of values, brackets to a stack of what is
 * open; a closing bracket makes one value of what came since. */
#include "sx/reader.h"

#include "base/status.h"
#include "sx/chars.h"
#include "sx/machine.h"
#include "sx/token.h"

enum { KEEP_MAX = 4096 }; /* items of a stack to keep for the next time */

/* What waits for values: a bracket, or a prefix that wants one form. */
typedef struct opening {
    const char *at;
    const char *prefix; /* the symbol of quote and its kin; "": discard */
    size_t first;       /* index of its first value */
    char closer;        /* 0: a prefix */
} opening;

CHECK_STATIC(sizeof(opening) == READ_OPENING_SIZE, "see machine.h");

static read_status push_value(reader *r, value v)
{
    walk_stack *w = &r->m->read_values;
    if (UNLIKELY(w->count == w->capacity) && !walk_grow(r->m, w))
        return READ_MEMORY;
    ((value *)w->items)[w->count++] = v;
    return READ_VALUE;
}

static read_status push_opening(reader *r, size_t size, char closer,
                                const char *prefix)
{
    CHECK((closer == 0) == (prefix != NULL));
    walk_stack *w = &r->m->read_openings;
    if (w->count >= r->m->options.depth_max)
        return reader_fail(r, r->at, PERSIST_LIMIT,
                           "nested deeper than %zu levels",
                           r->m->options.depth_max);
    if (UNLIKELY(w->count == w->capacity) && !walk_grow(r->m, w))
        return READ_MEMORY;
    ((opening *)w->items)[w->count++] =
        (opening){r->at, prefix, r->m->read_values.count, closer};
    r->at += size;
    return READ_VALUE;
}

static opening *top_opening(reader *r)
{
    walk_stack *w = &r->m->read_openings;
    return w->count == 0 ? NULL : &((opening *)w->items)[w->count - 1];
}

/* ---- brackets --------------------------------------------------------- */

static read_status make_dict(reader *r, const opening *o, const value *at,
                             size_t count, value *out)
{
    if (count % 2 != 0)
        return reader_fail(r, o->at, SX_SYNTAX,
                           "a dict needs a value for each key");
    if (!dict_new(r->m, count / 2, out))
        return READ_MEMORY;
    for (size_t i = 0; i < count; i += 2) {
        string *name;
        if (is_symbol(at[i]) || is_keyword(at[i]))
            name = name_of(at[i]);
        else if (!is_string(at[i]))
            return reader_fail(r, o->at, SX_SYNTAX,
                               "a dict key must be a keyword, string or "
                               "symbol, not %s",
                               brief(r->m, at[i]));
        else if ((name = intern_string(r->m, string_of(at[i]))) == NULL)
            return READ_MEMORY;
        dict_add(dict_of(*out), name, at[i + 1]);
    }
    return READ_VALUE;
}

static read_status close_bracket(reader *r, value *out)
{
    opening *o = top_opening(r);
    CHECK(r->at < r->end);
    if (o == NULL)
        return reader_fail(r, r->at, SX_SYNTAX, "%c closes nothing", *r->at);
    if (o->closer == 0)
        return reader_fail(r, o->at, SX_SYNTAX, "nothing follows %s",
                           o->prefix[0] == '\0' ? "#;" : o->prefix);
    if (o->closer != *r->at)
        return reader_fail(r, r->at, SX_SYNTAX, "%c where %c is expected",
                           *r->at, o->closer);
    walk_stack *w = &r->m->read_values;
    CHECK(o->first <= w->count);
    size_t count = w->count - o->first;
    const value *items = count == 0 ? NULL : (value *)w->items + o->first;
    if (o->closer == '}') {
        read_status status = make_dict(r, o, items, count, out);
        if (status != READ_VALUE)
            return status;
    } else if (!list_from(r->m, items, count, out)) {
        return READ_MEMORY;
    }
    w->count = o->first;
    r->m->read_openings.count--;
    r->at++;
    return READ_VALUE;
}

/* Puts (prefix v) in place of v for each prefix before it. *drop: it was
 * behind #; and is nothing. */
static read_status apply_prefixes(reader *r, value *v, bool *drop)
{
    opening *o;
    for (*drop = false; (o = top_opening(r)) != NULL && o->closer == 0;) {
        CHECK(o->prefix != NULL && o->first <= r->m->read_values.count);
        r->m->read_openings.count--;
        if (o->prefix[0] == '\0') {
            *drop = true;
            return READ_VALUE;
        }
        value pair[2] = {{0}, *v};
        if (!make_symbol(r->m, slice_str(o->prefix), &pair[0]) ||
            !list_from(r->m, pair, 2, v))
            return READ_MEMORY;
    }
    return READ_VALUE;
}

/* ---- forms ------------------------------------------------------------ */

static read_status read_hash(reader *r, value *out, bool *made)
{
    CHECK(*r->at == '#');
    char next = r->end - r->at > 1 ? r->at[1] : '\0';
    if (next == ';') {
        *made = false;
        return push_opening(r, 2, 0, "");
    }
    if (next == '|')
        return token_raw_string(r, out);
    return reader_fail(r, r->at, SX_SYNTAX, "# must be followed by ; or |");
}

/* Reads what begins here: a whole value, or (*made false) an opening. */
static read_status read_item(reader *r, value *out, bool *made)
{
    CHECK(r->at < r->end);
    bool splicing;
    *made = true;
    if (char_is(*r->at, CHAR_SYMBOL) && *r->at != '#')
        return token_word(r, out);
    switch (*r->at) {
    case '"':
        return token_string(r, out);
    case ')':
    case ']':
    case '}':
        return close_bracket(r, out);
    case '#':
        return read_hash(r, out, made);
    default:
        break;
    }
    *made = false;
    switch (*r->at) {
    case '(':
        return push_opening(r, 1, ')', NULL);
    case '[':
        return push_opening(r, 1, ']', NULL);
    case '{':
        return push_opening(r, 1, '}', NULL);
    case '\'':
        return push_opening(r, 1, 0, "quote");
    case '`':
        return push_opening(r, 1, 0, "quasiquote");
    case ',':
        splicing = r->end - r->at > 1 && r->at[1] == '@';
        return splicing ? push_opening(r, 2, 0, "unquote-splicing")
                        : push_opening(r, 1, 0, "unquote");
    default:
        return reader_fail(r, r->at, SX_SYNTAX, "unexpected byte 0x%02x",
                           (unsigned char)*r->at);
    }
}

static void skip_space(reader *r)
{
    while (r->at < r->end) {
        if (char_is(*r->at, CHAR_SPACE)) {
            r->at++;
        } else if (*r->at == ';') {
            const char *line = memchr(r->at, '\n', (size_t)(r->end - r->at));
            r->at = line == NULL ? r->end : line + 1;
        } else {
            return;
        }
    }
}

static read_status read_form(reader *r, value *out)
{
    for (;;) {
        skip_space(r);
        opening *o = top_opening(r);
        if (r->at == r->end && o == NULL)
            return READ_END;
        if (r->at == r->end)
            return reader_fail(r, o->at, SX_SYNTAX,
                               o->closer == 0
                                   ? "nothing follows this prefix; add what it "
                                     "is for, or the rest of the text"
                                   : "this bracket is never closed" READ_REST);
        bool made, drop = false;
        value v;
        read_status status = read_item(r, &v, &made);
        if (status == READ_VALUE && made)
            status = apply_prefixes(r, &v, &drop);
        if (status != READ_VALUE)
            return status;
        if (!made || drop)
            continue;
        if (r->m->read_openings.count == 0) {
            *out = v;
            return READ_VALUE;
        }
        status = push_value(r, v);
        if (status != READ_VALUE)
            return status;
    }
}

static void keep_small(sx *m, walk_stack *w)
{
    w->count = 0;
    if (w->capacity > KEEP_MAX)
        walk_release(m, w);
}

read_status reader_next(sx *m, slice text, size_t *at, value *out,
                        persist_error *error)
{
    CHECK(*at <= text.size);
    const char *start = text.size == 0 ? "" : text.data;
    reader r = {m, start, start + *at, start + text.size, error};
    CHECK(m->read_values.count == 0 && m->read_openings.count == 0);
    read_status status = read_form(&r, out);
    keep_small(m, &m->read_values);
    keep_small(m, &m->read_openings);
    CHECK(start + *at <= r.at && r.at <= r.end);
    if (status == READ_VALUE || status == READ_END)
        *at = (size_t)(r.at - start);
    return status;
}

read_status reader_only(sx *m, slice text, value *out, persist_error *error)
{
    size_t at = 0;
    read_status status = reader_next(m, text, &at, out, error);
    if (status != READ_VALUE)
        return status;
    const char *start = text.data;
    reader r = {m, start, start + at, start + text.size, error};
    skip_space(&r);
    if (r.at == r.end)
        return READ_VALUE;
    value more;
    status = reader_next(m, text, &at, &more, error);
    if (status == READ_END)
        return READ_VALUE;
    return status != READ_VALUE
               ? status
               : reader_fail(&r, r.at, SX_SYNTAX, "more than one value");
}
