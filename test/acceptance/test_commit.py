#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# persist/commit and the range ops on the real store, across restarts.
from client import Case, append, main, perform, quote


def commit(*edits):
    return perform("persist/commit", "(list %s)" % " ".join(edits))


def events(*data):
    return "(list %s)" % " ".join(
        '{:type "t" :at 0 :data %s}' % d for d in data)


def append_edit(stream, *data):
    return "{:append %s :events %s}" % (quote(stream), events(*data))


def event(stream, seq, data):
    return '{:stream %s :seq %d :type "t" :at 0 :data %s}' % (
        quote(stream), seq, data)


class Commit(Case):
    def setUp(self):
        super().setUp()
        self.s = self.serve()

    def result(self, text):
        """The text as the reply has it: dict order is not promised."""
        self.gives(self.s, "(equal? r (sx-parse %s))" % quote(text), "true")

    def commit(self, *edits):
        self.s.eval("(define r %s)" % commit(*edits))

    def test_all_edits_at_once(self):
        self.s.eval(append("old", 1))
        self.s.perform("persist/kv-put", '"gone"', "1")
        self.commit(append_edit("a", "1", "2"), '{:put "k" :value (list 1)}',
                    '{:delete "gone"}', '{:truncate "old" :through 1}',
                    append_edit("b", "3"))
        self.result("{:committed true :results ((%s %s) (1) nil nil (%s))}"
                    % (event("a", 1, "1"), event("a", 2, "2"),
                       event("b", 1, "3")))
        for _ in range(2):
            self.gives(self.s, "(list %s %s %s %s)" % (
                perform("persist/last-seq", '"a"'),
                perform("persist/kv-keys"),
                "(len %s)" % perform("persist/read", '"old"'),
                perform("persist/last-seq", '"b"')), '(2 ("k") 0 1)')
            self.s.kill()
            self.s = self.serve()

    def test_expectations_see_the_state_before(self):
        self.commit('{:put "k" :value 2}', '{:expect-key "k" :absent true}',
                    append_edit("s", "1"), '{:expect "s" :seq 0}')
        self.gives(self.s, "(get r :committed)", "true")
        self.commit('{:put "k" :value 3}', '{:expect "s" :seq 0}')
        self.result("{:conflict true :edit 1 :expected 0 :actual 1}")
        self.commit('{:delete "k"}', '{:expect-key "k" :value 7}')
        self.result("{:conflict true :edit 1 :expected 7 :actual 2}")
        self.gives(self.s, perform("persist/kv-get", '"k"'), "2")

    def test_expected_values_are_compared_deeply(self):
        self.s.perform("persist/kv-put", '"k"', "{:a 1 :b (list 2.0)}")
        for value, right in (("{:b (list 2.0) :a 1}", True),
                             ("{:a 1 :b (list 2)}", False)):
            self.commit('{:expect-key "k" :value %s}' % value)
            self.gives(self.s, "(get r :committed)",
                       "true" if right else "nil")

    def test_once_for_ever(self):
        edits = ['{:once "c-1"}', append_edit("s", "1"),
                 '{:put "k" :value 5}']
        self.commit(*edits)
        first = self.s.eval("r")
        self.s.perform("persist/truncate", '"s"', "1")
        self.s.perform("persist/kv-delete", '"k"')
        for _ in range(3):
            self.assertEqual(self.s.eval(commit(*edits)), first)
            self.gives(self.s, perform("persist/last-seq", '"s"'), "1")
            self.gives(self.s, perform("persist/kv-has?", '"k"'), "false")
            self.fails("bad-request", self.s, commit(
                '{:once "c-1"}', append_edit("s", "2")))
            self.s.kill()
            self.s = self.serve()

    def test_a_conflict_records_no_id(self):
        edits = ['{:once "c"}', '{:expect "s" :seq 1}', append_edit("s", "1")]
        self.commit(*edits)
        self.gives(self.s, "(get r :conflict)", "true")
        self.s.eval(append("s", 1))
        self.commit(*edits)
        self.gives(self.s, "(get r :committed)", "true")

    def test_nothing_to_do(self):
        self.commit()
        self.result("{:committed true :results ()}")
        self.commit('{:append "s" :events ()}')
        self.result("{:committed true :results (())}")
        self.gives(self.s, perform("persist/streams"), "()")

    def test_malformed_edits_write_nothing(self):
        good = '{:put "k" :value 1}'
        for bad in ("5", "nil", "{}", '{:put "k"}', '{:put 5 :value 1}',
                    '{:append "s"}', '{:append "s" :events 5}',
                    '{:append "s" :events (list 5)}', '{:nope "s"}',
                    '{:truncate "s"}', '{:truncate "s" :through "1"}',
                    '{:expect "s"}', '{:expect-key "k"}',
                    '{:once "a"} {:once "b"}', '{:put "k" :delete "k"}'):
            with self.subTest(bad=bad):
                self.fails("bad-request", self.s, commit(good, bad))
        self.fails("not-storable", self.s,
                   commit(good, '{:put "f" :value len}'))
        self.fails("not-storable", self.s,
                   commit(good, append_edit("s", "len")))
        self.gives(self.s, "(list %s %s)" % (
            perform("persist/kv-keys"), perform("persist/streams")),
            "(() ())")


class Ranges(Case):
    def setUp(self):
        super().setUp()
        self.s = self.serve()
        for seq in (1, 2, 4, 8):
            self.s.eval(append("s", seq))
            self.s.eval(append("t", seq))
        self.s.perform("persist/truncate", '"s"', "1")

    def both(self, source, text):
        """Now and after a restart."""
        self.gives(self.s, source, text)
        self.s = self.restart(self.s)
        self.gives(self.s, source, text)

    def test_read_range(self):
        for start, limit, seqs in (
                ("2", "nil", "(2 4 8)"), ("3", "nil", "(4 8)"),
                ("0", "2", "(2 4)"), ("nil", "1", "(2)"), ("2", "0", "()"),
                ("9", "nil", "()"), ("nil", "-2", "(8 4)"),
                ("7", "-5", "(4 2)"), ("1", "-1", "()"), ("-5", "1", "(2)")):
            self.gives(self.s, "(map (fn (e) (get e :seq)) %s)" % perform(
                "persist/read-range", '"s"', start, limit), seqs)

    def test_stream_info(self):
        length = len('{:stream "s" :seq 1 :type "t" :at 0 :data nil}')
        self.both(perform("persist/stream-info", '"s"'),
                  "{:last-seq 8 :first-seq 2 :count 3 :bytes %d}"
                  % (3 * length))
        self.s.perform("persist/truncate", '"s"', "99")
        self.both(perform("persist/stream-info", '"s"'),
                  "{:last-seq 8 :first-seq 0 :count 0 :bytes 0}")
        self.both(perform("persist/stream-info", '"none"'),
                  "{:last-seq 0 :first-seq 0 :count 0 :bytes 0}")

    def test_kv_scan(self):
        for key in ("a", "a/1", "a/2", "b", "a\xff"):
            self.s.perform("persist/kv-put", quote(key), quote(key + "!"))
        for arguments, keys in (
                ('"" nil nil', '("a" "a/1" "a/2" "a\xff" "b")'),
                ('"a/" nil nil', '("a/1" "a/2")'),
                ('"a" "a/1" 1', '("a/2")'), ('"c" nil nil', "()")):
            self.both("(map first %s)" % perform(
                "persist/kv-scan", arguments), keys)
        self.both(perform("persist/kv-scan", '"b" nil nil'),
                  '(("b" "b!"))')

    def test_read_all(self):
        self.both("(map (fn (r) (list (get r :position) (get (get r :event) "
                  ":stream))) %s)" % perform("persist/read-all", "3", "4"),
                  '((3 "s") (4 "t") (5 "s") (6 "t"))')
        self.both("(map (fn (r) (get r :position)) %s)" % perform(
            "persist/read-all", "0", "nil"), "(2 3 4 5 6 7 8)")


class Tags(Case):
    def setUp(self):
        super().setUp()
        self.s = self.serve()

    def found(self, query, place="nil"):
        return self.s.eval(
            "(map (fn (e) (list (get e :position) (get (get e :event) :data)))"
            " %s)" % perform("persist/query", query, place, "nil"))

    def test_queries_and_conditions_over_kills(self):
        tagged = '{:type "t" :at 0 :data %d :tags (list %s)}'
        self.s.eval(commit('{:append "a" :events (list %s %s)}' % (
            tagged % (1, '"x" "y"'), tagged % (2, '"y"'))))
        self.s.perform("persist/append", '"b"', '{:stream "b" :seq 4 :type nil'
                       ' :at 0 :data 3 :tags (list "x" "y")}')
        both = '{:tags (list "x" "y")}'
        for after, now in ((2, 3), (3, 4), (4, 5)):
            self.assertEqual(self.found('{:tags (list "y")}').count("("),
                             now + 1)
            self.assertEqual(
                self.found(both),
                "((1 1) (3 3)%s)" % "".join(
                    " (%d %d)" % (n, n) for n in range(4, now + 1)))
            self.s.kill()
            self.s = self.serve()
            self.assertEqual(self.s.eval(commit(
                "{:expect-none %s :after %d}" % (both, after),
                '{:put "k" :value 1}')),
                "{:conflict true :edit 0 :expected %d :actual %d}" % (
                    after, now))
            self.assertEqual(self.s.eval("(get %s :committed)" % commit(
                "{:expect-none %s :after %d}" % (both, now),
                '{:append "c" :events (list %s)}' % (
                    tagged % (now + 1, '"y" "x"')))), "true")
        self.assertEqual(self.s.perform("persist/kv-keys"), "()")

    def test_a_blob_that_is_expected(self):
        cid = self.s.perform("blob/put", '"expected"', '"x"')
        other = '"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"'
        for _ in range(2):
            self.assertEqual(self.s.eval(commit(
                "{:expect-blob %s}" % cid, '{:put "k" :value 1}')),
                "{:committed true :results (nil 1)}")
            self.assertEqual(self.s.eval(commit(
                '{:put "n" :value 1}', "{:expect-blob %s}" % other)),
                "{:conflict true :edit 1 :expected %s :actual nil}" % other)
            self.s.kill()
            self.s = self.serve()
        self.assertEqual(self.s.perform("persist/kv-keys"), '("k")')
        self.fails("bad-cid", self.s, commit('{:expect-blob "k"}'))
        self.fails("bad-request", self.s, commit("{:expect-blob 7}"))

    def test_the_fingerprint_covers_tags_and_queries(self):
        def once(tag, asked):
            return commit(
                '{:append "s" :events (list {:type "t" :at 0 :data 0 '
                ':tags (list %s)})}' % quote(tag),
                "{:expect-none {:tags (list %s)} :after 9}" % quote(asked),
                '{:once "id"}')
        first = self.s.eval(once("a", "q"))
        self.assertEqual(self.s.eval(once("a", "q")), first)
        for other in once("b", "q"), once("a", "r"):
            self.fails("bad-request", self.s, other)


if __name__ == "__main__":
    main()
