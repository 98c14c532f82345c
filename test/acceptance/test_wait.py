#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Waiting: what leaves before it, what is on disk before it, and what it costs;
# and processing by a server that is killed again and again.
import os
import random
import re
import signal
import time

from client import ROOT, SANITIZED, Case, append, main, perform, quote

HOUR = 3600000
FOREVER = perform("persist/wait", "1", str(HOUR))
LIBRARY = os.path.join(ROOT, "lib", "persist")
# Sums up what is in, and says so in out, once for each.
PROCESS = """(define b (persist/durable-backend))
(define (effects entries)
  (let ((in (filter (fn (entry) (= (get (get entry :event) :stream) "in"))
                    entries)))
    (list {:append "out"
           :events (map (fn (entry) {:type "seen" :at 0
                                     :data (get entry :position)})
                        in)}
          {:put "sum" :value (+ (persist/kv-get-or b "sum" 0) (len in))})))
(define (work)
  (let loop ((done (persist/process b "p" nil effects)))
    (if (= done 0) "idle" (loop (persist/process b "p" nil effects)))))"""


class Wait(Case):
    def in_a_wait(self, source=FOREVER, **options):
        s = self.serve(**options)
        s.eval(append("s", 1))
        s.send("(eval %s)" % quote(source))
        return s

    def test_earlier_replies_leave_first(self):
        s = self.serve()
        s.eval(append("s", 1))
        s.send("(ping)\n(eval %s)\n(ping)\n(eval %s)" % (
            quote(append("s", 2)),
            quote(perform("persist/wait", "2", str(HOUR)))))
        self.assertEqual([s.reply().kind for _ in range(3)],
                         ["ok", "value", "ok"])
        s.process.send_signal(signal.SIGTERM)
        self.assertEqual(s.wait(), 0)
        self.assertEqual(s.replies_left(), [])

    def test_prints_leave_first(self):
        s = self.in_a_wait('(do %s (println "before") %s)' % (
            append("s", 2), perform("persist/wait", "2", str(HOUR))))
        while "before" not in s.stderr():
            time.sleep(0.01)
        s.kill()

    def test_what_is_written_is_on_disk_first(self):
        log = os.path.join(self.dir, "trace")
        s = self.in_a_wait(
            "(do %s %s)" % (append("marker", 1),
                            perform("persist/wait", "2", str(HOUR))),
            wrap=["strace", "-D", "-f", "-s", "4096", "-o", log, "-e",
                  "trace=pwrite64,fdatasync,poll"],
            env={"ASAN_OPTIONS": "detect_leaks=0"})
        waits = re.compile(r"\bpoll\(.*, 3[56]\d{5}\b")
        while True:
            with open(log, encoding="latin-1") as f:
                lines = f.read().split("\n")
            if any(waits.search(line) for line in lines):
                break
            time.sleep(0.01)
        written = next(i for i, line in enumerate(lines) if "marker" in line)
        synced = next(i for i, line in enumerate(lines)
                      if i > written and "fdatasync" in line
                      and "unfinished" not in line)
        waited = next(i for i, line in enumerate(lines) if waits.search(line))
        self.assertLess(synced, waited)
        s.kill()

    def test_input_that_ends_does_not_end_the_wait(self):
        s = self.in_a_wait(perform("persist/wait", "1", "300"))
        s.input.close()
        self.assertEqual(s.reply().text, "1")
        self.assertEqual(s.wait(), 0)

    def test_the_next_command_comes_behind(self):
        s = self.in_a_wait("(do %s %s)" % (
            perform("persist/wait", "1", "100"),
            perform("persist/wait", "0", str(HOUR))))
        self.alive_behind(s, "1")

    def alive_behind(self, s, text):
        self.assertEqual(s.reply().text, text)
        self.alive(s)

    def test_a_reader_of_what_is_there_does_not_wait(self):
        s = self.serve()
        self.gives(s, perform("persist/position"), "0")
        self.gives(s, perform("persist/wait", "0", "0"), "0")
        self.gives(s, append("s", 1) + perform("persist/position"), "1")
        self.gives(s, append("s", 2) + perform("persist/wait", "1",
                                               str(HOUR)), "2")
        self.gives(s, perform("persist/sync"), "nil")

    def test_what_cannot_be_meant(self):
        s = self.serve()
        for arguments in (("0", "-1"), ("0", "3600001"), ("nil", "0"),
                          ("0", "nil"), ("0", "1.5"), ("0",), ()):
            self.fails("bad-request", s, perform("persist/wait", *arguments))
        self.fails("bad-request", s, perform("persist/position", "1"))
        self.fails("bad-request", s, perform("persist/sync", "1"))

    def switches(self, pid):
        """How often the threads of a process fell asleep, up to now."""
        total = 0
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/status" % (pid, task)) as f:
                total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)",
                                       f.read(), re.M)[1])
        return total

    def test_nothing_spins(self):
        s = self.in_a_wait()
        before, now = -1, self.switches(s.pid)
        for _ in range(100):  # until what is to be done behind is done
            if before == now:
                break
            time.sleep(0.2)
            before, now = now, self.switches(s.pid)
        self.assertEqual(before, now)
        s.kill()

    def test_each_event_takes_effect_once(self):
        rounds, added, count = 6 if SANITIZED else 25, 0, 2500
        random.seed(7)
        for i in range(rounds):
            s = self.serve(cwd=ROOT)
            s.load(LIBRARY)
            s.eval(PROCESS)
            # a client that was told of nothing adds nothing
            self.gives(s, '(persist/last-seq b "in")', str(added))
            s.eval('(persist/append-batch b "in" (map (fn (i) (list "x" 0 i))'
                   ' (range 0 %d)))' % count)
            added += count
            s.send('(eval "(work)")')
            if i < rounds - 1:
                time.sleep(random.random() * 0.1)
                s.kill()
        self.assertEqual(s.reply().text, '"idle"')
        self.gives(s, '(persist/kv-get b "sum")', str(added))
        self.gives(s, """(let ((seen (map persist/event-data
                                          (persist/read b "out"))))
            (list (len seen) (equal? seen
              (map (fn (entry) (get entry :position))
                   (filter (fn (entry) (= (get (get entry :event) :stream)
                                          "in"))
                           (persist/read-all b 0 nil))))))""",
                   "(%d true)" % added)
        self.end(s)


if __name__ == "__main__":
    main()
