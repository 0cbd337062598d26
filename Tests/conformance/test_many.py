"""Two hundred tasks at once, of which nothing is left."""

from __future__ import annotations

import os
from typing import Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, mounts, processes
from agent.host import state_directories
from agent.restart import recover, successor
from agent.timing import wait_until

COUNT = 200
KINDS = [
    (lambda n: [f"out=task {n}", f"exit={n % 100}"], lambda n: ExitResult(n % 100)),
    (lambda n: [f"out=task {n}", "sleep=200", "raise=15"], lambda n: ExitResult(143, 15)),
    (lambda n: [f"out=task {n}", f"sleep={n}", "exit=0"], lambda n: ExitResult(0)),
    (lambda n: [f"out=task {n}", "raise=9"], lambda n: ExitResult(137, 9)),
]
USERS = [f"nomad-{80000 + n}" for n in range(50)] + ["nobody", "root"]


def threads(pid: int) -> int:
    return int(processes.status(pid, "Threads"))


@pytest.mark.parametrize("round_", [1, 2])
def test_two_hundred_in_parallel(launch: Callable[..., Plugin], host: AgentHost, round_: int) -> None:
    plugin = launch()
    # What the plugin makes once exists after a first task.
    host.task(plugin, host.program("act"), ["exit=0"]).run()
    host.clean_tasks()
    assert host.leftovers(plugin) == []
    before = {
        "descriptors": len(processes.descriptors(plugin.pid)), "below": len(plugin.executors()),
        "states": len(state_directories(plugin)), "mounts": len(mounts.below(host.root)), "plugin's mounts": len(mounts.below(host.root, plugin.pid)),
        "scopes": len(os.listdir(host.slice.share)),
    }

    tasks: list[Task] = []
    for number in range(COUNT):
        verbs, _ = KINDS[number % len(KINDS)]
        tasks.append(host.task(plugin, host.program("act"), verbs(number), user=USERS[number % len(USERS)]))
    starts = [task.start_soon(120) for task in tasks]
    for task, start in zip(tasks, starts):
        task.took(start.result())
    waits = [task.wait_soon(120) for task in tasks]
    assert threads(plugin.pid) < 64
    for number, (task, wait) in enumerate(zip(tasks, waits)):
        assert Task.result_of(wait.result()) == KINDS[number % len(KINDS)][1](number), f"task {number}"
        task.stdout.wait_end(60)
        assert task.stdout.text == f"task {number}\n"
    for task in tasks:
        task.destroy(force=False)
        task.scope.rmdir()
    assert host.clean_tasks() == []

    def after() -> dict[str, int]:
        return {
            "descriptors": len(processes.descriptors(plugin.pid)), "below": len(plugin.executors()),
            "states": len(state_directories(plugin)), "mounts": len(mounts.below(host.root)), "plugin's mounts": len(mounts.below(host.root, plugin.pid)),
            "scopes": len([name for name in os.listdir(host.slice.share) if name.endswith(".scope")]),
        }

    before["scopes"] = 0
    # gRPC keeps a few descriptors of its own for threads that it started.
    wait_until(lambda: all(after()[key] <= before[key] + (8 if key == "descriptors" else 0) for key in before), 10,
               f"nothing left of {COUNT} tasks: before {before}, after {after()}")


def test_two_hundred_alive_at_once(launch: Callable[..., Plugin], host: AgentHost) -> None:
    """All run at the same time and are stopped in parallel. The driver has three descriptors for each, also after a recovery:
    the two pipes, of which one is the lock, and a pidfd."""
    plugin = launch()
    idle = len(processes.descriptors(plugin.pid))
    tasks = [host.task(plugin, host.program("act"), ["out=up", "pause="]) for _ in range(COUNT)]
    for task, start in [(task, task.start_soon(120)) for task in tasks]:
        task.took(start.result())
    for task in tasks:
        task.stdout.wait_for("up", 60)
    assert len({task.pid for task in tasks}) == COUNT

    def held() -> tuple[int, int]:
        """Descriptors that lead into state directories, and all others that an idle driver has not."""
        found = processes.descriptors(plugin.pid).values()
        pipes = sum(path.startswith(str(plugin.state_dir)) for path in found)
        return pipes, len(found) - pipes - idle

    for is_recovered in (False, True):
        if is_recovered:
            plugin = successor(launch, plugin)
            recover(plugin, *tasks)
        pipes, others = held()
        assert pipes == 2 * COUNT
        # A few of gRPC's, the standby Executor's and the template's.
        assert COUNT <= others <= COUNT + 24
    for stop in [task.stop_soon(timeout=30, signal="SIGTERM", seconds=120) for task in tasks]:
        stop.result()
    assert {task.wait() for task in tasks} == {ExitResult(143, 15)}


def test_a_task_has_all_numbers_of_descriptors(launch: Callable[..., Plugin], host: AgentHost) -> None:
    """A child leaves the descriptors that it shares with the driver. Kernels before August 2024 then take numbers for used that the
    driver uses (CVE-2024-45025): the 65th file would have the number behind the driver's last, or none."""
    plugin = launch()
    for _ in range(60):
        host.paused(plugin)
    assert len(processes.descriptors(plugin.pid)) > 192
    task = host.task(plugin, "/usr/bin/python3", ["-c", "import os; print(*[os.open('/dev/null', os.O_RDONLY) for _ in range(100)])"])
    assert task.run() == ExitResult(0), task.stderr.text
    numbers = [int(word) for word in task.stdout.text.split()]
    assert numbers == list(range(numbers[0], numbers[0] + 100))


def test_one_after_another_leaks_nothing(launch: Callable[..., Plugin], host: AgentHost) -> None:
    plugin = launch()
    counts = []
    for number in range(60):
        task = host.task(plugin, host.program("act"), ["exit=0"])
        task.run()
        assert host.clean_tasks() == []
        # It is spawned behind the start's answer, and takes descriptors until it is there.
        plugin.await_standby()
        if number >= 10:
            counts.append(len(processes.descriptors(plugin.pid)))
    assert max(counts[-10:]) <= max(counts[:10]) + 2, counts
