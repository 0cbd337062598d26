"""A client that leaves while its task starts has no handle of it: the task does not go on without anybody. That the driver
looks whether its answer could be sent is held by RPCServerTests.swift, whatNobodyKnowsOfIsUndone."""

from __future__ import annotations

import time
from typing import Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups
from agent.expect import Code, refused
from agent.host import state_folders
from agent.timing import wait_until


def is_gone(plugin: Plugin, task: Task) -> bool:
    return not state_folders(plugin) and not cgroups.populated(task.scope)


@pytest.mark.parametrize("standby", [True, False])
def test_at_any_moment(host: AgentHost, launch: Callable[..., Plugin], standby: bool) -> None:
    """Given up sooner and later, up to after the answer. A destroy by the id ends what is left then: an answer that
    crosses the client's leave on its way cannot be told from one that arrives."""
    plugin = launch({"standby_executor": standby})
    for number in range(60):
        task = host.task(plugin, host.program("act"), ["pause="])
        starting = task.start_soon()
        time.sleep(0.00005 * number)
        starting.cancel()
        try:
            wait_until(lambda: is_gone(plugin, task), 1, "nothing is left")
        except AssertionError:
            task.destroy(force=True)
        wait_until(lambda: is_gone(plugin, task), 10, f"nothing left of start {number}")
        with refused(code=Code.NOT_FOUND):
            task.inspect()
    assert host.task(plugin, host.program("act"), ["exit=3"]).run() == ExitResult(3)
