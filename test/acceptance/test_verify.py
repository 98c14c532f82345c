#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# `persist verify`: a whole store, a damaged one, one that cannot be read.
import glob
import json
import os
import shutil
import subprocess

from client import append, main, perform, quote
from test_cli import PERSIST, Tool
from test_opening import snapshot

TINY = ["--memtable", "1", "--merge-width", "4", "--segment", "4K"]


class Verify(Tool):
    def setUp(self):
        super().setUp()
        s = self.serve(flags=TINY)
        for seq in range(1, 6):
            s.eval(append("orders", seq, quote("d%d" % seq)))
        s.eval(append("other", 9))
        s.perform("persist/kv-put", '"k/1"', "{:a 1}")
        self.cid = s.perform("blob/put", quote("b" * 200000),
                             "nil").strip('"')
        self.end(s)

    def flip(self, path, at=None):
        """Turns a bit of a file over; at: the middle if it is not given."""
        with open(path, "r+b") as f:
            raw = f.read()
            at = len(raw) // 2 if at is None else raw.index(at)
            f.seek(at)
            f.write(bytes([raw[at] ^ 4]))

    @staticmethod
    def holds(path, data):
        with open(path, "rb") as f:
            return data in f.read()

    def holding(self, folder, data):
        """The file of that folder that holds these bytes."""
        for path in sorted(glob.glob(os.path.join(self.store, folder, "*"))):
            if self.holds(path, data):
                return path
        return self.fail("no file holds %r" % data)

    def findings(self, code=1):
        lines = self.persist("verify", self.store, "--json", "--quiet",
                             code=code).splitlines()
        return [json.loads(line) for line in lines]

    def test_one_manifest_of_two(self):
        """What is said of it is what docs/OPERATING.md says."""
        words = "put this one away in a copy of the store"
        both = [self.store + "/manifest.%d" % i for i in (0, 1)]
        kept = self.dir + "/kept"
        shutil.copytree(self.store, kept)

        def told(spare):
            verified = self.findings()[0]["advice"]
            self.persist("stat", "--store", self.store, code=1)
            for text in (verified, self.errors):
                self.assertEqual(words in text, spare, text)
                self.assertIn("restore the store from a backup", text)

        for one, other in (both, both[::-1]):
            self.flip(one)
            told(True)
            os.rename(one, self.dir + "/away")
            self.assertEqual(self.persist("verify", self.store, "--quiet"), "")
            text = self.persist("read", "orders", "--store", self.store)
            self.assertEqual(text.count("\n"), 5)
            shutil.rmtree(self.store)
            shutil.copytree(kept, self.store)
            self.flip(one)
            os.remove(other)
            told(False)
            shutil.rmtree(self.store)
            shutil.copytree(kept, self.store)
        for path in both:
            self.flip(path)
        told(False)

    def test_a_whole_store(self):
        before = snapshot(self.store)
        text = self.persist("verify", self.store)
        self.assertIn("nothing is damaged", text)
        self.assertEqual(self.errors, "")
        self.assertEqual(self.persist("verify", self.store, "--quiet"), "")
        figures = json.loads(self.persist("--store", self.store, "verify",
                                          "--json"))
        self.assertEqual((figures["damages"], figures["remarks"],
                          figures["blobs"]), (0, 0, 1))
        self.assertGreaterEqual(figures["events"], 6)
        self.assertGreaterEqual(figures["keys"], 1)
        self.assertGreaterEqual(figures["bytes"], 200000)
        self.assertEqual(snapshot(self.store), before)

    def test_a_killed_one(self):
        s = self.serve()
        s.eval(append("orders", 6))
        s.kill()
        self.assertEqual(self.findings(code=0), [])

    def test_a_damaged_event(self):
        path = self.holding("tables", b'"d3"')
        self.flip(path, b'"d3"')
        found, = self.findings()
        self.assertEqual((found["finding"], found["path"], found["touched"]),
                         ("damage", path, "events"))
        self.assertEqual(found["stream"], "orders")
        self.assertLessEqual(found["seq"], 3)
        self.assertGreater(found.get("end_seq", 4), 3)
        self.assertIn("backup", found["advice"])
        text = self.persist("verify", self.store, code=1)
        self.assertIn(path, text)
        self.assertIn('"orders"', text)
        self.assertIn("the store is damaged", text)

    def tagged(self, tags):
        """A table of one commit, whose events have a tag each."""
        s = self.serve(flags=TINY)
        s.perform("persist/commit", "(list {:append \"tagged\" :events (map "
                  "(fn (t) {:type \"t\" :at 0 :data 0 :tags (list t)}) "
                  "(list %s))})" % " ".join(map(quote, tags)))
        self.end(s)
        return self.holding("tables", tags[-1].encode())

    def test_damaged_tags(self):
        """A flip in a block of them names a few tags, which queries miss."""
        tags, met = ["tag-%04d" % i for i in range(2000)], set()
        path = self.tagged(tags)
        with open(path, "rb") as f:
            raw = f.read()
        for at in range(len(raw) // 80, len(raw), len(raw) // 40):
            with open(path, "r+b") as f:
                f.seek(at)
                f.write(bytes([raw[at] ^ 4]))
            found = [f for f in self.findings() if f.get("touched") == "tags"]
            for f in found:
                self.check_tags(f, path, tags)
                met.add(f["tag"])
            with open(path, "r+b") as f:
                f.write(raw)
        self.assertGreater(len(met), 3)

    def check_tags(self, found, path, tags):
        first, end = found["tag"], found.get("end_tag", "u")
        inside = [t for t in tags if first <= t < end]
        self.assertEqual(found["path"], path)
        self.assertTrue(0 < len(inside) < len(tags) / 4, found)
        s = self.serve()
        for t in (inside[0], inside[-1], tags[0], tags[-1]):
            asked = perform("persist/query", "{:tags (list %s)}" % quote(t),
                            "0", "nil")
            if t in inside:
                self.fails("corrupt", s, asked)
            else:
                self.assertIn(t, s.eval(asked))
        self.end(s)

    def test_the_first_damaged_event_of_a_tag(self):
        """Of a tag with many events those before the block are found."""
        path, met = self.tagged(["big"] * 8000), 0
        with open(path, "rb") as f:
            raw = f.read()
        for at in range(0, len(raw), len(raw) // 120):
            with open(path, "r+b") as f:
                f.seek(at)
                f.write(bytes([raw[at] ^ 4]))
            for found in self.findings():
                if found.get("touched") == "tags":
                    self.check_positions(found)
                    met += 1
            with open(path, "r+b") as f:
                f.write(raw)
        self.assertGreater(met, 1)

    def check_positions(self, found):
        first, end = found.get("position", 1), found.get("end_position", 8001)
        self.assertEqual(found["tag"], "big")
        self.assertTrue(0 < end - first < 8000, found)
        s = self.serve()
        for at in (first - 1, first, end):
            asked = perform("persist/query", "{:tags (list \"big\")}", str(at),
                            "1")
            if at == first:
                self.fails("corrupt", s, asked)
            elif 0 < at <= 8000:
                self.assertIn(":position %d" % at, s.eval(asked))
        self.end(s)

    def test_every_damage_is_named(self):
        tables = sorted(glob.glob(self.store + "/tables/*"))
        blob, = glob.glob(self.store + "/blobs/*.pak")
        damaged = [self.store + "/manifest.0", tables[0], blob]
        for path in damaged:
            self.flip(path)
        before = snapshot(self.store)
        found = self.findings()
        self.assertLessEqual(set(damaged), {f["path"] for f in found})
        self.assertIn(self.cid, [f.get("cid") for f in found])
        self.assertEqual(snapshot(self.store), before)

    def test_a_damaged_log(self):
        s = self.serve(flags=["--segment", "64K"])
        for seq in range(10, 15):
            s.eval(append("logged", seq, quote("e%d" % seq)))
        s.kill()
        path = self.holding("wal", b'"e11"')
        self.flip(path, b'"e11"')
        self.flip(path, b'"e13"')
        lsns = [f["lsn"] for f in self.findings()]
        self.assertEqual(len(lsns), 2)
        self.assertEqual(lsns[1], lsns[0] + 2)
        for found in self.findings():
            self.assertEqual((found["path"], found["touched"], found["name"]),
                             (path, "commits", "logged"))

    def logged(self):
        """A server on a new store with a log of several segments."""
        self.store = "%s/logged-%d" % (self.dir, len(os.listdir(self.dir)))
        s = self.serve(flags=["--segment", "4K"])
        for seq in range(1, 30):
            s.eval(append("logged", seq, quote("x" * 400)))
        logs = sorted(glob.glob(self.store + "/wal/*"))
        self.assertGreater(len(logs), 3)
        return s, logs

    def test_a_log_that_was_deleted(self):
        """Under a server, which does not write any more."""
        s, logs = self.logged()
        os.unlink(logs[0])
        self.fails("read-only", s, append("logged", 30))
        s.close()
        found, = self.findings()
        self.assertEqual((found["what"], found["path"], found["offset"],
                          found["touched"], found["lsn"]),
                         ("a log segment is missing", logs[0], 0,
                          "commits", 1))

    def test_a_part_of_the_log_that_was_deleted(self):
        """Nothing is said of bytes of a file that is not there."""
        s, logs = self.logged()
        s.kill()
        used = [path for path in logs if self.holds(path, b"logged")]
        for path in used[:-1]:
            os.rename(path, self.dir + "/kept")
            found, = self.findings()
            # the first one is known to have been there
            self.assertEqual((found["path"], found["what"]),
                             (path, "a log segment is missing")
                             if path == used[0] else
                             (used[used.index(path) - 1],
                              "a log record is damaged or missing"))
            os.rename(self.dir + "/kept", path)
        self.assertEqual(self.findings(code=0), [])

    def test_what_one_sync_wrote_last_has_no_witness(self):
        """As OPERATING.md says: until a later commit, or a clean close."""
        for witness in ("none", "commit", "close"):
            self.store = self.dir + "/" + witness
            s = self.serve(flags=["--segment", "4K"])
            s.eval("(for-each (fn (i) %s) (range 1 30))" % perform(
                "persist/append", '"one"', '{:stream "one" :seq i :type "t" '
                ':at 0 :data "%s"}' % ("x" * 400)))
            if witness == "commit":
                s.eval(append("two", 1))
            if witness == "close":
                self.end(s)
            else:
                s.kill()
            used = [path for path in sorted(glob.glob(self.store + "/wal/*"))
                    if self.holds(path, b"x" * 400)]
            self.assertGreater(len(used), 2)
            code = 0 if witness == "none" else 1
            for path in used[:-1]:
                os.rename(path, self.dir + "/kept")
                self.assertEqual(len(self.findings(code=code)), code, witness)
                os.rename(self.dir + "/kept", path)
            self.assertEqual(self.findings(code=0), [])

    def test_files_that_are_not_ours(self):
        with open(self.store + "/notes.txt", "w", encoding="ascii") as f:
            f.write("mine")
        os.mkdir(self.store + "/lost+found", mode=0o700)  # mkfs's
        found, = self.findings(code=0)
        self.assertEqual((found["finding"], found["path"]),
                         ("remark", self.store + "/notes.txt"))

    def in_place_of(self, path, make):
        """What is found of a path, and all, with something else there."""
        shutil.rmtree(self.whole, ignore_errors=True)
        os.rename(self.store, self.whole)
        shutil.copytree(self.whole, self.store)
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.remove(path)
        make(path)
        run = subprocess.run([PERSIST, "verify", self.store, "--json",
                              "--quiet"], capture_output=True, timeout=60,
                             text=True)
        found = [json.loads(line) for line in run.stdout.splitlines()]
        damage = any(f["finding"] == "damage" for f in found)
        self.assertEqual((run.returncode, run.stderr), (int(damage), ""))
        shutil.rmtree(self.store)
        os.rename(self.whole, self.store)
        return [f for f in found if f["path"] == path], found

    def test_a_folder_that_is_not_ours(self):
        self.whole = self.store + ".whole"
        self.serve().close()
        for name in "notes", "tables/x", "wal/x", "tmp/x":
            there, _ = self.in_place_of(os.path.join(self.store, name),
                                        os.mkdir)
            self.assertEqual([(f["finding"], f["what"], f["advice"])
                              for f in there],
                             [("remark", "a folder that is no part of the "
                               "store", "it is left alone")])

    def test_something_else_in_the_place_of_a_file(self):
        """It is told of once, and not as what the disk does not give."""
        self.whole = self.store + ".whole"
        s = self.serve()  # what it has written is in no table
        s.perform("persist/kv-put", '"k/2"', '"%s"' % ("v" * 9000))
        s.kill()
        files = glob.glob(os.path.join(self.store, "*", "*"))
        segments = glob.glob(os.path.join(self.store, "wal", "*"))
        files += [os.path.join(self.store, "manifest.%d" % i) for i in (0, 1)]
        files += ["%s/%016d.log" % (os.path.dirname(segments[0]), number)
                  for number in (1000, 1001)]
        first = os.path.join(self.store, "wal", "%016d.log" % 1)
        reserve = os.path.join(self.store, "reserve.tmp")
        self.assertNotIn(first, segments)  # the log needs it no more
        files += [first, reserve]
        told, idle = set(), set()
        for path in files:
            for make in os.mkdir, os.mkfifo:
                if os.path.isdir(path):
                    continue
                there, found = self.in_place_of(path, make)
                self.assertEqual(len(there), 1, there)
                if there == found and there[0]["finding"] == "remark":
                    idle.add(path)
                    continue
                self.assertNotIn("disk", there[0]["advice"])
                told.add(os.path.dirname(path))
        self.assertLessEqual({first, reserve}, idle)
        self.assertLessEqual(idle, {reserve, first, *segments})
        self.assertEqual(len(told), 4)  # blobs in a pack or in a folder: one

    def test_a_file_in_the_place_of_a_folder(self):
        self.whole = self.store + ".whole"
        def make(path):
            with open(path, "w"):
                pass
        for name in "wal", "tables", "tmp", "blobs":
            there, _ = self.in_place_of(os.path.join(self.store, name), make)
            self.assertEqual(len(there), 1, there)
            self.assertEqual(there[0]["what"],
                             "a file is in the place of a folder")
        # of blobs that might be there: nothing is damaged
        ab = os.path.join(self.store, "blobs", "ab")
        for other in make, os.mkfifo:
            there, found = self.in_place_of(ab, other)
            self.assertEqual(found, there)
            self.assertEqual([f["finding"] for f in found], ["remark"])
            self.assertIn("move it away", found[0]["advice"])
        # of blobs that are, each in a file for its size: each of them
        s = self.serve()
        cid = s.perform("blob/put", '(join "" (map str (range 0 200000 1)))',
                        "nil").strip('"')
        self.end(s)
        folder, = glob.glob(os.path.join(self.store, "blobs", "??"))
        there, found = self.in_place_of(folder, make)
        self.assertEqual([f["finding"] for f in there], ["remark"])
        self.assertEqual([f["cid"] for f in found if "cid" in f], [cid])
        self.assertEqual(len(found), 2)

    def test_what_the_store_removes(self):
        """It is said of that, and not of what is left alone."""
        last = max(int(name[:16], 16)
                   for name in os.listdir(self.store + "/tables"))
        files = {"tables/%016x.tbl" % (last + 40): b"x" * 600,
                 "tables/%016x.tbl" % (last + 41): b"\0" * 600,
                 "tables/%016x.tbl" % (last + 42): b"cut short",
                 "tmp/blob-%016x" % 7: b"x", "tmp/blob-7": b"x",
                 "manifest.tmp": b"x", "manifest.2": b"x"}
        for name, data in files.items():
            with open(os.path.join(self.store, name), "wb") as f:
                f.write(data)
        said = {f["path"][len(self.store) + 1:]: f["advice"]
                for f in self.findings(code=0)}
        self.assertEqual(sorted(said), sorted(files))
        s = self.serve(flags=TINY)
        for seq in range(10, 20):
            s.eval(append("other", seq))
        self.end(s)
        for name, advice in said.items():
            there = os.path.exists(os.path.join(self.store, name))
            self.assertEqual(advice, "it is left alone" if there
                             else "the store removes it", name)

    def test_too_few_descriptors(self):
        """What cannot be looked at is not damaged."""
        refused = []
        for files in (4, 5, 6, 7, 8, 10, 64):
            run = subprocess.run(
                ["sh", "-c", 'ulimit -n %d; exec "$0" verify --quiet "$1"'
                 % files, PERSIST, self.store], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
            self.assertEqual(run.stdout, b"", files)
            self.assertIn(run.returncode, (0, 2), run.stderr)
            if run.returncode == 2 and b"ulimit -n" in run.stderr:
                refused.append(files)
        self.assertGreater(len(refused), 3)
        self.assertNotIn(64, refused)

    def test_what_cannot_be_verified(self):
        self.persist("verify", self.dir + "/absent", code=2)
        self.assertFalse(os.path.exists(self.dir + "/absent"))
        self.persist("verify", self.store, "more", code=2)
        self.persist("--store", self.store, "verify", self.store, code=2)
        self.assertIn("verify [DIR] [--store DIR]", self.errors)
        s = self.serve()
        s.perform("persist/kv-keys")
        self.persist("verify", self.store, code=2)
        self.assertIn(str(s.pid), self.errors)


if __name__ == "__main__":
    main()
