#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Tests of test/crash/bugs.py: what finds all proves nothing.
"""usage: test/runner/bugs.py

The tree that the bugs are put into is a small one, in which "compilers" copy
shell scripts.
"""

import importlib.util
import io
import os
import sys
import tempfile
import unittest
from contextlib import redirect_stdout

sys.dont_write_bytecode = True
PATH = os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "crash", "bugs.py")
spec = importlib.util.spec_from_file_location("bugs", PATH)
bugs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bugs)

MAKEFILE = """\
.SECONDARY:
$(B)/unit/sum_test: $(B)/internal/sum.a $(B)/internal/test.a
	@mkdir -p $(@D)
	@cat $^ > $@ && chmod +x $@
$(B)/internal/%.a: $(B)/src/%.o
	@mkdir -p $(@D)
	@cat $^ > $@
$(B)/src/%.o: src/%.c
	@mkdir -p $(@D)
	@sh -n $< && cp $< $@
"""
SUM = "#!/bin/sh\n# one and one\nsum=$((1 + 1))\nother=0\nother=0\n"
TEST = """\
# two
test $sum = 2 && echo "1 passed, 0 failed" || echo "0 passed, 1 failed"
"""
HEAD = "== %s: gives another sum\nfinder: unit/sum_test\n"
MORE = "--- src/sum.c\nsum=$((1 + 1))\n+++\nsum=$((1 + 2))\n\n"
NONE = "--- src/test.c\n# two\n+++\n"
BROKEN = "--- src/sum.c\nsum=$((1 + 1))\n+++\nif sum\n"


def text_of(name):
    with open(name) as file:
        return file.read()


class Tree(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(folder.name)
        for name in ("include", "test/lib", "test/crash", "test/unit",
                     "build/test/lib", "build/test/crash", "build/test/unit",
                     "src", "bugs"):
            os.makedirs(name)
        for name, text in (("Makefile", MAKEFILE), ("src/sum.c", SUM),
                           ("src/test.c", TEST), ("src/sum.h", SUM)):
            self.write(name, text)
        self.assertIsNone(bugs.make(".", "build", ["build/unit/sum_test"]))

    def write(self, name, text):
        with open(name, "w") as file:
            file.write(text)

    def read(self, *texts):
        self.write("bugs/some.txt", "# Some.\n\n" + "".join(texts))
        return bugs.all_bugs("bugs")

    def refused(self, why, *texts):
        with self.assertRaisesRegex(bugs.Malformed, why):
            bugs.check_fit(self.read(*texts))


class Texts(Tree):
    def test_what_is_told(self):
        one, two = self.read(HEAD % "more", MORE, HEAD % "none", NONE)
        self.assertEqual((one.name, one.text, one.finder), (
            "more", "gives another sum", ["unit/sum_test"]))
        self.assertEqual([c.new for c in one.changes], [["sum=$((1 + 2))"]])
        self.assertEqual([c.new for c in two.changes], [[]])
        bugs.check_fit([one, two])

    def test_arguments(self):
        (bug,) = self.read("== more: too many\nfinder: a --b 'c d'\n", MORE)
        self.assertEqual(bug.finder, ["a", "--b", "c d"])

    def test_what_is_missing(self):
        self.refused("some.txt:3: .*a finder", HEAD % "more")
        self.refused("a finder", "== more: gives another sum\n", MORE)
        self.refused("a finder", "== more\nfinder: unit/sum_test\n", MORE)
        self.refused("neither", HEAD % "more", "Some words.\n", MORE)
        self.refused("a second more", HEAD % "more", MORE, HEAD % "more", MORE)

    def test_what_does_not_fit(self):
        self.refused("stands 0 times in src/sum.c", HEAD % "more",
                     "--- src/sum.c\nsum=3\n+++\n")
        self.refused("stands 0 times", HEAD % "more",
                     "--- src/sum.c\nsum=\n+++\n")
        self.refused("stands 0 times", HEAD % "more", "--- src/sum.c\n+++\n")
        self.refused("stands 2 times", HEAD % "more",
                     "--- src/sum.c\nother=0\n+++\n")
        self.refused("not a .c file", HEAD % "more",
                     MORE.replace("sum.c", "sum.h"))
        self.refused("not a .c file", HEAD % "more",
                     MORE.replace("sum.c", "no.c"))


class Trials(Tree):
    def trial(self, text, only_make=False):
        (bug,) = self.read(HEAD % "it", text)
        return bugs.try_bug(bug, "build", only_make, "build/bugs/copy")

    def states(self):
        names = [os.path.join(folder, name)
                 for folder, _, files in os.walk("build/bugs/copy")
                 for name in files if "internal" not in folder]
        return {(name, os.stat(name).st_mtime_ns, text_of(name))
                for name in names}

    def test_a_bug_is_found_and_taken_out(self):
        bugs.copy_tree("build", "build/bugs/copy")
        before = self.states()
        self.assertTrue(self.trial(MORE).passed)
        self.assertEqual(self.states(), before)
        self.assertEqual(text_of("src/sum.c"), SUM)

    def test_after_a_bug_the_copy_has_none(self):
        self.assertTrue(self.trial(MORE).passed)
        self.assertFalse(self.trial(NONE).passed)

    def test_no_bug_is_not_found(self):
        result = self.trial(NONE)
        self.assertFalse(result.passed)
        self.assertIn("some.txt:3: NOT FOUND", result.what)
        self.assertTrue(os.path.exists("build/bugs/it/src/test.c"))

    def test_what_cannot_be_made(self):
        for only_make in (False, True):
            result = self.trial(BROKEN, only_make)
            self.assertFalse(result.passed)
            self.assertIn("cannot be made", result.what)
            os.rename("build/bugs/it", "build/bugs/was-%d" % only_make)

    def test_a_file_that_the_finder_has_no_part_in(self):
        self.write("src/other.c", "x=1\n")
        result = self.trial("--- src/other.c\nx=1\n+++\n")
        self.assertIn("no part in src/other.c", result.what)

    def test_a_finder_that_always_fails(self):
        self.write("build/unit/sum_test", "#!/bin/sh\necho 0 passed, 1 failed")
        self.assertEqual(bugs.silent([("unit/sum_test",)], "build"), [
            "FAILED: unit/sum_test: fails without any bug"])

    def finds(self, text):
        self.write("build/unit/sum_test", "#!/bin/sh\n" + text)
        return bugs.finds(("unit/sum_test",), "build", 1)

    def test_what_counts_as_found(self):
        """A later test may end the program before it counts; that it cannot
        be called so says nothing."""
        self.assertTrue(self.finds("echo '[  FAILED  ] a'; exit 1"))
        self.assertTrue(self.finds("echo '[       OK ] a'; kill -ABRT $$"))
        self.assertFalse(self.finds("echo 1 passed, 0 failed"))
        self.assertFalse(self.finds("echo usage; exit 2"))

    def test_the_last_lines_tell_what_was_not_found(self):
        read = self.read(HEAD % "none", NONE, HEAD % "more", MORE)
        with redirect_stdout(io.StringIO()) as shown:
            self.assertEqual(bugs.work(read, "build", False), 1)
        lines = shown.getvalue().rstrip().split("\n")
        self.assertRegex(lines[-2], "^FAILED: none: .*some.txt:3: NOT FOUND$")
        self.assertEqual(lines[-1], "1 passed, 1 failed")

    def test_what_the_unit_part_does_not_run_is_silent_too(self):
        head = "== %s: gives another sum\nfinder: unit/sum_test --all\n"
        read = self.read(head % "more", MORE)
        with redirect_stdout(io.StringIO()) as shown:
            self.assertEqual(bugs.work(read, "build", False), 0)
        self.assertRegex(shown.getvalue(), "no bug .*--all")
        self.assertRegex(shown.getvalue(), "\n2 passed, 0 failed\n$")


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=0, buffer=True).result
    bad = len(result.failures) + len(result.errors)
    print("%d passed, %d failed" % (result.testsRun - bad, bad))
    sys.exit(1 if bad else 0)
