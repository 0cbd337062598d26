"""At most one program runs in a cgroup at a time, and one for each start: faults that Tests/model has found. Each test
reproduces one of the model's error trails, which the driver once followed."""

from __future__ import annotations

import array
import fcntl
import os
import signal
import termios
from typing import Callable

import grpc

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, processes
from agent.restart import recover_soon, successor
from agent.state import directory_of
from agent.timing import scaled, wait_until

Launch = Callable[..., Plugin]
ENDING = "ending an orphaned task"


def appending(host: AgentHost, plugin: Plugin, *verbs: str) -> Task:
    task = host.task(plugin, host.program("act"), ())
    task.config["args"] = [f"append={task.local / 'ran'}", *verbs]
    task.set_config(task.config)
    return task


def runs(task: Task) -> int:
    path = task.local / "ran"
    return path.read_text().count("ran\n") if path.exists() else 0


def afresh(host: AgentHost, plugin: Plugin, lost: Task, *verbs: str) -> Task:
    """What an agent does that has no handle: it starts the task with a new id, in the same cgroup."""
    task = appending(host, plugin, *verbs)
    lost.scope, task.scope = task.scope, lost.scope
    task.request.task.resources.linux_resources.cpuset_cgroup = str(task.scope)
    return task


def unanswered(host: AgentHost, plugin: Plugin, *verbs: str) -> tuple[Task, int]:
    """A running task whose handle nobody has, and its process."""
    task = appending(host, plugin, *verbs, "out=up", "pause=")
    plugin.driver.StartTask(task.request, timeout=scaled(60))
    task.stdout.wait_for("up", 60)
    return task, cgroups.processes(task.scope)[0]


def is_handed_over(executor: int) -> bool:
    """Whether the launch request's length is in the pipe that a standby Executor reads."""
    size = array.array("i", [0])
    try:
        pipe = os.open(f"/proc/{executor}/fd/3", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.ioctl(pipe, termios.FIONREAD, size)
    finally:
        os.close(pipe)
    return size[0] == 8


def is_over(pid: int) -> bool:
    process = processes.look(pid)
    return process is None or process.is_zombie


def lost_before_it_began(launch: Launch, host: AgentHost, state_dir: str) -> tuple[Plugin, Task, int] | None:
    """A Driver that was killed after its stopped Executor had been sent the launch request and before it began. None if
    that did not happen: the Driver had just spawned that Executor and did not use it yet, or stopped waiting for it."""
    first = launch({"state_dir": state_dir, "orphan_grace": 0})
    earlier = appending(host, first, "exit=3")
    assert earlier.run() == ExitResult(3)
    earlier.destroy()
    standing = first.await_standby()
    os.kill(standing, signal.SIGSTOP)
    lost = appending(host, first, "pause=")
    starting = first.driver.StartTask.future(lost.request, timeout=scaled(60))
    wait_until(lambda: is_handed_over(standing) or starting.done(), 60, "the request handed over")
    os.kill(first.pid, signal.SIGKILL)
    first.wait_exit(60)
    # The Driver would kill it after three seconds, and dies before.
    process = processes.look(standing)
    if process and process.state == "T" and is_handed_over(standing):
        return first, lost, standing
    first.end()
    return None


def test_executor_that_begins_when_its_driver_is_gone(launch: Launch, host: AgentHost) -> None:
    """Before: its identity file was written after the next Driver had searched the cgroup for tasks, and two programs ran
    there until orphan_grace was over."""
    found = None
    for _ in range(5):
        found = found or lost_before_it_began(launch, host, str(host.make_state_dir()))
    assert found, "five times the Driver stopped waiting for the Executor before it was killed"
    first, lost, executor = found
    second = successor(launch, first)
    task = afresh(host, second, lost, "out=afresh", "pause=").start()
    task.stdout.wait_for("afresh", 60)
    os.kill(executor, signal.SIGCONT)
    wait_until(lambda: is_over(executor), 60, "the late Executor has ended")
    assert runs(lost) == 0
    assert cgroups.processes(task.scope) == [task.pid]
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_start_while_the_sweep_ends_the_lost_one(launch: Launch, host: AgentHost) -> None:
    """Before: the Driver knew a task that was slow to end, but the new one began beside it; the old one's Executor
    emptied the cgroup at its end, with the new one in it."""
    state_dir = str(host.make_state_dir())
    first = launch({"state_dir": state_dir, "orphan_grace": 0})
    lost, old = unanswered(host, first, f"ignore={signal.SIGTERM.value}")
    first.kill()
    second = launch({"state_dir": state_dir, "orphan_grace": 1})
    wait_until(lambda: any(ENDING in entry["@message"] for entry in second.log), 60, "the lost task being ended")
    task = afresh(host, second, lost, "out=afresh", "pause=").start()
    assert is_over(old), "the new task began while the old one ran"
    task.stdout.wait_for("afresh", 60)
    assert cgroups.processes(task.scope) == [task.pid]
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_recovery_of_what_the_sweep_ends(launch: Launch, host: AgentHost) -> None:
    """Before: RecoverTask succeeded, and then the sweep ended the recovered task."""
    state_dir = str(host.make_state_dir())
    first = launch({"state_dir": state_dir, "orphan_grace": 0})
    task = appending(host, first, f"ignore={signal.SIGTERM.value}", "out=up", "pause=").start()
    task.stdout.wait_for("up", 60)
    pid = task.pid
    first.kill()
    second = launch({"state_dir": state_dir, "orphan_grace": 1})
    wait_until(lambda: any(ENDING in entry["@message"] for entry in second.log), 60, "the task being ended")
    try:
        recover_soon(second, task).result()
    except grpc.RpcError as error:
        assert "neither its state directory nor its supervisor" in (error.details() or "")
    # On a slow machine the answer may come late: the task has ended then.
    assert is_over(pid)


def test_start_beside_one_whose_answer_was_never_read(launch: Launch, host: AgentHost) -> None:
    """An agent was killed before it read the answer; the next one finds the same Driver and has no handle. Before: both
    tasks ran in one cgroup."""
    plugin = launch()
    lost, old = unanswered(host, plugin)
    task = afresh(host, plugin, lost, "out=afresh", "pause=").start()
    assert is_over(old), "the new task began while the old one ran"
    task.stdout.wait_for("afresh", 60)
    assert cgroups.processes(task.scope) == [task.pid]
    assert runs(lost) == 1
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_start_beside_one_that_is_waited_for(launch: Launch, host: AgentHost) -> None:
    """The agent knows that task: a task that it waits for is not ended."""
    plugin = launch()
    known = appending(host, plugin, "out=up", "pause=").start()
    known.stdout.wait_for("up", 60)
    waiting = known.wait_soon()
    wait_until(lambda: (directory_of(known) / "claimed").exists(), 60, "WaitTask under way")
    task = afresh(host, plugin, known, "out=afresh", "pause=").start()
    task.stdout.wait_for("afresh", 60)
    assert processes.is_alive(known.pid)
    for one in (known, task):
        one.stop(signal="SIGTERM")
    assert waiting.result().result.exit_code == 143
