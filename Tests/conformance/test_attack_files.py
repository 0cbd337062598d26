"""Paths that change while the Driver and the Executor use them.

Each test was seen to fail on a build without the tested protection; its docstring says how. Log paths that are wrong from
the start: test_logs.py; directories that are not the client's: test_task_directories.py.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages
from agent.expect import refused
from agent.state import directory_of
from agent.timing import wait_until
from attacking import USERS, outcomes

Launch = Callable[..., Plugin]
State = messages.driver.FingerprintResponse
ROUNDS = 40
# A start looks at the same directory several times, so that one of either kind may be rare.
MAXIMUM_ROUNDS = 20 * ROUNDS
SECRET = "quite-secret-value"
_libc = ctypes.CDLL(None, use_errno=True)
_EXCHANGE = 2


def exchange(one: Path, other: Path) -> None:
    """Exchanges two names atomically (renameat2(2))."""
    if _libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), _EXCHANGE) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[list[int]]:
    """Exchanges two names again and again, so that it eventually happens at every moment of a start; yields the count. The
    number is even: afterwards each name is where it was."""
    count = [0]
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for _ in range(2):
                exchange(one, other)
                count[0] += 1
                time.sleep(0.00005)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield count
    finally:
        over.set()
        thread.join()


def start_in_turn(make: Callable[[], Task], swap: Callable[[Task], tuple[Path, Path]]) -> tuple[list[Task], int]:
    """Starts task after task while two of its paths are swapped, until both outcomes have occurred. Returns the tasks that
    started, after their end, and how many were refused."""
    started: list[Task] = []
    refusals = 0
    while len(started) + refusals < (ROUNDS if started and refusals else MAXIMUM_ROUNDS):
        task = make()
        one, other = swap(task)
        with swapping(one, other):
            try:
                task.start()
            except grpc.RpcError as error:
                assert error.code() not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE), error.details()
                refusals += 1
                continue
        task.wait()
        started.append(task)
    return started, refusals


@pytest.fixture
def trap(host: AgentHost) -> Iterator[tuple[Path, int]]:
    """A pipe of root's, named like a log, in a directory that tasks cannot enter; and its read end."""
    directory = host.root / "trap"
    directory.mkdir(mode=0o700)
    path = directory / ".web.stdout.fifo"
    os.mkfifo(path, 0o600)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reader
    os.close(reader)
    path.unlink()
    directory.rmdir()


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("what", ["the pipe", "its directory"])
def test_log_swapped_for_a_symlink_while_tasks_start(
    host: AgentHost, plugin: Plugin, trap: tuple[Path, int], user: str, what: str
) -> None:
    """CVE-2026-8052, CVE-2026-6959: root must open the file itself and not follow a symlink. Seen without
    RESOLVE_NO_SYMLINKS: within a few starts a task's output came out of the trap."""
    pipe, reader = trap

    def swap(task: Task) -> tuple[Path, Path]:
        if what == "the pipe":
            decoy = task.logs / "decoy"
            decoy.symlink_to(pipe)
            return task.stdout_path, decoy
        decoy = task.logs.with_name("decoy")
        decoy.symlink_to(pipe.parent)
        return task.logs, decoy

    started, refusals = start_in_turn(lambda: host.task(plugin, host.program("act"), ["out=mine", "exit=0"], user=user), swap)
    try:
        assert os.read(reader, 1000) == b""
    except BlockingIOError:
        pass
    # Both outcomes must occur, or the test has tried nothing.
    assert started and refusals, (len(started), refusals)
    for task in started:
        task.stdout.wait_end()
        assert task.stdout.text == "mine\n"


@pytest.mark.parametrize("user", USERS)
def test_directory_swapped_for_a_symlink_while_tasks_start(host: AgentHost, plugin: Plugin, user: str) -> None:
    """The task's own directories are unveiled, and mounted, by name. Seen with symlinks followed in that name: within a few
    starts a task read the secret."""
    secret = host.root / "secrets-of-another"
    secret.mkdir()
    secret.chmod(0o755)
    (secret / "file").write_text(SECRET)

    def swap(task: Task) -> tuple[Path, Path]:
        decoy = task.directory / "decoy"
        decoy.symlink_to(secret)
        return task.local, decoy

    def make() -> Task:
        task = host.task(plugin, host.program("attack"), user=user, bind_mounts=False)
        # By its own path, and where the directory would be mounted.
        task.set_config({**task.config, "args": ["read", str(secret / "file"), "read", str(task.local / "file")]})
        return task

    try:
        started, _ = start_in_turn(make, swap)
        assert started
        for task in started:
            task.stdout.wait_end()
            assert outcomes(task) == ["ENOENT", "ENOENT"]
    finally:
        (secret / "file").unlink()
        secret.rmdir()


@pytest.mark.parametrize("user", USERS)
def test_pipe_replaced_while_the_task_runs(host: AgentHost, plugin: Plugin, user: str) -> None:
    """A running task keeps its open log pipes, whatever their paths have become; a task that is started after that is
    refused. Seen without RESOLVE_NO_SYMLINKS: it was started."""
    task = host.task(plugin, host.program("act"), ["block=10", "out=before", "await=10", "out=after", "exit=0"], user=user).start()
    task.stdout.wait_for("before")
    task.stdout_path.rename(task.logs / "moved")
    task.stdout_path.symlink_to(task.logs / "moved")
    task.signal("SIGUSR1")
    assert task.wait() == ExitResult(0)
    task.stdout.wait_for("after")
    task.request.task.id += "x"
    with refused(str(task.stdout_path)):
        task.start()


@pytest.mark.parametrize("user", USERS)
def test_task_cannot_replace_its_logs(host: AgentHost, plugin: Plugin, user: str) -> None:
    """Nor add files to the log directory, by any path: below alloc_dir it does not exist. Seen without the read-only mount:
    pipes were renamed, linked and removed through the client's mount."""
    task = host.task(plugin, host.program("attack"), user=user)
    words: list[object] = []
    for logs in (task.logs, task.directory / "alloc" / "logs"):
        pipe = logs / task.stdout_path.name
        words += ["move", f"{pipe},{logs}/x", "move", f"{pipe},{task.local}/x", "link", f"{pipe},{logs}/x",
                  "move", f"{logs},{logs}.moved", "move", f"{task.directory}/alloc/data,{logs}/data"]
    task.set_config({"command": str(host.program("attack")), "args": [str(word) for word in words]})
    assert task.run() == ExitResult(0)
    by_alloc_dir, by_mount = outcomes(task)[:5], outcomes(task)[5:]
    assert set(by_alloc_dir) == {"ENOENT"}, task.lines()
    assert by_mount == ["EROFS", "EXDEV", "EROFS", "EBUSY", "EXDEV"], task.lines()


def new_directory(host: AgentHost) -> Path:
    """An empty directory of root's below the agent's."""
    directory = Path(tempfile.mkdtemp(dir=host.root))
    directory.chmod(0o755)
    return directory


@pytest.mark.parametrize("kind", ["symlink", "symlink to a directory of root's", "directory of another user", "file"])
def test_state_directory_taken_beforehand(launch: Launch, host: AgentHost, kind: str) -> None:
    """The owner of the state directory could send requests to Executors and forge exit records. Seen without the check of
    its type and owner: the task was started, with its pipes in the other user's directory."""
    # Another user can make something only in a place such as /tmp.
    shared = new_directory(host)
    shared.chmod(0o1777)
    state_dir = shared / "state"
    other = state_dir.with_name("other")
    other.mkdir()
    if kind == "symlink":
        os.chown(other, 65534, 65534)
    if kind.startswith("symlink"):
        state_dir.symlink_to(other)
    elif kind == "file":
        state_dir.touch()
    else:
        state_dir.mkdir()
        os.chown(state_dir, 65534, 65534)
    plugin = launch({"state_dir": str(state_dir)})
    task = host.task(plugin, host.program("act"), ["exit=0"])
    with refused("state_dir", str(state_dir)):
        task.start()
    assert list(other.iterdir()) == []
    if kind == "directory of another user":
        assert list(state_dir.iterdir()) == []
        state_dir.rmdir()
    else:
        state_dir.unlink()
    other.rmdir()
    # After the other user's file is removed, the same request succeeds.
    assert task.start().wait() == ExitResult(0)
    assert directory_of(task).stat().st_uid == 0


def unhealthy(plugin: Plugin) -> str:
    """The health description of an unhealthy driver."""
    given = plugin.fingerprint()
    assert given.health != State.HEALTHY
    return str(given.health_description)


@pytest.mark.parametrize("mode, owner", [(0o777, 0), (0o775, 0), (0o755, 65534), (0o1777, 65534)], ids=oct)
def test_state_directory_below_one_of_others(launch: Launch, host: AgentHost, mode: int, owner: int) -> None:
    """Seen without the check: another user moved the state directory away and put its own there. The sticky bit does not
    restrict the owner of a directory."""
    place = new_directory(host)
    (place / "below").mkdir()
    place.chmod(mode)
    os.chown(place, owner, 0)
    state_dir = place / "below" / "state"
    plugin = launch({"state_dir": str(state_dir)})
    text = unhealthy(plugin)
    assert str(place) in text and "option state_dir" in text and ("chmod go-w" in text or "chown root" in text), text
    task = host.task(plugin, host.program("act"), ["exit=0"])
    with refused("state_dir", str(state_dir), str(place)):
        task.start()
    assert not state_dir.exists()
    place.chmod(0o755)
    os.chown(place, 0, 0)
    assert task.start().wait() == ExitResult(0)
    assert "state_dir" not in plugin.fingerprint().health_description


def test_state_directory_given_away(launch: Launch, host: AgentHost) -> None:
    """A root task has the capability `chown`, and Landlock does not govern chown(2). Seen without the repair: after one
    chown of the state directory no task of the node started any more."""
    plugin = launch()
    running = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    running.stdout.wait_for("up")
    os.chown(plugin.state_dir, 4711, 4711)
    plugin.state_dir.chmod(0o777)
    # Files that the user makes there meanwhile are not trusted.
    forged = plugin.state_dir / "forged+task+12345678"
    forged.mkdir()
    shutil.copy(directory_of(running) / "executor", forged / "executor")
    for path in (forged, forged / "executor"):
        os.chown(path, 4711, 4711)
    assert "state_dir" not in plugin.fingerprint().health_description
    assert host.task(plugin, host.program("act"), ["exit=3"]).run() == ExitResult(3)
    facts = plugin.state_dir.stat()
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o7777) == (0, 0, 0o700)
    wait_until(lambda: any("taken back" in line["@message"] for line in plugin.log), 30, "a line of the log about it")
    running.stop()
    assert running.wait().signal != 0
    shutil.rmtree(forged)


@pytest.mark.parametrize("fault", ["owner", "mode", "directory's owner", "directory's mode"])
def test_executor_of_others(launch: Launch, host: AgentHost, binary: Path, fault: str) -> None:
    """Seen without the check: another user's program was run as root, with all of the agent's capabilities."""
    place = new_directory(host)
    executor = Path(shutil.copy(f"{binary}-executor", place / "executor"))
    executor.chmod(0o755)
    path = place if fault.startswith("directory") else executor
    if fault.endswith("owner"):
        os.chown(path, 65534, 65534)
    else:
        path.chmod(0o775)
    plugin = launch({"executor_path": str(executor)})
    text = unhealthy(plugin)
    assert str(executor) in text and "executor_path" in text and str(path) in text, text
    task = host.task(plugin, host.program("act"), ["exit=0"])
    with refused("the Executor cannot be run from", str(executor), str(path)):
        task.start()
    path.chmod(0o755)
    os.chown(path, 0, 0)
    assert task.start().wait() == ExitResult(0)
