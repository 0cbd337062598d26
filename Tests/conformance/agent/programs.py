"""The programs in C and Go that run as tasks, compiled when they are missing or older than what they are made from."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from agent.hcl import GO
from agent.messages import BUILD, REPOSITORY

SOURCES = REPOSITORY / "Tests" / "programs"
NAMES = ["access", "act", "attack", "bomb", "confined", "flood", "subreaper", "offspring", "recorder", "tracer", "remover", "limits",
         "ordinary"]


def built(name: str) -> Path:
    """The program's path; compiles it if necessary."""
    source = next(file for file in (SOURCES / f"{name}.c", SOURCES / f"{name}.go") if file.exists())
    program = BUILD / "programs" / name
    newest = max(file.stat().st_mtime for file in (source, *SOURCES.glob("*.h")))
    if program.exists() and program.stat().st_mtime >= newest:
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    fresh = program.with_suffix(f".{os.getpid()}")
    if source.suffix == ".go":
        subprocess.run(["go", "build", "-o", str(fresh), str(source)], env={**os.environ, **GO}, check=True)
    else:
        subprocess.run(
            [os.environ.get("CC", "cc"), "-static", "-O2", "-std=gnu17", "-Wall", "-Wextra", "-Werror",
             "-o", str(fresh), str(source)],
            check=True,
        )
    fresh.rename(program)
    return program
