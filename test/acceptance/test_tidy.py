#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# `persist compact` and `persist purge`: what they leave, what they tell, and
# what they do where they cannot.
import json
import os
import pty
import shutil
import signal
import subprocess
import time

from client import append, main, quote
from test_cli import PERSIST, Tool, contents

TINY = ["--memtable", "1", "--segment", "4K"]
SECRETS = 40


def secret(number):
    return "secret%dtail" % (number * 7919 + 104729)


class Tidy(Tool):
    def setUp(self):
        super().setUp()
        s = self.serve(flags=TINY)
        for i in range(1, SECRETS + 1):
            s.eval(append("cut", i, quote(secret(i))))
            s.perform("persist/kv-put", quote("over"), quote(secret(i)))
            s.perform("persist/kv-put", quote(secret(i)), "1")
            s.perform("persist/kv-put", quote("k/%d" % i), "1")
        s.perform("persist/truncate", '"cut"', str(SECRETS))
        s.perform("persist/kv-put", '"over"', '"written over"')
        for i in range(1, SECRETS + 1):
            s.perform("persist/kv-delete", quote(secret(i)))
        self.end(s)

    def tidy(self, *arguments, code=0):
        return self.persist(*arguments, code=code)

    def found(self):
        """Secrets in the raw bytes of any file, and tables that there are."""
        raw = b"".join(contents(self.store).values())
        return sum(secret(i).encode() in raw
                   for i in range(1, SECRETS + 1))

    def tables(self):
        return len(os.listdir(self.store + "/tables"))

    def check_the_rest(self):
        text = self.persist("kv", "keys", "--store", self.store)
        self.assertEqual(text.count("\n"), SECRETS + 1)
        self.assertEqual(self.persist("verify", self.store, "--quiet"), "")
        told = json.loads(self.persist("streams", "--json", "--store",
                                       self.store))
        self.assertEqual((told["count"], told["last_seq"]), (0, SECRETS))

    def test_compact(self):
        self.assertGreater(self.tables(), 1)
        told = json.loads(self.tidy("compact", self.store, "--json"))
        self.assertEqual(set(told), {"before_bytes", "now_bytes", "seconds"})
        self.assertLess(told["now_bytes"], told["before_bytes"])
        self.assertEqual(self.tables(), 1)
        self.check_the_rest()
        text = self.tidy("--store", self.store, "compact")
        self.assertRegex(text, r"\Abefore, bytes +\d+\nnow, bytes +\d+\n"
                               r"seconds +[\d.]+\n\Z")
        self.assertEqual(self.errors, "")
        self.assertEqual(self.tidy("compact", self.store, "--quiet"), "")

    def test_purge(self):
        self.assertGreater(self.found(), 0)
        text = self.tidy("purge", self.store)
        self.assertIn("no file has any more:\n  events that are truncated",
                      text)
        for what in ("backups", "file system", "names of streams",
                     "command ids", "blobs"):
            self.assertIn(what, text.split("not reached:")[1])
        self.assertEqual((self.found(), self.tables()), (0, 1))
        self.check_the_rest()
        self.assertEqual(self.found(), 0)
        # a table that has nothing dead is left alone, but by a purge
        table = os.listdir(self.store + "/tables")
        self.tidy("compact", self.store)
        self.assertEqual(os.listdir(self.store + "/tables"), table)
        told = json.loads(self.tidy("purge", self.store, "--json",
                                    "--timeout", "0s"))
        self.assertNotEqual(os.listdir(self.store + "/tables"), table)
        self.assertEqual(len(told["not_reached"]), 5)
        self.check_the_rest()

    def test_on_a_terminal(self):
        """Standard error is one, and so may have a bar."""
        ours, theirs = pty.openpty()
        run = subprocess.run([PERSIST, "purge", self.store], stderr=theirs,
                             stdout=subprocess.PIPE, timeout=60)
        os.close(theirs)
        os.close(ours)
        self.assertEqual(run.returncode, 0)
        self.assertEqual(self.found(), 0)

    def test_killed(self):
        """At any moment: the next one finishes."""
        kept = self.dir + "/kept"
        shutil.copytree(self.store, kept)
        for wait in (0.002, 0.005, 0.01, 0.02, 0.04):
            for end in (signal.SIGKILL, signal.SIGINT):
                run = subprocess.Popen([PERSIST, "purge", self.store],
                                       stdout=subprocess.DEVNULL)
                time.sleep(wait)
                run.send_signal(end)
                run.wait(60)
                self.persist("verify", self.store, "--quiet")
                self.tidy("purge", self.store)
                self.assertEqual(self.found(), 0)
                self.check_the_rest()
                shutil.rmtree(self.store)
                shutil.copytree(kept, self.store)

    def refused(self, words, *arguments, code=1):
        for command in ("compact", "purge"):
            self.assertEqual(self.tidy(command, *arguments, code=code), "")
            self.assertIn(words, self.errors)
            self.assertEqual(self.errors.count("\n"), 1)

    def test_bad_input(self):
        before = contents(self.store)
        self.refused("does not exist", self.dir + "/none")
        os.mkdir(self.dir + "/empty")
        self.refused("not a store", self.dir + "/empty")
        self.refused("usage: persist", self.store, "--store", self.store,
                     code=2)
        self.refused("usage: persist", self.store, "more", code=2)
        self.refused("takes no --from", self.store, "--from", "1", code=2)
        for time_ in ("", "5", "s", "m5", "1d", "-1s", "99999999999999999999s"):
            self.tidy("purge", self.store, "--timeout", time_, code=2)
            self.assertIn("wants a time, such as 0s", self.errors)
        self.tidy("compact", self.store, "--timeout", "5s", code=2)
        self.assertEqual(contents(self.store), before)

    def test_in_use(self):
        """The program that has it open is asked to end first."""
        s = self.serve()
        s.eval(append("orders", 1))
        self.refused("locked", self.store)
        self.end(s)
        self.tidy("purge", self.store)

    def test_damaged(self):
        """What cannot be read is told, and nothing is deleted for it."""
        name = sorted(os.listdir(self.store + "/tables"))[0]
        path = self.store + "/tables/" + name
        with open(path, "r+b") as f:
            raw = bytearray(f.read())
            at = raw.index(b"k/1") if b"k/1" in raw else 600
            raw[at] ^= 4
            f.seek(0)
            f.write(raw)
        self.refused("corrupt", self.store)
        with open(path, "rb") as f:
            self.assertEqual(f.read(), bytes(raw))


if __name__ == "__main__":
    main()
