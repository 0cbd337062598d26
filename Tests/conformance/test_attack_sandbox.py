"""Attempts to leave the sandbox, from inside a task.

Each test was seen to fail on a build without the tested protection; its docstring says how.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, cgroups, processes
from agent.landlock import abi
from attacking import REFUSED, USERS, attack, begin, either_plugin, outcomes, succeeded  # noqa: F401

SECRET = "quite-secret-value"
# CAP_SYS_ADMIN, permitted and effective: security.capability of version 2 (capability.h).
ADMINISTRATORS_FILE = struct.pack("<IIIII", 0x02000001, 1 << 21, 0, 0, 0)


@pytest.fixture
def plugin(either_plugin: Plugin) -> Plugin:  # noqa: F811
    return either_plugin


def as_users(test: Any) -> Any:
    return pytest.mark.parametrize("user", USERS)(test)


@pytest.fixture
def outside(host: AgentHost) -> Iterator[Path]:
    """A directory below no rule, with a file that every user may read and replace."""
    directory = host.root / "outside"
    directory.mkdir()
    directory.chmod(0o777)
    secret = directory / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o666)
    yield directory
    # A successful attack has moved it away.
    shutil.rmtree(directory, ignore_errors=True)


def mount_attempts(outside: Path, inside: Path) -> list[tuple[str, object]]:
    return [
        ("mount", inside), ("umount", "/proc"), ("remount", "/"), ("remount", outside), ("bind", f"{outside},{inside}"),
        ("pivot", inside), ("move_mount", f"{outside},{inside}"), ("tree", f"{outside},secret"), ("fsmount", "tmpfs"),
        ("fsmount", "proc"), ("fsmount", "cgroup2"), ("setns", 1), ("call", "open_by_handle_at"),
    ]


@as_users
@pytest.mark.parametrize("first", [[], [("userns", "-")], [("unshare", "user+mnt+pid+net+cgroup+ipc+uts")]],
                         ids=["as it is", "user namespace", "every namespace"])
def test_mounts(host: AgentHost, plugin: Plugin, outside: Path, user: str, first: list[tuple[str, object]]) -> None:
    """In a user namespace of its own a task has every capability, and mounting is still refused, also of what it may
    execute. Seen without Landlock: in a user namespace every mount and bind mount succeeded; with all of root's
    capabilities, also outside of one."""
    task = begin(host, plugin, *first, ("list", "/tmp"), user=user)
    attempts = mount_attempts(outside, task.local)
    afterwards = [("read", outside / "secret"), ("write", outside / "secret"), ("read", "/proc/1/root/etc/hosts")]
    task.set_config({"command": str(host.program("attack")), "unveil": [f"x:{outside}"],
                     "args": [str(word) for attempt in [*first, *attempts, *afterwards] for word in attempt]})
    assert task.run() == ExitResult(0)
    found = outcomes(task)[len(first):]
    assert len(found) == len(attempts) + len(afterwards)
    # EINVAL: mounts that a namespace has inherited are locked together (mount_namespaces(7)).
    assert set(found) <= REFUSED | {"EINVAL"}, task.lines()
    assert list(task.local.iterdir()) == []


@as_users
def test_administrators_calls(host: AgentHost, plugin: Plugin, user: str) -> None:
    """Calls that need a capability which no task has. Seen with all of root's capabilities: sethostname, swapon, acct,
    open_by_handle_at and reboot got as far as their arguments, or succeeded."""
    names = ["sethostname", "reboot", "swapon", "acct", "init_module", "delete_module", "open_by_handle_at", "vhangup", "nice"]
    found = attack(host, plugin, *[("call", name) for name in names], *[("unshare", kind) for kind in ("mnt", "uts", "ipc", "pid")],
                   user=user)
    assert succeeded(found) == {}


@pytest.fixture
def privileged(host: AgentHost) -> Iterator[Path]:
    """Programs that change their user: set-user-id root (for root: nobody), and one with CAP_SYS_ADMIN."""
    directory = host.root / "privileged"
    directory.mkdir()
    directory.chmod(0o755)
    for name in ("setuid", "setuid-nobody", "capable"):
        shutil.copy(host.program("attack"), directory / name)
        (directory / name).chmod(0o755)
    (directory / "setuid").chmod(0o4755)
    os.chown(directory / "setuid-nobody", 65534, 65534)
    (directory / "setuid-nobody").chmod(0o4755)
    os.setxattr(directory / "capable", "security.capability", ADMINISTRATORS_FILE)
    # Outside the sandbox they work.
    shown = [subprocess.run([directory / name, "ids", "-"], user="nobody", check=True, capture_output=True, text=True).stdout.split("\t")[2]
             for name in ("setuid", "capable")]
    assert shown[0].startswith("ok:65534 0 0 ") and int(shown[1].split()[-1], 16) == 1 << 21, shown
    yield directory
    shutil.rmtree(directory)


@as_users
def test_programs_that_give_privileges(host: AgentHost, plugin: Plugin, privileged: Path, user: str) -> None:
    """Set-user-id programs and file capabilities: they run, and change nothing. Seen with the host's file system as the root,
    and without no_new_privs (and Landlock, which needs it): the dynamic user's effective user became 0, root's 65534."""
    task = begin(host, plugin, ("ids", "-"), *[("run", privileged / name) for name in ("setuid", "setuid-nobody", "capable")],
                 user=user, unveil=[f"rx:{privileged}", "r:/proc"])
    assert task.run() == ExitResult(0)
    shown = [line.split("\t")[2] for line in task.lines() if line.startswith("ids\t")]
    # From a mount without nosuid the kernel refuses to run a program that wants a capability beyond the bounding set.
    assert len(shown) == 4 and len(set(shown)) == 1, task.lines()


@as_users
@pytest.mark.parametrize("is_there", [False, True], ids=["hidden", "there"])
def test_links_and_moves_out_of_the_rules(host: AgentHost, plugin: Plugin, outside: Path, user: str, is_there: bool) -> None:
    """A file outside the rules that is linked or moved below a rule would become accessible. It is there, and on one mount
    with what the rule is for, where a rule lets the task create and remove in the directory above. Seen without Landlock:
    it was linked, moved and read."""
    own = outside / "own"
    own.mkdir()
    own.chmod(0o777)
    (outside / "below").mkdir()
    (outside / "below").chmod(0o777)
    words = [("link", f"{outside}/secret,{own}/linked"), ("move", f"{outside}/secret,{own}/moved"), ("move", f"{outside}/below,{own}/directory"),
             ("read", own / "linked"), ("read", own / "moved"), ("list", own / "directory"), ("read", outside / "secret")]
    # The other way loses rights, and is possible on one mount.
    words.append(("move", f"{own}/kept,{outside}/kept"))
    (own / "kept").touch()
    task = begin(host, plugin, *words, user=user, unveil=[f"rwxc:{own}", *([f"c:{outside}"] if is_there else [])])
    assert task.run() == ExitResult(0)
    *attempts, read, back = outcomes(task)
    # The kernel refuses a move between mounts before it looks for the file.
    assert attempts == ["EXDEV" if is_there else "ENOENT", "EXDEV", "EXDEV", "ENOENT", "ENOENT", "ENOENT"], task.lines()
    assert (read, back) == (("EACCES", "ok") if is_there else ("ENOENT", "EXDEV")), task.lines()
    assert (outside / "secret").read_text() == SECRET
    assert list(own.iterdir()) == ([] if is_there else [own / "kept"])


@as_users
def test_moves_to_wider_rules(host: AgentHost, plugin: Plugin, user: str) -> None:
    """A file that one rule lets a task only read and remove, another rule would let it write or execute after a move: the
    right to move between directories (REFER) must not widen rights. Both are on one mount, since the narrow rule is for the
    directory above too. Seen without Landlock: moved and written to."""
    above = host.root / "above"
    narrow, wide = above / "narrow", above / "wide"
    for directory in (above, narrow, wide):
        directory.mkdir()
        directory.chmod(0o777)
    (narrow / "file").write_text("kept")
    (narrow / "file").chmod(0o777)
    (wide / "other").touch()
    try:
        found = attack(host, plugin, ("write", narrow / "file"), ("move", f"{narrow}/file,{wide}/file"),
                       ("link", f"{narrow}/file,{wide}/link"), ("move", f"{wide}/other,{narrow}/other"), ("write", wide / "file"),
                       user=user, unveil=[f"rc:{above}", f"rwxc:{wide}"])
        assert list(found.values()) == ["EACCES", "EXDEV", "EXDEV", "ok", "ENOENT"], found
        assert list(wide.iterdir()) == []
    finally:
        shutil.rmtree(above)


@as_users
@pytest.mark.parametrize("is_there", [False, True], ids=["hidden", "there"])
def test_ways_around_a_path(host: AgentHost, plugin: Plugin, outside: Path, user: str, is_there: bool) -> None:
    """Rules hold for files, whatever path leads there; without one, no path does. Seen without Landlock, where a rule does
    not let the task read: each path worked except those through the Executor, which other layers deny
    (test_attack_executor)."""
    secret = str(outside / "secret")
    ways = [f"/proc/self/root{secret}", "/proc/self/cwd/../../outside/secret", f"/proc/self/task/2/root{secret}", f"/proc/1/root{secret}",
            f"/proc/1/cwd{secret}", f"/proc/thread-self/root{secret}", secret, f"/tmp/..{secret}"]
    found = attack(host, plugin, *[("read", way) for way in ways], user=user, unveil=["rx:/proc", *([f"wx:{outside}"] if is_there else [])])
    expected = {"EACCES"} if is_there else {"ENOENT"}
    assert {outcome for way, outcome in found.items() if "/proc/1/" not in way} == expected, found
    assert {outcome for way, outcome in found.items() if "/proc/1/" in way} == {"EACCES"}, found


@as_users
@pytest.mark.parametrize("unveil", [[], ["rw:/proc"]], ids=["default", "proc"])
def test_host_settings_below_proc(host: AgentHost, plugin: Plugin, user: str, unveil: list[str]) -> None:
    """The kernel lets user 0 write to them without any capability, and core_pattern names a program that the kernel runs as
    the host's root. Seen with a /proc that is writable to root, and all of it unveiled: core_pattern was written."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    found = attack(
        host, plugin, ("put", f"/proc/sys/kernel/core_pattern,{pattern}"), ("write", "/proc/sys/kernel/modprobe"),
        ("write", "/proc/sys/kernel/sysrq"), ("write", "/proc/sysrq-trigger"), ("write", "/proc/sys/vm/drop_caches"),
        ("write", "/proc/sys/fs/binfmt_misc/register"), ("write", "/proc/sys/fs/suid_dumpable"), ("write", "/proc/irq/default_smp_affinity"),
        ("write", "/proc/sys/net/ipv4/ip_forward"), ("write", "/sys/kernel/uevent_helper"), ("write", "/sys/power/state"),
        user=user, unveil=unveil)
    # ENOENT: not every kernel has each of them, and nothing of /sys but the cgroups is unveiled.
    assert set(found.values()) <= REFUSED | {"ENOENT"}, found
    assert {found["write /sys/kernel/uevent_helper"], found["write /sys/power/state"]} == {"ENOENT"}
    assert found[f"put /proc/sys/kernel/core_pattern,{pattern}"] != "ENOENT"
    assert Path("/proc/sys/kernel/core_pattern").read_text().strip() == pattern


def test_setting_that_is_unveiled_by_name(host: AgentHost, plugin: Plugin) -> None:
    """A setting that the operator unveils by its path can be written, and no other. Seen without Landlock: the other one too."""
    found = attack(host, plugin, ("write", "/proc/sys/vm/overcommit_ratio"), ("write", "/proc/sys/kernel/core_pattern"),
                   user="root", unveil=["rw:/proc/sys/vm/overcommit_ratio"])
    assert list(found.values()) == ["ok", "EACCES"]


@as_users
def test_own_entries_of_proc(host: AgentHost, plugin: Plugin, user: str) -> None:
    """A dynamic user can write its own entries below a rule for /proc; root needs one for /proc/self. Seen with
    /proc read-only to root in every case: refused."""
    unveil = ["rw:/proc"] if user != "root" else ["rw:/proc/self"]
    found = attack(host, plugin, ("put", "/proc/self/coredump_filter,33"), ("put", "/proc/self/oom_score_adj,900"), user=user, unveil=unveil)
    assert set(found.values()) == {"ok"}


@as_users
def test_cgroups(host: AgentHost, plugin: Plugin, user: str) -> None:
    """A task sees its own cgroup, to read. Seen with the host's file system as the root, and without Landlock: a task of
    root's moved itself to the root cgroup, out of its limits."""
    top = cgroups.mount_point()
    task = begin(host, plugin, ("list", "/tmp"), user=user)
    words = [("put", f"{directory}/{file},{text}") for directory in (top, host.slice.share, task.scope)
             for file, text in (("cgroup.procs", "0"), ("cgroup.subtree_control", ""), ("cgroup.freeze", "0"), ("cgroup.kill", ""))]
    words += [("list", str(top)), ("list", str(host.slice.share)), ("list", str(task.scope)), ("read", f"{task.scope}/cgroup.procs")]
    task.set_config({"command": str(host.program("attack")), "args": [str(word) for pair in words for word in pair]})
    assert task.run() == ExitResult(0)
    *changes, above, share, own, members = outcomes(task)
    assert set(changes) <= {"EROFS", "EACCES", "ENOENT"}, task.lines()
    # ENOENT: the root cgroup lacks some files, and the slice's the task does not find.
    assert changes.count("ENOENT") <= 7 and changes[4:8] == ["ENOENT"] * 4 and "ENOENT" not in changes[8:], task.lines()
    assert (above, share, own) == ("EACCES", "EACCES", "ok") and members.startswith("ok:"), task.lines()


@as_users
def test_terminals(host: AgentHost, plugin: Plugin, user: str) -> None:
    """The task leads a session without a terminal, so that there is none to type into (TIOCSTI). Seen outside the sandbox,
    in a session with a terminal: /dev/tty was opened."""
    found = attack(host, plugin, ("sti", 0), ("sti", 1), ("sti", 2), ("tty", "/dev/tty"), user=user, unveil=["rw:/dev/tty"])
    assert list(found.values()) == ["ENOTTY", "ENOTTY", "ENOTTY", "ENXIO"]


@as_users
def test_descriptors_of_a_fresh_task(host: AgentHost, plugin: Plugin, user: str) -> None:
    """0 is /dev/null, 1 and 2 are the logs, for writing only; nothing else is open. Seen without close_range: the
    launch request and other descriptors of the Executor were open in the task."""
    task = host.task(plugin, host.program("act"), ["out=up", "pause="], user=user).start()
    task.stdout.wait_for("up")
    pid = task.pid
    assert processes.descriptors(pid, task.stdout_path, task.stderr_path) == {0: "/dev/null", 1: str(task.stdout_path), 2: str(task.stderr_path)}
    for number in (1, 2):
        flags = next(line for line in Path(f"/proc/{pid}/fdinfo/{number}").read_text().splitlines() if line.startswith("flags:"))
        assert int(flags.split()[1], 8) & os.O_ACCMODE == os.O_WRONLY
    task.stop(signal="SIGKILL")


@as_users
def test_sockets_of_the_host_without_a_name(host: AgentHost, plugin: Plugin, user: str) -> None:
    """Abstract sockets, which belong to a network namespace; also from one of the task's own. Seen without Landlock's
    scope: connected."""
    import socket

    name = f"exec2-attack-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        found = attack(host, plugin, ("abstract", name), user=user)
    assert found[f"abstract {name}"] == ("EPERM" if abi() >= 6 else "ok")
