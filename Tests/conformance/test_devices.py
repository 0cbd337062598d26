"""Devices that a device plugin hands to a task."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from agent import AgentHost, Plugin, Task
from agent.expect import refused
from agent.volumes import add_device, add_volume, make_node

Make = Callable[..., Task]
Launch = Callable[..., Plugin]
USERS = ["nomad-80000", "root"]
# A major and minor number that every kernel has: /dev/zero, which can be read and written.
ZERO = (1, 5)


@pytest.fixture
def device(places: Path) -> Path:
    return make_node(places / "zero", *ZERO)


def outcomes(task: Task) -> list[str]:
    assert task.run().exit_code == 0, task.stderr.text
    return [line.split("\t")[2] for line in task.lines()]


def probing(host: AgentHost, make: Make, path: Path | str, **options: object) -> Task:
    return make(host.program("access"), ["read", path, "write", path], **options)


@pytest.mark.parametrize("user", USERS)
def test_a_device_in_its_own_place(host: AgentHost, make: Make, device: Path, user: str) -> None:
    assert outcomes(probing(host, make, device, user=user)) == ["ENOENT", "ENOENT"]
    assert outcomes(add_device(probing(host, make, device, user=user), device)) == ["ok", "ok"]


@pytest.mark.parametrize("permissions, found", [
    ("rwm", ["ok", "ok"]), ("", ["ok", "ok"]), ("r", ["ok", "EACCES"]), ("rm", ["ok", "EACCES"]), ("w", ["EACCES", "ok"])])
def test_permissions(host: AgentHost, make: Make, device: Path, permissions: str, found: list[str]) -> None:
    assert outcomes(add_device(probing(host, make, device), device, permissions=permissions)) == found


def test_file_modes_still_count(host: AgentHost, make: Make, device: Path) -> None:
    device.chmod(0o600)
    assert outcomes(add_device(probing(host, make, device), device)) == ["EACCES", "EACCES"]
    assert outcomes(add_device(probing(host, make, device, user="root"), device)) == ["ok", "ok"]


@pytest.mark.parametrize("user", USERS)
def test_a_device_in_another_place(host: AgentHost, make: Make, places: Path, device: Path, user: str) -> None:
    """It is made in the task's own root, and nowhere else."""
    for other in (places / "other", Path("/dev/exec2-none"), Path("/dev/exec2/none"), Path("/srv/none")):
        assert outcomes(add_device(probing(host, make, other, user=user), device, other)) == ["ok", "ok"]
        assert not other.exists()


def test_a_device_in_the_place_of_another(host: AgentHost, make: Make, places: Path, device: Path) -> None:
    """For example the host's second card as the task's first: reading /dev/full gives zeros, writing to it ENOSPC."""
    null = make_node(places / "null", 1, 3)
    task = make("sh", ["-c", f"head -c 3 {null} | wc -c"])
    assert add_device(task, device, null).run().exit_code == 0
    assert task.lines() == ["3"]


def test_a_device_in_the_task_directory(host: AgentHost, make: Make, device: Path) -> None:
    assert outcomes(add_device(probing(host, make, "local/zero"), device, "local/zero")) == ["ok", "ok"]


def test_a_device_in_a_volume(host: AgentHost, make: Make, places: Path, device: Path) -> None:
    (places / "source").mkdir()
    (places / "source").chmod(0o777)
    task = probing(host, make, "local/data/zero")
    assert outcomes(add_volume(add_device(task, device, "local/data/zero"), places / "source", "local/data")) == ["ok", "ok"]


def test_without_defaults(host: AgentHost, launch: Launch, device: Path) -> None:
    plugin = launch({"unveil_defaults": False})
    task = host.task(plugin, host.program("access"), ["read", device, "read", "/dev/zero"])
    # The rule is for the file that the plugin named, not for the device's numbers.
    assert outcomes(add_device(task, device)) == ["ok", "ENOENT"]


def test_the_same_device_twice(host: AgentHost, make: Make, device: Path) -> None:
    """Device plugins list what several devices share once for each."""
    assert outcomes(add_device(add_device(probing(host, make, device), device), device)) == ["ok", "ok"]


def test_a_task_makes_no_device_nodes(host: AgentHost, make: Make, device: Path) -> None:
    task = make(host.program("access"), ["char", "local/node"], user="root")
    assert outcomes(add_device(task, device, permissions="rwm"))[0] in ("EACCES", "EPERM")


@pytest.mark.parametrize("source, destination, permissions, reason", [
    ("/etc/hosts", "", "rw", "not a device node"), ("/etc", "", "rw", "not a device node"),
    ("/dev/exec2-none", "", "rw", "/dev/exec2-none: No such file"), ("dev/null", "", "rw", "absolute path of this host"),
    ("", "/dev/null", "rw", "absolute path of this host"),
    ("/dev/null", "", "rwx", '"rwx": must be any of r, w and m'), ("/dev/null", "", "m", "neither reading nor writing"),
    ("/dev/null", "/proc/self", "rw", "the kernel's"),
    ("/dev/null", "/srv", "rw", "a file can only be mounted on a file"), ("/dev/null", "/", "rw", "hide the whole host"),
])
def test_wrong_devices(host: AgentHost, make: Make, source: str, destination: str, permissions: str, reason: str) -> None:
    task = add_device(make(host.program("act"), ["out=ran"]), source, destination, permissions)
    with refused(reason):
        task.start()
    assert task.stdout.text == ""
