"""Landlock 7 to 10: unix sockets by path, UDP ports, and denials in the audit log."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, landlock
from agent.audit import AuditLog, Denial
from agent.exec import output
from agent.expect import refused
from agent.volumes import add_volume
from test_exec_confinement import keyed
from test_fingerprint import value
from test_ports import older  # noqa: F401, a fixture

Launch = Callable[..., Plugin]
Make = Callable[..., Task]
users = pytest.mark.parametrize("user", ["nomad-80000", "nobody", "root"])
by_rule = pytest.mark.landlock(minimum=9)
needs_udp = pytest.mark.landlock(minimum=10)


# Unix sockets


@pytest.fixture
def sockets(places: Path) -> Iterator[tuple[Path, Path]]:
    """A stream and a datagram socket of the host that every user may connect to."""
    stream, datagrams = places / "stream.sock", places / "datagrams.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        server.bind(str(stream))
        server.listen(64)
        receiver.bind(str(datagrams))
        for path in (stream, datagrams):
            path.chmod(0o666)
        yield stream, datagrams


def outcomes(host: AgentHost, plugin: Plugin, sockets: tuple[Path, Path], **options: Any) -> list[str]:
    stream, datagrams = sockets
    task = host.task(plugin, host.program("confined"), [f"unix={stream}", f"unixgram={datagrams}"], **options)
    assert task.run() == ExitResult(0), task.stderr.text
    return [task.line(f"unix:{stream}"), task.line(f"unixgram:{datagrams}")]


@users
@by_rule
def test_sockets_need_a_rule(launch: Launch, host: AgentHost, sockets: tuple[Path, Path], user: str) -> None:
    """Without any rule they do not exist. Seen without the right, as test_sockets_on_an_older_kernel and
    test_sockets_left_open show: both could be connected to."""
    plugin = launch({"unveil_by_task": True})
    assert outcomes(host, plugin, sockets, user=user) == ["ENOENT"] * 2
    for modes, outcome in (("r", "EACCES"), ("rx", "EACCES"), ("rc", "EACCES"), ("w", "ok")):
        rules = [f"{modes}:{path}" for path in sockets]
        assert outcomes(host, plugin, sockets, user=user, config={"unveil": rules}) == [outcome] * 2, modes
    assert outcomes(host, plugin, sockets, user=user, config={"unveil": [f"rw:{sockets[0].parent}"]}) == ["ok"] * 2


@users
@by_rule
def test_sockets_left_open(launch: Launch, host: AgentHost, sockets: tuple[Path, Path], user: str) -> None:
    for is_open, outcome in ((True, "ok"), (False, "EACCES")):
        plugin = launch({"pathname_sockets": is_open, "unveil_by_task": True})
        assert outcomes(host, plugin, sockets, user=user) == ["ENOENT"] * 2
        rules = [f"r:{path}" for path in sockets]
        assert outcomes(host, plugin, sockets, user=user, config={"unveil": rules}) == [outcome] * 2


@users
@pytest.mark.landlock(maximum=8)
def test_sockets_on_an_older_kernel(launch: Launch, host: AgentHost, sockets: tuple[Path, Path], user: str) -> None:
    """Any rule shows a socket, and then its permissions decide."""
    plugin = launch({"unveil_by_task": True})
    assert outcomes(host, plugin, sockets, user=user) == ["ENOENT"] * 2
    for modes in ("r", "w"):
        rules = [f"{modes}:{path}" for path in sockets]
        assert outcomes(host, plugin, sockets, user=user, config={"unveil": rules}) == ["ok"] * 2
    for path in sockets:
        path.chmod(0o600)
    rules = [f"w:{sockets[0].parent}"]
    assert outcomes(host, plugin, sockets, user=user, config={"unveil": rules}) == ["ok" if user == "root" else "EACCES"] * 2


@users
@by_rule
def test_sockets_of_the_task(launch: Launch, host: AgentHost, user: str) -> None:
    """From the task itself, and from a command in it, which is in another Landlock domain."""
    plugin = launch()
    program = host.program("confined")
    task = host.task(plugin, program, [], user=user)
    path = task.directory / "local" / "own.sock"
    task.set_config({**task.config, "args": [f"serve={path}", f"unix={path}", "pause="]})
    task.start()
    task.stdout.wait_for("unix:")
    assert (task.line("serve"), task.line(f"unix:{path}")) == ("ok", "ok")
    assert keyed(output(task, program, f"unix={path}", "exit=0"))[f"unix:{path}"] == "ok"
    task.stop()


@users
@by_rule
def test_the_task_api_socket(launch: Launch, host: AgentHost, user: str) -> None:
    """The client serves it as secrets/api.sock, and templates and workload identity use it."""
    plugin = launch()
    task = host.task(plugin, host.program("confined"), [], user=user)
    path = task.directory / "secrets" / "api.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen(8)
        path.chmod(0o666)
        task.set_config({**task.config, "args": [f"unix={path}"]})
        assert task.run() == ExitResult(0)
        assert task.line(f"unix:{path}") == "ok"


@by_rule
def test_a_command_has_the_same_rules(launch: Launch, host: AgentHost, sockets: tuple[Path, Path]) -> None:
    """Seen without the right, under Landlock 7: the command connected."""
    program = host.program("confined")
    plugin = launch({"unveil_by_task": True})
    task = host.task(plugin, host.program("act"), ["pause="], unveil=[f"r:{sockets[0]}"]).start()
    said = keyed(output(task, program, f"unix={sockets[0]}", "exit=0"))
    assert said[f"unix:{sockets[0]}"] == "EACCES"
    task.stop()


@by_rule
def test_a_socket_in_a_volume(launch: Launch, host: AgentHost, sockets: tuple[Path, Path]) -> None:
    """For example /var/run/docker.sock, mounted into a task that uses it. Below the task's own directory, whose rule has w,
    a read-only volume does not prevent connections: see docs/security.md."""
    plugin = launch()
    for inside, read_only, outcome in ((False, False, "ok"), (False, True, "EACCES"), (True, True, "ok")):
        task = host.task(plugin, host.program("confined"), [])
        place = task.directory / "local" / "sockets" if inside else host.root / "elsewhere"
        task.set_config({**task.config, "args": [f"unix={place / 'stream.sock'}"]})
        add_volume(task, sockets[0].parent, place, readonly=read_only)
        assert task.run() == ExitResult(0), task.stderr.text
        assert task.line(f"unix:{place / 'stream.sock'}") == outcome


# UDP


@pytest.fixture
def receivers() -> Iterator[list[int]]:
    """Two UDP ports of 127.0.0.1 and ::1 with a receiver."""
    opened: list[socket.socket] = []
    ports = []
    for _ in range(2):
        four = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        four.bind(("127.0.0.1", 0))
        six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        six.bind(("::1", four.getsockname()[1]))
        opened += [four, six]
        ports.append(four.getsockname()[1])
    yield ports
    for receiver in opened:
        receiver.close()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@needs_udp
@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_udp_bind(host: AgentHost, make: Make, user: str) -> None:
    """Seen without the options, as this test shows first: every port could be bound."""
    one, other = free_port(), free_port()

    def bound(config: dict[str, Any]) -> list[str]:
        task = make(host.program("confined"), [f"udp={one}", f"udp={other}", "udp=0", f"bind={one}"], config=config, user=user)
        assert task.run() == ExitResult(0)
        return [task.line(key) for key in (f"udp{one}", f"udp{other}", "udp0", f"bind{one}")]

    assert bound({}) == ["ok"] * 4
    # Sending needs a rule for port 0, for the ephemeral port that the kernel chooses.
    assert bound({"udp_bind": [one]}) == ["ok", "EACCES", "ok", "ok"]
    assert bound({"udp_bind": [one], "udp_connect": []}) == ["ok", "EACCES", "EACCES", "ok"]
    assert bound({"udp_bind": []}) == ["EACCES", "EACCES", "ok", "ok"]
    assert bound({"udp_bind": [], "udp_connect": []}) == ["EACCES"] * 3 + ["ok"]
    assert bound({"udp_connect": []}) == ["ok"] * 4


@needs_udp
@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_udp_connect(host: AgentHost, make: Make, receivers: list[int], user: str) -> None:
    """Seen without the options, as this test shows first: every port was reached."""
    one, other = receivers

    def sent(config: dict[str, Any]) -> list[str]:
        verbs = [f"{verb}={port}" for port in receivers for verb in ("udpconnect", "udpto", "udp6to")]
        task = make(host.program("confined"), verbs, config=config, user=user)
        assert task.run() == ExitResult(0)
        return [task.line(verb.replace("=", "")) for verb in verbs]

    assert sent({}) == ["ok"] * 6
    assert sent({"udp_connect": [one]}) == ["ok"] * 3 + ["EACCES"] * 3
    assert sent({"udp_connect": [one], "udp_bind": []}) == ["ok"] * 3 + ["EACCES"] * 3
    assert sent({"udp_connect": []}) == ["EACCES"] * 6
    assert sent({"udp_bind": []}) == ["ok"] * 6


@needs_udp
def test_a_command_has_the_same_udp_rules(host: AgentHost, make: Make, receivers: list[int]) -> None:
    task = make(host.program("act"), ["pause="], config={"udp_connect": []}).start()
    said = keyed(output(task, host.program("confined"), f"udpto={receivers[0]}", "exit=0"))
    assert said[f"udpto{receivers[0]}"] == "EACCES"
    task.stop()


@needs_udp
@pytest.mark.parametrize("seccomp", [True, False])
def test_ways_around_udp_rules(launch: Launch, host: AgentHost, seccomp: bool) -> None:
    """Landlock does not govern UDP-Lite and RxRPC as UDP, and io_uring makes sockets past the filter. Seen without the
    options: a UDP-Lite socket was made, and without the filter io_uring_setup went on to check its arguments."""
    plugin = launch({"seccomp": seccomp})
    task = host.task(
        plugin, host.program("confined"), ["socket=2:2:136", "socket=33:2:2", "call=io_uring_setup"], config={"udp_connect": []}, user="root")
    assert task.run() == ExitResult(0)
    assert [task.line(key) for key in ("socket2:2:136", "socket33:2:2", "io_uring_setup")] == ["EPROTONOSUPPORT", "EAFNOSUPPORT", "ENOSYS"]


@pytest.mark.parametrize("option", ["udp_bind", "udp_connect"])
def test_a_kernel_without_rules_for_udp(launch: Launch, host: AgentHost, older: Path, option: str) -> None:  # noqa: F811
    plugin = launch(environment={"LD_PRELOAD": str(older), "OLDER_LANDLOCK": "9"} if landlock.abi() > 9 else None)
    task = host.task(plugin, host.program("act"), ["out=ran"], config={option: [53]})
    with refused(option, "version 10", f"version {min(landlock.abi(), 9)}", "Linux 7.2"):
        task.start()
    assert task.stdout.text == ""


# The audit log


@pytest.mark.controllers
@pytest.mark.landlock(minimum=10)
def test_denials_are_logged(launch: Launch, host: AgentHost, places: Path) -> None:
    """Denials of the program after execve are logged, except below quiet_paths; without the option none are."""
    loud, quiet, below = places / "loud", places / "quiet", places / "directory" / "file"
    below.parent.mkdir()
    for path in (loud, quiet, below):
        path.write_text("of the host")
        path.chmod(0o644)

    def denials(config: dict[str, Any]) -> list[Denial]:
        with AuditLog() as log:
            # Shown by rules that do not read.
            plugin = launch({"unveil_paths": [host.programs_rule, *(f"w:{path}" for path in (loud, quiet, below))], **config})
            task = host.task(plugin, host.program("access"), ["read", loud, "read", quiet, "read", below])
            assert task.run() == ExitResult(0)
            return log.denials()

    def paths(found: list[Denial]) -> set[str]:
        return {denial.path for denial in found if denial.blockers == ["fs.read_file"]}

    assert paths(denials({})) == set()
    assert paths(denials({"log_denials": True})) == {str(loud), str(quiet), str(below)}
    assert paths(denials({"log_denials": True, "quiet_paths": [str(quiet), str(below.parent), "/nowhere"]})) == {str(loud)}


def test_check_names_what_this_kernel_lacks(binary: Path) -> None:
    """The version, the errata, and each protection that this kernel lacks, with the first Linux that has it."""
    shown = subprocess.run([binary, "check"], capture_output=True, text=True, check=False).stdout.splitlines()
    assert any("Landlock " in line and f"version {landlock.abi()}, errata mended: " in line for line in shown)
    lacking = next(line for line in shown if "Landlock's protections" in line)
    for name, version, kernel in (
            ("unix sockets by rule", 9, "7.1"), ("UDP ports", 10, "7.2"), ("TCP ports", 4, "6.7"), ("abstract unix sockets", 6, "6.12")):
        assert (f"{name} (Linux {kernel})" in lacking) is (landlock.abi() < version)


def test_errata_are_an_attribute(launch: Launch) -> None:
    attributes = launch().fingerprint().attributes
    assert value(attributes["driver.exec2.landlock.errata"]) == landlock.errata()
