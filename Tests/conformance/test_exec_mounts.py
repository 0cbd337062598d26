"""Commands in a task that has mounts of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Callable, Iterator

import grpc
import pytest

from agent import AgentHost, Plugin, Task
from agent.exec import exec_task, output, script
from agent.opened import Opened
from agent.timing import wait_until
from agent.volumes import add_volume, make_node

Make = Callable[..., Task]
USERS = ["nomad-80000", "root"]


@pytest.fixture
def places(host: AgentHost) -> Iterator[Path]:
    """A directory of the host below no default rule, with a volume and directories outside the volume."""
    directory = host.root / "places"
    for name in ("volume", "data", "hidden"):
        (directory / name).mkdir(parents=True)
        (directory / name).chmod(0o777)
    directory.chmod(0o755)
    (directory / "volume" / "file").write_text("of the volume")
    (directory / "hidden" / "file").write_text("of nobody")
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize("user", USERS)
def test_a_volume_is_there(make: Make, places: Path, user: str) -> None:
    task = add_volume(make("/bin/sleep", ["300"], user=user), places / "volume", places / "data").start()
    assert output(task, "cat", places / "data" / "file") == "of the volume"
    assert exec_task(task, "/bin/sh", "-c", f"echo new > {places}/data/new").result.exit_code == 0
    assert (places / "volume" / "new").read_text() == "new\n"
    for hidden in (places / "hidden" / "file", places / "volume" / "file"):
        assert b"No such file or directory" in exec_task(task, "cat", hidden).stderr


def test_a_volume_to_read(make: Make, places: Path) -> None:
    task = add_volume(make("/bin/sleep", ["300"]), places / "volume", places / "data", readonly=True).start()
    assert output(task, "cat", places / "data" / "file") == "of the volume"
    answer = exec_task(task, "/bin/sh", "-c", f"echo new > {places}/data/new")
    assert answer.result.exit_code != 0 and b"Read-only file system" in answer.stderr
    assert not (places / "volume" / "new").exists()


# Without a rule the target does not exist; with one that does not read, only the rule is in the way.
by_target = pytest.mark.parametrize("modes, reason", [("", b"No such file or directory"), ("x", b"Permission denied")], ids=["hidden", "there"])


@pytest.mark.parametrize("user", USERS)
@by_target
def test_a_symlink_in_a_volume_unveils_no_path(make: Make, places: Path, user: str, modes: str, reason: bytes) -> None:
    """A default rule names /etc/ssl/certs, which in the task's view has become a symlink in a volume. Seen in a build that
    resolved the rules in that view: the command read the symlink's target."""
    (places / "volume" / "certs").symlink_to(places / "hidden")
    task = make("/bin/sleep", ["300"], user=user, unveil=[f"{modes}:{places}/hidden"] if modes else [])
    add_volume(task, places / "volume", "/etc/ssl").start()
    assert output(task, "cat", "/etc/ssl/file") == "of the volume"
    assert reason in exec_task(task, "cat", "/etc/ssl/certs/file").stderr
    terminal = script(task, f"cat {places}/hidden/file", tty=True)
    assert terminal.wait() == (1, 0) and b"of nobody" not in terminal.stdout


@pytest.mark.parametrize("user", USERS)
def test_resolver_of_the_task(make: Make, user: str) -> None:
    task = make("/bin/sleep", ["300"], user=user)
    task.request.task.dns.servers.append("10.9.8.7")
    task.start()
    assert output(task, "cat", "/etc/resolv.conf").endswith("\nnameserver 10.9.8.7\n")


@by_target
def test_a_resolv_conf_that_a_volume_replaces(make: Make, places: Path, modes: str, reason: bytes) -> None:
    """The rule is for the file that was made for the task, not for what its path leads to."""
    task = make("/bin/sleep", ["300"], unveil=[f"{modes}:{places}/hidden"] if modes else [])
    task.request.task.dns.servers.append("10.9.8.7")
    (places / "volume" / "resolv.conf").symlink_to(places / "hidden" / "file")
    add_volume(task, places / "volume", "/etc").start()
    assert reason in exec_task(task, "cat", "/etc/resolv.conf").stderr


def fifo(volume: Path, hidden: Path) -> Path:
    os.mkfifo(volume / "resolv.conf")
    return volume / "resolv.conf"


def link_to_a_fifo(volume: Path, hidden: Path) -> Path:
    os.mkfifo(hidden / "fifo")
    (volume / "resolv.conf").symlink_to(hidden / "fifo")
    return hidden / "fifo"


def link_to_a_device(volume: Path, hidden: Path) -> Path:
    (volume / "resolv.conf").symlink_to(hidden / "node")
    return make_node(hidden / "node", 1, 5)


@pytest.mark.parametrize("put", [fifo, link_to_a_fifo, link_to_a_device])
def test_only_regular_files_are_opened(make: Make, places: Path, put: Callable[[Path, Path], Path]) -> None:
    """Root looks for the task's own resolv.conf where a volume has put something else. Seen before it was opened with
    O_PATH: opening the FIFO woke its writers, and opening the device called its driver."""
    task = make("/bin/sleep", ["300"])
    task.request.task.dns.servers.append("10.9.8.7")
    place = put(places / "volume", places / "hidden")
    add_volume(task, places / "volume", "/etc").start()
    with Opened(place) as opened:
        assert output(task, "echo", "fine") == "fine\n"
        assert not opened.happened
        os.close(os.open(place, os.O_RDONLY | os.O_NONBLOCK))
        assert opened.happened


def test_a_loop_of_symlinks_does_not_stop_commands(make: Make, plugin: Plugin, places: Path) -> None:
    """A loop replaces a file that was made for the task, and one that the job has a rule for. Commands have the task's own
    ruleset, so that nothing is opened for them. Seen while they opened the paths again: every command failed, "cannot unveil
    <path>: Too many levels of symbolic links", and later there was a warning of each."""
    volume, rule = places / "volume", places / "data" / "file"
    task = make("/bin/sleep", ["300"], unveil=[f"r:{rule}"])
    task.request.task.dns.servers.append("10.9.8.7")
    add_volume(add_volume(task, volume, places / "data"), volume, "/etc").start()
    for name in ("file", "resolv.conf"):
        (volume / name).unlink(missing_ok=True)
        (volume / name).symlink_to(name)
    for _ in range(4):
        assert output(task, "echo", "fine") == "fine\n"
    task.stop(timeout=0)
    with pytest.raises(grpc.RpcError):
        exec_task(task, "/bin/true")
    wait_until(
        lambda: any(entry["@message"] == "cannot exec in a task" for entry in plugin.log), 30, "a line after those of the commands")
    assert not [entry for entry in plugin.log if "Too many levels of symbolic links" in str(entry)]


@pytest.mark.parametrize("user", USERS)
def test_own_proc(make: Make, user: str) -> None:
    """Rules below /proc mean the task's own /proc, the default rules too."""
    task = make("/bin/sleep", ["300"], user=user).start()
    # Not the whole file: ExecTask returns the last 64 KiB, and the line of "/" may be the first of hundreds.
    assert len(output(task, "grep", " / / ", "/proc/self/mountinfo").splitlines()) == 1
    assert set(output(task, "ls", "/dev/fd").split()) >= {"0", "1", "2"}
