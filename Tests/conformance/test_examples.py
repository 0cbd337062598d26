"""Every file of examples/: job files run as Nomad would run them, with the output and exit code that their head comments
state; plugin blocks configure the plugin. The files are found by a search, not listed here."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from agent import AgentHost, Plugin, jobs
from agent.jobs import JobTask
from agent.messages import REPOSITORY
from agent.timing import scaled, wait_until
from agent.volumes import add_volume

EXAMPLES = REPOSITORY / "examples"
JOB_FILES = sorted(EXAMPLES.rglob("*.nomad.hcl"))
AGENT_FILES = sorted(set(EXAMPLES.rglob("*.hcl")) - set(JOB_FILES))
# The stage "example" of Tests/run-all runs these.
SCRIPTS = {Path("http/run.sh")}


def label(path: Path) -> str:
    return str(path.relative_to(EXAMPLES))


def test_nothing_in_the_directory_is_untested() -> None:
    known = set(JOB_FILES) | set(AGENT_FILES) | {EXAMPLES / script for script in SCRIPTS}
    assert {path for path in EXAMPLES.rglob("*") if path.is_file()} == known
    assert len(JOB_FILES) >= 5 and len(AGENT_FILES) >= 2


def alike(lines: list[str], patterns: list[str]) -> bool:
    """Whether the lines match the patterns; * stands for anything."""
    return len(lines) == len(patterns) and all(
        re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), line) for line, pattern in zip(lines, patterns))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Run:
    """A task of a job file, with the files that its templates make."""

    def __init__(self, host: AgentHost, plugin: Plugin, job: JobTask, limited: bool):
        self.job = job
        self.ports = {name: free_port() for name in job.ports}
        known = {f"NOMAD_PORT_{name}": str(port) for name, port in self.ports.items()}
        # Nomad's default for a driver with unveil isolation is a dynamic workload user.
        options: dict[str, Any] = {"cpu": job.cpu, "memory": job.memory, "memory_max": job.memory_max} if limited else {}
        self.task = host.task(
            plugin, None, env={**known, **job.env}, user=job.user or "nomad-80000", name=job.name, **options)
        self.env = dict(self.task.request.task.env)
        self.env.update({name: jobs.interpolated(value, self.env.__getitem__) for name, value in job.env.items()})
        self.task.request.task.env.update(self.env)
        self.task.set_block(job.config)
        for mount in job.volumes:
            source = host.root / "volumes" / self.task.alloc_id / mount.source
            source.mkdir(parents=True)
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


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def runs_as_stated(host: AgentHost, plugin: Plugin, job: JobTask, limited: bool) -> None:
    run = Run(host, plugin, job, limited)
    task = run.task.start()
    if job.job_type == "batch":
        result = task.wait(30)
    else:
        run.printed(1 if job.prints else 0)
        for port in run.ports.values():
            wait_until(lambda: answers(port), 20, f"port {port} of {job.file.name} answers: {task.stderr.text}")
        seen = 1
        for template in job.templates:
            if template.change_signal is not None:
                run.render(template)
                task.signal(template.change_signal)
                seen += 1
                run.printed(seen)
        pid = task.pid
        assert pid > 0, "it runs until it is stopped"
        begun = time.monotonic()
        task.stop(timeout=scaled(job.kill_timeout), signal=job.kill_signal)
        assert time.monotonic() - begun < scaled(job.kill_timeout), "it ended on the signal, within kill_timeout"
        result = task.wait()
    task.stdout.wait_end()
    task.stderr.wait_end()
    assert alike(task.lines(), job.prints), f"{task.lines()}; stderr: {task.stderr.text}"
    assert result.exit_code == job.exits_with, (result, task.stderr.text)
    if limited:
        assert not result.oom_killed


@pytest.mark.parametrize("path", JOB_FILES, ids=label)
def test_job(host: AgentHost, plugin: Plugin, path: Path) -> None:
    for job in jobs.tasks(path):
        runs_as_stated(host, plugin, job, limited=False)


@pytest.mark.controllers
@pytest.mark.parametrize("path", JOB_FILES, ids=label)
def test_job_within_its_limits(host: AgentHost, plugin: Plugin, path: Path) -> None:
    for job in jobs.tasks(path):
        runs_as_stated(host, plugin, job, limited=True)


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
