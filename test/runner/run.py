#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Tests of test/run itself: a suite that cannot fail proves nothing.
import importlib.machinery
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import unittest
from contextlib import redirect_stdout

sys.dont_write_bytecode = True
PATH = os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "run")
loader = importlib.machinery.SourceFileLoader("test_run", PATH)
runner = importlib.util.module_from_spec(
    importlib.util.spec_from_loader("test_run", loader))
loader.exec_module(runner)


class Count(unittest.TestCase):
    def test_summary(self):
        self.assertEqual(runner.count("3 passed, 0 failed\n", 0), (3, 0))
        self.assertEqual(runner.count("3 passed, 2 failed\n", 1), (3, 2))

    def test_last_summary_counts(self):
        text = "9 passed, 9 failed\nmore\n3 passed, 0 failed\n"
        self.assertEqual(runner.count(text, 0), (3, 0))

    def test_summary_inside_a_line_is_none(self):
        self.assertEqual(runner.count("x 3 passed, 4 failed\n", 0), (1, 0))

    def test_good_counts_but_a_bad_end(self):
        self.assertEqual(runner.count("3 passed, 0 failed\n", 1), (3, 1))
        self.assertEqual(runner.count("3 passed, 0 failed\n", -11), (3, 1))

    def test_nothing_counted_is_a_failure(self):
        self.assertEqual(runner.count("0 passed, 0 failed\n", 0), (0, 1))

    def test_exit_code_alone(self):
        self.assertEqual(runner.count("", 0), (1, 0))
        self.assertEqual(runner.count("", 1), (0, 1))

    def test_cmocka(self):
        text = "[  PASSED  ] 5 test(s).\n[  FAILED  ] tests: 2 test(s), " \
            "listed below:\n[  FAILED  ] a\n[  FAILED  ] b\n"
        self.assertEqual(runner.count(text, 2), (5, 2))
        self.assertEqual(runner.count("[  PASSED  ] 5 test(s).\n", 0), (5, 0))


class Programs(unittest.TestCase):
    def part(self, *commands):
        programs = [("p", ["sh", "-c", c]) for c in commands]
        log = io.StringIO()
        with redirect_stdout(io.StringIO()) as shown:
            self.failures = []
            counts = runner.run_part("x", programs, dict(os.environ), log,
                                     self.failures)
        return counts, shown.getvalue(), log.getvalue()

    def test_an_empty_part_fails(self):
        self.assertEqual(self.part()[0], (0, 1))

    def test_counts_are_summed(self):
        counts, shown, log = self.part(
            "echo 2 passed, 0 failed", "echo out; echo 3 passed, 0 failed")
        self.assertEqual(counts, (5, 0))
        self.assertNotIn("out", shown)
        self.assertIn("out", log)

    def test_output_of_a_failure_is_shown(self):
        counts, shown, _ = self.part("echo why >&2; exit 3")
        self.assertEqual(counts, (0, 1))
        self.assertIn("why", shown)
        self.assertIn("exit code 3", shown)

    def test_a_killed_program_fails(self):
        self.assertEqual(self.part("kill -9 $$")[0], (0, 1))

    def test_a_program_that_is_not_there_fails(self):
        result = runner.run_program("p", ["/no/such/program"], {})
        self.assertEqual((result.passed, result.failed), (0, 1))

    def test_a_hanging_program_is_ended(self):
        runner.PROGRAM_SECONDS_MAX = 1
        counts, shown, _ = self.part("sleep 60 & sleep 60")
        self.assertEqual(counts, (0, 1))
        self.assertIn("killed", shown)

    def test_what_failed_is_told_again_in_short(self):
        self.part("echo FAIL: test_a; echo FAIL: test_b; seq 100; exit 1",
                  "echo 1 passed, 0 failed", "seq 100; exit 1")
        self.assertEqual(self.failures[:3], [
            "FAILED: x: p", "  | FAIL: test_a", "  | FAIL: test_b"])
        self.assertEqual(self.failures[3:5], ["FAILED: x: p", "  | 96"])
        self.assertEqual(self.failures[-2:], ["  | 100", "  | (exit code 1)"])

    def test_the_end_tells_what_failed(self):
        with tempfile.TemporaryDirectory() as build:
            run = subprocess.run(
                [PATH, "-B", build, "fuzz"], text=True, stdout=subprocess.PIPE)
        lines = run.stdout.rstrip().split("\n")
        self.assertRegex(lines[-1], "^0 passed, [1-9][0-9]* failed$")
        self.assertRegex(lines[-2], r"^  \| cannot be started")
        self.assertRegex(lines[-3], "^FAILED: fuzz: values$")

    def test_figures_are_shown(self):
        self.assertIn("p: 7 kills", self.part("echo figure: 7 kills")[1])


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=0).result
    bad = len(result.failures) + len(result.errors)
    print("%d passed, %d failed" % (result.testsRun - bad, bad))
    sys.exit(1 if bad else 0)
