"""Signals: every name in every spelling reaches the task and its children."""

from __future__ import annotations

import signal
import time
from typing import Callable

import grpc
import pytest

from agent import AgentHost, ExitResult, Task, processes
from agent.expect import refused
from agent.timing import scaled, wait_until

Make = Callable[..., Task]

# Linux on x86-64 and arm64. KILL and STOP cannot be recorded.
NAMES = {
    "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "IOT": 6, "BUS": 7, "FPE": 8, "USR1": 10, "SEGV": 11,
    "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CONT": 18, "TSTP": 20, "TTIN": 21,
    "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27, "WINCH": 28, "IO": 29, "POLL": 29, "PWR": 30,
    "SYS": 31,
}
REAL_TIME = {f"RTMIN+{offset}": 34 + offset for offset in range(1, 31)} | {"RTMIN": 34}


def recorder(make: Make, host: AgentHost, children: int = 0, **options: object) -> Task:
    task = make(host.program("recorder"), [str(children)], **options).start()
    task.stdout.wait_for("ready main")
    for child in range(1, children + 1):
        task.stdout.wait_for(f"ready child{child}")
    return task


def all_arrive(task: Task, spelled: dict[str, int]) -> None:
    """Each one is recorded once and in order, and ends no process."""
    pid, executor = task.pid, task.executor_pid
    expected = task.stdout.text
    for name, number in spelled.items():
        expected += f"main {number}\n"
        task.signal(name)
        wait_until(lambda: len(task.stdout.data) >= len(expected), 10, f"{name} to be recorded")
        assert task.stdout.text == expected, f"after {name}"
    assert (task.pid, task.executor_pid) == (pid, executor)
    assert processes.is_alive(pid) and processes.is_alive(executor)


@pytest.mark.parametrize("spell", [
    lambda name: f"SIG{name}", lambda name: name, lambda name: f"sig{name.lower()}", lambda name: name.lower(),
    lambda name: f"Sig{name.capitalize()}",
], ids=["SIGHUP", "HUP", "sighup", "hup", "SigHup"])
def test_names(make: Make, host: AgentHost, spell: Callable[[str], str]) -> None:
    task = recorder(make, host)
    all_arrive(task, {spell(name): number for name, number in (NAMES | REAL_TIME).items()})
    task.stop(signal="SIGKILL")


def test_numbers(make: Make, host: AgentHost) -> None:
    task = recorder(make, host)
    numbers = [number for number in [*range(1, 32), *range(34, 65)] if number not in (signal.SIGKILL, signal.SIGSTOP)]
    all_arrive(task, {str(number): number for number in numbers})
    task.stop(signal="SIGKILL")


@pytest.mark.parametrize("user", ["nobody", "root"])
def test_other_users(make: Make, host: AgentHost, user: str) -> None:
    task = recorder(make, host, user=user)
    all_arrive(task, {"SIGHUP": 1, "SIGUSR1": 10, "SIGTERM": 15, "SIGWINCH": 28})
    task.stop(signal="SIGKILL")


def test_children_get_it_too(make: Make, host: AgentHost) -> None:
    task = recorder(make, host, children=2)
    for number in (1, 2, 10, 15, 28):
        task.signal(str(number))
        for name in ("main", "child1", "child2"):
            task.stdout.wait_for(f"{name} {number}\n")
    task.stop(signal="SIGKILL")


def test_child_of_a_shell_gets_it_too(make: Make, host: AgentHost) -> None:
    script = f"trap 'echo shell' USR1; {host.program('recorder')} & while :; do wait; done"
    task = make("/bin/sh", ["-c", script]).start()
    task.stdout.wait_for("ready main")
    task.signal("SIGUSR1")
    task.stdout.wait_for("main 10\n")
    task.stdout.wait_for("shell\n")
    task.stop(signal="SIGKILL")


def test_kill(make: Make, host: AgentHost) -> None:
    task = recorder(make, host)
    task.signal("SIGKILL")
    assert task.wait() == ExitResult(137, 9)


def test_stop_and_continue(make: Make, host: AgentHost) -> None:
    task = recorder(make, host)
    pid = task.pid
    task.signal("SIGSTOP")
    wait_until(lambda: processes.look(pid).state == "T", 5, "the task to be stopped")
    task.signal("SIGCONT")
    wait_until(lambda: processes.look(pid).state != "T", 5, "the task to go on")
    task.stdout.wait_for("main 18")
    task.stop(signal="SIGKILL")


def test_fatal_signal_ends_the_task(act: Make) -> None:
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    task.signal("SIGHUP")
    assert task.wait() == ExitResult(129, 1)


@pytest.mark.parametrize("name", ["SIGFOO", "", "SIG", "0", "65", "-1", "1.5", "SIGRTMIN+31", "SIGRTMIN-1", "SIGRTMIN+x", "HUP ", "SIGSIGHUP"])
def test_unknown_name(make: Make, host: AgentHost, name: str) -> None:
    task = recorder(make, host)
    with refused(f'"{name}"' if len(name) < 3 else name):
        task.signal(name)
    time.sleep(scaled(0.05))
    assert task.lines() == ["ready main"]
    task.stop(signal="SIGKILL")


def test_signal_after_the_end(act: Make) -> None:
    task = act("exit=0")
    task.run()
    with pytest.raises(grpc.RpcError):
        task.signal("SIGHUP")


def test_signals_at_once(make: Make, host: AgentHost) -> None:
    """Many at the same time from many callers: real-time signals are queued, and so all arrive."""
    from concurrent.futures import ThreadPoolExecutor

    task = recorder(make, host)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: task.signal("SIGRTMIN+5"), range(200)))
    wait_until(lambda: task.stdout.text.count("main 39\n") == 200, 10, "200 signals recorded")
    task.stop(signal="SIGKILL")
