/* SPDX-License-Identifier: MIT */
/* Calls and returns. Each function here is part of one instruction: it makes
 * sure of memory first and then cannot fail, so that it can be run again. */
#include <stdio.h>

#include "base/mem.h"
#include "sx/machine.h"
#include "sx/ops.h"

enum {
    STACK_FIRST = 4096, /* words */
    STACK_KEEP = 1 << 16,
    KEEP_PART = 512,    /* of the ceiling's bytes: so many words */
    FRAME_WORDS = 2,    /* saved fp and pc */
    CALLBACK_WORDS = 4, /* what a step function may push */
};

bool stack_reserve(sx *m, size_t words)
{
    stack *s = &m->stack;
    if (LIKELY((size_t)(s->end - m->sp) >= words))
        return true;
    CHECK(m->sp >= s->base && m->fp >= s->base);
    size_t used = (size_t)(m->sp - s->base), fp = (size_t)(m->fp - s->base);
    size_t capacity = s->capacity == 0 ? STACK_FIRST : s->capacity * 2;
    if (words > SIZE_MAX / 64)
        return false;
    while (capacity < used + words)
        capacity *= 2;
    value *base = heap_realloc(m, s->base, s->capacity * sizeof *base,
                               capacity * sizeof *base);
    if (base == NULL)
        return false;
    *s = (stack){base, base + capacity, capacity};
    m->sp = base + used;
    m->fp = base + fp;
    return true;
}

/* The stack of a deep program is given back once it is shallow again. */
void stack_shrink(sx *m)
{
    CHECK(m->stack.base <= m->fp && m->fp <= m->sp);
    stack *s = &m->stack;
    size_t used = (size_t)(m->sp - s->base);
    CHECK(used <= s->capacity);
    size_t want = s->capacity / 4, keep = m->heap.max / KEEP_PART;
    if (keep > STACK_KEEP)
        keep = STACK_KEEP;
    if (want < keep || used + m->stack_max + STACK_SLACK > want / 2)
        return;
    size_t fp = (size_t)(m->fp - s->base);
    value *base = mem_realloc(s->base, want * sizeof *base);
    if (base == NULL)
        return;
    heap_refund(m, (s->capacity - want) * sizeof *base);
    *s = (stack){base, base + want, want};
    m->sp = base + used;
    m->fp = base + fp;
}

CHECK_STATIC(_Alignof(instr) > 1, "a saved pc has its low bit free");

static inline value save_pc(const instr *pc)
{
    return (value){(uintptr_t)pc | 1};
}

static inline const instr *saved_pc(value v)
{
    CHECK(is_fixnum(v));
    return (const instr *)(v.word & ~(uintptr_t)1);
}

static const instr *failed(sx *m, persist_status status, const char *text)
{
    fail(m, status, "%s", text);
    return stop(m, SIGNAL_ERROR);
}

static const instr *depth_failed(sx *m)
{
    fail(m, PERSIST_LIMIT,
         "calls nested deeper than %zu frames; recurse in tail position, or "
         "raise the limit (--depth-max)",
         m->options.depth_max);
    return stop(m, SIGNAL_ERROR);
}

/* ---- lambdas ---------------------------------------------------------- */

static const instr *arity_failed(sx *m, const code *c, size_t count)
{
    const char *name = c->name != NULL ? brief_name(m, c->name) : "a lambda";
    fail(m, SX_ARITY, "%s: %s%u argument%s wanted, %zu given", name,
         c->rest ? "at least " : "", c->params - c->rest,
         c->params - c->rest == 1 ? "" : "s", count);
    return stop(m, SIGNAL_ERROR);
}

/* Makes the arguments on top of the stack fit; false with m->signal set. The
 * stack may move; room for the frame is there afterwards. */
static bool fit_arguments(sx *m, const code *c, size_t count)
{
    if (UNLIKELY(count != c->params || c->rest) &&
        (!c->rest || count + 1 < c->params)) {
        arity_failed(m, c, count);
        return false;
    }
    value over;
    if (UNLIKELY(!stack_reserve(m, c->stack_max + FRAME_WORDS + 1)) ||
        (UNLIKELY(c->rest) && !list_from(m, m->sp - (count + 1 - c->params),
                                         count + 1 - c->params, &over))) {
        stop(m, SIGNAL_MEMORY);
        return false;
    }
    if (UNLIKELY(c->rest)) {
        m->sp += (ptrdiff_t)c->params - (ptrdiff_t)count;
        m->sp[-1] = over;
    }
    return true;
}

static inline const instr *enter(sx *m, const code *c, value fp, value pc)
{
    m->fp = m->sp - c->params;
    value *sp = m->sp;
    *sp++ = fp;
    *sp++ = pc;
    for (uint32_t i = 0; i < c->locals; i++)
        *sp++ = VALUE_UNBOUND;
    m->sp = sp;
    return c->body;
}

static inline const instr *call_lambda(sx *m, const code *c, size_t count,
                                       const instr *ret)
{
    if (UNLIKELY(m->depth >= m->options.depth_max))
        return depth_failed(m);
    if (!fit_arguments(m, c, count))
        return NULL;
    m->depth++;
    return enter(m, c, value_fixnum(m->fp - m->stack.base), save_pc(ret));
}

/* ---- primitives ------------------------------------------------------- */

static const instr *prim_arity_failed(sx *m, const prim *row, size_t count)
{
    if (row->max >= PRIM_MANY)
        fail(m, SX_ARITY, "%s: at least %u argument%s wanted, %zu given",
             row->name, row->min, row->min == 1 ? "" : "s", count);
    else if (row->min == row->max)
        fail(m, SX_ARITY, "%s: %u argument%s wanted, %zu given", row->name,
             row->min, row->min == 1 ? "" : "s", count);
    else
        fail(m, SX_ARITY, "%s: %u to %u arguments wanted, %zu given", row->name,
             row->min, row->max, count);
    return stop(m, SIGNAL_ERROR);
}

/* A primitive that calls back: its frame, and then its first step. */
static const instr *call_step(sx *m, const prim *row, size_t count,
                              const instr *ret)
{
    CHECK(row->step != NULL && count <= row->max);
    if (m->depth >= m->options.depth_max)
        return depth_failed(m);
    if (!stack_reserve(m, row->max + FRAME_WORDS + row->slots + CALLBACK_WORDS))
        return stop(m, SIGNAL_MEMORY);
    value fp = value_fixnum(m->fp - m->stack.base);
    m->depth++;
    m->fp = m->sp - count;
    for (size_t i = count; i < row->max; i++)
        *m->sp++ = VALUE_NIL;
    *m->sp++ = fp;
    *m->sp++ = save_pc(ret);
    for (uint32_t i = 0; i < row->slots; i++)
        *m->sp++ = VALUE_NIL;
    return &step_instr;
}

/* What call_value does once a call with other arguments was prepared: at the
 * next step, so that this one need not be run again. */
static const instr *run_waiting_call(sx *m, const instr *self)
{
    (void)self;
    const instr *ret = m->call_return;
    if (ret->run == op_return)
        return call_tail(m, m->call_count, ret->a, ret);
    return call_value(m, m->call_count, ret);
}

static const instr waiting_call_instr = {.run = run_waiting_call};

static const instr *prim_unfinished(sx *m, prim_status status, value *args,
                                    const instr *ret)
{
    switch (status) {
    case PRIM_MEMORY:
        return stop(m, SIGNAL_MEMORY);
    case PRIM_TAIL:
        m->call_return = ret;
        return &waiting_call_instr;
    case PRIM_SUSPEND:
        m->sp = args - 1;
        m->call_return = ret;
        return stop(m, SIGNAL_SUSPEND);
    default:
        CHECK(status == PRIM_FAILED);
        return stop(m, SIGNAL_ERROR);
    }
}

static const instr *call_primitive(sx *m, value callee, size_t count,
                                   const instr *ret)
{
    const prim *row = ((primitive *)object_of(callee))->row;
    m->prim = row;
    m->prim_return = ret;
    if (UNLIKELY(count < row->min || count > row->max))
        return prim_arity_failed(m, row, count);
    if (row->run == NULL)
        return call_step(m, row, count, ret);
    value out, *args = m->sp - count;
    prim_status status = row->run(m, args, count, &out);
    if (UNLIKELY(status != PRIM_OK))
        return prim_unfinished(m, status, args, ret);
    args[-1] = out;
    m->sp = args;
    return ret;
}

static const instr *run_step(sx *m, const instr *self)
{
    const prim *row = ((primitive *)object_of(m->fp[-1]))->row;
    value *slots = m->fp + row->max + FRAME_WORDS;
    m->prim = row;
    m->call_base = slots + row->slots;
    CHECK(m->sp - m->call_base == 0 || m->sp - m->call_base == 1);
    value out, result = VALUE_NIL;
    bool first = m->sp == m->call_base;
    if (!first)
        result = m->sp[-1];
    prim_status status =
        row->step(m, m->fp, slots, first ? NULL : &result, &out);
    switch (status) {
    case PRIM_OK:
        *m->sp++ = out; /* there is room: CALLBACK_WORDS */
        return call_return(m, row->max);
    case PRIM_AGAIN:
        m->sp = m->call_base;
        return self;
    case PRIM_CALL:
        m->sp = m->call_base + 1 + m->call_count;
        m->call_return = self;
        return &waiting_call_instr;
    default:
        return prim_unfinished(m, status, m->fp, self);
    }
}

const instr step_instr = {.run = run_step};

/* ---- continuations ---------------------------------------------------- */

static const instr *call_continuation(sx *m, const continuation *k,
                                      size_t count)
{
    if (count > 1)
        return failed(m, SX_ARITY, "a continuation: at most 1 argument wanted");
    value v = count == 0 ? VALUE_NIL : m->sp[-1];
    size_t used = (size_t)(m->sp - m->stack.base);
    size_t need = k->count + m->stack_max + STACK_SLACK;
    if (need > used && !stack_reserve(m, need - used))
        return stop(m, SIGNAL_MEMORY);
    memcpy(m->stack.base, k->words, k->count * sizeof *k->words);
    CHECK(k->fp <= k->count && k->guard < k->count);
    m->sp = m->stack.base + k->count;
    m->fp = m->stack.base + k->fp;
    m->depth = k->depth;
    m->guard = k->guard;
    CHECK(m->sp < m->stack.end && k->pc != NULL);
    *m->sp++ = v;
    return k->pc;
}

/* ---- all of them ------------------------------------------------------ */

static const instr *call_failed(sx *m, value callee)
{
    fail(m, SX_NOT_CALLABLE, "%s is not a function", brief(m, callee));
    return stop(m, SIGNAL_ERROR);
}

const instr *call_value(sx *m, size_t count, const instr *ret)
{
    value callee = m->sp[-1 - (ptrdiff_t)count];
    if (UNLIKELY(!is_object(callee)))
        return call_failed(m, callee);
    switch ((enum kind)object_of(callee)->kind) {
    case KIND_LAMBDA:
        return call_lambda(m, ((lambda *)object_of(callee))->code, count, ret);
    case KIND_PRIMITIVE:
        return call_primitive(m, callee, count, ret);
    case KIND_CONTINUATION:
        return call_continuation(m, (continuation *)object_of(callee), count);
    default:
        return call_failed(m, callee);
    }
}

const instr *call_tail(sx *m, size_t count, uint32_t params, const instr *ret)
{
    value callee = m->sp[-1 - (ptrdiff_t)count];
    if (!is_kind(callee, KIND_LAMBDA))
        return call_value(m, count, ret);
    const code *c = ((lambda *)object_of(callee))->code;
    if (!fit_arguments(m, c, count))
        return NULL;
    value fp = m->fp[params], pc = m->fp[params + 1];
    value *to = m->fp - 1, *from = m->sp - c->params - 1;
    for (uint32_t i = 0; i <= c->params; i++)
        to[i] = from[i];
    m->sp = to + c->params + 1;
    return enter(m, c, fp, pc);
}

const instr *call_return(sx *m, uint32_t params)
{
    value result = m->sp[-1], *fp = m->fp;
    const instr *ret = saved_pc(fp[params + 1]);
    m->fp = m->stack.base + fixnum_of(fp[params]);
    fp[-1] = result;
    m->sp = fp;
    CHECK(m->depth > 0);
    m->depth--;
    return ret;
}
