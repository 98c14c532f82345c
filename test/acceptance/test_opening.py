#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Where the store is, who may open it, and what is never taken for one.
import ctypes
import hashlib
import os
import signal
import stat
import struct

from client import Case, append, main, perform

EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
READ = perform("persist/last-seq", '"s"')


def snapshot(root):
    """Every path below root with its bytes and time of change; the lock may
    name its last holder."""
    found = {}
    for folder, _, names in os.walk(root):
        found[folder] = sorted(os.listdir(folder))
        for name in set(names) - {"lock"}:
            path = os.path.join(folder, name)
            if not stat.S_ISREG(os.lstat(path).st_mode):
                found[path] = os.lstat(path)[:2]
                continue
            with open(path, "rb") as f:
                found[path] = (hashlib.sha256(f.read()).hexdigest(),
                               os.stat(path).st_mtime_ns)
    return found


class Place(Case):
    def test_the_flag(self):
        s = self.serve(env={"SX_PERSIST_DIR": self.dir + "/other"},
                       cwd=self.dir)
        s.eval(append("s", 1))
        self.assertEqual(os.listdir(self.dir), ["store"])

    def test_the_flag_with_an_equals_sign(self):
        s = self.serve(store=None, flags=["--store=" + self.store],
                       cwd=self.dir)
        s.eval(append("s", 1))
        self.assertEqual(os.listdir(self.dir), ["store"])

    def test_the_environment(self):
        s = self.serve(store=None, env={"SX_PERSIST_DIR": self.dir + "/env"},
                       cwd=self.dir)
        s.eval(append("s", 1))
        self.assertEqual(os.listdir(self.dir), ["env"])

    def test_the_current_directory(self):
        s = self.serve(store=None, env={"SX_PERSIST_DIR": ""}, cwd=self.dir)
        s.eval(append("s", 1))
        self.assertEqual(os.listdir(self.dir), ["persist-data"])

    def test_a_relative_flag(self):
        s = self.serve(store="rel", cwd=self.dir)
        s.eval(append("s", 1))
        self.assertEqual(os.listdir(self.dir), ["rel"])

    def test_an_empty_directory_becomes_a_store(self):
        os.mkdir(self.store)
        s = self.serve()
        s.eval(append("s", 1))
        s = self.restart(s)
        self.gives(s, READ, "1")

    def test_a_disk_of_its_own(self):
        """mkfs leaves a folder at its top; what is in it is not ours."""
        os.makedirs(self.store + "/lost+found", mode=0o700)
        with open(self.store + "/lost+found/#12", "w", encoding="ascii"):
            pass
        s = self.serve()
        s.eval(append("s", 1))
        s = self.restart(s)
        self.gives(s, READ, "1")
        self.assertEqual(os.listdir(self.store + "/lost+found"), ["#12"])

    def test_through_a_link(self):
        os.mkdir(self.dir + "/real")
        os.symlink("real", self.store)
        s = self.serve()
        s.eval(append("s", 1))
        s = self.restart(s)
        self.gives(s, READ, "1")
        self.assertTrue(os.path.islink(self.store))

    def test_a_program_without_io_makes_nothing(self):
        s = self.serve(store=None, env={"SX_PERSIST_DIR": ""}, cwd=self.dir)
        s.eval("(define x (map inc (range 0 10)))")
        self.fails("unknown-op", s, perform("no/op"))
        self.end(s)
        self.assertEqual(os.listdir(self.dir), [])

    def test_a_place_that_cannot_be(self):
        s = self.serve(store="/proc/no/such/place")
        for _ in range(2):
            code = self.fails_in(("io", "bad-store"), s, READ)
            self.alive(s)
        self.assertTrue(code)
        s = self.serve(store=self.dir + "/" + "x" * 256)
        self.assertIn("name too long; take shorter names", s.command(
            '(eval "%s")' % READ.replace('"', '\\"')).text)
        with open(self.store, "w") as f:
            f.write("a file\n")
        s = self.serve()
        self.fails_in(("io", "bad-store"), s, READ)
        self.end(s)
        with open(self.store) as f:
            self.assertEqual(f.read(), "a file\n")

    def fails_in(self, codes, server, source):
        reply = server.command('(eval "%s")' % source.replace('"', '\\"'))
        self.assertEqual(reply.kind, "error")
        code = reply.text.split(":")[0]
        self.assertIn(code, codes, reply.text)
        return code

    def test_the_open_is_tried_again(self):
        s = self.serve(store=self.dir + "/a")
        with open(self.dir + "/a", "w"):
            pass
        self.fails_in(("io", "bad-store"), s, READ)
        os.unlink(self.dir + "/a")
        s.eval(append("s", 1))
        self.gives(s, READ, "1")


class Lock(Case):
    def test_the_second_is_told_who_holds_it(self):
        first = self.serve()
        first.eval(append("s", 1))
        second = self.serve()
        message = self.fails("locked", second, READ)
        self.assertRegex(message, r"\b%d\b" % first.pid)
        self.gives(second, "(guard (e (else (list (get e :error) "
                   "(get e :holder)))) %s)" % READ,
                   '("locked" %d)' % first.pid)
        first.eval(append("s", 2))
        self.end(first)
        self.gives(second, READ, "2")
        second.eval(append("s", 3))

    def test_a_dead_holder_is_no_obstacle(self):
        for _ in range(5):
            s = self.serve()
            s.eval("(let ((n %s)) %s)" % (
                READ, append("s", 0).replace(":seq 0", ":seq (+ n 1)")))
            os.kill(s.pid, signal.SIGKILL)
            s.wait()
        s = self.serve()
        self.gives(s, READ, "5")

    def test_many_at_once(self):
        servers = [self.serve() for _ in range(8)]
        for s in servers:
            s.send('(eval "%s")' % append("s", 1).replace('"', '\\"'))
        kinds = [s.reply() for s in servers]
        self.assertEqual([r.kind for r in kinds].count("value"), 1)
        for r in kinds:
            if r.kind == "error":
                self.assertIn(r.text.split(":")[0], ("locked",), r.text)


class Refused(Case):
    def refuse(self, words):
        before = snapshot(self.store)
        s = self.serve()
        for source in (READ, append("s", 1), perform("persist/streams")):
            message = self.fails("bad-store", s, source)
            for word in words:
                self.assertIn(word, message)
        self.alive(s)
        self.end(s)
        self.assertEqual(snapshot(self.store), before)

    def write(self, path, text):
        path = os.path.join(self.store, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(text)

    def test_the_layout_of_the_old_host(self):
        name = "s".encode().hex()
        self.write("streams/%s.log" % name,
                   b'{:stream "s" :seq 1 :type "t" :at 0 :data nil}\n')
        self.write("streams/%s.seq" % name, b"1")
        self.write("kv/%s" % "k".encode().hex(), b"42")
        self.write("blobs/" + EMPTY, b"")
        self.refuse(["import --legacy"])

    def test_parts_of_the_old_layout(self):
        for path in ("streams/73.log", "streams/73.seq", "kv/6b",
                     "blobs/" + EMPTY):
            self.store = os.path.join(self.dir, path.replace("/", "-"))
            self.write(path, b"")
            self.refuse(["import --legacy"])

    def test_a_foreign_directory(self):
        self.write("letter.txt", b"Dear reader\n")
        self.refuse([self.store])

    def test_a_hidden_file_is_foreign_too(self):
        self.write(".git/config", b"[core]\n")
        self.refuse([self.store])

    def test_a_link_that_leads_nowhere(self):
        os.symlink("nowhere", self.store)
        s = self.serve()
        self.assertIn("leads nowhere", self.fails("bad-store", s, READ))
        self.end(s)
        self.assertEqual(os.listdir(self.dir), ["store"])

    def test_a_store_without_its_manifest(self):
        s = self.serve()
        s.eval(append("s", 1))
        self.end(s)
        for name in os.listdir(self.store):
            if name.lower().startswith("manifest"):
                os.unlink(os.path.join(self.store, name))
        before = snapshot(self.store)
        s = self.serve()
        reply = s.command('(eval "%s")' % READ.replace('"', '\\"'))
        self.assertEqual(reply.kind, "error", reply)
        self.assertIn(reply.text.split(":")[0], ("bad-store", "corrupt"))
        self.end(s)
        self.assertEqual(snapshot(self.store), before)

    def test_a_newer_format(self):
        """Manifests of version 4, well-formed as far as anybody can know."""
        s = self.serve()
        s.eval(append("s", 1))
        self.end(s)
        xxh3 = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
        xxh3.restype, xxh3.argtypes = ctypes.c_uint64, (
            ctypes.c_char_p, ctypes.c_size_t)
        for name in ("manifest.0", "manifest.1"):
            path = os.path.join(self.store, name)
            with open(path, "rb") as f:
                old = f.read()
            magic, version = struct.unpack_from("<8sI", old)
            self.assertEqual((magic, version), (b"manifst\0", 3))
            new = struct.pack("<8sI", magic, 4) + old[12:-8]
            with open(path, "wb") as f:
                f.write(new + struct.pack("<Q", xxh3(new, len(new))))
        self.refuse(["version 4", "newer program"])


if __name__ == "__main__":
    main()
