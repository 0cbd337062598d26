#!/usr/bin/python3
"""The Driver's cost of reporting the usage of many tasks once a second. Needs root.

Every task has a TaskStats stream of its own, as with the agent. This measures the Driver's processor time, which does not
depend on other load, and checks that every sample has come.

  stats.py [TASKS [SECONDS]]     1000 and 15 without them
"""

from __future__ import annotations

import asyncio
import pathlib
import sys
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))

import grpc.aio

from agent import AgentHost, Plugin, messages
from quiet import destruction, quiet_task

AT_ONCE = 16  # StartTasks
GOAL_PERCENT = 5.0  # of one core, for a thousand tasks
SETTLE_SECONDS = 3
METHOD = "/hashicorp.nomad.plugins.drivers.proto.Driver/TaskStats"


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 15
    host = AgentHost()
    try:
        figures = measure(host, count, seconds)
    finally:
        faults = host.close()
    show(figures)
    for fault in faults:
        print(f"left over: {fault}", file=sys.stderr)
    return 1 if faults else 0


def measure(host: AgentHost, count: int = 1000, seconds: float = 15) -> dict[str, Any]:
    """The figures of `count` tasks with a stream each, over `seconds`."""
    plugin = host.launch({"orphan_grace": 0})
    tasks = [quiet_task(host, plugin) for _ in range(count)]
    for group in (tasks[at:at + AT_ONCE] for at in range(0, count, AT_ONCE)):
        for task, call in [(task, task.start_soon()) for task in group]:
            task.took(call.result())
    try:
        return asyncio.run(sample(plugin, [task.id for task in tasks], seconds))
    finally:
        for call in [destruction(plugin, task) for task in tasks]:
            call.result()
        plugin.end()


async def sample(plugin: Plugin, ids: list[str], seconds: float) -> dict[str, Any]:
    """Reads all streams; the first seconds, in which they begin, do not count."""
    received, size = [0] * len(ids), [0]

    async def read(channel: grpc.aio.Channel, index: int, task_id: str) -> None:
        request = messages.driver.TaskStatsRequest(task_id=task_id)
        request.collection_interval.FromSeconds(1)
        # Spread over the interval: the agent's streams do not begin at the same moment either.
        await asyncio.sleep(index / len(ids))
        async for message in channel.unary_stream(METHOD)(request.SerializeToString()):
            received[index] += 1
            size[0] = max(size[0], len(message))

    async with grpc.aio.insecure_channel(f"unix:{plugin.address}") as channel:
        streams = [asyncio.create_task(read(channel, index, id)) for index, id in enumerate(ids)]
        await asyncio.sleep(SETTLE_SECONDS)
        before, used, began = sum(received), processor_seconds(plugin.pid), time.monotonic()
        await asyncio.sleep(seconds)
        samples, used, took = (
            sum(received) - before, processor_seconds(plugin.pid) - used, time.monotonic() - began)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    expected = len(ids) * took
    return {
        "tasks": len(ids),
        "interval_seconds": 1,
        "seconds": round(took, 2),
        "samples": samples,
        "samples_expected": round(expected),
        "bytes_each": size[0],
        "driver_cpu_percent": round(used / took * 100, 2),
        "driver_microseconds_each": round(used / max(1, samples) * 1e6, 1),
        "goal_cpu_percent": GOAL_PERCENT * len(ids) / 1000,
        # A missing sample would reduce the cost.
        "goal_met": used / took * 100 <= GOAL_PERCENT * len(ids) / 1000 and samples >= expected * 0.98,
    }


def missing(figures: dict[str, Any]) -> str:
    """What is to be said if samples are missing; else empty."""
    if figures["samples"] >= figures["samples_expected"] * 0.98:
        return ""
    return f"{figures['samples']} of {figures['samples_expected']} samples came"


def processor_seconds(pid: int) -> float:
    """User and system time of the whole process, with threads that have ended (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def show(figures: dict[str, Any]) -> None:
    print(
        f"TaskStats of {figures['tasks']} tasks every {figures['interval_seconds']} s, over {figures['seconds']} s: "
        f"{figures['samples']} samples of {figures['samples_expected']}, {figures['bytes_each']} bytes each at most")
    print(
        f"Driver: {figures['driver_cpu_percent']} % of a core, {figures['driver_microseconds_each']} µs a sample "
        f"(goal {figures['goal_cpu_percent']:g} %: {'met' if figures['goal_met'] else 'MISSED'})")


if __name__ == "__main__":
    sys.exit(main())
