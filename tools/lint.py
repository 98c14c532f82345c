#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Runs clang-tidy and cppcheck over every C file; what they say is an error.
"""usage: tools/lint.py [--root DIR] [--stamps DIR] [FILE...]

Each file is one check. What clang-tidy looks for stands in .clang-tidy, and in
the one of test/ and bench/; what cppcheck does not say in tools/cppcheck.txt.
One place is excused by a comment there, with the reason behind it:
`NOLINTNEXTLINE(check): reason` or `cppcheck-suppress id ; reason`. With
--stamps a file that passed is left out until it, a header of it, or the rules
change.
"""

import argparse
import concurrent.futures
import glob
import hashlib
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDERS = ("src", "include", "bench", "test", "examples")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
REASON = re.compile(r"NOLINT\w*\([\w.,*-]+\): \S|cppcheck-suppress \w+ ; \S")
EXCUSE = re.compile(r"NOLINT(?!END)|cppcheck-suppress")
FLAGS = ["-D_GNU_SOURCE", "-Iinclude", "-Isrc"]
# Beside errors; of tests and measurements only what is no matter of style.
LEVELS = {"src": "style"}
OTHER_LEVELS = "warning,performance,portability"
FILE_SECONDS_MAX = 600


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Tree:
    def __init__(self, root):
        self.root = root
        self.rules = [read(os.path.join(HERE, name))
                      for name in ("lint.py", "cppcheck.txt")]
        for path in sorted(glob.glob(os.path.join(root, ".clang-tidy")) +
                           glob.glob(os.path.join(root, "*", ".clang-tidy"))):
            self.rules.append(read(path))
        for tool in ("clang-tidy", "cppcheck"):
            self.rules.append(subprocess.check_output([tool, "--version"]))

    def files(self):
        """The largest first: none is long in coming when all others are."""
        found = [path for folder in FOLDERS for path in glob.glob(
            "%s/**/*.c" % folder, root_dir=self.root, recursive=True)]
        return sorted(found, reverse=True, key=lambda path: (
            os.path.getsize(os.path.join(self.root, path)), path))

    def reach(self, path, seen):
        """Adds a file and the headers of the tree that it includes."""
        seen.add(path)
        for name in INCLUDE.findall(self.text(path)):
            for folder in (os.path.dirname(path), "include", "src"):
                header = os.path.normpath(os.path.join(folder, name))
                if os.path.isfile(os.path.join(self.root, header)):
                    if header not in seen:
                        self.reach(header, seen)
                    break

    def text(self, path):
        return read(os.path.join(self.root, path)).decode("utf-8", "replace")

    def digest(self, paths):
        state = hashlib.sha256(b"\0".join(self.rules))
        for path in sorted(paths):
            state.update(b"\0%s\0" % path.encode())
            state.update(read(os.path.join(self.root, path)))
        return state.hexdigest()

    def commands(self, path):
        flags = FLAGS + ["-isystem", "/usr/include/fuse3"]
        if path.endswith("_avx2.c"):
            flags.append("-mavx2")
        levels = LEVELS.get(path.split("/")[0], OTHER_LEVELS)
        return [["clang-tidy", "-quiet", path, "--", "-std=c17", *flags],
                ["cppcheck", "-q", "--std=c11", "--enable=" + levels,
                 "--inline-suppr", "--error-exitcode=1",
                 "--suppressions-list=" + os.path.join(HERE, "cppcheck.txt"),
                 "--template={file}:{line}: {severity}: {message} [{id}]",
                 *FLAGS, path]]

    def without_reason(self, path):
        return ["%s:%d: error: no reason is given [reason]\n" % (path, i + 1)
                for i, line in enumerate(self.text(path).split("\n"))
                if EXCUSE.search(line) and not REASON.search(line)]

    def check(self, path, paths):
        """Returns what is said of a file, nothing if it is clean."""
        said = [line for p in sorted(paths) for line in self.without_reason(p)]
        for command in self.commands(path):
            process = subprocess.run(
                command, cwd=self.root, stdin=subprocess.DEVNULL,
                capture_output=True, timeout=FILE_SECONDS_MAX)
            if process.returncode != 0:
                text = (process.stdout + process.stderr).decode(
                    "utf-8", "replace")
                said.append(text or "%s: %s: exit code %d\n" % (
                    path, command[0], process.returncode))
        return "".join(said).replace(os.path.abspath(self.root) + "/", "")


def lint(tree, path, stamps):
    """As Tree.check; a clean file that is as it was is not looked at."""
    paths = set()
    tree.reach(path, paths)
    digest = tree.digest(paths)
    stamp = os.path.join(stamps, path + ".ok") if stamps else None
    if stamp and os.path.exists(stamp) and read(stamp).decode() == digest:
        return ""
    said = tree.check(path, paths)
    if stamp and not said:
        os.makedirs(os.path.dirname(stamp), exist_ok=True)
        with open(stamp, "w") as file:
            file.write(digest)
    return said


def main():
    parser = argparse.ArgumentParser(
        usage=__doc__.split("\n", 1)[0][len("usage: "):],
        description=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--root", default=os.path.dirname(HERE))
    parser.add_argument("--stamps", help="where what passed is remembered")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    tree = Tree(arguments.root)
    stamps = arguments.stamps and os.path.abspath(arguments.stamps)
    passed = failed = 0
    shown = set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for said in pool.map(lambda path: lint(tree, path, stamps),
                             arguments.files or tree.files()):
            passed, failed = passed + (not said), failed + bool(said)
            if said and said not in shown:
                shown.add(said)
                print(said, end="", flush=True)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
