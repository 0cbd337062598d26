"""Ways out of a task's own root, and into what no task reaches: links of /proc, directories of the job's choice, and what
the host mounts."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any, Callable, Iterator

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, mounts
from agent.exec import exec_task
from agent.expect import refused, result
from agent.timing import wait_until
from agent.volumes import add_volume
from swapping import swapping

Launch = Callable[..., Plugin]
USERS = ["nomad-80000", "nobody", "root"]
users = pytest.mark.parametrize("user", USERS)
_libc = ctypes.CDLL(None, use_errno=True)
_MS_SHARED = 1 << 20
# Starts in which a race is tried.
TRIES = 40


@pytest.fixture
def plugin(launch: Launch) -> Plugin:
    return launch({"unveil_by_task": True})


def shell(host: AgentHost, plugin: Plugin, script: str, **options: Any) -> Task:
    return host.task(plugin, "sh", ["-c", script], **options)


def as_the_agent_rotates(path: Path) -> None:
    """Opens the next file of a log: as root, and following links."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(number, b"log\n")
    os.close(number)


def learn(host: AgentHost, plugin: Plugin) -> None:
    """Has the driver learn of the client's mounts, which it does soon after the first start that has them: a rule for the
    directory that they are in is refused from then on."""
    assert shell(host, plugin, "true").run() == ExitResult(0)

    def is_known() -> bool:
        try:
            shell(host, plugin, "true", env={"NOMAD_TASK_DIR": "/x"}, unveil=[f"r:{host.alloc_mounts}"], config={"work_dir": "/"}).run()
            return False
        except grpc.RpcError as error:
            assert "a directory that no task reaches" in (error.details() or ""), error.details()
            return True

    wait_until(is_known, 10, "the driver knows the client's mounts")


# Links of /proc to what a process has open


@users
def test_no_working_directory_by_a_descriptor(launch: Launch, host: AgentHost, user: str) -> None:
    """Seen while the Executor's descriptors were open at that step: the task was started in the Executor's directory of /proc,
    of records or of cgroups, from which `..` leads through the whole host; a dynamic user replaced its log."""
    plugin = launch()
    for number in range(4, 20):
        with refused(f"cannot change to the working directory /proc/self/fd/{number}: No such file or directory"):
            shell(host, plugin, "true", user=user, config={"work_dir": f"/proc/self/fd/{number}"}).start()


@users
@pytest.mark.parametrize("path", ["/proc/self/cwd", "/proc/self/root", "/proc/thread-self/root/tmp"])
def test_no_working_directory_by_a_link_of_proc(launch: Launch, host: AgentHost, path: str, user: str) -> None:
    """Seen with chdir(2), which follows such a link: the task was started."""
    with refused(f"cannot change to the working directory {path}: Too many levels of symbolic links"):
        shell(host, launch(), "true", user=user, config={"work_dir": path}).start()


@users
def test_no_working_directory_of_commands_by_a_descriptor(plugin: Plugin, host: AgentHost, places: Path, user: str) -> None:
    """A symlink that a task changes before a command. Seen while descriptors were open at that step: the command was in the
    host's directory of the task's cgroup."""
    link = places / "link"
    link.symlink_to("/tmp")
    task = shell(host, plugin, "sleep 300", user=user, unveil=[f"r:{places}"], config={"work_dir": str(link)}).start()
    for target in [*(f"/proc/self/fd/{number}" for number in range(4, 20)), "/proc/self/root"]:
        link.unlink()
        link.symlink_to(target)
        reason = "No such file or directory" if "/fd/" in target else "Too many levels of symbolic links"
        with refused(f"cannot change to the working directory {link}: {reason}"):
            exec_task(task, "true")
    task.stop()


@users
@pytest.mark.parametrize("rule", ["rwc:/proc/self/fd/3/..", "rwc:/proc/self/fd/5", "rwc:/proc/self/fd/9", "rwc:/proc/self/root", "r:/proc/self/cwd/..", "r:/proc/1/root/etc", "r:/dev/fd/7"])
def test_no_rule_by_a_link_of_proc(plugin: Plugin, host: AgentHost, rule: str, user: str) -> None:
    """Seen where such links were followed: the rule was for a directory of the Executor's, and with `..` for the whole host."""
    with refused(f"cannot unveil {rule.partition(':')[2]}: Too many levels of symbolic links", "task option unveil"):
        shell(host, plugin, "true", user=user, unveil=[rule]).start()


# Directories of the task's that the job chooses


@users
def test_task_directory_swapped_while_tasks_start(launch: Launch, host: AgentHost, places: Path, user: str) -> None:
    """NOMAD_TASK_DIR leads through a symlink, to the client's directory or to one like it without logs. Seen where the path was
    resolved for each directory anew: `alloc` was the client's, its log directory was not found, and a task wrote to it."""
    plugin = launch()
    task = host.task(plugin, "true", user=user)
    target, way, other = places / "target", places / "way", places / "other"
    target.write_text("")
    for name in ("local", "secrets", "tmp", "alloc"):
        (other / host.alloc_mounts.name / task.directory.name / name).mkdir(parents=True)
    way.symlink_to(host.root)
    task.request.task.env["NOMAD_TASK_DIR"] = str(way / host.alloc_mounts.name / task.directory.name / "local")
    log = task.logs / f"{task.name}.stdout.1"
    task.set_config({"command": "sh", "work_dir": "/", "args": [
        "-c", f"ln -s {target} {way / host.alloc_mounts.name / task.directory.name}/alloc/logs/{log.name}"]})
    started = 0
    with swapping(way, other):
        for _ in range(TRIES):
            try:
                task.start()
            except grpc.RpcError as error:
                assert "symbolic links" in (error.details() or ""), error.details()
                continue
            started += 1
            task.wait()
            task.destroy()
            task.begin_again()
            task.request.task.user = user
            assert not log.is_symlink()
    as_the_agent_rotates(log)
    assert target.read_text() == ""
    assert started > TRIES // 4


@pytest.fixture
def secret(host: AgentHost) -> Iterator[Callable[[Path], Path]]:
    """Makes a directory of another allocation's secrets, as a client does: a file system of its own."""
    made = []

    def make(directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        mounts.mount("tmpfs", directory, "mode=0755")
        made.append(directory)
        (directory / "token").write_text("of another\n")
        (directory / "token").chmod(0o644)
        return directory / "token"

    host.data.chmod(0o711)
    yield make
    host.data.chmod(0o700)
    for directory in made:
        mounts.unmount(directory)
        directory.rmdir()
        directory.parent.rmdir()


@pytest.mark.parametrize("way", ["r:{0}", "rwc:/"])
@users
def test_other_allocations_secrets_beside_a_directory_of_the_jobs_choice(
        plugin: Plugin, host: AgentHost, secret: Callable[[Path], Path], way: str, user: str) -> None:
    """Seen where only the place that the job named was hidden: a job with another NOMAD_TASK_DIR read the secrets of all."""
    learn(host, plugin)
    token = secret(host.alloc_mounts / "other" / "secrets")
    task = shell(host, plugin, f"cat {token} || echo none", user=user, env={"NOMAD_TASK_DIR": "/x"}, unveil=[way.format(host.root)])
    assert result(task) == "none\n"


@users
def test_other_allocations_secrets_in_the_clients_default_place(
        plugin: Plugin, host: AgentHost, secret: Callable[[Path], Path], user: str) -> None:
    """Seen where it was known from earlier starts alone: the first task of all read them."""
    token = secret(host.data / "alloc_mounts" / "other" / "secrets")
    task = shell(host, plugin, f"cat {token} || echo none", user=user, env={"NOMAD_TASK_DIR": "/x"}, unveil=[f"r:{host.root}"])
    try:
        assert result(task) == "none\n"
    finally:
        host.clean_tasks()


# What the host mounts


@pytest.fixture
def shared(host: AgentHost) -> Iterator[None]:
    """The agent's directory is a shared mount, as every mount below systemd."""
    mounts.bind(host.root, host.root)
    assert _libc.mount(None, os.fsencode(host.root), None, _MS_SHARED, None) == 0
    yield
    while points := mounts.below(host.root):
        mounts.unmount(Path(max(points, key=len)))


def ended(host: AgentHost, plugin: Plugin) -> None:
    """Before its mounts are taken away."""
    faults = host.clean_tasks() + host.leftovers(plugin)
    plugin.end()
    assert not faults


@pytest.mark.parametrize("env", [{}, {"NOMAD_TASK_DIR": "/x"}], ids=["the client's", "the job's"])
def test_mounts_of_later_tasks(shared: None, plugin: Plugin, host: AgentHost, places: Path, env: dict[str, str]) -> None:
    """Seen with a NOMAD_TASK_DIR of the job's choice: the client's mounts for a later task came into the running one, and its
    log directory with them."""
    target = places / "target"
    target.write_text("")
    learn(host, plugin)
    go = places / "go"
    os.mkfifo(go)
    go.chmod(0o666)
    script = (f"echo up; read -r name < {go}; ln -s {target} {host.alloc_mounts}/$name/alloc/logs/web.stdout.1;"
              f" ls {host.alloc_mounts}/$name; true")
    task = shell(host, plugin, script, user="nobody", env=env, unveil=["rwc:/"], config={"work_dir": "/"})
    task.start()
    task.stdout.wait_for("up")
    victim = shell(host, plugin, "sleep 300", user="nobody").start()
    go.write_text(f"{victim.directory.name}\n")
    assert task.wait() == ExitResult(0)
    assert "No such file or directory" in task.stderr.text
    as_the_agent_rotates(victim.logs / "web.stdout.1")
    assert target.read_text() == "" and task.stdout.text == "up\n"
    victim.stop()
    ended(host, plugin)


@users
def test_options_of_what_was_mounted_since_the_template_was_made(
        shared: None, launch: Launch, host: AgentHost, places: Path, user: str) -> None:
    """Seen where the template was kept: it had the host's options, writable, with devices and set-user-ID programs."""
    late = places / "srv" / "late"
    late.mkdir(parents=True)
    plugin = launch({"unveil_paths": [host.programs_rule, f"r:{places}/srv"]})
    assert shell(host, plugin, "true").run() == ExitResult(0)
    mounts.mount("tmpfs", late, "mode=0777")
    try:
        (late / "file").write_text("x\n")
        (late / "file").chmod(0o666)
        task = shell(host, plugin, f"cat {late}/file; grep {late} /proc/self/mountinfo | cut -d ' ' -f 6; touch -d 2001-01-01 {late}/file", user=user)
        task.run()
        said = task.stdout.text.splitlines()
        assert said[0] == "x" and {"ro", "nosuid", "nodev"} <= set(said[1].split(",")), said
        assert "Read-only file system" in task.stderr.text
        ended(host, plugin)
    finally:
        mounts.unmount(late)


@users
def test_hidden_directories_in_what_was_mounted_since_the_template_was_made(
        shared: None, launch: Launch, host: AgentHost, places: Path, user: str) -> None:
    """Seen where the template was kept: a second mount of the client's data showed every allocation."""
    late = places / "srv" / "late"
    late.mkdir(parents=True)
    plugin = launch({"unveil_paths": [host.programs_rule, f"rwc:{places}/srv"]})
    assert shell(host, plugin, "true").run() == ExitResult(0)
    host.data.chmod(0o755)
    (host.data / "beside").write_text("shown\n")
    mounts.bind(host.data, late)
    try:
        task = shell(host, plugin, f"cat {late}/beside; ls -A {late}/alloc", user=user)
        task.run()
        assert task.stdout.text == "shown\n", task.stdout.text
        ended(host, plugin)
    finally:
        mounts.unmount(late)
        (host.data / "beside").unlink()
        host.data.chmod(0o700)


# What the Executor makes in a task's root


def test_directory_swapped_while_entries_are_made_in_it(plugin: Plugin, host: AgentHost, places: Path, volume: Path) -> None:
    """A place for a volume, in a directory that the task's user may change. Seen where entries were made by their whole path
    once the directory had been checked: root made symlinks of the user's choice in a directory of root's."""
    app, evil = places / "app" / "conf.d", places / "evil"
    app.mkdir(parents=True)
    inner = evil / "a" / "conf.d"
    inner.mkdir(parents=True)
    for number in range(400):
        (inner / f"link{number}").symlink_to("/of-the-user")
    (evil / "x").symlink_to(places / "app")
    for _ in range(TRIES):
        with swapping(evil / "a", evil / "x", before=0.02, after=0.003):
            task = shell(host, plugin, "true", unveil=[f"r:{evil}", f"rwc:{places}/app"])
            add_volume(task, volume, evil / "a" / "conf.d" / "volume")
            try:
                task.run()
            except grpc.RpcError as error:
                assert "cannot mount" in (error.details() or "") or "cannot make" in (error.details() or ""), error.details()
        assert list(app.iterdir()) == []
