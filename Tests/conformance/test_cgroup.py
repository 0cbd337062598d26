"""The cgroup: who is in it, which limits are written, and that they hold."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, processes
from agent.expect import refused
from agent.timing import scaled, wait_until

Make = Callable[..., Task]
MB = 1 << 20


def read(task: Task, name: str) -> str:
    return (task.scope / name).read_text().strip()


def running(task: Task) -> Task:
    task.start().stdout.wait_for("up")
    return task


def test_task_is_in_its_cgroup_and_the_executor_is_not(make: Make, host: AgentHost, plugin: Plugin) -> None:
    task = make(host.program("offspring"), ["group", "session", "daemon"]).start()
    for kind in ("main", "child group", "child session", "child daemon"):
        task.stdout.wait_for(kind)
    inside = cgroups.processes(task.scope)
    executor = task.executor_pid
    assert task.pid in inside
    assert len(inside) == 4
    assert executor not in inside and plugin.pid not in inside
    assert not processes.cgroup(executor).endswith(".scope/") and task.alloc_id not in processes.cgroup(executor)
    task.stop()
    assert cgroups.processes(task.scope) == []


def test_nothing_is_made_below_the_tasks_cgroup(act: Make) -> None:
    task = running(act("out=up", "pause="))
    assert [path for path in task.scope.iterdir() if path.is_dir()] == []
    task.stop()
    task.destroy()
    task.scope.rmdir()


def test_executors_do_not_keep_the_agents_slice(launch: Callable[..., Plugin], host: AgentHost) -> None:
    """Only tasks, and at most one leaf of Executors, live in the agent's slice."""
    plugin = launch()
    task = running(host.task(plugin, host.program("act"), ["out=up", "pause="]))
    others = [path for path in host.slice.members().values() if not path.startswith(str(host.slice.share))]
    assert len(set(others)) <= 1
    task.stop()


@pytest.fixture
def bare_host() -> Iterator[AgentHost]:
    """An agent in whose slice no controller is enabled."""
    host = AgentHost(with_controllers=False)
    yield host
    faults = host.close()
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("limits, file", [
    ({"memory": 64}, "memory.max"), ({"memory": 64, "memory_max": 128}, "memory."), ({"cpu": 500}, "cpu.")])
def test_limit_without_its_file(bare_host: AgentHost, limits: dict[str, int], file: str) -> None:
    plugin = bare_host.launch()
    task = bare_host.task(plugin, bare_host.program("act"), ["exit=0"], **limits)
    with refused(file, str(task.scope)):
        task.start()
    assert cgroups.processes(task.scope) == []
    assert bare_host.task(plugin, bare_host.program("act"), ["exit=0"]).run() == ExitResult(0)


@pytest.mark.parametrize("path", ["", "/nonexistent/x.scope", "/tmp", "/etc/passwd", "relative.scope"])
def test_impossible_cgroup(act: Make, path: str) -> None:
    task = act("exit=0")
    task.request.task.resources.linux_resources.cpuset_cgroup = path
    with refused("cgroup", path):
        task.start()


@pytest.mark.controllers
def test_no_limit_leaves_the_files_alone(act: Make) -> None:
    files = ["memory.max", "memory.low", "cpu.max", "cpu.weight", "pids.max"]
    task = act("out=up", "pause=")
    before = [read(task, name) for name in files]
    running(task)
    assert [read(task, name) for name in files] == before
    task.stop()


@pytest.mark.controllers
def test_values_of_the_agent_survive(act: Make) -> None:
    """Limits that are 0 leave even another's value in its file."""
    task = act("out=up", "pause=")
    (task.scope / "memory.max").write_text(str(99 * MB))
    (task.scope / "cpu.max").write_text("77000 100000")
    running(task)
    assert read(task, "memory.max") == str(99 * MB)
    assert read(task, "cpu.max") == "77000 100000"
    task.stop()


@pytest.mark.controllers
def test_memory(act: Make) -> None:
    task = running(act("out=up", "pause=", memory=64))
    assert read(task, "memory.max") == str(64 * MB)
    assert read(task, "memory.low") == "0"
    if (task.scope / "memory.swap.max").exists():
        assert read(task, "memory.swap.max") == "0"
    task.stop()


@pytest.mark.controllers
@pytest.mark.parametrize("memory_max, shown", [(128, str(128 * MB)), (-1, "max")])
def test_memory_max(act: Make, memory_max: int, shown: str) -> None:
    task = running(act("out=up", "pause=", memory=64, memory_max=memory_max))
    assert read(task, "memory.low") == str(64 * MB)
    assert read(task, "memory.max") == shown
    task.stop()


@pytest.mark.controllers
def test_memory_is_not_swapped(act: Make) -> None:
    task = running(act("out=up", "pause=", memory=64))
    assert read(task, "memory.swap.max") == "0"
    task.stop()


@pytest.mark.controllers
@pytest.mark.parametrize("cpu, quota", [(500, 25000), (2000, 100000), (3000, 150000), (4000, 200000), (30, 1500), (1, 1000)])
def test_cpu(act: Make, cpu: int, quota: int) -> None:
    """On cores of 2000 MHz; the kernel takes no quota below 1000."""
    task = running(act("out=up", "pause=", cpu=cpu))
    assert read(task, "cpu.max") == f"{quota} 100000"
    assert 1 <= int(read(task, "cpu.weight")) <= 10000
    task.stop()


@pytest.mark.controllers
def test_cpu_weight_is_in_proportion(act: Make) -> None:
    small, big = running(act("out=up", "pause=", cpu=500)), running(act("out=up", "pause=", cpu=2000))
    assert int(read(small, "cpu.weight")) < int(read(big, "cpu.weight"))
    small.stop()
    big.stop()


@pytest.mark.controllers
def test_cpu_follows_the_topology(launch: Callable[..., Plugin], host: AgentHost) -> None:
    plugin = launch(cores=4, megahertz=1000)
    task = running(host.task(plugin, host.program("act"), ["out=up", "pause="], cpu=500))
    assert read(task, "cpu.max") == "50000 100000"
    task.stop()


def used_microseconds(task: Task) -> int:
    return int(re.search(r"usage_usec (\d+)", (task.scope / "cpu.stat").read_text())[1])


@pytest.mark.controllers
def test_busy_loop_is_held_to_its_quota(act: Make) -> None:
    """500 MHz of a 2000 MHz core is a quarter of a core."""
    task = running(act("out=up", "busy=600000", cpu=500))
    time.sleep(scaled(0.5))
    used, begin = used_microseconds(task), time.monotonic()
    time.sleep(5)
    share = (used_microseconds(task) - used) / 1e6 / (time.monotonic() - begin)
    throttled = int(re.search(r"nr_throttled (\d+)", (task.scope / "cpu.stat").read_text())[1])
    task.stop(timeout=0)
    assert share < 0.30, f"used {share:.2f} cores"
    assert share > 0.10, f"used {share:.2f} cores: the loop did not run"
    assert throttled > 10


@pytest.mark.controllers
def test_busy_loop_without_limit_is_not_held(act: Make) -> None:
    """The measure's other end: the same loop uses more when it may."""
    task = running(act("out=up", "busy=600000"))
    time.sleep(scaled(0.5))
    used, begin = used_microseconds(task), time.monotonic()
    time.sleep(5)
    share = (used_microseconds(task) - used) / 1e6 / (time.monotonic() - begin)
    task.stop(timeout=0)
    assert share > 0.40, f"used {share:.2f} cores"


@pytest.mark.controllers
def test_memory_is_held(act: Make) -> None:
    """Touching more than memory.max ends in an OOM kill, which is told."""
    task = act("memory=128", "exit=0", memory=32)
    assert task.run(60) == ExitResult(137, 9, oom_killed=True)


@pytest.mark.controllers
def test_memory_within_its_limit(act: Make) -> None:
    task = act("memory=32", "exit=0", memory=64)
    assert task.run(60) == ExitResult(0)


@pytest.mark.controllers
def test_executor_is_not_charged_to_the_task(act: Make) -> None:
    task = running(act("out=up", "pause=", memory=64))
    assert int(read(task, "memory.current")) < 8 * MB
    assert read(task, "pids.current") == "1"
    task.stop()


@pytest.mark.controllers
def test_kill_by_a_fork_bomb_within_pids(make: Make, host: AgentHost) -> None:
    """With pids.max set by the agent, a storm of children ends with its task."""
    task = make(host.program("offspring"), ["storm"] * 10)
    (task.scope / "pids.max").write_text("60")
    task.start()
    task.stdout.wait_for("main")
    wait_until(lambda: len(cgroups.processes(task.scope)) > 5, 10, "the storm")
    task.stop(timeout=0.5)
    assert cgroups.processes(task.scope) == []


def test_cgroup_files_are_not_the_tasks(act: Make, host: AgentHost) -> None:
    """Ownership of the directory is untouched."""
    task = act("out=up", "pause=", user="nobody")
    before = task.scope.stat()
    running(task)
    assert (task.scope.stat().st_uid, task.scope.stat().st_mode) == (before.st_uid, before.st_mode)
    assert Path(task.scope / "cgroup.procs").stat().st_uid == 0
    task.stop()
