"""Bind mounts, as the agent makes them for each task."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_MS_BIND = 4096
_MS_PRIVATE = 1 << 18
_MS_SHARED = 1 << 20
_MNT_DETACH = 2


def bind(source: Path, target: Path) -> None:
    """Mounts `source` on `target`."""
    if _libc.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"bind mount of {source} on {target}: {os.strerror(error)}")


def mount(kind: str, target: Path, options: str) -> None:
    """Mounts a file system of a kind that needs no device on `target`."""
    if _libc.mount(kind.encode(), os.fsencode(target), kind.encode(), 0, options.encode()) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"mount of a {kind} file system on {target}: {os.strerror(error)}")


def propagate(target: Path, shared: bool) -> None:
    """Makes the mount at `target` shared, so that what is mounted in it appears in copies of it, or private."""
    if _libc.mount(None, os.fsencode(target), None, _MS_SHARED if shared else _MS_PRIVATE, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"propagation of the mount at {target}: {os.strerror(error)}")


def unmount(target: Path) -> None:
    """Detaches what is mounted on `target`."""
    if _libc.umount2(os.fsencode(target), _MNT_DETACH) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"unmount of {target}: {os.strerror(error)}")


def below(directory: Path, pid: int | str = "self") -> list[str]:
    """The mount points at and below `directory` that process `pid` sees."""
    points = []
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        point = line.split(" ")[4]
        if point == str(directory) or point.startswith(f"{directory}/"):
            points.append(point)
    return points


def reachable(pid: int) -> list[tuple[str, str]]:
    """The place and the options of each mount that process `pid` reaches by its path, sorted: mountinfo lists those as well
    that a mount on them or above them covers."""
    table = [line.split(" ") for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    upon: dict[str, list[list[str]]] = {}
    for fields in table:
        upon.setdefault(fields[1], []).append(fields)
    found = []
    left = [fields for fields in table if fields[1] not in {other[0] for other in table}]
    while left:
        mount, _, _, _, place, options, *_ = left.pop()
        on_its_root = [fields for fields in upon.get(mount, []) if fields[4] == place]
        if on_its_root:  # a path that arrives here goes on in that one
            left += on_its_root
            continue
        found.append((place, options))
        places = {fields[4] for fields in upon.get(mount, [])}
        left += [
            fields for fields in upon.get(mount, [])
            if not any(str(above) in places for above in Path(fields[4]).parents if str(above) != place)]
    return sorted(found)


def of_host(root: Path) -> list[str]:
    """The mount points of this process's namespace, without those of other test sessions: their directories are beside
    `root`, and tests give them network namespaces."""
    mine, sessions = f"{root}/", (f"{root.parent}/exec2-", "/run/netns/exec2-")
    points = (line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return sorted(point for point in points if not point.startswith(sessions) or f"{point}/".startswith(mine))
