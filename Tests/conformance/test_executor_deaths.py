"""The Executor is killed at every step: no process of its task survives, the
result says that the supervisor was lost, and nothing hangs."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Callable

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, messages, processes
from agent.expect import refused
from agent.restart import LOST, kill_after, kill_executor, lost_result, recover, successor
from agent.state import directory_of
from agent.timing import scaled, wait_until

Launch = Callable[..., Plugin]
# Milliseconds from the Executor's appearance to SIGKILL, where a start takes four.
START_DELAYS = [step * 0.1 for step in range(30)] + [3 + step * 0.5 for step in range(10)]


def milliseconds_of_a_start(host: AgentHost, plugin: Plugin) -> float:
    """On this machine, as busy as it is."""
    times = []
    for _ in range(5):
        task = host.task(plugin, host.program("offspring"), ["group", "session", "daemon"])
        begun = time.monotonic()
        task.start()
        times.append((time.monotonic() - begun) * 1000)
        task.destroy()
    return sorted(times)[2]


def nothing_left(task: Task) -> None:
    wait_until(lambda: not cgroups.populated(task.scope), 5, f"no process of {task.id} left")


def children(pid: int) -> set[int]:
    """The children of all the threads of a process."""
    found: set[int] = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            found.update(int(child) for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
        except FileNotFoundError:
            pass
    return found


class FirstChildKiller(threading.Thread):
    """SIGKILLs the next child of `pid`, so many seconds after it appeared."""

    def __init__(self, pid: int, seconds: float):
        super().__init__(daemon=True)
        self.parent, self.seconds = pid, seconds
        self.before = children(pid)
        self.child = 0
        self.given_up = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.child and not self.given_up.is_set():
            self.child = next(iter(children(self.parent) - self.before), 0)
        if self.child:
            end = time.monotonic() + self.seconds
            while time.monotonic() < end:
                pass
            try:
                os.kill(self.child, signal.SIGKILL)
            except ProcessLookupError:
                pass


def test_kill_at_every_step_of_a_start(launch: Launch, host: AgentHost) -> None:
    # test_standby.py kills those that were spawned ahead.
    plugin = launch({"standby_executor": False})
    slowness = max(1, milliseconds_of_a_start(host, plugin) / 4)
    failed, started = 0, 0
    for delay in [delay * slowness for delay in START_DELAYS]:
        task = host.task(plugin, host.program("offspring"), ["group", "session", "daemon"])
        killer = FirstChildKiller(plugin.pid, delay / 1000)
        begun = time.monotonic()
        try:
            task.start(20)
            started += 1
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
            assert "Executor" in error.details(), error.details()
            failed += 1
        killer.given_up.set()
        killer.join()
        assert killer.child, "no Executor was seen"
        if task.was_started:
            assert lost_result(task, "supervisor", str(killer.child)) == LOST
            with refused("has ended"):
                task.signal("SIGHUP")
            task.stop()
            task.destroy(force=False)
        assert time.monotonic() - begun < scaled(8)
        nothing_left(task)
        assert os.listdir(plugin.state_dir) == [], delay
    # Otherwise this has tried one side only.
    assert failed and started, (failed, started)
    assert plugin.executors() == []


def test_failed_start_can_be_tried_again(launch: Launch, host: AgentHost) -> None:
    """The error tells the host so, and nothing of the first try is in the way."""
    plugin = launch()
    task = host.task(plugin, host.program("act"), ["exit=8"])
    killer = FirstChildKiller(plugin.pid, 0)
    with pytest.raises(grpc.RpcError) as failure:
        task.start()
    killer.join()
    details = dict(failure.value.trailing_metadata())["grpc-status-details-bin"]
    status = messages.status.Status.FromString(details)
    recoverable = messages.recoverable.RecoverableError.FromString(status.details[0].value)
    assert recoverable.recoverable
    assert task.start().wait() == ExitResult(8)


@pytest.mark.parametrize("kinds", [["group"], ["session"], ["daemon"], ["ignore"], ["group", "session", "daemon", "ignore", "slow"]],
                         ids=lambda kinds: " ".join(kinds))
def test_kill_while_the_task_runs(launch: Launch, host: AgentHost, kinds: list[str]) -> None:
    plugin = launch()
    task = host.task(plugin, host.program("offspring"), kinds).start()
    other = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    for kind in kinds:
        task.stdout.wait_for(f"child {kind}")
    waits = [task.wait_soon() for _ in range(3)]
    executor, pid = task.executor_pid, task.pid
    begun = time.monotonic()
    kill_executor(executor)
    for wait in waits:
        wait.result()
    assert time.monotonic() - begun < scaled(3)
    assert lost_result(task, "supervisor", "killed", str(executor)) == LOST
    assert not processes.is_alive(pid)
    nothing_left(task)
    seen = task.inspect().task
    assert seen.state == messages.driver.EXITED
    assert (seen.result.exit_code, seen.result.signal) == (137, 9)
    task.stdout.wait_end()
    task.stop()
    task.destroy(force=False)
    other.stop(signal="SIGTERM")
    assert other.wait() == ExitResult(143, 15)
    other.destroy()


@pytest.mark.parametrize("milliseconds", [0, 0.3, 1, 3, 10, 40])
def test_kill_while_the_task_stops(launch: Launch, host: AgentHost, milliseconds: float) -> None:
    """StopTask returns with the end, not with its timeout."""
    plugin = launch()
    task = host.task(plugin, host.program("act"), ["ignore=15", "out=up", "pause="]).start()
    task.stdout.wait_for("up")
    executor, pid = task.executor_pid, task.pid
    begun = time.monotonic()
    stopping = [task.stop_soon(timeout=20, signal="SIGTERM") for _ in range(2)]
    kill_after(executor, milliseconds / 1000)
    for call in stopping:
        call.result()
    assert time.monotonic() - begun < scaled(5)
    assert not processes.is_alive(pid)
    assert lost_result(task, "supervisor") == LOST
    nothing_left(task)


def test_kill_around_the_end_of_the_task(launch: Launch, host: AgentHost) -> None:
    """Either the record was whole, and it is the truth, or the end is lost; never a guess."""
    plugin = launch()
    recorded = lost = 0
    for number in range(40):
        task = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
        task.stdout.wait_for("up")
        executor, pid = task.executor_pid, task.pid
        os.kill(pid, signal.SIGUSR1)
        kill_after(executor, number * 0.0002)
        answer = task.wait_soon().result()
        result = (answer.result.exit_code, answer.result.signal)
        if answer.err:
            assert result == (137, 9)
            assert "supervisor" in answer.err
            lost += 1
        else:
            assert result == (128 + signal.SIGUSR1, signal.SIGUSR1)
            recorded += 1
        nothing_left(task)
        task.destroy(force=False)
    assert recorded and lost, (recorded, lost)


def test_kill_while_no_driver_runs(launch: Launch, host: AgentHost) -> None:
    first = launch()
    tasks = [host.task(first, host.program("offspring"), ["group", "session", "daemon", "ignore"]).start() for _ in range(4)]
    for task in tasks:
        for kind in ("group", "session", "daemon", "ignore"):
            task.stdout.wait_for(f"child {kind}")
    executors = [task.executor_pid for task in tasks]
    started = [task.inspect().task.started_at for task in tasks]
    first.kill()
    for executor in executors[:3]:
        kill_executor(executor)
    for task in tasks[:3]:
        nothing_left(task)
    second = successor(launch, first)
    recover(second, *tasks)
    for task, begun in zip(tasks[:3], started):
        assert lost_result(task, "supervisor", "no driver") == LOST
        assert task.inspect().task.started_at == begun
        task.stop()
        task.destroy(force=False)
    assert cgroups.populated(tasks[3].scope)
    tasks[3].stop(signal="SIGTERM")
    assert tasks[3].wait() == ExitResult(0)


def test_kill_of_a_recovered_tasks_executor(launch: Launch, host: AgentHost) -> None:
    """It is not the new driver's child; its end is seen all the same."""
    first = launch()
    task = host.task(first, host.program("offspring"), ["session", "daemon"]).start()
    task.stdout.wait_for("child daemon")
    executor = task.executor_pid
    second = successor(launch, first)
    recover(second, task)
    waiting = task.wait_soon()
    begun = time.monotonic()
    kill_executor(executor)
    waiting.result()
    assert time.monotonic() - begun < scaled(3)
    assert lost_result(task, "supervisor", str(executor)) == LOST
    nothing_left(task)
    directory = directory_of(task)
    task.destroy(force=False)
    assert not directory.exists()


def test_kill_during_destroy(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    for number in range(8):
        task = host.task(plugin, host.program("offspring"), ["session", "daemon"]).start()
        task.stdout.wait_for("child daemon")
        kill_after(task.executor_pid, number * 0.0004)
        begun = time.monotonic()
        task.destroy(force=True)
        assert time.monotonic() - begun < scaled(5)
        nothing_left(task)
    assert os.listdir(plugin.state_dir) == []
    assert [process for process in plugin.executors() if process.name != "exec2-standby"] == []
