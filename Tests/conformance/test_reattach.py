"""The agent is killed with SIGKILL; the next one reattaches to the same Driver, by the
stored pid and address."""

from __future__ import annotations

import time
from typing import Callable

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages, processes
from agent.restart import kill_executor, lost_result, recover
from agent.timing import scaled

Launch = Callable[..., Plugin]
LINES = 600


def reattach(plugin: Plugin) -> None:
    """What the next agent does first."""
    plugin.abandon()
    plugin.channel.close()
    assert processes.is_alive(plugin.pid)
    plugin.connect()
    plugin.ping()
    plugin.begin(plugin.config)


def log_a_lot(plugin: Plugin) -> None:
    """Each of these calls makes the Driver log a line of several kilobytes."""
    for number in range(LINES):
        task = messages.driver.TaskConfig(id=f"alloc/web/{number}" + "x" * 2000)
        with pytest.raises(grpc.RpcError) as refusal:
            plugin.driver.StartTask(messages.driver.StartTaskRequest(task=task), timeout=scaled(10))
        assert refusal.value.code() != grpc.StatusCode.DEADLINE_EXCEEDED


def test_tasks_are_still_known(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    running, ended = host.paused(plugin), host.task(plugin, host.program("act"), ["exit=6"]).start()
    waiting = running.wait_soon()
    assert ended.wait() == ExitResult(6)
    before, pid = running.inspect(), plugin.pid
    reattach(plugin)
    assert waiting.exception() is not None
    # The agent recovers every task whose handle it has, known to the Driver or not.
    recover(plugin, running, ended)
    assert plugin.pid == pid
    assert running.inspect() == before
    assert ended.wait() == ExitResult(6)
    again = running.wait_soon()
    running.signal("SIGCONT")
    running.stop(signal="SIGTERM")
    assert Task.result_of(again.result()) == ExitResult(143, 15)
    new = host.task(plugin, host.program("act"), ["exit=7"])
    assert new.run() == ExitResult(7)
    for task in (running, ended, new):
        task.destroy(force=False)


def test_task_that_ends_while_no_agent_runs(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    tasks = [host.task(plugin, host.program("act"), ["sleep=300", f"exit={number}"]).start() for number in range(5)]
    lost = host.paused(plugin)
    executor = lost.executor_pid
    plugin.abandon()
    plugin.channel.close()
    time.sleep(scaled(0.6))
    kill_executor(executor)
    plugin.connect()
    plugin.begin(plugin.config)
    recover(plugin, *tasks, lost)
    assert [task.wait() for task in tasks] == [ExitResult(number) for number in range(5)]
    lost_result(lost, "supervisor")


def test_stderr_without_a_reader(launch: Launch, host: AgentHost) -> None:
    """More output than the pipe holds, and the pipe has no reader."""
    plugin = launch()
    task = host.paused(plugin)
    executor, descriptors = task.executor_pid, len(processes.descriptors(plugin.pid))
    reattach(plugin)
    log_a_lot(plugin)
    plugin.ping()
    assert task.executor_pid == executor
    plugin.settle(descriptors + 2)
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_stderr_whose_reader_is_stopped(launch: Launch, host: AgentHost) -> None:
    """More output than the pipe holds, and its reader does not read."""
    plugin = launch()
    task = host.paused(plugin)
    reader = plugin.pause_stderr()
    try:
        log_a_lot(plugin)
        plugin.ping()
        assert host.task(plugin, host.program("act"), ["exit=5"]).run() == ExitResult(5)
        task.stop(signal="SIGTERM")
        assert task.wait() == ExitResult(143, 15)
    finally:
        reader.set()


def test_grace_spares_what_the_same_driver_started(launch: Launch, host: AgentHost) -> None:
    """The next agent takes longer than the grace to recover its tasks."""
    plugin = launch({"orphan_grace": 1})
    task = host.paused(plugin)
    reattach(plugin)
    time.sleep(scaled(2.5))
    assert processes.is_alive(task.pid)
    recover(plugin, task)
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_agent_after_agent(launch: Launch, host: AgentHost) -> None:
    """Successive connections and configurations leave nothing behind."""
    plugin = launch()
    task = host.paused(plugin)
    plugin.abandon()
    held = []
    for _ in range(10):
        plugin.channel.close()
        plugin.connect()
        plugin.begin(plugin.config)
        recover(plugin, task)
        waiting = task.wait_soon()
        held.append(len(processes.descriptors(plugin.pid)))
    del waiting
    plugin.settle(held[0] + 2)
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)
