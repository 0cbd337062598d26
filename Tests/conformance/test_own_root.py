"""A root of the task's own: what it shows of the host, and what is not there."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from pathlib import Path
from typing import Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, mounts, processes
from agent.exec import exec_task, output, session
from agent.expect import refused, result
from agent.restart import recover, successor
from agent.timing import wait_until
from agent.volumes import add_volume

Launch = Callable[..., Plugin]
Own = Callable[..., Task]
USERS = ["nomad-80000", "nobody", "root"]
users = pytest.mark.parametrize("user", USERS)
ALL_CAPABILITIES = ["chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "net_bind_service", "sys_chroot", "setfcap", "mknod"]


@pytest.fixture
def plugin(launch: Launch) -> Plugin:
    return launch({"unveil_by_task": True, "allow_caps": ["mknod"]})


# What is there


@users
def test_the_working_directory_can_be_used(own: Own, user: str) -> None:
    """Seen with the host's root: the default one could not be written to."""
    task = own("echo x > output.txt && cat output.txt && mkdir -p local && printf 'echo ran' > local/run.sh && sh local/run.sh", user=user)
    assert result(task) == "x\nran\n"


@users
def test_log_streams_by_path(own: Own, user: str) -> None:
    """As nginx's `access_log /dev/stdout`. Seen with the host's root: Permission denied for other users than root."""
    task = own("echo one > /dev/stdout; echo two > /proc/self/fd/1; echo three > /dev/stderr; sh -c 'echo four > /dev/stdout'", user=user)
    assert result(task) == "one\ntwo\nfour\n"
    assert task.stderr.text == "three\n"


@users
def test_python_has_shared_memory_and_terminals(own: Own, user: str) -> None:
    """Seen with the host's root: no /dev/shm, and no pty."""
    program = (
        "import multiprocessing, os, pty\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('fork'); lock = context.Lock(); value = context.Value('i', 0)\n"
        "    child = context.Process(target=lambda: value.__setattr__('value', 7)); child.start(); child.join()\n"
        "    holder, session = pty.openpty()\n"
        "    print(value.value, os.ttyname(session))\n")
    task = own(f"cat > local/p.py <<'END'\n{program}END\n/usr/bin/python3 local/p.py", user=user)
    assert result(task) == "7 /dev/pts/0\n"


@users
def test_shared_memory_is_bounded(own: Own, user: str) -> None:
    task = own("head -c 60000000 /dev/zero > /dev/shm/fits && rm /dev/shm/fits; head -c 80000000 /dev/zero > /dev/shm/large || echo full", user=user)
    assert result(task) == "full\n"
    assert "No space left on device" in task.stderr.text


@users
def test_own_cgroup_is_named(own: Own, host: AgentHost, user: str) -> None:
    task = own("cat /proc/self/cgroup", user=user)
    assert f"0::/{task.scope.relative_to(cgroups.mount_point())}" in result(task).splitlines()


def test_rename_within_the_task_directory(own: Own, host: AgentHost) -> None:
    """local and tmp are one mount where they are one on the host."""
    task = own("echo x > tmp/new && mv tmp/new local/new && stat -c %d tmp local | uniq | wc -l", user="root")
    shutil.rmtree(task.directory / "nothing", ignore_errors=True)
    assert result(task) == "1\n"


@users
def test_rules_in_any_order(own: Own, places: Path, user: str) -> None:
    """A directory to read, and one in it to write. Seen where the deeper one is mounted first: EROFS."""
    (places / "data").mkdir()
    (places / "data").chmod(0o777)
    (places / "file").write_text("read\n")
    for rules in ([f"r:{places}", f"rwc:{places}/data"], [f"rwc:{places}/data", f"r:{places}"]):
        task = own(f"cat {places}/file; echo new > {places}/data/new && cat {places}/data/new; echo no > {places}/no || echo refused",
                   user=user, unveil=rules)
        assert result(task) == "read\nnew\nrefused\n"
        assert "Read-only file system" in task.stderr.text
        (places / "data" / "new").unlink()


@users
def test_a_volume_at_any_destination(own: Own, volume: Path, user: str) -> None:
    """Nothing has to exist on the host. Seen with the host's root: the start is refused."""
    for destination in ("/data", "/srv/deep/in/it", "/opt/volume"):
        task = own(f"cat {destination}/file; echo; ls -d /usr/bin /etc/hosts; ls {volume} || echo hidden", user=user)
        add_volume(task, volume, destination)
        assert result(task) == "of the volume\n/etc/hosts\n/usr/bin\nhidden\n"
        assert not Path(destination).exists()


@users
def test_a_volume_below_the_root_beside_rules(own: Own, volume: Path, places: Path, user: str) -> None:
    """Places are made for the rules first, then all of them anew below a root of the task's own: they are read-only as before.

    Seen: "cannot mount in the task's root /: Invalid argument"."""
    (places / "file").write_text("of the host\n")
    task = own(f"cat {places}/file; cat /data/file; echo; cat /proc/self/mountinfo", user=user, unveil=[f"r:{places}", "r:/usr/share/doc"])
    add_volume(task, volume, "/data")
    lines = result(task).splitlines()
    assert lines[:2] == ["of the host", "of the volume"]
    made = {fields[4]: fields[5] for fields in map(str.split, lines[2:]) if fields[fields.index("-") + 1] == "tmpfs"}
    assert {"/", str(Path("/", *places.parts[1:2])), "/usr/share"} <= set(made)
    made.pop("/dev/shm")
    assert {place for place, options in made.items() if "ro" not in options.split(",")} <= {"/dev/log", "/tmp"}


# What is not there


@users
def test_passwd_is_denied_and_hidden_paths_do_not_exist(own: Own, places: Path, user: str) -> None:
    (places / "secret").write_text("x")
    script = f"cat /etc/passwd /etc/shadow {places}/secret; ls / /root /var /home; ls {places}; test -e {places} || echo none"
    task = own(script, user=user)
    assert result(task) == "none\n"
    said = task.stderr.text
    assert "cat: /etc/passwd: Permission denied" in said
    assert "cat: /etc/shadow: No such file or directory" in said
    assert f"cat: {places}/secret: No such file or directory" in said


@pytest.mark.parametrize("call", ["chmod 777", "chown 1:1", "touch -d 2001-01-01", "rm", "ln -sf /x"])
def test_a_root_task_changes_nothing_outside(own: Own, places: Path, call: str) -> None:
    """Seen with the host's root: modes, owners and times of any file of the host's could be changed."""
    shown, kept = places / "shown", places / "kept"
    for path in (shown, kept):
        path.write_text("x")
    before = [path.stat() for path in (shown, kept)]
    for path in (shown, kept):
        task = own(f"{call} {path}", user="root", unveil=[f"rx:{shown}"], config={"cap_add": ALL_CAPABILITIES[-1:]})
        assert task.run().exit_code != 0
    for path, old in zip((shown, kept), before):
        new = path.stat()
        assert (new.st_mode, new.st_uid, new.st_mtime, new.st_ino) == (old.st_mode, old.st_uid, old.st_mtime, old.st_ino)
        assert path.read_text() == "x"


@pytest.mark.parametrize("path", ["/usr/bin/env", "/etc/hosts"])
def test_a_root_task_changes_nothing_of_the_defaults(own: Own, path: str) -> None:
    """Seen where they were bound writable: root changed them for the whole host. Here it tries to give them the mode, the owner
    and the time that they have."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    for call in (f"chmod {mode:o}", "chown 0:0", f"touch -c -m -r {path}"):
        task = own(f"{call} {path}", user="root")
        assert task.run().exit_code != 0
        assert "Read-only file system" in task.stderr.text


def test_a_root_task_sees_nothing_of_other_tasks_and_of_state(own: Own, plugin: Plugin, host: AgentHost) -> None:
    """Seen with the host's root: names by stat, sockets by path, and the directories of every other allocation."""
    other = own("sleep 300", name="other").start()
    listening = socket.socket(socket.AF_UNIX)
    path = host.root / "docker.sock"
    with listening as server:
        server.bind(str(path))
        server.listen()
        hidden = [path, plugin.state_dir, other.directory, other.alloc_dir, host.data]
        task = own("; ".join(f"test -e {path} && echo {path}" for path in hidden) + "; true", user="root")
        assert result(task) == ""
    other.stop()


@users
def test_few_mounts_however_many_tasks(own: Own, user: str) -> None:
    """Seen with the host's root: four more for each task of the host."""
    others = [own("sleep 300").start() for _ in range(8)]
    task = own("cat /proc/self/mountinfo", user=user)
    lines = result(task).splitlines()
    assert len(lines) < 70
    assert not [line for line in lines if any(other.alloc_id in line for other in others)]
    for other in others:
        other.stop()


@users
def test_parts_of_proc_are_masked(own: Own, user: str) -> None:
    """Seen in a /proc without the masks: root read the timers and the names of keys."""
    names = [name for name in ("keys", "key-users", "timer_list", "kcore", "kmsg", "sysrq-trigger") if Path("/proc", name).exists()]
    task = own("; ".join(f"cat /proc/{name}; echo h > /proc/{name}" for name in names) + "; true", user=user)
    assert result(task) == ""


@users
def test_the_network_of_process_1_is_the_tasks(own: Own, namespace: Path, user: str) -> None:
    """Seen with the host's root: /proc/1/net told of the host's interfaces."""
    task = own("cut -d: -f1 /proc/1/net/dev | tail -n +3; cut -d: -f1 /proc/self/net/dev | tail -n +3", user=user, network=str(namespace))
    names = result(task).split()
    assert names and set(names) <= {"lo", "sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0"}
    assert names[: len(names) // 2] == names[len(names) // 2:]


# The logs


ROTATED = "echo attack > {place}; ln -sf {target} {place}; mkdir {place}; true"


def replay_rotation(task: Task) -> Path:
    """As the agent opens the next file of a task's log: as root, and following links."""
    path = task.logs / f"{task.name}.stdout.1"
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(number, b"log\n")
    os.close(number)
    return path


@users
def test_the_log_directory_cannot_be_changed(own: Own, host: AgentHost, places: Path, user: str) -> None:
    """Seen with the host's root: writable by each of these ways, and the agent's rotation followed the task's link."""
    target = places / "target"
    target.write_text("")
    for options in (
            {}, {"env": {"NOMAD_TASK_DIR": "/x"}, "config": {"work_dir": "/"}}, {"unveil": ["rwc:/var/tmp"]}, {"unveil": ["rwc:/"]}):
        task = own("true", user=user, **options)
        ways = [task.directory / "alloc" / "logs", task.logs, task.alloc_dir / "alloc" / "logs", Path("/proc/self/cwd") / "alloc" / "logs"]
        script = "; ".join(ROTATED.format(place=way / f"{task.name}.stdout.1", target=target) for way in ways)
        task.set_config({**task.config, "args": ["-c", script]})
        task.run()
        log = replay_rotation(task)
        assert not log.is_symlink() and log.read_text() == "log\n", options
        assert target.read_text() == ""


# Files that the host replaces


@users
def test_a_file_that_the_host_replaces(launch: Launch, host: AgentHost, places: Path, user: str) -> None:
    """A task that runs keeps the file that it was started with; the next one has the new. Seen with the host's root: the
    running one had EACCES, as after every change of /etc/resolv.conf."""
    file = places / "hosts"
    file.write_text("old\n")
    file.chmod(0o644)
    plugin = launch({"unveil_paths": [host.programs_rule, f"r:{file}"]})
    task = host.task(plugin, "sh", ["-c", f"cat {file}; echo up; read -r line < local/go; cat {file}"], user=user)
    os.mkfifo(task.local / "go")
    (task.local / "go").chmod(0o666)
    task.start()
    task.stdout.wait_for("up")
    new = places / "hosts.new"
    new.write_text("new\n")
    new.chmod(0o644)
    new.rename(file)
    (task.local / "go").write_text("go\n")
    assert task.wait() == ExitResult(0)
    assert task.stdout.text == "old\nup\nold\n"
    after = host.task(plugin, "cat", [file], user=user)
    assert result(after) == "new\n"


def test_a_path_that_is_missing_is_named(launch: Launch, host: AgentHost, places: Path) -> None:
    plugin = launch({"unveil_paths": [host.programs_rule, f"r:{places / 'none'}"]})
    with refused(f"cannot unveil {places / 'none'}: No such file or directory", "plugin option unveil_paths"):
        host.task(plugin, "true").start()
    (places / "none").write_text("there\n")
    assert host.task(plugin, "true").run() == ExitResult(0)


@pytest.mark.parametrize("standby", [True, False])
def test_nothing_is_left(launch: Launch, host: AgentHost, standby: bool) -> None:
    """No mount on the host, no namespace and no descriptor."""
    plugin = launch({"standby_executor": standby})
    assert host.task(plugin, "true").run() == ExitResult(0)
    before, open_before = mounts.below(Path("/")), len(processes.descriptors(plugin.pid))
    for _ in range(10):
        assert host.task(plugin, "true").run() == ExitResult(0)
    assert not host.clean_tasks()
    wait_until(lambda: len(processes.descriptors(plugin.pid)) <= open_before, 5, "no descriptor left")
    assert len(mounts.below(Path("/"))) <= len(before)


# Commands


@users
def test_a_command_is_in_the_same_root(own: Own, places: Path, user: str) -> None:
    (places / "file").write_text("unveiled\n")
    task = own("sleep 300", user=user, unveil=[f"r:{places}/file"]).start()
    said = output(task, "sh", "-c", f"cat {places}/file; ls {places.parent} 2>/dev/null; test -e /root/x || echo none; echo y > local/y; cat local/y 2>/dev/null")
    assert said.splitlines()[0] == "unveiled" and said.splitlines()[-1] == "y"
    answer = exec_task(task, "cat", "/etc/passwd")
    assert answer.result.exit_code == 1 and b"Permission denied" in answer.stderr
    task.stop()


@users
def test_a_command_with_a_terminal(own: Own, user: str) -> None:
    """Of the task's own. Seen with the host's: it has no name in the task, so that programs such as tmux refuse it."""
    task = own("sleep 300", user=user).start()
    command = session(task, "sh", "-c", "tty; echo typed > $(tty); echo again > /dev/stdout; python3 -c 'import os; print(os.ttyname(0))'", tty=True)
    assert command.wait() == (0, 0)
    assert command.stdout.decode().split() == ["/dev/pts/0", "typed", "again", "/dev/pts/0"]
    task.stop()


def test_a_task_of_an_earlier_driver(launch: Launch, host: AgentHost) -> None:
    """Recovered, with commands in it."""
    plugin = launch()
    task = host.task(plugin, "sleep", ["300"]).start()
    plugin.kill()
    later = successor(launch, plugin)
    recover(later, task)
    assert output(task, "sh", "-c", "grep -c devpts /proc/self/mountinfo") == "1\n"
    task.stop()
