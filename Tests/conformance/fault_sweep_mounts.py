"""Fault sweep of a task with mounts of every kind: a read-only volume, one that is made in the task's
directory, one that is a file; devices at their own path and at another; resolv.conf and hosts; limits, capabilities and ports.

A task that has started has every one of its mounts, and its pid. See fault_sweep_tasks.py.

What it found (all fixed): a handle without the task's pid, so that no command could be run in the task. Found by reading
on the way: a directory for a volume was made as root and not as the task's user if the kernel had no memory for
setfsuid(2), which reports no error; EINTR kept a file of the task from being written.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent import AgentHost, Task, landlock, mounts
from agent.faults import DRIVER, EXECUTOR, Fault
from agent.state import handle_state
from agent.volumes import add_device, add_volume, make_node
from agent.fault_sweep import Scenario, FaultSweep

# /dev/zero and /dev/null.
ZERO, NULL = (1, 5), (1, 3)
USER = 80000


class Equipped(FaultSweep):
    """Runs a task that has mounts of every kind."""

    def __init__(self, host: AgentHost, places: Path, volume: Path):
        self.places, self.volume = places, volume
        super().__init__(host, equip=self.give)
        assert self.passed(self.run())
        self.expected = self.seen

    def give(self, task: Task) -> None:
        data, text = self.places / "data", self.places / "text"
        data.mkdir()
        text.touch()
        add_volume(task, self.volume, data)
        add_volume(task, self.volume, "local/made/here", readonly=True)
        add_volume(task, self.volume / "file", text)
        add_volume(task, self.volume / "file", "local/made/file")
        add_device(task, make_node(self.places / "zero", *ZERO))
        add_device(task, self.places / "zero", make_node(self.places / "null", *NULL))
        task.request.task.dns.servers.append("10.9.8.7")
        isolation = task.request.task.network_isolation_spec
        isolation.hostsConfig.hostname, isolation.hostsConfig.address = "web-1", "172.26.64.2"
        ports = {"tcp_bind": [8080], "tcp_connect": [443]} if landlock.abi() >= 4 else {}
        task.set_config({
            **task.config, "cap_add": ["net_bind_service"], "ulimit": {"nofile": "512:1024", "core": "0"},
            "unveil": [f"r:{self.places}"], "work_dir": "local", **ports})

    def run(self) -> Scenario:
        # Makes the missing directories again.
        shutil.rmtree(self.task.local / "made", ignore_errors=True)
        return super().run()

    def go_on(self, scenario: Scenario) -> None:
        pid = handle_state(self.task).task_pid
        own = (self.places, self.task.directory, self.task.alloc_dir, Path("/etc"), Path("/proc"))
        try:
            self.seen = sorted(point for directory in own for point in mounts.below(directory, pid))
        except OSError:  # it has ended
            self.seen = []
        made = self.task.local / "made"
        self.owners = {path.stat().st_uid for path in (made, made / "here", made / "file")}
        super().go_on(scenario)

    def evaluate(self, fault: Fault, scenario: Scenario) -> str | None:
        if self.passed(scenario) and self.seen != self.expected:
            return f"the task sees {self.seen} instead of {self.expected}"
        if self.passed(scenario) and self.owners != {USER}:
            return f"directories for volumes belong to {self.owners}"
        return super().evaluate(fault, scenario)


@pytest.fixture
def sweep(host: AgentHost, places: Path, volume: Path) -> Equipped:
    return Equipped(host, places, volume)


def test_what_the_sweep_covers(sweep: Equipped) -> None:
    """Each kind of mount is made in it, and each has calls that can fail."""
    names = {sweep.faults.name(slot).split()[-1] for _, slot in sweep.count()}
    assert {"open_tree", "mount_setattr", "move_mount", "fsopen", "fsconfig", "fsmount", "umount2", "mkdirat", "mknodat",
            "openat2", "setfsuid", "setfsgid", "capset", "prlimit64", "seccomp", "landlock_add_rule"} <= names
    own = [sweep.places / name for name in ("data", "text", "null")] + [sweep.task.local / name for name in ("made/here", "made/file")]
    assert {*map(str, own), "/etc/hosts", "/proc"} <= set(sweep.expected)


@pytest.mark.parametrize("role", [DRIVER, EXECUTOR], ids=["driver", "executor"])
def test_every_call_of_a_task_fails_once(sweep: Equipped, role: int) -> None:
    sweep.run_all(role)


def test_every_interrupted_call_of_a_task_goes_well(sweep: Equipped) -> None:
    sweep.run_all(interrupted=True, minimum=40)
