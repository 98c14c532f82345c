#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Which call sites of the system, and of the allocator, the fault tests failed.
"""usage: test/crash/sites.py [--budget SECONDS] [BUILD]

Finds in the source every place that calls a function of src/os/os.h or that
allocates, runs test/crash/faults in a build (BUILD/sites) that keeps calls
apart, and tells which of the places no fault was put into. It fails when one
of them is not in the list of exceptions below.
"""

import argparse
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SOURCES = ["src/base/*.c", "src/os/os.c", "src/engine/*.c",
           "src/engine/*/*.c", "src/store/*.c"]

MEMORY = re.compile(
    r"\b(mem_alloc|mem_alloc_zero|mem_alloc_aligned|mem_realloc|buf_reserve|"
    r"hashmap_reserve|btree_add)\(")

# Places that no fault reaches, by file and what the line holds, and why.
LINKED = "where `lock` has a second name, unlike in the simulation: world_test"
MENDING = "only where the bytes of a blob were lost: blob_mend_test fails it"
LATE = "only of a damaged blob: blob_delete_test fails it"
LINKING = "only of backups that are linked: keep_test fails it"
SHIPPING = "only whoever follows the log: ship_test fails it"
EXCEPTIONS = {
    ("src/engine/backup/list.c", "sys->link(sys, b->dir,"): LINKING,
    ("src/engine/backup/ship.c", "buf_reserve(&s->bytes, (size_t)size)"):
        SHIPPING,
    ("src/engine/backup/ship.c", "os_read_all(s->engine->sys, file,"):
        SHIPPING,
    ("src/engine/backup/ship.c", "sys->file_open(sys, place->dir,"): SHIPPING,
    ("src/engine/backup/ship.c", "sys->file_close(sys, file);"): SHIPPING,
    ("src/store/disk_backup.c", "disk_ship *s = mem_alloc_zero(sizeof *s);"):
        SHIPPING,
    ("src/engine/blob/pack.c", "w->sys->file_close(w->sys, file);"): MENDING,
    ("src/engine/blob/pack.c",
     "w->sys->file_open(w->sys, w->dir, os_name(path),"):
        MENDING,
    ("src/engine/blob/pack.c", "w->sys->file_stat(w->sys, *out, &stat);"):
        MENDING,
    ("src/engine/blob/pack.c", "w->sys->file_close(w->sys, *out);"): MENDING,
    ("src/engine/blob/blob_mend.c", "os_read_all(b->sys, file, rooms, size,"):
        "only of a blob that an earlier opening wrote: blob_mend_test fails it",
    ("src/engine/blob/pack.c", "bytes.data, bytes.size, offset);"): MENDING,
    ("src/engine/blob/pack.c", "code = os_sync(w->sys, file);"): MENDING,
    ("src/engine/blob/blob_mend.c", "w->file, room, size, at, &got);"): MENDING,
    ("src/engine/blob/blob_mend.c", "mem_alloc((size_t)e->size)"): MENDING,
    ("src/engine/verify/verify_blob.c", "mem_alloc(sizeof *late);"): LATE,
    ("src/engine/verify/verify_blob.c", "!hashmap_reserve(&v->late)"): LATE,
    ("src/engine/log/segment.c", "code = sys->file_truncate(sys, file, size);"):
        "only when an earlier opening used larger segments",
    ("src/engine/log/wal.c", "buf_reserve(&w->scratch, RECORD_HEADER_SIZE)"):
        "the room is made at opening",
    ("src/engine/log/wal.c",
     "buf_reserve(&w->scratch, size - w->scratch.size)"):
        "padding, for which the body before it has made room",
    ("src/engine/files/layout.c", "sys->stat(sys, sys->cwd, above, &found)"):
        "only where the folder above is missing: creation_test fails it",
    ("src/engine/state/state.c", "random(e->sys, self, sizeof self);"):
        "only of a store that becomes another: session_test fails it",
    ("src/store/memory.c", "random(m->sys, id, sizeof id);"):
        "only of a store that becomes another: session_test fails it",
    ("src/engine/upkeep/leftovers.c", "e->sys->unlink(e->sys, path);"):
        "only when memory runs out as well, and its result is not used",
    ("src/engine/table/block.c",
     "buf_reserve(out, BLOCK_HEADER_SIZE + bytes.size)"):
        "the filter comes last: in all tables that are made here it has room",
    ("src/engine/blob/blob.c", "b->sys->unlink(b->sys, folder, os_name(place"):
        "only behind a commit that is refused, a fault of its own; its result "
        "is not used",
    ("src/os/os.c", "code = sys->dir_list(sys, dir, each, context);"):
        "only over half a store: creation_test fails it",
    ("src/engine/upkeep/reserve.c", "e->at.root, LAYOUT_RESERVE) != 0)"):
        "only on a full disk: full_disk_test fails it",
    ("src/engine/upkeep/reserve.c",
     "e->sys->unlink(e->sys, e->at.root, LAYOUT_RES"):
        "only when the store has shrunk; its result is not used",
    ("src/engine/files/hold.c", "sys->dir_lock(sys, l->root, false);"): LINKED,
    ("src/engine/files/hold.c", "sys->file_close(sys, l->lock);"): LINKED,
    ("src/engine/files/hold.c", "sys->unlink(sys, l->root, LAYOUT_LOCK);"):
        LINKED,
    ("src/engine/files/hold.c", "sys->file_open(sys, l->root, LAYOUT_LOCK,"):
        LINKED,
    ("src/engine/files/hold.c", "sys->file_stat(sys, l->lock, &l->lock_is) :"):
        LINKED,
    ("src/engine/files/hold.c", "sys->file_stat(sys, l->lock, &held) : 0;"):
        "where directories have no locks, unlike in the simulation",
    ("src/engine/files/hold.c", "sys->watch_open(sys, dirs,"):
        "the simulation has no watch: watch_test",
    ("src/engine/files/manifest_files.c", "stat(sys, dir, slots[0], &found)"):
        "only of a directory that the group may look at: world_test",
    ("src/engine/files/manifest_files.c", "stat(sys, dir, slots[1], &found)"):
        "only of a directory that the group may look at: world_test",
    ("src/engine/upkeep/reserve.c",
     "e->sys->unlink(e->sys, e->at.root, name);"):
        "only of another's file, which has a second name",
    ("src/engine/upkeep/reserve.c",
     "if (e->sys->unlink(e->sys, e->at.root, name) != 0)"):
        "only on a full disk: few_files_test",
    ("src/engine/upkeep/reserve.c", "LAYOUT_RESERVE, OS_WRITE,"):
        "only on a full disk: small_disk_test",
    ("src/engine/upkeep/reserve.c", "file_truncate(e->sys, file, size);"):
        "only on a full disk: small_disk_test",
    ("src/engine/upkeep/reserve.c", "e->sys->file_close(e->sys, file);"):
        "only on a full disk, and its result is not used",
    ("src/engine/upkeep/purge.c",
     "e->sys->unlink(e->sys, e->at.tables.dir, os_name(path))"):
        "only where a deletion has failed before: purge_test fails it",
    ("src/engine/verify/verify_look.c", "real->file_stat(real, file, out)"):
        "verifying looks at names, not at what it holds",
    ("src/engine/files/hold.c", "LAYOUT_LOCK, OS_READ, &l->lock)"):
        "where nothing can be written: world_sim_test fails it",
    ("src/engine/log/segment.c", "os_sync(place->sys, file)"):
        "where nothing can be written: world_sim_test fails it",
    ("src/engine/log/segment.c", "place->sys->file_close(place->sys, file);"):
        "where nothing can be written: world_sim_test fails it",
}


def system_calls():
    """What a line that calls the system looks like, by the table in os.h."""
    with open("src/os/os.h") as header:
        # those that return nothing, or the time, cannot fail
        names = re.findall(r" (?:int|ssize_t) \(\*(\w+)\)\(const os \*",
                           header.read())
    return re.compile(r"->(%s)\(|\bos_(read_all|write_all|sync)\(" %
                      "|".join(names))


def source_sites():
    """(file, line) -> text, for calls of the system and for allocations."""
    system, memory, calls = {}, {}, system_calls()
    for pattern in SOURCES:
        for path in sorted(glob.glob(pattern)):
            with open(path) as lines:
                for number, line in enumerate(lines, 1):
                    if not line.startswith(" ") or line.startswith(" *"):
                        continue
                    if calls.search(line):
                        system[path, number] = line.strip()
                    elif MEMORY.search(line):
                        memory[path, number] = line.strip()
    return system, memory


def run_faults(build, budget):
    """Returns the stacks of all faults, as lists of addresses."""
    program = os.path.join(build, "crash", "faults")
    subprocess.run(
        ["make", "--no-print-directory", "-s", "-j%d" % os.cpu_count(),
         "B=" + build, "OPT=-O1 -g -fno-optimize-sibling-calls",
         "CFLAGS=-no-pie -fno-pie", program],
        check=True, stdout=subprocess.DEVNULL)
    stacks = os.path.join(build, "stacks")
    subprocess.run([program, "--budget", str(budget), "--sites", stacks],
                   check=True, stdout=subprocess.DEVNULL)
    with open(stacks) as lines:
        return program, [line.split() for line in lines]


def lines_of(program, stacks):
    """The (file, line) pairs that stand on any of the stacks."""
    calls = sorted({int(a, 16) - 1 for stack in stacks for a in stack})
    found = subprocess.run(
        ["addr2line", "-i", "-e", program], text=True,
        input="".join("%x\n" % a for a in calls), stdout=subprocess.PIPE,
        check=True).stdout
    result = set()
    for line in found.splitlines():
        path, _, number = line.partition(" (")[0].rpartition(":")
        if "src/" in path and number.isdigit():
            path = "src/" + os.path.normpath(path).rsplit("/src/", 1)[-1]
            result.add((path.removeprefix("src/src/"), int(number)))
    return result


def reason(path, text):
    for (name, part), why in EXCEPTIONS.items():
        if path == name and part in text:
            return why
    return None


def report(what, sites, reached):
    """Prints the sites that were not reached; returns how many are missed."""
    left = {site: text for site, text in sites.items() if site not in reached}
    missed = 0
    for (path, number), text in sorted(left.items()):
        why = reason(path, text)
        missed += why is None
        print("%s:%d: %s\n    %s" % (path, number, text, why or "NOT REACHED"))
    print("figure: %d of %d %s failed, %d cannot be reached, %d missed" % (
        len(sites) - len(left), len(sites), what, len(left) - missed, missed))
    return missed


def main():
    parser = argparse.ArgumentParser(
        usage=__doc__.split("\n", 1)[0][len("usage: "):],
        description=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--budget", type=float, default=400)
    parser.add_argument("build", nargs="?", default="build")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    build = os.path.join(os.path.relpath(arguments.build), "sites")
    system, memory = source_sites()
    program, stacks = run_faults(build, arguments.budget)
    reached = lines_of(program, stacks)
    missed = report("places that call the system", system, reached)
    missed += report("places that allocate", memory, reached)
    print("%d passed, %d failed" % (len(system) + len(memory) - missed, missed))
    return 1 if missed > 0 or not reached else 0


if __name__ == "__main__":
    sys.exit(main())
