"""Commands in a running task: where they run, as whom, and what they may do there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

import pytest

from agent import AgentHost, Task, processes
from agent.exec import commands_in, exec_task, output, script, session
from agent.timing import wait_until

Make = Callable[..., Task]


@pytest.fixture
def sleeper(make: Make) -> Task:
    """A task that sleeps, as a dynamic user that may read /proc."""
    return make("/bin/sleep", ["300"], unveil=["r:/proc"]).start()


def test_cgroup_is_the_tasks(sleeper: Task) -> None:
    text = output(sleeper, "cat", "/proc/self/cgroup")
    assert f"/{sleeper.scope.parent.name}/{sleeper.scope.name}\n" in text


def executed(task: Task) -> int:
    """The pid of the sleep(1) that was run in the task, after its execve."""
    command = wait_until(lambda: commands_in(task), 10, "the command")[0]
    wait_until(lambda: processes.look(command).name == "sleep", 5, "execve")
    return command


def test_namespaces_are_the_tasks(make: Make) -> None:
    # Landlock denies a task the links of other processes; the test reads them on the host.
    task = make("/bin/sleep", ["300"], unveil=["r:/proc"]).start()
    given = session(task, "/bin/sleep", "300")
    command = executed(task)
    for name in ("mnt", "pid", "ipc", "net", "uts", "user", "cgroup"):
        assert os.readlink(f"/proc/{command}/ns/{name}") == os.readlink(f"/proc/{task.pid}/ns/{name}"), name
    given.cancel()


def test_processes_of_the_task_are_seen(sleeper: Task) -> None:
    assert output(sleeper, "cat", "/proc/2/comm") == "sleep\n"
    assert output(sleeper, "cat", "/proc/1/comm") == "exec2-executor\n"


@pytest.mark.parametrize("user", ["nomad-81234", "nobody", "root"])
def test_identity_is_the_tasks(make: Make, host: AgentHost, user: str) -> None:
    task = make(host.program("act"), ["ids=", "out=up", "pause="], user=user).start()
    task.stdout.wait_for("up")
    expected = task.lines()[:3]
    assert output(task, host.program("act"), "ids=", "exit=0").splitlines() == expected


@pytest.mark.parametrize("user", ["nomad-81234", "root"])
def test_credentials_are_the_tasks(make: Make, user: str) -> None:
    """Every field of /proc/<pid>/status about what a process may do."""
    task = make("/bin/sleep", ["300"], user=user, unveil=["r:/proc"]).start()
    given = session(task, "/bin/sleep", "300")
    command = executed(task)
    for field in ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
                  "Umask", "SigBlk", "SigIgn"):
        assert processes.status(command, field) == processes.status(task.pid, field), field
    for name in ("limits", "oom_score_adj"):
        assert Path(f"/proc/{command}/{name}").read_text() == Path(f"/proc/{task.pid}/{name}").read_text(), name
    given.cancel()


def test_environment_is_the_tasks(make: Make, host: AgentHost) -> None:
    task = make(host.program("act"), ["env=", "out=printed", "pause="], env={"COLOUR": "blue", "SECRET": "sesame"}).start()
    task.stdout.wait_for("printed")
    expected = [line for line in task.lines() if line != "printed"]
    assert any("COLOUR=blue" in line for line in expected)
    assert output(task, host.program("act"), "env=", "exit=0").splitlines() == expected


def test_working_directory_is_the_tasks(sleeper: Task) -> None:
    assert output(sleeper, "pwd").strip() == str(sleeper.directory)


def test_file_in_tmpdir_is_seen_by_the_task(make: Make) -> None:
    task = make("/bin/sh", ["-c", 'until [ -e "$TMPDIR/flag" ]; do sleep 0.05; done; cat "$TMPDIR/flag"; sleep 300']).start()
    assert exec_task(task, "/bin/sh", "-c", 'echo seen > "$TMPDIR/new" && mv "$TMPDIR/new" "$TMPDIR/flag"').result.exit_code == 0
    task.stdout.wait_for("seen")


@pytest.mark.parametrize("user", ["nomad-80000", "root"])
@pytest.mark.parametrize("unveil, reason", [([], b"No such file or directory"), (["x:/etc/shadow"], b"Permission denied")], ids=["hidden", "there"])
def test_shadow_stays_denied(make: Make, user: str, unveil: list[str], reason: bytes) -> None:
    task = make("/bin/sleep", ["300"], user=user, unveil=unveil).start()
    answer = exec_task(task, "cat", "/etc/shadow")
    assert answer.result.exit_code == 1 and reason in answer.stderr and answer.stdout == b""


def test_only_the_tasks_own_rules_open_paths(make: Make, host: AgentHost) -> None:
    """A path that one task may read by its own rule does not exist for another task, and for commands in that."""
    directory = host.root / "named"
    directory.mkdir(exist_ok=True)
    (directory / "file").write_text("hello")
    directory.chmod(0o755)
    with_rule = make("/bin/sleep", ["300"], unveil=[f"r:{directory}"]).start()
    without = make("/bin/sleep", ["300"]).start()
    assert output(with_rule, "cat", directory / "file") == "hello"
    assert b"No such file or directory" in exec_task(without, "cat", directory / "file").stderr
    (directory / "file").chmod(0o666)
    assert b"Read-only file system" in exec_task(with_rule, "/bin/sh", "-c", f"echo x >> {directory}/file").stderr
    (directory / "file").unlink()
    directory.rmdir()


def test_logs_are_read_only(make: Make) -> None:
    task = make("/bin/sleep", ["300"], user="root").start()
    answer = exec_task(task, "/bin/sh", "-c", 'echo x > "$NOMAD_ALLOC_DIR/logs/mine"')
    assert answer.result.exit_code != 0 and b"Read-only file system" in answer.stderr


def test_network_is_the_tasks(act: Make, host: AgentHost, namespace: Path) -> None:
    task = act("out=up", "pause=", network=str(namespace)).start()
    task.stdout.wait_for("up")
    assert output(task, host.program("act"), "links=", "exit=0") == "links lo\n"


@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_no_descriptor_but_the_three(make: Make, host: AgentHost, user: str) -> None:
    task = make(host.program("act"), ["pause="], user=user).start()
    assert output(task, host.program("act"), "fds=", "exit=0") == "fds 0 1 2\n"
    given = session(task, host.program("act"), "fds=", "exit=0")
    assert given.wait() == (0, 0) and given.stdout == b"fds 0 1 2\n"
    terminal = session(task, host.program("act"), "fds=", "exit=0", tty=True)
    assert terminal.wait() == (0, 0) and terminal.stdout == b"fds 0 1 2\r\n"


def test_streams_can_be_opened_again(sleeper: Task) -> None:
    given = script(sleeper, "cat /dev/stdin > /dev/stdout; echo err > /dev/stderr")
    given.send(b"through\n")
    given.close_stdin()
    assert given.wait() == (0, 0)
    assert (given.stdout, given.stderr) == (b"through\n", b"err\n")
