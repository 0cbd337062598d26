"""What this host's kernel lacks for the tests."""

from __future__ import annotations

import ctypes
import pathlib

LANDLOCK = "Landlock"
CGROUP2 = "a cgroup v2 mount"
CONTROLLERS = ["cpu", "cpuset", "memory", "pids"]

# landlock_create_ruleset(2); its number is the same on every architecture.
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_CREATE_RULESET_VERSION = 1


def lacking() -> list[str]:
    """Those of Landlock, a cgroup v2 mount and its controllers that are missing."""
    found = [] if _landlock_abi() >= 1 else [LANDLOCK]
    mount = _cgroup2()
    if mount is None:
        return [*found, CGROUP2]
    present = (mount / "cgroup.controllers").read_text(encoding="ascii").split()
    missing = [name for name in CONTROLLERS if name not in present]
    return found + ([f"the cgroup v2 controllers {', '.join(missing)}"] if missing else [])


def _landlock_abi() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_CREATE_RULESET_VERSION))


def _cgroup2() -> pathlib.Path | None:
    for line in pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            return pathlib.Path(before.split()[4])
    return None
