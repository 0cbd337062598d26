"""Five thousand tasks at once: all of them start, stop, report their usage and are recovered, and no figure grows by more than the
number of tasks.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import recovery
import stats
from table import THIS

if TYPE_CHECKING:
    from bench import Bench

RECOVERY_MILLISECONDS = 2000.0
DESCRIPTORS = 65_536  # that the Driver may have, as in the service that Nomad's documentation proposes
SECONDS = 10.0


@contextmanager
def descriptors(count: int) -> Iterator[None]:
    """So many open files for what is spawned in the body, or as many as this host allows. The Driver has three for each task."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = max(before[1], count)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        # Without CAP_SYS_RESOURCE the hard limit stays.
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[0], resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def figures(measured: dict[str, Any]) -> dict[str, tuple[str, float]]:
    """Units and figures that may grow with the number of tasks, and not faster."""
    before, with_them = measured["driver_that_started"]
    return {
        "all started": ("s", measured["started"]),
        "all destroyed": ("s", measured["destroyed"]),
        "memory of the Driver": ("KiB", with_them - before),
    }


def add(bench: "Bench", few: int, many: int) -> None:
    """Rows of `many` tasks, whose goals are the figures of `few` in proportion."""
    host = bench.host
    with descriptors(DESCRIPTORS):
        lesser = recovery.measure(host, few)
        host.clean_tasks()
        try:
            greater = recovery.measure(host, many)
        except grpc.RpcError as error:
            alive = sum(process.name == "exec2-executor" for process in host.plugins[-1].executors())
            bench.results.add(
                "thousands", f"of {many} tasks, alive at once", THIS, "tasks", [alive], minimum=many, note=str(error.details()))
            host.clean_tasks()
            return
        host.clean_tasks()
        usage = stats.measure(host, many, SECONDS)
        host.clean_tasks()
    bench.results.add("thousands", f"of {many} tasks, alive at once", THIS, "tasks", [many], minimum=many)
    of_few, of_many = figures(lesser), figures(greater)
    for what, (unit, value) in of_many.items():
        bench.results.add("thousands", f"{what}, {few} tasks", THIS, unit, [of_few[what][1]])
        bench.results.add("thousands", f"{what}, {many} tasks", THIS, unit, [value], goal=of_few[what][1] * many / few)
    bench.results.add("thousands", f"recovery of {few} tasks, all at once", THIS, "ms", [lesser["recovered"][0] * 1000])
    bench.results.add(
        "thousands", f"recovery of {many} tasks, all at once", THIS, "ms", [greater["recovered"][0] * 1000], goal=RECOVERY_MILLISECONDS)
    bench.results.add(
        "thousands", f"CPU of {many} statistics streams, 1 s", THIS, "% of a core", [usage["driver_cpu_percent"]],
        goal=usage["goal_cpu_percent"], note=stats.missing(usage))
    if stats.missing(usage):
        bench.results.rows[-1]["missed"] = True
