#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# The ops through the real server: answers, values, names, numbers, restarts.
import os
import random
import re
import struct

from client import ROOT, Case, Failed, append, event, main, perform, quote

EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
ABSENT = "bafkrei" + "a" * 52
ALL_BYTES = "".join(map(chr, range(256)))
# what a name may be, and no file system would take
NAMES = ["", "a", "/", "..", ".", "../../etc/passwd", "a/b", "/abs", "a:b",
         "a|b", "$x", "a.b", "\x00", "a\x00b", "\n", "\xff\xfe", "\xc3\x28",
         " ", "%2e", "~", "CON", "-rf", "LOCK", ALL_BYTES, "x" * 65535,
         "\xc3\xa9", "a" * 255, "a" * 256]


class Streams(Case):
    def setUp(self):
        super().setUp()
        self.s = self.serve()

    def test_nothing_yet(self):
        s = self.s
        self.assertEqual(s.perform("persist/read", '"s"'), "()")
        self.assertEqual(s.perform("persist/last-seq", '"s"'), "0")
        self.assertEqual(s.perform("persist/streams"), "()")
        self.assertEqual(s.perform("persist/truncate-through", '"s"', "9"),
                         "nil")
        self.assertEqual(s.perform("persist/streams"), "()")

    def test_append_returns_the_event_and_read_the_same(self):
        text = '{:stream "s" :seq 3 :type :made :at nil :data (1 2) :more "x"}'
        shown = text.replace(":made", '"made"')
        self.assertEqual(
            self.s.perform("persist/append", '"s"', text.replace(
                "(1 2)", "(list 1 2)")), shown)
        self.assertEqual(self.s.perform("persist/read", '"s"'),
                         "(%s)" % shown)
        self.s = self.restart(self.s)
        self.assertEqual(self.s.perform("persist/read", '"s"'),
                         "(%s)" % shown)

    def test_order_gaps_and_conflicts(self):
        for seq in (1, 2, 5, 100):
            self.s.eval(append("s", seq))
        for seq in (100, 99, 5, 3, 0, -1):
            self.fails("seq-conflict", self.s, append("s", seq))
        self.s.eval(append("s", 101))
        self.gives(self.s, '(map (fn (e) (get e :seq)) %s)'
                   % perform("persist/read", '"s"'), "(1 2 5 100 101)")

    def test_what_is_wrong_with_a_query_is_named(self):
        for query, named in (
                ('{:types (list "t")}', "the query has no :tags"),
                ('{:tags (list "a") :typ 1}', "the query has the key :typ"),
                ('{:tags ()}', "the query has no tag in :tags"),
                ('{:tags (list "a" "")}', "tag 1 is empty"),
                ('(list {:tags (list "a")} {})',
                 "item 1 of the query has no :tags"),
                ('nil', "the query must be a dict")):
            for program in (
                    perform("persist/query", query, "nil", "nil"),
                    perform("persist/commit", "(list {:expect-none %s "
                            ":after 0})" % query)):
                with self.assertRaises(Failed) as raised:
                    self.s.eval(program)
                self.assertIn(named, str(raised.exception))

    def test_a_conflict_tells_the_numbers(self):
        self.s.eval(append("s", 7))
        self.gives(self.s, "(guard (e (else (list (get e :error) "
                   "(get e :stream) (get e :expected) (get e :actual)))) %s)"
                   % append("s", 7), '("seq-conflict" "s" 7 7)')

    def test_numbers_survive_truncation_and_restart(self):
        s = self.s
        for seq in (1, 2, 3):
            s.eval(append("s", seq))
        s.perform("persist/truncate-through", '"s"', "2")
        self.assertEqual(s.perform("persist/read", '"s"'),
                         '({:stream "s" :seq 3 :type "t" :at 0 :data nil})')
        s.perform("persist/truncate", '"s"', "1000")
        for _ in range(2):
            self.assertEqual(s.perform("persist/read", '"s"'), "()")
            self.assertEqual(s.perform("persist/last-seq", '"s"'), "3")
            self.assertEqual(s.perform("persist/streams"), '("s")')
            self.fails("seq-conflict", s, append("s", 3))
            s = self.restart(s)
        s.eval(append("s", 4))
        self.assertEqual(s.perform("persist/last-seq", '"s"'), "4")

    def test_truncation_below_everything(self):
        self.s.eval(append("s", 5))
        for n in ("4", "0", "-7"):
            self.s.perform("persist/truncate-through", '"s"', n)
        self.assertIn(":seq 5", self.s.perform("persist/read", '"s"'))

    def test_streams_in_byte_order(self):
        for name in ("b", "a", "a\x00", "B", "\xff", "aa", ""):
            self.s.eval(append(name, 1))
        self.assertEqual(
            self.s.perform("persist/streams"),
            '("" "B" "a" "a\x00" "aa" "b" "\xff")')

    def test_a_big_number(self):
        top = 2**63 - 1
        self.s.eval(append("s", top))
        self.s = self.restart(self.s)
        self.assertEqual(self.s.perform("persist/last-seq", '"s"'), str(top))
        self.fails("seq-conflict", self.s, append("s", top))

    def test_arguments_in_other_shapes(self):
        s = self.s
        self.gives(s, '(perform {:op "persist/streams"})', "()")
        self.gives(s, '(perform {:op "persist/streams" :args nil})', "()")
        self.gives(s, '(perform {:op "persist/last-seq" :args "s"})', "0")


class Keys(Case):
    def setUp(self):
        super().setUp()
        self.s = self.serve()

    def test_life_of_a_key(self):
        s = self.s
        self.assertEqual(s.perform("persist/kv-get", '"k"'), "nil")
        self.assertEqual(s.perform("persist/kv-has?", '"k"'), "false")
        self.assertEqual(s.perform("persist/kv-delete", '"k"'), "nil")
        self.assertEqual(s.perform("persist/kv-put", '"k"', "{:a 1}"),
                         "{:a 1}")
        self.assertEqual(s.perform("persist/kv-put", '"k"', "2"), "2")
        s = self.restart(s)
        self.assertEqual(s.perform("persist/kv-get", '"k"'), "2")
        self.assertEqual(s.perform("persist/kv-has?", '"k"'), "true")
        self.assertEqual(s.perform("persist/kv-delete", '"k"'), "nil")
        s = self.restart(s)
        self.assertEqual(s.perform("persist/kv-has?", '"k"'), "false")
        self.assertEqual(s.perform("persist/kv-keys"), "()")

    def test_nil_and_false_are_there(self):
        for value in ("nil", "false"):
            self.s.perform("persist/kv-put", quote(value), value)
        self.s = self.restart(self.s)
        for value in ("nil", "false"):
            self.assertEqual(
                self.s.perform("persist/kv-has?", quote(value)), "true")
            self.assertEqual(
                self.s.perform("persist/kv-get", quote(value)), value)

    def test_keys_in_byte_order(self):
        for name in ("b", "a", "\xff", "", "a\x00"):
            self.s.perform("persist/kv-put", quote(name), "1")
        self.assertEqual(self.s.perform("persist/kv-keys"),
                         '("" "a" "a\x00" "b" "\xff")')

    def test_the_store_keeps_copies(self):
        self.gives(self.s, '(let ((d {:a (list 1)})) (begin %s '
                   '(dict-set! d :a 2) %s))' % (
                       perform("persist/kv-put", '"k"', "d"),
                       perform("persist/kv-get", '"k"')), "{:a (1)}")
        self.gives(self.s, '(let ((d %s)) (begin (dict-set! d :a 3) %s))' % (
            perform("persist/kv-get", '"k"'),
            perform("persist/kv-get", '"k"')), "{:a (1)}")


class Names(Case):
    def test_names_are_bytes_and_reach_no_file(self):
        before = set(os.listdir(self.dir))
        s = self.serve()
        for i, name in enumerate(NAMES):
            s.eval(append(name, 1, str(i)))
            s.perform("persist/kv-put", quote(name), str(i))
        for _ in range(2):
            for i, name in enumerate(NAMES):
                self.assertIn(":data %d}" % i,
                              s.perform("persist/read", quote(name)))
                self.assertEqual(
                    s.perform("persist/kv-get", quote(name)), str(i))
            self.gives(s, "(len %s)" % perform("persist/streams"),
                       str(len(NAMES)))
            s = self.restart(s)
        self.assertEqual(set(os.listdir(self.dir)) - before, {"store"})

    def test_a_name_is_at_most_65535_bytes(self):
        s, name = self.serve(), '"%s"' % ("x" * 65536)
        for source in (perform("persist/kv-put", name, "1"),
                       append("x" * 65536, 1)):
            self.fails("too-large", s, source)
        self.gives(s, "(list %s %s)" % (perform("persist/streams"),
                                        perform("persist/kv-keys")),
                   "(() ())")


class Values(Case):
    VALUES = [
        "nil", "true", "false", "0", "1", "-1", "9223372036854775807",
        "-9223372036854775808", "0.0", "-0.0", "1.5", "5e-324", "0.1",
        "1.7976931348623157e308", "2.2250738585072014e-308", '""', '"a"',
        quote("\r\t\n\\\""), quote(ALL_BYTES), "()", "(())", "{}",
        "(1 (2 (3 (nil))))", "{:a 1 \"odd key\" {:b ()}}", "{\"\" 1}",
        "sym", "a/b?", ":key", "(quote x)", "(a :b \"c\" 1.5 nil)", "+", "-",
        "...", "(if true 1 2)",
    ]

    def check_round_trip(self, values):
        s = self.serve()
        for i, text in enumerate(values):
            literal = "(sx-parse %s)" % quote(text)
            s.perform("persist/kv-put", '"k%d"' % i, literal)
            s.eval(append("s%d" % i, 1, literal))
        s = self.restart(s)
        for i, text in enumerate(values):
            literal = "(sx-parse %s)" % quote(text)
            self.gives(s, "(list (equal? %s %s) (equal? %s %s))" % (
                literal, perform("persist/kv-get", '"k%d"' % i), literal,
                "(get (first %s) :data)" % perform("persist/read",
                                                   '"s%d"' % i)),
                "(true true)")

    def test_values_come_back(self):
        self.check_round_trip(self.VALUES)

    def test_floats_to_the_last_bit(self):
        rng = random.Random(7)
        numbers = [struct.unpack("<d", rng.randbytes(8))[0]
                   for _ in range(300)]
        numbers = [n for n in numbers if n - n == 0]
        s = self.serve()
        for i, n in enumerate(numbers):
            s.perform("persist/kv-put", '"%d"' % i, repr(n))
        s = self.restart(s)
        for i, n in enumerate(numbers):
            self.assertEqual(
                struct.pack("<d", float(s.perform("persist/kv-get",
                                                  '"%d"' % i))),
                struct.pack("<d", n), repr(n))

    def test_minus_zero_keeps_its_sign(self):
        s = self.serve()
        s.perform("persist/kv-put", '"z"', "-0.0")
        s = self.restart(s)
        self.assertEqual(s.perform("persist/kv-get", '"z"'), "-0.0")

    def test_a_large_value(self):
        s, size = self.serve(), 15 << 20
        literal = '"%s"' % ("v" * size)
        self.gives(s, "(len %s)" % perform("persist/kv-put", '"k"', literal),
                   str(size))
        s = self.restart(s)
        self.gives(s, "(len %s)" % perform("persist/kv-get", '"k"'),
                   str(size))

    def test_what_is_not_storable_is_refused_whole(self):
        s = self.serve()
        infinity = "(* 1e308 10.0)"
        bad = ["(fn (x) x)", "len", "+", infinity,
               "(- 0.0 %s)" % infinity, "(- %s %s)" % (infinity, infinity),
               "(call/cc (fn (k) k))"]
        for value in bad:
            for nested in (value, "(list 1 (list %s))" % value,
                           "{:a {:b %s}}" % value):
                self.fails("not-storable", s,
                           perform("persist/kv-put", '"k"', nested))
                self.fails("not-storable", s, append("s", 1, nested))
                self.fails("not-storable", s, perform(
                    "persist/append", '"s"', event("s", 1, "nil",
                                                   " :more " + nested)))
        self.gives(s, "(list %s %s %s)" % (
            perform("persist/kv-keys"), perform("persist/streams"),
            perform("persist/last-seq", '"s"')), "(() () 0)")

    def test_cyclic_data_is_refused(self):
        s = self.serve()
        with self.assertRaises(Failed) as caught:
            s.eval('(let ((d {})) (begin (dict-set! d :self d) %s))'
                   % perform("persist/kv-put", '"k"', "d"))
        self.assertIn(caught.exception.code, ("limit", "too-large"))
        self.assertEqual(s.perform("persist/kv-keys"), "()")


class Blobs(Case):
    def test_known_cids(self):
        s = self.serve()
        for _ in range(2):
            for text, cid in (("", EMPTY), ("hello world", HELLO)):
                self.assertEqual(
                    s.perform("blob/put", quote(text), '"text/plain"'),
                    quote(cid))
        s = self.restart(s)
        for text, cid in (("", EMPTY), ("hello world", HELLO)):
            self.assertEqual(s.perform("blob/get", quote(cid)), quote(text))
            self.assertEqual(s.perform("blob/has?", quote(cid)), "true")

    def test_absent(self):
        s = self.serve()
        self.assertEqual(s.perform("blob/get", quote(HELLO)), "nil")
        self.assertEqual(s.perform("blob/has?", quote(ABSENT)), "false")

    def test_all_bytes(self):
        s = self.serve()
        cid = s.perform("blob/put", quote(ALL_BYTES), "nil")
        s = self.restart(s)
        self.assertEqual(s.perform("blob/get", cid).replace("\\t", "\t")
                         .replace("\\r", "\r"), quote(ALL_BYTES))

    def test_sizes(self):
        s, cids = self.serve(), {}
        for size in (1, 4095, 4096, 4097, 65536, 1 << 20, 20 << 20):
            cids[size] = s.perform("blob/put", quote("b" * size), '"x"')
        self.assertEqual(len(set(cids.values())), len(cids))
        s = self.restart(s)
        for size, cid in cids.items():
            self.gives(s, '(len %s)' % perform("blob/get", cid), str(size))

    def test_a_committed_reference_never_dangles(self):
        s = self.serve()
        s.eval("(let ((cid %s)) %s)" % (
            perform("blob/put", '"invoice"', '"text/plain"'),
            perform("persist/kv-put", '"ref"', "cid")))
        s.kill()
        s = self.serve()
        self.gives(s, "(let ((cid %s)) %s)" % (
            perform("persist/kv-get", '"ref"'), perform("blob/get", "cid")),
            '"invoice"')


class Fuzzed(Case):
    """What the fuzzer does not know by name it hardly ever comes to."""

    def read(self, *path):
        with open(os.path.join(ROOT, *path), encoding="latin-1") as f:
            return f.read()

    def words(self):
        ops = re.findall(r'OP\("(.*?)"', self.read("src", "host", "ops.def"))
        fields = re.findall(r'slice_str\("([a-z-]+)"\)|\{"([a-z-]+)", ',
                            self.read("src", "host", "commit_build.c"))
        self.assertGreater(len(fields), 8)
        return ops + [":" + (a or b) for a, b in fields]

    def test_each_op_and_edit_is_a_word_and_in_an_input(self):
        folder = os.path.join("test", "fuzz", "corpus", "ops")
        inputs = "".join(self.read(folder, name) for name in
                         os.listdir(os.path.join(ROOT, folder)))
        for word in self.words():
            self.assertTrue(word in inputs, "no input has " + word)
            for target in ("ops", "session"):
                self.assertRegex(self.read("test", "fuzz", target + ".dict"),
                                 re.escape(word) + r"[\" ]")


if __name__ == "__main__":
    main()
