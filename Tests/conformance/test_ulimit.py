"""ulimit: the resource limits of a task."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, hcl, processes
from agent.expect import refused

Make = Callable[..., Task]
Launch = Callable[..., Plugin]

KINDS = ["cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as", "locks", "sigpending", "msgqueue", "nice",
         "rtprio", "rttime"]
UNLIMITED = -1


@pytest.fixture
def confined(host: AgentHost, make: Make) -> Make:
    def task(*verbs: str, **options: Any) -> Task:
        return make(host.program("confined"), verbs, **options)

    return task


@pytest.fixture(scope="module")
def generous(host: AgentHost, binary: Path) -> Iterator[Plugin]:
    """A plugin whose operator allows everything that an option can allow."""
    plugin = host.launch({"allow_caps": ["sys_nice"], "allow_ulimits": ["NOFILE", "memlock"]})
    yield plugin
    faults = host.clean_tasks() + host.leftovers(plugin)
    plugin.end()
    host.plugins.remove(plugin)
    assert not faults, "\n".join(faults)


def limits(task: Task) -> dict[str, tuple[int, ...]]:
    assert task.run() == ExitResult(0), task.stderr.text
    return {kind: tuple(int(word) for word in task.line(f"limit{number}").split()) for number, kind in enumerate(KINDS)}


def agents() -> dict[str, tuple[int, ...]]:
    return {kind: resource.getrlimit(number) for number, kind in enumerate(KINDS)}


def unset(user: str) -> dict[str, tuple[int, ...]]:
    """The limits of a user's task without the option."""
    own = agents()
    shared = [kind for kind in ("sigpending", "msgqueue") if own[kind][1] != resource.RLIM_INFINITY]
    return {**own, **{kind: (own[kind][1] // 2,) * 2 for kind in shared}} if user == "root" else own


def test_without_the_option_limits_are_the_agents(confined: Make) -> None:
    assert limits(confined("limits=")) == agents()


def test_a_root_task_has_half_of_what_is_counted_for_root(confined: Make) -> None:
    """Queued signals and message queues of all of root's processes count together. Seen with the agent's own limits: a
    root task that queued signals to itself left none for the host's root, whose sigqueue(3) failed with EAGAIN."""
    assert limits(confined("limits=", user="root")) == unset("root")
    assert limits(confined("limits=", user="root", config={"ulimit": {"sigpending": "11:12"}}))["sigpending"] == (11, 12)


@pytest.fixture
def few_descriptors() -> Iterator[tuple[int, int]]:
    """The agent's own soft limit of descriptors, lowered for a plugin that is launched meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (700, hard))
    yield 700, hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_drivers_own_raised_limit_is_not_the_tasks(launch: Launch, host: AgentHost, few_descriptors: tuple[int, int]) -> None:
    plugin = launch()
    assert resource.prlimit(plugin.pid, resource.RLIMIT_NOFILE)[0] == few_descriptors[1] > 700
    assert limits(host.task(plugin, host.program("confined"), ["limits="]))["nofile"] == few_descriptors


@pytest.mark.parametrize("user", ["nomad-80000", "root"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_limit(host: AgentHost, generous: Plugin, kind: str, user: str) -> None:
    """One value for both limits; the other limits stay as they were."""
    # Whole pages, enough to run, and no more than any host allows.
    value = {"nice": 0, "rtprio": 0, "sigpending": 10, "nofile": 30, "nproc": 40, "msgqueue": 4096, "memlock": 65536,
             "cpu": 50}.get(kind, 1 << 30)
    found = limits(host.task(generous, host.program("confined"), ["limits="], config={"ulimit": {kind: str(value)}}, user=user))
    assert found == {**unset(user), kind: (value, value)}


def test_soft_and_hard_in_any_spelling(confined: Make) -> None:
    config = {"ulimit": {"NOFILE": "20:30", "core": "0:4096", "cpu": "-1", "fsize": "4096:unlimited"}}
    found = limits(confined("limits=", config=config))
    assert found["nofile"] == (20, 30) and found["core"] == (0, 4096)
    assert found["cpu"] == (UNLIMITED, UNLIMITED) and found["fsize"] == (4096, UNLIMITED)


def test_the_minimum_of_descriptors(confined: Make) -> None:
    """The launch needs no descriptor above the limit."""
    task = confined("files=10", config={"ulimit": {"nofile": "3"}})
    assert task.run() == ExitResult(0)
    assert task.line("files") == "0 EMFILE"


@pytest.mark.parametrize("limit, outcome", [(None, "5 ok"), ("20", "5 ok"), ("3", "2 EAGAIN")])
def test_processes_of_the_user(confined: Make, limit: str | None, outcome: str) -> None:
    """The task's first process counts. The user has no other processes, which would count too."""
    task = confined("forks=5", "exit=0", user="nomad-80321", config={"ulimit": {"nproc": limit}} if limit else {})
    assert task.run() == ExitResult(0)
    assert task.line("forks") == outcome


def test_a_hard_limit_cannot_be_raised_by_the_task(make: Make) -> None:
    task = make("/bin/sh", ["-c", "ulimit -n 25 && echo soft; ulimit -n 40 || echo hard"], config={"ulimit": {"nofile": "20:30"}})
    task.run()
    assert task.lines() == ["soft", "hard"]


def test_more_than_the_kernel_gives(host: AgentHost, generous: Plugin) -> None:
    """Nobody may have more descriptors than fs.nr_open."""
    task = host.task(generous, host.program("confined"), ["out=ran"], config={"ulimit": {"nofile": "10:unlimited"}})
    with refused("resource limit", "nofile", "10:unlimited", "fs.nr_open", "CAP_SYS_RESOURCE"):
        task.start()
    assert task.stdout.text == ""


@contextmanager
def raising(limit: str) -> Iterator[None]:
    """A block that raises a hard limit: the driver allows it, and the kernel only if the agent has the capability."""
    if processes.has_capability(24):
        yield
    else:
        with refused("cannot set the resource limit", limit, "CAP_SYS_RESOURCE"):
            yield


@pytest.mark.parametrize("limit, value", [("rtprio", "99"), ("rtprio", "0:1"), ("nice", "40"), ("nice", "21"), ("rttime", "unlimited")])
@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_priority_needs_permission(confined: Make, limit: str, value: str, user: str) -> None:
    """Seen without the check: with rtprio = "99" a dynamic user ran under SCHED_FIFO with 1.97 cores, at a cpu.max of 0.1
    core; with nice = "40" it had the nice value −20."""
    task = confined("out=ran", config={"ulimit": {limit: value}}, user=user)
    with refused("ulimit", limit, value, "sys_nice", "allow_caps"):
        task.start()


def test_priority_with_permission(host: AgentHost, generous: Plugin) -> None:
    """sys_nice in the operator's list is enough."""
    config = {"ulimit": {"rtprio": "99", "nice": "40", "rttime": "1000000"}}
    with raising("nice"):
        found = limits(host.task(generous, host.program("confined"), ["limits="], config=config))
        assert (found["rtprio"], found["nice"], found["rttime"]) == ((99, 99), (40, 40), (1000000, 1000000))


def test_above_the_agents_hard_limit(host: AgentHost, launch: Launch, generous: Plugin, few_descriptors: tuple[int, int]) -> None:
    """Seen without the check: any job locked memory and opened files without a limit, whatever the limits of the agent's
    service."""
    soft, hard = few_descriptors
    plugin = launch()
    for value in (f"{soft}:{hard + 1}", str(hard + 1), "unlimited"):
        with refused("ulimit", "nofile", value, f"above the agent's own, {hard};", "allow_ulimits"):
            host.task(plugin, host.program("confined"), ["out=ran"], config={"ulimit": {"nofile": value}}).start()
    found = limits(host.task(plugin, host.program("confined"), ["limits="], config={"ulimit": {"nofile": f"20:{hard}"}}))
    assert found["nofile"] == (20, hard)
    with raising("nofile"):
        found = limits(host.task(generous, host.program("confined"), ["limits="], config={"ulimit": {"nofile": f"20:{hard + 1}"}}))
        assert found["nofile"] == (20, hard + 1)


@pytest.mark.parametrize("value, shown", [
    ({"files": "1"}, "files"), ({"nofile": "2:1"}, "2:1"), ({"nofile": "unlimited:1"}, "unlimited:1"), ({"nofile": "many"}, "many"),
    ({"nofile": "1:2:3"}, "1:2:3"), ({"nofile": ""}, '""'), ({"nofile": "-2"}, "-2"), ({"nofile": "1.5"}, "1.5"), ({"nofile": "0x10"}, "0x10"),
    ({"nofile": 1024.5}, "1024.5"), ({"core": "1", "CORE": "1"}, "twice"), ("nofile=1", "nofile=1"), (["nofile"], "nofile"),
    ([{"core": "0"}, {"core": "1"}], "twice"), ({"nofile": str(2**64)}, str(2**64)), ({3: "1"}, "3"), ({"nofile": 2**63}, str(2**63))],
    ids=repr)
def test_wrong_value(confined: Make, value: Any, shown: str) -> None:
    task = confined("out=ran")
    task.set_config(hcl.unchecked({**task.config, "ulimit": value}))
    with refused("ulimit", shown):
        task.start()
    assert task.stdout.text == ""
