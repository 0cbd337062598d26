"""Networks: the host's, and a namespace of the agent's."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Callable

import pytest

from agent import ExitResult, Task, messages
from agent.expect import refused

Make = Callable[..., Task]


def test_host_network(act: Make) -> None:
    task = act("links=", "exit=0")
    task.run()
    assert set(task.line("links").split()) == {name for _, name in socket.if_nameindex()}


def test_host_mode_spelled_out(act: Make) -> None:
    task = act("out=up", "pause=")
    task.request.task.network_isolation_spec.mode = messages.driver.NetworkIsolationSpec.HOST
    task.start().stdout.wait_for("up")
    assert os.readlink(f"/proc/{task.pid}/ns/net") == os.readlink("/proc/self/ns/net")
    task.stop()


@pytest.mark.parametrize("user", ["nomad-80000", "nobody", "root"])
def test_group_network(act: Make, namespace: Path, user: str) -> None:
    task = act("links=", "out=up", "pause=", network=str(namespace), user=user).start()
    task.stdout.wait_for("up")
    assert task.line("links") == "lo"
    assert os.stat(f"/proc/{task.pid}/ns/net").st_ino == namespace.stat().st_ino
    # The task sees the Executor as /proc/1, whose network must not be the host's.
    assert os.stat(f"/proc/{task.executor_pid}/ns/net").st_ino == namespace.stat().st_ino
    task.stop()


def test_two_tasks_share_a_namespace(act: Make, namespace: Path) -> None:
    tasks = [act("out=up", "pause=", network=str(namespace)).start() for _ in range(2)]
    for task in tasks:
        task.stdout.wait_for("up")
    assert len({os.stat(f"/proc/{task.pid}/ns/net").st_ino for task in tasks}) == 1
    for task in tasks:
        task.stop()


def test_namespace_is_free_after_the_task(act: Make, namespace: Path) -> None:
    """Nothing keeps the namespace open once the task has ended."""
    task = act("exit=0", network=str(namespace))
    assert task.run() == ExitResult(0)
    inode = namespace.stat().st_ino
    task.destroy()
    holders = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.stat(entry / "ns" / "net").st_ino == inode:
                    holders.append(entry.name)
            except OSError:
                pass
    assert holders == []


def test_hostsConfig_and_dns_do_not_stop_a_task(act: Make, namespace: Path) -> None:
    """What the agent sends with a bridge network is accepted."""
    task = act("exit=0", network=str(namespace))
    task.request.task.network_isolation_spec.labels["docker_sandbox_container_id"] = "x"
    task.request.task.network_isolation_spec.hostsConfig.hostname = "web-1"
    task.request.task.network_isolation_spec.hostsConfig.address = "172.26.64.2"
    task.request.task.dns.servers.append("172.26.64.1")
    assert task.run() == ExitResult(0)


@pytest.mark.parametrize("path", ["", "/run/netns/exec2-none", "/etc/passwd", "/etc", "run/netns/x"])
def test_impossible_namespace(act: Make, path: str) -> None:
    """An unusable path is an error and never the host's network."""
    task = act("out=ran", "exit=0", network="")
    task.request.task.network_isolation_spec.path = path
    with refused("network", path):
        task.start()
    assert task.stdout.text == ""


def test_namespace_of_another_kind(act: Make) -> None:
    task = act("out=ran", "exit=0", network="/proc/self/ns/uts")
    with refused("network", "/proc/self/ns/uts"):
        task.start()
    assert task.stdout.text == ""
