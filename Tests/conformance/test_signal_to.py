"""Task option signal_to: whether signals are for the main process alone or for its process group. The last SIGKILL is for
all processes."""

from __future__ import annotations

import os
import signal
from typing import Any, Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, processes
from agent.expect import refused
from agent.restart import recover, successor
from agent.timing import scaled, wait_until

Make = Callable[..., Task]
Launch = Callable[..., Plugin]
ALONE = {"signal_to": "process"}
# Of signals that are pending at once, the one with the highest number is taken last.
LAST = signal.SIGRTMAX


def children_of(pid: int) -> list[int]:
    return [process.pid for process in processes.descendants(pid)]


def records_only_its_own(task: Task, numbers: list[int]) -> None:
    """The main process has recorded these, and its children nothing."""
    for number in numbers:
        task.stdout.wait_for(f"main {number}\n")
    children = children_of(task.pid)
    assert len(children) == 2
    for child in children:
        os.kill(child, LAST)
    for name in ("child1", "child2"):
        task.stdout.wait_for(f"{name} {LAST}\n")
    recorded = [line for line in task.lines() if not line.startswith(("ready", "main "))]
    assert sorted(recorded) == [f"child1 {LAST}", f"child2 {LAST}"]


def family(make: Make, host: AgentHost, **options: Any) -> Task:
    """A process that records signals, and two children that do."""
    task = make(host.program("recorder"), ["2"], **options).start()
    for name in ("main", "child1", "child2"):
        task.stdout.wait_for(f"ready {name}\n")
    return task


@pytest.mark.parametrize("user", ["nomad-80000", "nobody", "root"])
def test_the_main_process_alone(make: Make, host: AgentHost, user: str) -> None:
    task = family(make, host, config=ALONE, user=user)
    for name in ("SIGHUP", "SIGINT", "SIGUSR1", "SIGTERM", "SIGWINCH"):
        task.signal(name)
    records_only_its_own(task, [1, 2, 10, 15, 28])
    task.stop(signal="SIGKILL")


@pytest.mark.parametrize("config", [{}, {"signal_to": "group"}], ids=["default", "group"])
def test_the_group(make: Make, host: AgentHost, config: dict[str, str]) -> None:
    task = family(make, host, config=config)
    for number in (1, 15):
        task.signal(str(number))
        for name in ("main", "child1", "child2"):
            task.stdout.wait_for(f"{name} {number}\n")
    task.stop(signal="SIGKILL")


def test_the_stop_signal_too_and_the_last_kill_is_for_all(make: Make, host: AgentHost) -> None:
    task = family(make, host, config=ALONE)
    pids = [task.pid, *children_of(task.pid)]
    stopping = task.stop_soon(timeout=scaled(3), signal="SIGTERM")
    records_only_its_own(task, [15])
    assert all(processes.is_alive(pid) for pid in pids)
    stopping.result()
    assert task.wait() == ExitResult(137, 9)
    assert not any(processes.is_alive(pid) for pid in pids) and not cgroups.populated(task.scope)


def test_what_is_left_by_the_main_process_is_killed(make: Make, host: AgentHost) -> None:
    """Its children ignore the signal that ends it."""
    script = f"{host.program('recorder')} 1 & trap 'exit 7' TERM; while :; do wait; done"
    task = make("sh", ["-c", script], config=ALONE).start()
    task.stdout.wait_for("ready child1")
    pids = children_of(task.pid)
    task.stop(timeout=60, signal="SIGTERM")
    assert task.wait() == ExitResult(7)
    assert len(pids) == 2 and not any(processes.is_alive(pid) for pid in pids)
    assert "main 15" not in task.lines()


def test_default_disposition(act: Make) -> None:
    """The main process is not PID 1 of its namespace: a signal without a handler ends it."""
    task = act("tree=2", "out=up", "pause=", config=ALONE).start()
    task.stdout.wait_for("up")
    task.signal("SIGHUP")
    assert task.wait() == ExitResult(129, 1)


def test_a_shell_waits_for_the_child_that_did_not_get_it(make: Make, host: AgentHost) -> None:
    """As a shell's manual says; with the group the child ends, and so the trap runs."""
    script = f"trap 'echo trapped; exit 3' TERM; {host.program('act')} out=up pause=; echo after"
    task = make("sh", ["-c", script], config=ALONE).start()
    task.stdout.wait_for("up")
    task.stop(timeout=0.3, signal="SIGTERM")
    assert task.wait() == ExitResult(137, 9)
    assert task.lines() == ["up"]

    task = make("sh", ["-c", script]).start()
    task.stdout.wait_for("up")
    task.stop(timeout=60, signal="SIGTERM")
    assert task.wait() == ExitResult(3)
    assert task.lines() == ["up", "trapped"]


def test_stop_and_continue(make: Make, host: AgentHost) -> None:
    task = family(make, host, config=ALONE)
    pid, children = task.pid, children_of(task.pid)

    def state(pid: int) -> str:
        process = processes.look(pid)
        assert process is not None
        return process.state

    task.signal("SIGSTOP")
    wait_until(lambda: state(pid) == "T", 5, "the main process to be stopped")
    assert all(state(child) != "T" for child in children)
    task.signal("SIGCONT")
    wait_until(lambda: state(pid) != "T", 5, "the main process to go on")
    task.stop(signal="SIGKILL")


def test_after_the_end(act: Make) -> None:
    task = act("exit=0", config=ALONE)
    task.run()
    with refused("not running"):
        task.signal("SIGHUP")
    task.stop(signal="SIGTERM")


@pytest.mark.parametrize("standby", [True, False])
def test_after_recovery(launch: Launch, host: AgentHost, standby: bool) -> None:
    """The Executor knows it, whichever driver asks, and does not take it from the task before."""
    plugin = launch({"standby_executor": standby})

    def make(command: Any, arguments: Any, **options: Any) -> Task:
        return host.task(plugin, command, arguments, **options)

    grouped, alone = family(make, host), family(make, host, config=ALONE)
    plugin = successor(launch, plugin)
    recover(plugin, grouped, alone)
    alone.signal("SIGUSR1")
    grouped.signal("SIGUSR1")
    for name in ("main", "child1", "child2"):
        grouped.stdout.wait_for(f"{name} 10\n")
    stopping = alone.stop_soon(timeout=scaled(3), signal="SIGTERM")
    records_only_its_own(alone, [10, 15])
    stopping.result()
    assert alone.wait() == ExitResult(137, 9)
    grouped.stop(signal="SIGKILL")
