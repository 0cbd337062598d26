"""The users that tasks may run as, by whatever name a job gives."""

from __future__ import annotations

import pwd
from pathlib import Path
from typing import Any, Callable

import pytest

from agent import AgentHost, ExitResult, Plugin
from agent.expect import refused

Launch = Callable[..., Plugin]


def uid_of(host: AgentHost, plugin: Plugin, user: str) -> int:
    task = host.task(plugin, "/bin/sh", ["-c", "id -u"], user=user)
    assert task.run() == ExitResult(0), task.stderr.text
    return int(task.stdout.text)


@pytest.mark.parametrize("user", ["root", "0"])
def test_other_names_of_a_denied_user(host: AgentHost, launch: Launch, user: str) -> None:
    """Seen without the option: an agent whose user.denylist has root lets "0" pass, and the task's uid was 0."""
    assert uid_of(host, launch(), user) == 0
    plugin = launch({"denied_host_uids": "0-999,65534"})
    task = host.task(plugin, "/bin/true", user=user)
    with refused(f'"{user}"', "uid 0", "denied_host_uids", "0-999,65534"):
        task.start()


@pytest.mark.parametrize("user", ["00", "000", "065534"])
def test_zeros_before_a_uid(host: AgentHost, launch: Launch, user: str) -> None:
    """Seen without the check: "00" passed a list of names that has root and 0, and the task's uid was 0."""
    task = host.task(launch(), "/bin/true", user=user)
    with refused(f'"{user}"', "without zeros"):
        task.start()


@pytest.mark.parametrize("user", ["nomad-1000", "nomad-79999", "nomad-90000", "nomad-65534"])
def test_dynamic_users_outside_the_clients_range(host: AgentHost, launch: Launch, user: str) -> None:
    """Seen without the check: the task ran with the uid, which may belong to a user account."""
    task = host.task(launch(), "/bin/true", user=user)
    with refused(f'"{user}"', "nomad-80000 to nomad-89999", "dynamic_user_min", "dynamic_user_max"):
        task.start()


def test_the_operators_range_of_dynamic_users(host: AgentHost, launch: Launch) -> None:
    plugin = launch({"dynamic_user_min": 1000, "dynamic_user_max": 1001})
    assert uid_of(host, plugin, "nomad-1000") == 1000
    assert uid_of(host, plugin, "nomad-1001") == 1001
    with refused('"nomad-80000"', "nomad-1000 to nomad-1001"):
        host.task(plugin, "/bin/true", user="nomad-80000").start()


def test_denied_users_and_groups_by_name(host: AgentHost, launch: Launch) -> None:
    nobody = pwd.getpwnam("nobody")
    plugin = launch({"denied_host_uids": str(nobody.pw_uid)})
    with refused('"nobody"', f"uid {nobody.pw_uid}", "denied_host_uids"):
        host.task(plugin, "/bin/true", user="nobody").start()
    assert uid_of(host, plugin, "daemon") == pwd.getpwnam("daemon").pw_uid
    plugin = launch({"denied_host_gids": f"{nobody.pw_gid},80000"})
    with refused('"nobody"', f"group {nobody.pw_gid}", "denied_host_gids"):
        host.task(plugin, "/bin/true", user="nobody").start()
    with refused('"nomad-80000"', "group 80000", "denied_host_gids"):
        host.task(plugin, "/bin/true", user="nomad-80000").start()
    assert uid_of(host, plugin, "nomad-80001") == 80001


def test_denied_supplementary_group(host: AgentHost, launch: Launch, tmp_path: Path) -> None:
    """Seen without the option: the task ran, and had the group."""
    groups = tmp_path / "group"
    groups.write_text(Path("/etc/group").read_text() + "exec2-more:x:54321:daemon\n")
    groups.chmod(0o644)
    binds = [(groups, Path("/etc/group"))]
    task = host.task(launch(binds=binds), "/bin/sh", ["-c", "id -G"], user="daemon")
    assert task.run() == ExitResult(0), task.stderr.text
    assert "54321" in task.stdout.text.split()
    with refused('"daemon"', "group 54321", "denied_host_gids"):
        host.task(launch({"denied_host_gids": "54321"}, binds=binds), "/bin/true", user="daemon").start()


@pytest.mark.parametrize("option, value", [
    ("denied_host_uids", "root"), ("denied_host_uids", "0-"), ("denied_host_uids", "1000-0"), ("denied_host_uids", "0, 1"),
    ("denied_host_gids", "0,,1"), ("denied_host_gids", "4294967296"), ("dynamic_user_min", 999), ("dynamic_user_max", 1000)])
def test_wrong_value(launch: Launch, option: str, value: Any) -> None:
    plugin = launch(configure=False)
    with refused(option, str(value)):
        plugin.set_config({**plugin.config, option: value})
