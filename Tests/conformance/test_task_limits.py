"""pids_limit, oom_group and memory_swap: the files of the task's cgroup, and their effects."""

from __future__ import annotations

import time
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, hcl
from agent.expect import refused
from agent.timing import scaled, wait_until

Make = Callable[..., Task]
Launch = Callable[..., Plugin]


@pytest.fixture
def confined(host: AgentHost, make: Make) -> Make:
    def task(*verbs: str, **options: Any) -> Task:
        return make(host.program("confined"), verbs, **options)

    return task


def read(task: Task, name: str) -> str:
    return (task.scope / name).read_text().strip()


@pytest.fixture
def bare_host() -> Iterator[AgentHost]:
    """An agent in whose slice no controller is enabled."""
    host = AgentHost(with_controllers=False)
    yield host
    faults = host.close()
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("config, file", [({"pids_limit": 10}, "pids.max"), ({"oom_group": True}, "memory.oom.group")])
def test_without_its_controller(bare_host: AgentHost, config: dict[str, Any], file: str) -> None:
    """An error that names the file, never a task without its limit."""
    plugin = bare_host.launch()
    task = bare_host.task(plugin, bare_host.program("act"), ["out=ran"], config=config)
    with refused(file, str(task.scope), "controller"):
        task.start()
    assert task.stdout.text == ""
    unlimited = {"pids_limit": 0, "oom_group": False}
    assert bare_host.task(plugin, bare_host.program("act"), ["exit=5"], config=unlimited).run() == ExitResult(5)


@pytest.mark.parametrize("option, value, shown", [
    ("pids_limit", -1, "-1"), ("pids_limit", "10", "10"), ("pids_limit", 1.5, "1.5"), ("pids_limit", 4194305, "4194305"),
    ("pids_limit", [5], "5"), ("oom_group", 1, "1"), ("oom_group", "true", "true")])
def test_wrong_value(confined: Make, option: str, value: Any, shown: str) -> None:
    task = confined("out=ran")
    task.set_config(hcl.unchecked({**task.config, option: value}))
    with refused(option, shown):
        task.start()
    assert task.stdout.text == ""


# Processes


@pytest.mark.controllers
@pytest.mark.parametrize("user", ["nomad-80000", "root"])
@pytest.mark.parametrize("config, limit, outcome", [
    ({}, "max", "20 ok"), ({"pids_limit": 0}, "max", "20 ok"), ({"pids_limit": 8}, "8", "7 EAGAIN"), ({"pids_limit": 8.0}, "8", "7 EAGAIN")])
def test_processes(confined: Make, config: dict[str, Any], limit: str, outcome: str, user: str) -> None:
    """The main process counts."""
    task = confined("forks=20", "pause=", config=config, user=user).start()
    task.stdout.wait_for("forks")
    assert read(task, "pids.max") == limit
    assert task.line("forks") == outcome
    task.stop()


@pytest.mark.controllers
def test_threads_count_too(confined: Make, host: AgentHost, make: Make) -> None:
    code = ("import threading\nstarted = 0\ntry:\n  for _ in range(20):\n    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
            "    started += 1\nexcept RuntimeError: pass\nimport os\nprint('threads', started, flush=True)\nos._exit(0)")
    task = make("/usr/bin/python3", ["-c", code], config={"pids_limit": 8})
    assert task.run(60) == ExitResult(0), task.stderr.text
    assert task.line("threads") == "7"


@pytest.mark.controllers
@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_fork_bomb_is_contained(confined: Make, user: str) -> None:
    """It never exceeds its limit, the host stays usable, and one stop ends all of it. Not seen without the limit: the bomb
    would take every pid of the machine that runs the tests."""
    task = confined("bomb=", config={"pids_limit": 30}, user=user).start()
    wait_until(lambda: "max 0" not in read(task, "pids.events"), 30, "the limit is reached")
    for _ in range(5):
        assert int(read(task, "pids.current")) <= 30
        time.sleep(0.1)
    begin = time.monotonic()
    task.stop(timeout=0.5, signal="SIGUSR1")
    assert time.monotonic() - begin < scaled(5)
    assert cgroups.processes(task.scope) == []


# Memory


@pytest.mark.controllers
def test_without_oom_group_the_task_goes_on(confined: Make) -> None:
    """The kernel kills the child, which uses the most memory."""
    task = confined("eat=200", "out=after", memory=64)
    result = task.run(60)
    assert (result.exit_code, result.signal) == (0, 0)
    assert task.lines() == ["eat -1 9", "after"]


@pytest.mark.controllers
def test_with_oom_group_all_of_it_ends(confined: Make) -> None:
    task = confined("eat=200", "out=after", memory=64, config={"oom_group": True}).start()
    assert read(task, "memory.oom.group") == "1"
    assert task.wait(60) == ExitResult(137, 9, True)
    assert task.lines() == []


@pytest.mark.controllers
def test_swap(launch: Launch, host: AgentHost) -> None:
    """No swap without memory_swap, and unlimited swap with it."""

    def swap(plugin: Plugin, **options: Any) -> str:
        task = host.task(plugin, host.program("act"), ["out=up", "pause="], **options).start()
        task.stdout.wait_for("up")
        value = read(task, "memory.swap.max")
        task.stop()
        return value

    closed, open_ = launch(), launch({"memory_swap": True})
    assert (swap(closed, memory=64), swap(open_, memory=64)) == ("0", "max")
    assert (swap(closed, memory=64, memory_max=128), swap(open_, memory=64, memory_max=128)) == ("0", "max")
    assert (swap(closed), swap(open_)) == ("max", "max")


@pytest.mark.controllers
def test_swap_after_a_restart_with_another_config(launch: Launch, host: AgentHost) -> None:
    """The task has the same cgroup again: the value that was written before does not stay."""
    plugin = launch()
    task = host.task(plugin, host.program("act"), ["pause="], memory=64).start()
    assert read(task, "memory.swap.max") == "0"
    task.stop()
    task.destroy()
    plugin.set_config({**plugin.config, "memory_swap": True})
    task.start()
    assert read(task, "memory.swap.max") == "max"
    task.stop()
