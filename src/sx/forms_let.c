/* SPDX-License-Identifier: MIT */
/* The special forms let, named let and letrec. */
#include "sx/compiler.h"
#include "sx/forms.h"
#include "sx/list.h"
#include "sx/machine.h"

/* ---- let -------------------------------------------------------------- */

/* Name i and value of bindings ((a 1) (b 2)) or (a 1 b 2). */
typedef struct bindings {
    value list;
    uint32_t count;
    bool flat;
} bindings;

static bool read_bindings(sx *m, const char *form, value v, bindings *out)
{
    if (!is_list(v))
        return syntax_failed(m, "%s: bindings must be a list, not %s", form,
                             brief(m, v));
    uint32_t size = form_size(v);
    *out = (bindings){v, size, size > 0 && !is_list(form_at(v, 0))};
    if (out->flat) {
        if (size % 2 != 0)
            return syntax_failed(m, "%s: a name without a value", form);
        out->count = size / 2;
    }
    for (uint32_t i = 0; i < out->count; i++) {
        value b = form_at(v, out->flat ? 2 * i : i);
        if (!out->flat && (!is_list(b) || form_size(b) != 2))
            return syntax_failed(m, "%s: a binding is (name value), not %s",
                                 form, brief(m, b));
        value name = out->flat ? b : form_at(b, 0);
        if (!is_symbol(name))
            return wants_name(m, form, name);
    }
    return true;
}

static string *binding_name(const bindings *b, uint32_t i)
{
    CHECK(i < b->count);
    return name_of(b->flat ? form_at(b->list, 2 * i)
                           : form_at(form_at(b->list, i), 0));
}

static value binding_value(const bindings *b, uint32_t i)
{
    CHECK(i < b->count);
    return b->flat ? form_at(b->list, 2 * i + 1)
                   : form_at(form_at(b->list, i), 1);
}

/* The value of a variable is on top of the stack and stays there. */
static bool run_bind(sx *m, const task *t)
{
    CHECK(t->name != NULL && current_unit(m)->depth > 0);
    uint32_t i;
    return declare(m, t->name, VARIABLE_TEMP, current_unit(m)->depth - 1, &i) &&
           emit(m, IR_BIND, i, 0, 0);
}

bool run_unbind(sx *m, const task *t)
{
    compiler_of(m)->scope = t->a;
    if (t->b == 0)
        return true;
    if (!t->tail)
        return emit(m, IR_SLIDE, t->b, 0, -(int)t->b);
    CHECK(current_unit(m)->depth > t->b);
    current_unit(m)->depth -= t->b;
    return true;
}

static bool push_unbind(sx *m, uint32_t count, bool tail)
{
    return push_task(m, (task){.run = run_unbind,
                               .form = VALUE_NIL,
                               .a = compiler_of(m)->scope,
                               .b = count,
                               .tail = tail});
}

static bool run_self(sx *, const task *);

bool compile_let(sx *m, const task *t)
{
    value first = form_at(t->form, 1);
    bindings b;
    if (is_symbol(first)) {
        task named = *t;
        named.run = run_self;
        return push_task(m, named);
    }
    if (!read_bindings(m, "let", first, &b) ||
        !push_unbind(m, b.count, t->tail) || !push_body(m, t->form, 2, t->tail))
        return false;
    for (uint32_t i = b.count; i-- > 0;) {
        string *name = binding_name(&b, i);
        if (!push_task(
                m, (task){.run = run_bind, .form = VALUE_NIL, .name = name}) ||
            !push_named(m, binding_value(&b, i), name))
            return false;
    }
    return true;
}

/* ---- named let -------------------------------------------------------- */

/* The call of the loop, its arguments being on the stack; a: how many. */
static bool run_start_loop(sx *m, const task *t)
{
    CHECK(current_unit(m)->depth > t->a);
    return emit(m, t->tail ? IR_TAIL_CALL : IR_CALL, t->a, 0, -(int)t->a) &&
           emit_end(m, t->tail);
}

/* The lambda of a named let, in which the name means itself. */
static bool run_self_lambda(sx *m, const task *t)
{
    CHECK(is_symbol(form_at(t->form, 1)) && form_size(t->form) >= 4);
    value form = t->form;
    bindings b;
    uint32_t outer = compiler_of(m)->scope;
    uint32_t i;
    string *name = name_of(form_at(form, 1));
    if (!read_bindings(m, "let", form_at(form, 2), &b) ||
        !begin_unit(m, name) || !declare(m, name, VARIABLE_SELF, 0, &i))
        return false;
    for (uint32_t n = 0; n < b.count; n++) {
        if (!declare_param(m, value_symbol(binding_name(&b, n))))
            return false;
    }
    return bind_params(m, outer) &&
           push_task(
               m,
               (task){.run = run_end_lambda, .form = VALUE_NIL, .a = outer}) &&
           push_body(m, form, 3, true);
}

static bool run_self(sx *m, const task *t)
{
    bindings b;
    if (form_size(t->form) < 4)
        return syntax_failed(
            m, "let: the form is (let name ((name value) ...) form ...)");
    if (!read_bindings(m, "let", form_at(t->form, 2), &b))
        return false;
    task start = {.run = run_start_loop,
                  .form = VALUE_NIL,
                  .a = b.count,
                  .tail = t->tail};
    if (!push_task(m, start))
        return false;
    for (uint32_t i = b.count; i-- > 0;) {
        if (!push_expr(m, binding_value(&b, i), false))
            return false;
    }
    task self = *t;
    self.run = run_self_lambda;
    return push_task(m, self);
}

/* ---- letrec ----------------------------------------------------------- */

/* Binding a and those behind it; b: how many there are. Macros may add to the
 * list meanwhile. */
static bool run_letrec(sx *m, const task *t)
{
    value from = form_at(t->form, 1);
    if (t->a == t->b)
        return push_body(m, t->form, 2, t->tail);
    bindings b = {from, t->b, !is_list(form_at(from, 0))};
    string *name = binding_name(&b, t->a);
    task rest = *t;
    rest.a++;
    return push_task(m, rest) && push_emit(m, IR_POP, 0, -1) &&
           push_defined(m, name, false) &&
           push_named(m, binding_value(&b, t->a), name);
}

bool compile_letrec(sx *m, const task *t)
{
    bindings b = {0};
    uint32_t v;
    if (!read_bindings(m, "letrec", form_at(t->form, 1), &b) ||
        !push_leave(m) || !begin_body(m))
        return false;
    for (uint32_t i = 0; i < b.count; i++) {
        if (!declare_local(m, binding_name(&b, i), &v))
            return false;
    }
    task values = *t;
    values.run = run_letrec;
    values.a = 0;
    values.b = b.count;
    return push_task(m, values);
}
