/* SPDX-License-Identifier: MIT */
/* The instructions. Each makes what it needs first and changes the stack last,
 * so that it can run again when memory was out. */
#include "sx/ops.h"

#include "sx/list.h"

static lambda *current(sx *m)
{
    return (lambda *)object_of(m->fp[-1]);
}

static const instr *push(sx *m, value v, const instr *i)
{
    *m->sp++ = v;
    return i + 1;
}

static const instr *unbound(sx *m, const string *name)
{
    fail(m, SX_UNBOUND, "%s", brief_name(m, name));
    return stop(m, SIGNAL_ERROR);
}

/* ---- values ----------------------------------------------------------- */

/* -> v */
const instr *op_constant(sx *m, const instr *i)
{
    return push(m, i->constant, i);
}

/* -> a new list */
const instr *op_empty_list(sx *m, const instr *i)
{
    value v;
    return list_new(m, 0, &v) ? push(m, v, i) : stop(m, SIGNAL_MEMORY);
}

/* value... -> dict; a: the template among the constants, b: how many */
const instr *op_dict(sx *m, const instr *i)
{
    value v;
    const dict *template = dict_of(current(m)->code->constants[i->a]);
    CHECK(dict_size(template) >= i->b);
    if (!dict_copy(m, template, 0, &v))
        return stop(m, SIGNAL_MEMORY);
    entry *entries = dict_entries(dict_of(v));
    const value *values = m->sp - i->b;
    for (uint32_t n = 0; n < i->b; n++)
        entries[n].value = values[n];
    m->sp -= i->b;
    return push(m, v, i);
}

/* list v -> a list with v at the end */
const instr *op_append(sx *m, const instr *i)
{
    CHECK(is_list(m->sp[-2]));
    if (!list_append(m, list_of(m->sp[-2]), m->sp[-1], &m->sp[-2]))
        return stop(m, SIGNAL_MEMORY);
    m->sp--;
    return i + 1;
}

/* list more -> both in one, a new list even when there is nothing more: a
 * continuation may come back to the first */
const instr *op_append_all(sx *m, const instr *i)
{
    value more = m->sp[-1];
    CHECK(is_list(m->sp[-2]));
    if (!is_nil(more) && !is_list(more)) {
        fail(m, SX_TYPE, "unquote-splicing wants a list, not %s",
             brief(m, more));
        return stop(m, SIGNAL_ERROR);
    }
    const list *l = list_of(m->sp[-2]);
    bool made = is_nil(more)
                    ? list_slice(m, l, 0, list_size(l), &m->sp[-2])
                    : list_concat(m, l, list_items(list_of(more)),
                                  list_size(list_of(more)), &m->sp[-2]);
    if (!made)
        return stop(m, SIGNAL_MEMORY);
    m->sp--;
    return i + 1;
}

/* v -> */
const instr *op_pop(sx *m, const instr *i)
{
    m->sp--;
    return i + 1;
}

/* a values, v -> v */
const instr *op_slide(sx *m, const instr *i)
{
    CHECK(m->sp - m->fp > (ptrdiff_t)i->a);
    value v = m->sp[-1];
    m->sp -= i->a;
    m->sp[-1] = v;
    return i + 1;
}

/* ---- variables -------------------------------------------------------- */

/* -> the variable in slot a; below, b names it among the constants */
const instr *op_local(sx *m, const instr *i)
{
    return push(m, m->fp[i->a], i);
}

static const instr *push_checked(sx *m, value v, const instr *i)
{
    if (UNLIKELY(value_same(v, VALUE_UNBOUND)))
        return unbound(m, name_of(current(m)->code->constants[i->b]));
    return push(m, v, i);
}

const instr *op_local_checked(sx *m, const instr *i)
{
    return push_checked(m, m->fp[i->a], i);
}

static const instr *push_box(sx *m, value v, const instr *i)
{
    const box *b = (box *)object_of(v);
    CHECK(is_kind(v, KIND_BOX));
    if (UNLIKELY(value_same(b->value, VALUE_UNBOUND)))
        return unbound(m, b->name);
    return push(m, b->value, i);
}

const instr *op_local_box(sx *m, const instr *i)
{
    return push_box(m, m->fp[i->a], i);
}

const instr *op_captured(sx *m, const instr *i)
{
    return push(m, current(m)->captured[i->a], i);
}

const instr *op_captured_checked(sx *m, const instr *i)
{
    return push_checked(m, current(m)->captured[i->a], i);
}

const instr *op_captured_box(sx *m, const instr *i)
{
    return push_box(m, current(m)->captured[i->a], i);
}

/* -> the lambda that runs */
const instr *op_self(sx *m, const instr *i)
{
    return push(m, m->fp[-1], i);
}

/* v -> v; sets the variable in slot a */
const instr *op_set_local(sx *m, const instr *i)
{
    m->fp[i->a] = m->sp[-1];
    return i + 1;
}

static const instr *define_box(sx *m, box *b, const instr *i)
{
    CHECK(b->head.kind == KIND_BOX);
    if (!heap_may_hold(m, &b->head, m->sp[-1]))
        return stop(m, SIGNAL_MEMORY);
    b->value = m->sp[-1];
    return i + 1;
}

static const instr *set_box(sx *m, box *b, const instr *i)
{
    if (UNLIKELY(value_same(b->value, VALUE_UNBOUND)))
        return unbound(m, b->name);
    return define_box(m, b, i);
}

const instr *op_set_local_box(sx *m, const instr *i)
{
    return set_box(m, (box *)object_of(m->fp[i->a]), i);
}

const instr *op_set_captured_box(sx *m, const instr *i)
{
    return set_box(m, (box *)object_of(current(m)->captured[i->a]), i);
}

const instr *op_define_local_box(sx *m, const instr *i)
{
    CHECK(is_kind(m->fp[i->a], KIND_BOX));
    return define_box(m, (box *)object_of(m->fp[i->a]), i);
}

static const instr *put_in_box(sx *m, value v, const instr *i)
{
    string *name = name_of(current(m)->code->constants[i->b]);
    return make_box(m, v, name, &m->fp[i->a]) ? i + 1 : stop(m, SIGNAL_MEMORY);
}

/* Puts what slot a holds into a box. */
const instr *op_box_local(sx *m, const instr *i)
{
    return put_in_box(m, m->fp[i->a], i);
}

/* Puts an unbound box into slot a. */
const instr *op_new_box(sx *m, const instr *i)
{
    return put_in_box(m, VALUE_UNBOUND, i);
}

/* -> the value of a global */
const instr *op_global(sx *m, const instr *i)
{
    value v = i->cell->value;
    if (UNLIKELY(value_same(v, VALUE_UNBOUND)))
        return unbound(m, i->cell->name);
    return push(m, v, i);
}

/* v -> v */
const instr *op_set_global(sx *m, const instr *i)
{
    return set_box(m, i->cell, i);
}

const instr *op_define_global(sx *m, const instr *i)
{
    return define_box(m, i->cell, i);
}

/* lambda -> macro */
const instr *op_define_macro(sx *m, const instr *i)
{
    CHECK(is_kind(m->sp[-1], KIND_LAMBDA));
    macro *made = heap_object(m, KIND_MACRO, sizeof *made);
    if (made == NULL || !heap_may_hold(m, &i->cell->head, value_object(made)))
        return stop(m, SIGNAL_MEMORY);
    made->expander = (lambda *)object_of(m->sp[-1]);
    i->cell->value = value_object(made);
    m->sp[-1] = i->cell->value;
    return i + 1;
}

/* ---- jumps ------------------------------------------------------------ */

const instr *op_jump(sx *m, const instr *i)
{
    (void)m;
    return i->target;
}

/* v -> */
const instr *op_jump_false(sx *m, const instr *i)
{
    return is_true(*--m->sp) ? i + 1 : i->target;
}

/* v -> v when it jumps, else -> */
const instr *op_jump_false_keep(sx *m, const instr *i)
{
    if (!is_true(m->sp[-1]))
        return i->target;
    m->sp--;
    return i + 1;
}

const instr *op_jump_true_keep(sx *m, const instr *i)
{
    if (is_true(m->sp[-1]))
        return i->target;
    m->sp--;
    return i + 1;
}

/* x v -> x and whether they are equal? */
const instr *op_case_equal(sx *m, const instr *i)
{
    bool same;
    switch (values_equal(m, m->sp[-2], m->sp[-1], &same)) {
    case PRIM_OK:
        m->sp[-1] = value_boolean(same);
        return i + 1;
    case PRIM_MEMORY:
        return stop(m, SIGNAL_MEMORY);
    default:
        return stop(m, SIGNAL_ERROR);
    }
}

/* ---- calls ------------------------------------------------------------ */

/* -> a lambda; a: its code among the constants, b: how many it captures, each
 * said by one of the instructions that follow */
const instr *op_closure(sx *m, const instr *i)
{
    lambda *now = current(m);
    CHECK(is_kind(now->code->constants[i->a], KIND_CODE));
    lambda *made =
        heap_object(m, KIND_LAMBDA, sizeof *made + i->b * sizeof(value));
    if (made == NULL)
        return stop(m, SIGNAL_MEMORY);
    made->head.aux = i->b;
    made->code = (code *)object_of(now->code->constants[i->a]);
    for (uint32_t n = 0; n < i->b; n++) {
        const instr *from = i + 1 + n;
        CHECK(from->run == NULL);
        made->captured[n] = from->a == CAPTURE_LOCAL  ? m->fp[from->b]
                            : from->a == CAPTURE_SELF ? m->fp[-1]
                                                      : now->captured[from->b];
    }
    *m->sp++ = value_object(made);
    return i + 1 + i->b;
}

/* f args... -> result; a: how many arguments */
const instr *op_call(sx *m, const instr *i)
{
    return call_value(m, i->a, i + 1);
}

/* The same in place of this frame; the next instruction is a return, and b is
 * as its a. */
const instr *op_tail_call(sx *m, const instr *i)
{
    return call_tail(m, i->a, i->b, i + 1);
}

/* Ends the frame with the value on top; a: how many parameters it has. */
const instr *op_return(sx *m, const instr *i)
{
    return call_return(m, i->a);
}

/* ---- guards ----------------------------------------------------------- */

/* -> a guard record */
const instr *op_guard(sx *m, const instr *i)
{
    CHECK(m->stack.end - m->sp >= GUARD_WORDS);
    value *record = m->sp;
    record[GUARD_PREVIOUS] = value_fixnum((int64_t)m->guard);
    record[GUARD_HANDLER] = (value){(uintptr_t)i->target | 1};
    record[GUARD_FP] = value_fixnum(m->fp - m->stack.base);
    record[GUARD_DEPTH] = value_fixnum((int64_t)m->depth);
    m->guard = (size_t)(record - m->stack.base);
    m->sp += GUARD_WORDS;
    return i + 1;
}

/* guard record, v -> v */
const instr *op_unguard(sx *m, const instr *i)
{
    value v = m->sp[-1];
    value *record = m->sp - 1 - GUARD_WORDS;
    CHECK(record == m->stack.base + m->guard);
    m->guard = (size_t)fixnum_of(record[GUARD_PREVIOUS]);
    *record = v;
    m->sp = record + 1;
    return i + 1;
}

/* v -> raises it */
const instr *op_raise(sx *m, const instr *i)
{
    (void)i;
    raise_value(m, m->sp[-1]);
    return stop(m, SIGNAL_ERROR);
}
