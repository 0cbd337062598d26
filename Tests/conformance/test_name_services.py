"""A directory server that is dead: users that it was to know are looked up in vain. All other calls go on at once."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages, processes
from agent.host import state_folders
from agent.names import HangingNames
from agent.timing import scaled, wait_until

STARTS = 8
# BlockingPool.Limits.names: lookups that may hang at once.
LOOKUPS = 4
# UserLookUp.greatestNanoseconds.
LIMIT_SECONDS = 20


@pytest.fixture
def names(tmp_path: Path) -> Iterator[HangingNames]:
    names = HangingNames(tmp_path)
    yield names
    names.close()


@pytest.fixture
def plugin(host: AgentHost, names: HangingNames) -> Iterator[Plugin]:
    plugin = names.launch(host)
    yield plugin
    names.answer()
    faults = host.clean_tasks() + host.leftovers(plugin)
    plugin.end()
    host.plugins.remove(plugin)
    faults += plugin.violations
    assert not faults, "\n".join(faults)


def slow_starts(host: AgentHost, plugin: Plugin, names: HangingNames, users: list[str]) -> list[tuple[Task, grpc.Future]]:
    """Starts of tasks of such users. Returns when two lookups hang."""
    tasks = [host.task(plugin, host.program("act"), ["pause="], user=user, owner=(81234, 81234)) for user in users]
    starts = [(task, task.start_soon(120)) for task in tasks]
    wait_until(lambda: len(names.asked()) >= 2, 60, "lookups hang")
    return starts


def test_calls_about_other_tasks_are_answered(host: AgentHost, plugin: Plugin, names: HangingNames) -> None:
    """Seen before: two starts whose lookups hung took both of Swift's threads of a machine with two processors, and
    InspectTask of another task was answered after 14.5 s, when the lookups had ended."""
    other = host.task(plugin, host.program("act"), ["pause="]).start()
    starts = slow_starts(host, plugin, names, [f"slow-{number}" for number in range(STARTS)])

    assert other.inspect().task.state == messages.driver.RUNNING
    # Not one of the eight has ended: the answer has overtaken them.
    assert not any(start.done() for _, start in starts)
    late = host.task(plugin, host.program("act"), ["exit=3"])
    assert late.run() == ExitResult(3)
    plugin.fingerprint()
    wait_until(lambda: len(names.asked()) == LOOKUPS, 60, "as many lookups hang as may")
    other.signal("SIGUSR1")
    assert other.wait().signal == 10
    other.destroy(force=False)
    stopped = host.task(plugin, host.program("act"), ["pause="]).start()
    stopped.stop()
    stopped.destroy(force=False)
    assert not any(start.done() for _, start in starts)
    assert len(names.asked()) == LOOKUPS

    # Nobody waits for those that are given up: they are not looked up when their turn comes.
    for _, start in starts:
        start.cancel()
    wait_until(lambda: given_up(plugin) == STARTS, 60, "all starts are given up")
    names.answer()
    user = host.task(plugin, host.program("act"), ["pause="], user="slow-late", owner=(81234, 81234)).start()
    assert processes.status(user.pid, "Uid").split()[0] == "81234"
    assert names.asked() == names.asked()[:LOOKUPS] + ["slow-late"]


def given_up(plugin: Plugin) -> int:
    return sum(line["@message"] == "cannot start a task" and "StartTask was cancelled" in line["error"] for line in plugin.log)


def test_a_lookup_has_a_limit_of_time(host: AgentHost, plugin: Plugin, names: HangingNames) -> None:
    """The account as well as the groups. Seen before: such a start was never answered."""
    users = [f"slow-{number}" for number in range(STARTS - 1)] + ["slowgroups-0"]
    for task, start in slow_starts(host, plugin, names, users):
        error = start.exception(scaled(LIMIT_SECONDS + 100))
        assert isinstance(error, grpc.RpcError)
        name = task.request.task.user
        for part in (f'user "{name}"', "getpwnam, getgrouplist", f"{LIMIT_SECONDS} s", "/etc/nsswitch.conf", "getent passwd"):
            assert part in error.details(), error.details()
        assert is_recoverable(error)
    assert state_folders(plugin) == []
    # As soon as the name services answer again, their users' tasks start.
    names.answer()
    for user in users:
        task = host.task(plugin, host.program("act"), ["exit=4"], user=user, owner=(81234, 81234))
        assert task.run() == ExitResult(4)


def is_recoverable(error: grpc.RpcError) -> bool:
    [value] = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    status = messages.status.Status.FromString(value)
    return bool(messages.recoverable.RecoverableError.FromString(status.details[0].value).recoverable)
