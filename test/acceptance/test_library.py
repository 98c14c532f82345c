#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# lib/persist on the real backend: the order of loading, the reported loss.
import os

from client import ROOT, Case, main

FILES = """event backend log kv commit project concurrency snapshot compaction
    durable blob view catalog query batch upcast idempotency global
    follow examples/acl subscribe api""".split()
REPRO = """
(let ((b (persist/durable-backend)))
  (begin (persist/append b "s" "x" 0 {})
         (persist/append b "s" "x" 0 {})
         (list (persist/event-seq (persist/append b "s" "x" 0 {}))
               (persist/count b "s")
               (len (persist/read b "s")))))"""


class Library(Case):
    def library(self, **options):
        s = self.serve(cwd=ROOT, **options)
        for name in FILES:
            s.load(os.path.join("lib", "persist", name + ".sx"))
        return s

    def test_loading_opens_no_store(self):
        self.library()
        self.assertFalse(os.path.exists(self.store))

    def test_nothing_is_lost(self):
        s = self.library()
        self.gives(s, REPRO, "(3 3 3)")
        s.kill()
        s = self.library()
        self.gives(s, REPRO, "(6 6 6)")

    def test_the_old_way_concerns_no_op_of_ours(self):
        s = self.library(flags=["--unknown-op=nil"])
        self.gives(s, REPRO, "(3 3 3)")

    def test_a_day_in_the_life(self):
        s = self.library()
        s.eval('(define b (persist/durable-backend)) '
               '(define step (fn (v e) (+ v (persist/event-data e)))) '
               '(define (add n) (persist/append b "sum" "add" 0 n))')
        s.eval("(for-each add (range 1 11))")
        self.gives(s, '(persist/project-fold b "sum" step 0)', "55")
        self.gives(s, '(persist/project-value '
                   '(persist/compact b "sum" "total" step 0))', "55")
        self.gives(s, '(list (persist/count b "sum") '
                   '(persist/last-seq b "sum"))', "(0 10)")
        s.kill()
        s = self.library()
        s.eval('(define b (persist/durable-backend)) '
               '(define step (fn (v e) (+ v (persist/event-data e))))')
        self.gives(s, '(persist/event-seq '
                   '(persist/append b "sum" "add" 0 100))', "11")
        self.gives(s, '(persist/project-value '
                   '(persist/replay b "sum" "total" step 0))', "155")

    def test_a_blob_behind_a_reference(self):
        s = self.library()
        s.eval('(define b (persist/durable-backend)) '
               '(define blobs (persist/blob-store-backend)) '
               '(persist/kv-put b "doc" (persist/blob-store blobs '
               '"hello world" "text/plain"))')
        s.kill()
        s = self.library()
        self.gives(s, '(persist/blob-fetch (persist/blob-store-backend) '
                   '(persist/kv-get (persist/durable-backend) "doc"))',
                   '"hello world"')

    def test_a_stream_larger_than_the_heap(self):
        s = self.library(flags=["--heap-max", "16M"])
        s.eval('(define b (persist/durable-backend)) '
               '(define (count n event) (inc n)) '
               '(define (seventh? event) '
               '(= (mod (persist/event-seq event) 7) 0)) '
               '(define (text n) (let loop ((s "x")) '
               '(if (< (len s) n) (loop (str s s)) (slice s 0 n))))')
        # at last events of which sixteen do not fit
        events = [(600, "(text 40000)"), (1000, "i"), (20, "(text 1300000)")]
        for count, data in events:
            for first in range(0, count, 20):
                s.eval('(for-each (fn (i) (persist/gappend b "s" "t" i %s)) '
                       '(range %d %d))' % (data, first, first + 20))
        s.eval('(define big (persist/view "view" "s" count 0))')
        total = sum(count for count, _ in events)
        self.fails("limit", s, '(len (persist/read b "s"))')
        state = "{:value %d :seq %d}" % (total, total)
        for source, text in [
                ('(persist/project b "s" count 0)', state),
                ('(persist/project-fold b "s" count 0)', str(total)),
                ('(persist/project-resume b "s" count {:value 9 :seq 9})',
                 state),
                ('(persist/project-upcast b "s" (persist/upcasters) count 0)',
                 state),
                ('(persist/project-global b count 0)', state),
                ('(persist/count-where b "s" seventh?)', str(total // 7)),
                ('(len (persist/read-window b "s" 3 5))', "6"),
                ('(len (persist/read-between b "s" 2 12))', "11"),
                ('(len (persist/read-by-type b "s" "none"))', "0"),
                ('(persist/uncompacted b "s" "name" 0)', str(total)),
                ('(persist/count b "s")', str(total)),
                ('(persist/replay b "s" "name" count 0)', state),
                ('(persist/view-value b big)', str(total)),
                ('(persist/checkpoint b "s" "name" count 0)', state),
                ('(persist/maybe-compact b "s" "other" count 0 5)', state),
                ('(persist/count b "s")', "0"),
                ('(persist/project-global b count 0)',
                 "{:value 0 :seq %d}" % total)]:
            with self.subTest(source):
                self.gives(s, source, text)


if __name__ == "__main__":
    main()
