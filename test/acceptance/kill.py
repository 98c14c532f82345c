#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# kill -9 again and again on one directory, against a journal and a model.
"""usage: test/acceptance/kill.py [--rounds N] [--seed N] [--dir DIR]

Each round starts a server on the same directory, compares all that it finds
with the model, sends commands, and kills it: in the middle of commands,
between two, or while it opens. Op i is known to both sides, so that the state
after a crash must be the model after some prefix of the ops, no shorter than
the last acknowledged one and no longer than what was sent. Events have tags, by
which queries and conditions find them; some commits have an id, and the last of
those, sent again, changes nothing.
"""

import argparse
import random
import re
import signal
import sys
import tempfile
import time

from client import SANITIZED, Gone, Server, perform, quote

STREAMS, KEYS, KEPT, TAGS = 5, 13, 12, 7
PROGRAM = """
(define (put k v) %s)
(define (last s) %s)
(define (tags i)
  (let ((t (str "t" (mod i %d))))
    (if (= 0 (mod i 3)) (list t "u") (list t))))
(define (event i tags) {:type (str "y" (mod i 2)) :at i :data i :tags tags})
(define (add s i &rest tags)
  (let ((n (+ 1 (last s))))
    %s))
(define (commit edits) %s)
(define (found query) %s)
(define (newest query)
  (reduce (fn (p e) (get e :position)) 0 (found query)))
(define (decide s i)
  (let ((query {:tags (list "u")}))
    (commit (list {:expect-none query
                   :after (if (= 6 (mod i 32)) 0 (newest query))}
                  {:append s :events
                  (list (event i (list "u" (str "t" (mod (* 2 i) %d)))))}))))
(define (once s i)
  (commit (list {:once (str "command " i)}
                {:append s :events (list (event i (tags i)))})))
(define (blob text) %s)
(define (step i)
  (let ((s (str "s" (mod i %d))) (k (str "k" (mod i %d))))
    (case (mod i 8)
      0 (put k i)
      1 (add "all" i)
      2 %s
      3 %s
      4 (if (= 4 (mod i 64))
          (put "blob" (list i (blob (str "blob " i))))
          (add s i))
      5 (add s i (tags i))
      6 (decide s i)
      7 (once s i))))
(define (steps from to)
  (let loop ((i from))
    (if (= i to) to (begin (step i) (loop (+ i 1))))))
(define (events s)
  (map (fn (e) (list (get e :seq) (get e :data))) %s))
(define (log s) (list s (last s) (events s)))
(define never 9223372036854775807)
(define (rising? entries)
  (< (reduce (fn (t e) (if (<= t (get e :time)) (get e :time) never)) 1 entries)
     never))
(define (query tags types)
  (let ((entries (found (if types {:tags tags :types types} {:tags tags}))))
    (if (rising? entries)
        (map (fn (e) (get (get e :event) :data)) entries)
        "times fall")))
(define (state)
  (list (map log (filter (fn (s) (not (= s "all"))) %s))
        (map (fn (k) (list k %s)) %s)
        (cons (query (list "u") nil)
              (cons (query (list "u") (list "y1"))
                    (map (fn (t) (query (list "u" (str "t" t)) nil))
                         (range 0 %d))))
        %s (last "all") (len (events "all"))))
""" % (
    perform("persist/kv-put", "k", "v"), perform("persist/last-seq", "s"), TAGS,
    perform("persist/append", "s",
            '(merge {:stream s :seq n :type (str "y" (mod i 2)) :at i :data i}'
            ' (if (empty? tags) {} {:tags (first tags)}))'),
    perform("persist/commit", "edits"),
    perform("persist/query", "query", "0", "nil"), TAGS,
    perform("blob/put", "text", '"text/plain"'), STREAMS, KEYS,
    perform("persist/truncate-through", "s", "(- (last s) %d)" % KEPT),
    perform("persist/kv-delete", "k"), perform("persist/read", "s"),
    perform("persist/streams"), perform("persist/kv-get", "k"),
    perform("persist/kv-keys"), TAGS, perform("persist/position"))


def tags_of(i):
    """Of the event of op i."""
    if i % 8 == 6:
        return {"u", "t%d" % (i * 2 % TAGS)}
    if i % 8 not in (5, 7):
        return set()
    return {"t%d" % (i % TAGS)} | ({"u"} if i % 3 == 0 else set())


class Model:
    """The state after ops 1 .. at; grows one op at a time."""

    def __init__(self):
        self.at = 0
        self.marks, self.rows, self.keys, self.all = {}, {}, {}, []
        self.position = 0

    def step(self):
        self.at += 1
        i = self.at
        stream, key, kind = "s%d" % (i % STREAMS), "k%d" % (i % KEYS), i % 8
        if kind == 0:
            self.keys[key] = i
        elif kind == 1:
            self.all.append(i)
            self.position += 1
        elif kind == 2:
            through = self.marks.get(stream, 0) - KEPT
            self.rows[stream] = [row for row in self.rows.get(stream, [])
                                 if row[0] > through]
        elif kind == 3:
            self.keys.pop(key, None)
        elif i % 64 == 4:
            self.keys["blob"] = i
        elif i % 32 != 6 or not self.found({"u"}):  # else it is refused
            self.position += 1
            self.marks[stream] = self.marks.get(stream, 0) + 1
            self.rows.setdefault(stream, []).append((self.marks[stream], i))

    def found(self, tags, kind=None):
        """What a query finds: the ops whose events are left."""
        return sorted(i for rows in self.rows.values() for _, i in rows
                      if tags <= tags_of(i) and kind in (None, i % 2))

    def state(self):
        def listed(numbers):
            return "(%s)" % " ".join(map(str, numbers))

        def rows(stream):
            return " ".join("(%d %d)" % row for row in self.rows[stream])
        logs = " ".join('("%s" %d (%s))' % (s, self.marks[s], rows(s))
                        for s in sorted(self.marks))
        keys = " ".join('("%s" %d)' % (k, self.keys[k])
                        for k in sorted(self.keys))
        queries = [self.found({"u"}), self.found({"u"}, 1)] + [
            self.found({"u", "t%d" % t}) for t in range(TAGS)]
        return "((%s) (%s) (%s) %d %d %d)" % (
            logs, keys, " ".join(map(listed, queries)), self.position,
            len(self.all), len(self.all))


class Killer:
    def __init__(self, place, seed):
        self.place, self.rng = place, random.Random(seed)
        self.model = Model()
        self.sent = self.acknowledged = 0
        self.figures = dict.fromkeys(
            ("kills", "kept beyond", "cut", "replies"), 0)

    def verify(self, server):
        """Finds the prefix that the server holds."""
        blob = re.compile(r'\("blob" \((\d+) ("b[a-z2-7]+")\)\)')
        found = server.eval("(state)")
        cid = blob.search(found)
        found = blob.sub(r'("blob" \1)', found)
        while self.model.at < self.acknowledged:
            self.model.step()
        while self.model.state() != found:
            if self.model.at >= self.sent:
                raise AssertionError(
                    "acknowledged %d, sent %d, found\n%s\nwanted\n%s" % (
                        self.acknowledged, self.sent, found,
                        self.model.state()))
            self.model.step()
        if cid:
            text = server.perform("blob/get", cid[2])
            if text != '"blob %s"' % cid[1]:
                raise AssertionError("blob %s is %s" % (cid[1], text))
        last = self.model.at - (self.model.at - 7) % 8
        if last > 0:  # the last command that was done is not done again
            server.eval('(once "s%d" %d)' % (last % STREAMS, last))
            if blob.sub(r'("blob" \1)', server.eval("(state)")) != found:
                raise AssertionError("command %d was done again" % last)
        self.figures["kept beyond"] += self.model.at - self.acknowledged
        self.figures["cut"] += self.sent - self.model.at
        # what was shown must stay
        self.sent = self.acknowledged = self.model.at

    def verify_all(self, server):
        """Every event of the stream that is never truncated."""
        wanted = " ".join("(%d %d)" % row for row in
                          enumerate(self.model.all, 1))
        if server.eval('(events "all")') != "(%s)" % wanted:
            raise AssertionError("the long stream differs")

    def send(self, server):
        """A few commands at once, without waiting."""
        lines = []
        for _ in range(self.rng.choice((1, 1, 2, 5, 20))):
            first = self.sent + 1
            self.sent += self.rng.choice((1, 1, 2, 7, 50))
            lines.append("(epoch %d)\n(eval %s)" % (
                self.sent, quote("(steps %d %d)" % (first, self.sent + 1))))
        server.send("\n".join(lines))

    def note(self, reply):
        if reply.kind != "value":
            raise AssertionError("%r" % (reply,))
        self.acknowledged = reply.epoch
        self.figures["replies"] += 1

    def round(self, number):
        server = Server(self.place, ready=False)
        try:
            if self.rng.random() < 0.1:  # while it opens
                server.send("(eval %s)" % quote(PROGRAM + "(last \"s1\")"))
                time.sleep(self.rng.random() * 0.01)
                server.kill()
                return
            server.line()
            server.eval(PROGRAM)
            self.verify(server)
            if number % 50 == 0:
                self.verify_all(server)
            try:
                self.work(server)
            except Gone:
                raise AssertionError("the server ended by itself: "
                                     + server.stderr()) from None
            server.kill()
            for reply in server.replies_left():
                self.note(reply)
        finally:
            self.figures["kills"] += 1
            server.release()

    def strike(self, call, when):
        """Kills a server as it enters a system call for the when-th time;
        tells whether it came to that."""
        # filling a new segment takes a write a page
        flags = ["--segment", "64K"]
        server = Server(self.place, flags, ready=False, wrap=[
            "strace", "-D", "-f", "-o", "/dev/null", "-e", "trace=" + call,
            "-e", "inject=%s:signal=SIGKILL:when=%d" % (call, when)],
            env={"ASAN_OPTIONS": "detect_leaks=0"})  # not under strace
        try:
            server.line()
            server.eval(PROGRAM)
            first = self.sent + 1
            self.sent += 70  # every kind of op is among them
            server.send("\n".join("(epoch %d)\n(eval %s)" % (
                i, quote("(steps %d %d)" % (i, i + 1)))
                for i in range(first, self.sent + 1)))
            while self.acknowledged < self.sent:
                self.note(server.reply())
            server.close()
        except Gone:
            server.wait()
        finally:
            code, words = server.process.returncode, server.stderr()
            server.release()
        if code not in (0, -signal.SIGKILL):
            raise AssertionError("the server ended by itself: %s, %s" % (
                code, words))
        return code != 0

    def work(self, server):
        """Keeps the server busy until a seeded moment."""
        self.send(server)
        if self.rng.random() < 0.3:  # between two commands
            for _ in range(self.rng.randrange(1, 4)):
                self.note(server.reply())
                self.send(server)
            return
        end = time.monotonic() + self.rng.random() * 0.02
        while time.monotonic() < end:
            try:
                self.note(server.reply(end - time.monotonic()))
            except TimeoutError:
                return
            if self.rng.random() < 0.3:
                self.send(server)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int,
                        default=100 if SANITIZED else 500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sx-kill-") as place:
        killer = Killer(arguments.dir or place + "/store", arguments.seed)
        for number in range(1, arguments.rounds + 1):
            try:
                killer.round(number)
            except AssertionError as error:
                print("seed %d, round %d: %s" % (arguments.seed, number,
                                                 error))
                print("%d passed, 1 failed" % (number - 1))
                return 1
        server = Server(killer.place)
        server.eval(PROGRAM)
        killer.verify(server)
        killer.verify_all(server)
        server.close()
        server.release()
    print("figure: %d kills, %d ops acknowledged or read (%d replies), "
          "0 lost, 0 doubled; in flight: %d kept, %d cut" % (
              killer.figures["kills"], killer.acknowledged,
              killer.figures["replies"], killer.figures["kept beyond"],
              killer.figures["cut"]))
    print("%d passed, 0 failed" % arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
