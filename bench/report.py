#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Makes RESULTS.md and ratios.svg of the table that build/bench/engines wrote.
"""usage: bench/report.py TABLE.tsv FOLDER [US=TABLE.tsv ...]

The tables behind the folder are of disks in memory whose flush takes so many
microseconds."""

import html
import math
import os
import platform
import re
import subprocess
import sys

PACKAGES = {"SQLite": "libsqlite3-0", "LMDB": "liblmdb0",
            "RocksDB": "librocksdb-dev", "LevelDB": "libleveldb1d",
            "WiredTiger": "libwiredtiger-dev", "tkrzw": "libtkrzw1"}
FIELDS = "work what unit ours raw ratio goal_ratio goal verdict peers".split()


def load(path):
    rows, limits, about = [], [], []
    with open(path, encoding="utf-8") as f:
        for line in f:
            kind, *fields = line.rstrip("\n").split("\t")
            if kind == "row":
                rows.append(dict(zip(FIELDS, fields)))
            elif kind == "limit":
                limits.append(fields)
            else:
                about = fields
    return rows, limits, about


# ---- the machine ---------------------------------------------------------

def first_match(path, pattern, default):
    try:
        with open(path, encoding="utf-8") as f:
            found = re.search(pattern, f.read(), re.M)
    except OSError:
        return default
    return found[1] if found else default


def output_of(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True,
                              check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def machine(folder):
    cpu = first_match("/proc/cpuinfo", r"^model name\s*:\s*(.+)$",
                      platform.machine())
    memory = int(first_match("/proc/meminfo", r"^MemTotal:\s*(\d+)", "0"))
    system = first_match("/etc/os-release", r'^PRETTY_NAME="(.+)"$', "")
    files = output_of("df", "--output=fstype", folder).split("\n")[-1]
    if os.environ.get("MEMORY"):
        files += " in memory (a loop device on tmpfs)"
    return "%s, %d cores, %d GB, %s, Linux %s, %s" % (
        cpu, os.cpu_count(), round(memory / 1e6), system,
        re.match(r"[\d.]*\d", platform.release())[0], files)


def versions():
    found = []
    for name, package in PACKAGES.items():
        version = output_of("dpkg-query", "-W", "-f", "${Version}", package)
        if version:
            found.append("%s %s" % (name, version.split("-")[0].split("+")[0]))
    return ", ".join(found)


# ---- RESULTS.md ----------------------------------------------------------

HEAD = """# Measured

Written by `make bench`; every figure is the median of {rounds} rounds, in
which the engines take turns on one machine. The same work for each: {events:,}
events (or keys) of about 200 bytes of s-expression text, 100 streams, every
commit synced, every byte read looked at and compared by count and checksum.
How each engine is set up stands in its adapter, `bench/peers/engine_*.c`.

Machine: {machine}. Peers: {versions}.

![ratios to the best peer](ratios.svg)

A ratio is to the best peer (to the machine's limit where the goal says raw);
above 1 we are ahead, whichever way the unit counts; where the goal says own, it
is to that row of ours. "Raw" is the same bytes
without an engine: written and synced into a file whose blocks are there, or
read from memory.

| | work | unit | ours | peers, best first | raw | ratio | goal | |
|---|---|---|---|---|---|---|---|---|
"""

NOTES = """
The machine alone: {limits}.

- W3 is the best of the passes of a second, after a first one: an engine
  that still merges after the load may end that.
- W3b by two threads: both rates together, a session for each thread.
- W3c is one stream of a hundredth of all events, open and close included, in a
  new process; then with the database's files taken out of the page cache
  (fsync and `posix_fadvise`, which needs no root).
- W3d has no peer: none keeps an order over all streams without another table.
- W4 with a million keys leaves plain SQLite out: it takes half a minute a
  round, and tuned it is faster in each row.
- W4, gets and keys in order: first a second of each that does not count, which
  an engine that still merges after the load may use to end that; then the best
  quarter of a second of gets, and the best of the passes of a second.
- W5: a second of appends by 16 threads, each to its own stream.
- W5b: commits that are not waited for, and one sync after each 1,024; LevelDB,
  RocksDB and WiredTiger can do it, LMDB and SQLite cannot without giving up
  safety.
- W6: the process that loads W2 is killed half-way; a new one opens and reads
  one event. Then, not timed, all is read: every acknowledged commit must be
  there, each whole.
- W7: `write_bytes` less `cancelled_write_bytes` of `/proc/self/io`, that is
  pages that the process made dirty and that were not given up before they were
  written, its threads included; kept is what the files occupy after the close.
  Both by payload byte.
- Compressed: ours with the option on (zstd, level 1; it is off by default),
  the peers as they are: LevelDB and RocksDB compress by default (snappy), the
  others do not. Uncompressed, what is written cannot be under 2: each event is
  written once to the log and once to a table.
- W9 is `build/bench/host_bench`: one evaluation of 100,000 appends, then one
  read.
- Q1 to Q3: each event has a tag of each of three kinds, each of which has a
  tenth as many tags as there are events, so that each tag has ten events,
  scattered over all. Two tags: of their ten events each, five are of both.
  Before Q2 is measured, all events are found by one tag each, and compared. Q3,
  in the same database: 16 threads take two tags by chance, read the events
  that have both, and append one more on condition that none came meanwhile;
  each to a stream of its own; then the same without reading, on condition that
  none came since a position that the thread has asked for. "Own" is the same
  work without tags: W2 and, on an empty store, W5.
- tkrzw keeps no log: after each commit it writes the pages of the tree anew
  at the end of its file.
- W10: the peak of RssAnon, looked at from outside every 10 ms: memory without
  mapped files. The last row is {many}.
"""


SLOW = """
## Where a flush is slow

The same engines with their files in memory, where whatever makes bytes durable
waits for a flush of one disk, which takes so long: see
`bench/peers/slow_disk.c`. A sleep of the machine ends later than it should, as
raw of W1 shows. A flush of such a disk serves all who came before it began:
what 16 threads can do at best is 16 commits a flush, and an engine whose
threads take turns in two groups does 8, so that nobody can be more than twice
ahead there.

| flush | | work | unit | ours | peers, best first | raw | ratio | goal | |
|---|---|---|---|---|---|---|---|---|---|
"""


def cells_of(row):
    ratio = "" if row["ratio"] == "-" else "%.2f" % float(row["ratio"])
    return [row["work"], row["what"], row["unit"], row["ours"], row["peers"],
            row["raw"].replace("-", ""), ratio, row["goal"], row["verdict"]]


def slow_disks(tables):
    text = SLOW if tables else ""
    for table in tables:
        us, path = table.split("=", 1)
        for row in load(path)[0]:
            text += "| %s us | %s |\n" % (us, " | ".join(cells_of(row)))
    return text


def results(rows, limits, about, folder):
    rounds, events, streams, keys = about
    text = HEAD.format(rounds=rounds, events=int(events),
                       machine=machine(folder), versions=versions())
    for row in rows:
        text += "| %s |\n" % " | ".join(cells_of(row))
    many = "{:,} streams of one event, then {:,} keys".format(
        int(streams), int(keys))
    return text + NOTES.format(
        many=many,
        limits=", ".join("%s %s %s" % tuple(fields) for fields in limits))


# ---- ratios.svg ----------------------------------------------------------

LEFT, RIGHT, TOP, STEP, WIDTH = 350, 70, 74, 24, 860
LOW, HIGH = 0.1, 10.0
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-size: 16px; font-weight: 600 }
.dim { fill: #6e7781; font-size: 12px }
.grid { stroke: #d0d7de; stroke-width: 1 }
.one { stroke: #57606a; stroke-width: 1.5 }
rect { fill: #8c959f } .reached { fill: #2f81f7 } .behind { fill: #d4823a }
.goal { stroke: #24292f; stroke-width: 2.5 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .dim { fill: #9198a1 } .grid { stroke: #30363d }
.one { stroke: #9198a1 } .goal { stroke: #e6edf3 } }
"""


def x_of(ratio):
    share = math.log(min(max(ratio, LOW), HIGH) / LOW) / math.log(HIGH / LOW)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def element(name, text=None, **attributes):
    attributes = "".join(
        ' %s="%s"' % (key.rstrip("_").replace("_", "-"),
                      "%.1f" % value if isinstance(value, float) else value)
        for key, value in attributes.items())
    if text is None:
        return "<%s%s/>" % (name, attributes)
    return "<%s%s>%s</%s>" % (name, attributes, html.escape(text), name)


def bar(row, y):
    ratio, goal = float(row["ratio"]), float(row["goal_ratio"])
    one, end = x_of(1.0), x_of(ratio)
    middle = y + STEP / 2 + 4
    against = "raw" if row["goal"].endswith("raw") else \
        row["goal"].split()[-1] if " own " in row["goal"] else \
        "the LSM trees" if row["goal"].endswith("LSM") else ""
    label = row["what"] + (" (to %s)" % against if against else "")
    yield element("text", row["work"], x=12, y=middle, class_="dim")
    yield element("text", label, x=46, y=middle)
    yield element("rect", x=min(one, end), y=y + 5.0, rx=2,
                  width=max(abs(end - one), 1.5), height=STEP - 10,
                  class_=row["verdict"])
    if LOW <= goal <= HIGH:
        yield element("line", x1=x_of(goal), x2=x_of(goal), y1=y + 2.0,
                      y2=y + STEP - 2.0, class_="goal")
    far = max(one, end, x_of(goal) if goal > 0 else 0)
    shown = "%.2g" % ratio if ratio < 1 else \
        "%.2f" % ratio if ratio < 10 else "%.0f" % ratio
    yield element("text", shown + "×", x=far + 7, y=middle, class_="dim")


def chart(rows):
    rows = [row for row in rows if row["ratio"] not in ("-", "nan")]
    bottom = TOP + STEP * len(rows)
    parts = [element("text", "Times ahead of the best peer", x=12, y=26,
                     class_="title"),
             element("text", "1× is level; the upright mark is the goal, blue: "
                     "reached; logarithmic, cut at 0.1× and 10×",
                     x=12, y=46, class_="dim")]
    for ratio in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0):
        x = x_of(ratio)
        parts.append(element("line", x1=x, x2=x, y1=TOP - 4, y2=bottom,
                             class_="one" if ratio == 1 else "grid"))
        parts.append(element("text", "%g×" % ratio, x=x, y=TOP - 9,
                             class_="dim", text_anchor="middle"))
    for i, row in enumerate(rows):
        parts.extend(bar(row, TOP + STEP * i))
    return '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" ' \
        'width="%d" role="img" aria-label="ratios to the best peer">\n' \
        "<style>%s</style>\n%s\n</svg>\n" % (
            WIDTH, bottom + 12, WIDTH, STYLE, "\n".join(parts))


def main():
    if len(sys.argv) < 3 or any("=" not in t for t in sys.argv[3:]):
        sys.exit(__doc__)
    rows, limits, about = load(sys.argv[1])
    folder = sys.argv[2]
    measured = results(rows, limits, about, folder)
    for name, text in (("RESULTS.md", measured + slow_disks(sys.argv[3:])),
                       ("ratios.svg", chart(rows))):
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        print("wrote", path)


if __name__ == "__main__":
    main()
