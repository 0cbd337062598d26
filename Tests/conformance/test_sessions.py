"""Only one Driver at a time has a task's session, and an Executor that does not answer blocks nobody."""

from __future__ import annotations

import fcntl
import os
import random
import termios
import time
from typing import Callable


from agent import AgentHost, ExitResult, Plugin, Task, cgroups, messages, processes
from agent.expect import Code, refused
from agent.restart import LOST, Stopped, lost_result, recover, recover_soon, successor
from agent.state import directory_of, put
from agent.timing import scaled, wait_until
from sessions import BOUND, Duration, PROMPT, drained, ends_well

Launch = Callable[..., Plugin]


# Two drivers


def test_two_drivers(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task = host.paused(first)
    pid = task.pid
    second = launch(dict(first.config))
    request = messages.driver.RecoverTaskRequest(task_id=task.id, handle=task.handle)
    for _ in range(3):
        with refused(task.id, "another driver", code=Code.UNAVAILABLE):
            second.driver.RecoverTask(request, timeout=scaled(10))
    with refused(task.id, "another driver", code=Code.UNAVAILABLE):
        second.driver.StopTask(messages.driver.StopTaskRequest(task_id=task.id), timeout=scaled(10))
    with refused(task.id, "another driver", code=Code.UNAVAILABLE):
        second.driver.DestroyTask(messages.driver.DestroyTaskRequest(task_id=task.id, force=True), timeout=scaled(10))
    with refused(task.id, "runs already", code=Code.ALREADY_EXISTS):
        second.driver.StartTask(task.request, timeout=scaled(10))
    # The first is not affected, and the second can have tasks of its own.
    task.signal("SIGCONT")
    assert task.pid == pid
    other = host.paused(second)
    ends_well(other)
    first.kill()
    recover(second, task)
    assert task.pid == pid
    ends_well(task)


def test_two_drivers_and_the_sweep(launch: Launch, host: AgentHost) -> None:
    """The sweep does not end another driver's tasks."""
    first = launch({"orphan_grace": 0})
    task, ended = host.paused(first), host.task(first, host.program("act"), ["exit=4"]).start()
    launch({**first.config, "orphan_grace": 1})
    time.sleep(scaled(2.5))
    assert processes.is_alive(task.pid)
    assert ended.wait() == ExitResult(4)
    assert directory_of(task).is_dir() and directory_of(ended).is_dir()
    ends_well(task)


def test_two_drivers_start_the_same_id(launch: Launch, host: AgentHost) -> None:
    """At most one succeeds; the other fails with the reason."""
    first = launch()
    second = launch(dict(first.config))
    for _ in range(8):
        task = host.task(first, host.program("act"), ["out=up", "pause="])
        starts = {plugin: plugin.driver.StartTask.future(task.request, timeout=scaled(30)) for plugin in (first, second)}
        failed = {plugin: start.exception() for plugin, start in starts.items()}
        winners = [plugin for plugin, error in failed.items() if error is None]
        assert len(winners) < 2
        for error in failed.values():
            assert error is None or len(error.details()) > 20
        task.plugin = winners[0] if winners else first
        task.took(starts[task.plugin].result() if winners else first.driver.StartTask(task.request, timeout=scaled(30)))
        task.stdout.wait_for("up")
        assert len(cgroups.processes(task.scope)) == 1
        ends_well(task)
        assert task.stdout.text == "up\n"
        task.destroy()


# An Executor that does not answer


def test_stopped_executor(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task, other = host.paused(plugin), host.paused(plugin)
    executor = task.executor_pid
    with Stopped(executor):
        waiting = task.wait_soon(60)
        signal = messages.driver.SignalTaskRequest(task_id=task.id, signal="SIGCONT")
        calls = [plugin.driver.SignalTask.future(signal, timeout=scaled(60)) for _ in range(5)]
        # Meanwhile no other call waits.
        with Duration() as others:
            other.signal("SIGCONT")
            assert host.task(plugin, host.program("act"), ["exit=3"]).run() == ExitResult(3)
            assert task.inspect().task.state == messages.driver.RUNNING
        assert others.seconds < PROMPT
        with Duration() as duration:
            for call in calls:
                with refused(task.id, str(executor), "SIGCONT", code=Code.UNAVAILABLE):
                    call.result()
        assert duration.seconds < BOUND
        assert not waiting.done()
    ends_well(task)
    assert Task.result_of(waiting.result()) == ExitResult(143, 15)
    ends_well(other)


def test_stopped_executor_is_recovered(launch: Launch, host: AgentHost) -> None:
    """An error would make the host start the task twice."""
    first = launch()
    task, other = host.paused(first), host.paused(first)
    before = task.inspect()
    with Stopped(task.executor_pid):
        second = successor(launch, first)
        with Duration() as duration:
            answer = recover_soon(second, task)
            with Duration() as others:
                recover(second, other)
                other.signal("SIGCONT")
            answer.result()
        assert others.seconds < PROMPT
        assert duration.seconds < BOUND
        assert task.inspect() == before
    ends_well(task)
    ends_well(other)


def test_stop_of_a_task_with_a_stopped_executor(launch: Launch, host: AgentHost) -> None:
    """A stop kills an Executor that does not answer."""
    plugin = launch()
    task, other = host.paused(plugin), host.paused(plugin)
    pid = task.pid
    with Stopped(task.executor_pid), Duration() as duration:
        task.stop(timeout=0.1)
        assert not processes.is_alive(pid)
    assert duration.seconds < BOUND
    assert lost_result(task, "supervisor") == LOST
    assert not cgroups.populated(task.scope)
    ends_well(other)


def test_cancelled_stop(launch: Launch, host: AgentHost) -> None:
    """The client does not wait for the answer, as an agent that ends: the task is stopped by its Executor all the same.
    Seen before: the Executor was killed for not having answered, and the exit status was lost."""
    plugin = launch()
    task = host.paused(plugin)
    control = os.open(directory_of(task) / "control", os.O_RDONLY | os.O_NONBLOCK)
    with Stopped(task.executor_pid):
        call = task.stop_soon(timeout=60, signal="SIGTERM")
        wait_until(lambda: fcntl.ioctl(control, termios.FIONREAD, bytes(4)) != bytes(4), 5, "the request is in the pipe")
        call.cancel()
        # The driver has handled what came before the answer to this call.
        plugin.ping()
        time.sleep(scaled(0.2))
    os.close(control)
    assert task.wait() == ExitResult(143, 15)


def test_full_control_pipe(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task, other = host.paused(plugin), host.paused(plugin)
    before, executor = task.inspect(), task.executor_pid
    with Stopped(executor):
        assert put(directory_of(task) / "control", random.Random(21).randbytes(1 << 20)) >= 60_000
        with Duration() as duration, refused(task.id, "does not read", str(executor), "SIGCONT", code=Code.UNAVAILABLE):
            task.signal("SIGHUP")
        assert duration.seconds < BOUND
        other.signal("SIGCONT")
        assert task.inspect() == before
    drained(task)
    ends_well(task)
    ends_well(other)


def test_full_control_pipe_and_a_new_driver(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task = host.paused(first)
    before = task.inspect()
    with Stopped(task.executor_pid):
        put(directory_of(task) / "control", random.Random(22).randbytes(1 << 20))
        second = successor(launch, first)
        with Duration() as duration:
            recover(second, task)
        assert duration.seconds < BOUND
        assert task.inspect() == before
    drained(task)
    ends_well(task)
