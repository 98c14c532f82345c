#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Tests the tests: each bug put in on purpose must be found.
"""usage: test/crash/bugs.py [-B BUILD] [--part I/N] [--list|--check] [NAME...]

A bug is a change of the source, told in test/crash/bugs/*.txt; README.md there
tells the form. Each is put into a copy of the tree, its finder is made there,
run, and must fail. Without a bug all finders must be silent, or they prove
nothing; `test/run unit` sees to those that are whole unit programs. The copy
with a bug that was not found stays, as BUILD/bugs/NAME.
"""

import argparse
import collections
import concurrent.futures
import glob
import os
import queue
import re
import shlex
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SOURCES = ["Makefile", "include", "src", "test/lib", "test/crash",
           "test/unit"]
OBJECTS = ["src", "test/lib", "test/crash", "test/unit", "internal"]
FIND_SECONDS = 60  # at most, for a crash program
SILENT_SECONDS = 3
HANG_SECONDS = 240  # at most, for any
FOUND = re.compile(
    r"^(VIOLATION|ended in|stuck in)|^\d+ passed, [1-9]\d* failed$"
    r"|^\[  FAILED  \] |FAILED TEST\(S\)|check failed", re.M)

Bug = collections.namedtuple("Bug", "name text finder changes place")
Change = collections.namedtuple("Change", "path old new place")
Result = collections.namedtuple("Result", "passed what")


class Malformed(Exception):
    """The text of a bug is not what it must be, or does not fit."""


# ---- reading what the bugs are --------------------------------------------


def lines_of_bugs(path):
    """Yields (place, line) from the first bug on."""
    begun = False
    with open(path) as file:
        for number, line in enumerate(file, 1):
            begun = begun or line.startswith("== ")
            if begun:
                yield "%s:%d" % (path, number), line.rstrip("\n")


def read_bugs(path):
    bugs, change, text = [], None, None
    for place, line in lines_of_bugs(path):
        if line.startswith("== "):
            name, _, what = line[3:].partition(": ")
            bugs.append(Bug(name, what, [], [], place))
            text = None
        elif line.startswith("--- "):
            change = Change(line[4:], [], [], place)
            bugs[-1].changes.append(change)
            text = change.old
        elif line == "+++" and text is not None and text is change.old:
            text = change.new
        elif text is not None:
            text.append(line)
        elif line.startswith("finder: ") and not bugs[-1].finder:
            bugs[-1].finder.extend(shlex.split(line)[1:])
        elif line:
            raise Malformed("%s: neither finder nor change: %s" % (place, line))
    return bugs


def all_bugs(folder):
    """Returns them all, in the order of the files; what they say is whole."""
    bugs = [bug for path in sorted(glob.glob(os.path.join(folder, "*.txt")))
            for bug in read_bugs(path)]
    count = collections.Counter(bug.name for bug in bugs)
    for bug in bugs:
        for text in (text for c in bug.changes for text in (c.old, c.new)):
            while text and not text[-1]:
                text.pop()
        if not (bug.text and bug.finder and bug.changes):
            raise Malformed("%s: a bug has a text, a finder, and changes: %s"
                            % (bug.place, bug.name))
        if count[bug.name] > 1:
            raise Malformed("%s: a second %s" % (bug.place, bug.name))
    return bugs


def changed(bug, root):
    """Returns path -> the lines that a file then has."""
    files = {}
    for path, old, new, place in bug.changes:
        # the copy's objects know nothing of headers
        if not path.endswith(".c") or not os.path.isfile(
                os.path.join(root, path)):
            raise Malformed("%s: not a .c file of the tree: %s" % (place, path))
        if path not in files:
            with open(os.path.join(root, path)) as file:
                files[path] = file.read().split("\n")
        lines, size = files[path], len(old)
        found = [at for at in range(len(lines)) if lines[at:at + size] == old]
        if size == 0 or len(found) != 1:
            raise Malformed(
                "%s: %s does not fit any more: its old text stands %d times "
                "in %s" % (place, bug.name, len(found) if old else 0, path))
        lines[found[0]:found[0] + size] = new
    return files


def check_fit(bugs):
    """All that do not fit are told of at once."""
    wrong = []
    for bug in bugs:
        try:
            changed(bug, ".")
        except Malformed as error:
            wrong.append(str(error))
    if wrong:
        raise Malformed("\n".join(wrong))


# ---- making and running ---------------------------------------------------


def targets(finder, build):
    """What a finder runs: a test in Python the server first, and the tool."""
    script = finder[0].endswith(".py")
    return [os.path.join(build, name)
            for name in (["sx_server", "persist"] if script else finder[:1])]


def make(folder, build, targets, *settings):
    """Returns what make says if it fails, else None."""
    environment = {k: v for k, v in os.environ.items()
                   if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    run = subprocess.run(
        ["make", "--no-print-directory", "-s", "B=" + build, *settings,
         *targets], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return run.stdout if run.returncode != 0 else None


def copy_tree(build, folder):
    for names, source, place in (SOURCES, ".", folder), (
            OBJECTS, build, os.path.join(folder, "build")):
        for name in names:
            path, to = os.path.join(source, name), os.path.join(place, name)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            # the objects of tests are there only where a finder needed them
            if os.path.exists(path):
                subprocess.run(["cp", "-a", path, to], check=True)


def put_in(bug, folder):
    """The sources that change, and their objects, are set aside."""
    for path, lines in changed(bug, folder).items():
        for file in source_and_object(path, folder):
            os.rename(file, file + ".aside")
        with open(os.path.join(folder, path), "w") as file:
            file.write("\n".join(lines))


def take_out(bug, folder):
    """As if it had never been there: not even the time of a file is another."""
    for path in {change.path for change in bug.changes}:
        for file in source_and_object(path, folder):
            os.replace(file + ".aside", file)
    shutil.rmtree(os.path.join(folder, "build", "internal"))
    for program in targets(bug.finder, "build"):
        os.unlink(os.path.join(folder, program))


def source_and_object(path, folder):
    return os.path.join(folder, path), os.path.join(
        folder, "build", path[:-len(".c")] + ".o")


def finds(finder, build, seconds):
    """Tells whether a finder fails. One that a bug kills has no last words."""
    script = finder[0].endswith(".py")
    program = targets(finder, build)[0]
    command = ["python3", *finder] if script else [program, *finder[1:]]
    if finder[0].startswith("test/acceptance/"):
        command.append("--failfast")
    if finder[0].startswith("crash/"):
        command += ["--first", "--budget", str(seconds)]
    # what was freed is overwritten, so that its use is seen; the first test
    # that fails is the last
    environment = dict(os.environ, MALLOC_PERTURB_="165", TEST_WAIT="3",
                       CMOCKA_TEST_ABORT="1",
                       SX_SERVER=os.path.abspath(program))
    try:
        run = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            errors="backslashreplace", text=True, timeout=HANG_SECONDS)
    except subprocess.TimeoutExpired:
        return True  # it does not end, which is a failure
    return run.returncode < 0 or bool(FOUND.search(run.stdout))


def try_bug(bug, build, only_make, folder):
    if not os.path.exists(folder):
        copy_tree(build, folder)
    for change in bug.changes:
        if not os.path.exists(source_and_object(change.path, folder)[1]):
            return Result(False, "%s: the finder has no part in %s"
                          % (bug.place, change.path))
    put_in(bug, folder)
    # a change may leave a function without a caller
    said = make(folder, "build", targets(bug.finder, "build"),
                "WARN=-Werror=implicit-function-declaration")
    passed = said is None and (only_make or finds(
        bug.finder, os.path.join(folder, "build"), FIND_SECONDS))
    if passed:
        take_out(bug, folder)
        return Result(True, "")
    os.rename(folder, os.path.join(build, "bugs", bug.name))
    return Result(False, "%s: %s" % (
        bug.place, "NOT FOUND" if said is None else "cannot be made:\n" + said))


# ---- the whole ------------------------------------------------------------


def tell(name, text, finder, result, seconds):
    print("%5.1f s  %-24s %s  (%s)" % (seconds, name, text, " ".join(finder)))
    if not result.passed:
        print("FAILED: " + result.what)
    sys.stdout.flush()


def first_line(name, result):
    """What is told once more at the end, which is read where the rest is cut.
    """
    return "FAILED: %s: %s" % (name, result.what.split("\n", 1)[0])


def timed(function, *arguments):
    start = time.monotonic()
    result = function(*arguments)
    return result, time.monotonic() - start


def try_all(bugs, build, only_make):
    """Returns a line for each that failed. Each worker has a copy of its own.
    """
    folder = os.path.join(build, "bugs")
    shutil.rmtree(folder, ignore_errors=True)
    copies = queue.SimpleQueue()
    for number in range(os.cpu_count()):
        copies.put(os.path.join(folder, "copy-%d" % number))

    def run(bug):
        copy = copies.get()
        result = try_bug(bug, build, only_make, copy)
        copies.put(copy)
        return result

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [(bug, pool.submit(timed, run, bug)) for bug in bugs]
        for bug, done in runs:
            tell(bug.name, bug.text, bug.finder, *done.result())
    while not copies.empty():
        shutil.rmtree(copies.get(), ignore_errors=True)
    return [first_line(bug.name, done.result()[0]) for bug, done in runs
            if not done.result()[0].passed]


def silent(finders, build):
    """Returns a line for each that fails when nothing is wrong."""
    def check(finder):
        is_silent = not finds(finder, build, SILENT_SECONDS)
        return Result(is_silent, "fails without any bug")

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [(f, pool.submit(timed, check, f)) for f in finders]
        for finder, run in runs:
            tell("no bug", "", finder, *run.result())
    return [first_line(" ".join(finder), run.result()[0])
            for finder, run in runs if not run.result()[0].passed]


def work(bugs, build, only_make):
    finders = sorted({tuple(bug.finder) for bug in bugs})
    alone = [f for f in finders if len(f) > 1 or not f[0].startswith("unit/")]
    programs = {program for f in finders for program in targets(f, build)}
    said = make(".", build, sorted(programs), "-j%d" % os.cpu_count())
    if said is not None:
        sys.exit(said + "the finders cannot be made")
    loud = [] if only_make else silent(alone, build)
    missed = try_all(bugs, build, only_make)
    found = len(bugs) - len(missed)
    passed = found + (0 if only_make else len(alone) - len(loud))
    if not only_make:
        print("figure: %d bugs put in on purpose, %d found"
              % (len(bugs), found))
    for line in loud + missed:
        print(line)
    print("%d passed, %d failed" % (passed, len(loud + missed)))
    return 1 if loud or missed or not found else 0


def main():
    parser = argparse.ArgumentParser(
        usage=__doc__.split("\n", 1)[0][len("usage: "):],
        description=__doc__.split("\n\n", 1)[1])
    parser.add_argument("-B", default="build", help="where the programs are")
    parser.add_argument("--list", action="store_true",
                        help="name the bugs; each must fit")
    parser.add_argument("--check", action="store_true",
                        help="each must fit and can be made; runs none")
    parser.add_argument("--part", default="1/1", metavar="I/N",
                        help="the Ith of every N of them")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    build = os.path.relpath(arguments.B, ROOT)
    os.chdir(ROOT)
    try:
        bugs = all_bugs("test/crash/bugs")
        unknown = set(arguments.names) - {bug.name for bug in bugs}
        if unknown:
            parser.error("no such bug: " + " ".join(sorted(unknown)))
        bugs = [b for b in bugs if not arguments.names or
                b.name in arguments.names]
        check_fit(bugs)
        turn, of = map(int, arguments.part.split("/"))
        if not 1 <= turn <= of:
            parser.error("--part is 1/1, or 2/3")
        bugs = bugs[turn - 1::of]
    except Malformed as error:
        sys.exit(str(error))
    if not arguments.list:
        return work(bugs, build, arguments.check)
    for bug in bugs:
        print("%-24s %s" % (bug.name, bug.text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
