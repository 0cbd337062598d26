"""RecoverTask more than once, of many at once, and where the handle says nothing."""

from __future__ import annotations

import os
from typing import Callable

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, messages, processes
from agent.expect import Code, refused
from agent.restart import recover, recover_soon, successor, with_state
from agent.state import boot_id, directory_of, handle_state, identity_of
from agent.timing import scaled

Launch = Callable[..., Plugin]
NOT_FOUND = "task not found for given id"


def acting(host: AgentHost, plugin: Plugin, *verbs: str) -> Task:
    return host.task(plugin, host.program("act"), verbs)


# Again and at the same time


def test_recover_twice_and_of_an_own_task(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task = host.paused(first)
    recover(first, task)
    second = successor(launch, first)
    before = None
    for _ in range(3):
        recover(second, task)
        before = before or task.inspect()
        assert task.inspect() == before
    task.stop(signal="SIGTERM")
    for _ in range(3):
        recover(second, task)
        assert task.wait() == ExitResult(143, 15)


def test_recover_at_the_same_time(launch: Launch, host: AgentHost) -> None:
    first = launch()
    tasks = [host.paused(first) for _ in range(5)]
    second = successor(launch, first)
    answers = [recover_soon(second, task) for _ in range(10) for task in tasks]
    waits = [task.wait_soon() for task in tasks for _ in range(3)]
    stops = [task.stop_soon(signal="SIGTERM") for task in tasks for _ in range(3)]
    for answer in answers + stops:
        answer.result()
    for wait in waits:
        try:
            assert Task.result_of(wait.result()) == ExitResult(143, 15)
        except grpc.RpcError as error:
            # It came before the recovery.
            assert (error.code(), error.details()) == (Code.NOT_FOUND, NOT_FOUND)
    assert {task.wait() for task in tasks} == {ExitResult(143, 15)}


def test_recover_while_the_task_ends(launch: Launch, host: AgentHost) -> None:
    """The end falls before, into and behind the recovery."""
    first = launch()
    tasks = [acting(host, first, f"sleep={200 + 25 * number}", f"exit={number}").start() for number in range(20)]
    second = successor(launch, first)
    waiting = []
    for task in tasks:
        recover(second, task)
        waiting.append(task.wait_soon())
    assert [Task.result_of(wait.result()) for wait in waiting] == [ExitResult(number) for number in range(20)]


def test_restart_after_restart(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task = host.paused(plugin)
    before = task.inspect()
    for _ in range(8):
        plugin = successor(launch, plugin)
        recover(plugin, task)
        task.signal("SIGCONT")
        assert task.inspect() == before
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_handle_of_a_recovered_task_is_good_again(launch: Launch, host: AgentHost) -> None:
    """The host stores the handle once; it must serve for ever, and with another state_dir."""
    first = launch()
    task = host.paused(first)
    first.kill()
    second = launch()
    assert second.state_dir != first.state_dir
    recover(second, task)
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)
    directory = directory_of(task, first)
    assert directory.is_dir()
    task.destroy()
    assert not directory.exists()


# Without a handle


@pytest.mark.parametrize("state", [b"", b"\xff\xfe garbage", b"\x08\x01"], ids=["empty", "garbage", "no boot id"])
def test_driver_state_that_says_nothing(launch: Launch, host: AgentHost, state: bytes) -> None:
    """The state directory tells who the task is."""
    first = launch()
    running, ended = host.paused(first), acting(host, first, "sleep=50", "exit=9").start()
    before = {task.id: task.inspect() for task in (running, ended)}
    ended.wait()
    second = successor(launch, first)
    for task in (running, ended):
        recover(second, task, handle=with_state(task, state))
        seen = task.inspect()
        assert seen.task.started_at == before[task.id].task.started_at
        assert seen.driver == before[task.id].driver
        assert seen.task.name == task.name
    assert ended.wait() == ExitResult(9)
    running.stop(signal="SIGTERM")
    assert running.wait() == ExitResult(143, 15)


def test_driver_state_that_says_nothing_of_a_task_that_is_nowhere(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task = acting(host, plugin, "exit=0").start()
    task.wait()
    handle = with_state(task, b"garbage")
    task.destroy()
    with refused("driver_state", str(plugin.state_dir), task.id):
        recover(plugin, task, handle=handle)
    with refused("handle"):
        plugin.driver.RecoverTask(messages.driver.RecoverTaskRequest(task_id=task.id), timeout=scaled(10))
    # As the host does next.
    task.destroy(force=True)
    task.stdout.come_back()
    task.stderr.come_back()
    assert task.start().wait() == ExitResult(0)


def test_identity(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task = host.paused(plugin)
    identity = identity_of(directory_of(task))
    assert identity.boot_id == boot_id()
    assert identity.executor_pid == task.executor_pid
    assert (identity.task_id, identity.task_name) == (task.id, task.name)
    assert identity.executor_start_time == handle_state(task).executor_start_time
    task.stop()


def test_stop_of_a_task_that_an_earlier_driver_had(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task = host.paused(first)
    pid = task.pid
    task.plugin = successor(launch, first)
    task.stop(signal="SIGTERM")
    assert not processes.is_alive(pid)
    assert task.wait() == ExitResult(143, 15)


def test_destroy_of_a_task_that_an_earlier_driver_had(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task, ended = host.paused(first), acting(host, first, "exit=0").start()
    ended.wait()
    pid, executor = task.pid, task.executor_pid
    second = successor(launch, first)
    task.plugin = ended.plugin = second
    with refused("running"):
        task.destroy(force=False)
    assert processes.is_alive(pid)
    task.destroy(force=True)
    assert not processes.is_alive(pid) and not processes.is_alive(executor)
    assert not cgroups.populated(task.scope)
    ended.destroy(force=False)
    assert os.listdir(second.state_dir) == []


def test_start_while_the_earlier_drivers_task_runs(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task = host.paused(first)
    pid, executor = task.pid, task.executor_pid
    second = successor(launch, first)
    task.plugin = second
    with refused(task.id, "runs already", str(executor), code=Code.ALREADY_EXISTS):
        second.driver.StartTask(task.request, timeout=scaled(10))
    assert processes.is_alive(pid)
    recover(second, task)
    assert task.pid == pid
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)
    assert task.stdout.text == "up\n"


def test_start_where_the_earlier_drivers_task_has_ended(launch: Launch, host: AgentHost) -> None:
    """Its directory is no conflict."""
    first = launch()
    task = acting(host, first, "exit=5")
    task.run()
    task.plugin = successor(launch, first)
    task.stdout.come_back()
    task.stderr.come_back()
    assert task.start().wait() == ExitResult(5)
