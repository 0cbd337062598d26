"""The Executor that is spawned ahead and stands by for the next task."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, cgroups, messages, processes
from agent.exec import exec_task
from agent.expect import Code, refused
from agent.plugin import default_binary
from agent.restart import Stopped, recover, successor
from agent.state import directory_of
from agent.timing import scaled, wait_until

Launch = Callable[..., Plugin]
EXECUTOR = "nomad-driver-exec2-executor"
EXECUTORS_SCOPE = "exec2-executors.scope"


def none_stands_by(plugin: Plugin) -> None:
    wait_until(lambda: plugin.standing_by() == [], 5, "no Executor stands by")


def ran(host: AgentHost, plugin: Plugin) -> None:
    """Checks that a task runs."""
    task = host.task(plugin, host.program("act"), ["out=ran", "exit=3"])
    assert task.run() == ExitResult(3)
    assert task.stdout.text == "ran\n"
    task.destroy()


def ready(launch: Launch, host: AgentHost) -> tuple[Plugin, int]:
    """A plugin that has run a task, and the Executor that stands by for the next."""
    plugin = launch()
    ran(host, plugin)
    return plugin, plugin.await_standby()


@pytest.fixture
def copy(host: AgentHost) -> Iterator[Path]:
    """An Executor of this test's own, to be replaced."""
    directory = host.root / "executor"
    directory.mkdir()
    executor = Path(shutil.copy(default_binary().parent / EXECUTOR, directory))
    # The mode of the build's file depends on the umask at the build.
    executor.chmod(0o755)
    yield executor
    shutil.rmtree(directory)


def test_none_before_the_first_task(launch: Launch, host: AgentHost) -> None:
    """A plugin that has not started a task has none: Nomad starts several plugins just to query them."""
    plugin = launch()
    plugin.set_config(plugin.config)
    plugin.fingerprint()
    time.sleep(scaled(0.1))
    assert plugin.executors() == []


def test_it_becomes_the_next_tasks(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    first = host.paused(plugin)
    ahead = plugin.await_standby()
    second = host.paused(plugin)
    assert second.executor_pid == ahead != first.executor_pid
    wait_until(lambda: plugin.standing_by() not in ([], [ahead]), 5, "another stands by")
    for task in (first, second):
        task.stop(signal="SIGTERM")
        assert task.wait() == ExitResult(143, 15)


def test_ten_in_a_row_and_ten_at_once(launch: Launch, host: AgentHost) -> None:
    """There is never more than one standby Executor."""
    plugin = launch()
    for _ in range(10):
        ran(host, plugin)
    tasks = [host.task(plugin, host.program("act"), ["out=up", f"exit={number}"]) for number in range(10)]
    for task, call in [(task, task.start_soon()) for task in tasks]:
        task.took(call.result())
    assert [task.wait().exit_code for task in tasks] == list(range(10))
    for task in tasks:
        task.destroy()
    plugin.await_standby()
    assert len(plugin.executors()) == 1


def test_what_it_is_while_it_waits(launch: Launch, host: AgentHost) -> None:
    """It sleeps in read(2), like every Executor in the Executors' cgroup and in a session of its own, and it has inherited
    nothing from the agent. It holds the template of its task's root, a copy of it with what every task has, and a ruleset
    with the rules of every task. It has no timer, so that nothing wakes it."""
    plugin, ahead = ready(launch, host)
    wait_until(lambda: processes.look(ahead).state == "S", 5, "the standby Executor sleeps")
    assert cgroups.processes(host.slice.root / EXECUTORS_SCOPE) == [ahead]
    assert os.getsid(ahead) == ahead
    held = processes.descriptors(ahead)
    assert sorted(held)[:10] == [*range(10)]
    assert [held[number] for number in (0, 1, 2, 5, 6, 8, 9)] == [*["/dev/null"] * 6, "/dev/pts"]
    # Detached mounts, whose paths within their file system are shown: the task's files, and what masks parts of /proc.
    mounts = ["/", "/", "/dev/shm", "/proc/empty", "/proc/hidden", "/proc/none"]
    [copy, *others] = sorted((name for number, name in held.items() if number > 9), key=lambda name: not name.startswith("mnt:"))
    assert sorted(others) == [*mounts, "anon_inode:[landlock-ruleset]"]
    entered = [os.readlink(f"/proc/{pid}/ns/mnt") for pid in (plugin.pid, ahead)]
    assert copy.startswith("mnt:[") and held[7].startswith("mnt:[") and len({copy, held[7], *entered}) == 3
    assert Path(f"/proc/{ahead}/environ").read_bytes() == b""
    assert Path(f"/proc/{ahead}/timers").read_text() == ""
    before = processes.status(ahead, "voluntary_ctxt_switches")
    time.sleep(scaled(0.5))
    assert processes.status(ahead, "voluntary_ctxt_switches") == before


@pytest.mark.parametrize("number", [
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE, signal.SIGALRM], ids=lambda n: n.name)
def test_signals_do_not_end_it(launch: Launch, host: AgentHost, number: signal.Signals) -> None:
    plugin, ahead = ready(launch, host)
    os.kill(ahead, number)
    task = host.paused(plugin)
    assert task.executor_pid == ahead
    task.stop()


@pytest.mark.parametrize("delay", [0, 0.0005, 0.001, 0.002, 0.005, 0.05])
def test_one_that_dies_fails_no_start(launch: Launch, host: AgentHost, delay: float) -> None:
    """Whether or not the Driver has noticed its death: the task starts under another Executor, and the dead one
    is reaped."""
    plugin = launch()
    ran(host, plugin)
    for _ in range(5):
        ahead = plugin.await_standby()
        os.kill(ahead, signal.SIGKILL)
        time.sleep(delay)
        ran(host, plugin)
        wait_until(lambda: processes.look(ahead) is None, 5, f"Executor {ahead} reaped")
    assert all(not process.is_zombie for process in processes.everything() if process.parent == plugin.pid)


@pytest.mark.parametrize("delay", [step * 0.0002 for step in range(10)])
def test_one_that_dies_with_the_request(launch: Launch, host: AgentHost, delay: float) -> None:
    """At whatever moment it dies: the task runs under another Executor, or its start fails with the reason, or it has
    run and its result says what happened. It never runs twice."""
    plugin, ahead = ready(launch, host)
    task = host.task(plugin, host.program("act"), user="root")
    log = task.local / "ran"
    task.set_config({"command": str(host.program("act")), "args": [f"append={log}", "pause="]})
    begun = threading.Event()

    def strike() -> None:
        begun.wait()
        time.sleep(delay)
        try:
            os.kill(ahead, signal.SIGKILL)
        except ProcessLookupError:
            pass

    killer = threading.Thread(target=strike)
    killer.start()
    call = task.start_soon()
    begun.set()
    error = call.exception()
    killer.join()
    if error is None:
        task.took(call.result())
        task.stop()
        task.destroy()
    else:
        assert "ended before it had started the task" in error.details(), error.details()
    # It may have been killed between creating its file and writing the line.
    assert not log.exists() or len(log.read_text().splitlines()) <= 1
    assert os.listdir(plugin.state_dir) == []
    assert cgroups.processes(task.scope) == []


def test_one_that_is_stopped_when_it_dies(launch: Launch, host: AgentHost) -> None:
    """It is sent the request, and dies before it has read any of it: another Executor starts the task."""
    plugin, ahead = ready(launch, host)
    task = host.task(plugin, host.program("act"), ["out=up", "pause="])
    with Stopped(ahead):
        start = task.start_soon()
        wait_until(lambda: plugin.standing_by() == [ahead] and directory_of(task).exists(), 5, "the request handed over")
        # Not scaled: the Driver does not wait long for a stopped Executor.
        time.sleep(0.1)
        assert not start.done()
        os.kill(ahead, signal.SIGKILL)
        task.took(start.result())
    task.stdout.wait_for("up")
    assert task.executor_pid != ahead
    assert any(entry["@level"] == "warn" and entry.get("executor_pid") == ahead for entry in plugin.log)
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_one_that_is_stopped(launch: Launch, host: AgentHost) -> None:
    """The Driver kills it, and the task runs under another Executor, once. Before that, the start took a minute and
    failed."""
    plugin, ahead = ready(launch, host)
    task = host.task(plugin, host.program("act"), user="root")
    log = task.local / "ran"
    task.set_config({"command": str(host.program("act")), "args": [f"append={log}", "out=up", "pause="]})
    with Stopped(ahead):
        began = time.monotonic()
        task.start()
        assert time.monotonic() - began < 3 + scaled(2)
        assert processes.look(ahead) is None
    task.stdout.wait_for("up")
    assert task.executor_pid != ahead
    assert log.read_text().count("\n") == 1
    told = [entry["@message"] for entry in plugin.log if entry["@level"] == "warn" and entry.get("executor_pid") == ahead]
    assert any("has not begun with its task" in message for message in told), told
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)
    task.destroy()
    assert log.read_text().count("\n") == 1
    ran(host, plugin)
    plugin.await_standby()


def test_one_that_goes_on_in_time(launch: Launch, host: AgentHost) -> None:
    """If it is stopped for a second only, it gets the task."""
    plugin, ahead = ready(launch, host)
    task = host.task(plugin, host.program("act"), ["out=up", "pause="])
    with Stopped(ahead):
        start = task.start_soon()
        wait_until(lambda: directory_of(task).exists(), 5, "the request handed over")
        time.sleep(1)
        assert not start.done()
    task.took(start.result())
    assert task.executor_pid == ahead
    task.stop()


def test_calls_about_a_task_that_is_being_started(launch: Launch, host: AgentHost) -> None:
    """Each error names the call; the start goes on. Before that, a stop and a destroy were answered as if they were
    recoveries, or as if they had succeeded."""
    plugin = launch()
    ran(host, plugin)
    task = host.task(plugin, host.program("act"), ["out=up", "pause="])
    empty = messages.driver.TaskHandle(version=1)
    stats = messages.driver.TaskStatsRequest(task_id=task.id)
    stats.collection_interval.FromSeconds(1)
    calls: dict[str, Callable[[], object]] = {
        "cannot wait for task": task.wait,
        "cannot send a signal to task": lambda: task.signal("SIGTERM"),
        "cannot stop task": task.stop,
        "cannot inspect task": task.inspect,
        "cannot sample the usage of task": lambda: next(plugin.driver.TaskStats(stats, timeout=scaled(10))),
        "cannot exec in task": lambda: exec_task(task, "true"),
        "cannot destroy task": lambda: task.destroy(force=True),
        "cannot recover task": lambda: recover(plugin, task, handle=empty),
    }
    with Stopped(plugin.await_standby()):
        start = task.start_soon()
        wait_until(lambda: directory_of(task).exists(), 5, "the request handed over")
        for words, call in calls.items():
            with refused(words, task.id, "it is just being started", code=Code.FAILED_PRECONDITION):
                call()
        assert not start.done()
    task.took(start.result())
    task.stdout.wait_for("up")
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_upgrade(launch: Launch, host: AgentHost, copy: Path) -> None:
    """The program is replaced while an Executor stands by: the next task runs under the new program."""
    plugin = launch({"executor_path": str(copy)})
    ran(host, plugin)
    ahead = plugin.await_standby()
    fresh = copy.with_suffix(".new")
    shutil.copy(copy, fresh)
    fresh.rename(copy)
    task = host.paused(plugin)
    assert task.executor_pid != ahead
    assert os.stat(f"/proc/{task.executor_pid}/exe").st_ino == copy.stat().st_ino
    wait_until(lambda: processes.look(ahead) is None, 5, f"Executor {ahead} reaped")
    task.stop()


def test_configuration_ends_it(launch: Launch, host: AgentHost, copy: Path) -> None:
    plugin, ahead = ready(launch, host)
    scope = host.slice.root / EXECUTORS_SCOPE
    assert scope.exists()
    plugin.set_config({**plugin.config, "executor_path": str(copy)})
    wait_until(lambda: processes.look(ahead) is None and not scope.exists(), 5, "it and its cgroup gone")
    task = host.paused(plugin)
    assert os.readlink(f"/proc/{task.executor_pid}/exe") == str(copy)
    assert os.readlink(f"/proc/{plugin.await_standby()}/exe") == str(copy)
    task.stop()


def test_configuration_that_is_only_checked_does_not(launch: Launch, host: AgentHost) -> None:
    plugin, ahead = ready(launch, host)
    plugin.set_config(plugin.config, with_driver=False)
    assert plugin.standing_by() == [ahead]


def test_off(launch: Launch, host: AgentHost) -> None:
    """standby_executor = false: no Executor is spawned ahead, and the present one is ended."""
    plugin, _ = ready(launch, host)
    plugin.set_config({**plugin.config, "standby_executor": False})
    none_stands_by(plugin)
    for _ in range(3):
        ran(host, plugin)
    time.sleep(scaled(0.1))
    assert plugin.executors() == []
    assert not (host.slice.root / EXECUTORS_SCOPE).exists()


def test_another_cgroup(launch: Launch, host: AgentHost) -> None:
    """A standby Executor in another cgroup than this task's Executor would be in is not used."""
    plugin, ahead = ready(launch, host)
    deeper = host.slice.share / "deeper.slice"
    deeper.mkdir()
    task = host.task(plugin, host.program("act"), ["out=up", "pause="])
    spare, task.scope = task.scope, deeper / "x.scope"
    task.scope.mkdir()
    task.request.task.resources.linux_resources.cpuset_cgroup = str(task.scope)
    try:
        task.start()
        task.stdout.wait_for("up")
        assert task.executor_pid in cgroups.processes(host.slice.share / EXECUTORS_SCOPE)
        wait_until(lambda: processes.look(ahead) is None, 5, f"Executor {ahead} reaped")
        task.stop()
        task.destroy()
    finally:
        plugin.end()
        cgroups.remove(task.scope)
        cgroups.remove(deeper)
        task.scope = spare
    assert not (host.slice.share / EXECUTORS_SCOPE).exists()


def test_driver_that_is_killed_while_one_stands_by(launch: Launch, host: AgentHost) -> None:
    """The standby Executor ends with the Driver, the task's does not; the next Driver has one of its own."""
    plugin = launch()
    task = host.paused(plugin)
    ahead, executor = plugin.await_standby(), task.executor_pid
    second = successor(launch, plugin)
    wait_until(lambda: not processes.is_alive(ahead), 5, "the dead Driver's standby Executor has ended")
    assert processes.is_alive(executor)
    recover(second, task)
    assert second.standing_by() == []
    ran(host, second)
    second.await_standby()
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_start_that_fails_in_it(launch: Launch, host: AgentHost) -> None:
    """The error is the same as without a standby Executor, and the next start works."""
    plugin, _ = ready(launch, host)
    task = host.task(plugin, host.program("act"), ["exit=0"])
    task.stdout_path.unlink()
    error = task.start_soon().exception()
    assert error is not None and str(task.stdout_path) in error.details()
    ran(host, plugin)
    plugin.await_standby()


def test_request_larger_than_a_pipe(launch: Launch, host: AgentHost) -> None:
    plugin, ahead = ready(launch, host)
    value = "x" * 100_000
    task = host.task(plugin, host.program("act"), ["pause="],
                     env={"LARGE": value, **{f"MORE_{number}": value for number in range(10)}}).start()
    assert task.executor_pid == ahead
    environ = Path(f"/proc/{task.pid}/environ")
    # During execve, before the new stack is set up, /proc shows an empty environment.
    wait_until(environ.read_bytes, 30, "the program's environment")
    environment = environ.read_bytes()
    assert f"LARGE={value}".encode() in environment and f"MORE_9={value}".encode() in environment
    task.stop()
