#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Tests the tests: each bug put in on purpose must be found.
"""usage: test/crash/bugs.py [--budget SECONDS] [BUILD [NAME...]]

Builds the programs with the bugs of src/base/seeded_bug.h and test/lib/bugs.c
into BUILD/bugs, switches on one bug after the other, and runs the test that
finds it, which bugs.txt tells. Does that test not find it, the others are
tried, for --budget seconds each. Without a bug all of them must be silent, or
they prove nothing.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
PROGRAMS = ["crash_states", "faults", "model", "damage"]
STAGES = ["crash_states", "faults", "model", "damage",
          "crash_states --only long", "faults --only disks",
          "faults --only allocations"]
SILENT_SECONDS = 5
VIOLATION = re.compile(r"^(VIOLATION|ended in|stuck in)", re.M)
FAILED = re.compile(r"^\d+ passed, [1-9]\d* failed$|FAILED TEST\(S\)"
                    r"|check failed", re.M)


class Finders:
    """The tests that can be run, in a build that has the bugs."""

    def __init__(self, build):
        self.build = build

    def make(self, units):
        programs = ["crash/" + name for name in PROGRAMS] + ["sx_server"]
        programs += ["unit/" + name for name in units]
        subprocess.run(
            ["make", "--no-print-directory", "-s", "-j%d" % os.cpu_count(),
             "B=" + self.build, "CFLAGS=-DSEEDED_BUGS"] +
            [os.path.join(self.build, p) for p in programs],
            check=True, stdout=subprocess.DEVNULL)

    def bugs(self):
        """Name and text of each bug."""
        listed = subprocess.run(
            [os.path.join(self.build, "crash", PROGRAMS[0]), "--bug", "list"],
            stdout=subprocess.PIPE, text=True)
        return [line.split("\t") for line in listed.stdout.splitlines()]

    def finds(self, test, bug, budget):
        """Runs a test: `program arguments`, `file.py arguments` (of the
        acceptance tests, or beside them), or the unit
        program `name_test`."""
        words = test.split()
        unit = words[0].endswith("_test")
        outside = unit or words[0].endswith(".py")
        if unit:
            command = [os.path.join(self.build, "unit", words[0])]
        elif outside:
            command = ["python3", "test/acceptance/" + words[0]] + words[1:]
        else:
            command = [os.path.join(self.build, "crash", words[0]),
                       "--budget", str(budget)] + words[1:]
            command += ["--bug", bug] if bug else []
        # what was freed is overwritten, so that its use is seen
        environment = dict(os.environ, SEEDED_BUG=bug or "",
                           MALLOC_PERTURB_="165", TEST_WAIT="3",
                           SX_SERVER=os.path.abspath(
                               os.path.join(self.build, "sx_server")))
        output = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            errors="backslashreplace", text=True).stdout
        return bool((FAILED if outside else VIOLATION).search(output))


def recorded():
    """NAME -> test, as bugs.txt has it."""
    known = {}
    with open("test/crash/bugs.txt") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                name, test = line.split(None, 1)
                known[name] = test.strip()
    return known


def find(finders, name, test, budget):
    """Returns the test that finds a bug, or None, and the seconds it took."""
    start = time.monotonic()
    tries = [(test, budget)] if test else []
    tries += [(p, s) for s in (3, budget) for p in STAGES]
    for candidate, seconds in tries:
        if finders.finds(candidate, name, seconds):
            return candidate, time.monotonic() - start
    return None, time.monotonic() - start


def silent(finders, tests):
    """The tests that say nothing when nothing is wrong."""
    def check(test):
        return not finders.finds(test, None, SILENT_SECONDS)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(zip(tests, pool.map(check, tests)))
    for test, is_silent in results:
        if not is_silent:
            print("FAILED: %s fails without any bug" % test)
    return sum(1 for _, is_silent in results if is_silent)


def report(name, text, test, found, seconds):
    if found is None:
        print("NOT FOUND: %s: %s" % (name, text))
        return False
    note = "" if found == test else "  <- not in bugs.txt"
    print("%5.1f s  %-22s %s  (%s)%s" % (seconds, name, text, found, note),
          flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(
        usage=__doc__.split("\n", 1)[0][len("usage: "):],
        description=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--budget", type=float, default=20)
    parser.add_argument("build", nargs="?", default="build")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    finders = Finders(os.path.join(os.path.relpath(arguments.build), "bugs"))
    known = recorded()
    finders.make({t for t in known.values() if t.endswith("_test")})
    bugs = finders.bugs()
    stale = set(known) - {name for name, _ in bugs}
    if arguments.names:
        bugs = [bug for bug in bugs if bug[0] in arguments.names]
    tests = sorted({t for t in known.values()
                    if ".py" in t or t.endswith("_test")} | set(PROGRAMS))
    passed = silent(finders, tests)
    failed = len(tests) - passed + len(stale)
    for name in sorted(stale):
        print("FAILED: bugs.txt names %s, which is no bug" % name)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [(bug, pool.submit(find, finders, bug[0], known.get(bug[0]),
                                  arguments.budget)) for bug in bugs]
        found = sum(report(*bug, known.get(bug[0]), *run.result())
                    for bug, run in runs)
    missed = len(bugs) - found
    print("figure: %d bugs put in on purpose, %d found" % (len(bugs), found))
    print("%d passed, %d failed" % (passed + found, failed + missed))
    return 1 if failed + missed > 0 or found == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
