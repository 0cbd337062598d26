"""tcp_bind and tcp_connect: which ports of TCP a task may use."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, hcl, landlock
from agent.expect import refused
from agent.messages import BUILD

Make = Callable[..., Task]
Launch = Callable[..., Plugin]

SOURCE = Path(__file__).parents[1] / "programs" / "older_landlock.c"
needs_ports = pytest.mark.landlock(minimum=4)


@pytest.fixture
def confined(host: AgentHost, make: Make) -> Make:
    def task(*verbs: str, **options: Any) -> Task:
        task = make(host.program("confined"), verbs, **options)
        assert task.run() == ExitResult(0), task.stderr.text
        return task

    return task


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


@pytest.fixture
def servers() -> Iterator[list[int]]:
    """Two ports of 127.0.0.1 and ::1 where somebody listens."""
    ports = free_ports(2)
    listening = []
    for port in ports:
        listening.append(socket.create_server(("127.0.0.1", port)))
        listening.append(socket.create_server(("::1", port), family=socket.AF_INET6))
    yield ports
    for server in listening:
        server.close()


@needs_ports
@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_bind(confined: Make, user: str) -> None:
    one, other = free_ports(2)
    verbs = [f"bind={one}", f"bind6={one}", f"bind={other}", f"bind6={other}", "bind=0", f"udp={other}"]
    keys = [f"bind{one}", f"bind6-{one}", f"bind{other}", f"bind6-{other}", "bind0", f"udp{other}"]

    def outcomes(config: dict[str, Any]) -> list[str]:
        task = confined(*verbs, config=config, user=user)
        return [task.line(key) for key in keys]

    assert outcomes({}) == ["ok"] * 6
    assert outcomes({"tcp_bind": None}) == ["ok"] * 6
    assert outcomes({"tcp_bind": [one, one]}) == ["ok", "ok", "EACCES", "EACCES", "EACCES", "ok"]
    assert outcomes({"tcp_bind": [0, float(other)]}) == ["EACCES", "EACCES", "ok", "ok", "ok", "ok"]
    assert outcomes({"tcp_bind": []}) == ["EACCES"] * 5 + ["ok"]


@needs_ports
@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_connect(confined: Make, servers: list[int], user: str) -> None:
    one, other = servers
    verbs = [f"connect={one}", f"connect6={one}", f"connect={other}", f"connect6={other}"]
    keys = [f"connect{one}", f"connect6-{one}", f"connect{other}", f"connect6-{other}"]

    def outcomes(config: dict[str, Any]) -> list[str]:
        task = confined(*verbs, config=config, user=user)
        return [task.line(key) for key in keys]

    assert outcomes({}) == ["ok"] * 4
    assert outcomes({"tcp_connect": [one]}) == ["ok", "ok", "EACCES", "EACCES"]
    assert outcomes({"tcp_connect": []}) == ["EACCES"] * 4


@needs_ports
def test_one_does_not_restrict_the_other(confined: Make, servers: list[int]) -> None:
    own, = free_ports(1)
    task = confined(f"bind={own}", f"connect={servers[0]}", config={"tcp_bind": []})
    assert (task.line(f"bind{own}"), task.line(f"connect{servers[0]}")) == ("EACCES", "ok")
    task = confined(f"bind={own}", f"connect={servers[0]}", config={"tcp_connect": []})
    assert (task.line(f"bind{own}"), task.line(f"connect{servers[0]}")) == ("ok", "EACCES")


@needs_ports
@pytest.mark.parametrize("seccomp", [True, False])
def test_ways_around_are_closed(launch: Launch, host: AgentHost, servers: list[int], seccomp: bool) -> None:
    """What speaks TCP and is none to Landlock. Without the option each of these leads to the server, or is not there on this kernel."""
    plugin = launch({"seccomp": seccomp})
    port = servers[0]
    verbs = [f"mptcp={port}", f"fastopen={port}", "family=43", "family=21", "call=io_uring_setup"]

    def outcomes(config: dict[str, Any]) -> list[str]:
        task = host.task(plugin, host.program("confined"), verbs, config=config, user="root")
        assert task.run() == ExitResult(0)
        return [task.line(key) for key in (f"mptcp{port}", f"fastopen{port}", "family43", "family21", "io_uring_setup")]

    free = outcomes({})
    assert free[0] in ("ok", "EPROTONOSUPPORT", "ENOPROTOOPT") and free[1] == "ok"
    assert (free[4] == "ENOSYS") is seccomp or not Path("/proc/sys/kernel/io_uring_disabled").exists()
    assert outcomes({"tcp_connect": []}) == ["EPROTONOSUPPORT", "EOPNOTSUPP", "EAFNOSUPPORT", "EAFNOSUPPORT", "ENOSYS"]
    assert outcomes({"tcp_connect": [port]})[1] == "EOPNOTSUPP"
    bound = outcomes({"tcp_bind": []})
    assert bound[0] == "EPROTONOSUPPORT" and bound[1] == "ok"


@needs_ports
def test_io_uring_and_port_rules(launch: Launch, host: AgentHost) -> None:
    plugin = launch({"allow_syscalls": ["io_uring"]})
    with refused("syscalls", "io_uring", "tcp_bind"):
        host.task(plugin, host.program("confined"), [], config={"syscalls": ["io_uring"], "tcp_bind": [80]}).start()


@pytest.mark.parametrize("option", ["tcp_bind", "tcp_connect"])
@pytest.mark.parametrize("value, shown", [
    (80, "80"), ([65536], "65536"), ([-1], "-1"), (["http"], "http"), ([1, 2.5], "2.5"), ([None], "port"), ({"a": 1}, "a"), ([[80]], "80"),
    ([True], "true")], ids=repr)
def test_wrong_value(host: AgentHost, make: Make, option: str, value: Any, shown: str) -> None:
    task = make(host.program("confined"), ["out=ran"])
    task.set_config(hcl.unchecked({**task.config, option: value}))
    with refused(option, shown):
        task.start()
    assert task.stdout.text == ""


# An older kernel, of which the driver is told by a library before libc


@pytest.fixture(scope="module")
def older() -> Path:
    """Makes landlock_create_ruleset tell version $OLDER_LANDLOCK of the interface."""
    library = BUILD / "programs" / "older_landlock.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    fresh = library.with_suffix(f".{os.getpid()}")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(fresh), str(SOURCE)], check=True)
    fresh.rename(library)
    return library


@pytest.mark.parametrize("option", ["tcp_bind", "tcp_connect"])
def test_a_kernel_without_rules_for_ports(launch: Launch, host: AgentHost, older: Path, option: str) -> None:
    plugin = launch(environment={"LD_PRELOAD": str(older), "OLDER_LANDLOCK": "3"})
    for ports in ([], [80]):
        task = host.task(plugin, host.program("confined"), ["out=ran"], config={option: ports})
        with refused(option, "version 4", "version 3", "Linux 6.7"):
            task.start()
        assert task.stdout.text == ""
    assert host.task(plugin, host.program("act"), ["exit=5"]).run() == ExitResult(5)


@pytest.mark.landlock(maximum=3)
@pytest.mark.parametrize("option", ["tcp_bind", "tcp_connect"])
def test_this_kernel_without_rules_for_ports(host: AgentHost, make: Make, option: str) -> None:
    with refused(option, "version 4", f"version {landlock.abi()}"):
        make(host.program("confined"), ["out=ran"], config={option: [80]}).start()
