#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Holds what programs were compiled against: test/abi/kept.txt.
"""usage: test/abi/run.py [-B BUILD] [--renew]

What the public headers say and the libraries hold, a line each, must be what
kept.txt says: functions and types as they are written, sizes of structs and
places of their fields, numbers of constants, names that are exported. --renew
writes the file anew. Before a release that is always right; from then on lines
may be added, and none may change (CONTRIBUTING.md, "Versions").
"""

import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
KEPT = os.path.join(ROOT, "test", "abi", "kept.txt")
STORE = ("persist_backup.h", "persist_base.h", "persist_edit.h",
         "persist_session.h", "persist_stats.h", "persist_tidy.h",
         "persist_verify.h", "persist_view.h", "persist.h")
HEADERS = STORE + ("sx.h",)
LIBRARIES = {"libpersist.a": STORE,
             "libsx.a": ("persist_base.h", "sx.h")}
COMMENT = re.compile(r"/\*.*?\*/", re.S)
LIST = re.compile(r"#define (\w+)_STATUS_LIST\(X\)(.*?[^\\])$", re.S | re.M)


def code_of(folder, name):
    """A header without comments, lines that go on joined."""
    with open(os.path.join(folder, name)) as f:
        return COMMENT.sub(" ", f.read())


def squeeze(text):
    return re.sub(r"\s+", " ", text).strip()


def statements(code):
    """What stands between semicolons outside of braces."""
    code = re.sub(r"^#(?:[^\n]*\\\n)*[^\n]*$", "", code, flags=re.M)
    code = re.sub(r'extern "C" \{', "", code)
    depth, start = 0, 0
    for i, c in enumerate(code):
        depth += (c == "{") - (c == "}")
        if c == ";" and depth <= 0:
            yield squeeze(code[start:i]).lstrip("} ")
            start = i + 1


def functions(code):
    for text in statements(code):
        found = re.match(r"[\w\s*]+?\b(\w+)\(", text)
        if found and not text.startswith("typedef"):
            yield found[1], text


def structs(code):
    """Yields name and fields."""
    for name, body in re.findall(r"typedef struct (\w+) \{(.*?)\n\} \1;", code,
                                 re.S):
        fields = []
        for declaration in body.split(";"):
            declaration = declaration.strip()
            if not declaration:
                continue
            pointer = re.search(r"\(\*(\w+)\)", declaration)
            fields += [pointer[1]] if pointer else [
                re.search(r"(\w+)(?:\[.*)?$", part.strip())[1]
                for part in declaration.split(",")]
        yield name, fields


def constants(code):
    """Names of enumerators and of macros that are numbers."""
    for body in re.findall(r"enum(?: \w+)? \{(.*?)\}", code, re.S):
        body = re.sub(r"#.*", "", body)
        for part in body.split(","):
            found = re.match(r"\s*([A-Z]\w*)\s*(=|$)", part)
            if found:
                yield found[1]
    for name, value in re.findall(r"^#define (\w+) (.+)$", code, re.M):
        if re.search(r"\d|_MAX", value) and '"' not in value:
            yield name
    for prefix, rows in LIST.findall(code):
        for name in re.findall(r"X\((\w+),", rows):
            yield prefix + "_" + name


def measure(folder, codes, work):
    """Asks the compiler for sizes, places and numbers."""
    lines = []
    for name in HEADERS:
        for struct, fields in structs(codes[name]):
            lines.append('printf("struct %s %%zu\\n", sizeof(%s));'
                         % (struct, struct))
            for field in fields:
                lines.append(
                    'printf("field %s.%s %%zu %%zu\\n", offsetof(%s, %s), '
                    'sizeof(((%s *)0)->%s));'
                    % (struct, field, struct, field, struct, field))
        for constant in constants(codes[name]):
            lines.append('printf("constant %s %%llu\\n", '
                         '(unsigned long long)%s);' % (constant, constant))
    source = os.path.join(work, "measure.c")
    with open(source, "w") as f:
        f.write("#include <stdio.h>\n")
        f.writelines('#include "%s"\n' % name for name in HEADERS)
        f.write("int main(void)\n{\n%s\n}\n" % "\n".join(lines))
    program = os.path.join(work, "measure")
    subprocess.run(os.environ.get("CC", "gcc").split() +
                   ["-std=c17", "-I" + folder, "-o", program, source],
                   check=True)
    return subprocess.run([program], check=True, capture_output=True,
                          text=True).stdout.splitlines()


def exported(path):
    text = subprocess.run(["nm", "-g", "--defined-only", path], check=True,
                          capture_output=True, text=True).stdout
    return {words[-1] for words in map(str.split, text.splitlines())
            if len(words) == 3}


def interface(folder, work):
    codes = {name: code_of(folder, name) for name in HEADERS}
    lines = measure(folder, codes, work)
    for name in HEADERS:
        lines += ["function " + text for _, text in functions(codes[name])]
        lines += ["type " + text for text in statements(codes[name])
                  if text.startswith("typedef") and "{" not in text]
    return sorted(lines)


def differences(kept, now):
    return [line for line in difflib.unified_diff(kept, now, "kept", "now",
                                                  lineterm="", n=0)
            if not line.startswith("@@")]


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def __call__(self, good, what):
        self.passed += bool(good)
        self.failed += not good
        if not good:
            print("FAILED: " + what)


def read_kept():
    if not os.path.exists(KEPT):
        return []
    with open(KEPT) as f:
        return [line.rstrip("\n") for line in f if not line.startswith("#")]


def write_kept(lines):
    with open(KEPT, "w") as f:
        f.write("# SPDX-License-Identifier: MIT\n"
                "# Made by test/abi/run.py --renew: what programs are "
                "compiled against.\n")
        f.writelines(line + "\n" for line in lines)


# Changes of a header that a program would not survive.
BREAKS = (
    ("persist.h", "    bool create; ", "    int64_t create; "),
    ("persist_edit.h", "    PERSIST_PUT = 3, ", "    PERSIST_PUT = 40, "),
    ("persist.h", "void persist_free(const void *memory)",
     "int persist_free(const void *memory)"),
    ("persist_view.h", "PERSIST_LATEST ((persist_view)2)",
     "PERSIST_LATEST ((persist_view)3)"),
    ("persist_edit.h", "typedef uint64_t persist_lsn",
     "typedef int64_t persist_lsn"),
    ("persist_edit.h", "PERSIST_NAME_SIZE_MAX 65535u",
     "PERSIST_NAME_SIZE_MAX 255u"),
    ("persist_base.h", "X(IO, 8,", "X(IO, 18,"),
    ("persist_base.h", "uint64_t expected, actual;",
     "uint64_t actual, expected;"),
    ("sx.h", "X(TYPE, 105,", "X(TYPE, 115,"),
)


def check_canaries(check, now, work):
    """Each such change must be seen."""
    include = os.path.join(ROOT, "include")
    for number, (header, old, new) in enumerate(BREAKS):
        folder = os.path.join(work, str(number))
        os.mkdir(folder)
        for name in HEADERS:
            with open(os.path.join(include, name)) as f:
                text = f.read()
            if name == header:
                check(text.count(old) == 1, "%s has not one %r" % (name, old))
                text = text.replace(old, new)
            with open(os.path.join(folder, name), "w") as f:
                f.write(text)
        check(differences(now, interface(folder, work)),
              "nobody sees %r in the place of %r" % (new, old))


def check_symbols(check, build):
    include = os.path.join(ROOT, "include")
    for library, headers in LIBRARIES.items():
        declared = {name for header in headers
                    for name, _ in functions(code_of(include, header))}
        there = exported(os.path.join(ROOT, build, library))
        check(declared <= there, "%s has no %s" % (
            library, ", ".join(sorted(declared - there))))
        check(there <= declared, "no header has %s of %s" % (
            ", ".join(sorted(there - declared)), library))


def check_cplusplus(check, build, work):
    """Programs in C++ too; where there is no such compiler, none."""
    for source, *flags in (
            ("use.cc", "-std=c++20", "-Wno-missing-field-initializers"),
            ("use11.cc", "-std=c++11"), ("use11.cc", "-std=c++20")):
        program = os.path.join(work, "use")
        command = ["g++", *flags, "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                   "-I" + os.path.join(ROOT, "include"), "-o", program,
                   os.path.join(ROOT, "test", "abi", source),
                   os.path.join(ROOT, build, "libpersist.a"),
                   os.path.join(ROOT, build, "libsx.a"),
                   "-lcrypto", "-lzstd", "-lm", "-pthread"]
        try:
            made = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            print("no g++: nothing is known of C++")
            return
        check(made.returncode == 0, "%s: %s" % (source, made.stderr))
        if made.returncode == 0:
            check(subprocess.run([program]).returncode == 0,
                  "%s does not run" % source)


def check_dialects(check, work):
    """Each header alone, in the oldest C and C++ that it is for."""
    for compiler, standard in (("gcc", "c99"), ("g++", "c++11")):
        for header in HEADERS:
            source = os.path.join(work, "alone.c")
            with open(source, "w") as f:
                f.write('#include "%s"\n#include "%s"\n' % (header, header))
            command = [compiler, "-std=" + standard, "-pedantic-errors",
                       "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                       "-I" + os.path.join(ROOT, "include"), source]
            if compiler == "g++":
                command[1:1] = ["-x", "c++"]
            try:
                made = subprocess.run(command, capture_output=True, text=True)
            except FileNotFoundError:
                print("no %s: nothing is known of it" % compiler)
                break
            check(made.returncode == 0, "%s, as %s: %s" % (
                header, standard, made.stderr))


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("-B", dest="build", default="build")
    parser.add_argument("--renew", action="store_true")
    options = parser.parse_args()
    check = Checks()
    with tempfile.TemporaryDirectory() as work:
        now = interface(os.path.join(ROOT, "include"), work)
        if options.renew:
            write_kept(now)
        changed = differences(read_kept(), now)
        check(not changed, "test/abi/kept.txt says otherwise; if the change is "
              "meant, and breaks no program of a release, test/abi/run.py "
              "--renew\n" + "\n".join(changed))
        check_canaries(check, now, work)
        check_symbols(check, options.build)
        check_cplusplus(check, options.build, work)
        check_dialects(check, work)
    print("%d passed, %d failed" % (check.passed, check.failed))
    return check.failed > 0


if __name__ == "__main__":
    sys.exit(main())
