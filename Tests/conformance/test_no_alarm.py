"""A line at warn or error is one that an operator can act upon: there is none for normal conditions, nor for what the
agent reports itself. EXEC2_WARNINGS names a file that collects those of a whole run (agent/hclog.py)."""

from __future__ import annotations

from typing import Any, Callable

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages
from agent.exec import exec_task
from agent.expect import refused
from agent.restart import recover, successor, with_state
from agent.timing import wait_until

Launch = Callable[..., Plugin]


def alarms(plugin: Plugin) -> list[dict[str, Any]]:
    return [entry for entry in plugin.log if entry["@level"] in ("warn", "error")]


def await_line(plugin: Plugin, word: str) -> dict[str, Any]:
    """The line with a word in its message; all earlier lines have been read then."""
    lines = lambda: [entry for entry in plugin.log if word in entry["@message"]]
    wait_until(lines, 30, f"a line with {word!r}")
    return lines()[0]


def ended_task(host: AgentHost, plugin: Plugin) -> Task:
    task = host.task(plugin, host.program("act"), ["exit=0"])
    assert task.run() == ExitResult(0)
    return task


def test_short_tasks(launch: Launch, host: AgentHost) -> None:
    """Many end before their log pipes are watched. Before: "cannot watch a task's log pipe … No such file"."""
    plugin = launch()
    tasks = [host.task(plugin, "/bin/true") for _ in range(40)]
    starts = [task.start_soon() for task in tasks]
    for task, start in zip(tasks, starts):
        task.took(start.result())
    for task in tasks:
        task.wait()
    ended_task(host, plugin)
    assert [entry for entry in alarms(plugin) if "log pipe" in entry["@message"]] == []


def test_a_start_that_fails(launch: Launch, host: AgentHost) -> None:
    """The agent reports it in its own log, and in the allocation's events."""
    plugin = launch()
    task = host.task(plugin, host.program("act"), ["exit=0"], user="no-such-user")
    with refused("no-such-user"):
        task.start()
    assert "no-such-user" in await_line(plugin, "cannot start a task")["error"]
    assert alarms(plugin) == []


def test_a_start_without_a_user_names_the_cause(launch: Launch, host: AgentHost) -> None:
    """As the client requests it after its restart. Before: "the task has no user: name one with the task's user
    parameter"."""
    plugin = launch()
    task = host.task(plugin, host.program("act"), ["exit=0"])
    task.request.task.user = ""
    with refused("it forgot", "dynamic user", "agent was restarted", "nomad alloc stop"):
        task.start()


def test_a_command_that_fails(launch: Launch, host: AgentHost) -> None:
    """The caller gets the error; a failing script check would fill the log."""
    plugin = launch()
    task = ended_task(host, plugin)
    with pytest.raises(grpc.RpcError):
        exec_task(task, "/bin/true")
    await_line(plugin, "cannot exec in a task")
    assert alarms(plugin) == []


def test_handles_of_another_driver(launch: Launch, host: AgentHost) -> None:
    """After a change from HashiCorp's driver the agent recovers every allocation of that driver which it has not
    collected. Before, each of these was an ERROR."""
    first = launch()
    task = ended_task(host, first)
    handle = with_state(task, b"of another driver")
    task.destroy()
    second = successor(launch, first)
    with refused("driver_state"):
        recover(second, task, handle=handle)
    await_line(second, "no task to recover")
    assert alarms(second) == []
    second.driver.DestroyTask(messages.driver.DestroyTaskRequest(task_id=task.id, force=True))
    assert alarms(second) == []
