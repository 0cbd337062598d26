"""A killed plugin, its successor, and their tasks."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any, Callable

import grpc

from agent import messages, processes
from agent.plugin import CALL_SECONDS, Plugin
from agent.task import ExitResult, Task
from agent.timing import scaled, wait_until

# The result of a task whose supervisor was lost.
LOST = ExitResult(137, 9)


def successor(launch: Callable[..., Plugin], plugin: Plugin, **config: Any) -> Plugin:
    """Kills the plugin and launches the next one with the same config, and so the same state_dir."""
    if plugin.is_running:
        plugin.kill()
    return launch({**plugin.config, **config})


def recover_soon(plugin: Plugin, task: Task, handle: Any = None) -> grpc.Future:
    """RecoverTask without waiting for the answer; the task belongs to `plugin` from here on."""
    task.plugin = plugin
    request = messages.driver.RecoverTaskRequest(task_id=task.id, handle=handle or task.handle)
    return plugin.driver.RecoverTask.future(request, timeout=scaled(CALL_SECONDS))


def recover(plugin: Plugin, *tasks: Task, handle: Any = None) -> None:
    """RecoverTask of each."""
    for task in tasks:
        recover_soon(plugin, task, handle).result()


def lost_result(task: Task, *words: str) -> ExitResult:
    """WaitTask of a task whose end is not known: the result. Checks that its error
    has each of `words`."""
    answer = task.wait_soon().result()
    missing = [word for word in words if word.lower() not in answer.err.lower()]
    assert answer.err and not missing, f"WaitTask's err does not mention {missing}: {answer.err!r}"
    return ExitResult(answer.result.exit_code, answer.result.signal, answer.result.oom_killed)


def with_state(task: Task, state: Any) -> Any:
    """The task's handle with another driver_state, a message or bytes."""
    handle = messages.driver.TaskHandle()
    handle.CopyFrom(task.handle)
    handle.driver_state = state if isinstance(state, bytes) else state.SerializeToString()
    return handle


def kill_executor(pid: int) -> None:
    """Kills an Executor with SIGKILL and waits until it has ended."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes.is_alive(pid), 5, f"Executor {pid} has ended after SIGKILL")


def kill_after(pid: int, seconds: float) -> threading.Thread:
    """Kills `pid` with SIGKILL after an exact delay, from another thread."""
    end = time.monotonic() + seconds

    def strike() -> None:
        time.sleep(max(0.0, end - time.monotonic()))
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    thread = threading.Thread(target=strike, daemon=True)
    thread.start()
    return thread


class Stopped:
    """Sends SIGSTOP at the beginning of the `with` block and SIGCONT at its end."""

    def __init__(self, pid: int):
        self.pid = pid

    def __enter__(self) -> "Stopped":
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(lambda: processes.look(self.pid).state == "T", 5, f"process {self.pid} stopped")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.kill(self.pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
