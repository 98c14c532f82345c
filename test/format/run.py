#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# The engine and the reader that was written from docs/FORMAT.md must agree.
"""usage: test/format/run.py [--seed N] [--stores N] [--damages N] [--keep DIR]

Makes stores of many shapes, closed and crashed, and compares what the engine
and tools/read_store.py find in them: whole, with an interrupted recovery, and
with damage. Opens the golden stores of every format version.
"""

import argparse
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile

import stores

SHAPES = {
    "one segment": ("c",),
    "small segments": ("cc", "segment=4096", "commits=80"),
    "log, crashed": ("cx", "segment=4096", "commits=80"),
    "tables": ("cc", *stores.SMALL),
    "tables, crashed": ("xx", *stores.SMALL, "commits=120"),
    "compressed": ("cxc", *stores.SMALL, "commits=120", "compress=1"),
    "threads": ("cx", *stores.SMALL, "commits=300", "background=1"),
    "bigger blocks": ("cx", "segment=65536", "memtable=300000", "commits=2500",
                      "keys=900", "compress=1"),
    "big values": ("cx", "segment=16384", "memtable=60000", "big=40000",
                   "blobs=6", "packed=9000"),
    "many rounds": ("cxxcxc", *stores.SMALL, "commits=50", "blobs=2",
                    "packed=100"),
    "tags": ("cxcc", *stores.SMALL, "commits=120", "tagged=60"),
    "tags, crashed": ("cx", "commits=200", "tagged=80", "compress=1"),
    "imported": ("cxc", *stores.SMALL, "commits=120", "imported=20",
                 "tagged=30"),
    "nothing": ("cc", "commits=0"),
    "one commit": ("x", "commits=1"),
}


class Test:
    def __init__(self, folder, seed):
        self.folder, self.random = folder, random.Random(seed)
        self.passed, self.failed = 0, []
        self.counts = collections.Counter()

    def check(self, name, holds, why=""):
        if holds:
            self.passed += 1
        else:
            self.failed.append(name)
            print("FAILED: %s%s" % (name, why and ": " + why))

    def same(self, name, a, b):
        differ = [] if a is None or b is None else [
            "%.200s\n  %.200s" % pair for pair in zip(a, b)
            if pair[0] != pair[1]]
        self.check(name, a == b, differ[0] if differ else "one is cut short")

    def copy(self, path):
        to = os.path.join(self.folder, "copy")
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(path, to)
        return to

    # ---- whole stores ----

    def compare(self, name, path, asked):
        """Returns the dump, which everybody must agree on."""
        before = contents(path)
        lines = stores.by_reader(path)
        self.same(name + ": read only", before, contents(path))
        copy = self.copy(path)
        dump, why = stores.by_engine(copy, asked)
        self.same(name + ": both readers" + why, lines, dump)
        self.same(name + ": opened and closed", lines, stores.by_reader(copy))
        self.compare_with_tool(name, copy)
        self.counts["stores"] += 1
        kinds = collections.Counter(line.split(" ", 1)[0] for line in lines)
        self.counts.update(kinds)
        self.counts["tables"] += len(stores.load_manifest(path).tables)
        return lines

    def compare_with_tool(self, name, path):
        mine = json.loads(stores.read_store.as_json(
            stores.read_store.Store(path)))
        keys = mine["keys"]
        mine["keys"] = [k["key"] for k in keys]
        for part, command in (("streams", ["streams"]), ("log", ["log"]),
                              ("keys", ["kv", "keys"])):
            told = stores.run(("persist",), *command, "--json", "--store", path)
            rows = [json.loads(line) for line in told.stdout.splitlines()]
            self.same("%s: persist %s%s" % (name, command[-1], told.stderr),
                      mine[part], rows)
        for k in [k for k in keys if "key/" in str(k["key"])][:2]:
            told = stores.run(("persist",), "kv", "get", k["key"], "--json",
                              "--store", path)
            self.check(name + ": persist kv get",
                       json.loads(told.stdout) == k["value"], told.stderr)

    def interrupt_recovery(self, name, path, asked, lines):
        """As if a recovery had written its copies, and no manifest."""
        recovered = self.copy(path)
        stores.by_engine(recovered, "")
        half = path + ".half"
        shutil.copytree(path, half)
        for segment in os.listdir(os.path.join(recovered, "wal")):
            if not os.path.exists(os.path.join(half, "wal", segment)):
                shutil.copy(os.path.join(recovered, "wal", segment),
                            os.path.join(half, "wal"))
                self.counts["copied segments"] += 1
        self.same(name + ": recovery interrupted", lines,
                  self.compare(name + ", half", half, asked))

    def refuse_open_store(self):
        """A store that a process has open may be in between."""
        path = os.path.join(self.folder, "open")
        server = subprocess.Popen(
            [os.path.join(stores.BUILD, "sx_server"), "--store", path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        server.stdin.write('(eval "(perform {:op \\"persist/streams\\"})")\n')
        server.stdin.flush()
        replies = [server.stdout.readline() for _ in ("ready", "ok-len")]
        try:
            stores.by_reader(path)
            code = "none"
        except stores.StoreError as error:
            code = error.code
        server.communicate()
        self.check("a store that is open is refused", code == "locked",
                   "%s %s" % (code, replies))

    # ---- damage ----

    def damage(self, name, path, asked, lines):
        """Damages one file, and lets both look."""
        hurt = path + ".hurt"
        shutil.rmtree(hurt, ignore_errors=True)
        shutil.copytree(path, hurt)
        files = [f for f in sorted(contents(hurt)) if f != "lock"]
        file = self.random.choice(files)
        kind, covered = self.hurt(hurt, file)
        what = "%s, %s %s" % (name, kind, file)
        try:
            mine, mine_says = stores.by_reader(hurt), ""
        except stores.StoreError as error:
            mine, mine_says = None, str(error)
        dump, engine_says = stores.by_engine(self.copy(hurt), asked)
        self.counts["damages"] += 1
        self.counts["damages refused"] += mine is None
        if covered:
            self.check(what + ": goes unnoticed", mine is None)
            self.check(what + ": the place is not named", os.path.basename(
                file) in mine_says, mine_says)
        if mine is None:
            # Of a table the engine reads what it needs.
            self.check(what + ": only one refuses", dump is None or
                       (file.startswith("tables") and dump == lines),
                       mine_says)
        else:
            self.same(what + ": they differ " + engine_says, mine, dump)

    def hurt(self, store, file):
        """Returns what was done, and whether it must be noticed."""
        path = os.path.join(store, file)
        size, promised = os.path.getsize(path), promised_bytes(store, file)
        kind = self.random.choice(["flip", "flip", "flip", "zero", "cut", "rm"])
        if kind == "rm":
            os.unlink(path)
            return kind, False
        with open(path, "r+b") as f:
            data = f.read()
            # Most of a new segment is zeros, which prove nothing.
            at = self.random.randrange(len(data.rstrip(b"\0")) + 1)
            at = min(at, max(size - 1, 0))
            if kind == "cut":
                f.truncate(at)
            elif size and kind == "flip":
                f.seek(at)
                f.write(bytes([data[at] ^ 1 << self.random.randrange(8)]))
            elif size:
                f.seek(at // 512 * 512)
                f.write(bytes(min(512, size - at // 512 * 512)))
        return "%s at %d of" % (kind, at), kind == "flip" and at < promised

    # ---- golden stores ----

    def golden(self):
        versions = sorted(os.listdir(stores.GOLDEN))
        self.check("a golden store of this version",
                   str(stores.VERSION) in versions)
        for version in versions:
            folder = os.path.join(stores.GOLDEN, version)
            for text in sorted(f for f in os.listdir(folder)
                               if f.endswith(".txt")):
                self.open_golden(os.path.join(folder, text[:-4]))

    def open_golden(self, path):
        name = "golden %s" % os.path.relpath(path, stores.GOLDEN)
        with open(path + ".txt") as f:
            lines = f.read().splitlines()
        whole = os.path.join(self.folder, "golden")
        shutil.rmtree(whole, ignore_errors=True)
        shutil.move(self.copy(path), whole)
        self.counts["golden"] += 1
        asked = asked_of(lines)
        self.same(name, lines, self.compare(name, whole, asked))
        # Files of two versions side by side, then merged.
        for rounds, commits in ("x", 5), ("cx", 60):
            asked += stores.make(whole, 7 + commits, rounds, *stores.SMALL,
                                 "commits=%d" % commits)
            self.compare("%s, %s" % (name, rounds), whole, asked)


def contents(path):
    found = {}
    for folder, _, names in os.walk(path):
        for name in names:
            full = os.path.join(folder, name)
            with open(full, "rb") as f:
                found[os.path.relpath(full, path)] = f.read()
    return found


def promised_bytes(store, file):
    """How many bytes of a file stand under checksums, whatever crashed."""
    folder, name = os.path.split(file)
    size = os.path.getsize(os.path.join(store, file))
    if name.endswith(".pak"):  # what lies between blobs is nothing
        return 0
    if file == "reserve.tmp":
        return 0
    if folder not in ("wal", "tables"):
        return size
    number, manifest = int(name[:16], 16), stores.load_manifest(store)
    if folder == "tables":
        return size if number in [t.number for t in manifest.tables] else 0
    return sum(s.end for s in manifest.segments if s.number == number)


def asked_of(lines):
    """What a dump has to be asked for, taken out of a dump."""
    asked = []
    for line in lines:
        if line.startswith("blob "):
            asked.append(line.rsplit(" bytes ", 1)[0])
    return "".join(a + "\n" for a in asked)


def main():
    parser = argparse.ArgumentParser(
        usage=__doc__.split("\n", 1)[0][len("usage: "):])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stores", type=int, default=2 * len(SHAPES))
    parser.add_argument("--damages", type=int, default=8, help="of each store")
    parser.add_argument("--keep", metavar="DIR")
    given = parser.parse_args()
    # Power does not fail here: a store in memory will do.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    # Whoever ends the test lets it remove the folder.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = given.keep or tempfile.mkdtemp("", "persist-format-", memory)
    os.makedirs(folder, exist_ok=True)
    try:
        return run(given, folder)
    finally:
        if not given.keep:
            shutil.rmtree(folder)


def run(given, folder):
    """Returns the exit code."""
    test = Test(folder, given.seed)
    test.golden()
    test.refuse_open_store()
    for n in range(given.stores):
        shape = list(SHAPES)[n % len(SHAPES)]
        rounds, *settings = SHAPES[shape]
        seed = given.seed * 1000 + n
        name, path = "%s, seed %d" % (shape, seed), os.path.join(
            folder, str(n))
        asked = stores.make(path, seed, rounds, *settings)
        lines = test.compare(name, path, asked)
        if rounds.endswith("x"):
            test.interrupt_recovery(name, path, asked, lines)
        for _ in range(given.damages):
            test.damage(name, path, asked, lines)
    print("figure: %(stores)d stores with %(tables)d tables and %(event)d "
          "events, %(stream)d streams, %(key)d keys, %(command)d command ids, "
          "%(blob)d blobs compared; %(damages)d times damaged, "
          "%(damages refused)d refused; %(golden)d golden stores opened"
          % test.counts)
    if test.failed:
        print("again: test/format/run.py --seed %d --stores %d --damages %d" % (
            given.seed, given.stores, given.damages))
    print("%d passed, %d failed" % (test.passed, len(test.failed)))
    return 1 if test.failed else 0


if __name__ == "__main__":
    sys.exit(main())
