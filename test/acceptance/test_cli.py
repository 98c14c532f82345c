#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# The tool `persist`: looking into a store.
import datetime
import json
import os
import re
import shutil
import subprocess

from client import (SERVER, WORDS_OF_C, Case, append, main, perform,
                    quote)

PERSIST = os.path.join(os.path.dirname(SERVER), "persist")


def contents(store):
    """What is in each file; who has it open stands in the lock."""
    found = {}
    for folder, _, names in os.walk(store):
        for name in names:
            if name != "lock":
                with open(os.path.join(folder, name), "rb") as f:
                    found[os.path.join(folder, name)] = f.read()
    return found


class Tool(Case):
    def persist(self, *arguments, code=0):
        run = subprocess.run(
            [PERSIST, *arguments], stdin=subprocess.DEVNULL, cwd=self.dir,
            capture_output=True, timeout=60, env={
                k: v for k, v in os.environ.items() if k != "SX_PERSIST_DIR"})
        self.assertEqual(run.returncode, code,
                         run.stderr.decode("latin-1")[-1000:])
        self.errors = run.stderr.decode("latin-1")
        self.assertNotRegex(self.errors, WORDS_OF_C)
        return run.stdout.decode("latin-1")


class Looking(Tool):
    def setUp(self):
        super().setUp()
        s = self.serve()
        for seq in (1, 2, 3):
            s.eval(append("orders", seq, quote("d%d" % seq)))
        s.eval(append("other", 9))
        s.perform("persist/truncate", '"orders"', "1")
        s.perform("persist/kv-put", '"k/1"', "{:a 1}")
        s.perform("persist/kv-put", '"z"', "nil")
        self.end(s)

    def on_store(self, *arguments, code=0):
        return self.persist("--store", self.store, *arguments, code=code)

    def test_stat(self):
        text = self.on_store("stat")
        for number in ("2", "3"):
            self.assertIn(number, text)
        told = json.loads(self.on_store("stat", "--json"))
        self.assertRegex(told["identity"], "^[0-9a-f]{32}$")
        self.assertIsNone(told["parent"])
        self.assertLessEqual(told["tables"], told["tables_max"])
        self.assertLessEqual(told["dead_bytes"], told["dead_bytes_max"])
        self.assertRegex(text, "(?m)^identity +%s$" % told["identity"])
        self.assertRegex(text, "(?m)^parent +none$")
        self.assertEqual(told, json.loads(self.on_store("stat", "--json")))

    def test_the_terminal_is_asked_for_once(self):
        """Not for each line that is printed."""
        told = self.dir + "/told"
        run = subprocess.run(
            ["strace", "-o", told, "-e", "trace=ioctl", PERSIST, "log",
             "--store", self.store], stdin=subprocess.DEVNULL,
            capture_output=True, timeout=60,
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        self.assertEqual(run.stdout.count(b"\n"), 3)
        with open(told) as f:
            self.assertEqual(f.read().count("ioctl(1,"), 1)

    def test_what_looking_writes(self):
        """Of a killed store something, of a closed one nothing, and verify
        never."""
        killed = self.dir + "/killed"
        s = self.serve(killed)
        s.eval(append("orders", 1))
        s.kill()
        help_text = " ".join(self.persist("help").split())
        self.assertIn("verify never writes", help_text)
        for words in (["stat"], ["streams"], ["read", "orders"], ["log"],
                      ["kv", "keys"], ["verify"]):
            for store in (killed, self.store):
                copy = self.dir + "/copy"
                shutil.copytree(store, copy)
                before = contents(copy)
                self.persist(*words, "--store", copy)
                self.assertEqual(contents(copy) != before, store == killed and
                                 words != ["verify"], (words, store))
                shutil.rmtree(copy)

    def test_where_no_store_is(self):
        os.mkdir(self.dir + "/empty")
        for name, then in (
                ("empty", "start sx_server on it, which makes a store here, "
                 "also where the making of one was cut short"),
                ("missing", "make the store first")):
            for command in (["--store", name, "stat"], ["verify", name]):
                self.persist(*command, code=1 + (command[0] == "verify"))
                self.assertRegex(self.errors, "^persist: bad-store: .*; check "
                                 "the path, or " + then + "\n$")

    def test_streams(self):
        text = self.on_store("streams")
        self.assertRegex(text, r"orders.*\b2\b.*\b3\b|\b2\b.*\b3\b.*orders")
        self.assertEqual(re.findall(r"1 \w+", text), ["1 event"])
        self.assertIn("other", text)
        some = self.on_store("streams", "--prefix", "ord")
        self.assertIn("orders", some)
        self.assertNotIn("other", some)
        self.assertEqual(self.on_store("streams", "--prefix", "ord",
                                       "--after", "orders"), "")

    def test_a_reader_that_goes_away(self):
        s = self.serve()
        for _ in range(30):
            s.perform("persist/kv-put", quote("z" * 60000), "1")
            s.eval("(perform {:op \"persist/kv-put\" :args (list (join \"\" "
                   "(map (fn (i) \"y%d\") (range 0 20000))) 1)})" % _)
        self.end(s)
        run = subprocess.run(
            ["bash", "-c", '"$0" --store "$1" kv keys | head -c 1 >/dev/null; '
             'echo ${PIPESTATUS[0]}', PERSIST, self.store],
            capture_output=True, text=True, timeout=60)
        self.assertEqual((run.stdout, run.stderr), ("1\n", ""))

    def test_where_a_store_cannot_be(self):
        s = self.serve(store=self.dir + "/a/b/c")
        reply = s.command('(eval "(perform {:op \\"persist/streams\\"})")')
        self.assertIn("make %s/a/b first" % self.dir, reply.text)
        self.end(s)
        self.persist("--store", "x" * 500, "stat", code=1)
        self.assertIn("has 500 bytes, more than 416; name a shorter",
                      self.errors)

    def test_read(self):
        text = self.on_store("read", "orders")
        self.assertEqual(text.count("\n"), 2)
        self.assertLess(text.index("d2"), text.index("d3"))
        self.assertIn("d3", self.on_store("read", "orders", "--from", "3"))
        self.assertNotIn("d2", self.on_store("read", "orders", "--from", "3"))

    def test_log(self):
        self.assertIn("the time of its commit", self.persist("log", "--help"))
        text = self.on_store("log")
        self.assertEqual(text.count("\n"), 3)
        rows = [json.loads(line) for line in
                self.on_store("log", "--json").splitlines()]
        for line, row in zip(text.splitlines(), rows):
            shown = datetime.datetime(1970, 1, 1) + datetime.timedelta(
                microseconds=row["time"])
            self.assertEqual(line.split(" ")[0],
                             shown.isoformat(timespec="microseconds") + "Z")
        self.assertLess(text.index("d3"), text.index('"other"'))

    def test_keys(self):
        self.assertEqual(self.on_store("kv", "get", "k/1"), "{:a 1}\n")
        self.assertIn("k/1", self.on_store("kv", "keys"))
        self.assertNotIn("z", self.on_store("kv", "keys", "--prefix", "k"))
        self.on_store("kv", "get", "absent", code=1)

    def test_looking_changes_nothing(self):
        self.on_store("stat")
        s = self.serve()
        self.gives(s, "(list %s %s)" % (
            perform("persist/last-seq", '"orders"'),
            perform("persist/kv-keys")), '(3 ("k/1" "z"))')

    def test_errors(self):
        for arguments in ([], ["nope"], ["--nope"], ["read"], ["kv"]):
            self.assertEqual(self.on_store(*arguments, code=2), "")
            self.assertNotEqual(self.errors, "")
        for arguments, named in ((["stat", "--limit", "3"], "--limit"),
                                 (["log", "more"], "log"),
                                 (["nope"], "nope"), (["--nope"], "--nope"),
                                 (["log", "--from", "3x"], "3x")):
            self.assertEqual(self.on_store(*arguments, code=2), "")
            self.assertIn(named, self.errors)
        self.persist("--store", self.dir + "/absent", "stat", code=1)
        self.assertFalse(os.path.exists(self.dir + "/absent"))
        s = self.serve()
        s.perform("persist/kv-keys")
        self.on_store("stat", code=1)
        self.assertIn(str(s.pid), self.errors)

    def test_help(self):
        self.assertIn("import --legacy", self.persist("help"))
        self.assertRegex(self.persist("version"), r"\Apersist \d")


if __name__ == "__main__":
    main()
