"""The client, not the job, decides which directories a task can access without a rule."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Callable, Iterator

import pytest

from agent import AgentHost, Plugin, Task
from agent.expect import refused

Make = Callable[..., Task]
DIRECTORIES = ["local", "secrets", "tmp", "alloc"]


@pytest.fixture
def outside() -> Iterator[Path]:
    """A directory of the host with a file in each of its subdirectories, below no default path."""
    path = Path(tempfile.mkdtemp(prefix="exec2-outside-", dir="/var/tmp"))
    path.chmod(0o755)
    for name in DIRECTORIES:
        (path / name).mkdir()
        (path / name / "file").write_text("of the host")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A directory in which a task or another process can make symlinks."""
    path = Path(tempfile.mkdtemp(prefix="exec2-elsewhere-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def reads(make: Make, file: Path, task_dir: str, user: str) -> Task:
    task = make("cat", [file], user=user)
    task.request.task.env["NOMAD_TASK_DIR"] = task_dir.format(name=task.directory.name)
    return task


@pytest.mark.parametrize("directory", DIRECTORIES)
@pytest.mark.parametrize("unveil, reason", [([], "No such file"), (["x:{outside}"], "Permission denied")], ids=["hidden", "there"])
def test_any_directory_of_the_host(make: Make, outside: Path, unveil: list[str], reason: str, directory: str) -> None:
    """Seen with the variable believed as it is: the task read the file."""
    task = reads(make, outside / directory / "file", str(outside / "local"), "root")
    task.set_config({**task.config, "unveil": [rule.format(outside=outside) for rule in unveil]})
    assert task.run().exit_code == 1
    assert reason in task.stderr.text


def test_any_directory_of_the_host_as_another_user(make: Make, outside: Path) -> None:
    """Then the alloc's own directory is used, which only root may enter here."""
    task = reads(make, outside / "local" / "file", str(outside / "local"), "nomad-80000")
    with refused("working directory", str(task.alloc_dir / task.name), "nomad-80000"):
        task.start()


@pytest.mark.parametrize("user", ["nomad-80000", "root"])
@pytest.mark.parametrize("slashes", ["/", "//", "///"])
def test_symlink_of_the_clients_name(make: Make, outside: Path, elsewhere: Path, slashes: str, user: str) -> None:
    """Seen with that name followed through symlinks: the task was started, with a directory of the host as its own."""
    task = reads(make, outside / "local" / "file", f"{elsewhere}/{{name}}{slashes}local", user)
    (elsewhere / task.directory.name).symlink_to(outside)
    with refused("not a symlink", task.directory.name):
        task.start()


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_symlink_below_the_clients_name(make: Make, outside: Path, elsewhere: Path, directory: str) -> None:
    """Seen with these names followed through symlinks: the task was started, with a directory of the host as its own."""
    task = reads(make, outside / directory / "file", f"{elsewhere}/{{name}}/local", "root")
    (elsewhere / task.directory.name).mkdir()
    for name in DIRECTORIES:
        if name != directory:
            (elsewhere / task.directory.name / name).mkdir()
    (elsewhere / task.directory.name / directory).symlink_to(outside / directory)
    with refused("not a symlink", directory):
        task.start()


def test_symlink_above_the_clients_name(host: AgentHost, plugin: Plugin, elsewhere: Path) -> None:
    """Symlinks above the client's directory are followed: the operator chooses alloc_mounts_dir."""
    task = host.task(plugin, host.program("act"), ["exit=7"])
    (elsewhere / "mounts").symlink_to(host.alloc_mounts)
    task.request.task.env["NOMAD_TASK_DIR"] = f"{elsewhere}/mounts/{task.directory.name}/local"
    assert task.run().exit_code == 7
