"""One launched plugin process: handshake, log, and its gRPC services."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Sequence

import grpc

from agent import hcl, hclog, messages, processes
from agent.programs import built
from agent.timing import scaled, wait_until

COOKIE = ("NOMAD_PLUGIN_MAGIC_COOKIE", "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255")
CALL_SECONDS = 30.0



class HandshakeError(AssertionError):
    """The plugin did not give the handshake line."""


def agent_environment() -> dict[str, str]:
    """What the agent adds to the environment of every plugin."""
    return {COOKIE[0]: COOKIE[1], "PLUGIN_PROTOCOL_VERSIONS": "2", "PLUGIN_MIN_PORT": "10000", "PLUGIN_MAX_PORT": "14000"}


def default_binary() -> Path:
    """The plugin under test."""
    path = Path(os.environ.get("EXEC2_PLUGIN", messages.REPOSITORY / ".build" / "release" / "nomad-driver-exec2"))
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"no plugin at {path}: build it, or name it in EXEC2_PLUGIN")
    return path.resolve()


def topology(cores: int = 2, megahertz: int = 2000) -> Any:
    """What the agent tells of the machine: `cores` cores of `megahertz` each."""
    return messages.base.ClientTopology(
        node_ids=[0],
        distances=messages.base.ClientTopologySLIT(dimension=1, values=[10]),
        cores=[messages.base.ClientTopologyCore(core_id=index, base_speed=megahertz) for index in range(cores)],
    )


class Plugin:
    """A running plugin. `pid` is its own, `subreaper_pid` that of the process above
    it, below which everything that it ever started stays."""

    def __init__(
        self,
        binary: Path,
        *,
        arguments: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        binds: Sequence[tuple[Path, Path]] = (),
        root: tuple[Path, Path, Sequence[Path]] | None = None,
        shake_hands: bool = True,
    ):
        self.log: list[dict[str, Any]] = []
        self.violations: list[str] = []
        self.handshake = ""
        self.channel: grpc.Channel | None = None
        self.is_abandoned = False
        self.config: dict[str, Any] = {}
        self.state_dir = Path()
        self._config_spec: Any = None
        self._task_spec: Any = None
        self._exit: int | None = None
        self._exited = threading.Event()
        self._may_read_stderr = threading.Event()
        self._may_read_stderr.set()
        self._started = threading.Event()

        report_read, report_write = os.pipe()
        command = [str(built("subreaper")), str(report_write)]
        if root:
            layer, mount_point, kept = root
            command += ["--root", str(layer), str(mount_point)]
            for path in kept:
                command += ["--keep", str(path)]
        for source, target in binds:
            command += ["--bind", str(source), str(target)]
        command += ["--", str(binary), *arguments]
        self._subreaper = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **agent_environment(), **(environment or {})},
            pass_fds=[report_write],
        )
        os.close(report_write)
        self.subreaper_pid = self._subreaper.pid
        self._threads = [threading.Thread(target=self._read_report, args=(report_read,), daemon=True)]
        self._threads[0].start()
        if not self._started.wait(scaled(10)):
            raise HandshakeError(f"the subreaper did not start {binary}: {self._subreaper.stderr.read()!r}")
        self._stderr_thread = threading.Thread(target=self._drain_stderr, daemon=True)
        self._stderr_thread.start()
        if shake_hands:
            try:
                self._shake_hands()
                self.connect()
            except HandshakeError:
                self.end()
                raise

    # Process

    def _read_report(self, fd: int) -> None:
        with os.fdopen(fd) as report:
            for line in report:
                word, number = line.split()
                if word == "pid":
                    self.pid = int(number)
                    self._started.set()
                else:
                    self._exit = os.waitstatus_to_exitcode(int(number))
                    self._exited.set()

    def _drain_stderr(self) -> None:
        while raw := self._subreaper.stderr.readline():
            self._may_read_stderr.wait()
            line = raw.decode(errors="replace").rstrip("\n")
            try:
                entry = hclog.parse(line)
                self.log.append(entry)
                hclog.note_warning(entry)
            except ValueError as error:
                self.violations.append(f"stderr line is no hclog line ({error}): {line!r}")

    def _shake_hands(self) -> None:
        line = b""
        end = time.monotonic() + scaled(60)
        stdout = self._subreaper.stdout
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([stdout], [], [], max(0, end - time.monotonic()))
            chunk = os.read(stdout.fileno(), 1) if ready else b""
            if not chunk:
                self._exited.wait(scaled(5))
                self._stderr_thread.join(scaled(5))
                raise HandshakeError(f"no handshake line, only {line!r}; exit {self._exit}; {self.violations}; {self.log}")
            line += chunk
        self.handshake = line.decode().rstrip("\n")
        threading.Thread(target=self._drain_stdout, daemon=True).start()

    def _drain_stdout(self) -> None:
        rest = self._subreaper.stdout.read()
        if rest:
            self.violations.append(f"stdout has more than the handshake line: {rest!r}")

    def wait_exit(self, seconds: float = 5) -> int | None:
        """The exit code (negative: signal) once the process has ended; None
        where the agent was not its parent any more."""
        if self.is_abandoned:
            wait_until(lambda: not processes.is_alive(self.pid), seconds, f"plugin {self.pid} ended")
            return None
        assert self._exited.wait(scaled(seconds)), f"plugin {self.pid} has not ended within {scaled(seconds):g} s"
        return self._exit

    def wait_stderr_end(self, seconds: float = 5) -> None:
        """Returns when nothing holds the write end of stderr any more."""
        self._stderr_thread.join(scaled(seconds))
        assert not self._stderr_thread.is_alive(), "something still holds the plugin's stderr"

    def pause_stderr(self) -> threading.Event:
        """Stops reading stderr until the answered event is set."""
        self._may_read_stderr.clear()
        return self._may_read_stderr

    @property
    def is_running(self) -> bool:
        return not self._exited.is_set() and processes.is_alive(self.pid)

    @property
    def subreaper_has_ended(self) -> bool:
        """Whether neither the plugin nor anything that it ever started is left."""
        return self._subreaper.poll() is not None

    def executors(self) -> list[processes.Process]:
        """The living processes that the plugin started: Executors and tasks."""
        top = self.pid if self.is_abandoned else self.subreaper_pid
        return [process for process in processes.descendants(top) if process.pid != self.pid]

    def abandon(self) -> None:
        """Ends the agent, not the plugin: its parent dies and the pipes lose
        their readers. The draining threads sit in read() and keep the old pipe
        until it returns, so the plugin's next line may still be read; from the
        second on there is no reader."""
        self.is_abandoned = True
        self._subreaper.kill()
        self._subreaper.wait()
        for stream in (self._subreaper.stdout, self._subreaper.stderr):
            null = os.open("/dev/null", os.O_RDONLY)
            os.dup2(null, stream.fileno())
            os.close(null)

    def kill(self) -> None:
        """SIGKILLs the plugin alone."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait_exit()

    def end(self) -> None:
        """Shuts down as the agent does, then makes sure that nothing is left of
        the plugin and of what it started."""
        if self.is_running and self.channel is not None:
            try:
                self.controller.Shutdown(messages.goplugin.Empty(), timeout=scaled(10))
                self.wait_exit()
            except (grpc.RpcError, AssertionError):
                pass
        rest = self.executors()
        if self.is_running:
            self.kill()
        if self.channel is not None:
            self.channel.close()
        for process in [*rest, *self.executors()]:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            self._subreaper.wait(scaled(5))
        except subprocess.TimeoutExpired:
            self._subreaper.kill()
            self._subreaper.wait()
        self._remove_socket()

    def _remove_socket(self) -> None:
        """A killed plugin cannot do it."""
        if self.handshake:
            Path(self.address).unlink(missing_ok=True)
            try:
                Path(self.address).with_name("lock").unlink(missing_ok=True)
                Path(self.address).parent.rmdir()
            except OSError:  # a directory that is the agent's
                pass

    # Services

    @property
    def address(self) -> str:
        """The socket's path, from the handshake line."""
        return self.handshake.split("|")[3]

    def connect(self) -> None:
        """Opens a connection to the address of the handshake."""
        fields = self.handshake.split("|")
        if len(fields) < 5 or fields[:3] != ["1", "2", "unix"] or fields[4] != "grpc":
            raise HandshakeError(f"handshake line {self.handshake!r}")
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(f"unix:{self.address}", options=options)
        self.base = messages.base_service.BasePluginStub(self.channel)
        self.driver = messages.driver_service.DriverStub(self.channel)
        self.controller = messages.goplugin_service.GRPCControllerStub(self.channel)
        self.broker = messages.goplugin_service.GRPCBrokerStub(self.channel)
        self.stdio = messages.goplugin_service.GRPCStdioStub(self.channel)
        self.health = messages.health_service.HealthStub(self.channel)

    def raw(self, method: str, request: bytes, seconds: float = CALL_SECONDS) -> bytes:
        """Calls `method` (such as "/plugin.GRPCController/Shutdown") with bytes
        that need not be a message."""
        return self.channel.unary_unary(method, request_serializer=None, response_deserializer=None)(
            request, timeout=scaled(seconds))

    def ping(self) -> None:
        """The agent's ping."""
        answer = self.health.Check(messages.health.HealthCheckRequest(service="plugin"), timeout=scaled(CALL_SECONDS))
        assert answer.status == messages.health.HealthCheckResponse.SERVING

    def set_config(self, config: dict[str, Any] | bytes | None, *, with_driver: bool = True, **topology_facts: int) -> None:
        """SetConfig with `config` as the agent decodes it by the plugin's schema; bytes are sent as they are."""
        packed = config if isinstance(config, bytes) else b"" if config is None else hcl.packed(
            self.config_spec, hcl.literal(config))
        request = messages.base.SetConfigRequest(msgpack_config=packed, plugin_api_version="0.1.0")
        if with_driver:
            request.nomad_config.driver.ClientMinPort = 14000
            request.nomad_config.driver.ClientMaxPort = 14512
            request.nomad_config.driver.Topology.CopyFrom(topology(**topology_facts))
        self.base.SetConfig(request, timeout=scaled(CALL_SECONDS))

    @property
    def config_spec(self) -> Any:
        """What ConfigSchema answers."""
        if self._config_spec is None:
            self._config_spec = self.base.ConfigSchema(
                messages.base.ConfigSchemaRequest(), timeout=scaled(CALL_SECONDS)).spec
        return self._config_spec

    @property
    def task_spec(self) -> Any:
        """What TaskConfigSchema answers."""
        if self._task_spec is None:
            self._task_spec = self.driver.TaskConfigSchema(
                messages.driver.TaskConfigSchemaRequest(), timeout=scaled(CALL_SECONDS)).spec
        return self._task_spec

    def plugin_options(self) -> set[str]:
        """The options that ConfigSchema declares."""
        return set(self.config_spec.object.attributes)

    def task_options(self) -> set[str]:
        """The options that TaskConfigSchema declares."""
        return set(self.task_spec.object.attributes)

    def begin(self, config: dict[str, Any] | bytes | None, **topology_facts: int) -> None:
        """What the agent calls before the first task."""
        limit = scaled(CALL_SECONDS)
        self.base.PluginInfo(messages.base.PluginInfoRequest(), timeout=limit)
        self._config_spec = self._task_spec = None
        self.set_config(config, with_driver=True, **topology_facts)
        self.driver.Capabilities(messages.driver.CapabilitiesRequest(), timeout=limit)
        assert self.config_spec.object.attributes and self.task_spec.object.attributes
        self.fingerprint()

    def fingerprint(self) -> Any:
        """The first answer of a Fingerprint stream."""
        stream = self.driver.Fingerprint(messages.driver.FingerprintRequest(), timeout=scaled(CALL_SECONDS))
        answer = next(iter(stream))
        stream.cancel()
        return answer

    def await_log_watch(self) -> None:
        """Returns when log readers are watched: that begins with the first task that runs long enough, behind its start's
        answer, and is there for good."""
        wait_until(
            lambda: "anon_inode:inotify" in processes.descriptors(self.pid).values(), 5, "log readers are watched")

    def standing_by(self) -> list[int]:
        """The pids of the Executors that stand by for the next task: one, or none."""
        return [process.pid for process in self.executors() if process.name == "exec2-standby"]

    def await_standby(self) -> int:
        """The pid of the Executor that stands by, once it does so, in read(2): it comes behind a start's answer."""
        wait_until(lambda: len(self.standing_by()) == 1, 5, "one Executor stands by")
        return self.standing_by()[0]

    def descriptors_with_a_task(self) -> int:
        """How many descriptors the plugin has open while a task runs, with all that comes behind a start's answer."""
        self.await_standby()
        self.await_log_watch()
        return len(processes.descriptors(self.pid))

    def settle(self, expected_descriptors: int) -> None:
        """Waits until the plugin has no more than `expected_descriptors` open."""
        wait_until(
            lambda: len(processes.descriptors(self.pid)) <= expected_descriptors, 5,
            f"at most {expected_descriptors} descriptors in the plugin, which has "
            f"{len(processes.descriptors(self.pid))}: {processes.descriptors(self.pid)}",
        )
