#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# The end: signals, closed outputs, and everything that could keep a program.
import errno
import os
import resource
import signal
import subprocess
import time
import unittest

from client import (SANITIZED, SERVER, Case, Server, append, first_bytes,
                    main, perform, quote, wait_for)

TOOL = os.path.join(os.path.dirname(SERVER), "persist")


def read_there(path, flags):
    """Opens a pipe to write, once somebody reads there."""
    def look():
        try:
            return os.open(path, flags | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return None
    return wait_for("somebody who reads the pipe", look)


PROMISED_S = 0.1
# for a machine that is busy with something else
END_SECONDS_MAX = 5
GET = perform("persist/kv-get", '"k"')
OPS = "(let loop () (begin %s (loop)))" % GET
WRITES = "(let loop ((i 1)) (begin %s (loop (inc i))))" % perform(
    "persist/kv-put", '(str "k" i)', "i")
NO_OPS = "(let loop () (loop))"
LONG_STEPS = "(let ((b (range 0 3000000))) " \
    "(let loop () (begin (json-encode b) (loop))))"
WAITS = perform("persist/wait", "9223372036854775807", "3600000")
PRINTS = '(let loop () (begin (println "%s") (loop)))' % ("x" * 200)
# where the heap begins is chance, and so is in how many steps it grows: with
# one large step every start makes the same calls
SAME_CALLS = dict(os.environ, MALLOC_TOP_PAD_=str(16 << 20))

# nohup's doing is not meant here
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def repeat(text, times):
    return '(join "" (map (fn (i) "%s") (range 0 %d)))' % (text, times)


class End(Case):
    stores = 0

    def begin(self, **options):
        """A server on a store of its own, with a write accepted."""
        self.stores += 1
        self.store = os.path.join(self.dir, "store-%d" % self.stores)
        s = self.serve(**options)
        s.eval(append("s", 1))
        return s

    def running(self, source, **options):
        """The same in the middle of a program."""
        s = self.begin(**options)
        s.send("(eval %s)" % quote(source))
        time.sleep(0.1)
        return s

    def ends(self, s, stop, code=0):
        """It ends in time, with everything accepted."""
        start = time.monotonic()
        stop(s)
        self.assertEqual(s.process.wait(END_SECONDS_MAX), code,
                         s.stderr()[-500:])
        took = time.monotonic() - start
        self.slowest = max(getattr(self, "slowest", 0), took)
        again = self.serve()
        self.assertEqual(again.perform("persist/last-seq", '"s"'), "1")
        self.end(again)

    def tearDown(self):
        if hasattr(self, "slowest"):
            print("figure: %s: %.0f ms at the most, %.0f promised" % (
                self.id().split(".")[-1], self.slowest * 1e3,
                PROMISED_S * 1e3))

    @staticmethod
    def kill(number):
        return lambda s: os.kill(s.pid, number)

    @staticmethod
    def close_output(s):
        s.output.close()

    def stops(self):
        return [self.kill(signal.SIGTERM), self.kill(signal.SIGINT),
                self.kill(signal.SIGHUP), self.close_output]

    def test_programs_without_end(self):
        for source in (OPS, WRITES, NO_OPS, LONG_STEPS, WAITS,
                       "(map (fn (i) %s) (range 0 10000000))" % GET):
            for stop in self.stops():
                self.ends(self.running(source), stop)

    @staticmethod
    def ticks(s):
        """The processor's time that it has taken, in hundredths of seconds."""
        with open("/proc/%d/stat" % s.pid) as stat:
            return sum(map(int, stat.read().rpartition(")")[2].split()[11:13]))

    def has_written(self, text):
        folder = self.store + "/wal/"
        for name in os.listdir(folder):
            with open(folder + name, "rb") as log:
                if text in log.read():
                    return True
        return False

    def test_what_they_wrote_is_kept(self):
        """Nothing tells that the write is done which would not make it durable
        by that; who computes on, or has written the log, is behind it."""
        for program in (LONG_STEPS, NO_OPS, WAITS):
            s = self.begin()
            before = self.ticks(s)
            s.send("(eval %s)" % quote("(do %s %s)" % (
                append("t", 1, '"what was written"'), program)))
            wait_for("the program", lambda: self.ticks(s) > before + 20 or
                     self.has_written(b"what was written"))
            self.ends(s, self.kill(signal.SIGTERM))
            s = self.serve()
            self.assertEqual(s.perform("persist/last-seq", '"t"'), "1")
            self.end(s)

    def test_while_nothing_is_done(self):
        for stop in self.stops():
            self.ends(self.begin(), stop)

    def test_while_the_outside_is_asked(self):
        for stop in self.stops():
            self.ends(self.running(perform("ask"),
                                   flags=["--unknown-op=bridge"]), stop)

    def test_while_nobody_reads_what_is_printed(self):
        read, write = os.pipe()
        os.set_blocking(write, False)
        try:
            while True:
                os.write(write, bytes(4096))
        except BlockingIOError:
            pass
        os.set_blocking(write, True)
        for source in (PRINTS, '(println "x")'):
            for stop in self.stops():
                self.ends(self.running(source, errors=write), stop)
        # prints that wait cost nothing at the end
        s = self.begin(errors=write)
        s.send("\n".join(["(eval %s)" % quote(
            '(do %s (println "x") (println "y"))' % GET)] * 20))
        time.sleep(0.1)
        self.ends(s, self.kill(signal.SIGTERM))
        os.close(read)
        os.close(write)

    def test_while_nobody_reads_the_replies(self):
        for stop in self.stops()[:3]:
            s = self.begin()
            s.send("(eval %s)" % quote(repeat("x", 5000000)))
            time.sleep(0.2)
            self.ends(s, stop)

    def test_while_a_text_is_loaded_from_a_pipe(self):
        path = os.path.join(self.dir, "pipe")
        os.mkfifo(path)
        for stop in self.stops():
            s = self.begin()
            s.send("(eval %s)\n(load %s)" % (quote(append("t", 1)),
                                             quote(path)))
            self.assertEqual(s.reply().kind, "value")  # not held back
            self.ends(s, stop)
        s = self.begin()
        for text in ("(define from-pipe 7)", "\xef\xbb\xbf(define marked 8)"):
            s.send("(load %s)" % quote(path))
            with open(path, "w", encoding="latin-1", opener=read_there) as f:
                f.write(text[:5])
                f.flush()
                time.sleep(0.05)
                f.write(text[5:])
            self.assertEqual(s.reply().kind, "ok")
        self.gives(s, "(+ from-pipe marked)", "15")
        self.ends(s, self.kill(signal.SIGTERM))

    def test_while_a_text_without_end_is_loaded(self):
        for stop in self.stops():
            s = self.begin()
            s.send('(load "/dev/zero")')
            time.sleep(0.1)
            self.ends(s, stop)
        s = self.serve(flags=["--heap-max", "20M"])
        self.assertRegex(s.command('(load "/dev/zero")').text,
                         "^too-large: cannot load /dev/zero: ")
        self.end(s)

    def test_orphans_end(self):
        """Nobody signals them: both ends of their client are gone."""
        for source in (OPS, NO_OPS):
            s = self.running(source)
            s.input.close()
            self.ends(s, self.close_output)

    def test_a_reply_is_not_held_back(self):
        for source in (OPS, NO_OPS, WRITES, LONG_STEPS):
            s = self.begin()
            s.send("(eval %s)\n(ping)\n(eval %s)" % (
                quote(append("t", 1)), quote(source)))
            self.assertEqual(s.reply(END_SECONDS_MAX).kind, "value")
            self.assertEqual(s.reply(END_SECONDS_MAX).kind, "ok")
            self.ends(s, self.kill(signal.SIGTERM))

    # ---- at the start

    def trace_start(self):
        """The calls of the system up to (ready), and which of them holds the
        signals."""
        path = os.path.join(self.dir, "trace")
        subprocess.run(["strace", "-o", path, SERVER, "--store", self.store],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       env=SAME_CALLS, timeout=60, check=True)
        with open(path) as trace:
            calls = trace.read().splitlines()
        ready = next(i for i, call in enumerate(calls) if "(ready)" in call)
        held = next(i for i, call in enumerate(calls)
                    if call.startswith("rt_sigprocmask(SIG_BLOCK, [HUP INT T"))
        return calls[:ready + 1], held

    def signal_at(self, calls, at, name):
        """How it ends when the signal comes at that call; its input stays
        open."""
        call = calls[at].split("(")[0]
        nth = sum(c.startswith(call + "(") for c in calls[:at + 1])
        p = subprocess.Popen(
            ["strace", "-o", "/dev/null", "-e", "inject=%s:signal=%s:when=%d"
             % (call, name, nth), SERVER, "--store", self.store],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=SAME_CALLS)
        code = p.wait(60)
        p.stdin.close()
        return code

    @unittest.skipIf(SANITIZED, "sanitizers make calls of their own")
    def test_a_signal_at_each_call_of_the_start(self):
        """From its first call on it ends by itself, before that the system
        ends it."""
        calls, held = self.trace_start()
        before = [c.split("(")[0] for c in calls[:held]]
        self.assertNotIn("fcntl", before)  # it looks at its streams first
        for name in ("SIGTERM", "SIGHUP"):
            for at in range(held, len(calls)):
                self.assertEqual(self.signal_at(calls, at, name), 0, calls[at])
        self.assertEqual(self.signal_at(calls, held - 2, "SIGTERM"),
                         -signal.SIGTERM, calls[held - 2])
        self.assertFalse(os.path.exists(self.store))

    def test_a_signal_right_after_the_start(self):
        """Where the starter has it blocked it waits for main."""
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        block = lambda: signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        for number in numbers * 10:
            s = self.serve(ready=False, preexec=block)
            os.kill(s.pid, number)
            self.assertEqual(s.wait(), 0, s.stderr())
            s = self.serve()  # which has read (ready)
            os.kill(s.pid, number)
            self.assertEqual(s.wait(), 0, s.stderr())

    def test_sighup_can_be_ignored(self):
        s = self.serve(wrap=["nohup"])
        os.kill(s.pid, signal.SIGHUP)
        time.sleep(0.2)
        self.alive(s)
        self.end(s)

    # ---- outputs that cannot be written

    def test_an_input_that_cannot_be_read(self):
        with open("/dev/null") as none:
            inner = os.open("/", os.O_RDONLY)
            run = subprocess.run([SERVER, "--store", self.store], stdin=inner,
                                 capture_output=True, text=True, timeout=60)
            os.close(inner)
            self.assertEqual(run.returncode, 1)
            self.assertIn("cannot read standard input", run.stderr)
            run = subprocess.run([SERVER, "--store", self.store], stdin=none,
                                 capture_output=True, text=True, timeout=60)
        self.assertEqual((run.returncode, run.stderr), (0, ""))

    def test_a_poll_that_fails_from_now_on(self):
        s = self.serve()
        s.eval(append("s", 1))
        resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (1, 1))
        s.send("(eval %s)" % quote(append("s", 2)))
        s.process.wait(60)
        self.assertEqual(s.process.returncode, 1)
        s = self.serve()
        self.assertEqual(s.perform("persist/last-seq", '"s"')[0] in "12", True)

    def test_a_full_output(self):
        text = "(eval %s)\n" % quote(append("s", 1))
        with open("/dev/full", "w") as full:
            for command, why in (([SERVER, "--store", self.store], "space"),
                                 ([SERVER, "--help"], "space"),
                                 ([TOOL, "--store", self.store, "streams"],
                                  ""), ([TOOL, "help"], "space")):
                run = subprocess.run(command, input=text, stdout=full,
                                     stderr=subprocess.PIPE, text=True,
                                     timeout=60)
                self.assertEqual(run.returncode, 1, command)
                self.assertIn(why, run.stderr)

    def test_an_output_that_can_only_be_read(self):
        """Replies that could not be written are no success; a closed one is
        the starter's choice."""
        with open("/dev/null") as null, open(__file__) as file:
            for out in null, file:
                for command in ([SERVER, "--store", self.store],
                                [SERVER, "--help"], [TOOL, "help"],
                                [TOOL, "version"]):
                    run = subprocess.run(command, input="(ping)\n", stdout=out,
                                         stderr=subprocess.PIPE, text=True,
                                         timeout=60)
                    self.assertEqual(run.returncode, 1, command)
                    self.assertIn("output", run.stderr)
                    self.assertIn("Bad file descriptor", run.stderr)

    def test_a_full_output_loses_nothing(self):
        s = self.serve()
        s.eval(append("s", 1))
        self.end(s)
        file = os.path.join(self.dir, "out")
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
        with open(file, "w") as out:
            run = subprocess.run(
                [SERVER, "--store", self.store], preexec_fn=limit, stdout=out,
                input="(eval %s)\n" % quote('"%s"' % ("x" * 100)) * 5,
                stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertIn("too large", run.stderr)
        s = self.serve()
        self.assertEqual(s.perform("persist/last-seq", '"s"'), "1")

    def test_a_limit_on_file_sizes(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                           (1 << 20, 1 << 20))
        s = self.serve(flags=["--segment", "64K", "--memtable", "8M"],
                       preexec=limit)
        s.eval("(define big %s)" % repeat("0123456789", 10000))
        s.perform("persist/kv-put", '"before"', "1")
        self.fails("no-space", s, '(let ((b (reduce (fn (a i) (str a big)) "" '
                   '(range 0 30)))) %s)' % perform("persist/kv-put", '"k"',
                                                   "b"))
        self.gives(s, perform("persist/kv-get", '"before"'), "1")
        s.perform("persist/kv-put", '"after"', "2")
        self.end(s)
        s = self.serve()
        self.gives(s, perform("persist/kv-keys"), '("after" "before")')

    def test_a_limit_on_file_sizes_at_the_opening(self):
        """It is told as what it is, and not as a full disk."""
        s = self.serve()
        s.perform("persist/kv-put", '"k"', "1")
        s.kill()
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                           (2 << 10, 2 << 10))
        s = self.serve(preexec=limit)
        self.gives(s, perform("persist/kv-get", '"k"'), "1")
        for _ in range(2):
            message = self.fails("no-space", s,
                                 perform("persist/kv-put", '"k"', "2"))
            self.assertIn("limit on file sizes was too low", message)
            self.assertIn("; raise the limit on file sizes (ulimit -f)",
                          message)
            self.assertNotIn("free some", message)
        self.end(s)
        s = self.serve()
        self.gives(s, perform("persist/kv-put", '"k"', "2"), "2")

    # ---- descriptors

    def test_closed_descriptors(self):
        program = '(do %s (println "PRINTED") (println "%s"))' % (
            append("s", 1), "x" * 100)
        for closed in ("<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-",
                       "<&- 2>&-", "<&- >&- 2>&-"):
            store = os.path.join(self.dir, "s%d" % len(os.listdir(self.dir)))
            run = subprocess.run(
                ["sh", "-c", '"$@" ' + closed, "sh", SERVER, "--store", store],
                input="(eval %s)\n" % quote(program), capture_output=True,
                text=True, timeout=60)
            self.assertEqual(run.returncode, 0, closed)
            for folder, _, names in os.walk(store):
                for name in names:
                    with open(os.path.join(folder, name), "rb") as f:
                        self.assertNotIn(b"PRINTED", f.read(), closed)
            if closed == "2>&-":
                self.assertIn("(ok-len 0", run.stdout)
            run = subprocess.run(
                ["sh", "-c", '"$@" ' + closed, "sh", TOOL, "--store", store,
                 "stat"], capture_output=True, text=True, timeout=60)
            if ">&-" not in closed.replace("2>&-", ""):
                expected = 0 if os.path.isdir(store) else 1
                self.assertEqual(run.returncode, expected, closed)

    def test_a_look_at_descriptors_that_fails(self):
        """That it fails does not say that they are closed."""
        for number in (1, 2, 3):
            s = self.begin(
                wrap=["strace", "-D", "-o", "/dev/null", "-e", "trace=fcntl",
                      "-e", "inject=fcntl:error=EINTR:when=%d" % number],
                env={"ASAN_OPTIONS": "detect_leaks=0"})
            self.end(s)

    def test_descriptors_that_cannot_be_filled(self):
        """And nothing else gets their numbers."""
        run = subprocess.run(
            ["sh", "-c", 'exec "$@" <&-', "sh", "strace", "-D", "-o",
             "/dev/null", "-P", "/dev/null", "-P", "/", "-e", "trace=openat",
             "-e", "inject=openat:error=ENFILE", SERVER, "--store",
             self.store], stdout=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual((run.returncode, run.stdout), (2, ""))

    @unittest.skipIf(SANITIZED, "sanitizers make calls of their own")
    def test_signals_that_cannot_be_ignored_or_held(self):
        """In a sandbox that is too strict: it says so, and is not aborted."""
        for call, program, code, what in (
                ("rt_sigaction", SERVER, 2, "cannot ignore signals"),
                ("rt_sigaction", TOOL, 2, "cannot ignore signals"),
                ("rt_sigprocmask", SERVER, 1, "cannot catch signals")):
            command = [SERVER, "--store", self.store] \
                if program == SERVER else [TOOL, "version"]
            run = subprocess.run(
                ["strace", "-D", "-o", "/dev/null", "-e", "trace=" + call,
                 "-e", "inject=%s:error=EPERM" % call, *command],
                stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=60)
            self.assertEqual((run.returncode, run.stdout), (code, ""),
                             run.stderr)
            self.assertIn("%s: %s: Operation not permitted"
                          % (os.path.basename(program), what), run.stderr)

    def test_a_held_store_with_a_closed_error_output(self):
        holder = self.serve(wrap=["sh", "-c", 'exec "$@" 2>&-', "sh"])
        holder.eval('(do %s (println "nonsense"))' % append("s", 1))
        other = self.serve()
        message = self.fails("locked", other, GET)
        self.assertIn(str(holder.pid), message)


class Stack(Case):
    """A limit on the stack: enough is left, or a sentence says what to do."""
    PROGRAM = '(do %s (sort (range 0 1000)) (len (sx-parse (str "(" ' \
        '(sx-serialize (range 0 1000)) ")"))))' % append("s", 1)

    def end_with(self, limit, command, text, more):
        run = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=60,
            env={**os.environ, "MORE": more}, preexec_fn=lambda: resource.
            setrlimit(resource.RLIMIT_STACK, limit))
        if run.returncode == 2:
            self.assertRegex(run.stderr, r"\A.*: the stack .*ulimit -s \d+\n\Z")
            self.assertEqual(run.stdout, "")
        else:
            self.assertEqual(run.returncode, 0, (limit, run.stderr))
        return run.returncode

    def at(self, limit, more=""):
        store = os.path.join(self.dir, "s%d" % len(os.listdir(self.dir)))
        code = self.end_with(limit, [SERVER, "--store", store],
                             "(eval %s)\n" % quote(self.PROGRAM), more)
        if code == 0:
            self.assertTrue(os.path.isdir(store), limit)
        else:
            s = Server(store)
            s.eval(append("s", 1))
            self.end(s)
            s.release()
        self.assertEqual(self.end_with(limit, [TOOL, "verify", store], "",
                                       more), code)
        return code

    def test_sizes(self):
        most = resource.getrlimit(resource.RLIMIT_STACK)[1]
        # what comes before the program, the loader and the environment, takes
        # some 12 KiB; sanitizers much more
        for kib in (1024,) if SANITIZED else (32, 64, 128, 256, 1024):
            with self.subTest(kib=kib):
                self.assertEqual(self.at((kib << 10, most)), 0)
                code = self.at((kib << 10, kib << 10))
                if kib >= 256:
                    self.assertEqual(code, 0)

    @unittest.skipIf(SANITIZED, "sanitizers need more")
    def test_much_of_it_taken(self):
        self.at((128 << 10, 128 << 10), "x" * 100000)


class Tool(Case):
    def setUp(self):
        super().setUp()
        s = self.serve()
        s.eval("(define big %s) (for-each (fn (i) %s) (range 1 20000))" % (
            repeat("x", 200), perform(
                "persist/append", '"s"',
                '{:stream "s" :seq i :type "t" :at 0 :data big}')))
        self.end(s)

    def test_signals_end_it(self):
        """While it waits for somebody who reads."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            p = subprocess.Popen([TOOL, "--store", self.store, "log"],
                                 stdout=subprocess.PIPE)
            first_bytes(p.stdout)
            p.send_signal(number)
            self.assertEqual(p.wait(END_SECONDS_MAX), -number)
            p.stdout.close()

    def test_a_closed_output_ends_it(self):
        p = subprocess.Popen([TOOL, "--store", self.store, "log"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first_bytes(p.stdout)
        p.stdout.close()
        self.assertEqual(p.wait(END_SECONDS_MAX), 1)
        self.assertEqual(p.stderr.read(), b"")
        p.stderr.close()


if __name__ == "__main__":
    main()
