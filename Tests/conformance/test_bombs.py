"""Tasks that go off or hold out: each is stopped within its timeout and leaves nothing.

"Nothing" is also what the fixtures look at after each test: cgroup, processes, state directories.
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
# Of the job, in seconds that are not scaled.
KILL_TIMEOUT = 0.5
# What killing takes besides. A stop whose processes live on is answered ten seconds after its kill timeout, on a slow
# machine too: that must not pass.
KILLING = min(scaled(3), 9)


def armed(make: Make, host: AgentHost, *kinds: str, user: str, **options: object) -> Task:
    """A task that has gone off."""
    task = make(host.program("bomb"), kinds, user=user, **options).start()
    (task.stderr if kinds[-1] == "output=" else task.stdout).wait_for(f"armed {kinds[-1].partition('=')[0]}", 30)
    return task


def stop(task: Task) -> None:
    """Stops it, within the timeout and what killing takes; nothing of it is left."""
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
    """Deaf to every signal, stopped by itself, out of descriptors, of many threads, of processes in sessions of
    their own that go on forking, and hanging in write() since nobody reads its log. Seen with SIGKILL to the main
    process's group in place of `kill(-1)`: the forks lived on, and the stop took ten seconds."""
    task = make(host.program("bomb"), [kind], user=user)
    if kind == "output=":
        task.stdout.leave()
    task.start()
    (task.stderr if kind == "output=" else task.stdout).wait_for("armed", 30)
    if kind == "stop=":
        wait_until(lambda: processes.look(task.pid).state == "T", 5, "stopped by itself")
    # Others are served meanwhile.
    assert make(host.program("act"), ["out=well", "exit=3"]).run() == ExitResult(3)
    stop(task)
    ended = task.wait()
    assert ended.signal in ((9,) if kind in ("deaf=", "forks=250", "stop=") else (2, 9))


@pytest.mark.parametrize("user", USERS)
def test_frozen_by_the_host(make: Make, host: AgentHost, user: str) -> None:
    """SIGKILL reaches what a cgroup has frozen. The Executor is in another one. Seen with an Executor in the task's
    own cgroup: it was frozen too, and the stop came only when the Driver had killed it."""
    task = armed(make, host, "deaf=", user=user)
    (task.scope / "cgroup.freeze").write_text("1")
    wait_until(lambda: "frozen 1" in (task.scope / "cgroup.events").read_text(), 5, "frozen")
    stop(task)
    assert task.wait() == ExitResult(137, 9)


@pytest.mark.parametrize("user", USERS)
def test_ended_while_frozen_and_started_again(make: Make, host: AgentHost, user: str) -> None:
    """Nomad restarts a task in the cgroup that it had. Left frozen, nothing that is cloned into it would ever run, and
    its parent would wait for it: the Executor writes cgroup.freeze before each launch. Seen without that: StartTask did
    not return."""
    task = armed(make, host, "deaf=", user=user)
    (task.scope / "cgroup.freeze").write_text("1")
    stop(task)
    task.destroy()
    assert task.start(10).was_started
    stop(task)


def test_frozen_by_the_task(make: Make, host: AgentHost) -> None:
    """A task of root's to which somebody has opened cgroup v2."""
    task = make(host.program("bomb"), user="root")
    task.set_config({"command": str(host.program("bomb")), "args": [f"freeze={task.scope}/cgroup.freeze"],
                     "unveil": [f"rw:{cgroups.mount_point()}"]})
    task.start().stdout.wait_for("armed freeze")
    wait_until(lambda: "frozen 1" in (task.scope / "cgroup.events").read_text(), 5, "frozen")
    stop(task)


@pytest.mark.parametrize("user", USERS)
def test_frozen_by_the_task_without_the_rule(make: Make, host: AgentHost, user: str) -> None:
    task = make(host.program("bomb"), user=user)
    task.set_config({"command": str(host.program("bomb")), "args": [f"freeze={task.scope}/cgroup.freeze"]})
    task.start().stdout.wait_for("freeze EACCES")
    stop(task)


def test_many_bombs_at_once(make: Make, host: AgentHost) -> None:
    """Their stops do not wait for one another."""
    tasks = [armed(make, host, "forks=40", user=user) for user in USERS * 5]
    begin = time.monotonic()
    stops = [task.stop_soon(timeout=KILL_TIMEOUT) for task in tasks]
    for answer in stops:
        answer.result()
    assert time.monotonic() - begin < KILL_TIMEOUT + min(scaled(5), 9)
    assert {task.wait() for task in tasks} == {ExitResult(137, 9)}


def test_bomb_ends_with_its_executor(make: Make, host: AgentHost) -> None:
    """Also where nobody stops it: the kernel ends a PID namespace with its PID 1."""
    task = armed(make, host, "forks=250", user="nomad-80000")
    os.kill(task.executor_pid, signal.SIGKILL)
    wait_until(lambda: not cgroups.populated(task.scope), 10, "nothing left")
    assert task.wait_soon().result().err


@pytest.mark.controllers
@pytest.mark.parametrize("user", USERS)
def test_memory_bomb(make: Make, host: AgentHost, user: str) -> None:
    """Three processes that want more than the task has: the kernel ends it and says so, and the Executor, whose memory
    is not the task's, records it."""
    task = make(host.program("bomb"), ["memory=200"], user=user, memory=64)
    assert task.start().wait(120).oom_killed
    assert not cgroups.populated(task.scope)


@pytest.mark.controllers
@pytest.mark.parametrize("user", USERS)
def test_fork_bomb_at_a_limit_of_processes(make: Make, host: AgentHost, user: str) -> None:
    """It goes on trying at its limit; others start as ever."""
    task = make(host.program("bomb"), ["forks=100000"], user=user)
    (task.scope / "pids.max").write_text("40")
    task.start()
    wait_until(lambda: int((task.scope / "pids.current").read_text()) >= 39, 30, "at its limit")
    assert make(host.program("act"), ["exit=3"]).run() == ExitResult(3)
    stop(task)
    assert task.wait() == ExitResult(137, 9)
