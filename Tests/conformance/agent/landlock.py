"""The kernel's Landlock: version, errata, and description."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_CREATE_RULESET = 444
_VERSION, _ERRATA = 1, 2


def abi() -> int:
    """The Landlock ABI of the running kernel."""
    answer = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    if answer < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"no Landlock on this kernel: {os.strerror(error)}")
    return answer


def errata() -> int:
    """A bit for each erratum of Landlock that the running kernel has fixed; 0 if it cannot be asked."""
    return max(0, _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ERRATA))


def description() -> str:
    """The version and the kernel's security modules, for people."""
    try:
        version = f"Landlock {abi()}"
    except OSError as error:
        version = str(error.strerror)
    try:
        modules = Path("/sys/kernel/security/lsm").read_text(encoding="ascii").strip()
    except OSError as error:
        modules = f"not told ({error})"
    return f"{version}, security modules: {modules}"
