#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Canaries for kill.py: what it is there to notice, it notices.
import os
import shutil

from client import Case, append, main, perform
from kill import PROGRAM, Killer


class Canaries(Case):
    def setUp(self):
        super().setUp()
        self.killer = Killer(self.store, seed=3)
        self.rounds(8)

    def rounds(self, count):
        """Rounds that acknowledge something; the moment is the kernel's."""
        before, number = self.killer.acknowledged, 0
        while number < count or self.killer.acknowledged == before:
            number += 1
            self.assertLess(number, 100 * count, "no round acknowledges")
            self.killer.round(number)

    def noticed(self):
        with self.assertRaises(AssertionError):
            self.killer.verify(self.started())

    def started(self):
        s = self.serve()
        s.eval(PROGRAM)
        return s

    def do(self, *sources):
        s = self.started()
        for source in sources:
            s.eval(source)
        self.end(s)

    def test_what_is_right_passes(self):
        self.killer.verify(self.started())

    def test_lost_ops(self):
        s = self.started()
        self.killer.verify(s)
        self.end(s)
        saved = self.store + "-saved"
        shutil.copytree(self.store, saved)
        self.rounds(3)
        shutil.rmtree(self.store)
        shutil.move(saved, self.store)
        self.noticed()

    def test_a_doubled_event(self):
        self.do('(add "s1" 9)')
        self.noticed()

    def test_a_lost_event_of_the_long_stream(self):
        self.do(perform("persist/truncate-through", '"all"', "1"))
        self.noticed()

    def test_a_changed_key(self):
        self.do('(put "k1" "other")')
        self.noticed()

    def test_a_stream_that_nobody_wrote(self):
        self.do(append("ghost", 1))
        self.noticed()

    def test_another_tag(self):
        s, killer = self.started(), self.killer
        killer.verify(s)
        first = killer.sent + 1
        killer.sent = killer.acknowledged = first + 23
        s.eval('(define (tags i) (list "other"))')
        s.eval("(steps %d %d)" % (first, first + 24))
        self.end(s)
        self.noticed()

    def test_a_server_that_does_not_start(self):
        with self.assertRaisesRegex(AssertionError, "ended by itself"):
            self.killer.strike("nosuchcall", 1)


# A kill at every so manieth call; the long run makes each.
STEP = int(os.environ.get("KILL_STEP", "1"))

# Calls that a server need not come to.
SELDOM = {"ftruncate"}

# Others are made by a thread of the store, which a life may be too short for.
LIVES = 8


class EveryCall(Case):
    """Killed at the first, second, third ... call of each kind."""

    def strike(self, *calls):
        killer, kills = Killer(self.store, seed=5), 0
        for call in calls:
            before, when = kills, 1
            while any(killer.strike(call, when)
                      for _ in range(LIVES if when == 1 else 1)):
                kills += 1
                self.assertLess(when, 500, call + " strikes without end")
                s = self.serve()
                s.eval(PROGRAM)
                killer.verify(s)
                s.kill()
                s.release()
                when += STEP
            if call not in SELDOM:
                self.assertGreater(kills, before, "nothing calls " + call)
        print("\nfigure: %d kills, at every %s" % (kills, ", ".join(calls)))

    def test_writes(self):
        self.strike("pwrite64", "write", "ftruncate", "fallocate")

    def test_syncs(self):
        self.strike("fdatasync", "fsync")

    def test_names(self):
        self.strike("mkdirat", "openat", "renameat", "unlinkat")


if __name__ == "__main__":
    main()
