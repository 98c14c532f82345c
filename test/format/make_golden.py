#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Makes the golden stores of a new format version, once.
"""usage: BUILD=build test/format/make_golden.py

For the day when the format version is raised: makes stores and their dumps in
test/format/golden/<version>/. It never touches a version that is there: those
stores have to open for ever, as they are.
"""

import os
import sys

import stores

SHAPES = {
    "log": ("c", "segment=8192", "commits=12", "blobs=3", "packed=60"),
    "tables": ("cc", *stores.SMALL, "commits=20", "blobs=3", "packed=60"),
    "compressed": ("c", *stores.SMALL, "commits=40", "compress=1"),
    "crashed": ("cx", "segment=4096", "memtable=6000", "commits=23"),
}


def main():
    folder = os.path.join(stores.GOLDEN, str(stores.VERSION))
    if os.path.exists(folder):
        sys.exit("%s is there: raise the version, or leave it" % folder)
    os.makedirs(folder)
    for seed, (name, (rounds, *settings)) in enumerate(SHAPES.items(), 1):
        path = os.path.join(folder, name)
        stores.make(path, seed, rounds, *settings)
        with open(path + ".txt", "w") as f:
            f.writelines(line + "\n" for line in stores.by_reader(path))
        os.unlink(os.path.join(path, "lock"))


if __name__ == "__main__":
    main()
