"""The attendant that is spawned ahead and stands by for the next command in a task."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Callable

import pytest

from agent import AgentHost, Plugin, Task, cgroups, earlier, processes
from agent.exec import exec_task, output, script
from agent.plugin import default_binary
from agent.restart import recover, successor
from agent.state import directory_of
from agent.timing import scaled, wait_until

Launch = Callable[..., Plugin]
EXECUTOR = "nomad-driver-exec2-executor"
EXECUTORS_SCOPE = "exec2-executors.scope"
# What a command shows of itself that is the same for each: ids, capabilities, filter, namespaces, mounts, descriptors, limits, rules.
FACTS = (
    "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Sig(Pnd|Blk|Ign|Cgt)|ShdPnd)' /proc/self/status; cat /proc/self/mountinfo /proc/self/limits "
    "/proc/self/cgroup; ls /proc/self/fd | wc -l; readlink /proc/self/ns/*; umask; pwd; env | sort; "
    "ls / /etc /root /var/lib 2>&1; echo x > /etc/x; id")


def waiting(plugin: Plugin) -> list[int]:
    return [process.pid for process in plugin.executors() if process.name == "exec2-waiting"]


def await_waiting(plugin: Plugin) -> int:
    """The pid of the attendant that stands by; it is spawned after a command's end was told."""
    wait_until(lambda: len(waiting(plugin)) == 1, 5, "one attendant stands by")
    return waiting(plugin)[0]


def sleeper(host: AgentHost, plugin: Plugin, **options: object) -> Task:
    return host.task(plugin, "/bin/sleep", ["300"], **options).start()


def attendants(plugin: Plugin) -> list[int]:
    return [process.pid for process in plugin.executors() if process.name == "exec2-attendant"]


def attendant(plugin: Plugin) -> int:
    """The attendant of the one command that runs, once those before are gone."""
    wait_until(lambda: len(attendants(plugin)) == 1, 5, "one attendant")
    return attendants(plugin)[0]


def await_attended(plugin: Plugin, task: Task) -> int:
    """Starts a command that waits for input, and returns its attendant."""
    given = script(task, "echo up; read line")
    given.wait_for("up")
    pid = attendant(plugin)
    given.send(b"\n")
    assert given.wait() == (0, 0)
    return pid


def test_none_before_the_first_command(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task = sleeper(host, plugin)
    plugin.await_standby()
    time.sleep(scaled(0.1))
    assert waiting(plugin) == []
    assert output(task, "/bin/echo", "ran") == "ran\n"
    await_waiting(plugin)


def test_it_attends_the_next_command_in_any_task(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    first, second = sleeper(host, plugin), sleeper(host, plugin)
    exec_task(first, "/bin/true")
    ahead = await_waiting(plugin)
    assert await_attended(plugin, second) == ahead
    after = await_waiting(plugin)
    assert after != ahead
    assert await_attended(plugin, first) == after


def test_what_it_is_while_it_waits(launch: Launch, host: AgentHost) -> None:
    """It sleeps in recvmsg(2), beside the Executors and in a session of its own, and has nothing of a task's or of the agent's."""
    plugin = launch()
    task = sleeper(host, plugin)
    exec_task(task, "/bin/true")
    ahead = await_waiting(plugin)
    wait_until(lambda: processes.look(ahead).state == "S", 5, "the standby attendant sleeps")
    assert ahead in cgroups.processes(host.slice.root / EXECUTORS_SCOPE)
    assert os.getsid(ahead) == ahead
    held = processes.descriptors(ahead)
    assert sorted(held) == [0, 1, 2, 3, 4]
    assert [held[number] for number in (0, 1, 2)] == ["/dev/null"] * 3
    assert held[3].startswith("socket:") and held[4].startswith("/memfd:exec2-launch-request")
    for name in ("pid", "mnt", "ipc", "net"):
        assert os.readlink(f"/proc/{ahead}/ns/{name}") == os.readlink(f"/proc/{plugin.pid}/ns/{name}")


@pytest.mark.parametrize("user", ["", "nobody", "root"])
@pytest.mark.parametrize("tty", [False, True])
def test_its_command_is_like_another(launch: Launch, host: AgentHost, user: str, tty: bool) -> None:
    """A command shows the same of itself under an attendant that stood by and under one that was spawned for it."""
    plugin = launch({"unveil_defaults": True, "unveil_by_task": True})
    seen = []
    task = sleeper(host, plugin, unveil=["r:/proc"], **({"user": user} if user else {}))
    exec_task(task, "/bin/true")
    for _ in range(2):
        ahead = waiting(plugin)
        given = script(task, "read line; " + FACTS, tty=tty)
        assert ([attendant(plugin)] == ahead) == bool(ahead)
        given.send(b"\n")
        assert given.wait() == (0, 0)
        seen.append(given.stdout if not tty else given.stdout.replace(b"\r", b""))
        await_waiting(plugin)
    plugin.set_config({**plugin.config, "standby_executor": False})
    wait_until(lambda: waiting(plugin) == [], 5, "no attendant stands by")
    given = script(task, "read line; " + FACTS, tty=tty)
    given.send(b"\n")
    given.wait()
    seen.append(given.stdout if not tty else given.stdout.replace(b"\r", b""))
    assert b"Seccomp" in seen[0]
    assert seen[0] == seen[1] == seen[2]


def test_off(launch: Launch, host: AgentHost) -> None:
    plugin = launch({"standby_executor": False})
    task = sleeper(host, plugin)
    for _ in range(2):
        assert output(task, "/bin/echo", "ran") == "ran\n"
    time.sleep(scaled(0.1))
    assert waiting(plugin) == []


def test_one_that_is_killed(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task = sleeper(host, plugin)
    exec_task(task, "/bin/true")
    for _ in range(5):
        ahead = await_waiting(plugin)
        os.kill(ahead, signal.SIGKILL)
        wait_until(lambda: not processes.is_alive(ahead), 5, "it is dead")
        assert output(task, "/bin/echo", "ran") == "ran\n"
        assert await_waiting(plugin) != ahead


def test_one_that_is_stopped(launch: Launch, host: AgentHost) -> None:
    """It is continued, and the command runs at once."""
    plugin = launch()
    task = sleeper(host, plugin)
    exec_task(task, "/bin/true")
    ahead = await_waiting(plugin)
    os.kill(ahead, signal.SIGSTOP)
    wait_until(lambda: processes.look(ahead).state == "T", 5, "it is stopped")
    assert output(task, "/bin/echo", "ran") == "ran\n"


def test_it_ends_with_the_last_task(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    tasks = [sleeper(host, plugin) for _ in range(2)]
    exec_task(tasks[0], "/bin/true")
    ahead = await_waiting(plugin)
    tasks[0].destroy(force=True)
    time.sleep(scaled(0.1))
    assert waiting(plugin) == [ahead]
    tasks[1].destroy(force=True)
    wait_until(lambda: waiting(plugin) == [] and not processes.is_alive(ahead), 5, "it has ended")
    assert len(plugin.executors()) == 1  # the Executor that stands by


def test_the_last_task_is_destroyed_during_a_command(launch: Launch, host: AgentHost) -> None:
    """No attendant is made, or the one that is made meanwhile ends."""
    plugin = launch()
    for _ in range(5):
        task = sleeper(host, plugin)
        given = script(task, "echo up; sleep 300")
        given.wait_for("up")
        task.destroy(force=True)
        given.wait()
    wait_until(lambda: [found for found in plugin.executors() if found.name != "exec2-standby"] == [], 5, "no attendant is left")


def test_it_ends_with_the_driver(launch: Launch, host: AgentHost) -> None:
    """A killed one, too. The next driver has none before its own first command."""
    plugin = launch()
    task = sleeper(host, plugin)
    exec_task(task, "/bin/true")
    ahead = await_waiting(plugin)
    second = successor(launch, plugin)
    wait_until(lambda: not processes.is_alive(ahead), 5, "it has ended")
    recover(second, task)
    assert output(task, "/bin/echo", "ran") == "ran\n"
    ahead = await_waiting(second)
    second.end()
    assert not processes.is_alive(ahead)


def test_another_program(launch: Launch, host: AgentHost) -> None:
    """An upgrade puts another file in the place of the Executor: an attendant that was spawned from the old file gets no
    command."""
    executor = Path(shutil.copy(default_binary().parent / EXECUTOR, host.root))
    executor.chmod(0o755)
    try:
        plugin = launch({"executor_path": str(executor)})
        task = sleeper(host, plugin)
        exec_task(task, "/bin/true")
        ahead = await_waiting(plugin)
        replacement = Path(shutil.copy(executor, host.root / "new"))
        replacement.rename(executor)
        assert await_attended(plugin, task) != ahead
        wait_until(lambda: not processes.is_alive(ahead), 5, "the old one has ended")
        await_waiting(plugin)
        task.destroy(force=True)
    finally:
        executor.unlink()


def test_many_at_once(launch: Launch, host: AgentHost) -> None:
    """One command gets the attendant that stands by, the others have new ones, and one stands by afterwards."""
    plugin = launch()
    task = sleeper(host, plugin)
    exec_task(task, "/bin/true")
    ahead = await_waiting(plugin)
    sessions = [script(task, "echo up; read line; exit 7") for _ in range(10)]
    for given in sessions:
        given.wait_for("up")
    wait_until(lambda: len(attendants(plugin)) == 10, 5, "ten attendants")
    assert ahead in attendants(plugin)
    for given in sessions:
        given.send(b"\n")
        assert given.wait() == (7, 0)
    await_waiting(plugin)
    time.sleep(scaled(0.1))
    assert len(waiting(plugin)) == 1


def test_the_last_task_goes_while_a_start_is_given_up(launch: Launch, host: AgentHost) -> None:
    """The start is the last thing that keeps it."""
    plugin = launch()
    task = sleeper(host, plugin)
    exec_task(task, "/bin/true")
    await_waiting(plugin)
    os.kill(plugin.await_standby(), signal.SIGSTOP)
    other = host.task(plugin, "/bin/sleep", ["300"])
    call = other.start_soon()
    wait_until(lambda: directory_of(other).exists(), 5, "the start is under way")
    task.destroy(force=True)
    assert len(waiting(plugin)) == 1
    call.cancel()
    wait_until(lambda: waiting(plugin) == [], 5, "the attendant has ended")


def test_an_earlier_releases_program(launch: Launch, host: AgentHost) -> None:
    """It cannot receive descriptors, so that each command has an attendant of its own."""
    executor = Path(shutil.copy(earlier.with_hosts_root().parent / EXECUTOR, host.root))
    executor.chmod(0o755)
    try:
        plugin = launch()
        task = sleeper(host, plugin)
        plugin.set_config({**plugin.config, "executor_path": str(executor)})
        for _ in range(3):
            assert output(task, "/bin/echo", "ran") == "ran\n"
            time.sleep(scaled(0.1))
    finally:
        executor.unlink()
