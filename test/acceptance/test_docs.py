#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# What the pages say is so: the tour as printed, links, parts, examples.
import glob
import os
import re
import subprocess
import unittest

from client import (ROOT, SANITIZED, SERVER, Case, append, main,
                    quote)

BUILD = os.path.abspath(os.path.dirname(SERVER))


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def blocks(page):
    """The indented blocks of a page."""
    found, lines = [], []
    for line in page.split("\n") + ["end"]:
        if line.startswith("    ") or (lines and not line):
            lines.append(line[4:])
        elif lines:
            found.append("\n".join(lines).rstrip() + "\n")
            lines = []
    return found


class Tour(Case):
    def setUp(self):
        super().setUp()
        self.blocks = blocks(read("README.md"))

    def test_the_tour_works_as_printed(self):
        tour = [b for b in self.blocks if b.startswith("(load")][0]
        commands = re.split(r"^(?=\((?:load|eval) )", tour, flags=re.M)[1:]
        self.assertGreaterEqual(len(commands), 10)
        s = self.serve(cwd=ROOT)
        for text in commands:
            command, *wanted = text.rstrip("\n").split("\n")
            s.send(command)
            self.assertEqual([s.line() for _ in wanted], wanted, command)
        self.end(s)
        self.assertEqual(bytes(s.buffer), b"")
        self.look(next(b for b in self.blocks if b.startswith("$ build/")))

    def look(self, block):
        """The lines for the shell that follow the tour, on its store."""
        for text in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, wanted = text.split("\n", 1)
            command = command.replace("build/", BUILD + "/").replace(
                "/tmp/tour", self.store)
            run = subprocess.run(command.split(), capture_output=True,
                                 text=True, timeout=60)
            self.assertEqual((run.returncode, run.stdout), (0, wanted))


class Library(Case):
    """LIBRARY.md: the example of a rule over many streams keeps it."""

    def setUp(self):
        super().setUp()
        self.s = self.serve()
        self.s.load("lib/persist")
        self.s.eval("(define b (persist/durable-backend))")
        self.s.eval(next(b for b in blocks(read("docs", "LIBRARY.md"))
                         if b.startswith("(define (enrol ")))

    def enrol(self, course, student):
        return self.s.eval("(let ((r (enrol b %s %s))) (if (dict? r) "
                           "(get r :committed) r))"
                           % (quote(course), quote(student)))

    def test_nobody_is_taken_twice(self):
        self.assertEqual(self.enrol("sx", "ann"), "true")
        self.assertEqual(self.enrol("sx", "ann"), '"there already"')
        self.assertEqual(self.enrol("c", "ann"), "true")
        self.assertEqual(self.enrol("sx", "bob"), "true")

    def test_no_student_is_a_course(self):
        self.assertEqual(self.enrol("sx", "c"), "true")
        self.assertEqual(self.enrol("c", "sx"), "true")

    def test_there_are_thirty_places(self):
        for n in range(30):
            self.assertEqual(self.enrol("sx", "s%d" % n), "true")
        self.assertEqual(self.enrol("sx", "one more"), '"full"')


class Operating(Case):
    """OPERATING.md: its commands, one after the other, give what is there."""

    def setUp(self):
        super().setUp()
        s = self.serve(store=self.dir + "/st")
        for seq in (1, 2, 3):
            s.eval(append("orders", seq, quote("d%d" % seq)))
        s.perform("blob/put", quote("b" * 100000), "nil")
        self.end(s)
        for folder in ("streams", "kv"):
            os.makedirs(self.dir + "/old/" + folder)
        for name, text in (
                ("streams/6f.log", '{:stream "o" :seq 1 :type 1 :at 1 :data 1}'
                 '\n{:stream "o" :seq 2 :type 1 :at 1 :data 1}\n'),
                ("streams/6f.seq", "2"), ("kv/6b", "1")):
            with open(self.dir + "/old/" + name, "w") as f:
                f.write(text)

    def test_the_commands_work_as_printed(self):
        count = 0
        for block in blocks(read("docs", "OPERATING.md")):
            for text in re.split(r"^\$ ", block, flags=re.M)[1:]:
                command, wanted = text.split("\n", 1)
                run = subprocess.run(
                    ["sh", "-c", command], cwd=self.dir, text=True,
                    capture_output=True, timeout=60,
                    env={**os.environ,
                         "PATH": BUILD + ":" + os.environ["PATH"]})
                self.assertEqual((run.returncode, run.stdout, run.stderr),
                                 (0, wanted.rstrip("\n") + "\n"
                                  if wanted.strip() else "", ""), command)
                count += 1
        self.assertGreater(count, 15)

    def test_the_original_outlives_its_copies(self):
        self.test_the_commands_work_as_printed()
        for name in ("st", "snapshot", "backup", "bare", "unpacked/st"):
            s = self.serve(store=os.path.join(self.dir, name))
            self.assertEqual(s.perform("persist/last-seq", '"orders"'), "3")
            s.eval(append("orders", 4))
            self.end(s)


class Language(Case):
    """LANGUAGE.md: what it shows runs, and what it names is there."""

    def setUp(self):
        super().setUp()
        self.page = read("docs", "LANGUAGE.md")
        self.server = self.serve()

    def spans(self, text):
        return re.findall(r"`([^`]+)`", text)

    def test_examples_of_forms_give_what_is_beside_them(self):
        rows = re.findall(r"^\| (`.*`) \| `([^`]*)` \|", self.page, re.M)
        self.assertGreater(len(rows), 15)
        shown = ""
        for examples, value in rows:
            for example in self.spans(examples):
                self.gives(self.server, example, value)
                shown += example
        forms = re.findall(r'^    \{"([^"]+)", \d, ', read(
            "src", "sx", "forms.c"), re.M)
        self.assertGreater(len(forms), 18)
        for form in forms:
            self.assertIn("(" + form + " ", shown)

    def test_the_block_about_text_reads(self):
        block = blocks(self.page)[0]
        self.assertIn("#;(the next form)", block)
        shown = [re.split(" {4,}", line)[0] for line in block.splitlines()]
        self.assertGreater(len(shown), 7)
        for text in shown:
            self.server.eval("(quote (" + text + "\n))")

    def test_every_other_example_is_no_slip(self):
        prose = re.sub(r"(?m)^(\||    ).*", "", self.page)
        examples = [s for s in self.spans(prose) if s.startswith("(")]
        self.assertGreater(len(examples), 5)
        for name in ("v", "x", "s"):
            self.server.eval('(define %s "a text")' % name)
        for example in examples:
            reply = self.server.command("(eval %s)" % quote(example))
            self.assertNotRegex(
                str(reply), r"(syntax|unbound|arity|not-callable|type): ",
                example)

    def test_every_primitive_is_there(self):
        section = self.page.split("## Primitives")[1].split("\n## ")[0]
        names = {n for s in re.findall(r"\*\* `([^`]+)`", section)
                 for n in s.split()}
        self.assertGreater(len(names), 90)
        for name in names:
            self.gives(self.server, "(fn? %s)" % name, "true")
        rows = set()
        for path in glob.glob(ROOT + "/src/sx/*.c"):
            rows |= set(re.findall(r'^    \{(?:\.name = )?"([^"]+)",(?: \d+,'
                                   r'|$)', read(path), re.M))
        known = names | {"call/cc", "perform", "raise"}
        forms = set(re.findall(r'^    \{"([^"]+)", \d, ', read(
            "src", "sx", "forms.c"), re.M))
        self.assertEqual(rows - known - forms, set())


class Pages(Case):
    PAGES = [os.path.relpath(p, ROOT) for p in
             glob.glob(ROOT + "/*.md") + glob.glob(ROOT + "/docs/*.md")]

    def test_links_lead_somewhere(self):
        self.assertGreater(len(self.PAGES), 5)
        for page in self.PAGES:
            for target in re.findall(r"\]\(([^)#:]+)\)", read(page)):
                path = os.path.join(ROOT, os.path.dirname(page), target)
                self.assertTrue(os.path.exists(path), page + ": " + target)

    def test_named_files_are_there(self):
        name = re.compile(r"`((?:src|include|test|scripts|tools|examples|docs|"
                          r"lib|bench)/[\w./-]*\w)`")
        for page in self.PAGES:
            for path in name.findall(read(page)):
                self.assertTrue(any(
                    os.path.exists(os.path.join(ROOT, base, path))
                    for base in ("", "lib/persist")), page + ": " + path)

    def test_every_part_of_the_suite_is_explained(self):
        parts = subprocess.run([ROOT + "/test/run", "--list"], text=True,
                               capture_output=True, check=True).stdout.split()
        rows = re.findall(r"^\| (\w+) \|", read("docs", "HACKING.md"), re.M)
        self.assertEqual(rows[1:], parts)


class Advice(Case):
    """Commands and options that messages and pages name are there."""
    MAKE = re.compile(r"(?:^|&& )make((?: [A-Z]+=(?:\"[^\"]*\"|\S+))*)"
                      r"((?: [a-z][\w-]*(?![\w/=]))*)", re.M)
    STRANGERS = {"gdb", "rsync", "perf", "git"}

    @classmethod
    def setUpClass(cls):
        cls.help = {os.path.basename(program): subprocess.run(
            [program, "--help"], capture_output=True, text=True, check=True,
            timeout=60).stdout for program in (SERVER, BUILD + "/persist")}

    def messages(self):
        """Each string of the source, whole, with its file."""
        text = r'"(?:[^"\\\n]|\\.)*"'
        for path in glob.glob(ROOT + "/src/**/*.[ch]", recursive=True):
            code = re.sub(r"/\*.*?\*/", "", read(path), flags=re.S)
            for whole in re.findall(r"%s(?:\s+(?:[A-Z_0-9]+\s+)?%s)*" % (
                    text, text), code):
                yield path, "".join(p[1:-1] for p in re.findall(text, whole))

    def lines(self):
        """Each span and each line of a block of the pages, with its page."""
        for page in Pages.PAGES:
            text = read(page)
            for line in "".join(blocks(text)).splitlines() + re.findall(
                    r"`([^`]+)`", re.sub(r"(?m)^    .*", "", text)):
                yield page, line

    def options(self, text):
        return re.findall(r"(?<![\w-])--([a-z][a-z-]*)", text)

    def check_commands(self, where, text):
        for name, part in re.findall(r"(?<![\w/.])(?:build/)?persist ([a-z]+)"
                                     r"(?: ([a-z]+))?", text):
            kind = r"(?m)^  " + name + (" %s\\b" % part if name == "kv"
                                        else r"\b")
            self.assertRegex(self.help["persist"], kind, (where, text))

    def test_messages(self):
        count = 0
        for where, text in self.messages():
            self.check_commands(where, text)
            for option in self.options(text):
                self.assertTrue(any(option in self.options(h) for h in
                                    self.help.values()), (where, text))
                count += 1
        self.assertGreater(count, 10)

    def known(self, program):
        """What names the options of a program; of another word, of all."""
        name = os.path.basename(program)
        if name in self.help:
            return self.help[name]
        if not program.startswith("build/") and os.path.isfile(
                os.path.join(ROOT, program)):
            return read(program)
        return "".join(self.help.values()) + "".join(
            read(path) for kind in ("test/**/*.[ch]", "test/**/*.py")
            for path in glob.glob(ROOT + "/" + kind, recursive=True)
            if path != os.path.abspath(__file__))

    def test_pages(self):
        count = 0
        for where, text in self.lines():
            self.check_commands(where, text)
            for command in re.split(r" && |; |\| ", text):
                program = command.lstrip("$ ").split(" ")[0]
                if program in self.STRANGERS:
                    continue
                for option in self.options(command):
                    self.assertTrue(option in self.options(
                        self.known(program)), (where, text))
                    count += 1
        self.assertGreater(count, 50)

    def test_what_is_made(self):
        made = set(re.findall(r"(?m)^([a-z][\w-]*):", read("Makefile")))
        count = 0
        for where, text in self.lines():
            for _, names in self.MAKE.findall(text):
                for name in names.split():
                    self.assertIn(name, made, (where, text))
                    count += 1
        self.assertGreater(count, 15)


SAMPLE = r"""
#include <stdio.h>
#include <stdlib.h>
%s
static void die(const char *message)
{
    fprintf(stderr, "%%s\\n", message);
    exit(1);
}
int main(void)
{
%s
    puts("done");
}
"""


@unittest.skipIf(SANITIZED, "the libraries hold another sanitizer's calls")
class Samples(Case):
    """Lines of C, a program each: it runs, and gives back what it took."""
    FLAGS = ["-std=c17", "-Wall", "-Wextra", "-Werror", "-g", "-I",
             os.path.join(ROOT, "include")]
    LIBRARIES = [os.path.join(BUILD, "libpersist.a"),
                 os.path.join(BUILD, "libsx.a"), "-lcrypto", "-lzstd",
                 "-pthread", "-lm"]

    def run_it(self, source, code=0):
        path = os.path.join(self.dir, "sample")
        with open(path + ".c", "w", encoding="utf-8") as f:
            f.write(source)
        subprocess.run(["cc", *self.FLAGS, "-fsanitize=address,undefined",
                        "-o", path, path + ".c", *self.LIBRARIES], check=True,
                       timeout=300)
        run = subprocess.run([path], cwd=self.dir, capture_output=True,
                             text=True, timeout=60, env={
                                 **os.environ, "ASAN_OPTIONS":
                                 "detect_leaks=1"})
        self.assertEqual(run.returncode != 0, code != 0, run.stderr[-2000:])
        return run.stdout + run.stderr

    def samples(self):
        """Each block of the pages that includes a header of ours."""
        for page in Pages.PAGES:
            for block in blocks(read(page)):
                lines = block.split("\n")
                heads = [l for l in lines if l.startswith("#include")]
                if heads:
                    yield SAMPLE % ("\n".join(heads), "\n    ".join(
                        l for l in lines if l not in heads))

    def test_every_sample_of_the_pages(self):
        samples = list(self.samples())
        self.assertTrue(samples)
        for source in samples:
            self.assertEqual(self.run_it(source), "done\n")

    def test_a_leak_is_seen(self):
        for source in self.samples():
            leaky = source.replace("persist_outcome_release(&outcome);", "")
            self.assertNotEqual(source, leaky)
            self.assertIn("LeakSanitizer", self.run_it(leaky, code=1))

    def test_the_example_programs(self):
        for path in glob.glob(ROOT + "/examples/c/*.c"):
            with open(path, encoding="utf-8") as f:
                self.assertTrue(self.run_it(f.read()))


class Examples(Case):
    def test_programs_in_sx(self):
        files = sorted(glob.glob("examples/sx/*.sx", root_dir=ROOT))
        self.assertTrue(files)
        for path in files:
            s = self.serve(store=os.path.join(self.dir, os.path.basename(
                path)), cwd=ROOT)
            s.load("lib/persist")
            s.load(path)
            self.end(s)

    def test_programs_in_c(self):
        files = glob.glob("examples/c/*.c", root_dir=ROOT)
        self.assertTrue(files)
        for path in files:
            name = os.path.basename(path)[:-2]
            run = subprocess.run([os.path.join(BUILD, "examples", name)],
                                 cwd=self.dir, capture_output=True, text=True,
                                 timeout=60)
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertTrue(run.stdout, name)


if __name__ == "__main__":
    main()
