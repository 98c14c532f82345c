#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# What people and programs do to a store's directory while it is open, or
# prepare before it is opened.
import os
import re
import shutil
import signal
import socket
import subprocess
import time

from client import SERVER, Case, Gone, Server, main, perform

PERSIST = os.path.join(os.path.dirname(SERVER), "persist")
SECONDS_MAX = 30


def put(key):
    return perform("persist/kv-put", '"%s"' % key, '"v"')


def get(key):
    return perform("persist/kv-get", '"%s"' % key)


class Moved(Case):
    def begin(self):
        s = self.serve()
        s.eval(put("before"))
        return s

    def noticed(self, s, words):
        for key in ("after", "again"):
            message = self.fails("read-only", s, put(key))
            self.assertIn(words, message)
        self.gives(s, get("before"), '"v"')
        self.gives(s, get("after"), "nil")
        self.alive(s)

    def test_a_copy_in_the_place_of_a_store(self):
        first, old = self.begin(), self.dir + "/old"
        os.rename(self.store, old)
        shutil.copytree(old, self.store)
        second = self.serve()
        second.eval(put("second"))
        self.noticed(first, "was moved, and another is in its place")
        self.fails("locked", self.serve(old), get("before"))
        self.end(second)
        self.assertNotEqual(first.close(), 0)
        self.assertIn("was moved", first.stderr())
        self.gives(self.serve(old), get("second"), "nil")
        self.gives(self.serve(), get("second"), '"v"')

    def test_a_copy_under_many_commits(self):
        """Everything is said once, by one of them."""
        first, old = self.begin(), self.dir + "/old"
        first.send("\n".join('(eval "%s")' % put(str(i)).replace('"', '\\"')
                             for i in range(2000)))
        said = sum(first.reply().kind == "value" for _ in range(100))
        os.rename(self.store, old)
        shutil.copytree(old, self.store)
        second = self.serve()
        second.eval(put("second"))
        kinds = [first.reply().kind for _ in range(1900)]
        said += kinds.count("value")
        self.assertEqual(kinds, sorted(kinds, reverse=True),
                         "nothing is said after an error")
        self.fails("read-only", first, put("more"))
        first.close()
        third = self.serve(old)
        for i in range(said):
            self.gives(third, get(str(i)), '"v"')

    def test_the_lock_is_deleted(self):
        first = self.begin()
        os.remove(self.store + "/lock")
        message = self.fails("locked", self.serve(), get("before"))
        self.assertIn("whose number is not known", message)
        self.noticed(first, "lock was replaced")

    def test_the_lock_is_deleted_and_nobody_comes(self):
        first = self.begin()
        os.remove(self.store + "/lock")
        self.noticed(first, "lock was moved or deleted")
        first.close()
        self.gives(self.serve(), get("before"), '"v"')

    def test_the_directory_is_deleted(self):
        first = self.begin()
        shutil.rmtree(self.store)
        message = self.fails("read-only", first, put("after"))
        self.assertIn("was moved or deleted", message)

    def test_the_log_is_deleted(self):
        """By a clean-up script, say: nothing that is said is gone."""
        def segments(_):
            for name in os.listdir(self.store + "/wal"):
                os.remove(self.store + "/wal/" + name)

        def aside(folder):
            os.rename(self.store + "/" + folder, self.dir + "/" + folder)

        def anew(folder):
            aside(folder)
            os.mkdir(self.store + "/" + folder)

        for strike, folder, words in (
                (segments, "wal", "was moved or deleted"),
                (lambda f: shutil.rmtree(self.store + "/" + f), "wal",
                 "wal was moved or deleted"),
                (aside, "wal", "wal was moved or deleted"),
                (anew, "wal", "wal was moved, and another is in its place"),
                (aside, "tables", "tables was moved or deleted")):
            first = self.begin()
            strike(folder)
            message = self.fails("read-only", first, put("after"))
            self.assertIn(words, message)
            self.alive(first)
            self.assertNotEqual(first.close(), 0)
            shutil.rmtree(self.store)
            shutil.rmtree(self.dir + "/" + folder, ignore_errors=True)

    def test_what_is_gone_is_not_called_durable(self):
        """Nothing is committed after it."""
        def each(folder, strike):
            for name in os.listdir(folder):
                strike(os.path.join(folder, name))

        for strike in (
                shutil.rmtree,
                lambda f: each(f + "/wal", os.remove),
                lambda f: each(f + "/wal", lambda p: os.truncate(p, 0)),
                lambda f: os.rename(f, self.dir + "/aside")):
            s = self.begin()
            strike(self.store)
            self.assertEqual(s.close(), 1)
            self.assertNotIn("durable", s.stderr())
            self.assertIn("the store could not be closed: read-only: ",
                          s.stderr())
            shutil.rmtree(self.store, ignore_errors=True)

    # ways to take a name away, or to put something else in its place
    def aside(self, path):
        os.rename(path, self.dir + "/aside")

    def anew(self, path):
        self.aside(path)
        os.mkdir(path)

    def remade(self, path):
        shutil.rmtree(path)
        os.mkdir(path)

    def deleted(self, path):
        os.remove(path)

    def copied_back(self, path):
        self.aside(path)
        shutil.copy(self.dir + "/aside", path)

    def copied_over(self, path):
        shutil.copy(path, self.dir + "/aside")
        os.rename(self.dir + "/aside", path)

    def linked(self, path):
        os.link(path, self.dir + "/aside")
        os.remove(path)

    SMALL = perform("blob/put", '"second"', '"text/plain"')
    LARGE = perform("blob/put", "big", '"text/plain"')

    def struck(self, find, strike, words, source):
        """What comes after it is an error that tells of it."""
        first = self.begin()
        first.eval('(define big (let ((a (join "" (map str '
                   "(range 0 100000))))) (str a a a)))")
        first.eval(perform("blob/put", '"first"', '"text/plain"'))
        name = find()
        strike(self.store + "/" + name)
        with self.subTest(name=name, strike=strike.__name__, source=source):
            message = self.fails("read-only", first, source)
            self.assertIn(name + " " + words, message)
            self.gives(first, get("before"), '"v"')
            self.assertNotEqual(first.close(), 0)
            self.assertIn(words, first.stderr())
        first.release()
        shutil.rmtree(self.store)
        subprocess.run(["rm", "-rf", self.dir + "/aside"], check=True)

    def test_folders_keep_their_names(self):
        gone = "was moved or deleted"
        other = "was moved, and another is in its place"
        for name in ("blobs", "tmp"):
            for strike, words in ((self.aside, gone), (self.anew, other),
                                  (self.remade, other)):
                for source in (put("after"), self.SMALL, self.LARGE):
                    self.struck(lambda: name, strike, words, source)
            self.struck(lambda: name, shutil.rmtree, gone, self.LARGE)

    def test_files_keep_their_names(self):
        gone, replaced = "was moved or deleted", "was replaced"

        def one(folder, ends):
            found, = [name for name in os.listdir(self.store + "/" + folder)
                      if name.endswith(ends)]
            return folder + "/" + found

        def newest():
            """The manifest that counts: without it the store would open as
            it was before."""
            return max(("manifest.0", "manifest.1"), key=lambda name:
                       os.stat(self.store + "/" + name).st_mtime_ns)

        for find, source in ((lambda: one("blobs", ".pak"), self.SMALL),
                             (lambda: one("wal", ".log"), put("after")),
                             (newest, put("after"))):
            for strike, words in ((self.aside, gone), (self.deleted, gone),
                                  (self.linked, gone),
                                  (self.copied_back, replaced),
                                  (self.copied_over, replaced)):
                self.struck(find, strike, words, source)

    def test_what_the_store_does_itself_is_no_strike(self):
        """Its own renames and deletions, with a memtable that is often full."""
        s = self.serve(flags=["--memtable", "16K"])
        for i in range(60):
            s.eval(perform("persist/kv-put", '"k%d"' % i,
                           '"%s"' % (str(i) * 2000)))
            s.eval(perform("blob/put", '"b%d"' % i, '"text/plain"'))
        self.end(s)
        self.gives(self.serve(), perform("persist/kv-get", '"k59"'),
                   '"%s"' % ("59" * 2000))

    def test_the_working_directory_is_elsewhere(self):
        s = self.serve("store", cwd=self.dir)
        s.eval(put("before"))
        os.rename(self.store, self.dir + "/old")
        self.noticed(s, "was moved or deleted")


class Descriptors(Case):
    def test_standard_streams_that_are_closed(self):
        for closed in ("2>&-", "<&-", ">&-"):
            source = ("(begin %s (println 1) (println 2) 3)"
                      % put("k")).replace('"', '\\"')
            subprocess.run(
                ["sh", "-c", 'echo "$1" | "$2" --store "$3" %s' % closed, "sh",
                 '(eval "%s")' % source, SERVER, self.store],
                stdout=subprocess.DEVNULL, timeout=SECONDS_MAX)
            for folder, _, names in os.walk(self.store):
                for name in names:
                    with open(os.path.join(folder, name), "rb") as f:
                        data = f.read()
                    self.assertNotIn(b"(ready)", data, name)
                    self.assertNotIn(b"1\n2\n", data, name)
            s = self.serve()
            s.eval(put("next"))
            self.end(s)
            shutil.rmtree(self.store)


class Prepared(Case):
    """Things that are no files of a store stand where those should be."""

    def make(self):
        s = self.serve(flags=["--memtable", "16K"])
        for i in range(20):
            s.eval(perform("persist/kv-put", '"k%d"' % i,
                           '"%s"' % (str(i) * 2000)))
        s.eval(perform("blob/put", '"small"', '"text/plain"'))
        s.eval('(define big (let ((a (join "" (map str (range 0 100000))))) '
               '(str a a a)))')
        s.eval(perform("blob/put", "big", '"text/plain"'))
        s.kill()
        s.release()

    def files(self):
        """One of each kind, by the path below the store."""
        found = {}
        for folder, _, names in os.walk(self.store):
            for name in sorted(names):
                path = os.path.relpath(os.path.join(folder, name), self.store)
                kind = re.sub(r"[0-9a-f]{6,}", "N", path)
                kind = re.sub(r"/../b[a-z2-7]{58}$", "/blob", kind)
                found[kind] = path
        self.assertGreaterEqual(len(found), 7, found)
        return found

    def put_there(self, what, path):
        victim = self.dir + "/victim"
        with open(victim, "w") as f:
            f.write("do not touch\n")
        if os.path.isdir(path) and not os.path.islink(path):
            os.rename(path, self.dir + "/was")
        elif os.path.lexists(path):
            os.remove(path)
        if what == "fifo":
            os.mkfifo(path)
        elif what == "socket":
            here = os.getcwd()
            os.chdir(os.path.dirname(path))
            s = socket.socket(socket.AF_UNIX)
            s.bind(os.path.basename(path))
            s.close()
            os.chdir(here)
        elif what == "folder":
            os.mkdir(path)
        elif what == "link":
            os.symlink(victim, path)
        elif what == "zero":
            os.symlink("/dev/zero", path)
        elif what == "link to a folder":
            os.symlink(self.dir + "/was", path)

    def tried(self, what, path):
        """The server answers and ends, and so does verify; what it was led to
        stays as it was."""
        s = self.serve()
        answers = []
        for source in (get("k1"), put("new"),
                       perform("blob/put", '"other"', '"text/plain"'),
                       perform("persist/kv-keys")):
            reply = s.command('(eval "%s")' % source.replace('"', '\\"'),
                              seconds=SECONDS_MAX)
            answers.append((reply.kind, reply.text[:100]))
            if reply.kind == "error":
                self.assertRegex(reply.text,
                                 r"^(corrupt|io|bad-store|read-only): ")
        s.input.close()
        self.assertIn(s.wait(SECONDS_MAX), (0, 1))
        self.assertNotIn("check failed", s.stderr())
        verify = subprocess.run([PERSIST, "verify", self.store],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                timeout=SECONDS_MAX)
        self.assertIn(verify.returncode, (0, 1, 2), (what, path))
        with open(self.dir + "/victim") as f:
            self.assertEqual(f.read(), "do not touch\n", (what, path))
        return verify.returncode

    def test_other_things_than_files(self):
        self.make()
        kept, count = self.dir + "/kept", 0
        shutil.copytree(self.store, kept)
        for kind, path in sorted(self.files().items()):
            for what in ("fifo", "socket", "folder", "link", "zero"):
                shutil.rmtree(self.store)
                shutil.copytree(kept, self.store)
                self.put_there(what, os.path.join(self.store, path))
                code = self.tried(what, path)
                # one manifest is enough for a store; of the lock, and of what
                # no manifest lists, verify may say what it likes; where a
                # link leads may be what belongs there
                if "tbl" in kind or "blob" in kind:
                    self.assertEqual(
                        code, 2 if what in ("link", "zero") else 1,
                        (what, path))
                count += 1
        print("\nfigure: %d other things in the place of files" % count)

    def test_a_pack_with_a_second_name(self):
        """It is not ours alone: it is read, and not written to."""
        s = self.serve()
        blob = perform("blob/put", '"some bytes"', '"text/plain"')
        s.eval(blob)
        self.end(s)
        pack, = [self.store + "/blobs/" + name
                 for name in os.listdir(self.store + "/blobs")]
        victim = self.dir + "/victim"
        with open(victim, "w") as f:
            f.write("do not touch\n" * 9)
        os.remove(pack)
        os.link(victim, pack)
        s = self.serve()
        self.assertIn("hard link", self.fails("io", s, blob))
        s.eval(put("other"))
        self.end(s)
        with open(victim) as f:
            self.assertEqual(f.read(), "do not touch\n" * 9)
        shutil.copy(victim, pack + ".copy")
        os.rename(pack + ".copy", pack)
        s = self.serve()
        s.eval(blob)
        self.end(s)
        verify = subprocess.run([PERSIST, "verify", self.store],
                                stdout=subprocess.DEVNULL, timeout=60)
        self.assertEqual(verify.returncode, 0)

    def test_folders_in_the_way(self):
        """Verify says so, or the store goes on beside them."""
        self.make()
        self.put_there("folder", self.store + "/tmp/blob-0000000000000001")
        self.assertEqual(self.tried("folder", "tmp"), 0)
        self.gives(self.serve(), get("new"), '"v"')
        shutil.rmtree(self.store)
        self.make()
        self.put_there("folder", self.store + "/manifest.tmp")
        verify = subprocess.run([PERSIST, "verify", self.store],
                                stdout=subprocess.PIPE, timeout=60)
        self.assertEqual(verify.returncode, 1)
        self.assertIn(b"a folder is in the place of a file", verify.stdout)
        self.fails("io", self.serve(), put("new"))

    def test_pipes_in_the_place_of_folders(self):
        """They are not missing: something else is there."""
        for path in ("wal", "tables", "blobs", "tmp"):
            self.make()
            shutil.rmtree(os.path.join(self.store, path))
            os.mkfifo(os.path.join(self.store, path))
            said = self.fails("corrupt", self.serve(), get("new"))
            self.assertIn("/%s is no folder; put the folder that belongs there "
                          "in its place" % path, said)
            shutil.rmtree(self.store)

    def test_links_in_the_place_of_folders(self):
        """One answer of verify for all: what is behind it is not looked at."""
        self.make()
        kept = self.dir + "/kept"
        shutil.copytree(self.store, kept)
        folders = ["wal", "tables", "blobs", "tmp"]
        folders += ["blobs/" + name for name in os.listdir(kept + "/blobs")
                    if len(name) == 2]
        self.assertGreater(len(folders), 4)
        for path in folders:
            shutil.rmtree(self.store)
            shutil.rmtree(self.dir + "/was", ignore_errors=True)
            shutil.copytree(kept, self.store)
            self.put_there("link to a folder", os.path.join(self.store, path))
            was = sorted(os.listdir(self.dir + "/was"))
            self.assertEqual(self.tried("link", path), 2, path)
            self.assertEqual(sorted(os.listdir(self.dir + "/was")), was)
            verify = subprocess.run([PERSIST, "verify", self.store],
                                    stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE, timeout=60)
            self.assertIn(("cannot open %s/%s: it is a symbolic link; put what "
                           "belongs there in its place"
                           % (self.store, path)).encode(), verify.stderr)

    def test_an_empty_directory_with_links(self):
        for name in ("lock", "wal", "tables", "blobs", "tmp", "manifest.tmp",
                     "manifest.0"):
            for target in ("victim", "was"):
                shutil.rmtree(self.store, ignore_errors=True)
                shutil.rmtree(self.dir + "/was", ignore_errors=True)
                os.mkdir(self.store)
                os.mkdir(self.dir + "/was")
                with open(self.dir + "/victim", "w") as f:
                    f.write("do not touch\n")
                os.symlink(self.dir + "/" + target, self.store + "/" + name)
                self.tried("link", name)
                self.assertEqual(os.listdir(self.dir + "/was"), [])


class Private(Case):
    def modes(self):
        found = set()
        for folder, _, names in os.walk(self.store):
            found.add(os.stat(folder).st_mode & 0o7777)
            found |= {os.stat(os.path.join(folder, n)).st_mode & 0o7777
                      for n in names}
        return found

    def fill(self, *flags, umask=0):
        before = os.umask(umask)
        try:
            s = self.serve(flags=flags)
            s.eval(put("k"))
            s.eval(perform("blob/put", '"b"', '"text/plain"'))
            self.end(s)
        finally:
            os.umask(before)
        return self.modes()

    def test_for_the_user_alone(self):
        self.assertEqual(self.fill(), {0o600, 0o700})

    def test_for_the_group(self):
        self.assertEqual(self.fill("--group"), {0o660, 0o770})
        self.assertEqual(self.fill(umask=0), {0o660, 0o770})

    def test_the_umask_is_respected(self):
        self.assertEqual(self.fill("--group", umask=0o22), {0o640, 0o750})


class ReadOnly(Case):
    """On a medium that cannot be written, if one can be mounted."""

    def mount(self):
        code = subprocess.run(
            ["mount", "--bind", "-o", "ro", self.store, self.store],
            stderr=subprocess.DEVNULL).returncode
        if code == 0:
            code = subprocess.run(
                ["mount", "-o", "remount,bind,ro", self.store],
                stderr=subprocess.DEVNULL).returncode
            self.addCleanup(subprocess.run, ["umount", self.store])
        if code != 0:
            self.skipTest("nothing can be mounted here")

    def test_it_is_read(self):
        s = self.serve()
        s.eval(put("before"))
        s.kill()
        s.release()
        self.mount()
        for _ in range(2):
            s = self.serve()
            self.gives(s, get("before"), '"v"')
            self.assertIn("Read-only file system",
                          self.fails("read-only", s, put("after")))
            self.gives(self.serve(), get("before"), '"v"')
            self.end(s)
        verify = subprocess.run([PERSIST, "verify", self.store],
                                stdout=subprocess.DEVNULL, timeout=SECONDS_MAX)
        self.assertEqual(verify.returncode, 0)


if __name__ == "__main__":
    main()
