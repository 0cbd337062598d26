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
from test_unveil_defaults import MODES

Launch = Callable[..., Plugin]
USERS = ["nomad-80000", "nobody", "root"]
users = pytest.mark.parametrize("user", USERS)
OTHERS = [
    "/", "/proc", "/proc/1/comm", "/proc/1/oom_score_adj", "/proc/self/comm", "/proc/kcore", "/proc/keys", "/proc/sysrq-trigger",
    "/proc/directories", "/proc/empty", "/dev", "/dev/pts", "/dev/ptmx", "/dev/tty", "/dev/shm", "/dev/mem", "/etc", "/etc/passwd",
    "/etc/shadow", "/run", "/root", "/usr", "/sys", "/sys/fs/cgroup", "/var/tmp",
]
# What can be done with each path, and what is mounted.
PROBE = """
import errno, os, sys
def attempt(call, *arguments):
    try:
        call(*arguments)
        return 'ok'
    except OSError as error:
        return errno.errorcode[error.errno]
def opened(path, flags): os.close(os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY))
def made(directory):
    os.mkdir(directory + '/exec2-probe')
    os.rmdir(directory + '/exec2-probe')
def seen(path):
    facts = os.stat(path)
    print(path, oct(facts.st_mode), facts.st_uid, facts.st_gid, os.statvfs(path).f_flag, end=' ')
for path in sys.argv[1:]:
    print(path, attempt(seen, path), attempt(opened, path, os.O_RDONLY), attempt(opened, path, os.O_WRONLY),
        attempt(os.listdir, path), attempt(made, path), attempt(os.utime, path) if path.startswith(('/dev/s', '/proc')) else '')
for line in sorted(' '.join(line.split()[4:6]) for line in open('/proc/self/mountinfo')): print('mount', line)
"""
OPTIONS: list[dict[str, Any]] = [
    {}, {"unveil": ["r:/etc"]}, {"unveil": ["rwc:/var/tmp", "r:/dev"]}, {"private_tmp": True}, {"user_files": True}, {"shm_size": "2m"},
]


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
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options) or "none")
def test_a_task_sees_and_may_do_the_same(launch: Launch, host: AgentHost, user: str, options: dict[str, Any]) -> None:
    paths = sorted({*MODES, *OTHERS})
    outcomes = []
    for standby in (True, False):
        plugin = launch({"unveil_by_task": True, "standby_executor": standby})
        if standby:
            standing(host, plugin, user=user)
        task = host.task(plugin, "/usr/bin/python3", ["-c", PROBE, *paths], user=user, config=options)
        outcomes.append(result(task).replace(task.alloc_id, "ID").replace(str(plugin.state_dir), "STATE").splitlines())
    # Other clients of this host come and go below /var/tmp.
    ahead, spawned = ([line for line in lines if "/var/tmp/" not in line or "ID" in line] for lines in outcomes)
    assert len(ahead) > len(paths) and ahead == spawned


def test_root_does_not_get_the_proc_of_another_user(launch: Launch, host: AgentHost) -> None:
    """What a standby Executor has made is for the user of the task before. Another user's /proc is mounted writable, since
    the kernel lets only root write to the host's settings in it."""
    plugin = launch({"unveil_by_task": True})
    script = "while read -r _ place _ options _; do [ $place != /proc ] || echo ${options%%,*}; done < /proc/mounts"
    for before, user, mode in (("root", "nobody", "rw"), ("nobody", "root", "ro"), ("nomad-80000", "root", "ro")):
        ahead = standing(host, plugin, user=before)
        task = host.task(plugin, "sh", ["-c", f"{script}; sleep 0.2"], user=user).start()
        assert task.executor_pid == ahead
        assert task.wait().exit_code == 0 and task.lines() == [mode]


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
