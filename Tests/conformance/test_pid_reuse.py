"""The pid of an Executor or a task is reused by another process: that process is never signalled. Each scenario is a
program in a PID namespace of its own, where the next pid can be chosen (ns_last_pid)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent import reused_pid
from agent.plugin import default_binary
from agent.timing import scaled


@pytest.mark.parametrize("scenario", reused_pid.SCENARIOS)
def test_other_process_survives(binary: Path, scenario: str) -> None:
    for _ in range(6):
        run = subprocess.run(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, reused_pid.__file__, scenario],
            env={**os.environ, "EXEC2_PLUGIN": str(default_binary())},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=scaled(60))
        # If a thread got the pid first, the scenario is run again.
        if run.returncode != reused_pid.TAKEN:
            break
    assert run.returncode == 0, run.stdout
