"""Time limits, scaled by the slowness of the machine (EXEC2_SLOW)."""

from __future__ import annotations

import os
import time
from typing import Callable, TypeVar

Found = TypeVar("Found")

SLOW = float(os.environ.get("EXEC2_SLOW", "1"))


def scaled(seconds: float) -> float:
    """`seconds` on an ordinary machine, in seconds on this one."""
    return seconds * SLOW


def sleep(milliseconds: float) -> str:
    """The argument that makes Tests/programs/act.c sleep that long, scaled."""
    return f"sleep={round(scaled(milliseconds))}"


def wait_until(condition: Callable[[], Found], seconds: float, what: str) -> Found:
    """The first true result of `condition`; an AssertionError that names `what` if
    there is none within `seconds` (scaled)."""
    end = time.monotonic() + scaled(seconds)
    pause = 0.002
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {scaled(seconds):g} s: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
