"""Tasks with processes that even SIGKILL does not end: the task's end is reported in time, and waiting for these processes
uses no processor time."""

from __future__ import annotations

import os
import signal
import time
from typing import Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, messages, processes
from agent.file_systems import FrozenFileSystem
from agent.restart import Stopped, recover, successor
from agent.state import directory_of, put, read_record
from agent.timing import wait_until
from agent.tracer import Tracer
from sessions import drained

Make = Callable[..., Task]
# The processor time that an Executor may use in the measured two seconds, in ticks of 10 ms.
IDLE_TICKS = 5
# Longer than the ten seconds that an Executor waits for processes after SIGKILL; a guard against a hang.
LONG = 120
# A main process with a child that outlives it.
PARENT = "sleep 1000 & echo up; wait"


def ticks_in_two_seconds(executor: int) -> int:
    before = processes.processor_ticks(executor)
    time.sleep(2)
    return processes.processor_ticks(executor) - before


def survivors_told(task: Task) -> ExitResult:
    """The task's result; checks that its error says that processes are left."""
    answer = task.wait_soon(LONG).result()
    assert "processes of the task had not ended long after SIGKILL" in answer.err
    return ExitResult(answer.result.exit_code, answer.result.signal, answer.result.oom_killed)


def left_behind(task: Task) -> int:
    """Starts the task, and returns the child of its main process."""
    task.start().stdout.wait_for("up")
    return wait_until(lambda: [process.pid for process in processes.descendants(task.pid)], LONG, "a child")[0]


def gone(task: Task, executor: int) -> None:
    wait_until(lambda: not processes.is_alive(executor), LONG, f"Executor {executor} has ended")
    assert not cgroups.populated(task.scope)


def held_zombie(task: Task, trace: Callable[[int], Tracer]) -> tuple[int, Tracer]:
    """A task that has ended except for a zombie that a tracer keeps: its Executor, and the tracer."""
    child = left_behind(task)
    executor = task.executor_pid
    tracer = trace(child)
    task.signal("SIGKILL")
    wait_until(lambda: processes.look(child).is_zombie, LONG, "the child ended")
    wait_until(lambda: not cgroups.populated(task.scope), LONG, "the cgroup without living processes")
    return executor, tracer


def test_a_zombie_that_a_tracer_keeps(make: Make, trace: Callable[[int], Tracer]) -> None:
    """Seen while the Executor did not read the cgroup's events in every state: two seconds of processor time in two
    seconds, until the tracer ended."""
    task = make("/bin/sh", ["-c", PARENT])
    executor, tracer = held_zombie(task, trace)
    # In the state draining, until the record is written.
    assert ticks_in_two_seconds(executor) <= IDLE_TICKS
    assert survivors_told(task) == ExitResult(137, 9)
    record = read_record(directory_of(task))
    assert record.survivors and (record.exit_code, record.signal) == (137, 9)
    assert task.inspect().task.state == messages.driver.EXITED
    # In the state overdue, after that.
    assert processes.is_alive(executor)
    assert ticks_in_two_seconds(executor) <= IDLE_TICKS
    tracer.let_go()
    gone(task, executor)


def test_the_cgroup_is_removed_meanwhile(make: Make, trace: Callable[[int], Tracer]) -> None:
    """A zombie does not keep its cgroup from being removed. After the removal, poll reports cgroup.events as ready for ever.
    Seen while the Executor read the file and did not close it: as above."""
    task = make("/bin/sh", ["-c", PARENT])
    executor, tracer = held_zombie(task, trace)
    task.scope.rmdir()
    put(directory_of(task) / "control", b"to be looked at")
    drained(task)
    assert ticks_in_two_seconds(executor) <= IDLE_TICKS
    tracer.let_go()
    result = task.wait_soon(LONG).result().result
    assert (result.exit_code, result.signal) == (137, 9)
    wait_until(lambda: not processes.is_alive(executor), LONG, f"Executor {executor} has ended")


def test_the_next_driver_finds_the_record(
    host: AgentHost, launch: Callable[..., Plugin], trace: Callable[[int], Tracer],
) -> None:
    """An Executor that still waits for such processes does not count as a running task."""
    first = launch()
    task = host.task(first, "/bin/sh", ["-c", PARENT])
    executor, tracer = held_zombie(task, trace)
    assert survivors_told(task) == ExitResult(137, 9)
    second = successor(launch, first)
    recover(second, task)
    assert survivors_told(task) == ExitResult(137, 9)
    assert task.inspect().task.state == messages.driver.EXITED
    assert processes.is_alive(executor)
    tracer.let_go()
    gone(task, executor)


@pytest.mark.loop
def test_a_process_in_uninterruptible_sleep(make: Make, host: AgentHost) -> None:
    """It writes to a frozen file system. Seen as with the zombie."""
    with FrozenFileSystem(host.root / "frozen") as files:
        (files.directory / "file").touch()
        (files.directory / "file").chmod(0o666)
        task = make(
            "/bin/sh", ["-c", f"(read go <local/go; echo more >>{files.directory}/file) & echo up; wait"],
            unveil=[f"rw:{files.directory}"])
        os.mkfifo(task.local / "go")
        (task.local / "go").chmod(0o666)
        child = left_behind(task)
        executor = task.executor_pid
        files.freeze()
        (task.local / "go").write_text("go\n")
        wait_until(lambda: processes.look(child).state == "D", LONG, "the child waits for the file system")
        task.signal("SIGKILL")
        assert survivors_told(task) == ExitResult(137, 9)
        assert read_record(directory_of(task)).survivors
        assert cgroups.populated(task.scope) and processes.is_alive(executor)
        assert ticks_in_two_seconds(executor) <= IDLE_TICKS
        files.thaw()
        gone(task, executor)


def test_the_main_process_ends_when_its_time_is_up(make: Make) -> None:
    """The Executor hears of both at once, and gives what is left of the task its ten seconds. Seen without that: the result
    said that processes had not ended long after SIGKILL, while they were being killed."""
    task = make("/bin/sh", ["-c", "trap '' TERM; for n in $(seq 100); do sleep 1000 & done; echo up; wait; sleep 1000"])
    task.start().stdout.wait_for("up")
    executor, pid = task.executor_pid, task.pid
    stop = task.stop_soon(0.5, "SIGTERM", seconds=LONG)
    time.sleep(0.2)
    with Stopped(executor):
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.5)
    stop.result()
    answer = task.wait_soon(LONG).result()
    assert (answer.result.exit_code, answer.result.signal, answer.err) == (137, 9, "")


@pytest.mark.parametrize("timeout", [0, 1])
def test_a_tracer_of_the_task_itself(make: Make, host: AgentHost, timeout: int) -> None:
    """A stop kills the main process first, and then all others, so that one that is traced by one of them can be reaped."""
    task = make("/bin/sh", ["-c", f"trap '' TERM; sleep 1000 | {host.program('tracer')} $$ & wait; wait"])
    task.start().stdout.wait_for("traces")
    waiting = task.wait_soon(LONG)
    task.stop_soon(timeout, "SIGTERM", seconds=LONG).result()
    answer = waiting.result()
    assert (answer.result.exit_code, answer.result.signal, answer.err) == (137, 9, "")
    assert not read_record(directory_of(task)).survivors


@pytest.mark.parametrize("timeout", [0, 1])
def test_a_main_process_that_a_tracer_holds(make: Make, trace: Callable[[int], Tracer], timeout: int) -> None:
    """Seen before: WaitTask without an answer for as long as the tracer lived, and StopTask failed after 35 seconds."""
    task = make("/bin/sh", ["-c", "trap '' TERM; echo up; while :; do sleep 1; done"])
    task.start().stdout.wait_for("up")
    executor, pid = task.executor_pid, task.pid
    waiting = task.wait_soon(LONG)
    tracer = trace(pid)
    task.stop_soon(timeout, "SIGTERM", seconds=LONG).result()
    assert processes.is_alive(executor) and processes.look(pid).is_zombie
    answer = waiting.result()
    assert (answer.result.exit_code, answer.result.signal) == (137, 9)
    assert "processes of the task had not ended long after SIGKILL" in answer.err and "held by a tracer" in answer.err
    record = read_record(directory_of(task))
    assert record.survivors and (record.exit_code, record.signal) == (137, 9)
    assert ticks_in_two_seconds(executor) <= IDLE_TICKS
    tracer.let_go()
    gone(task, executor)
    # Nothing is recorded anew when it can be reaped at last.
    assert read_record(directory_of(task)) == record
