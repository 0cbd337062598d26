"""An agent that runs as a systemd service: launches the plugin, starts tasks, and writes to a file what an agent keeps
on its disk. Then it waits to be stopped.

  python agent_unit.py FILE     FILE receives the notes, as JSON
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from agent import AgentHost, Task
from agent.timing import scaled


def note(task: Task) -> dict[str, object]:
    """What an agent keeps of one task."""
    return {
        "id": task.id, "handle": task.handle.SerializeToString().hex(), "pid": task.pid,
        "executor": task.executor_pid, "scope": str(task.scope)}


def main() -> None:
    file = Path(sys.argv[1])
    host = AgentHost()
    state_dir = host.make_state_dir()
    plugin = host.launch({"state_dir": str(state_dir)})
    act = host.program("act")
    later = f"sleep={scaled(1) * 1000:.0f}"
    tasks = {
        "endless": host.task(plugin, act, ["sessions=2", "out=up", "pause="]),
        "brief": host.task(plugin, act, ["out=up", later, "exit=7"]),
        "greedy": host.task(plugin, act, ["out=up", later, "memory=160", "pause="], memory=32),
    }
    for task in tasks.values():
        task.start().stdout.wait_for("up")
    notes = {
        "driver": plugin.pid, "address": plugin.address, "state_dir": str(state_dir),
        "tasks": {name: note(task) for name, task in tasks.items()}}
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(notes))
    fresh.rename(file)
    os.sync()
    while True:
        time.sleep(1000)


if __name__ == "__main__":
    main()
