"""A pid that was an Executor's or a task's and is another's now: that other
process is never signalled. Each scene is a program in a PID namespace of its
own, where the next pid can be chosen (ns_last_pid)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent import reused_pid
from agent.plugin import default_binary
from agent.timing import scaled


@pytest.mark.parametrize("scene", reused_pid.SCENES)
def test_stranger_lives(binary: Path, scene: str) -> None:
    for _ in range(6):
        run = subprocess.run(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, reused_pid.__file__, scene],
            env={**os.environ, "EXEC2_PLUGIN": str(default_binary())},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=scaled(60))
        # Where a thread had got the pid first, the scene is set anew.
        if run.returncode != reused_pid.TAKEN:
            break
    assert run.returncode == 0, run.stdout
