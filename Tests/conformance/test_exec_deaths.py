"""Commands in a task whose Driver, Executor, attendant or client dies or leaves."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Callable

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, earlier, processes
from agent.exec import Session, exec_task, output, script, session
from agent.expect import Code, refused
from agent.restart import Stopped, kill_executor, recover, successor
from agent.timing import scaled, wait_until

Make = Callable[..., Task]
Launch = Callable[..., Plugin]


def sleeper(host: AgentHost, plugin: Plugin, **options: object) -> Task:
    return host.task(plugin, "/bin/sleep", ["300"], **options).start()


def others_in(task: Task) -> list[int]:
    """The pids in the task's cgroup except its main process."""
    main = task.pid
    return [int(pid) for pid in (task.scope / "cgroup.procs").read_text().split() if int(pid) != main]


def attendants(plugin: Plugin) -> list[processes.Process]:
    return [process for process in plugin.executors() if process.name == "exec2-attendant"]


def alone(task: Task) -> bool:
    return others_in(task) == []


@pytest.fixture
def running(make: Make) -> tuple[Task, Session]:
    """A task, and a running command in it that never ends."""
    task = make("/bin/sleep", ["300"]).start()
    given = script(task, "echo up; sleep 300 & sleep 300")
    given.wait_for("up")
    return task, given


# The client


def test_cancellation_kills(running: tuple[Task, Session], plugin: Plugin) -> None:
    task, given = running
    wait_until(lambda: len(others_in(task)) >= 2 and len(attendants(plugin)) == 1, 5, "the command, its child, and an attendant")
    given.cancel()
    wait_until(lambda: alone(task), 5, "the command has ended")
    wait_until(lambda: attendants(plugin) == [], 5, "its attendant has ended")
    assert given.wait_error() == grpc.StatusCode.CANCELLED
    assert output(task, "echo", "still") == "still\n"


def test_deadline_of_the_call_kills(make: Make) -> None:
    task = make("/bin/sleep", ["300"]).start()
    given = session(task, "/bin/sleep", "300", seconds=1)
    assert given.wait_error() == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: alone(task), 5, "the command has ended")


def test_client_that_closes_its_connection(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task = sleeper(host, plugin)
    given = script(task, "echo up; sleep 300")
    given.wait_for("up")
    plugin.channel.close()
    plugin.connect()
    wait_until(lambda: alone(task), 5, "the command has ended")
    assert output(task, "echo", "still") == "still\n"


# The task


@pytest.mark.parametrize("tty", [False, True])
def test_ends_with_the_task(make: Make, plugin: Plugin, tty: bool) -> None:
    task = make("/bin/sleep", ["300"]).start()
    given = script(task, "trap '' HUP INT TERM; echo up; while :; do sleep 1; done", tty=tty)
    given.wait_for("up")
    begun = time.monotonic()
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)
    assert given.wait() == (137, 9)
    assert time.monotonic() - begun < scaled(2)
    assert not cgroups.populated(task.scope)
    task.destroy(force=False)
    assert attendants(plugin) == []


def test_task_that_ends_by_itself(act: Make, host: AgentHost) -> None:
    task = act("sleep=700", "exit=12").start()
    given = session(task, host.program("act"), "pause=")
    assert given.wait() == (137, 9)
    assert task.wait() == ExitResult(12)


def test_cgroup_can_be_used_again(make: Make, host: AgentHost, plugin: Plugin) -> None:
    """Nomad restarts a task in the same cgroup. From Linux 6.14 on, a cgroup that was ever killed as a whole (cgroup.kill)
    kills every process that is cloned into it: the end of a task with commands in it must not use that."""
    task = make("/bin/sleep", ["300"]).start()
    sessions = [script(task, "echo up; sleep 300") for _ in range(8)]
    for given in sessions:
        given.wait_for("up")
    task.stop(signal="SIGTERM")
    assert [given.wait() for given in sessions] == [(137, 9)] * 8
    task.destroy(force=False)
    again = make(host.program("act"), ["exit=3"])
    again.request.task.resources.linux_resources.cpuset_cgroup = str(task.scope)
    assert again.run() == ExitResult(3)


def test_destroy_by_force(running: tuple[Task, Session]) -> None:
    task, given = running
    task.destroy(force=True)
    assert given.wait() == (137, 9)


def test_executor_is_killed(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task = sleeper(host, plugin)
    given = script(task, "echo up; sleep 300")
    given.wait_for("up")
    kill_executor(task.executor_pid)
    assert given.wait() == (137, 9)


# The attendant


def test_attendant_is_killed(running: tuple[Task, Session], plugin: Plugin) -> None:
    task, given = running
    command = others_in(task)[0]
    os.kill(attendants(plugin)[0].pid, signal.SIGKILL)
    with refused("no result", "attendant", task.id, code=Code.UNAVAILABLE):
        given.wait()
    wait_until(lambda: not processes.is_alive(command), 5, "the command has ended")
    assert output(task, "echo", "still") == "still\n"


def test_command_in_a_frozen_task(make: Make, plugin: Plugin) -> None:
    """It does not reach its first instruction, and its cancellation must still end it."""
    task = make("/bin/sleep", ["300"]).start()
    (task.scope / "cgroup.freeze").write_text("1")
    given = session(task, "/bin/touch", task.local / "file")
    wait_until(lambda: len((task.scope / "cgroup.procs").read_text().split()) == 2, 10, "the command in the cgroup")
    (attendant,) = {process.pid for process in attendants(plugin)} - set(others_in(task))
    given.cancel()
    wait_until(lambda: not processes.is_alive(attendant), 10, "its attendant has ended")
    (task.scope / "cgroup.freeze").write_text("0")
    wait_until(lambda: alone(task), 5, "the command has ended")
    assert not (task.local / "file").exists()
    assert output(task, "echo", "works") == "works\n"


def test_stopped_attendant_does_not_hold_up_the_task(running: tuple[Task, Session], plugin: Plugin) -> None:
    task, given = running
    with Stopped(attendants(plugin)[0].pid):
        begun = time.monotonic()
        task.stop(signal="SIGTERM")
        assert task.wait() == ExitResult(143, 15)
        task.destroy(force=False)
        assert time.monotonic() - begun < scaled(5)
    with pytest.raises(grpc.RpcError):
        given.wait()


# The Driver


def test_driver_is_killed(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task = sleeper(host, plugin)
    given = script(task, "trap '' HUP PIPE; echo up; sleep 300 & sleep 300")
    terminal = script(task, "trap '' HUP; echo up; sleep 300", tty=True)
    for each in (given, terminal):
        each.wait_for("up")
    main, executor = task.pid, task.executor_pid
    wait_until(lambda: len(others_in(task)) >= 5, 5, "both commands and what they start")
    found = [process.pid for process in attendants(plugin)] + others_in(task)
    plugin.kill()
    wait_until(lambda: not any(processes.is_alive(pid) for pid in found), 5, f"{found} ended with the Driver")
    assert processes.is_alive(main) and processes.is_alive(executor)
    assert given.wait_error() == grpc.StatusCode.UNAVAILABLE
    recover(successor(launch, plugin), task)


def test_recovered_task(launch: Launch, host: AgentHost) -> None:
    """By a Driver that has never seen its start request: a command runs as it did under the first."""
    plugin = launch({"unveil_by_task": True})
    task = sleeper(host, plugin, user="nomad-83210", unveil=["r:/proc"], env={"COLOUR": "blue"})
    before = output(task, "/bin/sh", "-c", "id; env | grep -v SHLVL | sort; pwd; cat /proc/self/cgroup")
    assert "COLOUR=blue" in before and "uid=83210" in before
    second = successor(launch, plugin)
    recover(second, task)
    assert output(task, "/bin/sh", "-c", "id; env | grep -v SHLVL | sort; pwd; cat /proc/self/cgroup") == before
    assert b"No such file or directory" in exec_task(task, "cat", "/etc/shadow").stderr
    assert b"Permission denied" in exec_task(task, "cat", "/etc/passwd").stderr
    given = script(task, "stty size; read line; echo $line; exit 43", tty=True, sizes=[(12, 34)])
    given.send(b"hello\n")
    assert given.wait() == (43, 0)
    assert sorted(given.stdout.split()) == [b"12", b"34", b"hello", b"hello"]
    ending = script(task, "echo up; sleep 300")
    ending.wait_for("up")
    task.stop(signal="SIGTERM")
    assert ending.wait() == (137, 9)
    assert task.wait() == ExitResult(143, 15)


def test_secrets_are_nowhere_on_disk(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task = sleeper(host, plugin, env={"PASSWORD": "xyzzy-sesame"})
    exec_task(task, "true")
    given = session(task, "/bin/sleep", "300")
    wait_until(lambda: others_in(task), 10, "the command")
    for directory, _, files in os.walk(plugin.state_dir):
        for name in files:
            path = Path(directory) / name
            if path.is_file():
                assert b"xyzzy-sesame" not in path.read_bytes(), path
    given.cancel()


def test_executor_of_the_previous_release(launch: Launch, host: AgentHost, binary: Path) -> None:
    """It has not kept its launch request: the error says so, and what to do."""
    before = earlier.built(2)
    directory = host.root / "bin"
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)

    def install(source: Path) -> Path:
        for name in earlier.PROGRAMS:
            shutil.copy(source / name, directory / f"{name}.new")
            (directory / f"{name}.new").rename(directory / name)
        return directory / earlier.PROGRAMS[0]

    old = launch(binary=install(before.directory))
    task = sleeper(host, old)
    old.kill()
    new = launch(dict(old.config), binary=install(binary.parent))
    recover(new, task)
    with refused("older release", "restart the task", task.id, code=Code.FAILED_PRECONDITION):
        exec_task(task, "true")
    with refused("older release", "restart the task", task.id, code=Code.FAILED_PRECONDITION):
        session(task, "true").wait()
    fresh = sleeper(host, new)
    assert output(fresh, "echo", "works") == "works\n"
    shutil.rmtree(directory)


def test_executor_is_missing(launch: Launch, host: AgentHost, binary: Path) -> None:
    """The Executor's program, which attendants run."""
    directory = host.root / "elsewhere"
    directory.mkdir()
    directory.chmod(0o755)
    shutil.copy(binary.parent / earlier.PROGRAMS[1], directory / "executor")
    (directory / "executor").chmod(0o755)
    plugin = launch({"executor_path": str(directory / "executor")})
    task = sleeper(host, plugin)
    assert output(task, "echo", "works") == "works\n"
    (directory / "executor").unlink()
    with refused("the Executor cannot be run from", str(directory), "executor_path", code=Code.FAILED_PRECONDITION):
        exec_task(task, "true")
    directory.rmdir()


def test_command_that_cannot_be_launched(make: Make) -> None:
    """The task's user has lost access to the working directory: the error is that of a launch, with its hint."""
    task = make("/bin/sleep", ["300"]).start()
    task.directory.chmod(0o700)
    os.chown(task.directory, 0, 0)
    hint = 'user "nomad-80000" must be able to enter it'
    with refused(
            "cannot change to the working directory", "Permission denied", hint, task.id, code=Code.FAILED_PRECONDITION):
        exec_task(task, "true")


def test_unveiled_directory_that_is_gone(make: Make) -> None:
    """It does not keep an operator from running a command in the task."""
    directory = Path(f"/var/tmp/exec2-passing-{os.getpid()}")
    directory.mkdir()
    task = make("/bin/sleep", ["300"], unveil=[f"r:{directory}"]).start()
    directory.rmdir()
    assert output(task, "echo", "works") == "works\n"
