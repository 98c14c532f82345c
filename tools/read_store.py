#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# A second reader of stores, written from docs/FORMAT.md alone.
"""usage: read_store.py [--json] DIR

Lists what is in a store that no process has open, after a clean close or a
crash: streams, their events, all events in commit order, keys and values,
command ids, blobs. It checks every checksum and every rule of docs/FORMAT.md,
and never writes. Damage ends it with a message that names file and offset.
"""

import base64
import collections
import contextlib
import fcntl
import hashlib
import json
import os
import struct
import sys

from store_files import (BLOBS, COMMANDS, DATA_SIZE_MAX, EVENTS, GAP_LEAST,
                         KEYS, NAME_SIZE_MAX, NUMBER_MAX, ORDER, STREAMS, TAGS,
                         TIMES, Log, StoreError, Table, corrupt, load_manifest)

F_OFD_GETLK = 36  # Linux; without a name in older versions of fcntl

Event = collections.namedtuple("Event", "seq position data tagged")
# Commit times of the positions [first, first + span).
Times = collections.namedtuple("Times", "first base span width bits")
Command = collections.namedtuple("Command", "lsn fingerprint seqs")
Blob = collections.namedtuple("Blob", "pack offset size")
# What a table says of a stream besides mark and truncation.
State = collections.namedtuple("State", "count size index gone first")

# ---- the store -------------------------------------------------------------

class Stream:
    def __init__(self):
        self.mark = self.through = 0
        self.events = []
        self.state = None  # in the newest table that has it

    def truncate(self, through):
        self.through = max(self.through, min(through, self.mark))
        self.events = [e for e in self.events if e.seq > self.through]

    def info(self):
        return (self.mark, self.events[0].seq if self.events else 0,
                len(self.events), sum(len(e.data) for e in self.events))


class Store:
    def __init__(self, path):
        check_unlocked(path)
        self.streams, self.keys, self.commands = {}, {}, {}
        self.index = {}
        self.manifest = manifest = load_manifest(path)
        self.need(path, "wal", not manifest.clean or manifest.segments)
        self.need(path, "tables", manifest.tables)
        self.blobs_go = manifest.features & 1
        self.next_position, self.order = 1, {}
        self.times, self.time = {}, 0  # by position; of the last commit
        for listed in manifest.tables:
            self.add_table(Table(path, manifest.identity, listed))
        self.settle(path, manifest)
        log = Log(path, manifest)
        for r in log.records:
            if r.lsn > manifest.tables_last:
                self.apply(r)
        self.last = log.last
        self.need(path, "blobs", self.index)
        self.blobs = {cid_of(digest): blob.size
                      for digest, blob in self.index.items()}
        for digest, blob in self.index.items():
            check_blob(os.path.join(path, "blobs"), digest, blob)

    def need(self, path, folder, needed):
        """A copy may lack a folder in which nothing was."""
        folder = os.path.join(path, folder)
        if needed and not os.path.isdir(folder):
            raise corrupt(folder, None, "a folder is missing")

    def is_lost(self, lsn):
        """Also what the last opening may have given, if it was not closed."""
        m = self.manifest
        end = m.next_lsn.get(self.last, self.last + 1) + GAP_LEAST
        return any(end < lsn < begin for end, begin in m.gaps) or \
            (not m.clean and self.last < lsn < end)

    def identity(self):
        parent = self.manifest.parent
        return self.manifest.id.hex(), " from " + parent.hex() \
            if any(parent) else ""

    def log(self):
        """All events in commit order: (position, stream, event)."""
        return sorted((e.position, name, e) for name, s in self.streams.items()
                      for e in s.events)

    # -- tables --

    def add_table(self, table):
        runs = {}
        for name, value, _ in table.section(STREAMS):
            (mark, count, size, through, index, gone, first, ordinal, here,
             low, high) = [value.varint() for _ in range(11)]
            value.done()
            s = self.streams.setdefault(name, Stream())
            if s.mark > mark or s.through > through or through > mark:
                value.fail("a stream goes backwards")
            s.mark, s.through = mark, through
            s.state = State(count, size, index, gone, first)
            if ordinal in runs:
                value.fail("two streams have one ordinal")
            runs[ordinal] = s, here, low, high, []
        self.add_events(table, runs)
        self.check_tags(table, runs)
        for key, value, _ in table.section(KEYS):
            flag, rest = value.take(1), bytes(value.take(value.left()))
            if flag not in (b"\0", b"\1") or flag == b"\1" and rest:
                value.fail("a key's entry is malformed")
            self.keys[key] = None if flag == b"\1" else rest
        for name, value, _ in table.section(COMMANDS):
            command = Command(value.varint(), bytes(value.take(32)), tuple(
                value.varint() for _ in range(value.varint())))
            value.done()
            if name in self.commands or not \
                    table.listed.first <= command.lsn <= table.listed.last or \
                    self.manifest.is_lost(command.lsn):
                value.fail("a command id is here twice, or too late")
            self.commands[name] = command
        for digest, value, _ in table.section(BLOBS):
            if value.left() == 0:
                self.drop_blob(digest, value, False)
                continue
            self.add_blob(digest, value)
            if value.left() and (not self.blobs_go or value.varint() == 0):
                value.fail("the time of a blob is malformed")
            value.done()
        times = self.read_times(table) if table.version > 2 else None
        for key, value, _ in table.section(ORDER):
            position, seq = int.from_bytes(key, "big"), value.count_from_1()
            name = bytes(value.take(value.left()))
            if len(key) != 8 or position < self.next_position or \
                    name not in self.streams:
                value.fail("an entry of the order is malformed")
            self.next_position = position + 1
            self.order[position] = name, seq
            self.note_time(position, 0 if times is None else
                           time_at(times, position, value), value)

    def read_times(self, table):
        """Entries by their first position, the last ones first."""
        entries = []
        for key, c, _ in table.section(TIMES):
            base, span, width, bits = c.varint(), c.varint(), 0, b""
            if c.left():
                width, bits = c.take(1)[0], bytes(c.take(c.left()))
            used, packed = (span - 1) * width, int.from_bytes(bits, "little")
            if len(key) != 8 or not span or bool(width) != bool(bits) or \
                    len(bits) != (used + 7) // 8 or width > 56 or \
                    used > 1024 or packed >> max(used, 0):
                c.fail("an entry of the times is malformed")
            entries.append(Times(int.from_bytes(key, "big"), base, span, width,
                                 packed))
        return entries[::-1]

    def note_time(self, position, time, c):
        if not self.time <= time <= NUMBER_MAX:
            c.fail("a commit is of an earlier time than the one before")
        self.times[position] = self.time = time

    def add_events(self, table, runs):
        last = index = before = None
        ends = {}
        for key, value, first in table.section(EVENTS):
            ordinal, seq = event_key(key, value)
            if ordinal not in runs:
                value.fail("an event is of no stream")
            packed = value.varint()
            with_tags = packed == 1
            if with_tags:
                packed = value.varint()
            if packed & 1:
                anchor = value.varint(), value.varint()
                if ordinal == last and anchor != (index, before):
                    value.fail("an anchor contradicts the events before it")
                index, before = anchor
            elif first or ordinal != last:
                value.fail("an anchor is missing")
            tagged = value.tagged() if with_tags else None
            if packed < 2:
                value.fail("an event has no position")
            event = Event(seq, packed >> 1, bytes(value.take(value.left())),
                          tagged)
            last, index, before = ordinal, index + 1, before + len(event.data)
            runs[ordinal][4].append(event)
            ends[ordinal] = index, before
        for ordinal, (s, here, low, high, events) in runs.items():
            if (here, low, high) != (len(events), *(
                    (events[0].seq, events[-1].seq) if events else (0, 0))):
                raise corrupt(table.path, None, "events are missing")
            if events and ends[ordinal] != (s.state.count, s.state.size):
                raise corrupt(table.path, None, "a stream's events are not "
                              "the last ones that it had")
            s.events += events

    def check_tags(self, table, runs):
        """The tags are those of the events in the table, no more, no less."""
        names = {id(s): name for name, s in self.streams.items()}
        wanted = {(tag, e.position): (e.seq, e.tagged[0], names[id(s)])
                  for s, *_, events in runs.values() for e in events
                  if e.tagged for tag in e.tagged[1]}
        found, before = {}, None
        for key, value, _ in table.section(TAGS):
            tag, digits = key[1:1 + key[0]], key[1 + key[0]:]
            if len(tag) != key[0] or digits[:1] != bytes([len(digits) - 1]) \
                    or digits[1:2] == b"\0":
                value.fail("the key of a tag is malformed")
            run = read_run(value, int.from_bytes(digits[1:], "big"))
            if before is not None and before[0] == tag and \
                    before[1] >= run[0][0]:
                value.fail("the events of a tag are out of order")
            before = tag, run[-1][0]
            found.update(((tag, position), event) for position, event in run)
        if found != wanted or table.tags != len({tag for tag, _ in found}):
            raise corrupt(table.path, None, "the tags are not those of the "
                          "events")

    def settle(self, path, manifest):
        """All tables are read: drops what is gone, and compares."""
        alive = {}
        for name, s in self.streams.items():
            s.truncate(s.through)
            kept = (s.state.first, s.state.count - s.state.index,
                    s.state.size - s.state.gone)
            if s.info()[1:] != kept:
                raise corrupt(path, None, "events of the stream %r are missing"
                              % name)
            alive.update((e.position, (name, e.seq)) for e in s.events)
        order = {p: e for p, e in self.order.items()
                 if e[1] > self.streams[e[0]].through}
        self.keys = {k: v for k, v in self.keys.items() if v is not None}
        counts = (manifest.streams, manifest.events)
        if order != alive or counts != (len(self.streams), len(alive)):
            raise corrupt(path, None, "the tables contradict each other or "
                          "the manifest")
        if manifest.next_position < self.next_position:
            raise corrupt(path, None, "positions are taken")
        self.next_position = manifest.next_position
        if self.time > manifest.time:
            raise corrupt(path, None, "a table has a later time than the "
                          "manifest")
        self.time = manifest.time

    # -- log --

    def apply(self, record):
        c, seqs, command = record.body, [], None
        position = c.varint()
        if position < self.next_position:
            c.fail("a record gives positions that are taken")
        time = 0
        if c.left() and c.data[c.at] == 12:
            c.take(1)
            time = c.count_from_1()
        self.note_time(position, time, c)
        self.next_position, start = position, c.at
        while c.left():
            kind, name, state, floor = c.take(1)[0], None, None, None
            if kind in (9, 10):
                state = [c.varint() for _ in range(7 if kind == 10 else 0)]
                kind = c.take(1)[0]
            if kind == 11:
                floor = [c.varint() for _ in range(3)]
                kind = c.take(1)[0]
            if kind not in (6, 8, 15):
                name = c.string(NAME_SIZE_MAX)
            if (state is not None and kind not in (1, 2, 5, 13)) or \
                    (kind == 2 and state == []) or (floor and kind != 2):
                c.fail("an edit cannot have this in front of it")
            if state is not None:
                self.compare(name, state, c)
            if kind == 7:
                if c.left() != 32 or name in self.commands:
                    c.fail("a command id is here twice, or not the last")
                command = name, bytes(c.take(32))
            elif kind in (8, 15):
                if c.at != start + 1:
                    c.fail("a blob is not alone in its record")
                digest = bytes(c.take(32))
                if kind == 8:
                    self.add_blob(digest, c)
                else:
                    self.drop_blob(digest, c, True)
                c.done()
            elif kind == 14:
                self.set_once(name, record.lsn, c)
            elif kind in (1, 13):
                seqs.append(self.append(name, c, kind == 13))
            else:
                self.edit(kind, name, c, floor)
        if command:
            self.commands[command[0]] = Command(record.lsn, command[1],
                                                tuple(seqs))

    def compare(self, name, state, c):
        """What the log says of a stream, with what was read of it."""
        mark = self.streams[name].mark if name in self.streams else None
        if mark != (state[0] if state else None):
            c.fail("the state of a stream contradicts what came before")

    def add_blob(self, digest, c):
        pack = c.varint()
        offset = c.varint() if pack else 0
        if len(digest) != 32 or offset % 512 or \
                digest in self.index and not self.blobs_go:
            c.fail("an entry of a blob is malformed, or here twice")
        self.index[digest] = Blob(pack, offset, c.varint())

    def drop_blob(self, digest, c, placed):
        """In the log it says where it was."""
        was = self.index.pop(digest, None)
        place = None
        if placed:
            pack = c.varint()
            place = Blob(pack, c.varint() if pack else 0, c.varint())
        if len(digest) != 32 or not self.blobs_go or placed and place != was:
            c.fail("a blob that is not there is deleted")

    def set_once(self, name, lsn, c):
        print_of, count = bytes(c.take(32)), c.varint()
        if name in self.commands or count > c.left():
            c.fail("a command id is here twice, or malformed")
        self.commands[name] = Command(lsn, print_of, tuple(
            c.count_from_1() for _ in range(count)))

    def append(self, name, c, with_tags):
        s = self.streams.setdefault(name, Stream())
        seq, tagged = c.varint(), c.tagged() if with_tags else None
        data = c.string(DATA_SIZE_MAX)
        if not s.mark < seq <= NUMBER_MAX:
            c.fail("a record gives numbers that are taken")
        s.events.append(Event(seq, self.next_position, data, tagged))
        self.times[self.next_position] = self.time
        s.mark, self.next_position = seq, self.next_position + 1
        return seq

    def edit(self, kind, name, c, floor):
        if kind == 2:
            through = c.varint()
            s = self.streams.get(name, Stream())
            goes_on = through > s.through
            s.truncate(through)
            if floor and goes_on and floor[2] not in (0, s.info()[1]):
                c.fail("a truncation leaves something else")
        elif kind == 3:
            self.keys[name] = c.string(DATA_SIZE_MAX)
        elif kind == 4:
            self.keys.pop(name, None)
        elif kind == 5:
            s = self.streams.setdefault(name, Stream())
            s.mark = max(s.mark, c.varint())
        elif kind == 6:
            self.next_position = max(self.next_position, c.varint())
        else:
            c.fail("an edit of an unknown kind")


def time_at(times, position, c):
    """Takes the entries that are passed off the list."""
    while len(times) > 1 and times[-2].first <= position:
        times.pop()
    at = position - times[-1].first if times else -1
    if not 0 <= at < (times[-1].span if times else 0):
        c.fail("the time of an event is missing")
    t = times[-1]
    return t.base + sum(t.bits >> i * t.width & (1 << t.width) - 1
                        for i in range(at) if t.width)


def read_run(c, last):
    """The events of a run of a tag, by position, up to the last one's."""
    position, kind, name, run = last - c.varint(), b"", b"", []
    while True:
        seq = c.count_from_1()
        kind, name = repeated(c, kind), repeated(c, name)
        run.append((position, (seq, kind, name)))
        if position >= last or position < 1 or not c.left():
            break
        position += c.count_from_1()
    if position != last or position < 1 or c.left():
        c.fail("the events of a tag do not end where they should")
    return run


def repeated(c, before):
    """A string that may be the one before."""
    size = c.varint()
    s = bytes(c.take(size - 1)) if size else before
    if size and s == before:
        c.fail("a string stands twice")
    return s


def event_key(key, value):
    """Two numbers: the count of their bytes, then they, the highest first."""
    numbers = []
    while key:
        digits, key = key[1:1 + key[0]], key[1 + key[0]:]
        numbers.append(int.from_bytes(digits, "big"))
        if digits[:1] == b"\0":
            value.fail("a number in a key has bytes too many")
    if len(numbers) != 2:
        value.fail("the key of an event is malformed")
    return numbers


def cid_of(digest):
    return "b" + base64.b32encode(
        b"\x01\x55\x12\x20" + digest).decode().lower().rstrip("=")


def check_blob(folder, digest, blob):
    name = "%016x.pak" % blob.pack if blob.pack else os.path.join(
        "%02x" % digest[0], cid_of(digest))
    path = os.path.join(folder, name)
    try:
        with open(path, "rb") as f:
            f.seek(blob.offset)
            data = f.read(blob.size)
    except FileNotFoundError:
        raise corrupt(path, blob.offset, "a blob is missing") from None
    if hashlib.sha256(data).digest() != digest:
        raise corrupt(path, blob.offset, "a blob is damaged")


def check_unlocked(store):
    """A lock on the whole file, of an open file description."""
    layout = "hhqqi4x"
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), \
            open(os.path.join(store, "lock"), "rb") as f:
        asked = struct.pack(layout, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = struct.unpack(layout, fcntl.fcntl(f, F_OFD_GETLK, asked))
        if answer[0] != fcntl.F_UNLCK:
            raise StoreError("locked", store, None, "a process has it open")


# ---- output ----------------------------------------------------------------

def quoted(data):
    return '"%s"' % "".join(
        chr(b) if 32 <= b < 127 and b not in b'"\\' else "\\x%02x" % b
        for b in data)


def as_tags(tagged):
    return "" if not tagged else " type %s tags %s" % (
        quoted(tagged[0]), " ".join(map(quoted, tagged[1])))


def as_text(store):
    yield "store %s%s" % store.identity()
    for name, s in sorted(store.streams.items()):
        yield "stream %s mark %d first %d count %d bytes %d" % (
            quoted(name), *s.info())
        for e in s.events:
            yield "event %s seq %d position %d %s%s" % (
                quoted(name), e.seq, e.position, quoted(e.data),
                as_tags(e.tagged))
    for position, name, e in store.log():
        time = store.times[position]
        yield "order %d %s seq %d%s" % (position, quoted(name), e.seq,
                                        " time %d" % time if time else "")
    for key, value in sorted(store.keys.items()):
        yield "key %s %s" % (quoted(key), quoted(value))
    for name, c in sorted(store.commands.items()):
        yield " ".join(["command", quoted(name), "lsn", str(c.lsn),
                        c.fingerprint.hex(), "seqs", *map(str, c.seqs)])
    for cid, size in sorted(store.blobs.items()):
        yield "blob %s bytes %d" % (cid, size)


def text_or_bytes(data):
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"bytes": data.hex()}


def json_event(name, e):
    return {"stream": text_or_bytes(name), "seq": e.seq,
            "position": e.position, "event": text_or_bytes(e.data)}


def as_json(store):
    """The objects are those of `persist ... --json`."""
    infos = ("last_seq", "first_seq", "count", "bytes")
    return json.dumps({
        "streams": [dict(zip(infos, s.info()), stream=text_or_bytes(name))
                    for name, s in sorted(store.streams.items())],
        "events": [json_event(name, e)
                   for name, s in sorted(store.streams.items())
                   for e in s.events],
        "log": [dict(json_event(name, e), time=store.times[position])
                for position, name, e in store.log()],
        "keys": [{"key": text_or_bytes(k), "value": text_or_bytes(v)}
                 for k, v in sorted(store.keys.items())],
        "commands": [{"id": text_or_bytes(name), "lsn": c.lsn,
                      "fingerprint": c.fingerprint.hex(), "seqs": c.seqs}
                     for name, c in sorted(store.commands.items())],
        "blobs": [{"cid": cid, "bytes": size}
                  for cid, size in sorted(store.blobs.items())]})


def main(arguments):
    names = [a for a in arguments if not a.startswith("--")]
    if len(names) != 1 or set(arguments) - {*names, "--json"}:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        store = Store(names[0])
    except (StoreError, OSError) as error:
        print("read_store.py: %s" % error, file=sys.stderr)
        return 1
    lines = [as_json(store)] if "--json" in arguments else as_text(store)
    sys.stdout.writelines(line + "\n" for line in lines)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
