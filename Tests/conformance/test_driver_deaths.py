"""The Driver is killed at every step of StartTask. A task whose handle arrived is recovered with the right result; one whose
handle did not arrive is ended and does not get in the way of others. Each program runs at most once."""

from __future__ import annotations

import os
import time
from typing import Callable

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, messages, processes
from agent.restart import kill_after, recover, successor
from agent.state import directory_of
from agent.timing import scaled, wait_until

Launch = Callable[..., Plugin]
# Milliseconds from StartTask to SIGKILL; the first is before the call. A start takes about 4 ms once the
# template of tasks' roots is made; where it takes longer, they are longer too.
START = 4
DELAYS = [-2, -1, -0.5] + [step * 0.1 for step in range(40)] + [4 + step * 0.25 for step in range(24)] + [10 + step for step in range(11)]

# The killing thread runs before the call is made.
_LEAD = 0.005


def runs(task: Task) -> int:
    """How often the task's program ran."""
    path = task.local / "ran"
    return path.read_text().count("ran\n") if path.exists() else 0


def appending(host: AgentHost, plugin: Plugin, *verbs: str) -> Task:
    task = host.task(plugin, host.program("act"), ())
    task.config["args"] = [f"append={task.local / 'ran'}", *verbs]
    task.set_config(task.config)
    return task


def start_and_kill(plugin: Plugin, task: Task, seconds: float) -> bool:
    """Whether the handle arrived before the Driver died."""
    killing = kill_after(plugin.pid, _LEAD + seconds)
    time.sleep(_LEAD)
    starting = plugin.driver.StartTask.future(task.request, timeout=scaled(30))
    try:
        task.took(starting.result())
        return True
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        return False
    finally:
        killing.join()
        plugin.wait_exit()


def milliseconds(host: AgentHost, plugin: Plugin) -> float:
    """How long a start takes now."""
    task = host.task(plugin, host.program("act"), ["exit=0"])
    begun = time.monotonic()
    task.start()
    taken = (time.monotonic() - begun) * 1000
    assert task.wait() == ExitResult(0)
    task.destroy(force=False)
    return taken


def executors_below(plugins: list[Plugin]) -> list[processes.Process]:
    return [process for plugin in plugins for process in plugin.executors()]


def test_kill_at_every_step_of_a_start(launch: Launch, host: AgentHost) -> None:
    assert len(DELAYS) >= 60
    state_dir = str(host.make_state_dir())
    plugins: list[Plugin] = []
    numbers: dict[Task, int] = {}
    arrived: list[Task] = []
    lost: list[Task] = []
    for number, delay in enumerate(DELAYS):
        plugin = launch({"state_dir": state_dir, "orphan_grace": 0, "standby_executor": False})
        plugins.append(plugin)
        # Makes the template.
        milliseconds(host, plugin)
        slower = max(1, milliseconds(host, plugin) / START)
        # Alternately one that ends soon and one that ends by a signal.
        task = appending(host, plugin, "sleep=50", f"exit={number}") if number % 2 else appending(host, plugin, "pause=")
        numbers[task] = number
        (arrived if start_and_kill(plugin, task, slower * delay / 1000) else lost).append(task)
    # Otherwise the test has tried nothing: kills before, during and after the start.
    assert arrived and lost, (len(arrived), len(lost))
    assert any(runs(task) for task in lost), "no kill fell between the start of a program and the answer"
    assert not all(runs(task) for task in lost), "no kill fell before the start of a program"

    last = launch({"state_dir": state_dir, "orphan_grace": 2})
    begun = time.monotonic()
    recover(last, *arrived)
    for task in arrived:
        if numbers[task] % 2:
            assert task.wait() == ExitResult(numbers[task])
        else:
            task.signal("SIGCONT")
            assert task.inspect().task.state == messages.driver.RUNNING
    running = {pid: task for task in arrived if numbers[task] % 2 == 0 for pid in (task.pid, task.executor_pid)}

    # A task whose handle did not reach the host is ended, and nothing of it is left.
    kept = {directory_of(task).name for task in arrived}
    wait_until(lambda: set(os.listdir(state_dir)) == kept, 15, "the directories of lost tasks removed")
    assert time.monotonic() - begun >= 1, "the host had no time to recover its tasks"
    wait_until(
        lambda: {process.pid for process in executors_below(plugins)} == set(running), 5, "lost tasks' processes have ended")
    for task in lost:
        assert not cgroups.populated(task.scope)
        assert runs(task) <= 1
    for task in arrived:
        assert runs(task) == 1
        if numbers[task] % 2 == 0:
            task.stop(signal="SIGTERM")
            assert task.wait() == ExitResult(143, 15)
        task.destroy(force=False)
    assert os.listdir(state_dir) == []
    assert executors_below(plugins) == []
    # No ended task ran again.
    assert [runs(task) for task in arrived] == [1] * len(arrived)


def lose(launch: Launch, host: AgentHost, state_dir: str) -> tuple[Plugin, Task]:
    """A running task whose handle nobody has."""
    plugin = launch({"state_dir": state_dir, "orphan_grace": 0})
    task = appending(host, plugin, "out=up", "pause=")
    plugin.driver.StartTask(task.request, timeout=scaled(30))
    task.stdout.wait_for("up")
    plugin.kill()
    return plugin, task


def afresh(host: AgentHost, plugin: Plugin, lost: Task, *verbs: str) -> Task:
    """What an agent does that has no handle: it starts the same task of the same
    allocation, in the same cgroup and directories, with a new id."""
    task = host.task(plugin, host.program("act"), verbs)
    lost.scope, spare = task.scope, lost.scope
    task.request.task.resources.linux_resources.cpuset_cgroup = str(spare)
    task.scope, lost.scope = spare, task.scope
    return task


@pytest.mark.parametrize("attempt", range(3))
def test_start_afresh(launch: Launch, host: AgentHost, attempt: int) -> None:
    """The lost task ends before the new one begins, and does not take the new one with it."""
    state_dir = str(host.make_state_dir())
    first, lost = lose(launch, host, state_dir)
    wait_until(lambda: len(first.executors()) == 2, 5, "the lost task and its Executor, and no standby Executor")
    second = launch({"state_dir": state_dir, "orphan_grace": 2})
    task = afresh(host, second, lost, "out=afresh", "pause=").start()
    task.stdout.wait_for("afresh")
    assert first.executors() == []
    assert cgroups.processes(task.scope) == [task.pid]
    time.sleep(scaled(3))
    assert processes.is_alive(task.pid), "the new task ended with the lost one"
    assert os.listdir(state_dir) == [directory_of(task).name]
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)
    assert runs(lost) == 1


def test_start_of_other_tasks_does_not_end_it_early(launch: Launch, host: AgentHost) -> None:
    """A host that returns has the whole grace to recover it."""
    state_dir = str(host.make_state_dir())
    first = launch({"state_dir": state_dir, "orphan_grace": 0})
    task = host.task(first, host.program("act"), ["out=up", "pause="]).start()
    task.stdout.wait_for("up")
    pid = task.pid
    second = successor(launch, first)
    other = host.task(second, host.program("act"), ["exit=1"]).start()
    assert other.wait() == ExitResult(1)
    assert processes.is_alive(pid)
    recover(second, task)
    assert task.pid == pid
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def test_lost_task_gets_its_signal(launch: Launch, host: AgentHost) -> None:
    """It gets its kill_signal before SIGKILL."""
    state_dir = str(host.make_state_dir())
    first = launch({"state_dir": state_dir, "orphan_grace": 0})
    task = host.task(first, "/bin/sh", ["-c", "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.05; done"])
    first.driver.StartTask(task.request, timeout=scaled(30))
    task.stdout.wait_for("up")
    first.kill()
    second = launch({"state_dir": state_dir, "orphan_grace": 1})
    task.stdout.wait_for("asked", 10)
    wait_until(lambda: os.listdir(state_dir) == [], 10, "the lost task's directory removed")
    assert any(entry["@level"] == "warn" and entry.get("task_id") == task.id for entry in second.log)


def test_orphan_grace_of_0_ends_nothing(launch: Launch, host: AgentHost) -> None:
    state_dir = str(host.make_state_dir())
    first, lost = lose(launch, host, state_dir)
    second = launch({"state_dir": state_dir, "orphan_grace": 0})
    time.sleep(scaled(2))
    assert len(first.executors()) == 2, "no standby Executor outlives its Driver"
    lost.plugin = second
    lost.destroy(force=True)
    assert first.executors() == []
    assert os.listdir(state_dir) == []


def test_grace_begins_with_the_configuration(launch: Launch, host: AgentHost) -> None:
    """Each SetConfig, which a returning host sends, starts the grace again."""
    state_dir = str(host.make_state_dir())
    first, lost = lose(launch, host, state_dir)
    second = launch({"state_dir": state_dir, "orphan_grace": 2})
    for _ in range(3):
        time.sleep(scaled(1))
        second.set_config(second.config)
    assert len(first.executors()) == 2
    wait_until(lambda: os.listdir(state_dir) == [], 10, "the lost task's directory removed")
    assert first.executors() == []


def test_claimed_tasks_survive_the_grace(launch: Launch, host: AgentHost) -> None:
    """The agent is away for longer than the grace; it has the handle."""
    first = launch({"orphan_grace": 1})
    task = appending(host, first, "out=up", "pause=").start()
    ended = appending(host, first, "exit=9").start()
    assert ended.wait() == ExitResult(9)
    # gRPC cancels a call whose future is dropped, perhaps before it was sent.
    waiting = task.wait_soon()
    wait_until(lambda: all((directory_of(each) / "claimed").exists() for each in (task, ended)), 5, "claims noted")
    assert not waiting.done()
    second = successor(launch, first)
    time.sleep(scaled(2))
    recover(second, task, ended)
    assert ended.wait() == ExitResult(9)
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)
    assert runs(task) == runs(ended) == 1


def test_kills_in_quick_succession(launch: Launch, host: AgentHost) -> None:
    """Some of them during a recovery."""
    plugin = launch()
    tasks = [appending(host, plugin, "sleep=2500", f"exit={number}").start() for number in range(6)]
    for number in range(15):
        plugin = successor(launch, plugin)
        handles = [messages.driver.RecoverTaskRequest(task_id=task.id, handle=task.handle) for task in tasks]
        calls = [plugin.driver.RecoverTask.future(request, timeout=scaled(30)) for request in handles]
        kill_after(plugin.pid, number * 0.0007).join()
        plugin.wait_exit()
        for call in calls:
            assert call.exception() is None or call.code() == grpc.StatusCode.UNAVAILABLE
    plugin = successor(launch, plugin)
    recover(plugin, *tasks)
    assert [task.wait() for task in tasks] == [ExitResult(number) for number in range(6)]
    assert [runs(task) for task in tasks] == [1] * 6
