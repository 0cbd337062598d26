"""Logs are complete and in order, whatever the reader does."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path
from typing import Callable

import pytest

from agent import AgentHost, ExitResult, Task
from agent.expect import refused
from agent.opened import Opened
from agent.timing import scaled, sleep
from agent.volumes import make_node

Make = Callable[..., Task]
LINES_PER_MEGABYTE = (1 << 20) // 64


def digest_of_flood(megabytes: int) -> str:
    """The digest of what flood writes to one stream."""
    digest = hashlib.sha256()
    for block in range(megabytes):
        first = block * LINES_PER_MEGABYTE
        digest.update("".join(f"{number:063d}\n" for number in range(first, first + LINES_PER_MEGABYTE)).encode())
    return digest.hexdigest()


def test_hundred_megabytes(make: Make, host: AgentHost) -> None:
    """50 MB on each stream."""
    out, err = hashlib.sha256(), hashlib.sha256()
    task = make(host.program("flood"), ["50"], log_sink=out.update, error_sink=err.update)
    assert task.run(300) == ExitResult(0)
    assert (task.stdout.received, task.stderr.received) == (50 << 20, 50 << 20)
    assert out.hexdigest() == err.hexdigest() == digest_of_flood(50)


def test_reader_leaves_and_comes_back(make: Make, host: AgentHost) -> None:
    out, err = hashlib.sha256(), hashlib.sha256()
    task = make(host.program("flood"), ["10", "1000"], log_sink=out.update, error_sink=err.update).start()
    for received in (1 << 20, 3 << 20, 6 << 20):
        task.stdout.wait_received(received, 60)
        task.stdout.leave()
        task.stderr.leave()
        time.sleep(scaled(0.1))
        task.stderr.come_back()
        task.stdout.come_back()
    assert task.wait(300) == ExitResult(0)
    task.stdout.wait_end()
    task.stderr.wait_end()
    assert out.hexdigest() == err.hexdigest() == digest_of_flood(10)


def test_reader_that_comes_late(act: Make) -> None:
    """A task starts without a reader, and no output is lost."""
    task = act("out=early", "err=error", "pause=", late_reader=True).start()
    time.sleep(scaled(0.2))
    task.stdout.come_back()
    task.stderr.come_back()
    task.stdout.wait_for("early\n")
    task.stderr.wait_for("error\n")
    task.stop()


def test_last_output_arrives(act: Make) -> None:
    for _ in range(20):
        task = act("out=last", "err=words", "raise=9")
        assert task.run() == ExitResult(137, 9)
        assert (task.stdout.text, task.stderr.text) == ("last\n", "words\n")


def test_null_instead_of_logs(act: Make) -> None:
    task = act("out=x", "err=y", "exit=2")
    task.request.task.stdout_path = task.request.task.stderr_path = "/dev/null"
    assert task.start().wait() == ExitResult(2)
    assert task.stdout.text == task.stderr.text == ""


@pytest.mark.parametrize(
    "user, uid, gid, mode", [("nomad-80000", 80000, 80000, 0o200), ("nobody", 65534, 65534, 0o200), ("root", 0, 0, 0o600)])
def test_pipes_become_the_users(act: Make, user: str, uid: int, gid: int, mode: int) -> None:
    """So that the task's programs can open /dev/stdout, and to write only: another task of the user must not take what it
    wrote. Nobody else can open it."""
    task = act("out=up", "pause=", user=user).start()
    task.stdout.wait_for("up")
    for path in (task.stdout_path, task.stderr_path):
        facts = path.stat()
        assert stat.S_ISFIFO(facts.st_mode)
        assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (uid, gid, mode)
    task.stop()


def test_pipe_unlinked_while_running(act: Make) -> None:
    """The agent may remove the pipe's name while the task runs."""
    task = act("out=up", sleep(300), "out=still", "exit=0").start()
    task.stdout.wait_for("up")
    task.stdout_path.unlink()
    assert task.wait() == ExitResult(0)
    task.stdout.wait_end()
    assert task.stdout.text == "up\nstill\n"


def test_binary_output(make: Make) -> None:
    task = make("/usr/bin/printf", ["\\000\\377\\001\\n"])
    assert task.run() == ExitResult(0)
    assert bytes(task.stdout.data) == b"\x00\xff\x01\n"


def nothing(path: Path) -> None:
    path.unlink()


def plain_file(path: Path) -> None:
    path.unlink()
    path.write_text("untouched")


def symlink(path: Path) -> None:
    other = path.with_name("other.fifo")
    path.rename(other)
    path.symlink_to(other)


def symlink_to_file(path: Path) -> None:
    # Of the test's own: a driver without the check would write to it.
    victim = path.with_name("victim")
    victim.write_text("untouched")
    path.unlink()
    path.symlink_to(victim)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("spoil", [nothing, plain_file, symlink, symlink_to_file, directory])
def test_wrong_log_path(act: Make, stream: str, spoil: Callable[[Path], None]) -> None:
    """Seen without the check of its type: a task was started with a plain file as its log. Seen without
    RESOLVE_NO_SYMLINKS: a task was started whose log was a symlink to another pipe."""
    task = act("out=x", "exit=0")
    path = getattr(task, f"{stream}_path")
    before = Path("/etc/passwd").read_bytes()
    spoil(path)
    # The mount that a log is opened on refuses writing to a file as well, with an error that helps nobody.
    reason = "it must be a FIFO or /dev/null" if spoil in (plain_file, directory) else ""
    with refused(str(path), reason):
        task.start()
    assert Path("/etc/passwd").read_bytes() == before
    if path.is_file() and not path.is_symlink():
        assert path.read_text() == "untouched"


def test_a_device_in_the_place_of_a_log_is_not_opened(act: Make) -> None:
    """Another process with access to the alloc directory may have put it there. Seen before it was checked with O_PATH: the
    device was opened, which has effects with some devices, and only then refused."""
    task = act("out=x", "exit=0")
    task.stdout_path.unlink()
    make_node(task.stdout_path, 1, 5)
    with Opened(task.stdout_path) as opened:
        with refused(str(task.stdout_path)):
            task.start()
        assert not opened.happened


def test_symlink_on_the_way_to_the_pipe(act: Make) -> None:
    """Seen without RESOLVE_NO_SYMLINKS: the log was opened, and only the read-only mount of the log directory refused
    the start."""
    task = act("out=x", "exit=0")
    moved = task.logs.with_name("elsewhere")
    task.logs.rename(moved)
    task.logs.symlink_to(moved)
    with refused(str(task.stdout_path)):
        task.start()
    task.logs.unlink()
    moved.rename(task.logs)


@pytest.mark.parametrize("path", ["", "relative.fifo", "{plain}", "/dev/zero", "/nonexistent/x.fifo"])
def test_impossible_log_path(act: Make, host: AgentHost, path: str) -> None:
    """Seen without the check of its type: a task was started with a plain file, /etc/passwd for instance, or with
    /dev/zero, as its log, and wrote to it."""
    plain = host.root / "plain"
    plain.write_text("untouched")
    path = path.replace("{plain}", str(plain))
    task = act("out=x", "exit=0")
    task.request.task.stdout_path = path
    with refused("stdout", path):
        task.start()
    assert plain.read_text() == "untouched"


def test_same_pipe_for_both(act: Make) -> None:
    task = act("out=one", "err=two", "exit=0")
    task.request.task.stderr_path = task.request.task.stdout_path
    assert task.start().wait() == ExitResult(0)
    task.stdout.wait_end()
    assert sorted(task.lines()) == ["one", "two"]


def test_logs_end_with_the_task(make: Make, host: AgentHost) -> None:
    """The pipes are closed once the task has ended, so that the collector can end."""
    task = make(host.program("offspring"), ["daemon", "--", "0"])
    task.run()
    assert task.stdout.ended.is_set() and task.stderr.ended.is_set()
    assert os.path.exists(task.stdout_path)
