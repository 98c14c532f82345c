/* SPDX-License-Identifier: MIT */
/* The special forms that bind names: define, set!, fn, defmacro. */
#include "sx/compiler.h"
#include "sx/forms.h"
#include "sx/list.h"
#include "sx/machine.h"

static bool is_named(value v, const char *text)
{
    return is_symbol(v) &&
           slice_equal(string_slice(name_of(v)), slice_str(text));
}

bool wants_name(sx *m, const char *form, value v)
{
    return syntax_failed(m, "%s: %s is no name", form, brief(m, v));
}

/* ---- local definitions ------------------------------------------------ */

bool declare_local(sx *m, string *name, uint32_t *out)
{
    return declare(m, name, VARIABLE_LOCAL, current_unit(m)->locals++, out);
}

/* While declarations are made, their names have a flag, so that none of them
 * needs a look at the others. */
static void leave_here(sx *m, uint32_t v)
{
    CHECK(variable_at(m, v)->kind != VARIABLE_BODY);
    variable_at(m, v)->name->head.flags &= (uint8_t)~FLAG_HERE;
}

/* The name that a form (define name ...) or (define (name ...) ...) defines;
 * NULL if it is something else. */
static string *defined_name(value form)
{
    if (form_size(form) < 3)
        return NULL;
    value what = form_at(form, 1);
    if (is_list(what) && form_size(what) > 0)
        what = form_at(what, 0);
    return is_symbol(what) ? name_of(what) : NULL;
}

/* Forms that have bodies of their own, or are data. */
static bool is_opaque(const special_form *f)
{
    static const form_fn all[] = {
        compile_quote, compile_quasiquote, compile_lambda, compile_define_macro,
        compile_let,   compile_letrec,     compile_guard};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (f->compile == all[i])
            return true;
    }
    return false;
}

/* Declares what a form defines, and puts what is in it on the stack. What
 * comes out of macros is found only when it is compiled: too late to stand for
 * a macro of the same name, which is all that it matters for. */
static bool look_for_definitions(sx *m, value v, walk_stack *w)
{
    CHECK(w->item_size == sizeof(value));
    if (!is_list(v) || form_size(v) == 0)
        return true;
    const special_form *f = form_of(m, form_at(v, 0));
    value ignored;
    if (f == NULL ? find_macro(m, form_at(v, 0), &ignored) : is_opaque(f))
        return true;
    bool defines = f != NULL && f->compile == compile_define;
    string *name = defines ? defined_name(v) : NULL;
    uint32_t made;
    if (name != NULL && (name->head.flags & FLAG_HERE) == 0) {
        if (!declare_local(m, name, &made))
            return false;
        name->head.flags |= FLAG_HERE;
    }
    if (name != NULL && is_list(form_at(v, 1)))
        return true; /* the rest is the body of a lambda */
    for (uint32_t i = form_size(v); i-- > 0;) {
        if (!compiler_grow(m, w))
            return false;
        ((value *)w->items)[w->count++] = form_at(v, i);
    }
    return true;
}

bool declare_definitions(sx *m, value body, uint32_t from)
{
    CHECK(from > 0 && from <= form_size(body));
    walk_stack w = {.item_size = sizeof(value)};
    bool done = true;
    for (uint32_t i = from; done && i < form_size(body); i++) {
        done = look_for_definitions(m, form_at(body, i), &w);
        while (done && w.count > 0) {
            value v = ((value *)w.items)[--w.count];
            done = look_for_definitions(m, v, &w);
        }
    }
    walk_release(m, &w);
    uint32_t local = variable_at(m, compiler_of(m)->body)->slot;
    for (; local != NOTHING; local = variable_at(m, local)->outer)
        leave_here(m, local);
    return done;
}

/* ---- define, set! ----------------------------------------------------- */

static bool run_lambda(sx *, const task *);

/* A lambda whose parameters are list element a of form from index b on, and
 * whose body begins at a + 1. */
static bool push_lambda(sx *m, value form, uint32_t a, uint32_t b, string *name,
                        bool tail)
{
    CHECK(a < form_size(form));
    return push_task(m, (task){.run = run_lambda,
                               .form = form,
                               .a = a,
                               .b = b,
                               .name = name,
                               .tail = tail});
}

/* The value of a definition is on the stack; a: the variable. */
static bool run_defined(sx *m, const task *t)
{
    variable *v = variable_at(m, t->a);
    CHECK(v->kind == VARIABLE_LOCAL && v->unit == compiler_of(m)->unit);
    if (v->defined != UINT32_MAX)
        mark_assigned(m, v); /* for the second time */
    else
        v->defined = (uint32_t)compiler_of(m)->references.count;
    return emit(m, IR_DEFINE, t->a, 0, 0) && emit_end(m, t->tail);
}

bool push_defined(sx *m, string *name, bool tail)
{
    uint32_t i;
    if (compiler_of(m)->body == NOTHING)
        return add_global(m, name, &i) && push_return(m, tail) &&
               push_emit(m, IR_DEFINE_GLOBAL, i, 0);
    if (!find_in_body(m, name, &i) && !declare_local(m, name, &i))
        return false;
    return push_task(
        m, (task){.run = run_defined, .form = VALUE_NIL, .a = i, .tail = tail});
}

bool compile_define(sx *m, const task *t)
{
    value what = form_at(t->form, 1);
    bool is_lambda = is_list(what) && form_size(what) > 0;
    value head = is_lambda ? form_at(what, 0) : what;
    if (!is_symbol(head))
        return wants_name(m, "define", head);
    string *name = name_of(head);
    if (form_of(m, head) != NULL)
        return syntax_failed(m, "define: %s is a special form",
                             brief_name(m, name));
    if (!is_lambda && form_size(t->form) != 3)
        return syntax_failed(m, "define: %s needs one value",
                             brief_name(m, name));
    if (!push_defined(m, name, t->tail))
        return false;
    return is_lambda ? push_lambda(m, t->form, 1, 1, name, false)
                     : push_named(m, form_at(t->form, 2), name);
}

bool compile_define_macro(sx *m, const task *t)
{
    value head = form_at(t->form, 1);
    uint32_t i;
    if (!is_symbol(head))
        return wants_name(m, "defmacro", head);
    if (form_of(m, head) != NULL)
        return syntax_failed(m, "defmacro: %s is a special form",
                             name_of(head)->bytes);
    return add_global(m, name_of(head), &i) && push_return(m, t->tail) &&
           push_emit(m, IR_DEFINE_MACRO, i, 0) &&
           push_lambda(m, t->form, 2, 0, name_of(head), false);
}

static bool run_set(sx *m, const task *t)
{
    return emit_name(m, IR_SET_NAME, t->name, 0);
}

bool compile_set(sx *m, const task *t)
{
    value head = form_at(t->form, 1);
    if (!is_symbol(head))
        return wants_name(m, "set!", head);
    return push_return(m, t->tail) &&
           push_task(m, (task){.run = run_set,
                               .form = VALUE_NIL,
                               .name = name_of(head)}) &&
           push_expr(m, form_at(t->form, 2), false);
}

/* ---- fn --------------------------------------------------------------- */

bool declare_param(sx *m, value v)
{
    unit *u = current_unit(m);
    CHECK(u->depth == 0 && u->locals == 0); /* nothing runs before */
    if (!is_symbol(v))
        return wants_name(m, "parameters", v);
    string *name = name_of(v);
    uint32_t i;
    if ((name->head.flags & FLAG_HERE) != 0)
        return syntax_failed(m, "parameters: %s is there twice",
                             brief_name(m, name));
    if (!declare(m, name, VARIABLE_PARAM, u->params++, &i))
        return false;
    name->head.flags |= FLAG_HERE;
    return true;
}

static bool declare_params(sx *m, value params, uint32_t from)
{
    uint32_t size = form_size(params);
    for (uint32_t i = from; i < size; i++) {
        value v = form_at(params, i);
        if (is_named(v, "&rest")) {
            if (i + 2 != size)
                return syntax_failed(m, "&rest: one name must follow");
            current_unit(m)->rest = true;
            continue;
        }
        if (!declare_param(m, v))
            return false;
    }
    return true;
}

bool bind_params(sx *m, uint32_t outer)
{
    uint32_t i = compiler_of(m)->scope;
    for (; i != outer; i = variable_at(m, i)->outer) {
        CHECK(i != NOTHING);
        leave_here(m, i);
        if (!emit(m, IR_BIND, i, 0, 0))
            return false;
    }
    return true;
}

bool run_end_lambda(sx *m, const task *t)
{
    uint32_t made;
    CHECK(current_unit(m)->depth == 1); /* the value that is returned */
    compiler_of(m)->scope = t->a;
    end_unit(m, &made);
    return emit(m, IR_CLOSURE, made, 0, 1) && emit_end(m, t->tail);
}

static bool run_lambda(sx *m, const task *t)
{
    CHECK(t->b <= 1); /* 1: behind the name in (define (f ...) ...) */
    value params = form_at(t->form, t->a);
    if (!is_list(params))
        return syntax_failed(m, "fn: parameters must be a list, not %s",
                             brief(m, params));
    uint32_t outer = compiler_of(m)->scope;
    return begin_unit(m, t->name) && declare_params(m, params, t->b) &&
           bind_params(m, outer) &&
           push_task(m, (task){.run = run_end_lambda,
                               .form = VALUE_NIL,
                               .a = outer,
                               .tail = t->tail}) &&
           push_body(m, t->form, t->a + 1, true);
}

bool compile_lambda(sx *m, const task *t)
{
    return push_lambda(m, t->form, 1, 0, t->name, t->tail);
}
