"""Whether a file is opened: inotify reports every open(2) of it except with O_PATH, which has no effect on the file."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_IN_OPEN = 0x20


class Opened:
    """Watches a file (inotify(7)) until the end of the `with` block."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> "Opened":
        self._inotify = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._inotify >= 0
        assert _libc.inotify_add_watch(self._inotify, os.fsencode(self._path), _IN_OPEN) >= 0
        return self

    @property
    def happened(self) -> bool:
        """Whether the file was opened since the last call."""
        try:
            return len(os.read(self._inotify, 65536)) > 0
        except BlockingIOError:
            return False

    def __exit__(self, *_: object) -> None:
        os.close(self._inotify)
