"""The C programs that run as tasks, compiled when they are missing or older than what they are made from."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from agent.messages import BUILD, REPOSITORY

SOURCES = REPOSITORY / "Tests" / "programs"
NAMES = ["access", "act", "attack", "bomb", "confined", "flood", "subreaper", "offspring", "recorder", "tracer", "remover"]


def built(name: str) -> Path:
    """The program's path, compiled first where that is needed."""
    source = SOURCES / f"{name}.c"
    program = BUILD / "programs" / name
    newest = max(file.stat().st_mtime for file in (source, *SOURCES.glob("*.h")))
    if program.exists() and program.stat().st_mtime >= newest:
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    fresh = program.with_suffix(f".{os.getpid()}")
    subprocess.run(
        [os.environ.get("CC", "cc"), "-static", "-O2", "-std=gnu17", "-Wall", "-Wextra", "-Werror",
         "-o", str(fresh), str(source)],
        check=True,
    )
    fresh.rename(program)
    return program
