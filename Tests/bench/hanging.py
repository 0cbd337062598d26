#!/usr/bin/python3
"""What calls about other tasks take while starts hang: InspectTask with eight StartTasks under way whose users' lookups
are not answered, as of a directory server that is dead, beside that of a driver that has nothing else to do; as root.

  hanging.py [CALLS]     2000 without it
"""

from __future__ import annotations

import pathlib
import sys
import tempfile
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))

import grpc
from agent import AgentHost, Plugin, messages
from agent.names import HangingNames
from agent.timing import wait_until
from quiet import quiet_task

STARTS = 8
# A call that takes longer than this is not waited for.
PATIENCE_SECONDS = 30


def inspect(plugin: Plugin, task_id: str, calls: int) -> list[float]:
    """Milliseconds of each; the last is infinite where it was not answered."""
    request = messages.driver.InspectTaskRequest(task_id=task_id)
    times: list[float] = []
    for _ in range(calls):
        began = time.monotonic()
        try:
            plugin.driver.InspectTask(request, timeout=PATIENCE_SECONDS)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
            return [*times, float("inf")]
        times.append((time.monotonic() - began) * 1000)
    return times


def show(what: str, times: list[float]) -> None:
    ordered = sorted(times)
    figures = "  ".join(
        f"{name} {value:.2f} ms" if value < float("inf") else f"{name} > {PATIENCE_SECONDS} s"
        for name, value in (
            ("median", ordered[len(ordered) // 2]), ("p99", ordered[int(len(ordered) * 0.99)]), ("maximum", ordered[-1])))
    print(f"InspectTask, {what:34} {figures}  ({len(times)} calls)")


def main() -> int:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    host = AgentHost(with_controllers=False)
    with tempfile.TemporaryDirectory() as directory:
        names = HangingNames(pathlib.Path(directory))
        try:
            measure(host, names, calls)
        finally:
            names.close()
            faults = host.close()
    for fault in faults:
        print(f"left over: {fault}", file=sys.stderr)
    return 1 if faults else 0


def measure(host: AgentHost, names: HangingNames, calls: int) -> None:
    plugin = names.launch(host)
    other = quiet_task(host, plugin).start()
    inspect(plugin, other.id, calls // 10)
    show("nothing else to do", inspect(plugin, other.id, calls))
    tasks: list[Any] = []
    for number in range(STARTS):
        task = quiet_task(host, plugin)
        task.request.task.user = f"slow-{number}"
        tasks.append(task)
    starts = [task.start_soon(300) for task in tasks]
    wait_until(lambda: len(names.asked()) >= 2, 30, "lookups hang")
    times = inspect(plugin, other.id, calls)
    ended = sum(start.done() for start in starts)
    show(f"{STARTS - ended} starts hang", times)
    names.answer()
    for task, start in zip(tasks, starts, strict=True):
        if start.exception() is None:
            task.took(start.result())


if __name__ == "__main__":
    sys.exit(main())
