"""File systems that do not answer: one that can be frozen, so that a writer waits in uninterruptible sleep, and one
without a server, so that a caller waits until it is killed."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

from agent import mounts

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRAMS = ("mkfs.ext4", "mount", "umount", "fsfreeze")


def missing_for_loop_devices() -> str | None:
    """What this host lacks for `FrozenFileSystem`."""
    for device in ("/dev/loop-control", "/dev/loop0"):
        if not os.path.exists(device):
            return device
    return next((program for program in _PROGRAMS if not shutil.which(program, path=_PATH)), None)


def _run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True, env={"PATH": _PATH})


class FrozenFileSystem:
    """A file system in a file, mounted at `directory` until the end of the `with` block; it begins unfrozen."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._image = directory.with_suffix(".image")
        self._thawer: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "FrozenFileSystem":
        with self._image.open("wb") as image:
            image.truncate(16 << 20)
        _run("mkfs.ext4", "-q", self._image)
        self.directory.mkdir()
        _run("mount", "-o", "loop", self._image, self.directory)
        return self

    def freeze(self) -> None:
        """Freezes it until `thaw`, or until this process ends: another process waits for that."""
        self._thawer = subprocess.Popen(
            ["/bin/sh", "-c", 'fsfreeze -f "$0" && echo frozen && read end; fsfreeze -u "$0"', str(self.directory)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PATH": _PATH})
        assert self._thawer.stdout.readline() == b"frozen\n"

    def thaw(self) -> None:
        """Lets waiting writers continue."""
        if self._thawer:
            self._thawer.communicate()
            self._thawer = None

    def __exit__(self, *_: object) -> None:
        self.thaw()
        mounts.unmount(self.directory)
        self.directory.rmdir()
        self._image.unlink()


class DeadFileSystem:
    """Like a network file system without its server: a FUSE file system whose requests nobody reads."""

    def __init__(self, directory: Path, keeps_directory: bool = False):
        """`keeps_directory`: the directory below it may be there before, and stays, because waiting callers may create
        something when they go on."""
        self.directory = directory
        self._keeps_directory = keeps_directory

    def __enter__(self) -> "DeadFileSystem":
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        self.directory.mkdir(exist_ok=self._keeps_directory)
        mounts.mount("fuse", self.directory, f"fd={self._device},rootmode={stat.S_IFDIR:o},user_id=0,group_id=0")
        return self

    def __exit__(self, *_: object) -> None:
        mounts.unmount(self.directory)
        # Waiting callers get ENOTCONN now.
        os.close(self._device)
        if not self._keeps_directory:
            self.directory.rmdir()
