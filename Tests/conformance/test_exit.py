"""How a task ended, according to WaitTask."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, Task

Make = Callable[..., Task]

# Every signal whose default action ends a process.
FATAL = [
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS,
    signal.SIGFPE, signal.SIGKILL, signal.SIGUSR1, signal.SIGSEGV, signal.SIGUSR2, signal.SIGPIPE, signal.SIGALRM,
    signal.SIGTERM, 16, signal.SIGXCPU, signal.SIGXFSZ, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR,
    signal.SIGSYS, 34, 50, 64,
]


@pytest.mark.parametrize("code", [0, 1, 7, 126, 127, 128, 137, 255])
def test_exit_code(act: Make, code: int) -> None:
    assert act(f"exit={code}").run() == ExitResult(code)


@pytest.mark.parametrize("number", [int(number) for number in FATAL])
def test_death_by_signal(act: Make, number: int) -> None:
    assert act(f"raise={number}").run() == ExitResult(128 + number, number)


def test_shell_exit(make: Make) -> None:
    assert make("/bin/sh", ["-c", "exit 7"]).run() == ExitResult(7)


def test_command_is_looked_up_in_the_tasks_path(make: Make, host: AgentHost) -> None:
    task = make("act", ["out=found", "exit=3"], env={"PATH": f"/nonexistent:{host.programs}"})
    assert task.run() == ExitResult(3)
    assert task.stdout.text == "found\n"


def test_arguments_arrive_as_they_are(make: Make, host: AgentHost) -> None:
    odd = ["args=", "out=two words", "out=", "out='quoted' $HOME *", "out=ü€😀", "out=line\nbreak", "exit=0"]
    task = make(host.program("act"), odd)
    assert task.run() == ExitResult(0)
    shown = task.stdout.text
    for argument in ("two words", "'quoted' $HOME *", "ü€😀", "line\nbreak"):
        assert argument in shown


@pytest.mark.parametrize("user", ["nomad-80000", "nobody", "root"])
@pytest.mark.parametrize("command", ["no-such-command", "/nonexistent/command"])
def test_command_not_found(make: Make, command: str, user: str) -> None:
    """StartTask succeeds; the task's log says why it ended at once."""
    task = make(command, user=user)
    assert task.run() == ExitResult(127)
    assert command in task.stderr.text
    assert "not found" in task.stderr.text.lower() or "no such file" in task.stderr.text.lower()
    assert task.stderr.text.endswith("\n") and task.stderr.text.count("\n") == 1
    assert task.stdout.text == ""


@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_command_not_executable(make: Make, user: str) -> None:
    task = make("/bin/sh", user=user)
    plain = task.local / "plain"
    plain.write_text("#!/bin/sh\nexit 0\n")
    plain.chmod(0o644)
    task.set_config({"command": str(plain)})
    assert task.run() == ExitResult(126)
    assert str(plain) in task.stderr.text
    assert "permission denied" in task.stderr.text.lower() or "not executable" in task.stderr.text.lower()
    assert task.stderr.text.count("\n") == 1


@pytest.mark.parametrize("rules, code, words", [([], 127, "or not unveiled with r and x"), (["r:/bin/true"], 126, "unveiled with r and x")])
def test_command_not_unveiled(launch: Callable[..., Plugin], host: AgentHost, rules: list[str], code: int, words: str) -> None:
    """A program that exists on the host and that no rule shows, or allows to execute."""
    plugin = launch({"unveil_defaults": False, "unveil_paths": rules})
    task = host.task(plugin, "/bin/true")
    assert task.run() == ExitResult(code)
    assert "/bin/true" in task.stderr.text and words in task.stderr.text


def test_command_is_a_directory(make: Make) -> None:
    task = make("/usr/bin")
    assert task.run() == ExitResult(126)
    assert "/usr/bin" in task.stderr.text


def test_script_without_its_interpreter(make: Make) -> None:
    task = make("/bin/sh")
    script = task.local / "script"
    script.write_text("#!/nonexistent/interpreter\n")
    script.chmod(0o755)
    task.set_config({"command": str(script)})
    assert task.run() == ExitResult(127)
    assert str(script) in task.stderr.text


def test_program_in_the_tasks_directory(make: Make, host: AgentHost) -> None:
    """A program from an artifact or template can be run with the default rules."""
    task = make("/bin/sh")
    copy = task.local / "own"
    copy.write_bytes(Path(host.program("act")).read_bytes())
    copy.chmod(0o755)
    task.set_config({"command": str(copy), "args": ["exit=6"]})
    assert task.run() == ExitResult(6)
