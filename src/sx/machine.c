/* SPDX-License-Identifier: MIT */
/* The machine's life: loading a text, the step loop, collecting between steps,
 * raising. */
#include "sx/machine.h"

#include "base/status.h"
#include "sx/compiler.h"
#include "sx/ops.h"
#include "sx/reader.h"
#include "sx/reserve.h"

/* ---- errors ----------------------------------------------------------- */

static bool put(sx *m, dict *d, const char *key, value v)
{
    string *name = intern(m, slice_str(key));
    return name != NULL && dict_set(m, d, name, v);
}

/* The message first: where there is little memory, what is smaller may take
 * its place beside it (borrow_cell). */
bool machine_error(sx *m, persist_status status, const char *message,
                   value *out)
{
    value v, word, text;
    if (!make_string(m, slice_str(message), &text) ||
        !make_string(m, slice_str(persist_status_code(status)), &word) ||
        !dict_new(m, 2, &v) || !put(m, dict_of(v), "error", word) ||
        !put(m, dict_of(v), "message", text))
        return false;
    *out = v;
    return true;
}

/* Goes back to the innermost guard, or to the end of the program. */
static void unwind(sx *m)
{
    if (m->guard == 0) {
        m->sp = m->stack.base;
        m->fp = m->stack.base;
        m->depth = 0;
        return;
    }
    value *record = m->stack.base + m->guard;
    CHECK(record + GUARD_WORDS <= m->sp);
    m->guard = (size_t)fixnum_of(record[GUARD_PREVIOUS]);
    m->fp = m->stack.base + fixnum_of(record[GUARD_FP]);
    m->depth = (size_t)fixnum_of(record[GUARD_DEPTH]);
    m->pc = (const instr *)(record[GUARD_HANDLER].word & ~(uintptr_t)1);
    CHECK(m->fp >= m->stack.base && m->fp <= record && m->pc != NULL);
    m->sp = record;
}

static void drop_text(sx *m)
{
    CHECK(m->text_at <= m->text_size);
    heap_free(m, m->text, m->text_size);
    m->text = NULL;
    m->text_size = m->text_at = 0;
}

static void finish(sx *m, sx_state state)
{
    CHECK(state != SX_READY && state != SX_SUSPENDED);
    drop_text(m);
    compiler_reset(m);
    m->state = state;
    heap_idle(m);
}

void machine_collect(sx *m, const value *keep, size_t count)
{
    heap_collect(m, keep, count);
    stack_shrink(m);
    CHECK(m->sp <= m->stack.end);
}

/* Hands the error to the guard. The stack above it is dropped first, so that
 * there is room for the dict of an error. */
static void deliver_error(sx *m)
{
    bool guarded = m->guard != 0;
    unwind(m);
    if (!guarded)
        heap_idle(m);
    else if (m->out_of_memory)
        heap_begin(m);
    m->out_of_memory = false;
    value v = m->raised;
    if (!m->has_raised &&
        !machine_error(m, m->error.status, m->error.message, &v)) {
        machine_collect(m, NULL, 0);
        if (!machine_error(m, m->error.status, m->error.message, &v))
            v = m->last_resorts[PERSIST_LIMIT];
    }
    m->has_raised = false;
    m->raised = VALUE_NIL;
    if (guarded) {
        CHECK(m->sp < m->stack.end);
        *m->sp++ = v;
        return;
    }
    m->failure = v;
    finish(m, SX_FAILED);
}

/* ---- forms ------------------------------------------------------------ */

static const instr *run_read_form(sx *, const instr *);
static const instr *run_form_done(sx *, const instr *);

static const instr read_form_instr = {.run = run_read_form};

/* What a top-level form runs in: on the stack stands the compiler, then the
 * lambda that it made. */
static const instr form_body[] = {
    {.run = op_call, .a = 0},
    {.run = op_call, .a = 0},
    {.run = run_form_done},
};

static const instr *begin_form(sx *m, value form)
{
    value callee;
    if (!compiler_begin(m, form) || !stack_reserve(m, STACK_SLACK))
        return stop(m, SIGNAL_MEMORY);
    primitive *p = heap_object(m, KIND_PRIMITIVE, sizeof *p);
    if (p == NULL)
        return stop(m, SIGNAL_MEMORY);
    p->row = &compile_prim;
    p->name = NULL;
    callee = value_object(p);
    m->sp[0] = VALUE_NIL; /* offset 0 is never a guard's, nor a callee's */
    m->sp[1] = callee;
    m->fp = m->sp + 1;
    m->sp += 2;
    m->depth = 0;
    m->guard = 0;
    m->result = VALUE_NIL;
    return form_body;
}

/* Goes on to where the next form begins. */
static void find_form(sx *m)
{
    bool comment = false;
    for (; m->form_at < m->text_size; m->form_at++) {
        char c = m->text[m->form_at];
        bool inside = m->form_at < m->text_at;
        comment = !inside && c != '\n' && (comment || c == ';');
        bool space = c == ' ' || c == '\t' || c == '\r' || c == '\n';
        if (!inside && !comment && !space)
            return;
        m->form_line += c == '\n';
    }
}

static const instr *run_read_form(sx *m, const instr *self)
{
    value form;
    (void)self;
    size_t at = m->text_at;
    CHECK(m->sp == m->stack.base);
    find_form(m);
    switch (reader_next(m, slice_of(m->text, m->text_size), &at, &form,
                        &m->error)) {
    case READ_VALUE:
        break;
    case READ_END:
        return stop(m, SIGNAL_DONE);
    case READ_FAILED:
        m->has_raised = false;
        return stop(m, SIGNAL_ERROR);
    default:
        return stop(m, SIGNAL_MEMORY);
    }
    const instr *next = begin_form(m, form);
    if (next != NULL)
        m->text_at = at;
    return next;
}

static const instr *run_form_done(sx *m, const instr *self)
{
    (void)self;
    CHECK(m->sp == m->stack.base + 2 && m->depth == 0);
    m->result = m->sp[-1];
    m->sp = m->fp = m->stack.base;
    return &read_form_instr;
}

/* ---- the loop --------------------------------------------------------- */

static void handle_signal(sx *m);

/* Memory was out: collects and runs the step again, once. When next to nothing
 * became free that would only lead to a collection for each small step. */
static void make_memory(sx *m)
{
    bool refused = heap_was_refused(m);
    if (!refused)
        machine_collect(m, NULL, 0);
    if (!refused && !heap_full(m)) {
        const instr *next = m->pc->run(m, m->pc);
        if (next != NULL) {
            m->pc = next;
            return;
        }
        if (m->signal != SIGNAL_MEMORY) {
            handle_signal(m);
            return;
        }
    }
    fail_memory(m);
    m->out_of_memory = true;
    deliver_error(m);
}

static void handle_signal(sx *m)
{
    switch (m->signal) {
    case SIGNAL_MEMORY:
        make_memory(m);
        break;
    case SIGNAL_ERROR:
        deliver_error(m);
        break;
    case SIGNAL_SUSPEND:
        CHECK(m->call_return != NULL);
        m->pc = m->call_return;
        m->state = SX_SUSPENDED;
        break;
    case SIGNAL_DONE:
        finish(m, SX_DONE);
        break;
    }
}

/* Runs up to steps instructions, until one cannot be done or the heap wants
 * to be collected. Returns how many steps are left. */
static uint64_t run_instructions(sx *m, uint64_t steps)
{
    const instr *i = m->pc;
    while (steps > 0) {
        steps--;
        const instr *next = i->run(m, i);
        if (UNLIKELY(next == NULL)) {
            m->pc = i;
            handle_signal(m);
            return steps;
        }
        i = next;
        if (UNLIKELY(m->heap.due))
            break;
    }
    m->pc = i;
    return steps;
}

sx_state sx_run(sx *m, uint64_t steps)
{
    uint64_t left = steps == 0 ? UINT64_MAX : steps;
    CHECK_CALLER(m != NULL, NO_MACHINE);
    while (m->state == SX_READY && left > 0) {
        left = run_instructions(m, left);
        if (m->heap.due && m->state == SX_READY)
            machine_collect(m, NULL, 0);
    }
    return m->state;
}

/* ---- loading, answering ----------------------------------------------- */

void sx_reset(sx *m)
{
    m->sp = m->fp = m->stack.base;
    m->depth = 0;
    m->guard = 0;
    m->has_raised = false;
    m->raised = m->request = m->result = m->failure = VALUE_NIL;
    finish(m, SX_IDLE);
}

static bool copy_text(sx *m, slice text)
{
    CHECK(m->text == NULL && m->text_at == 0);
    char *copy = heap_realloc(m, NULL, 0, text.size);
    if (copy == NULL)
        return false;
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    m->text = copy;
    m->text_size = text.size;
    m->form_at = 0;
    m->form_line = 1;
    return true;
}

sx_state sx_load(sx *m, persist_slice text)
{
    CHECK_CALLER(m != NULL, NO_MACHINE);
    sx_reset(m);
    heap_begin(m);
    if (!copy_text(m, text)) {
        machine_collect(m, NULL, 0);
        if (!copy_text(m, text)) {
            fail_memory(m);
            deliver_error(m);
            return m->state;
        }
    }
    m->pc = &read_form_instr;
    m->state = SX_READY;
    return m->state;
}

size_t sx_line(const sx *m)
{
    return m->form_line;
}

/* The words that the call had on the stack are free again: there is room. */
void sx_resume(sx *m, sx_value answer)
{
    CHECK_CALLER(m != NULL && m->state == SX_SUSPENDED, NOT_SUSPENDED);
    m->request = VALUE_NIL;
    CHECK(m->sp < m->stack.end && m->pc != NULL);
    *m->sp++ = answer;
    m->state = SX_READY;
}

void sx_raise(sx *m, sx_value error)
{
    CHECK_CALLER(m != NULL && m->state == SX_SUSPENDED, NOT_SUSPENDED);
    m->request = VALUE_NIL;
    m->state = SX_READY;
    raise_value(m, error);
    deliver_error(m);
}

void sx_raise_status(sx *m, persist_status status)
{
    CHECK_CALLER(m != NULL, NO_MACHINE);
    CHECK_CALLER(status > PERSIST_NONE, "the status is no error");
    sx_raise(m,
             m->last_resorts[status < LAST_RESORTS ? status : PERSIST_LIMIT]);
}
