"""A path in the plugin's options is on a file system that does not answer, as on a network file system whose server is
gone. Whatever looks at it waits in the kernel and cannot be told to give up. The driver says which path it is, and tasks
that run are stopped, and end, as ever.

Seen before: sixteen starts, or sixteen Fingerprint streams that were opened and cancelled, took every thread that may
block. Then no StopTask and no WaitTask of any task was answered, nor any Fingerprint.
"""

from __future__ import annotations

import platform
import shutil
from pathlib import Path
from typing import Any, Callable, Iterator

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages, processes
from agent.file_systems import DeadFileSystem
from agent.timing import scaled, wait_until

pytestmark = pytest.mark.fuse

Launch = Callable[..., Plugin]
State = messages.driver.FingerprintResponse
# BlockingPool.Limits: starts, recoveries (the sweep of the state directory is among them) and host facts.
STARTS, RECOVERIES, HOST_FACTS = 8, 4, 2
MANY = 20
# SharedHostFacts.maximumNanoseconds.
LIMIT = "has not answered within 10 s"
FUTEX = {"x86_64": "202", "aarch64": "98"}[platform.machine()]


def hanging(plugin: Plugin) -> int:
    """How many of the plugin's threads for blocking calls are in a system call and do not wait for work."""
    found = 0
    for thread in Path(f"/proc/{plugin.pid}/task").iterdir():
        try:
            call = (thread / "syscall").read_text().split()[0]
            found += (thread / "comm").read_text().strip() == "exec2-blocking" and call not in (FUTEX, "running")
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def fingerprints(plugin: Plugin) -> Any:
    return plugin.driver.Fingerprint(messages.driver.FingerprintRequest(), timeout=scaled(60))


def open_and_cancel(plugin: Plugin) -> None:
    """As an agent does that gets no answer: each stream has reached the driver when it is cancelled."""
    for _ in range(MANY):
        stream = fingerprints(plugin)
        stream.initial_metadata()
        stream.cancel()


def until(answers: Iterator[Any], names_path: bool, path: str) -> Any:
    for answer in answers:
        if (f"{path} " in answer.health_description and LIMIT in answer.health_description) == names_path:
            return answer
    raise AssertionError("the stream has ended")


def still_goes_on(plugin: Plugin, tasks: list[Task], config: dict[str, Any]) -> None:
    """Everything that is no start, while others hang."""
    stopped, ended, killed = tasks
    waits = [task.wait_soon() for task in tasks]
    ended.signal("SIGUSR1")
    assert Task.result_of(waits[1].result()) == ExitResult(138, 10)
    stopped.stop(signal="SIGTERM")
    assert Task.result_of(waits[0].result()) == ExitResult(143, 15)
    killed.destroy()
    assert waits[2].result().result.signal == 9
    for task in (stopped, ended):
        task.destroy(force=False)
    plugin.set_config(config)


@pytest.mark.parametrize("option", ["executor_path", "state_dir"])
def test_starts_that_hang(launch: Launch, host: AgentHost, option: str) -> None:
    plugin = launch()
    good = dict(plugin.config)
    tasks = [host.paused(plugin) for _ in range(3)]
    late = [host.task(plugin, host.program("act"), ["exit=0"]) for _ in range(MANY)]
    with DeadFileSystem(host.root / "dead", keeps_directory=True) as dead:
        path = f"{dead.directory}/x"
        bad = {**good, option: path}
        plugin.set_config(bad)
        open_and_cancel(plugin)
        starts = [task.start_soon(120) for task in late]
        # Of the starts in a dead state directory one hangs there, and the others wait for it.
        wait_until(
            lambda: processes.thread_names(plugin.pid).count("exec2-blocking") > STARTS and hanging(plugin) > 1, 60,
            "as many starts hang as may, and the facts of the host")
        assert tasks[0].inspect().task.state == messages.driver.RUNNING
        still_goes_on(plugin, tasks, bad)
        answers = fingerprints(plugin)
        unhealthy = until(answers, True, path)
        assert unhealthy.health == State.UNHEALTHY
        assert f"the path {path} (plugin option {option}) {LIMIT}" in unhealthy.health_description
        assert unhealthy.attributes["driver.exec2.version"].string_val
        assert not any(start.done() for start in starts)
        assert hanging(plugin) <= STARTS + RECOVERIES + HOST_FACTS
        for start in starts:
            start.cancel()
    plugin.set_config(good)
    healthy = until(answers, False, path)
    assert path not in healthy.health_description
    answers.cancel()
    wait_until(lambda: hanging(plugin) == 0, 60, "nothing hangs any more")
    assert host.task(plugin, host.program("act"), ["exit=3"]).run() == ExitResult(3)
    # Those that were given up have made the state directory by now, where the file system was, and nothing is left in it.
    wait_until(lambda: not list(dead.directory.glob("x/*")) and len(plugin.executors()) <= 1, 60, "no start goes on")
    shutil.rmtree(dead.directory)


def test_a_path_to_unveil_that_does_not_answer(launch: Launch, host: AgentHost) -> None:
    """Nothing but Fingerprint looks at it in the driver. One thread does, for all streams."""
    plugin = launch()
    good = dict(plugin.config)
    tasks = [host.paused(plugin) for _ in range(3)]
    with DeadFileSystem(host.root / "dead") as dead:
        path = f"{dead.directory}/x"
        bad = {**good, "unveil_paths": [*good["unveil_paths"], f"r:{path}"]}
        plugin.set_config(bad)
        open_and_cancel(plugin)
        wait_until(lambda: hanging(plugin) == 1, 60, "the facts of the host hang")
        answers = fingerprints(plugin)
        unhealthy = until(answers, True, path)
        assert f"(plugin option unveil_paths) {LIMIT}" in unhealthy.health_description
        open_and_cancel(plugin)
        assert hanging(plugin) == 1
        still_goes_on(plugin, tasks, bad)
    # The path is gone with its file system: the driver says that, and is well again when it is there.
    until(answers, False, path)
    Path(path).parent.mkdir()
    Path(path).touch()
    for answer in answers:
        if path not in answer.health_description:
            break
    answers.cancel()
    Path(path).unlink()
    Path(path).parent.rmdir()


def test_a_start_that_its_client_gives_up(launch: Launch, host: AgentHost) -> None:
    """One that waits behind those that hang leaves nothing, and does not start when they go on."""
    plugin = launch()
    good = dict(plugin.config)
    late = [host.task(plugin, host.program("act"), ["exit=0"]) for _ in range(MANY)]
    with DeadFileSystem(host.root / "dead") as dead:
        plugin.set_config({**good, "executor_path": f"{dead.directory}/x"})
        starts = [task.start_soon(120) for task in late]
        wait_until(lambda: hanging(plugin) >= STARTS, 60, "as many starts hang as may")
        for start in starts:
            start.cancel()
    wait_until(lambda: hanging(plugin) == 0, 60, "nothing hangs any more")
    plugin.set_config(good)
    assert host.task(plugin, host.program("act"), ["exit=3"]).run() == ExitResult(3)
    assert not [line for line in plugin.log if line["@message"] == "started a task" and line["task_id"] in {task.id for task in late}]
    with pytest.raises(grpc.RpcError):
        late[0].inspect()
