"""The benchmark's contender "the same confinement, bare" confines its tasks as the driver does, and if it did less or more, the
benchmark would notice: every goal of a start is a ratio to it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import AgentHost, Plugin

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

from alike import differences
from bare import Bare, Plan, Reference

Launch = Callable[..., Plugin]


@pytest.fixture
def bare(host: AgentHost, launch: Launch) -> Iterator[Bare]:
    plugin = launch()
    task = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    task.stdout.wait_for("up")
    bare = Bare(host, plugin, Reference(plugin, task))
    yield bare
    bare.close()


def without(key: str, part: str = "") -> Callable[[Plan], Plan]:
    return lambda plan: [(name, value) for name, value in plan if name != key or part not in str(value)]


def other(key: str, value: str) -> Callable[[Plan], Plan]:
    return lambda plan: [(name, value if name == key else had) for name, had in plan]


def without_ioctl(plan: Plan) -> Plan:
    """LANDLOCK_ACCESS_FS_IOCTL_DEV is not denied, and so no rule may name it."""

    def narrow(bits: str) -> str:
        return f"{int(bits, 16) & ~(1 << 15):x}"

    def changed(name: str, value: str | bytes) -> str | bytes:
        if name == "handled":
            return narrow(str(value))
        if not name.startswith("rule_"):
            return value
        of_directories, of_files, path = str(value).split(":", 2)
        return f"{narrow(of_directories)}:{narrow(of_files)}:{path}"

    return [(name, changed(name, value)) for name, value in plan]


def test_tasks_are_confined_alike(bare: Bare) -> None:
    assert differences(bare) == []


@pytest.mark.parametrize("change, shown", [
    (without("filter"), "Seccomp: '0'"),
    (other("user", "80001"), "Uid: '80001"),
    (without("rule_ahead", ":/usr/lib"), "readdir\t/usr/lib"),
    (lambda plan: [*plan, ("rule_ahead", "c:c:/usr")], "readdir\t/usr"),
    (without("rule_by_names", "/local"), "rmdir\tlocal/exec2-alike"),
    (without("masked", "keys"), "mount /proc/empty /proc/keys"),
    (without("read_only"), "/alloc/logs"),
    (other("shm_size", "1048576"), "size=1024k"),
    (other("scoped", "0"), "abstract socket"),
    (without_ioctl, "ioctl\t/dev/zero"),
    (other("work_dir", "/tmp"), "cwd: '/tmp'"),
], ids=lambda case: case if isinstance(case, str) else "")
def test_a_difference_is_found(bare: Bare, change: Callable[[Plan], Plan], shown: str) -> None:
    found = differences(bare, change)
    assert any(shown in difference for difference in found), found
