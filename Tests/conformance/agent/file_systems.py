"""File systems of a test's own that do not answer: one that can be frozen, where who writes waits in uninterruptible
sleep, and one that nobody serves, where who asks for anything waits until it is killed."""

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
    """What this host lacks of what `FrozenFileSystem` needs."""
    for device in ("/dev/loop-control", "/dev/loop0"):
        if not os.path.exists(device):
            return device
    return next((program for program in _PROGRAMS if not shutil.which(program, path=_PATH)), None)


def _run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True, env={"PATH": _PATH})


class FrozenFileSystem:
    """In a file. Mounted at `folder` and not yet frozen, until the end of the `with` block."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._image = folder.with_suffix(".image")
        self._thawer: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "FrozenFileSystem":
        with self._image.open("wb") as image:
            image.truncate(16 << 20)
        _run("mkfs.ext4", "-q", self._image)
        self.folder.mkdir()
        _run("mount", "-o", "loop", self._image, self.folder)
        return self

    def freeze(self) -> None:
        """Until `thaw`, or until this process is gone: another waits for that."""
        self._thawer = subprocess.Popen(
            ["/bin/sh", "-c", 'fsfreeze -f "$0" && echo frozen && read end; fsfreeze -u "$0"', str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PATH": _PATH})
        assert self._thawer.stdout.readline() == b"frozen\n"

    def thaw(self) -> None:
        """Whoever waits goes on."""
        if self._thawer:
            self._thawer.communicate()
            self._thawer = None

    def __exit__(self, *_: object) -> None:
        self.thaw()
        mounts.unmount(self.folder)
        self.folder.rmdir()
        self._image.unlink()


class DeadFileSystem:
    """As a network file system is whose server is gone: one of FUSE's, and nobody reads what the kernel asks."""

    def __init__(self, folder: Path, keeps_folder: bool = False):
        """`keeps_folder`: the folder below it stays, where who has waited may make something when they go on."""
        self.folder = folder
        self._keeps_folder = keeps_folder

    def __enter__(self) -> "DeadFileSystem":
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        self.folder.mkdir()
        mounts.mount("fuse", self.folder, f"fd={self._device},rootmode={stat.S_IFDIR:o},user_id=0,group_id=0")
        return self

    def __exit__(self, *_: object) -> None:
        mounts.unmount(self.folder)
        # Whoever still waits has ENOTCONN now.
        os.close(self._device)
        if not self._keeps_folder:
            self.folder.rmdir()
