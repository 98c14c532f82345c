/* SPDX-License-Identifier: MIT */
/* The machine as a C program sees it: loading, suspend and resume,
 * continuations that are entered twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "sx.h"

typedef struct world {
    sx *m;
    char text[4096];    /* what eval returns */
    char written[4096]; /* what the program printed */
} world;

static persist_slice text_of(const char *text)
{
    return (persist_slice){text, strlen(text)};
}

static void write_text(void *context, persist_slice text)
{
    world *w = context;
    size_t used = strlen(w->written);
    assert_true(used + text.size < sizeof w->written);
    memcpy(w->written + used, text.data, text.size);
    w->written[used + text.size] = '\0';
}

static void open_machine(world *w)
{
    sx_options options = {SX_OPTIONS, .write = write_text, .write_context = w};
    assert_int_equal(sx_open(&options, &w->m, NULL), PERSIST_OK);
}

static int set_up(void **state)
{
    world *w = test_calloc(1, sizeof *w);
    open_machine(w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world *w = *state;
    sx_close(w->m);
    test_free(w);
    return 0;
}

static const char *shown(world *w, sx_value v, bool failed)
{
    sx_out out = {0};
    persist_status status = failed ? sx_print_failure(w->m, v, &out, NULL)
                                   : sx_print(w->m, v, 0, &out, NULL);
    assert_int_equal(status, PERSIST_OK);
    snprintf(w->text, sizeof w->text, "%.*s", (int)out.size, out.data);
    sx_out_release(&out);
    return w->text;
}

/* Goes on to the end, each request being its own answer. */
static const char *finish(world *w)
{
    sx_state state;
    while ((state = sx_run(w->m, 0)) == SX_SUSPENDED)
        sx_resume(w->m, sx_request(w->m));
    if (state == SX_FAILED)
        return shown(w, sx_failure(w->m), true);
    assert_int_equal(state, SX_DONE);
    return shown(w, sx_result(w->m), false);
}

static const char *eval(world *w, const char *text)
{
    sx_load(w->m, text_of(text));
    return finish(w);
}

/* ---- loading and running ---------------------------------------------- */

static void a_text_runs_form_by_form(void **state)
{
    world *w = *state;
    assert_string_equal(eval(w, ""), "nil");
    assert_string_equal(eval(w, "; nothing\n"), "nil");
    assert_string_equal(eval(w, "1 2 ; three\n"), "2");
    assert_string_equal(eval(w, "(define a 1) (define a (+ a 1)) a"), "2");
    /* What came before a syntax error has run. */
    assert_string_equal(eval(w, "(define b 5)\n(define c"),
                        "syntax: line 2, column 1: this bracket is never "
                        "closed; add what closes it, or the rest of the text");
    assert_string_equal(eval(w, "b"), "5");
    assert_string_equal(eval(w, "(print \"x\") (println 1 :k)"), "nil");
    assert_int_equal(strncmp(w->written, "x1", 2), 0);
}

static void globals_come_and_go_through_c(void **state)
{
    world *w = *state;
    sx_value v;
    assert_false(sx_lookup(w->m, text_of("x"), &v));
    assert_string_equal(eval(w, "(define (f) x) (f)"), "unbound: x");
    assert_false(sx_lookup(w->m, text_of("x"), &v));
    assert_true(sx_make_integer(w->m, INT64_MIN, &v));
    assert_true(sx_define(w->m, text_of("x"), v));
    sx_collect(w->m, NULL, 0);
    assert_string_equal(eval(w, "(f)"), "-9223372036854775808");
    assert_true(sx_lookup(w->m, text_of("x"), &v));
    assert_true(sx_integer(v) == INT64_MIN);
    assert_true(sx_lookup(w->m, text_of("f"), &v));
    assert_int_equal(sx_type_of(v), SX_FUNCTION);
}

static void values_have_types(void **state)
{
    world *w = *state;
    static const struct {
        const char *text;
        sx_type type;
    } all[] = {
        {"nil", SX_NIL},
        {"false", SX_BOOLEAN},
        {"1", SX_INTEGER},
        {"9223372036854775807", SX_INTEGER},
        {"1.5", SX_FLOAT},
        {"\"s\"", SX_STRING},
        {"'s", SX_SYMBOL},
        {"':k", SX_KEYWORD},
        {":k", SX_STRING},
        {"(list)", SX_LIST},
        {"{}", SX_DICT},
        {"len", SX_FUNCTION},
        {"(fn () 1)", SX_FUNCTION},
        {"(call/cc (fn (k) k))", SX_FUNCTION},
        {"(defmacro m (x) x)", SX_FUNCTION},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        eval(w, all[i].text);
        assert_int_equal(sx_type_of(sx_result(w->m)), all[i].type);
    }
}

static void a_dict_is_read_and_made(void **state)
{
    world *w = *state;
    sx_value d, v;
    persist_slice key;
    assert_true(sx_make_dict(w->m, &d));
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", i % 50);
        assert_true(sx_make_integer(w->m, i, &v));
        assert_true(sx_dict_set(w->m, d, text_of(name), v));
    }
    assert_int_equal(sx_dict_size(d), 50);
    sx_dict_at(d, 49, &key, &v);
    assert_memory_equal(key.data, "k49", 3);
    assert_int_equal(sx_integer(v), 99);
    assert_true(sx_dict_find(w->m, d, text_of("k7"), &v));
    assert_int_equal(sx_integer(v), 57);
    assert_false(sx_dict_find(w->m, d, text_of("k50"), &v));
}

/* ---- perform ---------------------------------------------------------- */

static void perform_suspends(void **state)
{
    world *w = *state;
    sx_value v;
    sx_load(w->m, text_of("(+ 1 (perform {:op \"x\"}))"));
    assert_int_equal(sx_get_state(w->m), SX_READY);
    assert_int_equal(sx_run(w->m, 0), SX_SUSPENDED);
    assert_string_equal(shown(w, sx_request(w->m), false), "{:op \"x\"}");
    sx_collect(w->m, NULL, 0);
    assert_true(sx_make_integer(w->m, 41, &v));
    sx_resume(w->m, v);
    assert_string_equal(finish(w), "42");
}

static void the_host_raises_into_a_perform(void **state)
{
    world *w = *state;
    sx_value v;
    const char *text = "(list (guard (e (true (get e :error))) (perform 1)) 2)";
    sx_load(w->m, text_of(text));
    assert_int_equal(sx_run(w->m, 0), SX_SUSPENDED);
    assert_true(sx_make_error(w->m, PERSIST_NO_SPACE, text_of("full"), &v));
    assert_string_equal(shown(w, v, true), "no-space: full");
    sx_raise(w->m, v);
    assert_string_equal(finish(w), "(\"no-space\" 2)");
    sx_load(w->m, text_of("(perform 1)"));
    assert_int_equal(sx_run(w->m, 0), SX_SUSPENDED);
    sx_raise(w->m, v);
    assert_int_equal(sx_get_state(w->m), SX_FAILED);
    assert_string_equal(finish(w), "no-space: full");
}

/* In an argument, in tail position, through apply, in a callback, in a guard,
 * in a macro. */
static void perform_works_everywhere(void **state)
{
    world *w = *state;
    assert_string_equal(eval(w, "(define (f x) (perform x)) (f 1)"), "1");
    assert_string_equal(eval(w, "(define (g) (apply perform '(2))) (g)"), "2");
    assert_string_equal(eval(w, "(map perform '(1 2 3))"), "(1 2 3)");
    assert_string_equal(eval(w, "(map f '(1 2 3))"), "(1 2 3)");
    assert_string_equal(eval(w, "(sort '(3 1 2) (fn (a b) (perform (< a b))))"),
                        "(1 2 3)");
    assert_string_equal(
        eval(w, "(guard (e (true e)) (raise (perform \"boo\")))"), "\"boo\"");
    assert_string_equal(
        eval(w, "(defmacro m (x) (perform `(+ 1 ,x))) (list (m 2))"), "(3)");
    assert_string_equal(eval(w, "(call/cc perform)"), "#<continuation>");
}

static void a_suspended_program_can_be_dropped(void **state)
{
    world *w = *state;
    sx_load(w->m, text_of("(define a 1) (guard (e (true 1)) (perform 1))"));
    assert_int_equal(sx_run(w->m, 0), SX_SUSPENDED);
    sx_reset(w->m);
    assert_int_equal(sx_get_state(w->m), SX_IDLE);
    assert_string_equal(eval(w, "a"), "1");
    /* The guard of the dropped program is gone, too. */
    assert_string_equal(eval(w, "(raise 5)"), "5");
}

/* ---- continuations ---------------------------------------------------- */

static void a_frame_is_entered_twice(void **state)
{
    world *w = *state;
    static const char text[] =
        "(define k nil) (define runs (list))"
        "(let ((r (map (fn (x) (call/cc (fn (c) (if (= x 2) (set! k c)) x)))"
        "              '(1 2 3))))"
        "  (append! runs r)"
        "  (if (< (len runs) 3) (k (* 10 (len runs))) runs))";
    assert_string_equal(eval(w, text), "((1 2 3) (1 10 3) (1 20 3))");
}

static void a_request_is_answered_twice(void **state)
{
    world *w = *state;
    static const char text[] =
        "(define k nil) (define seen (list))"
        "(let ((a (call/cc (fn (c) (set! k c) 1))) (n 0))"
        "  (set! n (+ n 1))"
        "  (append! seen (list (perform a) n))"
        "  (if (< a 3) (k (+ a 1)) seen))";
    assert_string_equal(eval(w, text), "((1 1) (2 1) (3 1))");
}

static void assignments_outlive_a_continuation(void **state)
{
    world *w = *state;
    static const char text[] = "(define k nil)"
                               "(let ((n 0))"
                               "  (call/cc (fn (c) (set! k c)))"
                               "  (set! n (+ n 1))"
                               "  (if (< n 5) (k nil) n))";
    assert_string_equal(eval(w, text), "5");
}

static void a_continuation_ends_with_its_form(void **state)
{
    world *w = *state;
    /* Entering it later runs the rest of its own form, then what comes after
     * the form that entered it. */
    static const char text[] = "(define k nil) (define log (list))"
                               "(append! log (call/cc (fn (c) (set! k c) 1)))"
                               "(if (< (len log) 3) (k (+ 1 (len log))))"
                               "(append! log \"end\") log";
    assert_string_equal(eval(w, text), "(1 2 \"end\")");
    assert_string_equal(
        eval(w, "(define s nil) (defmacro m () (call/cc (fn (c) (set! s c) 1)))"
                "(m) (s 2)"),
        "error: a continuation of a macro call that has ended");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_text_runs_form_by_form),
        TEST(globals_come_and_go_through_c),
        TEST(values_have_types),
        TEST(a_dict_is_read_and_made),
        TEST(perform_suspends),
        TEST(the_host_raises_into_a_perform),
        TEST(perform_works_everywhere),
        TEST(a_suspended_program_can_be_dropped),
        TEST(a_frame_is_entered_twice),
        TEST(a_request_is_answered_twice),
        TEST(assignments_outlive_a_continuation),
        TEST(a_continuation_ends_with_its_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
