"""Shortages of resources: the error names the resource, no partial state remains, no exit status is lost, and afterwards
tasks run as before.

fault_sweep_tasks.py shows that each single call may fail; the shortages here are real ones. Seen in that sweep before the
driver waited for a descriptor: an exit status was lost with "Too many open files".
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, mounts, processes
from agent.host import state_directories
from agent.timing import wait_until

STOPPED = ExitResult(130, 2)


def refusal(task: Task) -> str:
    """The error of StartTask, which must fail."""
    with pytest.raises(grpc.RpcError) as failure:
        task.start()
    return failure.value.details() or ""


def runs(host: AgentHost, plugin: Plugin) -> None:
    """Checks that another task runs."""
    task = host.task(plugin, host.program("act"), ["exit=3"])
    assert task.run() == ExitResult(3)
    task.destroy()


@pytest.fixture
def small(host: AgentHost, launch: Callable[..., Plugin]) -> Iterator[Callable[[str], tuple[Plugin, Path]]]:
    """A plugin whose state directory is a separate file system, mounted with the given options."""
    libc = ctypes.CDLL(None, use_errno=True)
    made: list[Path] = []

    def start(options: str) -> tuple[Plugin, Path]:
        directory = host.make_state_dir()
        directory.mkdir(mode=0o700, parents=True)
        if libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", 0, f"mode=0700,{options}".encode()) != 0:
            raise OSError(ctypes.get_errno(), f"mount of a tmpfs on {directory}")
        made.append(directory)
        return launch({"state_dir": str(directory), "standby_executor": False}), directory

    yield start
    host.clean_tasks()
    for directory in made:
        mounts.unmount(directory)


def fill(directory: Path) -> Path:
    """Fills a file system completely."""
    rest = directory / "rest"
    with open(rest, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return rest


def test_a_full_disk_refuses_a_start(host: AgentHost, small: Callable[..., tuple[Plugin, Path]]) -> None:
    plugin, directory = small("size=256k")
    rest = fill(directory)
    task = host.task(plugin, host.program("act"), ["exit=0"])
    told = refusal(task)
    assert "No space left on device" in told and "cannot" in told and str(directory) in told, told
    assert os.listdir(directory) == ["rest"]
    rest.unlink()
    runs(host, plugin)


def test_a_full_disk_loses_no_exit_status(host: AgentHost, small: Callable[..., tuple[Plugin, Path]]) -> None:
    plugin, directory = small("size=256k")
    task = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    task.stdout.wait_for("up")
    rest = fill(directory)
    task.stop()
    assert task.wait() == STOPPED
    task.destroy()
    assert os.listdir(directory) == ["rest"]
    rest.unlink()
    runs(host, plugin)


def test_inodes_run_out(host: AgentHost, small: Callable[..., tuple[Plugin, Path]]) -> None:
    plugin, directory = small("nr_inodes=64")
    others: list[Path] = []
    try:
        while True:
            others.append(directory / f"other{len(others)}")
            others[-1].touch()
    except OSError:
        others.pop()
    task = host.task(plugin, host.program("act"), ["exit=0"])
    # From no free inode to one too few for pipes, lock, identity and record.
    for _ in range(4):
        told = refusal(task)
        assert "No space left on device" in told and "cannot" in told, told
        assert not [name for name in os.listdir(directory) if not name.startswith("other")]
        others.pop().unlink()
    for other in others:
        other.unlink()
    runs(host, plugin)


def test_descriptors_run_out(host: AgentHost, launch: Callable[..., Plugin]) -> None:
    plugin = launch({"standby_executor": False})
    running = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    running.stdout.wait_for("up")
    task = host.task(plugin, host.program("act"), ["exit=0"])
    before = resource.prlimit(plugin.pid, resource.RLIMIT_NOFILE)
    open_now = processes.descriptors(plugin.pid)
    # RLIMIT_NOFILE limits the descriptor's number, and a few lower numbers are free.
    for limit in range(max(open_now) + 1, max(open_now) + 12, 3):
        resource.prlimit(plugin.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
        try:
            task.start()
        except grpc.RpcError as error:
            assert "Too many open files" in error.details() and "cannot" in error.details(), error.details()
        else:
            task.wait()
            task.destroy()
    # Without any free descriptor: the Executor tells how its task ended.
    resource.prlimit(plugin.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    waiting = running.wait_soon()
    running.signal("SIGKILL")
    answer = waiting.result()
    assert (answer.result.exit_code, answer.result.signal, answer.err) == (137, 9, "")
    resource.prlimit(plugin.pid, resource.RLIMIT_NOFILE, before)
    running.destroy()
    assert state_directories(plugin) == []
    runs(host, plugin)


def switches(pid: int) -> int:
    """How often threads of a process have gone to sleep."""
    found = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        lines = (thread / "status").read_text().splitlines()
        found += next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))
    return found


def test_connections_in_a_shortage_are_told_of_once(launch: Callable[..., Plugin]) -> None:
    """Seen before: ten warnings a second, for as long as it lasted."""
    plugin = launch(configure=False)
    before = resource.prlimit(plugin.pid, resource.RLIMIT_NOFILE)
    taken = processes.descriptors(plugin.pid)
    resource.prlimit(plugin.pid, resource.RLIMIT_NOFILE, (next(number for number in range(len(taken) + 1) if number not in taken), before[1]))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(plugin.address)
        slept = switches(plugin.pid)
        # The driver does nothing but try again, twenty times at least.
        wait_until(lambda: switches(plugin.pid) >= slept + 40, 120, "the driver has tried again and again")
        resource.prlimit(plugin.pid, resource.RLIMIT_NOFILE, before)

        def lines(message: str) -> list[dict[str, Any]]:
            return [entry for entry in plugin.log if entry["@message"] == message]

        wait_until(lambda: lines("connections are taken in again"), 30, "the connection is taken in")
    [warning] = lines("cannot take in connections for a moment")
    assert warning["@level"] == "warn" and warning["error"] == "Too many open files"
    [again] = lines("connections are taken in again")
    assert again["@level"] == "info" and again["failed_attempts"] > 5


def descendants(root: Path) -> int:
    return sum(len(directories) for _, directories, _ in os.walk(root))


@pytest.mark.parametrize("limit, value", [
    ("cgroup.max.descendants", lambda root: descendants(root)), ("cgroup.max.depth", lambda root: 0)],
    ids=["descendants", "depth"])
def test_no_room_for_the_executors_cgroup(
    host: AgentHost, launch: Callable[..., Plugin], limit: str, value: Callable[[Path], int]
) -> None:
    """Executors then run in the Driver's cgroup: the start does not fail."""
    plugin = launch({"standby_executor": False})
    task = host.task(plugin, host.program("act"), ["pause="])
    file = host.slice.root / limit
    file.write_text(str(value(host.slice.root)))
    try:
        task.start()
        assert processes.cgroup(task.executor_pid) == processes.cgroup(plugin.pid)
        task.stop()
        assert task.wait() == STOPPED
        task.destroy()
    finally:
        file.write_text("max")
    runs(host, plugin)


@pytest.mark.controllers
@pytest.mark.parametrize("where", ["tasks", "executors"])
def test_no_process_may_be_made(host: AgentHost, launch: Callable[..., Plugin], where: str) -> None:
    """With `pids.max` set above the task's cgroup, or above that of the Executors."""
    plugin = launch({"standby_executor": False})
    task = host.task(plugin, host.program("act"), ["exit=0"])
    file = {"tasks": host.slice.share, "executors": host.slice.root}[where] / "pids.max"
    file.write_text("0")
    try:
        told = refusal(task)
    finally:
        file.write_text("max")
    assert "Resource temporarily unavailable" in told and "cannot" in told, told
    assert (str(task.scope) if where == "tasks" else "Executor") in told, told
    assert state_directories(plugin) == [] and not plugin.executors()
    assert host.slice.members() == {}
    task.start()
    assert task.wait() == ExitResult(0)
    task.destroy()
    runs(host, plugin)


@pytest.mark.controllers
def test_a_driver_that_may_make_no_process(host: AgentHost, launch: Callable[..., Plugin]) -> None:
    """Neither a thread nor an Executor in its own cgroup."""
    plugin = launch({"standby_executor": False})
    runs(host, plugin)
    own = host.slice.root / "driver.scope"
    own.mkdir()
    home = cgroups.mount_point() / processes.cgroup(plugin.pid).lstrip("/")
    (own / "cgroup.procs").write_text(str(plugin.pid))
    try:
        (own / "pids.max").write_text((own / "pids.current").read_text())
        # Executors have a cgroup of their own, where processes can be made.
        for _ in range(3):
            runs(host, plugin)
        room = host.slice.root / "cgroup.max.descendants"
        task = host.task(plugin, host.program("act"), ["exit=0"])
        wait_until(lambda: not plugin.executors(), 5, "the last Executor has ended")
        executors = host.slice.root / "exec2-executors.scope"
        if executors.is_dir():
            executors.rmdir()
        room.write_text(str(descendants(host.slice.root)))
        try:
            told = refusal(task)
        finally:
            room.write_text("max")
        assert "Resource temporarily unavailable" in told and "cannot" in told, told
        assert state_directories(plugin) == [] and not plugin.executors()
    finally:
        (home / "cgroup.procs").write_text(str(plugin.pid))
    runs(host, plugin)


def test_stops_and_continues_interrupt_nothing(host: AgentHost, launch: Callable[..., Plugin]) -> None:
    """SIGSTOP and SIGCONT interrupt blocking calls in the Driver and in the Executors, which must retry them."""
    plugin = launch({"standby_executor": False})
    over = threading.Event()

    def shower() -> None:
        while not over.is_set():
            for process in [plugin.pid, *(process.pid for process in plugin.executors())]:
                try:
                    os.kill(process, signal.SIGSTOP)
                    os.kill(process, signal.SIGCONT)
                except ProcessLookupError:
                    pass
            time.sleep(0.001)

    thread = threading.Thread(target=shower, daemon=True)
    thread.start()
    try:
        for _ in range(10):
            task = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
            task.stdout.wait_for("up")
            task.signal("SIGCONT")
            task.stop()
            assert task.wait() == STOPPED
            task.destroy()
    finally:
        over.set()
        thread.join()
    os.kill(plugin.pid, signal.SIGCONT)
    wait_until(lambda: state_directories(plugin) == [], 5, "no directory left")


def test_a_frozen_cgroup_is_stopped_in_time(host: AgentHost, launch: Callable[..., Plugin]) -> None:
    plugin = launch({"standby_executor": False})
    # In cgroup v2 a fatal signal ends a frozen process; this task ignores SIGINT.
    task = host.task(plugin, host.program("act"), [f"ignore={int(signal.SIGINT)}", "tree=2", "out=up", "pause="]).start()
    task.stdout.wait_for("up")
    (task.scope / "cgroup.freeze").write_text("1")
    wait_until(lambda: "frozen 1" in (task.scope / "cgroup.events").read_text(), 5, "the cgroup frozen")
    began = time.monotonic()
    task.stop(1)
    assert time.monotonic() - began < 8
    assert task.wait() == ExitResult(137, 9)
    task.destroy()
    runs(host, plugin)
