"""The task's own /etc/resolv.conf and /etc/hosts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

import pytest

from agent import AgentHost, Plugin, Task, mounts
from agent.expect import refused

Make = Callable[..., Task]
Launch = Callable[..., Plugin]
USERS = ["nomad-80000", "root"]
RESOLV, HOSTS = Path("/etc/resolv.conf"), Path("/etc/hosts")


def named(task: Task, *, servers: Any = (), searches: Any = (), options: Any = (), hostname: str = "", address: str = "") -> Task:
    dns = task.request.task.dns
    dns.servers.extend(servers)
    dns.searches.extend(searches)
    dns.options.extend(options)
    if hostname or address:
        task.request.task.network_isolation_spec.hostsConfig.hostname = hostname
        task.request.task.network_isolation_spec.hostsConfig.address = address
    return task


def content(task: Task) -> list[str]:
    assert task.run().exit_code == 0, task.stderr.text
    return [line for line in task.lines() if not line.startswith("#")]


@pytest.mark.parametrize("user", USERS)
def test_dns(make: Make, user: str) -> None:
    before = RESOLV.read_text()
    task = named(make("cat", [RESOLV], user=user), servers=["10.9.8.7", "fd00::53", "fe80::1%eth0"], searches=["a.example", "b.example"], options=["ndots:2", "edns0"])
    assert content(task) == ["nameserver 10.9.8.7", "nameserver fd00::53", "nameserver fe80::1%eth0", "search a.example b.example", "options ndots:2 edns0"]
    assert RESOLV.read_text() == before


def test_without_dns_it_is_the_hosts(make: Make) -> None:
    task = make("cat", [RESOLV, HOSTS])
    assert task.run().exit_code == 0
    assert task.stdout.text == RESOLV.read_text() + HOSTS.read_text()
    task = named(make("cat", [RESOLV]))
    assert task.request.task.HasField("dns")
    assert task.run().exit_code == 0
    assert task.stdout.text == RESOLV.read_text(), "an empty block changes nothing"


def test_what_the_block_leaves_out_is_the_hosts(host: AgentHost, launch: Launch, tmp_path: Path) -> None:
    own = tmp_path / "resolv.conf"
    own.write_text("# of the test\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch host.example\noptions rotate\n")
    plugin = launch(binds=[(own, RESOLV)])
    task = named(host.task(plugin, "cat", [RESOLV], bind_mounts=False), searches=["job.example"])
    assert content(task) == ["nameserver 192.0.2.1", "nameserver 192.0.2.2", "search job.example", "options rotate"]
    task = named(host.task(plugin, "cat", [RESOLV], bind_mounts=False), servers=["10.0.0.1"])
    assert content(task) == ["nameserver 10.0.0.1", "search host.example", "options rotate"]


@pytest.mark.parametrize("user", USERS)
def test_hosts(make: Make, user: str) -> None:
    before = HOSTS.read_text()
    task = named(make("cat", [HOSTS], user=user), hostname="web-1", address="172.26.64.2")
    lines = content(task)
    assert "172.26.64.2 web-1" in lines and "127.0.0.1 localhost" in lines and any(line.startswith("::1 localhost") for line in lines)
    assert HOSTS.read_text() == before


def test_the_name_resolves(make: Make) -> None:
    task = named(make("getent", ["hosts", "web-1.exec2.example"], unveil=["r:/etc/nsswitch.conf"]), hostname="web-1.exec2.example", address="172.26.64.2")
    assert task.run().exit_code == 0
    assert task.stdout.text.split() == ["172.26.64.2", "web-1.exec2.example"]


@pytest.mark.parametrize("user", USERS)
def test_the_files_cannot_be_changed(make: Make, host: AgentHost, user: str) -> None:
    """Neither by root, nor if the job unveils them for writing."""
    words = []
    for path in (RESOLV, HOSTS):
        words += ["write", path, "truncate", path, "unlink", path, "rename", path]
    task = make(host.program("access"), words, user=user, unveil=[f"rw:{RESOLV}", f"rw:{HOSTS}", "rwc:/etc"])
    named(task, servers=["10.9.8.7"], hostname="web-1", address="172.26.64.2")
    assert task.run().exit_code == 0
    found = [line.split("\t")[2] for line in task.lines()]
    assert set(found) <= {"EACCES", "EROFS", "EBUSY", "EPERM"}, found
    assert RESOLV.exists() and HOSTS.exists()


def test_owner_and_mode(make: Make, host: AgentHost, launch: Launch) -> None:
    task = named(make("stat", ["-c", "%u %g %a", RESOLV, HOSTS]), servers=["10.9.8.7"], hostname="web-1", address="172.26.64.2")
    assert task.run().exit_code == 0
    assert task.lines() == ["0 0 644"] * 2


def test_without_defaults_they_are_closed(host: AgentHost, launch: Launch) -> None:
    plugin = launch({"unveil_defaults": False, "unveil_by_task": True})
    words: list[str | Path] = ["read", RESOLV, "read", HOSTS]
    task = named(host.task(plugin, host.program("access"), words), servers=["10.9.8.7"], hostname="web-1", address="172.26.64.2")
    task.run()
    assert [line.split("\t")[2] for line in task.lines()] == ["EACCES", "EACCES"], "they are there"
    task = named(host.task(plugin, host.program("access"), words, unveil=[f"r:{RESOLV}"]), servers=["10.9.8.7"], hostname="web-1", address="172.26.64.2")
    task.run()
    assert [line.split("\t")[2] for line in task.lines()] == ["ok", "EACCES"]


def test_nothing_but_the_files_is_mounted(make: Make, host: AgentHost) -> None:
    """The temporary memory file systems are not left: neither at /proc, where they were mounted briefly, nor on the host."""
    task = named(make(host.program("act"), ["out=up", "pause="]), servers=["10.9.8.7"], hostname="web-1", address="172.26.64.2").start()
    task.stdout.wait_for("up")
    plain = make(host.program("act"), ["out=up", "pause="]).start()
    plain.stdout.wait_for("up")
    without, with_files = (sorted(mounts.below(Path("/etc"), pid) + mounts.below(Path("/proc"), pid)) for pid in (plain.pid, task.pid))
    assert sorted({point for point in with_files if with_files.count(point) > without.count(point)}) == [str(HOSTS), str(RESOLV)]
    assert len(with_files) == len(without) + 2
    task.stop()
    plain.stop()


def replaced(host: AgentHost, launch: Launch, etc: Path) -> Plugin:
    """A plugin with another /etc."""
    for name in ("passwd", "group", "nsswitch.conf", "ld.so.cache"):
        (etc / name).write_bytes((Path("/etc") / name).read_bytes())
    return launch(binds=[(etc, Path("/etc"))])


def test_through_a_symlink(host: AgentHost, launch: Launch, tmp_path: Path) -> None:
    """As with systemd-resolved: the symlink's target is covered, and the default rule is for the target."""
    etc, run = tmp_path / "etc", tmp_path / "run"
    etc.mkdir()
    run.mkdir()
    (run / "stub-resolv.conf").write_text("nameserver 127.0.0.53\n")
    (etc / "resolv.conf").symlink_to(os.path.relpath(run / "stub-resolv.conf", "/etc"))
    (etc / "hosts").write_text("127.0.0.1 localhost\n")
    plugin = replaced(host, launch, etc)
    task = named(host.task(plugin, "cat", [RESOLV], user="root", bind_mounts=False), servers=["10.9.8.7"])
    assert content(task) == ["nameserver 10.9.8.7"]
    assert (run / "stub-resolv.conf").read_text() == "nameserver 127.0.0.53\n"


@pytest.mark.parametrize("dangling", [False, True])
def test_a_host_without_the_file(host: AgentHost, launch: Launch, tmp_path: Path, dangling: bool) -> None:
    etc = tmp_path / "etc"
    etc.mkdir()
    if dangling:
        (etc / "resolv.conf").symlink_to("/run/exec2-nothing/resolv.conf")
    plugin = replaced(host, launch, etc)
    task = named(host.task(plugin, "cat", [RESOLV], user="root", bind_mounts=False), servers=["10.9.8.7"])
    assert content(task) == ["nameserver 10.9.8.7"]
    assert not (etc / "resolv.conf").exists()


@pytest.mark.parametrize("values, reason", [
    ({"servers": ["dns.example"]}, '"dns.example": must be an IP address'), ({"servers": ["10.0.0.1\nnameserver 6.6.6.6"]}, "must be an IP address"),
    ({"servers": [""]}, "must be an IP address"), ({"servers": ["10.0.0.1%eth0"]}, "must be an IP address"),
    ({"searches": ["a b"]}, 'search domain "a b"'), ({"searches": [""]}, "search domain"), ({"options": ["ndots:1\nnameserver 6.6.6.6"]}, "option"),
    ({"hostname": "web-1", "address": "example"}, 'address "example"'), ({"hostname": "web 1", "address": "10.0.0.1"}, 'hostname "web 1"'),
    ({"hostname": "a\n6.6.6.6 bank", "address": "10.0.0.1"}, "hostname"),
])
def test_wrong_values(make: Make, host: AgentHost, values: dict[str, Any], reason: str) -> None:
    task = named(make(host.program("act"), ["out=ran"]), **values)
    with refused(reason):
        task.start()
    assert task.stdout.text == ""
