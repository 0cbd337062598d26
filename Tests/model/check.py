#!/usr/bin/python3
"""Checks the model of the Driver and its Executors with spin: every property holds in every scenario, and for each protection
that is removed the expected property breaks. The last line is "N passed, N failed".

  Tests/model/check.py             all
  Tests/model/check.py WORD        those whose name contains WORD
"""

from __future__ import annotations

import concurrent.futures
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

MODEL = pathlib.Path(__file__).resolve().parent
# Limits of a search; one that reaches a limit fails. No search comes near them.
MEGABYTES = 1500
DEPTH = 100_000
SECONDS = 240
LONGEST_TRAIL = 60


@dataclass(frozen=True)
class Check:
    """A scenario, complete or with one of its protections removed."""

    scenario: str
    macros: tuple[str, ...] = ()
    without: str = ""
    # The property that must break without the protection.
    breaks: str = ""
    # A breadth-first search finds a violation sooner if it is only a few steps away.
    breadth_first: bool = False

    @property
    def name(self) -> str:
        macros = "".join(f", {macro.lower().replace('_', ' ')}" for macro in self.macros)
        return f"{self.scenario}{macros}" + (f", without {self.without}" if self.without else "")

    @property
    def definitions(self) -> list[str]:
        names = [*self.macros, *([f"WITHOUT_{self.without.upper().replace(' ', '_')}"] if self.without else [])]
        return [f"-D{name}" for name in names]


ANSWERED = "WaitTask is answered"
AS_IT_WAS = "an end is lost only with a killed Executor or a restarted host"
OWN = "an answer is taken for no other request"
LIVES = "an Executor that lives answers"
ONCE = "a program runs at most once for a start"
ALONE = "a program runs alone in its cgroup"
HANDLE = "the sweep ends no task that the host has a handle of"
TWO = ("TWO_DRIVERS",)
AGENT = ("AGENT_DIES",)

CHECKS = [
    Check("start"),
    Check("start", AGENT),
    Check("recovery"),
    Check("recovery", TWO),
    Check("sweep"),
    Check("standby"),
    Check("recovery", (), "record before event", ANSWERED),
    Check("recovery", (), "session numbers", OWN),
    Check("recovery", (), "watch of the Executor", ANSWERED),
    Check("recovery", (), "Executor before record", AS_IT_WAS),
    Check("recovery", (), "start time", ANSWERED),
    Check("recovery", (), "boot", ANSWERED),
    Check("recovery", (), "emptying the pipe", LIVES),
    Check("recovery", (), "look behind hello", ANSWERED),
    Check("recovery", TWO, "lock", OWN),
    Check("start", (), "identity before launch", ALONE, breadth_first=True),
    Check("start", (), "look at the launcher", ALONE, breadth_first=True),
    Check("start", AGENT, "waiting for ends", ALONE),
    Check("start", AGENT, "ending the abandoned", ALONE),
    Check("sweep", (), "claim", HANDLE),
    Check("sweep", (), "entry before verdict", HANDLE),
    Check("standby", (), "death of the first", ONCE),
    Check("standby", (), "look at the identity", ONCE),
]


def output_of(command: list[str], directory: str) -> str:
    done = subprocess.run(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stdout}")
    return done.stdout


def evaluated(check: Check) -> tuple[bool, str]:
    """Whether a check passed, and the text to print about it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        source = str(MODEL / f"{check.scenario}.pml")
        output_of(["spin", *check.definitions, "-a", source], directory)
        search = search_in(directory, breadth_first=check.breadth_first)
        found = re.search(r"errors: (\d+)", search)
        states = re.search(r"(\d+) states, stored", search)
        if found is None or states is None:
            return False, f"no result:\n{search}"
        is_whole = "Search not completed" not in search and "max search depth too small" not in search
        figures = f"{int(states[1])} states, {time.monotonic() - began:.1f} s"
        if found[1] == "0":
            if check.without:
                return False, f"no property breaks ({figures})"
            return is_whole, figures if is_whole else f"the search was not completed ({figures}):\n{search}"
        if not check.without:
            # The shortest trail, for the reader.
            search_in(directory, breadth_first=True)
        broken, steps = trail(check, source, directory)
        if check.without and broken == check.breaks:
            return True, f"\"{broken}\" breaks ({figures})"
        what = f"\"{broken}\" is broken" if broken else "a search that failed"
        instead = f", and \"{check.breaks}\" was to break" if check.without else ""
        return False, f"{what}{instead} ({figures}):\n{steps}"


def search_in(directory: str, *, breadth_first: bool) -> str:
    """Compiles the verifier in a directory and returns pan's output. Compiling takes longer than most searches."""
    for old in pathlib.Path(directory).glob("*.trail"):
        old.unlink()
    order = "-DBFS" if breadth_first else "-DCOLLAPSE"
    output_of(
        ["gcc", "-O0", "-w", "-DSAFETY", "-DVECTORSZ=2048", f"-DMEMLIM={MEGABYTES}", order, "-o", "pan", "pan.c"], directory)
    # -E: AtLast checks the end states; a process may stop anywhere.
    return output_of(["./pan", "-E", f"-m{DEPTH}", "-w22"], directory)


def trail(check: Check, source: str, directory: str) -> tuple[str, str]:
    """The property that a search found violated, and the steps that lead there."""
    played = output_of(
        ["spin", "-t", "-k", str(next(pathlib.Path(directory).glob("*.trail"))), "-p", *check.definitions, source],
        directory)
    broken = re.search(r"BROKEN .*?\n\s*([A-Za-z].*?)\s*\d+:\s*proc", played, re.DOTALL)
    steps: list[str] = []
    for process, file, line, text in re.findall(
            r"proc +\d+ \(([^)]*?):1\) (\S+?):(\d+) \(state \d+\)\s+\[(.*)\]$", played, re.MULTILINE):
        # Leave out control flow and the initial steps of the scenario: the actions are what the reader needs.
        if process.startswith(":") or re.match(r"^(\.?\(?goto|else|\(1\)|IF|printf|goto|assert)", text):
            continue
        name = pathlib.Path(file).name
        written = " ".join((MODEL / name).read_text().splitlines()[int(line) - 1].split())
        step = f"    {process:16} {name + ':' + line:16} {written}"
        # Consecutive steps of one line are printed once.
        if not steps or steps[-1] != step:
            steps.append(step)
    left_out = [f"    … {len(steps) - LONGEST_TRAIL} steps before"] if len(steps) > LONGEST_TRAIL else []
    return broken[1].strip() if broken else "", "\n".join(left_out + steps[-LONGEST_TRAIL:])


def attempted(check: Check) -> tuple[bool, str]:
    try:
        return evaluated(check)
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        return False, str(error)


def main() -> int:
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [check for check in CHECKS if word in check.name]
    passed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for check, (holds, text) in zip(chosen, pool.map(attempted, chosen)):
            passed += holds
            print(f"{'ok' if holds else 'FAILED'}: {check.name}: {text}", flush=True)
    failed = len(chosen) - passed
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
