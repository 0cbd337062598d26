"""What a task costs must not grow with the number of running tasks, and with one it must not cost more than before.

Each task has the four bind mounts that an agent makes for it, in a directory whose mounts are shared, as they are on a
host with systemd.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Sequence

from subject import Samples, Taken, Tasks
from table import BEFORE, KINDS, THIS

from agent import earlier

if TYPE_CHECKING:
    from bench import Bench

GROWTH = 1.25  # times the figure with one task
MEMORY_GROWTH = 1.1  # times that of a hundred tasks
MEMORY_KIBIBYTES = 450
BESIDE_ONE = 10  # the tasks whose memory is compared with what it was before
WARM = 3  # the first rounds warm caches


@dataclass
class Level:
    """Figures while some number of tasks sleep."""

    samples: Samples = field(default_factory=Samples)
    memory: list[Taken] = field(default_factory=list)

    def median(self, kind: str) -> float:
        """Of the memory of a task: `available` or `accounted`."""
        return statistics.median(getattr(taken, kind) for taken in self.memory)


def measure(
    bench: "Bench", counts: Sequence[int], rounds: int, each: int, binary: Path | None = None
) -> dict[int, Level]:
    """The figures with one task and with each of `counts`, which take turns: one, the first, one, the second and so on.

    The memory of the one task is not measured: the first makes what all share."""
    levels = {count: Level() for count in (1, *counts)}
    for _ in range(rounds):
        for count in counts:
            with Tasks(bench, binary=binary) as tasks:
                tasks.grow_to(1)
                tasks.among(WARM)
                levels[1].samples += tasks.among(each)
                levels[count].memory.append(tasks.grow_to(count))
                tasks.among(WARM)
                levels[count].samples += tasks.among(each)
    return levels


def beside_before(bench: "Bench", count: int) -> dict[str, Level]:
    """Of this driver, and of the one before: one task sleeps, and others start and stop in turns. At the end a few
    more sleep, whose memory is measured.

    The one before gives tasks the host's root."""
    levels = {THIS: Level(), BEFORE: Level()}
    with Tasks(bench) as now, Tasks(bench, earlier.with_hosts_root()) as then:
        turns = [(THIS, now), (BEFORE, then)]
        for _, tasks in turns:
            tasks.grow_to(1)
            tasks.among(WARM)
        for _ in range(count):
            for name, tasks in turns:
                levels[name].samples += tasks.among(1)
            turns.reverse()
        for name, tasks in turns:
            levels[name].memory.append(tasks.grow_to(1 + BESIDE_ONE))
    return levels


# What `make bench` tells of it.


def add_growth(bench: "Bench", counts: Sequence[int], rounds: int, each: int) -> None:
    """Rows of this driver, with the goals, and of the one before."""
    levels = measure(bench, counts, rounds, each)
    then = measure(bench, counts, 1, each, earlier.with_hosts_root())
    for kind, what in KINDS.items():
        goal: float | None = {"stops": 2.0}.get(kind)
        for count, level in levels.items():
            row = bench.results.add(
                "growth", f"{what}, {count} tasks run", THIS, "ms", getattr(level.samples, kind), goal=goal)
            # Further tasks have no absolute goal.
            if count == 1:
                goal = GROWTH * row["median"]
            bench.results.add(
                "growth", f"{what}, {count} tasks run", BEFORE, "ms", getattr(then[count].samples, kind))
    for kind, by in (("available", "by MemAvailable"), ("accounted", "by its cgroups")):
        for count in counts:
            goal = MEMORY_KIBIBYTES
            if count > counts[0]:
                goal = min(goal, MEMORY_GROWTH * levels[counts[0]].median(kind))
            for who, figures, limit in ((THIS, levels, goal), (BEFORE, then, None)):
                values = [getattr(taken, kind) for taken in figures[count].memory]
                bench.results.add(
                    "growth", f"memory of a sleeping task, {by}, {count} tasks run", who, "KiB", values, goal=limit)


def add_before(bench: "Bench", count: int) -> None:
    """Rows of one task, with what it was before as the goal."""
    levels = beside_before(bench, count)
    for kind, what in KINDS.items():
        row = bench.results.add("before", what, BEFORE, "ms", getattr(levels[BEFORE].samples, kind))
        bench.results.add("before", what, THIS, "ms", getattr(levels[THIS].samples, kind), goal=row["median"])
    what = f"memory of a sleeping task, by its cgroups, {BESIDE_ONE} tasks run"
    goal = levels[BEFORE].median("accounted")
    bench.results.add("before", what, BEFORE, "KiB", [goal])
    bench.results.add("before", what, THIS, "KiB", [levels[THIS].median("accounted")], goal=goal)
