#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# The tool `persist`: looking into a store, importing the old layout.
import json
import os
import subprocess

from client import SERVER, Case, append, main, perform, quote
from test_opening import snapshot

PERSIST = os.path.join(os.path.dirname(SERVER), "persist")
HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


class Tool(Case):
    def persist(self, *arguments, code=0):
        run = subprocess.run(
            [PERSIST, *arguments], stdin=subprocess.DEVNULL, cwd=self.dir,
            capture_output=True, timeout=60, env={
                k: v for k, v in os.environ.items() if k != "SX_PERSIST_DIR"})
        self.assertEqual(run.returncode, code,
                         run.stderr.decode("latin-1")[-1000:])
        self.errors = run.stderr.decode("latin-1")
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
        self.assertIsInstance(json.loads(self.on_store("stat", "--json")),
                              dict)

    def test_streams(self):
        text = self.on_store("streams")
        self.assertRegex(text, r"orders.*\b2\b.*\b3\b|\b2\b.*\b3\b.*orders")
        self.assertIn("other", text)

    def test_read(self):
        text = self.on_store("read", "orders")
        self.assertEqual(text.count("\n"), 2)
        self.assertLess(text.index("d2"), text.index("d3"))
        self.assertIn("d3", self.on_store("read", "orders", "--from", "3"))
        self.assertNotIn("d2", self.on_store("read", "orders", "--from", "3"))

    def test_log(self):
        text = self.on_store("log")
        self.assertEqual(text.count("\n"), 3)
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


class Legacy(Tool):
    NAMES = ["orders", "", "a/b", "..", "\x00\xff", "caf\xc3\xa9", "empty"]

    def setUp(self):
        super().setUp()
        self.old = os.path.join(self.dir, "old")
        for folder in ("streams", "kv", "blobs"):
            os.makedirs(os.path.join(self.old, folder))

    def write(self, folder, name, text):
        with open(os.path.join(self.old, folder, name), "wb") as f:
            f.write(text.encode("latin-1"))

    def hex(self, name):
        return name.encode("latin-1").hex()

    def fill(self):
        for i, name in enumerate(self.NAMES):
            rows = [] if name == "empty" else [
                '{:stream %s :seq %d :type "t" :at 5 :data (%d "x")}\n'
                % (quote(name), seq, seq) for seq in (2, 3, 7)]
            self.write("streams", self.hex(name) + ".log", "".join(rows))
            self.write("streams", self.hex(name) + ".seq", "%d" % (10 + i))
            if name:  # the old host had no file name for the empty key
                self.write("kv", self.hex(name), "{:name %s}" % quote(name))
        self.write("blobs", HELLO, "hello world")

    def test_everything_arrives(self):
        self.fill()
        before = snapshot(self.old)
        counts = json.loads(self.persist("import", "--legacy", self.old,
                                         self.store, "--json"))
        self.assertEqual((counts["streams"], counts["events"],
                          counts["keys"], counts["blobs"]), (7, 18, 6, 1))
        self.assertEqual(snapshot(self.old), before)
        s = self.serve()
        for i, name in enumerate(self.NAMES):
            self.gives(s, perform("persist/last-seq", quote(name)),
                       str(10 + i))
            self.gives(s, "(map (fn (e) (get e :seq)) %s)" % perform(
                "persist/read", quote(name)),
                "()" if name == "empty" else "(2 3 7)")
            self.gives(s, "(get %s :name)" % perform(
                "persist/kv-get", quote(name)), quote(name) if name else "nil")
            self.fails("seq-conflict", s, append(name, 10 + i))
            s.eval(append(name, 11 + i))
        self.gives(s, "(len %s)" % perform("persist/streams"), "7")
        self.gives(s, perform("blob/get", quote(HELLO)), '"hello world"')

    def test_it_is_done_once(self):
        self.fill()
        self.persist("import", "--legacy", self.old, self.store)
        self.persist("import", "--legacy", self.old, self.store, code=1)
        self.assertIn("bad-store", self.errors)

    def test_damage_is_named_and_nothing_written(self):
        for folder, name, text in (
                ("streams", self.hex("orders") + ".log",
                 '{:stream "orders" :seq 1 :type 1 :at 1 :data 1}\n(\n'),
                ("kv", self.hex("k"), "(1 2"),
                ("streams", self.hex("s") + ".seq", "many")):
            self.fill()
            self.write(folder, name, text)
            self.persist("import", "--legacy", self.old, self.store, code=1)
            self.assertIn(name, self.errors)
            self.assertFalse(os.path.exists(self.store))
            os.unlink(os.path.join(self.old, folder, name))

    def test_a_line_cut_by_a_crash(self):
        self.write("streams", self.hex("s") + ".log",
                   '{:stream "s" :seq 1 :type 1 :at 1 :data 1}\n'
                   '{:stream "s" :seq 2 :ty')
        self.write("streams", self.hex("s") + ".seq", "2")
        self.assertIn("unfinished   1", self.persist(
            "import", "--legacy", self.old, self.store))
        s = self.serve()
        self.gives(s, "(list %s (len %s))" % (
            perform("persist/last-seq", '"s"'),
            perform("persist/read", '"s"')), "(2 1)")

    def test_what_is_not_the_old_layout(self):
        self.persist("import", "--legacy", "/proc", self.store, code=1)
        self.persist("import", "--legacy", self.dir + "/no", self.store,
                     code=1)
        self.assertFalse(os.path.exists(self.store))
        self.persist("import", self.old, self.store, code=2)

    def test_a_store_is_not_the_old_layout(self):
        s = self.serve()
        s.perform("persist/kv-put", '"k"', "1")
        self.end(s)
        self.persist("import", "--legacy", self.store, self.dir + "/new",
                     code=1)
        self.assertIn("nothing to import", self.errors)
        self.assertFalse(os.path.exists(self.dir + "/new"))


if __name__ == "__main__":
    main()
