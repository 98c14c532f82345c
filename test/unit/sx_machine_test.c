/* SPDX-License-Identifier: MIT */
/* The machine as a C program sees it: suspend and resume, continuations that
 * are entered twice, limits, memory that runs out anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
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

static void open_machine(world *w, size_t heap_max, size_t depth_max)
{
    sx_options options = {.heap_max = heap_max,
                          .depth_max = depth_max,
                          .write = write_text,
                          .write_context = w};
    w->m = sx_open(&options);
    assert_non_null(w->m);
}

static int set_up(void **state)
{
    world *w = test_calloc(1, sizeof *w);
    open_machine(w, 0, 0);
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
    assert_string_equal(
        eval(w, "(define b 5)\n(define c"),
        "syntax: line 2, column 1: this bracket is never closed");
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

/* ---- limits ----------------------------------------------------------- */

static void a_runaway_program_is_stoppable(void **state)
{
    world *w = *state;
    static const char *const all[] = {
        "(define (f) (f)) (f)",
        "(let loop () (loop))",
        "(define k nil) (begin (call/cc (fn (c) (set! k c))) (k 1))",
        "(defmacro m () '(m)) (m)",
        "(define (g) (guard (e (true (g))) (raise 1))) (g)",
        "(define (h) (for-each (fn (x) x) '(1)) (h)) (h)",
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        sx_load(w->m, text_of(all[i]));
        for (int n = 0; n < 300; n++)
            assert_int_equal(sx_run(w->m, 1000), SX_READY);
        sx_reset(w->m);
    }
    assert_string_equal(eval(w, "1"), "1");
}

static void depth_is_a_limit(void **state)
{
    world *w = *state;
    sx_close(w->m);
    open_machine(w, 0, 1000);
    eval(w, "(define (f n) (if (= n 0) 0 (+ 1 (f (- n 1)))))");
    assert_string_equal(eval(w, "(f 900)"), "900");
    static const char *const all[] = {
        "(f 1001)",
        "(define (g) (map (fn (x) (g)) '(1))) (g)",
        "(define (n i l) (if (= i 0) l (n (- i 1) (list l))))"
        "(sx-serialize (n 1001 1))",
        "(equal? (n 1001 1) (n 1001 1))",
        "(define d {}) (dict-set! d :d d) (sx-serialize d)",
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        eval(w, all[i]);
        assert_int_equal(strncmp(w->text, "limit: ", 7), 0);
    }
    assert_string_equal(eval(w, "(guard (e (true (get e :error))) (f 2000))"),
                        "\"limit\"");
    assert_string_equal(eval(w, "(f 900)"), "900");
    /* Tail calls and guards in a loop take no depth. */
    assert_string_equal(
        eval(w, "(let loop ((i 0)) (if (< i 5000)"
                " (guard (e (true (loop (+ i 1)))) (raise 1)) i))"),
        "5000");
}

static const char *const hogs[] = {
    "(let loop ((l (list))) (loop (cons 1 l)))",
    "(let loop ((l (list))) (append! l 1) (loop l))",
    "(let loop ((s \"xxxxxxxxxxxxxxxx\")) (loop (str s s)))",
    "(let loop ((d {}) (i 0)) (dict-set! d (str i) i) (loop d (+ i 1)))",
    "(define (f n) (+ 1 (f (list n)))) (f 1)",
    "(let loop ((i 0) (k nil)) (loop (+ i 1) (call/cc (fn (c) (list k c)))))",
    "(let loop ((f (fn () 1))) (loop (fn () (f) (f))))",
    "(range 10000000)",
    "(sx-parse (str \"\\\"\" (join \"x\" (range 400000)) \"\\\"\"))",
    "(defmacro m (x) (list 'm (list x x))) (m 1)",
    "(let loop ((l '(1))) (loop (list l l l l l l l l l l l l l l)))",
};

static void memory_is_a_limit(void **state)
{
    world *w = *state;
    sx_close(w->m);
    open_machine(w, 4 << 20, 0);
    eval(w, "(define (work) (len (map (fn (x) (list x)) (range 1000))))");
    for (size_t i = 0; i < sizeof hogs / sizeof *hogs; i++) {
        const char *text = eval(w, hogs[i]);
        if (strncmp(text, "limit: ", 7) != 0)
            fail_msg("%s: %s", hogs[i], text);
        assert_true(sx_heap_used(w->m) <= sx_heap_max(w->m));
        assert_string_equal(eval(w, "(work)"), "1000");
        char guarded[256];
        snprintf(guarded, sizeof guarded,
                 "(define (hog) %s) "
                 "(list (guard (e (true (get e :error))) (hog)) (work))",
                 strncmp(hogs[i], "(def", 4) == 0 ? "(range 10000000)"
                                                  : hogs[i]);
        assert_string_equal(eval(w, guarded), "(\"limit\" 1000)");
    }
}

/* ---- memory that runs out --------------------------------------------- */

static int fail_from_nth(void *context)
{
    uint64_t *left = context;
    if (*left > 0)
        --*left;
    return *left == 0;
}

static int fail_nth(void *context)
{
    uint64_t *left = context;
    return *left > 0 && --*left == 0;
}

static const char workload[] =
    "(define (f n) (if (= n 0) () (cons n (f (- n 1)))))"
    "(defmacro twice (x) `(list ,x ,x))"
    "(define k nil)"
    "(define d {:a 1 \"b c\" (twice 2)})"
    "(let ((l (f 300)))"
    "  (call/cc (fn (c) (set! k c)))"
    "  (for-each (fn (x) (dict-set! d (str x) {:x x :y 1.5})) l)"
    "  (list (len (sx-serialize d)) (perform (len l))"
    "        (len (sx-serialize (sx-parse (sx-serialize d))))"
    "        (equal? d (sx-parse (sx-serialize d)))"
    "        (guard (e (true (get e :error))) (error \"x\"))"
    "        (reduce + 0 (sort (map (fn (x) (* x x)) l) (fn (a b) (< a b))))"
    "        (len (join \",\" (map str l)))))";
static const char outcome[] = "(6102 300 6102 true \"error\" 9045050 1091)";

/* One allocation fails: it is tried again, or the end is `limit`, and the
 * machine works on. From then on all fail: `limit`, no crash. */
static void fail_each(mem_fail_fn rule, bool again)
{
    bool reached = true;
    for (uint64_t n = 1; reached; n += again ? 1 : 3) {
        world w = {.m = NULL};
        uint64_t left = n;
        mem_set_fail(rule, &left);
        w.m = sx_open(NULL);
        sx_state end = SX_FAILED;
        if (w.m != NULL) {
            sx_load(w.m, text_of(workload));
            while ((end = sx_run(w.m, 0)) == SX_SUSPENDED)
                sx_resume(w.m, sx_request(w.m));
        }
        mem_set_fail(NULL, NULL);
        reached = left == 0;
        if (w.m == NULL)
            continue;
        if (end == SX_DONE)
            assert_string_equal(shown(&w, sx_result(w.m), false), outcome);
        else if (strncmp(shown(&w, sx_failure(w.m), true), "limit: ", 7) != 0)
            fail_msg("allocation %d: %s", (int)n, w.text);
        assert_string_equal(eval(&w, workload), outcome);
        sx_close(w.m);
    }
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    fail_each(fail_nth, true);
    fail_each(fail_from_nth, false);
}

/* What is made from C is refused as politely. */
static void making_values_may_fail(void **state)
{
    world *w = *state;
    sx_value v, text;
    sx_close(w->m);
    open_machine(w, 2 << 20, 0);
    assert_true(sx_make_list(w->m, 0, &v));
    size_t count = 0;
    char bytes[1000] = {0};
    while (sx_make_string(w->m, (persist_slice){bytes, sizeof bytes}, &text) &&
           sx_list_push(w->m, v, text))
        count++;
    assert_true(count > 100);
    assert_int_equal(sx_list_size(v), count);
    persist_error error;
    char big[4096];
    memset(big, 'x', sizeof big);
    big[0] = big[sizeof big - 1] = '"';
    assert_int_equal(
        sx_read(w->m, (persist_slice){big, sizeof big}, &text, &error),
        PERSIST_LIMIT);
    sx_collect(w->m, &v, 1);
    assert_int_equal(sx_list_size(v), count);
    sx_collect(w->m, NULL, 0);
    assert_int_equal(
        sx_read(w->m, (persist_slice){big, sizeof big}, &text, &error),
        PERSIST_OK);
}

/* A chain is marked, and a wide list, without a deep stack. */
static void marking_goes_deep_and_wide(void **state)
{
    world *w = *state;
    static const char text[] =
        "(define (chain n acc) (if (= n 0) acc"
        "  (chain (- n 1) (dict :next acc :n (list n)))))"
        "(define c (chain 300000 nil))"
        "(define l (map (fn (x) {:x (list x)}) (range 100000)))"
        "(define (depth c n) (if (nil? c) n (depth (get c :next) (+ n 1))))";
    eval(w, text);
    for (int i = 0; i < 3; i++)
        sx_collect(w->m, NULL, 0);
    assert_string_equal(eval(w, "(list (depth c 0) (get (last l) :x))"),
                        "(300000 (99999))");
    size_t before = sx_heap_used(w->m);
    eval(w, "(define c nil) (define l nil)");
    sx_collect(w->m, NULL, 0);
    assert_true(sx_heap_used(w->m) < before / 4);
}

/* The same when the mark stack may not grow: it overflows, and marked objects
 * are scanned again. */
static void marking_without_memory(void **state)
{
    world *w = *state;
    eval(w, "(define (chain n acc) (if (= n 0) acc"
            "  (chain (- n 1) (dict :next acc :n (list n)))))"
            "(define c (chain 20000 nil))");
    uint64_t left = 1;
    mem_set_fail(fail_from_nth, &left);
    sx_collect(w->m, NULL, 0);
    mem_set_fail(NULL, NULL);
    eval(w, "(define junk (map (fn (x) (list x x)) (range 50000)))");
    assert_string_equal(
        eval(w, "(let loop ((c c) (n 0)) (if (nil? c) n"
                " (loop (get c :next) (+ n (first (get c :n))))))"),
        "200010000");
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
        TEST(a_runaway_program_is_stoppable),
        TEST(depth_is_a_limit),
        TEST(memory_is_a_limit),
        TEST(each_allocation_may_fail),
        TEST(making_values_may_fail),
        TEST(marking_goes_deep_and_wide),
        TEST(marking_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
