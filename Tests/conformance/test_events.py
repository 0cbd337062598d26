"""TaskEvents: what is out of the ordinary shows up in `alloc status`, and nothing else does."""

from __future__ import annotations

import threading
from typing import Any, Callable

import pytest

from agent import AgentHost, Plugin, Task, messages
from agent.timing import scaled

Act = Callable[..., Task]
Driver = messages.driver


def stream(plugin: Plugin) -> Any:
    return plugin.driver.TaskEvents(Driver.TaskEventsRequest(), timeout=scaled(60))


def about(events: Any, task: Task) -> Any:
    """The next event of this task."""
    return next(event for event in events if event.task_id == task.id)


@pytest.fixture
def fresh(launch: Callable[..., Plugin]) -> Plugin:
    """A plugin without events of other tests."""
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
    import os
    import signal

    events = stream(fresh)
    task = host.task(fresh, host.program("act"), ["out=up", "pause="]).start()
    task.stdout.wait_for("up")
    os.kill(task.executor_pid, signal.SIGKILL)
    assert "supervisor" in about(events, task).message


def test_none_is_lost_between_two_streams(fresh: Plugin, host: AgentHost) -> None:
    """What happens while nobody listens is told to the next who does, once."""
    first = stream(fresh)
    one = host.task(fresh, "no-such-command")
    one.run()
    about(first, one)
    first.cancel()
    two, three = host.task(fresh, "no-such-command"), host.task(fresh, "no-such-command")
    two.run()
    three.run()
    second = stream(fresh)
    assert [next(second).task_id, next(second).task_id] == [two.id, three.id]


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
    events_of_last = lambda: last.id in seen  # noqa: E731
    from agent.timing import wait_until

    wait_until(events_of_last, 5, "the event of the last task")
    events.cancel()
    listener.join()
    assert seen == [last.id]


@pytest.mark.controllers
def test_out_of_memory(fresh: Plugin, host: AgentHost) -> None:
    """The event names the limit and the peak."""
    events = stream(fresh)
    task = host.task(fresh, host.program("act"), ["memory=128", "exit=0"], memory=32)
    assert task.run().oom_killed
    message = about(events, task).message
    assert "32 MB" in message and "memory.max" in message
