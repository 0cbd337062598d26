"""`nomad-driver-exec2 trace`: what a running task is denied, while it runs on."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups
from agent.exec import exec_task
from agent.restart import recover
from agent.timing import scaled, wait_until
from agent.tracer import Tracer
from tracing import rules, titles

Make = Callable[..., Task]

# It asks for a file again and again. A thread waits in a call that the kernel does not begin anew by itself (signal(7)), and
# one in a call that it does; both say so when they are interrupted.
ASKING = r"""
import ctypes, os, select, signal, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
poll, (reader, _) = select.epoll(), os.pipe()
poll.register(reader)
def wait(name, call):
    while True:
        if call() < 0: print(name, ctypes.get_errno(), flush=True)
threading.Thread(target=wait, args=("epoll", lambda: libc.epoll_wait(poll.fileno(), ctypes.create_string_buffer(64), 4, 60000)), daemon=True).start()
threading.Thread(target=wait, args=("sleep", lambda: libc.usleep(200000)), daemon=True).start()
signal.signal(signal.SIGUSR1, lambda *_: print("signal", flush=True))
signal.signal(signal.SIGUSR2, lambda *_: sys.exit(9))
print("up", flush=True)
while True:
    time.sleep(0.02)
    for path in sys.argv[1:]:
        try: open(path)
        except OSError: pass
"""


@pytest.fixture
def hidden(places: Path) -> Path:
    """A file of the host that no rule unveils."""
    file = places / "hidden"
    file.write_text("x")
    file.chmod(0o644)
    return file


@pytest.fixture
def asking(make: Make, hidden: Path) -> Task:
    task = make("/usr/bin/python3", ["-c", ASKING, hidden]).start()
    task.stdout.wait_for("up")
    return task


@pytest.fixture
def tracing(binary: Path, plugin: Plugin) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `trace`, and returns when it has begun."""
    begun: list[subprocess.Popen[str]] = []

    def start(task: Task, *words: str, place: Plugin = plugin) -> subprocess.Popen[str]:
        # In a process group of its own: in an orphaned one, as that of these tests may be, SIGTSTP stops nothing.
        tool = subprocess.Popen([binary, "trace", "--state-dir", place.state_dir, *words, task.id], process_group=0,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        begun.append(tool)
        assert tool.stderr is not None
        assert tool.stderr.readline().startswith(f'nomad-driver-exec2: tracing task "{task.id}"')
        return tool

    yield start
    for tool in begun:
        tool.kill()
        tool.communicate()


def run(binary: Path, plugin: Plugin, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([binary, "trace", "--state-dir", plugin.state_dir, *map(str, words)], capture_output=True, text=True, timeout=scaled(60))


def fields(pid: int, name: str) -> list[str]:
    """Of every thread."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        match = re.search(rf"^{name}:\t(\S+)", (thread / "status").read_text(encoding="utf-8"), re.MULTILINE)
        assert match
        found.append(match[1])
    return found


def is_free(task: Task) -> bool:
    return set(fields(task.pid, "TracerPid")) == {"0"} and "t" not in fields(task.pid, "State")


def goes_on(task: Task, traces: int = 1) -> None:
    """It is not traced any more, sees signals, and ends as it wants to; nothing of it was interrupted. On arm64 epoll_wait(2) may
    be interrupted once by each beginning of a trace."""
    wait_until(lambda: is_free(task), 5, "it is not traced any more")
    task.signal("SIGUSR1")
    task.stdout.wait_for("signal")
    before = task.stdout.text.split("signal")[0]
    assert "sleep" not in before and before.count("epoll") <= (traces if platform.machine() == "aarch64" else 0)
    task.signal("SIGUSR2")
    assert task.wait(30) == ExitResult(9)


def test_an_output_that_takes_nothing(binary: Path, plugin: Plugin, asking: Task) -> None:
    """Seen before: exit status 0, although nothing was told."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        tool = subprocess.run([binary, "trace", "--state-dir", plugin.state_dir, "--suggest", asking.id], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=scaled(60), check=False)
    assert tool.returncode == 1, tool.stderr
    assert tool.stderr.splitlines()[1:] == ["nomad-driver-exec2: cannot write to stdout: No space left on device"]
    goes_on(asking)


def test_a_reader_that_leaves(binary: Path, plugin: Plugin, asking: Task, hidden: Path) -> None:
    """As with `trace … | head -1`: the trace ends."""
    reader, writer = os.pipe()
    tool = subprocess.Popen([binary, "trace", "--state-dir", plugin.state_dir, asking.id], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    try:
        with open(reader, encoding="utf-8") as output:
            assert titles(output.readline()) == [f"r:{hidden}"]
        # What is denied only now cannot be written.
        exec_task(asking, "sh", "-c", "sleep 1; cat /etc/passwd; true")
        assert tool.wait(scaled(20)) == 0
        assert tool.stderr is not None and len(tool.stderr.read().splitlines()) == 1
    finally:
        tool.kill()
        tool.wait()
    goes_on(asking)


def test_a_reader_that_does_not_read(binary: Path, plugin: Plugin, asking: Task, hidden: Path) -> None:
    """Of a second signal the tool ends: seen before, only SIGKILL ended it."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    tool = subprocess.Popen([binary, "trace", "--state-dir", plugin.state_dir, asking.id], stdout=writer, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: not is_free(asking), 10, "it is traced")
        tool.send_signal(signal.SIGINT)
        wait_until(lambda: is_free(asking), 10, "it is let go of")
        with pytest.raises(subprocess.TimeoutExpired):
            tool.wait(1)
        tool.send_signal(signal.SIGINT)
        assert tool.wait(scaled(10)) == 130
    finally:
        tool.kill()
        tool.wait()
        os.close(reader)
        os.close(writer)
    goes_on(asking)


def test_for_some_seconds(binary: Path, plugin: Plugin, asking: Task, hidden: Path) -> None:
    """The task does not notice."""
    began = time.monotonic()
    given = run(binary, plugin, "--seconds", "2", "--suggest", asking.id)
    assert given.returncode == 0 and 2 <= time.monotonic() - began < scaled(20)
    assert titles(given.stdout) == [f"r:{hidden}"] and rules(given.stdout) == [f"r:{hidden}"]
    assert "# Or for run" not in given.stdout and "1 denied: 1 for want of a rule" in given.stdout
    goes_on(asking)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_until_a_signal(asking: Task, hidden: Path, number: int, tracing: Callable[..., Any]) -> None:
    tool = tracing(asking)
    assert tool.stdout.readline().startswith(f"denied  r:{hidden} ")
    tool.send_signal(number)
    out, err = tool.communicate(timeout=scaled(10))
    assert tool.returncode == 0 and err == "" and out.startswith("1 denied")
    goes_on(asking)


def test_killed(asking: Task, hidden: Path, tracing: Callable[..., Any]) -> None:
    for _ in range(5):
        tool = tracing(asking)
        assert tool.stdout.readline().startswith(f"denied  r:{hidden} ")
        tool.kill()
        tool.wait(scaled(10))
    goes_on(asking, traces=5)


def test_until_the_tasks_end(asking: Task, tracing: Callable[..., Any]) -> None:
    tool = tracing(asking)
    assert tool.stdout.readline().startswith("denied  r:")
    asking.signal("SIGUSR2")
    assert asking.wait(30) == ExitResult(9)
    out, _ = tool.communicate(timeout=scaled(20))
    assert tool.returncode == 0 and "1 denied" in out


def test_stopped_through_the_agent(asking: Task, tracing: Callable[..., Any]) -> None:
    """The traced task ends as any other, at once."""
    tool = tracing(asking)
    assert tool.stdout.readline()
    began = time.monotonic()
    asking.stop(signal="SIGTERM", timeout=20)
    assert asking.wait(30) == ExitResult(143, 15)
    assert time.monotonic() - began < scaled(5)
    tool.communicate(timeout=scaled(20))
    assert tool.returncode == 0


def test_killed_while_it_is_traced(asking: Task, tracing: Callable[..., Any]) -> None:
    tool = tracing(asking)
    assert tool.stdout.readline()
    asking.stop(signal="SIGKILL", timeout=0)
    assert asking.wait(30) == ExitResult(137, 9)
    tool.communicate(timeout=scaled(20))
    assert tool.returncode == 0


def test_a_stopped_task_stays_stopped(asking: Task, tracing: Callable[..., Any]) -> None:
    asking.signal("SIGSTOP")
    wait_until(lambda: set(fields(asking.pid, "State")) == {"T"}, 5, "stopped")
    tool = tracing(asking)
    time.sleep(0.5)
    assert set(fields(asking.pid, "State")) <= {"t", "T"}
    tool.send_signal(signal.SIGINT)
    out, _ = tool.communicate(timeout=scaled(10))
    assert "nothing was denied" in out
    wait_until(lambda: set(fields(asking.pid, "State")) == {"T"}, 5, "still stopped")
    asking.signal("SIGCONT")
    wait_until(lambda: "T" not in fields(asking.pid, "State"), 5, "it goes on")


def test_commands_and_children(binary: Path, plugin: Plugin, make: Make, hidden: Path, tracing: Callable[..., Any]) -> None:
    """Of children of the task, and of commands that are run in it meanwhile, which work as without."""
    task = make("/bin/sh", ["-c", f"while sleep 0.1; do cat {hidden} 2>/dev/null; done"]).start()
    tool = tracing(task)
    line = tool.stdout.readline()
    assert line.startswith(f"denied  r:{hidden} ") and " cat[" in line
    other = hidden.parent / "other"
    other.touch()
    script = f"for turn in 1 2 3 4 5 6 7 8 9 10; do cat {other}; sleep 0.1; done; echo done; exit 5"
    given = subprocess.run([binary, "exec", "--state-dir", plugin.state_dir, task.id, "sh", "-c", script], capture_output=True, text=True,
                           timeout=scaled(30))
    assert (given.returncode, given.stdout) == (5, "done\n") and given.stderr.count("No such file") == 10
    tool.send_signal(signal.SIGINT)
    out, _ = tool.communicate(timeout=scaled(10))
    assert titles(out) == [f"r:{other}"] and "2 denied" in out
    task.stop(timeout=0)
    assert not cgroups.processes(task.scope)


def test_what_another_has_is_left_alone(asking: Task, trace: Callable[[int], Tracer], tracing: Callable[..., Any]) -> None:
    """A debugger has its main thread; the others are traced."""
    tracer = trace(asking.pid)
    tool = tracing(asking)
    assert "traces already, is left alone" in tool.stdout.readline()
    tool.send_signal(signal.SIGINT)
    out, _ = tool.communicate(timeout=scaled(10))
    assert "1 process was left alone" in out and tool.returncode == 0
    tracer.let_go()


def test_without_any_driver(launch: Callable[..., Plugin], host: AgentHost, hidden: Path, tracing: Callable[..., Any]) -> None:
    plugin = launch()
    task = host.task(plugin, "/bin/sh", ["-c", f"while sleep 0.1; do cat {hidden} 2>/dev/null; done"]).start()
    plugin.kill()
    tool = tracing(task, place=plugin)
    assert tool.stdout.readline().startswith(f"denied  r:{hidden} ")
    again = launch(dict(plugin.config))
    recover(again, task)


def test_wrong_use(binary: Path, plugin: Plugin) -> None:
    for words, status, text in [
            (["nothing"], 1, 'no task "nothing" runs'), ([], 2, "name the task to trace"), (["a", "b"], 2, 'there is "b" as well'),
            (["--seconds", "0", "a"], 2, '--seconds is "0": must be a whole number from 1 to 86400'),
            (["--seconds", "x", "a"], 2, '--seconds is "x"'), (["--tty", "a"], 2, 'unknown option "--tty"')]:
        given = run(binary, plugin, *words)
        assert (given.returncode, given.stdout) == (status, "") and text in given.stderr
        assert len(given.stderr.splitlines()) == 1 and given.stderr.startswith("nomad-driver-exec2: ")


def test_only_as_root(binary: Path, plugin: Plugin) -> None:
    given = subprocess.run([binary, "trace", "x"], capture_output=True, text=True, user="nobody", timeout=scaled(20))
    assert given.returncode == 1 and "trace must run as root" in given.stderr


def test_threads_that_the_tracer_has_already_are_not_another_tracers(make: Make, tracing: Callable[..., subprocess.Popen[str]]) -> None:
    """Threads that come and go all the time, and are found before they have told the tracer of themselves."""
    text = ("import threading\ndef churn():\n    while True:\n        thread = threading.Thread(target=lambda: None)\n"
            "        thread.start()\n        thread.join()\nfor _ in range(16): threading.Thread(target=churn).start()\nprint('up', flush=True)")
    task = make("/usr/bin/python3", ["-c", text]).start()
    task.stdout.wait_for("up")
    output, _ = tracing(task, "--seconds", "6").communicate(timeout=scaled(60))
    assert "left alone" not in output and "threads in" in output


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU])
def test_a_key_does_not_stop_the_task(asking: Task, tracing: Callable[..., subprocess.Popen[str]], number: int) -> None:
    """Ctrl-Z, for which a tracer stops, and with it what it traces."""
    tool = tracing(asking)
    assert tool.stdout is not None and "hidden" in tool.stdout.readline()
    tool.send_signal(number)
    time.sleep(0.3)
    before = asking.stdout.text.count("signal")
    asking.signal("SIGUSR1")
    wait_until(lambda: asking.stdout.text.count("signal") > before, 10, "the task's signal handler")
    tool.send_signal(signal.SIGINT)
    assert tool.wait(timeout=scaled(10)) == 0
