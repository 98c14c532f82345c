#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# The epoch protocol: commands, replies, epochs, and lines that are neither.
import os
import random
import re
import signal
import subprocess
import sys
import time

from client import ROOT, SERVER, Case, Failed, append, main, perform, quote

MALFORMED = [
    ")", "(", "]", "(ping", "(ping))", "(ping]", "(eval", '(eval "1', "(eval)",
    "(eval 1)", '(eval "1" "2")', "(eval nil)", "ping", "42", '"text"', "()",
    "nil", "(nope)", "(ping) (ping)", '(ping) "x"', "(ping 1)", "(load)",
    "(load 5)", "(epoch)", '(epoch "1")', "(epoch x)", "(epoch 1 2)",
    "(epoch 1.5)", "(1 2)", '("eval" "1")', "((ping))", "{:a 1}", "(eval . 1)",
    "#", "'", '(eval "1") trailing', "\x00", "\xff\xfe", "(ping\x00)",
]


class Commands(Case):
    def setUp(self):
        super().setUp()
        self.s = self.serve()

    def test_ping(self):
        self.s.send("(ping)")
        self.assertEqual(self.s.line(), "(ok 0)")

    def test_eval_gives_the_last_value(self):
        self.s.send('(eval "(+ 1 2) (* 6 7)")')
        self.assertEqual(self.s.line(), "(ok-len 0 2)")
        self.assertEqual(self.s.line(), "42")

    def test_eval_of_nothing(self):
        self.gives(self.s, "", "nil")
        self.gives(self.s, "; only a comment", "nil")

    def test_definitions_outlive_a_command(self):
        self.s.eval("(define n 5)")
        self.gives(self.s, "(+ n 1)", "6")

    def test_forms_before_an_error_stay(self):
        self.fails("unbound", self.s, "(define m 1) (no-such-name) "
                                      "(define m 2)")
        self.gives(self.s, "m", "1")

    def test_length_counts_bytes(self):
        self.s.send('(eval "\\"\xc3\xa9\xe2\x82\xac\\"")')
        self.assertEqual(self.s.line(), "(ok-len 0 7)")
        self.assertEqual(self.s.take(8), '"\xc3\xa9\xe2\x82\xac"\n')

    def test_newlines_in_a_value_are_escaped(self):
        self.s.send(r'(eval "\"a\nb\"")')
        self.assertEqual(self.s.line(), "(ok-len 0 6)")
        self.assertEqual(self.s.line(), r'"a\nb"')

    def test_other_control_bytes_travel_raw(self):
        plain = "".join(chr(i) for i in range(1, 32) if chr(i) not in "\n\t\r")
        self.s.send('(eval "\\"%s\\"")' % plain)
        self.assertEqual(self.s.reply().text, '"%s"' % plain)
        self.gives(self.s, "(char-from-code 0)", '"\x00"')

    def test_epoch(self):
        self.s.send("(epoch 7)")
        self.s.send("(ping)")
        self.assertEqual(self.s.line(), "(ok 7)")
        self.s.send('(eval "nil")')
        self.assertEqual(self.s.line(), "(ok-len 7 3)")
        self.assertEqual(self.s.line(), "nil")
        self.s.send("(nope)")
        self.assertRegex(self.s.line(), r'\A\(error 7 ".*"\)\Z')
        self.s.send("(epoch 123456789012)\n(ping)")
        self.assertEqual(self.s.line(), "(ok 123456789012)")
        self.s.send("(epoch -1)\n(ping)")
        self.assertRegex(self.s.line(), "error 123456789012 .*from 0")
        self.assertEqual(self.s.line(), "(ok 123456789012)")

    def test_epoch_of_a_reply_is_that_of_its_command(self):
        self.s.send("(epoch 1)\n(ping)\n(epoch 2)\n(ping)\n(epoch 1)\n(ping)")
        self.assertEqual([self.s.line() for _ in range(3)],
                         ["(ok 1)", "(ok 2)", "(ok 1)"])

    def test_blank_lines_and_comments(self):
        self.s.send("\n\n   \n\t\n; a comment\n   ; another\n(ping) ; why\n"
                    "  (ping)  \n;(ping)\n#;(ping)\n(ping)\r\n\r\n(epoch 3)")
        self.s.send("(ping)")
        self.assertEqual([self.s.line() for _ in range(4)],
                         ["(ok 0)", "(ok 0)", "(ok 0)", "(ok 3)"])

    def test_replies_keep_their_order(self):
        lines = ['(eval "%d")' % i if i % 3 else "(nope)" for i in range(900)]
        self.s.send("\n".join(lines))
        for i in range(900):
            reply = self.s.reply()
            self.assertEqual(reply.kind, "value" if i % 3 else "error")
            if i % 3:
                self.assertEqual(reply.text, str(i))

    def test_a_command_in_pieces(self):
        for byte in '(eval "(+ 20 22)")\n':
            self.s.send(byte, newline=False)
            time.sleep(0.001)
        self.assertEqual(self.s.reply().text, "42")

    def test_print_goes_to_standard_error(self):
        self.gives(self.s, '(print "to-") (println "stderr") 1', "1")
        self.assertEqual(self.s.close(), 0)
        self.assertEqual(bytes(self.s.buffer), b"")
        self.assertIn("to-stderr\n", self.s.stderr())


class Errors(Case):
    def setUp(self):
        super().setUp()
        self.s = self.serve()

    def test_escaping(self):
        self.s.send(r'(eval "(error \"a\\\"b\\\\c\\nd\")")')
        self.assertEqual(self.s.line(), r'(error 0 "error: a\"b\\c\nd")')

    def test_raised_values_read_as_they_print(self):
        for source, text in [("(raise {:a 1})", "{:a 1}"),
                             ('(raise "x")', '"x"'), ("(raise nil)", "nil"),
                             ("(raise (list 1 2.5))", "(1 2.5)"),
                             ("(raise 'sym)", "sym")]:
            reply = self.s.command("(eval %s)" % quote(source))
            self.assertEqual((reply.kind, reply.text), ("error", text))

    def test_malformed_lines_are_one_error_each(self):
        for line in MALFORMED:
            with self.subTest(line=line):
                reply = self.s.command(line)
                self.assertEqual(reply.kind, "error", line)
                self.s.send("(ping)")
                self.assertEqual(self.s.line(), "(ok 0)", line)

    def test_syntax_errors_name_the_place(self):
        message = self.fails("syntax", self.s, "(+ 1 2)\n(+ 1 ]")
        self.assertRegex(message, r"2\D+6")

    def test_a_command_on_several_lines_is_told_how(self):
        for text in ('(eval "(define (f)', '(eval "1" ', "#|raw"):
            reply = self.s.command(text)
            self.assertTrue(reply.text.startswith("syntax: "), reply)
            self.assertTrue(reply.text.endswith(
                "; a command is one line: inside its strings write \\n for a "
                'newline, \\" for " and \\\\ for \\'), reply)
        # of a text that came whole there is nothing to tell
        self.assertNotIn("one line", self.fails("syntax", self.s, '"open'))

    def test_the_client_of_the_page_works(self):
        with open(ROOT + "/docs/HOST.md", encoding="utf-8") as f:
            page = f.read()
        start = page.index("    import subprocess\n")
        code = re.sub("(?m)^    ", "", page[start:page.index(
            "\n\n|", start)])
        code = code.replace("build/sx_server", SERVER).replace(
            "/tmp/driven", self.dir + "/driven")
        code += """
for number, text in enumerate(('(str "a" "\\\\n")', "(error 1", "(raise 3)")):
    try:
        print(evaluate(number, text))
    except RuntimeError as e:
        print("failed", e)
server.stdin.close()
server.wait()
server.stdout.close()
"""
        run = subprocess.run([sys.executable, "-c", code], check=True,
                             capture_output=True, text=True, timeout=120)
        lines = run.stdout.splitlines()
        self.assertEqual(lines[:2], ['"twice: 42"', r'"a\n"'])
        self.assertRegex(lines[2], 'failed "syntax: line 1, column 1: ')
        self.assertEqual(lines[3:], ['failed "3"'])

    def test_binary_garbage(self):
        rng, count = random.Random(20), 400
        for _ in range(count):
            body = bytes(rng.choice([b for b in range(256) if b != 10])
                         for _ in range(rng.randrange(1, 80)))
            self.s.send("\x01" + body.decode("latin-1"))
        for _ in range(count):
            self.assertEqual(self.s.reply().kind, "error")
        self.s.send("(ping)")
        self.assertEqual(self.s.line(), "(ok 0)")

    def test_huge_garbage(self):
        for line in ("(" * 3000000, "a" * 3000000, '(eval "' + "x" * 3000000,
                     "(ping " + ")" * 3000000, "[" * 1000000 + "]" * 1000000):
            self.assertEqual(self.s.command(line).kind, "error", line[:10])
            self.alive(self.s)

    def test_huge_commands(self):
        size = 8 << 20
        self.gives(self.s, '(len "%s")' % ("a" * size), str(size))
        self.gives(self.s, "(+ %s)" % ("1 " * 100000), "100000")
        text = self.s.eval('(join "" (map (fn (i) "abcdefgh") '
                           '(range 0 500000)))')
        self.assertEqual(len(text), 4000002)


class Load(Case):
    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(text)

    def test_relative_to_the_current_directory(self):
        os.mkdir(os.path.join(self.dir, "sub"))
        self.write("sub/a.sx", "(define loaded 1)\n; more\n(load-count)\n")
        s = self.serve(cwd=self.dir)
        s.eval("(define count 0) "
               "(define (load-count) (set! count (+ count 1)))")
        s.send('(load "sub/a.sx")')
        self.assertEqual(s.line(), "(ok 0)")
        self.gives(s, "(list loaded count)", "(1 1)")

    def test_absolute(self):
        self.write("b.sx", "(define b 2)")
        s = self.serve(cwd="/")
        s.load(os.path.join(self.dir, "b.sx"))
        self.gives(s, "b", "2")

    def test_missing(self):
        s = self.serve(cwd=self.dir)
        with self.assertRaises(Failed) as caught:
            s.load("no-such-file.sx")
        self.assertIn("no-such-file.sx", caught.exception.message)
        with self.assertRaises(Failed):
            s.load(".")
        with self.assertRaises(Failed):
            s.load("")
        with self.assertRaises(Failed):
            s.load("a\x00b")
        self.alive(s)

    def test_what_cannot_be_loaded_is_told_what_to_do(self):
        self.write("large.sx", " " * (3 << 20))
        self.write("open.sx", '1\n(define a\n  (list "a"')
        self.write("text.sx", '(print "a)\n')
        self.write("raw.sx", "#|a")
        self.write("quote.sx", "1 '")
        os.mkdir(os.path.join(self.dir, "big"))
        self.write("big/load-order", "a.sx\nb.sx\n")
        self.write("big/a.sx", " " * (2 << 20))
        self.write("big/b.sx", " " * (2 << 20))
        s = self.serve(flags=["--heap-max", "2M"], cwd=self.dir)
        rest = "never closed; add what closes it, or the rest of the text"
        for path, code, says in (
                ("large.sx", "too-large", "raise --heap-max"),
                ("big", "too-large", "raise --heap-max"),
                ("open.sx", "syntax", "line 3, column 3: this bracket is "
                 + rest),
                ("text.sx", "syntax", rest), ("raw.sx", "syntax", rest),
                ("quote.sx", "syntax", "; add what it is for"),
                ("d/e.sx", "io", "the path is relative"),
                ("open.sx/x", "io", "the path is relative"),
                ("x" * 300, "io", "take shorter names")):
            with self.assertRaises(Failed) as failed:
                s.load(path)
            self.assertEqual(failed.exception.code, code)
            self.assertIn(says, failed.exception.message)

    def fails_to_load(self, path, code, *says):
        s = self.serve(cwd=self.dir)
        with self.assertRaises(Failed) as caught:
            s.load(path)
        self.assertEqual(caught.exception.code, code)
        for text in says:
            self.assertIn(text, caught.exception.message)
        return s

    def test_each_file_of_a_directory_is_a_text_of_its_own(self):
        os.mkdir(os.path.join(self.dir, "d"))
        self.write("d/load-order", "a.sx\r\nb.sx\r\n\r\n")
        self.write("d/a.sx", "(define a 1)\n(define x (list 1")
        self.write("d/b.sx", "2)) (define y 5)\n")
        s = self.fails_to_load("d", "syntax", "line 2,", "d/a.sx:2")
        self.gives(s, "a", "1")
        self.write("d/a.sx", '(define a "1\n')
        self.write("d/b.sx", '")\n')
        self.fails_to_load("d", "syntax", "d/a.sx:1")
        self.write("d/a.sx", "(define a 1) ; no newline")
        self.write("d/b.sx", "(define b a)\n\n; here\n  (no-such\n b)")
        self.fails_to_load("d", "unbound", "no-such", "d/b.sx:4")
        self.write("d/b.sx", "(define b a)")
        s = self.serve(cwd=self.dir)
        s.load("d")
        self.gives(s, "(list a b)", "(1 1)")

    def test_an_error_names_file_and_line(self):
        self.write("e.sx", "(define e 1)\n\n(define f\n  (list 1 2")
        self.fails_to_load("e.sx", "syntax", "line 4", "e.sx:3")
        self.write("e.sx", "\n(error \"boo\")")
        self.fails_to_load("e.sx", "error", "boo, in the form at e.sx:2")
        self.write("e.sx", "(raise \"boo\")")
        s = self.serve(cwd=self.dir)
        s.send('(load "e.sx")')
        self.assertEqual(s.line(), '(error 0 "\\"boo\\"")')

    def test_an_error_in_the_middle(self):
        self.write("c.sx", "(define c 1)\n(no-such)\n(define c 2)\n")
        s = self.serve(cwd=self.dir)
        with self.assertRaises(Failed) as caught:
            s.load("c.sx")
        self.assertEqual(caught.exception.code, "unbound")
        self.gives(s, "c", "1")

    def test_a_byte_order_mark_is_no_text(self):
        self.write("e.sx", "\ufeff(define e 1)")
        os.mkdir(os.path.join(self.dir, "two"))
        self.write("two/load-order", "\ufefff.sx\ng.sx\n")
        self.write("two/f.sx", "\ufeff(define f 2)")
        self.write("two/g.sx", "\ufeff(define g 3)")
        self.write("h.sx", "\ufeff")
        s = self.serve(cwd=self.dir)
        s.send("\xef\xbb\xbf(ping)")
        self.assertEqual(s.line(), "(ok 0)")
        for name in ("e.sx", "two", "h.sx"):
            s.load(name)
        self.gives(s, "(list e f g)", "(1 2 3)")
        s.send("\xef\xbb\xbf(ping)")  # the input does not begin here
        self.assertEqual(s.reply().kind, "error")

    def test_a_file_may_perform(self):
        self.write("d.sx", append("s", 1))
        s = self.serve(cwd=self.dir)
        s.load("d.sx")
        self.assertEqual(s.perform("persist/last-seq", '"s"'), "1")


class UnknownOps(Case):
    ASK = '(list (perform {:op "x/y" :args (list 1 "two" :three)}))'

    def test_error_is_the_default(self):
        for flags in ((), ("--unknown-op=error",)):
            s = self.serve(flags=flags)
            message = self.fails("unknown-op", s, self.ASK)
            self.assertIn("x/y", message)
            self.gives(s, '(guard (e (else (list (get e :error) (get e :op))))'
                          ' (perform {:op "x/y"}))', '("unknown-op" "x/y")')

    def test_nil_restores_the_old_way(self):
        s = self.serve(flags=["--unknown-op=nil"])
        self.gives(s, self.ASK, "(nil)")

    def bridged(self):
        s = self.serve(flags=["--unknown-op=bridge"])
        s.send("(epoch 4)\n(eval %s)" % quote(self.ASK))
        self.assertEqual(s.line(), '(io-request 4 "x/y" 1 "two" "three")')
        return s

    def test_bridge(self):
        s = self.bridged()
        s.send("(io-response {:a (1 2)})")
        self.assertEqual(s.reply()[1:], (4, "({:a (1 2)})"))
        self.alive(s)

    def test_bridge_with_the_epoch(self):
        s = self.bridged()
        s.send("(io-response 4 nil)")
        self.assertEqual(s.reply()[1:], (4, "(nil)"))

    def test_a_stale_response_is_dropped(self):
        s = self.bridged()
        s.send("(io-response 3 111)\n(io-response 5 222)\n(io-response 4 42)")
        self.assertEqual(s.reply()[1:], (4, "(42)"))
        s.send("(ping)")
        self.assertEqual(s.line(), "(ok 4)")

    NO_COMMANDS = (
        "(io-response #<lambda>)", "(io-response 1 2 3)", "(io-response)",
        "(io-response 99999999999999999999)", "(io-response (1 2)",
        '(io-response "unclosed)', "(io-response 4.0 1)", "(pign)", "hello",
        "(ping 1)", "(eval 5)", ")", '(io-response "x" 5)')

    def test_what_is_no_answer_is_told_at_once(self):
        s = self.bridged()
        for line in self.NO_COMMANDS:
            with self.subTest(line):
                s.send(line)
                self.assertEqual(s.reply()[:2], ("error", 4))
        s.send("(io-response 42)")
        self.assertEqual(s.reply()[1:], (4, "(42)"))
        self.alive(s)

    def test_it_carries_the_epoch_that_was_sent_before_it(self):
        s = self.bridged()
        s.send("(epoch 5)\n(ping)\n(pign)\n(epoch 6)\n(eval 5)")
        self.assertEqual(s.reply()[:2], ("error", 5))
        self.assertEqual(s.reply()[:2], ("error", 6))
        s.send("(ping)\n(io-response 4 42)")
        self.assertEqual(s.reply()[1:], (4, "(42)"))
        self.assertEqual([s.line(), s.line()], ["(ok 5)", "(ok 6)"])
        s.send("(pign)")
        self.assertEqual(s.reply()[:2], ("error", 6))

    def test_several_requests_of_one_evaluation(self):
        s = self.serve(flags=["--unknown-op=bridge"])
        s.send("(eval %s)" % quote(
            '(map (fn (i) (perform {:op "ask" :args i})) (list 1 2 3))'))
        for i in (1, 2, 3):
            self.assertEqual(s.line(), '(io-request 0 "ask" %d)' % i)
            s.send("(io-response %d)" % (i * 10))
        self.assertEqual(s.reply().text, "(10 20 30)")

    def test_own_ops_are_not_bridged(self):
        s = self.serve(flags=["--unknown-op=bridge"])
        s.eval(append("s", 1))
        self.assertEqual(s.perform("persist/last-seq", '"s"'), "1")

    def test_the_input_ends_while_a_request_is_pending(self):
        s = self.bridged()
        self.end(s)

    def test_what_came_behind_it_is_answered_all_the_same(self):
        s = self.bridged()
        s.send("(ping)\n(eval %s)\n(eval %s)" % (quote(append("s", 1)),
                                                quote(self.ASK)))
        s.input.close()
        self.assertEqual(s.reply()[:2], ("error", 4))
        self.assertEqual(s.line(), "(ok 4)")
        self.assertEqual(s.reply().kind, "value")
        self.assertEqual(s.line(), '(io-request 4 "x/y" 1 "two" "three")')
        self.assertEqual(s.reply()[:2], ("error", 4))
        self.assertEqual(s.process.wait(60), 0)
        s = self.serve()
        self.assertEqual(s.perform("persist/last-seq", '"s"'), "1")

    def test_what_was_written_before_a_request_is_durable(self):
        s = self.serve(flags=["--unknown-op=bridge"])
        s.send("(eval %s)" % quote('(do %s (perform {:op "ask"}))'
                                   % append("s", 1)))
        self.assertEqual(s.line(), '(io-request 0 "ask")')
        s.kill()
        s = self.serve()
        self.assertEqual(s.perform("persist/last-seq", '"s"'), "1")


class Ends(Case):
    def test_end_of_input(self):
        s = self.serve()
        self.end(s)
        self.assertEqual(bytes(s.buffer), b"")

    def test_what_came_before_the_end_is_answered(self):
        s = self.serve()
        s.send("\n".join("(eval %s)" % quote(append("s", i))
                         for i in range(1, 101)))
        self.end(s)
        self.assertEqual([r.kind for r in s.replies_left()], ["value"] * 100)

    def test_an_unfinished_line_is_no_command(self):
        for text in ("(eval %s)" % quote(append("s", 1)), "(eval", "(pin"):
            s = self.serve()
            s.send(text, newline=False)
            self.end(s)
            self.assertEqual(bytes(s.buffer), b"")
        s = self.serve()
        self.assertEqual(s.perform("persist/streams"), "()")

    def test_the_end_in_the_middle_of_a_command(self):
        s = self.serve()
        s.send("(eval %s)\n(eval \"(perf" % quote(append("s", 1)),
               newline=False)
        self.end(s)
        self.assertEqual(len(s.replies_left()), 1)
        s = self.serve()
        self.assertEqual(s.perform("persist/last-seq", '"s"'), "1")

    def test_sigterm(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            s = self.serve()
            s.eval(append("s-%d" % number, 1))
            os.kill(s.pid, number)
            self.assertEqual(s.wait(), 0)
        s = self.serve()
        self.assertEqual(s.perform("persist/streams"), '("s-15" "s-2")')

    def test_sigterm_while_commands_run(self):
        s = self.serve()
        s.send("\n".join("(eval %s)" % quote(append("s", i))
                         for i in range(1, 2001)))
        s.reply()
        os.kill(s.pid, signal.SIGTERM)
        self.assertEqual(s.wait(), 0)
        acknowledged = 1 + len(s.replies_left())
        s = self.serve()
        self.assertGreaterEqual(
            int(s.perform("persist/last-seq", '"s"')), acknowledged)

    def test_sigterm_ends_an_endless_program(self):
        s = self.serve()
        s.send("(eval %s)" % quote(
            "(define (f) (f)) %s (f)" % append("s", 1)))
        time.sleep(0.3)
        os.kill(s.pid, signal.SIGTERM)
        self.assertEqual(s.wait(10), 0)
        s = self.serve()
        self.assertEqual(s.perform("persist/last-seq", '"s"'), "1")

    def test_closed_output_ends_the_server(self):
        s = self.serve()
        s.eval(append("s", 1))
        s.output.close()
        self.assertEqual(s.wait(), 0, s.stderr())
        s = self.serve()
        self.assertEqual(s.perform("persist/last-seq", '"s"'), "1")


if __name__ == "__main__":
    main()
