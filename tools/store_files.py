# SPDX-License-Identifier: MIT
# The files of a store, taken apart: manifests, tables, the log. Written from
# docs/FORMAT.md alone, for read_store.py.
"""Whatever is not as docs/FORMAT.md says raises StoreError."""

import collections
import contextlib
import ctypes
import os
import re
import struct
import subprocess

from xxh3 import xxh3_64

VERSION, VERSIONS = 3, (2, 3)
END = 512  # size of headers and footers
STREAMS, EVENTS, KEYS, COMMANDS, ORDER, BLOBS, TAGS, TIMES = range(8)
FILTER = {2: 6, 3: 255}  # the kind of its parts, by version
NUMBER_MAX = (1 << 63) - 1
GAPS_MAX, GAP_LEAST = 4096, 1 << 24
NAME_SIZE_MAX, DATA_SIZE_MAX, TAGS_MAX = 65535, 16 << 20, 64

Segment = collections.namedtuple("Segment", "number size first last end")
TableFile = collections.namedtuple("TableFile", "number size first last")
Root = collections.namedtuple("Root", "offset size height entries")
Record = collections.namedtuple("Record", "at end lsn watermark is_proof body")


class StoreError(Exception):
    """`code`: corrupt, bad-store, locked or unsupported."""

    def __init__(self, code, path, offset, what):
        where = path if offset is None else "%s, byte %d" % (path, offset)
        super().__init__("%s: %s (%s)" % (code, what, where))
        self.code, self.path, self.offset = code, path, offset


def corrupt(path, offset, what):
    return StoreError("corrupt", path, offset, what)


class Cursor:
    """Takes bytes apart; `offset` is the place that errors name."""

    def __init__(self, data, path, offset):
        self.data, self.path, self.offset, self.at = data, path, offset, 0

    def fail(self, what):
        raise corrupt(self.path, self.offset, what)

    def left(self):
        return len(self.data) - self.at

    def take(self, size):
        if size > self.left():
            self.fail("something ends too early")
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, size=8):
        return int.from_bytes(self.take(size), "little")

    def numbers(self, count):
        return [self.number() for _ in range(count)]

    def varint(self):
        value = 0
        for shift in range(0, 64, 7):
            byte = self.take(1)[0]
            if byte == 0 and shift > 0:
                break
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> 64:
                    break
                return value
        return self.fail("a number is malformed")

    def count_from_1(self):
        value = self.varint()
        if not 0 < value <= NUMBER_MAX:
            self.fail("a number is out of range")
        return value

    def string(self, most):
        size = self.varint()
        if size > most:
            self.fail("a string is too long")
        return bytes(self.take(size))

    def tagged(self):
        """The type and the tags of an event."""
        kind = bytes(self.take(self.take(1)[0]))
        count = self.take(1)[0]
        tags = [bytes(self.take(self.take(1)[0])) for _ in range(count)]
        if not 0 < len(tags) <= TAGS_MAX or len(set(tags)) < len(tags) or \
                b"" in tags:
            self.fail("the tags of an event are malformed")
        return kind, tuple(tags)

    def expect(self, wanted, what):
        if self.take(len(wanted)) != wanted:
            self.fail(what)

    def done(self):
        if self.left():
            self.fail("something has bytes too many")


def read_file(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        raise corrupt(path, None, "a file is missing") from None


def check_sum(data, path, offset, what, seed=0, front=False):
    """The checksum is at the end of what it covers, or in front."""
    given, covered = (data[:8], data[8:]) if front else (data[-8:], data[:-8])
    if int.from_bytes(given, "little") != xxh3_64(covered, seed):
        raise corrupt(path, offset, "%s has a bad checksum" % what)


# ---- manifest --------------------------------------------------------------

class Manifest:
    def __init__(self, data, path):
        c = Cursor(data, path, 0)
        c.expect(b"manifst\0", "this is no manifest")
        version, flags = c.number(4), c.number(4)
        check_sum(data, path, 0, "a manifest")
        if version not in VERSIONS:
            raise StoreError("bad-store", path, 8, "format version %d is not "
                             "one that this reader knows" % version)
        (self.identity, self.generation, self.epoch, self.watermark,
         self.next_segment, segments, self.next_table, tables,
         self.next_position, self.streams, self.keys,
         self.events) = c.numbers(12)
        self.clean, self.merged = bool(flags & 1), bool(flags & 2)
        self.features, self.time, gaps = \
            c.numbers(3) if version > 2 else (0, 0, 0)
        if self.features & ~1:
            raise StoreError("bad-store", path, 112, "this reader does not "
                             "know the features of the store")
        self.id = data[16:24] + bytes(8)  # that of version 2 is shorter
        self.parent = bytes(16)
        if version > 2:
            self.id, self.parent = bytes(c.take(16)), bytes(c.take(16))
            c.expect(bytes(24), "a manifest is malformed")
        if flags > (3 if version > 2 else 1) or gaps > GAPS_MAX:
            c.fail("a manifest is malformed")
        self.segments = [Segment(*c.numbers(5)) for _ in range(segments)]
        self.tables = [TableFile(*c.numbers(4)) for _ in range(tables)]
        self.tables_last = self.tables[-1].last if tables else 0
        self.read_gaps(c, gaps)
        if c.left() != 8 or not self.is_sound():
            c.fail("a manifest contradicts itself")

    def read_gaps(self, c, count):
        """Pairs: the last lsn before a gap, the first one behind it."""
        self.gaps, begin = [], 0
        for _ in range(count):
            end = begin + c.varint()
            begin = end + c.varint()
            if begin - end <= GAP_LEAST or begin >= 2**63 - 2**40:
                c.fail("a gap is malformed")
            self.gaps.append((end, begin))
        self.next_lsn = dict(self.gaps)

    def is_lost(self, lsn):
        return any(end < lsn < begin for end, begin in
                   self.gaps[1 if self.merged else 0:])

    def may_follow(self, last, lsn):
        if self.merged and \
                self.gaps[0][0] <= last < lsn <= self.gaps[0][1]:
            return True
        return lsn == self.next_lsn.get(last, last + 1)

    def gaps_are_sound(self):
        lasts = [x.last for x in self.tables + self.segments]
        newest = self.gaps[-1] if self.gaps else (0, 0)
        return ((self.gaps or not self.merged)
                and not any(map(self.is_lost, lasts))
                and (self.watermark == newest[0] or
                     self.watermark >= newest[1]))

    def is_sound(self):
        last = 0
        for t in self.tables:
            if not (t.first == last + 1 <= t.last and t.size >= 2 * END
                    and 0 < t.number < self.next_table):
                return False
            last = t.last
        first = self.segments[0].first if self.segments else last + 1
        last, number = first - 1, 0
        for s in self.segments:
            if not (s.first == last + 1 <= s.last and s.end % 8 == 0
                    and END < s.end <= s.size
                    and number < s.number < self.next_segment):
                return False
            last, number = s.last, s.number
        return (0 < first <= self.tables_last + 1 and last == self.watermark
                and last >= self.tables_last and self.gaps_are_sound()
                and self.counts_are_sound())

    def counts_are_sound(self):
        counts = (self.generation, self.next_segment, self.next_table)
        figures = (self.streams, self.keys, self.events)
        return (0 not in counts
                and max(*counts, self.watermark) < 2**63 - 2**40
                and 0 < self.next_position <= 2**63
                and max(*figures, self.time) < 2**63
                and self.epoch < 2**31 - 1)


def load_manifest(store):
    found = []
    for slot in range(2):
        path = os.path.join(store, "manifest.%d" % slot)
        if os.path.exists(path):
            found.append(Manifest(read_file(path), path))
            if found[-1].generation % 2 != slot:
                raise corrupt(path, 24, "a manifest is in the other's place")
    if not found:
        raise StoreError("bad-store", store, None, "this is not a store")
    found.sort(key=lambda m: m.generation)
    newest = found[-1]
    if len(found) == 2 and (
            found[0].generation + 1 != newest.generation or
            found[0].identity != newest.identity):
        raise corrupt(store, None, "a manifest is older than it should be or "
                      "of another store")
    return newest


# ---- tables ----------------------------------------------------------------

def unpack_zstd(data, size, path, offset):
    for name in ("libzstd.so.1", "libzstd.so", "libzstd.1.dylib"):
        with contextlib.suppress(OSError):
            out = ctypes.create_string_buffer(size + 1)
            library = ctypes.CDLL(name)
            library.ZSTD_decompress.restype = ctypes.c_size_t
            got = library.ZSTD_decompress(
                out, ctypes.c_size_t(size + 1), bytes(data),
                ctypes.c_size_t(len(data)))
            return out.raw[:got] if got <= size + 1 else b""
    try:
        return subprocess.run(["zstd", "-dcq"], input=data, check=False,
                              stdout=subprocess.PIPE).stdout
    except FileNotFoundError:
        raise StoreError("unsupported", path, offset, "a block is compressed; "
                         "install libzstd or the zstd tool") from None


class Table:
    def __init__(self, store, identity, listed):
        self.path = os.path.join(store, "tables", "%016x.tbl" % listed.number)
        self.identity, self.listed = identity, listed
        self.data = read_file(self.path)
        if len(self.data) != listed.size:
            raise corrupt(self.path, len(self.data), "a table has another size")
        self.read_header()
        self.read_footer(listed.size - END)

    def end(self, offset, magic, what):
        data = self.data[offset:offset + END]
        check_sum(data, self.path, offset, what)
        c = Cursor(data, self.path, offset)
        c.expect(magic, "%s has a wrong magic" % what)
        self.version, *whose = c.numbers(3)
        if self.version not in VERSIONS or \
                whose != [self.identity, self.listed.number]:
            c.fail("%s is of another table" % what)
        return c

    def read_header(self):
        c = self.end(0, b"ptable\0\0", "the header of a table")
        c.expect(bytes(472), "the header of a table is malformed")

    def read_footer(self, offset):
        c = self.end(offset, b"ptablef\0", "the footer of a table")
        if c.numbers(3) != [*self.listed[1:]]:
            c.fail("the footer of a table contradicts the manifest")
        known = TIMES + 1 if self.version > 2 else TAGS
        self.roots = [Root(*c.numbers(4)) for _ in range(known)]
        (self.filter_at, self.filter_parts, self.filter_size,
         self.blocks) = c.numbers(4)
        self.tags = c.number() if self.version > 2 else 0
        c.expect(bytes(c.left() - 8), "the footer of a table is malformed")
        if not self.filter_size or self.filter_size % 64:
            c.fail("filter parts do not have whole lines")
        self.numbers = set()  # of the blocks that index blocks named
        self.parts = [
            self.block(self.filter_at + i * (32 + self.filter_size),
                       32 + self.filter_size, FILTER[self.version])[0]
            for i in range(self.filter_parts)]

    def block(self, offset, size, kind):
        """Returns the unpacked bytes, the count of entries, the prefix."""
        if offset < END or size < 32 or \
                offset + size > self.listed.size - END:
            raise corrupt(self.path, offset, "a block is out of bounds")
        data = self.data[offset:offset + size]
        seed = xxh3_64(struct.pack("<QQQ", self.identity, self.listed.number,
                                   offset))
        check_sum(data, self.path, offset, "a block", seed, front=True)
        stored, raw, count, prefix, is_kind, codec, zero, more = struct.unpack(
            "<IIIIBBHI", data[8:32])
        body = data[32:]
        if codec == 1:
            body = unpack_zstd(body, raw, self.path, offset)
        if (is_kind, stored, len(body), zero, more) != \
                (kind, size - 32, raw, 0, 0) or codec > 1 or \
                (count == 0) != (kind == FILTER[self.version]) or \
                codec == 1 and (kind > TIMES or count == 0):
            raise corrupt(self.path, offset, "a block is malformed")
        return body, count, prefix

    def entries(self, offset, size, kind):
        """Yields the keys and values of a block."""
        body, count, prefix_size = self.block(offset, size, kind)
        c, last = Cursor(body, self.path, offset), None
        prefix, start, first = bytes(c.take(prefix_size)), 0, None
        heads = [c.take(4) for _ in range(count)]
        width = 2 if len(body) < 65536 else 4
        ends = [c.number(width) for _ in range(count)]
        for head, end in zip(heads, ends):
            if end < start:
                c.fail("an entry ends before it begins")
            e = Cursor(c.take(end - start), self.path, offset)
            start, rest = end, e.varint()
            if any(head[rest:]):
                c.fail("a head has bytes too many")
            key = prefix + head[:rest] + e.take(max(rest - 4, 0))
            if last is not None and key <= last:
                c.fail("entries are out of order")
            last, first = key, key if first is None else first
            yield key, Cursor(e.take(e.left()), self.path, offset)
        c.done()
        if os.path.commonprefix([first, last]) != prefix:
            c.fail("keys have more in common than the prefix")

    def walk(self, section, offset, size, level):
        """Yields (key, value, is the first of its block)."""
        first = True
        for key, value in self.entries(offset, size, section + 8 * level):
            if level == 0:
                yield key, value, first
                first = False
                continue
            below, below_size, number = [value.varint() for _ in range(3)]
            value.done()
            if number in self.numbers or number >= self.blocks:
                value.fail("two blocks have one number, or it is too high")
            self.numbers.add(number)
            for item in self.walk(section, below, below_size, level - 1):
                if key is not None and item[0] != key:
                    value.fail("an index names another key")
                key = None
                yield item

    def section(self, section):
        if section >= len(self.roots):
            return
        root, count, last = self.roots[section], 0, None
        if root.size == 0 and root != (0, 0, 0, 0):
            raise corrupt(self.path, self.listed.size - END, "a bad root")
        if root.size:
            for key, value, first in self.walk(section, root.offset, root.size,
                                               root.height - 1):
                if last is not None and key <= last:
                    value.fail("blocks are out of order")
                name = key[1:1 + key[0]] if section == TAGS else key
                if section in (STREAMS, KEYS, COMMANDS, BLOBS, TAGS) and \
                        not self.may_have(section, name):
                    value.fail("the filter denies a name that is here")
                last, count = key, count + 1
                yield key, value, first
        if count != root.entries:
            raise corrupt(self.path, root.offset, "entries are missing")

    def may_have(self, section, name):
        h = xxh3_64(name, section)
        part = self.parts[(h >> 32) * self.filter_parts >> 32]
        line = (h & 0xFFFFFFFF) * (len(part) // 64) >> 32
        x = (h ^ h >> 31) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
        bits = [(x >> 10 + 9 * i) % 512 for i in range(6)]
        return all(part[64 * line + b // 8] >> b % 8 & 1 for b in bits)


# ---- log -------------------------------------------------------------------

class SegmentFile:
    def __init__(self, store, identity, number):
        self.path = os.path.join(store, "wal", "%016x.log" % number)
        self.data, self.identity, self.number = (
            read_file(self.path), identity, number)
        self.belongs = struct.pack("<QQ", identity, number)
        head = self.data[:END]
        self.begins = [b"persist\0" + struct.pack("<II", v, 0) + self.belongs
                       for v in VERSIONS]
        self.epoch = None  # unless the header is whole and ours
        with contextlib.suppress(StoreError):
            c = Cursor(head, self.path, 0)
            check_sum(head, self.path, 0, "the header of a segment")
            if c.take(32) in self.begins:
                self.epoch, self.size = c.numbers(2)

    def was_cut(self, epoch):
        """The size of a file is durable before its header is."""
        if self.epoch is not None:
            return len(self.data) < self.size and self.epoch <= epoch
        return (40 <= len(self.data) < END and self.data[:32] in self.begins and
                int.from_bytes(self.data[32:40], "little") == epoch)

    def record(self, at):
        """The valid record that begins there, or None."""
        head = self.data[at:at + 48]
        if len(head) < 48 or head[8:12] != b"PREC" or \
                head[24:40] != self.belongs:
            return None
        size = int.from_bytes(head[12:16], "little")
        end = at + (48 + size + 7) // 8 * 8
        if end > len(self.data) or xxh3_64(self.data[at + 8:end], at) != \
                int.from_bytes(head[:8], "little"):
            return None
        lsn, = struct.unpack("<Q", head[16:24])
        watermark, = struct.unpack("<Q", head[40:48])
        if lsn >= 2**63 or watermark > lsn:
            return None
        return Record(at, end, lsn, watermark, watermark == lsn and not size,
                      Cursor(self.data[at + 48:at + 48 + size], self.path, at))

    def run(self, at, last, may_follow):
        """The valid records that follow each other."""
        while (r := self.record(at)) and may_follow(last, r.lsn):
            yield r
            at, last = r.end, r.lsn

    def scan(self, at):
        """All valid records, behind damage too."""
        while (found := self.data.find(b"PREC", at + 8)) >= 0:
            at = found - 8
            r = self.record(at) if at % 8 == 0 else None
            if r:
                yield r
            at = r.end if r else at + 1


class Log:
    """The records that make the log, and W."""

    def __init__(self, store, manifest):
        self.store, self.manifest = store, manifest
        self.records, self.watermark = [], manifest.watermark
        self.last, self.end, path = manifest.tables_last, END, None
        for s in manifest.segments:
            f = self.file(s.number)
            self.check_size(f)
            self.take(f, END, s.first - 1, s.end)
            path = f.path
            if f.epoch is None or (self.last, self.end) != (s.last, s.end):
                raise corrupt(path, self.end, "the log is damaged")
        tail = self.find_tail()
        for f, at in tail:
            self.take(f, at, self.last, None)
            path = f.path
        if self.last < self.watermark:
            raise corrupt(path, self.end, "a record of the log is damaged or "
                          "missing")

    def file(self, number):
        return SegmentFile(self.store, self.manifest.identity, number)

    def check_size(self, f):
        if f.was_cut(self.manifest.epoch):
            raise corrupt(f.path, len(f.data), "a log segment was cut short")

    def take(self, f, at, last, end):
        for r in f.run(at, last, self.manifest.may_follow):
            if end is not None and r.end > end:
                return
            self.records.append(r)
            self.last, self.end = r.lsn, r.end

    def find_tail(self):
        m, tail = self.manifest, []
        folder = os.path.join(self.store, "wal")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        numbers = sorted(int(n[:16], 16) for n in names
                         if re.fullmatch("[0-9a-f]{16}[.]log", n))
        places = [(n, END) for n in numbers
                  if m.next_segment <= n < m.next_segment + 2**32]
        if m.segments:
            places.insert(0, (m.segments[-1].number, m.segments[-1].end))
        for number, at in places:
            f = self.file(number)
            if f.epoch is not None and at == END and f.epoch < m.epoch:
                continue
            self.check_size(f)
            later = f.epoch is not None and f.epoch > m.epoch
            found = [r for r in f.scan(at)
                     if not (later and r.watermark == r.lsn)]
            if found and f.epoch is None:
                raise corrupt(f.path, 0, "a segment has a bad header")
            commits = [r for r in found if not r.is_proof]
            if commits and (later or m.clean):
                raise corrupt(f.path, commits[0].at, "the log goes on where "
                              "the manifest says it ends")
            if found:
                self.watermark = max(self.watermark,
                                     *(r.watermark for r in found))
                tail.append((f, at))
        return tail
