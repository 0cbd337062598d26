"""The client's own behaviour over restarts (agent.client), with tasks of every kind at once."""

from __future__ import annotations

import os
import signal
from typing import Any, Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, processes
from agent.client import NOTHING_SAID, STARTED_AGAIN, WAITED_FOR, Client
from agent.exec import output
from agent.timing import wait_until

Launch = Callable[..., Plugin]


def complaints(plugin: Plugin, *tasks: Task) -> list[Any]:
    """What an operator would read of these tasks."""
    return [entry for entry in plugin.log
            if entry["@level"] in ("warn", "error") and any(task.alloc_id in str(entry) for task in tasks)]


def end_without_a_plugin(task: Task, pid: int) -> None:
    """Kills the task's process; its Executor has recorded the end and left."""
    executor = processes.look(pid).parent
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not processes.is_alive(executor), 60, f"the Executor {executor} of {task.id} ended")


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
def test_restarts(launch: Launch, host: AgentHost, kill: bool) -> None:
    """Each restart asks for every task again. Seen before: an ended one was recovered as lost, with three false lines in
    the log, one of them for an event that had no handler."""
    client = Client(host, launch)
    act = host.program("act")
    running, meanwhile = client.start(act, "out=up", "pause="), client.start(act, "out=up", "pause=")
    done, absent = client.start(act, "exit=3"), client.start("/no/such/command")
    for task in (running, meanwhile):
        task.stdout.wait_for("up")
    assert client.end_of(done) == ExitResult(3)
    assert client.end_of(absent) == ExitResult(127)
    pid, other = running.pid, meanwhile.pid
    client.leave(kill=kill)
    end_without_a_plugin(meanwhile, other)
    assert client.come_back() == {running: WAITED_FOR, meanwhile: WAITED_FOR, done: NOTHING_SAID, absent: NOTHING_SAID}
    assert client.end_of(meanwhile) == ExitResult(143, 15)
    assert running.pid == pid
    client.leave(kill=kill)
    assert client.come_back() == {running: WAITED_FOR, meanwhile: NOTHING_SAID, done: NOTHING_SAID, absent: NOTHING_SAID}
    assert running.pid == pid
    running.stop(signal="SIGTERM")
    assert client.end_of(running) == ExitResult(143, 15)
    client.leave(kill=kill)
    assert client.come_back() == {running: NOTHING_SAID, meanwhile: NOTHING_SAID, done: NOTHING_SAID, absent: NOTHING_SAID}
    assert complaints(client.plugin, *client.tasks) == []
    assert client.stray_events == []


def test_an_agent_that_is_killed(launch: Launch, host: AgentHost) -> None:
    """Its plugin lives on, and so knows what ended meanwhile."""
    client = Client(host, launch)
    act = host.program("act")
    running, meanwhile = client.start(act, "out=up", "pause="), client.start(act, "out=up", "pause=")
    done = client.start(act, "exit=3")
    for task in (running, meanwhile):
        task.stdout.wait_for("up")
    assert client.end_of(done) == ExitResult(3)
    other = meanwhile.pid
    assert client.reattach(lambda: end_without_a_plugin(meanwhile, other)) == {
        running: WAITED_FOR, meanwhile: WAITED_FOR, done: NOTHING_SAID}
    assert client.end_of(meanwhile) == ExitResult(143, 15)
    assert client.reattach() == {running: WAITED_FOR, meanwhile: NOTHING_SAID, done: NOTHING_SAID}
    running.stop(signal="SIGTERM")
    assert client.end_of(running) == ExitResult(143, 15)
    assert client.stray_events == []


def test_a_reboot(launch: Launch, host: AgentHost) -> None:
    """What ran is started again, without a failure being counted, and sees what it had in its directories. Seen before: it
    was recovered as one that had failed, and then ran without its directories."""
    client = Client(host, launch)
    act = host.program("act")
    running = client.start(act, "out=up", "pause=", user="nobody")
    done = client.start(act, "exit=3")
    running.stdout.wait_for("up")
    assert client.end_of(done) == ExitResult(3)
    former = running.id
    places = "local/file secrets/file $NOMAD_ALLOC_DIR/data/file"
    assert output(running, "/bin/sh", "-c", f"for place in {places}; do echo kept > $place; done") == ""
    assert client.reboot() == {running: STARTED_AGAIN, done: NOTHING_SAID}
    assert running.id != former and running.pid > 0
    # The client has not repeated its mounts: the Executor has mounted the directories for the task alone.
    assert list(running.directory.iterdir()) == []
    assert output(running, "/bin/sh", "-c", f"cat {places}; touch local/new") == "kept\nkept\nkept\n"
    assert (running.alloc_dir / running.name / "local" / "new").exists()
    running.stop(signal="SIGTERM")
    assert client.end_of(running) == ExitResult(143, 15)
    assert complaints(client.plugin, running, done) == []
    assert client.stray_events == []
