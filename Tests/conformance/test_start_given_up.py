"""A client that leaves while its task starts has no handle of it: the task does not go on without anybody. That the driver
looks whether its answer could be sent is held by RPCServerTests.swift, whatNobodyKnowsOfIsUndone."""

from __future__ import annotations

import time
from typing import Callable

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups
from agent.host import state_folders
from agent.timing import scaled, wait_until


def is_over(plugin: Plugin, task: Task) -> bool:
    """Whether the driver knows of nothing, and nothing is there."""
    try:
        task.inspect()
        return False
    except grpc.RpcError as error:
        # Else it is being started still.
        is_unknown = error.code() == grpc.StatusCode.NOT_FOUND
    return is_unknown and not state_folders(plugin) and not cgroups.populated(task.scope)


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
        try:
            wait_until(lambda: is_over(plugin, task), 1, f"nothing left of start {number}")
        except AssertionError:
            task.destroy(force=True)
        tasks.append(task)
    # The question may have overtaken the start.
    time.sleep(scaled(1))
    for task in tasks:
        task.destroy(force=True)
    wait_until(lambda: all(is_over(plugin, task) for task in tasks), 10, "nothing left of any start")
    assert host.task(plugin, host.program("act"), ["exit=3"]).run() == ExitResult(3)
