"""This driver in the comparison: tasks as the agent makes them, with calls through call.c."""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accounts import Account
from stats import processor_seconds
from tools import Called, Client

from agent import Plugin, Task, messages

if TYPE_CHECKING:
    from bench import Bench

GROUP = 16  # StartTasks under way at once while many are made
SETTLE_SECONDS = 0.5  # in which the kernel frees what it frees later, and the next Executor is spawned


def moment(task: Task, index: int = 0) -> int:
    """The time that the task's program has written at its start, or at its end."""
    task.stdout.wait_received(8 * (index + 1))
    return struct.unpack_from("=Q", task.stdout.data, 8 * index)[0]


def wait_request(task: Task) -> Any:
    return messages.driver.WaitTaskRequest(task_id=task.id)


def destroy_request(task: Task) -> Any:
    return messages.driver.DestroyTaskRequest(task_id=task.id, force=True)


@dataclass(frozen=True)
class Start:
    """One program that ended at once, in nanoseconds of the monotonic clock: when it was asked for, its first instruction,
    and when its end was told."""

    requested: int
    begun: int
    ended: int

    @property
    def start(self) -> float:
        """Milliseconds from the request to the first instruction."""
        return (self.begun - self.requested) / 1e6

    @property
    def whole(self) -> float:
        """Milliseconds from the request until the end was told."""
        return (self.ended - self.requested) / 1e6

    @property
    def end(self) -> float:
        """Milliseconds from the first instruction until the end was told."""
        return (self.ended - self.begun) / 1e6


class Subject:
    """One Driver, and a client of it."""

    def __init__(self, bench: "Bench", standby: bool, binary: Path | None = None):
        self.bench = bench
        self.host = bench.host
        self.plugin: Plugin = self.host.launch({"standby_executor": standby}, binary=binary)
        self.client = Client(self.plugin.address)

    def close(self) -> None:
        self.client.close()
        self.plugin.end()
        self.host.plugins.remove(self.plugin)

    def make(self, *arguments: str) -> Task:
        """A task with the four bind mounts that an agent makes for it."""
        return self.host.task(self.plugin, self.bench.program, arguments)

    def forget(self, task: Task) -> None:
        """Removes what the agent made for a destroyed task."""
        task._destroyed = True
        faults = task.clean()
        if faults:
            raise RuntimeError("; ".join(faults))
        self.host.tasks.remove(task)

    def start_and_end(self) -> Start:
        """One task, whose end is waited for as soon as it is started."""
        task = self.make()
        started, ended = self.client.sequences([[("StartTask", task.request), ("WaitTask", wait_request(task))]], 1)[0]
        start = Start(started.sent, moment(task), ended.ok().received)
        self.client("DestroyTask", destroy_request(task))
        self.forget(task)
        # The next Executor is being spawned now, which must not disturb the next measurement.
        time.sleep(0.01)
        return start

    def command(self, task: Task, program: str) -> float:
        """A command in a running task, as by `alloc exec`: milliseconds from the request until its end was told."""
        request = messages.driver.ExecTaskStreamingRequest()
        request.setup.task_id = task.id
        request.setup.command.append(program)
        called = self.client("ExecTaskStreaming", request)
        answer = messages.driver.ExecTaskStreamingResponse.FromString(called.answer)
        if not answer.exited or answer.result.exit_code != 0:
            raise RuntimeError(f"{program} in a task has ended with {answer}")
        time.sleep(0.01)
        return (called.received - called.sent) / 1e6

    def processor_time(self) -> float:
        """Of the Driver, and of the Executors and tasks that have ended, in milliseconds."""
        # After the name: the fields from the third on (proc_pid_stat(5)).
        fields = Path(f"/proc/{self.plugin.pid}/stat").read_text().rpartition(")")[2].split()
        ended = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        return (processor_seconds(self.plugin.pid) + ended) * 1000

    def rate(self, count: int, at_once: int) -> float:
        """Tasks per second, from StartTask to the answer of DestroyTask."""
        tasks = [self.make() for _ in range(count)]
        called = self.client.sequences(
            [[("StartTask", task.request), ("WaitTask", wait_request(task)), ("DestroyTask", destroy_request(task))]
             for task in tasks], at_once)
        for calls in called:
            for call in calls:
                call.ok()
        for task in tasks:
            self.forget(task)
        began = min(calls[0].sent for calls in called)
        return count / ((max(calls[-1].received for calls in called) - began) / 1e9)


@dataclass
class Samples:
    """Milliseconds of tasks that were started and stopped one after another."""

    starts: list[float] = field(default_factory=list)  # StartTask is sent → first instruction
    exits: list[float] = field(default_factory=list)  # end of the last process → WaitTask is answered
    stops: list[float] = field(default_factory=list)  # end of the last process → StopTask is answered

    def __iadd__(self, other: "Samples") -> "Samples":
        self.starts += other.starts
        self.exits += other.exits
        self.stops += other.stops
        return self


@dataclass(frozen=True)
class Taken:
    """The memory that starts have taken, in KiB a task: of their processes and of the kernel for them, and not what an
    agent makes for each task."""

    available: float  # that MemAvailable has fallen by
    accounted: float  # see accounts.py


class Tasks(Subject):
    """Many tasks that sleep."""

    def __init__(self, bench: "Bench", binary: Path | None = None):
        super().__init__(bench, True, binary)
        self.account = Account(self.host, self.plugin)
        self.tasks: list[Task] = []

    def __enter__(self) -> "Tasks":
        return self

    def __exit__(self, *_: object) -> None:
        for called in self._grouped([[("DestroyTask", destroy_request(task))] for task in self.tasks]):
            called[0].ok()
        for task in self.tasks:
            self.forget(task)
        self.close()
        self.account.close()

    def _grouped(self, sequences: list[list[tuple[str, Any]]]) -> list[list[Called]]:
        """In parts, so that the client's memory for them is small beside what is measured."""
        called = []
        for at in range(0, len(sequences), 4 * GROUP):
            called += self.client.sequences(sequences[at:at + 4 * GROUP], GROUP)
        return called

    def grow_to(self, count: int) -> Taken:
        """Makes tasks until there are so many; the memory that the further ones have taken."""
        fresh = [self.make("wait") for _ in range(len(self.tasks), count)]
        before = self._memory()
        for called in self._grouped([[("StartTask", task.request)] for task in fresh]):
            called[0].ok()
        for task in fresh:
            moment(task)
        self.tasks += fresh
        after = self._memory()
        return Taken(
            (before.available - after.available) / len(fresh), (after.accounted - before.accounted) / len(fresh))

    def _memory(self) -> Taken:
        time.sleep(SETTLE_SECONDS)
        return Taken(available_memory(), self.account.kibibytes())

    def executors(self) -> list[int]:
        return [process.pid for process in self.plugin.executors() if process.name == "exec2-executor"]

    def among(self, count: int) -> Samples:
        """Starts and stops further tasks, one after another."""
        samples = Samples()
        for _ in range(count):
            task = self.make("wait")
            started = self.client("StartTask", task.request)
            samples.starts.append((moment(task) - started.sent) / 1e6)
            request = messages.driver.StopTaskRequest(task_id=task.id, signal="SIGTERM")
            request.timeout.FromSeconds(5)
            # The agent has waited for the task since its start.
            waited, stopped = self.client.sequences([[("WaitTask", wait_request(task))], [("StopTask", request)]], 2)
            ended = moment(task, 1)
            samples.exits.append((waited[0].ok().received - ended) / 1e6)
            samples.stops.append((stopped[0].ok().received - ended) / 1e6)
            self.client("DestroyTask", destroy_request(task))
            self.forget(task)
            time.sleep(0.01)
        return samples


def available_memory() -> int:
    """MemAvailable in KiB."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1])
    raise RuntimeError("/proc/meminfo has no MemAvailable")
