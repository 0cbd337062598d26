"""RecoverTask must fail for a task that is gone, and must not fail for one that runs, whatever files are missing.

What the agent does with each answer is in docs/recovery.md.
"""

from __future__ import annotations

import os
import resource
import shutil
import uuid
from typing import Any, Callable

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, messages, processes
from agent.expect import Code, refused
from agent.restart import LOST, kill_executor, lost_result, recover, recover_soon, successor, with_state
from agent.state import directory_of, frame, handle_state, identity_of
from agent.timing import scaled, wait_until

Launch = Callable[..., Plugin]
NOT_FOUND = "task not found for given id"


def acting(host: AgentHost, plugin: Plugin, *verbs: str) -> Task:
    return host.task(plugin, host.program("act"), verbs)


def other_boot(task: Task) -> Any:
    """The task's handle, changed to one of another boot."""
    state = handle_state(task)
    state.boot_id = str(uuid.uuid4())
    return with_state(task, state)


def is_gone(plugin: Plugin, task: Task, reason: str, handle: object = None) -> None:
    """RecoverTask fails, as the agent expects for a task that it will start again or that has ended; the plugin does not
    know the task, and the log has a line at level debug only."""
    with refused("cannot recover task", task.id, reason, code=Code.NOT_FOUND):
        recover(plugin, task, handle=handle)
    with refused(NOT_FOUND, code=Code.NOT_FOUND):
        plugin.driver.WaitTask(messages.driver.WaitTaskRequest(task_id=task.id), timeout=scaled(10))
    logged = lambda: [entry for entry in plugin.log if entry.get("task_id") == task.id]
    wait_until(logged, 30, "the line of the log")
    assert [entry["@level"] for entry in logged()] == ["debug"], logged()


def test_other_boot_without_a_record(launch: Launch, host: AgentHost) -> None:
    """Pid and start time then refer to another process, which is left alone. Before, the task was recovered as failed, and
    a batch job without attempts was lost in the reboot."""
    first = launch()
    task = host.paused(first)
    executor, pid = task.executor_pid, task.pid
    # The identity file is one of an earlier boot, too.
    identity = identity_of(directory_of(task))
    identity.boot_id = str(uuid.uuid4())
    second = successor(launch, first)
    (directory_of(task) / "executor").write_bytes(frame(identity.SerializeToString()))
    is_gone(second, task, "rebooted", other_boot(task))
    # What the agent does next with a task that ran.
    task.destroy(force=True)
    # The sweep at the start may be removing it at the same time.
    wait_until(lambda: os.listdir(second.state_dir) == [], 30, "the state directory removed")
    task.stop()
    assert processes.is_alive(executor) and processes.is_alive(pid)
    kill_executor(executor)


def test_other_boot_and_no_directory(launch: Launch, host: AgentHost) -> None:
    """/run is empty after a reboot."""
    first = launch()
    task = acting(host, first, "exit=3").start()
    task.wait()
    handle = other_boot(task)
    task.destroy()
    second = successor(launch, first)
    is_gone(second, task, "rebooted", handle)
    task.destroy(force=False)


def test_same_boot_and_no_directory(launch: Launch, host: AgentHost) -> None:
    """The agent recovers every task whose handle it has, of ended allocations too. Before, each start of the agent logged
    three false lines for each of these: that its Executor was killed, that it could not note that the agent knows the task,
    and that its event had no handler."""
    first = launch()
    task = acting(host, first, "exit=3").start()
    task.wait()
    task.destroy()
    second = successor(launch, first)
    stream = second.driver.TaskEvents(messages.driver.TaskEventsRequest())
    is_gone(second, task, "neither its state directory nor its supervisor")
    task.destroy(force=False)
    # The first event is the next task's.
    other = host.task(second, "/no/such/command").start()
    assert other.wait() == ExitResult(127)
    assert next(iter(stream)).task_id == other.id
    stream.cancel()


def without_directory(launch: Launch, host: AgentHost) -> tuple[Plugin, Task, int, int]:
    """A running task whose state directory is removed between two plugins."""
    first = launch()
    task = host.paused(first)
    executor, pid = task.executor_pid, task.pid
    first.kill()
    shutil.rmtree(directory_of(task))
    return successor(launch, first), task, executor, pid


def test_executor_alive_and_no_directory(launch: Launch, host: AgentHost) -> None:
    """A running task is never reported as gone: the agent would start it a second time. Before, its recovery failed with
    "cannot open …/lock: No such file", and DestroyTask did not find it: it ran beside its successor."""
    second, task, executor, pid = without_directory(launch, host)
    recover(second, task)
    assert task.inspect().task.state == messages.driver.RUNNING
    assert task.pid == pid and task.executor_pid == executor
    waiting = task.wait_soon()
    task.signal("SIGCONT")
    # No other driver can take its session.
    third = launch(second.config)
    with refused("another driver process", str(executor), code=Code.UNAVAILABLE):
        recover(third, task)
    task.plugin = second
    third.end()
    assert not waiting.done()
    task.stop(signal="SIGTERM")
    answer = waiting.result()
    assert "state directory" in answer.err and "removed while it ran" in answer.err, answer
    assert not processes.is_alive(pid) and not processes.is_alive(executor)
    task.destroy(force=False)
    assert [entry["@message"] for entry in second.log if "cannot note" in entry["@message"]] == []


def test_destroy_of_a_task_that_runs_without_a_directory(launch: Launch, host: AgentHost) -> None:
    second, task, executor, pid = without_directory(launch, host)
    recover(second, task)
    task.destroy(force=True)
    assert not processes.is_alive(pid) and not processes.is_alive(executor)
    assert not cgroups.populated(task.scope)


def test_a_recovery_outlasts_a_shortage_of_descriptors(launch: Launch, host: AgentHost) -> None:
    """Before, it failed with "Too many open files", and the agent ended a running task."""
    first = launch()
    task = host.paused(first)
    pid = task.pid
    second = successor(launch, first)
    before = resource.prlimit(second.pid, resource.RLIMIT_NOFILE)
    taken = processes.descriptors(second.pid)
    # RLIMIT_NOFILE limits the descriptor's number: here to the lowest free one.
    limit = next(number for number in range(len(taken) + 1) if number not in taken)
    resource.prlimit(second.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    answer = recover_soon(second, task)
    shortage = lambda: [entry for entry in second.log if "short of a resource" in entry["@message"]]
    wait_until(lambda: shortage() or answer.done(), 30, "the shortage is met")
    assert not answer.done(), answer.exception()
    assert "Too many open files" in shortage()[0]["reason"], shortage()
    resource.prlimit(second.pid, resource.RLIMIT_NOFILE, before)
    answer.result()
    assert task.pid == pid and len(shortage()) == 1
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_events_of_a_recovered_task_wait_for_the_host(launch: Launch, host: AgentHost) -> None:
    """During a recovery the agent has no handler for them ("no handler registered for event")."""
    first = launch()
    task = host.paused(first)
    first.kill()
    kill_executor(handle_state(task).executor_pid)
    second = successor(launch, first)
    stream = second.driver.TaskEvents(messages.driver.TaskEventsRequest())
    recover(second, task)
    other = host.task(second, "/no/such/command").start()
    events = iter(stream)
    assert next(events).task_id == other.id
    assert lost_result(task, "supervisor", "killed") == LOST
    assert next(events).task_id == task.id
    stream.cancel()
