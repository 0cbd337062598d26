"""Processes as /proc shows them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process at one moment."""

    pid: int
    parent: int
    state: str
    name: str

    @property
    def is_zombie(self) -> bool:
        return self.state in "ZX"


def look(pid: int) -> Process | None:
    """The process `pid`, or None if it does not exist."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    name = text[text.index("(") + 1:text.rindex(")")]
    state, parent = text[text.rindex(")") + 2:].split(" ")[:2]
    return Process(pid, int(parent), state, name)


def everything() -> list[Process]:
    """All processes of the host."""
    found = (look(int(entry)) for entry in os.listdir("/proc") if entry.isdigit())
    return [process for process in found if process is not None]


def descendants(pid: int) -> list[Process]:
    """The living processes below `pid`, zombies left out."""
    children: dict[int, list[Process]] = {}
    for process in everything():
        children.setdefault(process.parent, []).append(process)
    found, open_list = [], [pid]
    while open_list:
        for process in children.get(open_list.pop(), []):
            open_list.append(process.pid)
            if not process.is_zombie:
                found.append(process)
    return found


def processor_ticks(pid: int) -> int:
    """The processor time that `pid` has used, in ticks of 10 ms (proc_pid_stat(5): utime and stime)."""
    text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    user, system = text[text.rindex(")") + 2:].split(" ")[11:13]
    return int(user) + int(system)


def is_alive(pid: int) -> bool:
    """Whether `pid` exists and has not ended."""
    process = look(pid)
    return process is not None and not process.is_zombie


def descriptors(pid: int, *known: Path) -> dict[int, str]:
    """The open descriptors of `pid` and what they refer to. The kernel has no name but "/" for a file on a detached mount of
    its own: those of `known`, and /dev/null, are told by their inodes."""
    found = {}
    for entry in os.listdir(f"/proc/{pid}/fd"):
        link = f"/proc/{pid}/fd/{entry}"
        try:
            target = os.readlink(link)
            if target == "/":
                target = next((str(path) for path in (Path(os.devnull), *known) if path.exists() and path.samefile(link)), target)
            found[int(entry)] = target
        except FileNotFoundError:
            pass
    return found


def descriptor_facts(pid: int) -> str:
    """The fdinfo files of all open descriptors of `pid` (proc_pid_fdinfo(5)), concatenated."""
    found = []
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            found.append(entry.read_text())
        except FileNotFoundError:
            pass
    return "".join(found)


def status(pid: int, field: str) -> str:
    """One field of /proc/<pid>/status, such as "Threads"."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return line.partition(":")[2].strip()
    raise KeyError(field)


def has_capability(number: int) -> bool:
    """Whether this process, which is the agent, has a capability."""
    return bool(int(status(os.getpid(), "CapEff"), 16) >> number & 1)


def thread_names(pid: int) -> list[str]:
    """The names of the threads of `pid`, which the kernel truncates to 15 characters."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            found.append((thread / "comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def cgroup(pid: int) -> str:
    """The cgroup v2 path of `pid`, relative to the mount."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return line[3:]
    raise RuntimeError(f"/proc/{pid}/cgroup has no v2 line")
