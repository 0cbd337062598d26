"""What earlier drivers left in the state directory: swept where it cannot matter
any more, left alone where it is nobody's known."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from pathlib import Path
from typing import Any, Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, messages, processes
from agent.restart import Stopped, recover, recover_soon, successor
from agent.state import boot_id, directory_of, forge_directory, frame, record_bytes
from agent.timing import scaled, wait_until

Launch = Callable[..., Plugin]
DAY = 86_400


def identity(task_id: str, boot: str, pid: int = 2**22 - 1, start: int = 1) -> Any:
    return messages.executor.HandleState(
        version=1, boot_id=boot, executor_pid=pid, executor_start_time=start, task_id=task_id, task_name="web")


def forge(state_dir: Path, boot: str, ended: float | None = None, *, said: float | None = None, by_boot: bool = True) -> Path:
    """A directory of a task; with `ended`, one that ended so many seconds ago. `said`: so many by the time of day, if that
    is another; without `by_boot` the record has nothing but that, as those of earlier releases."""
    task_id = f"{uuid.uuid4()}/web/{uuid.uuid4().hex[:8]}"
    directory = forge_directory(state_dir, task_id.replace("/", "+"), identity(task_id, boot))
    if ended is not None:
        at = time.time_ns() - int((ended if said is None else said) * 1e9)
        since_boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - int(ended * 1e9) if by_boot else 0
        (directory / "exit").write_bytes(record_bytes(messages.executor.ExitRecord(
            task_directory=directory.name, exit_code=3, started_at_ns=at, ended_at_ns=at, pid=77, ended_boottime_ns=since_boot)))
    return directory


def gone(directory: Path, seconds: float = 5) -> None:
    wait_until(lambda: not directory.exists(), seconds, f"{directory.name} removed")


def handle_of(directory: Path, boot: str) -> Any:
    state = identity(directory.name.replace("+", "/"), boot)
    state.state_dir, state.directory = str(directory.parent), directory.name
    return messages.driver.TaskHandle(version=1, driver_state=state.SerializeToString())


def test_directory_of_another_boot(launch: Launch, host: AgentHost) -> None:
    state_dir = host.make_state_dir()
    old, recorded = forge(state_dir, str(uuid.uuid4())), forge(state_dir, str(uuid.uuid4()), ended=10)
    ancient = forge(state_dir, str(uuid.uuid4()), ended=2 * DAY)
    plugin = launch({"state_dir": str(state_dir)})
    gone(old)
    # It is as old as this boot at least, whatever the time of day was in that one.
    if time.clock_gettime(time.CLOCK_BOOTTIME) > DAY:
        gone(ancient)
    assert any(entry.get("path") == str(old) and "boot" in entry.get("reason", "") for entry in plugin.log)
    # Its record may still be asked for.
    time.sleep(scaled(0.3))
    if time.clock_gettime(time.CLOCK_BOOTTIME) < DAY:
        assert recorded.exists() and ancient.exists()
        shutil.rmtree(ancient)
    request = messages.driver.RecoverTaskRequest(task_id="a/b/c", handle=handle_of(recorded, str(uuid.uuid4())))
    plugin.driver.RecoverTask(request, timeout=scaled(10))
    result = plugin.driver.WaitTask(messages.driver.WaitTaskRequest(task_id="a/b/c"), timeout=scaled(10))
    assert (result.result.exit_code, result.err) == (3, "")
    plugin.driver.DestroyTask(messages.driver.DestroyTaskRequest(task_id="a/b/c"), timeout=scaled(10))
    assert not recorded.exists()


def test_another_boot_and_a_process_with_the_same_pid(launch: Launch, host: AgentHost) -> None:
    """The pid in such a directory means nothing."""
    state_dir = host.make_state_dir()
    first = launch({"state_dir": str(state_dir), "orphan_grace": 0})
    task = host.task(first, host.program("act"), ["out=up", "pause="]).start()
    task.stdout.wait_for("up")
    state = messages.executor.HandleState.FromString(task.handle.driver_state)
    task_id = f"{uuid.uuid4()}/web/01234567"
    directory = forge_directory(
        state_dir, task_id.replace("/", "+"),
        identity(task_id, str(uuid.uuid4()), state.executor_pid, state.executor_start_time))
    second = successor(launch, first)
    gone(directory)
    assert processes.is_alive(state.task_pid) and processes.is_alive(state.executor_pid)
    recover(second, task)
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_record_of_this_boot(launch: Launch, host: AgentHost) -> None:
    """Kept for a day, if the host ever knew the task; then removed, but not
    before the host had time to ask for it."""
    state_dir = host.make_state_dir()
    fresh, old, asked = (forge(state_dir, boot_id(), ended=age) for age in (DAY - 600, DAY + 600, DAY + 600))
    for directory in (fresh, old, asked):
        (directory / "claimed").touch()
    plugin = launch({"state_dir": str(state_dir), "orphan_grace": 2})
    plugin.driver.RecoverTask(
        messages.driver.RecoverTaskRequest(task_id="a/b/c", handle=handle_of(asked, boot_id())), timeout=scaled(10))
    time.sleep(scaled(0.5))
    assert old.exists() and fresh.exists()
    gone(old, 6)
    time.sleep(scaled(0.3))
    assert fresh.exists() and asked.exists()
    result = plugin.driver.WaitTask(messages.driver.WaitTaskRequest(task_id="a/b/c"), timeout=scaled(10))
    assert (result.result.exit_code, result.err) == (3, "")
    plugin.driver.DestroyTask(messages.driver.DestroyTaskRequest(task_id="a/b/c"), timeout=scaled(10))
    assert not asked.exists()
    for entry in fresh.iterdir():
        entry.unlink()
    fresh.rmdir()


def test_a_clock_that_was_set(launch: Launch, host: AgentHost) -> None:
    """Forward by two days, it makes no record old; back by two, none new. Before the boot's clock counted, the former was
    removed and the latter kept."""
    state_dir = host.make_state_dir()
    fresh = forge(state_dir, boot_id(), ended=60, said=2 * DAY)
    old = forge(state_dir, boot_id(), ended=DAY + 600, said=-2 * DAY)
    # Of an earlier release's Executor: no older than the boot, whatever it says.
    plain = forge(state_dir, boot_id(), ended=2 * time.clock_gettime(time.CLOCK_BOOTTIME), by_boot=False)
    for directory in (fresh, old, plain):
        (directory / "claimed").touch()
    launch({"state_dir": str(state_dir), "orphan_grace": 1})
    gone(old)
    time.sleep(scaled(0.3))
    assert fresh.exists()
    assert plain.exists() or time.clock_gettime(time.CLOCK_BOOTTIME) > DAY
    for directory in (fresh, plain):
        shutil.rmtree(directory, ignore_errors=True)


def test_ended_task_that_the_host_never_knew(launch: Launch, host: AgentHost) -> None:
    state_dir = host.make_state_dir()
    directory = forge(state_dir, boot_id(), ended=5)
    launch({"state_dir": str(state_dir), "orphan_grace": 1})
    time.sleep(scaled(0.4))
    assert directory.exists()
    gone(directory)


def test_directory_whose_executor_never_came(launch: Launch, host: AgentHost) -> None:
    """A Driver died between making it and spawning; with all that it may hold by then."""
    state_dir = host.make_state_dir()
    directories = []
    for number, files in enumerate([[], ["control"], ["control", "events"], ["control", "events", "lock"]]):
        directory = state_dir / f"{uuid.uuid4()}+web+0123456{number}"
        directory.mkdir(parents=True, mode=0o700)
        for file in files:
            (directory / file).touch() if file == "lock" else os.mkfifo(directory / file)
        directories.append(directory)
    launch({"state_dir": str(state_dir), "orphan_grace": 1})
    for directory in directories:
        gone(directory)


STRANGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.mkdir(),
    "notes": lambda path: (path.mkdir(), (path / "notes.txt").write_text("mine")),
    "with a directory": lambda path: (path / "control" / "deep").mkdir(parents=True),
    "almost": lambda path: (path.mkdir(), os.mkfifo(path / "control"), (path / "exit.old").touch()),
    "a file": lambda path: path.write_text("mine"),
    "lost+found": lambda path: path.mkdir(mode=0o700),
    ".hidden": lambda path: (path.mkdir(), (path / "x").touch()),
}


def content(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_directories_that_are_not_recognised(launch: Launch, host: AgentHost) -> None:
    state_dir = host.make_state_dir()
    state_dir.mkdir(parents=True, mode=0o700)
    for name, make in STRANGE.items():
        make(state_dir / name)
    before = content(state_dir)
    plugin = launch({"state_dir": str(state_dir), "orphan_grace": 1})
    task = host.task(plugin, host.program("act"), ["exit=2"])
    assert task.run() == ExitResult(2)
    task.destroy()
    time.sleep(scaled(2))
    # "control" is a file of a task's directory by name; what it is keeps it.
    assert content(state_dir) == before
    warned = {entry.get("path") for entry in plugin.log if entry["@level"] in ("warn", "error")}
    assert {str(state_dir / name) for name in STRANGE} <= warned
    for path in sorted(state_dir.rglob("*"), key=lambda path: -len(path.parts)):
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    "bytes_", [b"", b"\xe2\x45", frame(b"\xff\xff\xff"), frame(b""), b"x" * 5000], ids=["empty", "cut", "no message", "nothing", "text"])
def test_identity_that_is_none(launch: Launch, host: AgentHost, bytes_: bytes) -> None:
    """As none: removed when nobody came for it, never while an Executor lives."""
    first = launch({"orphan_grace": 0})
    task = host.task(first, host.program("act"), ["out=up", "pause="]).start()
    task.stdout.wait_for("up")
    directory = directory_of(task)
    first.kill()
    (directory / "executor").write_bytes(bytes_)
    dead = forge_directory(first.state_dir, f"{uuid.uuid4()}+web+01234567")
    (dead / "executor").write_bytes(bytes_)
    second = successor(launch, first, orphan_grace=1)
    gone(dead)
    assert directory.exists()
    recover(second, task)
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_identity_that_is_a_pipe(launch: Launch, host: AgentHost) -> None:
    """The sweep does not wait at it, nor does a call."""
    state_dir = host.make_state_dir()
    task_id = f"{uuid.uuid4()}/web/01234567"
    directory = forge_directory(state_dir, task_id.replace("/", "+"))
    os.mkfifo(directory / "executor")
    plugin = launch({"state_dir": str(state_dir), "orphan_grace": 1})
    plugin.driver.StopTask(messages.driver.StopTaskRequest(task_id=task_id), timeout=scaled(3))
    gone(directory)


def test_recovery_is_not_in_the_way_of_the_sweep(launch: Launch, host: AgentHost) -> None:
    """All at once, right after the configuration and when the grace is over."""
    plugin = launch({"orphan_grace": 1})
    tasks = [host.task(plugin, host.program("act"), ["out=up", "pause="]).start() for _ in range(12)]
    for task in tasks:
        task.stdout.wait_for("up")
    for round_ in range(4):
        plugin = successor(launch, plugin)
        if round_ % 2:
            time.sleep(0.9)
        for answer in [recover_soon(plugin, task) for task in tasks]:
            answer.result()
        assert {task.inspect().task.state for task in tasks} == {messages.driver.RUNNING}
        # The next round's grace must not begin with unclaimed tasks.
        wait_until(lambda: all((directory_of(task) / "claimed").exists() for task in tasks), 5, "claims noted")
    for task in tasks:
        task.stop(signal="SIGTERM")
        assert task.wait() == ExitResult(143, 15)


def test_lost_task_whose_executor_is_stopped(launch: Launch, host: AgentHost) -> None:
    """It is ended all the same."""
    first = launch({"orphan_grace": 0})
    task = host.task(first, host.program("act"), ["out=up", "pause="])
    first.driver.StartTask(task.request, timeout=scaled(30))
    task.stdout.wait_for("up")
    executor = processes.look(int(task.inspect().driver.attributes["pid"])).parent
    directory = directory_of(task)
    with Stopped(executor):
        successor(launch, first, orphan_grace=1)
        gone(directory, 25)
    assert not processes.is_alive(executor)
