"""Attacks on the Executor and on other tasks, from inside a task.

Each test was seen to fail on a build without the tested protection; its docstring says how.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages, processes
from agent.state import directory_of, record_bytes
from agent.timing import wait_until
from attacking import REFUSED, USERS, attack, begin, either_plugin, outcomes, succeeded  # noqa: F401

# What the job unveils: nothing, or all of /proc.
UNVEILED: list[list[str]] = [[], ["rwx:/proc"]]
SECRET = "quite-secret-value"

by_user_and_rules = pytest.mark.parametrize("unveil", UNVEILED, ids=["default", "proc"])


@pytest.fixture
def plugin(either_plugin: Plugin) -> Plugin:  # noqa: F811
    return either_plugin


def as_users(test: Any) -> Any:
    return pytest.mark.parametrize("user", USERS)(test)


@as_users
@by_user_and_rules
def test_executor_cannot_be_traced_or_entered(host: AgentHost, plugin: Plugin, user: str, unveil: list[str]) -> None:
    """Seen without Landlock, with all of root's capabilities and with a dumpable Executor: a root task attached to it,
    read its memory and entered its mount namespace."""
    found = attack(
        host, plugin, ("ptrace", 1), ("seize", 1), ("vm_read", 1), ("vm_write", 1), ("setns", 1),
        *[("getfd", f"1,{number}") for number in range(16)], ("read", "/proc/1/mem"), ("write", "/proc/1/mem"),
        ("read", "/proc/1/maps"), ("read", "/proc/1/stack"), ("read", "/proc/1/syscall"), ("read", "/proc/1/auxv"),
        ("readlink", "/proc/1/exe"), user=user, unveil=unveil)
    assert succeeded(found) == {}


@as_users
@by_user_and_rules
def test_executors_secrets_and_pipes_are_closed(host: AgentHost, plugin: Plugin, user: str, unveil: list[str]) -> None:
    """The launch request at descriptor 4, and the pipes through which the Driver sends requests. Seen as above: the task
    read the request, and could write to "control" and "events"."""
    task = begin(
        host, plugin, ("fds", 1), ("read", "/proc/1/environ"), ("read", "/proc/1/fd/4"), ("write", "/proc/1/fd/4"),
        ("list", "/proc/1/cwd/"), ("list", "/proc/1/root/"), user=user, unveil=unveil,
        env={"SECRET": SECRET})
    assert task.run() == ExitResult(0)
    assert SECRET not in task.stdout.text
    assert set(outcomes(task)) <= REFUSED


@as_users
@by_user_and_rules
def test_executors_limits_and_score_stay(host: AgentHost, plugin: Plugin, user: str, unveil: list[str]) -> None:
    """With a file size limit of 0 the Executor cannot write the exit record. Seen before it had a saved group id of its
    own: a root task set that limit, and WaitTask answered that the exit status was lost. Seen while /proc was writable to
    root: its oom_score_adj became 1000."""
    untouched = host.task(plugin, host.program("act"), ["out=up", "pause="], user=user).start()
    task = begin(
        host, plugin, ("prlimit", 1), ("put", "/proc/1/oom_score_adj,1000"), ("put", "/proc/1/coredump_filter,127"),
        ("put", "/proc/1/timerslack_ns,1"), ("put", "/proc/1/clear_refs,1"), ("write", "/proc/1/uid_map"),
        ("write", "/proc/1/comm"), ("read", "/proc/self/cmdline"), ("pause", "-"), user=user, unveil=unveil)
    task.start().stdout.wait_for("cmdline")
    *attempts, own = outcomes(task)
    assert own.startswith("ok:")
    assert set(attempts) <= REFUSED, task.lines()

    def state(of: Task) -> list[str]:
        return [Path(f"/proc/{of.executor_pid}/{name}").read_text() for name in ("oom_score_adj", "limits", "coredump_filter")]

    assert state(task) == state(untouched)
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)
    untouched.stop(signal="SIGKILL")


@as_users
def test_executor_ignores_signals_of_its_task(host: AgentHost, plugin: Plugin, user: str) -> None:
    """Every signal, including SIGKILL and SIGSTOP: the kernel delivers no signal from inside a namespace to its PID 1
    without a handler. Seen with the signals sent by the test from outside the namespace: the Executor ended."""
    task = begin(host, plugin, *[("signals", 1)] * 3, ("end", 9), user=user)
    assert task.start().wait() == ExitResult(9)
    task.stdout.wait_end()
    assert set(outcomes(task)) == ({"ok"} if user == "root" else {"EPERM"})


@as_users
def test_no_signal_waits_for_the_executor(host: AgentHost, plugin: Plugin, user: str) -> None:
    """Pending signals count against the host's root (RLIMIT_SIGPENDING), whoever has sent them. Seen while the Executor
    blocked signals: every one was queued, a real-time signal as often as it was sent."""
    task = begin(host, plugin, *[("signals", 1)] * 3, ("pause", "-"), user=user)
    task.start()
    wait_until(lambda: len(task.lines()) >= 3, 60, "the signals sent")
    sent = {line.split("\t")[2] for line in task.lines()}
    assert sent == ({"ok"} if user == "root" else {"EPERM"})
    executor = task.executor_pid
    # A SIGCHLD is read soon; a signal that stays queued never is.
    wait_until(
        lambda: [int(processes.status(executor, field), 16) for field in ("SigPnd", "ShdPnd")] == [0, 0], 60,
        "no signal pending")
    task.stop(signal="SIGKILL")


@as_users
@pytest.mark.parametrize("above", [False, True], ids=["default", "rule above"])
def test_forged_exit(host: AgentHost, plugin: Plugin, user: str, above: bool) -> None:
    """A forged record with exit code 0, put wherever it might be read: WaitTask answers the real result. Seen with the
    host's file system as the root, and without Landlock: a root task opened its record's file and its pipes for writing."""
    task = host.task(plugin, host.program("attack"), user=user)
    directory = directory_of(task)
    unveil = [f"rwxc:{host.root}"] if above else []
    forged = record_bytes(messages.executor.ExitRecord(task_directory=directory.name, exit_code=0))
    for name in ("exit", "exit_status", ".exit", "exit.reserved", "events"):
        (task.local / name).write_bytes(forged)
        (task.local / name).chmod(0o666)
    words: list[object] = []
    for name in ("exit.reserved", "control", "events", "executor", "lock"):
        words += ["write", directory / name]
    words += ["move", f"{task.local}/exit,{directory}/exit", "link", f"{task.local}/exit,{directory}/exit",
              "list", directory, "list", directory.parent, "end", "7"]
    task.set_config({"command": str(host.program("attack")), "args": [str(word) for word in words], "unveil": unveil})
    assert task.start().wait() == ExitResult(7)
    task.stdout.wait_end()
    found = outcomes(task)
    assert len(found) == 9
    assert set(found[:-1]) == {"ENOENT"}, task.lines()
    # Where a rule unveils what is above it, the place of all state directories is an empty one.
    assert found[-1] == ("ok" if unveil else "ENOENT"), task.lines()


@as_users
def test_other_tasks_of_the_same_user(host: AgentHost, plugin: Plugin, user: str) -> None:
    """Two tasks with one uid are in PID namespaces of their own. Seen with the host's /proc instead of the task's
    own: the task found the other one there, and only Landlock (EACCES) protected its environment."""
    other = host.task(plugin, host.program("act"), ["out=up", "pause="], user=user, env={"SECRET": SECRET}).start()
    other.stdout.wait_for("up")
    pid, executor = other.pid, other.executor_pid
    attempts: list[tuple[str, object]] = []
    for victim in (pid, executor):
        attempts += [("ptrace", victim), ("vm_read", victim), ("vm_write", victim), ("kill", f"{victim},9"), ("getfd", f"{victim},1"),
                     ("prlimit", victim), ("setns", victim), ("read", f"/proc/{victim}/environ"), ("list", f"/proc/{victim}/cwd/"),
                     ("fds", victim), ("put", f"/proc/{victim}/oom_score_adj,1000")]
    task = begin(host, plugin, *attempts, ("kill", "-1,9"), user=user, unveil=["rwx:/proc"])
    assert task.run() == ExitResult(0)
    assert SECRET not in task.stdout.text
    assert set(outcomes(task)[:-1]) == {"ESRCH", "ENOENT"}, task.lines()
    assert processes.is_alive(pid) and processes.is_alive(executor)
    other.stop(signal="SIGTERM")
    assert other.wait() == ExitResult(143, 15)


@as_users
def test_proc_shows_the_task_alone(host: AgentHost, plugin: Plugin, user: str) -> None:
    """Seen without a /proc for the task: it listed every process of the host."""
    task = host.task(plugin, host.program("act"), ["pids="], user=user, unveil=["r:/proc"])
    assert task.run() == ExitResult(0)
    shown = [line.split()[1] for line in task.lines() if line.startswith("process ")]
    assert shown == ["1", "2"]


@as_users
def test_shared_memory_of_the_host(host: AgentHost, plugin: Plugin, user: str) -> None:
    """System V objects have no paths, so rules cannot deny them. Seen without an IPC namespace: the task found it."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x65786563 + os.getpid() % 1000
    segment = libc.shmget(key, 4096, 0o1666)  # IPC_CREAT
    assert segment >= 0
    try:
        assert libc.shmget(key, 1, 0) == segment
        assert attack(host, plugin, ("shm", key), user=user) == {f"shm {key}": "ENOENT"}
    finally:
        libc.shmctl(segment, 0, None)  # IPC_RMID
