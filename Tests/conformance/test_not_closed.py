"""What docs/security.md says is not closed: each limit as a task finds it. A test that fails here means that the
document says too much, or that a kernel has closed the gap."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import uuid
from pathlib import Path
from typing import Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, mounts
from agent.expect import refused
from agent.state import directory_of
from agent.timing import wait_until
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
    """A file of the host's that no rule lets a task read."""
    path = places / "file"
    path.write_text("of the host")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("modes, reading, changing", [
    ("w", "EACCES", "ok"), ("c", "EACCES", "ok"), ("r", "ok", "EROFS"), ("x", "EACCES", "EROFS"), ("", "ENOENT", "ENOENT")])
def test_a_root_task_changes_metadata(make: Make, beyond: Path, modes: str, reading: str, changing: str) -> None:
    """Of what a rule with `w` or `c` shows, mode, owner, times and attributes, though it cannot read the file; of nothing
    else."""
    before = beyond.stat()
    code = f"""
import errno, os
path = {str(beyond)!r}
for attempt, arguments in (
    (open, ()), (os.utime, ((1, 2),)), (os.setxattr, ("user.mark", b"task")), (os.chmod, (0o644,)), (os.chown, (65534, 65534)),
):
    try:
        attempt(path, *arguments)
        print("ok")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""
    assert shown(make, code, user="root", unveil=[f"{modes}:{beyond}"] if modes else []) == [reading] + [changing] * 4
    found = beyond.stat()
    if changing == "ok":
        assert (found.st_mtime, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (2, 0o644, 65534, 65534)
        assert os.getxattr(beyond, "user.mark") == b"task"
    else:
        assert (found.st_mtime, found.st_mode, found.st_uid) == (before.st_mtime, before.st_mode, 0)
        assert os.listxattr(beyond) == []


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
    assert shown(make, code, user="root", config=dropped, unveil=[f"w:{beyond}"]) == [outcome]
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
    """stat(2), readlink(2), user.* attributes and inotify need no mode of a rule that shows the directory; to list it and to
    read the file do. What no rule shows has no name."""
    hidden = places / "hidden"
    hidden.mkdir()
    hidden.chmod(0o777)
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
print(os.path.lexists({str(hidden)!r}), libc.inotify_add_watch(watch, {os.fsencode(hidden)!r}, 0x100), ctypes.get_errno() == errno.ENOENT)
assert libc.inotify_add_watch(watch, directory.encode(), 0x100) > 0, ctypes.get_errno()
print("watching", flush=True)
print(os.read(watch, 4096)[16:].rstrip(b"\\0").decode())
"""
    task = make(PYTHON, ["-c", code], unveil=[f"x:{directory}"]).start()
    task.stdout.wait_for("watching")
    (directory / "made by another").write_text("")
    assert task.wait(60) == ExitResult(0), task.stderr.text
    assert task.lines() == ["EACCES", "EACCES", "11 False", "where it leads", "of the host", "False -1 True", "watching",
                            "made by another"]


@pytest.mark.parametrize("user", USERS)
def test_a_whiteout_is_a_device_node(make: Make, places: Path, user: str) -> None:
    """With `c`. It is 0:0, which no driver of the kernel has, and the mount is nodev: nobody can open it."""
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
        assert shown(make, code, user=user, unveil=[f"rwc:{directory}"]) == ["0", "0o20000 0", "EACCES"]
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


def test_names_of_cgroups(host: AgentHost, plugin: Plugin) -> None:
    """With a rule for all cgroups, a task is told the names of others when their tasks start."""
    code = """
import ctypes, os, sys
own = os.path.join(sys.argv[1], open("/proc/self/cgroup").read().split("0::/")[1].strip())
above = os.path.dirname(own)
print(os.path.basename(own) in os.listdir(above))
watch = ctypes.CDLL(None).inotify_init()
assert ctypes.CDLL(None).inotify_add_watch(watch, os.fsencode(above), 0x100) > 0
print("watching", flush=True)
print(os.read(watch, 4096)[16:].rstrip(b"\\0").decode())
"""
    task = host.task(plugin, PYTHON, ["-c", code, cgroups.mount_point()], unveil=[f"r:{cgroups.mount_point()}"]).start()
    task.stdout.wait_for("watching")
    other = host.task(plugin, host.program("act"))
    assert task.wait(60) == ExitResult(0), task.stderr.text
    assert task.lines() == ["True", "watching", other.scope.name]


def test_a_rule_for_the_executors_pipes(host: AgentHost, plugin: Plugin) -> None:
    """It is refused, and where a rule is for a directory above, as `rw:/run` is, they do not exist."""
    for user in USERS:
        watched = host.task(plugin, host.program("act"), ["out=up", "pause="], user=user).start()
        pipe = directory_of(watched) / "control"
        with refused(str(plugin.state_dir), "no task reaches"):
            attack(host, plugin, ("write", pipe), user=user, unveil=[f"rw:{plugin.state_dir}"])
        found = attack(host, plugin, ("write", pipe), user=user, unveil=[f"rw:{plugin.state_dir.parent}"])
        assert found == {f"write {pipe}": "ENOENT"}
        watched.stop()


@pytest.mark.parametrize("user", USERS)
def test_what_proc_tells_of_the_host(host: AgentHost, plugin: Plugin, user: str) -> None:
    """Memory, load and the Executor's command line, but nothing of other allocations' mounts."""
    other = host.task(plugin, host.program("act"))
    task = host.task(plugin, "/bin/cat", ["/proc/self/mountinfo"], user=user)
    assert task.run() == ExitResult(0)
    assert str(task.directory) in task.stdout.text and other.alloc_id not in task.stdout.text
    files = ["/proc/meminfo", "/proc/loadavg", "/proc/cpuinfo", "/proc/1/cmdline", "/proc/self/cgroup"]
    found = attack(host, plugin, *[("read", file) for file in files], user=user, unveil=["r:/proc"])
    assert {outcome.partition(":")[0] for outcome in found.values()} == {"ok"}, found
    assert "nomad-driver-exec2-executor" in found["read /proc/1/cmdline"]


def test_names_of_the_hosts_sockets(make: Make, plugin: Plugin) -> None:
    """With the host's network."""
    assert plugin.address in shown(make, "print(*(line.split()[-1] for line in open('/proc/net/unix')), sep='\\n')")


@pytest.mark.parametrize("rules, outcome", [([], "EROFS"), (["rw:/proc"], "EROFS"), (["rw:/proc/self/comm"], "ok")])
def test_a_writing_rule_below_proc_opens_its_metadata(make: Make, rules: list[str], outcome: str) -> None:
    """All of /proc is one mount. The file gets the mode that it has."""
    code = f"""
import errno, os, stat
try:
    os.chmod("/proc/version", {stat.S_IMODE(os.stat("/proc/version").st_mode)})
    print("ok")
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    assert shown(make, code, user="root", unveil=rules) == [outcome]


def test_the_drivers_socket_in_a_directory_that_tasks_reach(launch: Callable[..., Plugin], host: AgentHost, places: Path) -> None:
    """A root task connects. The driver answers no process of a task, but the task could replace the socket."""
    directory = places / "sockets"
    directory.mkdir(mode=0o700)
    plugin = launch({"unveil_by_task": True}, environment={"PLUGIN_UNIX_SOCKET_DIR": str(directory)})
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({plugin.address!r}); print('connected')"
    task = host.task(plugin, PYTHON, ["-c", code], user="root", unveil=[f"rw:{directory}"])
    assert task.run() == ExitResult(0), task.stderr.text
    assert task.lines() == ["connected"]


@pytest.mark.parametrize("user", USERS)
def test_the_first_task_of_a_client_with_an_alloc_mounts_dir(launch: Callable[..., Plugin], host: AgentHost, user: str) -> None:
    """The driver learns of the directory with the first task that stands in it. Before that, a job with a NOMAD_TASK_DIR of its
    own sees what a rule unveils of it."""
    plugin = launch({"unveil_by_task": True})
    token = host.alloc_mounts / "other" / "token"
    token.parent.mkdir()
    try:
        token.write_text("of another\n")
        token.chmod(0o644)

        def said() -> str:
            task = host.task(plugin, "sh", ["-c", f"cat {token} || echo none"], user=user, env={"NOMAD_TASK_DIR": "/x"},
                             unveil=[f"r:{host.root}"], config={"work_dir": "/"})
            assert task.run() == ExitResult(0), task.stderr.text
            return task.stdout.text

        assert said() == "of another\n"
        assert host.task(plugin, "true").run() == ExitResult(0)
        wait_until(lambda: said() == "none\n", 10, "the driver knows the client's mounts")
    finally:
        shutil.rmtree(token.parent)


def test_what_the_host_mounts_later(make: Make, places: Path) -> None:
    """Below an unveiled directory: a task that runs has it with the host's options, and the next one read-only."""
    subprocess.run(["mount", "-t", "tmpfs", "shared", places], check=True)
    try:
        subprocess.run(["mount", "--make-shared", places], check=True)
        late, go = places / "late", places / "go"
        late.mkdir()
        os.mkfifo(go)
        script = f"echo up; read -r line < {go}; grep {late} /proc/self/mountinfo | cut -d ' ' -f 6 | cut -d , -f 1"
        running = make("sh", ["-c", script], user="root", unveil=[f"r:{places}"]).start()
        running.stdout.wait_for("up")
        subprocess.run(["mount", "-t", "tmpfs", "late", late], check=True)
        go.write_text("go\n")
        assert running.wait() == ExitResult(0)
        assert running.lines() == ["up", "rw"]
        after = make("sh", ["-c", script.partition("; ")[2].partition("; ")[2]], user="root", unveil=[f"r:{places}"])
        assert after.run() == ExitResult(0)
        assert after.lines() == ["ro"]
    finally:
        subprocess.run(["umount", "-R", "-l", places], check=True)


def test_a_task_of_the_same_user_writes_to_a_log(host: AgentHost, plugin: Plugin) -> None:
    """Of its own allocation, by the pipe in the shared directory."""
    first = host.task(plugin, "sleep", ["300"], user="nobody", name="first").start()
    second = host.task(plugin, "sh", ["-c", "echo of the second > alloc/logs/.first.stdout.fifo"], user="nobody", name="second")
    mounts.unmount(second.directory / "alloc")
    mounts.bind(first.alloc_dir / "alloc", second.directory / "alloc")
    assert second.run() == ExitResult(0), second.stderr.text
    first.stop()
    first.stdout.wait_end()
    assert first.lines() == ["of the second"]
