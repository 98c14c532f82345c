# SPDX-License-Identifier: MIT
# A client of sx_server that never hangs, and the base of the test cases.
"""Text is str with one character a byte (latin-1), since names and values may
hold any byte. $SX_SERVER names the program; build/sx_server is the default.
$TEST_WAIT: a fifth of the seconds after which what must come counts as never.
"""

import collections
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SERVER = os.environ.get("SX_SERVER", os.path.join(ROOT, "build", "sx_server"))
SANITIZED = bool(os.environ.get("SANITIZED"))
REPLY_SECONDS_MAX = (120 if SANITIZED else
                     5 * int(os.environ.get("TEST_WAIT", "12")))

# kind: ok, value, error, io-request, or ready
Reply = collections.namedtuple("Reply", "kind epoch text")
HEADER = re.compile(r"\((ok|ok-len|error|io-request) (\d+)(?: (.*))?\)\Z",
                    re.S)


# Who uses the programs knows nothing of the C interface.
WORDS_OF_C = re.compile(r"\bpersist_[a-z]|\bPERSIST_|\bNULL\b|option to create")


class Failed(Exception):
    """An (error ...) reply."""

    def __init__(self, message):
        assert not WORDS_OF_C.search(message), message
        super().__init__(message)
        self.message = message
        self.code = message.split(":")[0]


class Gone(Exception):
    """The server's output ended."""


def quote(text):
    """A string literal of SX on one line."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        text = text.replace(plain, escaped)
    return '"%s"' % text


def unquote(text):
    assert text[0] == text[-1] == '"', text[:200]
    escapes = {"n": "\n", "t": "\t", "r": "\r"}
    return re.sub(r"\\(.)", lambda m: escapes.get(m[1], m[1]), text[1:-1],
                  flags=re.S)


def perform(op, *arguments):
    """Source text that performs an op; arguments are source text."""
    return '(perform {:op "%s" :args (list %s)})' % (op, " ".join(arguments))


def event(stream, seq, data="nil", more=""):
    return '{:stream %s :seq %d :type "t" :at 0 :data %s%s}' % (
        quote(stream), seq, data, more)


def append(stream, seq, data="nil"):
    return perform("persist/append", quote(stream), event(stream, seq, data))


def wait_for(what, look):
    """Looks again and again; returns what it finds."""
    deadline = time.monotonic() + REPLY_SECONDS_MAX
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come: " + what)
        time.sleep(0.01)


def first_bytes(stream):
    """What a program writes first."""
    if not select.select([stream], [], [], REPLY_SECONDS_MAX)[0]:
        raise TimeoutError("the program writes nothing")
    return os.read(stream.fileno(), 1000)


class Server:
    def __init__(self, store=None, flags=(), cwd=None, env=None, wrap=(),
                 ready=True, errors=None, preexec=None):
        place = ["--store", store] if store is not None else []
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*wrap, SERVER, *place, *flags], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, preexec_fn=preexec, cwd=cwd, bufsize=0,
            stderr=self.errors if errors is None else errors,
            env={**os.environ, **(env or {})})
        self.pid = self.process.pid
        self.input, self.output = self.process.stdin, self.process.stdout
        os.set_blocking(self.input.fileno(), False)
        os.set_blocking(self.output.fileno(), False)
        self.buffer, self.ended = bytearray(), False
        if ready:
            line = self.line()
            if line != "(ready)":
                raise AssertionError("no (ready) but %r" % line[:200])

    # ---- bytes

    def pump(self, deadline, pending=b""):
        """Moves bytes once, both ways; returns what is still to be sent."""
        writers = [self.input] if pending else []
        readers = [] if self.ended or self.output.closed else [self.output]
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the server does not answer; stderr: %s"
                               % self.stderr()[-500:])
        readable, writable, _ = select.select(readers, writers, [], left)
        if readable:
            data = self.output.read(1 << 20)
            self.buffer += data or b""
            self.ended = data == b""
        if writable:
            try:
                pending = pending[os.write(self.input.fileno(), pending[:65536
                                                                        ]):]
            except BrokenPipeError:
                raise Gone("input closed") from None
        return pending

    def send(self, text, newline=True, seconds=REPLY_SECONDS_MAX):
        pending = memoryview((text + "\n" * newline).encode("latin-1"))
        deadline = time.monotonic() + seconds
        while pending:
            pending = self.pump(deadline, pending)

    def take(self, size=None, seconds=REPLY_SECONDS_MAX):
        """size bytes, or a line without its newline."""
        deadline = time.monotonic() + seconds
        at, searched = size, 0
        while True:
            if size is None:
                at = self.buffer.find(b"\n", searched)
                searched = len(self.buffer)
            if at >= 0 and len(self.buffer) > at - (size is not None):
                result = bytes(self.buffer[:at])
                del self.buffer[:at + (size is None)]
                return result.decode("latin-1")
            if self.ended:
                raise Gone("output ended: %r" % bytes(self.buffer[-200:]))
            self.pump(deadline)

    def line(self, seconds=REPLY_SECONDS_MAX):
        return self.take(None, seconds)

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode("latin-1")

    # ---- replies

    def reply(self, seconds=REPLY_SECONDS_MAX):
        """The next reply; after a TimeoutError it can be asked for again."""
        deadline = time.monotonic() + seconds
        while True:
            reply = self.whole_reply()
            if reply:
                return reply
            if self.ended:
                raise Gone("output ended: %r" % bytes(self.buffer[-200:]))
            self.pump(deadline)

    def whole_reply(self):
        """Takes a reply out of the buffer if all of it is there."""
        end = self.buffer.find(b"\n")
        if end < 0:
            return None
        line = self.buffer[:end].decode("latin-1")
        match = HEADER.match(line)
        if not match:
            raise AssertionError("no reply of the protocol: %r" % line[:300])
        kind, text, end = match[1], match[3] or "", end + 1
        if kind == "ok-len":
            size = int(text)
            if len(self.buffer) <= end + size:
                return None
            kind, text = "value", self.buffer[end:end + size].decode("latin-1")
            end += size + 1
            if self.buffer[end - 1] != 10:
                raise AssertionError("ok-len %d: no newline after" % size)
        del self.buffer[:end]
        if kind == "error":
            text = unquote(text)
        return Reply(kind, int(match[2]), text)

    def command(self, line, seconds=REPLY_SECONDS_MAX):
        self.send(line, seconds=seconds)
        return self.reply(seconds)

    def eval(self, source, seconds=REPLY_SECONDS_MAX):
        """The printed value; raises Failed."""
        reply = self.command("(eval %s)" % quote(source), seconds)
        if reply.kind == "error":
            raise Failed(reply.text)
        if reply.kind != "value":
            raise AssertionError("eval answered by %r" % (reply,))
        return reply.text

    def load(self, path):
        reply = self.command("(load %s)" % quote(path))
        if reply.kind == "error":
            raise Failed(reply.text)
        if reply.kind != "ok":
            raise AssertionError("load answered by %r" % (reply,))

    def perform(self, op, *arguments):
        return self.eval(perform(op, *arguments))

    # ---- the end

    def wait(self, seconds=REPLY_SECONDS_MAX):
        """Reads to the end of the output; returns the exit code."""
        deadline = time.monotonic() + seconds
        while not self.ended and not self.output.closed:
            self.pump(deadline)
        return self.process.wait(max(1, deadline - time.monotonic()))

    def close(self):
        """End of input; returns the exit code."""
        self.input.close()
        return self.wait()

    def kill(self):
        """SIGKILL, then whatever had left the server before."""
        self.process.kill()
        self.wait()

    def replies_left(self):
        """Whole replies in the buffer, after the end."""
        replies = []
        try:
            while True:
                replies.append(self.reply())
        except Gone:
            return replies

    def release(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(REPLY_SECONDS_MAX)
        for stream in (self.input, self.output, self.errors):
            stream.close()


class Case(unittest.TestCase):
    """A test with a directory and servers that end with it."""

    longMessage = True
    maxDiff = 2000

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="sx-acceptance-")
        self.store = os.path.join(self.dir, "store")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def serve(self, store="", **options):
        """A server on the case's store; store=None: no flag for it."""
        server = Server(self.store if store == "" else store, **options)
        self.addCleanup(server.release)
        return server

    def restart(self, server, **options):
        self.end(server)
        return self.serve(**options)

    def end(self, server):
        self.assertEqual(server.close(), 0, server.stderr()[-2000:])

    def fails(self, code, server, source):
        """The source ends in an error of this code; returns its message."""
        try:
            value = server.eval(source)
        except Failed as failed:
            self.assertEqual(failed.code, code, failed.message[:300])
            return failed.message
        return self.fail("%s gave %s, not %s" % (
            source[:200], value[:200], code))

    def gives(self, server, source, text):
        self.assertEqual(server.eval(source), text, source[:300])

    def alive(self, server):
        self.assertEqual(server.command("(ping)").kind, "ok")


def main():
    result = unittest.main(module="__main__", exit=False, verbosity=1).result
    bad = len(result.failures) + len(result.errors)
    for case, reason in result.skipped:
        print("figure: skipped %s: %s" % (case.id(), reason))
    print("%d passed, %d failed" % (
        max(0, result.testsRun - bad - len(result.skipped)), bad))
    sys.exit(1 if bad else 0)


# SIGPIPE stays ignored as Python has it: a dead server is a Gone.
assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
