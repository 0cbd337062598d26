"""The templates of tasks' roots: which are kept, why they are made anew, and what happens where one cannot be made.

Seen before: the paths were read on the thread of each start and without a limit of time, so that eight starts at a path of a
dead file system took every thread that starts have; each start made a template of its own; two jobs whose directories stand
in different places made it anew with each start; a file system that did not answer at any top-level directory of the host
kept every template from being made.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages, mounts, namespaces, processes
from agent.expect import is_recoverable, refused
from agent.file_systems import DeadFileSystem
from agent.plugin import default_binary
from agent.state import directory_of
from agent.timing import scaled, wait_until
from agent.volumes import make_node

Launch = Callable[..., Plugin]
MAKER = "exec2-template"
EXECUTOR = default_binary().parent / "nomad-driver-exec2-executor"
# KeptTemplates.maximum.
KEPT = 4
MANY = 20
RENEWALS = int(os.environ.get("EXEC2_RENEWALS", "200"))
# Reads the file whose path it is told, and tells its inode and its first word.
READER = 'exec 3<> local/go; while read -r path <&3; do echo "$(stat -L -c %i "$path") $(head -c 9 "$path" | cksum)"; done'


def reasons(plugin: Plugin) -> list[str]:
    """Why each template was made."""
    return [line["reason"] for line in plugin.log if line["@message"] == "a template of tasks' roots is made"]


def makers(plugin: Plugin) -> list[int]:
    return [process.pid for process in processes.everything() if process.parent == plugin.pid and process.name == MAKER]


def kept(plugin: Plugin) -> int:
    """The mount namespaces that the plugin has open. While it spawns a process, one of them has two descriptors."""
    return len({target for target in processes.descriptors(plugin.pid).values() if target.startswith("mnt:")})


def replace(file: Path, content: str | bytes) -> None:
    new = file.with_suffix(".new")
    new.write_bytes(content.encode() if isinstance(content, str) else content)
    new.chmod(0o644)
    new.rename(file)


def reader(host: AgentHost, plugin: Plugin) -> Task:
    """A running task, for `seen`."""
    task = host.task(plugin, "sh", ["-c", READER], bind_mounts=False)
    os.mkfifo(task.local / "go")
    (task.local / "go").chmod(0o666)
    return task.start()


def seen(task: Task, path: str | Path) -> str:
    """What a reader sees there now."""
    before = len(task.stdout.text)
    # Without waiting for a task that has ended.
    go = os.open(task.local / "go", os.O_RDWR | os.O_NONBLOCK)
    os.write(go, f"{path}\n".encode())
    wait_until(lambda: task.stdout.text[before:].endswith("\n"), 10, "the file is read")
    os.close(go)
    return task.stdout.text[before:].strip()


def there(path: Path) -> str:
    """What a reader should see."""
    check = subprocess.run(["cksum"], input=path.read_bytes()[:9], capture_output=True, check=True)
    return f"{path.stat().st_ino} {check.stdout.decode().strip()}"


def brief(host: AgentHost, plugin: Plugin, **options: Any) -> Task:
    return host.task(plugin, host.program("act"), ["exit=3"], **options)


def elsewhere(host: AgentHost, plugin: Plugin, parent: Path, makes: bool = True) -> Task:
    """A task whose directory is below `parent`, as where another client has its mounts."""
    task = brief(host, plugin, user="root")
    directory = parent / f"{task.alloc_id}-{task.name}"
    task.request.task.env["NOMAD_TASK_DIR"] = f"{directory}/local"
    if makes:
        parent.mkdir(exist_ok=True)
        shutil.copytree(task.alloc_dir / task.name, directory)
        (directory / "alloc" / "logs").mkdir(parents=True)
    return task


def run(task: Task) -> None:
    assert task.run() == ExitResult(3), task.stderr.text
    task.destroy()


def error_of(start: grpc.Future) -> str:
    """Why a start has failed, which the client may repeat."""
    error = start.exception()
    assert isinstance(error, grpc.RpcError) and is_recoverable(error), error
    return error.details() or ""


@pytest.fixture
def file(places: Path) -> Path:
    path = places / "file"
    path.write_text("0\n")
    path.chmod(0o644)
    return path


@pytest.fixture
def layer(host: AgentHost) -> Iterator[Path]:
    """An overlay whose /etc has files that may be replaced."""
    layer = host.root / "layer-of-templates"
    (layer / "etc").mkdir(parents=True)
    for name in ("hosts", "resolv.conf"):
        (layer / "etc" / name).write_text("0\n")
    shutil.copy("/etc/ld.so.cache", layer / "etc")
    # The overlay has none of the host's mounts.
    (layer / "dev").mkdir()
    for name, minor in {"null": 3, "urandom": 9}.items():
        make_node(layer / "dev" / name, 1, minor)
    for path in (layer, layer / "dev", layer / "etc", *(layer / "etc").iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield layer
    shutil.rmtree(layer)


@pytest.fixture
def resolver(host: AgentHost) -> Iterator[Path]:
    """Directories of two services below /run, as of systemd-resolved."""
    directory = Path("/run") / host.root.name
    for name in ("first", "second"):
        (directory / name).mkdir(parents=True)
        (directory / name / "resolv.conf").write_text(f"{name}\n")
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def dead(host: AgentHost) -> Iterator[DeadFileSystem]:
    """A directory with a file `x` in it, which stops to answer in a `with` block."""
    directory = host.root / "dead"
    directory.mkdir()
    directory.chmod(0o755)
    (directory / "x").touch()
    yield DeadFileSystem(directory, keeps_directory=True)
    shutil.rmtree(directory)


# Renewal


def test_why_a_template_is_made(launch: Launch, host: AgentHost, places: Path, file: Path) -> None:
    plugin = launch({"unveil_paths": [host.programs_rule, f"r:{file}"]})
    run(brief(host, plugin))
    run(brief(host, plugin))
    assert reasons(plugin) == ["these paths have no template yet"]
    replace(file, "1\n")
    run(brief(host, plugin))
    assert reasons(plugin)[1:] == [f"replaced {file}"]
    file.unlink()
    with refused(f"cannot unveil {file}: No such file or directory", "plugin option unveil_paths"):
        brief(host, plugin).start()
    assert reasons(plugin)[2:] == [f"removed {file}"]
    # As before: the template that shows the file is kept, and the one that is made shows another.
    file.write_text("2\n")
    file.chmod(0o644)
    run(brief(host, plugin))
    assert reasons(plugin)[3:] in ([f"replaced {file}"], [])


@pytest.mark.parametrize("path", ["/etc/hosts", "/etc/resolv.conf", "/etc/ld.so.cache"])
def test_a_file_of_the_host_that_is_replaced(launch: Launch, host: AgentHost, layer: Path, path: str) -> None:
    """A running task goes on with the old one, and its programs start as before; the next task has the new one."""
    plugin = launch(layer=layer)
    place = Path(f"/proc/{plugin.pid}/root{path}")
    old, task = there(place), reader(host, plugin)
    assert seen(task, path) == old
    replace(place, place.read_bytes() + b"\n")
    new = there(place)
    assert new != old and seen(task, path) == old
    after = reader(host, plugin)
    assert seen(after, path) == new and seen(task, path) == old
    assert reasons(plugin) == ["these paths have no template yet", f"replaced {path}"]
    # In place: both see it.
    place.write_bytes(b"changed\n")
    assert seen(after, path) == there(place)


def test_a_resolver_that_replaces_its_file(launch: Launch, host: AgentHost, layer: Path, resolver: Path) -> None:
    """/etc/resolv.conf leads into its directory: running tasks see what it writes there. See README.md."""
    link, path = layer / "etc" / "resolv.conf", "/etc/resolv.conf"
    link.unlink()
    link.symlink_to(f"..{resolver}/first/resolv.conf")
    plugin = launch(layer=layer)
    task = reader(host, plugin)
    assert seen(task, path) == there(resolver / "first" / "resolv.conf")
    for text in ("1\n", "2\n"):
        replace(resolver / "first" / "resolv.conf", text)
        assert seen(task, path) == there(resolver / "first" / "resolv.conf")
    # Another service takes over: it leads elsewhere for the tasks that start then.
    link = Path(f"/proc/{plugin.pid}/root{path}")
    link.unlink()
    link.symlink_to(f"..{resolver}/second/resolv.conf")
    after = reader(host, plugin)
    assert seen(after, path) == there(resolver / "second" / "resolv.conf")
    assert seen(task, path) == there(resolver / "first" / "resolv.conf")


def test_a_running_task_sees_what_comes_into_a_directory(launch: Launch, host: AgentHost, places: Path, file: Path) -> None:
    directory = places / "directory"
    (directory / "below").mkdir(parents=True)
    for path in (directory, directory / "below"):
        path.chmod(0o755)
    inside = directory / "below" / "inside"
    plugin = launch({"unveil_paths": [host.programs_rule, f"r:{file}", f"r:{directory}"]})
    task, old = reader(host, plugin), there(file)
    for number in range(3):
        replace(inside, f"{number}\n")
        replace(file, f"new {number}\n")
        assert seen(task, inside) == there(inside)
        assert seen(task, file) == old
    after = reader(host, plugin)
    assert seen(after, file) == there(file) and seen(after, inside) == there(inside)
    assert reasons(plugin)[1:] == [f"replaced {file}"]


@pytest.mark.parametrize("standby", [True, False])
def test_nothing_is_left_of_many_renewals(launch: Launch, host: AgentHost, file: Path, standby: bool) -> None:
    """EXEC2_RENEWALS says how many."""
    plugin = launch({"unveil_paths": [host.programs_rule, f"r:{file}"], "standby_executor": standby})
    task = brief(host, plugin)
    run(task)
    before = len(processes.descriptors(plugin.pid))
    listed = namespaces.can_be_listed()
    of_host, shown = mounts.of_host(host.root), namespaces.showing(host.root) if listed else 0
    for number in range(RENEWALS):
        replace(file, f"{number}\n")
        run(task)
    assert reasons(plugin)[1:] == [f"replaced {file}"] * RENEWALS
    wait_until(lambda: len(processes.descriptors(plugin.pid)) <= before and kept(plugin) == 1, 10, "no descriptor left")
    assert not makers(plugin) and len(plugin.executors()) <= standby
    assert mounts.of_host(host.root) == of_host
    # The kernel takes a namespace apart a moment after its last user is gone.
    wait_until(lambda: not listed or namespaces.showing(host.root) <= shown, 10, "no namespace left")
    own = {os.readlink(f"/proc/{process.pid}/ns/mnt") for process in plugin.executors()}
    assert own <= {os.readlink("/proc/self/ns/mnt")}


@pytest.mark.parametrize("way", ["above", "link"])
def test_the_modes_of_directories_on_the_way_are_the_hosts_now(
        launch: Launch, host: AgentHost, places: Path, way: str) -> None:
    """Seen before: the template kept those of its making, so that new tasks passed a directory closed to them since."""
    above = places / "above"
    (above / "in").mkdir(parents=True)
    path = above / "in" / "file"
    path.write_text("mine\n")
    for made in (above, above / "in", path):
        made.chmod(0o755)
    if way == "link":
        (places / "link").symlink_to("above")
    plugin = launch({"unveil_paths": [host.programs_rule, f"r:{places}/{way}/in/file"]})
    nobody = pwd.getpwnam("nobody")

    def read(**options: Any) -> bool:
        task = host.task(plugin, "cat", [f"{places}/{way}/in/file"], **options)
        passed = task.run() == ExitResult(0)
        assert task.stdout.text == ("mine\n" if passed else ""), task.stderr.text
        task.destroy()
        return passed

    assert read() and read()
    for closed in (above, above / "in"):
        closed.chmod(0o700)
        assert not read(user="nobody")
        # Root passes: in a root of the task's own, too.
        assert read(user="root")
        os.chown(closed, nobody.pw_uid, nobody.pw_gid)
        assert read(user="nobody")
        os.chown(closed, 0, 0)
        closed.chmod(0o755)
        assert read(user="nobody")
    assert reasons(plugin)[1:] == [
        f"other mode or owner of {closed}" for closed in (above, above / "in") for _ in range(3)]


def test_files_that_are_replaced_while_roots_are_made(launch: Launch, host: AgentHost, file: Path, places: Path) -> None:
    """Seen before: "cannot mount in the task's root: No such file or directory", for every start that waited for the template."""
    own = places / "own"
    replace(own, "0\n")
    plugin = launch({"unveil_paths": [host.programs_rule, f"r:{file}"], "unveil_by_task": True})
    ended = threading.Event()

    def replacing() -> None:
        while not ended.wait(0.1):
            for path in (file, own):
                replace(path, "new\n")

    thread = threading.Thread(target=replacing)
    thread.start()
    try:
        for _ in range(20):
            tasks = [brief(host, plugin, unveil=[f"r:{own}"]) for _ in range(4)]
            starts = [task.start_soon(60) for task in tasks]
            for task, start in zip(tasks, starts):
                task.took(start.result())
                assert task.wait() == ExitResult(3)
                task.destroy()
    finally:
        ended.set()
        thread.join()


# Several templates


def test_parents_that_take_turns(launch: Launch, host: AgentHost, places: Path) -> None:
    plugin = launch()
    parents = [places / str(number) for number in range(KEPT)]
    for _ in range(3):
        run(brief(host, plugin))
        for parent in parents[:KEPT - 1]:
            run(elsewhere(host, plugin, parent))
    assert len(reasons(plugin)) == KEPT
    assert kept(plugin) == KEPT
    # The least recently used goes: that of the ordinary tasks.
    run(elsewhere(host, plugin, parents[-1]))
    assert len(reasons(plugin)) == KEPT + 1
    for parent in parents:
        run(elsewhere(host, plugin, parent))
    assert len(reasons(plugin)) == KEPT + 1
    run(brief(host, plugin))
    assert len(reasons(plugin)) == KEPT + 2
    assert kept(plugin) == KEPT


def test_starts_at_once_share_one_making(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    tasks = [brief(host, plugin) for _ in range(MANY)]
    starts = [task.start_soon(60) for task in tasks]
    for task, start in zip(tasks, starts):
        task.took(start.result())
        assert task.wait() == ExitResult(3)
    assert len(reasons(plugin)) == 1


# Paths that do not answer


@pytest.mark.fuse
def test_a_path_that_does_not_answer(launch: Launch, host: AgentHost, dead: DeadFileSystem) -> None:
    """One thread waits for it. Each start fails after the limit, and those that wait when it answers go on."""
    path = dead.directory / "x"
    plugin = launch({"unveil_paths": [host.programs_rule, f"r:{path}"]})
    paused = [host.paused(plugin) for _ in range(2)]
    # Fingerprint has a limit of its own, and its own thread.
    threads = lambda: processes.thread_names(plugin.pid).count("exec2-blocking")
    late = [brief(host, plugin) for _ in range(MANY)]
    with dead:
        starts = [task.start_soon(120) for task in late]
        cancelled = brief(host, plugin)
        call = cancelled.start_soon(120)
        # Nothing else waits.
        waiting = paused[0].wait_soon()
        paused[0].stop(signal="SIGTERM")
        assert Task.result_of(waiting.result()) == ExitResult(143, 15)
        paused[0].destroy()
        command = plugin.driver.ExecTask(
            messages.driver.ExecTaskRequest(task_id=paused[1].id, command=[str(host.program("act")), "exit=0"]), timeout=scaled(9))
        assert command.result.exit_code == 0
        assert not any(start.done() for start in starts)
        call.cancel()
        for start in starts:
            text = error_of(start)
            assert text.startswith("cannot read which files of the host tasks' roots show: "), text
            assert f"the path {path} (plugin option unveil_paths) has not answered within 1" in text
            assert "restore the server or unmount the file system, or set unveil_paths to a path on another one" in text
        assert threads() < MANY
        assert not makers(plugin)
        assert not [task for task in [*late, cancelled] if directory_of(task).exists()]
        starts = [task.start_soon(120) for task in late[:4]]
    for task, start in zip(late, starts):
        task.took(start.result())
        assert task.wait() == ExitResult(3)
    assert len(reasons(plugin)) <= 3


@pytest.mark.fuse
def test_a_template_whose_making_hangs(launch: Launch, host: AgentHost, dead: DeadFileSystem) -> None:
    """The path is no rule's, but the job's own. Starts with the same share one process, and others do not wait."""
    plugin = launch()
    with dead:
        tasks = [elsewhere(host, plugin, dead.directory, makes=False) for _ in range(MANY)]
        starts = [task.start_soon(120) for task in tasks]
        wait_until(lambda: makers(plugin), 10, "one is made")
        for _ in range(3):
            run(brief(host, plugin))
        assert len(makers(plugin)) == 1
        assert not any(start.done() for start in starts)
        for start in starts:
            text = error_of(start)
            assert text.startswith(f"cannot make the template of tasks' roots: the path {dead.directory} has not answered within 10 s"), text
            assert "restore the server or unmount the file system" in text
        wait_until(lambda: not makers(plugin), 10, "its process is gone")
        assert reasons(plugin).count("these paths have no template yet") == 2
    run(brief(host, plugin))


@pytest.mark.fuse
def test_a_maker_that_is_killed(launch: Launch, host: AgentHost, dead: DeadFileSystem) -> None:
    plugin = launch()
    with dead:
        tasks = [elsewhere(host, plugin, dead.directory, makes=False) for _ in range(3)]
        starts = [task.start_soon(120) for task in tasks]
        [maker] = wait_until(lambda: makers(plugin), 10, "one is made")
        # All wait for it.
        wait_until(lambda: not any(directory_of(task).exists() for task in tasks), 10, "nothing of the tasks is made yet")
        os.kill(maker, signal.SIGKILL)
        for start in starts[:1]:
            assert f"the process that makes it (exec2-template, pid {maker}) was ended by signal 9" in error_of(start)
        for start in starts:
            start.cancel()
    run(brief(host, plugin))


@pytest.mark.fuse
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_driver_that_ends_while_one_is_made(launch: Launch, host: AgentHost, dead: DeadFileSystem, number: signal.Signals) -> None:
    """Its process does not stay until the path answers."""
    plugin = launch()
    with dead:
        task = elsewhere(host, plugin, dead.directory, makes=False)
        start = task.start_soon(120)
        [maker] = wait_until(lambda: makers(plugin), 10, "one is made")
        os.kill(plugin.pid, number)
        plugin.wait_exit(scaled(10))
        wait_until(lambda: not processes.is_alive(maker), 2, "its process is gone")
        assert start.exception() is not None
        task.handle = None
    assert not directory_of(task).exists()


@pytest.mark.fuse
def test_a_dead_file_system_that_nobody_unveils(launch: Launch, host: AgentHost) -> None:
    """The host's top-level directories stand in each root, and none of them is looked at for that."""
    with DeadFileSystem(host.root / "dead") as dead:
        plugin = launch(binds=[(dead.directory, Path("/mnt"))])
        task = host.task(plugin, host.program("act"), ["exit=3"], bind_mounts=False)
        assert task.run() == ExitResult(3)
        task.destroy()
        plugin.end()


# Failures


def test_a_maker_without_rights(launch: Launch, host: AgentHost) -> None:
    """As in a container: every start says so, and nothing is left."""
    script = host.root / "executor-without-rights"
    script.write_text(f'#!/bin/sh\nexec /usr/bin/setpriv --bounding-set -sys_admin "{EXECUTOR}" "$@"\n')
    script.chmod(0o755)
    plugin = launch({"executor_path": str(script), "standby_executor": False})
    for _ in range(2):
        with refused("cannot make the task's mounts its own: Operation not permitted"):
            brief(host, plugin).start()
    # The error does not wait until the process that could not make it is reaped.
    wait_until(lambda: not makers(plugin) and kept(plugin) == 0, 5, "nothing left")
    script.unlink()


def test_failed_makings_leave_nothing(launch: Launch, host: AgentHost, places: Path) -> None:
    missing = places / "none"
    plugin = launch({"unveil_paths": [host.programs_rule, f"r:{missing}"]})
    task = brief(host, plugin)

    def fail(_: int) -> None:
        with refused(f"cannot unveil {missing}: No such file or directory"):
            brief(host, plugin).start()

    fail(0)
    before = len(processes.descriptors(plugin.pid))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fail, range(40)))
    wait_until(lambda: len(processes.descriptors(plugin.pid)) <= before and not makers(plugin), 10, "nothing left")
    missing.touch()
    missing.chmod(0o644)
    run(task)
    assert json.dumps(reasons(plugin)[-1]) == json.dumps(f"added {missing}") or reasons(plugin)[-1] == "these paths have no template yet"
