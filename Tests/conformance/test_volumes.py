"""Volumes: what a task sees of them and may do in them, and where they can be mounted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, Plugin, Task, messages, mounts, processes
from agent.expect import refused
from agent.timing import scaled, wait_until
from agent.volumes import add_volume

Make = Callable[..., Task]
Launch = Callable[..., Plugin]
USERS = ["nomad-80000", "nobody", "root"]


@pytest.fixture
def data(places: Path) -> Path:
    """A destination outside the task's directory."""
    directory = places / "data"
    directory.mkdir()
    return directory


@pytest.fixture
def access(host: AgentHost, make: Make) -> Callable[..., Task]:
    """Makes tasks that try operations on paths: access("read", path, …)."""

    def task(*words: object, **options: object) -> Task:
        return make(host.program("access"), [str(word) for word in words], **options)

    return task


def outcomes(task: Task) -> list[str]:
    assert task.run().exit_code == 0, task.stderr.text
    return [line.split("\t")[2] for line in task.lines()]


def test_capabilities_say_so(plugin: Plugin) -> None:
    given = plugin.driver.Capabilities(messages.driver.CapabilitiesRequest(), timeout=scaled(10)).capabilities
    assert given.mount_configs == messages.driver.DriverCapabilities.ANY_MOUNTS


@pytest.mark.parametrize("user", USERS)
def test_a_volume_is_there(access: Make, volume: Path, data: Path, user: str) -> None:
    words = ["read", data / "file", "readdir", data, "write", data / "file", "mkfile", data / "new", "mkdir", data / "deep/directory",
             "unlink", data / "new", "exec", data / "program"]
    assert set(outcomes(access(*words, user=user))) <= {"EACCES", "ENOENT"}
    task = add_volume(access(*words, user=user), volume, data)
    assert outcomes(task) == ["ok"] * 7
    assert (volume / "deep/directory").is_dir() and not (volume / "new").exists()
    assert list(data.iterdir()) == [], "the mount is in the task's own namespace only"


@pytest.mark.parametrize("user", USERS)
def test_a_read_only_volume(access: Make, volume: Path, data: Path, user: str) -> None:
    words = ["read", data / "file", "readdir", data, "write", data / "file", "mkfile", data / "new", "unlink", data / "file", "exec", data / "program"]
    found = outcomes(add_volume(access(*words, user=user), volume, data, readonly=True))
    assert found[:2] == ["ok", "ok"]
    assert all(outcome in ("EROFS", "EACCES") for outcome in found[2:]), found
    assert (volume / "file").read_text() == "of the volume"


@pytest.mark.parametrize("user", USERS)
def test_read_only_holds_where_rules_open_all(access: Make, volume: Path, user: str) -> None:
    """The task's own directory is rwxc, and for Landlock so is everything below it: the read-only mount must hold."""
    task = access(user=user)
    place = task.local / "data"
    words = ["read", place / "file", "write", place / "file", "mkfile", place / "new", "exec", place / "program", "write", place / "deep/../file"]
    task.config["args"] = [str(word) for word in words]
    task.set_config(task.config)
    assert outcomes(add_volume(task, volume, place, readonly=True)) == ["ok", "EROFS", "EROFS", "EACCES", "EROFS"]


def test_read_only_is_recursive(access: Make, volume: Path, data: Path) -> None:
    """A file system that is mounted below the source is read-only too."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "inner", volume / "deep"], check=True)
    try:
        words = ["mkfile", data / "deep/new"]
        assert outcomes(add_volume(access(*words), volume, data)) == ["ok"]
        (volume / "deep/new").unlink()
        assert outcomes(add_volume(access(*words, unveil=[f"rwxc:{data}"]), volume, data, readonly=True)) == ["EROFS"]
    finally:
        subprocess.run(["umount", volume / "deep"], check=True)


def test_programs_of_a_read_only_volume_need_a_rule(access: Make, volume: Path, data: Path) -> None:
    words = ["exec", data / "program"]
    assert outcomes(add_volume(access(*words), volume, data, readonly=True)) == ["EACCES"]
    assert outcomes(add_volume(access(*words, unveil=[f"rx:{data}"]), volume, data, readonly=True)) == ["ok"]


def test_the_operator_makes_a_source_executable(host: AgentHost, launch: Launch, volume: Path, data: Path) -> None:
    plugin = launch({"unveil_paths": [host.programs_rule, f"rx:{volume}"]})
    task = host.task(plugin, host.program("access"), ["exec", data / "program"])
    assert outcomes(add_volume(task, volume, data, readonly=True)) == ["ok"]


def test_without_defaults_a_volume_is_reachable_all_the_same(host: AgentHost, launch: Launch, volume: Path, data: Path) -> None:
    """The job names it, so that it is one of the configured paths."""
    plugin = launch({"unveil_defaults": False, "unveil_by_task": True})
    for unveil, other in ([], "ENOENT"), (["w:/etc/hosts"], "EACCES"):
        task = host.task(plugin, host.program("access"), ["read", data / "file", "read", "/etc/hosts"], unveil=unveil)
        assert outcomes(add_volume(task, volume, data)) == ["ok", other]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("destination", ["local/data", "data", "local/a/b/c", "{task}/local/data", "{task}/./local//data/", "alloc/data/x", "tmp/x"])
def test_destinations_in_the_task_directory_are_made(make: Make, host: AgentHost, volume: Path, destination: str, user: str) -> None:
    task = make(host.program("access"), user=user)
    destination = destination.format(task=task.directory)
    path = Path(os.path.normpath(task.directory / destination))
    task.config["args"] = ["read", str(path / "file"), "mkfile", str(path / "new")]
    task.set_config(task.config)
    assert outcomes(add_volume(task, volume, destination)) == ["ok", "ok"]
    (volume / "new").unlink()
    assert path.is_dir() and list(path.iterdir()) == []
    assert path.stat().st_uid == task.local.stat().st_uid, "it is made as the task's user"


@pytest.mark.parametrize("destination", ["/nonexistent/data", "/srv/exec2-nonexistent", "/var/run/exec2-nonexistent"])
def test_other_destinations_are_made_for_the_task_alone(access: Make, volume: Path, destination: str) -> None:
    task = access("read", f"{destination}/file", "mkfile", f"{destination}/new", user="root")
    assert outcomes(add_volume(task, volume, destination)) == ["ok", "ok"]
    (volume / "new").unlink()
    assert not Path(destination).exists()


@pytest.mark.parametrize("first, second", [("/etc/exec2-a", "/exec2-b"), ("/exec2-a", "/etc/exec2-b"), ("/exec2-a/b", "/exec2-c")])
def test_two_destinations_are_made(access: Make, volume: Path, first: str, second: str) -> None:
    """The second adds to a root, or to a copy of a directory, that was made for the first; both are read-only in the end.

    Seen where the copy's mount was not found again: the start failed."""
    task = access("read", f"{first}/file", "read", f"{second}/file", "mkfile", "/new", "mkfile", "/etc/new", "read", "/etc/hosts", user="root")
    assert outcomes(add_volume(add_volume(task, volume, first), volume, second)) == ["ok", "ok", "EROFS", "EROFS", "ok"]


def test_a_file_as_a_volume(access: Make, volume: Path, places: Path) -> None:
    target = places / "target"
    target.write_text("of the host")
    task = access("read", target, "write", target)
    assert outcomes(add_volume(task, volume / "file", target)) == ["ok", "ok"]
    assert target.read_text() == "of the host" and (volume / "file").read_text().startswith("w")
    task = access("read", "local/made")
    assert outcomes(add_volume(task, volume / "file", "local/made", readonly=True)) == ["ok"]


def test_volumes_in_volumes(access: Make, volume: Path, data: Path, places: Path) -> None:
    """Parents are mounted first, whatever their order in the job."""
    inner = places / "inner"
    inner.mkdir()
    (inner / "own").write_text("x")
    task = access("read", data / "file", "read", data / "deep/own", "read", data / "deep/sub/own")
    (inner / "sub").mkdir()
    add_volume(task, inner, data / "deep/sub", readonly=True)
    add_volume(task, inner, data / "deep", readonly=True)
    add_volume(task, volume, data)
    assert outcomes(task) == ["ok", "ok", "ok"]


def test_a_source_below_a_destination_is_the_hosts(access: Make, volume: Path, data: Path) -> None:
    """Sources are opened before anything is mounted."""
    (data / "sub").mkdir()
    (data / "sub/file").write_text("of the host's data")
    task = access("read", "local/second/file")
    add_volume(add_volume(task, volume, data), data / "sub", "local/second")
    assert outcomes(task) == ["ok"]


def test_a_hundred_volumes(make: Make, host: AgentHost, volume: Path) -> None:
    task = make("sh", ["-c", "cat local/v*/file | wc -c"])
    for number in range(100):
        add_volume(task, volume, f"local/v{number}", readonly=number % 2 == 0)
    assert task.run().exit_code == 0
    assert task.lines() == [str(100 * len("of the volume"))]


def test_devices_and_setuid_programs_in_a_volume_do_not_work(make: Make, volume: Path, data: Path) -> None:
    os.mknod(volume / "null", 0o020666, os.makedev(1, 3))
    (volume / "null").chmod(0o666)
    script = f"while read -r line; do echo $line; done < /proc/self/mountinfo; echo x > {data}/null"
    task = add_volume(make("sh", ["-c", script], user="root"), volume, data)
    assert task.run().exit_code != 0
    assert "Permission denied" in task.stderr.text
    [line] = [line for line in task.lines() if f" {data} " in line]
    assert {"rw", "nosuid", "nodev"} <= set(line.split(" ")[5].split(","))


@pytest.fixture
def shared(places: Path) -> Iterator[Path]:
    """A mount of the host with shared propagation, which systemd sets for all mounts."""
    point = places / "shared"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "shared", point], check=True)
    subprocess.run(["mount", "--make-shared", point], check=True)
    (point / "inner").mkdir()
    yield point
    subprocess.run(["umount", "-R", point], check=True)


@pytest.mark.parametrize("mode, outcome", [("", "missing"), ("private", "missing"), ("host-to-task", "there")])
def test_propagation(make: Make, shared: Path, data: Path, mode: str, outcome: str) -> None:
    """A file system that the host mounts below the source while the task runs."""
    script = f"echo up; while [ ! -e {data}/go ]; do sleep 0.05; done; [ -e {data}/inner/late ] && echo there || echo missing"
    task = add_volume(make("sh", ["-c", script]), shared, data, propagation=mode).start()
    task.stdout.wait_for("up")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "late", shared / "inner"], check=True)
    (shared / "inner/late").write_text("x")
    (shared / "go").write_text("x")
    assert task.wait().exit_code == 0
    task.stdout.wait_end()
    assert task.lines() == ["up", outcome]


def test_nothing_is_left_on_the_host(make: Make, host: AgentHost, volume: Path, data: Path) -> None:
    before = mounts.below(host.root)
    task = add_volume(make(host.program("act"), ["out=up", "pause="]), volume, data).start()
    task.stdout.wait_for("up")
    assert str(data) in mounts.below(data, task.pid)
    assert mounts.below(data) == []
    task.stop()
    task.destroy()
    wait_until(lambda: [point for point in mounts.below(host.root) if point not in before and str(task.directory) not in point] == [], 5, "no mount left")


def test_a_volume_can_be_unmounted_once_the_task_has_ended(make: Make, host: AgentHost, shared: Path, data: Path) -> None:
    """The Executor keeps no source open: the client unmounts CSI volumes."""
    task = add_volume(make(host.program("act"), ["out=up", "pause="]), shared, data).start()
    task.stdout.wait_for("up")
    links = processes.descriptors(task.executor_pid).values()
    assert not [link for link in links if "source" in link or "shared" in link], links
    # Of the mounts that the logs were opened on; they are closed once the task has run for a moment.
    wait_until(lambda: "/" not in processes.descriptors(task.executor_pid).values(), 5, "no detached mount is open")
    task.stop()


WRONG = {
    "empty": ("", "there is no destination"),
    "root": ("/", "hide the whole host"),
    "dots": ("local/../../x", "must not have .. in it"),
    "dots outside": ("/srv/../etc", "must not have .. in it"),
    "proc": ("/proc", "the kernel's"),
    "below proc": ("/proc/sys/kernel", "the kernel's"),
    "sys": ("/sys/fs", "the kernel's"),
    "dev": ("/dev", "the kernel's"),
    "variable": ("${NOMAD_TASK_DIR}/data", "${NOMAD_TASK_DIR}/data"),
    "missing in a directory of the host": ("/tmp/exec2-nonexistent", "create it on this host"),
    "missing with its parent": ("/tmp/exec2-nonexistent/data", "${NOMAD_TASK_DIR}/data"),
    "symlink": ("/bin/exec2-nonexistent", "no symlink is followed"),
    "file": ("/etc/hosts", "a directory can only be mounted on a directory"),
    "directory of a file": ("/etc/hosts/x", "a directory can only be mounted on a directory"),
    "own directory": (".", "hide the task's own directories"),
    "local": ("local", "hide the task's own directories"),
    "secrets": ("secrets/", "hide the task's own directories"),
    "above": ("/var", "hide the task's own directories"),
    "logs": ("alloc/logs", "log directory"),
    "below logs": ("alloc/logs/x", "log directory"),
    "long": ("local/" + "x/" * 3000 + "x", "4095"),
    "long part": ("local/" + "x" * 300, "File name too long"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_destinations(make: Make, host: AgentHost, volume: Path, name: str) -> None:
    destination, reason = WRONG[name]
    task = add_volume(make(host.program("act"), ["out=ran"]), volume, destination)
    with refused(reason):
        task.start()
    assert task.stdout.text == ""


def test_a_file_needs_a_file(make: Make, host: AgentHost, volume: Path, data: Path) -> None:
    task = add_volume(make(host.program("act"), ["out=ran"], unveil=[f"r:{data.parent}"]), volume / "file", data)
    with refused("a file can only be mounted on a file", str(data)):
        task.start()


@pytest.mark.parametrize("source, reason", [("", "must be an absolute path"), ("srv", "must be an absolute path"),
                                            ("/nonexistent/x", "/nonexistent/x: No such file"), ("/dev/null", "device plugin")])
def test_wrong_sources(make: Make, host: AgentHost, source: str, reason: str) -> None:
    task = add_volume(make(host.program("act"), ["out=ran"]), source, "local/data")
    with refused(reason, "local/data" if source != "/dev/null" else "/dev/null"):
        task.start()


@pytest.mark.parametrize("options, reason", [
    ({"propagation": "bidirectional"}, "cannot mount anything"), ({"propagation": "rshared"}, '"rshared": must be'),
    ({"propagation": "Private"}, "must be"), ({"label": "z"}, "selinux_label")])
def test_wrong_options(make: Make, host: AgentHost, volume: Path, options: dict[str, Any], reason: str) -> None:
    task = add_volume(make(host.program("act"), ["out=ran"]), volume, "local/data", **options)
    with refused(reason, "local/data"):
        task.start()


@pytest.mark.parametrize("second", ["{data}", "{data}/", "{data}/./"])
def test_two_volumes_at_one_destination(make: Make, host: AgentHost, volume: Path, data: Path, second: str) -> None:
    task = make(host.program("act"), ["out=ran"])
    add_volume(add_volume(task, volume, data), volume / "deep", second.format(data=data))
    with refused("only one can", str(data)):
        task.start()
