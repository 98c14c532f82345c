#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Memory that is out: one allocation of the whole process fails, libraries
# included, or all from there on. That is `limit`, and never the end.
"""usage: test_memory.py [--every N] [TEST...]

--every 1 fails each allocation of each program; by default some are left out,
so that it takes seconds.
"""
import os
import re
import shutil
import subprocess
import sys
import unittest.mock

from client import ROOT, SANITIZED, SERVER, main, perform, quote
from test_cli import PERSIST
from test_import import HELLO, Legacy

EVERY = 0
TRIES = 40  # about so many of each program and mode, if EVERY is not given
PRELOAD = os.path.join(ROOT, os.path.dirname(SERVER), "memory", "preload.so")
REPLY = re.compile(rb"\((ok|ok-len|error|io-request) \d+(?: (.*))?\)\Z", re.S)
NO_MEMORY = re.compile(
    rb"(limit: |sx_server: out of memory;|"
    rb"cannot start a thread for sx_server: |"
    rb"persist: the output is not whole: out of memory)")
FLAGS = ["--compress", "--memtable", "8K", "--segment", "8K", "--cache", "1",
         "--unknown-op=bridge"]
PRINTED = b"printed " * 8192
PRINT = '(define (double s n) (if (= n 0) s (double (str s s) (- n 1)))) ' \
    '(print (double "printed " 13)) '
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
LIBRARY = "(define answer 42)\n"


def evaluate(source):
    return "(eval %s)" % quote(source)


def put(key):
    return evaluate(perform("persist/kv-put", quote(key), "1"))


# What one line could not do none of the others needs.
LINES = [
    put("one"),
    evaluate('(sha256 "abc")'),
    evaluate(PRINT + perform("persist/kv-put", '"two"', '"x"')),
    evaluate(perform("persist/commit", '(list {:once "id"} {:append "s" '
                     ':events (list {:type "t" :at 0 :data 1})})')),
    evaluate(perform("blob/put", '"abc"', "nil")),
    evaluate(perform("blob/put", '(join "" (map str (range 0 9000 1)))',
                     "nil")),
    evaluate(perform("persist/kv-put", '"three"', "1") + PRINT + "3"),
    evaluate(perform("persist/read-range", '"old"', "1", "40")),
    evaluate('(perform {:op "ask"})'),
    put("four"),
    "(io-response (1 2 3))",
    '(load "lib.sx")',
    evaluate('(define (double s n) (if (= n 0) s (double (str s s) (- n 1)))'
             ') (double "x" 17)'),
    evaluate(quote("y" * 200000)),  # more than one read of the input
    "(nonsense)",
    "(ping)",
]
KEYS = {0: "one", 2: "two", 9: "four"}
PRINTS = (2, 6)
REFUSED = 14  # bad-request, whatever memory there is


class Memory(Legacy):
    """The same program again and again, with less and less memory."""

    def setUp(self):
        # thousands of stores, and none for the disk
        with unittest.mock.patch("tempfile.tempdir", IN_MEMORY):
            super().setUp()
        with open(os.path.join(self.dir, "lib.sx"), "w") as f:
            f.write(LIBRARY)
        s = self.serve(flags=FLAGS)
        for seq in range(1, 200):
            s.perform("persist/append", '"old"', '{:stream "old" :seq %d '
                      ':type "t" :at 0 :data "hello hello hello hello"}' % seq)
        s.eval(perform("blob/put", '"hello world"', "nil"))
        self.end(s)
        self.whole = self.store + ".whole"
        shutil.move(self.store, self.whole)

    def run_program(self, command, fail, text=""):
        """Runs it on a new copy of the store; fail: as MALLOC_FAIL."""
        self.said = "MALLOC_FAIL=%s %s" % (fail, " ".join(command))
        self.counted = os.path.join(self.dir, "count")
        for path in (self.store, "new", "new.importing"):
            shutil.rmtree(os.path.join(self.dir, path), ignore_errors=True)
        shutil.copytree(self.whole, self.store)
        return subprocess.run(
            command, input=text.encode(), capture_output=True, timeout=120,
            cwd=self.dir, env={**os.environ, "LD_PRELOAD": PRELOAD,
                               "MALLOC_FAIL": fail,
                               "MALLOC_COUNT": self.counted})

    def each_failure(self, command, text=""):
        """Yields the runs: one in which nothing fails first."""
        yield self.run_program(command, "0", text)
        with open(self.counted) as f:
            count = int(f.read())
        step = EVERY or max(1, count // TRIES)
        for mode in ("", "+"):
            for nth in range(1, count + step, step):
                yield self.run_program(command, "%d%s" % (nth, mode), text)
                self.runs += 1
        print("\nfigure: %s: every %d. of %d allocations, once and for good"
              % (os.path.basename(command[0]), step, count))

    def ended_well(self, run, codes=(0, 1)):
        self.assertIn(run.returncode, codes, (self.said, run.stderr[-500:]))
        if run.returncode != codes[0]:
            self.assertRegex(run.stderr, NO_MEMORY, self.said)


@unittest.skipIf(SANITIZED, "the sanitizers have their own malloc")
class Server(Memory):
    runs = 0

    def replies(self, output):
        """(kind, bytes) of each, but for what asks the client."""
        found, at = [], 0
        self.assertTrue(output.startswith(b"(ready)\n"), self.said)
        at = len(b"(ready)\n")
        while at < len(output):
            end = output.index(b"\n", at)
            match = REPLY.match(output[at:end])
            self.assertTrue(match, (self.said, output[at:end][:300]))
            kind, what, at = match[1], match[2], end + 1
            if kind == b"ok-len":
                what = output[at:at + int(what)]
                at += len(what) + 1
                self.assertEqual(output[at - 1:at], b"\n", self.said)
            if kind != b"io-request":
                found.append((kind, what))
        return found

    def check(self, run, clean):
        """Every command has its reply: that of `clean`, or `limit`."""
        self.ended_well(run)
        if not run.stdout:
            self.assertEqual(run.returncode, 1, self.said)
            return
        replies = self.replies(run.stdout)
        self.assertEqual(len(replies), len(clean), (self.said, replies))
        for at, (got, wanted) in enumerate(zip(replies, clean)):
            if got != wanted:
                self.assertEqual(got[0], b"error", (self.said, at, got))
                self.assertRegex(got[1], rb'^"limit: ', (self.said, at))
        printed = sum(replies[at] == clean[at] for at in PRINTS)
        self.assertGreaterEqual(run.stderr.count(PRINTED), printed, self.said)
        self.check_store([key for at, key in KEYS.items()
                          if replies[at] == clean[at]])

    def check_store(self, keys):
        self.persist("verify", "--quiet", self.store)
        found = self.persist("--store", self.store, "kv", "keys").replace(
            '"', "").split()
        self.assertLessEqual(set(keys), set(found), self.said)

    def test_each_allocation_fails(self):
        command = [SERVER, "--store", self.store, *FLAGS]
        runs = self.each_failure(command, "\n".join(LINES) + "\n")
        first = next(runs)
        self.assertEqual(first.returncode, 0, first.stderr[-500:])
        clean = self.replies(first.stdout)
        self.assertEqual(len(clean), len(LINES) - 1)
        self.assertEqual([at for at, reply in enumerate(clean)
                          if reply[0] == b"error"], [REFUSED - 1])
        self.assertEqual(first.stderr, 2 * PRINTED)
        for run in runs:
            self.check(run, clean)
        self.assertGreater(self.runs, TRIES)


    def test_epochs_need_no_memory(self):
        lines = ["(epoch 1)", evaluate("(len (range 30000))"), "(epoch 2)",
                 "(ping)", " (epoch 9223372036854775807) ", evaluate("1"),
                 "(ping)"]
        wanted = [(b"1", None), (b"2", b"ok"),
                  (b"9223372036854775807", None),
                  (b"9223372036854775807", b"ok")]
        found = re.compile(rb"^\((ok|ok-len|error) (\d+)", re.M)
        command = [SERVER, "--store", self.store]
        for run in self.each_failure(command, "\n".join(lines) + "\n"):
            self.ended_well(run)
            if not run.stdout:
                continue
            replies = found.findall(run.stdout)
            self.assertEqual(len(replies), len(wanted), self.said)
            for (kind, epoch), (number, only) in zip(replies, wanted):
                self.assertEqual(epoch, number, self.said)
                self.assertIn(kind, (only or kind,), self.said)
        self.assertGreater(self.runs, TRIES // 2)


@unittest.skipIf(SANITIZED, "the sanitizers have their own malloc")
class Looking(Memory):
    runs = 0

    def check(self, command, codes=(0, 1)):
        """What it says is whole, or it says why not."""
        runs = self.each_failure([PERSIST, *command])
        first = next(runs)
        self.assertEqual(first.returncode, 0, first.stderr)
        for run in runs:
            self.ended_well(run, codes)
            if run.returncode == 0:
                self.assertEqual(run.stdout, first.stdout, self.said)
            else:
                self.assertNotRegex(run.stdout, rb"damaged|missing",
                                    self.said)
        self.assertGreater(self.runs, TRIES // 2)

    def test_log(self):
        self.check(["log", "--store", self.store, "--json"])

    def test_verify(self):
        self.check(["verify", "--quiet", self.store], (0, 2))

    def test_import(self):
        self.fill()
        self.write("blobs", HELLO, "hello world")
        self.check(["import", "--legacy", self.old, "new"])


if __name__ == "__main__":
    if "--every" in sys.argv:
        at = sys.argv.index("--every")
        EVERY = int(sys.argv[at + 1])
        del sys.argv[at:at + 2]
    main()
