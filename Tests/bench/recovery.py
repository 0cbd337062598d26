#!/usr/bin/python3
"""How long a new Driver takes to recover the running tasks of one that was killed with SIGKILL.

Prints times and memory. Needs root. All calls are in flight at once, so that a call's time is mostly that of the calls
before it. The share of this host and of gRPC is measured with the same number of calls that find no task.

  recovery.py [TASKS]     1000 without it
"""

from __future__ import annotations

import pathlib
import statistics
import sys
import time
from typing import Any, Callable, Sequence

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))

import grpc

from agent import AgentHost, messages, processes
from quiet import destruction, quiet_task

AT_ONCE = 16  # StartTasks


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    host = AgentHost(with_controllers=False)
    try:
        figures = measure(host, count)
    finally:
        faults = host.close()
    show(figures)
    for fault in faults:
        print(f"left over: {fault}", file=sys.stderr)
    return 1 if faults else 0


def measure(host: AgentHost, count: int = 1000) -> dict[str, Any]:
    """The figures of `count` tasks: times in seconds, memory in KiB."""
    state_dir = host.make_state_dir()
    config = {"state_dir": str(state_dir), "orphan_grace": 600}
    first = host.launch(config)
    idle = memory(first.pid)["Rss"]
    tasks = [quiet_task(host, first) for _ in range(count)]
    began = time.monotonic()
    for group in (tasks[at:at + AT_ONCE] for at in range(0, count, AT_ONCE)):
        for task, call in [(task, task.start_soon()) for task in group]:
            task.took(call.result())
    figures: dict[str, Any] = {"tasks": count, "started": time.monotonic() - began}
    figures["driver_that_started"] = [idle, memory(first.pid)["Rss"]]
    executors = [process.pid for process in first.executors() if process.name == "exec2-executor"]
    found = [memory(pid) for pid in executors if processes.is_alive(pid)]
    figures["executors"] = {
        "count": len(found), **{name: statistics.mean(facts[name] for facts in found) for name in ("Rss", "Pss")}}

    first.kill()
    second = host.launch(config)
    idle = memory(second.pid)["Rss"]
    inspect = [messages.driver.InspectTaskRequest(task_id=f"none{number}") for number in range(count)]
    figures["no_task_found"] = all_at_once(second.driver.InspectTask, inspect, expected=grpc.StatusCode.NOT_FOUND)
    recover = [messages.driver.RecoverTaskRequest(task_id=task.id, handle=task.handle) for task in tasks]
    figures["recovered"] = all_at_once(second.driver.RecoverTask, recover)
    figures["driver_that_recovered"] = [idle, memory(second.pid)["Rss"]]
    for task in tasks:
        task.plugin = second
    began = time.monotonic()
    for call in [destruction(second, task) for task in tasks]:
        call.result()
    figures["destroyed"] = time.monotonic() - began
    second.end()
    first.end()
    return figures


def show(figures: dict[str, Any]) -> None:
    count, took = figures["tasks"], figures["started"]
    print(f"{count} tasks started, {AT_ONCE} at a time: {took:.2f} s, {took / count * 1000:.2f} ms each")
    print_driver("that started them", figures["driver_that_started"], count)
    executors = figures["executors"]
    print(f"Executor, mean of {executors['count']}: {executors['Rss']:.0f} KiB RSS, {executors['Pss']:.1f} KiB PSS")
    print_calls("no task found", figures["no_task_found"])
    print_calls("RecoverTask", figures["recovered"])
    print(f"all recovered {figures['recovered'][0]:.3f} s after the first call (goal for 1000: 1 s)")
    print_driver("that recovered them", figures["driver_that_recovered"], count)


def all_at_once(
    method: Any, requests: Sequence[Any], expected: grpc.StatusCode | None = None
) -> tuple[float, list[float]]:
    """Seconds for all calls together, and for each."""
    ends = [0.0] * len(requests)
    begins, calls = [], []

    def note(index: int) -> Callable[[Any], None]:
        def done(_call: Any) -> None:
            ends[index] = time.monotonic()

        return done

    for index, request in enumerate(requests):
        begins.append(time.monotonic())
        call = method.future(request, timeout=120)
        call.add_done_callback(note(index))
        calls.append(call)
    for call in calls:
        error = call.exception()
        if (error and error.code()) != expected:
            raise error or AssertionError("a call that should have failed has not")
    while not all(ends):
        time.sleep(0.001)
    return max(ends) - begins[0], [end - begin for begin, end in zip(begins, ends)]


def memory(pid: int) -> dict[str, int]:
    """Rss and Pss in KiB; see proc_pid_smaps(5)."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def print_calls(name: str, times: tuple[float, list[float]]) -> None:
    total, each = times
    cuts = statistics.quantiles(each, n=100)
    print(f"{len(each)} × {name}, all at once: {total:.3f} s, per call p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms")


def print_driver(which: str, memory: list[int], count: int) -> None:
    before, after = memory
    print(f"Driver {which}: {before} KiB RSS before, {after} KiB with them, {(after - before) / count:.1f} KiB a task")


if __name__ == "__main__":
    sys.exit(main())
