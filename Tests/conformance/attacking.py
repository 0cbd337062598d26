"""Tasks that run Tests/programs/attack.c, and the outcomes of their attempts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator, Sequence

import pytest

from agent import AgentHost, ExitResult, Plugin, Task

# The attacking users. The first is the one that Nomad gives to a job without a user.
USERS = ["nomad-80000", "root"]
# The errors of a refusal: by permissions, capabilities and Landlock, by a read-only mount, by the system call filter.
REFUSED = {"EACCES", "EPERM", "EROFS", "ENOSYS"}


def begin(host: AgentHost, plugin: Plugin, *attempts: tuple[str, object], user: str, **options: Any) -> Task:
    """A task that makes the attempts, in order; not yet started."""
    words = [str(word) for attempt in attempts for word in attempt]
    return host.task(plugin, host.program("attack"), words, user=user, **options)


def outcomes(task: Task) -> list[str]:
    """The outcomes of the attempts, in order."""
    return [line.split("\t")[2] for line in task.lines()]


def attack(
    host: AgentHost, plugin: Plugin, *attempts: tuple[str, object], user: str, unveil: Sequence[str] = (), **options: Any
) -> dict[str, str]:
    """Runs a task that makes the attempts; "operation subject" → outcome."""
    task = begin(host, plugin, *attempts, user=user, unveil=list(unveil), **options)
    assert task.run() == ExitResult(0), task.stderr.text
    found = outcomes(task)
    assert len(found) == len(attempts), task.lines()
    return {f"{operation} {subject}": outcome for (operation, subject), outcome in zip(attempts, found)}


def succeeded(found: dict[str, str]) -> dict[str, str]:
    """The attempts that were not refused."""
    return {attempt: outcome for attempt, outcome in found.items() if outcome not in REFUSED}


@pytest.fixture(scope="module", params=[True, False], ids=["filter", "no filter"])
def either_plugin(request: pytest.FixtureRequest, host: AgentHost, binary: Path) -> Iterator[Plugin]:
    """A plugin whose tasks have the system call filter, and one whose tasks do not: the other layers must hold without
    it."""
    plugin = host.launch({"unveil_by_task": True, "seccomp": request.param})
    yield plugin
    faults = host.clean_tasks() + host.leftovers(plugin)
    plugin.end()
    host.plugins.remove(plugin)
    assert not faults + plugin.violations
