#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# What is typed behind `persist`, and what a terminal gets to see.
import json
import os
import pty
import re
import select
import subprocess

from client import SERVER, Case, append, main, perform, quote
from test_cli import PERSIST, Tool
from test_opening import snapshot

MOST = 2**63 - 1

# Each is refused; the line names what the second column says.
WRONG = [
    ([], "COMMAND"), ([""], "no command"), (["nope"], "nope"),
    (["--"], "COMMAND"), (["-"], "no command"), (["caf\xe9"], "no command"),
    (["-x", "stat"], "-x"), (["-json", "stat"], "-json"),
    (["--nope", "stat"], "--nope"), (["--sto", "d", "stat"], "--sto"),
    (["--", "--json", "stat"], "--json"), (["stat", "--"  "x"], "--x"),
    (["--store"], "--store"), (["--store=", "stat"], "--store"),
    (["--store", "", "stat"], "--store"), (["stat", "--from"], "--from"),
    (["stat", "--json=1"], "--json"), (["stat", "--json", "--json"], "twice"),
    (["log", "--limit", "1", "--limit=2"], "twice"),
    (["--store", "a", "--store", "b", "stat"], "twice"),
    (["help", "me"], "me is no command"),
    (["me", "--help"], "me is no command"), (["help", "kv", "me"], "kv keys"),
    (["kv", "me", "--help"], "kv keys"), (["help", "kv", "get", "k"], "help"),
    (["version", "1"], "version"),
    (["help", "--json"], "--json"),
    (["stat", "more"], "stat"), (["stat", "--limit", "3"], "--limit"),
    (["stat", "--legacy"], "--legacy"), (["stat", "--quiet"], "--quiet"),
    (["streams", "more"], "streams"), (["streams", "--from", "3"], "--from"),
    (["stat", "--prefix", "x"], "--prefix"),
    (["read"], "read STREAM"), (["read", "a", "b"], "read STREAM"),
    (["read", "s", "--after", "x"], "--after"),
    (["log", "more"], "log"), (["log", "--prefix", "x"], "--prefix"),
    (["kv"], "kv get KEY"), (["kv", "nope"], "kv get KEY"),
    (["kv", "get"], "kv get KEY"), (["kv", "get", "a", "b"], "kv get KEY"),
    (["kv", "get", "k", "--limit", "1"], "--limit"),
    (["kv", "keys", "k"], "kv keys"), (["kv", "keys", "--from", "1"], "--from"),
    (["import"], "OLD NEW"), (["import", "old", "new"], "OLD NEW"),
    (["import", "--legacy", "old"], "OLD NEW"),
    (["import", "--legacy", "old", "new", "more"], "OLD NEW"),
    (["import", "--legacy", "old", "new", "--limit", "1"], "--limit"),
    (["verify", "a", "b"], "verify [DIR]"),
    (["verify", "--from", "1"], "from"),
    (["verify", "a", "--store", "b"], "verify [DIR]"),
] + [
    (["log", option, value], "not " + (value or "an empty one"))
    for option in ("--from", "--limit")
    for value in ("", "x", "3x", "-1", "+1", " 1", "1.5", "0x10",
                  str(MOST + 1), "18446744073709551617", "9" * 40)]


class Wrong(Tool):
    def test_one_line_and_nothing_changed(self):
        os.mkdir(os.path.join(self.dir, "old"))
        before = snapshot(self.dir)
        for arguments, named in WRONG:
            self.assertEqual(self.persist(*arguments, code=2), "", arguments)
            self.assertRegex(self.errors, r"\A.*see persist help\n\Z",
                             arguments)
            self.assertIn(named.encode().decode("latin-1"), self.errors)
            self.assertEqual(snapshot(self.dir), before)

    def test_what_it_cannot_do(self):
        """Well typed, and refused: exit code 1, of verify 2."""
        with open(os.path.join(self.dir, "file"), "w"):
            pass
        os.mkfifo(os.path.join(self.dir, "pipe"))
        os.mkdir(os.path.join(self.dir, "empty"))
        os.symlink("nowhere", os.path.join(self.dir, "link"))
        before = sorted(os.listdir(self.dir))
        for place in ("file", "pipe", "empty", "link", "no", "no/no", "/proc",
                      "x" * 300, "x/" * 1000, "caf\xe9", "\x1b[31m\n"):
            for command in (["stat"], ["streams"], ["read", "s"], ["log"],
                            ["kv", "keys"], ["kv", "get", "k"]):
                self.persist(*command, "--store", place, code=1)
                self.assertEqual(self.errors.count("\n"), 1, self.errors)
            self.persist("verify", place, code=2)
            self.assertEqual(self.errors.count("\n"), 1, self.errors)
        self.persist("verify", "", code=2)
        self.assertEqual(sorted(os.listdir(self.dir)), before)


class Right(Tool):
    def setUp(self):
        super().setUp()
        s = self.serve()
        for name in ("--json", "-", "", "caf\xc3\xa9", "\xff", "help"):
            s.eval(append(name, 7))
            s.perform("persist/kv-put", quote(name), quote("of " + name))
        s.eval(append("far", MOST))
        self.end(s)

    def on_store(self, *arguments, code=0):
        return self.persist("--store", self.store, *arguments, code=code)

    def test_every_name(self):
        for name in ("--json", "-", "", "caf\xc3\xa9", "\xff", "help"):
            raw = name.encode("latin-1")
            self.assertIn(":seq 7", self.on_store("read", "--", raw))
            self.assertEqual(self.on_store("kv", "get", "--", raw),
                             quote("of " + name) + "\n")
        self.assertIn(":seq 7", self.on_store("read", "-"))
        self.assertIn("far", self.on_store("streams", "--after=caf"))

    def test_every_number(self):
        for number in (0, 1, 10**18 - 1, 10**18, MOST):
            self.assertIn(":seq %d" % MOST, self.on_store(
                "read", "far", "--from", str(number)))
        self.assertEqual(self.on_store("log", "--from", str(MOST)), "")
        self.assertEqual(self.on_store("read", "far", "--limit", "0"), "")
        self.assertIn("far", self.on_store("streams", "--limit", str(MOST)))
        self.assertIn("far", self.on_store("read", "far", "--from",
                                           "0" * 30 + "1"))

    def test_what_is_not_there(self):
        self.assertEqual(self.on_store("read", "absent", code=1), "")
        self.assertIn("persist streams", self.errors)
        self.assertEqual(self.on_store("kv", "get", "absent", code=1), "")
        self.assertIn("persist kv keys", self.errors)
        self.on_store("read", "x" * 65536, code=1)
        self.assertIn("too-large", self.errors)

    def test_help_wherever_it_stands(self):
        for arguments in (["help"], ["--help"], ["-h"]):
            self.assertIn("usage: persist COMMAND", self.persist(*arguments))

    def test_help_of_each_command(self):
        """It shows what the command takes, and that alone."""
        overview = self.persist("help")
        commands = re.findall(r"(?m)^  ((?:kv )?[a-z]+)", overview)
        options = re.findall(r"(?m)^  --([a-z]+)( [A-Z]+)?", overview)
        self.assertEqual(len(commands), 14)
        for command in commands:
            words = command.split()
            text = self.persist(*words, "--help")
            self.assertEqual(text, self.persist("help", *words))
            self.assertRegex(text, r"\Ausage: persist " + command)
            self.assertLess(max(map(len, text.splitlines()[1:])), 80)
            shown = set(re.findall(r"(?m)^  --([a-z]+)", text))
            for option, value in options:
                given = "1s" if value == " TIME" else "1"
                arguments = ["--" + option] + [given] * bool(value)
                if option in ("help", "version"):
                    continue
                run = subprocess.run([PERSIST, *words, *arguments],
                                     cwd=self.dir, capture_output=True,
                                     text=True, timeout=60)
                refused = "takes no --" + option in run.stderr
                self.assertNotEqual(option in shown, refused, text)
                self.assertEqual("--" + option in text.split("\n")[0],
                                 option in shown, text)
        self.assertEqual(self.persist("kv", "--help").count("usage:"), 2)

    def test_help_of_the_server(self):
        text = subprocess.run([SERVER, "--help"], capture_output=True,
                              text=True, timeout=60).stdout
        self.assertLess(max(map(len, text.splitlines())), 80)
        options = re.findall(r"(?m)^  (--[a-z-]+)( [A-Z]+)?", text)
        self.assertEqual(len(options), 12)
        for option, value in options:
            number = "8" if option == "--merge-width" else "1M"
            arguments = {"": [], " DIR": ["x"], " WHAT": ["nil"]}.get(
                value, [number])
            run = subprocess.run([SERVER, option, *arguments, "--version"],
                                 cwd=self.dir, capture_output=True, timeout=60)
            self.assertEqual((run.returncode, run.stderr), (0, b""), option)

    def test_an_output_that_takes_nothing(self):
        for command in (["stat"], ["streams"], ["log"], ["kv", "keys"],
                        ["kv", "get", "-"], ["read", "-"], ["help"]):
            with open("/dev/full", "wb") as full:
                run = subprocess.run(
                    [PERSIST, "--store", self.store, *command]
                    if command != ["help"] else [PERSIST, "help"],
                    stdout=full, stderr=subprocess.PIPE, timeout=60)
            self.assertEqual(run.returncode, 1)
            self.assertIn(b"No space left", run.stderr)
        with open("/dev/full", "wb") as full:
            run = subprocess.run([PERSIST, "verify", self.store], stdout=full,
                                 stderr=subprocess.DEVNULL, timeout=60)
        self.assertEqual(run.returncode, 2)

    def test_an_output_that_nobody_reads(self):
        """Without a word, whatever it is that is not read."""
        old = os.path.join(self.dir, "old")
        os.makedirs(os.path.join(old, "kv"))
        with open(os.path.join(self.store, "foreign"), "wb"):
            pass  # verify has something to remark at once
        for command in (["stat"], ["streams"], ["log"], ["kv", "keys"],
                        ["kv", "get", "-"], ["read", "-"], ["help"],
                        ["version"], ["verify"], ["verify", "--quiet"],
                        ["import", "--legacy", old, self.dir + "/new"]):
            reads, writes = os.pipe()
            os.close(reads)
            environment = dict(os.environ, SX_PERSIST_DIR=self.store)
            run = subprocess.run([PERSIST, *command], stdout=writes,
                                 stderr=subprocess.PIPE, timeout=60,
                                 env=environment)
            os.close(writes)
            self.assertEqual((run.returncode, run.stderr), (1, b""), command)


class Terminal(Tool):
    """A name, a key and a value may hold what a terminal obeys."""
    HOSTILE = ("\x1b[2J\x00\x07\x08\x7f\x9b31m\xc2\x9b31m\xff caf\xc3\xa9 "
               "\r\t\n\\\"")
    SHOWN = ("\\x1b[2J\\x00\\x07\\x08\\x7f\\x9b31m\\xc2\\x9b31m\\xff "
             "caf\xc3\xa9 ")

    def setUp(self):
        super().setUp()
        s = self.serve()
        s.eval(append(self.HOSTILE, 1, quote(self.HOSTILE)))
        s.perform("persist/kv-put", quote(self.HOSTILE), quote(self.HOSTILE))
        s.perform("persist/kv-put", '"k"', quote(self.HOSTILE))
        self.end(s)
        with open(os.path.join(self.store, "\x1b[1mfile"), "w"):
            pass

    def on_terminal(self, *command):
        """What comes to a terminal that is output and error."""
        ours, its = pty.openpty()
        self.addCleanup(os.close, ours)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                   stdout=its, stderr=its)
        os.close(its)
        text = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                part = os.read(ours, 65536)
            except OSError:  # nobody has the other end any more
                break
            text += part
        process.wait(timeout=60)
        return text.decode("latin-1").replace("\r\n", "\n")

    def assert_shown(self, text):
        text.encode("latin-1").decode("utf-8")
        for c in "\x1b\x00\x07\x08\x7f\r\t":
            self.assertNotIn(c, text)
        self.assertNotIn("\xc2\x9b", text)

    def test_it_sees_no_control_character(self):
        for command in (["streams"], ["log"], ["kv", "keys"],
                        ["kv", "get", "k"], ["streams", "--json"],
                        ["kv", "get", "k", "--json"],
                        ["verify", "--quiet"]):
            text = self.on_terminal(PERSIST, "--store", self.store, *command)
            self.assert_shown(text)
            if "--json" not in command and "verify" not in command:
                self.assertIn(self.SHOWN, text)
        self.assertIn("\\x1b[1mfile", text)

    def test_nor_in_what_went_wrong(self):
        for command in ([PERSIST, "\x1b[2J\n"], [PERSIST, "--\x1b[2J\n"],
                        [PERSIST, "stat", "--store", "\x1b[2J\n"],
                        [PERSIST, "verify", "\x1b[2J\n"],
                        [PERSIST, "log", "--from", "\x1b[2J\n"],
                        [PERSIST, "import", "--legacy", "\x1b[2J\n", "new"],
                        [SERVER, "\x1b[2J\n"], [SERVER, "--\x1b[2J\n"],
                        [SERVER, "--cache", "\x1b[2J\n"],
                        [SERVER, "--unknown-op", "\x1b[2J\n"]):
            text = self.on_terminal(*command)
            self.assert_shown(text)
            self.assertIn("\\x1b[2J\\x0a", text)
            self.assertEqual(text.count("\n"), 1, text)

    def test_a_pipe_gets_bytes_as_they_are(self):
        stored = quote(self.HOSTILE).replace("\r", "\\r").replace("\t", "\\t")
        self.assertEqual(self.persist("--store", self.store, "kv", "get", "k"),
                         stored + "\n")
        self.assertIn(stored, self.persist("--store", self.store, "streams"))
        self.assertIn(stored, self.persist("--store", self.store, "kv",
                                           "keys"))

    def test_json_says_the_same_everywhere(self):
        s = self.serve()
        s.perform("persist/kv-put", '"utf-8"', quote("\x1b\x7f\xc2\x9b"))
        self.end(s)
        command = [PERSIST, "--store", self.store, "kv", "get", "utf-8",
                   "--json"]
        text = self.on_terminal(*command)
        self.assert_shown(text)
        self.assertEqual(json.loads(text), '"\x1b\x7f\x9b"')
        self.assertEqual(self.persist(*command[1:]), text)


class Threads(Case):
    def start(self, first_refused, **options):
        return self.serve(
            wrap=["strace", "-D", "-f", "-o", "/dev/null", "-e",
                  "trace=clone,clone3", "-e", "inject=clone,clone3:error="
                  "EAGAIN:when=%d+" % first_refused],
            env={"ASAN_OPTIONS": "detect_leaks=0"}, **options)

    def test_a_thread_that_cannot_be_started(self):
        s = self.start(2)  # the first one is the server's own
        message = self.fails("limit", s, perform("persist/streams"))
        self.assertIn("ulimit -u", message)
        self.alive(s)
        self.end(s)
        self.gives(self.serve(), perform("persist/streams"), "()")

    def test_the_first_thread_that_cannot_be_started(self):
        s = self.start(1, ready=False)
        self.assertEqual(s.wait(), 1)
        self.assertRegex(s.stderr(), "cannot start a thread for sx_server: .*"
                             "unavailable; allow more of them \\(ulimit -u")


if __name__ == "__main__":
    main()
