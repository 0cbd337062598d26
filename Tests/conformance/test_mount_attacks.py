"""Attacks by jobs, and by running tasks, on the mounts and the working directory of a starting task.

Each test was seen to fail on a build without its protection, unless its docstring says otherwise. The builds: without
RESOLVE_NO_SYMLINKS and RESOLVE_BENEATH in child_mounts.c; without setfsuid(2) there; with all rules opened after
the volumes; and with destinations below /proc allowed."""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

import grpc
import pytest

from agent import AgentHost, Plugin, Task, mounts
from agent.expect import refused
from agent.volumes import add_volume

Make = Callable[..., Task]
Launch = Callable[..., Plugin]
USERS = ["nomad-80000", "root"]
TRIES = 400

_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@pytest.fixture
def outside(places: Path) -> Path:
    """The target of the attacks: its modes allow everybody to write."""
    directory = places / "outside"
    directory.mkdir()
    directory.chmod(0o777)
    (directory / "secret").write_text("of the host")
    return directory


def outcomes(task: Task) -> list[str]:
    assert task.run().exit_code == 0, task.stderr.text
    return [line.split("\t")[2] for line in task.lines()]


# The content of a volume must not decide what rules allow


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("is_there", [False, True], ids=["hidden", "there"])
def test_a_volume_in_the_place_of_a_default_path(
    host: AgentHost, make: Make, volume: Path, outside: Path, is_there: bool, user: str
) -> None:
    """With the rules opened after the volumes, r:/etc/hosts unveils the symlink's target, where the task's root has it."""
    (volume / "hosts").symlink_to(outside)
    (volume / "resolv.conf").symlink_to(outside / "secret")
    task = make(host.program("access"), ["read", outside / "secret", "readdir", outside, "read", "/etc/file"], user=user,
                unveil=[f"x:{outside}"] if is_there else [])
    refusal = "EACCES" if is_there else "ENOENT"
    assert outcomes(add_volume(task, volume, "/etc")) == [refusal, refusal, "ok"]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("is_there", [False, True], ids=["hidden", "there"])
def test_a_volume_in_the_place_of_an_operators_path(
    host: AgentHost, launch: Launch, volume: Path, outside: Path, places: Path, is_there: bool, user: str
) -> None:
    """With the rules opened after the volumes, rwc:…/site/data unveils the symlink's target, where the task's root has it."""
    (places / "site/data").mkdir(parents=True)
    (volume / "data").symlink_to(outside)
    shown = [f"w:{outside}"] if is_there else []
    plugin = launch({"unveil_paths": [host.programs_rule, f"rwc:{places}/site/data", *shown]})
    task = host.task(plugin, host.program("access"), ["read", outside / "secret", "mkfile", outside / "made"], user=user)
    assert outcomes(add_volume(task, volume, places / "site")) == (["EACCES", "EACCES"] if is_there else ["ENOENT", "ENOENT"])
    assert not (outside / "made").exists()


@pytest.mark.parametrize("user", USERS)
def test_a_volume_in_the_place_of_proc(host: AgentHost, make: Make, volume: Path, outside: Path, user: str) -> None:
    """It would replace the kernel's files about the task, and root writes below /proc/self while a task starts."""
    (volume / "self").mkdir()
    (volume / "self/oom_score_adj").symlink_to(outside / "secret")
    with refused("/proc, which is the kernel's"):
        add_volume(make(host.program("act"), ["out=ran"], user=user), volume, "/proc").start()
    assert (outside / "secret").read_text() == "of the host"


@pytest.mark.parametrize("user", USERS)
def test_nothing_beside_the_source_is_unveiled(host: AgentHost, make: Make, volume: Path, outside: Path, places: Path, user: str) -> None:
    """A rule is for the volume alone; the kernel resolves `..` in the task's view. No build was seen to fail here."""
    (places / "data").mkdir()
    (volume / "up").symlink_to("../outside")
    (volume / "away").symlink_to(outside)
    words = [word for path in ("../outside", "up", "away") for word in ("read", places / "data" / path / "secret")]
    task = make(host.program("access"), words + ["read", outside / "secret", "readdir", places], user=user)
    assert set(outcomes(add_volume(task, volume, places / "data"))) <= {"EACCES", "ENOENT"}


def test_a_root_task_changes_no_mount(host: AgentHost, make: Make, volume: Path) -> None:
    """Not seen with one layer less, since each refuses it alone: Landlock denies every change of mounts, root has no
    CAP_SYS_ADMIN, and the filter denies the calls."""
    script = ("mount -o remount,bind,rw local/data; umount local/data; umount /etc/resolv.conf; mount -t tmpfs x local/data;"
              " mount --bind /etc local/data; mkdir local/data/made")
    task = make("sh", ["-c", script], user="root", unveil=["rw:/proc", "rw:/sys", "rwc:/run"])
    task.request.task.dns.servers.append("10.9.8.7")
    assert add_volume(task, volume, "local/data", readonly=True).run().exit_code != 0
    assert not (volume / "made").exists()


# Symlinks in a destination


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("link, target, destination", [
    ("local/link", "{outside}", "local/link"), ("local/link", "{outside}", "local/link/made"), ("local/link", "../../../..", "local/link/made"),
    ("local/link", "/proc/self/root", "local/link/srv"), ("alloc/data/link", "../logs", "alloc/data/link"), ("tmp/link", "made", "tmp/link")])
def test_a_symlink_in_a_destination(host: AgentHost, make: Make, volume: Path, outside: Path, user: str, link: str, target: str, destination: str) -> None:
    """Seen with symlinks followed: the directory `made` was made outside, and the volume was mounted there."""
    task = add_volume(make(host.program("act"), ["out=ran"], user=user), volume, destination)
    (task.directory / link).symlink_to(target.format(outside=outside))
    with refused("no symlink is followed in a destination", destination):
        task.start()
    assert task.stdout.text == ""
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]


@pytest.mark.parametrize("readonly", [False, True])
def test_a_symlink_in_a_volume(host: AgentHost, make: Make, volume: Path, outside: Path, readonly: bool) -> None:
    """A writer of one volume could choose where another one is mounted. Seen with symlinks followed: the task was
    started."""
    (volume / "inner").symlink_to(outside)
    task = make(host.program("act"), ["out=ran"])
    add_volume(add_volume(task, volume, "local/data", readonly=readonly), volume, "local/data/inner/made")
    with refused("no symlink is followed in a destination"):
        task.start()
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]


def test_nothing_is_made_that_the_user_could_not_make(host: AgentHost, make: Make, volume: Path) -> None:
    """Without setfsuid(2), root makes the directory."""
    task = make(host.program("act"), ["out=ran"])
    shared = task.alloc_dir / "alloc/data"
    shared.chmod(0o755)
    with refused("may not make it there", "nomad-80000"):
        add_volume(task, volume, "alloc/data/made").start()
    assert list(shared.iterdir()) == []


# Races


@contextmanager
def swapping(first: Path, second: Path) -> Iterator[None]:
    """Exchanges the two names continually."""
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            _libc.renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def arena(task: Task, outside: Path) -> tuple[Path, Path]:
    """A directory of the task and a symlink that leads outside, to be exchanged."""
    directory, link = task.local / "way", task.local / "link"
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    link.symlink_to(outside)
    return directory, link


def started(task: Task) -> bool:
    """Whether the task started; it may be refused for the symlink."""
    try:
        task.start()
        return True
    except grpc.RpcError as error:
        text = error.details() or ""
        assert "no symlink is followed" in text or "leads out of the task's directory" in text, text
        return False


def test_a_directory_of_the_destination_becomes_a_symlink(host: AgentHost, make: Make, volume: Path, outside: Path) -> None:
    """Seen with symlinks followed, and with the path checked first and then used by name: the volume was mounted outside
    in one of a few tries."""
    seen = set()
    for _ in range(TRIES):
        task = add_volume(make(host.program("act"), ["out=up", "pause="]), volume, "local/way/made/deep")
        with swapping(*arena(task, outside)):
            was_started = started(task)
            seen.add(was_started)
            if was_started:
                points = [point for point in mounts.below(host.root, task.pid) if point.endswith("/made/deep")]
                assert len(points) == 1 and points[0].startswith(f"{task.local}/"), points
                task.stop()
        assert sorted(path.name for path in outside.iterdir()) == ["secret"]
        if len(seen) == 2 and task.was_started:
            return
    pytest.fail(f"in {TRIES} tries the race had only one outcome: {seen}")


def test_the_working_directory_becomes_a_symlink(host: AgentHost, make: Make, outside: Path) -> None:
    """Seen without RESOLVE_BENEATH: the task was started outside, in half of the tries."""
    seen = set()
    for _ in range(TRIES):
        task = make(host.program("act"), ["cwd=", "exit=0"], config={"work_dir": "local/way"})
        with swapping(*arena(task, outside)):
            was_started = started(task)
        seen.add(was_started)
        if was_started:
            task.stdout.wait_end()
            assert task.line("cwd").startswith(f"{task.local}/")
        if len(seen) == 2:
            return
    pytest.fail(f"in {TRIES} tries the race had only one outcome: {seen}")
