"""The mount namespaces of the host, also those that only a descriptor holds.

A process of its own goes through them (ioctl_nsfs(2), NS_MNT_GET_NEXT, from Linux 6.12 on): one that has entered a
template's namespace has no way back to the programs of the host.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Iterator

# ioctl_nsfs(2): struct mnt_ns_info, and the two calls that open a neighbour.
_INFO = struct.Struct("<IIQ")
_NEXT, _PREVIOUS = (2 << 30 | _INFO.size << 16 | 0xB7 << 8 | number for number in (11, 12))
_CLONE_NEWNS = 0x20000


def can_be_listed() -> bool:
    """Whether this kernel lists its mount namespaces."""
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = _neighbour(own, _PREVIOUS)
    except OSError:
        return False
    finally:
        os.close(own)
    if found is not None:
        os.close(found)
    return True


def showing(directory: Path) -> int:
    """How many mount namespaces, apart from this process's, have a mount at or below `directory` or of it."""
    listing = subprocess.run([sys.executable, "-B", __file__, str(directory)], capture_output=True, text=True, check=True)
    return int(listing.stdout)


def _neighbour(namespace: int, which: int) -> int | None:
    """A descriptor of the mount namespace before or after this one; None if there is none."""
    try:
        found: int = fcntl.ioctl(namespace, which, bytearray(_INFO.pack(_INFO.size, 0, 0)))
        return found
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise


def _everyone() -> Iterator[int]:
    """A descriptor of each of the host's mount namespaces but this process's, in turn."""
    for which in (_PREVIOUS, _NEXT):
        namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        while (found := _neighbour(namespace, which)) is not None:
            os.close(namespace)
            namespace = found
            yield namespace
        os.close(namespace)


def _main(directory: str) -> None:
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    setns = ctypes.CDLL(None, use_errno=True).setns
    # Opened before the first is entered: a path leads elsewhere then.
    namespaces = [os.dup(namespace) for namespace in _everyone()]
    count = 0
    for namespace in namespaces:
        if setns(namespace, _CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        with open(os.open("self/mountinfo", os.O_RDONLY, dir_fd=proc), "rb") as table:
            count += directory.encode() in table.read()
    print(count)


if __name__ == "__main__":
    _main(sys.argv[1])
