"""The machine's clock is set forward and back while tasks run: nothing is waited for by that clock.

Run by its name in the virtual machine (a stage of `make test`), since it sets the clock of the machine that it runs on:
only where EXEC2_SET_CLOCK says that it may.
"""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Iterator

import pytest
from google.protobuf.duration_pb2 import Duration

from agent import AgentHost, ExitResult, Plugin, Task, messages
from agent.restart import recover, successor
from agent.state import directory_of
from agent.timing import scaled

Act = Callable[..., Task]
Launch = Callable[..., Plugin]
HOUR = 3600
JUMPS = pytest.mark.parametrize("seconds", [HOUR, -HOUR], ids=["forward", "back"])


@pytest.fixture(autouse=True)
def clock() -> Iterator[Callable[[int], None]]:
    """Sets the clock by so many seconds; it is right again afterwards."""
    if not os.environ.get("EXEC2_SET_CLOCK"):
        pytest.fail("this sets the machine's clock: run it in the virtual machine, with EXEC2_SET_CLOCK=1")
    offset = time.time() - time.monotonic()

    def jump(seconds: int) -> None:
        time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)

    yield jump
    time.clock_settime(time.CLOCK_REALTIME, time.monotonic() + offset)


def times(task: Task) -> tuple[float, float]:
    """When a task began and ended, as InspectTask has it."""
    status = task.inspect().task
    return status.started_at.ToNanoseconds() / 1e9, status.completed_at.ToNanoseconds() / 1e9


@JUMPS
def test_a_stop_takes_its_timeout(act: Act, clock: Callable[[int], None], seconds: int) -> None:
    task = act("ignore=2", "out=up", "pause=").start()
    task.stdout.wait_for("up")
    began = time.monotonic()
    stopping = task.stop_soon(5)
    time.sleep(1)
    assert not stopping.done()
    clock(seconds)
    stopping.result()
    assert 5 <= time.monotonic() - began < 5 + scaled(1)
    assert task.wait() == ExitResult(137, 9)


@JUMPS
def test_samples_come_at_their_interval(
    act: Act, plugin: Plugin, clock: Callable[[int], None], seconds: int
) -> None:
    task = act("out=up", "busy=600000").start()
    task.stdout.wait_for("up")
    request = messages.driver.TaskStatsRequest(task_id=task.id, collection_interval=Duration(seconds=2))
    samples: Any = plugin.driver.TaskStats(request, timeout=scaled(60))
    next(samples)
    for number in range(4):
        if number == 1:
            clock(seconds)
        began = time.monotonic()
        usage = next(samples).stats.agg_resource_usage.cpu
        assert 0.5 < time.monotonic() - began < 2 + scaled(0.5)
        assert 0 < usage.percent < 150
    samples.cancel()
    task.stop(0)


@JUMPS
def test_a_task_ends_after_it_began(act: Act, clock: Callable[[int], None], seconds: int) -> None:
    """At the clock's time; where that is before the start, as long after it as the task has run. Before that was
    so, this failed with an end an hour before the start."""
    before = time.time()
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    time.sleep(1)
    clock(seconds)
    task.signal("SIGKILL")
    assert task.wait() == ExitResult(137, 9)
    began, ended = times(task)
    assert before - 1 <= began <= before + scaled(10)
    minimum = max(1, seconds)
    assert minimum <= ended - began < minimum + scaled(10)
    task.destroy()


def test_a_record_is_no_older_for_it(host: AgentHost, launch: Launch, clock: Callable[[int], None]) -> None:
    """The next Driver comes after the clock was set forward by two days, and the host asks for the task later still.
    Before the boot's clock counted, the record was gone then."""
    first = launch()
    task = host.task(first, host.program("act"), ["exit=4"])
    assert task.start().wait() == ExitResult(4)
    clock(48 * HOUR)
    second = successor(launch, first, orphan_grace=1)
    time.sleep(scaled(0.5) + 2)
    assert directory_of(task).exists()
    recover(second, task)
    assert task.wait() == ExitResult(4)
    task.destroy()


@JUMPS
def test_a_task_after_the_jump_has_the_new_time(act: Act, clock: Callable[[int], None], seconds: int) -> None:
    clock(seconds)
    before = time.time()
    task = act("exit=0")
    assert task.run() == ExitResult(0)
    began, ended = times(task)
    assert before - 1 <= began <= ended <= time.time() + 1
    task.destroy()
