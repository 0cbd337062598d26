"""The agent: what it owns during a session, and checks that nothing is left."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Sequence

from agent import processes
from agent.cgroups import Slice
from agent.collector import Collector
from agent.plugin import Plugin, default_binary
from agent.programs import NAMES, built
from agent.task import Task
from agent.timing import wait_until


def remove_tree(directory: Path) -> None:
    """rmtree, repeated if it fails: an overlay file system like the virtual machine's may report another inode number for
    a directory the second time, and rmtree then assumes that a symlink has replaced it."""
    try:
        shutil.rmtree(directory)
    except OSError:
        shutil.rmtree(directory)


class AgentHost:
    """A client's directories: `data`, which only root may enter, and
    `alloc_mounts`, which tasks' users may traverse. They are outside /tmp, which
    the plugin unveils by default."""

    def __init__(self, with_controllers: bool = True):
        parent = os.environ.get("EXEC2_CONFORMANCE_DIR", "/var/tmp")
        self.root = Path(tempfile.mkdtemp(prefix="exec2-", dir=parent))
        self.root.chmod(0o755)
        self.data = self.root / "data"
        self.data.mkdir(mode=0o700)
        self.alloc_mounts = self.root / "alloc_mounts"
        self.alloc_mounts.mkdir()
        self.alloc_mounts.chmod(0o711)
        self.programs = self.root / "programs"
        self.programs.mkdir()
        self.programs.chmod(0o755)
        for name in NAMES:
            shutil.copy(built(name), self.programs / name)
            (self.programs / name).chmod(0o755)
        self.slice = Slice(self.root.name, with_controllers)
        self.collector = Collector()
        self.plugins: list[Plugin] = []
        self.tasks: list[Task] = []
        self._state_directories = 0

    def program(self, name: str) -> Path:
        """The path of one of Tests/programs for tasks."""
        return self.programs / name

    @property
    def programs_rule(self) -> str:
        """The unveil rule that the test programs themselves need."""
        return f"rx:{self.programs}"

    def make_state_dir(self) -> Path:
        """A new path for a plugin's state_dir; the plugin makes the directory."""
        self._state_directories += 1
        return self.root / "state" / str(self._state_directories)

    def launch(
        self,
        config: dict[str, Any] | None = None,
        *,
        binary: Path | None = None,
        arguments: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        binds: Sequence[tuple[Path, Path]] = (),
        layer: Path | None = None,
        configure: bool = True,
        shake_hands: bool = True,
        **topology_facts: int,
    ) -> Plugin:
        """Starts the plugin and configures it, so that tasks can be started. `config`
        is added to a config with a state_dir of its own and the rule for the test
        programs. `binds` and `layer` give the plugin its own view of the host's
        files: bind mounts of (source, target), and an overlay. It then does not see
        the bind mounts of tasks that are made later."""
        program = binary or default_binary()
        root = None
        if layer:
            mount_point = self.root / "roots" / str(len(self.plugins))
            mount_point.mkdir(parents=True, exist_ok=True)
            kept = [Path("/proc"), Path("/sys"), Path("/run"), Path("/tmp"), self.root]
            if not any(program.is_relative_to(path) for path in kept):
                kept.append(program.parent)
            root = (layer, mount_point, kept)
        plugin = Plugin(
            program, arguments=arguments, environment=environment, binds=binds, root=root, shake_hands=shake_hands)
        self.plugins.append(plugin)
        plugin.config = {"state_dir": str(self.make_state_dir()), "unveil_paths": [self.programs_rule], **(config or {})}
        plugin.state_dir = Path(plugin.config["state_dir"])
        if configure:
            plugin.begin(plugin.config, **topology_facts)
        return plugin

    def task(self, plugin: Plugin, command: str | Path | None, arguments: Sequence[str | Path] = (), **options: Any) -> Task:
        """A task with everything that the agent makes for it; not yet started."""
        return Task(self, plugin, command, arguments, **options)

    def paused(self, plugin: Plugin) -> Task:
        """A running task that waits for signals."""
        task = self.task(plugin, self.program("act"), ["out=up", "pause="]).start()
        task.stdout.wait_for("up")
        return task

    def clean_tasks(self) -> list[str]:
        """Ends and removes all tasks; see Task.clean."""
        faults = []
        for task in self.tasks:
            faults += task.clean()
            remove_tree(task.directory)
            remove_tree(task.alloc_dir)
        self.tasks = []
        return faults

    def leftovers(self, plugin: Plugin) -> list[str]:
        """What the running plugin still has although no task is left. One
        standby Executor is allowed."""

        def found() -> list[str]:
            faults = []
            below = plugin.executors()
            if len(below) > 1:
                faults.append(f"{len(below)} processes below the plugin: {below[:5]}")
            states = os.listdir(plugin.state_dir) if plugin.state_dir.exists() else []
            states = [name for name in states if name != ".sockets"]
            if len(states) > len(below):
                faults.append(f"{len(states)} state directories in {plugin.state_dir}: {states[:5]}")
            return faults

        try:
            wait_until(lambda: not found(), 5, "nothing left")
        except AssertionError:
            return found()
        return []

    def close(self) -> list[str]:
        """Ends everything; returns a sentence for each thing that should not have
        been left."""
        faults = self.clean_tasks()
        for plugin in self.plugins:
            plugin.end()
            faults += plugin.violations
        self.collector.close()
        self.slice.remove()
        shutil.rmtree(self.root)
        return faults


def state_directories(plugin: Plugin) -> list[str]:
    """The entries of the plugin's state_dir."""
    return sorted(os.listdir(plugin.state_dir)) if plugin.state_dir.exists() else []


__all__ = ["AgentHost", "processes", "state_directories"]
