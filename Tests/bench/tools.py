"""The C programs of the benchmarks, and their results."""

from __future__ import annotations

import math
import os
import pathlib
import statistics
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any, Iterable, Sequence

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "conformance"))

from agent import messages  # noqa: E402

BUILT = messages.BUILD / "bench"
FLAGS = {
    "moment": ["-static", "-nostdlib", "-nostartfiles", "-fno-stack-protector", "-fno-builtin"],
    "spawn": [],
    "call": ["-lgrpc", "-lgpr"],
    "bare": [],
}
CALL_FAILED = "a call of the benchmark failed"


def built(name: str) -> pathlib.Path:
    """The path of one of the C programs; compiles it if necessary. bare_root.c is a source of bare, and so on."""
    sources = [HERE / f"{name}.c", *sorted(HERE.glob(f"{name}_*.c"))]
    program = BUILT / name
    newest = max(source.stat().st_mtime for source in [*sources, *HERE.glob(f"{name}.h")])
    if program.exists() and program.stat().st_mtime >= newest:
        return program
    BUILT.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [os.environ.get("CC", "cc"), "-O2", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-o", str(program),
         *map(str, sources), *FLAGS[name]], check=True)
    return program


class Refused(Exception):
    """A call was not answered with OK."""


@dataclass(frozen=True)
class Called:
    """One call: when it was made and answered, in nanoseconds of the monotonic clock."""

    sent: int
    received: int
    status: int
    answer: bytes

    def ok(self) -> "Called":
        """The call itself if it succeeded."""
        if self.status != 0:
            raise Refused(f"{CALL_FAILED} with status {self.status}: {self.answer.decode(errors='replace')}")
        return self


class Client:
    """Calls a plugin's Driver service through call.c."""

    def __init__(self, socket: str):
        self._process = subprocess.Popen([built("call"), socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._process.pid

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def __call__(self, method: str, request: Any) -> Called:
        """One call; a failed one is an error."""
        return self.sequences([[(method, request)]], 1)[0][0].ok()

    def sequences(self, sequences: Sequence[Sequence[tuple[str, Any]]], at_once: int) -> list[list[Called]]:
        """Makes sequences of calls, at most `at_once` of them at the same time."""
        parts = [struct.pack("=II", at_once, len(sequences))]
        for sequence in sequences:
            parts.append(struct.pack("=I", len(sequence)))
            for method, request in sequence:
                path = f"/hashicorp.nomad.plugins.drivers.proto.Driver/{method}".encode()
                message = request.SerializeToString()
                parts += [struct.pack("=II", len(path), len(message)), path, message]
        self._process.stdin.write(b"".join(parts))
        self._process.stdin.flush()
        return [[self._answer() for _ in sequence] for sequence in sequences]

    def _answer(self) -> Called:
        sent, received, status, length = struct.unpack("=QQII", self._read(24))
        return Called(sent, received, status, self._read(length))

    def _read(self, count: int) -> bytes:
        data = self._process.stdout.read(count)
        if len(data) != count:
            raise RuntimeError(f"the benchmark's client has ended with {self._process.wait()}")
        return data


@dataclass(frozen=True)
class Ran:
    """A program that was spawned: the times are nanoseconds of the monotonic clock."""

    spawned: int
    output: int
    ended: int
    number: int


class Spawner:
    """Spawns programs through spawn.c. Peers find cgroup v2 at /sys/fs/cgroup there."""

    def __init__(self, cgroup2: pathlib.Path | None = None, environment: dict[str, str] | None = None):
        other = [str(cgroup2)] if cgroup2 and str(cgroup2) != "/sys/fs/cgroup" else []
        self._process = subprocess.Popen(
            [built("spawn"), *other], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})})
        self.pid = self._process.pid

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, kind: bytes, arguments: Iterable[str | os.PathLike[str]]) -> Ran:
        encoded = [os.fspath(argument).encode() for argument in arguments]
        self._process.stdin.write(kind + struct.pack("=I", len(encoded)) + b"".join(
            struct.pack("=I", len(argument)) + argument for argument in encoded))
        self._process.stdin.flush()
        answer = self._process.stdout.read(32)
        if len(answer) != 32:
            raise RuntimeError(f"the benchmark's spawner has ended with {self._process.wait()}")
        return Ran(*struct.unpack("=QQQq", answer))

    def run(self, arguments: Iterable[str | os.PathLike[str]]) -> Ran:
        """Runs a program to its end; `number` is its wait status."""
        return self._ask(b"r", arguments)

    def until_line(self, arguments: Iterable[str | os.PathLike[str]]) -> Ran:
        """Runs a program until it has written a line, and ends it."""
        return self._ask(b"l", arguments)

    def leave(self, arguments: Iterable[str | os.PathLike[str]]) -> int:
        """Leaves a program running: its pid."""
        return self._ask(b"b", arguments).number


def memory(pid: int) -> dict[str, int]:
    """RSS, PSS and private memory in KiB; see proc_pid_smaps(5)."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    facts = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return {"RSS": facts["Rss"], "PSS": facts["Pss"], "private": facts["Private_Clean"] + facts["Private_Dirty"]}


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that the fraction `share` of all values does not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


@dataclass
class Results:
    """What was measured, as rows of a table."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self, group: str, what: str, who: str, unit: str, values: Sequence[float], *, goal: float | None = None,
        minimum: float | None = None, note: str = "",
    ) -> dict[str, Any]:
        """Adds the samples of one measure. `goal` is the maximum that the median may have; `minimum` is a goal too."""
        median = statistics.median(values)
        row: dict[str, Any] = {
            "group": group, "what": what, "who": who, "unit": unit, "samples": len(values), "min": min(values),
            "median": median, "p99": quantile(values, 0.99), "note": note,
        }
        if goal is not None:
            row["goal"] = goal
            row["missed"] = median > goal
        if minimum is not None:
            row["goal"], row["goal_is"] = minimum, "minimum"
            row["missed"] = median < minimum
        self.rows.append(row)
        return row

    def lacks(self, group: str, what: str, who: str, reason: str) -> None:
        """Something that could not be measured here, and why."""
        self.rows.append({"group": group, "what": what, "who": who, "unit": "", "samples": 0, "note": f"not measured: {reason}"})
