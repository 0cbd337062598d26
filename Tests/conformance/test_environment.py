"""The surroundings of a task: environment, identity, descriptors, processes."""

from __future__ import annotations

import os
import pwd
import signal
from pathlib import Path
from typing import Callable
from unittest import mock

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, mounts, processes
from agent.exec import output
from agent.expect import refused

Make = Callable[..., Task]
USERS = ["nomad-80000", "nobody", "root"]
HOMES = {"nomad-80000": "/nonexistent", "nomad-89999": "/nonexistent"}


def is_executor(name: str) -> bool:
    """Whether it is the first 15 bytes of the Executor program's name, or one of the names that Executors set."""
    return name == "nomad-driver-exec2-executor"[:15] or "executor" in name


def home(user: str) -> str:
    return HOMES.get(user) or pwd.getpwnam(user).pw_dir


@pytest.mark.parametrize("user", USERS)
def test_environment_is_the_tasks_alone(act: Make, user: str) -> None:
    given = {
        "FOO": "bar", "EMPTY": "", "SPACED": " a b ", "EQUALS": "a=b=c", "UTF8": "ü€😀", "LD_LIBRARY_PATH": "/opt/lib",
        "LD_PRELOAD": "", "TMPDIR": "/of/the/agent", "a.b-c": "odd name",
    }
    task = act("env=", user=user, env=given)
    expected = {**dict(task.request.task.env), "USER": user, "HOME": home(user), "TMPDIR": str(task.directory / "tmp")}
    assert task.run() == ExitResult(0)
    assert dict(line.split("=", 1) for line in task.lines()) == expected
    assert len(task.lines()) == len(expected), "a variable came twice"


@pytest.mark.parametrize("user", USERS)
def test_home_of_the_job(make: Make, user: str) -> None:
    """It counts, for programs that keep files there, and for the account of a task with files of its own."""
    script = "git config --global user.name somebody && cat ~/.gitconfig && awk -F: -v id=$(id -u) '$3 == id { print $6 }' /etc/passwd"
    task = make("sh", ["-c", script], user=user, config={"user_files": True})
    task.request.task.env["HOME"] = str(task.local)
    assert task.run() == ExitResult(0), task.stderr.text
    assert task.stdout.text == f"[user]\n\tname = somebody\n{task.local}\n"
    assert (task.local / ".gitconfig").exists()


@pytest.mark.parametrize("agents", ["/root", "/home/of the agent", None])
@pytest.mark.parametrize("user", USERS)
def test_home_of_the_agent(launch: Callable[..., Plugin], host: AgentHost, user: str, agents: str | None) -> None:
    """The client passes it to each task: the job has said nothing."""
    with mock.patch.dict(os.environ):
        os.environ.pop("HOME", None)
        plugin = launch(environment={"HOME": agents} if agents else {})
    task = host.task(plugin, host.program("act"), ["env="], user=user)
    task.request.task.env.pop("HOME", None)
    if agents:
        task.request.task.env["HOME"] = agents
    assert task.run() == ExitResult(0)
    assert f"HOME={home(user)}" in task.lines()

    task = host.task(plugin, host.program("act"), ["env="], user=user, env={"HOME": "/srv/x", "USER": "x", "TMPDIR": "/x"})
    assert task.run() == ExitResult(0)
    assert {"HOME=/srv/x", f"USER={user}", f"TMPDIR={task.directory}/tmp"} <= set(task.lines())


def test_a_home_that_no_account_can_have(make: Make) -> None:
    """It would add one, whose name a program trusts."""
    for home in ("/srv/x\nother:x:0:0::/:/bin/sh", "/srv/x:/bin/false"):
        task = make("cat", ["/etc/passwd"], config={"user_files": True}, env={"HOME": home})
        with refused("cannot make the task's /etc/passwd: the home directory", "has a colon or a control character"):
            task.start()
    assert make("true", config={"user_files": False}, env={"HOME": "/srv/x:y"}).run() == ExitResult(0)


def test_home_in_a_command(act: Make) -> None:
    """That of the task, as everything else of its environment."""
    task = act("out=up", "pause=", env={"HOME": "/srv/x"}).start()
    assert output(task, "sh", "-c", "echo $HOME") == "/srv/x\n"
    task.stop()


def test_device_environment_is_added(act: Make) -> None:
    task = act("env=")
    task.request.task.device_env["CUDA_VISIBLE_DEVICES"] = "0,1"
    task.run()
    assert "CUDA_VISIBLE_DEVICES=0,1" in task.lines()


@pytest.mark.parametrize("megabytes", [1, 1.5])
def test_big_environment(act: Make, megabytes: float) -> None:
    """Larger than a frame, a pipe or gRPC's default limit for a message."""
    count = int(megabytes * 10)
    task = act("env=", env={f"BIG{index}": str(index % 10) * 100_000 for index in range(count)})
    assert task.run() == ExitResult(0)
    lines = set(task.lines())
    assert all(f"BIG{index}=" + str(index % 10) * 100_000 in lines for index in range(count))


@pytest.mark.parametrize("user", [*USERS, "nomad-89999", "daemon"])
def test_identity(act: Make, user: str) -> None:
    task = act("ids=", user=user)
    uid, gid = (int(user[6:]),) * 2 if user.startswith("nomad-") else pwd.getpwnam(user)[2:4]
    assert task.run() == ExitResult(0)
    assert task.line("uid") == f"{uid} {uid} {uid}"
    assert task.line("gid") == f"{gid} {gid} {gid}"
    groups = set(map(int, task.line("groups").split()))
    expected = {gid} if user.startswith("nomad-") else set(os.getgrouplist(user, gid))
    assert groups | {gid} == expected


def test_supplementary_groups(launch: Callable[..., Plugin], host: AgentHost, tmp_path: Path) -> None:
    """A named user's supplementary groups, from the host's own database: a file with
    such a user is mounted over it here."""
    (tmp_path / "passwd").write_text(Path("/etc/passwd").read_text() + "exec2user:x:7000:7001::/srv/exec2user:/bin/sh\n")
    (tmp_path / "group").write_text(
        Path("/etc/group").read_text() + "exec2main:x:7001:\nexec2one:x:7002:exec2user\nexec2two:x:7003:root,exec2user\n")
    plugin = launch(binds=[(tmp_path / "passwd", Path("/etc/passwd")), (tmp_path / "group", Path("/etc/group"))])
    task = host.task(plugin, host.program("act"), ["ids=", "env="], user="exec2user", bind_mounts=False, owner=(7000, 7001))
    assert task.run() == ExitResult(0)
    assert task.line("uid") == "7000 7000 7000"
    assert task.line("gid") == "7001 7001 7001"
    assert set(task.line("groups").split()) | {"7001"} == {"7001", "7002", "7003"}
    assert "HOME=/srv/exec2user" in task.lines()
    assert "USER=exec2user" in task.lines()


def test_no_groups_of_the_agents(act: Make) -> None:
    task = act("ids=")
    task.run()
    assert set(task.line("groups").split()) <= {"80000"}


@pytest.mark.parametrize("user", USERS)
def test_only_stdio_is_open(act: Make, user: str) -> None:
    """Seen without close_range: the Executor's launch request, descriptor 4, was open."""
    task = act("fds=", user=user)
    task.run()
    assert task.line("fds") == "0 1 2"


def test_stdin_is_empty(make: Make) -> None:
    task = make("/bin/cat")
    assert task.run() == ExitResult(0)
    assert task.stdout.text == ""


@pytest.mark.parametrize("user", USERS)
def test_no_new_privileges(act: Make, user: str) -> None:
    """Seen without it, as root: no task was started, since Landlock needs it (EPERM)."""
    task = act("nnp=", user=user)
    task.run()
    assert task.line("nnp") == "1"


def test_plain_user_has_no_capabilities(act: Make) -> None:
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    for field in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        assert int(processes.status(task.pid, field), 16) == 0, field
    task.stop()


def test_work_dir_is_the_task_directory(act: Make) -> None:
    task = act("cwd=")
    task.run()
    assert task.line("cwd") in (str(task.directory), str(task.local))


def test_signal_state_is_clean(launch: Callable[..., Plugin], host: AgentHost) -> None:
    """The task inherits no blocked and no ignored signal, whatever the agent's are. Seen without the empty mask: every signal
    was blocked, as it is in the Executor at that moment. Seen without the default dispositions: the agent's and the
    driver's ignored signals were ignored."""
    disposition = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        plugin = launch()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGUSR1, disposition)
    for name, field in ((signal.SIGUSR1, "SigIgn"), (signal.SIGUSR2, "SigBlk")):
        assert int(processes.status(plugin.pid, field), 16) >> (name - 1) & 1, f"the driver has not inherited {field}"
    task = host.task(plugin, host.program("recorder")).start()
    task.stdout.wait_for("ready main")
    assert task.lines() == ["ready main"]
    task.stop(signal="SIGKILL")


def test_umask(launch: Callable[..., Plugin], host: AgentHost) -> None:
    """022, whatever the agent's is. Seen without the step: 077, and nobody else could read a web server's files."""
    before = os.umask(0o077)
    try:
        plugin = launch()
    finally:
        os.umask(before)
    task = host.task(plugin, "/bin/sh", ["-c", "umask"])
    assert task.run().exit_code == 0
    assert task.stdout.text == "0022\n"


def test_own_session_and_group(act: Make) -> None:
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    assert os.getsid(task.pid) == task.pid
    assert os.getpgid(task.pid) == task.pid
    task.stop()


@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_only_the_tasks_processes_are_seen(make: Make, host: AgentHost, user: str) -> None:
    task = make(host.program("act"), ["pids="], unveil=["r:/proc"], user=user)
    assert task.run() == ExitResult(0)
    seen = [line.split(" ", 2)[1:] for line in task.lines()]
    assert len(seen) == 2, seen
    assert seen[0][0] == "1" and is_executor(seen[0][1])
    assert seen[1][1] == "act"


def test_ps(make: Make) -> None:
    """Debian's ps (package procps) shows the Executor, ps and its shell."""
    assert Path("/bin/ps").exists(), "install procps"
    task = make("/bin/sh", ["-c", "ps -eo pid=,comm=; exit 0"], unveil=["r:/proc"])
    assert task.run() == ExitResult(0), task.stderr.text
    names = [line.split()[1] for line in task.lines()]
    assert len(names) == 3 and names[1:] == ["sh", "ps"], task.lines()
    assert task.lines()[0].split()[0] == "1" and is_executor(names[0])


def test_namespaces_are_the_tasks_own(act: Make) -> None:
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    for kind, own in {"pid": True, "mnt": True, "ipc": True, "net": False, "uts": False, "user": False}.items():
        same = os.readlink(f"/proc/{task.pid}/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}")
        assert same != own, kind
    task.stop()


def test_mounts_do_not_reach_the_host(act: Make, host: AgentHost) -> None:
    task = act("out=up", "pause=")
    before = mounts.below(host.root)
    task.start().stdout.wait_for("up")
    assert mounts.below(host.root) == before
    assert len(mounts.below(host.root, task.pid)) > len(before), "the task has mounts of its own"
    task.stop()


def test_executor_keeps_nothing_of_the_agents(act: Make, plugin: Plugin) -> None:
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    agents = {target for target in processes.descriptors(plugin.pid).values() if target.startswith("pipe:")}
    assert processes.descriptors(plugin.pid)[2] in agents
    for pid in (task.executor_pid, task.pid):
        assert not agents & set(processes.descriptors(pid).values()), pid
    task.stop()


@pytest.mark.parametrize("score", [0, 500, 1000])
def test_oom_score(make: Make, host: AgentHost, score: int) -> None:
    task = make(host.program("act"), ["out=up", "pause="], config={"oom_score_adj": score}).start()
    task.stdout.wait_for("up")
    assert Path(f"/proc/{task.pid}/oom_score_adj").read_text().strip() == str(score)
    task.stop()


@pytest.mark.controllers
def test_executor_is_not_the_oom_killers_choice(act: Make) -> None:
    """If oom_score_adj may be lowered, which many containers forbid even to root."""
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    assert int(Path(f"/proc/{task.executor_pid}/oom_score_adj").read_text()) == -1000
    assert int(Path(f"/proc/{task.pid}/oom_score_adj").read_text()) == 0
    task.stop()
