#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# A heap that is full: whoever has filled it can empty it.
import unittest

from client import SANITIZED, Case, main, quote


class FullHeap(Case):
    """Who has filled the heap can empty it, and is answered as always."""
    FILL = ('(define (put n) (dict-set! cache (str "user/" n) {:id n '
            ':name (str "name" n) :tags (list 1 2 n)}) (put (inc n))) (put 0)')

    def fill(self, **options):
        s = self.serve(**options)
        s.eval("(define cache {})")
        for _ in range(4):
            message = self.fails("limit", s, self.FILL)
            self.assertIn("memory is out", message)
            self.assertIn("; ", message)
            s.send("(epoch 7)")
            self.assertEqual(s.command("(ping)")[:2], ("ok", 7))
            self.gives(s, '(len (get cache "user/7"))', "3")
        return s

    def emptied(self, s):
        for n in range(300):  # what comes later cannot spoil it
            s.command("(eval %s)" % quote('(dict-set! cache "more/%d" {:n %d})'
                                          % (n, n)))
        self.gives(s, '(< 400 (len cache))', "true")
        self.gives(s, '(len (get cache "user/7"))', "3")
        self.gives(s, "(set! cache {})", "{}")
        self.gives(s, "(begin (define x (range 1000)) (len x))", "1000")
        self.gives(s, "(len cache)", "0")
        self.end(s)

    def test_it_can_be_emptied(self):
        for heap in ("1M", "5M", "8M"):
            self.emptied(self.fill(flags=["--heap-max", heap]))

    def test_a_definition_has_room(self):
        for heap in ("5M", "8M", "12M", "24M", "40M"):
            s = self.serve(flags=["--heap-max", heap])
            self.fails("limit", s, "(define cache {}) " + self.FILL)
            self.gives(s, "(define x 1)", "1")
            self.gives(s, "(> (len cache) 1000)", "true")
            self.end(s)

    @unittest.skipIf(SANITIZED, "the sanitizers take all addresses")
    def test_the_system_gives_no_more(self):
        limited = ["sh", "-c", 'ulimit -v 90000; exec "$@"', "sh"]
        self.emptied(self.fill(wrap=limited))

    def test_lines_without_evaluation(self):
        s = self.serve(flags=["--heap-max", "8M"])
        self.fails("limit", s, "(define c nil) (define (fill) "
                               "(set! c (list c 1)) (fill)) (fill)")
        for n in range(50):
            s.send("(epoch %d)" % n)
            self.assertEqual(s.command("(ping)")[:2], ("ok", n))
        self.gives(s, "(set! c nil)", "nil")


if __name__ == "__main__":
    main()
