"""A part of a test run."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass, field
from typing import Callable

from counting import Count

PROJECT = pathlib.Path(__file__).resolve().parents[1]
BUILD = PROJECT / ".build"

# The assumed slowness of an emulated machine, by which tests scale their time limits.
SLOWNESS_OF_GUEST = 15


@dataclass
class Stage:
    """One command whose output has the tests' results."""

    name: str
    command: list[str]
    minutes: float  # limit
    # Without a counter and a report, the stage counts as one test that passes with exit status 0.
    count: Callable[[str], Count] | None = None
    # A JUnit XML file that the command writes, from which its tests are counted.
    report: pathlib.Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    cwd: pathlib.Path = PROJECT
    as_root: bool = False
