"""An OOM kill is reported as such, whether or not a Driver ran when it happened."""

from __future__ import annotations

from typing import Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages, processes
from agent.timing import scaled, wait_until

pytestmark = pytest.mark.controllers
KILLED = ExitResult(137, 9, oom_killed=True)


@pytest.fixture
def greedy(host: AgentHost, launch: Callable[..., Plugin]) -> Callable[[str], tuple[Task, Callable[[], Plugin]]]:
    """A task that uses too much memory once a file exists, and a function that relaunches its Driver."""
    state_dir = str(host.make_state_dir())

    def start(*verbs: str) -> tuple[Task, Callable[[], Plugin]]:
        plugin = launch({"state_dir": state_dir})
        task = host.task(plugin, host.program("act"), ["out=up", *verbs], memory=32).start()
        task.stdout.wait_for("up")

        def recover() -> Plugin:
            task.plugin = launch({"state_dir": state_dir})
            request = messages.driver.RecoverTaskRequest(task_id=task.id, handle=task.handle)
            task.plugin.driver.RecoverTask(request, timeout=scaled(30))
            return task.plugin

        return task, recover

    return start


Greedy = Callable[..., tuple[Task, Callable[[], Plugin]]]


def test_killed_while_no_driver_runs(greedy: Greedy) -> None:
    task, recover = greedy(f"sleep={scaled(1) * 1000:.0f}", "memory=160", "pause=")
    pid = task.pid
    task.plugin.kill()
    wait_until(lambda: not processes.is_alive(pid), 20, "the task was OOM-killed")
    recover()
    assert task.wait() == KILLED
    assert task.inspect().task.result.oom_killed


def test_killed_after_recovery(greedy: Greedy) -> None:
    task, recover = greedy("block=10", "await=10", "memory=160", "pause=")
    task.plugin.kill()
    recover()
    task.signal("SIGUSR1")
    assert task.wait() == KILLED


def test_killed_before_the_driver(greedy: Greedy) -> None:
    task, recover = greedy("memory=160", "pause=")
    assert task.wait() == KILLED
    task.plugin.kill()
    recover()
    assert task.wait() == KILLED


def test_event_after_recovery_names_limit_and_peak(greedy: Greedy) -> None:
    """The Executor records them at the end: the cgroup may be removed before the next Driver sends the event."""
    task, recover = greedy("memory=160", "pause=")
    assert task.wait() == KILLED
    task.plugin.kill()
    task.scope.rmdir()
    plugin = recover()
    # The agent does this after every recovery, and only then accepts events.
    assert task.wait() == KILLED
    events = plugin.driver.TaskEvents(messages.driver.TaskEventsRequest(), timeout=scaled(30))
    message = next(event.message for event in events if event.task_id == task.id)
    assert "limit is 32 MB" in message and "used is 32 MB" in message


@pytest.mark.parametrize("recovered", [False, True])
def test_sigkill_is_not_an_oom_kill(greedy: Greedy, recovered: bool) -> None:
    task, recover = greedy("memory=16", "pause=")
    if recovered:
        task.plugin.kill()
        recover()
    task.signal("SIGKILL")
    assert task.wait() == ExitResult(137, 9, oom_killed=False)


def test_earlier_kill_in_the_same_cgroup_does_not_count(host: AgentHost, launch: Callable[..., Plugin]) -> None:
    """The client reuses a task's cgroup when it restarts the task."""
    plugin = launch({})
    first = host.task(plugin, host.program("act"), ["memory=160", "exit=0"], memory=32)
    assert first.run() == KILLED
    first.destroy()
    second = host.task(plugin, host.program("act"), ["out=up", "pause="], memory=32)
    second.request.task.resources.linux_resources.cpuset_cgroup = str(first.scope)
    second.start()
    second.stdout.wait_for("up")
    second.signal("SIGKILL")
    assert second.wait() == ExitResult(137, 9, oom_killed=False)


def test_memory_limit_alone_is_no_kill(greedy: Greedy) -> None:
    task, recover = greedy("block=10", "await=10", "exit=3")
    task.plugin.kill()
    recover()
    task.signal("SIGUSR1")
    assert task.wait() == ExitResult(3, 0, oom_killed=False)
