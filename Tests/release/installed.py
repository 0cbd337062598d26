"""Where the packages put things, and tasks that run while a package manager is at work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

from agent import AgentHost, ExitResult, Plugin, Task
from agent.restart import recover
from bare_root import BareRoot

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


def upgrade_while_tasks_run(root: BareRoot, host: AgentHost, upgrade: Callable[[], None]) -> None:
    """Tasks, and the driver that the agent has, are not disturbed by the upgrade of a package; a restart then starts the new
    driver, which recovers them."""
    old_executor = root.inside(EXECUTOR).read_bytes()
    old = root.launch()
    running, ended = paused(host, old), host.task(old, host.program("act"), ["out=up", "sleep=1", "exit=31"]).start()
    pid, executor = running.pid, running.executor_pid

    upgrade()
    assert old.is_running and running.pid == pid

    old.kill()
    new = root.launch()
    assert is_from(new.pid, root.inside(DRIVER))
    recover(new, running, ended)
    assert running.pid == pid and running.executor_pid == executor
    assert Path(f"/proc/{executor}/exe").read_bytes() == old_executor
    assert ended.wait() == ExitResult(31)
    fresh = paused(host, new)
    assert is_from(fresh.executor_pid, root.inside(EXECUTOR))
    end(running, fresh)
