#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# lib/persist on the real backend: the order of loading, the reported loss.
import os

from client import ROOT, Case, main

FILES = """event backend log kv commit project concurrency snapshot compaction
    durable blob view catalog query batch upcast idempotency global
    examples/acl subscribe api""".split()
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


if __name__ == "__main__":
    main()
