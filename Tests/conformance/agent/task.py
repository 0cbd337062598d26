"""One task: its directories, cgroup and log pipes, and its calls."""

from __future__ import annotations

import os
import pwd
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Sequence

import grpc

from agent import cgroups, hcl, messages, mounts, processes
from agent.plugin import CALL_SECONDS, Plugin
from agent.timing import scaled

if TYPE_CHECKING:
    from agent.host import AgentHost

DIRECTORIES = ("local", "secrets", "tmp")


@dataclass(frozen=True)
class ExitResult:
    """How a task ended."""

    exit_code: int
    signal: int = 0
    oom_killed: bool = False


def identity(user: str) -> tuple[int, int]:
    """uid and gid of `user`, by the rule for dynamic users or /etc/passwd; those of root
    if it does not exist."""
    prefix, _, number = user.partition("nomad-")
    if not prefix and number.isdigit() and int(number) < 2**31:
        return int(number), int(number)
    try:
        entry = pwd.getpwnam(user)
        return entry.pw_uid, entry.pw_gid
    except (KeyError, ValueError):
        return 0, 0


class Task:
    """`request` is the request of StartTask, which tests may change before the start."""

    def __init__(
        self,
        host: "AgentHost",
        plugin: Plugin,
        command: str | Path | None,
        arguments: Sequence[str | Path] = (),
        *,
        user: str = "nomad-80000",
        unveil: Sequence[str] | None = None,
        config: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        cpu: int = 0,
        memory: int = 0,
        memory_max: int = 0,
        network: str | None = None,
        name: str = "web",
        bind_mounts: bool = True,
        owner: tuple[int, int] | None = None,
        log_sink: Callable[[bytes], None] | None = None,
        error_sink: Callable[[bytes], None] | None = None,
        late_reader: bool = False,
    ):
        self.host, self.plugin, self.name = host, plugin, name
        self.alloc_id = str(uuid.uuid4())
        self.id = f"{self.alloc_id}/{name}/{uuid.uuid4().hex[:8]}"
        self.alloc_dir = host.data / "alloc" / self.alloc_id
        self.logs = self.alloc_dir / "alloc" / "logs"
        self.directory = host.alloc_mounts / f"{self.alloc_id}-{name}"
        self.local = self.directory / "local"
        self._mounted: list[Path] = []
        self._destroyed = False
        self._refusal: hcl.FailedValidation | None = None
        self.handle: Any = None
        self.was_started = False

        uid, gid = owner or identity(user)
        self._make_directories(uid, gid, bind_mounts)
        self.scope = host.slice.make_scope(f"{self.alloc_id}.{name}")
        self.stdout_path = self._make_fifo("stdout")
        self.stderr_path = self._make_fifo("stderr")
        self.stdout = host.collector.open(self.stdout_path, log_sink, late_reader)
        self.stderr = host.collector.open(self.stderr_path, error_sink, late_reader)

        driver_config: dict[str, Any] = dict(config or {})
        if command is not None:
            driver_config["command"] = str(command)
        if arguments:
            driver_config["args"] = [str(argument) for argument in arguments]
        if unveil is not None:
            driver_config["unveil"] = list(unveil)
        self.config = driver_config
        self.request = messages.driver.StartTaskRequest()
        self._fill(self.request.task, user, env or {}, cpu, memory, memory_max, network)
        host.tasks.append(self)

    # What the agent makes

    def _make_directories(self, uid: int, gid: int, bind_mounts: bool) -> None:
        shared = self.alloc_dir / "alloc"
        for directory in (shared, shared / "logs", shared / "tmp", shared / "data"):
            directory.mkdir(parents=True)
            directory.chmod(0o777)
        self.directory.mkdir(mode=0o710)
        os.chown(self.directory, uid, gid)
        self.directory.chmod(0o710)
        sources = {name: self.alloc_dir / self.name / name for name in DIRECTORIES}
        for source in sources.values():
            source.mkdir(parents=True)
            os.chown(source, uid, gid)
            source.chmod(0o700)
        own = self.alloc_dir / self.name
        os.chown(own, uid, gid)
        own.chmod(0o710)
        for name, source in {**sources, "alloc": shared}.items():
            target = self.directory / name
            target.mkdir()
            if bind_mounts:
                mounts.bind(source, target)
                self._mounted.append(target)
            else:
                os.chown(target, uid, gid)
                target.chmod(0o700)

    def _make_fifo(self, kind: str) -> Path:
        path = self.logs / f".{self.name}.{kind}.fifo"
        os.mkfifo(path, 0o600)
        path.chmod(0o600)
        return path

    def _fill(self, task: Any, user: str, env: dict[str, str], cpu: int, memory: int, memory_max: int, network: str | None) -> None:
        task.id, task.name, task.alloc_id = self.id, self.name, self.alloc_id
        task.task_group_name, task.job_name, task.job_id = "group", "job", "job"
        task.namespace, task.node_name, task.node_id = "default", "node", str(uuid.uuid4())
        task.user = user
        task.alloc_dir = str(self.alloc_dir)
        task.stdout_path, task.stderr_path = str(self.stdout_path), str(self.stderr_path)
        self.set_config(self.config)
        task.env.update({
            "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
            # The agent's own, which it passes on.
            **{name: os.environ[name] for name in ("HOME", "USER") if name in os.environ},
            "NOMAD_ALLOC_DIR": str(self.directory / "alloc"),
            "NOMAD_TASK_DIR": str(self.local),
            "NOMAD_SECRETS_DIR": str(self.directory / "secrets"),
            "NOMAD_ALLOC_ID": self.alloc_id, "NOMAD_TASK_NAME": self.name, "NOMAD_GROUP_NAME": "group",
            **env,
        })
        allocated = task.resources.allocated_resources
        allocated.cpu.cpu_shares = cpu
        allocated.memory.memory_mb = memory
        allocated.memory.memory_max_mb = memory_max
        linux = task.resources.linux_resources
        linux.cpu_shares = cpu
        linux.memory_limit_bytes = (memory_max if memory_max > 0 else memory) << 20
        linux.cpuset_cgroup = str(self.scope)
        linux.PercentTicks = cpu / 4000
        if network is not None:
            task.network_isolation_spec.mode = messages.driver.NetworkIsolationSpec.GROUP
            task.network_isolation_spec.path = network

    def set_config(self, config: dict[str, Any] | bytes) -> None:
        """Replaces the whole task config. Values are decoded with the plugin's schema, as the agent does; bytes are sent
        unchanged."""
        if isinstance(config, bytes):
            self._refusal, self.request.task.msgpack_driver_config = None, config
        else:
            self._decode(hcl.literal(config), None)

    def set_block(self, config: Any) -> None:
        """Replaces the whole task config by a job's block, whose strings may refer to the task's environment."""
        self._decode(config, dict(self.request.task.env))

    def _decode(self, config: Any, variables: dict[str, str] | None) -> None:
        """A config that does not fit the schema makes the start fail, as in an agent."""
        try:
            self.set_config(hcl.packed(self.plugin.task_spec, config, variables))
        except hcl.FailedValidation as refusal:
            self._refusal = refusal

    # Calls

    def start(self, seconds: float = CALL_SECONDS) -> "Task":
        """StartTask; returns the task, for chaining. hcl.FailedValidation if the agent would refuse the config."""
        self._check_config()
        self.took(self.plugin.driver.StartTask(self.request, timeout=scaled(seconds)))
        return self

    def start_soon(self, seconds: float = CALL_SECONDS) -> grpc.Future:
        """StartTask without waiting for the answer, which goes to `took`."""
        self._check_config()
        return self.plugin.driver.StartTask.future(self.request, timeout=scaled(seconds))

    def _check_config(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def took(self, answer: Any) -> None:
        """Checks and keeps the answer of StartTask."""
        assert answer.result == messages.driver.StartTaskResponse.SUCCESS, answer
        assert answer.driver_error_msg == ""
        assert answer.handle.version >= 1
        assert answer.handle.state == messages.driver.RUNNING
        assert answer.handle.config.id == self.id
        assert answer.handle.driver_state
        self.handle = answer.handle
        self.was_started, self._destroyed = True, False

    def wait_soon(self, seconds: float = CALL_SECONDS) -> grpc.Future:
        """WaitTask without waiting for the answer."""
        return self.plugin.driver.WaitTask.future(messages.driver.WaitTaskRequest(task_id=self.id), timeout=scaled(seconds))

    def wait(self, seconds: float = CALL_SECONDS) -> ExitResult:
        """WaitTask: how the task ended."""
        return self.result_of(self.wait_soon(seconds).result())

    @staticmethod
    def result_of(answer: Any) -> ExitResult:
        """The result in an answer of WaitTask."""
        # Only an OOM kill has both a known result and a message.
        by_memory = answer.result.oom_killed and answer.result.exit_code != 0
        assert ("for want of memory" in answer.err) if by_memory else answer.err == "", answer
        return ExitResult(answer.result.exit_code, answer.result.signal, answer.result.oom_killed)

    def run(self, seconds: float = CALL_SECONDS) -> ExitResult:
        """Starts the task, waits for its end and for the end of its logs."""
        result = self.start().wait(seconds)
        self.stdout.wait_end()
        self.stderr.wait_end()
        return result

    def signal(self, name: str) -> None:
        """SignalTask."""
        request = messages.driver.SignalTaskRequest(task_id=self.id, signal=name)
        self.plugin.driver.SignalTask(request, timeout=scaled(CALL_SECONDS))

    def stop_soon(self, timeout: float = 5, signal: str = "", seconds: float = CALL_SECONDS) -> grpc.Future:
        """StopTask without waiting for the answer. `timeout` is the job's
        kill_timeout, in seconds that are not scaled."""
        request = messages.driver.StopTaskRequest(task_id=self.id, signal=signal)
        request.timeout.FromNanoseconds(int(timeout * 1e9))
        return self.plugin.driver.StopTask.future(request, timeout=scaled(seconds) + max(timeout, 0))

    def stop(self, timeout: float = 5, signal: str = "") -> None:
        """StopTask."""
        self.stop_soon(timeout, signal).result()

    def inspect(self) -> Any:
        """InspectTask."""
        request = messages.driver.InspectTaskRequest(task_id=self.id)
        return self.plugin.driver.InspectTask(request, timeout=scaled(CALL_SECONDS))

    @property
    def pid(self) -> int:
        """The pid of the main process, from InspectTask."""
        return int(self.inspect().driver.attributes["pid"])

    @property
    def executor_pid(self) -> int:
        """The pid of the main process's parent."""
        process = processes.look(self.pid)
        assert process is not None, "the task's main process has ended"
        return process.parent

    def destroy(self, force: bool = True) -> None:
        """DestroyTask."""
        request = messages.driver.DestroyTaskRequest(task_id=self.id, force=force)
        self.plugin.driver.DestroyTask(request, timeout=scaled(CALL_SECONDS))
        self._destroyed = True

    def lines(self) -> list[str]:
        """What the task wrote to stdout, by line."""
        return self.stdout.text.splitlines()

    def line(self, word: str) -> str:
        """The rest of stdout's first line that begins with `word`."""
        for line in self.lines():
            if line.partition(" ")[0] == word:
                return line.partition(" ")[2]
        raise AssertionError(f"no line {word!r} in {self.lines()}; stderr: {self.stderr.text!r}")

    # Restarts of the client

    def forget_mounts(self) -> None:
        """Removes the bind mounts, as a reboot does. The task's own directory below alloc_mounts is left empty."""
        self._unmount()
        for target in list(self.directory.iterdir()):
            target.rmdir()

    def _unmount(self) -> None:
        for target in reversed(self._mounted):
            mounts.unmount(target)
        self._mounted = []

    def begin_again(self) -> None:
        """Makes the task ready for its next start: a new id, in the same directories. The client has forgotten the
        dynamic user that it had assigned."""
        self.id = f"{self.alloc_id}/{self.name}/{uuid.uuid4().hex[:8]}"
        self.request.task.id = self.id
        if self.request.task.user.startswith("nomad-"):
            self.request.task.user = ""
        if not self.scope.exists():
            self.scope = self.host.slice.make_scope(f"{self.alloc_id}.{self.name}")
        for stream in (self.stdout, self.stderr):
            stream.leave()
            stream.come_back()
        self.was_started = self._destroyed = False

    # Clean-up

    def clean(self) -> list[str]:
        """Removes everything that the agent made; returns a sentence for each thing that
        the plugin should have removed and did not."""
        faults = []
        if self.was_started and not self._destroyed and self.plugin.is_running:
            try:
                self.destroy()
            except grpc.RpcError as error:
                faults.append(f"DestroyTask of {self.id}: {error.code()} {error.details()}")
        if self.scope.exists():
            if (self._destroyed or not self.was_started) and cgroups.populated(self.scope):
                faults.append(f"cgroup of {self.id} is not empty: {cgroups.processes(self.scope)}")
            cgroups.kill(self.scope)
            cgroups.remove(self.scope)
        self.stdout.leave()
        self.stderr.leave()
        self._unmount()
        left = mounts.below(self.directory)
        if left:
            faults.append(f"mounts left: {left}")
        return faults
