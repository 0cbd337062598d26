"""Unexpected data in a task's pipes, or other files in their place, harm neither that task nor another."""

from __future__ import annotations

import random
import time
from typing import Any, Callable

import pytest

from agent import AgentHost, Plugin, cgroups, messages, processes
from agent.expect import Code, refused
from agent.restart import LOST, Stopped, lost_result, recover, successor
from agent.state import directory_of, frame, put
from agent.timing import scaled
from sessions import BOUND, Duration, PROMPT, drained, ends_well

Launch = Callable[..., Plugin]


# Data in the pipes


def stale_events(count: int) -> bytes:
    """Answers and events of past sessions, with the request numbers that a new driver uses."""
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
    task = host.paused(first)
    before = task.inspect()
    first.kill()
    put(directory_of(task) / "events", stale_events(20))
    second = successor(launch, first)
    recover(second, task)
    assert task.inspect() == before
    assert not task.wait_soon().done()
    put(directory_of(task) / "events", stale_events(20))
    with refused("SIGNONE"):
        task.signal("SIGNONE")
    assert task.inspect() == before
    ends_well(task)


def test_stale_answers_while_a_request_waits(launch: Launch, host: AgentHost) -> None:
    """They have the number of the request that waits, and another session. Seen without the comparison of sessions: the
    signal was refused, with an error that the Executor had not sent."""
    first = launch()
    task = host.paused(first)
    first.kill()
    recover(successor(launch, first), task)
    request = messages.driver.SignalTaskRequest(task_id=task.id, signal="SIGCONT")
    with Stopped(task.executor_pid):
        call = task.plugin.driver.SignalTask.future(request, timeout=scaled(30))
        put(directory_of(task) / "events", stale_events(20))
        time.sleep(0.3)
        assert not call.done()
    call.result()
    ends_well(task)


def test_events_pipe_full_of_stale_events(launch: Launch, host: AgentHost) -> None:
    """The answer to hello needs space: the new driver empties the pipe before it sends hello."""
    first = launch()
    task = host.paused(first)
    before = task.inspect()
    first.kill()
    written = put(directory_of(task) / "events", stale_events(200) * 4)
    assert written >= 60_000
    second = successor(launch, first)
    with Duration() as duration:
        recover(second, task)
    assert duration.seconds < PROMPT
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
    """While the driver runs, and before the next one starts."""
    first = launch()
    task, other = host.paused(first), host.paused(first)
    before = task.inspect()
    for pipe in ("control", "events"):
        put(directory_of(task) / pipe, garbage(kind))
    drained(task, "control", "events")
    task.signal("SIGCONT")
    assert task.inspect() == before
    first.kill()
    for pipe in ("control", "events"):
        put(directory_of(task) / pipe, garbage(kind))
    drained(task)
    second = successor(launch, first)
    with Duration() as duration:
        recover(second, task, other)
    assert duration.seconds < PROMPT
    assert task.inspect() == before
    put(directory_of(task) / "control", garbage(kind))
    drained(task)
    ends_well(task)
    ends_well(other)


def test_unknown_requests_and_events(launch: Launch, host: AgentHost) -> None:
    """Messages that only a later release knows are ignored."""
    first = launch()
    task = host.paused(first)
    # Field 15, a message, which no request and no event has.
    unknown = frame(b"\x08\x05\x7a\x03abc")
    put(directory_of(task) / "control", unknown * 20)
    put(directory_of(task) / "events", unknown * 20)
    task.signal("SIGCONT")
    ends_well(task)


# Other files in the place of pipes


def replace(path: Any, by: str) -> None:
    path.unlink()
    if by == "file":
        path.write_bytes(b"x" * 100)
    elif by == "directory":
        path.mkdir()
    elif by == "symlink":
        path.symlink_to("/dev/null")


@pytest.mark.parametrize("by", ["file", "directory", "symlink", "nothing"])
@pytest.mark.parametrize("pipe", ["control", "events"])
def test_pipe_replaced(launch: Launch, host: AgentHost, pipe: str, by: str) -> None:
    """The driver that has it open continues, and the next one takes the pipes that the Executor has open. Seen before:
    RecoverTask failed, upon which an agent destroys the task and starts it anew."""
    first = launch()
    task, other = host.paused(first), host.paused(first)
    pid, executor = task.pid, task.executor_pid
    replace(directory_of(task) / pipe, by)
    task.signal("SIGCONT")
    second = successor(launch, first)
    with Duration() as duration:
        recover(second, task, other)
    assert duration.seconds < BOUND
    assert (task.pid, task.executor_pid) == (pid, executor) and processes.is_alive(pid)
    task.signal("SIGCONT")
    ends_well(task)
    ends_well(other)
    assert not processes.is_alive(pid) and not cgroups.populated(task.scope)
    task.destroy()
    other.destroy()
    assert not directory_of(task).exists()


def test_pipe_replaced_by_a_directory_with_files(launch: Launch, host: AgentHost) -> None:
    """Files that are not the driver's are not removed: the error names the directory, and the call can be repeated."""
    plugin = launch()
    task = host.paused(plugin)
    path = directory_of(task) / "events"
    replace(path, "directory")
    (path / "notes").touch()
    with refused(task.id, str(path), "not empty", code=Code.INTERNAL):
        task.destroy(force=True)
    (path / "notes").unlink()
    task.destroy(force=True)
    assert not directory_of(task).exists()


def test_directory_removed_under_a_running_task(launch: Launch, host: AgentHost) -> None:
    """The state directory was deleted: the driver that has the task continues."""
    plugin = launch()
    task, other = host.paused(plugin), host.paused(plugin)
    directory = directory_of(task)
    for entry in directory.iterdir():
        entry.unlink()
    directory.rmdir()
    task.signal("SIGCONT")
    task.stop(signal="SIGTERM")
    assert lost_result(task, "lost") == LOST
    task.destroy()
    ends_well(other)
