"""An Executor of the previous release runs on under this Driver, also while both
files are replaced. Its programs are built from the sources of an earlier commit."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, earlier, messages, processes
from agent.exec import exec_task, output
from agent.expect import Code, refused
from agent.restart import LOST, kill_executor, lost_result, recover
from agent.state import directory_of, forge_directory, read_frame
from agent.timing import scaled, wait_until

Launch = Callable[..., Plugin]


@pytest.fixture(scope="module")
def before() -> earlier.Earlier:
    """The previous release; the tests fail if there is none."""
    return earlier.built(earlier.current_protocol() - 1)


def install(source: Path, target: Path) -> Path:
    """Copies both programs as an upgrade does: under another name, then renamed."""
    target.mkdir(exist_ok=True)
    target.chmod(0o755)
    for name in earlier.PROGRAMS:
        shutil.copy(source / name, target / f"{name}.new")
        (target / f"{name}.new").rename(target / name)
    return target / earlier.PROGRAMS[0]


@pytest.fixture
def programs(host: AgentHost) -> Iterator[Path]:
    """The directory that the programs are installed in."""
    directory = host.root / "bin"
    yield directory
    shutil.rmtree(directory)


def upgrade(launch: Launch, plugin: Plugin, binary: Path, programs: Path, **config: object) -> Plugin:
    """Replaces both files while tasks run; then the driver is killed and the new one starts."""
    installed = install(binary.parent, programs)
    plugin.kill()
    return launch({**plugin.config, **config}, binary=installed)


def test_the_previous_release_differs(before: earlier.Earlier, binary: Path) -> None:
    """Otherwise the other tests of this file try nothing."""
    assert before.protocol == earlier.current_protocol() - 1
    for name in earlier.PROGRAMS:
        assert (before.directory / name).read_bytes() != (binary.parent / name).read_bytes()


def test_upgrade_under_running_tasks(
    launch: Launch, host: AgentHost, before: earlier.Earlier, binary: Path, programs: Path
) -> None:
    old = launch(binary=install(before.directory, programs))
    running, ended, lost = host.paused(old), host.task(old, host.program("act"), ["sleep=300", "exit=31"]).start(), host.paused(old)
    offspring = host.task(old, host.program("offspring"), ["session", "daemon"]).start()
    offspring.stdout.wait_for("child daemon")
    seen, pid, executor = running.inspect(), running.pid, running.executor_pid
    old_program = (before.directory / earlier.PROGRAMS[1]).read_bytes()
    assert Path(f"/proc/{executor}/exe").read_bytes() == old_program
    lost_executor = lost.executor_pid
    old.kill()
    kill_executor(lost_executor)
    wait_until(lambda: (directory_of(ended) / "exit").exists(), 10, "the exit record of the old Executor")

    installed = install(binary.parent, programs)
    new = launch(dict(old.config), binary=installed)
    recover(new, running, ended, lost, offspring)
    # The facts about the running task come from the old Executor's answer to hello.
    assert running.inspect().task == seen.task
    assert running.pid == pid and running.executor_pid == executor
    assert Path(f"/proc/{executor}/exe").read_bytes() == old_program
    waiting = running.wait_soon()
    running.signal("SIGCONT")
    with refused("SIGNONE"):
        running.signal("SIGNONE")
    assert ended.wait() == ExitResult(31)
    assert lost_result(lost, "supervisor") == LOST
    running.stop(signal="SIGTERM")
    assert Task.result_of(waiting.result()) == ExitResult(143, 15)
    offspring.stop(signal="SIGTERM")
    assert offspring.wait() == ExitResult(0)
    fresh = host.paused(new)
    assert Path(f"/proc/{fresh.executor_pid}/exe").read_bytes() == (binary.parent / earlier.PROGRAMS[1]).read_bytes()
    fresh.stop(signal="SIGTERM")
    assert fresh.wait() == ExitResult(143, 15)
    for task in (running, ended, lost, offspring, fresh):
        task.destroy(force=False)
        assert not cgroups.populated(task.scope)
    assert os.listdir(new.state_dir) == []


def test_kill_timeout_and_force(
    launch: Launch, host: AgentHost, before: earlier.Earlier, binary: Path, programs: Path
) -> None:
    old = launch(binary=install(before.directory, programs))
    stubborn = host.task(old, host.program("act"), ["ignore=15", "out=up", "pause="]).start()
    stubborn.stdout.wait_for("up")
    forced = host.paused(old)
    pid, executor = forced.pid, forced.executor_pid
    new = upgrade(launch, old, binary, programs)
    recover(new, stubborn, forced)
    begun = time.monotonic()
    stubborn.stop(timeout=0.3, signal="SIGTERM")
    assert 0.3 <= time.monotonic() - begun < scaled(3)
    assert stubborn.wait() == ExitResult(137, 9)
    with refused("running"):
        forced.destroy(force=False)
    forced.destroy(force=True)
    assert not processes.is_alive(pid) and not processes.is_alive(executor)


def test_commands_that_lack_a_rule_are_told_of_once(
    launch: Launch, host: AgentHost, binary: Path, programs: Path, places: Path
) -> None:
    """For a command in a task without a root of its own, the paths of its rules are opened again. Seen without the limit: a
    warning of each command, of which a script check runs many."""
    old = launch({"unveil_by_task": True}, binary=install(earlier.with_hosts_root().parent, programs))
    rule = places / "file"
    rule.touch()
    task = host.task(old, "sleep", ["300"], unveil=[f"r:{rule}"]).start()
    new = upgrade(launch, old, binary, programs)
    recover(new, task)
    rule.unlink()
    rule.symlink_to(rule)
    for _ in range(4):
        assert output(task, "echo", "fine") == "fine\n"
    task.stop(timeout=0)
    with refused("not running"):
        exec_task(task, "true")
    wait_until(lambda: any(entry["@message"] == "cannot exec in a task" for entry in new.log), 30, "a line after those of the commands")
    [warning] = [entry for entry in new.log if entry["@message"] == "exec in a task" and entry["@level"] == "warn"]
    assert warning["commands"] == 1 and f"{rule}: Too many levels of symbolic links" in warning["reason"]


def test_executor_killed_under_the_new_driver(
    launch: Launch, host: AgentHost, before: earlier.Earlier, binary: Path, programs: Path
) -> None:
    old = launch(binary=install(before.directory, programs))
    task = host.paused(old)
    new = upgrade(launch, old, binary, programs)
    recover(new, task)
    kill_executor(task.executor_pid)
    assert lost_result(task, "supervisor") == LOST


def test_sweep_leaves_an_old_executor_alone(
    launch: Launch, host: AgentHost, before: earlier.Earlier, binary: Path, programs: Path
) -> None:
    """It may have no identity file; its host may ask for it after the grace."""
    old = launch(binary=install(before.directory, programs))
    task = host.paused(old)
    task.wait_soon().cancel()
    # WaitTask shows drivers that note it that the host knows the task.
    (directory_of(task) / "claimed").touch()
    new = upgrade(launch, old, binary, programs, orphan_grace=1)
    time.sleep(scaled(2.2))
    recover(new, task)
    task.signal("SIGCONT")
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_upgrade_and_back(
    launch: Launch, host: AgentHost, before: earlier.Earlier, binary: Path, programs: Path
) -> None:
    """A task of the new release runs on until the new driver returns."""
    new = launch(binary=install(binary.parent, programs))
    task = host.paused(new)
    pid = task.pid
    new.kill()
    old = launch(dict(new.config), binary=install(before.directory, programs))
    other = host.task(old, host.program("act"), ["exit=2"])
    assert other.run() == ExitResult(2)
    other.destroy()
    assert processes.is_alive(pid)
    again = upgrade(launch, old, binary, programs)
    recover(again, task)
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_one_session_whatever_the_releases(
    launch: Launch, host: AgentHost, before: earlier.Earlier, binary: Path, programs: Path
) -> None:
    """A task belongs to one driver at a time, also while both releases run, and whichever has made its directory."""
    new = launch(binary=install(binary.parent, programs))
    old = launch(dict(new.config), binary=before.directory / earlier.PROGRAMS[0])
    for first, second in ((new, old), (old, new)):
        task = host.paused(first)
        assert ((directory_of(task) / "lock").stat().st_ino == (directory_of(task) / "events").stat().st_ino) == (first is new)
        request = messages.driver.RecoverTaskRequest(task_id=task.id, handle=task.handle)
        with refused(task.id, "another driver", code=Code.UNAVAILABLE):
            second.driver.RecoverTask(request, timeout=scaled(10))
        task.signal("SIGCONT")
        task.stop(signal="SIGTERM")
        assert task.wait() == ExitResult(143, 15)
        task.destroy()


def test_executor_older_than_the_driver(binary: Path, tmp_path: Path) -> None:
    """An incomplete upgrade: such an Executor must not silently ignore what it does not know, for example volumes.
    A build without the check began the launch, and failed at the logs only because these have no path here."""
    # LaunchVersion of Sources/Shared/Protocol/PipeProtocol.swift has four more, for `run`, UDP ports, roots and signals.
    version = earlier.current_protocol() + 5
    directory = forge_directory(tmp_path, "task")
    request = messages.executor.LaunchRequest(
        protocol=version, session=7, task_state_dir=str(directory), state_dir=str(tmp_path), task_id="task").SerializeToString()
    memory = os.memfd_create("launch-request")
    os.write(memory, request)
    reading, writing = os.pipe()
    os.write(writing, len(request).to_bytes(8, "little"))
    events = os.open(directory / "events", os.O_RDONLY | os.O_NONBLOCK)
    high = [fcntl.fcntl(number, fcntl.F_DUPFD, 10) for number in (reading, memory)]

    def as_a_driver_hands_over() -> None:
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    executor = subprocess.run(
        ["unshare", "--pid", "--fork", str(binary.parent / earlier.PROGRAMS[1])],
        preexec_fn=as_a_driver_hands_over, close_fds=False, timeout=scaled(10))
    assert executor.returncode == 1
    event = messages.executor.Event.FromString(read_frame(os.read(events, 4096)))
    assert event.session == 7
    assert event.launch_failed.error == errno.EPROTONOSUPPORT
    assert event.launch_failed.subject == f"of version {version} (the Executor knows up to {version - 1})"
    assert not (directory / "executor").exists() and not (directory / "exit.reserved").exists()
    for number in (memory, reading, writing, events, *high):
        os.close(number)
