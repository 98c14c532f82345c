#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# The options of sx_server.
import os
import subprocess

from client import SERVER, Case, append, main, perform


class Flags(Case):
    def run_server(self, *flags):
        return subprocess.run([SERVER, *flags], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=30,
                              cwd=self.dir)

    def test_help(self):
        run = self.run_server("--help")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        for word in ("--store", "--unknown-op", "--version",
                     "SX_PERSIST_DIR"):
            self.assertIn(word, run.stdout)

    def test_version(self):
        run = self.run_server("--version")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertRegex(run.stdout, r"\Asx_server \d+\.\d+\S*\n\Z")

    def test_bad_flags(self):
        for flags in (["--nope"], ["--store"], ["extra"], ["-x"], ["--store="],
                      ["--unknown-op=maybe"], ["--unknown-op"],
                      ["--store=a", "--store=b"], ["--cache", "1M", "--cache",
                                                   "1M"]):
            run = self.run_server(*flags)
            self.assertEqual((run.returncode, run.stdout), (2, ""), flags)
            self.assertIn("--help", run.stderr, flags)

    def test_names_of_options_are_whole(self):
        for flags, name in ((["--stor", "x"], "--store"),
                            (["--stor=x"], "--store"),
                            (["--un", "nil"], "--unknown-op"),
                            (["--g"], "--group"), (["--he"], "--heap-max"),
                            (["--hel"], "--help"), (["--vers"], "--version"),
                            (["--store", "a", "--comp"], "--compress")):
            run = self.run_server(*flags)
            self.assertEqual((run.returncode, run.stdout), (2, ""), flags)
            self.assertRegex(run.stderr, "whole name of the option: %s; "
                             "see sx_server --help|--he is no option;"
                             % name)
        run = self.run_server("--store", "--stor", "--version")
        self.assertEqual((run.returncode, run.stderr), (0, ""))

    def test_sizes_that_no_store_can_have(self):
        ranges = {
            "--merge-width": ("from 2 to 64, ", "65", "1", "0", "8K", "5G"),
            "--segment": ("from 4K to 1G, which", "1", "0", "2G", "5G", "x"),
            "--memtable": ("from 1 to 4294967295, which", "0", "4G", "99G"),
            "--cache": ("from 1 to 4294967295, which", "5G", "-1", "1T"),
            "--depth-max": ("from 1 to all that memory has, ", "0"),
            "--heap-max": ("from 512K to all that memory has, which", "1K",
                           "524287", "0", "")}
        for flags, why in (([option, size], why) for option, (why, *sizes)
                           in ranges.items() for size in sizes):
            run = self.run_server(*flags)
            self.assertEqual((run.returncode, run.stdout), (2, ""), flags)
            self.assertIn(flags[0] + " wants a number " + why, run.stderr)
            self.assertIn("not %s; see" % flags[1], run.stderr)

    def test_options_without_what_they_want(self):
        """The same words as those of the tool."""
        tool = os.path.join(os.path.dirname(SERVER), "persist")
        for flags, why in ((["--store"], "--store wants a value"),
                           (["--store="], "--store wants a path, not an empty "
                                          "one")):
            told = subprocess.run([tool, "stat", *flags], capture_output=True,
                                  text=True, timeout=30, cwd=self.dir).stderr
            self.assertEqual(told, "persist: %s; see persist help\n" % why)
            self.assertEqual(self.run_server(*flags).stderr,
                             "sx_server: %s; see sx_server --help\n" % why)
        for flag, why in (("--unknown-op", "--unknown-op wants a value"),
                          ("--segment", "--segment wants a value"),
                          ("--group=yes", "--group takes no value"),
                          ("--help=x", "--help takes no value"),
                          ("--stor", "write the whole name of the option: "
                                     "--store"),
                          ("--comp=1", "write the whole name of the option: "
                                       "--compress"),
                          ("--nope=1", "--nope=1 is no option"),
                          ("-s", "-s is no option")):
            run = self.run_server(flag)
            self.assertEqual(run.stderr,
                             "sx_server: %s; see sx_server --help\n" % why)
            self.assertEqual((run.returncode, run.stdout), (2, ""), flag)

    def test_the_largest_sizes_serve(self):
        for flags in (["--merge-width", "64", "--segment", "1G"],
                      ["--memtable", "4294967295", "--cache", "4294967295"]):
            run = self.run_server(*flags)
            self.assertEqual((run.returncode, run.stdout), (0, "(ready)\n"))

    def test_the_smallest_sizes_serve(self):
        s = self.serve(flags=["--merge-width", "2", "--segment", "4K",
                              "--memtable", "1", "--cache", "1",
                              "--heap-max", "512K"])
        s.eval(append("s", 1))
        self.gives(s, perform("persist/last-seq", '"s"'), "1")
        self.end(s)

    def test_no_flag_leaves_a_trace(self):
        for flags in (["--help"], ["--version"], ["--nope"], []):
            self.run_server(*flags)
        self.assertEqual(os.listdir(self.dir), [])


if __name__ == "__main__":
    main()
