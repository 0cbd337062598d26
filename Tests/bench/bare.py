"""The contender "the same confinement, bare": tasks as the agent makes them, launched by bare.c instead of the driver.

What is launched is what the driver would launch: the plan is derived from the request that it handed to the Executor of a
task of its own, and the root is a copy of the same template. `differences` compares what the two programs are confined to,
so that neither can do less than the other.
"""

from __future__ import annotations

import os
import struct
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subject import Start, moment
from tools import built

from agent import AgentHost, Plugin, Task, landlock, messages

REQUEST_DESCRIPTOR = 4  # in which an Executor finds its launch request (docs/design.md)
STREAMS = {f"/dev/{name}": number for number, name in enumerate(("stdin", "stdout", "stderr"))}
# What a mode's letter allows, LANDLOCK_ACCESS_FS_* (landlock(7)), and since which version of Landlock.
READ, WRITE, EXECUTE, CREATE = 1, 2, 4, 8
RIGHTS = {
    READ: [(1 << 2, 1), (1 << 3, 1)], WRITE: [(1 << 1, 1), (1 << 14, 3), (1 << 15, 5), (1 << 16, 9)], EXECUTE: [(1 << 0, 1)],
    CREATE: [*((1 << bit, 1) for bit in (4, 5, 7, 8, 9, 10, 12)), (1 << 13, 2)],
}
NEVER_ALLOWED = 1 << 6 | 1 << 11  # to make device nodes
REMOVE_DIRECTORY = 1 << 4
OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15 | 1 << 16


Plan = list[tuple[str, str | bytes]]


@dataclass(frozen=True)
class Outcome:
    """One launch: when it was requested and when wait(2) told of the end, in nanoseconds of the monotonic clock."""

    requested: int
    ended: int
    processor_time: int  # of all its processes, in nanoseconds
    status: int


def _rights(modes: int) -> int:
    version = landlock.abi()
    return sum(bit for mode, bits in RIGHTS.items() if modes & mode for bit, since in bits if since <= version)


class Reference:
    """What the driver does for a task of its own: its launch request, and the template of its tasks' roots."""

    def __init__(self, plugin: Plugin, task: Task):
        self.task = task
        # Until it is spawned, the namespace has a second descriptor, which ends then.
        plugin.await_standby()
        self.executor = next(process.pid for process in plugin.executors() if process.name == "exec2-executor")
        descriptors = Path(f"/proc/{self.executor}/fd")
        self.request = messages.executor.LaunchRequest.FromString((descriptors / str(REQUEST_DESCRIPTOR)).read_bytes())
        self.ruleset = next(link.name for link in descriptors.iterdir() if "landlock-ruleset" in os.readlink(link))
        own = os.readlink("/proc/self/ns/mnt")
        self.template = next(
            str(link) for link in Path(f"/proc/{plugin.pid}/fd").iterdir()
            if (target := os.readlink(link)).startswith("mnt:") and target != own)

    def plan(self, task: Task, program: str, arguments: Sequence[str]) -> Iterator[tuple[str, str | bytes]]:
        """The launch of another task of the same kind, for bare.c."""
        request, root = self.request, self.request.root
        if root.paths or request.mounts or request.generated_files or request.groups or request.resource_limits:
            raise RuntimeError("the reference is not a task without options, which is all that bare.c can launch")

        def own(text: str) -> str:
            return text.replace(self.task.alloc_id, task.alloc_id)

        yield from {
            "program": program, "work_dir": own(request.work_dir), "log_root": own(request.log_root),
            "stdout": own(request.stdout_path), "stderr": own(request.stderr_path), "user": str(request.user_id),
            "group": str(request.group_id), "template": self.template, "directories": root.directories[0].source_root,
            "parent": root.parent, "shm_size": str(root.shm_size), "cgroup": own(request.cgroup), "cgroups": root.cgroups,
            "own_cgroup": own(root.own_cgroup), "handled": f"{_rights(15) | NEVER_ALLOWED:x}",
            "scoped": f"{int(request.scope_abstract_sockets):x}",
        }.items()
        yield from (("cgroup_write_optional" if write.optional else "cgroup_write", f"{write.file}={write.value}")
                    for write in request.cgroup_writes)
        yield from (("argument", argument) for argument in (program, *arguments))
        yield from (("environment", own(entry)) for entry in request.environment)
        yield from (("masked", path) for path in root.masked)
        for directory in root.directories:
            if directory.source != directory.inside:
                raise RuntimeError(f"{directory.source} is {directory.inside} in the task's root, which bare.c cannot do")
            yield "read_only" if directory.read_only else "directory", own(directory.inside)
        yield from (self._rule(rule, own(rule.path)) for rule in request.unveil)
        yield "filter", request.seccomp_filter

    def command(self, program: str) -> Iterator[tuple[str, str | bytes]]:
        """A command in the driver's task itself, for bare.c."""
        request = self.request
        yield from {
            "program": program, "argument": program, "work_dir": request.work_dir, "user": str(request.user_id),
            "group": str(request.group_id), "cgroup": request.cgroup, "init": str(self.executor), "ruleset": self.ruleset,
            "task": (self.task.scope / "cgroup.procs").read_text().split()[0],
        }.items()
        yield from (("environment", entry) for entry in request.environment)
        yield "filter", request.seccomp_filter

    def _rule(self, rule: Any, path: str) -> tuple[str, str]:
        rights = _rights(rule.modes) & ~(REMOVE_DIRECTORY if rule.keeps_directories else 0)
        value = f"{rights:x}:{rights & OF_FILES:x}:"
        if path in STREAMS:
            return "rule_stream", f"{value}{STREAMS[path]}"
        if rule.no_symlink:
            return "rule_by_names", value + path
        # Only the task itself can open what is below /proc/self, and its own directories are not there before.
        is_late = path == "/dev/fd" or path != rule.path
        return "rule_late" if is_late else "rule_ahead", value + path


class Bare:
    """One bare.c. Tasks are launched one after another."""

    def __init__(self, host: AgentHost, plugin: Plugin, reference: Reference):
        self.host, self.plugin, self.reference = host, plugin, reference
        self.processor_time = 0.0  # of all tasks that `start_and_end` launched, in milliseconds
        self._process = subprocess.Popen(
            [built("bare")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def make_ready(self, plan: Iterable[tuple[str, str | bytes]], kind: bytes = b"t") -> None:
        """Does what the driver has done before the request. `kind`: as in bare.c."""
        encoded = []
        for key, value in plan:
            encoded.append(key.encode() + b"=" + (value.encode() if isinstance(value, str) else value))
        self._write(kind + struct.pack("=I", len(encoded)) + b"".join(struct.pack("=I", len(each)) + each for each in encoded))
        self._read(1)

    def launch(self) -> None:
        """Launches the task that everything is ready for; `ended` is to be called next."""
        self._write(b"g")

    def ended(self) -> Outcome:
        """Waits for the task's end."""
        return Outcome(*struct.unpack("=QQQq", self._read(32)))

    def start_and_end(self, program: Path) -> Start:
        """One task, whose end is waited for as soon as it is started."""
        task = self.host.task(self.plugin, program)
        self.make_ready(self.reference.plan(task, str(program), []))
        # As for the driver's standby Executor, what is done ahead must not disturb what is measured.
        time.sleep(0.01)
        self.launch()
        outcome = self.ended()
        if outcome.status != 0:
            raise RuntimeError(f"a task of the bare contender has ended with wait status {outcome.status}")
        self.processor_time += outcome.processor_time / 1e6
        start = Start(outcome.requested, moment(task), outcome.ended)
        forget(self.host, task)
        return start

    def command(self, program: str) -> float:
        """A command in the driver's task: milliseconds from the request until its end was told."""
        self.make_ready(self.reference.command(program), b"c")
        time.sleep(0.01)
        self.launch()
        outcome = self.ended()
        if outcome.status != 0:
            raise RuntimeError(f"a command of the bare contender has ended with wait status {outcome.status}")
        return (outcome.ended - outcome.requested) / 1e6

    def _write(self, data: bytes) -> None:
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def _read(self, count: int) -> bytes:
        data = self._process.stdout.read(count)
        if len(data) != count:
            raise RuntimeError(f"bare.c has ended with {self._process.wait()}; its reason is on stderr")
        return data


def forget(host: AgentHost, task: Task) -> None:
    """Removes what the agent made for a task that has ended."""
    task._destroyed = True
    faults = task.clean()
    if faults:
        raise RuntimeError("; ".join(faults))
    host.tasks.remove(task)
