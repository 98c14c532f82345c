/* SPDX-License-Identifier: MIT */
/* The primitives that are the machine itself. */
#include "sx/control.h"

#include "sx/machine.h"

/* Puts the elements of the list in place of apply and its arguments. */
static prim_status prim_apply(sx *m, value *args, size_t count, value *out)
{
    (void)out;
    span items;
    value f;
    if (!arg_items(m, args, 1, &items))
        return PRIM_FAILED;
    size_t at = (size_t)(args - m->stack.base);
    if (!stack_reserve(m, items.size))
        return PRIM_MEMORY;
    args = m->stack.base + at;
    f = args[0];
    args[-1] = f;
    if (items.size > 0)
        memcpy(args, items.at, items.size * sizeof *args);
    m->sp = args + items.size;
    m->call_count = items.size;
    CHECK(count == 2);
    return PRIM_TAIL;
}

/* The registers are those of the caller: a primitive has no frame. */
static prim_status prim_call_cc(sx *m, value *args, size_t count, value *out)
{
    (void)out;
    CHECK(count == 1);
    size_t words = (size_t)(args - 1 - m->stack.base);
    continuation *k =
        heap_object(m, KIND_CONTINUATION, sizeof *k + words * sizeof *k->words);
    if (k == NULL)
        return PRIM_MEMORY;
    k->fp = (size_t)(m->fp - m->stack.base);
    k->depth = m->depth;
    k->guard = m->guard;
    k->pc = m->prim_return;
    k->count = words;
    CHECK(k->pc != NULL && k->fp <= words && k->guard < words);
    memcpy(k->words, m->stack.base, words * sizeof *k->words);
    args[-1] = args[0];
    args[0] = value_object(k);
    m->call_count = 1;
    return PRIM_TAIL;
}

static prim_status prim_perform(sx *m, value *args, size_t count, value *out)
{
    (void)out;
    CHECK(count == 1);
    m->request = args[0];
    return PRIM_SUSPEND;
}

static prim_status prim_raise(sx *m, value *args, size_t count, value *out)
{
    (void)out;
    CHECK(count == 1);
    return raise_value(m, args[0]);
}

static const prim rows[] = {
    {.name = "apply",
     .min = 2,
     .max = 2,
     .usage = "f lst",
     .doc = "Calls f with the elements of lst as its arguments.",
     .run = prim_apply},
    {.name = "call/cc",
     .min = 1,
     .max = 1,
     .usage = "f",
     .doc = "Calls f with the continuation, up to the end of the top-level "
            "form; calling that goes on from here with its argument.",
     .run = prim_call_cc},
    {.name = "perform",
     .min = 1,
     .max = 1,
     .usage = "request",
     .doc = "Suspends the machine until the host answers the request.",
     .run = prim_perform},
    {.name = "raise",
     .min = 1,
     .max = 1,
     .usage = "x",
     .doc = "Raises x to the innermost guard.",
     .run = prim_raise},
};

const prim_group control_group = {rows, sizeof rows / sizeof *rows};
