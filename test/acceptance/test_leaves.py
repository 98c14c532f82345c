#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# What leaves rests on what is durable, at whatever moment a sync fails.
"""usage: test_leaves.py [--runs N] [--seed S] [TEST...]

A disk that fails at some call, scripts of commands that write, see, print and
run long, and a loss of power, which takes what was written and not synced, or
whose sync failed: whatever was shown before is there after reopening.
"""

import os
import random
import re
import sys

CALL = re.compile(r"(\d+) +(pwrite64|fdatasync|fsync)\(\d+<([^>]*)>"
                  r"(?:, .*, (\d+), (\d+))?(?:\)| <unfinished)")
RESUMED = re.compile(r"(\d+) +<\.\.\. (?:pwrite64|fdatasync|fsync) resumed>")
RESULT = re.compile(r"\) += (-?\d+|\?)")

from client import (SANITIZED, Case, Failed, Gone, main, perform, quote,
                    wait_for)

RUNS, SEED = 12 if SANITIZED else 40, 1
KEY = perform("persist/kv-put", "k", '"v"')
HELP = """
(define big (join "" (map (fn (i) "0123456789abcdef") (range 0 70000))))
(define g "n:")
(define (put k) (do %s (str "k:" k)))
(define (see k) (if %s (str "k:" k) "n:"))
(define (app s n) (do %s (str "s:" s ":" n)))
(define (mark s) (str "s:" s ":" %s))
(define (blob text) (str "b:" %s))
(define (claim k)
  (let ((r %s)) (if (get r :conflict) (str "k:" k) (str "k:" k))))
(define (keep k) (set! g (put k)))
(define (kept) (str "g:" g))
(define (spin n) (if (= n 0) "n:" (spin (- n 1))))
(define (tell text) (do (println text) "n:"))
""" % (KEY, perform("persist/kv-has?", "k"),
       perform("persist/append", "s", '{:stream s :seq n :type "t" :at 0 '
                                      ':data (slice big 0 300)}'),
       perform("persist/last-seq", "s"),
       perform("blob/put", "text", "nil"),
       perform("persist/commit",
               '(list {:expect-key k :absent true} {:put k :value "v"})'))
PLAIN = HELP.replace("\n", " ")


class Leaves(Case):
    def failing(self, call, error, when, flags=()):
        """A server some of whose calls of one kind fail."""
        self.log = os.path.join(self.dir, "trace")
        return self.serve(
            flags=flags,
            wrap=["strace", "-D", "-f", "-y", "-s", "0", "-o", self.log, "-e",
                  "trace=pwrite64,fdatasync,fsync", "-e",
                  "inject=%s:error=%s:when=%s" % (call, error, when)],
            env={"ASAN_OPTIONS": "detect_leaks=0"})

    def lose_power(self, s):
        """What is not synced, or was when a sync failed, becomes zeros."""
        s.kill()
        lost, waits, syncs = {}, {}, {}
        for line in self.trace():
            call, resumed = CALL.match(line), RESUMED.match(line)
            if call and call[2] == "pwrite64":
                waits.setdefault(call[3], set()).add(
                    (int(call[5]), int(call[4])))
            elif call:  # covers what was written before it began
                syncs[call[1]] = call[3], set(waits.get(call[3], ()))
            result, pid = RESULT.search(line), (call or resumed or [0, 0])[1]
            if not result or pid not in syncs:
                continue
            path, covered = syncs.pop(pid)
            if result[1] != "0":
                lost.setdefault(path, set()).update(covered)
            waits[path] = waits.get(path, set()) - covered
        for path, ranges in [*lost.items(), *waits.items()]:
            if not os.path.isfile(path):
                continue
            with open(path, "r+b") as f:
                end = os.path.getsize(path)
                for at, size in ranges:
                    f.seek(at)
                    f.write(bytes(max(0, min(size, end - at))))

    def trace(self):
        """The calls, when strace has written the last."""
        def whole():
            with open(self.log, encoding="latin-1") as f:
                lines = f.read().split("\n")
            ended = lines[-1] == "" and "+++" in "".join(lines[-2:])
            return lines if ended else None
        return wait_for("the end of strace's log", whole)

    def answers(self, s, commands):
        """Sends them in one write; the replies, as many as come."""
        s.send("\n".join("(eval %s)" % quote(c) for c in commands))
        replies = []
        try:
            while len(replies) < len(commands):
                replies.append(s.reply())
        except Gone:
            pass
        return replies

    def stands(self, s, item):
        """Whether what an item names is in the store."""
        kind, rest = item.split(":", 1)
        if kind == "k":
            return s.perform("persist/kv-has?", quote(rest)) == "true"
        if kind == "b":
            return s.eval("(= nil %s)" % perform("blob/get", quote(rest))
                          ) == "false"
        stream, seq = rest.split(":")
        return int(s.perform("persist/last-seq", quote(stream))) >= int(seq)

    def check(self, replies, stderr, why):
        """Everything that was shown is there; gives how much that was."""
        shown, told = set(), False
        for reply in replies:
            told = told or reply.kind == "error"
            for item in re.findall(r'"((?:g:)?[kbs]:[^"]*)"',
                                   reply.text if reply.kind == "value"
                                   else ""):
                # what was lost is still in a variable once that was told
                if not (item.startswith("g:") and told):
                    shown.add(item[2:] if item.startswith("g:") else item)
        shown |= set(re.findall(r"^P ([kbs]:\S*)$", stderr, re.M))
        s = self.serve()
        for item in sorted(shown):
            self.assertTrue(self.stands(s, item), "%s: %s was shown, and is "
                            "lost" % (why, item))
        self.end(s)
        return len(shown)

    def fails_from(self, commands, call="fdatasync", error="EIO", flags=()):
        """Lets the first, second ... of the calls fail, and those after it;
        gives how many replies were errors."""
        errors = 0
        for first in range(1, 9):
            self.store = os.path.join(self.dir, "%s-%d" % (call, first))
            s = self.failing(call, error, "%d+" % first, flags)
            replies = self.answers(s, [PLAIN, *commands])
            errors += sum(r.kind == "error" for r in replies)
            self.lose_power(s)
            self.check(replies, s.stderr(), "from %d on" % first)
        return errors

    # ---- one kind each

    def test_a_flush_in_the_middle_of_an_evaluation(self):
        errors = self.fails_from([
            '(put "a")', '(list (put "b") (spin 4000000))', '(put "c")'])
        self.assertGreaterEqual(errors, 3)

    def test_an_op_that_finds_the_disk_failing(self):
        errors = self.fails_from(
            ['(put "a")', '(list (put "b") (guard (e (else "n:")) '
             '(blob big)))', '(see "b")'])
        self.assertGreaterEqual(errors, 2)

    def test_what_was_only_seen(self):
        errors = self.fails_from([
            '(put "a")', '(list (see "a") (spin 4000000) (see "a"))',
            '(list (see "a") (guard (e (else "n:")) (blob big)))'])
        self.assertGreaterEqual(errors, 3)

    def test_what_was_refused(self):
        self.fails_from(['(claim "a")', '(claim "a")',
                         '(list (claim "a") (guard (e (else "n:")) '
                         '(blob big)))'])

    def test_what_is_kept_in_a_variable(self):
        self.fails_from(['(keep "a")', "(kept)", '(list (kept) (guard '
                         '(e (else "n:")) (blob big)))'])

    def test_what_is_printed(self):
        for wait in ("(spin 4000000)", '"n:"'):
            self.fails_from(['(put "z")', '(list (put "a") '
                             '(tell "P k:a") %s)' % wait])

    def test_what_is_printed_leaves(self):
        s = self.serve()
        self.answers(s, [PLAIN, '(list (put "a") (tell "P k:a"))'])
        self.end(s)
        self.assertEqual(s.stderr(), "P k:a\n")

    def test_what_is_asked_outside(self):
        for first in range(1, 9):
            self.store = os.path.join(self.dir, "asked-%d" % first)
            s = self.failing("fdatasync", "EIO", "%d+" % first,
                             ["--unknown-op=bridge"])
            s.send("(eval %s)\n(eval %s)" % (quote(PLAIN), quote(
                '(list (put "a") (guard (e (else "n:")) '
                '(blob big)) %s)' % perform("outside/ask", '"k:a"'))))
            s.reply()
            asked = s.reply().kind == "io-request"
            self.lose_power(s)
            if asked:
                s = self.serve()
                self.assertTrue(self.stands(s, "k:a"), first)
                self.end(s)

    def test_after_the_failure_only_what_is_durable_shows(self):
        s = self.failing("fdatasync", "EIO", "9+")
        s.eval(PLAIN)
        kept, failed = [], 0
        for i in range(20):
            try:
                s.eval('(put "%d")' % i)
                kept.append(i)
            except Failed:
                failed += 1
        self.assertTrue(kept and failed)
        for i in range(20):
            self.gives(s, '(see "%d")' % i,
                       '"k:%d"' % i if i in kept else '"n:"')
        self.assertEqual(s.command("(nope)").text[:12], "bad-request:")
        s.kill()

    # ---- all of them

    def script(self, rng):
        keys, seqs, commands = [], {"s": 0, "t": 0}, []

        def key():
            keys.append("%d" % len(keys))
            return quote(keys[-1])

        def old():
            return quote(rng.choice(keys)) if keys else '"none"'

        def append():
            stream = rng.choice("st")
            seqs[stream] += 1
            return '(app "%s" %d)' % (stream, seqs[stream])

        def tell():
            k = key()
            return '(put %s) (tell (str "P k:" %s))' % (k, k)

        kinds = [
            lambda: "(put %s)" % key(), lambda: "(see %s)" % old(),
            lambda: "(claim %s)" % old(), append, tell,
            lambda: '(mark "%s")' % rng.choice("st"),
            lambda: '(blob "%d")' % rng.randrange(5),
            lambda: '(blob (str big "%d"))' % rng.randrange(3),
            lambda: "(keep %s)" % key(), lambda: "(kept)",
            lambda: "(spin %d)" % rng.choice([10, 10000, 10000, 2000000]),
        ]
        for _ in range(rng.randrange(3, 12)):
            parts = [rng.choice(kinds)() for _ in range(rng.randrange(1, 6))]
            if rng.random() < 0.5:
                parts = ['(guard (e (else "n:")) (list %s))' % p
                         for p in parts]
            commands.append("(list %s)" % " ".join(parts))
        return commands

    def test_random_faults(self):
        shown = errors = 0
        for run in range(RUNS):
            rng = random.Random(SEED * 1000003 + run)
            self.store = os.path.join(self.dir, "run-%d" % run)
            fault = (rng.choice(["fdatasync", "fdatasync", "fsync",
                                 "pwrite64"]),
                     rng.choice(["EIO", "EIO", "ENOSPC"]),
                     "%d%s" % (rng.randrange(1, 9), rng.choice(["", "+"])))
            s = self.failing(*fault, flags=rng.choice(
                [[], ["--memtable", "16K", "--segment", "16K"]]))
            replies = self.answers(s, [PLAIN, *self.script(rng)])
            errors += sum(r.kind == "error" for r in replies)
            self.lose_power(s)
            shown += self.check(replies, s.stderr(), "--seed %d: run %d, %s"
                                % (SEED, run, fault))
        print("\nfigure: %d runs with a failing disk, %d errors, %d things "
              "shown, all of them kept" % (RUNS, errors, shown))
        self.assertGreater(shown, RUNS)
        self.assertGreater(errors, RUNS // 2)


if __name__ == "__main__":
    for name in ("--runs", "--seed"):
        if name in sys.argv:
            at = sys.argv.index(name)
            globals()[name[2:].upper()] = int(sys.argv[at + 1])
            del sys.argv[at:at + 2]
    main()
