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
    CHECK(compiler_of(m)->bodies > 0);
    uint32_t slot = current_unit(m)->locals++;
    return declare(m, name, VARIABLE_LOCAL, slot, out) &&
           emit(m, IR_NEW_BOX, *out, 0, 0);
}

/* A definition of the current body, not of one around it. */
static bool find_in_body(sx *m, const string *name, uint32_t *out)
{
    const compiler *c = compiler_of(m);
    CHECK(c->scope <= c->visible.count);
    const uint32_t *visible = c->visible.items;
    for (size_t i = c->visible.count; i-- > c->scope;) {
        const variable *v = variable_at(m, visible[i]);
        if (v->name == name && v->kind == VARIABLE_LOCAL) {
            *out = visible[i];
            return true;
        }
    }
    return false;
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

/* Forms whose definitions belong to the body around them. */
static bool is_transparent(const special_form *f)
{
    static const char *const names[] = {"begin", "do", "when", "unless", "if"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(f->name, names[i]) == 0)
            return true;
    }
    return false;
}

/* Declares what a form defines, or puts what is in it on the stack. */
static bool look_for_definitions(sx *m, value v, walk_stack *w)
{
    CHECK(w->item_size == sizeof(value));
    if (!is_list(v) || form_size(v) == 0)
        return true;
    const special_form *f = form_of(m, form_at(v, 0));
    if (f == NULL)
        return true;
    string *name = f->compile == compile_define ? defined_name(v) : NULL;
    uint32_t ignored;
    if (name != NULL && !find_in_body(m, name, &ignored))
        return declare_local(m, name, &ignored);
    if (!is_transparent(f))
        return true;
    for (uint32_t i = form_size(v); i-- > 1;) {
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
    if (v->ready)
        mark_assigned(m, v); /* for the second time */
    v->ready = true;
    return emit(m, IR_DEFINE, t->a, 0, 0) && emit_end(m, t->tail);
}

bool push_defined(sx *m, string *name, bool tail)
{
    uint32_t i;
    if (compiler_of(m)->bodies == 0)
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
        return syntax_failed(m, "define: %s is a special form", name->bytes);
    if (!is_lambda && form_size(t->form) != 3)
        return syntax_failed(m, "define: %s needs one value", name->bytes);
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

bool compile_set(sx *m, const task *t)
{
    value head = form_at(t->form, 1);
    uint32_t i;
    bool found;
    if (!is_symbol(head))
        return wants_name(m, "set!", head);
    if (!resolve(m, name_of(head), &i, &found))
        return false;
    if (found)
        mark_assigned(m, variable_at(m, i));
    else if (!add_global(m, name_of(head), &i))
        return false;
    return push_return(m, t->tail) &&
           push_emit(m, found ? IR_SET : IR_SET_GLOBAL, i, 0) &&
           push_expr(m, form_at(t->form, 2), false);
}

/* ---- fn --------------------------------------------------------------- */

bool declare_param(sx *m, value v)
{
    unit *u = current_unit(m);
    CHECK(u->depth == 0 && u->locals == 0); /* nothing runs before */
    if (!is_symbol(v))
        return wants_name(m, "parameters", v);
    uint32_t i;
    const compiler *c = compiler_of(m);
    const uint32_t *visible = c->visible.items;
    for (size_t n = c->visible.count; n-- > 0;) {
        const variable *old = variable_at(m, visible[n]);
        if (old->unit != c->unit || old->kind != VARIABLE_PARAM)
            break;
        if (old->name == name_of(v))
            return syntax_failed(m, "parameters: %s is there twice",
                                 old->name->bytes);
    }
    return declare(m, name_of(v), VARIABLE_PARAM, u->params++, &i);
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

bool bind_params(sx *m, size_t first)
{
    const compiler *c = compiler_of(m);
    CHECK(first <= c->visible.count);
    for (size_t i = first; i < c->visible.count; i++) {
        if (!emit(m, IR_BIND, ((uint32_t *)c->visible.items)[i], 0, 0))
            return false;
    }
    return true;
}

bool run_end_lambda(sx *m, const task *t)
{
    uint32_t made;
    CHECK(current_unit(m)->depth == 1); /* the value that is returned */
    CHECK(compiler_of(m)->visible.count >= t->a);
    compiler_of(m)->visible.count = t->a;
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
    size_t first = compiler_of(m)->visible.count;
    return begin_unit(m, t->name) && declare_params(m, params, t->b) &&
           bind_params(m, first) &&
           push_task(m, (task){.run = run_end_lambda,
                               .form = VALUE_NIL,
                               .a = (uint32_t)first,
                               .tail = t->tail}) &&
           push_body(m, t->form, t->a + 1, true);
}

bool compile_lambda(sx *m, const task *t)
{
    return push_lambda(m, t->form, 1, 0, t->name, t->tail);
}
