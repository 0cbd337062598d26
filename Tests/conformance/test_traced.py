"""A tracer holds a child of the driver's that has ended, so that the kernel does not let it be reaped.

Seen while such a child was waited for with waitpid(2): no call about any task was answered until the tracer ended.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Callable

from agent import AgentHost, ExitResult, Plugin, Task, messages, processes
from agent.exec import script
from agent.expect import Code, refused
from agent.plugin import default_binary
from agent.restart import LOST, lost_result
from agent.timing import scaled, wait_until
from agent.tracer import Tracer

Launch = Callable[..., Plugin]
Trace = Callable[[int], Tracer]
STOPPED = ExitResult(143, 15)


def became_zombie(pid: int) -> None:
    def is_zombie() -> bool:
        process = processes.look(pid)
        return process is not None and process.is_zombie

    wait_until(is_zombie, 5, f"process {pid} ended, and held by its tracer")


def reaped(pid: int, tracer: Tracer) -> None:
    """The driver reaps it when the tracer has ended."""
    tracer.let_go()
    wait_until(lambda: processes.look(pid) is None, 5, f"process {pid} reaped")


def answers(host: AgentHost, plugin: Plugin, running: Task) -> None:
    """Calls about this task and another are answered; this one is over then."""
    waiting = running.wait_soon()
    running.signal("SIGCONT")
    other = host.task(plugin, host.program("act"), ["exit=3"])
    assert other.run() == ExitResult(3)
    other.destroy()
    running.stop(signal="SIGTERM")
    assert Task.result_of(waiting.result()) == STOPPED
    running.destroy()


def test_standby_that_is_killed(launch: Launch, host: AgentHost, trace: Trace) -> None:
    plugin = launch()
    running = host.paused(plugin)
    ahead = plugin.await_standby()
    tracer = trace(ahead)
    os.kill(ahead, signal.SIGKILL)
    became_zombie(ahead)
    answers(host, plugin, running)
    reaped(ahead, tracer)


def test_standby_that_the_configuration_ends(launch: Launch, host: AgentHost, trace: Trace) -> None:
    plugin = launch()
    running = host.paused(plugin)
    ahead = plugin.await_standby()
    tracer = trace(ahead)
    plugin.set_config(plugin.config)
    became_zombie(ahead)
    answers(host, plugin, running)
    reaped(ahead, tracer)


def test_standby_that_is_of_no_use_to_a_start(launch: Launch, host: AgentHost, trace: Trace) -> None:
    """The Executor's program was replaced since it was spawned: the start spawns another."""
    directory = host.root / "replaced"
    directory.mkdir()
    executor = Path(shutil.copy(default_binary().parent / "nomad-driver-exec2-executor", directory))
    executor.chmod(0o755)
    plugin = launch({"executor_path": str(executor)})
    running = host.paused(plugin)
    ahead = plugin.await_standby()
    tracer = trace(ahead)
    fresh = executor.with_suffix(".new")
    shutil.copy(executor, fresh)
    fresh.rename(executor)
    answers(host, plugin, running)
    became_zombie(ahead)
    reaped(ahead, tracer)
    shutil.rmtree(directory)


def test_plugin_ends(launch: Launch, host: AgentHost, trace: Trace) -> None:
    plugin = launch()
    task = host.task(plugin, host.program("act"), ["exit=0"])
    assert task.run() == ExitResult(0)
    task.destroy()
    tracer = trace(plugin.await_standby())
    plugin.controller.Shutdown(messages.goplugin.Empty(), timeout=scaled(10))
    assert plugin.wait_exit() == 0
    tracer.let_go()


def test_executor_of_a_task(launch: Launch, host: AgentHost, trace: Trace) -> None:
    """The task's end is told, though not even the driver may know how its Executor ended; the Executor is reaped once
    that is possible, which it was not before."""
    plugin = launch()
    running, task = host.paused(plugin), host.paused(plugin)
    executor = task.executor_pid
    tracer = trace(executor)
    os.kill(executor, signal.SIGKILL)
    became_zombie(executor)
    assert lost_result(task, "supervisor", "killed") == LOST
    answers(host, plugin, running)
    task.destroy()
    reaped(executor, tracer)


def test_attendant_of_a_command(launch: Launch, host: AgentHost, trace: Trace) -> None:
    plugin = launch()
    task = host.paused(plugin)
    given = script(task, "echo up; sleep 300")
    given.wait_for("up")
    (attendant,) = [process.pid for process in plugin.executors() if process.name == "exec2-attendant"]
    tracer = trace(attendant)
    os.kill(attendant, signal.SIGKILL)
    became_zombie(attendant)
    with refused("no result", "attendant", task.id, code=Code.UNAVAILABLE):
        given.wait()
    answers(host, plugin, task)
    reaped(attendant, tracer)
