"""TaskEvents: what is unusual shows up in `alloc status`, and nothing else does."""

from __future__ import annotations

import os
import re
import signal
import threading
from typing import Any, Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages, processes
from agent.file_systems import DeadFileSystem
from agent.timing import scaled, wait_until

Act = Callable[..., Task]
Driver = messages.driver


def stream(plugin: Plugin) -> Any:
    return plugin.driver.TaskEvents(Driver.TaskEventsRequest(), timeout=scaled(60))


def about(events: Any, task: Task) -> Any:
    """The next event of this task."""
    return next(event for event in events if event.task_id == task.id)


@pytest.fixture
def fresh(launch: Callable[..., Plugin]) -> Plugin:
    """A plugin that has no events of other tests."""
    return launch({"unveil_by_task": True})


def test_command_not_found(fresh: Plugin, host: AgentHost) -> None:
    events = stream(fresh)
    task = host.task(fresh, "no-such-command")
    task.run()
    event = about(events, task)
    assert (event.alloc_id, event.task_name) == (task.alloc_id, task.name)
    assert "no-such-command" in event.message and "not found" in event.message and "127" in event.message
    assert event.timestamp.ToNanoseconds() > 0


def test_command_not_executable(fresh: Plugin, host: AgentHost) -> None:
    events = stream(fresh)
    task = host.task(fresh, "/etc/hosts")
    task.run()
    event = about(events, task)
    assert "/etc/hosts" in event.message and "Permission denied" in event.message and "126" in event.message


def test_lost_supervisor(fresh: Plugin, host: AgentHost) -> None:
    events = stream(fresh)
    task = host.task(fresh, host.program("act"), ["out=up", "pause="]).start()
    task.stdout.wait_for("up")
    os.kill(task.executor_pid, signal.SIGKILL)
    assert "supervisor" in about(events, task).message


def test_none_is_lost_between_two_streams(fresh: Plugin, host: AgentHost) -> None:
    """Events of the time without a stream are sent to the next stream."""
    first = stream(fresh)
    one = host.task(fresh, "no-such-command")
    one.run()
    about(first, one)
    first.cancel()
    two, three = host.task(fresh, "no-such-command"), host.task(fresh, "no-such-command")
    two.run()
    three.run()
    seen = []
    for event in stream(fresh):
        seen.append(event.task_id)
        if event.task_id == three.id:
            break
    # At-least-once delivery: an event at the very end of a stream may be sent again.
    assert seen in ([two.id, three.id], [one.id, two.id, three.id])


def test_none_is_lost_where_streams_overlap(fresh: Plugin, host: AgentHost) -> None:
    """A killed agent's stream may not have ended when the next one begins."""
    first, second = stream(fresh), stream(fresh)
    one = failing(fresh, host)
    assert next(first).task_id == next(second).task_id == one.id
    first.cancel()
    two = failing(fresh, host)
    assert next(second).task_id == two.id
    second.cancel()
    three = failing(fresh, host)
    assert about(stream(fresh), three).task_id == three.id


def failing(plugin: Plugin, host: AgentHost) -> Task:
    task = host.task(plugin, "no-such-command")
    task.run()
    return task


def test_an_end_without_a_driver_is_told_by_the_next(launch: Callable[..., Plugin], host: AgentHost) -> None:
    state_dir = str(host.make_state_dir())
    plugin = launch({"state_dir": state_dir})
    task = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    task.stdout.wait_for("up")
    executor = task.executor_pid
    plugin.kill()
    os.kill(executor, signal.SIGKILL)
    wait_until(lambda: not processes.is_alive(executor), 10, "the Executor has ended")
    task.plugin = launch({"state_dir": state_dir})
    request = messages.driver.RecoverTaskRequest(task_id=task.id, handle=task.handle)
    task.plugin.driver.RecoverTask(request, timeout=scaled(30))
    # The agent does this after every recovery, and only then accepts events.
    task.wait_soon().result()
    assert "supervisor" in about(stream(task.plugin), task).message


def watched(task: Task) -> Task:
    """Returns when the plugin watches both logs of a running task, which it begins after the answer to StartTask."""
    inodes = {os.stat(path).st_ino for path in (task.stdout_path, task.stderr_path)}

    def found() -> set[int]:
        marks = re.findall(r"^inotify wd:\S+ ino:(\w+)", processes.descriptor_facts(task.plugin.pid), re.MULTILINE)
        return {int(mark, 16) for mark in marks}

    wait_until(lambda: inodes <= found(), 60, "the logs watched")
    return task


def test_log_collector_that_is_gone(fresh: Plugin, host: AgentHost) -> None:
    """An event for one that does not return, once; none for one that returns, or for another reader that has left."""
    def make() -> Task:
        task = host.task(fresh, host.program("act"), ["out=up", "block=10", "await=10", "exit=0"]).start()
        task.stdout.wait_for("up")
        return watched(task)

    events = stream(fresh)
    gone, restarted, looked_at, ended = make(), make(), make(), make()
    for task in (gone, restarted):
        task.stdout.leave()
    restarted.stdout.come_back()
    os.close(os.open(looked_at.stdout_path, os.O_RDONLY | os.O_NONBLOCK))
    ended.signal("SIGUSR1")
    ended.wait()
    ended.stdout.leave()
    event = next(events)
    names = {task.id: name for task, name in
             [(gone, "gone"), (restarted, "restarted"), (looked_at, "looked at"), (ended, "ended")]}
    assert event.task_id == gone.id, f"{names.get(event.task_id)}: {event.message}"
    assert str(gone.stdout_path) in event.message and "log collector" in event.message and "64 KiB" in event.message
    # It returns without having missed anything, and leaves again: this has an event of its own.
    gone.stdout.come_back()
    gone.stdout.leave()
    assert next(events).task_id == gone.id
    gone.stdout.come_back()
    last = failing(fresh, host)
    assert next(events).task_id == last.id
    for task in (gone, restarted, looked_at):
        task.signal("SIGUSR1")
        assert task.wait() == ExitResult(0)


def test_log_collector_that_went_without_a_driver(launch: Callable[..., Plugin], host: AgentHost) -> None:
    state_dir = str(host.make_state_dir())
    plugin = launch({"state_dir": state_dir})
    tasks = [host.task(plugin, host.program("act"), ["out=up", "pause="]).start() for _ in range(2)]
    for task in tasks:
        task.stdout.wait_for("up")
    plugin.kill()
    tasks[0].stderr.leave()
    plugin = launch({"state_dir": state_dir})
    waits = []
    for task in tasks:
        task.plugin = plugin
        request = messages.driver.RecoverTaskRequest(task_id=task.id, handle=task.handle)
        plugin.driver.RecoverTask(request, timeout=scaled(30))
        waits.append(task.wait_soon())
    event = next(stream(plugin))
    assert event.task_id == tasks[0].id and str(tasks[0].stderr_path) in event.message
    assert not any(wait.done() for wait in waits)


@pytest.mark.fuse
def test_a_dead_file_system_does_not_hold_the_search_up(fresh: Plugin, host: AgentHost) -> None:
    """A process of the host has a file open on a file system that does not answer. Seen before the search compared the
    names of descriptors first: it blocked in stat(2), and no such event ever came again."""
    events = stream(fresh)
    with DeadFileSystem(host.root / "dead") as dead:
        held = os.open(dead.directory, os.O_PATH)
        try:
            task = host.task(fresh, host.program("act"), ["out=up", "pause="]).start()
            task.stdout.wait_for("up")
            watched(task).stdout.leave()
            assert next(events).task_id == task.id
        finally:
            os.close(held)
    task.stop(signal="SIGKILL")


@pytest.mark.controllers
def test_raised_limit(fresh: Plugin, host: AgentHost) -> None:
    """5 MHz of a core with 2000 MHz are 250 µs in 100 ms, and the kernel accepts no less than 1000. An operator cannot act
    upon that; before, each such task had an event and a warning."""
    events = stream(fresh)
    task = host.task(fresh, host.program("act"), ["out=up", "pause="], cpu=5).start()
    assert (task.scope / "cpu.max").read_text() == "1000 100000\n"
    task.stop(timeout=0)
    last = failing(fresh, host)
    assert next(events).task_id == last.id
    assert [entry for entry in fresh.log if entry["@level"] in ("warn", "error")] == []


def test_the_ordinary_is_no_event(fresh: Plugin, host: AgentHost) -> None:
    events = stream(fresh)
    seen: list[str] = []

    def listen() -> None:
        try:
            for event in events:
                seen.append(event.task_id)
        except Exception:  # the stream is cancelled at the end
            pass

    listener = threading.Thread(target=listen)
    listener.start()
    for end in ("exit=0", "exit=7"):
        host.task(fresh, host.program("act"), [end]).run()
    last = host.task(fresh, "no-such-command")
    last.run()
    events_of_last = lambda: last.id in seen
    wait_until(events_of_last, 5, "the event of the last task")
    events.cancel()
    listener.join()
    assert seen == [last.id]


@pytest.mark.controllers
def test_out_of_memory(fresh: Plugin, host: AgentHost) -> None:
    """The event names the limit and the peak, and so does the answer of WaitTask, which the agent uses as the message of
    its own event Terminated (Task.result_of checks that). Before, that event had no message."""
    events = stream(fresh)
    task = host.task(fresh, host.program("act"), ["memory=128", "exit=0"], memory=32)
    assert task.run().oom_killed
    message = about(events, task).message
    assert "32 MB" in message and "memory.max" in message and "used is 32 MB" in message
