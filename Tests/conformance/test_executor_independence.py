"""The Executor is independent: it shares no descriptor, session or cgroup with the
Driver or the agent, and their signals do not reach it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, processes
from agent.restart import recover, successor
from agent.state import directory_of
from agent.timing import scaled, wait_until

Launch = Callable[..., Plugin]
CAP_SYS_RESOURCE = 24
EXECUTORS = "exec2-executors.scope"


def paused(host: AgentHost, plugin: Plugin, **options: object) -> Task:
    task = host.task(plugin, host.program("act"), ["out=up", "fds=", "pause="], **options).start()
    task.stdout.wait_for("fds")
    return task


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat, from the state on."""
    text = Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2:].split(" ")


def test_session_and_process_group(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task = paused(host, plugin)
    executor = task.executor_pid
    _, _, group, session, terminal = stat_fields(executor)[:5]
    assert int(group) == int(session) == executor
    assert terminal == "0"
    assert int(session) != os.getsid(plugin.pid)
    # The task leads a session of its own, too.
    assert int(stat_fields(task.pid)[3]) == task.pid
    assert os.readlink(f"/proc/{executor}/cwd") == "/"
    assert os.readlink(f"/proc/{executor}/ns/pid") != os.readlink("/proc/self/ns/pid")
    task.stop()


def test_name_and_environment(launch: Launch, host: AgentHost) -> None:
    plugin = launch(environment={"AGENT_TOKEN": "quite-secret"})
    task = paused(host, plugin, env={"TASK_TOKEN": "quite-secret"})
    executor = task.executor_pid
    assert processes.look(executor).name == "exec2-executor"
    assert Path(f"/proc/{executor}/environ").read_bytes() == b""
    assert b"secret" not in Path(f"/proc/{executor}/cmdline").read_bytes()
    task.stop()


def settled(task: Task) -> int:
    """The pid of the Executor, once it has closed the launch's descriptors: the mounts of the logs (/) are the last."""
    executor, of_launch = task.executor_pid, {"anon_inode:[pidfd]", "/"}
    wait_until(
        lambda: not of_launch & {*processes.descriptors(executor).values()}, 5, "the launch's descriptors closed")
    return executor


def kind_of(target: str, task: Task) -> str:
    directory, logs = directory_of(task), (task.stdout_path, task.stderr_path)
    known = {
        "/dev/null": "null", "/memfd:exec2-launch-request (deleted)": "memory", str(directory): "directory", str(directory / "control"): "control", str(directory / "events"): "events",
        str(directory / "exit.reserved"): "record", str(task.scope): "cgroup",
        # Of the task's root, by whose paths the kernel names it.
        "/dev/pts": "terminals", os.readlink(f"/proc/{task.pid}/ns/mnt"): "mounts", **{str(path): "log" for path in logs}}
    if target in known:
        return known[target]
    anonymous = re.fullmatch(r"anon_inode:\[([\w-]+)\]", target)
    return anonymous.group(1) if anonymous else target


def test_descriptors(launch: Launch, host: AgentHost) -> None:
    """All of them by their kind: a further one would be inherited."""
    plugin = launch()
    others = [paused(host, plugin) for _ in range(3)]
    task = paused(host, plugin)
    held = processes.descriptors(settled(task), task.stdout_path, task.stderr_path)
    kinds = sorted(kind_of(target, task) for target in held.values())
    assert kinds == sorted(
        ["null"] * 5 + ["landlock-ruleset", "terminals", "mounts"]
        + ["memory", "directory", "control", "events", "record", "cgroup", "log", "log", "signalfd", "timerfd"]), held
    # The last two in the places of what an attached task has.
    assert {held[number] for number in (0, 1, 2, 5, 6)} == {"/dev/null"}
    # None of them is one of the agent's pipes or its socket, by inode.
    theirs = {target for target in processes.descriptors(plugin.pid).values() if target.startswith(("pipe:", "socket:"))}
    assert theirs
    assert not theirs & set(held.values())
    assert task.line("fds") == "0 1 2"
    for each in [*others, task]:
        each.stop()


def test_descriptors_of_a_recovered_task(launch: Launch, host: AgentHost) -> None:
    """Successive Drivers leave no descriptor behind in it."""
    plugin = launch()
    task = paused(host, plugin)
    before = processes.descriptors(settled(task))
    for _ in range(3):
        plugin = successor(launch, plugin)
        recover(plugin, task)
        task.signal("SIGCONT")
    assert processes.descriptors(task.executor_pid) == before
    task.stop()


def test_pipes_of_the_driver_end_with_it(launch: Launch, host: AgentHost) -> None:
    """The agent reads the end of its plugin's output although tasks run on."""
    plugin = launch()
    task = paused(host, plugin)
    executor = task.executor_pid
    os.kill(plugin.pid, signal.SIGKILL)
    plugin.wait_exit()
    # The subreaper, which is in the place of the agent's parent here, holds them as well.
    held = {pid: set(processes.descriptors(pid).values()) for pid in (executor,)}
    pipes = {target for target in processes.descriptors(plugin.subreaper_pid).values() if target.startswith("pipe:")}
    assert pipes
    assert not pipes & held[executor]
    second = successor(launch, plugin)
    recover(second, task)
    task.stop()


def test_cgroup(launch: Launch, host: AgentHost) -> None:
    """It is beside the slices, in neither the task's cgroup nor the agent's."""
    plugin = launch()
    tasks = [paused(host, plugin) for _ in range(3)]
    scope = host.slice.root / EXECUTORS

    def of_tasks() -> list[int]:
        """The Executors in it without the standby one."""
        return sorted(pid for pid in cgroups.processes(scope) if getattr(processes.look(pid), "name", "") == "exec2-executor")

    wait_until(lambda: of_tasks() == sorted(task.executor_pid for task in tasks), 5, "every Executor in its cgroup")
    for task in tasks:
        assert task.executor_pid not in cgroups.processes(task.scope)
        assert cgroups.processes(task.scope) == [task.pid]
        assert processes.cgroup(task.executor_pid) != processes.cgroup(plugin.pid)
    # What systemd does with KillMode=control-group does not reach it.
    for task in tasks:
        task.stop()
        task.destroy()
    assert of_tasks() == []
    # It stays with the standby Executor, and is removed when that is switched off.
    plugin.set_config({**plugin.config, "standby_executor": False})
    wait_until(lambda: not scope.exists(), 5, f"{scope} removed with the last Executor")


def test_cgroup_that_cannot_be_made(launch: Launch, host: AgentHost) -> None:
    """The Executor then runs in the Driver's cgroup."""
    plugin = launch()
    scope = host.slice.root / EXECUTORS
    limit = host.slice.root / "cgroup.max.descendants"
    task = host.task(plugin, host.program("act"), ["out=up", "pause="])
    wait_until(lambda: not scope.exists(), 5, f"no {EXECUTORS} yet")
    limit.write_text(str(len([entry for entry, _, _ in os.walk(host.slice.root)]) - 1))
    try:
        task.start()
        task.stdout.wait_for("up")
        assert not scope.exists()
        assert processes.cgroup(task.executor_pid) == processes.cgroup(plugin.pid)
        task.stop(signal="SIGTERM")
        assert task.wait() == ExitResult(143, 15)
    finally:
        limit.write_text("max")


def test_cgroup_of_the_executors_outlives_the_driver(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task = paused(host, plugin)
    executor = task.executor_pid
    plugin.kill()
    assert executor in cgroups.processes(host.slice.root / EXECUTORS)
    second = successor(launch, plugin)
    recover(second, task)
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


@pytest.mark.parametrize("wanted", [0, 300, 1000])
def test_oom_score_adj(launch: Launch, host: AgentHost, wanted: int) -> None:
    """The Executor is the OOM killer's last choice; the task has its job's value."""
    plugin = launch()
    task = paused(host, plugin, config={"oom_score_adj": wanted})
    bounding = int(processes.status(plugin.pid, "CapEff"), 16)
    own = Path("/proc/self/oom_score_adj").read_text().strip()
    expected = "-1000" if bounding >> CAP_SYS_RESOURCE & 1 else own
    assert Path(f"/proc/{task.executor_pid}/oom_score_adj").read_text().strip() == expected
    assert Path(f"/proc/{task.pid}/oom_score_adj").read_text().strip() == str(wanted)
    task.stop()


@pytest.mark.parametrize(
    "number", [number for number in signal.Signals if number not in (signal.SIGKILL, signal.SIGSTOP)], ids=lambda n: n.name)
def test_signals_to_the_executor(plugin: Plugin, host: AgentHost, number: signal.Signals) -> None:
    """Whatever signal it is sent, the task runs on and ends with its own result."""
    task = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    task.stdout.wait_for("up")
    pid, executor = task.pid, task.executor_pid
    for _ in range(3):
        os.kill(executor, number)
    time.sleep(scaled(0.02))
    assert processes.is_alive(executor) and processes.is_alive(pid)
    task.signal("SIGCONT")
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_signals_to_the_drivers_process_group(launch: Launch, host: AgentHost) -> None:
    """A Ctrl-C in the agent's terminal does not reach the tasks."""
    plugin = launch()
    task = paused(host, plugin)
    executor, pid = task.executor_pid, task.pid
    group = os.getpgid(plugin.pid)
    members = [process.pid for process in processes.everything() if stat_group(process.pid) == group]
    assert executor not in members and pid not in members
    second = successor(launch, plugin)
    recover(second, task)
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def stat_group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


@pytest.fixture
def other_host() -> Iterator[AgentHost]:
    """An agent with a cgroup of its own, without Executors of other plugins."""
    agent = AgentHost()
    yield agent
    assert not agent.close()


def test_the_executors_cgroup_is_removed_while_tasks_start(other_host: AgentHost) -> None:
    """Another Driver without tasks removes it whenever it is empty. Seen before it was made again: Executors in the
    Driver's own cgroup, and from then on every start failed, "cannot clone a process: No such file or directory"."""
    plugin = other_host.launch({"standby_executor": False})
    remover = subprocess.Popen(
        [str(other_host.program("remover")), str(other_host.slice.root / EXECUTORS)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        for _ in range(40):
            task = other_host.paused(plugin)
            assert processes.cgroup(task.executor_pid).endswith("/" + EXECUTORS)
            task.destroy()
    finally:
        removed, _ = remover.communicate()
    assert int(removed) > 0


def test_what_holds_the_cgroup_does_not_stay(other_host: AgentHost) -> None:
    """A Driver that is killed while it holds the Executors' cgroup cannot remove what holds it: the next one does."""
    plugin = other_host.launch({"standby_executor": False})
    task = other_host.paused(plugin)
    executors = other_host.slice.root / EXECUTORS
    (executors / "starting-1.scope").mkdir()
    task.stop()
    task.destroy()
    wait_until(lambda: not executors.exists(), 10, "the Executors' cgroup removed")
