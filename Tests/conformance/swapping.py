"""Two names that are exchanged continually while a test does something."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

# By a process of its own: a thread would wait for the test's. Without rests, or with one before and one after each exchange.
PROGRAM = """
import ctypes, os, random, sys, time
call = ctypes.CDLL(None, use_errno=True).renameat2
first, second = map(os.fsencode, sys.argv[1:3])
before, after = map(float, sys.argv[3:5])
print("up", flush=True)
while True:
    if before: time.sleep(random.random() * before)
    call(-100, first, -100, second, 2)
    if after: time.sleep(random.random() * after)
    call(-100, first, -100, second, 2)
"""


@contextmanager
def swapping(first: Path, second: Path, *, before: float = 0, after: float = 0) -> Iterator[None]:
    """Exchanges the two names and exchanges them back, until the block ends; `before` and `after` are the longest rests, in
    seconds."""
    words = [sys.executable, "-c", PROGRAM, str(first), str(second), str(before), str(after)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"up\n"
            yield
        finally:
            process.kill()
