"""`run` and its command: signals are passed on, stdin is, and neither outlives the other."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from agent import processes
from command_line import PROGRAM, SLOW, environment, leftovers, mount_point, nothing_is_left, run, start, wait_for  # noqa: F401

# Only a hang ever takes as long.
GUARD = 60 * SLOW


# The end of the tool


def remove_remains(tool: subprocess.Popen[str]) -> None:
    """What a tool that was killed could not remove: its directories and its cgroup."""
    for parent in ("/run", "/var/tmp"):
        for path in Path(parent).glob(f"nomad-driver-exec2-run-{tool.pid}-*"):
            subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=True)
    for top in mount_point().glob(f"nomad-driver-exec2-run-{tool.pid}-*"):
        for cgroup, _, _ in os.walk(top, topdown=False):
            until = time.monotonic() + GUARD
            while os.path.exists(cgroup):
                try:
                    os.rmdir(cgroup)
                except OSError:
                    # A process that has ended a moment ago may still count.
                    assert time.monotonic() < until, cgroup
                    time.sleep(0.05)


def pidfds(tool: subprocess.Popen[str]) -> list[int]:
    """Of the tool's Executor and of all that runs below it."""
    opened = []
    for process in processes.descendants(tool.pid):
        try:
            opened.append(os.pidfd_open(process.pid))
        except ProcessLookupError:
            pass
    return opened


def wait_for_ends(descriptors: list[int]) -> None:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    waiting = set(descriptors)
    until = time.monotonic() + GUARD
    while waiting:
        assert time.monotonic() < until, "processes are left"
        for descriptor, _ in poll.poll(1000):
            poll.unregister(descriptor)
            waiting.discard(descriptor)
    for descriptor in descriptors:
        os.close(descriptor)


def test_killed_tool_ends_its_command() -> None:
    """With SIGTERM first, as a stop. Seen before: the command and its Executor ran on for ever."""
    directory = Path(f"/tmp/exec2-ties-{os.getpid()}")
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    try:
        tool = start("--kill-timeout", "600", "--unveil", f"rwc:{directory}", "sh", "-c",
                     f"trap 'echo term > {directory}/told; exit' TERM; echo ready; while :; do sleep 0.05; done")
        wait_for("ready", tool)
        below = pidfds(tool)
        assert len(below) >= 2
        tool.kill()
        tool.wait(GUARD)
        wait_for_ends(below)
        assert (directory / "told").read_text() == "term\n"
        remove_remains(tool)
    finally:
        subprocess.run(["rm", "-rf", str(directory)], check=True)


def test_killed_tool_ends_a_command_that_ignores_sigterm() -> None:
    """After the kill timeout, and whatever has left the command's process group with it."""
    tool = start("--kill-timeout", "1", "sh", "-c",
                 "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo ready; sleep 600; :' & sleep 600; sleep 600")
    wait_for("ready", tool)
    below = pidfds(tool)
    assert len(below) >= 3
    tool.kill()
    tool.wait(GUARD)
    wait_for_ends(below)
    remove_remains(tool)


def test_killed_while_the_command_is_started() -> None:
    """At any moment of the start."""
    for step in range(10):
        tool = start("--kill-timeout", "1", "sleep", "600")
        time.sleep(step * 0.003 * SLOW)
        # Stopped, it makes nothing more while its processes are looked for.
        tool.send_signal(signal.SIGSTOP)
        os.waitpid(tool.pid, os.WUNTRACED)
        below = pidfds(tool)
        tool.kill()
        tool.wait(GUARD)
        wait_for_ends(below)
        remove_remains(tool)


def test_nomads_tasks_are_not_tied(act: Any, plugin: Any) -> None:
    """The Executor of a task of the plugin's holds no leash: none of its descriptors is a pipe, which would end with
    the driver."""
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    links = processes.descriptors(task.executor_pid)
    assert links and not [link for link in links.values() if link.startswith("pipe:")], links
    task.stop()


# Signals


PASSED = [name for name in (
    "USR1", "USR2", "ALRM", "CONT", "WINCH", "PWR", "IO", "VTALRM", "PROF", "URG", "XCPU", "XFSZ", "TRAP", "ABRT",
    "SYS", "SEGV", "RTMIN", "RTMAX")]


def number_of(name: str) -> int:
    return int(getattr(signal, f"SIG{name}"))


@pytest.mark.parametrize("name", PASSED)
def test_signal_is_passed_on(name: str) -> None:
    """Seen before: SIGUSR1, SIGUSR2, SIGALRM and the like ended the tool and not the command."""
    tool = start("bash", "-c", f"trap 'echo got; exit 5' {number_of(name)}; echo ready; while :; do sleep 0.05; done")
    wait_for("ready", tool)
    tool.send_signal(number_of(name))
    wait_for("got", tool)
    assert tool.wait(GUARD) == 5


def test_a_signal_that_is_passed_on_ends_nothing_else() -> None:
    """The command takes it and goes on, with time without end."""
    tool = start("--kill-timeout", "0", "sh", "-c",
                 "trap 'echo got' USR1; trap 'echo term; exit 6' TERM; echo ready; while :; do sleep 0.05; done")
    wait_for("ready", tool)
    for _ in range(3):
        tool.send_signal(signal.SIGUSR1)
        wait_for("got", tool)
    tool.send_signal(signal.SIGKILL)
    tool.wait(GUARD)
    remove_remains(tool)


def test_order_is_kept() -> None:
    """A stop does not overtake what came before it."""
    tool = start("sh", "-c", "trap 'echo one' USR1; trap 'echo two; exit 7' TERM; echo ready; while :; do sleep 0.05; done")
    wait_for("ready", tool)
    tool.send_signal(signal.SIGUSR1)
    tool.send_signal(signal.SIGTERM)
    assert tool.wait(GUARD) == 7
    assert tool.stdout is not None and tool.stdout.read().splitlines() == ["one", "two"]


def test_ignored_signal_is_not_passed_on() -> None:
    """As nohup(1) wants it."""
    script = "trap 'echo usr1' USR1; trap 'echo usr2; exit 8' USR2; echo ready; while :; do sleep 0.05; done"
    tool = subprocess.Popen(
        ["sh", "-c", 'trap "" USR1; exec "$0" "$@"', PROGRAM, "run", "bash", "-c", script], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    wait_for("ready", tool)
    tool.send_signal(signal.SIGUSR1)
    tool.send_signal(signal.SIGUSR2)
    wait_for("usr2", tool)
    assert tool.wait(GUARD) == 8


def test_stop_and_continue() -> None:
    """SIGTSTP, of Ctrl-Z, stops the command as well as the tool."""
    # No child of its own: a shell that waits for the execve of one that is stopped cannot be stopped itself.
    tool = start("sh", "-c", "trap 'echo continued; exit 9' CONT; echo ready; while :; do read line; done",
                 stdin=subprocess.PIPE)
    wait_for("ready", tool)
    tool.send_signal(signal.SIGTSTP)
    _, status = os.waitpid(tool.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    until = time.monotonic() + GUARD
    # A signal is taken when the process runs next.
    while {process.state for process in processes.descendants(tool.pid) if process.name == "sh"} != {"T"}:
        assert time.monotonic() < until
        time.sleep(0.05)
    tool.send_signal(signal.SIGCONT)
    assert tool.wait(GUARD) == 9


# stdin


def test_stdin_from_a_pipe() -> None:
    """Seen before: nothing, since the command had /dev/null."""
    data = os.urandom(3_000_000)
    result = run("cat", stdin=None, input=data, text=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, data, b"")


def test_stdin_from_a_file(tmp_path: Path) -> None:
    """What the command does not read is there for those who read on."""
    file = tmp_path / "input"
    file.write_bytes(os.urandom(1_000_000))
    with file.open("rb", buffering=0) as stdin:
        assert run("cat", stdin=stdin, text=False).stdout == file.read_bytes()
        assert stdin.tell() == 1_000_000
        stdin.seek(0)
        assert run("true", stdin=stdin).returncode == 0
        assert stdin.tell() == 0
        assert run("head", "-c", "4096", stdin=stdin, text=False).stdout == file.read_bytes()[:4096]
        assert stdin.tell() == 4096
        assert run("tail", "-c", "10", stdin=stdin, text=False).stdout == file.read_bytes()[-10:]


def test_the_commands_file_is_out_of_its_reach(tmp_path: Path) -> None:
    """It has what is in the file, not the file: its writing end with it, as root and by /dev/stdin."""
    file = tmp_path / "input"
    file.write_text("as it was\n")
    with file.open("r+b", buffering=0) as stdin:
        result = run("--user", "root", "sh", "-c", "cat /dev/stdin; echo changed >&0; echo changed > /dev/stdin; true", stdin=stdin)
    assert result.stdout == "as it was\n" and file.read_text() == "as it was\n"


@pytest.mark.parametrize("closed", ["</dev/null", "<&-"])
def test_stdin_that_is_none(closed: str) -> None:
    """Seen before with <&-, once stdin was passed on: an eventfd of gRPC's had its number, and never ended."""
    result = subprocess.run(["sh", "-c", f'"$0" run cat {closed}', PROGRAM], capture_output=True, timeout=GUARD,
                            env=environment(), check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_end_of_stdin_comes_when_it_ends() -> None:
    tool = start("sh", "-c", "echo ready; cat; echo end", stdin=subprocess.PIPE)
    wait_for("ready", tool)
    assert tool.stdin is not None
    tool.stdin.write("line\n")
    tool.stdin.flush()
    wait_for("line", tool)
    tool.stdin.close()
    wait_for("end", tool)
    assert tool.wait(GUARD) == 0


def test_a_command_that_does_not_read_holds_nobody_up() -> None:
    """The end comes although stdin has no end, and whoever writes there sees nobody read."""
    reading, writing = os.pipe()
    try:
        tool = start("sh", "-c", "exec <&-; echo ready; read line; exit 3", stdin=reading)
        os.close(reading)
        wait_for("ready", tool)
        assert tool.wait(GUARD) == 3
        with pytest.raises(BrokenPipeError):
            os.write(writing, b"x")
    finally:
        os.close(writing)
