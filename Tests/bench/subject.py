"""This driver in the comparison: tasks as the agent makes them, with calls through call.c."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Any

from tools import Client

from agent import Plugin, Task, messages

if TYPE_CHECKING:
    from bench import Bench

MOUNTED = 100  # how many of the sleeping tasks have the agent's bind mounts
GROUP = 16  # StartTasks under way at once while many are made


def moment(task: Task, index: int = 0) -> int:
    """The time that the task's program has written at its start, or at its end."""
    task.stdout.wait_received(8 * (index + 1))
    return struct.unpack_from("=Q", task.stdout.data, 8 * index)[0]


def wait_request(task: Task) -> Any:
    return messages.driver.WaitTaskRequest(task_id=task.id)


def destroy_request(task: Task) -> Any:
    return messages.driver.DestroyTaskRequest(task_id=task.id, force=True)


class Subject:
    """One Driver, and a client of it."""

    def __init__(self, bench: "Bench", standby: bool):
        self.bench = bench
        self.host = bench.host
        self.plugin: Plugin = self.host.launch({"standby_executor": standby})
        self.client = Client(self.plugin.address)

    def close(self) -> None:
        self.client.close()
        self.plugin.end()
        self.host.plugins.remove(self.plugin)

    def make(self, *arguments: str, mounts: bool = True) -> Task:
        return self.host.task(self.plugin, self.bench.program, arguments, bind_mounts=mounts)

    def forget(self, task: Task) -> None:
        """Removes what the agent made for a destroyed task."""
        task._destroyed = True
        faults = task.clean()
        if faults:
            raise RuntimeError("; ".join(faults))
        self.host.tasks.remove(task)

    def start_and_end(self) -> tuple[float, float]:
        """One task: milliseconds from the request to the program's first instruction, and until the end
        was reported."""
        task = self.make()
        started = self.client("StartTask", task.request)
        ended = self.client("WaitTask", wait_request(task))
        begun = moment(task)
        self.client("DestroyTask", destroy_request(task))
        self.forget(task)
        # The next Executor is being spawned now, which must not disturb the next measurement.
        time.sleep(0.01)
        return (begun - started.sent) / 1e6, (ended.received - started.sent) / 1e6

    def rate(self, count: int, at_once: int) -> float:
        """Tasks per second, from StartTask to the answer of DestroyTask."""
        tasks = [self.make() for _ in range(count)]
        called = self.client.sequences(
            [[("StartTask", task.request), ("WaitTask", wait_request(task)), ("DestroyTask", destroy_request(task))]
             for task in tasks], at_once)
        for calls in called:
            for call in calls:
                call.ok()
        for task in tasks:
            self.forget(task)
        began = min(calls[0].sent for calls in called)
        return count / ((max(calls[-1].received for calls in called) - began) / 1e9)


class Tasks(Subject):
    """Many tasks that sleep."""

    def __init__(self, bench: "Bench"):
        super().__init__(bench, standby=True)
        self.tasks: list[Task] = []

    def __enter__(self) -> "Tasks":
        return self

    def __exit__(self, *_: object) -> None:
        called = self.client.sequences([[("DestroyTask", destroy_request(task))] for task in self.tasks], GROUP)
        for call in called:
            call[0].ok()
        for task in self.tasks:
            self.forget(task)
        self.close()

    def grow_to(self, count: int) -> None:
        # Bind mounts for all tasks would take longer than the measurement.
        fresh = [self.make("wait", mounts=number < MOUNTED) for number in range(len(self.tasks), count)]
        for call in self.client.sequences([[("StartTask", task.request)] for task in fresh], GROUP):
            call[0].ok()
        for task in fresh:
            moment(task)
        self.tasks += fresh
        time.sleep(0.5)

    def executors(self) -> list[int]:
        return [process.pid for process in self.plugin.executors() if process.name == "exec2-executor"]

    def among(self, count: int) -> tuple[list[float], list[float]]:
        """Starts and stops further tasks, one after another: milliseconds to the first instruction, and from the end of
        the last process to the answer of StopTask."""
        starts, stops = [], []
        for _ in range(count):
            task = self.make("wait")
            started = self.client("StartTask", task.request)
            starts.append((moment(task) - started.sent) / 1e6)
            request = messages.driver.StopTaskRequest(task_id=task.id, signal="SIGTERM")
            request.timeout.FromSeconds(5)
            stopped = self.client("StopTask", request)
            stops.append((stopped.received - moment(task, 1)) / 1e6)
            self.client("DestroyTask", destroy_request(task))
            self.forget(task)
            time.sleep(0.01)
        return starts, stops
