"""The exit record: right, durable, and never guessed."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages, processes
from agent.restart import LOST, Stopped, lost_result, recover, successor
from agent.state import directory_of, lose_events, read_record, record_bytes
from agent.timing import wait_until

Launch = Callable[..., Plugin]


def acting(host: AgentHost, plugin: Plugin, *verbs: str) -> Task:
    return host.task(plugin, host.program("act"), verbs)


@pytest.mark.parametrize(
    "end, expected",
    [("exit=0", ExitResult(0)), ("exit=255", ExitResult(255)), ("raise=11", ExitResult(139, 11)), ("raise=9", ExitResult(137, 9))],
    ids=["0", "255", "SIGSEGV", "SIGKILL"])
def test_record(launch: Launch, host: AgentHost, end: str, expected: ExitResult) -> None:
    plugin = launch()
    task = acting(host, plugin, "busy=300", "sleep=100", end).start()
    seen, pid = task.inspect().task, task.pid
    assert task.wait() == expected
    directory = directory_of(task)
    record = read_record(directory)
    assert (record.exit_code, record.signal, record.oom_killed) == (expected.exit_code, expected.signal, False)
    assert (record.task_directory, record.pid, record.survivors, record.exec_error) == (directory.name, pid, False, 0)
    assert record.started_at_ns == seen.started_at.ToNanoseconds()
    assert record.started_at_ns + 50_000_000 <= record.ended_at_ns <= time.time_ns()
    assert record.user_time_us + record.system_time_us >= 10_000
    assert record.max_rss_kib > 0
    facts = (directory / "exit").stat()
    assert stat.S_IMODE(facts.st_mode) == 0o600 and facts.st_uid == 0
    assert not (directory / "exit.reserved").exists()


def test_record_of_a_command_that_is_not_there(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    task = host.task(plugin, "no-such-command-here").start()
    assert task.wait() == ExitResult(127)
    record = read_record(directory_of(task))
    assert (record.exit_code, record.signal) == (127, 0)
    assert record.exec_error == 2


def test_nothing_is_in_the_way_of_the_record(launch: Launch, host: AgentHost) -> None:
    """While the task runs there is no record, only its reserved space, and no secret."""
    plugin = launch()
    task = host.task(plugin, host.program("act"), ["out=up", "pause="], env={"SECRET": "quite-secret"}).start()
    task.stdout.wait_for("up")
    directory = directory_of(task)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert not (directory / "exit").exists()
    assert (directory / "exit.reserved").stat().st_blocks * 512 >= 4096
    for entry in directory.iterdir():
        assert stat.S_IMODE(entry.stat().st_mode) & 0o077 == 0, entry
        if entry.is_file():
            assert b"quite-secret" not in entry.read_bytes()
    task.stop()


def foreign(directory: Path) -> bytes:
    """A complete record of another task."""
    record = read_record(directory)
    record.task_directory = "another+web+00000000"
    record.exit_code = 0
    return record_bytes(record)


DAMAGES: dict[str, Callable[[Path, bytes], bytes]] = {
    "empty": lambda _, whole: b"",
    "cut in the magic": lambda _, whole: whole[:5],
    "cut in the header": lambda _, whole: whole[:19],
    "cut after the header": lambda _, whole: whole[:20],
    "cut at the end": lambda _, whole: whole[:-1],
    "longer": lambda _, whole: whole + b"\x00",
    "zeros": lambda _, whole: bytes(4096),
    "magic flipped": lambda _, whole: b"Y" + whole[1:],
    "length flipped": lambda _, whole: whole[:12] + b"\xff" + whole[13:],
    "checksum flipped": lambda _, whole: whole[:16] + bytes([whole[16] ^ 1]) + whole[17:],
    "first byte flipped": lambda _, whole: whole[:20] + bytes([whole[20] ^ 1]) + whole[21:],
    "last byte flipped": lambda _, whole: whole[:-1] + bytes([whole[-1] ^ 0x80]),
    "version of a later release": lambda directory, _: record_bytes(read_record(directory), version=2),
    "of another task": lambda directory, _: foreign(directory),
    "text": lambda _, whole: b"exit_code: 0\n" * 100,
    "megabytes": lambda _, whole: whole * 20_000,
}


@pytest.fixture(scope="module")
def damaged(host: AgentHost, binary: Path) -> Iterator[dict[str, tuple[Task, Path]]]:
    """Ended tasks with a damaged record each, recovered by the next driver."""
    first = host.launch()
    tasks = {kind: acting(host, first, "exit=7").start() for kind in DAMAGES}
    tasks["untouched"] = acting(host, first, "exit=7").start()
    for task in tasks.values():
        task.wait()
    first.kill()
    for kind, damage in DAMAGES.items():
        record = directory_of(tasks[kind]) / "exit"
        record.write_bytes(damage(record.parent, record.read_bytes()))
    second = host.launch(dict(first.config))
    recover(second, *tasks.values())
    own = list(tasks.values())
    # They are kept until the last of these tests.
    for task in own:
        host.tasks.remove(task)
    yield {kind: (task, directory_of(task) / "exit") for kind, task in tasks.items()}
    host.tasks.extend(own)
    faults = host.clean_tasks() + host.leftovers(second)
    for plugin in (first, second):
        plugin.end()
        host.plugins.remove(plugin)
        faults += plugin.violations
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_record(damaged: dict[str, tuple[Task, Path]], kind: str) -> None:
    """Seen without the comparison of the checksum: a record with a wrong one was told as the task's end."""
    task, path = damaged[kind]
    assert lost_result(task, str(path), "lost") == LOST
    assert task.inspect().task.state == messages.driver.EXITED
    task.stop()


def test_others_records_are_not_touched(damaged: dict[str, tuple[Task, Path]]) -> None:
    assert damaged["untouched"][0].wait() == ExitResult(7)


@pytest.mark.parametrize("kind", ["directory", "symlink", "pipe"])
def test_record_that_is_not_a_file(launch: Launch, host: AgentHost, kind: str) -> None:
    """None of them makes the driver hang."""
    first = launch()
    task = acting(host, first, "exit=7").start()
    task.wait()
    first.kill()
    path = directory_of(task) / "exit"
    path.rename(path.parent.parent / "whole")
    if kind == "directory":
        path.mkdir()
    elif kind == "symlink":
        path.symlink_to(path.parent.parent / "whole")
    else:
        os.mkfifo(path)
    recover(successor(launch, first), task)
    assert lost_result(task, str(path)) == LOST
    (path.rmdir if kind == "directory" else path.unlink)()
    (path.parent.parent / "whole").unlink()


def ends_on_request(host: AgentHost, plugin: Plugin) -> Task:
    return host.task(plugin, "sh", ["-c", "until test -e $NOMAD_TASK_DIR/go; do sleep 0.05; done; exit 7"])


def damage_record(plugin: Plugin, task: Task, loses_event: bool) -> Path:
    """Has the task end while the driver is stopped, and its record changed before the driver can read it."""
    executor, path = task.executor_pid, directory_of(task) / "exit"
    with Stopped(plugin.pid):
        (task.local / "go").touch()
        wait_until(lambda: not processes.is_alive(executor), 10, "the Executor has ended")
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"?")
        if loses_event:
            lose_events(task)
    return path


def test_record_damaged_before_the_driver_reads_it(launch: Launch, host: AgentHost) -> None:
    """The running driver checks the record too, where the Executor could not tell it."""
    plugin = launch()
    task = ends_on_request(host, plugin).start()
    waiting = task.wait_soon()
    path = damage_record(plugin, task, loses_event=True)
    waiting.result()
    assert lost_result(task, str(path), "damaged") == LOST


def test_the_running_driver_needs_no_record(launch: Launch, host: AgentHost) -> None:
    """The event of the end has a copy."""
    plugin = launch()
    task = ends_on_request(host, plugin).start()
    waiting = task.wait_soon()
    damage_record(plugin, task, loses_event=False)
    answer = waiting.result()
    assert (answer.result.exit_code, answer.result.signal, answer.err) == (7, 0, "")
    task.destroy()


@pytest.mark.parametrize("kind", ["space", "files"])
def test_full_file_system(launch: Launch, host: AgentHost, kind: str) -> None:
    """The record's space was reserved at launch."""
    state_dir = host.make_state_dir()
    state_dir.mkdir(parents=True, mode=0o700)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=64,mode=0700", "exec2-test", str(state_dir)], check=True)
    plugin = second = None
    try:
        plugin = launch({"state_dir": str(state_dir)})
        tasks = [acting(host, plugin, "out=up", f"sleep={number * 300}", f"exit={50 + number}") for number in (1, 4)]
        for task in tasks:
            task.start()
            task.stdout.wait_for("up")
        filler = state_dir / "filler"
        filler.mkdir()
        with pytest.raises(OSError, match="No space left"):
            if kind == "space":
                with open(filler / "space", "wb", buffering=0) as file:
                    while True:
                        file.write(b"x" * 4096)
            for number in range(1000):
                (filler / str(number)).touch()
        # One ends while the driver runs, the other while none does.
        assert tasks[0].wait() == ExitResult(51)
        plugin.kill()
        wait_until(lambda: (directory_of(tasks[1]) / "exit").exists(), 10, "the second task's record")
        assert [read_record(directory_of(task)).exit_code for task in tasks] == [51, 54]
        second = successor(launch, plugin)
        recover(second, *tasks)
        assert [task.wait() for task in tasks] == [ExitResult(51), ExitResult(54)]
        # A task whose end could not be recorded is not started.
        if kind == "space":
            for task in tasks:
                task.destroy(force=False)
                (filler / f"more of {task.alloc_id}").write_bytes(b"")
            with open(filler / "space", "ab", buffering=0) as file, pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(b"x" * 4096)
        third = acting(host, second, "exit=0")
        with pytest.raises(Exception, match="No space left"):
            third.start()
        for task in tasks:
            task.destroy(force=False)
        for entry in filler.iterdir():
            entry.unlink()
        filler.rmdir()
        assert third.start().wait() == ExitResult(0)
        third.destroy()
        assert os.listdir(state_dir) == []
    finally:
        for owner in (plugin, second):
            if owner is not None:
                owner.end()
        subprocess.run(["umount", "-l", str(state_dir)], check=True)
