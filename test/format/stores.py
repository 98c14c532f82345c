# SPDX-License-Identifier: MIT
# What the test of the format and the maker of golden stores share.
"""Makes stores by the engine, and dumps them by both readers."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
GOLDEN = os.path.join(ROOT, "test", "format", "golden")
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import read_store  # noqa: E402: found by the path above
from store_files import (VERSION, StoreError,  # noqa: E402, F401
                         load_manifest)

# Small limits: tables, merges and many segments after a few commits.
SMALL = ["segment=4096", "memtable=2000", "width=3"]


def run(program, *arguments, **options):
    return subprocess.run([os.path.join(BUILD, *program), *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=300, check=False, **options)


def make(path, seed, rounds, *settings):
    """Returns what is to be asked for in a dump."""
    made = run(("format", "store"), "make", path, str(seed), rounds, *settings)
    if made.returncode:
        raise RuntimeError("no store was made: " + made.stderr)
    return made.stdout


def by_engine(path, asked):
    """The lines of the engine's dump, None if it refuses, and why."""
    dump = run(("format", "store"), "dump", path, input=asked)
    if dump.returncode not in (0, 3):
        raise RuntimeError("the engine died: %s" % dump.stderr)
    return (None if dump.returncode else sorted_ends(dump.stdout.splitlines()),
            dump.stderr)


def sorted_ends(lines):
    """Those that were asked for come last, in no order."""
    asked = [x for x in lines if x.startswith(("command ", "blob "))]
    return lines[:len(lines) - len(asked)] + sorted(set(asked))


# Lsns that are asked for: from one start, and from where openings begin.
PROBES = [(i << 24) + j for i in range(8) for j in range(1, 33)]


def by_reader(path):
    store = read_store.Store(path)
    return sorted_ends(["lsn %d lost" % n for n in PROBES if store.is_lost(n)]
                       + list(read_store.as_text(store)))
