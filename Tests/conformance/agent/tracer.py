"""A debugger that hangs."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Tracer:
    """Traces a process from outside until `let_go`. A process that ends meanwhile stays a zombie that its parent cannot
    reap."""

    def __init__(self, program: Path, pid: int):
        self._process = subprocess.Popen([str(program), str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None and self._process.stdout.readline() == b"traces\n"

    def let_go(self) -> None:
        """Ends the tracer; a second call does nothing."""
        if self._process.poll() is None:
            self._process.communicate()
