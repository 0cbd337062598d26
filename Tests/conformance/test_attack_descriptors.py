"""What a task changes through descriptors that it is given: of the host's /dev/null, and of its log pipes.

A task that could would here give the file the time and the mode that it has, or that do no harm.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

import pytest

from agent import ExitResult, Task
from agent.exec import output

Make = Callable[..., Task]
PYTHON = "/usr/bin/python3"
NULL = Path("/dev/null")
# Of no file that anybody uses.
PAST = 1_000_000_000
users = pytest.mark.parametrize("user", ["nomad-80000", "nobody", "root"])

CHANGE = """
import errno, os, sys
path = sys.argv[1]
path = int(path) if path.isdigit() else path
said = open(sys.argv[2], "w") if sys.argv[2:] else sys.stdout
for change in (lambda: os.utime(path, (%d, %d)), lambda: os.chmod(path, 0o666), lambda: os.chown(path, 0, 0)):
    try:
        change()
        print("changed", file=said)
    except OSError as error:
        print(errno.errorcode[error.errno], file=said)
""" % (PAST, PAST)


@contextmanager
def null_stays() -> Iterator[None]:
    """The host's /dev/null is what it was; what the task has changed of it is changed back."""
    before = NULL.stat()
    try:
        yield
        after = NULL.stat()
        assert (after.st_mtime, after.st_mode, after.st_uid) == (before.st_mtime, before.st_mode, before.st_uid)
    finally:
        if NULL.stat().st_mtime == PAST:
            os.utime(NULL, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("path", ["0", "/dev/stdin", "/proc/self/fd/0"])
@users
def test_dev_null_as_stdin(make: Make, path: str, user: str) -> None:
    """Seen where it was the Driver's own descriptor of /dev/null: root changed the mode and the times of the host's."""
    task = make(PYTHON, ["-ISc", CHANGE, path], user=user)
    with null_stays():
        assert task.run() == ExitResult(0), task.stderr.text
    assert task.lines() == ["EROFS"] * 3


@pytest.mark.parametrize("path", ["0", "/dev/stdin", "/proc/self/fd/0"])
@users
def test_dev_null_as_a_commands_stdin(make: Make, path: str, user: str) -> None:
    """Seen where it was the Driver's own descriptor of /dev/null: a command of root's changed it."""
    task = make("sleep", ["300"], user=user).start()
    with null_stays():
        assert output(task, PYTHON, "-ISc", CHANGE, path) == "EROFS\n" * 3
    task.stop()


@pytest.mark.parametrize("path", ["1", "2", "/dev/stdout", "/proc/self/fd/2"])
def test_dev_null_as_a_log(make: Make, path: str) -> None:
    """Of a task whose logs are off. Seen where the log was opened by its path: root changed the host's /dev/null."""
    task = make(PYTHON, ["-ISc", CHANGE, path, "local/said"], user="root")
    task.request.task.stdout_path = task.request.task.stderr_path = str(NULL)
    with null_stays():
        assert task.start().wait() == ExitResult(0)
    assert (task.local / "said").read_text() == "EROFS\n" * 3


@users
def test_a_log_pipe(make: Make, user: str) -> None:
    """Seen where the pipe was opened by its path: its user opened it to everybody, by fchmod(2) on stdout."""
    task = make(PYTHON, ["-ISc", CHANGE.replace("0o666", "0o622"), "1"], user=user)
    assert task.run() == ExitResult(0), task.stderr.text
    assert task.lines() == ["EROFS"] * 3
    found = task.stdout_path.stat()
    assert stat.S_IMODE(found.st_mode) & 0o077 == 0 and found.st_mtime != PAST
