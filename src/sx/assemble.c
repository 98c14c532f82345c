/* SPDX-License-Identifier: MIT */
/* The end of compiling: intermediate instructions to code, now that it is
 * known which variables live in boxes. */
#include "base/mem.h"
#include "sx/compiler.h"
#include "sx/machine.h"
#include "sx/ops.h"

typedef struct assembler {
    sx *m;
    unit *unit;
    uint32_t number; /* of the unit */
    instr *at, *end; /* where the next instruction goes, and what bounds it */
    const instr **labels;
} assembler;

enum { FRAME_WORDS = 2 }; /* saved fp and pc, between parameters and locals */

static const instr_fn plain[] = {
    [IR_EMPTY_LIST] = op_empty_list, [IR_POP] = op_pop,
    [IR_SLIDE] = op_slide,           [IR_CALL] = op_call,
    [IR_APPEND] = op_append,         [IR_APPEND_ALL] = op_append_all,
    [IR_CASE_EQUAL] = op_case_equal, [IR_UNGUARD] = op_unguard,
    [IR_RAISE] = op_raise,           [IR_DICT] = op_dict,
};

static const instr_fn jumps[] = {
    [IR_JUMP] = op_jump,
    [IR_JUMP_FALSE] = op_jump_false,
    [IR_JUMP_FALSE_KEEP] = op_jump_false_keep,
    [IR_JUMP_TRUE_KEEP] = op_jump_true_keep,
    [IR_GUARD] = op_guard,
};

static const instr_fn globals[] = {
    [IR_GLOBAL] = op_global,
    [IR_SET_GLOBAL] = op_set_global,
    [IR_DEFINE_GLOBAL] = op_define_global,
    [IR_DEFINE_MACRO] = op_define_macro,
};

/* ---- sizes ------------------------------------------------------------ */

static const unit *closure_unit(sx *m, const ir *i)
{
    CHECK(i->op == IR_CLOSURE && i->a < compiler_of(m)->units.count);
    return &((unit *)compiler_of(m)->units.items)[i->a];
}

/* Boxes to be made when a body begins: the next local that lives in one. */
static const variable *next_boxed(sx *m, uint32_t local)
{
    for (; local != NOTHING; local = variable_at(m, local)->outer) {
        if (variable_at(m, local)->boxed)
            return variable_at(m, local);
    }
    return NULL;
}

static const variable *first_boxed(sx *m, const ir *i)
{
    CHECK(variable_at(m, i->a)->kind == VARIABLE_BODY);
    return next_boxed(m, variable_at(m, i->a)->slot);
}

static uint32_t count_boxed(sx *m, const ir *i)
{
    uint32_t count = 0;
    const variable *v = first_boxed(m, i);
    for (; v != NULL; v = next_boxed(m, v->outer))
        count++;
    return count;
}

/* How many instructions one becomes. */
static uint32_t expanded(sx *m, const ir *i)
{
    const variable *v;
    switch (i->op) {
    case IR_LABEL:
        return 0;
    case IR_BIND:
        v = variable_at(m, i->a);
        return !v->boxed ? 0 : v->kind == VARIABLE_SELF ? 4 : 1;
    case IR_BODY:
        return count_boxed(m, i);
    case IR_CLOSURE:
        return 1 + (uint32_t)closure_unit(m, i)->captures.count;
    default:
        return 1;
    }
}

/* The constant that names a variable, for its box and for errors. */
static bool add_name(sx *m, uint32_t v, uint32_t *out)
{
    return add_constant(m, value_symbol(variable_at(m, v)->name), out);
}

static bool add_local_names(sx *m, uint32_t body)
{
    uint32_t i = variable_at(m, body)->slot;
    for (; i != NOTHING; i = variable_at(m, i)->outer) {
        if (variable_at(m, i)->boxed &&
            !add_name(m, i, &variable_at(m, i)->constant))
            return false;
    }
    return true;
}

/* Adds the constants that only assembling needs to know of. */
static bool add_late_constants(sx *m, unit *u)
{
    CHECK(is_nil(u->made));
    for (size_t n = 0; n < u->code.count; n++) {
        ir *i = &((ir *)u->code.items)[n];
        bool added = true;
        if (i->op == IR_GET || i->op == IR_BIND)
            added = add_name(m, i->a, &i->b);
        else if (i->op == IR_BODY)
            added = add_local_names(m, i->a);
        else if (i->op == IR_CLOSURE)
            added = add_constant(m, closure_unit(m, i)->made, &i->b);
        if (!added)
            return false;
    }
    return true;
}

/* ---- variables -------------------------------------------------------- */

static uint32_t slot_of(const unit *u, const variable *v)
{
    uint32_t locals = u->params + FRAME_WORDS;
    switch (v->kind) {
    case VARIABLE_PARAM:
        CHECK(v->slot < u->params);
        return v->slot;
    case VARIABLE_TEMP:
        CHECK(v->slot < u->depth_max);
        return locals + u->locals + v->slot;
    default:
        CHECK(v->slot < u->locals || (v->kind == VARIABLE_SELF && !v->boxed));
        return locals + v->slot;
    }
}

static uint32_t capture_of(sx *m, const unit *u, uint32_t v)
{
    uint32_t i = variable_at(m, v)->captured;
    CHECK(i < u->captures.count && ((uint32_t *)u->captures.items)[i] == v);
    return i;
}

static void number_captures(sx *m, const unit *u)
{
    for (uint32_t i = 0; i < u->captures.count; i++)
        variable_at(m, ((uint32_t *)u->captures.items)[i])->captured = i;
}

static void put_one(assembler *a, instr one)
{
    CHECK(a->at < a->end);
    *a->at++ = one;
}

static void put(assembler *a, instr_fn run, uint32_t x, uint32_t y)
{
    put_one(a, (instr){.run = run, .a = x, .b = y});
}

static void put_get(assembler *a, const ir *i)
{
    const variable *v = variable_at(a->m, i->a);
    bool here = v->unit == a->number;
    uint32_t at = here ? slot_of(a->unit, v) : capture_of(a->m, a->unit, i->a);
    if (v->boxed)
        put(a, here ? op_local_box : op_captured_box, at, 0);
    else if (here && v->kind == VARIABLE_SELF)
        put(a, op_self, 0, 0);
    else if (v->kind == VARIABLE_LOCAL)
        put(a, here ? op_local_checked : op_captured_checked, at, i->b);
    else
        put(a, here ? op_local : op_captured, at, 0);
}

/* set! has put the variable in a box; a definition may have not. */
static void put_set(assembler *a, const ir *i)
{
    const variable *v = variable_at(a->m, i->a);
    bool here = v->unit == a->number;
    CHECK(v->boxed || (here && i->op == IR_DEFINE));
    if (!here)
        put(a, op_set_captured_box, capture_of(a->m, a->unit, i->a), 0);
    else if (i->op == IR_SET)
        put(a, op_set_local_box, slot_of(a->unit, v), 0);
    else
        put(a, v->boxed ? op_define_local_box : op_set_local,
            slot_of(a->unit, v), 0);
}

static void put_bind(assembler *a, const ir *i)
{
    const variable *v = variable_at(a->m, i->a);
    CHECK(v->unit == a->number);
    uint32_t slot = slot_of(a->unit, v);
    if (!v->boxed)
        return;
    if (v->kind == VARIABLE_SELF) {
        put(a, op_self, 0, 0);
        put(a, op_set_local, slot, 0);
        put(a, op_pop, 0, 0);
    }
    put(a, op_box_local, slot, i->b);
}

static void put_body(assembler *a, const ir *i)
{
    const variable *v = first_boxed(a->m, i);
    for (; v != NULL; v = next_boxed(a->m, v->outer)) {
        CHECK(v->unit == a->number);
        put(a, op_new_box, slot_of(a->unit, v), v->constant);
    }
}

static void put_closure(assembler *a, const ir *i)
{
    const unit *u = closure_unit(a->m, i);
    CHECK(is_kind(u->made, KIND_CODE) && u->parent == a->number);
    const uint32_t *captures = u->captures.items;
    put(a, op_closure, i->b, (uint32_t)u->captures.count);
    for (size_t n = 0; n < u->captures.count; n++) {
        const variable *v = variable_at(a->m, captures[n]);
        bool here = v->unit == a->number;
        if (here && v->kind == VARIABLE_SELF && !v->boxed)
            put(a, NULL, CAPTURE_SELF, 0);
        else if (here)
            put(a, NULL, CAPTURE_LOCAL, slot_of(a->unit, v));
        else
            put(a, NULL, CAPTURE_CAPTURED,
                capture_of(a->m, a->unit, captures[n]));
    }
}

/* ---- instructions ----------------------------------------------------- */

static void put_instr(assembler *a, const ir *i)
{
    const value *constants = a->unit->constants.items;
    switch (i->op) {
    case IR_CONSTANT:
        CHECK(i->a < a->unit->constants.count);
        put_one(a, (instr){.run = op_constant, .constant = constants[i->a]});
        break;
    case IR_GET:
        put_get(a, i);
        break;
    case IR_SET:
    case IR_DEFINE:
        put_set(a, i);
        break;
    case IR_BIND:
        put_bind(a, i);
        break;
    case IR_BODY:
        put_body(a, i);
        break;
    case IR_GLOBAL:
    case IR_SET_GLOBAL:
    case IR_DEFINE_GLOBAL:
    case IR_DEFINE_MACRO:
        CHECK(is_kind(constants[i->a], KIND_BOX));
        put_one(a, (instr){.run = globals[i->op],
                           .cell = (box *)object_of(constants[i->a])});
        break;
    case IR_JUMP:
    case IR_JUMP_FALSE:
    case IR_JUMP_FALSE_KEEP:
    case IR_JUMP_TRUE_KEEP:
    case IR_GUARD:
        CHECK(i->a < a->unit->labels && a->labels[i->a] != NULL);
        put_one(a, (instr){.run = jumps[i->op], .target = a->labels[i->a]});
        break;
    case IR_LABEL:
        break;
    case IR_CLOSURE:
        put_closure(a, i);
        break;
    case IR_TAIL_CALL:
        put(a, op_tail_call, i->a, a->unit->params);
        break;
    case IR_RETURN:
        put(a, op_return, a->unit->params, 0);
        break;
    default:
        CHECK(i->op < sizeof plain / sizeof *plain && plain[i->op] != NULL);
        put(a, plain[i->op], i->a, i->b);
        break;
    }
}

/* Finds out where labels are; returns the number of instructions. */
static uint32_t place_labels(sx *m, const unit *u, const instr *body,
                             const instr **labels)
{
    uint32_t size = 0;
    for (size_t n = 0; n < u->code.count; n++) {
        const ir *i = &((ir *)u->code.items)[n];
        if (i->op == IR_LABEL && labels != NULL) {
            CHECK(i->a < u->labels && labels[i->a] == NULL);
            labels[i->a] = body + size;
        }
        size += expanded(m, i);
    }
    return size;
}

static code *make_code(sx *m, const unit *u, uint32_t size)
{
    CHECK(!u->rest || u->params > 0);
    size_t constants = u->constants.count;
    code *c = heap_object(m, KIND_CODE,
                          sizeof *c + constants * sizeof(value) +
                              size * sizeof(instr));
    if (c == NULL)
        return NULL;
    c->head.aux = (uint32_t)constants;
    c->params = u->params;
    c->locals = u->locals;
    c->stack_max = u->locals + u->depth_max;
    c->rest = u->rest;
    c->name = u->name;
    if (constants > 0)
        memcpy(c->constants, u->constants.items, constants * sizeof(value));
    c->body = (instr *)(void *)(c->constants + constants);
    if (c->stack_max > m->stack_max)
        m->stack_max = c->stack_max;
    return c;
}

/* The labels' places are scratch for the time of one unit. */
static bool assemble_unit(sx *m, uint32_t number)
{
    compiler *c = compiler_of(m);
    c->unit = number;
    unit *u = current_unit(m);
    if (!add_late_constants(m, u))
        return false;
    size_t labels = u->labels * sizeof(instr *);
    const instr **places = heap_realloc(m, NULL, 0, labels);
    uint32_t size = place_labels(m, u, NULL, NULL);
    code *made = places == NULL ? NULL : make_code(m, u, size);
    if (made != NULL) {
        memset(places, 0, labels);
        place_labels(m, u, made->body, places);
        number_captures(m, u);
        assembler a = {m, u, number, made->body, made->body + size, places};
        for (size_t n = 0; n < u->code.count; n++)
            put_instr(&a, &((ir *)u->code.items)[n]);
        CHECK(a.at == made->body + size);
        u->made = value_object(made);
    }
    heap_free(m, places, places == NULL ? 0 : labels);
    return made != NULL;
}

static bool make_thunk(sx *m, value *out)
{
    const unit *u = current_unit(m);
    CHECK(is_kind(u->made, KIND_CODE) && u->captures.count == 0);
    lambda *made = heap_object(m, KIND_LAMBDA, sizeof *made);
    if (made == NULL)
        return false;
    made->code = (code *)object_of(current_unit(m)->made);
    *out = value_object(made);
    return true;
}

/* Runs until memory is out: what was assembled so far is kept. */
prim_status assemble(sx *m, value *out)
{
    const compiler *c = compiler_of(m);
    CHECK(c->tasks.count == 0 && c->units.count > 0);
    CHECK(c->body == NOTHING && c->scope == NOTHING);
    bool resolved;
    if (!resolve_names(m, &resolved))
        return PRIM_FAILED;
    if (!resolved)
        return PRIM_AGAIN;
    m->error.status = PERSIST_OK;
    for (uint32_t n = (uint32_t)c->units.count; n-- > 0;) {
        const unit *u = &((unit *)c->units.items)[n];
        if (is_nil(u->made) && !assemble_unit(m, n))
            return m->error.status == PERSIST_OK ? PRIM_MEMORY : PRIM_FAILED;
    }
    if (!make_thunk(m, out))
        return PRIM_MEMORY;
    compiler_reset(m);
    return PRIM_OK;
}
