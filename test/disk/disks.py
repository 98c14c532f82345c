# SPDX-License-Identifier: MIT
# Small ext4 disks of a test's own, in files, and disks that log their writes.
import ctypes
import os
import shutil
import signal
import struct
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
RECORDER = os.path.join(BUILD, "disk", "recorder")
ENTRY = struct.Struct("=QQ")
BLOCK = 4096
CLONE_NEWNS = 0x20000  # Linux; without a name in older versions of os

# Whoever ends a test lets it unmount its disks.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def run(*command, accepted=(0,)):
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode not in accepted:
        raise OSError("%s: exit code %d: %s" % (
            " ".join(command), done.returncode, done.stdout.decode()[-500:]))
    return done.stdout.decode().strip()


def mount_alone():
    """From here on this process has mounts of its own. Whoever begins a mount
    namespace copies all that its parent has, and what was unmounted here goes
    on living there: an ext4 that still writes, later, to the image of the next
    trial, and a recorder that does not end."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        return os.strerror(ctypes.get_errno())
    run("mount", "--make-rprivate", "/")
    return None


def missing(recorder=False):
    """Why there can be no disks here; None if there can, from now on."""
    if os.geteuid() != 0:
        return "only root may mount"
    for tool in ("mkfs.ext4", "e2fsck", "losetup", "mount"):
        if not shutil.which(tool):
            return "there is no " + tool
    try:
        run("losetup", "-f")
    except OSError:
        return "there are no loop devices"
    if recorder and not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    if recorder and not os.path.exists(RECORDER):
        return "the recorder is not built: fuse3 is not there"
    reason = mount_alone()
    return reason and "there are no mounts of our own: " + reason


def verify(store):
    """`persist verify` on a store that must be whole."""
    done = subprocess.run([os.path.join(BUILD, "persist"), "verify", store],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError("persist verify: %d\n%s%s" % (
            done.returncode, done.stdout, done.stderr))


class Disk:
    """An ext4 of so many bytes in a file, mounted at .place while it is
    entered. With make=False the file is there already, after a power cut."""

    def __init__(self, folder, name, size, journal, make=True):
        self.image = os.path.join(folder, name + ".img")
        self.place = os.path.join(folder, name)
        self.size, self.journal, self.make = size, journal, make
        self.loop = None
        self.repair = ""  # what e2fsck said

    def device(self):
        return self.image

    def __enter__(self):
        os.makedirs(self.place, exist_ok=True)
        try:
            if self.make:
                with open(self.image, "wb") as file:
                    file.truncate(self.size)
                run("mkfs.ext4", "-q", "-F", "-b", str(BLOCK),
                    "-E", "nodiscard", "-O",
                    "has_journal" if self.journal else "^has_journal",
                    self.image)
            else:  # replays the journal too, if there is one
                self.repair = run("e2fsck", "-f", "-y", self.image,
                                  accepted=(0, 1, 2))
            self.loop = run("losetup", "-f", "--show", self.device())
            run("mount", "-o", "noatime", self.loop, self.place)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if os.path.ismount(self.place):
            run("umount", self.place)
        if self.loop:
            run("losetup", "-d", self.loop)
            self.loop = None


class RecordedDisk(Disk):
    """One whose writes and flushes are logged in their order in .log."""

    def __init__(self, folder, name, size, journal):
        super().__init__(folder, name, size, journal)
        self.log = os.path.join(folder, name + ".log")
        self.window = os.path.join(folder, name + ".recorder")
        self.recorder = None

    def device(self):
        os.makedirs(self.window, exist_ok=True)
        shutil.copyfile(self.image, self.image + ".base")
        self.recorder = subprocess.Popen([
            RECORDER, self.image, self.log, self.window])
        end = time.monotonic() + 30
        while not os.path.ismount(self.window):
            if self.recorder.poll() is not None or time.monotonic() > end:
                raise OSError("the recorder does not come up")
            time.sleep(0.01)
        return os.path.join(self.window, "disk")

    def __exit__(self, *_):
        super().__exit__()
        if os.path.ismount(self.window):
            run("umount", self.window)
        if self.recorder:
            self.recorder.wait(30)
            self.recorder = None

    def written(self):
        """Bytes of the log: a moment in the disk's life."""
        return os.path.getsize(self.log)

    def base(self):
        """What the disk held before its first logged write."""
        with open(self.image + ".base", "rb") as file:
            return bytearray(file.read())

    def entries(self):
        """(end in the log, offset, bytes), no bytes for a flush."""
        found, at = [], 0
        with open(self.log, "rb") as file:
            log = memoryview(file.read())
        while at < len(log):
            offset, size = ENTRY.unpack_from(log, at)
            data = log[at + ENTRY.size:at + ENTRY.size + size]
            at += ENTRY.size + size
            found.append((at, offset, data))
        return found


def cut(base, unflushed, rng):
    """What a power cut may leave: base, and of each later write all, nothing,
    or any of its blocks. ext4 is not made for torn blocks of its own, and
    the simulated disk has those of ours. unflushed: (offset, bytes), in
    their order."""
    image = bytearray(base)
    way = rng.choice(("all", "none", "writes", "blocks", "torn"))
    for index, (offset, data) in enumerate(unflushed):
        size = len(data)
        if way == "none" or way == "writes" and rng.random() < 0.5:
            continue
        if way == "torn" and index == len(unflushed) - 1:
            size = rng.randrange(0, size + 1, BLOCK)
        for at in range(0, size, BLOCK):
            if way != "blocks" or rng.random() < 0.5:
                end = min(at + BLOCK, size)
                image[offset + at:offset + end] = data[at:end]
    return image
