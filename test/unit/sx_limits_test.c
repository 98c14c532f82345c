/* SPDX-License-Identifier: MIT */
/* The machine under pressure: limits, memory that runs out anywhere, programs
 * that are damaged. */
/* Before cmocka, which has a macro named fail. */
#include "sx/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

typedef struct world {
    sx *m;
    char text[4096]; /* what eval returns */
} world;

static persist_slice text_of(const char *text)
{
    return (persist_slice){text, strlen(text)};
}

static void open_machine(world *w, size_t heap_max, size_t depth_max)
{
    sx_options options = {SX_OPTIONS, .heap_max = heap_max,
                          .depth_max = depth_max};
    assert_int_equal(sx_open(&options, &w->m, NULL), PERSIST_OK);
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
    eval(w, "(define (n i l) (if (= i 0) l (n (- i 1) (list l))))");
    static const char *const all[] = {
        "(f 1001)",
        "(define (g) (map (fn (x) (g)) '(1))) (g)",
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
        (void)sx_open(NULL, &w.m, NULL);
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
    while (sx_make_string(w->m, (persist_slice){big, sizeof big}, &text))
        ;
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

/* Marking needs no memory, so none can be refused to it; and at the limit too
 * its work is in proportion to what there is. */
static void marking_takes_no_memory(void **state)
{
    world *w = *state;
    static const char *const chains[] = {
        "(let loop ((c nil)) (loop (list c 1)))",
        "(let loop ((c nil)) (loop {:prev c :v 1}))",
        "(let loop ((c nil)) (loop (list 1 2 c 3 4)))",
        "(let loop ((c nil)) (loop (fn () c c)))",
        "(define (f x) (list (f (list x 1)) 1)) (f nil)",
        "(let loop ((c nil)) (loop (append (range 1000) (list c 1))))",
    };
    const size_t heap_max = 24 << 20;
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        sx_close(w->m);
        open_machine(w, heap_max, 0);
        sx_load(w->m, text_of(chains[i]));
        uint64_t words = 0, collections = 0, before = w->m->heap.scanned;
        while (sx_run(w->m, 1000) == SX_READY) {
            uint64_t more = w->m->heap.scanned - before;
            before = w->m->heap.scanned;
            words += more;
            collections += more > 0;
            assert_true(more <= 4 * heap_max / sizeof(sx_value));
        }
        assert_int_equal(strncmp(finish(w), "limit: ", 7), 0);
        assert_in_range(collections, 1, 64);
        assert_in_range(words, 1, 64 * heap_max / sizeof(sx_value));
    }
    uint64_t left = 1;
    eval(w, "(define (chain n c) (if (= n 0) c (chain (- n 1) (list n c 0))))"
            "(define c (chain 20000 nil))");
    mem_set_fail(fail_from_nth, &left);
    sx_collect(w->m, NULL, 0);
    mem_set_fail(NULL, NULL);
    eval(w, "(define junk (map (fn (x) (list x x)) (range 50000)))");
    assert_string_equal(eval(w, "(let loop ((c c) (n 0)) (if (nil? c) n"
                                " (loop (nth c 1) (+ n (first c)))))"),
                        "200010000");
}

/* ---- the hash --------------------------------------------------------- */

/* The seed decides about hashes, and about nothing that a program can see; and
 * nothing else decides about them, as an address would. */
static void only_the_seed_decides_about_hashes(void **state)
{
    world *w = *state;
    static const uint64_t seeds[] = {7, 7, 8, UINT64_C(1) << 63, 0, 0};
    enum { SEEDS = sizeof seeds / sizeof *seeds };
    uint32_t hashes[SEEDS];
    char first[sizeof w->text];
    for (size_t i = 0; i < SEEDS; i++) {
        sx_close(w->m);
        sx_options options = {SX_OPTIONS, .hash_seed = seeds[i]};
        assert_int_equal(sx_open(&options, &w->m, NULL), PERSIST_OK);
        eval(w,
             "(let ((d (dict)))"
             "  (for-each (fn (i) (dict-set! d (str i) i)) (range 100))"
             "  (list (keys d) (get d \"77\") (get d \"x\") (dissoc d :5)))");
        if (i == 0)
            memcpy(first, w->text, sizeof first);
        assert_string_equal(w->text, first);
        hashes[i] = intern(w->m, text_of("a name"))->head.aux;
    }
    assert_int_equal(hashes[0], hashes[1]);
    assert_int_equal(hashes[4], hashes[5]);
    for (size_t i = 1; i < 5; i++) {
        for (size_t k = i + 1; k < 5; k++)
            assert_int_not_equal(hashes[i], hashes[k]);
    }
}

/* ---- damaged programs ------------------------------------------------- */

static const char *const words[] = {
    "(",         ")",          "(",       ")",        "[",
    "]",         "{",          "}",       "'",        "`",
    ",",         ",@",         "define",  "fn",       "let",
    "letrec",    "loop",       "if",      "cond",     "case",
    "when",      "and",        "or",      "do",       "set!",
    "quote",     "quasiquote", "unquote", "defmacro", "->",
    "guard",     "raise",      "call/cc", "perform",  "apply",
    "map",       "for-each",   "reduce",  "sort",     "append!",
    "dict-set!", "a",          "b",       "c",        "a",
    "b",         "c",          "m",       "m",        "&rest",
    "else",      ":else",      ":k",      "\"s\"",    "0",
    "1",         "-1",         "1.5",     "nil",      "true",
    "list",      "+",          "-",       "<",        "=",
    "first",     "rest",       "cons",    "append",   "concat",
    "get",       "len",        "str",     "sx-parse", "sx-serialize",
    "e",         "true",       "()",      "{}",
};

static const char *const pieces[] = {
    "(define (a b) (if (< b 1) b (a (- b 1)))) ",
    "(defmacro m (a &rest b) `(list ,a ,@b)) ",
    "(let ((a 1) (b (fn (c) (set! a c)))) (b 2) a) ",
    "(let loop ((a 3) (b ())) (if (= a 0) b (loop (- a 1) (cons a b)))) ",
    "(guard (e ((= e 1) a) (else e)) (raise 1)) ",
    "(map (fn (a) (call/cc (fn (b) (b a)))) '(1 2 3)) ",
    "(define c nil) (call/cc (fn (b) (set! c b))) ",
    "(letrec ((a (fn () b)) (b 2)) (a)) ",
    "(begin (define a 1) (when a (define b a)) (+ a b)) ",
    "((fn () (when true (define a 1)) (define a 2) a)) ",
    "(m 1 2 3) (c 1) ",
    "(let ((d {:a 1})) (dict-set! d :b d) (defmacro b (x) (append! x x))) ",
};

static uint64_t seed = 0xfeed;

static uint64_t pick(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed * UINT64_C(0x2545f4914f6cdd1d) >> 11) % below;
}

/* Pieces of programs with words put in and bytes taken out. */
static size_t damaged_program(char *text, size_t room)
{
    size_t size = 0;
    for (uint64_t n = 1 + pick(4); n > 0; n--)
        size += (size_t)snprintf(text + size, room - size, "%s",
                                 pieces[pick(sizeof pieces / sizeof *pieces)]);
    for (uint64_t n = pick(6); n > 0; n--) {
        char word[32];
        size_t at = (size_t)pick(size), more;
        if (pick(2) == 0) {
            size_t out = (size_t)pick(size - at < 6 ? size - at : 6);
            memmove(text + at, text + at + out, size - at - out);
            size -= out;
            continue;
        }
        more = (size_t)snprintf(word, sizeof word, " %s ",
                                words[pick(sizeof words / sizeof *words)]);
        memmove(text + at + more, text + at, size - at);
        memcpy(text + at, word, more);
        size += more;
    }
    return size;
}

/* Whatever the text is, the machine ends, fails or goes on. */
static void damaged_programs(void **state)
{
    world *w = *state;
    sx_close(w->m);
    open_machine(w, 8 << 20, 2000);
    int done = 0;
    for (int i = 0; i < 5000; i++) {
        char text[2048];
        size_t size = damaged_program(text, sizeof text - 512);
        sx_load(w->m, (persist_slice){text, size});
        for (int n = 0; n < 20 && sx_run(w->m, 200) != SX_DONE; n++) {
            if (sx_get_state(w->m) == SX_SUSPENDED)
                sx_resume(w->m, sx_request(w->m));
            if (i % 7 == 0)
                sx_collect(w->m, NULL, 0);
        }
        done += sx_get_state(w->m) == SX_DONE;
        if (sx_get_state(w->m) == SX_FAILED)
            shown(w, sx_failure(w->m), true);
        if (i % 50 != 0)
            continue;
        sx_close(w->m); /* some of them redefine everything */
        open_machine(w, 8 << 20, 2000);
    }
    assert_in_range(done, 500, 4500);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_runaway_program_is_stoppable),
        TEST(depth_is_a_limit),
        TEST(memory_is_a_limit),
        TEST(each_allocation_may_fail),
        TEST(making_values_may_fail),
        TEST(marking_goes_deep_and_wide),
        TEST(marking_takes_no_memory),
        TEST(only_the_seed_decides_about_hashes),
        TEST(damaged_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
