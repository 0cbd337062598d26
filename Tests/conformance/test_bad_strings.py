"""NUL in strings, and ids that are none: a clear error each time, and a plugin
that lives on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages
from agent.expect import refused
from agent.host import state_directories

Make = Callable[..., Task]
pytestmark = pytest.mark.usefixtures("plugin_lives_on")


@pytest.mark.parametrize("field", ["id", "user", "stdout_path", "stderr_path", "name", "alloc_dir"])
def test_nul_in_a_field(make: Make, host: AgentHost, field: str) -> None:
    task = make(host.program("act"), ["out=started", "exit=0"])
    value = getattr(task.request.task, field)
    setattr(task.request.task, field, f"{value}\0more")
    with refused("NUL"):
        task.start()
    assert task.stdout.text == ""


def test_nul_in_the_environment(make: Make, host: AgentHost) -> None:
    for name, value in (("NAME\0", "value"), ("NAME", "val\0ue")):
        task = make(host.program("act"), ["out=started"], env={name: value})
        with refused("NUL"):
            task.start()
        assert task.stdout.text == ""


def test_nul_in_paths_of_resources(make: Make, host: AgentHost) -> None:
    task = make(host.program("act"), ["out=started"])
    task.request.task.resources.linux_resources.cpuset_cgroup += "\0x"
    with refused("NUL"):
        task.start()
    task = make(host.program("act"), ["out=started"], network="/run/netns/a\0b")
    with refused("NUL"):
        task.start()


@pytest.mark.parametrize("config", [
    {"command": "/bin/true\0x"}, {"command": "/bin/true", "args": ["a\0b"]}, {"command": "/bin/true", "unveil": ["r:/etc\0/hosts"]}])
def test_nul_in_the_task_config(make: Make, config: dict[str, Any]) -> None:
    task = make(None)
    task.set_config(config)
    with refused(list(config)[-1], "NUL"):
        task.start()


def test_nul_in_the_plugin_config(plugin: Plugin) -> None:
    with refused("unveil_paths", "NUL"):
        plugin.set_config({**plugin.config, "unveil_paths": ["r:/etc\0/hosts"]})


def test_nul_in_a_signal_and_an_id(act: Make, plugin: Plugin) -> None:
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    with refused():
        task.signal("SIGTERM\0")
    # An id with NUL is another id, even where it begins like ours.
    plugin_id, task.id = task.id, f"{task.id}\0x"
    with pytest.raises(grpc.RpcError):
        task.inspect()
    with pytest.raises(grpc.RpcError):
        task.signal("SIGTERM")
    task.id = plugin_id
    assert task.inspect().task.state == messages.driver.RUNNING
    task.stop()


def test_empty_id(make: Make, host: AgentHost) -> None:
    task = make(host.program("act"), ["out=started"])
    task.request.task.id = ""
    with refused("id"):
        task.start()
    assert task.stdout.text == ""


@pytest.mark.parametrize("task_id", [
    "..", ".", "../../escaped", "/escaped", "a/../../../../escaped", "a//b", "....//....//escaped", "x" * 5000, "a\nb", "ü€😀", "-rf", "~"])
def test_odd_ids(make: Make, host: AgentHost, plugin: Plugin, task_id: str) -> None:
    """Refused, or a task like any other whose state stays in the state_dir."""
    task = make(host.program("act"), ["out=up", "pause="])
    above = {path: sorted(os.listdir(path)) for path in (plugin.state_dir.parent, host.root)}
    task.id = task.request.task.id = task_id
    try:
        task.start()
    except grpc.RpcError as error:
        assert "id" in error.details()
    else:
        task.stdout.wait_for("up")
        assert task.inspect().task.id == task_id
        assert state_directories(plugin)
        task.stop(signal="SIGTERM")
        assert task.wait() == ExitResult(143, 15)
        task.destroy()
    for path, entries in above.items():
        assert sorted(os.listdir(path)) == entries
    for directory in [plugin.state_dir, *plugin.state_dir.parents, Path("/run")]:
        assert not (directory / "escaped").exists()


def test_ids_that_look_alike_are_apart(make: Make, host: AgentHost) -> None:
    """Names derived from ids do not collide."""
    tasks = []
    for number, task_id in enumerate(["a/b", "a_b", "a-b", "a b", "a+b", "A/B"]):
        task = make(host.program("act"), [f"out=task {number}", "pause="])
        task.id = task.request.task.id = task_id
        tasks.append(task.start())
    for number, task in enumerate(tasks):
        task.stdout.wait_for(f"task {number}\n")
    assert len({task.pid for task in tasks}) == len(tasks)
    for task in tasks:
        task.stop()


def test_invalid_utf8_in_an_id(plugin: Plugin) -> None:
    """protobuf strings are UTF-8; what is not gets an error or NOT_FOUND."""
    request = b"\x0a\x04\xff\xfe\xfd\xfc"
    with pytest.raises(grpc.RpcError) as refusal:
        plugin.raw("/hashicorp.nomad.plugins.drivers.proto.Driver/InspectTask", request)
    assert refusal.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
