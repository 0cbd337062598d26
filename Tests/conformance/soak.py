#!/usr/bin/python3
"""Many tasks at once and very many in succession, of which nothing is left in the Driver.

EXEC2_SOAK_ALIVE (1000) tasks run at the same time, each with a stream of statistics, and signals are sent to them, while
EXEC2_SOAK_ROW (10000) more are started and ended, 50 at a time, in every way in which a task can end. With every tenth of
them an unveiled file of the host is replaced, so that the template of tasks' roots is made anew. Afterwards memory,
descriptors, threads, processes, directories, mounts and mount namespaces are within 2 % of what they were after the first
hundred (50 alive and 50 in succession); memory may be 0.5 MiB more if that is more than 2 %. The Driver holds as many mount
namespaces as then, and the host has as many mounts.

The threads of the pools of gRPC and of Swift are counted separately: a pool grows under load and keeps its threads, up to
a number that depends on the cores.

Prints a table, draws .build/conformance/soak.svg, and exits with 1 if this does not hold. Needs root.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

import grpc
import grpc.aio

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, messages, mounts, namespaces, processes
from agent.host import state_directories
from agent.messages import BUILD
from agent.timing import wait_until
from soak_plot import draw

AT_ONCE = 50
TOLERANCE = 0.02
# Without the caches that malloc has for each thread, which keep about 1.2 MiB more after 1000 tasks than after 100, and then no
# more: what grows is memory in use, or fragmentation.
WITHOUT_CACHES = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
# In KiB: how much more of the Driver's memory fragmentation may keep.
FRAGMENTATION = 512
STATS_SECONDS = 2
# After this time the Driver has returned memory twice since the last task was destroyed (MemoryReturn).
MEMORY_RETURN_SECONDS = 32
# How many samples are taken then, one a second.
LOOKS = 6
# Their names, truncated to 15 characters: gRPC's, libdispatch's for Swift, and the driver's own (BlockingPool).
POOLS = ("default-executo", "resolver-execut", "grpc_global_tim", "event_engine", "timer_manager", "-qos.overcommit",
         "oot.default-qos", "exec2-blocking")
# By how many they may grow: one for each core and one, of gRPC's executor and timers.
MORE_OF_POOLS = 1 + (os.cpu_count() or 1)
ROW = "in a row"
SIGNALS_PER_SECOND = 50
STATS_METHOD = "/hashicorp.nomad.plugins.drivers.proto.Driver/TaskStats"
# Measures and their units.
MEASURES = {
    "rss": "KiB", "descriptors": "", "threads": "", "threads of pools": "", "processes": "", "state directories": "", "mounts": "",
    "held namespaces": "", "namespaces": "",
}
# Counted once the Driver is idle: to go through all of the host's takes longer than a sample may.
WHEN_SETTLED = ("namespaces",)
REPLACED_EVERY = 10


@dataclass
class Sample:
    """The Driver at one moment of the soak, in seconds from its beginning."""

    at: float
    values: dict[str, int]


@dataclass
class Soak:
    """The measurements of one soak."""

    samples: list[Sample] = field(default_factory=list)
    phases: list[tuple[float, str]] = field(default_factory=list)
    alive: int = 0
    first: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    ended: int = 0
    stats: int = 0
    signals: int = 0
    renewals: int = 0
    faults: list[str] = field(default_factory=list)

    def off(self) -> list[str]:
        """The measures that have changed too much."""
        return [name for name in MEASURES if not self.holds(name)]

    def holds(self, name: str) -> bool:
        """Less memory is not a leak; a decrease of anything else is an error too."""
        if name == "threads of pools":
            return self.last[name] <= self.first[name] + MORE_OF_POOLS
        if name == "rss" and self.last[name] <= self.first[name] + FRAGMENTATION:
            return True
        change = self.change(name)
        return change <= TOLERANCE and (change >= -TOLERANCE or name == "rss")

    def change(self, name: str) -> float:
        return (self.last[name] - self.first[name]) / max(1, self.first[name])


def measure(host: AgentHost, plugin: Plugin) -> dict[str, int]:
    names, open_files = processes.thread_names(plugin.pid), processes.descriptors(plugin.pid)
    of_pools = sum(name in POOLS for name in names)
    return {
        "rss": int(processes.status(plugin.pid, "VmRSS").split()[0]),
        "descriptors": len(open_files),
        "threads": len(names) - of_pools, "threads of pools": of_pools,
        "processes": len(plugin.executors()), "state directories": len(state_directories(plugin)),
        "mounts": len(mounts.of_host(host.root)),
        # While a process is spawned, one of them has two descriptors.
        "held namespaces": len({target for target in open_files.values() if target.startswith("mnt:")}),
    }


# Ways to end: what the task does, what is done to it, and the result that WaitTask answers.
Way = tuple[list[str], Callable[[Task], None], Callable[[ExitResult], bool]]
_nothing: Callable[[Task], None] = lambda task: None
WAYS: list[Way] = [
    (["out=well", "exit=0"], _nothing, lambda result: result == ExitResult(0)),
    (["err=ill", "exit=3"], _nothing, lambda result: result == ExitResult(3)),
    (["raise=11"], _nothing, lambda result: result == ExitResult(139, 11)),
    (["tree=3", "sleep=20", "exit=0"], _nothing, lambda result: result == ExitResult(0)),
    (["pause="], lambda task: task.stop(timeout=10, signal="SIGTERM"), lambda result: result == ExitResult(143, 15)),
    (["ignore=15", "ignore=2", "pause="], lambda task: task.stop(timeout=0.05), lambda result: result.signal in (2, 9)),
    (["pause="], lambda task: task.signal("SIGKILL"), lambda result: result == ExitResult(137, 9)),
]


def unveiled(host: AgentHost) -> Path:
    """A file that every task may read."""
    return host.root / "unveiled"


def replace(file: Path, number: int) -> None:
    new = file.with_suffix(f".{number}")
    new.write_text(f"{number}\n")
    new.chmod(0o644)
    new.rename(file)


def come_and_go(host: AgentHost, plugin: Plugin, soak: Soak, number: int) -> None:
    """One of the tasks in succession, from StartTask to DestroyTask; some fail to start, some starts are cancelled, and some
    tasks are destroyed while they run."""
    verbs, act, right = WAYS[number % len(WAYS)]
    if number % REPLACED_EVERY == 0:
        replace(unveiled(host), number)
    user = f"nomad-{80000 + number % 50}" if number % 10 else "root"
    task = host.task(plugin, host.program("act"), verbs, user=user, bind_mounts=False)
    try:
        if number % 40 == 1:
            task.request.task.stdout_path = str(task.logs / "nothing")
            error = task.start_soon().exception()
            if error is None:
                soak.faults.append(f"task {number} started without a log")
        elif number % 40 == 2:
            call = task.start_soon()
            time.sleep(0.001 * (number % 7))
            call.cancel()
            wait_until(lambda: is_cancelled(task), 30, "a cancelled start has left nothing")
        elif number % 40 == 3:
            task.start().destroy(force=True)
        else:
            task.start()
            waiting = task.wait_soon(300)
            act(task)
            result = Task.result_of(waiting.result())
            if not right(result):
                soak.faults.append(f"task {number} ({' '.join(verbs)}) ended with {result}")
            task.destroy(force=False)
    except (grpc.RpcError, AssertionError) as error:
        soak.faults.append(f"task {number} ({' '.join(verbs)}): {error!r}"[:300])
    soak.faults += task.clean()
    host.tasks.remove(task)
    shutil.rmtree(task.directory)
    shutil.rmtree(task.alloc_dir)
    soak.ended += 1


def is_cancelled(task: Task) -> bool:
    """Whether nothing is left of a cancelled start. If its answer had been sent already, the task runs and is destroyed
    here."""
    try:
        task.destroy(force=True)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
            return False
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
    return not cgroups.populated(task.scope)


def in_a_row(host: AgentHost, plugin: Plugin, soak: Soak, count: int) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for answer in [pool.submit(come_and_go, host, plugin, soak, number) for number in range(count)]:
            answer.result()


class Background:
    """A thread that works until the end of the `with` block."""

    def __init__(self, work: Callable[[threading.Event], None]):
        self._over = threading.Event()
        self._thread = threading.Thread(target=work, args=(self._over,))

    def __enter__(self) -> "Background":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def sampling(host: AgentHost, plugin: Plugin, soak: Soak, began: float, every: float) -> Callable[[threading.Event], None]:
    def work(over: threading.Event) -> None:
        while not over.wait(every):
            soak.samples.append(Sample(time.monotonic() - began, measure(host, plugin)))

    return work


def streaming(plugin: Plugin, soak: Soak, ids: list[str]) -> Callable[[threading.Event], None]:
    """A stream of statistics for each task, as the agent has."""

    async def read(channel: grpc.aio.Channel, index: int, task_id: str) -> None:
        request = messages.driver.TaskStatsRequest(task_id=task_id)
        request.collection_interval.FromSeconds(STATS_SECONDS)
        await asyncio.sleep(STATS_SECONDS * index / len(ids))
        async for _ in channel.unary_stream(STATS_METHOD)(request.SerializeToString()):
            soak.stats += 1

    async def read_all(over: threading.Event) -> None:
        async with grpc.aio.insecure_channel(f"unix:{plugin.address}") as channel:
            streams = [asyncio.create_task(read(channel, index, task_id)) for index, task_id in enumerate(ids)]
            while not over.is_set():
                await asyncio.sleep(0.2)
            for stream in streams:
                stream.cancel()
            await asyncio.gather(*streams, return_exceptions=True)

    return lambda over: asyncio.run(read_all(over))


def signalling(plugin: Plugin, soak: Soak, tasks: list[Task]) -> Callable[[threading.Event], None]:
    def work(over: threading.Event) -> None:
        choice = random.Random(1)
        while not over.wait(1 / SIGNALS_PER_SECOND):
            try:
                choice.choice(tasks).signal("SIGUSR1")
                soak.signals += 1
            except grpc.RpcError as error:
                soak.faults.append(f"SignalTask: {error.details()}")

    return work


def in_groups(tasks: list[Task], begin: Callable[[Task], Any], end: Callable[[Task, Any], None]) -> None:
    for group in (tasks[at:at + AT_ONCE] for at in range(0, len(tasks), AT_ONCE)):
        for task, call in [(task, begin(task)) for task in group]:
            end(task, call)


def live_and_go(host: AgentHost, plugin: Plugin, soak: Soak, alive: int, row: int, phase: Callable[[str], None]) -> None:
    """`alive` tasks that run while `row` others are started and ended; at the end all are destroyed."""
    tasks = [host.task(plugin, host.program("act"), ["ignore=10", "out=up", "pause="], bind_mounts=False) for _ in range(alive)]
    in_groups(tasks, lambda task: task.start_soon(120), lambda task, call: task.took(call.result()))
    for task in tasks:
        task.stdout.wait_for("up", 60)
    with Background(streaming(plugin, soak, [task.id for task in tasks])), Background(signalling(plugin, soak, tasks)):
        phase(ROW)
        in_a_row(host, plugin, soak, row)
    phase("end")
    in_groups(tasks, lambda task: task.stop_soon(30, "SIGTERM", 120), lambda _, call: call.result())
    results = {task.wait() for task in tasks}
    if results != {ExitResult(143, 15)}:
        soak.faults.append(f"the tasks that stayed alive have ended with {results}")
    soak.faults += host.clean_tasks()


def settled(host: AgentHost, plugin: Plugin, soak: Soak, rest: float) -> dict[str, int]:
    """The idle Driver `rest` seconds later: the minimum of several samples of each measure."""
    # The Executor that stands by may have an earlier template than the last: the next start takes it or ends it.
    come_and_go(host, plugin, soak, len(WAYS))
    time.sleep(rest)
    looks = []
    for _ in range(LOOKS):
        time.sleep(1)
        looks.append(measure(host, plugin))
    listed = {"namespaces": namespaces.showing(host.root)} if namespaces.can_be_listed() else {"namespaces": 0}
    return {name: min(look[name] for look in looks) for name in looks[0]} | listed


def run(host: AgentHost, alive: int, row: int, rest: float = MEMORY_RETURN_SECONDS, every: float = 1.0) -> Soak:
    """The whole soak; the Driver is measured after `rest` seconds of idleness."""
    soak, began = Soak(alive=alive), time.monotonic()
    replace(unveiled(host), 0)
    plugin = host.launch(
        {"orphan_grace": 0, "unveil_paths": [host.programs_rule, f"r:{unveiled(host)}"]}, environment=WITHOUT_CACHES)

    def phase(name: str) -> None:
        soak.phases.append((time.monotonic() - began, name))

    with Background(sampling(host, plugin, soak, began, every)):
        phase("first hundred")
        live_and_go(host, plugin, soak, 50, 50, lambda _: None)
        soak.first = settled(host, plugin, soak, rest)
        phase(f"{alive} alive")
        live_and_go(host, plugin, soak, alive, row, phase)
        soak.last = settled(host, plugin, soak, rest)
        phase("rest")
        time.sleep(2 * every)
    soak.renewals = sum(line["@message"] == "a template of tasks' roots is made" for line in plugin.log) - 1
    plugin.end()
    soak.faults += plugin.violations
    return soak


def show(soak: Soak) -> None:
    print(f"{soak.ended} tasks were started and ended; {soak.stats} statistics, {soak.signals} signals and {soak.renewals} new "
          "templates meanwhile")
    print(f"\n{'of the Driver':16}{'after 100':>12}{'maximum':>12}{'at the end':>12}{'change':>10}")
    for name, unit in MEASURES.items():
        maximum = max([sample.values.get(name, 0) for sample in soak.samples] or [0])
        print(f"{name + (f' ({unit})' if unit else ''):16}{soak.first[name]:12}{maximum:12}{soak.last[name]:12}{soak.change(name):+10.1%}"
              f"{'' if soak.holds(name) else '  changed too much'}")
    for fault in soak.faults[:20]:
        print(f"fault: {fault}", file=sys.stderr)


def main() -> int:
    alive, row = (int(os.environ.get(name, default)) for name, default in (("EXEC2_SOAK_ALIVE", "1000"), ("EXEC2_SOAK_ROW", "10000")))
    maximum = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (maximum, maximum))
    host = AgentHost(with_controllers=False)
    began = time.monotonic()
    try:
        soak = run(host, alive, row)
    finally:
        left = host.close()
    soak.faults += left
    show(soak)
    picture, drawn = BUILD / "soak.svg", {name: unit for name, unit in MEASURES.items() if name not in WHEN_SETTLED}
    picture.write_text(draw([(sample.at, sample.values) for sample in soak.samples], soak.phases, drawn))
    print(f"\n{time.monotonic() - began:.0f} s; drawn over time in {picture}")
    return 1 if soak.off() or soak.faults else 0


if __name__ == "__main__":
    sys.exit(main())
