"""`run` on a host that lacks something, and beside other runs: what it says, and which user the command has."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Iterator

import pytest

from command_line import PROGRAM, SLOW, complaint, environment, nothing_is_left, run, start  # noqa: F401

GUARD = 60 * SLOW


# A reader that does not read


def wait_until_full(pipe: int) -> None:
    """Until no more comes into a pipe that nobody reads."""
    before, now = -1, 0
    while now == 0 or now != before:
        before = now
        time.sleep(0.3 * SLOW)
        answer = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
        now = int.from_bytes(answer, sys.byteorder)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_stop_does_not_wait_for_a_reader_that_hangs(stream: str) -> None:
    """Seen before: SIGTERM ended the command, and `run` waited for its reader for ever."""
    reading, writing = os.pipe()
    try:
        words = ["yes"] if stream == "stdout" else ["sh", "-c", "exec yes >&2"]
        process = start("--kill-timeout", "1", *words, **{stream: writing})
        os.close(writing)
        wait_until_full(reading)
        begun = time.monotonic()
        process.terminate()
        assert process.wait(GUARD) == 143
        assert time.monotonic() - begun < 20 * SLOW
    finally:
        os.close(reading)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def test_what_is_read_in_time_is_whole() -> None:
    """The reader has begun late, and has the kill timeout to read all that the command had written."""
    process = start("--kill-timeout", "60", "sh", "-c", "head -c 100000 /dev/zero; echo over >&2; sleep 600")
    assert process.stderr is not None
    assert process.stderr.readline() == "over\n"
    process.terminate()
    time.sleep(1)
    output, _ = process.communicate(timeout=GUARD)
    assert (process.returncode, len(output)) == (143, 100000)


# What the host lacks


def test_without_proc() -> None:
    """Seen before: Swift's own list of arguments was empty, so that the help was shown, with status 0."""
    for words, status, text in [
        (["run", "true"], 125, "/proc/self/exe"), (["--version"], 0, "nomad-driver-exec2 "), (["--frob"], 2, '"--frob"')]:
        result = subprocess.run(
            ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$0" "$@"', PROGRAM, *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=GUARD, env=environment(), check=False)
        assert result.returncode == status, result
        assert text in result.stdout + result.stderr and "Usage:" not in result.stdout


def test_a_read_only_run() -> None:
    """Seen before: the remedy was an option of the plugin's, and a second line complained that what had not been made
    could not be removed."""
    result = subprocess.run(
        ["unshare", "--mount", "sh", "-c", 'mount --bind /run /run && mount -o remount,bind,ro /run && exec "$0" run true',
         PROGRAM], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=GUARD, env=environment(), check=False)
    assert result.returncode == 125
    text = complaint(result)
    assert text.startswith("cannot make the directory /run/nomad-driver-exec2-run-")
    assert text.endswith(": Read-only file system; set --state-dir to another directory")


def test_a_state_directory_that_others_can_write_to(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    result = run("--state-dir", str(tmp_path / "open"), "true")
    assert result.returncode == 125
    text = complaint(result)
    assert "others may write to" in text and text.endswith("or set --state-dir to a path that root alone can write to")
    assert "plugin option" not in text


@pytest.mark.parametrize("limit", [8, 12, 40, 95])
def test_a_low_limit_of_open_files(limit: int) -> None:
    """Seen before, with 12: "cannot duplicate a descriptor: Invalid argument"; and with 8 a directory that was left."""
    result = subprocess.run(
        ["sh", "-c", f'ulimit -n {limit}; exec "$0" run true', PROGRAM], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=GUARD, env=environment(), check=False)
    assert result.returncode == 125
    assert complaint(result) == f"run needs at least 96 open files, and may have {limit} (ulimit -n): raise the limit"


# The user


@pytest.fixture
def taken() -> Iterator[set[int]]:
    """All uids but three have a run, whose directories look as those of runs do."""
    free = {90003, 94711, 99999}
    made = []
    try:
        for uid in sorted(set(range(90_000, 100_000)) - free):
            path = Path(f"/var/tmp/nomad-driver-exec2-run-test-{uid}")
            (path / "run-task").mkdir(parents=True)
            made.append(path)
            os.chown(path / "run-task", uid, uid)
        yield free
    finally:
        for path in made:
            shutil.rmtree(path)


def test_no_two_runs_have_one_user(taken: set[int]) -> None:
    """Seen before: the uid was the tool's pid modulo 10000, whoever had it."""
    processes = [start("sh", "-c", "id -u; exec sleep 600") for _ in taken]
    try:
        users = set()
        for process in processes:
            assert process.stdout is not None
            users.add(int(process.stdout.readline()))
        assert users == taken
        result = run("true")
        assert result.returncode == 125
        assert "find a free user for the command" in complaint(result) and "--user" in result.stderr
        assert run("--user", "nobody", "id", "-u").stdout == "65534\n"
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.communicate(timeout=GUARD)
    assert int(run("id", "-u").stdout) in taken


def test_directories_of_others_are_no_runs() -> None:
    """Anybody may make a directory of such a name in /var/tmp."""
    path = Path("/var/tmp/nomad-driver-exec2-run-test-other")
    (path / "run-task").mkdir(parents=True)
    try:
        os.chown(path, 65534, 65534)
        assert 90_000 <= int(run("id", "-u").stdout) <= 99_999
    finally:
        shutil.rmtree(path)
