#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# A long life in little room: the store neither grows nor slows, nor forgets.
"""usage: test/disk/soak.py [--seconds N] [--seed N] [--streams N] [--keys N]

A server under a memory limit that the system enforces writes for N seconds to
many streams, whose old events it truncates, and to many keys, which it
overwrites and deletes; so what there is stays the same while what was written
grows. It is killed, closed and opened again all the time, and now and then its
disk is full (where root may mount one). Each command is one commit with its
number in it, so that the state must be the model's after some command, no
earlier than the last acknowledged one. Its memory, its files and the bytes
that an opening reads must not grow with what was ever written.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time

import disks

sys.path.insert(0, os.path.join(disks.ROOT, "test", "acceptance"))
from client import Failed, Server, perform  # noqa: E402

KEPT = 6  # events of a stream
DATA_LIMIT = 160 << 20  # of the process: heap of the language, store, stacks
MEMORY_MAX = 64 << 20  # resident, without mapped files
READ_AT_OPENING_MAX = 40 << 20
LOG_AT_OPENING_MAX = 64 << 20  # to replay, ready, and waiting to be used again
DISK_SIZE = 512 << 20
LIMITS = ("--heap-max", "32M")
PROGRAM = """
(define text "%s")
(define (stream i) (str "stream-" (mod i %d)))
(define (key i) (str "key-" (mod i %d)))
(define (edits s k i)
  (list {:append s :events (list {:type "t" :at i :data (list i text)})}
        {:truncate s :through (- (get %s :last-seq) %d)}
        (if (= 0 (mod i 5)) {:delete k} {:put k :value (list i text)})
        {:put "at" :value i}))
(define (step i) %s)
(define (steps from to)
  (let loop ((i from))
    (if (= i to) to (begin (step i) (loop (+ i 1))))))
(define (events s)
  (map (fn (e) (list (get e :seq) (get (get e :data) 0))) %s))
(define (value k) (let ((v %s)) (if (nil? v) nil (get v 0))))
"""


def program(streams, keys):
    return PROGRAM % (
        "x" * 150, streams, keys, perform("persist/stream-info", "s"),
        KEPT - 1, perform("persist/commit", "(edits (stream i) (key i) i)"),
        perform("persist/read", "s"), perform("persist/kv-get", "k"))


class Model:
    """What each stream and key holds after step `at`: they take turns."""

    def __init__(self, streams, keys):
        self.streams, self.keys, self.at = streams, keys, 0

    def events(self, number):
        """The (seq, step) of a stream."""
        newest = self.at - (self.at - number) % self.streams
        first = number or self.streams
        return [((step - first) // self.streams + 1, step)
                for step in range(newest - (KEPT - 1) * self.streams,
                                  newest + 1, self.streams) if step >= first]

    def value(self, number):
        step = self.at - (self.at - number) % self.keys
        return None if step < 1 or step % 5 == 0 else step


class Soak:
    def __init__(self, folder, disk, arguments):
        self.rng = random.Random(arguments.seed)
        self.disk, self.store = disk, os.path.join(folder, "store")
        self.model = Model(arguments.streams, arguments.keys)
        self.source = program(arguments.streams, arguments.keys)
        self.acknowledged = self.sent = 0
        self.memory, self.stored, self.opened = [], [], []
        self.log, self.read = [], []
        self.kills = self.refused = 0
        self.server = None

    # ---- looking at the process

    def field(self, file, name):
        with open("/proc/%d/%s" % (self.server.pid, file)) as lines:
            for line in lines:
                if line.startswith(name):
                    return int(line.split()[1])
        raise AssertionError("no %s in %s" % (name, file))

    def look(self):
        self.memory.append(self.field("status", "RssAnon:") * 1024)

    # ---- the store

    def log_size(self):
        folder = os.path.join(self.store, "wal")
        if not os.path.isdir(folder):
            return 0
        return sum(entry.stat().st_size for entry in os.scandir(folder))

    def open(self):
        self.log.append(self.log_size())
        start = time.monotonic()
        self.server = Server(self.store, flags=LIMITS, wrap=(
            "prlimit", "--data=%d" % DATA_LIMIT))
        before = self.field("io", "rchar:")
        found = self.server.perform("persist/kv-get", '"at"')
        self.opened.append(time.monotonic() - start)
        self.read.append(self.field("io", "rchar:") - before)
        self.server.eval(self.source)
        self.model.at = int(found) if found != "nil" else 0
        self.settle()

    def settle(self):
        """What was found must be between acknowledged and sent."""
        if not self.acknowledged <= self.model.at <= self.sent:
            raise AssertionError("acknowledged %d, sent %d, found %d" % (
                self.acknowledged, self.sent, self.model.at))
        self.acknowledged = self.sent = self.model.at

    def check(self, streams, keys):
        for number in streams:
            found = self.server.eval('(events "stream-%d")' % number)
            wanted = "(%s)" % " ".join(
                "(%d %d)" % row for row in self.model.events(number))
            if found != wanted:
                raise AssertionError("stream %d after %d: %s, not %s" % (
                    number, self.model.at, found, wanted))
        for number in keys:
            found = self.server.eval('(value "key-%d")' % number)
            step = self.model.value(number)
            if found != ("nil" if step is None else str(step)):
                raise AssertionError("key %d after %d: %s, not %s" % (
                    number, self.model.at, found, step))

    def sample(self, size):
        self.check((self.rng.randrange(self.model.streams)
                    for _ in range(size)),
                   (self.rng.randrange(self.model.keys)
                    for _ in range(size)))

    def steps(self, count):
        first, self.sent = self.sent + 1, self.sent + count
        self.server.send("(epoch %d)\n(eval \"(steps %d %d)\")" % (
            self.sent, first, self.sent + 1))

    def replies(self):
        """Waits for all; a full disk is no failure."""
        while self.acknowledged < self.sent:
            reply = self.server.reply()
            if reply.kind == "value":
                self.acknowledged = self.model.at = reply.epoch
                continue
            if not reply.text.startswith("no-space"):
                raise AssertionError("a step: " + reply.text)
            self.refused += 1
            self.model.at = int(self.server.perform("persist/kv-get", '"at"'))
            self.settle()

    def fill_disk(self):
        """Leaves no room for a while."""
        ballast = os.path.join(self.disk.place, "ballast")
        with open(ballast, "wb") as file:
            free = os.statvfs(self.disk.place)
            os.posix_fallocate(file.fileno(), 0, max(
                1, free.f_bavail * free.f_frsize - (64 << 10)))
        self.steps(100000)
        self.replies()
        os.unlink(ballast)

    def used(self):
        size = 0
        for folder, _, files in os.walk(self.store):
            size += sum(os.stat(os.path.join(folder, f)).st_blocks * 512
                        for f in files)
        return size

    # ---- a life

    def round(self):
        self.open()
        self.sample(20)
        for _ in range(self.rng.randrange(1, 5)):
            self.steps(self.rng.randrange(1, 20000))
            self.replies()
            self.look()
        if self.disk and self.rng.random() < 0.2:
            self.fill_disk()
        self.sample(20)
        if self.rng.random() < 0.6:
            self.steps(20000)
            time.sleep(self.rng.random() * 0.2)
            self.server.kill()
            for reply in self.server.replies_left():
                self.acknowledged = max(self.acknowledged, reply.epoch)
            self.kills += 1
        elif self.server.close() != 0:
            raise AssertionError("the server: " + self.server.stderr())
        self.server.release()
        self.stored.append(self.used())

    def run(self, seconds):
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                self.round()
                if sys.stderr.isatty():
                    print("\r%d commits, %d s left " % (
                        self.sent, end - time.monotonic()), end="",
                        file=sys.stderr, flush=True)
            self.open()
            self.check(range(self.model.streams), range(self.model.keys))
            self.server.close()
        finally:
            self.server.release()

    def bounds(self):
        """(what, found, the most it may be)"""
        # Up to eight tables of one size, each as large as all there is, wait
        # to be merged; the log and what a flush has in hand come on top.
        live = self.model.streams * KEPT * 250 + self.model.keys * 250
        return (("resident memory", max(self.memory), MEMORY_MAX),
                ("bytes read at opening", max(self.read),
                 READ_AT_OPENING_MAX),
                ("bytes of log at opening", max(self.log), LOG_AT_OPENING_MAX),
                ("bytes stored", max(self.stored), 8 * live + (64 << 20)))


def soak(arguments, disk, folder):
    it = Soak(folder, disk, arguments)
    it.run(arguments.seconds)
    half = len(it.opened) // 2 or 1
    print("figure: %d commits, %d openings, %d kills, %d refused on a full "
          "disk; resident %d MB at most, %d MB stored at most, %.1f MB of log "
          "at an opening at most; opening and first read, median: %.0f ms in "
          "the first half, %.0f ms in the second" % (
              it.model.at, len(it.opened), it.kills, it.refused,
              max(it.memory) >> 20, max(it.stored) >> 20,
              max(it.log) / 1048576,
              statistics.median(it.opened[:half]) * 1000,
              statistics.median(it.opened[half:]) * 1000))
    failed = 0
    for what, found, most in it.bounds():
        if found > most:
            failed += 1
            print("%s: %d, over %d" % (what, found, most))
    disks.verify(it.store)
    print("%d passed, %d failed" % (len(it.opened), failed))
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--streams", type=int, default=20000)
    parser.add_argument("--keys", type=int, default=30000)
    arguments = parser.parse_args()
    reason = disks.missing()
    with tempfile.TemporaryDirectory(prefix="sx-soak-") as folder:
        try:
            if reason:
                print("figure: no disk of its own, so never a full one: "
                      + reason)
                return soak(arguments, None, folder)
            with disks.Disk(folder, "soak", DISK_SIZE, False) as disk:
                return soak(arguments, disk, disk.place)
        except (AssertionError, Failed) as error:
            print("seed %d: %s" % (arguments.seed, error))
            print("0 passed, 1 failed")
            return 1


if __name__ == "__main__":
    sys.exit(main())
