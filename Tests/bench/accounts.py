"""The memory that the kernel accounts to a plugin's tasks and their Executors, its own memory for them included.

Unlike MemAvailable it does not depend on what else the machine does. It lacks what the kernel does not account to
anybody.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))

from agent import AgentHost, Plugin, cgroups

REMOVAL_SECONDS = 10


class Account:
    """With cgroup v2 the account is the client's slice, which tasks and Executors are in. Where version 1 has the memory
    controller, the plugin is moved into a group of its own, which tasks and Executors inherit."""

    def __init__(self, host: AgentHost, plugin: Plugin):
        self._group: Path | None = None
        self._plugin = plugin.pid
        if (host.slice.root / "memory.stat").exists():
            self._statistics = host.slice.root / "memory.stat"
            return
        controller = _version_1()
        self._group = controller / f"{host.root.name}-{plugin.pid}"
        self._group.mkdir()
        (self._group / "cgroup.procs").write_text(str(plugin.pid))
        self._statistics = self._group / "memory.stat"

    def kibibytes(self) -> float:
        """What is accounted now."""
        facts = {name: int(value) for name, value in (line.split() for line in self._statistics.read_text().splitlines())}
        if self._group:
            kernel = int((self._group / "memory.kmem.usage_in_bytes").read_text())
            return (facts["total_rss"] + facts["total_shmem"] + kernel) / 1024 - _own_pages(self._plugin)
        return (facts["anon"] + facts["shmem"] + facts["kernel"]) / 1024

    def close(self) -> None:
        """Removes the group. The plugin has ended."""
        if not self._group:
            return
        last = time.monotonic() + REMOVAL_SECONDS
        while True:
            try:
                return self._group.rmdir()
            except OSError:
                if time.monotonic() > last:
                    raise
                time.sleep(0.01)


def _own_pages(pid: int) -> int:
    """The anonymous memory of a process, in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/{pid}/status has no RssAnon")


def _version_1() -> Path:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.split(" ")[0] == "cgroup" and "memory" in kind.split(" ")[2].split(","):
            return Path(fields.split(" ")[4])
    raise RuntimeError(f"neither {cgroups.mount_point()} nor a mount of cgroup v1 has the memory controller")
