"""nomad-driver-exec2 exec: a command in a task, from the command line."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from agent import AgentHost, Plugin, Task, processes
from agent.restart import recover
from agent.timing import scaled, wait_until

Launch = Callable[..., Plugin]


@pytest.fixture
def task(make: Callable[..., Task]) -> Task:
    return make("/bin/sleep", ["300"], unveil=["r:/proc"], env={"COLOUR": "blue"}).start()


def words(binary: Path, plugin: Plugin, *rest: object) -> list[str]:
    return [str(binary), "exec", "--state-dir", str(plugin.state_dir), *(str(word) for word in rest)]


def run(binary: Path, plugin: Plugin, *rest: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words(binary, plugin, *rest), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=scaled(60), **options)


def alone(task: Task) -> bool:
    return (task.scope / "cgroup.procs").read_text().split() == [str(task.pid)]


def attendants(task: Task) -> list[processes.Process]:
    """The living attendants of commands in `task`: their children are in its PID namespace. Other tests on this
    machine may have attendants of their own."""
    namespace = os.readlink(f"/proc/{task.pid}/ns/pid")
    found = []
    for process in processes.everything():
        if process.name == "exec2-attendant" and not process.is_zombie:
            try:
                if os.readlink(f"/proc/{process.pid}/ns/pid_for_children") == namespace:
                    found.append(process)
            except FileNotFoundError:  # it has ended meanwhile
                pass
    return found


def test_streams_and_status(binary: Path, plugin: Plugin, task: Task) -> None:
    given = run(binary, plugin, task.id, "/bin/sh", "-c", "cat; echo $COLOUR; id -u; echo err >&2; exit 43", input=b"in\n")
    assert (given.returncode, given.stdout, given.stderr) == (43, b"in\nblue\n80000\n", b"err\n")


@pytest.mark.parametrize("name", ["id", "alloc", "begin", "name", "directory"])
def test_names(binary: Path, plugin: Plugin, task: Task, name: str) -> None:
    wanted = {"id": task.id, "alloc": task.alloc_id, "begin": task.id[:8], "name": task.name, "directory": task.id.replace("/", "+")}[name]
    assert run(binary, plugin, wanted, "echo", "here").stdout == b"here\n"


def test_names_that_mean_none_or_several(binary: Path, plugin: Plugin, make: Callable[..., Task], task: Task) -> None:
    given = run(binary, plugin, "nothing", "true")
    assert given.returncode == 125 and b'no task "nothing" runs' in given.stderr and task.id.encode() in given.stderr
    other = make("/bin/sleep", ["300"]).start()
    given = run(binary, plugin, "web", "true")
    assert given.returncode == 125
    assert b"is ambiguous; it matches" in given.stderr and task.id.encode() in given.stderr and other.id.encode() in given.stderr


def test_a_task_of_run(binary: Path) -> None:
    with subprocess.Popen([binary, "run", "/bin/sleep", "300"], stderr=subprocess.PIPE) as tool:
        try:
            given = wait_until(lambda: _in_run(binary, tool.pid), 15, "a command in the task of run")
            assert given == b"in it\n"
        finally:
            tool.send_signal(signal.SIGTERM)
            tool.wait(scaled(20))


def _in_run(binary: Path, pid: int) -> bytes:
    return subprocess.run([binary, "exec", str(pid), "echo", "in it"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def test_without_any_driver(launch: Launch, host: AgentHost, binary: Path) -> None:
    plugin = launch()
    task = host.task(plugin, "/bin/sleep", ["300"]).start()
    plugin.kill()
    assert run(binary, plugin, task.id, "echo", "here").stdout == b"here\n"
    again = launch(dict(plugin.config))
    recover(again, task)


def test_command_not_found(binary: Path, plugin: Plugin, task: Task) -> None:
    given = run(binary, plugin, task.id, "no-such-program")
    assert given.returncode == 127 and b"command not found" in given.stderr


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped(binary: Path, plugin: Plugin, task: Task, number: int, status: int) -> None:
    with subprocess.Popen(words(binary, plugin, task.id, "/bin/sh", "-c", "echo up; sleep 300"), stdout=subprocess.PIPE) as tool:
        assert tool.stdout.readline() == b"up\n"
        tool.send_signal(number)
        assert tool.wait(scaled(10)) == status
    wait_until(lambda: alone(task), 5, "the command has ended")


def test_signal_while_nobody_reads(binary: Path, plugin: Plugin, task: Task) -> None:
    """Seen before: both writes blocked on Swift's own threads, and after SIGTERM the tool went on waiting for the reader."""
    ends = [os.pipe() for _ in range(2)]
    with subprocess.Popen(words(binary, plugin, task.id, "/bin/sh", "-c", "yes & yes >&2"), stdout=ends[0][1], stderr=ends[1][1]) as tool:
        for _, writing in ends:
            wait_until(lambda: not select.select([], [writing], [], 0)[1], 60, "a full pipe")
        tool.send_signal(signal.SIGTERM)
        try:
            assert tool.wait(scaled(60)) == 128 + signal.SIGTERM
        finally:
            tool.kill()
    for reading, writing in ends:
        os.close(reading)
        os.close(writing)
    wait_until(lambda: alone(task), 60, "the command has ended")


def test_killed(binary: Path, plugin: Plugin, task: Task) -> None:
    with subprocess.Popen(words(binary, plugin, task.id, "/bin/sh", "-c", "echo up; sleep 300"), stdout=subprocess.PIPE) as tool:
        assert tool.stdout.readline() == b"up\n"
        tool.kill()
    wait_until(lambda: alone(task), 5, "the command has ended")


def test_reader_that_leaves(binary: Path, plugin: Plugin, task: Task) -> None:
    with subprocess.Popen(words(binary, plugin, task.id, "yes"), stdout=subprocess.PIPE) as tool:
        assert tool.stdout.readline() == b"y\n"
        tool.stdout.close()
        assert tool.wait(scaled(10)) == 141
    wait_until(lambda: alone(task), 5, "the command has ended")


def test_terminal(binary: Path, plugin: Plugin, task: Task) -> None:
    """On a terminal: its size, raw keys, a new size, and its attributes restored at the end."""
    holder, terminal = pty.openpty()
    fcntl.ioctl(holder, termios.TIOCSWINSZ, struct.pack("HHHH", 21, 43, 0, 0))
    before = termios.tcgetattr(terminal)

    script = 'trap "stty size; exit 7" WINCH; trap "echo int" INT; stty size; while :; do sleep 0.05; done'
    # setsid(1) and no preexec_fn: one of gRPC's threads can hold a lock while Python forks, and then the child hangs.
    with subprocess.Popen(["setsid", "--ctty", *words(binary, plugin, task.id, "/bin/sh", "-c", script)],
                          stdin=terminal, stdout=terminal, stderr=terminal) as tool:
        seen = b""

        def sees(text: bytes) -> None:
            nonlocal seen
            end = time.monotonic() + scaled(10)
            while text not in seen:
                assert time.monotonic() < end, seen
                os.set_blocking(holder, False)
                try:
                    seen += os.read(holder, 4096)
                except BlockingIOError:
                    time.sleep(0.02)

        sees(b"21 43")
        os.write(holder, b"\x03")
        sees(b"int")
        fcntl.ioctl(holder, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 66, 0, 0))
        sees(b"33 66")
        assert tool.wait(scaled(10)) == 7
    assert termios.tcgetattr(terminal) == before
    os.close(holder)
    os.close(terminal)


@pytest.mark.parametrize("wrong, says", [
    ([], "name the task"), (["web"], "name the command"), (["--frob", "web", "ls"], '"--frob"')])
def test_usage(binary: Path, wrong: list[str], says: str) -> None:
    given = subprocess.run([binary, "exec", *wrong], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert given.returncode == 125 and says.encode() in given.stderr and b"exec --help" in given.stderr


def test_another_user(binary: Path, plugin: Plugin, task: Task) -> None:
    given = run(binary, plugin, task.id, "true", user=65534)
    assert given.returncode == 125 and b"must run as root" in given.stderr


def test_nothing_is_left(binary: Path, plugin: Plugin, task: Task) -> None:
    with subprocess.Popen(words(binary, plugin, task.id, "/bin/sh", "-c", "echo up; read line"),
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tool:
        assert tool.stdout.readline() == b"up\n"
        assert len(attendants(task)) == 1
        tool.stdin.write(b"end\n")
        tool.stdin.close()
        assert tool.wait(scaled(10)) == 0
    assert alone(task)
    assert attendants(task) == []


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_that_cannot_be_written(binary: Path, plugin: Plugin, task: Task, stream: str) -> None:
    """Seen before: status 141 and not a word, as if a reader had left."""
    with open("/dev/full", "wb") as full:
        settings: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        given = subprocess.run(
            words(binary, plugin, task.id, "sh", "-c", "echo x >&2" if stream == "stderr" else "echo x"),
            timeout=scaled(60), check=False, **{**settings, stream: full})
    assert given.returncode == 125
    if stream == "stdout":
        assert given.stderr == b"nomad-driver-exec2: cannot write the command's output: No space left on device\n"
