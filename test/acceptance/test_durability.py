#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Output commit, seen from outside by strace: syncs counted, and their order.
import os
import re

from client import (SANITIZED, Case, append, main, perform, quote,
                    wait_for)

SYNC = re.compile(r"\b(fdatasync|fsync|sync_file_range|msync)\(")
# That only begins to write, and waits for nothing.
BEGINS = re.compile(r"\bsync_file_range\(.*, SYNC_FILE_RANGE_WRITE\)")
# Of a file of the log, of the folder of these, or of something else.
NAMED = re.compile(r"(\d+) +f(?:data)?sync\(\d+<.*?/"
                   r"(wal|wal/\d+\.log|[^/>]*)>")
SEGMENT, SEGMENT_FIRST = 4 << 20, 64 << 10  # bytes
RECORD_MAX = 128  # bytes of the log for one of the events of APPENDS
APPENDS = "(define (appends s from n) (let loop ((i 0)) (if (= i n) n " \
    "(begin %s (loop (+ i 1))))))" % perform(
        "persist/append", "s",
        '{:stream s :seq (+ from i) :type "t" :at 0 :data i}')


class Traced(Case):
    def trace(self, calls, size=32):
        """A server under strace; self.calls() are its calls so far."""
        self.log = os.path.join(self.dir, "trace")
        return self.serve(
            flags=["--unknown-op=bridge"],
            wrap=["strace", "-D", "-f", "-y", "-s", str(size), "-o", self.log,
                  "-e", "trace=" + calls],
            env={"ASAN_OPTIONS": "detect_leaks=0"})

    def calls(self):
        with open(self.log, encoding="latin-1") as f:
            return [line for line in f.read().split("\n")
                    if not BEGINS.search(line)]

    def syncs(self):
        return sum(1 for line in self.calls()
                   if SYNC.search(line) and "resumed" not in line)

    def kinds(self):
        """(thread, kind, name) of each sync so far. A segment is made once
        its folder is synced by who makes it, and holds no record before."""
        found, last, made = [], {}, set()
        for line in self.calls()[:-1]:  # the last one is not whole
            if not SYNC.search(line) or "resumed" in line:
                continue
            thread, name = NAMED.match(line).groups()
            kind = "reserve" if name == "reserve.tmp" else "other"
            if name.startswith("wal/"):
                kind = "log" if name in made else "making"
            elif name == "wal" and last.get(thread, "").startswith("wal/"):
                kind, name = "made", last[thread]
                made.add(name)
            last[thread] = name
            found.append((thread, kind, name))
        return found

    def segments_at_most(self, size):
        """How many a log of so many bytes is in: each is as big as all before
        it and half of that again at the least, up to the usual size."""
        count, room = 1, SEGMENT_FIRST
        while room < size:
            count, room = count + 1, room + min(2 * room, SEGMENT)
        return count

    def test_one_evaluation_needs_a_handful_of_syncs(self):
        """The evaluation waits once for what it has logged. On the way there
        each segment that it begins may have it wait for room that is kept,
        and, where the background is late, for the segment itself."""
        s = self.trace("fdatasync,fsync,sync_file_range,msync")
        s.eval(APPENDS + append("warm", 1))
        count, evaluator = 10000 if SANITIZED else 100000, str(s.process.pid)
        before = len(self.kinds())
        self.gives(s, '(appends "s" 1 %d)' % count, str(count))
        kinds = self.kinds()
        syncs = kinds[before:]
        mine = [k for t, k, _ in syncs if t == evaluator]
        own = {kind: [n for t, k, n in syncs if t == evaluator and k == kind]
               for kind in ("log", "reserve", "making", "made", "other")}
        logged = {n for _, k, n in syncs if k == "log"}
        print("\nfigure: %d syncs for %d appends in one evaluation (%d of the "
              "log, %d to keep room, %d to make %d of %d segments), %d more "
              "in the background"
              % (len(mine), count, len(own["log"]), len(own["reserve"]),
                 len(own["making"]) + len(own["made"]), len(own["made"]),
                 len(logged), len(syncs) - len(mine)))
        # One of the background may cover the last append.
        self.assertGreaterEqual(len(logged), 1)
        self.assertLessEqual(
            len(logged), self.segments_at_most((count + 1) * RECORD_MAX))
        # One turn, at the end, in which each segment comes once.
        self.assertEqual(mine[len(mine) - len(own["log"]):],
                         ["log"] * len(own["log"]), mine)
        self.assertEqual(len(own["log"]), len(set(own["log"])), own)
        # The first segment was there.
        self.assertLess(len(own["reserve"]), len(logged))
        self.assertLessEqual(set(own["made"]), logged)
        made = [n for _, k, n in kinds if k == "made"]
        self.assertEqual(len(made), len(set(made)))
        self.assertEqual(set(own["making"]), set(own["made"]))
        self.assertLessEqual(len(own["making"]), 2 * len(own["made"]))
        self.assertEqual(own["other"], [])
        s.kill()
        s = self.serve()
        self.gives(s, perform("persist/last-seq", '"s"'), str(count))
        self.gives(s, "(len %s)" % perform("persist/read", '"s"'),
                   str(count))

    def test_an_evaluation_makes_no_segment_while_one_is_ready(self):
        s = self.trace("fdatasync,fsync")
        s.eval(APPENDS + append("warm", 1))
        evaluator, before = str(s.process.pid), len(self.kinds())
        # Over half of the first segment, and then beyond its end.
        most = SEGMENT_FIRST // RECORD_MAX - 100
        s.eval('(appends "s" 1 %d)' % most)
        wait_for("the segment", lambda: [
            1 for t, k, _ in self.kinds()[before:] if k == "made"])
        self.gives(s, '(appends "s" %d %d)' % (most + 1, most), str(most))
        syncs = self.kinds()[before:]
        own = [k for t, k, _ in syncs if t == evaluator]
        self.assertEqual(len({n for _, k, n in syncs if k == "log"}), 2)
        self.assertEqual((own.count("making"), own.count("made")), (0, 0))
        self.assertLessEqual(own.count("reserve"), 1)
        self.assertLessEqual(own.count("log"), 3)  # the first one after each

    def test_the_blobs_of_an_evaluation_share_their_syncs(self):
        s = self.trace("fdatasync,fsync,msync")
        s.perform("blob/put", quote("makes a pack"), "nil")
        before, count = self.syncs(), 100
        put = perform("blob/put", '(str "blob " i)', "nil")
        s.eval("(define put (fn (i) (if (= i 0) 0 (do %s (put (- i 1))))))"
               "(put %d)" % (put, count))
        used = self.syncs() - before
        self.assertGreaterEqual(used, 2)  # of the pack and of the log
        self.assertLessEqual(used, 6)
        s.kill()
        s = self.serve()
        for i in (1, count):
            self.gives(s, "(let ((cid %s)) %s)" % (
                perform("blob/put", quote("blob %d" % i), "nil"),
                perform("blob/get", "cid")), quote("blob %d" % i))

    def test_pipelined_commands_share_syncs(self):
        s = self.trace("fdatasync,fsync,sync_file_range,msync")
        s.eval(append("warm", 1))
        before, count = self.syncs(), 2000
        s.send("\n".join("(eval %s)" % quote(append("s", i))
                         for i in range(1, count + 1)))
        for _ in range(count):
            self.assertEqual(s.reply().kind, "value")
        used = self.syncs() - before
        print("\nfigure: %d syncs for %d pipelined appends" % (used, count))
        self.assertGreaterEqual(used, 1)
        self.assertLessEqual(used, count // 20)

    def test_a_lonely_command_syncs_before_its_reply(self):
        s = self.trace("fdatasync,fsync,sync_file_range,msync")
        s.eval(append("warm", 1))
        for i in range(1, 21):
            before = self.syncs()
            s.eval(append("s", i))
            self.assertGreaterEqual(self.syncs() - before, 1)

    def test_reading_what_is_durable_needs_no_sync(self):
        s = self.trace("fdatasync,fsync,sync_file_range,msync")
        s.eval(append("s", 1))
        before = self.syncs()
        for _ in range(50):
            s.perform("persist/read", '"s"')
            s.eval("(+ 1 2)")
        self.assertLessEqual(self.syncs() - before, 2)

    def whole_calls(self):
        lines = self.calls()
        return lines if "+++ exited" in "".join(lines[-2:]) else None

    def order(self, source, marker, reply):
        """Asserts write of marker < sync < write of reply to stdout."""
        s = self.trace("write,writev,pwrite64,pwritev,fdatasync,fsync", 4096)
        s.eval(append("warm", 1))
        s.send("(eval %s)" % quote(source))
        s.reply()
        self.end(s)
        lines = wait_for("the end of strace's log", self.whole_calls)
        written = [i for i, line in enumerate(lines) if marker in line
                   and not re.search(r"write\(1<", line)]
        self.assertTrue(written, "the marker was never written")
        answered = [i for i, line in enumerate(lines) if i > written[0] and
                    re.search(r"write\(1<.*" + re.escape(reply), line)]
        self.assertEqual(len(answered), 1, [n[:200] for n in lines[:40]])
        syncs = [i for i in self.whole_syncs(lines) if i[0] > written[0]]
        self.assertTrue(any(end < answered[0] for _, end in syncs),
                        "\n".join(line[:200] for line in lines))

    def whole_syncs(self, lines):
        """(start, end) of each successful sync, unfinished ones joined."""
        open_at = {}
        for i, line in enumerate(lines):
            pid = line.split(" ")[0]
            if "resumed" in line and re.search(r"f(data)?sync resumed", line):
                if line.endswith("= 0") and pid in open_at:
                    yield open_at.pop(pid), i
            elif SYNC.search(line):
                if "unfinished" in line:
                    open_at[pid] = i
                elif line.endswith("= 0"):
                    yield i, i

    def test_the_reply_comes_after_the_sync(self):
        self.order(append("s", 1, quote("MARKER-EVENT")), "MARKER-EVENT",
                   "(ok-len")

    def test_an_error_waits_for_the_ops_before_it(self):
        self.order("(do %s (/ 1 0))" % append("s", 1, quote("MARKER-ERR")),
                   "MARKER-ERR", "(error")

    def test_a_value_too(self):
        self.order(perform("persist/kv-put", '"k"', quote("MARKER-KEY")),
                   "MARKER-KEY", "(ok-len")

    def test_a_request_to_the_outside_too(self):
        self.order("(do %s %s)" % (append("s", 1, quote("MARKER-ASK")),
                                   perform("outside/ask", "1")),
                   "MARKER-ASK", "(io-request")

    def test_what_was_read_is_durable_before_it_is_shown(self):
        """A read of what an earlier pipelined command wrote is no earlier."""
        s = self.serve()
        for i in range(1, 200):
            s.send("(eval %s)\n(eval %s)" % (
                quote(append("s", i)),
                quote(perform("persist/last-seq", '"s"'))), )
        s.reply()
        s.kill()
        shown = [int(r.text) for r in s.replies_left() if r.kind == "value"
                 and r.text.isdigit()]
        s = self.serve()
        mark = int(s.perform("persist/last-seq", '"s"'))
        self.assertGreaterEqual(mark, max(shown, default=0))


if __name__ == "__main__":
    main()
