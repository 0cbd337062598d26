"""Launch, handshake and go-plugin's own services."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import Callable

import grpc
import pytest

from agent import AgentHost, HandshakeError, Plugin, messages, processes
from agent.expect import Code
from agent.plugin import agent_environment
from agent.timing import scaled, wait_until

Check = messages.health.HealthCheckRequest


def test_handshake_line(plugin: Plugin) -> None:
    fields = plugin.handshake.split("|")
    assert fields[:3] == ["1", "2", "unix"]
    assert fields[4:] == ["grpc", ""]
    assert stat.S_ISSOCK(os.stat(fields[3]).st_mode)


def test_socket_is_roots_alone(plugin: Plugin) -> None:
    path = Path(plugin.address)
    closed_to_others = not path.stat().st_mode & 0o022 or not path.parent.stat().st_mode & 0o011
    assert path.stat().st_uid == 0 and closed_to_others


def test_socket_directory_is_the_agents_choice(launch: Callable[..., Plugin], tmp_path: Path) -> None:
    plugin = launch(environment={"PLUGIN_UNIX_SOCKET_DIR": str(tmp_path)})
    assert tmp_path in Path(plugin.address).parents


def test_default_socket_directory_is_roots_alone(launch: Callable[..., Plugin], tmp_path: Path) -> None:
    """Whatever TMPDIR is. A group is of no use, since only root's clients are served."""
    plugin = launch(environment={"TMPDIR": str(tmp_path), "PLUGIN_UNIX_SOCKET_GROUP": "nogroup"})
    address = Path(plugin.address)
    assert address.parents[1] == Path("/run/nomad-driver-exec2/.sockets")
    assert len(os.fsencode(address)) <= 107
    for path, mode in ((address, 0o600), *((above, 0o700) for above in address.parents[:3])):
        facts = path.stat()
        assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (0, 0, mode), path
    assert list(tmp_path.iterdir()) == []
    plugin.ping()


def test_run_that_cannot_be_written_to(host: AgentHost, launch: Callable[..., Plugin], tmp_path: Path) -> None:
    place = host.root / "read-only"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=755", "tmpfs", str(place)], check=True)
    try:
        with pytest.raises(HandshakeError) as refusal:
            host.launch(binds=[(place, Path("/run"))])
        host.plugins = [plugin for plugin in host.plugins if plugin.channel is not None]
        assert (
            "cannot make the directory of plugins' sockets /run/nomad-driver-exec2: Read-only file system; point "
            "PLUGIN_UNIX_SOCKET_DIR to another directory") in str(refusal.value)
        # The remedy.
        launch(binds=[(place, Path("/run"))], environment={"PLUGIN_UNIX_SOCKET_DIR": str(tmp_path)}).ping()
    finally:
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


@pytest.mark.parametrize("variable", [None, "TMPDIR", "PLUGIN_UNIX_SOCKET_DIR"])
def test_agent_that_is_not_roots_can_start(host: AgentHost, binary: Path, tmp_path: Path, variable: str | None) -> None:
    """A server's agent with the same configuration, say: it loads the plugin, whose driver is undetected there. Seen with a
    driver that needs /run: it could not make its socket."""
    program = host.root / "plugin-of-nobody"
    shutil.copy(binary, program)
    place = host.root / "nobodys"
    place.mkdir()
    os.chown(place, 65534, 65534)
    environment = {**agent_environment(), **({variable: str(place)} if variable else {})}
    process = subprocess.Popen(
        [program], env=environment, user="nobody", group="nogroup", extra_groups=[], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = Path(process.stdout.readline().split("|")[3])
        assert address.parents[1] == (place if variable else Path("/tmp"))
        process.terminate()
        assert process.wait(scaled(10)) == 0
        assert not address.parent.exists()
    finally:
        process.kill()
        process.communicate()
        program.unlink()
        place.rmdir()


def test_multiplexing_is_declined(launch: Callable[..., Plugin]) -> None:
    plugin = launch(environment={"PLUGIN_MULTIPLEX_GRPC": "true"})
    assert plugin.handshake.split("|")[4] == "grpc"
    assert plugin.handshake.split("|")[6:] in ([], ["false"])


@pytest.mark.parametrize("cookie", ["", "e4327c2e"])
def test_without_the_cookie_the_help_is_printed(launch: Callable[..., Plugin], cookie: str) -> None:
    plugin = launch(environment={"NOMAD_PLUGIN_MAGIC_COOKIE": cookie}, configure=False, shake_hands=False)
    assert plugin.wait_exit() is not None
    plugin.wait_stderr_end()
    text = plugin._subreaper.stdout.read().decode() + "".join(plugin.violations)
    plugin.violations.clear()
    assert "1|2|" not in text
    assert "nomad" in text.lower()


def test_unknown_protocol_versions_are_refused(host: AgentHost) -> None:
    with pytest.raises(HandshakeError) as refusal:
        host.launch(environment={"PLUGIN_PROTOCOL_VERSIONS": "3,4"})
    assert "3" in str(refusal.value)


def test_our_version_among_others(launch: Callable[..., Plugin]) -> None:
    assert launch(environment={"PLUGIN_PROTOCOL_VERSIONS": "1,2,3"}).handshake.startswith("1|2|")


def test_mutual_tls_is_refused_clearly(host: AgentHost) -> None:
    with pytest.raises(HandshakeError) as refusal:
        host.launch(environment={"PLUGIN_CLIENT_CERT": "-----BEGIN CERTIFICATE-----"})
    assert "PLUGIN_CLIENT_CERT" in str(refusal.value)


def test_started_and_killed_again_and_again(host: AgentHost) -> None:
    for _ in range(5):
        plugin = host.launch(configure=False)
        plugin.base.PluginInfo(messages.base.PluginInfoRequest(), timeout=scaled(10))
        plugin.base.ConfigSchema(messages.base.ConfigSchemaRequest(), timeout=scaled(10))
        plugin.end()
        host.plugins.remove(plugin)
        assert plugin.wait_exit() == 0
        assert plugin.violations == []
        assert not Path(plugin.address).exists()


def test_idle_plugin_is_silent(launch: Callable[..., Plugin]) -> None:
    plugin = launch(configure=False)
    time.sleep(scaled(0.2))
    assert [entry for entry in plugin.log if entry["@level"] in ("warn", "error")] == []


def test_health_of_the_plugin(plugin: Plugin) -> None:
    plugin.ping()
    assert plugin.health.Check(Check(service=""), timeout=scaled(10)).status == messages.health.HealthCheckResponse.SERVING


def test_health_of_an_unknown_service(plugin: Plugin) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        plugin.health.Check(Check(service="nobody"), timeout=scaled(10))
    assert refusal.value.code() == Code.NOT_FOUND


def test_broker_stream_stays_open(plugin: Plugin) -> None:
    """The client keeps both directions open until the plugin ends."""

    def nothing():
        while not finished:
            time.sleep(0.01)
        yield from ()

    finished: list[bool] = []
    stream = plugin.broker.StartStream(nothing(), timeout=scaled(30))
    time.sleep(scaled(0.3))
    assert stream.is_active()
    plugin.ping()
    finished.append(True)
    stream.cancel()


def test_stdio_stream_stays_open_or_is_unimplemented(plugin: Plugin) -> None:
    from google.protobuf.empty_pb2 import Empty

    stream = plugin.stdio.StreamStdio(Empty(), timeout=scaled(30))
    time.sleep(scaled(0.3))
    assert stream.is_active() or stream.code() == Code.UNIMPLEMENTED
    stream.cancel()


def test_shutdown_ends_with_code_0(launch: Callable[..., Plugin]) -> None:
    plugin = launch()
    plugin.controller.Shutdown(messages.goplugin.Empty(), timeout=scaled(5))
    assert plugin.wait_exit(2) == 0
    plugin.wait_stderr_end()
    assert not Path(plugin.address).exists()


def test_shutdown_with_open_calls(launch: Callable[..., Plugin], host: AgentHost) -> None:
    """Open streams and WaitTask calls do not delay the end."""
    plugin = launch()
    fingerprints = plugin.driver.Fingerprint(messages.driver.FingerprintRequest(), timeout=scaled(60))
    next(iter(fingerprints))
    task = host.task(plugin, host.program("act"), ["pause="]).start()
    waiting = task.wait_soon()
    plugin.controller.Shutdown(messages.goplugin.Empty(), timeout=scaled(5))
    assert plugin.wait_exit(2) == 0
    assert isinstance(waiting.exception(scaled(5)), grpc.RpcError)


def test_shutdown_leaves_tasks_alive(launch: Callable[..., Plugin], host: AgentHost) -> None:
    plugin = launch()
    task = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    task.stdout.wait_for("up")
    pid, executor = task.pid, task.executor_pid
    plugin.controller.Shutdown(messages.goplugin.Empty(), timeout=scaled(5))
    assert plugin.wait_exit(2) == 0
    plugin.wait_stderr_end()
    time.sleep(scaled(0.2))
    assert processes.is_alive(pid) and processes.is_alive(executor)
    # DestroyTask with force, which the agent uses last, ends the Executor too.
    (task.scope / "cgroup.kill").write_text("1")
    wait_until(lambda: not processes.is_alive(executor), 5, "Executor ended after its task")


def test_standby_ends_with_the_plugin(launch: Callable[..., Plugin], host: AgentHost) -> None:
    plugin = launch()
    host.task(plugin, host.program("act"), ["exit=0"]).run()
    host.clean_tasks()
    plugin.controller.Shutdown(messages.goplugin.Empty(), timeout=scaled(5))
    assert plugin.wait_exit(2) == 0
    wait_until(lambda: not plugin.executors(), 5, "no process left below the plugin")


def test_standby_ends_with_a_killed_plugin(launch: Callable[..., Plugin], host: AgentHost) -> None:
    plugin = launch()
    host.task(plugin, host.program("act"), ["exit=0"]).run()
    host.clean_tasks()
    plugin.kill()
    wait_until(lambda: not plugin.executors(), 5, "no process left below the plugin")


def test_sigint_is_ignored(launch: Callable[..., Plugin]) -> None:
    import signal

    plugin = launch()
    os.kill(plugin.pid, signal.SIGINT)
    time.sleep(scaled(0.1))
    plugin.ping()
