"""One Driver at a time has a task's session; what else comes through the pipes
harms neither that task nor another."""

from __future__ import annotations

import fcntl
import os
import random
import termios
import time
from typing import Any, Callable

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, messages, processes
from agent.expect import Code, refused
from agent.restart import LOST, Stopped, lost_result, recover, recover_soon, successor
from agent.state import folder_of, frame, put
from agent.timing import scaled, wait_until

Launch = Callable[..., Plugin]
# How long an Executor may take to answer, and what a call needs besides.
ANSWER_SECONDS = 5
BOUND = ANSWER_SECONDS + 3


def paused(host: AgentHost, plugin: Plugin) -> Task:
    task = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    task.stdout.wait_for("up")
    return task


def ends_well(task: Task) -> None:
    """The task can be signalled and stopped, and has the right result."""
    task.signal("SIGCONT")
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def drained(task: Task, *pipes: str) -> None:
    """Returns when all that was put into the pipes, the control pipe without any, is read."""
    for pipe in pipes or ("control",):
        number = os.open(folder_of(task) / pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            wait_until(lambda: fcntl.ioctl(number, termios.FIONREAD, bytes(4)) == bytes(4), 10, f"the {pipe} pipe read")
        finally:
            os.close(number)


class Duration:
    """How long what is inside took."""

    def __enter__(self) -> "Duration":
        self._begin = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._begin


# Two drivers


def test_two_drivers(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task = paused(host, first)
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
    # The first has not noticed, and the second can have tasks of its own.
    task.signal("SIGCONT")
    assert task.pid == pid
    other = paused(host, second)
    ends_well(other)
    first.kill()
    recover(second, task)
    assert task.pid == pid
    ends_well(task)


def test_two_drivers_and_the_sweep(launch: Launch, host: AgentHost) -> None:
    """What another driver has is not this one's to end."""
    first = launch({"orphan_grace": 0})
    task, ended = paused(host, first), host.task(first, host.program("act"), ["exit=4"]).start()
    launch({**first.config, "orphan_grace": 1})
    time.sleep(scaled(2.5))
    assert processes.is_alive(task.pid)
    assert ended.wait() == ExitResult(4)
    assert folder_of(task).is_dir() and folder_of(ended).is_dir()
    ends_well(task)


def test_two_drivers_start_the_same_id(launch: Launch, host: AgentHost) -> None:
    """Never both; whoever fails says why."""
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


# What stands in the pipes


def stale_events(count: int) -> bytes:
    """Answers and news of sessions that are over, to requests as a new driver numbers them."""
    def event(**body: Any) -> bytes:
        session, request = random.randrange(1, 2**63), body.pop("reply_to", 0)
        return frame(messages.executor.Event(session=session, reply_to=request, **body))

    begun = messages.executor.Started(pid=1, started_at_ns=1)
    data = b""
    for number in range(count):
        data += event(exited={}) + event(started=begun) + event(launch_failed={"stage": 1, "error": 1})
        data += event(reply_to=number + 1, welcome={"protocol": 9, "state": 4, "task": begun})
        data += event(reply_to=number + 1, refused={"error": 1}) + event(reply_to=number + 1, done={})
        data += frame(messages.executor.Event(reply_to=number + 1, welcome={"protocol": 9, "task": begun}))
    return data


def test_stale_events_are_no_answers(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task = paused(host, first)
    before = task.inspect()
    first.kill()
    put(folder_of(task) / "events", stale_events(20))
    second = successor(launch, first)
    recover(second, task)
    assert task.inspect() == before
    assert not task.wait_soon().done()
    put(folder_of(task) / "events", stale_events(20))
    with refused("SIGNONE"):
        task.signal("SIGNONE")
    assert task.inspect() == before
    ends_well(task)


def test_events_pipe_full_of_stale_events(launch: Launch, host: AgentHost) -> None:
    """The welcome finds room: the new driver reads before it says hello."""
    first = launch()
    task = paused(host, first)
    before = task.inspect()
    first.kill()
    written = put(folder_of(task) / "events", stale_events(200) * 4)
    assert written >= 60_000
    second = successor(launch, first)
    with Duration() as duration:
        recover(second, task)
    assert duration.seconds < scaled(ANSWER_SECONDS - 1)
    assert task.inspect() == before
    ends_well(task)


def garbage(kind: str) -> bytes:
    source = random.Random(20)
    signal_all = frame(messages.executor.Request(id=7, stop={"signal": 9, "timeout_ns": 0}))
    return {
        "torn": signal_all[:-3],
        "torn in the header": signal_all[:5],
        "wrong checksum": signal_all[:-1] + b"\x7f",
        "random": source.randbytes(20_000),
        "magic only": b"\xe2\x45" * 3000,
        "longer than it is": b"\xe2\x45\xf8\x0f" + source.randbytes(40),
        "longest payload": frame(source.randbytes(4088)),
        "huge": source.randbytes(4 << 20),
        "empty frames": frame(b"") * 500,
    }[kind]


KINDS = [
    "torn", "torn in the header", "wrong checksum", "random", "magic only", "longer than it is", "longest payload", "huge",
    "empty frames"]


@pytest.mark.parametrize("kind", KINDS)
def test_garbage_in_both_pipes(launch: Launch, host: AgentHost, kind: str) -> None:
    """While the driver lives, and before the next one comes."""
    first = launch()
    task, other = paused(host, first), paused(host, first)
    before = task.inspect()
    for pipe in ("control", "events"):
        put(folder_of(task) / pipe, garbage(kind))
    drained(task, "control", "events")
    task.signal("SIGCONT")
    assert task.inspect() == before
    first.kill()
    for pipe in ("control", "events"):
        put(folder_of(task) / pipe, garbage(kind))
    drained(task)
    second = successor(launch, first)
    with Duration() as duration:
        recover(second, task, other)
    assert duration.seconds < scaled(ANSWER_SECONDS - 1)
    assert task.inspect() == before
    put(folder_of(task) / "control", garbage(kind))
    drained(task)
    ends_well(task)
    ends_well(other)


def test_unknown_requests_and_events(launch: Launch, host: AgentHost) -> None:
    """What only a later release knows is passed over."""
    first = launch()
    task = paused(host, first)
    # Field 15, a message: no request and no event has it.
    unknown = frame(b"\x08\x05\x7a\x03abc")
    put(folder_of(task) / "control", unknown * 20)
    put(folder_of(task) / "events", unknown * 20)
    task.signal("SIGCONT")
    ends_well(task)


# An Executor that does not answer


def test_stopped_executor(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task, other = paused(host, plugin), paused(host, plugin)
    executor = task.executor_pid
    with Stopped(executor):
        waiting = task.wait_soon(60)
        signal = messages.driver.SignalTaskRequest(task_id=task.id, signal="SIGCONT")
        calls = [plugin.driver.SignalTask.future(signal, timeout=scaled(60)) for _ in range(5)]
        # Meanwhile nobody else waits.
        with Duration() as others:
            other.signal("SIGCONT")
            assert host.task(plugin, host.program("act"), ["exit=3"]).run() == ExitResult(3)
            assert task.inspect().task.state == messages.driver.RUNNING
        assert others.seconds < scaled(ANSWER_SECONDS - 2)
        with Duration() as duration:
            for call in calls:
                with refused(task.id, str(executor), "SIGCONT", code=Code.UNAVAILABLE):
                    call.result()
        assert duration.seconds < scaled(BOUND)
        assert not waiting.done()
    ends_well(task)
    assert Task.result_of(waiting.result()) == ExitResult(143, 15)
    ends_well(other)


def test_stopped_executor_is_recovered(launch: Launch, host: AgentHost) -> None:
    """An error would make the host start the task twice."""
    first = launch()
    task, other = paused(host, first), paused(host, first)
    before = task.inspect()
    with Stopped(task.executor_pid):
        second = successor(launch, first)
        with Duration() as duration:
            answer = recover_soon(second, task)
            with Duration() as others:
                recover(second, other)
                other.signal("SIGCONT")
            answer.result()
        assert others.seconds < scaled(ANSWER_SECONDS - 2)
        assert duration.seconds < scaled(BOUND)
        assert task.inspect() == before
    ends_well(task)
    ends_well(other)


def test_stop_of_a_task_with_a_stopped_executor(launch: Launch, host: AgentHost) -> None:
    """Who stops a task wants it gone."""
    plugin = launch()
    task, other = paused(host, plugin), paused(host, plugin)
    pid = task.pid
    with Stopped(task.executor_pid), Duration() as duration:
        task.stop(timeout=0.1)
        assert not processes.is_alive(pid)
    assert duration.seconds < scaled(BOUND)
    assert lost_result(task, "supervisor") == LOST
    assert not cgroups.populated(task.scope)
    ends_well(other)


def test_full_control_pipe(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task, other = paused(host, plugin), paused(host, plugin)
    before, executor = task.inspect(), task.executor_pid
    with Stopped(executor):
        assert put(folder_of(task) / "control", random.Random(21).randbytes(1 << 20)) >= 60_000
        with Duration() as duration, refused(task.id, "does not read", str(executor), "SIGCONT", code=Code.UNAVAILABLE):
            task.signal("SIGHUP")
        assert duration.seconds < scaled(BOUND)
        other.signal("SIGCONT")
        assert task.inspect() == before
    drained(task)
    ends_well(task)
    ends_well(other)


def test_full_control_pipe_and_a_new_driver(launch: Launch, host: AgentHost) -> None:
    first = launch()
    task = paused(host, first)
    before = task.inspect()
    with Stopped(task.executor_pid):
        put(folder_of(task) / "control", random.Random(22).randbytes(1 << 20))
        second = successor(launch, first)
        with Duration() as duration:
            recover(second, task)
        assert duration.seconds < scaled(BOUND)
        assert task.inspect() == before
    drained(task)
    ends_well(task)


# Pipes that are none


def replace(path: Any, by: str) -> None:
    path.unlink()
    if by == "file":
        path.write_bytes(b"x" * 100)
    elif by == "folder":
        path.mkdir()
    elif by == "symlink":
        path.symlink_to("/dev/null")


@pytest.mark.parametrize("by", ["file", "folder", "symlink", "nothing"])
@pytest.mark.parametrize("pipe", ["control", "events"])
def test_pipe_replaced(launch: Launch, host: AgentHost, pipe: str, by: str) -> None:
    """The driver that has it open goes on; the next one says what is wrong, and
    can still end the task when the host stops or destroys it."""
    first = launch()
    task, other = paused(host, first), paused(host, first)
    pid, executor = task.pid, task.executor_pid
    path = folder_of(task) / pipe
    replace(path, by)
    task.signal("SIGCONT")
    second = successor(launch, first)
    with Duration() as duration:
        with refused(task.id, str(path), code=Code.UNAVAILABLE):
            recover(second, task)
        with refused(task.id, str(path), code=Code.UNAVAILABLE):
            task.destroy(force=False)
    assert duration.seconds < scaled(BOUND)
    assert processes.is_alive(pid) and processes.is_alive(executor)
    recover(second, other)
    ends_well(other)
    with Duration() as duration:
        if pipe == "control":
            task.stop()
            assert lost_result(task, "supervisor") == LOST
        task.destroy(force=True)
    assert duration.seconds < scaled(BOUND)
    assert not processes.is_alive(pid) and not processes.is_alive(executor)
    assert not cgroups.populated(task.scope)
    with refused("task not found", code=Code.NOT_FOUND):
        task.inspect()
    other.destroy()
    assert not folder_of(task).exists()


def test_pipe_replaced_by_what_somebody_wants_to_keep(launch: Launch, host: AgentHost) -> None:
    """Nothing of a stranger's is removed: the error names it, and the call can be repeated."""
    plugin = launch()
    task = paused(host, plugin)
    path = folder_of(task) / "events"
    replace(path, "folder")
    (path / "notes").touch()
    with refused(task.id, str(path), "not empty", code=Code.INTERNAL):
        task.destroy(force=True)
    (path / "notes").unlink()
    task.destroy(force=True)
    assert not folder_of(task).exists()


def test_folder_removed_under_a_running_task(launch: Launch, host: AgentHost) -> None:
    """Somebody cleared the state folder: the driver that has the task goes on."""
    plugin = launch()
    task, other = paused(host, plugin), paused(host, plugin)
    folder = folder_of(task)
    for entry in folder.iterdir():
        entry.unlink()
    folder.rmdir()
    task.signal("SIGCONT")
    task.stop(signal="SIGTERM")
    assert lost_result(task, "lost") == LOST
    task.destroy()
    ends_well(other)
