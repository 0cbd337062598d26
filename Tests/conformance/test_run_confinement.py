"""The options of run that hold a command to capabilities, limits, ports and system calls."""

from __future__ import annotations

import socket

import pytest

from agent.programs import built
from command_line import nothing_is_left, run  # noqa: F401

needs_ports = pytest.mark.landlock(minimum=4)
CHOWN, KILL = 1 << 0, 1 << 5


def confined(options: list[str], *verbs: str) -> dict[str, str]:
    """What Tests/programs/confined.c tells, by its first word."""
    program = built("confined")
    result = run("--unveil", f"rx:{program}", *options, "--", str(program), *verbs)
    assert result.returncode == 0, result.stderr
    return {line.partition(" ")[0]: line.partition(" ")[2] for line in result.stdout.splitlines()}


def test_capabilities() -> None:
    assert confined([], "caps=")["caps"] == "0 0 0 0 0"
    assert confined(["--cap-add", "CAP_CHOWN", "--cap-add", "kill"], "caps=")["caps"] == " ".join([f"{CHOWN | KILL:x}"] * 5)
    root = int(confined(["--user", "root"], "caps=")["caps"].split()[0], 16)
    assert root & CHOWN
    assert int(confined(["--user", "root", "--cap-drop", "chown"], "caps=")["caps"].split()[0], 16) == root & ~CHOWN


def test_ulimit() -> None:
    found = confined(["--ulimit", "nofile=20:30", "--ulimit", "core=0"], "limits=")
    assert (found["limit7"], found["limit4"]) == ("20 30", "0 0")


@needs_ports
def test_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        verbs = ("bind=0", f"connect={port}")
        assert confined([], *verbs) == {"bind0": "ok", f"connect{port}": "ok"}
        assert confined(["--tcp-bind", "none"], *verbs) == {"bind0": "EACCES", f"connect{port}": "ok"}
        assert confined(["--tcp-connect", f"1,{port}"], *verbs) == {"bind0": "ok", f"connect{port}": "ok"}
        assert confined(["--tcp-connect", "1"], *verbs) == {"bind0": "ok", f"connect{port}": "EACCES"}


@pytest.mark.landlock(minimum=6)
def test_abstract_sockets() -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0exec2-run-abstract")
        server.listen()
        program = built("act")
        words = ("--", str(program), "socket=exec2-run-abstract")
        assert run("-u", f"rx:{program}", *words).stdout == "socket EPERM\n"
        assert run("-u", f"rx:{program}", "--abstract-sockets", *words).stdout == "socket ok\n"


def test_system_calls() -> None:
    assert confined([], "call=keyctl", "call=clone3") == {"keyctl": "EPERM", "clone3": "ENOSYS"}
    opened = confined(["--syscalls", "keyrings"], "call=keyctl", "call=clone3")
    assert opened["keyctl"] != "EPERM" and opened["clone3"] == "ENOSYS"
    assert confined(["--no-seccomp"], "call=clone3")["clone3"] != "ENOSYS"


@pytest.mark.parametrize("words, shown", [
    (["--cap-add", "fly"], "fly"), (["--cap-drop", "fly"], "fly"), (["--ulimit", "nofile"], "NAME=SOFT:HARD"), (["--ulimit", "nofile=2:1"], "soft"),
    (["--tcp-bind", "http"], "http"), (["--tcp-connect", "70000"], "70000"), (["--pids-limit", "many"], "many"), (["--syscalls", "all"], "one of"),
    (["--ulimit", "nofile=unlimited"], "fs.nr_open"), (["--cap-add", "all", "--cap-drop", "all"], "cap_drop")])
def test_wrong_value(words: list[str], shown: str) -> None:
    result = run(*words, "true")
    assert result.returncode in (125, 2) and shown in result.stderr, (result.returncode, result.stderr)
    assert result.stdout == ""


@pytest.mark.no_controllers
def test_what_is_not_enforced_is_said() -> None:
    result = run("--pids-limit", "5", "--oom-group", "echo", "ran")
    assert (result.returncode, result.stdout) == (0, "ran\n")
    assert "--pids-limit 5 is not enforced" in result.stderr and "--oom-group has no effect" in result.stderr


@pytest.mark.controllers
def test_pids_limit() -> None:
    assert confined([], "forks=10", "exit=0")["forks"] == "10 ok"
    assert confined(["--pids-limit", "5"], "forks=10", "exit=0")["forks"] == "4 EAGAIN"


@pytest.mark.controllers
def test_oom_group() -> None:
    program = built("confined")
    words = ("--memory", "64", "-u", f"rx:{program}", "--", str(program), "eat=200", "out=after")
    assert run(*words).stdout == "eat -1 9\nafter\n"
    grouped = run("--oom-group", *words)
    assert (grouped.returncode, grouped.stdout) == (137, "")
