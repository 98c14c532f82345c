/* SPDX-License-Identifier: MIT */
/* A step that ran out of memory is run again: it has changed nothing before.
 * Each program is run with its nth allocation refused, for every n, and in
 * heaps of every size; the outcome is the same, or `limit`. */

/* Before cmocka, which has a macro named fail. */
#include "sx/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "os/os.h"

enum { TEXT_MAX = 1024 };

/* Every primitive that makes something, and every form, in the middle of
 * others; what programs change in place is looked at afterwards. */
static const char *const programs[] = {
    "(filter (fn (x) true) (range 9))",
    "(let ((l (list 1 2 3 4 5)))"
    "  (list (filter odd? l) (map inc l) (map-indexed list l) l))",
    "(reduce (fn (a x) (append a (list x))) () (range 9))",
    "(let ((s (list))) (for-each (fn (x) (append! s (* x 1.5))) '(1 2 3 4 5))"
    "  s)",
    "(list (some (fn (x) (list x)) '(1 2)) (every? (fn (x) (str x)) '(1 2)))",
    "(sort '(5 3 8 1 9 2) (fn (a b) (< (+ a 0.5) (+ b 0.5))))",
    "(list (sort '(5 3 8 1)) (sort '(\"b\" \"a\") <) (sort '(1.5 2 0) >))",
    "(let ((l (list))) (append! l 1) (append! l (str 2)) (append! l l)"
    "  (append! l 4) (append! l 5) (append! l 6) (len l))",
    "(let ((l (list 1)))"
    "  (let ((a (append l 2)) (b (append l 3)) (c (cons 0 l)) (d (cons 9 l)))"
    "    (list a b c d l (append a '(7 8) b) (concat c d a))))",
    "(let ((d (dict)))"
    "  (for-each (fn (i) (dict-set! d (str \"k\" (mod i 7)) (list i)))"
    "    (range 20))"
    "  (list d (len d) (keys d) (vals d)))",
    "(let ((d {:a 1 \"b c\" 2}))"
    "  (list (assoc d :c 3 :d 4) (dissoc d :a) (merge d {:a 9} {:z 1})"
    "    (into d '((\"x\" 1) (:y 2))) (into (list 0) d) (into {} d) d))",
    "(let ((v {:a '(1 2.5 nil true) :b {:c \"d\\n\"}}))"
    "  (list (sx-parse (sx-serialize v)) (json-decode (json-encode v))"
    "    (json-decode \"[1, 2.5, {\\\"a\\\": \\\"\\\\u00e9x\\\"}]\")"
    "    (equal? v (sx-parse (sx-serialize v)))))",
    "(list (str 1 \"a\" 2.5 '(x)) (split \"a,b,c\" \",\") (join \"-\" '(1 2))"
    "  (replace \"aXbX\" \"X\" \"yy\") (upper \"ab\") (trim \" a \")"
    "  (slice \"abc\" 1) (substring \"abc\" 0 2) (sha256 \"a\")"
    "  (char-from-code 233) (parse-float \"1.5\") (type-of 1)"
    "  (parse-int \"9223372036854775807\") (index-of '(1.5 2) 2))",
    "(list (range 5) (range 0 1 0.3) (reverse '(1 2 3)) (take '(1 2 3) 2)"
    "  (drop '(1 2 3) 1) (flatten '(1 (2 (3 (4))))) (rest '(1 2))"
    "  (contains? '((1 2) (3)) '(3)) (apply list (range 6)))",
    "(list (+ 1 1.5) (- 2.5) (* 1.5 2) (/ 7 2) (pow 2 0.5) (sqrt 2)"
    "  (+ 4611686018427387904 1) (- -4611686018427387904 9) (mod 7.5 2))",
    "(define k nil) (define n 0) (define seen (list))"
    "(define (go)"
    "  (let ((l (list 1 2)))"
    "    (append! seen `(a ,(call/cc (fn (c) (set! k c) n)) ,@l ,@nil b))"
    "    (set! n (+ n 1))"
    "    (when (< n 3) (k (list n)))"
    "    seen))"
    "(go)",
    "(define k nil) (define n 0)"
    "(define r (map (fn (x) (call/cc (fn (c) (when (= x 2) (set! k c)) x)))"
    "  '(1 2 3)))"
    "(set! n (+ n 1)) (list r n)",
    "(define (f c) (define g (fn () (set! y (list y c)) y))"
    "  (cond (c (define y 1)) (else (define y 2))) (g) (list (g) y))"
    "(list (f true) (f false))",
    "(defmacro m (a &rest b) `(let ((x ,a)) (list x ,@b)))"
    "(defmacro d (n) `(define ,n (m 1 2 3)))"
    "(d z) (list z (m (m 1 2) {:a (m 3)}))",
    "(list (guard (e (true (get e :error))) (car 1))"
    "  (guard (e ((= e 1) (list e e))) (raise 1))"
    "  (guard (e (true (get e :message))) (error \"a\" 1 '(2)))"
    "  (guard (e (true (get e :message))) (assert false \"b\" 1.5))"
    "  (guard (e (true (get e :error))) (+ 1 \"x\")))",
    "(letrec ((even (fn (n) (if (= n 0) (list) (odd (- n 1)))))"
    "    (odd (fn (n) (cons n (even (- n 1))))))"
    "  (let loop ((i 0) (acc (list)))"
    "    (if (< i 4) (loop (inc i) (append acc (even (* 2 i)))) acc)))",
    "(list (perform (list 1 (perform 2))) (-> 1 (list 2) (cons '(3)))"
    "  (case (list 1) '(1) \"one\" :else 2)"
    "  ((fn (a &rest r) (list a r)) 1 2 3) (apply (fn (&rest r) r) '(1 2)))",
    "(define s (list)) (define (t x) (append! s x) x)"
    "(list (map t (filter t (map t '(1 2 3)))) (reduce (fn (a b) (t (+ a b))) 0"
    "  (map t '(4 5))) s)",
};

enum { PROGRAMS = sizeof programs / sizeof *programs };

/* The printed value, or the error; each request is its own answer. Returns
 * whether an allocation was refused. */
static bool outcome(sx *m, const char *program, char text[TEXT_MAX])
{
    sx_load(m, (persist_slice){program, strlen(program)});
    sx_state state;
    while ((state = sx_run(m, 0)) == SX_SUSPENDED)
        sx_resume(m, sx_request(m));
    sx_out out = {0};
    bool refused = m->heap.refuse == 0;
    m->heap.refuse = 0;
    persist_status status =
        state == SX_DONE ? sx_print(m, sx_result(m), 0, &out, NULL)
                         : sx_print_failure(m, sx_failure(m), &out, NULL);
    if (status != PERSIST_OK) {
        sx_collect(m, NULL, 0);
        snprintf(text, TEXT_MAX, "limit: no room to print");
    } else {
        snprintf(text, TEXT_MAX, "%.*s", (int)out.size, out.data);
    }
    sx_out_release(&out);
    return refused;
}

static sx *open_machine(size_t heap_max)
{
    sx_options options = {SX_OPTIONS, .heap_max = heap_max};
    sx *m;
    return sx_open(&options, &m, NULL) == PERSIST_OK ? m : NULL;
}

static bool is_limit(const char *text)
{
    return strncmp(text, "limit: ", 7) == 0;
}

static void each_allocation_is_refused_once(void **state)
{
    (void)state;
    char wanted[TEXT_MAX], given[TEXT_MAX];
    unsigned same = 0, limits = 0;
    for (size_t i = 0; i < PROGRAMS; i++) {
        sx *m = open_machine(0);
        outcome(m, programs[i], wanted);
        sx_close(m);
        if (is_limit(wanted) || strlen(wanted) == 0)
            fail_msg("%s\n  %s", programs[i], wanted);
        bool refused = true;
        for (uint64_t n = 1; refused; n++) {
            m = open_machine(0);
            heap_refuse(m, n);
            refused = outcome(m, programs[i], given);
            sx_close(m);
            if (strcmp(given, wanted) == 0)
                same++;
            else if (is_limit(given))
                limits++;
            else
                fail_msg("allocation %u of\n%s\n  %s\n  %s", (unsigned)n,
                         programs[i], wanted, given);
        }
    }
    assert_in_range(same, 20 * PROGRAMS, UINT32_MAX);
    assert_in_range(limits, 0, same / 20);
}

/* The same work at a size that a small heap does not hold. */
static const char *const big_programs[] = {
    "(len (filter (fn (x) true) (range 2000)))",
    "(let ((l (filter (fn (x) (list x)) (range 3000)))) (list (len l) (last l)"
    "  (len (map inc l))))",
    "(let ((l (list))) (for-each (fn (x) (append! l (* 1.5 x))) (range 2000))"
    "  (list (len l) (last l)))",
    "(let ((d (dict))) (for-each (fn (i) (dict-set! d (str i) (list i)))"
    "  (range 700)) (list (len d) (get d \"699\")))",
    "(let ((l (sort (reverse (range 900)) (fn (a b) (< a b)))))"
    "  (list (len l) (first l) (last l)))",
    "(let ((v (json-decode (json-encode (map (fn (i) {:a i :b (list i)})"
    "  (range 300)))))) (list (len v) (last v)))",
    "(len (reduce (fn (a x) (append a (list x x))) () (range 2000)))",
    "(let ((s (list))) (guard (e ((= e 900) 1)) (for-each (fn (x) (append! s x)"
    "  (when (= x 900) (raise x))) (range 1000))) (len s))",
};

enum { BIG_PROGRAMS = sizeof big_programs / sizeof *big_programs };

static void heaps_of_every_size(void **state)
{
    (void)state;
    char wanted[TEXT_MAX], given[TEXT_MAX];
    for (size_t i = 0; i < BIG_PROGRAMS; i++) {
        sx *m = open_machine(0);
        outcome(m, big_programs[i], wanted);
        sx_close(m);
        assert_false(is_limit(wanted));
        unsigned same = 0, limits = 0;
        for (size_t heap_max = 200 << 10; same < 40; heap_max += 5 << 10) {
            if ((m = open_machine(heap_max)) == NULL)
                continue;
            outcome(m, big_programs[i], given);
            sx_close(m);
            if (strcmp(given, wanted) == 0)
                same++;
            else if (is_limit(given))
                limits++;
            else
                fail_msg("a heap of %zu bytes, %s\n  %s\n  %s", heap_max,
                         big_programs[i], wanted, given);
            assert_in_range(heap_max, 0, 64 << 20);
        }
        assert_in_range(limits, 1, UINT32_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_is_refused_once),
        cmocka_unit_test(heaps_of_every_size),
    };
    (void)os_posix(); /* notes which bug is on, in a build that has some */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
