"""What a standby Executor makes of a root before its request: a task sees and may do the same as under an Executor that is
spawned for it.

Seen before: rules of the operator for paths such as /proc/self/oom_score_adj were opened by the standby Executor, so they
allowed the Executor's file and not the task's; a job's rule for /dev covered the task's terminals and shared memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest

from agent import AgentHost, Plugin
from agent.expect import result
from agent.restart import Stopped
from agent.state import directory_of
from agent.timing import wait_until

Launch = Callable[..., Plugin]
USERS = ["nomad-80000", "nobody", "root"]
users = pytest.mark.parametrize("user", USERS)


def standing(host: AgentHost, plugin: Plugin, **options: Any) -> int:
    """The Executor that stands by after a task like the next one."""
    task = host.task(plugin, "true", **options)
    task.run()
    task.destroy()
    return plugin.await_standby()


def under_standby(host: AgentHost, plugin: Plugin, script: str, **options: Any) -> str:
    """What a script prints under the standby Executor."""
    ahead = standing(host, plugin, user=options["user"])
    task = host.task(plugin, "sh", ["-c", f"{script}; until [ -e local/end ]; do sleep 0.02; done"], **options).start()
    assert task.executor_pid == ahead
    (task.local / "end").touch()
    assert task.wait().exit_code == 0, task.stderr.text
    return task.stdout.text


@users
def test_rules_below_proc_are_for_the_task(launch: Launch, host: AgentHost, user: str) -> None:
    plugin = launch({"unveil_paths": [host.programs_rule, "rw:/proc/self/oom_score_adj", "w:/proc/self/comm"]})
    script = "echo 500 > /proc/self/oom_score_adj; echo name > /proc/self/comm; cat /proc/self/comm /proc/$$/oom_score_adj; " \
        "for file in comm oom_score_adj; do (echo 7 > /proc/1/$file) 2> /dev/null || echo refused; done"
    assert under_standby(host, plugin, f"exec 2>&1; {script}", user=user).splitlines()[-4:] == ["cat", "500", "refused", "refused"]


@users
def test_rules_through_links_of_proc_open_nothing_of_the_executor(launch: Launch, host: AgentHost, user: str) -> None:
    """Such a link leads to what a process has open: without a task, to what the Executor has."""
    programs = [f"rx:{path}" for path in ("/usr", "/bin", "/lib", "/lib64")]
    plugin = launch({"unveil_defaults": False, "unveil_paths": [*programs, "r:/dev/null", "w:/proc/self/fd/1"]})
    script = "echo one > /proc/self/fd/1; (echo two > /dev/null) 2>&- || echo refused"
    assert under_standby(host, plugin, script, user=user) == "one\nrefused\n"


@users
@pytest.mark.parametrize("rule", ["r:/dev", "rw:/dev"])
def test_a_rule_above_what_the_task_has_of_its_own(launch: Launch, host: AgentHost, user: str, rule: str) -> None:
    plugin = launch({"unveil_by_task": True})
    script = f"echo x > /dev/shm/{host.root.name} && ls /dev/shm /dev/pts; : < /dev/ptmx && echo opened"
    try:
        assert under_standby(host, plugin, script, user=user, unveil=[rule]) == \
            f"/dev/pts:\nptmx\n\n/dev/shm:\n{host.root.name}\nopened\n"
    finally:
        # Where it is the host's.
        assert not Path("/dev/shm", host.root.name).exists()


def test_rules_of_an_earlier_configuration(launch: Launch, host: AgentHost, places: Path) -> None:
    """Made by a start that the client's SetConfig overtook. Its rules may allow more."""
    rules = {modes: [host.programs_rule, f"{modes}:{places}"] for modes in ("r", "rx")}
    (places / "program").write_text("#!/bin/sh\necho ran\n")
    (places / "program").chmod(0o755)
    plugin = launch({"unveil_paths": rules["rx"]})
    ahead = standing(host, plugin, user="root")
    first = host.task(plugin, "true", user="root")
    with Stopped(ahead):
        start = first.start_soon()
        wait_until(lambda: directory_of(first).exists(), 5, "the request handed over")
        plugin.set_config({**plugin.config, "unveil_paths": rules["r"]})
    first.took(start.result())
    plugin.await_standby()
    task = host.task(plugin, "sh", ["-c", f"{places}/program || echo refused"], user="root")
    assert result(task) == "refused\n"
