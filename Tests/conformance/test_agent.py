"""The test agent's own tools, without a plugin: tests that rely on them must not
pass because the tools do nothing."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from agent import AgentHost, cgroups, mounts, processes
from agent.collector import Collector
from agent.landlock import abi
from agent.programs import NAMES, built
from agent.timing import wait_until


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.close()


def fifo(directory: Path) -> Path:
    path = directory / "log.fifo"
    os.mkfifo(path, 0o600)
    return path


def test_collector_reads_to_the_end(collector: Collector, tmp_path: Path) -> None:
    stream = collector.open(fifo(tmp_path))
    writer = os.open(stream.path, os.O_WRONLY)
    os.write(writer, b"one\n")
    stream.wait_for("one")
    assert not stream.ended.is_set()
    os.write(writer, b"two\n")
    os.close(writer)
    stream.wait_end()
    assert stream.text == "one\ntwo\n"


def test_collector_leaves_and_comes_back(collector: Collector, tmp_path: Path) -> None:
    stream = collector.open(fifo(tmp_path))
    both = os.open(stream.path, os.O_RDWR)
    os.write(both, b"one\n")
    stream.wait_for("one")
    stream.leave()
    os.write(both, b"two\n")
    time.sleep(0.05)
    assert stream.text == "one\n"
    stream.come_back()
    stream.wait_for("two")
    os.close(both)
    stream.wait_end()


def test_scope_holds_and_kills_a_process(host: AgentHost) -> None:
    scope = host.slice.make_scope("own")
    child = subprocess.Popen([built("act"), "pause="])
    (scope / "cgroup.procs").write_text(str(child.pid))
    assert cgroups.processes(scope) == [child.pid]
    assert cgroups.populated(scope)
    assert host.slice.members() == {child.pid: str(scope)}
    cgroups.kill(scope)
    assert child.wait() == -signal.SIGKILL
    cgroups.remove(scope)
    assert not scope.exists()


@pytest.mark.controllers
def test_scope_has_limits(host: AgentHost) -> None:
    scope = host.slice.make_scope("limits")
    for name in ("cpu.max", "memory.max", "memory.low", "pids.max", "cpuset.cpus"):
        assert (scope / name).exists(), name
    cgroups.remove(scope)


def test_bind_mount_shows_the_source(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "file").write_text("seen")
    mounts.bind(source, target)
    try:
        assert (target / "file").read_text() == "seen"
        assert mounts.below(tmp_path) == [str(target)]
    finally:
        mounts.unmount(target)
    assert mounts.below(tmp_path) == []
    assert list(target.iterdir()) == []


def test_programs_are_static() -> None:
    for name in NAMES:
        assert b"/ld-" not in built(name).read_bytes()[:4096], f"{name} has an interpreter"


def test_subreaper_adopts_reports_and_counts(tmp_path: Path) -> None:
    read, write = os.pipe()
    subreaper = subprocess.Popen([built("subreaper"), str(write), "--", built("offspring"), "daemon", "--", "0"],
                            pass_fds=[write], stdout=subprocess.PIPE)
    os.close(write)
    with os.fdopen(read) as report:
        pid = int(report.readline().split()[1])
        assert report.readline() == "exit 0\n"
        # It says so itself: before, the only process may be its parent, which is about to end.
        assert subreaper.stdout is not None
        assert {subreaper.stdout.readline(), subreaper.stdout.readline()} == {b"main\n", b"child daemon\n"}
        seen: list[list[processes.Process]] = []

        def daemon_alone() -> bool:
            # The main process ends meanwhile: only the first look counts.
            seen.append(processes.descendants(subreaper.pid))
            return len(seen[-1]) == 1 and seen[-1][0].pid != pid

        wait_until(daemon_alone, 5, "only the daemon is left below the subreaper")
        daemon = seen[-1][0]
        assert daemon.pid != pid
        os.kill(daemon.pid, signal.SIGKILL)
        assert subreaper.wait(10) == 0


def test_subreaper_covers_a_path(tmp_path: Path) -> None:
    own = tmp_path / "hosts"
    own.write_text("covered")
    read, write = os.pipe()
    subreaper = subprocess.run([built("subreaper"), str(write), "--bind", own, "/etc/hosts", "--", "/bin/cat", "/etc/hosts"],
                          pass_fds=[write], stdout=subprocess.PIPE, check=True)
    os.close(write)
    os.close(read)
    assert subreaper.stdout == b"covered"
    assert Path("/etc/hosts").read_text() != "covered"


def test_access_reports_each_outcome(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    attempts = {
        ("read", tmp_path / "file"): "ok", ("read", tmp_path / "none"): "ENOENT", ("readdir", tmp_path): "ok",
        ("write", tmp_path / "file"): "ok", ("truncate", tmp_path / "file"): "ok", ("exec", "/bin/true"): "ok",
        ("exec", tmp_path / "file"): "EACCES", ("mkdir", tmp_path / "d"): "ok", ("rmdir", tmp_path / "d"): "ok",
        ("fifo", tmp_path / "p"): "ok", ("sock", tmp_path / "s"): "ok", ("symlink", tmp_path / "l"): "ok",
        ("mkfile", tmp_path / "f"): "ok", ("rename", tmp_path / "f"): "ok", ("unlink", tmp_path / "f.renamed"): "ok",
        ("ioctl", "/dev/zero"): "ENOTTY", ("link", f"{tmp_path / 'file'},{tmp_path / 'hard'}"): "ok",
        ("move", f"{tmp_path / 'hard'},{tmp_path / 'moved'}"): "ok",
    }
    words = [str(word) for attempt in attempts for word in attempt]
    output = subprocess.run([built("access"), *words], stdout=subprocess.PIPE, check=True, text=True).stdout
    assert [line.split("\t") for line in output.splitlines()] == [
        [operation, str(path), outcome] for (operation, path), outcome in attempts.items()]
    assert stat.S_ISFIFO((tmp_path / "p").stat().st_mode)


def test_landlock_is_there() -> None:
    assert abi() >= 1
