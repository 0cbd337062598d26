"""The program as a command-line tool, and a check that it leaves nothing."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Iterator

import pytest

SLOW = float(os.environ.get("EXEC2_SLOW", "1"))
PROGRAM = os.environ.get(
    "EXEC2_PLUGIN", str(Path(__file__).resolve().parents[2] / ".build" / "release" / "nomad-driver-exec2"))


def mount_point() -> Path:
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            return Path(before.split()[4])
    raise AssertionError("cgroup v2 is not mounted")


def controllers() -> set[str]:
    return set((mount_point() / "cgroup.controllers").read_text(encoding="ascii").split())


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("NOMAD_")}


def tool(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    settings: dict[str, object] = {
        "stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 60 * SLOW, "env": environment()}
    settings.update(options)
    return subprocess.run([PROGRAM, *words], check=False, **settings)  # type: ignore[call-overload]


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return tool("run", *words, **options)


def start(*words: str, **options: object) -> subprocess.Popen[str]:
    settings: dict[str, object] = {
        "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
        "env": environment()}
    settings.update(options)
    return subprocess.Popen([PROGRAM, "run", *words], **settings)  # type: ignore[call-overload]


def wait_for(text: str, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == text + "\n", (line, process.stderr.read() if process.stderr and not line else "")


def leftovers() -> set[str]:
    """Directories, cgroups and processes of `run`, which it must not leave."""
    found = {str(path) for parent in ("/run", "/var/tmp", str(mount_point()))
             for path in Path(parent).glob("nomad-driver-exec2-run-*")}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"exec2-leftover-mark" in words:
            found.add(path.parent.name)
    return found


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Checks this after each test of every module that imports it."""
    before = leftovers()
    yield
    # Another run on this machine removes what it has by itself.
    until = time.monotonic() + 5 * SLOW
    while not leftovers() <= before and time.monotonic() < until:
        time.sleep(0.1)
    assert not leftovers() - before


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr, which must be the whole output."""
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("nomad-driver-exec2: "), result.stderr
    assert result.stdout == ""
    return lines[0].removeprefix("nomad-driver-exec2: ")
