"""TaskStats: what a task uses, compared with known loads."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from agent import AgentHost, Plugin, Task, cgroups, messages, processes
from agent.timing import scaled, wait_until

Act = Callable[..., Task]
Driver = messages.driver
CPU = Driver.CPUUsage
Memory = Driver.MemoryUsage


def stream(plugin: Plugin, task_id: str, seconds: float = 1) -> Any:
    interval = Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))
    return plugin.driver.TaskStats(
        Driver.TaskStatsRequest(task_id=task_id, collection_interval=interval), timeout=scaled(60))


def test_one_busy_core(act: Act, plugin: Plugin) -> None:
    """Right from the first sample on. The reference is the processor time that the kernel gave the task, so that a
    loaded host does not matter."""
    task = act("out=up", "busy=30000").start()
    task.stdout.wait_for("up")

    def ticks() -> int:
        with open(f"/proc/{task.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    began, before = time.monotonic(), ticks()
    samples = stream(plugin, task.id)
    for _ in range(3):
        usage = next(samples).stats.agg_resource_usage.cpu
        now, after = time.monotonic(), ticks()
        expected = (after - before) / os.sysconf("SC_CLK_TCK") / (now - began) * 100
        began, before = now, after
        assert usage.percent == pytest.approx(expected, abs=10)
        assert usage.user_mode + usage.system_mode == pytest.approx(usage.percent, abs=1)
        assert usage.total_ticks == pytest.approx(usage.percent / 100 * 2000, rel=0.01)
        assert {CPU.SYSTEM_MODE, CPU.USER_MODE, CPU.PERCENT, CPU.TOTAL_TICKS} <= set(usage.measured_fields)
    samples.cancel()
    task.stop(timeout=0)


def test_idle_task_uses_nothing(act: Act, plugin: Plugin) -> None:
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    assert next(stream(plugin, task.id)).stats.agg_resource_usage.cpu.percent < 5
    task.stop()


def test_each_process(act: Act, plugin: Plugin) -> None:
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    by_pid = next(stream(plugin, task.id, 0.2)).stats.resource_usage_by_pid
    assert list(by_pid) == [str(task.pid)]
    usage = by_pid[str(task.pid)]
    with open(f"/proc/{task.pid}/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    # The kernel counts in batches for each processor (proc_pid_stat(5): "inaccurate").
    assert usage.memory.rss == pytest.approx(resident, abs=256 << 10)
    assert Memory.RSS in usage.memory.measured_fields
    task.stop()


def test_every_process_of_many(act: Act, plugin: Plugin) -> None:
    """Two thousand processes are all reported, each by itself."""
    task = act("tree=10", "out=up", "pause=").start()
    task.stdout.wait_for("up", 60)
    wait_until(lambda: len(cgroups.processes(task.scope)) == 2047, 60, "2047 processes")
    by_pid = next(stream(plugin, task.id, 1)).stats.resource_usage_by_pid
    assert {int(pid) for pid in by_pid} == set(cgroups.processes(task.scope))
    # The kernel counts in batches for each processor: it may report 0 for a small process.
    assert all(Memory.RSS in usage.memory.measured_fields for usage in by_pid.values())
    task.stop(timeout=0)


def test_a_process_that_comes_and_goes(make: Callable[..., Task], plugin: Plugin) -> None:
    """A process counts from its start, and is not listed after its end."""
    rest = round(scaled(30))
    script = f"echo up; read line < /dev/null; sleep 0.7; (while :; do :; done) & sleep 1; kill $!; wait; sleep {rest}"
    task = make("sh", ["-c", script]).start()
    task.stdout.wait_for("up")
    seen: list[dict[str, float]] = []
    for answer in stream(plugin, task.id, 0.2):
        seen.append({pid: usage.cpu.percent for pid, usage in answer.stats.resource_usage_by_pid.items()})
        if len(seen) >= 20 * scaled(1):
            break
    main = str(task.pid)
    assert all(main in sample for sample in seen)
    # A start of a program may take all of one sample or two.
    often = Counter(pid for sample in seen for pid, percent in sample.items() if percent > 15)
    busy = {pid for pid, samples in often.items() if samples >= 3}
    assert len(busy) == 1 and main not in busy
    assert busy.isdisjoint(seen[-1])
    task.stop(timeout=0)


def test_intervals_are_exact(act: Act, plugin: Plugin) -> None:
    """Five samples at 0.2 s take a second, even if one is late."""
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    began = time.monotonic()
    samples = stream(plugin, task.id, 0.2)
    stamps = [next(samples).stats.timestamp.ToNanoseconds() for _ in range(5)]
    assert 0.9 <= time.monotonic() - began <= scaled(3)
    assert stamps == sorted(set(stamps))
    task.stop()


def test_streams_do_not_disturb_each_other(act: Act, plugin: Plugin) -> None:
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    first, second = stream(plugin, task.id, 0.2), stream(plugin, task.id, 0.3)
    for _ in range(4):
        assert next(first).stats.id == next(second).stats.id == task.id
    task.stop()


def test_stream_ends_with_the_task(act: Act, plugin: Plugin) -> None:
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    samples = stream(plugin, task.id, 30)
    task.stop()
    began = time.monotonic()
    assert list(samples) == []
    assert time.monotonic() - began < scaled(5)


def test_cancelled_streams_leave_nothing(act: Act, plugin: Plugin) -> None:
    """A cancelled stream is closed at once, with its descriptors."""
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    before = plugin.descriptors_with_a_task()
    samples = [stream(plugin, task.id, 0.1) for _ in range(20)]
    for sample in samples:
        next(sample)
    assert len(processes.descriptors(plugin.pid)) > before
    for sample in samples:
        sample.cancel()
    plugin.settle(before)
    task.stop()


def test_descriptors_are_left_for_tasks(host: AgentHost, binary: Path, launch: Callable[..., Plugin]) -> None:
    """Streams keep at most a quarter of the Driver's descriptors; further streams report the same measures."""
    limited = host.root / "few-descriptors"
    limited.write_text(f"#!/bin/sh\nulimit -n 256\nexec {binary}\n")
    limited.chmod(0o755)
    # The build may not belong to root.
    executor = Path(shutil.copy(f"{binary}-executor", host.root))
    executor.chmod(0o755)
    plugin = launch({"executor_path": str(executor)}, binary=limited)
    task = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    task.stdout.wait_for("up")
    before = plugin.descriptors_with_a_task()
    samples = [stream(plugin, task.id, 0.2) for _ in range(100)]
    for sample in samples:
        assert list(next(sample).stats.resource_usage_by_pid) == [str(task.pid)]
    assert len(processes.descriptors(plugin.pid)) <= before + 256 // 4
    host.task(plugin, host.program("act"), ["exit=0"]).run()
    for sample in samples:
        sample.cancel()
    task.stop()


def test_unknown_task(plugin: Plugin) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        next(stream(plugin, "no/such/task"))
    assert refusal.value.code() == grpc.StatusCode.NOT_FOUND
    assert refusal.value.details() == "task not found for given id"


@pytest.mark.controllers
def test_memory(act: Act, plugin: Plugin) -> None:
    """64 MiB of touched memory count as rss, not as cache."""
    task = act("out=up", "memory=64", "out=full", "pause=", memory=256).start()
    task.stdout.wait_for("full")
    usage = next(stream(plugin, task.id)).stats.agg_resource_usage.memory
    assert usage.rss == pytest.approx(64 << 20, rel=0.05)
    assert usage.usage >= usage.rss
    assert usage.max_usage >= usage.usage
    assert usage.swap == 0
    assert {Memory.RSS, Memory.CACHE, Memory.USAGE, Memory.MAX_USAGE, Memory.SWAP} <= set(usage.measured_fields)
    task.stop()


@pytest.mark.controllers
def test_throttling_is_counted(act: Act, plugin: Plugin) -> None:
    task = act("out=up", "busy=60000", cpu=200).start()
    task.stdout.wait_for("up")
    samples = stream(plugin, task.id)
    next(samples)
    usage = next(samples).stats.agg_resource_usage.cpu
    assert usage.throttled_periods > 0
    assert usage.throttled_time > 1_000_000
    assert {CPU.THROTTLED_PERIODS, CPU.THROTTLED_TIME} <= set(usage.measured_fields)
    assert usage.percent < 30
    task.stop(timeout=0)
