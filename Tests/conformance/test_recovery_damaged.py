"""RecoverTask of a task that runs, where what tells of it is damaged: it is never refused, since the agent would destroy
the task and start it a second time."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, messages, processes
from agent.exec import output
from agent.expect import Code, refused
from agent.restart import recover, successor, with_state
from agent.state import directory_of, handle_state
from agent.timing import wait_until

Launch = Callable[..., Plugin]
STOPPED = ExitResult(143, 15)


def remove(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).unlink()


def everything(directory: Path) -> None:
    remove(directory, *os.listdir(directory))


def file_in_its_place(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.write_text("a file")


def symlink_in_its_place(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.symlink_to("nowhere")


def file_as_pipe(directory: Path) -> None:
    remove(directory, "control")
    (directory / "control").write_text("a file")


def another_events_pipe(directory: Path) -> None:
    remove(directory, "events")
    os.mkfifo(directory / "events", 0o600)


# What was done to the state directory while no driver ran, and whether the exit record can still be written.
DAMAGES: dict[str, tuple[Callable[[Path], None], bool]] = {
    "no control": (lambda directory: remove(directory, "control"), True),
    "no events": (lambda directory: remove(directory, "events"), True),
    "no pipe": (lambda directory: remove(directory, "control", "events"), True),
    "no lock and no pipe": (lambda directory: remove(directory, "control", "events", "lock"), True),
    "no identity": (lambda directory: remove(directory, "executor"), True),
    "a file as a pipe": (file_as_pipe, True),
    "another pipe as events": (another_events_pipe, True),
    "empty": (everything, False),
    "a file in its place": (file_in_its_place, False),
    "a symlink in its place": (symlink_in_its_place, False),
}


def damaged(launch: Launch, host: AgentHost, damage: str) -> tuple[Plugin, Task, int, int]:
    """A task that runs, its state directory damaged between two plugins; the second, the task, its Executor and its main
    process."""
    first = launch()
    task = host.paused(first)
    executor, pid = task.executor_pid, task.pid
    first.kill()
    DAMAGES[damage][0](directory_of(task))
    return successor(launch, first), task, executor, pid


def nothing_is_left(plugin: Plugin, task: Task, executor: int) -> None:
    wait_until(lambda: not processes.is_alive(executor), 5, f"Executor {executor} gone")
    assert not cgroups.populated(task.scope)
    assert os.listdir(plugin.state_dir) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_state_directory_is_damaged(launch: Launch, host: AgentHost, damage: str) -> None:
    """Seen while the pipes were opened through the Executor only where the whole directory was missing: UNAVAILABLE,
    "cannot open …/control: No such file", or "…: Not a directory"."""
    plugin, task, executor, pid = damaged(launch, host, damage)
    recover(plugin, task)
    assert task.inspect().task.state == messages.driver.RUNNING
    assert (task.pid, task.executor_pid) == (pid, executor)
    assert output(task, "/bin/echo", "still") == "still\n"
    task.signal("SIGCONT")
    waiting = task.wait_soon()
    task.stop(signal="SIGTERM")
    answer = waiting.result()
    if DAMAGES[damage][1]:
        assert Task.result_of(answer) == STOPPED
    else:
        assert "exit status is lost" in answer.err and str(directory_of(task)) in answer.err, answer
    task.destroy(force=False)
    nothing_is_left(plugin, task, executor)


@pytest.mark.parametrize("damage", DAMAGES)
def test_destroy(launch: Launch, host: AgentHost, damage: str) -> None:
    """Of a task that runs. Seen with a file in the directory's place: DestroyTask failed for good."""
    plugin, task, executor, _ = damaged(launch, host, damage)
    recover(plugin, task)
    task.destroy(force=True)
    nothing_is_left(plugin, task, executor)


@pytest.mark.parametrize("damage", ["no lock and no pipe", "empty"])
def test_one_driver_at_a_time(launch: Launch, host: AgentHost, damage: str) -> None:
    """The lock goes with the directory's files; the session is held by the pipe, too. Also by a driver that has opened
    it in the directory before that was damaged."""
    plugin = launch()
    task = host.paused(plugin)
    executor = task.executor_pid
    DAMAGES[damage][0](directory_of(task))
    other = launch(plugin.config)
    with refused("another driver process", str(executor), code=Code.UNAVAILABLE):
        recover(other, task)
    task.plugin = plugin
    other.end()
    task.stop(signal="SIGTERM")
    task.wait_soon().result()
    task.destroy()


def without_start_time(task: Task) -> Any:
    """The task's handle as an earlier release's driver made it that was short of descriptors."""
    state = handle_state(task)
    assert state.executor_start_time > 0
    state.executor_start_time = 0
    return with_state(task, state)


@pytest.mark.parametrize("left", ["everything", "no identity", "no directory"])
def test_handle_without_start_time(launch: Launch, host: AgentHost, left: str) -> None:
    """Seen while 0 was compared as any other time: the Executor was taken for one that had been killed, and the living
    task was killed."""
    first = launch()
    task = host.paused(first)
    executor, pid = task.executor_pid, task.pid
    handle = without_start_time(task)
    first.kill()
    if left == "no identity":
        remove(directory_of(task), "executor")
    elif left == "no directory":
        shutil.rmtree(directory_of(task))
    second = successor(launch, first)
    recover(second, task, handle=handle)
    assert task.inspect().task.state == messages.driver.RUNNING
    assert (task.pid, task.executor_pid) == (pid, executor)
    waiting = task.wait_soon()
    task.stop(signal="SIGTERM")
    answer = waiting.result()
    assert left == "no directory" or Task.result_of(answer) == STOPPED
    task.destroy()


def test_handle_without_start_time_of_a_stranger(launch: Launch, host: AgentHost) -> None:
    """The Executor is gone, and its pid is another process's: that is left alone."""
    first = launch()
    task = host.paused(first)
    stranger = host.paused(first)
    state = handle_state(task)
    state.executor_start_time = 0
    state.executor_pid = stranger.executor_pid
    executor, directory = task.executor_pid, directory_of(task)
    task.stop()
    first.kill()
    wait_until(lambda: not processes.is_alive(executor), 5, f"Executor {executor} gone")
    shutil.rmtree(directory)
    second = successor(launch, first)
    with refused("cannot recover task", task.id, "neither its state directory nor its supervisor", code=Code.NOT_FOUND):
        recover(second, task, handle=with_state(task, state))
    task.destroy(force=True)
    assert processes.is_alive(handle_state(stranger).executor_pid)
    recover(second, stranger)
    stranger.stop(signal="SIGTERM")
    assert stranger.wait() == STOPPED
