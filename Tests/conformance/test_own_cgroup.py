"""What a task finds of the host's cgroups: its own, and of other tasks not even that they are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups
from agent.exec import output
from agent.expect import result
from agent.volumes import add_volume

Launch = Callable[..., Plugin]
users = pytest.mark.parametrize("user", ["nomad-80000", "nobody", "root"])

WATCH = """
import ctypes, os, select, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
watcher = libc.inotify_init1(os.O_CLOEXEC)
for path in sys.argv[1:]:
    # IN_CREATE, IN_DELETE, IN_MODIFY, IN_ATTRIB
    watch = libc.inotify_add_watch(watcher, path.encode(), 0x306)
    print('watched' if watch > 0 else os.strerror(ctypes.get_errno()), path, flush=True)
open('local/seen', 'w').close()
print('up', flush=True)
while not os.path.exists('local/end'):
    if not select.select([watcher], [], [], 0.05)[0]:
        continue
    events = os.read(watcher, 65536)
    while events:
        _, mask, _, length = struct.unpack('iIII', events[:16])
        print('event', hex(mask), events[16:16 + length].rstrip(b'\\0').decode(), flush=True)
        events = events[16 + length:]
"""


# As runtimes find it.
OWN = f"own={cgroups.mount_point()}$(sed -n s/^0:://p /proc/self/cgroup); "


@pytest.fixture
def reserve(host: AgentHost) -> Iterator[Path]:
    """The client's other slice, for tasks with processors of their own."""
    directory = host.slice.root / "reserve.slice"
    directory.mkdir()
    yield directory
    directory.rmdir()


def shell(host: AgentHost, plugin: Plugin, script: str, **options: Any) -> Task:
    return host.task(plugin, "sh", ["-c", script], **options)


@users
def test_nothing_tells_of_other_tasks(plugin: Plugin, host: AgentHost, reserve: Path, user: str) -> None:
    """Seen with the host's cgroups bound as a whole: inotify named the allocation and the task of each that started or ended,
    and the number of links of the slice told how many ran."""
    watched = [host.slice.root, host.slice.share]
    task = host.task(plugin, "/usr/bin/python3", ["-ISc", WATCH, *watched, reserve], user=user).start()
    task.stdout.wait_for("up")
    others = [shell(host, plugin, "sleep 300", name="another", user=user).start() for _ in range(2)]
    hidden = [reserve, *(other.scope for other in others), *(Path(f"{task.scope}/..", other.scope.name) for other in others)]
    script = "; ".join(f"test -e {path} && echo {path}" for path in hidden)
    seen = output(task, "sh", "-c", f"{script}; stat -c %h {watched[0]} {watched[1]}")
    for other in others:
        other.stop()
        other.destroy()
        other.scope.rmdir()
    (task.local / "end").touch()
    assert task.wait() == ExitResult(0)
    # Links of a directory with one other in it, which leads to the task's own.
    assert seen == "3\n3\n"
    said = [f"watched {watched[0]}", f"watched {watched[1]}", f"No such file or directory {reserve}", "up"]
    assert task.stdout.text.splitlines() == said


@users
@pytest.mark.parametrize("has_volume", [False, True])
def test_programs_find_their_own(plugin: Plugin, host: AgentHost, volume: Path, user: str, has_volume: bool) -> None:
    """Below the mount point that they look for: some take the first cgroup v2 mount of mountinfo, some the last, and not all
    consider which part of the hierarchy is mounted there. A volume below the root gives the task copies of the template's
    mounts, which are newer than those."""
    script = "cat /proc/self/mountinfo /proc/self/cgroup; cat $own/cgroup.type; realpath $own; echo > $own/cgroup.procs"
    task = shell(host, plugin, OWN + script, user=user)
    if has_volume:
        add_volume(task, volume, "/data")
    assert task.run().exit_code != 0
    lines = task.stdout.text.splitlines()
    mounts = [line.split() for line in lines if " - " in line]
    assert has_volume or len(mounts) < 70
    found = [(fields[3], fields[4]) for fields in mounts if fields[fields.index("-") + 1] == "cgroup2"]
    top, own = str(cgroups.mount_point()), f"/{task.scope.relative_to(cgroups.mount_point())}"
    assert found == [("/", top), (own, str(task.scope)), ("/", top)]
    assert f"0::{own}" in lines
    assert lines[-2:] == ["domain", str(task.scope)]
    assert "Read-only file system" in task.stderr.text


@pytest.mark.controllers
@users
def test_own_limits_by_path(plugin: Plugin, host: AgentHost, user: str) -> None:
    task = shell(host, plugin, OWN + "cat $own/memory.max", memory=64, user=user)
    assert result(task) == f"{64 << 20}\n"


def test_a_command_finds_the_same(plugin: Plugin, host: AgentHost) -> None:
    task, other = (shell(host, plugin, "sleep 300").start() for _ in range(2))
    assert output(task, "sh", "-c", f"cat {task.scope}/cgroup.type; test -e {other.scope} || echo none") == "domain\nnone\n"
    task.stop()
    other.stop()


@pytest.mark.parametrize("named", ["above", "mount point", "slice"])
def test_a_rule_for_cgroups_shows_others(plugin: Plugin, host: AgentHost, named: str) -> None:
    """For a program that watches the host's tasks."""
    top = cgroups.mount_point()
    path = {"above": top.parent, "mount point": top, "slice": host.slice.share}[named]
    other = shell(host, plugin, "sleep 300").start()
    assert result(shell(host, plugin, f"cat {other.scope}/cgroup.type", unveil=[f"r:{path}"])) == "domain\n"
    other.stop()


def test_a_cgroup_that_is_made_again(plugin: Plugin, host: AgentHost) -> None:
    """What an ended task had mounted does not keep the host from removing its cgroup."""
    task = shell(host, plugin, OWN + "cat $own/cgroup.type", user="root")
    for times in (1, 2):
        assert result(task) == "domain\n" * times
        task.destroy()
        task.scope.rmdir()
        task.scope.mkdir()
        task.begin_again()
