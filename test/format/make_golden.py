#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Makes the golden stores of a format version, each once.
"""usage: BUILD=build test/format/make_golden.py

For the day when the format version is raised, or may hold something new: makes
the stores, and their dumps, that test/format/golden/<version>/ does not have.
It never touches one that is there: they have to open for ever, as they are.
"""

import os

import stores

SHAPES = {
    "log": ("c", "segment=8192", "commits=12", "blobs=3", "packed=60"),
    "tables": ("cc", *stores.SMALL, "commits=20", "blobs=3", "packed=60"),
    "compressed": ("c", *stores.SMALL, "commits=40", "compress=1"),
    "crashed": ("cxxx", "segment=4096", "memtable=6000", "commits=23"),
    "tags": ("c", *stores.SMALL, "commits=30", "tagged=60"),
    "tags-crashed": ("cx", "segment=4096", "memtable=6000", "commits=23",
                     "tagged=60"),
    "imported": ("cx", *stores.SMALL, "commits=15", "imported=40"),
}


def main():
    folder = os.path.join(stores.GOLDEN, str(stores.VERSION))
    os.makedirs(folder, exist_ok=True)
    for seed, (name, (rounds, *settings)) in enumerate(SHAPES.items(), 1):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            print("%s is there" % path)
            continue
        stores.make(path, seed, rounds, *settings)
        with open(path + ".txt", "w") as f:
            f.writelines(line + "\n" for line in stores.by_reader(path))
        os.unlink(os.path.join(path, "lock"))


if __name__ == "__main__":
    main()
