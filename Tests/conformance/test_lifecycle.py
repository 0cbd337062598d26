"""One task from StartTask to DestroyTask, and the calls around its end."""

from __future__ import annotations

import time
from typing import Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages, processes
from agent.expect import Code, refused
from agent.timing import SLOW, scaled, sleep, wait_until

Act = Callable[..., Task]
NOT_FOUND = "task not found for given id"


def test_whole_life(act: Act, plugin: Plugin) -> None:
    task = act("out=hello", "err=there", "exit=0")
    assert task.run() == ExitResult(0)
    assert task.stdout.text == "hello\n"
    assert task.stderr.text == "there\n"
    assert task.inspect().task.state == messages.driver.EXITED
    task.destroy(force=False)
    with refused(NOT_FOUND, code=Code.NOT_FOUND):
        task.wait()


def test_handle(act: Act) -> None:
    task = act("pause=").start()
    assert task.handle.config == task.request.task
    task.stop()


def test_inspect_running_and_ended(act: Act) -> None:
    before = time.time()
    task = act(sleep(300), "exit=5").start()
    running = task.inspect()
    assert (running.task.id, running.task.name, running.task.state) == (task.id, "web", messages.driver.RUNNING)
    assert before - 1 <= running.task.started_at.ToNanoseconds() / 1e9 <= time.time() + 1
    assert not running.task.HasField("completed_at") or running.task.completed_at.seconds <= 0
    assert task.wait() == ExitResult(5)
    ended = task.inspect()
    assert ended.task.state == messages.driver.EXITED
    assert ended.task.started_at == running.task.started_at
    assert ended.task.completed_at.ToNanoseconds() >= running.task.started_at.ToNanoseconds() + 250_000_000
    assert ended.task.result.exit_code == 5


def test_inspect_names_the_main_process(act: Act, host: AgentHost) -> None:
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    main = processes.look(task.pid)
    assert main.name == "act"
    task.stop()


def test_executor_is_pid_1_of_the_task(act: Act) -> None:
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    assert processes.status(task.executor_pid, "NSpid").split()[-1] == "1"
    assert len(processes.status(task.pid, "NSpid").split()) == len(processes.status(task.executor_pid, "NSpid").split())
    task.stop()


def test_many_waits_before_and_after_the_end(act: Act) -> None:
    task = act("out=up", sleep(500), "exit=9").start()
    waits = [task.wait_soon() for _ in range(20)]
    time.sleep(scaled(0.1))
    assert not any(wait.done() for wait in waits)
    assert {Task.result_of(wait.result()) for wait in waits} == {ExitResult(9)}
    assert {task.wait() for _ in range(3)} == {ExitResult(9)}


def test_cancelled_waits_harm_nothing(act: Act, plugin: Plugin) -> None:
    task = act("pause=").start()
    waits = [task.wait_soon() for _ in range(20)]
    time.sleep(scaled(0.1))
    for wait in waits[::2]:
        wait.cancel()
    plugin.ping()
    assert not any(wait.done() for wait in waits[1::2])
    task.stop(signal="SIGTERM")
    assert {Task.result_of(wait.result()) for wait in waits[1::2]} == {ExitResult(143, 15)}


def test_waits_need_no_thread_each(act: Act, plugin: Plugin) -> None:
    task = act("pause=").start()
    before = int(processes.status(plugin.pid, "Threads"))
    waits = [task.wait_soon() for _ in range(300)]
    time.sleep(scaled(0.5))
    assert int(processes.status(plugin.pid, "Threads")) < before + 30
    plugin.ping()
    for wait in waits:
        wait.cancel()
    task.stop()


def test_waits_are_forgotten(act: Act, plugin: Plugin) -> None:
    """A client that cancels and waits again does not use up the plugin."""
    task = act("pause=").start()
    before = plugin.descriptors_with_a_task()
    for _ in range(200):
        task.wait_soon().cancel()
    plugin.settle(before + 1)
    task.stop()


def test_wait_and_result_are_prompt(act: Act) -> None:
    """WaitTask answers with the end, not at the next look."""
    task = act(sleep(200), "exit=0").start()
    task.wait()
    ended = task.inspect().task.completed_at.ToNanoseconds() / 1e9
    assert time.time() - ended < scaled(0.2)


def test_second_start_of_a_running_task(act: Act, plugin: Plugin) -> None:
    task = act("out=once", "pause=").start()
    task.stdout.wait_for("once")
    pid = task.pid
    with refused(task.id):
        plugin.driver.StartTask(task.request, timeout=scaled(10))
    assert task.pid == pid
    task.stop()
    assert task.stdout.text == "once\n"


def test_second_start_of_an_ended_task(act: Act, plugin: Plugin) -> None:
    task = act("out=once", "exit=4")
    task.run()
    with refused(task.id):
        plugin.driver.StartTask(task.request, timeout=scaled(10))
    assert task.wait() == ExitResult(4)


def test_same_id_at_the_same_time(act: Act, plugin: Plugin) -> None:
    task = act("out=once", "pause=")
    starts = [task.start_soon() for _ in range(10)]
    answers = [start.exception(scaled(30)) for start in starts]
    assert answers.count(None) == 1
    task.took(starts[answers.index(None)].result())
    task.stdout.wait_for("once")
    task.stop()
    assert task.stdout.text == "once\n"


@pytest.mark.parametrize("call", ["wait", "inspect", "signal"])
def test_unknown_id_is_not_found(act: Act, call: str) -> None:
    task = act("exit=0")
    with refused(NOT_FOUND, code=Code.NOT_FOUND):
        {"wait": task.wait, "inspect": task.inspect, "signal": lambda: task.signal("SIGHUP")}[call]()


def test_stop_and_destroy_of_an_unknown_id_succeed(act: Act) -> None:
    task = act("exit=0")
    task.stop()
    task.destroy(force=False)
    task.destroy(force=True)


def test_destroy_without_force_spares_a_running_task(act: Act) -> None:
    task = act("out=up", "pause=").start()
    with refused("running"):
        task.destroy(force=False)
    assert processes.is_alive(task.pid)
    task.stop()


def test_destroy_with_force_kills(act: Act) -> None:
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    pid, executor = task.pid, task.executor_pid
    waiting = task.wait_soon()
    task.destroy(force=True)
    assert not processes.is_alive(pid)
    wait_until(lambda: not processes.is_alive(executor), 2, "Executor gone after DestroyTask")
    error = waiting.exception(scaled(5))
    if error is None:
        assert Task.result_of(waiting.result()) == ExitResult(137, 9)
    else:
        assert NOT_FOUND in error.details()
    with refused(NOT_FOUND, code=Code.NOT_FOUND):
        task.inspect()


def test_destroy_twice(act: Act) -> None:
    task = act("exit=0")
    task.run()
    task.destroy()
    task.destroy()


def test_id_is_free_after_destroy(act: Act) -> None:
    task = act("exit=1")
    task.run()
    task.destroy()
    task.stdout.come_back()
    task.stderr.come_back()
    assert task.start().wait() == ExitResult(1)


def test_destroy_waits_for_nothing_of_others(act: Act) -> None:
    first, second = act("out=up", "pause=").start(), act("out=up", "pause=").start()
    first.destroy()
    assert processes.is_alive(second.pid)
    second.stop()


def test_main_process_ends_before_its_children(make: Callable[..., Task], host: AgentHost) -> None:
    """The task ends with its main process; what it left behind is killed."""
    task = make(host.program("offspring"), ["group", "session", "daemon", "ignore", "--", str(round(1 + SLOW / 10))])
    assert task.run() == ExitResult(0)
    assert "populated 0" in (task.scope / "cgroup.events").read_text()
    assert sorted(task.lines()) == ["child daemon", "child group", "child ignore", "child session", "main"]


def test_executor_ends_with_its_task(act: Act) -> None:
    task = act("out=up", sleep(300), "exit=0").start()
    executor = task.executor_pid
    task.wait()
    wait_until(lambda: not processes.is_alive(executor), 2, "Executor gone after the task")


def test_calls_that_the_client_gave_up(act: Act, plugin: Plugin) -> None:
    """A StartTask whose deadline passes leaves either a task that can be used or
    none, and a plugin that lives."""
    task = act("pause=")
    start = plugin.driver.StartTask.future(task.request, timeout=0.0005)
    start.exception(scaled(10))
    time.sleep(scaled(0.5))
    plugin.ping()
    task.was_started = True
    task.destroy(force=True)
    assert "populated 0" in (task.scope / "cgroup.events").read_text()
