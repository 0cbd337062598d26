"""After a reboot of the host the client does not repeat its bind mounts of a task's directories, and their place is an
empty directory.

Before, a task ran there without local, secrets and alloc.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages, mounts
from agent.exec import exec_task
from agent.expect import refused
from agent.task import identity

USERS = ["nomad-80000", "nobody", "root"]
REASON = "after a reboot of the host"


def rebooted(host: AgentHost, plugin: Plugin, script: str, user: str = "nomad-80000", **options: Any) -> Task:
    """A task as the agent (Nomad 2.0.5) starts it then: what it had in its directories is below alloc_dir, and where
    these were mounted is nothing."""
    task = host.task(plugin, "/bin/sh", ["-c", script], user=user, bind_mounts=False, **options)
    for entry in list(task.directory.iterdir()):
        shutil.rmtree(entry)
    own = task.alloc_dir / task.name
    uid, gid = identity(user)
    for directory in (own / "local", own / "secrets", own / "tmp", task.alloc_dir / "alloc" / "data"):
        file = directory / "file"
        file.write_text(f"of {directory.name}\n")
        os.chown(file, uid, gid)
    return task


@pytest.mark.parametrize("user", USERS)
def test_the_directories_are_there(host: AgentHost, plugin: Plugin, user: str) -> None:
    task = rebooted(
        host, plugin,
        "pwd; cat local/file secrets/file tmp/file $NOMAD_ALLOC_DIR/data/file; echo new > local/new; "
        "echo new > $NOMAD_ALLOC_DIR/data/new; echo new > $NOMAD_ALLOC_DIR/logs/new || echo closed", user)
    assert task.run() == ExitResult(0)
    assert task.lines() == [str(task.directory), "of local", "of secrets", "of tmp", "of data", "closed"], task.stderr.text
    assert (task.alloc_dir / task.name / "local" / "new").read_text() == "new\n"
    assert (task.alloc_dir / "alloc" / "data" / "new").read_text() == "new\n"
    # In the task's own mount namespace alone.
    assert os.listdir(task.directory) == [] and mounts.below(task.directory) == [] and mounts.below(task.alloc_dir) == []


@pytest.mark.parametrize("user", USERS)
def test_a_command_in_the_task_has_them_too(host: AgentHost, plugin: Plugin, user: str) -> None:
    task = rebooted(host, plugin, "echo up; sleep 1000", user).start()
    task.stdout.wait_for("up")
    given = exec_task(task, "/bin/sh", "-c", "cat local/file secrets/file $NOMAD_ALLOC_DIR/data/file; echo new > local/new")
    assert given.result.exit_code == 0, given
    assert given.stdout == b"of local\nof secrets\nof data\n"
    assert (task.alloc_dir / task.name / "local" / "new").exists()


def test_a_volume_below_them_stays_the_tasks(host: AgentHost, plugin: Plugin, volume: Path) -> None:
    task = rebooted(host, plugin, "cat local/data/file; echo up; sleep 1000")
    mount = messages.driver.Mount(task_path="local/data", host_path=str(volume))
    task.request.task.mounts.append(mount)
    task.start()
    task.stdout.wait_for("up")
    assert task.stdout.text == "of the volumeup\n"
    assert mounts.below(task.alloc_dir) == []
    assert os.listdir(task.alloc_dir / task.name / "local" / "data") == []


def test_secrets_that_are_a_file_system_of_their_own(host: AgentHost, plugin: Plugin) -> None:
    """The client may have made that one anew; its mount below the task's directory it has not."""
    task = rebooted(host, plugin, "cat secrets/file")
    secrets, other = task.alloc_dir / task.name / "secrets", task.alloc_dir / "other"
    other.mkdir()
    (other / "file").write_text("of the tmpfs\n")
    (other / "file").chmod(0o644)
    other.chmod(0o755)
    mounts.bind(other, secrets)
    try:
        assert task.run() == ExitResult(0)
        assert task.lines() == ["of the tmpfs"]
    finally:
        mounts.unmount(secrets)


def test_a_clients_plain_directories_are_left(host: AgentHost, plugin: Plugin) -> None:
    """Such a client makes no mounts, and has what the task sees there."""
    task = host.task(plugin, "/bin/sh", ["-c", "ls local; ls secrets; echo new > local/new"], bind_mounts=False)
    (task.alloc_dir / task.name / "local" / "file").write_text("not to be seen")
    assert task.run() == ExitResult(0)
    assert task.lines() == []
    assert (task.local / "new").exists()


def no_secrets(task: Task) -> Path:
    path = task.alloc_dir / task.name / "secrets"
    shutil.rmtree(path)
    return path


def no_place(task: Task) -> Path:
    task.directory.rmdir()
    return task.directory


def secrets_elsewhere(task: Task) -> Path:
    path = no_secrets(task)
    path.symlink_to("/etc")
    return path


def alloc_elsewhere(task: Task) -> Path:
    (task.alloc_dir / task.name / "alloc").symlink_to("/etc")
    return task.directory / "alloc"


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("spoil", [no_secrets, no_place, secrets_elsewhere, alloc_elsewhere])
def test_it_is_refused_where_it_cannot_be_done(
    host: AgentHost, plugin: Plugin, spoil: Callable[[Task], Path], user: str
) -> None:
    """Without a directory, or through a symlink that a task may have made, nothing is started."""
    task = rebooted(host, plugin, "echo ran", user)
    path = spoil(task)
    try:
        with refused(str(path), REASON, "nomad alloc stop"):
            task.start()
    finally:
        task.directory.mkdir(exist_ok=True)
    assert task.stdout.text == ""
