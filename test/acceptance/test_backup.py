#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# `persist backup` and `persist restore`: what they do, say, and leave.
import json
import os
import random
import shutil
import signal
import subprocess
import time

from client import append, main, quote
from test_cli import PERSIST, Tool, contents


class Backups(Tool):
    def fill(self, first, last):
        s = self.serve()
        for seq in range(first, last + 1):
            s.eval(append("orders", seq, quote("d%d" % seq)))
        self.end(s)

    def events(self, store):
        return self.persist("read", "--store", store, "orders")

    def test_each_is_a_store(self):
        seen = []
        for number in (1, 2, 3):
            self.fill(10 * number - 9, 10 * number)
            before = contents(self.store)
            told = json.loads(self.persist("backup", self.store, "kept",
                                           "--json"))
            self.assertEqual(contents(self.store), before)
            self.assertEqual(told["number"], number)
            self.assertEqual(told["position"], 10 * number)
            seen.append((told, self.events(self.store)))
        for number, (told, events) in enumerate(seen, 1):
            kept = "kept/%06d" % number
            self.persist("verify", "--quiet", kept)
            self.assertEqual(self.events(kept), events)
            new = "new%d" % number
            out = json.loads(self.persist(
                "restore", "kept", new, "--json", "--at",
                str(told["position"])))
            self.assertEqual(out["number"], number)
            self.assertEqual(self.events(new), events)
            stat = json.loads(self.persist("stat", "--store", new, "--json"))
            old = json.loads(self.persist("stat", "--store", self.store,
                                          "--json"))
            self.assertEqual(stat["parent"], old["identity"])
            self.assertNotEqual(stat["identity"], old["identity"])

    def test_by_time(self):
        self.fill(1, 3)
        first = json.loads(self.persist("backup", self.store, "kept",
                                        "--copy", "--json"))
        time.sleep(1.1)
        self.fill(4, 6)
        self.persist("backup", self.store, "kept", "--copy", "--json")
        when = time.strftime("%Y-%m-%dT%H:%M:%S",
                             time.gmtime(first["time"] // 1000000))
        text = self.persist("restore", "kept", "a", "--at",
                            "%s.999999Z" % when)
        self.assertIn("number      1\n", text)
        hours = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(
            first["time"] // 1000000 + 5400))
        text = self.persist("restore", "kept", "b", "--at",
                            hours + ".999999+01:30")
        self.assertIn("number      1\n", text)
        text = self.persist("restore", "kept", "c", "--at", "0s ago")
        self.assertIn("number      2\n", text)
        self.persist("restore", "kept", "d", "--at", "24h ago", code=1)
        self.assertIn("no backup is so old", self.errors)
        self.assertFalse(os.path.exists(os.path.join(self.dir, "d")))

    def test_what_cannot_be_is_one_line(self):
        self.fill(1, 2)
        self.persist("backup", self.store, "kept", "--quiet")
        for arguments, code, line in (
                (("backup", "nothing", "kept"), 1, "does not exist"),
                (("backup", self.store, "no/where"), 1, "make it first"),
                (("backup", self.store), 2, "usage"),
                (("backup", self.store, self.store), 1, "something else"),
                (("restore", "nothing", "n"), 1, "no directory of backups"),
                (("restore", self.dir, "n"), 1, "holds no backup"),
                (("restore", "kept", self.store), 1, "there already"),
                (("restore", "kept", "n", "--at", "soon"), 2, "a position"),
                (("restore", "kept", "n", "--at", "2026-13-01T00:00:00Z"), 2,
                 "a position")):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.persist(*arguments, code=code), "")
                self.assertIn(line, self.errors)
                self.assertEqual(self.errors.count("\n"), 1)
        self.assertFalse(os.path.exists(os.path.join(self.dir, "n")))

    def test_a_half_is_no_store(self):
        self.fill(1, 2)
        self.persist("backup", self.store, "kept", "--quiet")
        half = os.path.join(self.dir, "new.restoring", "unfinished")
        shutil.copytree(os.path.join(self.dir, "kept", "000001"), half)
        os.unlink(os.path.join(half, "lock"))
        self.persist("stat", "--store", "new.restoring", code=1)
        self.assertIn("bad-store", self.errors)
        self.persist("stat", "--store", "new", code=1)
        self.persist("restore", "kept", "new", "--quiet")
        self.assertEqual(self.events("new"), self.events(self.store))
        self.assertFalse(os.path.exists(
            os.path.join(self.dir, "new.restoring")))

    def killed(self, after, *arguments):
        run = subprocess.Popen([PERSIST, *arguments], cwd=self.dir,
                               stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        time.sleep(after)
        run.send_signal(signal.SIGKILL)
        return run.wait() == 0

    def test_kill_at_any_moment(self):
        self.fill(1, 40)
        before, events = contents(self.store), self.events(self.store)
        draw = random.Random(7)
        whole = 0
        for n in range(40):
            after = draw.random() * 0.03
            if n % 2:
                whole += self.killed(after, "backup", self.store, "kept",
                                     *["--copy"][:n % 4 // 2])
            elif whole:
                self.killed(after, "restore", "kept", "new%d" % n)
                if os.path.exists(os.path.join(self.dir, "new%d" % n)):
                    self.assertEqual(self.events("new%d" % n), events)
                    self.persist("verify", "--quiet", "new%d" % n)
            for name in os.listdir(os.path.join(self.dir, "kept")) \
                    if os.path.exists(os.path.join(self.dir, "kept")) else ():
                if name != "unfinished":
                    self.persist("verify", "--quiet", "kept/" + name)
                    self.assertEqual(self.events("kept/" + name), events)
            self.assertEqual(contents(self.store), before)
        self.persist("backup", self.store, "kept", "--quiet")
        self.persist("restore", "kept", "last", "--quiet")
        self.assertEqual(self.events("last"), events)


if __name__ == "__main__":
    main()
