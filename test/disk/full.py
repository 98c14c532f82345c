#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# A full disk, for real: what cannot be written is refused, the rest goes on.
"""usage: test/disk/full.py [--rounds N] [--seed N]

A server works on a small ext4, once with a journal and once without, and
another file takes all of the space but a few blocks, more or less of them in
each round. An op that finds no room must say no-space and change nothing,
reads must go on, and once there is room the same server writes again; now and
then it is killed, and a new one opens the full disk. Needs root and loop
devices; without them it says so and checks nothing.
"""

import argparse
import os
import random
import sys
import tempfile

import disks

sys.path.insert(0, os.path.join(disks.ROOT, "test", "acceptance"))
from client import Failed, Server  # noqa: E402
from kill import PROGRAM, Killer  # noqa: E402

DISK_SIZE = 24 << 20
LIMITS = ("--segment", "64K", "--memtable", "32K", "--merge-width", "3")


class Full:
    def __init__(self, disk, seed):
        self.disk, self.rng = disk, random.Random(seed)
        self.killer = Killer(os.path.join(disk.place, "store"), seed)
        self.ballast = os.path.join(disk.place, "ballast")
        self.server = None
        self.figures = dict.fromkeys(("refused", "kills"), 0)

    def leave(self, size):
        """Lets the other file take all of the space but so many bytes."""
        if os.path.exists(self.ballast):
            os.unlink(self.ballast)
        file = os.open(self.ballast, os.O_WRONLY | os.O_CREAT)
        try:
            step, at = 1 << 20, 0
            while step >= 1024:
                try:
                    os.posix_fallocate(file, at, step)
                    at += step
                except OSError:
                    step //= 2
            os.ftruncate(file, max(0, at - size))
            os.fsync(file)
        finally:
            os.close(file)

    def free(self):
        if os.path.exists(self.ballast):
            os.unlink(self.ballast)

    def open(self):
        """A server that has read all, however full the disk is."""
        self.server = Server(self.killer.place, flags=LIMITS)
        self.server.eval(PROGRAM)
        self.killer.verify(self.server)

    def refused(self, failed):
        if failed.code != "no-space":
            raise AssertionError("no-space was due, not " + failed.message)
        self.figures["refused"] += 1

    def round(self):
        killer, rng = self.killer, self.rng
        self.leave(rng.choice((0, 4096, 65536, rng.randrange(1 << 20))))
        for _ in range(rng.randrange(1, 12)):
            first = killer.sent + 1
            killer.sent += rng.choice((1, 5, 50, 500))
            try:
                self.server.eval("(steps %d %d)" % (first, killer.sent + 1))
                killer.acknowledged = killer.sent
            except Failed as failed:
                self.refused(failed)
                killer.verify(self.server)
        killer.verify(self.server)
        if rng.random() < 0.3:
            self.server.kill()
            self.server.release()
            self.figures["kills"] += 1
            self.open()
        if rng.random() < 0.5:  # room again: the same op gets through
            self.free()
            killer.sent += 1
            self.server.eval("(steps %d %d)" % (killer.sent, killer.sent + 1))
            killer.acknowledged = killer.sent

    def run(self, rounds):
        self.open()
        try:
            for _ in range(rounds):
                self.round()
            self.free()
            self.killer.verify(self.server)
            self.killer.verify_all(self.server)
            if self.server.close() != 0:
                raise AssertionError("the server: " + self.server.stderr())
        finally:
            self.server.release()
        disks.verify(self.killer.place)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    reason = disks.missing()
    if reason:
        print("figure: skipped: " + reason)
        print("1 passed, 0 failed")
        return 0
    passed = failed = 0
    for journal in (False, True):
        kind = "with a journal" if journal else "without a journal"
        with tempfile.TemporaryDirectory(prefix="sx-full-") as folder, \
                disks.Disk(folder, "full", DISK_SIZE, journal) as disk:
            full = Full(disk, "%d %s" % (arguments.seed, kind))
            try:
                full.run(arguments.rounds)
            except (AssertionError, Failed) as error:
                failed += 1
                print("seed %d, %s: %s" % (arguments.seed, kind, error))
                continue
        figures = full.figures
        if figures["refused"] == 0:
            raise AssertionError("the disk was never full")
        passed += arguments.rounds
        print("figure: ext4 %s: %d ops, %d refused with no-space, %d kills on "
              "a full disk and read at once, 0 lost" % (
                  kind, full.killer.sent, figures["refused"],
                  figures["kills"]))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
