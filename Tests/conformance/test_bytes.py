"""Bytes that are not UTF-8, on the command lines of `run` and `exec`: they reach the command unchanged.

Seen before: each was U+FFFD, three bytes, in the command; an unveil rule with one named a path that did not exist."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Iterator

import pytest

from command_line import PROGRAM, SLOW, environment, nothing_is_left, start, wait_for  # noqa: F401

GUARD = 60 * SLOW
# Every byte that an argument can have, a truncated sequence, an overlong one, a surrogate, one beyond Unicode, a
# private-use scalar, and a combining mark.
BYTES = (bytes(range(1, 256)) + b"\xc3 \xe2\x82 \xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80 "
         + "\U0010ff00\U0010ffff e\u0301 \u00e9".encode())


def tool(*words: bytes | str, **options: bytes | None) -> subprocess.CompletedProcess[bytes]:
    variables = {os.fsencode(name): os.fsencode(value) for name, value in environment().items()}
    given = {os.fsencode(name): value for name, value in options.items() if value is not None}
    return subprocess.run([os.fsencode(PROGRAM), *map(os.fsencode, words)], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=GUARD, env={**variables, **given}, check=False)


@pytest.fixture
def directory() -> Iterator[bytes]:
    """A directory that every user may enter, and whose name is not UTF-8."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as parent:
        os.chmod(parent, 0o755)
        path = os.fsencode(parent) + b"/caf\xe9"
        os.mkdir(path, 0o755)
        Path(os.fsdecode(path), "file").write_text("content\n")
        yield path


def test_arguments_of_run() -> None:
    result = tool("run", "printf", "%s", BYTES)
    assert (result.returncode, result.stdout, result.stderr) == (0, BYTES, b"")


@pytest.mark.parametrize("form", ["value", "name"])
def test_environment_of_run(form: str) -> None:
    words = [b"--env", b"GIVEN=" + BYTES] if form == "value" else [b"--env", b"GIVEN"]
    result = tool("run", *words, "sh", "-c", 'printf %s "$GIVEN"', GIVEN=BYTES if form == "name" else None)
    assert (result.returncode, result.stdout, result.stderr) == (0, BYTES, b"")


def test_a_combining_mark_behind_the_equals_sign() -> None:
    """Seen before: the variable was not set, since = and the mark are one character."""
    value = "\u0301x".encode()
    assert tool("run", "--env", b"GIVEN=" + value, "sh", "-c", 'printf %s "$GIVEN"').stdout == value
    assert tool("run", "--env", "GIVEN", "sh", "-c", 'printf %s "$GIVEN"', GIVEN=value).stdout == value


def test_unveiled_paths_of_run(directory: bytes) -> None:
    assert tool("run", "cat", directory + b"/file").returncode == 1
    result = tool("run", "--unveil", b"r:" + directory, "cat", directory + b"/file")
    assert (result.returncode, result.stdout) == (0, b"content\n")


def test_other_paths_of_run(directory: bytes) -> None:
    result = tool("run", "--unveil", b"r:" + directory, "--work-dir", directory, "cat", "file")
    assert (result.returncode, result.stdout) == (0, b"content\n")
    result = tool("run", "--volume", directory + b":in\xff:ro", "cat", b"in\xff/file")
    assert (result.returncode, result.stdout) == (0, b"content\n")
    program = directory + b"/pro\xffgram"
    Path(os.fsdecode(program)).write_text("#!/bin/sh\nprintf run\n")
    os.chmod(program, 0o755)
    assert tool("run", "--unveil", b"rx:" + program, program).stdout == b"run"


def test_a_message_has_the_bytes() -> None:
    result = tool("run", "--memory", b"1\xff", "true")
    assert result.returncode == 125 and b'--memory is "1\xff"' in result.stderr
    result = tool("run", "--state-dir", b"/tmp/\xff", "true")
    assert result.returncode == 125 and b'--state-dir "/tmp/\xff" is not UTF-8' in result.stderr


def test_exec_in_such_a_task() -> None:
    """Its arguments, and the environment of a task that `run` has started with such bytes."""
    run = subprocess.Popen([os.fsencode(PROGRAM), b"run", b"--env", b"GIVEN=" + BYTES, b"sh", b"-c", b"echo up; sleep 300"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert run.stdout is not None and run.stdout.readline() == b"up\n"
        for terminal in ("--no-tty", "--tty"):
            result = tool("exec", terminal, str(run.pid), "sh", "-c", '[ "$1" = "$GIVEN" ] && printf %s "$1" | od -An -tx1 -v', "sh", BYTES)
            assert (result.returncode, result.stderr) == (0, b"")
            assert bytes.fromhex(result.stdout.decode()) == BYTES
    finally:
        run.terminate()
        run.wait(GUARD)


@pytest.mark.parametrize("command", ["check", "tasks"])
def test_a_state_directory_that_no_plugin_can_have(directory: bytes, command: str) -> None:
    """Seen before: that it did not exist, as if all was well."""
    result = tool(command, "--state-dir", directory)
    assert (result.returncode, result.stdout) == (2, b"")
    assert b'--state-dir "' + directory + b'" is not UTF-8, which it must be' in result.stderr
    if command == "check":
        result = tool("check", "--executor", directory + b"/file")
        assert result.returncode == 2 and b'--executor "' + directory + b'/file" is not UTF-8' in result.stderr


def test_the_driver_in_such_a_directory(directory: bytes) -> None:
    """Seen before: "the Executor cannot be run from" a path with three other bytes in it."""
    for name in (PROGRAM, PROGRAM + "-executor"):
        shutil.copy(os.fsencode(name), directory)
    program = directory + b"/nomad-driver-exec2"
    result = subprocess.run([program, "run", "echo", "here"], stdin=subprocess.DEVNULL, capture_output=True,
                            timeout=GUARD, env=environment(), check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"here\n", b"")
    # As JSON, which is UTF-8, and as text, which has U+FFFD as well.
    found = subprocess.run([program, "check", "--json"], capture_output=True, timeout=GUARD, env=environment(), check=False)
    (check,) = [check for check in json.loads(found.stdout.decode())["checks"] if check["name"] == "Executor"]
    shown = directory.decode(errors="replace") + "/nomad-driver-exec2-executor"
    assert (check["ok"], check["detail"]) == (True, shown)
    found = subprocess.run([program, "check"], capture_output=True, timeout=GUARD, env=environment(), check=False)
    assert shown in found.stdout.decode()
