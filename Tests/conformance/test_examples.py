"""Every file of examples/: job files run as Nomad would run them, with the output and exit code that their head comments
state; plugin blocks configure the plugin. The files are found by a search, not listed here."""

from __future__ import annotations

import os
import re
import socket
import time
import uuid
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, Plugin, jobs
from agent.jobs import JobTask
from agent.messages import REPOSITORY
from agent.timing import scaled, wait_until
from agent.volumes import add_volume
from real_programs import layer

EXAMPLES = REPOSITORY / "examples"
JOB_FILES = sorted(EXAMPLES.rglob("*.nomad.hcl"))
AGENT_FILES = sorted(set(EXAMPLES.rglob("*.hcl")) - set(JOB_FILES))
# The stage "example" of Tests/run-all runs these.
SCRIPTS = {Path("http/run.sh")}
# test_systemd.py runs the driver with these.
UNITS = {Path("nomad.service.d/nomad-driver-exec2.conf")}
# Their servers are not installed, but on a host that the tests make.
OF_DEBIAN = {"nginx", "postgresql", "redis"}


def label(path: Path) -> str:
    return str(path.relative_to(EXAMPLES))


def test_nothing_in_the_directory_is_untested() -> None:
    known = set(JOB_FILES) | set(AGENT_FILES) | {EXAMPLES / other for other in SCRIPTS | UNITS}
    assert {path for path in EXAMPLES.rglob("*") if path.is_file()} == known
    listed = re.findall(r"^\| \[\w+\]\(examples/(.*?)\)", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(map(label, JOB_FILES))
    assert len(JOB_FILES) >= 5 and len(AGENT_FILES) >= 2


def alike(lines: list[str], patterns: list[str]) -> bool:
    """Whether the lines match the patterns; * stands for anything."""
    return len(lines) == len(patterns) and all(
        re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), line) for line, pattern in zip(lines, patterns))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def debian(host: AgentHost, binary: Path) -> Iterator[Plugin]:
    """A plugin on a host with the servers."""
    plugin = host.launch({"unveil_by_task": True}, layer=layer(host.root / "debian-of-examples"))
    yield plugin
    faults = host.clean_tasks() + host.leftovers(plugin)
    plugin.end()
    host.plugins.remove(plugin)
    assert not faults + plugin.violations


class Group:
    """What the tasks of a job share: ports, and volumes."""

    def __init__(self, host: AgentHost, jobs_tasks: list[JobTask]):
        self.ports = {name: free_port() for name in jobs_tasks[0].ports}
        self.volumes = host.root / "volumes" / uuid.uuid4().hex


class Run:
    """A task of a job file, with the files that its templates make."""

    def __init__(self, host: AgentHost, plugin: Plugin, job: JobTask, group: Group, limited: bool):
        self.job = job
        self.ports = group.ports
        known = {f"NOMAD_PORT_{name}": str(port) for name, port in self.ports.items()}
        # Nomad's default for a driver with unveil isolation is a dynamic workload user.
        options: dict[str, Any] = {"cpu": job.cpu, "memory": job.memory, "memory_max": job.memory_max} if limited else {}
        self.task = host.task(
            plugin, None, env={**known, **job.env}, user=job.user or "nomad-80000", name=job.name,
            bind_mounts=job.file.parent.name not in OF_DEBIAN, **options)
        self.env = dict(self.task.request.task.env)
        self.env.update({name: jobs.interpolated(value, self.env.__getitem__) for name, value in job.env.items()})
        self.task.request.task.env.update(self.env)
        self.task.set_block(job.config)
        for mount in job.volumes:
            source = group.volumes / mount.source
            source.mkdir(parents=True, exist_ok=True)
            source.chmod(0o777)
            destination = jobs.interpolated(mount.destination, self.env.__getitem__)
            add_volume(self.task, source, destination, readonly=mount.read_only)
        for template in job.templates:
            self.render(template)

    def render(self, template: jobs.Template) -> None:
        """As the client does: writes a temporary file and renames it."""
        path = self.task.directory / template.destination
        assert path.resolve().is_relative_to(self.task.directory), template.destination
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(template.rendered(self.env), encoding="utf-8")
        fresh.chmod(template.mode)
        owner = self.task.local.stat()
        os.chown(fresh, owner.st_uid, owner.st_gid)
        fresh.rename(path)

    def printed(self, lines: int) -> None:
        """Waits until the task has printed that many of the lines in the file's head comment."""
        expected = self.job.prints[:lines]
        wait_until(lambda: alike(self.task.lines()[:lines], expected), 20,
                   f"{self.job.file.name} prints {expected}, not {self.task.lines()}; stderr: {self.task.stderr.text}")


    def asks(self) -> None:
        """Each request of the head comment until it is answered as stated; a server that starts refuses it."""
        for request, port, expected in self.job.answers:
            wait_until(lambda: alike([answer(self.ports[port], request)], [expected]), 30,
                       f"{self.job.file.name} answers {request!r} with {expected!r}: {self.task.stderr.text}")


def answer(port: int, request: str) -> str:
    """The last line of what is answered to a line and an empty one."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(request.encode() + b"\r\n\r\n")
            received = b""
            # Redis leaves the connection open, and ends a line that it has answered.
            while data := connection.recv(65536):
                received += data
                if "HTTP" not in request and received.endswith(b"\n"):
                    break
        return received.decode().splitlines()[-1]
    except (OSError, IndexError):
        return ""


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def ends_as_stated(run: Run, result: Any) -> None:
    task, job = run.task, run.job
    task.stdout.wait_end()
    task.stderr.wait_end()
    assert alike(task.lines(), job.prints), f"{task.lines()}; stderr: {task.stderr.text}"
    assert result.exit_code == job.exits_with, (result, task.stderr.text)
    assert not result.oom_killed


def serves_as_stated(run: Run) -> None:
    """A service that runs, until it is stopped."""
    task, job = run.task, run.job
    seen = 1
    for template in job.templates:
        if template.change_signal is not None:
            run.render(template)
            task.signal(template.change_signal)
            run.asks()
            seen += 1
            run.printed(seen)
    assert task.pid > 0, "it runs until it is stopped"
    begun = time.monotonic()
    task.stop(timeout=scaled(job.kill_timeout), signal=job.kill_signal)
    assert time.monotonic() - begun < scaled(job.kill_timeout), "it ended on the signal, within kill_timeout"


def run_job(host: AgentHost, plugin: Plugin, path: Path, limited: bool) -> None:
    """In the client's order: what is before the main task to its end, that task, and what is after its start to the end."""
    tasks = jobs.tasks(path)
    group = Group(host, tasks)

    def run(job: JobTask) -> Run:
        started = Run(host, plugin, job, group, limited)
        started.task.start()
        return started

    def of(hook: str | None) -> list[JobTask]:
        return [job for job in tasks if job.hook == hook]

    for job in of("prestart"):
        before = run(job)
        ends_as_stated(before, before.task.wait(60))
    [job] = of(None)
    main = run(job)
    if job.job_type == "batch":
        ends_as_stated(main, main.task.wait(30))
        return
    main.printed(1 if job.prints and not job.answers else 0)
    for port in main.ports.values():
        wait_until(lambda: answers(port), 20, f"port {port} of {path.name} answers: {main.task.stderr.text}")
    main.asks()
    main.printed(1 if job.prints else 0)
    for job in of("poststart"):
        after = run(job)
        ends_as_stated(after, after.task.wait(60))
    serves_as_stated(main)
    ends_as_stated(main, main.task.wait())


def plugin_of(path: Path, request: pytest.FixtureRequest) -> Plugin:
    plugin = request.getfixturevalue("debian" if path.parent.name in OF_DEBIAN else "plugin")
    assert isinstance(plugin, Plugin)
    return plugin


@pytest.mark.parametrize("path", JOB_FILES, ids=label)
def test_job(host: AgentHost, request: pytest.FixtureRequest, path: Path) -> None:
    run_job(host, plugin_of(path, request), path, limited=False)


@pytest.mark.controllers
@pytest.mark.parametrize("path", JOB_FILES, ids=label)
def test_job_within_its_limits(host: AgentHost, request: pytest.FixtureRequest, path: Path) -> None:
    run_job(host, plugin_of(path, request), path, limited=True)


@pytest.mark.parametrize("path", AGENT_FILES, ids=label)
def test_plugin_block(launch: Callable[..., Plugin], host: AgentHost, path: Path) -> None:
    """All options and values are accepted, and a task runs with them."""
    document = jobs.read(path)
    blocks = [body for name, body in jobs.labelled(document, "plugin") if name == "nomad-driver-exec2"]
    assert len(blocks) == 1 and set(blocks[0]) == {"config"}
    [config] = blocks[0]["config"]
    plugin = launch(configure=False)
    # A state directory of the test's own, so that no other driver on this machine is disturbed.
    plugin.begin({**config, "state_dir": str(plugin.state_dir)})
    assert host.task(plugin, "true").run().exit_code == 0


def test_the_plain_block_has_every_option(launch: Callable[..., Plugin]) -> None:
    """plugin.hcl is the example to start from: it has each option, set or in a comment."""
    text = (EXAMPLES / "plugin.hcl").read_text()
    for option in launch().plugin_options():
        assert f" {option} = " in " ".join(text.split()), f"plugin.hcl has no {option}"
