#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Every argument of every function and op, on all backends: one answer.
"""usage: test/arguments/run.py [--server PATH] [--part NAME]

Runs test/arguments/pairs.sx: all functions of lib/persist and all ops, with
wrong, empty, largest and nil arguments, singly and in pairs, on the backends
memory, mock-durable and real. All must answer, refuse and word it the same.
"""

import argparse
import os
import pathlib
import re
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "test"))

import conformance  # noqa: E402  (found by the line above)

STRING_OF = "(define (string-of n) (persist-test-bytes n))"
RUN = {
    "library": "(for-each (fn (row) (try-row row pool)) library-rows)",
    "appends": "(for-each (fn (row) (try-row row pool)) append-rows)",
    "edits": "(for-each (fn (row) (try-row row pool)) edit-rows)",
    "two edits": "(try-row (last edit-rows) bad-edits)",
    "ops": "(for-each try-op (keys persist/ops))",
}
# A backend that words one refusal differently: the test must see it.
CANARY = """(do
  (define right persist/mem-kv-put)
  (set! persist/mem-kv-put
    (fn (m key value)
      (if (= key "a") (persist/bad-request "no") (right m key value)))))"""


def undefined(server):
    """Public functions that no row tries, by their sources."""
    named = set()
    for path in conformance.LIBRARY.rglob("*.sx"):
        if "tests" not in path.parts:
            named |= set(re.findall(
                r"^\(persist/define \(([^\s()]+)", path.read_text(), re.M))
    rows = (ROOT / "test" / "arguments" / "pairs.sx").read_text()
    named.discard("persist/backend-call")  # the way of all backend-...
    return sorted(n for n in named
                  if not re.search(re.escape(n) + r"[\s()]", rows))


def run(path, parts, before):
    with tempfile.TemporaryDirectory(prefix="arguments-") as directory:
        server = conformance.prepare(path, pathlib.Path(directory) / "s",
                                     "real")
        try:
            server.eval(STRING_OF)
            server.load(ROOT / "test" / "arguments" / "pairs.sx")
            server.eval(before)
            for name in parts:
                server.eval(RUN[name])
            calls = int(server.eval("calls"))
            texts = server.eval(r'(join "\u0000" failures)')
            texts = conformance.unquote(texts)
            server.end()
        finally:
            if server.process.poll() is None:
                server.kill()
    return calls, [t for t in texts.split("\0") if t]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--server", type=pathlib.Path,
                        default=os.environ.get(
                            "SX_SERVER", ROOT / "build" / "sx_server"))
    parser.add_argument("--part", action="append", choices=list(RUN))
    options = parser.parse_args()
    start = time.monotonic()
    path = options.server.resolve()
    calls, failures = run(path, options.part or list(RUN), "nil")
    failures += [f"no row tries {name}" for name in undefined(path)]
    if not run(path, ["ops"], CANARY)[1]:
        failures.append("the canary was not seen")
    for text in failures:
        print("FAILED", text)
    print(f"figure: {calls} calls on three backends, {len(failures)} answers "
          f"differ or are no answer, {time.monotonic() - start:.0f} s")
    print(f"{calls - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
