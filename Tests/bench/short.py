#!/usr/bin/python3
"""The short form of the benchmark: fails if a ratio or a size exceeds a limit of limits.py. Needs root.

Times are only compared with the same confinement without the driver (bare.c) and with a posix_spawn, of the same run.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable

sys.dont_write_bytecode = True

import flat  # noqa: E402
from bench import Bench  # noqa: E402
from limits import LIMITS  # noqa: E402
from starts import NO_STANDBY, STANDBY, WARM, bare_of, commands, fastest, in_turn, ratio, spawn  # noqa: E402
from subject import Start, Subject, Tasks  # noqa: E402
from table import BARE, BEFORE, THIS, figure  # noqa: E402
from tools import memory, quantile  # noqa: E402

from agent.plugin import default_binary  # noqa: E402

ROUNDS = 60
SPAWN = "posix_spawn"
TASKS = 50
FEW, MANY = 25, 400  # tasks that sleep, where figures with one and with many are compared


def measure(bench: Bench) -> dict[str, float]:
    samples, processor, execs = bare_and_starts(bench)
    spawned = fastest([sample.start for sample in samples[SPAWN]])
    no_standby = fastest([sample.start for sample in samples[NO_STANDBY]])
    measured = {
        "start, standby, to bare": ratio(samples, "start"),
        "first instruction to end, to bare": ratio(samples, "end"),
        "start, no standby": no_standby / spawned,
        "start, standby, to no standby": fastest([sample.start for sample in samples[STANDBY]]) / no_standby,
        "processor time of a start and end, to bare": processor,
        "alloc exec of true, to bare": execs,
    }

    driver = default_binary()
    handshakes = [bench.spawner.until_line([driver]) for _ in range(20)]
    if not all(ran.output for ran in handshakes):
        raise RuntimeError("the Driver has given no handshake line")
    measured["exec until the handshake line"] = (
        quantile([(ran.output - ran.spawned) / 1e6 for ran in handshakes], 0.1) / spawned)
    for name, program in (("Driver", driver), ("Executor", driver.parent / "nomad-driver-exec2-executor")):
        stripped = bench.directory / name
        subprocess.run(["strip", "-o", str(stripped), str(program)], check=True)
        measured[f"{name}, file, stripped"] = stripped.stat().st_size / 1024

    with Tasks(bench) as tasks:
        idle = memory(tasks.plugin.pid)["RSS"]
        stops = tasks.among(20).stops
        measured["end of the last process until StopTask is answered"] = quantile(stops, 0.1) / spawned
        tasks.grow_to(TASKS)
        each = [memory(pid) for pid in tasks.executors()]
        measured["Executor, RSS"] = statistics.median(facts["RSS"] for facts in each)
        for kind in ("private", "PSS"):
            measured[f"Executor, {kind}, of {TASKS}"] = statistics.median(facts[kind] for facts in each)
        measured["Driver, RSS, idle"] = idle
        measured[f"Driver, RSS, a task of {TASKS}"] = (memory(tasks.plugin.pid)["RSS"] - idle) / TASKS
    return {**measured, **growth(bench), **beside_before(bench)}


def bare_and_starts(bench: Bench) -> tuple[dict[str, list[Start]], float, float]:
    """Starts of this driver with and without a standby Executor, of the bare contender and of a posix_spawn, the
    processor time of the first divided by that of the contender, and its time of a command divided by the contender's."""
    subjects = {STANDBY: Subject(bench, standby=True), NO_STANDBY: Subject(bench, standby=False)}
    with bare_of(bench, subjects[STANDBY]) as bare:
        contenders: dict[str, Callable[[], Start]] = {name: subject.start_and_end for name, subject in subjects.items()}
        contenders[BARE] = lambda: bare.start_and_end(bench.program)
        contenders[SPAWN] = lambda: spawn(bench, [bench.program])
        in_turn(contenders, WARM)
        before, bare.processor_time = subjects[STANDBY].processor_time(), 0
        samples = in_turn(contenders, ROUNDS)
        processor = (subjects[STANDBY].processor_time() - before) / bare.processor_time
        execs = commands(bare, subjects[STANDBY], ROUNDS)
    for subject in subjects.values():
        subject.close()
    return samples, processor, fastest(execs[THIS]) / fastest(execs[BARE])


def growth(bench: Bench) -> dict[str, float]:
    levels = flat.measure(bench, (FEW, MANY), rounds=2, each=20)
    one, few, many = levels[1], levels[FEW], levels[MANY]
    return {
        f"start, {MANY} tasks run, to one": _ratio(many, one, "starts"),
        f"end until WaitTask, {MANY} tasks run, to one": _ratio(many, one, "exits"),
        f"memory of a task of {MANY}": many.median("accounted"),
        f"memory of a task of {MANY}, to one of {FEW}": many.median("accounted") / few.median("accounted"),
    }


def beside_before(bench: Bench) -> dict[str, float]:
    levels = flat.beside_before(bench, ROUNDS)
    now, before = levels[THIS], levels[BEFORE]
    return {
        "start, to that before": _ratio(now, before, "starts"),
        "end until WaitTask, to that before": _ratio(now, before, "exits"),
        "end until StopTask, to that before": _ratio(now, before, "stops"),
        "memory of a task, to that before": now.median("accounted") / before.median("accounted"),
    }


def _ratio(level: flat.Level, other: flat.Level, kind: str) -> float:
    return quantile(getattr(level.samples, kind), 0.1) / quantile(getattr(other.samples, kind), 0.1)


def main() -> int:
    bench = Bench(short=True)
    try:
        measured = measure(bench)
    finally:
        faults = bench.close()
    beyond = 0
    for name, limit in LIMITS.items():
        is_beyond = measured[name] > limit.maximum
        beyond += is_beyond
        print(f"{name:52} {figure(measured[name]):>7}  {limit.unit:20} at most {limit.maximum:g}"
              f"{'  BEYOND: ' + limit.reason if is_beyond else ''}")
    for fault in faults:
        print(f"left over: {fault}", file=sys.stderr)
    return 1 if beyond or faults or set(measured) != set(LIMITS) else 0


if __name__ == "__main__":
    sys.exit(main())
