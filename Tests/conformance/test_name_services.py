"""A directory server that does not answer: lookups of its users hang. All other calls are answered at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages, processes
from agent.expect import is_recoverable
from agent.host import state_directories
from agent.names import HangingNames
from agent.timing import scaled, wait_until

STARTS = 8
# BlockingPool.Limits.names: how many lookups may run at once.
LOOKUPS = 4
# UserLookUp.maximumNanoseconds.
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
    """Starts tasks of such users. Returns when two lookups hang."""
    tasks = [host.task(plugin, host.program("act"), ["pause="], user=user, owner=(81234, 81234)) for user in users]
    starts = [(task, task.start_soon(120)) for task in tasks]
    wait_until(lambda: len(names.asked()) >= 2, 60, "lookups hang")
    return starts


def test_calls_about_other_tasks_are_answered(host: AgentHost, plugin: Plugin, names: HangingNames) -> None:
    """Seen before: two starts with hanging lookups blocked both of Swift's threads on a machine with two processors, and
    InspectTask of another task was answered after 14.5 s, when the lookups had ended."""
    other = host.task(plugin, host.program("act"), ["pause="]).start()
    starts = slow_starts(host, plugin, names, [f"slow-{number}" for number in range(STARTS)])

    assert other.inspect().task.state == messages.driver.RUNNING
    # None of the eight starts has been answered yet.
    assert not any(start.done() for _, start in starts)
    late = host.task(plugin, host.program("act"), ["exit=3"])
    assert late.run() == ExitResult(3)
    plugin.fingerprint()
    wait_until(lambda: len(names.asked()) == LOOKUPS, 60, "the maximum number of lookups hangs")
    other.signal("SIGUSR1")
    assert other.wait().signal == 10
    other.destroy(force=False)
    stopped = host.task(plugin, host.program("act"), ["pause="]).start()
    stopped.stop()
    stopped.destroy(force=False)
    assert not any(start.done() for _, start in starts)
    assert len(names.asked()) == LOOKUPS

    # Cancelled starts are not looked up when their turn comes.
    for _, start in starts:
        start.cancel()
    wait_until(lambda: cancelled(plugin) == STARTS, 60, "all starts are cancelled")
    names.answer()
    user = host.task(plugin, host.program("act"), ["pause="], user="slow-late", owner=(81234, 81234)).start()
    assert processes.status(user.pid, "Uid").split()[0] == "81234"
    assert names.asked() == names.asked()[:LOOKUPS] + ["slow-late"]


def cancelled(plugin: Plugin) -> int:
    return sum(line["@message"] == "cannot start a task" and "StartTask was cancelled" in line["error"] for line in plugin.log)


def test_a_lookup_has_a_limit_of_time(host: AgentHost, plugin: Plugin, names: HangingNames) -> None:
    """The account as well as the groups. Seen before: such a start was never answered; and later, the name service was
    blamed for lookups that had never begun."""
    users = ["slowgroups-0"] + [f"slow-{number}" for number in range(STARTS - 1)]
    starts = slow_starts(host, plugin, names, users)
    errors: dict[str, grpc.RpcError] = {}
    for task, start in starts:
        error = start.exception(scaled(LIMIT_SECONDS + 100))
        assert isinstance(error, grpc.RpcError)
        errors[task.request.task.user] = error
        for part in (f'user "{task.request.task.user}"', "getpwnam, getgrouplist", "/etc/nsswitch.conf", "getent passwd"):
            assert part in error.details(), error.details()
        assert is_recoverable(error)
    asked = names.asked()
    assert len(asked) == LOOKUPS
    for user, error in errors.items():
        if user in asked:
            assert re.search(r"has not been answered within \d+ s", error.details()), error.details()
        else:
            assert f"could not begin within {LIMIT_SECONDS} s" in error.details()
            assert all(f'"{other}"' in error.details() for other in asked), error.details()
    assert state_directories(plugin) == []
    # As soon as the name services answer again, their users' tasks start.
    names.answer()
    for user in users:
        task = host.task(plugin, host.program("act"), ["exit=4"], user=user, owner=(81234, 81234))
        assert task.run() == ExitResult(4)


def test_starts_of_one_user_share_its_lookup(host: AgentHost, plugin: Plugin, names: HangingNames) -> None:
    """Seen before: four of them kept every other user from being looked up."""
    starts = [
        (task, task.start_soon(120))
        for task in [
            host.task(plugin, host.program("act"), ["exit=0"], user="slow-0", owner=(81234, 81234)) for _ in range(STARTS)]]
    wait_until(lambda: names.asked() == ["slow-0"], 60, "the user is looked up")
    others = [host.task(plugin, host.program("act"), ["exit=0"], user=f"slow-{number}", owner=(81234, 81234)) for number in (1, 2, 3)]
    starts += [(task, task.start_soon(120)) for task in others]
    wait_until(lambda: len(names.asked()) == LOOKUPS, 60, "the others are looked up too")
    assert sorted(names.asked()) == ["slow-0", "slow-1", "slow-2", "slow-3"]
    names.answer()
    for task, start in starts:
        task.took(start.result())
        assert task.wait() == ExitResult(0)


@pytest.mark.parametrize("user", ["root", "nobody", "65534"])
def test_users_of_the_hosts_own_files(host: AgentHost, plugin: Plugin, names: HangingNames, user: str) -> None:
    """Seen before: they waited behind lookups that hung, and failed after 20 s."""
    starts = slow_starts(host, plugin, names, [f"slow-{number}" for number in range(STARTS)])
    wait_until(lambda: len(names.asked()) == LOOKUPS, 60, "as many lookups hang as may")
    uid = 0 if user == "root" else 65534
    local = host.task(plugin, host.program("act"), ["pause="], user=user, owner=(uid, uid)).start()
    assert processes.status(local.pid, "Uid").split()[0] == str(uid)
    # Its own lookup was made, and did not wait until only the files were left to ask.
    assert not [line for line in plugin.log if line["@message"] == "a task's user has the groups of /etc/group alone"]
    assert not any(start.done() for _, start in starts)
    for _, start in starts:
        start.cancel()
    # Of a start that is answered in the moment in which it is cancelled, neither side may know that the other has not heard.
    wait_until(lambda: cancelled(plugin) == STARTS, 60, "all starts are cancelled")


def test_a_local_user_whose_groups_are_not_answered(host: AgentHost, names: HangingNames, tmp_path: Path) -> None:
    """The directory is asked for the groups of local users, too. Where it does not answer they have those of /etc/group,
    as where it says that it is not available."""
    passwd, group = tmp_path / "passwd", tmp_path / "group"
    passwd.write_text(Path("/etc/passwd").read_text() + "slowgroups-local:x:81234:81234::/:/bin/sh\n")
    group.write_text(Path("/etc/group").read_text() + "slowgroups-more:x:81299:slowgroups-local\n")
    plugin = names.launch(host, more=[(passwd, Path("/etc/passwd")), (group, Path("/etc/group"))])
    try:
        task = host.task(plugin, host.program("act"), ["pause="], user="slowgroups-local", owner=(81234, 81234)).start()
        assert processes.status(task.pid, "Groups").split() == ["81234", "81299"]
        assert names.asked() == ["slowgroups-local"]
        [line] = [line for line in plugin.log if line["@message"] == "a task's user has the groups of /etc/group alone"]
        assert (line["@level"], line["task_id"], line["user"]) == ("warn", task.id, "slowgroups-local")
        assert "nsswitch.conf" in line["reason"]
    finally:
        names.answer()
        host.clean_tasks()
        plugin.end()
        host.plugins.remove(plugin)
