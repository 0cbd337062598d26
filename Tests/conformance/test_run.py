"""`run`: the command's output and end, signals, and the tool's own errors."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import cast

import pytest

from command_line import (  # noqa: F401
    PROGRAM, SLOW, complaint, environment, leftovers, nothing_is_left, run, start, wait_for)


# The command and its end


@pytest.mark.parametrize("script,status", [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137),
                                           ("kill -USR1 $$", 138), ("kill -TERM $$", 143)])
def test_exit_status_is_the_commands(script: str, status: int) -> None:
    result = run("sh", "-c", script)
    assert (result.returncode, result.stdout, result.stderr) == (status, "", "")


def test_arguments_and_options_of_the_command_stay_its_own() -> None:
    result = run("--oom-score-adj", "7", "sh", "-c", 'cat /proc/self/oom_score_adj; printf "<%s>" "$@"', "sh",
                 "--user", "two words", "", "--help", "-h", "--", "ü")
    assert result.stdout.endswith("<--user><two words><><--help><-h><--><ü>"), result
    assert run("--", "printf", "%s", "--help").stdout == "--help"


def test_command_not_found() -> None:
    for command in ("no-such-command", "/nonexistent/command", "./command"):
        # In a checkout below a directory that only root may enter, the error would be another.
        result = run(command, cwd="/tmp")
        assert result.returncode == 127
        assert "not found" in complaint(result)
        assert command.removeprefix(".") in result.stderr


def test_command_not_executable() -> None:
    result = run("/etc/hosts")
    assert result.returncode == 126
    assert "/etc/hosts: Permission denied" in complaint(result)


def test_output_is_complete_and_in_order() -> None:
    """100 MB on one stream while the other is used as well, and the last bytes just before the exit."""
    script = "i=0; while [ $i -lt 10 ]; do head -c 10000000 /dev/zero | tr '\\0' $i; echo $i >&2; i=$((i+1)); done"
    result = run("sh", "-c", script + "; printf last", text=False, timeout=120 * SLOW)
    assert result.returncode == 0
    wanted = b"".join(str(digit).encode() * 10_000_000 for digit in range(10)) + b"last"
    assert hashlib.sha256(cast(bytes, result.stdout)).digest() == hashlib.sha256(wanted).digest()
    assert result.stderr == "".join(f"{digit}\n" for digit in range(10)).encode()


def test_last_bytes_come_before_the_end() -> None:
    for _ in range(20):
        assert run("sh", "-c", "printf out; printf err >&2; kill -9 $$").stdout == "out"


def test_output_comes_live() -> None:
    process = start("sh", "-c", "echo first; sleep 60")
    wait_for("first", process)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30 * SLOW) == 143


def test_reader_that_leaves_ends_the_command() -> None:
    process = start("yes")
    wait_for("y", process)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(30 * SLOW) == 128 + signal.SIGPIPE


def test_full_disk_is_reported() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = subprocess.run(
            [PROGRAM, "run", "sh", "-c", "echo x; sleep 60"], stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=30 * SLOW, check=False, env=environment())
    assert result.returncode == 125
    assert "No space left on device" in result.stderr


def test_closed_streams_do_no_harm() -> None:
    """Nor do streams that are not open for writing. Seen before with those: 125, Bad file descriptor."""
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2</dev/null", "1</dev/null 2</dev/null"):
        assert subprocess.run(["sh", "-c", f'"$0" run sh -c "echo x; echo y >&2; exit 3" {closed}', PROGRAM],
                              check=False, capture_output=True, timeout=30 * SLOW, env=environment()).returncode == 3


# Stop


TRAP = "trap 'echo got {0}; exit 5' {0}; echo ready; while :; do sleep 0.05; done"


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT"])
def test_signal_goes_to_the_command(name: str) -> None:
    process = start("sh", "-c", TRAP.format(name))
    wait_for("ready", process)
    process.send_signal(getattr(signal, f"SIG{name}"))
    assert process.wait(30 * SLOW) == 5
    assert process.stdout is not None and process.stdout.read() == f"got {name}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ignored_signal_ends_in_a_kill_at_the_timeout(number: int) -> None:
    process = start("--kill-timeout", "1", "sh", "-c", "trap '' INT TERM; echo ready; sleep 60 & wait; sleep 60")
    wait_for("ready", process)
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(30 * SLOW) == 137
    assert 0.9 < time.monotonic() - began < 1 + 5 * SLOW


def test_second_signal_kills_at_once() -> None:
    process = start("--kill-timeout", "600", "sh", "-c", "trap 'echo got' INT; echo ready; while :; do sleep 0.05; done")
    wait_for("ready", process)
    process.send_signal(signal.SIGINT)
    wait_for("got", process)
    process.send_signal(signal.SIGINT)
    assert process.wait(30 * SLOW) == 137


def test_signal_at_any_moment_ends_it() -> None:
    """Also during the start of the command."""
    for step in range(20):
        process = start("--kill-timeout", "2", "sleep", "60")
        time.sleep(step * 0.002 * SLOW)
        process.send_signal(signal.SIGTERM)
        # Before its handler is installed, the signal ends the tool, which has made nothing yet.
        assert process.wait(30 * SLOW) in (143, -signal.SIGTERM)


def test_ignored_signals_stay_ignored() -> None:
    """nohup and the background jobs of a shell need that."""
    # A shell sets the disposition. No preexec_fn: one of gRPC's threads can hold a lock while Python forks.
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", PROGRAM, "run", "sh", "-c", TRAP.format("TERM")],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    wait_for("ready", process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3 * SLOW)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30 * SLOW) == 5


def test_children_that_left_the_group_end_too() -> None:
    """The fixture nothing_is_left finds them by their argument exec2-leftover-mark."""
    before = leftovers()
    process = start("sh", "-c", "setsid sh -c 'sleep 600; :' exec2-leftover-mark & "
                                "setsid sh -c 'trap \"\" TERM; echo ready; sleep 600; :' exec2-leftover-mark & wait")
    wait_for("ready", process)
    until = time.monotonic() + 10 * SLOW
    while len([name for name in leftovers() - before if name.isdigit()]) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    marked = [name for name in leftovers() - before if name.isdigit()]
    assert len(marked) >= 2, marked
    process.send_signal(signal.SIGTERM)
    assert process.wait(30 * SLOW) == 143
    assert not any(Path("/proc", name).exists() for name in marked)


def test_many_at_once() -> None:
    processes = [start("sh", "-c", f"echo {number}; exit {number}") for number in range(30)]
    for number, process in enumerate(processes):
        out, err = process.communicate(timeout=120 * SLOW)
        assert (process.returncode, out, err) == (number, f"{number}\n", "")


# Errors


@pytest.mark.parametrize("words,named", [
    ([], ["no command"]),
    (["--frob", "true"], ['"--frob"']),
    (["-q", "true"], ['"-q"']),
    (["--mem", "5", "true"], ["--memory", "--memory-max"]),
    (["--memory"], ["--memory needs a value"]),
    (["--no-defaults=1", "true"], ["--no-defaults", "no value"]),
    (["--memory", "lots", "true"], ["--memory", '"lots"', "whole number"]),
    (["--memory", "-1", "true"], ["--memory", '"-1"']),
    (["--memory", "64", "--memory-max", "32", "true"], ["--memory-max 32", "--memory 64"]),
    (["--cpu", "1.5", "true"], ["--cpu", '"1.5"']),
    (["--kill-timeout", "soon", "true"], ["--kill-timeout", '"soon"']),
    (["--oom-score-adj", "1001", "true"], ["--oom-score-adj", "1001", "1000"]),
    (["--unveil", "/etc", "true"], ["--unveil", '"/etc"', "no colon"]),
    (["--unveil", "rz:/etc", "true"], ["--unveil", '"rz:/etc"', '"z" is not a mode']),
    (["--unveil", "r:/nonexistent", "true"], ["--unveil", "/nonexistent", "No such file"]),
    (["--env", "=x", "true"], ['--env "=x"']),
    (["--env", "NOT_SET_HERE", "true"], ["NOT_SET_HERE"]),
    (["--env", "USER=me", "true"], ["USER", "run sets itself"]),
    (["--user", "no-such-user", "true"], ['"no-such-user"']),
    (["--user", "nomad-1", "true"], ['"nomad-1"', "1000"]),
    (["--user", "", "true"], ["--user is empty"]),
    (["--network-namespace", "no-such", "true"], ["/run/netns/no-such", "No such file"]),
    (["--network-namespace", "/etc/hosts", "true"], ["/etc/hosts", "not a network namespace"]),
    (["--volume", "/nonexistent:data", "true"], ["/nonexistent", "No such file"]),
    (["--unveil", "rwc:/srv", "--volume", "/etc:/srv/nonexistent", "true"], ["/srv/nonexistent", "create it on this host"]),
    (["--volume", "/dev/null:data", "true"], ["/dev/null", "device"]),
    (["--shm-size", "1z", "true"], ["--shm-size", '"1z"', "k, m or g"]),
    (["--shm-size", "1k", "true"], ["--shm-size", '"1k"', "1m to 16384g"]),
    (["--signal-to", "all", "true"], ["--signal-to", '"all"', "group", "process"]),
    (["--private-tmp=yes", "true"], ["--private-tmp", "no value"]),
    (["--work-dir", "/nonexistent", "true"], ["/nonexistent", "No such file"]),
    (["--work-dir", "/root", "true"], ["/root", "Permission denied"]),
    (["--executor", "/nonexistent", "true"], ["/nonexistent", "--executor"]),
    (["--executor", "/bin/false", "true"], ["Executor"]),
    (["--state-dir", "/nonexistent", "true"], ["--state-dir", "/nonexistent"]),
    (["--state-dir", "/etc/hosts", "true"], ["--state-dir", "/etc/hosts"]),
    ([""], ["no command"]),
])
def test_errors_of_the_tool_itself(words: list[str], named: list[str]) -> None:
    result = run(*words)
    assert result.returncode == 125
    sentence = complaint(result)
    for part in named:
        assert part in sentence


def test_run_without_root_says_so() -> None:
    # In a directory of its own: in /tmp there may be an Executor beside it.
    directory = Path(f"/tmp/exec2-cli-{os.getpid()}")
    directory.mkdir(mode=0o755)
    copy = directory / "program"
    copy.write_bytes(Path(PROGRAM).read_bytes())
    try:
        copy.chmod(0o755)
        result = subprocess.run([str(copy), "run", "true"], user=65534, group=65534, extra_groups=[], check=False,
                                capture_output=True, text=True, env={}, cwd="/", timeout=30 * SLOW)
        assert result.returncode == 125
        assert "root" in complaint(result)
        report = subprocess.run([str(copy), "check"], user=65534, group=65534, extra_groups=[], check=False,
                                capture_output=True, text=True, env={}, cwd="/", timeout=30 * SLOW)
        assert report.returncode == 1
        assert re.search(r"^FAIL  root +the driver runs as uid 65534", report.stdout, re.MULTILINE)
        assert re.search(r"^FAIL  Executor ", report.stdout, re.MULTILINE)
    finally:
        copy.unlink()
        directory.rmdir()
