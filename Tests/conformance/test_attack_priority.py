"""Attempts to change how the kernel treats the Executor, from inside a task.

Each test was seen to fail on a build without what it tests; its text says how.
"""

from __future__ import annotations

from typing import Callable

import pytest

from agent import AgentHost, ExitResult, Plugin
from attacking import USERS

ATTEMPTS = """
import ctypes, errno, os, resource
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, call):
    try:
        call()
        print(name, "ok")
    except OSError as error:
        print(name, errno.errorcode[error.errno])
def ioprio():
    if libc.syscall(NUMBER, 1, 1, 3 << 13) != 0:
        raise OSError(ctypes.get_errno(), "")
attempt("nice", lambda: os.setpriority(os.PRIO_PROCESS, 1, 19))
attempt("idle", lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)))
attempt("affinity", lambda: os.sched_setaffinity(1, os.sched_getaffinity(1)))
attempt("ioprio", ioprio)
attempt("limits", lambda: resource.prlimit(1, resource.RLIMIT_CORE, (0, 0)))
""".replace("NUMBER", "{'x86_64': 251, 'aarch64': 30}[os.uname().machine]")


@pytest.mark.parametrize("user", USERS)
def test_executors_priority_stays(launch: Callable[..., Plugin], host: AgentHost, user: str) -> None:
    """A starved Executor would record the task's end late. Its user is root's, as a root task's is, but the kernel also
    asks for every capability that the Executor has. Seen with `sys_nice` added by the job, here too: a root task
    changed all but the limits, which are `sys_resource`'s."""
    plugin = launch({"allow_caps": ["sys_nice"]})

    def outcomes(**config: list[str]) -> list[str]:
        task = host.task(plugin, "/usr/bin/python3", ["-c", ATTEMPTS], user=user, config=config)
        assert task.run(60) == ExitResult(0), task.stderr.text
        return task.lines()

    names = ["nice", "idle", "affinity", "ioprio", "limits"]
    assert outcomes() == [f"{name} EPERM" for name in names]
    if user == "root":
        assert outcomes(cap_add=["sys_nice"]) == [*(f"{name} ok" for name in names[:-1]), "limits EPERM"]
