/* SPDX-License-Identifier: MIT */
/* The compiler's units and variables. */
#include "sx/compiler.h"
#include "sx/machine.h"

enum { NAMES_A_STEP = 64 };

compiler *compiler_of(sx *m)
{
    return m->compiler;
}

/* Collecting is safe here: all that is being compiled hangs on the compiler's
 * roots. */
bool compiler_grow(sx *m, walk_stack *w)
{
    if (LIKELY(w->count < w->capacity) || walk_grow(m, w))
        return true;
    heap_collect(m, NULL, 0);
    if (walk_grow(m, w))
        return true;
    fail_memory(m);
    return false;
}

static unit *unit_at(sx *m, uint32_t i)
{
    CHECK(i < m->compiler->units.count);
    return &((unit *)m->compiler->units.items)[i];
}

unit *current_unit(sx *m)
{
    return unit_at(m, m->compiler->unit);
}

variable *variable_at(sx *m, uint32_t i)
{
    CHECK(i < m->compiler->variables.count);
    return &((variable *)m->compiler->variables.items)[i];
}

/* ---- emitting --------------------------------------------------------- */

bool emit(sx *m, ir_op op, uint32_t a, uint32_t b, int delta)
{
    unit *u = current_unit(m);
    CHECK(is_nil(u->made));
    if (!compiler_grow(m, &u->code))
        return false;
    ((ir *)u->code.items)[u->code.count++] = (ir){op, a, b};
    CHECK(delta >= 0 || u->depth >= (uint32_t)-delta);
    u->depth += (uint32_t)delta;
    if (u->depth > u->depth_max)
        u->depth_max = u->depth;
    return true;
}

bool add_constant(sx *m, value v, uint32_t *out)
{
    CHECK(!value_same(v, VALUE_UNBOUND));
    walk_stack *w = &current_unit(m)->constants;
    const value *items = w->items;
    /* The last few are looked at, since a name is often used again. */
    for (size_t i = w->count; i > 0 && i + 16 > w->count; i--) {
        if (value_same(items[i - 1], v)) {
            *out = (uint32_t)i - 1;
            return true;
        }
    }
    if (!compiler_grow(m, w))
        return false;
    *out = (uint32_t)w->count;
    ((value *)w->items)[w->count++] = v;
    return true;
}

bool emit_constant(sx *m, value v)
{
    uint32_t i;
    return add_constant(m, v, &i) && emit(m, IR_CONSTANT, i, 0, 1);
}

bool emit_end(sx *m, bool tail)
{
    return !tail || emit(m, IR_RETURN, 0, 0, 0);
}

uint32_t new_label(sx *m)
{
    return current_unit(m)->labels++;
}

static bool make_global(sx *m, string *name, value *out)
{
    return make_box(m, VALUE_UNBOUND, name, out) &&
           dict_set(m, dict_of(m->globals), name, *out);
}

bool add_global(sx *m, string *name, uint32_t *out)
{
    entry *e = dict_entry(dict_of(m->globals), name);
    CHECK(e == NULL || is_kind(e->value, KIND_BOX));
    if (e != NULL)
        return add_constant(m, e->value, out);
    value made;
    if (!make_global(m, name, &made)) {
        heap_collect(m, NULL, 0);
        if (!make_global(m, name, &made)) {
            fail_memory(m);
            return false;
        }
    }
    return add_constant(m, made, out);
}

/* ---- variables -------------------------------------------------------- */

static bool add_variable(sx *m, variable v, uint32_t *out)
{
    walk_stack *w = &m->compiler->variables;
    if (!compiler_grow(m, w))
        return false;
    *out = (uint32_t)w->count++;
    v.unit = m->compiler->unit;
    v.defined = UINT32_MAX;
    *variable_at(m, *out) = v;
    return true;
}

bool declare(sx *m, string *name, variable_kind kind, uint32_t slot,
             uint32_t *out)
{
    CHECK((name->head.flags & FLAG_INTERNED) != 0);
    compiler *c = m->compiler;
    bool local = kind == VARIABLE_LOCAL;
    uint32_t outer = local ? variable_at(m, c->body)->slot : c->scope;
    variable v = {.name = name, .outer = outer, .slot = slot, .kind = kind};
    if (!add_variable(m, v, out))
        return false;
    name->head.flags |= FLAG_VARIABLE;
    if (local)
        variable_at(m, c->body)->slot = *out;
    else
        c->scope = *out;
    return true;
}

bool begin_body(sx *m)
{
    compiler *c = m->compiler;
    variable v = {.outer = c->scope, .slot = NOTHING, .kind = VARIABLE_BODY};
    if (!add_variable(m, v, &c->body))
        return false;
    c->scope = c->body;
    return emit(m, IR_BODY, c->body, 0, 0);
}

/* Looks for a name from a variable outwards, through what they are linked by;
 * locals are linked to each other only. */
static bool find_from(sx *m, const string *name, uint32_t at, uint32_t *out)
{
    for (; at != NOTHING; at = variable_at(m, at)->outer) {
        const variable *v = variable_at(m, at);
        uint32_t local = v->kind == VARIABLE_BODY ? v->slot : NOTHING;
        for (; local != NOTHING; local = variable_at(m, local)->outer) {
            if (variable_at(m, local)->name == name) {
                *out = local;
                return true;
            }
        }
        if (v->name == name) {
            *out = at;
            return true;
        }
    }
    return false;
}

/* Most names, and the heads of all special forms, are never variables. */
static bool may_be_variable(const string *name)
{
    return (name->head.flags & FLAG_VARIABLE) != 0;
}

bool find_in_body(sx *m, const string *name, uint32_t *out)
{
    CHECK(m->compiler->body != NOTHING);
    return may_be_variable(name) &&
           find_from(m, name, variable_at(m, m->compiler->body)->slot, out);
}

bool is_local(sx *m, string *name)
{
    uint32_t ignored;
    return may_be_variable(name) &&
           find_from(m, name, m->compiler->scope, &ignored);
}

/* ---- names ------------------------------------------------------------ */

bool emit_name(sx *m, ir_op op, string *name, int delta)
{
    CHECK(op == IR_NAME || op == IR_SET_NAME);
    walk_stack *w = &m->compiler->references;
    if (!compiler_grow(m, w))
        return false;
    uint32_t made = (uint32_t)w->count++;
    ((reference *)w->items)[made] = (reference){name, m->compiler->scope};
    return emit(m, op, made, 0, delta);
}

static bool captures(const unit *u, uint32_t v)
{
    const uint32_t *items = u->captures.items;
    for (size_t i = 0; i < u->captures.count; i++) {
        if (items[i] == v)
            return true;
    }
    return false;
}

/* Has the current unit, and those between it and the variable's own, capture a
 * variable; number: of the reference. */
static bool capture(sx *m, uint32_t found, uint32_t number)
{
    variable *v = variable_at(m, found);
    for (uint32_t u = m->compiler->unit; u != v->unit;) {
        CHECK(u > v->unit); /* a unit comes behind its parent */
        if (captures(unit_at(m, u), found))
            break;
        walk_stack *w = &unit_at(m, u)->captures;
        if (!compiler_grow(m, w))
            return false;
        ((uint32_t *)w->items)[w->count++] = found;
        u = unit_at(m, u)->parent;
    }
    if (v->kind == VARIABLE_LOCAL && number < v->defined &&
        v->unit != m->compiler->unit)
        v->boxed = true;
    return true;
}

static bool resolve(sx *m, ir *i)
{
    const walk_stack *w = &m->compiler->references;
    CHECK(i->a < w->count);
    reference r = ((const reference *)w->items)[i->a];
    bool set = i->op == IR_SET_NAME;
    uint32_t found;
    if (!may_be_variable(r.name) || !find_from(m, r.name, r.scope, &found)) {
        if (!add_global(m, r.name, &found))
            return false;
        *i = (ir){set ? IR_SET_GLOBAL : IR_GLOBAL, found, 0};
        return true;
    }
    if (!capture(m, found, i->a))
        return false;
    if (set)
        mark_assigned(m, variable_at(m, found));
    *i = (ir){set ? IR_SET : IR_GET, found, 0};
    return true;
}

bool resolve_names(sx *m, bool *done)
{
    compiler *c = m->compiler;
    *done = c->resolving == c->units.count;
    if (*done)
        return true;
    c->unit = c->resolving;
    const walk_stack *body = &current_unit(m)->code;
    size_t names = 0;
    while (c->resolved < body->count && names < NAMES_A_STEP) {
        ir *i = &((ir *)body->items)[c->resolved];
        bool is_name = i->op == IR_NAME || i->op == IR_SET_NAME;
        if (is_name && !resolve(m, i))
            return false;
        names += is_name;
        c->resolved++;
    }
    if (c->resolved == body->count) {
        c->resolving++;
        c->resolved = 0;
    }
    return true;
}

void mark_assigned(sx *m, variable *v)
{
    if (v->kind == VARIABLE_SELF && !v->boxed)
        v->slot = unit_at(m, v->unit)->locals++;
    v->boxed = true;
}

/* ---- units ------------------------------------------------------------ */

bool begin_unit(sx *m, string *name)
{
    compiler *c = m->compiler;
    CHECK(c->unit <= c->units.count);
    if (!compiler_grow(m, &c->units))
        return false;
    uint32_t made = (uint32_t)c->units.count++;
    *unit_at(m, made) = (unit){.parent = c->unit,
                               .name = name,
                               .code = {.item_size = sizeof(ir)},
                               .constants = {.item_size = sizeof(value)},
                               .captures = {.item_size = sizeof(uint32_t)},
                               .made = VALUE_NIL};
    c->unit = made;
    return true;
}

void end_unit(sx *m, uint32_t *out)
{
    CHECK(m->compiler->unit > 0);
    *out = m->compiler->unit;
    CHECK(current_unit(m)->parent < m->compiler->unit);
    m->compiler->unit = current_unit(m)->parent;
}

const special_form *form_of(sx *m, value symbol)
{
    if (!is_symbol(symbol))
        return NULL;
    entry *e = dict_entry(dict_of(m->forms), name_of(symbol));
    if (e == NULL || is_local(m, name_of(symbol)))
        return NULL;
    CHECK((size_t)fixnum_of(e->value) < form_count);
    return &forms[fixnum_of(e->value)];
}
