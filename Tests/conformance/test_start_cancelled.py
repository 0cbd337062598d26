"""A client that cancels StartTask has no handle: the task must not run on. That the driver checks whether its answer could
be sent is tested in RPCServerTests.swift."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, messages
from agent.plugin import default_binary
from agent.restart import Stopped
from agent.state import directory_of
from agent.timing import scaled, wait_until
from agent.unread import UnreadCall

START = "/hashicorp.nomad.plugins.drivers.proto.Driver/StartTask"
EXECUTOR = default_binary().parent / "nomad-driver-exec2-executor"


def is_over(plugin: Plugin, task: Task) -> bool:
    """Whether the driver does not know the task, and nothing of it is left."""
    try:
        task.inspect()
        return False
    except grpc.RpcError as error:
        # Otherwise the start is still going on.
        is_unknown = error.code() == grpc.StatusCode.NOT_FOUND
    return is_unknown and not directory_of(task).exists() and not cgroups.populated(task.scope)


def destroyed(task: Task) -> bool:
    """Destroys the task; False while it is being started, when the driver refuses that."""
    try:
        task.destroy(force=True)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
        return False
    return True


@contextmanager
def stopped_standby(host: AgentHost, launch: Callable[..., Plugin]) -> Iterator[Plugin]:
    """A plugin whose next task gets an Executor that is stopped until the block ends."""
    plugin = launch()
    assert host.task(plugin, host.program("act"), ["exit=3"]).run() == ExitResult(3)
    with Stopped(plugin.await_standby()):
        yield plugin


@contextmanager
def delayed_spawn(host: AgentHost, launch: Callable[..., Plugin]) -> Iterator[Plugin]:
    """A plugin whose next Executor begins when the block ends. Its task's root has been made for a task before."""
    with gated_executor(host, launch) as (plugin, gate):
        gate.unlink()
        assert host.task(plugin, host.program("act"), ["exit=3"]).run() == ExitResult(3)
        gate.touch()
        yield plugin


@contextmanager
def gated_executor(host: AgentHost, launch: Callable[..., Plugin]) -> Iterator[tuple[Plugin, Path]]:
    """A plugin whose Executors, and the process that makes the template of tasks' roots, begin when a file is gone, which is
    when the block ends: until then they are a script."""
    gate, script = host.root / "gate", host.root / "executor-behind-a-gate"
    gate.touch()
    script.write_text(f'#!/bin/sh\nwhile [ -e "{gate}" ]; do sleep 0.01; done\nexec "{EXECUTOR}" "$@"\n')
    script.chmod(0o755)
    try:
        yield launch({"standby_executor": False, "executor_path": str(script)}), gate
    finally:
        gate.unlink(missing_ok=True)


def test_while_the_root_is_made(host: AgentHost, launch: Callable[..., Plugin]) -> None:
    """Cancelled while the template of the task's root is being made. Nothing of the start is left, and a later one has its
    root."""
    with gated_executor(host, launch) as (plugin, _):
        task = host.task(plugin, host.program("act"), ["pause="])
        starting = task.start_soon()
        wait_until(plugin.executors, 10, "the maker of the template has begun")
        starting.cancel()
        wait_until(starting.cancelled, 10, "the call is cancelled")
        plugin.ping()
    wait_until(lambda: is_over(plugin, task) and plugin.executors() == [], 30, "nothing left of the start")
    assert host.task(plugin, host.program("act"), ["exit=3"]).run() == ExitResult(3)


@pytest.mark.parametrize("standby", [True, False])
def test_before_the_answer(host: AgentHost, launch: Callable[..., Plugin], standby: bool) -> None:
    """Cancelled while the Executor cannot begin, so that the answer cannot have been sent. Nobody destroys the task, and it
    is rolled back. Seen without the rollback: the task ran on, and the driver knew it."""
    with (stopped_standby if standby else delayed_spawn)(host, launch) as plugin:
        task = host.task(plugin, host.program("act"), ["pause="])
        starting = task.start_soon()
        wait_until(lambda: directory_of(task).exists(), 10, "the start has begun")
        starting.cancel()
        wait_until(starting.cancelled, 10, "the call is cancelled")
        # The server has read the cancellation once it has answered a later call on the same connection.
        plugin.ping()
    wait_until(lambda: is_over(plugin, task), 30, "nothing left of the start")


def is_running(task: Task) -> bool:
    """Whether the driver has started the task."""
    try:
        return task.inspect().task.state == messages.driver.RUNNING
    except grpc.RpcError as error:
        assert error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION), error
        return False


@pytest.mark.parametrize("leave", [UnreadCall.cancel, UnreadCall.close], ids=["cancels", "dies"])
def test_after_the_start_and_before_the_answer(
    act: Callable[..., Task], plugin: Plugin, leave: Callable[[UnreadCall], None]
) -> None:
    """The task runs, and its client goes while the answer waits for room in the client's window. Seen without the undoing
    of an answer that nobody had: the task ran on, and the driver knew it."""
    task = act("out=up", "pause=")
    call = UnreadCall(plugin.address, START, task.request.SerializeToString())
    try:
        task.stdout.wait_for("up")
        wait_until(lambda: is_running(task), 10, "the driver has started the task")
        leave(call)
        wait_until(lambda: is_over(plugin, task), 30, "nothing left of the start")
    finally:
        call.close()


@pytest.mark.parametrize("standby", [True, False])
def test_at_any_moment(host: AgentHost, launch: Callable[..., Plugin], standby: bool) -> None:
    """Cancelled at various moments, up to after the answer. DestroyTask by the id then ends what is left: the driver cannot
    tell an answer that crosses the cancellation from one that arrives."""
    plugin = launch({"standby_executor": standby})
    tasks = []
    for number in range(60):
        task = host.task(plugin, host.program("act"), ["pause="])
        starting = task.start_soon()
        time.sleep(0.00005 * number)
        starting.cancel()
        tasks.append(task)
    for task in tasks:
        wait_until(lambda: is_over(plugin, task) or destroyed(task), 30, f"nothing left of {task.id}")
    # The destroy may have come before the start.
    time.sleep(scaled(1))
    for task in tasks:
        task.destroy(force=True)
    wait_until(lambda: all(is_over(plugin, task) for task in tasks), 30, "nothing left of any start")
    assert host.task(plugin, host.program("act"), ["exit=3"]).run() == ExitResult(3)
