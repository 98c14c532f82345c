# SPDX-License-Identifier: MIT
# The folders of src: which is below which, and what includes what.
"""The rules of tools/tidy.py about includes, and the graph of the folders."""

import re

# An include goes into the own folder or to a lower level (docs/ARCHITECTURE):
# the folders below each. The engine has rooms, which show one header each.
BELOW = {
    "base": "", "os": "base",
    "engine/files": "base os",
    "engine/log": "base os engine/files",
    "engine/memtable": "base os engine/files",
    "engine/table": "base os engine/files",
    "engine/blob": "base os engine/files",
    "engine/state": "base os engine/files engine/log engine/memtable "
                    "engine/table engine/blob",
    "engine/backup": "engine/state+",
    "engine/read": "engine/state+",
    "engine/upkeep": "engine/state+",
    "engine/commit": "engine/read+ engine/upkeep",
    "engine/verify": "base os engine/files engine/log engine/table "
                     "engine/blob",
    "engine": "engine/backup engine/commit+",
    "store": "base os engine engine/files engine/verify",
    "sx": "base",
    "keep": "base os engine/files engine/log store",
    "host": "base os store sx",
    "server": "base os store sx host",
    "cli": "base os engine/files store keep sx host",
}


def sees(folder):
    """The folder and those below it; X+ stands for X and those below that."""
    found = {folder}
    for name in BELOW[folder].split():
        found |= sees(name[:-1]) if name.endswith("+") else {name}
    return found


SEES = {folder: sees(folder) for folder in BELOW}
# The public headers, and who may include them.
PUBLIC = {
    "persist_backup.h": {f for f in SEES if f.startswith("engine")} |
                        {"store", "keep", "host", "server", "cli"},
    "persist_base.h": set(SEES),
    "persist_edit.h": {f for f in SEES if f.startswith("engine")} |
                      {"store", "keep", "host", "server", "cli"},
    "persist_session.h": {"store", "keep", "host", "server", "cli"},
    "persist_stats.h": {f for f in SEES if f.startswith("engine")} |
                       {"store", "keep", "host", "server", "cli"},
    "persist_tidy.h": {f for f in SEES if f.startswith("engine")} |
                      {"store", "keep", "host", "server", "cli"},
    "persist_verify.h": {f for f in SEES if f.startswith("engine")} |
                        {"store", "keep", "host", "server", "cli"},
    "persist_view.h": {f for f in SEES if f.startswith("engine")} |
                      {"store", "keep", "host", "server", "cli"},
    "persist.h": {f for f in SEES if f.startswith("engine")} |
                 {"store", "keep", "host", "server", "cli"},
    "sx.h": {"base", "sx", "host", "server", "cli"},
}
# Parts of persist.h, which other public headers may include.
PARTS = ("persist_backup.h", "persist_base.h", "persist_edit.h",
         "persist_session.h", "persist_stats.h", "persist_tidy.h",
         "persist_verify.h", "persist_view.h")
BEHIND = {"persist.h": "store", "sx.h": "sx"}

DRAWING = "docs/ARCHITECTURE.md"


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def includes(s):
    for match in re.finditer(r'^#include\s+["<]([^">]+)[">]', s.code, re.M):
        yield line_of(s.code, match.start()), match[1]


def folder_of(name):
    """Of a path from src on: a room of the engine is a folder of its own."""
    parts = name.split("/")
    deep = 2 if parts[0] == "engine" and len(parts) > 2 else 1
    return "/".join(parts[:deep]) if len(parts) > 1 else None


def include_level(tree):
    """An include goes to the own folder or to a lower level."""
    for s in tree.c:
        folder = folder_of(s.path[len("src/"):]) if s.in_tree("src") else None
        if folder is None and not s.in_tree("include"):
            continue
        if folder is not None and folder not in SEES:
            yield s.path, 1, "give the folder %s a level in tools/tidy.py" \
                % folder
            continue
        for number, name in includes(s):
            if not may_include(folder, name):
                yield s.path, number, "%s is not below %s" % (
                    name, folder or "include")


def may_include(folder, name):
    """folder is None for include/, whose headers gather what begins alike."""
    target = folder_of(name)
    if folder is None:
        return name in PARTS or not (target in SEES or name in PUBLIC)
    if name in PUBLIC:
        return folder in PUBLIC[name]
    return target not in SEES or target in SEES[folder]


def room_face(tree):
    """Of a room of the engine others include the header of its name alone."""
    for s in tree.c:
        own = folder_of(s.path[len("src/"):]) if s.in_tree("src") else None
        for number, name in includes(s):
            room = folder_of(name)
            if own is not None and own != room and name.count("/") > 1 and \
                    name != "%s/%s.h" % (room, room.split("/")[-1]):
                yield s.path, number, "%s is inside of a room: include " \
                    "%s/%s.h" % (name, room, room.split("/")[-1])


def graph(tree):
    """The folders of src, lowest first, and what each includes of the others,
    but for what one of those includes itself."""
    edges = {folder_of(s.path[len("src/"):]): set()
             for s in tree.c if s.in_tree("src")}
    for s in tree.c:
        own = folder_of(s.path[len("src/"):]) if s.in_tree("src") else None
        for _, name in includes(s) if own in SEES else ():
            other = folder_of(name) or BEHIND.get(name)
            if other in edges and other in SEES[own] - {own}:
                edges[own].add(other)
    levels = {}

    def level(folder, above=()):
        if folder in above:
            raise SystemExit("a circle: " + " -> ".join((*above, folder)))
        if folder not in levels:
            levels[folder] = 1 + max(
                [level(f, (*above, folder)) for f in edges.get(folder, ())],
                default=-1)
        return levels[folder]

    def below(folder):
        return edges.get(folder, set()).union(
            *(below(f) for f in edges.get(folder, ())))

    for folder in edges:
        level(folder)
    lines = []
    for folder in sorted(edges, key=lambda f: (levels[f], f)):
        direct = edges[folder] - set().union(*map(below, edges[folder]))
        lines.append("%d  %-15s %s" % (
            levels[folder], folder, " ".join(
                sorted(direct, key=lambda f: (-levels[f], f)))))
    return "\n".join(line.rstrip() for line in lines)


def graph_drawn(tree):
    """The page that draws the folders draws those that there are."""
    for s in tree.sources:
        if s.path == DRAWING and graph(tree) not in s.text:
            yield s.path, 1, "put in what `make graph` prints"


def include_circle(tree):
    paths = {s.path for s in tree.c}
    edges = {}
    for s in tree.c:
        named = (n for _, n in includes(s))
        edges[s.path] = [p for n in named
                         for p in ("src/" + n, "include/" + n) if p in paths]
    done, trail = set(), []

    def visit(path):
        if path in trail:
            yield path, 1, "break the circle " + " -> ".join(
                trail[trail.index(path):] + [path])
        elif path not in done:
            trail.append(path)
            for below in edges[path]:
                yield from visit(below)
            trail.pop()
            done.add(path)

    for path in sorted(edges):
        yield from visit(path)
