#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Every suite of lib/persist on every backend, with a scoreboard.
"""Runs every suite of lib/persist on every backend and prints a scoreboard.

Each run has an sx_server and a store of its own. A suite that dies, that runs
no check, or that runs fewer checks than its file holds, has failed. The suite
`recovery` is run in rounds on one disk; with the real backend the server is
killed with SIGKILL between them.
"""

import argparse
import pathlib
import re
import select
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "lib" / "persist"
SUITES = LIBRARY / "tests"

LOAD_ORDER = (
    "event backend log kv commit project concurrency snapshot compaction "
    "durable blob view catalog query batch upcast idempotency global follow "
    "examples/acl subscribe api"
).split()

SUITE_NAMES = (
    "event log kv commit project subscribe concurrency snapshot compaction "
    "durable blob view cas catalog query tags batch upcast idempotency global "
    "follow example-acl recovery"
).split()

ROUNDS = {"recovery": 3}
REPLY_SECONDS_MAX = 120

MEMORY = "(define persist-test-disk (persist/mem-backend))"
BACKENDS = {
    "memory": MEMORY
    + "(define (persist-test-backend) persist-test-disk)"
    + "(define (persist-test-blobs) (persist/mock-blob persist-test-disk))",
    "mock-durable": MEMORY
    + "(define (persist-test-backend) (persist/mock-durable persist-test-disk))"
    + "(define (persist-test-blobs) (persist/mock-blob persist-test-disk))",
    "real": "(define (persist-test-backend) (persist/durable-backend))"
    "(define (persist-test-blobs) (persist/blob-store-backend))",
}


class Died(Exception):
    """The server failed a command, or is gone."""


def quote(text):
    return '"' + re.sub(r'([\\"])', r"\\\1", text).replace("\n", "\\n") + '"'


def unquote(text):
    """What a printed string stands for."""
    letters = {"n": "\n", "t": "\t", "r": "\r"}
    return re.sub(
        r"\\(.)", lambda m: letters.get(m.group(1), m.group(1)), text[1:-1],
        flags=re.DOTALL,
    )


class Server:
    """One sx_server, spoken to by the epoch protocol."""

    def __init__(self, path, store):
        self.process = subprocess.Popen(
            [str(path), "--store", str(store)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self.buffer = b""
        self.epoch = 0
        if self._line() != "(ready)":
            raise Died("the server does not say (ready)")

    def _more(self, deadline):
        left = max(0, deadline - time.monotonic())
        if not select.select([self.process.stdout], [], [], left)[0]:
            raise Died(f"no reply in {REPLY_SECONDS_MAX} s")
        data = self.process.stdout.read(1 << 16)
        if not data:
            raise Died(f"the server ended, status {self.process.wait()}")
        self.buffer += data

    def _bytes(self, count):
        deadline = time.monotonic() + REPLY_SECONDS_MAX
        while len(self.buffer) < count:
            self._more(deadline)
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken.decode("utf-8", "replace")

    def _line(self):
        deadline = time.monotonic() + REPLY_SECONDS_MAX
        while b"\n" not in self.buffer:
            self._more(deadline)
        return self._bytes(self.buffer.index(b"\n") + 1)[:-1]

    def command(self, text):
        """Sends one command; returns the value of an eval, or ''."""
        self.epoch += 1
        line = f"(epoch {self.epoch})\n{text}\n"
        try:
            self.process.stdin.write(line.encode())
        except BrokenPipeError:
            raise Died("the server ended") from None
        reply = self._line()
        if reply == f"(ok {self.epoch})":
            return ""
        valued = re.fullmatch(rf"\(ok-len {self.epoch} (\d+)\)", reply)
        if valued is None:
            raise Died(reply)
        return self._bytes(int(valued.group(1)) + 1)[:-1]

    def load(self, path):
        self.command(f"(load {quote(str(path))})")

    def eval(self, source):
        return self.command(f"(eval {quote(source)})")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._close_pipes()

    def end(self):
        """End of input is a clean end, with status 0."""
        self.process.stdin.close()
        try:
            status = self.process.wait(REPLY_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Died("the server does not end at the end of input") from None
        self._close_pipes()
        if status != 0:
            raise Died(f"the server ended with status {status}")

    def _close_pipes(self):
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass


class Result:
    """What became of one suite on one backend."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.failures = []

    def fail(self, text):
        self.failed += 1
        self.failures.append(text)

    def count(self, server, before):
        """Takes over the counts of a server since `before`."""
        source = '(str persist-test-pass " " persist-test-fail)'
        passed, failed = map(int, unquote(server.eval(source)).split())
        source = r'(join "\u0000" persist-test-failures)'
        texts = unquote(server.eval(source)).split("\0") if failed else []
        self.passed += passed - before[0]
        self.failed += failed - before[1]
        self.failures += texts[before[1]:]
        return passed, failed


def checks_in(path):
    """The number of checks in a suite's file; each is a literal form."""
    text = path.read_text()
    literal = len(re.findall(r'^\(persist-test "', text, re.MULTILINE))
    if literal != len(re.findall(r"\(persist-test ", text)):
        raise Died("a check is not a literal form at top level")
    return literal


def prepare(server_path, store, backend):
    server = Server(server_path, store)
    try:
        for name in LOAD_ORDER:
            server.load(LIBRARY / f"{name}.sx")
        server.load(SUITES / "harness.sx")
        server.eval(BACKENDS[backend])
    except BaseException:
        server.kill()
        raise
    return server


def run_rounds(server_path, suite, backend, store, result):
    rounds = ROUNDS.get(suite.stem, 1)
    server = prepare(server_path, store, backend)
    try:
        counts = (0, 0)
        for number in range(1, rounds + 1):
            if number > 1 and backend == "real":
                server.kill()
                server = prepare(server_path, store, backend)
                counts = (0, 0)
            server.eval(f"(define persist-test-round {number})")
            try:
                server.load(suite)
            finally:
                if server.process.poll() is None:
                    counts = result.count(server, counts)
        server.end()
    finally:
        if server.process.poll() is None:
            server.kill()
    return rounds


def run_suite(server_path, suite, backend):
    result = Result()
    with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        store = pathlib.Path(directory) / "store"
        try:
            expected = checks_in(suite)
            expected *= run_rounds(server_path, suite, backend, store, result)
            ran = result.passed + result.failed
            if ran == 0:
                result.fail("no check ran")
            elif ran != expected:
                result.fail(f"{ran} checks ran, the file has {expected}")
        except (Died, OSError) as error:
            result.fail(f"died: {error}")
    return result


def scoreboard(server_path, suites, backends):
    print("suite".ljust(16) + "".join(b.rjust(16) for b in backends))
    passed = failed = 0
    failures = []
    for suite in suites:
        row = suite.stem.ljust(16)
        for backend in backends:
            result = run_suite(server_path, suite, backend)
            passed += result.passed
            failed += result.failed
            cell = f"{result.passed} ok"
            if result.failed:
                cell += f", {result.failed} BAD"
            row += cell.rjust(16)
            failures += [
                f"{suite.stem} on {backend}: {text}" for text in result.failures
            ]
        print(row, flush=True)
    for text in failures:
        print(f"FAILED {text}")
    print(f"{passed} passed, {failed} failed")
    return failed == 0


CANARIES = {
    "a wrong value": '(persist-test "wrong" 1 2)\n',
    "an error in a check": '(persist-test "right" 1 1)\n'
    '(persist-test "dies" (error "dead") 1)\n',
    "a suite without checks": "(define unused 1)\n",
    "a check that is never reached": '(persist-test "right" 1 1)\n'
    '(quote\n(persist-test "skipped" 1 1)\n)\n',
    "a check that is not literal": '(when true (persist-test "inner" 1 1))\n',
    "a store that forgets": "(define b (persist-test-backend))\n"
    '(persist/append b "s" "x" 0 1)\n'
    '(persist-test "forgotten" (persist/count b "s") 0)\n',
}


def canary(server_path, backends):
    """Proves that what must fail is seen to fail."""
    unseen = 0
    with tempfile.TemporaryDirectory(prefix="canary-") as directory:
        for name, text in CANARIES.items():
            suite = pathlib.Path(directory) / "canary.sx"
            suite.write_text(text)
            for backend in backends:
                seen = run_suite(server_path, suite, backend).failed > 0
                unseen += not seen
                print(f"canary: {name} on {backend}: "
                      + ("seen" if seen else "NOT SEEN"))
    return unseen == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default=ROOT / "build" / "sx_server",
                        type=pathlib.Path, help="the sx_server to run")
    parser.add_argument("--suite", action="append", choices=SUITE_NAMES,
                        help="only this suite (may be repeated)")
    parser.add_argument("--backend", action="append", choices=list(BACKENDS),
                        help="only this backend (may be repeated)")
    parser.add_argument("--canary", action="store_true",
                        help="prove that failures are seen")
    options = parser.parse_args()
    backends = options.backend or list(BACKENDS)
    if options.canary:
        return 0 if canary(options.server.resolve(), backends) else 1
    suites = [SUITES / f"{name}.sx" for name in options.suite or SUITE_NAMES]
    good = scoreboard(options.server.resolve(), suites, backends)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
