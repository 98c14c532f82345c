#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Each error code once, what guard binds, and the limits; the server goes on.
import errno
import contextlib
import glob
import os
import shutil
import subprocess
import time
import unittest

from client import SANITIZED, Case, Failed, Gone, append, event, main, \
    perform, quote
from test_cli import PERSIST

LANGUAGE = [
    ("error", '(error "text" 1)'), ("syntax", "(+ 1"), ("syntax", ")"),
    ("syntax", "99999999999999999999"), ("syntax", '(sx-parse "(")'),
    ("unbound", "no-such-name"), ("unbound", "(set! no-such-name 1)"),
    ("not-callable", "(1 2)"), ("arity", "((fn (x) x))"),
    ("arity", "((fn (x) x) 1 2)"), ("arity", "(nil? 1 2)"),
    ("type", '(+ 1 "a")'), ("type", "(keys 5)"),
    ("overflow", "(+ 9223372036854775807 1)"),
    ("overflow", "(/ -9223372036854775808 -1)"), ("divide", "(/ 1 0)"),
    ("divide", "(mod 1 0)"), ("assert", "(assert false)"),
    ("limit", "(define (f n) (+ 1 (f n))) (f 1)"),
]
REFUSED = [
    # arity
    '(perform {:op "persist/append" :args (list "s")})',
    '(perform {:op "persist/append"})',
    '(perform {:op "persist/read" :args (list "s" 1)})',
    '(perform {:op "persist/streams" :args (list 1)})',
    '(perform {:op "persist/kv-put" :args (list "k")})',
    '(perform {:op "blob/put" :args (list)})',
    # types
    '(perform {:op "persist/append" :args (list 1 {:seq 1})})',
    '(perform {:op "persist/append" :args (list "s" 5)})',
    '(perform {:op "persist/append" :args (list "s" nil)})',
    '(perform {:op "persist/truncate" :args (list "s" "1")})',
    '(perform {:op "persist/truncate" :args (list "s" 1.5)})',
    "(perform {:op \"persist/read\" :args (list 'sym)})",
    '(perform {:op "persist/kv-get" :args (list nil)})',
    '(perform {:op "blob/put" :args (list 7 "x")})',
    '(perform {:op "blob/get" :args (list 7)})',
    # an event whose parts contradict the arguments
    '(perform {:op "persist/append" :args (list "s" {:stream "t" :seq 1})})',
    '(perform {:op "persist/append" :args (list "s" {:stream "s"})})',
    '(perform {:op "persist/append" :args '
    '(list "s" {:stream "s" :seq "1"})})',
    '(perform {:op "persist/append" :args '
    '(list "s" {:stream "s" :seq 1.0})})',
    # no request at all
    "(perform 5)", "(perform nil)", "(perform {})", "(perform {:op 5})",
    "(perform (list 1))",
]


class Ops(Case):
    def setUp(self):
        super().setUp()
        self.s = self.serve()

    def nothing_stored(self):
        self.gives(self.s, "(list %s %s)" % (
            perform("persist/streams"), perform("persist/kv-keys")),
            "(() ())")

    def test_bad_request(self):
        for source in REFUSED:
            with self.subTest(source=source):
                self.fails("bad-request", self.s, source)
        self.nothing_stored()

    def test_unknown_op(self):
        for op in ("nope", "", "persist/", "persist/append2", "blob", "\x00"):
            self.fails("unknown-op", self.s, perform(op, "1"))

    def test_seq_conflict(self):
        self.s.eval(append("s", 1))
        self.fails("seq-conflict", self.s, append("s", 1))

    def test_not_storable(self):
        for value, place in (("len", ""), ("{:a (list 1 2 {:b len})}",
                                           ", at (:a 2 :b)")):
            said = self.fails("not-storable", self.s,
                              perform("persist/kv-put", '"k"', value))
            self.assertTrue(said.endswith("has no stored form" + place), said)
        said = self.fails("not-storable", self.s,
                          append("s", 1, "(list 1 (list 2 (fn () 1)))"))
        self.assertTrue(said.endswith(", at (:data 1 1)"), said)
        self.nothing_stored()

    def test_too_large(self):
        literal = '(join "" (map (fn (i) "%s") (range 0 16385)))' % (
            "x" * 1024)
        self.fails("too-large", self.s,
                   perform("persist/kv-put", '"k"', literal))
        self.fails("too-large", self.s, append("s", 1, literal))
        self.nothing_stored()

    def test_bad_cid(self):
        good = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
        for cid in ("", "x", "../../etc/passwd", good[:-1], good + "a",
                    good.upper(), "c" + good[1:], good[:-1] + "1",
                    good[:-1] + "\x00", "/" * 59):
            for op in ("blob/get", "blob/has?"):
                self.fails("bad-cid", self.s, perform(op, quote(cid)))

    def test_guard_binds_a_dict(self):
        self.gives(self.s, "(guard (e (else (list (get e :error) "
                   "(string? (get e :message)) (get e :op)))) %s)"
                   % perform("persist/read"), '("bad-request" true '
                   '"persist/read")')
        self.gives(self.s, '(guard (e ((= (get e :error) "divide") "caught"))'
                   ' (/ 1 0))', '"caught"')

    def test_ops_before_an_error_stay(self):
        self.fails("divide", self.s, "(do %s (/ 1 0))" % append("s", 1))
        self.assertEqual(self.s.perform("persist/last-seq", '"s"'), "1")
        self.s.kill()
        self.s = self.serve()
        self.assertEqual(self.s.perform("persist/last-seq", '"s"'), "1")


class Language(Case):
    def test_each_code(self):
        s = self.serve(store=None, cwd=self.dir)
        for code, source in LANGUAGE:
            with self.subTest(source=source):
                self.fails(code, s, source)
                self.alive(s)

    def test_limits_leave_the_server_whole(self):
        s = self.serve()
        s.eval(append("s", 1))
        for source in (
                "(define (f n) (+ 1 (f n))) (f 1)",
                "(define (g l) (g (list l l l l))) (define (h l) "
                "(h (cons l (append l l)))) (h (range 0 1000))",
                "(define (d l) (d (list l))) (d nil)" if not SANITIZED else
                "(define (f n) (cons 1 (f n))) (f 1)",
                '(define (w t) (w (str t t))) (w "0123456789")',
                "(sx-parse (join \"\" (map (fn (i) \"((((((((((\") "
                "(range 0 200000))))"):
            with self.subTest(source=source):
                with self.assertRaises(Failed) as caught:
                    s.eval(source, 300)
                self.assertIn(caught.exception.code, ("limit", "syntax"))
                self.gives(s, perform("persist/last-seq", '"s"'), "1")

    def test_a_limit_can_be_guarded(self):
        s = self.serve(store=None, cwd=self.dir)
        self.gives(s, "(define (f n) (+ 1 (f n))) "
                   "(guard (e (else (get e :error))) (f 1))", '"limit"')

    def test_a_deep_program_below_the_limit(self):
        s = self.serve(store=None, cwd=self.dir)
        self.gives(s, "(define (f n) (if (= n 0) 0 (+ 1 (f (- n 1))))) "
                   "(f 300000)", "300000")


class Disk(Case):
    """What a disk may do, by the system's own means."""

    def small_disk(self, size="24m"):
        os.mkdir(self.store)
        if os.system("mount -t tmpfs -o size=%s none %s 2>/dev/null"
                     % (size, self.store)):
            raise unittest.SkipTest("needs the right to mount a tmpfs")
        self.addCleanup(os.system, "umount -l %s" % self.store)

    def test_no_space(self):
        """A real full disk: a small file system in memory."""
        self.small_disk()
        place = os.path.join(self.store, "in")
        s = self.filling(self.serve(store=place))
        stored = self.fill(s, 0)
        self.assertGreater(stored, 0)
        for _ in range(2):  # reads go on, now and after a restart
            self.gives(s, "(len %s)" % perform("persist/kv-keys"),
                       str(stored))
            self.gives(s, "(len %s)" % perform("persist/kv-get", '"k0"'),
                       str(1 << 20))
            self.assertEqual(s.close(), 0, s.stderr())
            s = self.filling(self.serve(store=place))
        self.fill(s, stored)
        os.system("mount -o remount,size=64m %s" % self.store)
        s.eval("(len (put 999))")  # space is back: so is writing
        self.gives(s, perform("persist/kv-has?", '"k999"'), "true")

    def fill_the_rest(self, path):
        """Another file takes what is left of the disk, to the last byte."""
        with open(path, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOSPC)
        self.assertEqual(os.statvfs(self.store).f_bfree, 0)

    def test_a_restart_on_a_full_disk(self):
        """Closed cleanly, opened with no byte left: room can be made, it is
        kept, and what it gives is for all. Twice, since the first restart may
        not use up what the second one needs; also after a kill."""
        self.small_disk()
        place = os.path.join(self.store, "in")
        other = os.path.join(self.store, "other")
        for way in ("truncate", "delete", "killed"):
            s = self.filling(self.serve(store=place))
            for number in range(8):
                if way == "delete":
                    s.eval("(len (put %d))" % number)
                else:
                    s.eval("(do %s nil)" % append("s", number + 1, "mib"))
            self.assertEqual(s.close(), 0, s.stderr())
            self.fill_the_rest(other)
            figures = subprocess.run([PERSIST, "verify", place],
                                     capture_output=True, text=True,
                                     timeout=60)
            self.assertEqual(figures.returncode, 0, figures.stdout)
            s = self.serve(store=place)
            self.fails("no-space", s, perform("persist/kv-put", '"x"', "1"))
            self.make_room(s, way)
            for _ in range(2):  # it is kept
                if way == "killed":
                    s.kill()
                else:
                    self.assertEqual(s.close(), 0, s.stderr())
                s = self.filling(self.serve(store=place))
                self.made_room(s, way)
                self.make_room(s, way)
            self.goes_on(s)
            self.assertEqual(s.close(), 0, s.stderr())
            s = self.serve(store=place)
            self.gives(s, "(len %s)" % perform("persist/kv-get", '"k99"'),
                       str(1 << 20))
            self.made_room(s, way)
            self.end(s)
            shutil.rmtree(place)
            os.unlink(other)

    def fill_with_events(self, s, last, least):
        """Appends until there is no space, and so many at the least: what was
        freed comes back in the background. Returns the last number."""
        many, first, end = 100, last, time.monotonic() + 60
        while True:
            s.send("\n".join("(eval %s)" % quote("(do %s nil)" % append(
                "s", last + i, quote(os.urandom(300).hex())))
                for i in range(1, many + 1)))
            replies = [s.reply() for _ in range(many)]
            stored = [i for i in range(many) if replies[i].kind == "value"]
            last += max(stored, default=-1) + 1
            if len(stored) == many:
                continue
            for reply in replies:
                self.assertIn("no-space" if reply.kind == "error" else "nil",
                              reply.text)
            if last - first >= least:
                return last
            self.assertLess(time.monotonic(), end, last - first)
            time.sleep(0.02)

    def test_a_way_out_of_a_full_disk(self):
        """Most is truncated, and what that frees is free for as much again,
        also after a restart or a kill on the full disk."""
        self.small_disk("6m")
        place = os.path.join(self.store, "in")
        for way in ("go on", "restart", "kill"):
            s = self.serve(store=place, flags=["--memtable", "256K"])
            last = self.fill_with_events(s, 0, 1)
            half = last // 2
            for _ in range(3):
                if way == "kill":
                    s.kill()
                elif way == "restart":
                    self.end(s)
                if way != "go on":
                    s = self.serve(store=place, flags=["--memtable", "256K"])
                s.perform("persist/truncate", '"s"', str(last - 100))
                self.gives(s, perform("persist/last-seq", '"s"'), str(last))
                last = self.fill_with_events(s, last, half)
            s.kill()
            shutil.rmtree(place)

    def make_room(self, s, way):
        if way == "delete":
            for number in range(8):
                s.perform("persist/kv-delete", '"k%d"' % number)
        else:
            s.perform("persist/truncate", '"s"', "8")

    def made_room(self, s, way):
        if way == "delete":
            self.gives(s, perform("persist/kv-has?", '"k3"'), "false")
        else:
            self.gives(s, perform("persist/last-seq", '"s"'), "8")
            self.gives(s, "(len %s)" % perform("persist/read", '"s"'), "0")

    def goes_on(self, s):
        """Space comes back in the background: writing waits for it."""
        deadline = time.monotonic() + 60
        while True:
            try:
                s.eval("(len (put 99))")
                return
            except Failed as failed:
                self.assertEqual(failed.code, "no-space")
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.05)

    def test_what_was_read_and_is_gone(self):
        """A file that is cut between two reads is an error, not a signal."""
        s = self.filling(self.serve(flags=["--memtable", "4K",
                                           "--cache", "4K"]))
        for number in range(4):
            s.eval("(len (put %d))" % number)
        self.end(s)
        s = self.serve(flags=["--cache", "4K"])
        get = "(len %s)" % perform("persist/kv-get", '"k1"')
        self.gives(s, get, str(1 << 20))
        with open("/proc/%d/maps" % s.process.pid) as maps:
            self.assertNotIn(self.store, maps.read())
        tables = glob.glob(os.path.join(self.store, "tables", "*.tbl"))
        self.assertGreater(len(tables), 0)
        for path in tables:
            os.truncate(path, 4096)
        self.fails("corrupt", s, get)
        self.alive(s)

    def filling(self, s):
        s.eval('(define mib (join "" (map (fn (i) "%s") (range 0 1024))))'
               % ("x" * 1024))
        s.eval('(define (put i) %s)' % perform(
            "persist/kv-put", '(str "k" i)', "mib"))
        return s

    def fill(self, s, stored):
        """Puts until there is no space; returns how many are stored."""
        with self.assertRaises(Failed) as caught:
            while stored < 40:
                s.eval("(len (put %d))" % stored)
                stored += 1
        self.assertEqual(caught.exception.code, "no-space")
        return stored

    def inject(self, call, error, when):
        """A server whose later calls of one kind fail."""
        return self.serve(
            wrap=["strace", "-D", "-f", "-o", "/dev/null", "-e",
                  "trace=" + call, "-e",
                  "inject=%s:error=%s:when=%s" % (call, error, when)],
            env={"ASAN_OPTIONS": "detect_leaks=0"})

    def test_no_space_from_the_start(self):
        """It can be read; and what opens it anew is the server."""
        s = self.serve()
        s.eval(append("s", 1))
        s.kill()
        s = self.inject("fallocate,pwrite64,pwritev,pwritev2", "ENOSPC", "1+")
        self.gives(s, perform("persist/last-seq", '"s"'), "1")
        self.assertRegex(self.fails("no-space", s, append("s", 2)),
                         "; free some space and try again$")
        self.end(s)

    def test_interruptions_without_end(self):
        """Each call is an error that names it, and a signal ends the server."""
        s = self.serve()
        s.eval(append("s", 1))
        self.end(s)
        told = []
        for call, when in (("openat", 40), ("pread64", 20), ("pwrite64", 1),
                           ("pwritev", 1), ("fdatasync", 1), ("fsync", 1),
                           ("fallocate", 1), ("flock", 1), ("getrandom", 3),
                           ("madvise", 1), ("read", 40), ("poll", 20)):
            s = self.inject(call, "EINTR", "%d+" % when)
            with self.subTest(call):
                for seq in range(2, 6):
                    try:
                        s.eval(append(call, seq))
                    except Failed as failed:
                        told.append(failed.message)
                    except Gone:
                        break
                s.process.terminate()
                s.process.wait(60)
        self.assertGreater(len(told), 5)
        for message in told:
            self.assertRegex(message, "Interrupted system call")

    def test_a_failed_sync_ends_writing(self):
        s = self.serve()
        s.eval(append("s", 1))
        self.end(s)
        for first in (1, 2, 3, 4, 6, 9):
            s = self.inject("fdatasync", "EIO", "%d+" % first)
            codes, acknowledged = [], 1
            for seq in range(2, 12):
                try:
                    s.eval("(do %s nil)" % append("x%d" % first, seq))
                    self.assertEqual(codes, [], "acknowledged afterwards")
                    acknowledged = seq
                except Failed as failed:
                    codes.append(failed.code)
                    self.assertEqual(failed.message.count("; "), 1,
                                     failed.message)
            self.assertTrue(set(codes) <= {"io", "read-only"}, codes)
            opened = acknowledged > 1 or "read-only" in codes
            self.assertEqual(set(codes[1:]),
                             {"read-only"} if opened else {"io"})
            if acknowledged > 1:
                self.gives(s, perform("persist/last-seq", '"x%d"' % first),
                           str(acknowledged))
                self.gives(s, perform("persist/last-seq", '"s"'), "1")
            s.kill()
            s = self.serve()  # reopened: everything acknowledged is there
            mark = int(s.perform("persist/last-seq", '"x%d"' % first))
            self.assertGreaterEqual(mark, acknowledged - (acknowledged == 1))
            s.eval(append("x%d" % first, mark + 1))
            self.end(s)

    def test_corrupt(self):
        s = self.serve()
        for seq in range(1, 50):
            s.eval(append("s", seq, quote("needle %d" % seq)))
        self.end(s)
        hit = 0
        for path in glob.glob(self.store + "/**", recursive=True):
            if not os.path.isfile(path):
                continue
            with open(path, "r+b") as f:
                data = f.read()
                at = data.find(b"needle 20")
                if at >= 0:
                    hit += 1
                    f.seek(at)
                    f.write(b"N")
        self.assertGreater(hit, 0, "the event is stored as text")
        s = self.serve()
        message = self.fails("corrupt", s, perform("persist/read", '"s"'))
        self.assertIn(self.store, message)
        self.fails("corrupt", s, append("s", 50))
        self.alive(s)

    def test_a_blob_that_rots(self):
        for size in (300000, 3000000):  # in a pack, in a file of its own
            s = self.serve()
            cid = s.perform("blob/put", quote("rot" * (size // 3)), "nil")
            self.end(s)
            files = [p for p in glob.glob(self.store + "/blobs/**",
                                          recursive=True)
                     if os.path.isfile(p) and os.path.getsize(p) == size]
            self.assertEqual(len(files), 1, "one file has the blob")
            with open(files[0], "r+b") as f:
                f.seek(1000)
                f.write(b"X")
            s = self.serve()
            message = self.fails("corrupt", s, perform("blob/get", cid))
            self.assertIn(files[0], message)
            s.eval(append("s", size))
            self.end(s)

    def test_the_event_of_a_message(self):
        s = self.serve()
        s.eval(append("s", 3))
        message = self.fails("seq-conflict", s, append("s", 2))
        self.assertRegex(message, r"\b2\b.*\b3\b|\b3\b.*\b2\b")
        self.assertNotIn("\n", message)
        self.assertIn(":seq 3", s.eval(
            "(first %s)" % perform("persist/read", '"s"')))
        self.assertIn(":type", event("s", 1))


if __name__ == "__main__":
    main()
