"""`nomad-driver-exec2 tasks`: the list of a host's tasks, also while a plugin has them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from agent import AgentHost, Plugin, Task, cgroups, processes
from agent.task import DIRECTORIES
from agent.timing import scaled, wait_until

Act = Callable[..., Task]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NOMAD_") and name != "NO_COLOR"}
    return {**kept, **more}


def tool(binary: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    settings: dict[str, Any] = {
        "stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": scaled(30), "env": environment()}
    return subprocess.run([binary, *words], check=False, **{**settings, **options})


def listed(binary: Path, plugin: Plugin) -> dict[str, dict[str, Any]]:
    """By id."""
    result = tool(binary, "tasks", "--json", "--state-dir", str(plugin.state_dir))
    assert (result.returncode, result.stderr) == (0, "")
    return {task["id"]: task for task in json.loads(result.stdout)}


def test_running_tasks(act: Act, plugin: Plugin, binary: Path) -> None:
    task = act("out=up", "memory=16", "tree=2", "out=full", "pause=").start()
    task.stdout.wait_for("full")
    wait_until(lambda: len(cgroups.processes(task.scope)) == 7, 10, "seven processes")
    time.sleep(1)
    seen = listed(binary, plugin)[task.id]
    assert (seen["state"], seen["task"], seen["alloc_id"]) == ("running", task.name, task.alloc_id)
    assert (seen["pid"], seen["executor_pid"], seen["driver_pid"]) == (task.pid, task.executor_pid, plugin.pid)
    assert seen["processes"] == 7 and seen["memory_bytes"] >= 16 << 20 and seen["cpu_microseconds"] > 0
    assert 1 <= seen["age_seconds"] <= scaled(30) and seen["ended_at"] is None
    assert seen["cgroup"] == str(task.scope) and Path(seen["state_folder"]).parent == plugin.state_dir
    assert "exit_code" not in seen
    task.stop(timeout=0)


def test_ends(act: Act, plugin: Plugin, binary: Path) -> None:
    failed, killed, lost = act("exit=7"), act("raise=9"), act("out=up", "pause=")
    for task in (failed, killed):
        task.run()
    lost.start()
    lost.stdout.wait_for("up")
    os.kill(lost.executor_pid, signal.SIGKILL)
    wait_until(lambda: listed(binary, plugin)[lost.id]["state"] == "lost", 5, "the lost task is shown as lost")
    wait_until(lambda: listed(binary, plugin)[failed.id]["state"] == "ended", 5, "the Executor has left")
    wait_until(lambda: listed(binary, plugin)[killed.id]["state"] == "ended", 5, "the Executor has left")
    seen = listed(binary, plugin)
    assert (seen[failed.id]["exit_code"], seen[failed.id]["signal"], seen[failed.id]["oom_killed"]) == (7, 0, False)
    assert (seen[killed.id]["exit_code"], seen[killed.id]["signal"]) == (137, 9)
    assert seen[failed.id]["ended_at"] >= seen[failed.id]["started_at"]
    assert "killed" in seen[lost.id]["reason"]
    table = tool(binary, "tasks", "--state-dir", str(plugin.state_dir)).stdout
    for state in ("exit:7", "signal:9", "lost"):
        assert f" {state} " in table


def test_a_task_without_a_driver(launch: Callable[..., Plugin], host: AgentHost, binary: Path) -> None:
    plugin = launch({})
    task = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    task.stdout.wait_for("up")
    executor = task.executor_pid
    plugin.kill()
    seen = listed(binary, plugin)[task.id]
    assert (seen["state"], seen["driver_pid"], seen["executor_pid"]) == ("running", None, executor)
    os.kill(executor, signal.SIGKILL)
    wait_until(lambda: not processes.is_alive(executor), 10, "the Executor has ended")


def test_nobody_is_disturbed(act: Act, plugin: Plugin, binary: Path) -> None:
    """Twenty runs change no file and take no lock, and the plugin still answers."""
    task = act("out=up", "block=10", "await=10", "exit=3").start()
    task.stdout.wait_for("up")
    directory = plugin.state_dir / os.path.basename(listed(binary, plugin)[task.id]["state_folder"])
    before = {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}
    lines = len(plugin.log)
    trace = subprocess.Popen(
        ["sh", "-c", f"for i in 1 2 3 4 5 6 7 8 9 10; do '{binary}' tasks --state-dir '{plugin.state_dir}'; done"],
        stdout=subprocess.DEVNULL, env=environment())
    for _ in range(5):
        assert task.inspect().task.id == task.id
    assert trace.wait(scaled(30)) == 0
    assert {path.name: path.stat().st_mtime_ns for path in directory.iterdir()} == before
    assert [line for line in plugin.log[lines:] if line["@level"] in ("warn", "error")] == []
    task.signal("SIGUSR1")
    assert task.wait().exit_code == 3


def test_runs_are_shown(binary: Path) -> None:
    run = subprocess.Popen(
        [binary, "run", "sh", "-c", "echo up; sleep 100"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        env=environment(), text=True)
    try:
        assert run.stdout is not None and run.stdout.readline() == "up\n"
        mine = [task for task in json.loads(tool(binary, "tasks", "--json").stdout) if task["driver_pid"] == run.pid]
        assert len(mine) == 1 and mine[0]["task"] == "(run)" and mine[0]["state"] == "running"
    finally:
        run.terminate()
        assert run.wait(scaled(30)) == 128 + signal.SIGTERM
    assert str(run.pid) not in tool(binary, "tasks").stdout.split()


def test_table_is_aligned_and_coloured_on_a_terminal_only(act: Act, plugin: Plugin, binary: Path) -> None:
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    words: list[Path | str] = [binary, "tasks", "--state-dir", str(plugin.state_dir)]
    plain = tool(binary, "tasks", "--state-dir", str(plugin.state_dir)).stdout
    assert "\x1b" not in plain
    lines = plain.splitlines()
    assert lines[0].split() == ["TASK", "ALLOC", "STATE", "PID", "DRIVER", "PROCESSES", "MEMORY", "CPU", "AGE"]
    assert all(len(line.split()) == 9 for line in lines)
    assert len({line.index(" running ") for line in lines if " running " in line}) == 1
    assert b"\x1b[32mrunning\x1b[0m" in on_a_terminal(words)
    assert b"\x1b" not in on_a_terminal(words, NO_COLOR="1")
    assert b"\x1b" not in on_a_terminal(words, TERM="dumb")
    assert b"\x1b[32mrunning\x1b[0m" in on_a_terminal(words, NO_COLOR="")
    task.stop()


def on_a_terminal(words: list[Any], **variables: str) -> bytes:
    primary, secondary = pty.openpty()
    try:
        subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=secondary, check=False, timeout=scaled(30),
            env=environment(**{"TERM": "xterm", **variables}))
        return os.read(primary, 65536)
    finally:
        os.close(primary)
        os.close(secondary)


def test_quiet_prints_the_ids_of_those_that_run(act: Act, plugin: Plugin, binary: Path) -> None:
    ended, running = act("exit=0"), act("out=up", "pause=")
    ended.run()
    running.start()
    running.stdout.wait_for("up")
    directory = str(plugin.state_dir)
    wait_until(lambda: tool(binary, "tasks", "-q", "--state-dir", directory).stdout.splitlines() == [running.id], 5, "one id")
    inside = tool(binary, "exec", "--state-dir", directory, running.id, "sh", "-c", "echo in")
    assert inside.stdout == "in\n"
    running.stop()


def test_errors_are_named(binary: Path, tmp_path: Path) -> None:
    missing = tool(binary, "tasks", "--state-dir", "/nonexistent")
    assert missing.returncode == 1 and "cannot read the state directory /nonexistent: No such file" in missing.stderr
    assert tool(binary, "tasks", "--state-dir", str(tmp_path)).stdout.count("\n") == 1
    assert tool(binary, "tasks", "--json", "--state-dir", str(tmp_path)).stdout == "[]\n"
    extra = tool(binary, "tasks", "extra")
    assert extra.returncode == 2 and '"extra"' in extra.stderr
    user = tool(binary, "tasks", user=65534, group=65534, extra_groups=[]) if os.access(binary, os.X_OK) else None
    assert user is not None and user.returncode == 1 and "root" in user.stderr


def test_the_directories_are_named_where_nothing_is_in_them(binary: Path, tmp_path: Path) -> None:
    """Seen before: only the table's heading."""
    assert tool(binary, "tasks", "--state-dir", str(tmp_path)).stdout == f"no task in {tmp_path}\n"
    given = tool(binary, "exec", "--state-dir", str(tmp_path), "web", "true")
    assert given.returncode == 125
    assert given.stderr == f'nomad-driver-exec2: no task "web" runs: nothing runs in {tmp_path}\n'
    given = tool(binary, "exec", "--state-dir", str(tmp_path / "missing"), "web", "true")
    assert given.returncode == 125
    assert given.stderr.endswith(f"{tmp_path}/missing: No such file or directory\n")
    quiet = tool(binary, "tasks", "-q", "--state-dir", str(tmp_path / "missing"))
    assert (quiet.returncode, quiet.stdout) == (1, "") and "missing: No such file" in quiet.stderr


def test_a_runs_directory_can_be_named(binary: Path, tmp_path: Path) -> None:
    """The directory of the run itself, or the one that `run` was given.

    Seen before: 'no task "X" runs: those that run are ' and no names."""
    run = subprocess.Popen(
        [binary, "run", "--state-dir", str(tmp_path), "sh", "-c", "echo up; sleep 100"], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, env=environment(), text=True)
    try:
        assert run.stdout is not None and run.stdout.readline() == "up\n"
        (own,) = tmp_path.iterdir()
        for directory in (own, tmp_path):
            given = tool(binary, "exec", "--state-dir", str(directory), "X", "true")
            assert given.returncode == 125
            assert given.stderr == f'nomad-driver-exec2: no task "X" runs: running tasks: {own.name}\n'
            for name in (own.name, str(run.pid)):
                assert tool(binary, "exec", "--state-dir", str(directory), name, "echo", "in").stdout == "in\n"
            (task,) = json.loads(tool(binary, "tasks", "--json", "--state-dir", str(directory)).stdout)
            assert (task["id"], task["task"], task["driver_pid"]) == (own.name, "(run)", run.pid)
            assert tool(binary, "tasks", "-q", "--state-dir", str(directory)).stdout == own.name + "\n"
    finally:
        run.terminate()
        assert run.wait(scaled(30)) == 128 + signal.SIGTERM


def test_other_directories_are_ignored(binary: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").write_text("x")
    starting = tmp_path / "alloc+web+1a2b3c4d"
    starting.mkdir()
    os.mkfifo(starting / "control")
    damaged = tmp_path / "alloc+db+1a2b3c4d"
    damaged.mkdir()
    os.mkfifo(damaged / "control")
    (damaged / "executor").write_bytes(os.urandom(200))
    tasks = json.loads(tool(binary, "tasks", "--json", "--state-dir", str(tmp_path)).stdout)
    assert {(task["id"], task["state"]) for task in tasks} == {
        ("alloc/web/1a2b3c4d", "starting"), ("alloc/db/1a2b3c4d", "starting")}


@pytest.mark.parametrize("name", ['we"b\\', "line\nfeed", "\x1b[2J", "\x9b31m", "\U0010ffe9", "e\u0301\u2028"])
def test_the_name_of_a_running_task(make: Callable[..., Task], plugin: Plugin, binary: Path, name: str) -> None:
    """As the Executor has written it into the task's identity: whole in what a program reads, and on one line. A scalar
    that stands for a byte of what is not UTF-8 is U+FFFD there."""
    task = make("/bin/sleep", ["300"], config={"work_dir": "/"})
    task.request.task.name = name
    # A cgroup cannot have every one of these names, but directories can.
    for directory in DIRECTORIES:
        (task.alloc_dir / name / directory).mkdir(parents=True)
    task.start()
    shown = tool(binary, "tasks", "--json", "--state-dir", str(plugin.state_dir)).stdout
    assert not [character for character in shown if character != "\n" and (ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0)]
    assert [found["task"] for found in json.loads(shown) if found["id"] == task.id] == [name.replace("\U0010ffe9", "\ufffd")]
    table = tool(binary, "tasks", "--state-dir", str(plugin.state_dir)).stdout
    assert len(table.split("\n")) == len(json.loads(shown)) + 2
    task.stop(timeout=0)
