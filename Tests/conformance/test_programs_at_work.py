"""Debian's programs do their work as tasks, with the rules that docs/programs.md names.

`.ci/install-dependencies programs` installs them.
"""

from __future__ import annotations

import re
from typing import Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin
from agent.messages import REPOSITORY
from real_programs import DYNAMIC, PROGRAMS, Program, environment, label, layer

@pytest.fixture(scope="module")
def debian(host: AgentHost) -> Iterator[Plugin]:
    """A plugin on a host with the servers."""
    plugin = host.launch({"unveil_by_task": True}, layer=layer(host.root / "debian-at-work"))
    yield plugin
    faults = host.clean_tasks() + host.leftovers(plugin)
    plugin.end()
    host.plugins.remove(plugin)
    assert not faults + plugin.violations


@pytest.mark.parametrize("program,user", [(program, user) for program in PROGRAMS for user in program.users], ids=label)
def test_task(host: AgentHost, debian: Plugin, program: Program, user: str) -> None:
    config = {option: True for option in program.options.get(user, [])}
    task = host.task(
        debian, "bash", ["-c", program.text], bind_mounts=False, user=user, env=environment(), config=config,
        unveil=program.needs.get(user, []))
    assert task.run(120) == ExitResult(0), task.stderr.text
    assert task.stdout.text == program.prints, task.stderr.text


def test_the_table_names_each() -> None:
    """With its rules for a dynamic user."""
    text = (REPOSITORY / "docs" / "programs.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| ([^|]+?) \| ([^|]*?) \|", text, re.MULTILINE))
    for program in PROGRAMS:
        needed = program.needs.get(DYNAMIC, []) + [f"{option} = true" for option in program.options.get(DYNAMIC, [])]
        assert set(re.findall(r"`(.*?)`", table[program.name])) == set(needed), program.name
