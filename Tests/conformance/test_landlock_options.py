"""landlock_min_abi and abstract_sockets."""

from __future__ import annotations

import socket
import uuid
from pathlib import Path
from typing import Any, Callable

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, hcl, landlock, messages
from agent.expect import refused
from test_ports import older  # noqa: F401, a fixture

Launch = Callable[..., Plugin]
needs_scopes = pytest.mark.landlock(minimum=6)


@pytest.fixture
def listener() -> Any:
    """The name of an abstract unix socket of the host."""
    name = f"exec2-{uuid.uuid4().hex[:8]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind("\0" + name)
        server.listen()
        yield name


@needs_scopes
@pytest.mark.parametrize("user", ["nomad-80000", "root"])
@pytest.mark.parametrize("config, outcome", [({}, "EPERM"), ({"abstract_sockets": False}, "EPERM"), ({"abstract_sockets": True}, "ok")])
def test_abstract_sockets(launch: Launch, host: AgentHost, listener: str, config: dict[str, Any], outcome: str, user: str) -> None:
    task = host.task(launch(config), host.program("act"), [f"socket={listener}"], user=user)
    assert task.run() == ExitResult(0)
    assert task.line("socket") == outcome


def fingerprint(plugin: Plugin) -> Any:
    return plugin.fingerprint()


def test_enough(launch: Launch, host: AgentHost) -> None:
    plugin = launch({"landlock_min_abi": min(10, landlock.abi())})
    assert "landlock_min_abi" not in fingerprint(plugin).health_description
    assert host.task(plugin, host.program("act"), ["exit=5"]).run() == ExitResult(5)


def test_too_little(launch: Launch, host: AgentHost, older: Path) -> None:  # noqa: F811
    """The driver is undetected and starts no task; both texts name the present and the required version."""
    plugin = launch({"landlock_min_abi": 6}, environment={"LD_PRELOAD": str(older), "OLDER_LANDLOCK": "2"})
    answer = fingerprint(plugin)
    assert answer.health == messages.driver.FingerprintResponse.UNDETECTED
    for words in ("version 2", "landlock_min_abi is 6", "Linux 6.12"):
        assert words in answer.health_description
    task = host.task(plugin, host.program("act"), ["out=ran"])
    with refused("version 2", "landlock_min_abi is 6", "Linux 6.12"):
        task.start()
    assert task.stdout.text == ""


@pytest.mark.landlock(maximum=9)
def test_too_little_on_this_kernel(launch: Launch, host: AgentHost) -> None:
    plugin = launch({"landlock_min_abi": 10})
    with refused(f"version {landlock.abi()}", "landlock_min_abi is 10", "Linux 7.2"):
        host.task(plugin, host.program("act"), ["out=ran"]).start()


@pytest.mark.landlock(maximum=6)
def test_denial_events_need_a_newer_kernel(launch: Launch, host: AgentHost) -> None:
    """The driver says so, and starts tasks all the same."""
    plugin = launch({"denial_events": True})
    answer = fingerprint(plugin)
    assert answer.health != messages.driver.FingerprintResponse.HEALTHY
    assert ("the plugin option denial_events has no effect: the kernel logs no denials: its Landlock has version "
            f"{landlock.abi()}, and version 7 (Linux 6.15) does: use a newer kernel, or leave the option out") in answer.health_description
    assert host.task(plugin, host.program("act"), ["exit=3"]).run() == ExitResult(3)


def test_a_version_that_this_driver_does_not_know(launch: Launch, host: AgentHost) -> None:
    """Seen before: the driver was undetected, and blamed the kernel in words of its own."""
    plugin = launch({"landlock_min_abi": 11})
    answer = fingerprint(plugin)
    assert answer.health == messages.driver.FingerprintResponse.UNHEALTHY
    with pytest.raises(grpc.RpcError) as failure:
        host.task(plugin, host.program("act"), ["out=ran"]).start()
    assert 'option "landlock_min_abi" is 11: must be a whole number from 1 to 10' in failure.value.details()
    assert failure.value.details() in answer.health_description
    assert "this kernel has version" not in answer.health_description


@pytest.mark.parametrize("option, value, shown", [
    ("landlock_min_abi", 0, "0"), ("landlock_min_abi", -1, "-1"), ("landlock_min_abi", "6", "6"), ("landlock_min_abi", 1.5, "1.5"),
    ("pathname_sockets", "yes", "yes"), ("log_denials", 1, "1"), ("denial_events", 1, "1"), ("quiet_paths", ["etc"], "etc"), ("quiet_paths", [""], "item 1"),
    ("abstract_sockets", "yes", "yes"), ("abstract_sockets", 1, "1"), ("memory_swap", "no", "no"), ("memory_swap", [True], "true")])
def test_wrong_value(launch: Launch, option: str, value: Any, shown: str) -> None:
    plugin = launch(configure=False)
    with refused(option, shown):
        plugin.set_config(hcl.unchecked({**plugin.config, option: value}))
