"""What docs/security.md says is not closed: each limit as a task finds it. A test that fails here means that the
document says too much, or that a kernel has closed the gap."""

from __future__ import annotations

import os
import stat
import subprocess
import uuid
from pathlib import Path
from typing import Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task
from agent.state import directory_of
from attacking import USERS, attack

Make = Callable[..., Task]
PYTHON = "/usr/bin/python3"
DYNAMIC = "nomad-80000"


def shown(make: Make, code: str, *, user: str = DYNAMIC, **options: object) -> list[str]:
    """The lines that a Python program prints as a task."""
    task = make(PYTHON, ["-c", code], user=user, **options)
    assert task.run(60) == ExitResult(0), task.stderr.text
    return task.lines()


@pytest.fixture
def beyond(places: Path) -> Path:
    """A file of the host's that no rule opens."""
    path = places / "file"
    path.write_text("of the host")
    path.chmod(0o600)
    return path


def test_a_root_task_changes_metadata(make: Make, beyond: Path) -> None:
    """It cannot read the file, and changes its mode, owner, times and attributes."""
    code = f"""
import os
path = {str(beyond)!r}
try:
    open(path)
except PermissionError:
    print("denied")
os.utime(path, (1, 2))
os.setxattr(path, "user.mark", b"task")
os.chmod(path, 0o644)
os.chown(path, 65534, 65534)
"""
    assert shown(make, code, user="root") == ["denied"]
    found = beyond.stat()
    assert (found.st_mtime, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (2, 0o644, 65534, 65534)
    assert os.getxattr(beyond, "user.mark") == b"task"


@pytest.mark.parametrize("owner, outcome", [(0, "ok"), (65534, "EPERM")])
def test_what_dropping_capabilities_leaves(make: Make, beyond: Path, owner: int, outcome: str) -> None:
    """root owns root's files: no capability is needed to change their mode."""
    os.chown(beyond, owner, owner)
    code = f"""
import errno, os
try:
    os.chmod({str(beyond)!r}, 0o640)
    print("ok")
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    dropped = {"cap_drop": ["fowner", "chown", "fsetid", "setfcap"]}
    assert shown(make, code, user="root", config=dropped) == [outcome]
    assert stat.S_IMODE(beyond.stat().st_mode) == (0o640 if outcome == "ok" else 0o600)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A name in /tmp, which is the host's."""
    path = Path("/tmp") / f"exec2-{uuid.uuid4().hex}"
    yield path
    path.unlink(missing_ok=True)


def test_a_root_task_leaves_a_setuid_program(make: Make, shared: Path) -> None:
    task = make("sh", ["-c", f"cp /bin/true {shared} && chmod 4755 {shared}"], user="root")
    assert task.run() == ExitResult(0), task.stderr.text
    found = shared.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o4755)


def test_tmp_and_a_uid_are_shared(make: Make, shared: Path) -> None:
    """With the host, and with a later task of the same dynamic user."""
    assert make("sh", ["-c", f"umask 077; echo kept >{shared}"]).run() == ExitResult(0)
    assert shared.read_text() == "kept\n"
    assert shown(make, f"print(open({str(shared)!r}).read().strip())") == ["kept"]


def test_names_beyond_the_rules(make: Make, places: Path) -> None:
    """stat(2), readlink(2), user.* attributes and inotify need no rule; to list the directory and to read the file do."""
    directory = places / "open to all"
    directory.mkdir()
    directory.chmod(0o777)
    file, link = directory / "file", directory / "link"
    file.write_text("of the host")
    file.chmod(0o644)
    os.setxattr(file, "user.mark", b"of the host")
    link.symlink_to("where it leads")
    code = f"""
import ctypes, errno, os
directory, file, link = {str(directory)!r}, {str(file)!r}, {str(link)!r}
for attempt in (os.listdir, open):
    try:
        attempt(directory if attempt is os.listdir else file)
        print("ok")
    except OSError as error:
        print(errno.errorcode[error.errno])
print(os.stat(file).st_size, os.path.exists(file + "s"))
print(os.readlink(link))
print(os.getxattr(file, "user.mark").decode())
libc = ctypes.CDLL(None, use_errno=True)
watch = libc.inotify_init()
assert libc.inotify_add_watch(watch, directory.encode(), 0x100) > 0, ctypes.get_errno()
print("watching", flush=True)
print(os.read(watch, 4096)[16:].rstrip(b"\\0").decode())
"""
    task = make(PYTHON, ["-c", code]).start()
    task.stdout.wait_for("watching")
    (directory / "made by another").write_text("")
    assert task.wait(60) == ExitResult(0), task.stderr.text
    assert task.lines() == ["EACCES", "EACCES", "11 False", "where it leads", "of the host", "watching", "made by another"]


@pytest.mark.parametrize("user, outcome", [(DYNAMIC, "EACCES"), ("root", "ENXIO")])
def test_a_whiteout_is_a_device_node(make: Make, places: Path, user: str, outcome: str) -> None:
    """With `c`. It is 0:0, which no driver of the kernel has, and its mode is 0: nobody can open it."""
    directory = places / "own"
    directory.mkdir()
    code = f"""
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
os.chdir({str(directory)!r})
open("from", "w").close()
print(libc.renameat2(-100, b"from", -100, b"to", 4))
found = os.stat("from")
print(oct(found.st_mode), found.st_rdev)
try:
    open("from")
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    # Not every file system has whiteouts.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "tmpfs", directory], check=True)
    try:
        assert shown(make, code, user=user, unveil=[f"rwc:{directory}"]) == ["0", "0o20000 0", outcome]
    finally:
        subprocess.run(["umount", directory], check=True)


def test_code_without_the_mode_x(make: Make, places: Path) -> None:
    """A script that an interpreter reads, and a program in memory."""
    script = places / "script"
    script.write_text("echo read")
    script.chmod(0o644)
    assert make("sh", [script], unveil=[f"r:{script}"]).run() == ExitResult(0)
    code = """
import os
memory = os.memfd_create("program")
os.write(memory, open("/bin/true", "rb").read())
os.execve(memory, ["true"], {})
"""
    assert shown(make, code) == []


def test_a_rule_for_the_executors_pipes(host: AgentHost, plugin: Plugin) -> None:
    """As `rw:/run` is: a root task can open them, a dynamic user cannot enter the directory."""
    for user, outcome in (("root", "ok"), (DYNAMIC, "EACCES")):
        watched = host.task(plugin, host.program("act"), ["out=up", "pause="], user=user).start()
        pipe = directory_of(watched) / "control"
        assert attack(host, plugin, ("write", pipe), user=user, unveil=[f"rw:{plugin.state_dir}"]) == {f"write {pipe}": outcome}
        watched.stop()


@pytest.mark.parametrize("user", USERS)
def test_what_proc_tells_of_the_host(host: AgentHost, plugin: Plugin, user: str) -> None:
    """The default path of the mounts, among them those of other allocations; with /proc unveiled memory, load and the
    Executor's command line."""
    other = host.task(plugin, host.program("act"))
    task = host.task(plugin, "/bin/cat", ["/proc/self/mountinfo"], user=user)
    assert task.run() == ExitResult(0)
    assert f" {other.directory}/local " in task.stdout.text
    files = ["/proc/meminfo", "/proc/loadavg", "/proc/cpuinfo", "/proc/1/cmdline", "/proc/self/cgroup"]
    found = attack(host, plugin, *[("read", file) for file in files], user=user, unveil=["r:/proc"])
    assert {outcome.partition(":")[0] for outcome in found.values()} == {"ok"}, found
    assert "nomad-driver-exec2-executor" in found["read /proc/1/cmdline"]
