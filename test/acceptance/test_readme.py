#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# The README's tour, typed line by line, must answer as printed.
import os
import subprocess

from client import ROOT, SERVER, Case, main


def block_with(text):
    """The lines of the README's indented block that begins with a text."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        lines = f.read().split("\n")
    start = lines.index("    " + text)
    end = next(i for i in range(start, len(lines))
               if not lines[i].startswith("    "))
    return [line[4:] for line in lines[start:end]]


class Tour(Case):
    def test_the_tour_answers_as_printed(self):
        shown = block_with('(load "lib/persist")')
        typed = [line for line in shown
                 if line.startswith(("(load ", "(eval "))]
        self.assertGreaterEqual(len(typed), 10)
        run = subprocess.run(
            [SERVER, "--store", self.store], cwd=ROOT, timeout=60,
            input="\n".join(typed) + "\n", capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        expected = [line for line in shown if line not in typed]
        self.assertEqual(run.stdout.split("\n"), ["(ready)"] + expected + [""])
        self.look_from_the_shell()

    def look_from_the_shell(self):
        shown = block_with("$ build/persist streams --store /tmp/tour")
        tool = os.path.join(os.path.dirname(SERVER), "persist")
        output = []
        for line in shown:
            if not line.startswith("$ "):
                continue
            output.append(line)
            words = line.split()[2:-1] + [self.store]
            run = subprocess.run([tool] + words, timeout=60,
                                 capture_output=True, text=True)
            self.assertEqual(run.returncode, 0, run.stderr)
            output += run.stdout.rstrip("\n").split("\n")
        self.assertEqual(output, shown)


if __name__ == "__main__":
    main()
