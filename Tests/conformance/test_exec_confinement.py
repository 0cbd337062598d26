"""A command in a task (alloc exec) has the same restrictions as the task."""

from __future__ import annotations

from typing import Any, Callable

from agent import AgentHost, Plugin, landlock
from agent.exec import output

Launch = Callable[..., Plugin]
VERBS = ["caps=", "limits=", "bind=0", "call=keyctl", "call=userfaultfd", "unshare=0x10000000"]
# By the first word of each line of Tests/programs/confined.c.
CONFINED = {"caps": "20 20 20 20 20", "limit7": "20 30", "bind0": "EACCES", "keyctl": "EPERM", "userfaultfd": "EPERM", "unshare": "EPERM"}
PORTS = landlock.abi() >= 4


def keyed(text: str) -> dict[str, str]:
    """Lines of a key and its outcome."""
    return {line.partition(" ")[0]: line.partition(" ")[2] for line in text.splitlines()}


def test_with_the_options(launch: Launch, host: AgentHost) -> None:
    """The task itself runs the same program, for comparison."""
    plugin = launch({"allow_caps": ["kill"]})
    config: dict[str, Any] = {"cap_add": ["kill"], "ulimit": {"nofile": "20:30"}, **({"tcp_bind": []} if PORTS else {})}
    program = host.program("confined")
    task = host.task(plugin, program, [*VERBS, "out=up", "pause="], config=config).start()
    task.stdout.wait_for("up")
    said = keyed(output(task, program, *VERBS, "exit=0"))
    expected = {**CONFINED, **({} if PORTS else {"bind0": "ok"})}
    assert {key: said[key] for key in expected} == expected
    assert {key: task.line(key) for key in said} == said
    task.stop()


def test_without_them(launch: Launch, host: AgentHost) -> None:
    plugin = launch({"seccomp": False})
    task = host.task(plugin, host.program("act"), ["pause="]).start()
    said = keyed(output(task, host.program("confined"), *VERBS, "exit=0"))
    assert said["caps"] == "0 0 0 0 0" and said["limit7"] != "20 30" and said["bind0"] == "ok"
    assert "EPERM" not in (said["keyctl"], said["userfaultfd"])
    task.stop()


def test_an_opened_group(launch: Launch, host: AgentHost) -> None:
    plugin = launch({"allow_syscalls": ["keyrings"]})
    task = host.task(plugin, host.program("act"), ["pause="], config={"syscalls": ["keyrings"]}).start()
    said = keyed(output(task, host.program("confined"), *VERBS, "exit=0"))
    assert said["keyctl"] != "EPERM" and said["unshare"] == "EPERM"
    task.stop()
