/* SPDX-License-Identifier: MIT */
/* The compiler's units and variables. */
#include "sx/compiler.h"
#include "sx/machine.h"

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
    fail(m, PERSIST_LIMIT, "memory for compiling is out");
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
            fail(m, PERSIST_LIMIT, "memory for compiling is out");
            return false;
        }
    }
    return add_constant(m, made, out);
}

/* ---- variables -------------------------------------------------------- */

bool declare(sx *m, string *name, variable_kind kind, uint32_t slot,
             uint32_t *out)
{
    CHECK((name->head.flags & FLAG_INTERNED) != 0);
    compiler *c = m->compiler;
    if (!compiler_grow(m, &c->variables) || !compiler_grow(m, &c->visible))
        return false;
    *out = (uint32_t)c->variables.count++;
    name->head.flags |= FLAG_VARIABLE;
    *variable_at(m, *out) = (variable){.name = name,
                                       .unit = c->unit,
                                       .slot = slot,
                                       .kind = kind,
                                       .ready = kind != VARIABLE_LOCAL};
    ((uint32_t *)c->visible.items)[c->visible.count++] = *out;
    return true;
}

static bool find(sx *m, const string *name, uint32_t *out)
{
    compiler *c = m->compiler;
    const uint32_t *visible = c->visible.items;
    if ((name->head.flags & FLAG_VARIABLE) == 0)
        return false; /* most names, and the heads of all special forms */
    for (size_t i = c->visible.count; i-- > 0;) {
        if (variable_at(m, visible[i])->name == name) {
            *out = visible[i];
            return true;
        }
    }
    return false;
}

bool is_local(sx *m, string *name)
{
    uint32_t ignored;
    return find(m, name, &ignored);
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

bool resolve(sx *m, string *name, uint32_t *out, bool *found)
{
    *found = find(m, name, out);
    if (!*found)
        return true;
    uint32_t home = variable_at(m, *out)->unit;
    for (uint32_t u = m->compiler->unit; u != home;) {
        CHECK(u > home); /* a unit comes behind its parent */
        if (captures(unit_at(m, u), *out))
            break;
        walk_stack *w = &unit_at(m, u)->captures;
        if (!compiler_grow(m, w))
            return false;
        ((uint32_t *)w->items)[w->count++] = *out;
        u = unit_at(m, u)->parent;
    }
    variable *v = variable_at(m, *out);
    if (!v->ready && home != m->compiler->unit)
        v->boxed = true;
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
