"""A root of the task's own: devices, modes, links, terminals and processes in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Callable

import pytest

from agent import AgentHost, Plugin, Task
from agent.expect import refused, result
from agent.volumes import add_device, add_volume, make_node

Launch = Callable[..., Plugin]
Own = Callable[..., Task]
users = pytest.mark.parametrize("user", ["nomad-80000", "nobody", "root"])


@pytest.fixture
def plugin(launch: Launch) -> Plugin:
    return launch({"unveil_by_task": True, "allow_caps": ["mknod", "dac_override", "sys_ptrace"]})


# The task's directories


def test_the_directory_of_tasks_directories_is_made_anew(own: Own, host: AgentHost) -> None:
    """The template has a mount of the one before, which a task's directory is cloned from."""
    first = own("echo first > output")
    result(first)
    first.destroy()
    assert host.clean_tasks() == []
    host.alloc_mounts.rename(host.root / "before")
    host.alloc_mounts.mkdir()
    host.alloc_mounts.chmod(0o711)
    second = own("echo second > output; cat output; cat /proc/self/mountinfo")
    said = result(second).splitlines()
    assert said[0] == "second"
    mounts = [line.split(" ")[3:5] for line in said[1:]]
    assert not [place for _, place in mounts if place == "/proc/directories"]
    assert [root for root, place in mounts if place == str(second.directory)], mounts


# Devices


@pytest.mark.parametrize("name", ["null", "zero", "full", "random", "urandom", "tty"])
def test_a_root_task_does_not_change_device_nodes(own: Own, name: str) -> None:
    """Seen where they were bound writable: `chmod 600 /dev/null` broke every other program of the host. Here it tries to give
    them the mode, the owner and the time that they have."""
    mode = stat.S_IMODE(Path("/dev", name).stat().st_mode)
    calls = [f"chmod {mode:o} /dev/{name}", f"chown 0 /dev/{name}", f"touch -c -m -r /dev/{name} /dev/{name}"]
    task = own("; ".join([*calls, "true"]), user="root")
    result(task)
    assert task.stderr.text.count("Read-only file system") == len(calls), task.stderr.text


@users
def test_the_devices_can_be_used(own: Own, user: str) -> None:
    names = ["fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"]
    hidden = sorted({entry.name for entry in Path("/dev").iterdir()} - {*names, "mqueue"})
    task = own(
        "echo x > /dev/null && head -c 2 /dev/zero | wc -c && head -c 3 /dev/urandom | wc -c; "
        f"for name in {' '.join(names + hidden)}; do test -e /dev/$name && echo $name; done; true", user=user)
    said = result(task).split()
    assert said == ["2", "3", *names]


@users
def test_a_device_of_a_plugin_in_its_place(own: Own, places: Path, user: str) -> None:
    """It is mounted there: the task's root has none of the host's devices. Its node stays what it is."""
    node = make_node(places / "device", 1, 5)
    script = f"head -c 4 {node} | wc -c; chmod 600 {node} 2>/dev/null || echo kept"
    task = own(script, user=user)
    add_device(task, node)
    assert result(task) == "4\nkept\n"
    assert stat.S_IMODE(node.stat().st_mode) == 0o666


def test_a_device_node_in_a_directory_is_none(own: Own, places: Path) -> None:
    """A rule for a directory gives no device that somebody has put there."""
    node = make_node(places / "device", 1, 5)
    task = own(f"head -c 1 {node} | wc -c", user="root", unveil=[f"rw:{places}"])
    assert result(task) == "0\n"
    assert "Permission denied" in task.stderr.text


# What is unveiled


@users
def test_directories_on_the_way_have_the_hosts_modes(own: Own, places: Path, user: str) -> None:
    """Seen where they were made with 0755: what a directory's mode kept from a user was open."""
    closed = places / "closed"
    closed.mkdir()
    (closed / "file").write_text("x\n")
    (closed / "file").chmod(0o644)
    closed.chmod(0o700)
    task = own(f"cat {closed}/file || echo denied; stat -c %a {closed}", user=user, unveil=[f"r:{closed}/file"])
    assert result(task) == ("x\n700\n" if user == "root" else "denied\n700\n")


def test_a_path_with_dots_behind_a_symlink(own: Own, places: Path) -> None:
    """As the kernel resolves it: .. of what the link leads to."""
    (places / "deep" / "in").mkdir(parents=True)
    (places / "deep" / "file").write_text("found\n")
    (places / "link").symlink_to("deep/in")
    assert result(own(f"cat {places}/link/../file", unveil=[f"r:{places}/link/../file"])) == "found\n"


def test_links_on_the_way_are_the_same_links(own: Own, places: Path) -> None:
    (places / "real").mkdir()
    (places / "real" / "file").write_text("found\n")
    (places / "one").symlink_to("two")
    (places / "two").symlink_to(places / "real")
    task = own(f"cat {places}/one/file; readlink {places}/one {places}/two", unveil=[f"r:{places}/one/file"])
    assert result(task) == f"found\ntwo\n{places}/real\n"


@pytest.mark.parametrize("rule", ["rw:/tmp", "rw:/dev/ptmx", "rw:/dev/pts", "r:/etc", "r:/dev/null", "rx:/usr", "r:/", "rwxc:/"])
def test_a_rule_beside_the_defaults_takes_nothing_away(own: Own, rule: str) -> None:
    """Seen before: its mount came on top of what the defaults had put there."""
    script = (
        "t=$(mktemp /tmp/exec2-XXXXXX) && echo x > $t && rm $t; echo x > /dev/null && head -c 1 /dev/urandom > /dev/null && "
        "echo x > /dev/shm/x && rm /dev/shm/x && cat /etc/hosts > /dev/null && /usr/bin/env true && "
        "python3 -c 'import pty; pty.openpty()' && echo all")
    task = own(script, user="root", unveil=[rule])
    assert result(task) == "all\n"


@users
def test_nothing_is_made_in_a_directory_of_the_host(own: Own, places: Path, volume: Path, user: str) -> None:
    """Seen before: root made the destination of a volume, in a directory that a task can write to."""
    opened = places / "opened"
    opened.mkdir()
    opened.chmod(0o777)
    task = own("true", user=user, unveil=[f"rwc:{opened}"])
    add_volume(task, volume, opened / "deep" / "in")
    with refused(f"cannot mount at {opened}/deep/in: No such file or directory", "create it on this host"):
        task.start()
    assert not list(opened.iterdir())


@users
def test_where_only_reading_is_unveiled_a_volume_has_a_place(own: Own, places: Path, volume: Path, user: str) -> None:
    """In a copy of the directory, which is the task's own."""
    opened = places / "opened"
    opened.mkdir()
    opened.chmod(0o750)
    (opened / "file").write_text("beside\n")
    (opened / "file").chmod(0o644)
    os.chown(opened, 0, 0)
    opened.chmod(0o755)
    (opened / "link").symlink_to("file")
    task = own(f"cat {opened}/file {opened}/link {opened}/deep/in/file; echo; stat -c %a {opened}", user=user, unveil=[f"r:{opened}"])
    add_volume(task, volume, opened / "deep" / "in")
    assert result(task) == "beside\nbeside\nof the volume\n755\n"
    assert sorted(entry.name for entry in opened.iterdir()) == ["file", "link"]


# The task's directory and logs


@users
@pytest.mark.parametrize("name", ["local", "secrets", "tmp", "alloc"])
def test_the_clients_directories_stay_where_they_are(own: Own, user: str, name: str) -> None:
    """Seen where the rule for the task's directory had all rights: what the task put there was the client's."""
    task = own(f"mv {name} moved; rmdir {name}; mkdir new && touch new/x file && rm new/x file && echo made", user=user)
    assert result(task) == "made\n"
    assert (task.directory / name).is_dir() and not (task.directory / "moved").exists()


@users
@pytest.mark.parametrize("name", ["local", "secrets", "tmp"])
def test_the_clients_directories_stay_that_are_no_mounts(own: Own, user: str, name: str) -> None:
    """Seen where the rule for the task's directory had all rights: the task moved them."""
    task = own(f"mv {name} moved; mkdir new && touch new/x file && rm new/x file && echo made", user=user, bind_mounts=False)
    assert result(task) == "made\n"
    assert (task.directory / name).is_dir() and not (task.directory / "moved").exists()


@users
def test_a_task_does_not_read_its_own_log(own: Own, user: str) -> None:
    """The pipe is its user's for writing: what it read would be missing from the log."""
    task = own(
        "exec 3>&1; (timeout 1 cat /proc/self/fd/3 > local/read) 2>local/error; cat local/read; echo end; stat -L -c %a /proc/self/fd/3",
        user=user)
    said = result(task)
    # Root may read what is root's.
    if user != "root":
        assert said == "end\n200\n", said
        assert "Permission denied" in (task.local / "error").read_text()


# Processes


@users
def test_process_1_tells_nothing_of_the_hosts_mounts(own: Own, user: str) -> None:
    """Seen while the Executor went back to the host's mount namespace: /proc/1/mountinfo had every task's."""
    others = [own("sleep 300").start() for _ in range(3)]
    task = own("cat /proc/1/mountinfo /proc/1/mounts /proc/1/mountstats 2>/dev/null; ls -l /proc/1/root /proc/1/cwd 2>/dev/null; true",
               user=user)
    said = result(task)
    assert not [other.alloc_id for other in others if other.alloc_id in said]
    assert len(said.splitlines()) < 200
    for other in others:
        other.stop()


def test_terminals_are_bounded(own: Own) -> None:
    """Seen without a maximum: a task could take all that the host has (kernel.pty.max)."""
    program = (
        "import os\n"
        "held = []\n"
        "try:\n"
        "    while len(held) < 600: held.append(os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY))\n"
        "except OSError as error: print(error.strerror)\n"
        "print(len(held))\n")
    task = own(f"cat > local/p.py <<'END'\n{program}END\nulimit -n 1000; /usr/bin/python3 local/p.py")
    assert result(task) == "No space left on device\n256\n"


@pytest.mark.parametrize("options", [{"user": "root"}, {"user": "nobody", "config": {"cap_add": ["dac_override"]}}])
def test_proc_is_read_only_to_those_who_could_change_it(own: Own, options: dict[str, Any]) -> None:
    task = own("echo 1 > /proc/sys/vm/drop_caches; chmod 644 /proc/sys/kernel/core_pattern; true", **options)
    result(task)
    assert task.stderr.text.count("Read-only file system") == 2
