"""`run` passes signals and stdin on to its command, and neither outlives the other."""

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

# A guard against a hang.
GUARD = 60 * SLOW


# The end of the tool


def remove_remains(tool: subprocess.Popen[str]) -> None:
    """Removes the directories and the cgroup of a tool that was killed."""
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
                    # A process that has just ended may still count.
                    assert time.monotonic() < until, cgroup
                    time.sleep(0.05)


def pidfds(tool: subprocess.Popen[str]) -> list[int]:
    """Pidfds of the tool's Executor and of all processes below it."""
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
    """The command gets SIGTERM first, as in a stop. Seen before: the command and its Executor ran on for ever."""
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
    """After the kill timeout; processes that have left the command's process group end too."""
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
        # The tool is stopped, so that it starts nothing more while its processes are listed.
        tool.send_signal(signal.SIGSTOP)
        os.waitpid(tool.pid, os.WUNTRACED)
        below = pidfds(tool)
        tool.kill()
        tool.wait(GUARD)
        wait_for_ends(below)
        remove_remains(tool)


def test_nomads_tasks_do_not_end_with_the_driver(act: Any, plugin: Any) -> None:
    """The Executor of a plugin's task does not end with the driver: none of its descriptors is a pipe that the driver would
    close."""
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    links = processes.descriptors(task.executor_pid)
    assert links and not [link for link in links.values() if link.startswith("pipe:")], links
    task.stop()


# Signals


PASSED = [name for name in (
    "USR1", "USR2", "ALRM", "CONT", "WINCH", "PWR", "IO", "VTALRM", "PROF", "URG", "XCPU", "XFSZ", "TRAP", "ABRT",
    "SYS", "SEGV", "RTMIN", "RTMAX")]


FAMILY = """
sh -c 'for n in USR1 USR2 TERM; do trap "echo child $n" $n; done; echo up; while :; do sleep 0.05; done' &
trap 'echo main USR1' USR1; trap 'echo main TERM; exit 9' TERM; while :; do wait; done
"""


@pytest.mark.parametrize("target", ["process", "group"])
def test_whom_signals_are_for(target: str) -> None:
    """The signals of `run` and that of its stop, to the command alone or to its process group. The child, asked directly at
    the end of each step, has taken those that came before."""
    tool = start("--signal-to", target, "--kill-timeout", "600", "sh", "-c", FAMILY)
    assert tool.stdout is not None
    wait_for("up", tool)
    shells = {process.pid: process.parent for process in processes.descendants(tool.pid) if has_the_loop(process.pid)}
    # Before it executes sleep, a child of it has the same command line.
    [child] = [pid for pid, parent in shells.items() if parent not in shells]
    tool.send_signal(signal.SIGUSR1)
    lines = {tool.stdout.readline() for _ in range(1 if target == "process" else 2)}
    assert lines == ({"main USR1\n"} if target == "process" else {"main USR1\n", "child USR1\n"})
    os.kill(child, signal.SIGUSR2)
    wait_for("child USR2", tool)
    tool.send_signal(signal.SIGTERM)
    rest, _ = tool.communicate(timeout=GUARD)
    assert tool.returncode == 9
    assert rest in (["main TERM\n"] if target == "process" else ["main TERM\n", "child TERM\nmain TERM\n", "main TERM\nchild TERM\n"])


def has_the_loop(pid: int) -> bool:
    """Whether it is the shell of the loop, and not the one of the whole script."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return len(words) > 2 and words[2].startswith(b"for n in")


def test_killed_tool_and_the_command_alone() -> None:
    """The command gets SIGTERM as in a stop: its child does not."""
    directory = Path(f"/tmp/exec2-alone-{os.getpid()}")
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    try:
        script = (f"sh -c 'trap \"echo child > {directory}/child\" TERM; echo up; while :; do sleep 0.05; done' & "
                  f"trap 'echo main > {directory}/main; sleep 0.5; exit' TERM; while :; do wait; done")
        tool = start("--signal-to", "process", "--kill-timeout", "600", "--unveil", f"rwc:{directory}", "sh", "-c", script)
        wait_for("up", tool)
        below = pidfds(tool)
        tool.kill()
        tool.wait(GUARD)
        wait_for_ends(below)
        assert [path.name for path in directory.iterdir()] == ["main"]
        remove_remains(tool)
    finally:
        subprocess.run(["rm", "-rf", str(directory)], check=True)


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
    """The command handles it and runs on, without a time limit."""
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
    """A stop does not overtake an earlier signal."""
    tool = start("sh", "-c", "trap 'echo one' USR1; trap 'echo two; exit 7' TERM; echo ready; while :; do sleep 0.05; done")
    wait_for("ready", tool)
    tool.send_signal(signal.SIGUSR1)
    tool.send_signal(signal.SIGTERM)
    assert tool.wait(GUARD) == 7
    assert tool.stdout is not None and tool.stdout.read().splitlines() == ["one", "two"]


def test_ignored_signal_is_not_passed_on() -> None:
    """nohup(1) needs that."""
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
    """SIGTSTP, which Ctrl-Z sends, stops the command as well as the tool."""
    # Without a child: a shell that waits for the execve of a stopped child cannot be stopped itself.
    tool = start("sh", "-c", "trap 'echo continued; exit 9' CONT; echo ready; while :; do read line; done",
                 stdin=subprocess.PIPE)
    wait_for("ready", tool)
    tool.send_signal(signal.SIGTSTP)
    _, status = os.waitpid(tool.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    until = time.monotonic() + GUARD
    # The signal is delivered when the process next runs.
    while {process.state for process in processes.descendants(tool.pid) if process.name == "sh"} != {"T"}:
        assert time.monotonic() < until
        time.sleep(0.05)
    tool.send_signal(signal.SIGCONT)
    assert tool.wait(GUARD) == 9


# stdin


def test_stdin_from_a_pipe() -> None:
    """Seen before: the command read nothing, since it had /dev/null."""
    data = os.urandom(3_000_000)
    result = run("cat", stdin=None, input=data, text=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, data, b"")


def test_stdin_from_a_file(tmp_path: Path) -> None:
    """Input that the command does not read is left for the next reader of the file."""
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


def test_the_command_cannot_write_to_the_file(tmp_path: Path) -> None:
    """It gets the file's content and not the file: writing fails, also as root and through /dev/stdin."""
    file = tmp_path / "input"
    file.write_text("as it was\n")
    with file.open("r+b", buffering=0) as stdin:
        result = run("--user", "root", "sh", "-c", "cat /dev/stdin; echo changed >&0; echo changed > /dev/stdin; true", stdin=stdin)
    assert result.stdout == "as it was\n" and file.read_text() == "as it was\n"


@pytest.mark.parametrize("closed", ["</dev/null", "<&-"])
def test_closed_or_empty_stdin(closed: str) -> None:
    """Seen with <&- when stdin was first passed on: an eventfd of gRPC's had the number 0 and never reported an end."""
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


def test_a_command_that_does_not_read_blocks_nobody() -> None:
    """The tool ends although stdin does not, and the writer of stdin finds its pipe without a reader."""
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
