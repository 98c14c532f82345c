/* SPDX-License-Identifier: MIT */
/* The special forms quote, quasiquote and guard. */
#include "sx/compiler.h"
#include "sx/forms.h"
#include "sx/list.h"
#include "sx/machine.h"

/* ---- quote ------------------------------------------------------------ */

/* Empty lists and dicts are made anew, since programs fill them in place. */
static bool emit_quoted(sx *m, value v)
{
    uint32_t template;
    if (is_list(v) && form_size(v) == 0)
        return emit(m, IR_EMPTY_LIST, 0, 0, 1);
    if (is_dict(v) && dict_size(dict_of(v)) == 0)
        return add_constant(m, v, &template) &&
               emit(m, IR_DICT, template, 0, 1);
    return emit_constant(m, v);
}

bool compile_quote(sx *m, const task *t)
{
    return emit_quoted(m, form_at(t->form, 1)) && emit_end(m, t->tail);
}

/* ---- quasiquote ------------------------------------------------------- */

/* Whether v is (name x). */
static bool is_prefixed(value v, const char *name)
{
    return is_list(v) && form_size(v) == 2 && is_symbol(form_at(v, 0)) &&
           slice_equal(string_slice(name_of(form_at(v, 0))), slice_str(name));
}

static bool run_quasi(sx *, const task *);

static bool push_quasi(sx *m, value v, uint32_t depth)
{
    CHECK(depth > 0);
    return push_task(m, (task){.run = run_quasi, .form = v, .b = depth});
}

/* Element a of a list and those behind it; what came before is on the stack as
 * a list. b: the depth. */
static bool run_quasi_items(sx *m, const task *t)
{
    CHECK(t->a <= form_size(t->form) && t->b > 0);
    if (t->a == form_size(t->form))
        return true;
    value v = form_at(t->form, t->a);
    task rest = *t;
    rest.a++;
    if (!push_task(m, rest))
        return false;
    if (t->b == 1 && is_prefixed(v, "unquote-splicing"))
        return push_emit(m, IR_APPEND_ALL, 0, -1) &&
               push_expr(m, form_at(v, 1), false);
    return push_emit(m, IR_APPEND, 0, -1) && push_quasi(m, v, t->b);
}

static bool run_quasi_dict(sx *m, const task *t)
{
    const dict *d = dict_of(t->form);
    uint32_t size = (uint32_t)dict_size(d), template;
    CHECK(t->a <= size && t->b > 0);
    if (t->a == size)
        return add_constant(m, t->form, &template) &&
               emit(m, IR_DICT, template, size, 1 - (int)size);
    task rest = *t;
    rest.a++;
    return push_task(m, rest) &&
           push_quasi(m, dict_entries(d)[t->a].value, t->b);
}

/* b: how many quasiquotes are around, less the unquotes. */
static bool run_quasi(sx *m, const task *t)
{
    value v = t->form;
    CHECK(t->b > 0);
    task parts = *t;
    if (is_dict(v)) {
        parts.run = run_quasi_dict;
        return push_task(m, parts);
    }
    if (!is_list(v) || form_size(v) == 0)
        return emit_quoted(m, v);
    bool unquote = is_prefixed(v, "unquote");
    bool splice = is_prefixed(v, "unquote-splicing");
    if (unquote && t->b == 1)
        return push_expr(m, form_at(v, 1), false);
    if (splice && t->b == 1)
        return syntax_failed(m, "unquote-splicing outside of a list");
    if (unquote || splice)
        parts.b--;
    if (is_prefixed(v, "quasiquote"))
        parts.b++;
    parts.run = run_quasi_items;
    return emit(m, IR_EMPTY_LIST, 0, 0, 1) && push_task(m, parts);
}

bool compile_quasiquote(sx *m, const task *t)
{
    return push_return(m, t->tail) && push_quasi(m, form_at(t->form, 1), 1);
}

/* ---- guard ------------------------------------------------------------ */

/* Clause a of the specification (name clause ...), and those behind it; b:
 * where the values of clauses go. The error is the newest variable. */
static bool run_clauses(sx *m, const task *t)
{
    CHECK(t->a > 0 && t->a <= form_size(t->form));
    if (t->a == form_size(t->form))
        return push_emit(m, IR_RAISE, 0, 0) &&
               push_expr(m, form_at(t->form, 0), false);
    value clause = form_at(t->form, t->a);
    if (!is_list(clause) || form_size(clause) < 2)
        return syntax_failed(m, "guard: a clause is (test form ...), not %s",
                             brief(m, clause));
    if (is_else(form_at(clause, 0)))
        return push_forms(m, clause, 1, t->tail);
    uint32_t other = new_label(m);
    task rest = *t;
    rest.a++;
    return push_task(m, rest) && push_between(m, other, t->b, t->tail) &&
           push_forms(m, clause, 1, t->tail) &&
           push_test(m, form_at(clause, 0), other);
}

/* The handler, the error being on top of the stack. */
static bool run_handler(sx *m, const task *t)
{
    CHECK(current_unit(m)->depth > 0);
    task clauses = {.run = run_clauses,
                    .form = form_at(t->form, 1),
                    .a = 1,
                    .b = new_label(m),
                    .tail = t->tail};
    task unbind = {.run = run_unbind,
                   .form = VALUE_NIL,
                   .a = compiler_of(m)->scope,
                   .b = 1,
                   .tail = t->tail};
    CHECK(is_symbol(form_at(clauses.form, 0)));
    string *name = name_of(form_at(clauses.form, 0));
    uint32_t i;
    return declare(m, name, VARIABLE_TEMP, current_unit(m)->depth - 1, &i) &&
           emit(m, IR_BIND, i, 0, 0) && push_task(m, unbind) &&
           push_end(m, clauses.b, t->tail) && push_task(m, clauses);
}

bool compile_guard(sx *m, const task *t)
{
    value spec = form_at(t->form, 1);
    if (!is_list(spec) || form_size(spec) == 0 || !is_symbol(form_at(spec, 0)))
        return syntax_failed(m,
                             "guard: (name (test form ...) ...) must come "
                             "first, not %s",
                             brief(m, spec));
    uint32_t handler = new_label(m), end = new_label(m);
    task handle = *t;
    handle.run = run_handler;
    return emit(m, IR_GUARD, handler, 0, GUARD_WORDS) &&
           push_end(m, end, t->tail) && push_task(m, handle) &&
           push_emit(m, IR_LABEL, handler, 0) &&
           (t->tail ? push_return(m, true) : push_emit(m, IR_JUMP, end, 0)) &&
           push_emit(m, IR_UNGUARD, 0, -GUARD_WORDS) &&
           push_body(m, t->form, 2, false);
}
