"""RecoverTask: from the handle alone, the rows of the recovery table that have a task. Those without are in
test_recovery_gone.py."""

from __future__ import annotations

import os
import signal
import time
import uuid
from typing import Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, messages, processes
from agent.expect import Code, refused
from agent.restart import LOST, Stopped, kill_executor, lost_result, recover, successor, with_state
from agent.state import directory_of, handle_state, read_record, record_bytes
from agent.timing import scaled, wait_until

Launch = Callable[..., Plugin]
NOT_FOUND = "task not found for given id"


def acting(host: AgentHost, plugin: Plugin, *verbs: str) -> Task:
    return host.task(plugin, host.program("act"), verbs)


def other_boot(task: Task) -> object:
    """The task's handle as it were had the host been rebooted."""
    state = handle_state(task)
    state.boot_id = str(uuid.uuid4())
    return with_state(task, state)


# The table


def test_same_boot_executor_alive(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task = host.paused(first)
    before, executor = task.inspect(), task.executor_pid
    second = successor(launch, first)
    with refused(NOT_FOUND, code=Code.NOT_FOUND):
        second.driver.WaitTask(messages.driver.WaitTaskRequest(task_id=task.id), timeout=scaled(10))
    recover(second, task)
    assert task.inspect() == before
    assert task.executor_pid == executor
    waiting = task.wait_soon()
    task.signal("SIGCONT")
    assert not waiting.done()
    task.stop(signal="SIGTERM")
    assert Task.result_of(waiting.result()) == ExitResult(143, 15)
    after = task.inspect().task
    assert after.started_at == before.task.started_at
    assert after.state == messages.driver.EXITED
    assert after.completed_at.ToNanoseconds() > after.started_at.ToNanoseconds()
    assert (after.result.exit_code, after.result.signal) == (143, 15)
    directory = directory_of(task)
    assert directory.is_dir()
    task.destroy(force=False)
    assert not directory.exists()
    assert task.stdout.text == "up\n"


def test_same_boot_executor_alive_with_a_record(launch: Launch, host: AgentHost) -> None:
    """An Executor that has written its record and is just leaving."""
    first = launch()
    task = host.paused(first)
    directory, executor, pid = directory_of(task), task.executor_pid, task.pid
    with Stopped(executor):
        first.kill()
        started = handle_state(task).started_at_ns
        (directory / "exit").write_bytes(record_bytes(messages.executor.ExitRecord(
            task_directory=directory.name, exit_code=7, started_at_ns=started, ended_at_ns=started + 10**9, pid=pid)))
        second = successor(launch, first)
        recover(second, task)
        assert task.wait() == ExitResult(7)
        kill_executor(executor)


def test_same_boot_executor_gone_with_a_record(launch: Launch, host: AgentHost) -> None:
    first = launch()
    ends = {"exit=0": ExitResult(0), "exit=41": ExitResult(41), "raise=15": ExitResult(143, 15), "raise=6": ExitResult(134, 6)}
    tasks = {end: acting(host, first, "sleep=300", end).start() for end in ends}
    started = {end: task.inspect().task.started_at for end, task in tasks.items()}
    first.kill()
    for task in tasks.values():
        wait_until(lambda: (directory_of(task) / "exit").exists(), 10, "the exit record")
    second = successor(launch, first)
    recover(second, *tasks.values())
    for end, task in tasks.items():
        assert task.wait() == ends[end], end
        seen = task.inspect().task
        assert seen.state == messages.driver.EXITED
        assert seen.started_at == started[end]
        assert seen.completed_at.ToNanoseconds() == read_record(directory_of(task)).ended_at_ns
        with refused("has ended"):
            task.signal("SIGHUP")
        task.stop()
        task.destroy(force=False)
    assert os.listdir(second.state_dir) == []


@pytest.mark.parametrize("reaped", [True, False], ids=["reaped", "zombie"])
def test_same_boot_executor_gone_without_a_record(launch: Launch, host: AgentHost, reaped: bool) -> None:
    """The zombie of a killed Executor still has its pid and start time."""
    first = launch()
    task = host.paused(first)
    executor, pid = task.executor_pid, task.pid
    first.kill()
    if reaped:
        kill_executor(executor)
        wait_until(lambda: processes.look(executor) is None, 5, "the Executor reaped")
        second = successor(launch, first)
        recover(second, task)
    else:
        with Stopped(first.subreaper_pid):
            kill_executor(executor)
            assert processes.look(executor).is_zombie
            second = successor(launch, first)
            recover(second, task)
    assert not processes.is_alive(pid)
    assert lost_result(task, "supervisor", "killed") == LOST
    assert not cgroups.populated(task.scope)
    assert task.inspect().task.state == messages.driver.EXITED
    task.stop()
    task.destroy(force=False)


def test_executor_gone_and_a_stranger_in_the_cgroup(launch: Launch, host: AgentHost) -> None:
    """What somebody put in the task's cgroup ends with the task."""
    first = launch()
    task = host.paused(first)
    first.kill()
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    (task.scope / "cgroup.procs").write_text(str(child))
    kill_executor(handle_state(task).executor_pid)
    recover(successor(launch, first), task)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert lost_result(task, "supervisor") == LOST


def test_other_boot_with_a_record(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task = acting(host, first, "sleep=100", "exit=23").start()
    started = task.inspect().task.started_at
    task.wait()
    recover(successor(launch, first), task, handle=other_boot(task))
    assert task.wait() == ExitResult(23)
    assert task.inspect().task.started_at == started


def test_damaged_record_of_a_living_executor_is_not_its_end(launch: Launch, host: AgentHost) -> None:
    """To say that a task which runs has ended would make the host start it twice."""
    first = launch()
    task = host.paused(first)
    directory = directory_of(task)
    first.kill()
    (directory / "exit").write_bytes(b"EXEC2END but no more")
    second = successor(launch, first)
    recover(second, task)
    waiting = task.wait_soon()
    time.sleep(scaled(0.3))
    assert not waiting.done()
    assert task.inspect().task.state == messages.driver.RUNNING
    task.stop(signal="SIGTERM")
    assert Task.result_of(waiting.result()) == ExitResult(143, 15)
