"""Who may set which rule, what a rule means, and what no rule allows."""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path
from typing import Callable

import pytest

from agent import AgentHost, Plugin, Task
from agent.exec import exec_task, output
from agent.expect import refused
from agent.volumes import add_volume


Launch = Callable[..., Plugin]
Make = Callable[..., Task]
USERS = ["nomad-80000", "nobody", "root"]


def shows_passwd(host: AgentHost, plugin: Plugin, user: str, **options: object) -> bool:
    """Whether a task may print /etc/passwd."""
    task = host.task(plugin, "cat", ["/etc/passwd"], user=user, **options)
    result = task.run()
    if result.exit_code == 0:
        assert task.stdout.text == Path("/etc/passwd").read_text()
        return True
    assert result.exit_code == 1
    assert "Permission denied" in task.stderr.text
    assert task.stdout.text == ""
    return False


@pytest.mark.parametrize("user", USERS)
def test_passwd_is_closed_by_default(host: AgentHost, plugin: Plugin, user: str) -> None:
    assert not shows_passwd(host, plugin, user)


@pytest.mark.parametrize("user", USERS)
def test_passwd_opened_by_the_operator(host: AgentHost, launch: Launch, user: str) -> None:
    plugin = launch({"unveil_paths": [host.programs_rule, "r:/etc/passwd"]})
    assert shows_passwd(host, plugin, user)


@pytest.mark.parametrize("user", USERS)
def test_passwd_opened_by_the_job_where_allowed(host: AgentHost, plugin: Plugin, user: str) -> None:
    assert shows_passwd(host, plugin, user, unveil=["r:/etc/passwd"])


@pytest.mark.parametrize("user", USERS)
def test_job_may_not_unveil_by_default(host: AgentHost, launch: Launch, user: str) -> None:
    plugin = launch()
    task = host.task(plugin, "cat", ["/etc/passwd"], user=user, unveil=["r:/etc/passwd"])
    with refused("unveil", "unveil_by_task"):
        task.start()


def test_empty_unveil_is_always_allowed(host: AgentHost, launch: Launch) -> None:
    plugin = launch()
    assert host.task(plugin, host.program("act"), ["exit=0"], config={"unveil": []}).run().exit_code == 0


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("shown, code", [([], 127), (["r:/bin", "r:/lib", "r:/lib64", "r:/usr"], 126)], ids=["hidden", "there"])
def test_no_defaults_no_shell(host: AgentHost, launch: Launch, shown: list[str], code: int, user: str) -> None:
    plugin = launch({"unveil_defaults": False, "unveil_paths": shown})
    assert host.task(plugin, "/bin/sh", ["-c", "exit 0"], user=user).run().exit_code == code


def test_relative_rule_is_below_the_task_directory(host: AgentHost, launch: Launch) -> None:
    plugin = launch({"unveil_defaults": False, "unveil_by_task": True})
    task = host.task(plugin, host.program("access"), ["read", "own.txt", "read", "other.txt"], unveil=["r:own.txt"])
    for directory in (task.directory, task.local):
        for name in ("own.txt", "other.txt"):
            (directory / name).write_text("text")
            (directory / name).chmod(0o644)
    task.run()
    assert task.lines() == ["read\town.txt\tok", "read\tother.txt\tEACCES"]


def test_first_colon_separates(host: AgentHost, plugin: Plugin) -> None:
    odd = host.root / "a:b c"
    odd.write_text("text")
    task = host.task(plugin, host.program("access"), ["read", odd], unveil=[f"r:{odd}"])
    task.run()
    assert task.lines() == [f"read\t{odd}\tok"]
    odd.unlink()


def test_tilde_is_not_the_home_directory(host: AgentHost, plugin: Plugin) -> None:
    with refused("unveil", "~/.profile"):
        host.task(plugin, host.program("act"), ["exit=0"], user="root", unveil=["r:~/.profile"]).start()


@pytest.mark.parametrize("modes, refusal", [("r", "EROFS"), ("rc", "EACCES")])
def test_rule_follows_a_symlink(host: AgentHost, launch: Launch, modes: str, refusal: str) -> None:
    plugin = launch({"unveil_defaults": False, "unveil_by_task": True})
    target, link = host.root / "target.txt", host.root / "link.txt"
    target.write_text("text")
    link.symlink_to(target)
    task = host.task(plugin, host.program("access"), ["read", link, "read", target, "write", target], unveil=[f"{modes}:{link}"], user="root")
    task.run()
    assert [line.split("\t")[2] for line in task.lines()] == ["ok", "ok", refusal]
    link.unlink()
    target.unlink()


@pytest.mark.parametrize("user", USERS)
def test_log_directory_is_read_only(make: Make, host: AgentHost, user: str) -> None:
    """A log pipe can be replaced neither by its path in the task nor by another path."""
    task = make(host.program("access"), user=user)
    logs = task.directory / "alloc" / "logs"
    fifo = logs / task.stdout_path.name
    words = ["mkfile", logs / "x", "mkdir", logs / "d", "symlink", logs / "l", "fifo", logs / "p", "unlink", fifo, "rename", fifo,
             "rename", logs, "rmdir", logs]
    task.set_config({"command": str(host.program("access")), "args": [str(word) for word in words]})
    assert task.run().exit_code == 0
    found = [line.split("\t") for line in task.lines()]
    assert len(found) == len(words) // 2
    for operation, path, outcome in found:
        assert outcome in ("EROFS", "EACCES", "EBUSY", "EXDEV", "EPERM"), (operation, path, outcome)
    assert found[0][2] == "EROFS"
    assert sorted(path.name for path in task.logs.iterdir()) == [".web.stderr.fifo", ".web.stdout.fifo"]


def test_two_tasks_of_one_allocation_are_apart(make: Make, host: AgentHost) -> None:
    """Another task's directory does not exist although both are below a directory that a rule unveils."""
    other = make(host.program("act"), ["out=up", "pause="], user="nomad-80001").start()
    task = make(host.program("access"), ["readdir", other.local, "readdir", other.directory / "secrets"], user="nomad-80002",
                unveil=[f"rwxc:{host.alloc_mounts.parent}"])
    task.run()
    assert [line.split("\t")[2] for line in task.lines()] == ["ENOENT", "ENOENT"]
    other.stop()


def listening() -> tuple[socket.socket, str]:
    name = f"exec2-{uuid.uuid4().hex}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0{name}")
    listener.listen()
    return listener, name


@pytest.mark.parametrize("user", USERS)
def test_abstract_sockets_of_the_host_are_closed(make: Make, host: AgentHost, user: str) -> None:
    """Seen without Landlock's scope: connected."""
    listener, name = listening()
    with listener:
        task = make(host.program("act"), [f"socket={name}"], user=user)
        task.run()
    assert task.lines() == ["socket EPERM"]


def test_landlock_holds_for_children(make: Make) -> None:
    task = make("/bin/sh", ["-c", "sh -c 'sh -c \"cat /etc/passwd\"'"])
    assert task.run().exit_code != 0
    assert task.stdout.text == ""


def test_missing_default_paths_are_passed_over(make: Make) -> None:
    """A default path that the host does not have is not an error."""
    assert make("true").run().exit_code == 0


@pytest.fixture
def secret(places: Path) -> Path:
    """A file whose mode lets everybody read it."""
    path = places / "data" / "secret"
    path.parent.mkdir()
    path.parent.chmod(0o755)
    path.write_text("found\n")
    path.chmod(0o644)
    return path


def rule_in(task: Task, form: str, path: str) -> list[str]:
    """A rule for a path in the task's directory, as a job can write it."""
    return [f"r:{path}" if form == "relative" else f"r:{task.directory}/{path}"]


def configure(task: Task, **config: object) -> None:
    task.set_config({**task.config, **config})


@pytest.mark.parametrize("form", ["relative", "absolute"])
@pytest.mark.parametrize("target", ["{outside}", "../../../../../../../../../../{outside}", "/proc/self/root{outside}"])
@pytest.mark.parametrize("path", ["local/link", "local/link/secret"])
def test_link_that_a_program_made_for_its_next_start(make: Make, secret: Path, form: str, target: str, path: str) -> None:
    """Seen without the check: the task read the file, or the whole directory, that a symlink of the previous run named."""
    named = secret if path == "local/link" else secret.parent
    task = make("cat", [secret])
    configure(task, unveil=rule_in(task, form, path))
    (task.local / "link").symlink_to(target.format(outside=named))
    with refused("unveil", str(task.directory / path), "leads out of the task's directory", "task option unveil"):
        task.start()


@pytest.mark.parametrize("form", ["relative", "absolute"])
def test_dots_that_lead_out(make: Make, secret: Path, form: str) -> None:
    """Seen without the check: the task was started with the rule."""
    task = make("cat", [secret])
    configure(task, unveil=rule_in(task, form, "local/../../../" + "../" * 20 + str(secret)))
    with refused("unveil", "leads out of the task's directory"):
        task.start()


@pytest.mark.parametrize("form", ["relative", "absolute"])
def test_link_that_stays_in_the_task_directory(host: AgentHost, launch: Launch, form: str) -> None:
    """In a task whose directories are not unveiled by default, the rule alone unveils it."""
    plugin = launch({"unveil_defaults": False, "unveil_by_task": True, "unveil_paths": [
        host.programs_rule, "rx:/usr", "rx:/lib", "rx:/lib64", "rx:/bin", "rw:/dev"]})
    for bind_mounts in (True, False):
        task = host.task(plugin, "cat", ["local/link/file", "local/../tmp/file"], bind_mounts=bind_mounts)
        configure(task, unveil=[*rule_in(task, form, "local/link"), *rule_in(task, form, "./local/../tmp//")])
        (task.directory / "tmp" / "file").write_text("second\n")
        (task.local / "inside").mkdir()
        (task.local / "inside" / "file").write_text("first\n")
        (task.local / "link").symlink_to("inside")
        for path in (task.directory / "tmp" / "file", task.local / "inside"):
            path.chmod(0o755)
        assert task.run().exit_code == 0, task.stderr.text
        assert task.stdout.text == "first\nsecond\n"


def test_link_that_a_program_made_before_a_command(make: Make, secret: Path) -> None:
    """Rules are resolved again for a command in the task. Seen without the check: the command of `alloc exec` could read the
    directory that the task had put in the place of its own."""
    # `x`, so that it is there.
    task = make("sleep", ["1000"], unveil=["r:local/own", f"x:{secret.parent}"])
    (task.local / "own").mkdir()
    (task.local / "own").chmod(0o755)
    task.start()
    assert output(task, "ls", "local/own") == ""
    (task.local / "own").rmdir()
    (task.local / "own").symlink_to(secret.parent)
    answer = exec_task(task, "cat", str(secret))
    assert answer.result.exit_code == 1 and b"Permission denied" in answer.stderr
    task.stop()


# Rules whose path may be missing


LOOK = "for name in there missing missing/below there/below; do cat $0/$name 2>&1 || true; done"


def looks_at(host: AgentHost, plugin: Plugin, places: Path, **options: object) -> list[str]:
    task = host.task(plugin, "sh", ["-c", LOOK, str(places)], **options)
    assert task.run().exit_code == 0
    return [line.removeprefix(f"cat: {places}/") for line in task.lines()]


NONE = ["missing: No such file or directory", "missing/below: No such file or directory"]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("whose", ["job", "operator"])
def test_optional_rules(host: AgentHost, launch: Launch, places: Path, user: str, whose: str) -> None:
    """Left out where the path is missing, or is below a file; what appears later is there for the next task."""
    (places / "there").write_text("here\n")
    rules = [f"r?:{places}/there", f"r?:{places}/missing", f"rwxc?:{places}/missing/below", f"r?:{places}/there/below"]
    if whose == "job":
        plugin, options = launch({"unveil_by_task": True}), {"unveil": rules}
    else:
        plugin, options = launch({"unveil_paths": [host.programs_rule, *rules]}), {}
        assert str(places) not in plugin.fingerprint().health_description
    seen = ["here", *NONE, "there/below: Not a directory"]
    for _ in range(2):  # the second by a standby Executor
        assert looks_at(host, plugin, places, user=user, **options) == seen
    running = host.task(plugin, "sleep", ["300"], user=user, **options).start()
    (places / "missing").write_text("late\n")
    assert looks_at(host, plugin, places, user=user, **options) == ["here", "late", "missing/below: Not a directory", seen[3]]
    answer = exec_task(running, "cat", f"{places}/missing")
    assert b"No such file or directory" in answer.stderr
    running.stop(signal="SIGKILL")
    (places / "missing").unlink()
    (places / "there").unlink()
    # With none of the paths, there is no directory on the way either.
    assert looks_at(host, plugin, places, user=user, **options)[0] == "there: No such file or directory"


def test_an_optional_rule_that_writes(host: AgentHost, plugin: Plugin, places: Path) -> None:
    """The modes apply, and only these."""
    for name in ("open", "closed"):
        (places / name).mkdir()
        (places / name).chmod(0o777)
    task = host.task(plugin, "sh", ["-c", "echo x > $0/open/new; cat $0/open/new; echo x > $0/closed/new", str(places)],
                     unveil=[f"rwc?:{places}/open", f"r?:{places}/closed"])
    assert task.run().exit_code != 0
    assert task.stdout.text == "x\n" and "Read-only file system" in task.stderr.text


def test_optional_rules_in_the_tasks_own_places(host: AgentHost, launch: Launch, volume: Path, secret: Path) -> None:
    """In its directory, a volume and its own /tmp: the defaults are off, so that only rules count."""
    plugin = launch({"unveil_by_task": True, "unveil_defaults": False, "unveil_paths": [
        host.programs_rule, "rx:/bin", "rx:/usr/bin", "rx:/lib", "r?:/lib64", "rx:/usr/lib", "rx?:/lib32-of-nowhere", "r?:/tmp/of the operator"]})
    task = host.task(
        plugin, "/bin/sh", ["-c", "cat local/there /data/file; cat local/missing /data/missing local/leads-out || true"],
        unveil=["r?:local/there", "r?:local/missing", "r?:/data/file", "r?:/data/missing", "r?:/tmp/missing", "r?:local/leads-out"],
        config={"private_tmp": True})
    (task.local / "there").write_text("own\n")
    (task.local / "there").chmod(0o644)
    (task.local / "leads-out").symlink_to(secret)
    add_volume(task, volume, "/data")
    assert task.run().exit_code == 0, task.stderr.text
    assert task.lines() == ["own", *(volume / "file").read_text().splitlines()]
    assert secret.read_text() not in task.stdout.text and len(task.stderr.text.splitlines()) == 3


@pytest.mark.parametrize("way", ["symlink", "rule"])
def test_an_optional_rule_is_refused_like_another(host: AgentHost, plugin: Plugin, places: Path, way: str) -> None:
    """What exists and cannot be unveiled is no missing path."""
    loop = places / "loop"
    loop.symlink_to(loop)
    hidden = host.data / "alloc"
    task = host.task(plugin, "true", unveil=[f"r?:{loop if way == 'symlink' else hidden}"])
    expected = ("Too many levels", f'"r?:{loop}"') if way == "symlink" else ("cannot show the task", "a directory that no task reaches")
    with refused(*expected):
        task.start()


def test_a_symlink_to_nowhere_is_missing(host: AgentHost, plugin: Plugin, places: Path) -> None:
    (places / "dangling").symlink_to(places / "nowhere")
    assert host.task(plugin, "true", unveil=[f"r?:{places}/dangling"]).run().exit_code == 0
    with refused("No such file or directory", f'"r:{places}/dangling"'):
        host.task(plugin, "true", unveil=[f"r:{places}/dangling"]).start()


# What many rules cost

# As long as a path may be, less what stands before.
DEPTH = 200


@pytest.fixture
def deep(places: Path) -> Path:
    directory = places / "/".join(["d"] * DEPTH)
    directory.mkdir(parents=True)
    return directory


def test_the_ways_of_many_rules_are_made_once(host: AgentHost, plugin: Plugin, deep: Path) -> None:
    """Seen before: each rule's way was made anew, which took the Executor 3.2 s for 1000 rules. It is outside of the task's cgroup."""
    rules = [f"r:{deep}/{number}" for number in range(1024)]
    for rule in rules:
        Path(rule[2:]).touch()
    task = host.task(plugin, "sleep", ["300"], unveil=rules).start(60)
    assert output(task, "ls", str(deep / "0"), str(deep / "1023")).split() == [f"{deep}/0", f"{deep}/1023"]
    # The task's is the one that has taken time.
    stats = [Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split() for process in plugin.executors()]
    seconds = max(int(fields[11]) + int(fields[12]) for fields in stats) / os.sysconf("SC_CLK_TCK")
    assert seconds < 1.5, seconds
    task.stop()


def test_rules_beyond_the_maximum(host: AgentHost, plugin: Plugin) -> None:
    with refused('option "unveil" is a list of 1025 rules: must be at most 1024 rules'):
        host.task(plugin, "true", unveil=["r:/etc/passwd"] * 1025).start()


def test_ways_beyond_the_maximum(host: AgentHost, plugin: Plugin, places: Path) -> None:
    """4096 directories and symlinks: those of 20 rules are more."""
    rules = []
    for number in range(4096 // DEPTH + 1):
        directory = places / str(number) / "/".join(["d"] * DEPTH)
        directory.mkdir(parents=True)
        rules.append(f"r:{directory}")
    host.task(plugin, "true", unveil=rules[:10]).run()
    with refused(f"cannot unveil {rules[-1][2:]}: Argument list too long", "at most 4096 directories and symlinks", "task option unveil"):
        host.task(plugin, "true", unveil=rules).start()
