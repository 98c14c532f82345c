#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Holds the rules of the house: prints `file:line: rule: what to do`.
"""The rules that a machine can hold, each one a small function.

usage: tools/tidy.py [--list | --warnings | ROOT]

A rule takes the tree and yields (path, line, what to do). Its name is the
function's name, and test/tidy/run.py has a tree that breaks it and no other.
"""

import ast
import os
import re
import subprocess
import sys

from folders import graph, graph_drawn, include_circle, include_level, \
    includes, line_of, room_face

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
WIDTH_MAX = 80
COMMENT_SHARE_MAX = 1 / 5
CHECKED = re.compile(r"\bCHECK(?:_STATIC|_CALLER)?\s*\(")
CHECKS_MIN = {"src": 0.35, "src/engine": 0.3}  # on average, a function

SKIPPED = {".git", "build", "persist-data", "__pycache__", "corpus",
           "golden"}
C_TREES = ("src", "include", "test", "bench", "examples", "fuzz")

EFFECT_HEADERS = re.compile(
    r"(unistd|fcntl|dirent|poll|signal|time|spawn|sys/(?!types\b)\w+"
    r"|netinet/\w+|arpa/\w+|netdb)\.h$")
EFFECT_CALLS = set("""
    open openat creat close read write pread pwrite readv writev pwritev
    fopen fdopen freopen fclose fread fwrite fprintf vfprintf printf vprintf
    puts putchar fputs fputc putc fgets fgetc getc getchar getline scanf
    fscanf fflush fseek ftell perror remove rename unlink mkdir rmdir opendir
    readdir stat fstat lstat fsync fdatasync ftruncate fallocate
    posix_fallocate mmap munmap flock fcntl ioctl socket bind listen accept
    connect send recv poll select epoll_create time clock clock_gettime
    gettimeofday nanosleep usleep sleep localtime gmtime strftime fork execv
    execve execvp posix_spawn system popen waitpid kill raise signal sigaction
    exit _exit _Exit abort getenv secure_getenv setenv unsetenv getpid
    getrandom rand random srand""".split())
# Names of others, or of files that users make, which pages may tell of.
STRANGERS = set()
# The end of a process that found its own mistake has to say so.
EFFECT_EXEMPT = {"src/base/check.c"}
MEMORY_CALLS = set("""
    malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf
    aligned_alloc posix_memalign valloc""".split())
MEMORY_EXEMPT = {"src/base/mem.c"}
UNSAFE_CALLS = set("""
    strcpy strcat sprintf vsprintf gets strtok alloca atoi atol atoll atof
    strncpy strncat scanf sscanf stpcpy tmpnam mktemp setjmp longjmp
    """.split())


class Source:
    """A file as lines; for C also without comments and string contents."""

    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), "rb") as f:
            raw = f.read()
        self.binary = b"\0" in raw
        self.text = raw.decode("utf-8", "replace")
        self.lines = self.text.split("\n")
        if self.lines and self.lines[-1] == "":
            self.lines.pop()
        self.is_c = path.endswith((".c", ".h", ".def"))
        self.code, self.comment_lines = "", set()
        if self.is_c:
            self.code, self.comment_lines = split_comments(self.text)
        self.code_lines = self.code.split("\n")

    def in_tree(self, *trees):
        return self.path.startswith(tuple(t + "/" for t in trees))

    def functions(self):
        """Yields (name, first line, last line, is static) by the style's
        braces: a body opens and closes with a brace in the first column."""
        start = None
        for number, line in enumerate(self.code_lines, 1):
            if line.rstrip() == "{":
                start = number
            elif line.rstrip() == "}" and start:
                head = self.head_of(start)
                call = re.search(r"(\w+)\s*\(", head)
                if call:
                    static = bool(re.search(r"\bstatic\b", head))
                    yield call[1], start, number, static
                start = None

    def head_of(self, brace):
        """The declarator in front of a body."""
        at = brace - 1
        while at > 0 and self.code_lines[at - 1].strip() and \
                not self.code_lines[at - 1].rstrip().endswith((";", "}")) and \
                not self.code_lines[at - 1].startswith("#"):
            at -= 1
        return " ".join(self.code_lines[at:brace - 1])


class Tree:
    def __init__(self, root):
        self.root = root
        self.sources = []
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(d for d in folders if d not in SKIPPED)
            for name in sorted(n for n in names if n not in SKIPPED):
                path = os.path.relpath(os.path.join(folder, name), root)
                if os.path.isfile(os.path.join(root, path)):
                    self.sources.append(Source(root, path))
        self.c = [s for s in self.sources if s.is_c and s.in_tree(*C_TREES)]


LITERAL_OR_COMMENT = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def split_comments(text):
    """Returns the text with comments and literals blanked, line for line, and
    the set of lines that hold nothing but comment."""
    lines = set()

    def blank(match):
        token = match[0]
        if token[0] != "/":
            if preprocessor_include(text, match.start()):
                return token
            return token[0] + " " * (len(token) - 2) + token[0]
        first = text.count("\n", 0, match.start()) + 1
        lines.update(range(first, first + token.count("\n") + 1))
        return re.sub(r"[^\n]", " ", token)

    code = LITERAL_OR_COMMENT.sub(blank, text)
    bare = code.split("\n")
    return code, {n for n in lines if not bare[n - 1].strip()}


def preprocessor_include(text, at):
    start = text.rfind("\n", 0, at) + 1
    return text[start:at].strip().replace(" ", "") == "#include"


# ---- every file ----------------------------------------------------------

def licence(tree):
    """The first line names the licence, the second the purpose."""
    marks = {".c": "/* ", ".h": "/* ", ".def": "/* ", ".sx": "; ",
             ".py": "# ", ".sh": "# "}
    for s in tree.sources:
        kind = os.path.splitext(s.path)[1]
        head = s.lines[:3]
        script = head[:1] and head[0].startswith("#!")
        mark = "# " if script else marks.get(kind)
        if mark is None or s.binary:
            continue
        head = head[1:] if script else head[:2]
        if not head or not head[0].startswith(
                mark + "SPDX-License-Identifier: MIT"):
            yield s.path, 1, "begin with the line `%sSPDX-License-" \
                "Identifier: MIT`" % mark
        elif len(head) < 2 or not re.match(
                re.escape(mark.strip()) + r"+ ?\S", head[1]):
            yield s.path, 2, "say the purpose in one line of comment"


def executable(tree):
    """What says which program runs it can be run by its name."""
    for s in tree.sources:
        path = os.path.join(tree.root, s.path)
        if s.text.startswith("#!") and not os.stat(path).st_mode & 0o111:
            yield s.path, 1, "make it executable (chmod +x)"


def file_length(tree):
    for s in tree.sources:
        code = s.path.endswith((".c", ".h", ".py", ".sh", ".sx"))
        if code and len(s.lines) > FILE_LINES_MAX:
            yield s.path, FILE_LINES_MAX + 1, \
                "split it: %d lines, %d at the most" % (
                    len(s.lines), FILE_LINES_MAX)


def width(tree):
    for s in tree.sources:
        if not s.path.endswith((".c", ".h", ".def", ".py", ".sh", ".sx")):
            continue
        for number, line in enumerate(s.lines, 1):
            if len(line) > WIDTH_MAX:
                yield s.path, number, "%d columns, %d at the most" % (
                    len(line), WIDTH_MAX)


def white_space(tree):
    for s in tree.sources:
        if s.binary:
            continue
        for number, line in enumerate(s.lines, 1):
            if line != line.rstrip():
                yield s.path, number, "take the white space off the end"
        if s.text and not s.text.endswith("\n"):
            yield s.path, len(s.lines), "end the file with a newline"


def workplace(tree):
    """The tree says nothing of the place where it was written."""
    place = re.compile("|".join(
        ("/wor" + "k/", r"\.\./sha" + "red", r"(?<![\w)\]])\.libr" + "ary")))
    for s in tree.sources:
        for number, line in enumerate(s.lines, 1):
            if place.search(line):
                yield s.path, number, "do not name the workplace"


def seeded_bug(tree):
    """Bugs put in on purpose are not in the product, not even switched off."""
    for s in tree.sources:
        for number, line in enumerate(s.lines, 1):
            if s.in_tree("src", "include") and "SEEDED_BUG" in line:
                yield s.path, number, "tell it in test/crash/bugs"


def python_function(tree):
    for s in tree.sources:
        if not s.path.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(s.text)):
            if isinstance(node, ast.FunctionDef) and \
                    node.end_lineno - node.lineno >= FUNCTION_LINES_MAX:
                yield s.path, node.lineno, "split %s: %d lines at the most" \
                    % (node.name, FUNCTION_LINES_MAX)


# ---- C -------------------------------------------------------------------

def function_length(tree):
    for s in tree.c:
        for name, first, last, _ in s.functions():
            if last - first - 1 > FUNCTION_LINES_MAX:
                yield s.path, first, "split %s: %d lines, %d at the most" % (
                    name, last - first - 1, FUNCTION_LINES_MAX)


def calls(s, names):
    """Yields (line, name) of plain calls: not of members of a struct, and not
    of the file's own static functions of that name."""
    names = names - {name for name, _, _, static in s.functions() if static}
    for match in re.finditer(r"(?<![\w.>])(\w+)\s*\(", s.code):
        if match[1] in names:
            yield line_of(s.code, match.start()), match[1]


def outside_effect(tree):
    """Files, sockets, clocks, processes, environment: src/os alone."""
    for s in tree.c:
        if not s.in_tree("src") or s.in_tree("src/os") or \
                s.path in EFFECT_EXEMPT:
            continue
        for number, name in calls(s, EFFECT_CALLS):
            yield s.path, number, "%s: ask for it through os/" % name
        for number, name in includes(s):
            if EFFECT_HEADERS.match(name):
                yield s.path, number, "<%s> belongs in src/os" % name


def memory(tree):
    for s in tree.c:
        if s.in_tree("src") and s.path not in MEMORY_EXEMPT:
            for number, name in calls(s, MEMORY_CALLS):
                yield s.path, number, "%s: use base/mem.h" % name


def unsafe_call(tree):
    for s in tree.c:
        for number, name in calls(s, UNSAFE_CALLS):
            yield s.path, number, "%s: use a call that knows the size" % name


def comment_share(tree):
    """Comments are a fifth at the most: of each .c file, and of all."""
    total = comments = 0
    for s in tree.c:
        if s.in_tree("include"):
            continue
        total += len(s.lines)
        comments += len(s.comment_lines)
        spare = 4  # a purpose in a few lines must fit into any file
        if s.path.endswith(".c") and len(s.comment_lines) > \
                spare + COMMENT_SHARE_MAX * len(s.lines):
            yield s.path, 1, "%d of %d lines are comment: let names say it" \
                % (len(s.comment_lines), len(s.lines))
    if comments > 10 + COMMENT_SHARE_MAX * total:
        yield "src", 1, "%d of all %d lines are comment" % (comments, total)


PROTOTYPE = re.compile(
    r"^(?!typedef|static|struct\s+\w+\s*\{|return|#)"
    r"[A-Za-z_][\w\s*]*?\b(\w+)\s*\([^{}]*?\)\s*"
    r"(?:__attribute__\s*\(\(.*?\)\)\s*)?;", re.M | re.S)


def prototypes(s):
    for match in PROTOTYPE.finditer(s.code):
        yield line_of(s.code, match.start()), \
            line_of(s.code, match.end()), match[1]


def has_comment(s, first, last):
    """A comment before it in its paragraph, or behind it on its lines."""
    if any("/*" in s.lines[n - 1] for n in range(first, last + 1)):
        return True
    at = first - 1
    while at > 0 and s.lines[at - 1].strip():
        if at in s.comment_lines:
            return True
        at -= 1
    return False


def documented(tree):
    """Every prototype in a header of the product has a comment."""
    for s in tree.c:
        if s.path.endswith(".h") and s.in_tree("include", "src"):
            for first, last, name in prototypes(s):
                if not has_comment(s, first, last):
                    yield s.path, first, "say what %s does, who owns what, " \
                        "which errors" % name


def declared(tree):
    """What is not static stands in a header, or as a row of a table."""
    known = {name for s in tree.c if s.path.endswith(".h")
             for _, _, name in prototypes(s)}
    for s in tree.c:
        words = set(re.findall(r"\w+", s.code))
        if s.path.endswith(".def"):
            known |= words
        if s.path.endswith(".h"):  # #define X(name) int prefix_##name(int);
            for prefix in re.findall(r"(\w+)##\w+\s*\(.*;$", s.code, re.M):
                known |= {prefix + word for word in words}
    for s in tree.c:
        if not s.in_tree("src") or not s.path.endswith(".c"):
            continue
        for name, first, _, static in s.functions():
            if not static and name != "main" and name not in known:
                yield s.path, first, "declare %s in a header or make it " \
                    "static" % name


def check_average(tree):
    """Assertions on our own mistakes, on average a function."""
    for folder, least in CHECKS_MIN.items():
        found = functions = 0
        for s in tree.c:
            if s.in_tree(folder) and s.path.endswith(".c"):
                found += len(CHECKED.findall(s.code))
                functions += sum(1 for _ in s.functions())
        if functions and found < least * functions:
            yield folder, 1, "%d CHECKs in %d functions, %.1f each wanted" % (
                found, functions, least)


FILE_NAME = re.compile(
    r"[\w./-]*?\b(\w[\w.-]*\.(?:c|h|py|sx|md|def|tsv|svg|css))\b(?!\()")
WORD_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?:\(\))?$")


def doc_names(tree):
    """Files and functions that pages name, and files that comments of C do,
    are in the tree."""
    files = {os.path.basename(s.path) for s in tree.sources}
    words = {w for s in tree.sources if not s.path.endswith(".md")
             for w in re.findall(r"\w+", s.text)}
    for s in tree.sources:
        if s.path.endswith(".md"):
            named = re.finditer(r"`([^`\n]+)`", s.text)
        elif s.in_tree("src", "include"):
            named = re.finditer(r"/\*(.*?)\*/", s.text, re.S)
        else:
            continue
        for match in named:
            yield from unknown_names(s, match, files, words)


def unknown_names(s, match, files, words):
    number = line_of(s.text, match.start())
    for name in FILE_NAME.findall(match[1]):
        if name not in files | STRANGERS and not name.startswith("NAME."):
            yield s.path, number, "there is no file %s" % name
    if s.path.endswith(".md") and WORD_NAME.match(match[1]) and \
            match[1].rstrip("()") not in words | STRANGERS:
        yield s.path, number, "there is no %s" % match[1]


def clang_format(tree):
    paths = [s.path for s in tree.c if s.path.endswith((".c", ".h"))]
    if not paths:
        return
    try:
        run = subprocess.run(
            ["clang-format", "--dry-run", "--style=file", *paths],
            cwd=tree.root, capture_output=True, text=True)
    except FileNotFoundError:
        yield ".", 1, "clang-format is missing: run scripts/deps test"
        return
    seen = set()
    for match in re.finditer(r"^(.*?):(\d+):\d+: (?:warning|error)",
                             run.stderr, re.M):
        if match[1] not in seen:
            seen.add(match[1])
            yield match[1], int(match[2]), "run make format"


RULES = [licence, executable, file_length, width, white_space, workplace,
         seeded_bug, python_function, function_length, include_level,
         include_circle, room_face, graph_drawn, doc_names, outside_effect,
         memory, unsafe_call, comment_share, documented, declared,
         check_average, clang_format]
WARNINGS = set()


def main(arguments):
    lists = {"--list": RULES, "--warnings": WARNINGS}
    if arguments and arguments[0] in lists:
        print("\n".join(rule.__name__ for rule in lists[arguments[0]]))
        return 0
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if arguments == ["--graph"]:
        print(graph(Tree(here)))
        return 0
    tree = Tree(arguments[0] if arguments else here)
    passed = failed = 0
    for rule in RULES:
        found = list(rule(tree))
        for path, line, what in found:
            print("%s:%d: %s: %s%s" % (
                path, line, rule.__name__,
                "(warning) " if rule in WARNINGS else "", what))
        broken = bool(found) and rule not in WARNINGS
        passed, failed = passed + (not broken), failed + broken
    print("%d files, %d rules" % (len(tree.sources), len(RULES)))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
