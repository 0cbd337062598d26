"""Where the packages put things, and tasks that run while a package manager is at work."""

from __future__ import annotations

import os
from pathlib import Path

from agent import AgentHost, ExitResult, Plugin, Task

NAME = "nomad-driver-exec2-swift"
DRIVER = "/usr/sbin/nomad-driver-exec2"
EXECUTOR = "/usr/libexec/nomad-driver-exec2/nomad-driver-exec2-executor"
DOC = f"/usr/share/doc/{NAME}"


def paused(host: AgentHost, plugin: Plugin) -> Task:
    task = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    task.stdout.wait_for("up")
    return task


def end(*tasks: Task) -> None:
    for task in tasks:
        task.stop(signal="SIGTERM")
        assert task.wait() == ExitResult(143, 15)
        task.destroy()


def is_from(pid: int, path: Path) -> bool:
    """Whether a process runs the file that is at `path` now."""
    return os.path.samestat(os.stat(f"/proc/{pid}/exe"), path.stat())
