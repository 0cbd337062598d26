"""The tasks of the chaos test: what they do and how each must end."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from agent import ExitResult

READY = "ready"


@dataclass(frozen=True)
class Plan:
    """One task: its arguments for Tests/programs/act.c and its expected result."""

    kind: str
    verbs: list[str]
    result: ExitResult
    # Numbered lines on stdout and on stderr.
    lines: int = 0
    # What the host does once the task is ready, after `delay` seconds: "", "stop" or "signal".
    action: str = ""
    signal: str = ""
    # The job's kill_timeout, in seconds.
    timeout: float = 0
    delay: float = 0
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> tuple[str, str]:
        """The checksums that stdout and stderr must have."""
        said = f"{READY}\n".encode() if self.action else b""
        return _checksum(said, self.lines), _checksum(b"", self.lines)


@cache
def _checksum(before: bytes, lines: int) -> str:
    digest = hashlib.sha256(before)
    for number in range(lines):
        digest.update(b"%063d\n" % number)
    return digest.hexdigest()


def plan(number: int, seed: int, with_oom: bool) -> Plan:
    """Task `number`: all kinds are equally frequent, the seed decides the details."""
    chance = random.Random(f"{seed} task {number}")
    kinds = [_exit, _raise, _tree, _output, _stopped, _deaf, _graceful, _signalled, _sessions]
    if with_oom:
        kinds.append(_oom)
    return kinds[number % len(kinds)](chance)


def _sleep(chance: random.Random) -> str:
    """Most tasks outlive several kills, some end at once."""
    return f"sleep={chance.choice([0, 0, chance.randrange(100), chance.randrange(3000), chance.randrange(3000)])}"


def _exit(chance: random.Random) -> Plan:
    code = chance.randrange(256)
    return Plan("exit code", [_sleep(chance), f"exit={code}"], ExitResult(code))


def _raise(chance: random.Random) -> Plan:
    number = chance.choice([1, 2, 3, 6, 9, 11, 13, 14, 15, 31, 40, 64])
    return Plan("own signal", [_sleep(chance), f"raise={number}"], ExitResult(128 + number, number))


def _tree(chance: random.Random) -> Plan:
    code = chance.randrange(256)
    return Plan("fork tree", [f"tree={chance.randrange(1, 4)}", _sleep(chance), f"exit={code}"], ExitResult(code))


def _sessions(chance: random.Random) -> Plan:
    code = chance.randrange(256)
    verbs = [f"sessions={chance.randrange(1, 5)}", _sleep(chance), f"exit={code}"]
    return Plan("setsid children", verbs, ExitResult(code))


def _output(chance: random.Random) -> Plan:
    portions, lines, code = chance.randrange(4, 12), 1024, chance.randrange(256)
    verbs = [verb for _ in range(portions) for verb in (f"lines={lines}", f"sleep={chance.randrange(200)}")]
    return Plan("output", [*verbs, f"exit={code}"], ExitResult(code), lines=portions * lines)


def _stopped(chance: random.Random) -> Plan:
    name, number = chance.choice([("SIGTERM", 15), ("", 2), ("SIGHUP", 1)])
    return Plan("stopped", ["sessions=1", f"out={READY}", "pause="], ExitResult(128 + number, number), action="stop",
                signal=name, timeout=20, delay=chance.uniform(0, 1.5))


def _deaf(chance: random.Random) -> Plan:
    return Plan("stopped, deaf", ["ignore=15", "ignore=2", "tree=1", f"out={READY}", "pause="], ExitResult(137, 9),
                action="stop", signal=chance.choice(["SIGTERM", "SIGINT"]), timeout=chance.uniform(0, 0.8),
                delay=chance.uniform(0, 1.5))


def _graceful(chance: random.Random) -> Plan:
    code = chance.randrange(256)
    verbs = ["block=15", f"out={READY}", "await=15", f"sleep={chance.randrange(400)}", f"exit={code}"]
    return Plan("stopped, graceful", verbs, ExitResult(code), action="stop", signal="sigterm", timeout=20,
                delay=chance.uniform(0, 1.5))


def _signalled(chance: random.Random) -> Plan:
    name, number = chance.choice([("SIGUSR1", 10), ("SIGHUP", 1), ("SIGUSR2", 12)])
    code = chance.randrange(256)
    verbs = [f"block={number}", f"out={READY}", f"await={number}", f"exit={code}"]
    return Plan("signalled", verbs, ExitResult(code), action="signal", signal=name, delay=chance.uniform(0, 1.5))


def _oom(chance: random.Random) -> Plan:
    return Plan("out of memory", [_sleep(chance), "memory=160", "pause="], ExitResult(137, 9, True),
                options={"memory": 32})
