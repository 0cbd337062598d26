"""StopTask: by a signal, then by SIGKILL, and nothing is left."""

from __future__ import annotations

import os
import select
import statistics
import threading
import time
from typing import Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, messages, processes
from agent.timing import SLOW, scaled, wait_until

Make = Callable[..., Task]


def up(task: Task) -> Task:
    task.start().stdout.wait_for("up")
    return task


@pytest.mark.parametrize("name, number", [
    ("SIGTERM", 15), ("", 2), ("sigint", 2), ("QUIT", 3), ("usr1", 10), ("SIGKILL", 9), ("9", 9), ("SIGRTMIN+3", 37)])
def test_signal(act: Make, name: str, number: int) -> None:
    task = up(act("out=up", "pause="))
    begin = time.monotonic()
    task.stop(timeout=60, signal=name)
    assert time.monotonic() - begin < scaled(5)
    assert task.wait() == ExitResult(128 + number, number)


def test_unknown_signal_becomes_sigterm(act: Make, plugin: Plugin) -> None:
    task = up(act("out=up", "pause="))
    task.stop(timeout=60, signal="SIGFOO")
    assert task.wait() == ExitResult(143, 15)
    assert any("SIGFOO" in str(entry) for entry in plugin.log)


def test_graceful_end_has_its_own_code(make: Make) -> None:
    task = make("/bin/sh", ["-c", "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.05; done"])
    up(task).stop(timeout=60, signal="SIGTERM")
    assert task.wait() == ExitResult(4)
    task.stdout.wait_for("bye")


def test_ignored_sigint_ends_in_a_kill(act: Make) -> None:
    task = up(act("ignore=2", "out=up", "pause="))
    begin = time.monotonic()
    task.stop(timeout=1.5)
    took = time.monotonic() - begin
    assert 1.4 < took < 1.5 + scaled(2)
    assert task.wait() == ExitResult(137, 9)


def test_handled_sigint_then_kill(make: Make, host: AgentHost) -> None:
    task = make(host.program("recorder")).start()
    task.stdout.wait_for("ready main")
    task.stop(timeout=1)
    task.stdout.wait_for("main 2\n")
    assert task.wait() == ExitResult(137, 9)


@pytest.mark.parametrize("timeout", [0, -5])
def test_no_timeout(act: Make, timeout: float) -> None:
    """A timeout of zero, or an invalid one, kills at once."""
    task = up(act("ignore=2", "out=up", "pause="))
    task.stop(timeout=timeout)
    assert task.wait().signal == 9


def test_missing_timeout(act: Make, plugin: Plugin) -> None:
    task = up(act("ignore=15", "out=up", "pause="))
    plugin.driver.StopTask(messages.driver.StopTaskRequest(task_id=task.id, signal="SIGTERM"), timeout=scaled(30))
    assert task.wait().signal in (9, 15)


def test_longest_timeout(act: Make, plugin: Plugin) -> None:
    """The maximum Duration neither overflows nor kills early."""
    task = up(act("ignore=2", "out=up", "sleep=700", "exit=8"))
    request = messages.driver.StopTaskRequest(task_id=task.id)
    request.timeout.seconds, request.timeout.nanos = 315_576_000_000, 999_999_999
    plugin.driver.StopTask(request, timeout=scaled(30))
    assert task.wait() == ExitResult(8)


@pytest.mark.parametrize("kinds", [["group"], ["session"], ["daemon"], ["ignore"], ["group", "session", "daemon", "ignore"] * 3, ["storm"]],
                         ids=["group", "session", "daemon", "ignore", "all", "storm"])
@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_no_process_is_left(make: Make, host: AgentHost, kinds: list[str], user: str) -> None:
    task = make(host.program("offspring"), kinds, user=user).start()
    for kind in ("main", *(f"child {kind}" for kind in kinds)):
        task.stdout.wait_for(kind)

    def descendants() -> set[int]:
        found = {process.pid for process in processes.descendants(task.executor_pid)}
        # A daemon may be missed while its parent changes; storm forks continually.
        return found if len(found) > len(kinds) or kinds == ["storm"] else set()

    below = wait_until(descendants, 10, f"more than {len(kinds)} processes below the Executor")
    task.stop(timeout=1, signal="SIGTERM")
    assert cgroups.processes(task.scope) == []
    assert not cgroups.populated(task.scope)
    # The pids may be reused by now, but not by programs of this test below this Executor.
    alive = [pid for pid in below if processes.is_alive(pid) and processes.look(pid).name == "offspring"]
    assert alive == []
    assert task.wait().exit_code in (0, 137)


def moment_of_end(pid: int) -> tuple[threading.Thread, list[float]]:
    """Notes when process `pid` ends."""
    descriptor = os.pidfd_open(pid)
    moment: list[float] = []

    def watch() -> None:
        select.select([descriptor], [], [], scaled(30))
        moment.append(time.monotonic())
        os.close(descriptor)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread, moment


def test_answer_follows_the_last_end(act: Make) -> None:
    """Within 50 ms; the median of nine, since the machine has other work too."""
    delays = []
    for _ in range(9):
        task = up(act("out=up", "pause="))
        thread, moment = moment_of_end(task.pid)
        task.stop(timeout=30, signal="SIGTERM")
        answered = time.monotonic()
        thread.join()
        delays.append(answered - moment[0])
    assert statistics.median(delays) < scaled(0.05), delays


def test_answer_follows_the_kill(make: Make, host: AgentHost) -> None:
    """The same after a kill at the timeout."""
    delays = []
    for _ in range(5):
        task = make(host.program("recorder"), ["3"]).start()
        task.stdout.wait_for("ready main")
        threads = [moment_of_end(pid) for pid in cgroups.processes(task.scope)]
        task.stop(timeout=0.2)
        answered = time.monotonic()
        for thread, _ in threads:
            thread.join()
        delays.append(answered - max(moment[0] for _, moment in threads))
    assert statistics.median(delays) < scaled(0.05), delays


def test_stop_does_not_come_before_the_end(make: Make) -> None:
    """StopTask waits for a main process that is slow to end."""
    task = make("/bin/sh", ["-c", "trap 'sleep 0.5; echo late; exit 0' TERM; echo up; while :; do sleep 0.02; done"])
    up(task).stop(timeout=60, signal="SIGTERM")
    assert task.wait() == ExitResult(0)
    task.stdout.wait_end()
    assert "late" in task.lines()


def test_stop_of_an_ended_task(act: Make) -> None:
    task = act("exit=3")
    task.run()
    task.stop()
    assert task.wait() == ExitResult(3)


def test_stops_at_once(act: Make) -> None:
    task = up(act("ignore=2", "out=up", "pause="))
    stops = [task.stop_soon(timeout=1) for _ in range(10)]
    for stop in stops:
        stop.result()
    assert task.wait() == ExitResult(137, 9)


def test_second_stop_may_be_shorter(act: Make) -> None:
    """A stop with a shorter timeout does not wait for an earlier, longer one."""
    task = up(act("ignore=2", "ignore=15", "out=up", "pause="))
    first = task.stop_soon(timeout=100)
    begin = time.monotonic()
    task.stop(timeout=0.3, signal="SIGTERM")
    assert time.monotonic() - begin < 0.3 + scaled(5)
    first.result()


def test_cancelled_stop_still_stops(act: Make) -> None:
    task = up(act("ignore=2", "out=up", "pause="))
    stop = task.stop_soon(timeout=0.5)
    time.sleep(scaled(0.1))
    stop.cancel()
    assert task.wait() == ExitResult(137, 9)


def test_stop_of_a_stopped_task(act: Make) -> None:
    """A task that is stopped by SIGSTOP is ended too."""
    task = up(act("out=up", "pause="))
    task.signal("SIGSTOP")
    task.stop(timeout=0.5, signal="SIGTERM")
    assert task.wait().signal in (9, 15)


def test_stop_while_the_logs_are_full(make: Make, host: AgentHost) -> None:
    """No reader, full pipes: the task hangs in write() and can be stopped."""
    task = make(host.program("flood"), ["1"])
    task.stdout.leave()
    task.stderr.leave()
    task.start()
    time.sleep(scaled(0.2))
    task.stop(timeout=0.5)
    assert task.wait().signal in (2, 9)


def test_many_stops_in_parallel(act: Make) -> None:
    """They do not wait for one another."""
    tasks = [act("ignore=2", "out=up", "pause=") for _ in range(20)]
    for task in tasks:
        up(task)
    begin = time.monotonic()
    stops = [task.stop_soon(timeout=1) for task in tasks]
    for stop in stops:
        stop.result()
    assert time.monotonic() - begin < 1 + scaled(4)
    assert {task.wait() for task in tasks} == {ExitResult(137, 9)}


def test_time_scale_is_sane() -> None:
    assert SLOW >= 1
