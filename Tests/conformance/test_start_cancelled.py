"""A client that leaves while its task starts has no handle of it: the task does not go on without anybody. That the driver
looks whether its answer could be sent is held by RPCServerTests.swift, whatNobodyKnowsOfIsUndone."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Callable, Iterator

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups
from agent.plugin import default_binary
from agent.restart import Stopped
from agent.state import directory_of
from agent.timing import scaled, wait_until

EXECUTOR = default_binary().parent / "nomad-driver-exec2-executor"


def is_over(plugin: Plugin, task: Task) -> bool:
    """Whether the driver knows of nothing, and nothing is there."""
    try:
        task.inspect()
        return False
    except grpc.RpcError as error:
        # Else it is being started still.
        is_unknown = error.code() == grpc.StatusCode.NOT_FOUND
    return is_unknown and not directory_of(task).exists() and not cgroups.populated(task.scope)


def destroyed(task: Task) -> bool:
    """Destroys the task; False while it is just being started, which the driver refuses to interrupt."""
    try:
        task.destroy(force=True)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
        return False
    return True


@contextmanager
def held_standby(host: AgentHost, launch: Callable[..., Plugin]) -> Iterator[Plugin]:
    """A plugin whose next task gets an Executor that is stopped until the block ends."""
    plugin = launch()
    assert host.task(plugin, host.program("act"), ["exit=3"]).run() == ExitResult(3)
    with Stopped(plugin.await_standby()):
        yield plugin


@contextmanager
def held_spawn(host: AgentHost, launch: Callable[..., Plugin]) -> Iterator[Plugin]:
    """A plugin whose Executor begins when the block ends: a script becomes the Executor once a file is gone."""
    gate, script = host.root / "gate", host.root / "executor-behind-a-gate"
    gate.touch()
    script.write_text(f'#!/bin/sh\nwhile [ -e "{gate}" ]; do sleep 0.01; done\nexec "{EXECUTOR}" "$@"\n')
    script.chmod(0o755)
    try:
        yield launch({"standby_executor": False, "executor_path": str(script)})
    finally:
        gate.unlink()


@pytest.mark.parametrize("standby", [True, False])
def test_before_the_answer(host: AgentHost, launch: Callable[..., Plugin], standby: bool) -> None:
    """Given up while the Executor is held: the answer cannot have been sent. Nobody destroys the task, and it does not
    go on. Seen without the undo: the task ran on, and the driver knew it."""
    with (held_standby if standby else held_spawn)(host, launch) as plugin:
        task = host.task(plugin, host.program("act"), ["pause="])
        starting = task.start_soon()
        wait_until(lambda: directory_of(task).exists(), 10, "the start has begun")
        starting.cancel()
        wait_until(starting.cancelled, 10, "the client has left")
        # The server's own sight of that: another call on the same connection comes behind it.
        plugin.ping()
    wait_until(lambda: is_over(plugin, task), 30, "nothing left of the start")


@pytest.mark.parametrize("standby", [True, False])
def test_at_any_moment(host: AgentHost, launch: Callable[..., Plugin], standby: bool) -> None:
    """Given up sooner and later, up to after the answer. A destroy by the id ends what is left then: an answer that
    crosses the client's leave on its way cannot be told from one that arrives."""
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
    # A destroy may have overtaken the start.
    time.sleep(scaled(1))
    for task in tasks:
        task.destroy(force=True)
    wait_until(lambda: all(is_over(plugin, task) for task in tasks), 30, "nothing left of any start")
    assert host.task(plugin, host.program("act"), ["exit=3"]).run() == ExitResult(3)
