"""RecoverTask: from the handle alone, each row of the recovery table."""

from __future__ import annotations

import os
import signal
import time
import uuid
from typing import Callable

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, messages, processes
from agent.expect import Code, refused
from agent.restart import (
    LOST, Stopped, kill_executor, lost_result, recover, recover_soon, successor, with_state)
from agent.state import boot_id, folder_of, handle_state, identity_of, read_record, record_bytes
from agent.timing import scaled, wait_until

Launch = Callable[..., Plugin]
NOT_FOUND = "task not found for given id"


def acting(host: AgentHost, plugin: Plugin, *verbs: str) -> Task:
    return host.task(plugin, host.program("act"), verbs)


def paused(host: AgentHost, plugin: Plugin) -> Task:
    """A task that is seen to run."""
    task = acting(host, plugin, "out=up", "pause=").start()
    task.stdout.wait_for("up")
    return task


def other_boot(task: Task) -> object:
    """The task's handle as it were had the host been rebooted."""
    state = handle_state(task)
    state.boot_id = str(uuid.uuid4())
    return with_state(task, state)


# The table


def test_same_boot_executor_alive(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task = paused(host, first)
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
    folder = folder_of(task)
    assert folder.is_dir()
    task.destroy(force=False)
    assert not folder.exists()
    assert task.stdout.text == "up\n"


def test_same_boot_executor_alive_with_a_record(launch: Launch, host: AgentHost) -> None:
    """An Executor that has written its record and is just leaving."""
    first = launch()
    task = paused(host, first)
    folder, executor, pid = folder_of(task), task.executor_pid, task.pid
    with Stopped(executor):
        first.kill()
        started = handle_state(task).started_at_ns
        (folder / "exit").write_bytes(record_bytes(messages.executor.ExitRecord(
            task_folder=folder.name, exit_code=7, started_at_ns=started, ended_at_ns=started + 10**9, pid=pid)))
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
        wait_until(lambda: (folder_of(task) / "exit").exists(), 10, "the exit record")
    second = successor(launch, first)
    recover(second, *tasks.values())
    for end, task in tasks.items():
        assert task.wait() == ends[end], end
        seen = task.inspect().task
        assert seen.state == messages.driver.EXITED
        assert seen.started_at == started[end]
        assert seen.completed_at.ToNanoseconds() == read_record(folder_of(task)).ended_at_ns
        with refused("has ended"):
            task.signal("SIGHUP")
        task.stop()
        task.destroy(force=False)
    assert os.listdir(second.state_dir) == []


@pytest.mark.parametrize("reaped", [True, False], ids=["reaped", "zombie"])
def test_same_boot_executor_gone_without_a_record(launch: Launch, host: AgentHost, reaped: bool) -> None:
    """The zombie of a killed Executor still has its pid and start time."""
    first = launch()
    task = paused(host, first)
    executor, pid = task.executor_pid, task.pid
    first.kill()
    if reaped:
        kill_executor(executor)
        wait_until(lambda: processes.look(executor) is None, 5, "the Executor reaped")
        second = successor(launch, first)
        recover(second, task)
    else:
        with Stopped(first.nest_pid):
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
    task = paused(host, first)
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


def test_other_boot_without_a_record(launch: Launch, host: AgentHost) -> None:
    """Pid and start time mean nothing then: the process that has them lives on."""
    first = launch()
    task = paused(host, first)
    executor, pid = task.executor_pid, task.pid
    second = successor(launch, first)
    recover(second, task, handle=other_boot(task))
    assert lost_result(task, "rebooted") == LOST
    task.stop()
    assert processes.is_alive(executor) and processes.is_alive(pid)
    kill_executor(executor)
    task.destroy(force=False)
    assert os.listdir(second.state_dir) == []


def test_other_boot_with_a_record(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task = acting(host, first, "sleep=100", "exit=23").start()
    started = task.inspect().task.started_at
    task.wait()
    recover(successor(launch, first), task, handle=other_boot(task))
    assert task.wait() == ExitResult(23)
    assert task.inspect().task.started_at == started


def test_other_boot_and_no_folder(launch: Launch, host: AgentHost) -> None:
    """/run is empty after a reboot."""
    first = launch()
    task = acting(host, first, "exit=3").start()
    task.wait()
    handle = other_boot(task)
    task.destroy()
    second = successor(launch, first)
    recover(second, task, handle=handle)
    assert lost_result(task, "rebooted") == LOST
    task.destroy(force=False)


def test_same_boot_and_no_folder(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task = acting(host, first, "exit=3").start()
    task.wait()
    task.destroy()
    second = successor(launch, first)
    recover(second, task)
    assert lost_result(task, "supervisor") == LOST
    task.destroy(force=False)


def test_damaged_record_of_a_living_executor_is_not_its_end(launch: Launch, host: AgentHost) -> None:
    """To say that a task which runs has ended would make the host start it twice."""
    first = launch()
    task = paused(host, first)
    folder = folder_of(task)
    first.kill()
    (folder / "exit").write_bytes(b"EXEC2END but no more")
    second = successor(launch, first)
    recover(second, task)
    waiting = task.wait_soon()
    time.sleep(scaled(0.3))
    assert not waiting.done()
    assert task.inspect().task.state == messages.driver.RUNNING
    task.stop(signal="SIGTERM")
    assert Task.result_of(waiting.result()) == ExitResult(143, 15)


# Again and at the same time


def test_recover_twice_and_of_an_own_task(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task = paused(host, first)
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
    tasks = [paused(host, first) for _ in range(5)]
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
    task = paused(host, plugin)
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
    task = paused(host, first)
    first.kill()
    second = launch()
    assert second.state_dir != first.state_dir
    recover(second, task)
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)
    folder = folder_of(task, first)
    assert folder.is_dir()
    task.destroy()
    assert not folder.exists()


# Without a handle


@pytest.mark.parametrize("state", [b"", b"\xff\xfe garbage", b"\x08\x01"], ids=["empty", "garbage", "no boot id"])
def test_driver_state_that_says_nothing(launch: Launch, host: AgentHost, state: bytes) -> None:
    """The state folder tells who the task is."""
    first = launch()
    running, ended = paused(host, first), acting(host, first, "sleep=50", "exit=9").start()
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
    task = paused(host, plugin)
    identity = identity_of(folder_of(task))
    assert identity.boot_id == boot_id()
    assert identity.executor_pid == task.executor_pid
    assert (identity.task_id, identity.task_name) == (task.id, task.name)
    assert identity.executor_start_time == handle_state(task).executor_start_time
    task.stop()


def test_stop_of_a_task_that_an_earlier_driver_had(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task = paused(host, first)
    pid = task.pid
    task.plugin = successor(launch, first)
    task.stop(signal="SIGTERM")
    assert not processes.is_alive(pid)
    assert task.wait() == ExitResult(143, 15)


def test_destroy_of_a_task_that_an_earlier_driver_had(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task, ended = paused(host, first), acting(host, first, "exit=0").start()
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
    task = paused(host, first)
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
    """Its folder is no conflict."""
    first = launch()
    task = acting(host, first, "exit=5")
    task.run()
    task.plugin = successor(launch, first)
    task.stdout.come_back()
    task.stderr.come_back()
    assert task.start().wait() == ExitResult(5)
