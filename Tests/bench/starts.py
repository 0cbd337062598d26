"""Starts and ends of one task after another: this driver, the same confinement without it, and other programs, in turn."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peers
from alike import differences
from bare import Bare, Reference
from subject import Start, Subject, destroy_request, moment
from table import BARE, THIS
from tools import quantile

if TYPE_CHECKING:
    from bench import Bench

STANDBY, NO_STANDBY = f"{THIS}, standby", f"{THIS}, no standby"
WARM = 3  # the first rounds warm caches
# Goals beside the bare contender: ratios of medians, and milliseconds of processor time more than it takes.
START, END, PROCESSOR, EXEC = 2.0, 7.0, 1.0, 2.5
COMMAND = "/bin/true"


@contextmanager
def bare_of(bench: "Bench", subject: Subject) -> Iterator[Bare]:
    """The bare contender, with a sleeping task of the driver whose confinement it repeats. Its tasks are confined alike."""
    task = subject.make("wait")
    subject.client("StartTask", task.request)
    moment(task)
    bare = Bare(bench.host, subject.plugin, Reference(subject.plugin, task))
    try:
        found = differences(bare)
        if found:
            raise RuntimeError("tasks of the bare contender are not confined as the driver's: " + "; ".join(found))
        yield bare
    finally:
        bare.close()
        subject.client("DestroyTask", destroy_request(task))
        subject.forget(task)


def commands(bare: Bare, subject: Subject, count: int) -> dict[str, list[float]]:
    """Milliseconds that `true` takes as a command in a running task, by turns of this driver and of the bare contender."""
    task, samples = bare.reference.task, {THIS: [], BARE: []}  # type: ignore[var-annotated]
    for number in range(count + WARM):
        this, contender = subject.command(task, COMMAND), bare.command(COMMAND)
        if number >= WARM:
            samples[THIS].append(this)
            samples[BARE].append(contender)
    return samples


def in_turn(contenders: dict[str, Callable[[], Start]], rounds: int) -> dict[str, list[Start]]:
    """The contenders' starts. The order of the turns changes from round to round."""
    samples: dict[str, list[Start]] = {name: [] for name in contenders}
    order = list(contenders)
    for _ in range(rounds):
        for name in order:
            samples[name].append(contenders[name]())
        order.append(order.pop(0))
    return samples


def add(bench: "Bench", count: int) -> None:
    """Rows of all of them, and of this driver beside the bare contender, with the goals."""
    subjects = {STANDBY: Subject(bench, standby=True), NO_STANDBY: Subject(bench, standby=False)}
    contenders: dict[str, Callable[[], Start]] = {name: subject.start_and_end for name, subject in subjects.items()}
    for name, contender in _peers(bench).items():
        contenders[name] = contender
    with bare_of(bench, subjects[STANDBY]) as bare:
        contenders[BARE] = lambda: bare.start_and_end(bench.program)
        in_turn(contenders, WARM)
        before, bare.processor_time = subjects[STANDBY].processor_time(), 0
        samples = in_turn(contenders, count)
        processor = {BARE: bare.processor_time / count, THIS: (subjects[STANDBY].processor_time() - before) / count}
        execs = commands(bare, subjects[STANDBY], count)
    for subject in subjects.values():
        subject.close()
    for kind, what in (("start", "request → first instruction"), ("whole", "request → end seen"),
                       ("end", "first instruction → end seen")):
        for name, values in samples.items():
            goal = 2.0 if kind == "start" and name == NO_STANDBY else None
            bench.results.add("start", what, name, "ms", [getattr(sample, kind) for sample in values], goal=goal)
    for name, milliseconds in execs.items():
        bench.results.add("start", "alloc exec of true, request → exited", name, "ms", milliseconds)
    for name, value in processor.items():
        bench.results.add("start", "processor time of a start and end", name, "ms", [value])
    pairs = {
        what: (goal, [[getattr(sample, kind) for sample in samples[name]] for name in (STANDBY, BARE)])
        for kind, what, goal in (("start", "request → first instruction", START), ("end", "first instruction → end seen", END))}
    pairs["alloc exec of true, request → exited"] = (EXEC, [execs[THIS], execs[BARE]])
    for what, (goal, (ours, bares)) in pairs.items():
        # On a busy machine many of the short times wait for a processor, and the medians say little.
        for name, of in (("medians", statistics.median), ("fastest tenths", fastest)):
            bench.results.add("bare", f"{what}, {name}", STANDBY, "× bare", [of(ours) / of(bares)], goal=goal)
    bench.results.add(
        "bare", "processor time of a start and end, beside bare's", STANDBY, "ms", [processor[THIS] - processor[BARE]], goal=PROCESSOR)


def fastest(values: list[float]) -> float:
    """What a tenth of them does not exceed."""
    return quantile(values, 0.1)


def ratio(samples: dict[str, list[Start]], kind: str) -> float:
    """The fastest tenth of this driver, with a standby Executor, divided by that of the bare contender."""
    this, bare = (fastest([getattr(sample, kind) for sample in samples[name]]) for name in (STANDBY, BARE))
    return this / bare


def _peers(bench: "Bench") -> dict[str, Callable[[], Start]]:
    """Other programs; of one that cannot run here the table says why."""
    program, directory = str(bench.program), bench.directory
    bundles = {}
    for name in ("crun", "runc"):
        (directory / name).mkdir()
        bundles[name] = peers.Bundle(directory / name, [program], bench.host.programs, f"/{peers.CGROUP}/{name}")
    spawned: dict[str, tuple[str, list[Any]]] = {
        "posix_spawn, no confinement": ("true", [bench.program]),
        "unshare + setpriv": ("unshare", peers.chain([program])),
        "bubblewrap": ("bwrap", peers.bubblewrap([program], bench.host.programs)),
        **{name: (name, bundle.run(name, directory, f"run-{name}")) for name, bundle in bundles.items()},
    }
    able: dict[str, Callable[[], Start]] = {}
    for name, (needed, command) in spawned.items():
        reason = peers.missing(needed) or _unable(bench, command)
        if reason:
            bench.results.lacks("start", "request → first instruction", name, reason)
        else:
            able[name] = lambda command=command: spawn(bench, command)  # type: ignore[misc]
    return able


def spawn(bench: "Bench", command: list[Any]) -> Start:
    """One program that confines itself, or nothing, until its end."""
    ran = bench.spawner.run(command)
    if ran.number != 0 or not ran.output:
        raise RuntimeError(f"{command[0]} has ended with wait status {ran.number}")
    time.sleep(0.002)
    return Start(ran.spawned, ran.output, ran.ended)


def _unable(bench: "Bench", command: list[str | Path]) -> str | None:
    """The error of a peer that is installed and does not work here, or None."""
    if bench.spawner.run(command).number == 0:
        return None
    said = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    lines = (said.stderr or said.stdout).strip().splitlines()
    return f"{command[0]} fails on this host: {lines[-1] if lines else 'without a message'}"
