#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# What the tests reach of the store: lines and branches, a file each.
"""usage: tools/coverage.py BUILD

BUILD is a build with --coverage whose programs have run. Prints, with gcovr's
figures, the lines and branches of src/engine, src/store and src/base that were
reached, and writes what was not to BUILD/unreached.txt. The failing side of a
CHECK is our own mistake, and no branch.
"""

import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ("src/base", "src/engine", "src/store")
NO_BRANCHES = r"\s*(CHECK|CHECK_STATIC)\(.*"


def measure(build):
    command = ["gcovr", "-r", ROOT, build, "--json", "-",
               "--exclude-branches-by-pattern", NO_BRANCHES]
    for folder in FOLDERS:
        command += ["--filter", os.path.join(ROOT, folder, "")]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    files = json.loads(output.stdout)["files"]
    return sorted(files, key=lambda f: f["file"])


class Count:
    def __init__(self):
        self.reached = self.all = 0

    def add(self, reached, every=1):
        self.reached += reached
        self.all += every

    def text(self):
        share = 100.0 * self.reached / self.all if self.all else 100.0
        return "%6.1f %% of %5d" % (share, self.all)


def code_lines(entry):
    return [line for line in entry["lines"] if not line["gcovr/noncode"]]


def ways(line):
    """How many ways lead on from a line, and how many were taken."""
    branches = line["branches"]
    return len(branches), sum(1 for b in branches if b["count"] > 0)


def unreached(entry, out):
    path = entry["file"]
    with open(os.path.join(ROOT, path)) as source:
        text = [line.strip() for line in source]
    for function in entry["functions"]:
        if function["execution_count"] == 0:
            out.write("%s:%d: never called: %s\n" % (
                path, function["lineno"], function["name"]))
    for line in code_lines(entry):
        number, (every, taken) = line["line_number"], ways(line)
        if line["count"] == 0:
            out.write("%s:%d: not reached: %s\n" % (
                path, number, text[number - 1]))
        elif taken < every:
            out.write("%s:%d: %d of %d ways not taken: %s\n" % (
                path, number, every - taken, every, text[number - 1]))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build = os.path.abspath(sys.argv[1])
    totals = {name: (Count(), Count()) for name in FOLDERS + ("all",)}
    print("%-28s %-17s %s" % ("", "lines", "branches"))
    path = os.path.join(build, "unreached.txt")
    with open(path, "w") as out:
        for entry in measure(build):
            lines, branches = Count(), Count()
            folder = os.path.dirname(entry["file"])
            for line in code_lines(entry):
                every, taken = ways(line)
                for group in ((lines, branches), totals[folder],
                              totals["all"]):
                    group[0].add(line["count"] > 0)
                    group[1].add(taken, every)
            print("%-28s %s  %s" % (entry["file"], lines.text(),
                                    branches.text()))
            unreached(entry, out)
    for name, (lines, branches) in totals.items():
        print("figure: %-20s %s  %s" % (name, lines.text(), branches.text()))
    print("what no test reaches: %s" % os.path.relpath(path))


if __name__ == "__main__":
    main()
