"""The program without an agent: help, version, check, and unknown words."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from command_line import (  # noqa: F401
    PROGRAM, SLOW, complaint, controllers, environment, mount_point, nothing_is_left, tool)


# Help, version and unknown commands


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help(words: list[str]) -> None:
    result = tool(*words)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: nomad-driver-exec2 ")
    for word in ("run", "exec", "check", "tasks", "completion", "--version", "plugin_dir"):
        assert word in result.stdout


def test_help_of_run_names_every_option() -> None:
    result = tool("run", "--help")
    assert (result.returncode, result.stderr) == (0, "")
    for option in ("unveil", "no-defaults", "user", "memory", "memory-max", "cpu", "network-namespace", "env",
                   "volume", "work-dir", "oom-score-adj", "kill-timeout", "executor", "state-dir"):
        assert f" --{option}" in result.stdout
    assert tool("check", "--help").stdout.startswith("Usage: nomad-driver-exec2 check")


@pytest.mark.parametrize("words", [[], ["run"], ["exec"], ["check"], ["tasks"], ["completion"]])
def test_help_fits_a_terminal(words: list[str]) -> None:
    assert max(map(len, tool(*words, "--help").stdout.splitlines())) <= 82


def test_version() -> None:
    result = tool("--version")
    assert re.fullmatch(r"nomad-driver-exec2 \d+\.\d+\.\d+\S*\n", result.stdout)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("words,named", [
    (["frobnicate"], '"frobnicate"'), (["--frob"], '"--frob"'), (["-x"], '"-x"'), (["check", "extra"], '"extra"'),
    (["check", "--frob"], '"--frob"'), (["tasks", "--frob"], '"--frob"'), (["completion", "ksh"], '"ksh"'),
    (["completion"], "bash, zsh, fish"), (["completion", "zsh", "extra"], '"extra"'), (["check", "--executor"], "--executor"),
])
def test_unknown_words_are_named(words: list[str], named: str) -> None:
    result = tool(*words)
    assert result.returncode == 2
    assert named in complaint(result)
    command = f"{words[0]} " if words[0] in ("check", "tasks", "completion") else ""
    assert result.stderr.endswith(f"; see nomad-driver-exec2 {command}--help\n")


# check


def test_check_agrees_with_this_host() -> None:
    result = tool("check")
    assert result.stderr == ""
    lines = dict(re.findall(r"^(?:ok  |FAIL)  (.+?)  +(.+)$", result.stdout, re.MULTILINE))
    marks = dict(re.findall(r"^(?:(?P<mark>ok|FAIL) +)(.+?)  ", result.stdout, re.MULTILINE))
    assert set(lines) == {
        "root", "kernel", "cgroup v2", "cgroup controller cpu", "cgroup controller memory", "cgroup controller pids",
        "cgroup controller cpuset", "Landlock", "Landlock's protections", "denial events", "Executor", "state directory"}
    assert os.uname().release in lines["kernel"]
    assert str(mount_point()) in lines["cgroup v2"]
    for controller in ("cpu", "memory", "pids", "cpuset"):
        ok = re.search(rf"^ok    cgroup controller {controller} ", result.stdout, re.MULTILINE) is not None
        assert ok == (controller in controllers()), marks
    missing = {"cpu", "memory", "pids", "cpuset"} - controllers()
    assert result.returncode == (1 if missing else 0)
    assert ("      -> hand the controllers to cgroup v2" in result.stdout) == bool(missing)
    columns = {match.start(2) - match.start() for match in re.finditer(
        r"^(?:ok  |FAIL)  (.+?)  +(.+)$", result.stdout, re.MULTILINE)}
    assert len(columns) == 1


def test_check_as_json() -> None:
    """The same checks, with the same outcome. Seen before: 'unknown option "--json"'."""
    shown = re.findall(r"^(ok  |FAIL)  (.+?)  +(.+)$", tool("check").stdout, re.MULTILINE)
    result = tool("check", "--json")
    report = json.loads(result.stdout)
    assert [(check["ok"], check["name"], check["detail"]) for check in report["checks"]] == [
        (mark == "ok  ", name, detail) for mark, name, detail in shown]
    assert report["fit"] == (result.returncode == 0) == all(check["ok"] for check in report["checks"])
    assert all((check["remedy"] is None) == check["ok"] for check in report["checks"])
    assert tool("--version").stdout.split()[1] == report["version"]


def state_directory(path: Path) -> tuple[bool, str]:
    """The result and the text of `check` about it."""
    checks = json.loads(tool("check", "--json", "--state-dir", str(path)).stdout)["checks"]
    found = [check for check in checks if check["name"] == "state directory"]
    assert len(found) == 1
    return found[0]["ok"], found[0]["detail"]


def test_check_names_the_state_directory(tmp_path: Path) -> None:
    """Seen before: it did not mention the directory."""
    assert state_directory(tmp_path) == (True, f"{tmp_path} is empty: no task of the plugin's is on this host")
    missing = tmp_path / "missing"
    assert state_directory(missing) == (True, f"{missing} does not exist; the first task's start makes it")
    # Seen before: "has 3 tasks" of a directory in which `tasks` found none.
    (tmp_path / "alloc+web+1a2b3c4d").mkdir()
    assert state_directory(tmp_path) == (True, f"{tmp_path} has no tasks, and 1 entry that belongs to none")
    (tmp_path / ".new+1a2b3c4d").mkdir()
    os.mkfifo(tmp_path / ".new+1a2b3c4d" / "control")
    assert state_directory(tmp_path) == (True, f"{tmp_path} has no tasks, and 2 entries that belong to none")
    os.mkfifo(tmp_path / "alloc+web+1a2b3c4d" / "control")
    (tmp_path / ".new+1a2b3c4d" / "control").unlink()
    (tmp_path / ".new+1a2b3c4d").rmdir()
    assert state_directory(tmp_path) == (True, f"{tmp_path} has 1 task")
    listed = tool("tasks", "--json", "--state-dir", str(tmp_path))
    assert len(json.loads(listed.stdout)) == 1
    os.chown(tmp_path, 65534, 65534)
    assert state_directory(tmp_path) == (True, f"{tmp_path} is of uid 65534; the next task's start makes it root's again")
    os.chown(tmp_path, 0, 0)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    ok, detail = state_directory(tmp_path / "open" / "state")
    assert not ok and f"others may write to {tmp_path}/open" in detail
    assert state_directory(Path("/etc/hosts")) == (False, "cannot use the state directory /etc/hosts (option state_dir): Not a directory")
    assert "/run/nomad-driver-exec2" in tool("check").stdout


def test_the_agents_cookie_with_arguments_is_the_tool() -> None:
    """Seen before: a plugin that waited for an agent, whatever the arguments."""
    cookie = {"NOMAD_PLUGIN_MAGIC_COOKIE": "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255"}
    result = tool("run", "echo", "here", env={**environment(), **cookie})
    assert (result.returncode, result.stdout, result.stderr) == (0, "here\n", "")
    assert tool("--version", env={**environment(), **cookie}).stdout.startswith("nomad-driver-exec2 ")


def test_check_names_a_missing_executor_and_the_remedy() -> None:
    result = tool("check", "--executor", "/nonexistent/executor")
    assert result.returncode == 1
    assert re.search(r"^FAIL  Executor +.*/nonexistent/executor.*\n      -> install .+executor_path", result.stdout,
                     re.MULTILINE)


def test_check_is_coloured_on_a_terminal_only() -> None:
    assert "\x1b" not in tool("check").stdout
    primary, secondary = pty.openpty()
    try:
        variables = {name: value for name, value in environment().items() if name != "NO_COLOR"}
        subprocess.run([PROGRAM, "check"], stdin=subprocess.DEVNULL, stdout=secondary, check=False, env=variables,
                       timeout=30 * SLOW)
        shown = os.read(primary, 65536)
    finally:
        os.close(primary)
        os.close(secondary)
    assert b"\x1b[32mok" in shown
