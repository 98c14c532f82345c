/* SPDX-License-Identifier: MIT */
/* The special forms of control: if, cond, case, and, or, ->, and the table of
 * all forms. Tasks are pushed last first. */
#include "sx/forms.h"
#include "sx/compiler.h"
#include "sx/list.h"
#include "sx/machine.h"

#define MANY UINT32_MAX

bool is_else(value v)
{
    return (is_symbol(v) || is_keyword(v)) &&
           slice_equal(string_slice(name_of(v)), slice_str("else"));
}

/* ---- branches --------------------------------------------------------- */

bool push_between(sx *m, uint32_t other, uint32_t end, bool tail)
{
    CHECK(other < current_unit(m)->labels && end < current_unit(m)->labels);
    return push_emit(m, IR_LABEL, other, -1) &&
           (tail || push_emit(m, IR_JUMP, end, 0));
}

bool push_end(sx *m, uint32_t end, bool tail)
{
    CHECK(end < current_unit(m)->labels);
    return tail || push_emit(m, IR_LABEL, end, 0);
}

bool push_test(sx *m, value test, uint32_t other)
{
    CHECK(other < current_unit(m)->labels);
    return push_emit(m, IR_JUMP_FALSE, other, -1) && push_expr(m, test, false);
}

static bool compile_if(sx *m, const task *t)
{
    uint32_t other = new_label(m), end = new_label(m);
    value none = form_size(t->form) > 3 ? form_at(t->form, 3) : VALUE_NIL;
    return push_end(m, end, t->tail) && push_expr(m, none, t->tail) &&
           push_between(m, other, end, t->tail) &&
           push_expr(m, form_at(t->form, 2), t->tail) &&
           push_test(m, form_at(t->form, 1), other);
}

static bool compile_when(sx *m, const task *t)
{
    uint32_t other = new_label(m), end = new_label(m);
    return push_end(m, end, t->tail) && push_expr(m, VALUE_NIL, t->tail) &&
           push_between(m, other, end, t->tail) &&
           push_forms(m, t->form, 2, t->tail) &&
           push_test(m, form_at(t->form, 1), other);
}

static bool compile_unless(sx *m, const task *t)
{
    uint32_t other = new_label(m), end = new_label(m);
    return push_end(m, end, t->tail) && push_forms(m, t->form, 2, t->tail) &&
           push_between(m, other, end, t->tail) &&
           push_expr(m, VALUE_NIL, t->tail) &&
           push_test(m, form_at(t->form, 1), other);
}

static bool compile_begin(sx *m, const task *t)
{
    return push_forms(m, t->form, 1, t->tail);
}

/* ---- and, or ---------------------------------------------------------- */

static bool run_or(sx *, const task *);

/* Argument a and those behind it; b: the end, where all but the last go when
 * they decide. */
static bool run_and(sx *m, const task *t)
{
    CHECK(t->run == run_and || t->run == run_or);
    CHECK(t->a > 0 && t->b < current_unit(m)->labels);
    if (t->a + 1 == form_size(t->form))
        return push_expr(m, form_at(t->form, t->a), t->tail);
    task rest = *t;
    rest.a++;
    ir_op leave = t->run == run_or ? IR_JUMP_TRUE_KEEP : IR_JUMP_FALSE_KEEP;
    return push_task(m, rest) && push_emit(m, leave, t->b, -1) &&
           push_expr(m, form_at(t->form, t->a), false);
}

static bool run_or(sx *m, const task *t)
{
    return run_and(m, t);
}

static bool compile_chain(sx *m, const task *t, task_fn run, value none)
{
    if (form_size(t->form) == 1)
        return push_expr(m, none, t->tail);
    task chain = *t;
    chain.run = run;
    chain.a = 1;
    chain.b = new_label(m);
    return push_return(m, t->tail) && push_emit(m, IR_LABEL, chain.b, 0) &&
           push_task(m, chain);
}

static bool compile_and(sx *m, const task *t)
{
    return compile_chain(m, t, run_and, VALUE_TRUE);
}

static bool compile_or(sx *m, const task *t)
{
    return compile_chain(m, t, run_or, VALUE_NIL);
}

/* ---- cond ------------------------------------------------------------- */

/* One branch: if test then the value and to the end, and then the rest. */
static bool push_branch(sx *m, value test, value result, task rest)
{
    uint32_t other = new_label(m);
    return push_task(m, rest) && push_between(m, other, rest.b, rest.tail) &&
           push_expr(m, result, rest.tail) && push_test(m, test, other);
}

/* Clause a and those behind it; b: the end. Macros may add to a form while it
 * is compiled, so nothing is taken on trust from one task to the next. */
static bool run_cond_clauses(sx *m, const task *t)
{
    CHECK(t->a > 0 && t->a <= form_size(t->form));
    if (t->a == form_size(t->form))
        return push_expr(m, VALUE_NIL, t->tail);
    value clause = form_at(t->form, t->a);
    if (!is_list(clause) || form_size(clause) < 2)
        return syntax_failed(m, "cond: a clause without a value");
    task rest = *t;
    rest.a++;
    if (is_else(form_at(clause, 0)))
        return push_expr(m, form_at(clause, 1), t->tail);
    return push_branch(m, form_at(clause, 0), form_at(clause, 1), rest);
}

static bool run_cond_pairs(sx *m, const task *t)
{
    CHECK(t->a > 0 && t->a % 2 == 1);
    if (t->a + 1 >= form_size(t->form))
        return push_expr(m, VALUE_NIL, t->tail);
    value test = form_at(t->form, t->a);
    task rest = *t;
    rest.a += 2;
    if (is_else(test))
        return push_expr(m, form_at(t->form, t->a + 1), t->tail);
    return push_branch(m, test, form_at(t->form, t->a + 1), rest);
}

static bool compile_cond(sx *m, const task *t)
{
    uint32_t size = form_size(t->form);
    task clauses = *t;
    clauses.run = run_cond_clauses;
    clauses.a = 1;
    clauses.b = new_label(m);
    for (uint32_t i = 1; i < size; i++) {
        value clause = form_at(t->form, i);
        if (!is_list(clause) || form_size(clause) != 2)
            clauses.run = run_cond_pairs;
    }
    if (clauses.run == run_cond_pairs && size % 2 == 0)
        return syntax_failed(m, "cond: a test without a value");
    return push_end(m, clauses.b, t->tail) && push_task(m, clauses);
}

/* ---- case ------------------------------------------------------------- */

/* Pair a and those behind it, with the value that is looked for on the stack;
 * b: the end. */
static bool run_case_pairs(sx *m, const task *t)
{
    CHECK(t->a > 1 && t->a % 2 == 0 && t->b < current_unit(m)->labels);
    uint32_t size = form_size(t->form);
    bool last = t->a + 1 >= size;
    if (last || is_else(form_at(t->form, t->a))) {
        value v = last ? VALUE_NIL : form_at(t->form, t->a + 1);
        return push_expr(m, v, t->tail) && push_emit(m, IR_POP, 0, -1);
    }
    uint32_t other = new_label(m);
    task rest = *t;
    rest.a += 2;
    return push_task(m, rest) && push_emit(m, IR_LABEL, other, 0) &&
           (t->tail || push_emit(m, IR_JUMP, t->b, 0)) &&
           push_expr(m, form_at(t->form, t->a + 1), t->tail) &&
           push_emit(m, IR_POP, 0, -1) &&
           push_emit(m, IR_JUMP_FALSE, other, -1) &&
           push_emit(m, IR_CASE_EQUAL, 0, 0) &&
           push_expr(m, form_at(t->form, t->a), false);
}

static bool compile_case(sx *m, const task *t)
{
    if (form_size(t->form) % 2 != 0)
        return syntax_failed(m, "case: a value without a result");
    task pairs = *t;
    pairs.run = run_case_pairs;
    pairs.a = 2;
    pairs.b = new_label(m);
    return push_end(m, pairs.b, t->tail) && push_task(m, pairs) &&
           push_expr(m, form_at(t->form, 1), false);
}

/* ---- -> --------------------------------------------------------------- */

/* (f b) with v becomes (f v b), and f becomes (f v). */
static bool thread_one(sx *m, value v, value step, value *out)
{
    value begin, pair[2] = {step, v};
    if (!is_list(step) || form_size(step) == 0)
        return list_from(m, pair, 2, out);
    pair[0] = form_at(step, 0);
    return list_from(m, pair, 2, &begin) &&
           list_concat(m, list_of(begin), list_items(list_of(step)) + 1,
                       form_size(step) - 1, out);
}

/* Threads step a into the form that is the newest root, and so on. */
static bool run_thread(sx *m, const task *t)
{
    compiler *c = compiler_of(m);
    CHECK(t->b < c->roots.count && t->a <= form_size(t->form));
    value *now = &((value *)c->roots.items)[t->b];
    if (t->a == form_size(t->form))
        return push_expr(m, *now, t->tail);
    value step = form_at(t->form, t->a);
    if (!thread_one(m, *now, step, now)) {
        heap_collect(m, NULL, 0);
        if (!thread_one(m, *now, step, now)) {
            fail_memory(m);
            return false;
        }
    }
    task rest = *t;
    rest.a++;
    return push_task(m, rest);
}

static bool compile_thread(sx *m, const task *t)
{
    compiler *c = compiler_of(m);
    if (!compiler_grow(m, &c->roots))
        return false;
    task steps = *t;
    steps.run = run_thread;
    steps.a = 2;
    steps.b = (uint32_t)c->roots.count;
    ((value *)c->roots.items)[c->roots.count++] = form_at(t->form, 1);
    return push_task(m, steps);
}

/* ---- all forms -------------------------------------------------------- */

const special_form forms[] = {
    {"quote", 1, 1, "x", compile_quote},
    {"quasiquote", 1, 1, "x", compile_quasiquote},
    {"if", 2, 3, "test then else", compile_if},
    {"when", 1, MANY, "test form ...", compile_when},
    {"unless", 1, MANY, "test form ...", compile_unless},
    {"cond", 0, MANY, "test value ...", compile_cond},
    {"case", 1, MANY, "x value result ...", compile_case},
    {"and", 0, MANY, "form ...", compile_and},
    {"or", 0, MANY, "form ...", compile_or},
    {"do", 0, MANY, "form ...", compile_begin},
    {"begin", 0, MANY, "form ...", compile_begin},
    {"->", 1, MANY, "x step ...", compile_thread},
    {"define", 2, MANY, "name value", compile_define},
    {"defmacro", 3, MANY, "name (param ...) form ...", compile_define_macro},
    {"set!", 2, 2, "name value", compile_set},
    {"fn", 2, MANY, "(param ...) form ...", compile_lambda},
    {"lambda", 2, MANY, "(param ...) form ...", compile_lambda},
    {"let", 2, MANY, "((name value) ...) form ...", compile_let},
    {"letrec", 2, MANY, "((name value) ...) form ...", compile_letrec},
    {"guard", 2, MANY, "(name (test form ...) ...) form ...", compile_guard},
};

const size_t form_count = sizeof forms / sizeof *forms;
