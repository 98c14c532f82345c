#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# The language, through the server: what programs could end it with, and what
# they got wrong answers from.
from client import Case, main, quote

FUNCTIONS = """
(define (twice-as-long s n) (if (= n 0) s (twice-as-long (str s s) (- n 1))))
(define (chain n c) (if (= n 0) c (chain (- n 1) (list n c 0))))
(define (chain-of-dicts n c)
  (if (= n 0) c (chain-of-dicts (- n 1) {:n n :prev c :v 1})))
"""


class Definitions(Case):
    def test_in_branches(self):
        s = self.serve()
        s.eval("(define (f c) (cond (c (define y 1)) (else (define y 2))) y)")
        self.gives(s, "(list (f true) (f false))", "(1 2)")
        self.fails("unbound", s, "((fn () (and false (define x 1)) x))")
        self.fails("unbound", s,
                   "((fn () (and false (define x 1)) (set! x 2)))")
        self.fails("unbound", s, "((fn () (case 1 2 (define x 1)) "
                                 "((fn () (set! x 2)))))")
        self.alive(s)

    def test_behind_a_closure(self):
        s = self.serve()
        s.eval("(defmacro def (n v) `(define ,n ,v))")
        self.gives(s, "((fn () (define r (fn () hidden)) (def hidden 6) (r)))",
                   "6")
        self.gives(s, "((fn () (define r (fn () y)) "
                      "(cond (true (define y 5))) (r)))", "5")
        self.gives(s, "((fn () (define s (fn () (set! y 7))) "
                      "(or (define y 5) 1) (s) y))", "7")


    def test_wide_forms_are_compiled_in_small_steps(self):
        s = self.serve()
        names = " ".join("p%d" % i for i in range(200000))
        self.gives(s, "(fn? (fn (%s) (fn (%s) 1)))" % (names, names), "true")
        self.gives(s, "(len (apply (fn (%s) (list p0 p199999)) "
                      "(range 200000)))" % names, "2")

    def test_names_that_are_there_twice(self):
        s = self.serve()
        for text in ("(fn (a b a) 1)", "(let a ((b 1) (b 2)) 1)"):
            self.fails("syntax", s, text)
            self.gives(s, "((fn (a b) (define a 3) (list a b)) 1 2)", "(3 2)")
        self.gives(s, "((fn (a) ((fn (a) a) 2)) 1)", "2")
        self.gives(s, "(letrec ((a 1) (b (fn () a)) (a 2)) (list a (b)))",
                   "(2 2)")
        self.gives(s, "((fn () (define a 1) (define r (fn () a)) "
                      "(define a 2) (list a (r))))", "(2 2)")


class Memory(Case):
    def test_chains_at_the_limit_end(self):
        s = self.serve(flags=["--heap-max", "60M"])
        for link in ("(list c 1)", "{:prev c :v 1}", "(fn () (list c c))"):
            self.fails("limit", s, "(let loop ((c nil)) (loop %s))" % link)
            self.gives(s, "(len (range 1000))", "1000")

    def test_what_is_reached_stays(self):
        s = self.serve(flags=["--heap-max", "60M"])
        s.eval(FUNCTIONS)
        s.eval("(define a (chain 50000 nil)) "
               "(define b (chain-of-dicts 50000 nil)) "
               "(define c (list a b (range 1000) {:a a :b b}))")
        for _ in range(3):
            self.fails("limit", s, "(let loop ((l nil)) (loop (list l 1)))")
        self.gives(
            s, "(let loop ((c (first c)) (n 0)) (if (nil? c) n "
               "(loop (nth c 1) (+ n (first c) (nth c 2)))))", "1250025000")
        self.gives(
            s, "(let loop ((c (get (last c) :b)) (n 0)) (if (nil? c) n "
               "(loop (get c :prev) (+ n (get c :n) (get c :v)))))",
            "1250075000")

    def test_a_step_that_is_tried_again(self):
        program = ("(let ((l (filter (fn (x) (list x)) (range 20000)))) "
                   "(list (len l) (last l)))")
        ends = set()
        for heap in range(520, 3000, 120):
            s = self.serve(flags=["--heap-max", "%dK" % heap])
            reply = s.command("(eval %s)" % quote(program))
            ends.add(reply.text.split(":")[0])
            s.close()
        self.assertEqual(ends, {"limit", "(20000 19999)"})


class Values(Case):
    def test_ranges_of_floats_leave_out_their_end(self):
        s = self.serve()
        self.gives(s, "(len (range 4.5 4.7 0.05))", "4")
        self.gives(s, "(last (range 0 1 0.1))", "0.9")
        self.gives(s, "(len (range 4.7 4.5 -0.05))", "4")

    def test_zeros_have_a_sign(self):
        s = self.serve()
        for sum in ("(+ -0.0 -0.0)", "(+ -0.0)", "(* -0.0)", "(- 0.0)",
                    "(min 0.0 -0.0)", "(reduce + -0.0 '(-0.0))"):
            self.gives(s, sum, "-0.0")
        for sum in ("(+ 0.0 -0.0)", "(max -0.0 0.0)", "(abs -0.0)"):
            self.gives(s, sum, "0.0")

    def test_a_splice_of_nothing_is_a_list_of_its_own(self):
        s = self.serve()
        self.gives(s, """
            (let ((k nil) (n 0) (seen (list)))
              (define (f)
                (let ((l `(a ,@(call/cc (fn (c) (set! k c) nil)))))
                  (append! l n) (append! seen l) (set! n (+ n 1))))
              (f)
              (when (< n 3) (k nil))
              seen)""", "((a 0) (a 1) (a 2))")


class Bounds(Case):
    def test_messages(self):
        s = self.serve()
        name, shown = "n" * 5000000, "n" * 200 + "..."
        for text, message in ((name, "unbound: " + shown),
                              ("(set! %s 1)" % name, "unbound: " + shown),
                              ('(perform {:op "%s"})' % name,
                               "unknown-op: this host does not own the op " +
                               shown)):
            reply = s.command("(eval %s)" % quote(text))
            self.assertEqual((reply.kind, reply.text), ("error", message))
        s.eval(FUNCTIONS)
        for raised in ("(raise s)", "(error s)", "(assert false s)",
                       "(raise (list 1 s))"):
            reply = s.command("(eval %s)" % quote(
                '(let ((s (twice-as-long "s" 22))) %s)' % raised))
            self.assertEqual(reply.kind, "error")
            self.assertEqual(len(reply.text), 64 * 1024 + 3)
        self.gives(s, '(let ((s (twice-as-long "s" 22))) '
                      "(guard (e (else (len e))) (raise s)))", "4194304")

    def test_arguments(self):
        s = self.serve(flags=["--heap-max", "200M"])
        self.gives(s, "(apply + (range 0 3000000))", "4499998500000")
        self.gives(s, "(len (apply (fn (&rest r) r) (range 3000000)))",
                   "3000000")
        self.fails("limit", s, "(apply + (range 0 12000000))")
        self.fails("arity", s, "(apply first (range 0 3000000))")


if __name__ == "__main__":
    main()
