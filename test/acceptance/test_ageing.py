#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# A server that has written much is like one that has just begun.
import os

from client import Case, main

LOOP = ('(let loop ((i 0)) (if (< i %d) (begin (perform {:op "persist/kv-put" '
        ':args (list "k" "%s")}) (loop (inc i))) i))')


def sizes(folder):
    """Of the files that are there: a segment goes when its table is written."""
    for name in os.listdir(folder):
        try:
            yield os.path.getsize(os.path.join(folder, name))
        except FileNotFoundError:
            continue


class Ageing(Case):
    def test_a_log_file_is_as_large_as_its_record_needs(self):
        s = self.serve(flags=["--segment", "64K", "--memtable", "256K"])
        self.assertEqual(s.eval(LOOP % (400, "x" * 50000)), "400")
        s.eval(LOOP % (1, "y" * 1000000))
        self.assertLess(max(sizes(os.path.join(self.store, "wal"))), 1100000)


if __name__ == "__main__":
    main()
