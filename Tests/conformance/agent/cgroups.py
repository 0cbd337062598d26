"""The cgroup v2 directories that the agent makes: a slice of this session's own, in
it the share slice, in that one scope for each task."""

from __future__ import annotations

import os
from pathlib import Path

from agent.timing import wait_until

NEEDED = {"cpu", "cpuset", "memory", "pids"}


def mount_point() -> Path:
    """Where cgroup v2 is mounted."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.split(" ")[0] == "cgroup2":
            return Path(fields.split(" ")[4])
    raise RuntimeError("no cgroup v2 mount on this host: mount -t cgroup2 none /sys/fs/cgroup/unified")


def controllers() -> set[str]:
    """The controllers that the host's cgroup v2 mount has."""
    return set((mount_point() / "cgroup.controllers").read_text().split())


def has_controllers() -> bool:
    """Whether limits can be set on this host."""
    return NEEDED <= controllers()


class Slice:
    """`nomad.slice.<name>/share.slice` and the scopes in it."""

    def __init__(self, name: str, with_controllers: bool = True):
        self.root = mount_point() / f"nomad.slice.{name}"
        self.share = self.root / "share.slice"
        wanted = sorted(NEEDED & controllers()) if with_controllers else []
        if wanted:
            self._enable(mount_point(), wanted)
        for directory in (self.root, self.share):
            directory.mkdir()
            if wanted:
                self._enable(directory, wanted)

    @staticmethod
    def _enable(directory: Path, wanted: list[str]) -> None:
        (directory / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in wanted))

    def make_scope(self, name: str) -> Path:
        """The directory of one task, as `cpuset_cgroup` names it."""
        scope = self.share / f"{name}.scope"
        scope.mkdir()
        return scope

    def members(self) -> dict[int, str]:
        """The processes anywhere in the slice: pid → cgroup."""
        found = {}
        for directory, _, _ in os.walk(self.root):
            found.update({pid: directory for pid in processes(Path(directory))})
        return found

    def remove(self) -> None:
        """Kills what is left in the slice and removes it."""
        if not self.root.exists():
            return
        kill(self.root)
        for directory, _, _ in sorted(os.walk(self.root), key=lambda entry: -len(entry[0])):
            remove(Path(directory))


def processes(scope: Path) -> list[int]:
    """The processes in `scope` itself; none where it does not exist."""
    try:
        return [int(line) for line in (scope / "cgroup.procs").read_text().split()]
    except (FileNotFoundError, OSError):
        return []


def populated(scope: Path) -> bool:
    """Whether a process lives in `scope` or below it."""
    return "populated 1" in (scope / "cgroup.events").read_text()


def kill(scope: Path) -> None:
    """Kills everything in `scope` and below, and waits for its end."""
    (scope / "cgroup.kill").write_text("1")
    wait_until(lambda: not populated(scope), 10, f"{scope} empty after cgroup.kill")


def remove(scope: Path) -> None:
    """Removes the empty `scope`; the kernel may need a moment after its last
    process was reaped."""

    def removed() -> bool:
        try:
            scope.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True

    wait_until(removed, 5, f"{scope} removable (processes in it: {processes(scope)})")
