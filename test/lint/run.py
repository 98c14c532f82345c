#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Canaries for tools/lint.py: each is to be found by its own check.
"""usage: test/lint/run.py

A clean tree must pass. Each canary changes one file of it and must be reported
there by its own check; an excuse with a reason silences it, one without does
not; a file that passed is looked at again when a header of it changes.
"""

import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
CLEAN = {
    "src/sum.h": "int sum(int a, int b);\n",
    "src/sum.c": '#include "sum.h"\n\n'
                 "int sum(int a, int b)\n{\n    return a + b;\n}\n",
    "test/sum.c": '#include "sum.h"\n\nint main(void)\n{\n'
                  "    return sum(1, -1);\n}\n",
}
HEADER = "static inline int first(int a)\n{\n    int *p = 0;\n" \
    "    return a > 0 ? a : *p;\n}\n"
READDIR = "#include <dirent.h>\n\nint any(DIR *dir);\n\n" \
    "int any(DIR *dir)\n{\n%s    return readdir(dir) != 0;\n}\n"
EXCUSE = "    /* NOLINTNEXTLINE(concurrency-mt-unsafe)%s */\n"
# Name, file, what stands at its end, what must be said: "" is nothing.
CANARIES = (
    ("bugprone", "src/sum.c",
     "\nlong wide(int a);\n\nlong wide(int a)\n{\n    return a * 1000;\n}\n",
     "src/sum.c:12:12: error: performing an implicit widening"),
    ("analyzer", "src/sum.c", HEADER, "clang-analyzer-core.NullDereference"),
    ("a header", "src/sum.h", HEADER, "src/sum.h:5: error:"),
    ("analyzer in a test", "test/sum.c", HEADER,
     "clang-analyzer-core.NullDereference"),
    ("concurrency", "src/sum.c", READDIR % "", "[concurrency-mt-unsafe"),
    ("concurrency in a test", "test/sum.c", READDIR % "", ""),
    ("cppcheck", "src/sum.c",
     "\nint odd(int a);\n\nint odd(int a)\n{\n"
     "    if (a > 1 && a < 1)\n        return 1;\n    return 0;\n}\n",
     "src/sum.c:12: warning:"),
    ("an excuse", "src/sum.c", READDIR % (EXCUSE % ": it has its own"), ""),
    ("no reason", "src/sum.c", READDIR % (EXCUSE % ""),
     "src/sum.c:13: error: no reason is given"),
    ("no C", "src/sum.c", "int\n", "clang-diagnostic-error"),
)


def write(root, path, text):
    os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
    with open(os.path.join(root, path), "w") as file:
        file.write(text)


def make(root):
    for path, text in CLEAN.items():
        write(root, path, text)
    for path in (".clang-tidy", "test/.clang-tidy"):
        shutil.copy(os.path.join(ROOT, path), os.path.join(root, path))


def lint(root):
    process = subprocess.run(
        [os.path.join(ROOT, "tools", "lint.py"), "--root", root, "--stamps",
         os.path.join(root, "stamps")], capture_output=True, text=True)
    return process.returncode, process.stdout + process.stderr


def expect(name, root, text, passed, failed):
    """Whether the tree is reported as it should be."""
    code, output = lint(root)
    last = "%d passed, %d failed" % (passed, failed)
    good = code == (1 if failed or not passed else 0) and text in output and \
        output.rstrip().split("\n")[-1] == last
    if not good:
        print("%s: wanted %r and %r, code %d:\n%s" % (
            name, text, last, code, output))
    return good


def canary(name, path, end, text):
    """In a tree that has passed, so that a stamp is there."""
    with tempfile.TemporaryDirectory() as root:
        make(root)
        if not expect("clean", root, "", 2, 0):
            return False
        write(root, path, CLEAN[path] + end)
        touched = 2 if path.endswith(".h") else 1
        failed = touched if text else 0
        return expect(name, root, text, 2 - failed, failed) and \
            expect(name + ", again", root, text, 2 - failed, failed)


def main():
    results = [canary(*row) for row in CANARIES]
    with tempfile.TemporaryDirectory() as root:
        results.append(expect("nothing", root, "", 0, 0))
    print("%d passed, %d failed" % (
        results.count(True), results.count(False)))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
