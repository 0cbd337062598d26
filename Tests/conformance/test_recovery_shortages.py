"""What cannot be read for a shortage is not taken for missing: no second program starts in a task's cgroup, no
directory of a running task is removed, and no exit status is given up.

A lease (fcntl(2), F_SETLEASE) makes one file unreadable for a time, EAGAIN, as a shortage would.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, messages, processes
from agent.restart import Stopped, recover, successor
from agent.state import directory_of, lose_events
from agent.timing import scaled, wait_until

Launch = Callable[..., Plugin]
STOPPED = ExitResult(143, 15)
# How long the driver once tried to read an exit record.
ONCE_GIVEN_UP_SECONDS = 10


class Lease:
    """A lease on a file: who opens it without waiting is refused until `end`, or for 45 s."""

    def __init__(self, path: Path):
        self._number = os.open(path, os.O_RDWR)
        fcntl.fcntl(self._number, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody has tried to open the file."""
        return fcntl.fcntl(self._number, fcntl.F_GETLEASE) != fcntl.F_WRLCK

    def end(self) -> None:
        os.close(self._number)


@pytest.fixture
def lease() -> Iterator[Callable[[Path], Lease]]:
    """Takes leases. Their holder is told by a signal when somebody wants the file."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield Lease
    signal.signal(signal.SIGIO, before)


class NoDescriptors:
    """A plugin that can open nothing."""

    def __init__(self, plugin: Plugin):
        self._pid, self._before = plugin.pid, resource.prlimit(plugin.pid, resource.RLIMIT_NOFILE)

    def __enter__(self) -> None:
        taken = processes.descriptors(self._pid)
        limit = next(number for number in range(len(taken) + 1) if number not in taken)
        resource.prlimit(self._pid, resource.RLIMIT_NOFILE, (limit, self._before[1]))

    def __exit__(self, *_: object) -> None:
        resource.prlimit(self._pid, resource.RLIMIT_NOFILE, self._before)


def started_anew(task: Task) -> Any:
    """StartTask of the same allocation's task under a new id, as an agent without its handle starts it."""
    request = messages.driver.StartTaskRequest()
    request.CopyFrom(task.request)
    request.task.id = f"{task.alloc_id}/{task.name}/0badcafe"
    return request


def start_fails(plugin: Plugin, request: Any, reason: str) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        plugin.driver.StartTask(request, timeout=scaled(20))
    assert reason in (failure.value.details() or ""), failure.value.details()


def starts_alone(plugin: Plugin, request: Any, task: Task, executor: int) -> None:
    """The start succeeds, and the task that was in the cgroup before it is gone."""
    plugin.driver.StartTask(request, timeout=scaled(20))
    assert not processes.is_alive(executor)
    inspected = plugin.driver.InspectTask(
        messages.driver.InspectTaskRequest(task_id=request.task.id), timeout=scaled(20))
    assert cgroups.processes(task.scope) == [int(inspected.driver.attributes["pid"])]
    plugin.driver.DestroyTask(
        messages.driver.DestroyTaskRequest(task_id=request.task.id, force=True), timeout=scaled(20))


def test_first_start_while_nothing_can_be_opened(launch: Launch, host: AgentHost) -> None:
    """Seen while a state directory that cannot be listed was taken for an empty one, and that for the driver's whole
    life: the second start succeeded, and the first task ran on beside it."""
    first = launch()
    task = host.paused(first)
    executor = task.executor_pid
    second = successor(launch, first)
    task.plugin = second
    request = started_anew(task)
    with NoDescriptors(second):
        start_fails(second, request, "Too many open files")
    starts_alone(second, request, task, executor)


def test_start_while_an_identity_cannot_be_read(
    launch: Launch, host: AgentHost, lease: Callable[[Path], Lease]
) -> None:
    """Seen while such a directory was passed over: as above."""
    first = launch()
    task = host.paused(first)
    executor = task.executor_pid
    second = successor(launch, first)
    task.plugin = second
    request = started_anew(task)
    held = lease(directory_of(task) / "executor")
    start_fails(second, request, "Resource temporarily unavailable")
    assert processes.is_alive(executor)
    held.end()
    starts_alone(second, request, task, executor)


def test_sweep_while_an_identity_cannot_be_read(
    launch: Launch, host: AgentHost, lease: Callable[[Path], Lease]
) -> None:
    """Seen while such a directory was taken for one of a task that was never started: the directory of a task that ran
    and was claimed was removed. Its pipe is missing too here, so that nothing else keeps it."""
    first = launch()
    task = host.paused(first)
    waiting = task.wait_soon()
    directory = directory_of(task)
    wait_until((directory / "claimed").exists, 5, "the task claimed")
    first.kill()
    waiting.cancel()
    (directory / "control").unlink()
    held = lease(directory / "executor")
    second = successor(launch, first, orphan_grace=1)
    task.plugin = second
    told = lambda: [entry for entry in second.log if entry.get("path") == str(directory)]
    # At the start, and after orphan_grace.
    wait_until(lambda: len(told()) >= 2 or not directory.exists(), 30, "two stages of the sweep")
    assert directory.exists() and held.is_wanted
    assert all("temporarily unavailable" in entry["reason"] for entry in told()), told()
    held.end()
    recover(second, task)
    task.stop(signal="SIGTERM")
    assert task.wait() == STOPPED
    task.destroy()


def test_record_is_read_once_the_shortage_has_passed(launch: Launch, host: AgentHost) -> None:
    """However long it takes. Seen while the driver gave up after ten seconds: "exit status is lost", and the record was
    on disk."""
    plugin = launch()
    task = host.paused(plugin)
    waiting = task.wait_soon()
    wait_until((directory_of(task) / "claimed").exists, 5, "the task claimed")
    executor, pid = task.executor_pid, task.pid
    # What still comes behind the start's answer would give descriptors back.
    plugin.descriptors_with_a_task()
    with NoDescriptors(plugin):
        with Stopped(plugin.pid):
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not processes.is_alive(executor), 5, "the Executor has ended")
            # With the event, the driver would not need the record.
            lose_events(task)
        wait_until(
            lambda: any("exit record" in entry["@message"] for entry in plugin.log), 30, "the shortage is reported")
        time.sleep(ONCE_GIVEN_UP_SECONDS)
        assert not waiting.done(), waiting.result()
    answer = waiting.result()
    assert (answer.result.exit_code, answer.result.signal, answer.err) == (137, 9, "")
    task.destroy()
