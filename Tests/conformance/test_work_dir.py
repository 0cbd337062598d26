"""The working directory of a task."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

import pytest

from agent import AgentHost, Task, hcl
from agent.expect import refused
from agent.volumes import add_volume

Make = Callable[..., Task]
USERS = ["nomad-80000", "nobody", "root"]


def started_in(act: Make, work_dir: str | None, **options: Any) -> Task:
    return act("cwd=", "exit=0", config={} if work_dir is None else {"work_dir": work_dir}, **options)


@pytest.mark.parametrize("user", USERS)
def test_the_default_is_the_task_directory(act: Make, user: str) -> None:
    task = started_in(act, None, user=user)
    task.run()
    assert task.line("cwd") == str(task.directory)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("work_dir, found", [("local", "local"), ("local/", "local"), (".", ""), ("alloc/data", "alloc/data"), ("./local/../tmp", "tmp")])
def test_relative_to_the_task_directory(act: Make, user: str, work_dir: str, found: str) -> None:
    task = started_in(act, work_dir, user=user)
    task.run()
    assert task.line("cwd") == os.path.normpath(task.directory / found)


@pytest.mark.parametrize("user", USERS)
def test_absolute(act: Make, places: Path, user: str) -> None:
    task = started_in(act, str(places), user=user, unveil=[f"x:{places}"])
    task.run()
    assert task.line("cwd") == str(places)


def test_absolute_and_not_unveiled(act: Make, places: Path) -> None:
    """It does not exist for the task."""
    with refused("working directory", str(places), "below what is unveiled"):
        started_in(act, str(places), user="root").start()


def test_absolute_in_the_task_directory(make: Make, host: AgentHost) -> None:
    task = make(None)
    task.set_config({"command": str(host.program("act")), "args": ["cwd="], "work_dir": f"{task.local}"})
    task.run()
    assert task.line("cwd") == str(task.local)


def test_work_dir_unveils_nothing(make: Make, host: AgentHost, places: Path) -> None:
    (places / "file").write_text("x")
    task = make(host.program("access"), ["read", "file", "readdir", "."], config={"work_dir": str(places)}, unveil=[f"x:{places}"])
    task.run()
    assert [line.split("\t")[2] for line in task.lines()] == ["EACCES", "EACCES"]


def test_in_a_volume(make: Make, host: AgentHost, places: Path) -> None:
    (places / "inner").mkdir()
    (places / "inner/file").write_text("x")
    task = make(host.program("access"), ["read", "file"], config={"work_dir": "local/data/inner"})
    add_volume(task, places, "local/data").run()
    assert [line.split("\t")[2] for line in task.lines()] == ["ok"]


def test_symlinks_that_stay_inside_are_followed(make: Make, host: AgentHost) -> None:
    """For example a release that is unpacked beside others: current -> releases/1."""
    task = make(host.program("act"), ["cwd="], config={"work_dir": "local/current"})
    (task.local / "releases/1").mkdir(parents=True)
    (task.local / "releases/1").chmod(0o755)
    (task.local / "releases").chmod(0o755)
    (task.local / "current").symlink_to("releases/1")
    task.run()
    assert task.line("cwd") == str(task.local / "releases/1")


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("target", ["/etc", "../../..", "{places}", "/proc/self/root/etc"])
def test_symlinks_that_lead_out_are_not(make: Make, host: AgentHost, places: Path, user: str, target: str) -> None:
    """Seen in a build that changes to the directory by its path: the task started in /etc."""
    task = make(host.program("act"), ["cwd=", "out=ran"], config={"work_dir": "local/way"}, user=user)
    (task.local / "way").symlink_to(target.format(places=places))
    with refused("working directory", "local/way", "leads out of the task's directory"):
        task.start()
    assert task.stdout.text == ""


@pytest.mark.parametrize("work_dir, reason", [
    ("", '""'), (5, "5"), (["local"], "local"), (True, "true"), ("local/none", "must be a directory that exists"),
    ("/srv/exec2-none", "/srv/exec2-none"), ("/etc/hosts", "must be a directory"), ("../other", "leads out of the task's directory"),
    ("local/../../x", "leads out of the task's directory"), ("x" * 5000, "must be the path of a directory"), ("local/\0x", "NUL"),
])
def test_wrong_values(act: Make, work_dir: Any, reason: str) -> None:
    task = act("out=ran")
    task.set_config(hcl.unchecked({**task.config, "work_dir": work_dir}))
    with refused(reason, "work_dir" if work_dir in ("", 5, True) else ""):
        task.start()
    assert task.stdout.text == ""


def test_the_user_must_be_able_to_enter(act: Make, places: Path) -> None:
    places.chmod(0o700)
    with refused("working directory", str(places), "nomad-80000"):
        started_in(act, str(places), unveil=[f"x:{places}"]).start()
    task = started_in(act, str(places), user="root", unveil=[f"x:{places}"])
    task.run()
    assert task.line("cwd") == str(places)
