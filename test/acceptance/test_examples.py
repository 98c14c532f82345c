#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# The example programs do what their comments say, on the public libraries.
import os
import subprocess

from client import ROOT, SERVER, Case, main

EXAMPLES = os.path.join(os.path.dirname(SERVER), "examples")


class Examples(Case):
    def output(self, *command):
        run = subprocess.run(command, timeout=60, capture_output=True,
                             text=True, check=False)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout.split("\n")

    def test_events(self):
        program = os.path.join(EXAMPLES, "events")
        self.assertEqual(self.output(program, self.store), [
            "tea is number 1", "pot is number 2",
            "refused: expected number 1, found 2", "1: tea", "2: pot", ""])
        self.assertEqual(self.output(program, self.store)[-3:],
                         ["3: tea", "4: pot", ""])

    def test_seats(self):
        program = os.path.join(EXAMPLES, "seats")
        for _ in range(2):
            self.assertEqual(
                self.output(program, self.store),
                ["seat %d is taken" % n for n in range(1, 9)]
                + ["8 seats are sold, nobody has more than 2", ""])

    def test_seats_in_sx(self):
        run = subprocess.run(
            [SERVER, "--store", self.store], text=True, capture_output=True,
            input='(load "lib/persist")\n(load "examples/sx/seats.sx")\n',
            cwd=ROOT, timeout=60, check=True)
        self.assertEqual(run.stdout, "(ready)\n(ok 0)\n(ok 0)\n")
        self.assertEqual(run.stderr.split("\n"), [
            "bob: true", "ann: true", "ann, who looks again: true",
            "seats: (1 2 3 4 5 6 7 8)", "eve: sold out", ""])

    def test_embed(self):
        self.assertEqual(self.output(os.path.join(EXAMPLES, "embed")),
                         ["(0 10 100)", '"celsius is all I know"', ""])

    def test_public_names_only(self):
        for name in ("persist", "sx"):
            library = os.path.join(os.path.dirname(SERVER),
                                   "lib%s.a" % name)
            symbols = [line.split()[-1] for line in self.output(
                "nm", "-g", "--defined-only", library) if " " in line]
            self.assertGreaterEqual(len(symbols), 20)
            public = "^(%s|persist_status|persist_version)(_|$)" % name
            for symbol in symbols:
                self.assertRegex(symbol, public)


if __name__ == "__main__":
    main()
