"""Directories of this machine that the guest sees, each served by one virtiofsd."""

from __future__ import annotations

import os
import pathlib
import subprocess
import time
from dataclasses import dataclass

# Debian 12 has virtiofsd in qemu-system-common.
VIRTIOFSD = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"]

# Serves $1 through a read-only bind mount of its own, so that even a faulty guest cannot write to
# this machine.
SERVE_READ_ONLY = 'mount --bind "$1" "$2" && mount -o remount,bind,ro "$2" && shift 2 && exec "$@"'


class FilesError(Exception):
    """A directory cannot be served; the text says why, with the remedy."""


@dataclass(frozen=True)
class File:
    """A directory of this machine, at the same path in the guest unless it has another source here."""

    tag: str
    path: str
    writable: bool
    source: str = ""

    @property
    def line(self) -> str:
        """Its line in the guest's list of mounts."""
        return f"{'share' if self.writable else 'view'} {self.tag} {self.path}"


def mount_point(path: str) -> str:
    """The mount point of a path: a view of / does not show what is mounted below it."""
    path = os.path.realpath(path)
    found = "/"
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        for line in mounts:
            point = line.split()[4].encode().decode("unicode_escape")
            if (path + "/").startswith(point.rstrip("/") + "/") and len(point) > len(found):
                found = point
    return found


class FileServer:
    """A running virtiofsd."""

    def __init__(self, file: File, directory: pathlib.Path) -> None:
        self._file = file
        self._socket = directory / f"{file.tag}.sock"
        self._log = directory / f"{file.tag}.server.log"
        program = next((path for path in VIRTIOFSD if os.access(path, os.X_OK)), None)
        if program is None:
            raise FilesError("virtiofsd is missing: apt-get install qemu-system-common")
        origin = file.source or file.path
        source = pathlib.Path(origin)
        if not file.writable:
            source = directory / file.tag
            source.mkdir()
        command = [
            program, "-f", f"--socket-path={self._socket}", "--rlimit-nofile=1000000",
            "-o", f"source={source}", "-o", "sandbox=chroot", "-o", "log_level=err",
            # Nothing else writes to a view while the guest runs, or the guest does not need to see that.
            "-o", f"cache={'auto' if file.writable else 'always'}",
        ]
        if not file.writable:
            command = ["unshare", "--mount", "--propagation", "private",
                       "sh", "-c", SERVE_READ_ONLY, "sh", origin, str(source), *command]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def qemu_arguments(self) -> list[str]:
        tag = self._file.tag
        return ["-chardev", f"socket,id={tag},path={self._socket}",
                "-device", f"vhost-user-fs-pci,chardev={tag},tag={tag},queue-size=1024"]

    def wait_until_ready(self) -> None:
        """Wait for the socket that qemu connects to."""
        give_up = time.monotonic() + 10
        while not self._socket.exists():
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise FilesError(f"virtiofsd does not serve {self._file.path}: "
                                 f"{self._log.read_text(errors='replace')}")
            time.sleep(0.02)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
