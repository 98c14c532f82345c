/* SPDX-License-Identifier: MIT */
/* The compiler's tasks: expressions, calls, bodies, macro calls. */
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "sx/compiler.h"
#include "sx/forms.h"
#include "sx/machine.h"

enum { STACK_KEEP = 1024, TASKS_A_STEP = 32, ARGUMENTS_MAX = 1 << 20 };

bool syntax_failed(sx *m, const char *format, ...)
{
    char text[PERSIST_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fail(m, SX_SYNTAX, "%s", text);
    return false;
}

bool push_task(sx *m, task t)
{
    CHECK(t.run != NULL);
    walk_stack *w = &m->compiler->tasks;
    if (!compiler_grow(m, w))
        return false;
    ((task *)w->items)[w->count++] = t;
    return true;
}

static bool run_emit(sx *m, const task *t)
{
    CHECK(is_fixnum(t->form) && t->a <= IR_RAISE);
    return emit(m, (ir_op)t->a, t->b, 0, (int)fixnum_of(t->form));
}

bool push_emit(sx *m, ir_op op, uint32_t a, int delta)
{
    return push_task(m, (task){.run = run_emit,
                               .form = value_fixnum(delta),
                               .a = (uint32_t)op,
                               .b = a});
}

static bool run_return(sx *m, const task *t)
{
    return emit_end(m, t->tail);
}

bool push_return(sx *m, bool tail)
{
    return push_task(
        m, (task){.run = run_return, .form = VALUE_NIL, .tail = tail});
}

/* ---- bodies ----------------------------------------------------------- */

/* The forms from index a on. */
static bool run_forms(sx *m, const task *t)
{
    uint32_t size = form_size(t->form);
    if (t->a >= size)
        return emit_constant(m, VALUE_NIL) && emit_end(m, t->tail);
    if (t->a + 1 == size)
        return push_expr(m, form_at(t->form, t->a), t->tail);
    task rest = *t;
    rest.a++;
    return push_task(m, rest) && push_emit(m, IR_POP, 0, -1) &&
           push_expr(m, form_at(t->form, t->a), false);
}

bool push_forms(sx *m, value body, uint32_t from, bool tail)
{
    CHECK(is_list(body) && from > 0);
    return push_task(
        m, (task){.run = run_forms, .form = body, .a = from, .tail = tail});
}

/* a: what the scope was, b: the body. */
static bool run_leave(sx *m, const task *t)
{
    m->compiler->scope = t->a;
    m->compiler->body = t->b;
    return true;
}

bool push_leave(sx *m)
{
    const compiler *c = m->compiler;
    return push_task(m, (task){.run = run_leave,
                               .form = VALUE_NIL,
                               .a = c->scope,
                               .b = c->body});
}

static bool run_body(sx *m, const task *t)
{
    return push_leave(m) && begin_body(m) &&
           declare_definitions(m, t->form, t->a) &&
           push_forms(m, t->form, t->a, t->tail);
}

bool push_body(sx *m, value body, uint32_t from, bool tail)
{
    CHECK(is_list(body) && from > 0);
    return push_task(
        m, (task){.run = run_body, .form = body, .a = from, .tail = tail});
}

/* ---- expressions ------------------------------------------------------ */

static bool compile_symbol(sx *m, value v)
{
    if (form_of(m, v) != NULL)
        return syntax_failed(m, "%s is a special form, not a value",
                             name_of(v)->bytes);
    return emit_name(m, IR_NAME, name_of(v), 1);
}

/* Element a of a call and what follows it. */
static bool run_call(sx *m, const task *t)
{
    uint32_t size = form_size(t->form);
    CHECK(t->a <= size);
    if (t->a == size) {
        int delta = -(int)(size - 1);
        return emit(m, t->tail ? IR_TAIL_CALL : IR_CALL, size - 1, 0, delta) &&
               emit_end(m, t->tail);
    }
    task rest = *t;
    rest.a++;
    return push_task(m, rest) && push_expr(m, form_at(t->form, t->a), false);
}

/* Value a of a dict literal and what follows it. */
static bool run_dict(sx *m, const task *t)
{
    const dict *d = dict_of(t->form);
    uint32_t size = (uint32_t)dict_size(d), template;
    if (t->a < size) {
        task rest = *t;
        rest.a++;
        return push_task(m, rest) &&
               push_expr(m, dict_entries(d)[t->a].value, false);
    }
    return add_constant(m, t->form, &template) &&
           emit(m, IR_DICT, template, size, 1 - (int)size) &&
           emit_end(m, t->tail);
}

bool find_macro(sx *m, value head, value *out)
{
    if (!is_symbol(head) || is_local(m, name_of(head)))
        return false;
    entry *e = dict_entry(dict_of(m->globals), name_of(head));
    if (e == NULL)
        return false;
    CHECK(is_kind(e->value, KIND_BOX));
    value v = ((box *)object_of(e->value))->value;
    if (!is_kind(v, KIND_MACRO))
        return false;
    *out = value_object(((macro *)object_of(v))->expander);
    return true;
}

static bool wait_for_macro(sx *m, value expander, const task *t)
{
    compiler *c = m->compiler;
    CHECK(!c->waiting);
    c->waiting = true;
    c->serial++;
    c->expander = expander;
    c->macro_form = t->form;
    c->tail = t->tail;
    c->name = t->name;
    return true;
}

static bool compile_list(sx *m, const task *t)
{
    CHECK(is_list(t->form));
    uint32_t size = form_size(t->form);
    if (size == 0)
        return emit(m, IR_EMPTY_LIST, 0, 0, 1) && emit_end(m, t->tail);
    value head = form_at(t->form, 0), expander;
    const special_form *f = form_of(m, head);
    if (f != NULL) {
        if (size - 1 < f->min || size - 1 > f->max)
            return syntax_failed(m, "%s: the form is (%s%s%s)", f->name,
                                 f->name, f->usage[0] == '\0' ? "" : " ",
                                 f->usage);
        return f->compile(m, t);
    }
    if (find_macro(m, head, &expander))
        return wait_for_macro(m, expander, t);
    if (size - 1 > ARGUMENTS_MAX) {
        fail(m, PERSIST_LIMIT,
             "a call with over %d arguments; apply takes more",
             (int)ARGUMENTS_MAX);
        return false;
    }
    return push_task(m,
                     (task){.run = run_call, .form = t->form, .tail = t->tail});
}

static bool run_expr(sx *m, const task *t)
{
    value v = t->form;
    if (is_list(v))
        return compile_list(m, t);
    if (is_dict(v))
        return push_task(m,
                         (task){.run = run_dict, .form = v, .tail = t->tail});
    if (is_symbol(v))
        return compile_symbol(m, v) && emit_end(m, t->tail);
    if (is_keyword(v))
        v = value_object(name_of(v));
    return emit_constant(m, v) && emit_end(m, t->tail);
}

bool push_named(sx *m, value form, string *name)
{
    return push_task(m, (task){.run = run_expr, .form = form, .name = name});
}

bool push_expr(sx *m, value form, bool tail)
{
    return push_task(m, (task){.run = run_expr, .form = form, .tail = tail});
}

/* ---- the compiler as a primitive -------------------------------------- */

enum { COMPILE_SERIAL, COMPILE_SLOTS };

static prim_status call_macro(sx *m, value *slots)
{
    compiler *c = m->compiler;
    CHECK(c->waiting && is_kind(c->expander, KIND_LAMBDA));
    const list *l = list_of(c->macro_form);
    size_t count = list_size(l) - 1;
    slots[COMPILE_SERIAL] = value_fixnum(c->serial);
    size_t base = (size_t)(m->call_base - m->stack.base);
    if (!stack_reserve(m, count + STACK_SLACK))
        return PRIM_MEMORY;
    m->call_base = m->stack.base + base;
    m->call_base[0] = c->expander;
    if (count > 0)
        memcpy(m->call_base + 1, list_items(l) + 1, count * sizeof(value));
    m->call_count = count;
    return PRIM_CALL;
}

static bool take_expansion(sx *m, const value *slots, value result)
{
    compiler *c = m->compiler;
    if (!c->waiting || fixnum_of(slots[COMPILE_SERIAL]) != c->serial) {
        fail(m, SX_ERROR, "a continuation of a macro call that has ended");
        return false;
    }
    if (!compiler_grow(m, &c->roots))
        return false;
    ((value *)c->roots.items)[c->roots.count++] = result;
    c->waiting = false;
    return push_task(m, (task){.run = run_expr,
                               .form = result,
                               .tail = c->tail,
                               .name = c->name});
}

static prim_status compile_step(sx *m, value *args, value *slots,
                                const value *result, value *out)
{
    (void)args;
    compiler *c = m->compiler;
    if (result != NULL) /* a step of its own, since it is not to be repeated */
        return take_expansion(m, slots, *result) ? PRIM_AGAIN : PRIM_FAILED;
    CHECK(c->units.count > 0);
    for (int i = 0; i < TASKS_A_STEP && !c->waiting; i++) {
        if (c->tasks.count == 0)
            return assemble(m, out);
        task t = ((task *)c->tasks.items)[--c->tasks.count];
        if (!t.run(m, &t))
            return PRIM_FAILED;
    }
    return c->waiting ? call_macro(m, slots) : PRIM_AGAIN;
}

const prim compile_prim = {.name = "compile",
                           .usage = "",
                           .doc = "Compiles the form that was read.",
                           .step = compile_step,
                           .slots = COMPILE_SLOTS};

/* ---- life ------------------------------------------------------------- */

bool compiler_open(sx *m)
{
    CHECK(m->compiler == NULL);
    compiler *c = m->compiler = mem_alloc_zero(sizeof *m->compiler);
    if (c == NULL)
        return false;
    c->tasks.item_size = sizeof(task);
    c->units.item_size = sizeof(unit);
    c->variables.item_size = sizeof(variable);
    c->references.item_size = sizeof(reference);
    c->roots.item_size = sizeof(value);
    c->expander = c->macro_form = VALUE_NIL;
    c->scope = c->body = NOTHING;
    return true;
}

static void release_stacks(sx *m, size_t keep)
{
    compiler *c = m->compiler;
    walk_stack *all[] = {&c->tasks, &c->units, &c->variables, &c->references,
                         &c->roots};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i]->count == 0 && all[i]->capacity > keep)
            walk_release(m, all[i]);
    }
}

void compiler_trim(sx *m)
{
    release_stacks(m, 0);
}

void compiler_reset(sx *m)
{
    compiler *c = m->compiler;
    unit *units = c->units.items;
    for (size_t i = 0; i < c->units.count; i++) {
        walk_release(m, &units[i].code);
        walk_release(m, &units[i].constants);
        walk_release(m, &units[i].captures);
    }
    const variable *variables = c->variables.items;
    for (size_t i = 0; i < c->variables.count; i++) {
        if (variables[i].kind != VARIABLE_BODY)
            variables[i].name->head.flags &=
                (uint8_t) ~(FLAG_VARIABLE | FLAG_HERE);
    }
    c->tasks.count = c->units.count = c->variables.count = 0;
    c->references.count = c->roots.count = 0;
    release_stacks(m, STACK_KEEP);
    c->unit = c->resolving = 0;
    c->resolved = 0;
    c->scope = c->body = NOTHING;
    c->waiting = false;
    c->expander = c->macro_form = VALUE_NIL;
    c->name = NULL;
}

void compiler_close(sx *m)
{
    if (m->compiler == NULL)
        return;
    compiler_reset(m);
    compiler_trim(m);
    mem_free(m->compiler);
    m->compiler = NULL;
}

bool compiler_begin(sx *m, value form)
{
    compiler_reset(m);
    compiler *c = m->compiler;
    if (!walk_grow(m, &c->roots) || !walk_grow(m, &c->tasks) ||
        !walk_grow(m, &c->units))
        return false;
    ((value *)c->roots.items)[c->roots.count++] = form;
    return begin_unit(m, NULL) && push_expr(m, form, true);
}

static void mark_values(sx *m, const walk_stack *w)
{
    CHECK(w->item_size == sizeof(value));
    for (size_t i = 0; i < w->count; i++)
        heap_mark(m, ((value *)w->items)[i]);
}

static void mark_name(sx *m, const string *name)
{
    heap_mark(m, value_object(name));
}

/* Names too: a macro may have changed the form that they came from. */
void compiler_mark(sx *m)
{
    const compiler *c = m->compiler;
    mark_values(m, &c->roots);
    heap_mark(m, c->expander);
    heap_mark(m, c->macro_form);
    mark_name(m, c->name);
    const unit *units = c->units.items;
    for (size_t i = 0; i < c->units.count; i++) {
        mark_values(m, &units[i].constants);
        heap_mark(m, units[i].made);
        mark_name(m, units[i].name);
    }
    const task *tasks = c->tasks.items;
    for (size_t i = 0; i < c->tasks.count; i++) {
        heap_mark(m, tasks[i].form);
        mark_name(m, tasks[i].name);
    }
    const variable *variables = c->variables.items;
    for (size_t i = 0; i < c->variables.count; i++)
        mark_name(m, variables[i].name);
    const reference *references = c->references.items;
    for (size_t i = 0; i < c->references.count; i++)
        mark_name(m, references[i].name);
}
