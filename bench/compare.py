#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Compares this engine with an older build of itself, in one run.
"""usage: bench/compare.py [--rounds N] OLD NEW [ARGUMENT...]

OLD and NEW are build folders of two trees; the arguments are those of
`engines`, such as W1 W5 or --dir D. The two take turns, a round each, and who
begins changes, so that both meet the same moods of the machine. Prints the
medians of each row and their ratio, above 1 where NEW is better, with the
smallest and the largest ratio of a round: a difference that is smaller than
these lie apart is noise.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

LESS_IS_BETTER = {"us", "ms", "x", "MB"}


def turn(build, arguments):
    """One round of all rows: (workload, what, unit) -> figure."""
    program = os.path.join(build, "bench", "engines")
    with tempfile.NamedTemporaryFile(suffix=".tsv") as table:
        try:
            run = subprocess.run(
                [program, "--only", "ours", "--rounds", "1", "--tsv",
                 table.name, *arguments], check=False, text=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        except OSError as e:
            sys.exit("compare: %s: %s; make it there first" % (
                program, e.strerror))
        if run.returncode != 0:
            sys.exit("compare: %s ended with %d, and said:\n%s" % (
                program, run.returncode, run.stderr))
        rows = {}
        for line in table.read().decode().splitlines():
            cells = line.split("\t")
            if cells[0] == "row":
                rows[tuple(cells[1:4])] = float(cells[4])
        return rows


def ratio(unit, old, new):
    if old == 0 or new == 0:
        return 1.0
    return old / new if unit in LESS_IS_BETTER else new / old


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("old")
    parser.add_argument("new")
    known, arguments = parser.parse_known_args()
    builds, rounds = (known.old, known.new), []
    for number in range(known.rounds):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        taken = {which: turn(builds[which], arguments) for which in order}
        rounds.append((taken[0], taken[1]))
        print("round %d of %d" % (number + 1, known.rounds), file=sys.stderr)
    print("%-4s %-45s %-4s %10s %10s  %5s  %s" % (
        "", "", "", "old", "new", "ratio", "of a round"))
    for row in rounds[0][1]:
        if any(row not in old or row not in new for old, new in rounds):
            continue
        old = statistics.median(r[0][row] for r in rounds)
        new = statistics.median(r[1][row] for r in rounds)
        each = [ratio(row[2], r[0][row], r[1][row]) for r in rounds]
        print("%-4s %-45s %-4s %10.4g %10.4g  %5.2f  %.2f to %.2f" % (
            *row, old, new, ratio(row[2], old, new), min(each), max(each)))


if __name__ == "__main__":
    main()
