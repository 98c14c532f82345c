#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Power cuts on a real ext4: what any of them leaves must open and be whole.
"""usage: test/disk/power.py [--cuts N] [--commands N] [--seed N] [--keep DIR]

A server works on an ext4, once with a journal and once without, on a disk that
logs its writes and flushes. Then the power is cut at N moments of that log:
everything up to the last flush is there, and of what came later all, nothing,
or some sectors. The file system is repaired as a machine does that comes up
again, and the store must hold every op that had been acknowledged by then,
each once and whole; it takes new ones, and `persist verify` finds nothing.
Needs root, loop devices and fuse; without them it says so and checks nothing.
With --keep a cut that fails leaves in DIR the disk as it was before its repair
and as it is now, what e2fsck said, and what was written last: another run with
the seed has another timing, and may not fail.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile

import disks

sys.path.insert(0, os.path.join(disks.ROOT, "test", "acceptance"))
from client import Failed, Server  # noqa: E402
from kill import PROGRAM, Killer  # noqa: E402

DISK_SIZE = 32 << 20
# so small that a few hundred ops flush, merge and recycle
LIMITS = ("--segment", "64K", "--memtable", "16K", "--merge-width", "2")


def work(disk, commands, seed):
    """Runs a server; returns [(written, acknowledged)] and what was sent."""
    killer = Killer(os.path.join(disk.place, "store"), seed)
    server = Server(killer.place, flags=LIMITS)
    moments = []
    try:
        server.eval(PROGRAM)
        while killer.figures["replies"] < commands:
            killer.send(server)
            while killer.acknowledged < killer.sent:
                killer.note(server.reply())
                moments.append((disk.written(), killer.acknowledged))
        if server.close() != 0:
            raise AssertionError("the server: " + server.stderr())
    finally:
        server.release()
    return moments, killer.sent


def check(disk, acknowledged, sent, seed):
    """A store after a cut: all that was acknowledged, and it goes on."""
    killer = Killer(os.path.join(disk.place, "store"), seed)
    killer.acknowledged, killer.sent = acknowledged, sent
    server = Server(killer.place, flags=LIMITS)
    try:
        server.eval(PROGRAM)
        killer.verify(server)
        killer.verify_all(server)
        killer.send(server)
        while killer.acknowledged < killer.sent:
            killer.note(server.reply())
        killer.verify(server)
        if server.close() != 0:
            raise AssertionError("the server: " + server.stderr())
    finally:
        server.release()
    disks.verify(killer.place)


def keep(place, disk, left, entries, flushed, end):
    """What a failure may be understood by."""
    os.makedirs(place, exist_ok=True)
    with open(os.path.join(place, "before.img"), "wb") as file:
        file.write(left)
    shutil.copyfile(disk.image, os.path.join(place, "after.img"))
    with open(os.path.join(place, "e2fsck.txt"), "w") as file:
        file.write(disk.repair + "\n")
    with open(os.path.join(place, "writes.txt"), "w") as file:
        for i, (_, offset, data) in enumerate(entries[:end], 1):
            file.write("%d " % i)
            file.write("block %d, %d bytes%s\n" % (
                offset // disks.BLOCK, len(data),
                "" if i <= flushed else
                ", there" if left[offset:offset + len(data)] == data else
                ", not or not all there") if len(data) else "flush\n")


def cut_and_check(folder, recorded, journal, cuts, moments, sent, rng,
                  place):
    """Cuts the power at `cuts` moments; yields at each that was survived."""
    entries = recorded.entries()
    image, flushed = recorded.base(), 0
    chosen = sorted(rng.sample(range(1, len(entries) + 1),
                               min(cuts, len(entries))))
    for end in chosen:
        later = entries[flushed:end]
        flushes = [i for i, entry in enumerate(later) if not len(entry[2])]
        settled = flushes[-1] + 1 if flushes else 0
        for _, offset, data in later[:settled]:
            image[offset:offset + len(data)] = data
        flushed += settled
        left = disks.cut(image, [entry[1:] for entry in later[settled:]],
                         rng)
        with open(os.path.join(folder, "cut.img"), "wb") as file:
            file.write(left)
        written = entries[end - 1][0]
        acknowledged = max((a for w, a in moments if w <= written), default=0)
        disk = disks.Disk(folder, "cut", DISK_SIZE, journal, make=False)
        try:
            with disk:
                check(disk, acknowledged, sent, rng.random())
        except (AssertionError, Failed, OSError) as error:
            if place:
                keep(place, disk, left, entries, flushed, end)
            raise AssertionError("power cut after write %d of %d: %s%s" % (
                end, len(entries), error,
                "; kept in " + place if place else "")) from None
        yield


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=60)
    parser.add_argument("--commands", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", metavar="DIR")
    arguments = parser.parse_args()
    reason = disks.missing(recorder=True)
    if reason:
        print("figure: skipped: " + reason)
        print("1 passed, 0 failed")
        return 0
    passed = failed = 0
    for journal in (False, True):
        kind = "with a journal" if journal else "without a journal"
        rng = random.Random("%d %s" % (arguments.seed, kind))
        name = ("seed %d %s" % (arguments.seed, kind)).replace(" ", "-")
        place = arguments.keep and os.path.join(arguments.keep, name)
        before = passed
        with tempfile.TemporaryDirectory(prefix="sx-power-") as folder:
            with disks.RecordedDisk(folder, "recorded", DISK_SIZE,
                                    journal) as recorded:
                moments, sent = work(recorded, arguments.commands,
                                     rng.random())
            try:
                for _ in cut_and_check(folder, recorded, journal,
                                       arguments.cuts, moments, sent, rng,
                                       place):
                    passed += 1
            except AssertionError as error:
                failed += 1
                print("seed %d, %s: %s" % (arguments.seed, kind, error))
                continue
            print("figure: ext4 %s: %d ops, %d writes and flushes logged, "
                  "power cut %d times, 0 acknowledged ops lost" % (
                      kind, sent, len(recorded.entries()), passed - before))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
