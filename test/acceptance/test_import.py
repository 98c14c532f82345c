#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# `persist import --legacy`: the old host's directory, whole or not at all.
import fcntl
import json
import os
import re
import struct
import subprocess

from client import append, main, perform, quote
from test_cli import PERSIST, Tool
from test_opening import snapshot

HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


class Legacy(Tool):
    """A directory as the old host left it."""
    NAMES = ["orders", "", "a/b", "..", "\x00\xff", "caf\xc3\xa9", "empty"]

    def setUp(self):
        super().setUp()
        self.old = os.path.join(self.dir, "old")
        for folder in ("streams", "kv", "blobs"):
            os.makedirs(os.path.join(self.old, folder))

    def write(self, folder, name, text):
        with open(os.path.join(self.old, folder, name), "wb") as f:
            f.write(text.encode("latin-1"))

    def hex(self, name):
        return name.encode("latin-1").hex()

    def fill(self):
        for i, name in enumerate(self.NAMES):
            rows = [] if name == "empty" else [
                '{:stream %s :seq %d :type "t" :at 5 :data (%d "x")}\n'
                % (quote(name), seq, seq) for seq in (2, 3, 7)]
            self.write("streams", self.hex(name) + ".log", "".join(rows))
            self.write("streams", self.hex(name) + ".seq", "%d" % (10 + i))
            if name:  # the old host had no file name for the empty key
                self.write("kv", self.hex(name), "{:name %s}" % quote(name))
        self.write("blobs", HELLO, "hello world")

    def run_import(self, new=None, code=0, old=None):
        return self.persist("import", "--legacy", old or self.old,
                            new or self.store, code=code)

    def refused(self, named, new=None, old=None):
        """Refused before anything is written, anywhere."""
        before = snapshot(self.dir)
        self.assertEqual(self.run_import(new, 1, old), "")
        self.assertIn(named, self.errors)
        self.assertEqual(self.errors.count("\n"), 1)
        self.assertEqual(snapshot(self.dir), before)


class Import(Legacy):
    def test_everything_arrives(self):
        self.fill()
        before = snapshot(self.old)
        counts = json.loads(self.persist("import", "--legacy", self.old,
                                         self.store, "--json"))
        self.assertEqual((counts["streams"], counts["events"],
                          counts["keys"], counts["blobs"]), (7, 18, 6, 1))
        self.assertEqual(snapshot(self.old), before)
        s = self.serve()
        for i, name in enumerate(self.NAMES):
            self.gives(s, perform("persist/last-seq", quote(name)),
                       str(10 + i))
            self.gives(s, "(map (fn (e) (get e :seq)) %s)" % perform(
                "persist/read", quote(name)),
                "()" if name == "empty" else "(2 3 7)")
            self.gives(s, "(get %s :name)" % perform(
                "persist/kv-get", quote(name)), quote(name) if name else "nil")
            self.fails("seq-conflict", s, append(name, 10 + i))
            s.eval(append(name, 11 + i))
        self.gives(s, "(len %s)" % perform("persist/streams"), "7")
        self.gives(s, perform("blob/get", quote(HELLO)), '"hello world"')

    def test_tags_are_found(self):
        rows = ['{:stream "s" :seq 1 :type "a" :at 0 :data 1 :tags ("x" "y")}',
                '{:stream "s" :seq 2 :type {:b 1 :a 2} :at 0 :tags ("x")}',
                '{:stream "s" :seq 3 :at 0 :data 3 :tags ("y")}',
                '{:stream "s" :seq 4 :type "a" :at 0 :data 4 :tags "x"}',
                '{:stream "s" :seq 5 :type "a" :at 0 :data 5 :tags ("x" "x")}',
                '{:stream "s" :seq 6 :type "a" :at 0 :data 6 :tags nil}']
        self.write("streams", self.hex("s") + ".log", "\n".join(rows) + "\n")
        self.write("streams", self.hex("s") + ".seq", "6")
        self.run_import()
        s = self.serve()
        seqs = ('(map (fn (e) (get (get e :event) :seq)) (perform {:op '
                '"persist/query" :args (list %s nil nil)}))')
        self.gives(s, seqs % '{:tags (list "x")}', "(1 2)")
        self.gives(s, seqs % '{:tags (list "y")}', "(1 3)")
        self.gives(s, seqs % '{:tags (list "x") :types '
                   '(list {:a 2 :b 1})}', "(2)")
        self.gives(s, '(get (perform {:op "persist/commit" :args (list (list '
                   '{:expect-none {:tags (list "y")} :after 1}))}) :actual)',
                   "3")
        self.gives(s, '(map (fn (e) (get e :tags)) (perform {:op '
                   '"persist/read" :args (list "s")}))',
                   '(("x" "y") ("x") ("y") "x" ("x" "x") nil)')

    def test_small_things_are_many_commits(self):
        for i in range(10000):
            self.write("kv", self.hex("%x" % i), "1")
        self.run_import()
        told = json.loads(self.persist("stat", "--store", self.store,
                                       "--json"))
        self.assertEqual(told["keys"], 10000)
        self.assertGreater(told["last_commit"], 2)

    def test_it_is_done_once(self):
        self.fill()
        self.persist("import", "--legacy", self.old, self.store)
        self.persist("import", "--legacy", self.old, self.store, code=1)
        self.assertIn("bad-store", self.errors)

    def test_damage_is_named_and_nothing_written(self):
        log, good = self.hex("orders") + ".log", (
            '{:stream "orders" :seq %d :type 1 :at 1 :data 1}\n')
        many = "".join(good % seq for seq in range(1, 20001))
        for folder, name, text, line in (
                ("streams", log, good % 1 + "(\n", 2),
                ("streams", log, many + "\n", 20001),
                ("streams", log, many + good % 20000 + good % 20001, 20001),
                ("streams", log, many + good % 20001 + "1\n", 20002),
                ("streams", log, good % 1 + "%s%s\n" % (
                    "(" * 1000001, ")" * 1000001), 2),
                ("kv", self.hex("k"), "(1 2", None),
                ("streams", self.hex("s") + ".seq", "1\n2\n", 2),
                ("streams", self.hex("s") + ".seq", "many", 1)):
            self.fill()
            self.write(folder, name, text)
            self.persist("import", "--legacy", self.old, self.store, code=1)
            self.assertIn(name + ":%s " % ("" if line is None
                                           else "%d:" % line), self.errors)
            self.assertFalse(os.path.exists(self.store))
            os.unlink(os.path.join(self.old, folder, name))

    def test_a_line_cut_by_a_crash(self):
        self.write("streams", self.hex("s") + ".log",
                   '{:stream "s" :seq 1 :type 1 :at 1 :data 1}\n'
                   '{:stream "s" :seq 2 :ty')
        self.write("streams", self.hex("s") + ".seq", "2")
        self.assertIn("unfinished   1", self.run_import(code=1))
        self.assertRegex(self.errors, r"(?m)left out: .*/streams/73\.log: its "
                         r"last line")
        s = self.serve()
        self.gives(s, "(list %s (len %s))" % (
            perform("persist/last-seq", '"s"'),
            perform("persist/read", '"s"')), "(2 1)")

    def test_what_is_not_the_old_layout(self):
        self.persist("import", "--legacy", "/proc", self.store, code=1)
        self.persist("import", "--legacy", self.dir + "/no", self.store,
                     code=1)
        self.assertFalse(os.path.exists(self.store))
        self.persist("import", self.old, self.store, code=2)

    def test_a_store_is_not_the_old_layout(self):
        s = self.serve()
        s.perform("persist/kv-put", '"k"', "1")
        self.end(s)
        self.persist("import", "--legacy", self.store, self.dir + "/new",
                     code=1)
        self.assertIn("nothing to import", self.errors)
        self.assertFalse(os.path.exists(self.dir + "/new"))

    def test_counts_are_what_is_there(self):
        """A mark alone is a stream too; what is no file of the old host, and
        was left out, is counted apart."""
        self.write("streams", "61.seq", "7\n")
        self.write("streams", "62.log", "")
        self.write("streams", "notes", "")
        self.write("streams", "6.log", "")
        self.write("kv", "6b", " nil\n")
        self.write("kv", "tmp", "nil")
        self.write("blobs", "notes", "")
        counts = json.loads(self.persist("import", "--legacy", self.old,
                                         self.store, "--json", code=1))
        left = ["streams/6.log", "streams/notes", "kv/tmp", "blobs/notes"]
        self.assertEqual(
            sorted((r["path"], r["why"]) for r in counts.pop("left_out")),
            sorted((self.old + "/" + name, "unknown") for name in left))
        self.assertEqual(counts, {"streams": 2, "events": 0, "keys": 1,
                                  "blobs": 0, "unfinished": 0, "unknown": 4})
        self.assertEqual(self.persist("--store", self.store, "streams")
                         .count("\n"), 2)


    def test_a_mark_that_is_behind_its_events(self):
        """A kill came between an event and its mark."""
        row = '{:stream "s" :seq %d :type 1 :at 1 :data 1}\n'
        self.write("streams", self.hex("s") + ".log", row % 3 + row % 9)
        self.write("streams", self.hex("s") + ".seq", "3")
        self.run_import()
        s = self.serve()
        self.gives(s, perform("persist/last-seq", '"s"'), "9")

    def test_what_is_left_out_is_named(self):
        self.write("streams", "6f.LOG", '{:stream "o" :seq 1}\n')
        self.write("streams", "orders.log", "")
        self.write("kv", "6b.sx", "1")
        self.write("", "more", "1")
        text = self.run_import(code=1)
        self.assertIn("unknown      4", text)
        for name in ("streams/6f.LOG", "streams/orders.log", "kv/6b.sx",
                     "more"):
            self.assertIn("left out: %s/%s: the old host" % (self.old, name),
                          self.errors)
        self.assertIn("but for 4 left out; if they", self.errors)
        for i in range(150):
            self.write("kv", "%d.txt" % i, "1")
        left = json.loads(self.persist(
            "import", "--legacy", self.old, self.dir + "/many", "--json",
            code=1))
        self.assertEqual((left["unknown"], len(left["left_out"])), (154, 100))
        self.run_import(self.dir + "/again", code=1)
        self.assertEqual(self.errors.count("\n"), 101)


class Checked(Legacy):
    """All is checked before the first write."""

    def test_a_blob_that_is_not_its_name(self):
        for text in ("hello worlD", "", "hello world\n", "x" * 3000000):
            self.fill()
            self.write("blobs", HELLO, text)
            self.refused(HELLO)
        self.fill()
        self.run_import()

    def test_two_names_of_one_thing(self):
        for folder, names in (("kv", ("6a", "6A")),
                              ("streams", ("6a.log", "6A.log")),
                              ("streams", ("6a.seq", "6A.seq"))):
            text = "1" if names[0] != "6a.log" else (
                '{:stream "j" :seq 1 :type 1 :at 1 :data 1}\n')
            self.write(folder, names[0], text)
            self.run_import(new=self.store + names[0] + folder)
            self.write(folder, names[1], text)
            self.refused("/" + names[1])
            self.assertIn(" " + names[0], self.errors)
            os.unlink(os.path.join(self.old, folder, names[1]))

    def test_marks_that_are_none(self):
        for text in ("", "\n", "many", "-1", "1.5", "1 2", "1\n2\n", "nil",
                     "9223372036854775808"):
            self.write("streams", "73.seq", text)
            self.refused("73.seq")

    def test_a_value_too_large(self):
        self.write("kv", "6b", '"%s"' % ("x" * (16 << 20)))
        self.refused("/6b: ")
        self.assertIn("too-large", self.errors)


class Regular(Legacy):
    """Only regular files are read, and no link out of OLD is followed: each
    of these waited for ever, or read what is not in OLD."""
    PLACES = ["streams/73.log", "streams/73.seq", "kv/6b", "blobs/" + HELLO,
              "streams", "kv", "blobs", ""]

    def setUp(self):
        super().setUp()
        self.outside = os.path.join(self.dir, "outside")
        os.makedirs(self.outside + "/folder")
        for name, text in (("file", "7"), ("folder/6c", "7")):
            with open(os.path.join(self.outside, name), "w",
                      encoding="ascii") as f:
                f.write(text)

    def put(self, place, make):
        path = os.path.join(self.old, place).rstrip("/")
        if os.path.isdir(path):
            os.rename(path, path + ".away")
        before = sorted(os.listdir(self.dir))
        make(path)
        self.run_import(code=1)
        self.assertEqual(self.errors.count("\n"), 1, self.errors)
        self.assertEqual(sorted(set(os.listdir(self.dir)) - {"old"}),
                         sorted(set(before) - {"old"}))
        self.assertIn(place, self.errors)
        os.unlink(path)
        if os.path.isdir(path + ".away"):
            os.rename(path + ".away", path)

    def test_a_pipe(self):
        for place in self.PLACES:
            self.put(place, os.mkfifo)

    def test_links(self):
        for place in self.PLACES[:-1]:
            self.put(place, lambda p: os.symlink(self.outside + "/file", p))
            self.put(place, lambda p: os.symlink(self.outside + "/folder", p))
            self.put(place, lambda p: os.symlink("nowhere", p))

    def test_a_folder_in_the_place_of_a_file(self):
        for place in self.PLACES[:4]:
            os.mkdir(os.path.join(self.old, place))
            self.refused(place)
            os.rmdir(os.path.join(self.old, place))

    def test_a_link_to_the_directory_itself(self):
        self.fill()
        os.symlink("old", self.dir + "/link")
        self.run_import(old=self.dir + "/link")


class Apart(Legacy):
    """NEW is neither OLD nor in it nor around it, whatever they are called."""

    def setUp(self):
        super().setUp()
        self.fill()

    def test_inside(self):
        os.symlink("old", self.dir + "/link")
        os.symlink("old/streams", self.dir + "/folder")
        for new in ("old/x", "old/streams/x", "old/kv/../x", "old/./blobs/x",
                    "link/x", "link/kv/x", "folder/x", "folder/../x"):
            self.refused("is inside", new)
            self.refused("is inside", new, "link")

    def test_the_same_or_around(self):
        os.symlink("old", self.dir + "/link")
        os.makedirs(self.dir + "/x.importing")
        os.rename(self.old, self.dir + "/x.importing/store")
        self.refused("or around it", "x", "x.importing/store")
        os.rename(self.dir + "/x.importing", self.old)
        self.old += "/store"
        self.refused("or around it", "old")
        self.refused("or around it", "old/store")
        self.refused("or around it", "link/store/")
        self.refused("no directory", "link")

    def test_bind_mounts(self):
        script = ("mkdir bound inner && mount --bind old bound && "
                  "mount --bind old/streams inner && "
                  "for new in bound/x inner/x bound; do %s import --legacy "
                  "old $new; echo code $?; done" % PERSIST)
        run = subprocess.run(["unshare", "-m", "sh", "-c", script],
                             cwd=self.dir, capture_output=True, timeout=60,
                             text=True)
        if "mount" in run.stderr or "unshare" in run.stderr:
            self.skipTest("no bind mounts here")
        self.assertEqual(run.stdout, "code 1\n" * 3, run.stderr)
        self.assertEqual(run.stderr.count("is inside"), 2)
        self.assertEqual(sorted(os.listdir(self.old)),
                         ["blobs", "kv", "streams"])

    def test_names_that_are_none(self):
        for new in (".", "..", "/", "x/..", "x/.", "./"):
            self.refused("of its own", new)
        self.refused("make it first", "no/new")
        self.refused("no is no directory; check the path", old="no")
        for part in ("x" * 300, "no/" + "x" * 300):
            self.refused("", old=part)
            self.assertRegex(self.errors, "take shorter names|check the path")

    def test_what_stands_there(self):
        with open(self.dir + "/file", "w"):
            pass
        os.symlink("nowhere", self.dir + "/link")
        for new in ("file", "link"):
            self.refused("is there", new)
        os.mkfifo(self.dir + "/pipe")
        self.run_import("pipe", 1)
        self.assertIn("is there", self.errors)
        os.mkdir(self.dir + "/empty")
        self.run_import("empty")
        self.run_import("slashes//")

    def test_another_is_at_work(self):
        work = self.store + ".importing"
        os.makedirs(work + "/store")
        with open(work + "/lock", "w+", encoding="ascii") as lock:
            lock.write("%20d\n" % os.getpid())
            lock.flush()
            fcntl.fcntl(lock, fcntl.F_OFD_SETLK if hasattr(
                fcntl, "F_OFD_SETLK") else 37, struct.pack(
                    "hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
            self.refused("process %d imports" % os.getpid())
        self.run_import()
        self.assertFalse(os.path.exists(work))

    def test_what_an_import_did_not_leave(self):
        os.makedirs(self.store + ".importing/store")
        with open(self.store + ".importing/letter", "w"):
            pass
        self.refused("move it away")


class Whole(Legacy):
    """NEW is there whole or not at all, and the next try ends well."""
    CHANGES = "mkdirat,renameat,unlinkat,fsync,fdatasync,pwrite64,fallocate"

    def setUp(self):
        super().setUp()
        self.fill()
        self.before = snapshot(self.old)
        self.run_import(self.dir + "/reference")
        self.wanted = self.content(self.dir + "/reference")

    def content(self, store):
        """All but the times, which are those of the import."""
        return [re.sub("(?m)^[0-9TZ:.-]{27} ", "",
                       self.persist("--store", store, *command))
                for command in (["streams"], ["log"], ["kv", "keys"],
                                ["kv", "get", "orders"])]

    def trace(self, *arguments, path="/dev/null"):
        """An import under strace, where leaks are not looked for."""
        return subprocess.run(
            ["strace", "-f", "-qq", "-o", path, *arguments, PERSIST,
             "import", "--legacy", self.old, self.store],
            env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"),
            capture_output=True, timeout=60, check=False)

    def inject(self, call, what, when):
        return self.trace("-e", "trace=" + call, "-e", "inject=%s:%s:when=%s"
                          % (call, what, when))

    def judge(self):
        """After the next try all is there, and nothing else."""
        self.assertEqual(snapshot(self.old), self.before)
        if os.path.exists(self.store):
            self.run_import(code=1)
            self.assertIn("holds data already", self.errors)
        else:
            self.run_import()
        self.assertEqual(sorted(os.listdir(self.dir)),
                         ["old", "reference", "store"])
        self.assertEqual(self.content(self.store), self.wanted)
        subprocess.run(["rm", "-r", self.store], check=True)

    def calls(self):
        """How often each call is made."""
        path = self.dir + "/calls"
        self.trace("-e", "trace=" + self.CHANGES, path=path).check_returncode()
        with open(path, encoding="latin-1") as f:
            text = f.read()
        os.unlink(path)
        subprocess.run(["rm", "-r", self.store], check=True)
        return {call: text.count(" %s(" % call)
                for call in self.CHANGES.split(",")}

    def test_a_kill_at_every_point(self):
        points = killed = 0
        for call, count in self.calls().items():
            for when in range(1, count + 1, max(1, count // 24)):
                points += 1
                run = self.inject(call, "signal=SIGKILL", when)
                killed += run.returncode != 0
                self.judge()
        self.assertGreater(points, 40)
        self.assertGreater(killed, 30)
        print("figure: import killed at %d of %d calls" % (killed, points))

    def test_a_disk_that_is_full(self):
        for call in ("pwrite64", "fallocate", "fdatasync", "fsync",
                     "renameat", "mkdirat"):
            run = self.inject(call, "error=ENOSPC", "1+")
            self.assertEqual(run.returncode, 1, (call, run.stderr))
            self.assertIn(b"No space left", run.stderr)
            self.assertFalse(os.path.exists(self.store))
            self.judge()

    def test_a_limit_on_file_sizes(self):
        run = self.inject("fallocate", "error=EFBIG", "1+")
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"; raise the limit on file sizes (ulimit -f)",
                      run.stderr)
        self.assertNotIn(b"free some", run.stderr)
        self.judge()

    def test_the_signal_to_end(self):
        for number in ("SIGTERM", "SIGINT", "SIGHUP"):
            run = self.inject("mkdirat", "signal=" + number, 2)
            self.assertNotEqual(run.returncode, 0)
            self.judge()

    def test_a_blob_that_changes_meanwhile(self):
        """Well when it was checked, and not when it is stored."""
        process = self.inject("pread64", "retval=3", self.second_read())
        self.assertEqual(process.returncode, 1)
        self.assertIn(HELLO.encode(), process.stderr)
        self.assertEqual(sorted(os.listdir(self.dir)), ["old", "reference"])

    def second_read(self):
        path = self.dir + "/calls"
        self.trace("-e", "trace=pread64", path=path).check_returncode()
        with open(path, encoding="latin-1") as f:
            reads = [i + 1 for i, line in enumerate(f)
                     if '"hello world"' in line]
        os.unlink(path)
        subprocess.run(["rm", "-r", self.store], check=True)
        return reads[1]


if __name__ == "__main__":
    main()
