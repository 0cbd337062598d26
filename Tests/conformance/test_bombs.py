"""Tasks that use up a resource or resist being ended: each is stopped within its timeout and leaves nothing.

After each test the fixtures check that too: cgroup, processes, state directories. Each docstring says what was seen
without the protection, by moving the Executor, leaving the limit out or changing the test; "by reading" where it could
not be tried.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Callable

import pytest

from agent import AgentHost, ExitResult, Task, cgroups, processes
from agent.timing import scaled, wait_until
from attacking import USERS

Make = Callable[..., Task]
# The job's kill_timeout, in seconds that are not scaled.
KILL_TIMEOUT = 0.5
# How long killing may take after that. If processes survive, a stop is answered ten seconds after its kill timeout, on a
# slow machine too: that must not pass.
KILLING = min(scaled(3), 9)


def armed(make: Make, host: AgentHost, *kinds: str, user: str, **options: object) -> Task:
    """A started task whose last kind has begun."""
    task = make(host.program("bomb"), kinds, user=user, **options).start()
    (task.stderr if kinds[-1] == "output=" else task.stdout).wait_for(f"armed {kinds[-1].partition('=')[0]}", 30)
    return task


def stop(task: Task) -> None:
    """Stops the task and checks that this takes no longer than the timeout and the killing, and that nothing is left."""
    executor = task.executor_pid
    below = {process.pid for process in processes.descendants(executor)}
    begin = time.monotonic()
    task.stop(timeout=KILL_TIMEOUT)
    took = time.monotonic() - begin
    assert took < KILL_TIMEOUT + KILLING, f"{took:.2f} s"
    assert not cgroups.populated(task.scope)
    assert [pid for pid in below if (process := processes.look(pid)) and process.name == "bomb" and not process.is_zombie] == []
    task.wait_soon().result()


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("kind", ["deaf=", "stop=", "files=", "threads=400", "forks=250", "output="])
def test_bomb(make: Make, host: AgentHost, kind: str, user: str) -> None:
    """A task that ignores every signal, stops itself, has used up its descriptors, has many threads, has processes in
    sessions of their own that go on forking, or blocks in write() because nobody reads its log. Seen with SIGKILL to the
    main process's group in place of `kill(-1)`: the forks survived, and the stop took ten seconds."""
    task = make(host.program("bomb"), [kind], user=user)
    if kind == "output=":
        task.stdout.leave()
    task.start()
    (task.stderr if kind == "output=" else task.stdout).wait_for("armed", 30)
    if kind == "stop=":
        wait_until(lambda: processes.look(task.pid).state == "T", 5, "stopped by itself")
    # Calls about other tasks are answered meanwhile.
    assert make(host.program("act"), ["out=well", "exit=3"]).run() == ExitResult(3)
    stop(task)
    ended = task.wait()
    assert ended.signal in ((9,) if kind in ("deaf=", "forks=250", "stop=") else (2, 9))


@pytest.mark.parametrize("user", USERS)
def test_frozen_by_the_host(make: Make, host: AgentHost, user: str) -> None:
    """SIGKILL ends frozen processes. The Executor is in another cgroup. Seen with an Executor in the task's own cgroup: it
    was frozen too, and the stop was answered only when the Driver had killed it."""
    task = armed(make, host, "deaf=", user=user)
    (task.scope / "cgroup.freeze").write_text("1")
    wait_until(lambda: "frozen 1" in (task.scope / "cgroup.events").read_text(), 5, "frozen")
    stop(task)
    assert task.wait() == ExitResult(137, 9)


@pytest.mark.parametrize("user", USERS)
def test_ended_while_frozen_and_started_again(make: Make, host: AgentHost, user: str) -> None:
    """Nomad restarts a task in the same cgroup. If that is still frozen, a process cloned into it never runs, and its
    parent waits for it: the Executor writes cgroup.freeze before each launch. Seen without that: StartTask did not
    return."""
    task = armed(make, host, "deaf=", user=user)
    (task.scope / "cgroup.freeze").write_text("1")
    stop(task)
    task.destroy()
    assert task.start(10).was_started
    stop(task)


def test_frozen_by_the_task(make: Make, host: AgentHost) -> None:
    """A root task whose rules allow it to write to cgroup v2. The Executor is in another cgroup. Seen with an Executor that
    was moved into the task's cgroup before: it was frozen too, the stop was answered after five seconds, when the Driver
    had killed it, and the exit status was lost."""
    task = make(host.program("bomb"), user="root")
    task.set_config({"command": str(host.program("bomb")), "args": [f"freeze={task.scope}/cgroup.freeze"],
                     "unveil": [f"rw:{cgroups.mount_point()}"]})
    task.start().stdout.wait_for("armed freeze")
    wait_until(lambda: "frozen 1" in (task.scope / "cgroup.events").read_text(), 5, "frozen")
    stop(task)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("modes", ["", "rc"], ids=["default", "rule without w"])
def test_frozen_by_the_task_without_the_rule(make: Make, host: AgentHost, user: str, modes: str) -> None:
    """Its mount is read-only; where a rule makes that writable, Landlock denies the file to root, and the file's mode to
    other users as well. Seen with a rule that allows it: the root task froze itself; the dynamic user was still denied. Seen
    without Landlock, and with a writable mount: the root task froze itself."""
    task = make(host.program("bomb"), user=user)
    task.set_config({"command": str(host.program("bomb")), "args": [f"freeze={task.scope}/cgroup.freeze"],
                     "unveil": [f"{modes}:{cgroups.mount_point()}"] if modes else []})
    task.start().stdout.wait_for("freeze EROFS" if user == "root" and not modes else "freeze EACCES")
    stop(task)


def test_many_bombs_at_once(make: Make, host: AgentHost) -> None:
    """Their stops do not wait for one another. Seen with each stop asked for after the answer to the one before: these
    20 tasks took 10.2 seconds, in place of 0.6. (Ten tasks took 5.1 seconds, which passed.) Seen with SIGKILL to the main
    process's group in place of `kill(-1)`: ten tasks took ten seconds."""
    tasks = [armed(make, host, "forks=40", user=user) for user in USERS * 10]
    begin = time.monotonic()
    stops = [task.stop_soon(timeout=KILL_TIMEOUT) for task in tasks]
    for answer in stops:
        answer.result()
    assert time.monotonic() - begin < KILL_TIMEOUT + min(scaled(5), 9)
    assert {task.wait() for task in tasks} == {ExitResult(137, 9)}


def test_bomb_ends_with_its_executor(make: Make, host: AgentHost) -> None:
    """Even without a stop: the kernel ends a PID namespace with its PID 1. Seen without the namespace, with a shell as the
    parent: after its SIGKILL all 251 processes of the bomb lived on."""
    task = armed(make, host, "forks=250", user="nomad-80000")
    os.kill(task.executor_pid, signal.SIGKILL)
    wait_until(lambda: not cgroups.populated(task.scope), 10, "nothing left")
    assert task.wait_soon().result().err


@pytest.mark.controllers
@pytest.mark.parametrize("user", USERS)
def test_memory_bomb(make: Make, host: AgentHost, user: str) -> None:
    """Three processes use more memory than the task has: the kernel kills for it, and the Executor, whose memory is not
    charged to the task, records that. Seen without a limit: the task held 602 MiB and ran on. Seen with an Executor in
    the task's own cgroup, so that it counted as a process of the task: WaitTask was answered after eleven seconds, with
    the error that processes of the task had not ended."""
    task = make(host.program("bomb"), ["memory=200"], user=user, memory=64)
    assert task.start().wait(120).oom_killed
    assert not cgroups.populated(task.scope)


@pytest.mark.controllers
@pytest.mark.parametrize("user", USERS)
def test_fork_bomb_at_a_limit_of_processes(make: Make, host: AgentHost, user: str) -> None:
    """It goes on forking at its limit; other tasks start as usual, and one stop ends it. Seen with an Executor in the
    task's own cgroup, so that it counted as a process of the task: the stop was answered after eleven seconds, with the
    error that processes of the task had not ended. Seen without a limit: 3000 of 3000 processes."""
    task = make(host.program("bomb"), ["forks=100000"], user=user)
    (task.scope / "pids.max").write_text("40")
    task.start()
    wait_until(lambda: int((task.scope / "pids.current").read_text()) >= 39, 30, "at its limit")
    assert make(host.program("act"), ["exit=3"]).run() == ExitResult(3)
    stop(task)
    assert task.wait() == ExitResult(137, 9)
