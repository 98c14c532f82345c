#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# A canary for each rule of tools/tidy.py: a tree that breaks exactly that one.
"""usage: test/tidy/run.py

A clean tree must pass. Each canary changes that tree in one place and must be
reported by its own rule, in that file, and by no other rule.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
TIDY = os.path.join(ROOT, "tools", "tidy.py")
LICENCE = "SPDX-License-Identifier: MIT"


def c_file(purpose, *body):
    return "/* %s */\n/* %s */\n%s\n" % (LICENCE, purpose, "\n".join(body))


HEADER = c_file(
    "Sums.", "#ifndef BASE_SUM_H", "#define BASE_SUM_H", "",
    "/* Adds two numbers; never fails. */", "int sum(int a, int b);", "",
    "#endif")
SUM = ['#include "base/sum.h"', "", '#include "base/check.h"', "",
       "int sum(int a, int b)", "{", "    CHECK(a >= 0);", "    CHECK(b >= 0);",
       "    return a + b;", "}"]
ENGINE = ['#include "engine/log.h"', "", '#include "base/sum.h"',
          '#include "engine/files/files.h"', "",
          "int log_next(int at)", "{", "    CHECK(at >= 0);",
          "    CHECK(at < 100);", "    return sum(at, 1);", "}", "",
          "int log_row(int at)", "{", "    CHECK(at >= 0);",
          "    CHECK(at < 100);", "    return at;", "}"]
CLEAN = {
    "src/base/sum.h": HEADER,
    "src/base/sum.c": c_file("Sums.", *SUM),
    "src/engine/log.h": c_file(
        "A log.", "#ifndef ENGINE_LOG_H", "#define ENGINE_LOG_H", "",
        "/* The number after at. */", "int log_next(int at);", "", "#endif"),
    "src/engine/log.c": c_file("A log.", *ENGINE),
    "src/engine/paste.h": c_file(
        "Rows, pasted.", "#ifndef ENGINE_PASTE_H", "#define ENGINE_PASTE_H",
        "", "#define ROWS(X) X(first)",
        "#define DECLARE(name) int row_##name(int);", "ROWS(DECLARE)", "",
        "#endif"),
    "src/engine/paste.c": c_file(
        "Rows, pasted.", '#include "engine/paste.h"', "",
        "int row_first(int at)", "{", "    return at;", "}"),
    "src/engine/files/files.h": c_file(
        "A room.", "#ifndef ENGINE_ROOM_H", "#define ENGINE_ROOM_H", "",
        '#include "engine/files/bed.h"', "", "#endif"),
    "src/engine/files/bed.h": c_file(
        "In it.", "#ifndef ENGINE_BED_H", "#define ENGINE_BED_H", "",
        *["#define BED_%d %d" % (i, i) for i in range(20)], "", "#endif"),
    "src/engine/log.def": c_file("Rows of a table.", "ROW(log_row)"),
    "include/persist.h": c_file(
        "The store.", "#ifndef PERSIST_H", "#define PERSIST_H", "",
        "/* Opens it; returns 0 or an error. */", "int persist_open(void);",
        "", "#endif"),
    "lib/a.sx": "; %s\n; A library.\n(define a 1)\n" % LICENCE,
    "tools/a.py": "#!/usr/bin/env python3\n# %s\n# A tool.\nprint(1)\n"
                  % LICENCE,
    "scripts/a": "#!/bin/sh\n# %s\n# A script.\necho 1\n" % LICENCE,
    "docs/a.md": "# A page of `log_next`, in `engine/log.c`\n",
    "docs/ARCHITECTURE.md": "# The folders\n\n0  base\n0  engine/files\n"
                            "1  engine          base engine/files\n",
}


def add(path, *lines):
    """A change: more lines of C at the end of a file of the clean tree."""
    return path, CLEAN[path] + "\n".join(lines) + "\n"


def body(*lines):
    """A change: a static function with these lines, and enough CHECKs."""
    return add("src/engine/log.c", "", "static int more(int at)", "{",
               "    CHECK(at >= 0);", "    CHECK(at < 100);", *lines,
               "    return at;", "}")


def swap(path, old, new):
    assert old in CLEAN[path]
    return path, CLEAN[path].replace(old, new, 1)


MANY_MORE = [line for name in "abcdefghijklmnopq" for line in
             ("", "static int %s(void)" % name, "{", "    return 1;", "}")]

PLAIN = "scripts/plain"  # is never executable

# (rule, (changed file, its new text)[, path that the message names])
CANARIES = [
    ("licence", swap("src/base/sum.c", "MIT", "none")),
    ("licence", swap("src/base/sum.c", "/* Sums. */\n", "")),
    ("licence", swap("lib/a.sx", "; " + LICENCE + "\n", "")),
    ("licence", swap("tools/a.py", "# " + LICENCE + "\n", "")),
    ("licence", swap("scripts/a", "# A script.\n", "")),
    ("executable", (PLAIN, CLEAN["scripts/a"])),
    ("file_length", add("src/base/sum.h", *["#define A%d 1" % i
                                            for i in range(600)])),
    ("file_length", ("lib/a.sx", CLEAN["lib/a.sx"] + "(f)\n" * 600)),
    ("width", ("lib/a.sx", CLEAN["lib/a.sx"] + "(%s)\n" % ("a" * 80))),
    ("width", add("tools/a.py", "a = '%s'" % ("a" * 80))),
    ("white_space", ("docs/a.md", "# A page \n")),
    ("white_space", ("docs/a.md", "# A page")),
    ("workplace", ("docs/a.md", "See /wor" + "k/main.\n")),
    ("workplace", ("docs/a.md", "See ../sha" + "red/x.\n")),
    ("workplace", ("docs/a.md", "See .libr" + "ary/x.\n")),
    ("seeded_bug", body("    at += SEEDED_BUG(ONE_MORE);")),
    ("python_function", ("tools/a.py", CLEAN["tools/a.py"] + "def f():\n" +
                         "    print(1)\n" * 70)),
    ("function_length", body(*["    at++;"] * 70)),
    ("include_level", swap("src/base/sum.c", '#include "base/check.h"',
                           '#include "engine/log.h"')),
    ("include_level", swap("src/engine/log.c", "files.h\"\n",
                           "files.h\"\n#include \"sx/value.h\"\n")),
    ("include_level", swap("src/engine/log.c", "files.h\"\n",
                           "files.h\"\n#include \"sx.h\"\n")),
    ("include_level", swap("include/persist.h", "/* Opens",
                           '#include "base/sum.h"\n\n/* Opens')),
    ("include_circle", swap("src/base/sum.h", "/* Adds",
                            '#include "base/sum.h"\n\n/* Adds')),
    ("outside_effect", body('    open("a", at);')),
    ("outside_effect", body("    at = (int)time(NULL);")),
    ("outside_effect", body('    printf("%d", at);')),
    ("outside_effect", body("    at = connect(at, NULL, 0);")),
    ("outside_effect", body('    getenv("HOME");')),
    ("outside_effect", body("    exit(at);")),
    ("outside_effect", swap("src/engine/log.c", '#include "base/sum.h"',
                            '#include <unistd.h>\n\n#include "base/sum.h"')),
    ("memory", body("    free(malloc(1));")),
    ("unsafe_call", body("    strcpy(NULL, NULL);")),
    ("unsafe_call", body("    at = atoi(NULL);")),
    ("comment_share", body(*["    /* so */"] * 12)),
    ("comment_share", add("src/base/sum.h", *["/* so */"] * 40), "src"),
    ("documented", swap("src/base/sum.h",
                        "/* Adds two numbers; never fails. */\n", "")),
    ("documented", swap("include/persist.h", "#endif",
                        "int persist_close(void);\n\n#endif")),
    ("declared", swap("src/engine/log.c", "log_next", "log_other")),
    ("declared", swap("src/engine/paste.c", "row_first", "row_second")),
    ("check_average", ("src/engine/log.c",
                       CLEAN["src/engine/log.c"].replace("CHECK", "sum")),
     "src/engine"),
    ("check_average", add("src/base/sum.c", *MANY_MORE), "src"),
    ("room_face", swap("src/engine/log.c", "files/files.h", "files/bed.h")),
    ("graph_drawn", ("docs/ARCHITECTURE.md", "# The folders\n\n0  base\n")),
    ("doc_names", ("docs/a.md", "# A page of `log_last`\n")),
    ("doc_names", ("docs/a.md", "# A page of `engine/wood.c`\n")),
    ("doc_names", add("src/base/sum.h", "/* See wood.c. */")),
    ("clang_format", swap("src/base/sum.c", "    return a + b;",
                          "  return a+b;")),
]

# What looks forbidden and is not.
ALLOWED = [
    body("    /* open(a), malloc(1), strcpy(b) */"),
    body('    const char *a = "open(free(printf()))";', "    at += a[0];"),
    body("    os->open(at);", "    os.unlink(at);"),
    add("src/engine/log.c", "", "static void send(int at)", "{",
        "    CHECK(at >= 0);", "    CHECK(at < 100);", "    send(at);", "}"),
    swap("include/persist.h", "#endif",
         "int persist_close(void); /* Closes it. */\n\n#endif"),
    swap("src/base/sum.h", "/* Adds two",
         "/* A callback. */\ntypedef int (*sum_fn)(int);\n\n/* Adds two"),
]


def tidy(files):
    """Runs tidy on a tree of these files; returns its messages and result."""
    with tempfile.TemporaryDirectory(prefix="tidy-") as root:
        shutil.copy(os.path.join(ROOT, ".clang-format"), root)
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)),
                        exist_ok=True)
            with open(os.path.join(root, path), "w") as f:
                f.write(text)
                if text.startswith("#!") and path != PLAIN:
                    os.fchmod(f.fileno(), 0o755)
        run = subprocess.run([sys.executable, TIDY, root], text=True,
                             capture_output=True)
    found = re.findall(r"^([^:\n]+):\d+: (\w+): ", run.stdout, re.M)
    return set(found), run.returncode, run.stdout + run.stderr


def check(name, files, wanted, warnings=()):
    found, code, output = tidy(files)
    right = found == wanted and (code == 1) == any(
        rule not in warnings for _, rule in wanted)
    if not right:
        print("%s: wanted %s, got %s, exit %d\n%s" % (
            name, sorted(wanted), sorted(found), code, output))
    return right


def main():
    rules = subprocess.run([sys.executable, TIDY, "--list"], text=True,
                           capture_output=True, check=True).stdout.split()
    warnings = subprocess.run([sys.executable, TIDY, "--warnings"], text=True,
                              capture_output=True, check=True).stdout.split()
    results = [check("the clean tree", CLEAN, set())]
    for number, (path, text) in enumerate(ALLOWED):
        results.append(check("allowed %d" % number,
                             {**CLEAN, path: text}, set()))
    for number, (rule, (path, text), *place) in enumerate(CANARIES):
        results.append(check("canary %d, %s" % (number, rule),
                             {**CLEAN, path: text},
                             {((place or [path])[0], rule)}, warnings))
    for rule in set(rules) - {canary[0] for canary in CANARIES}:
        print("the rule %s has no canary" % rule)
        results.append(False)
    print("%d passed, %d failed" % (results.count(True),
                                    results.count(False)))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
