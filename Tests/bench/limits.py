"""What the short form of the benchmark holds the programs to, and why that much.

Times are ratios to a posix_spawn of the same run, of the tenth part that was least disturbed: they are
about the same on any machine, and on one that is busy. A limit is about twice to three times what is
measured, so that noise does not reach it and a second spawn, a poll interval or a timer does. Sizes are
the same on any machine, so that their limits are near.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    maximum: float
    unit: str
    reason: str


TIMES = "times a posix_spawn"

LIMITS = {
    "start, standby": Limit(25, TIMES, "10 measured; a start that spawns its Executor takes about 18"),
    "start, no standby": Limit(45, TIMES, "18 measured; this is a spawn, a launch and two hops through gRPC"),
    "start, standby, to no standby": Limit(
        0.85, "of it", "0.55 measured; near 1, no task gets the Executor that stands by"),
    "end of the last process until StopTask is answered": Limit(
        25, TIMES, "6 measured; waiting on any interval, however short, would be many times that"),
    "exec until the handshake line": Limit(100, TIMES, "35 measured; dynamic linking to libgrpc would be 150"),
    "Executor, file, stripped": Limit(950, "KiB", "780 measured; Unicode tables or Foundation would be more than 90"),
    "Driver, file, stripped": Limit(16_384, "KiB", "12500 measured; Foundation would be 24 MiB"),
    "Executor, RSS": Limit(1024, "KiB", "the design's goal; 800 measured"),
    "Executor, private, of 50": Limit(110, "KiB", "77 measured; a buffer or thread that is never used would be 64 or 16"),
    "Executor, PSS, of 50": Limit(130, "KiB", "92 measured; the design's goal is 100 for 100 of them"),
    "Driver, RSS, idle": Limit(18_432, "KiB", "13300 measured; the design's goal is 16 MiB"),
    "Driver, RSS, a task of 50": Limit(64, "KiB", "25 measured, with what the first tasks make once; the design's goal is 16"),
}
