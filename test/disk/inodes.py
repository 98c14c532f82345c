#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# A disk without a file left to give, for real: what is there can be deleted.
"""usage: test/disk/inodes.py [--disks N] [--rounds N] [--seed N]

A server works on a small disk in memory of which others have taken all files,
and which has bytes. Puts and appends are refused there, deletions are not:
not in the same server, and not in one that is started after it was ended or
killed. Needs root; without it, it says so and checks nothing.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile

import disks

sys.path.insert(0, os.path.join(disks.ROOT, "test", "acceptance"))
from client import Failed, Server, perform, quote  # noqa: E402

FILES = 60
OPS = 20000  # a round
BATCH = 100


def guarded(op):
    """Refused or not: the number of its refusals is told."""
    return "(guard (e (true (set! refused (inc refused)))) %s)" % op


class Disk:
    """A disk in memory, with so many files at the most."""

    def __init__(self, folder):
        self.place = os.path.join(folder, "disk")
        os.mkdir(self.place)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=%d"
                        % FILES, "none", self.place], check=True)
        self.store = os.path.join(self.place, "store")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", self.place], check=True)

    def take_all(self):
        count = 0
        while True:
            try:
                with open(os.path.join(self.place, "other-%d" % count), "w"):
                    count += 1
            except OSError:
                return

    def give_back(self):
        for name in os.listdir(self.place):
            if name.startswith("other-"):
                os.unlink(os.path.join(self.place, name))


class Rounds:
    def __init__(self, disk, seed):
        self.disk, self.rng = disk, random.Random(seed)
        self.server, self.refused = None, 0

    def open(self):
        self.server = Server(self.disk.store)
        self.server.eval("(define refused 0)")

    def op(self):
        draw, key = self.rng.random(), '"k%d"' % self.rng.randrange(1000)
        data = '"%s"' % ("x" * self.rng.randrange(600))
        if draw < 0.6:
            return perform("persist/kv-put", key, data)
        if draw < 0.8:
            return perform("persist/append", '"s%d"' % self.rng.randrange(12),
                           "{:type 1 :at 1 :data %s}" % data)
        return perform("persist/kv-delete", key)

    def use(self, count):
        for _ in range(0, count, BATCH):
            self.server.send("\n".join("(eval %s)" % quote(guarded(self.op()))
                                       for _ in range(BATCH)))
            for _ in range(BATCH):
                self.server.reply()
        self.refused += int(self.server.eval("refused"))

    def delete(self):
        """Must be accepted, whatever was before."""
        for which in self.rng.sample(range(1000), 5):
            self.server.eval(perform("persist/kv-delete", '"k%d"' % which))
        self.server.eval(perform("persist/truncate", '"s1"', "1000000"))

    def run(self, rounds):
        self.open()
        self.use(BATCH)
        self.server.close()
        self.disk.take_all()
        for count in range(rounds):
            self.open()
            self.use(OPS)
            self.delete()
            if count % 2 == 0:
                os.kill(self.server.pid, signal.SIGTERM)
            else:
                self.server.kill()
            self.server.process.wait(60)
            self.server.release()
            self.open()
            self.delete()
            self.server.close()
        self.disk.give_back()
        self.open()
        self.server.eval(perform("persist/kv-put", '"new"', "1"))
        self.server.close()
        disks.verify(self.disk.store)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--disks", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("figure: skipped: it needs root")
        print("1 passed, 0 failed")
        return 0
    failed = refused = 0
    seeds = range(arguments.seed, arguments.seed + arguments.disks)
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="sx-inodes-") as folder, \
                Disk(folder) as disk:
            rounds = Rounds(disk, seed)
            try:
                rounds.run(arguments.rounds)
            except (AssertionError, Failed) as error:
                failed += 1
                print("seed %d: %s" % (seed, error))
            finally:
                if rounds.server is not None:
                    rounds.server.release()
            refused += rounds.refused
    if not failed and refused == 0:
        raise AssertionError("there were files left")
    print("figure: %d disks without files, %d of %d ops refused, "
          "deletions on %d of them" % (
              len(seeds), refused, len(seeds) * arguments.rounds * OPS,
              failed))
    print("%d passed, %d failed" % (len(seeds) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
