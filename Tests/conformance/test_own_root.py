"""A root of the task's own: what it shows of the host, and what is not there."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from agent import AgentHost, ExitResult, Plugin, Task

Launch = Callable[..., Plugin]
USERS = ["nomad-80000", "nobody", "root"]


@pytest.fixture
def own(launch: Launch, host: AgentHost) -> Callable[..., Task]:
    plugin = launch({"own_root": True, "unveil_by_task": True})

    def task(command: Any, arguments: Any = (), **options: Any) -> Task:
        return host.task(plugin, command, arguments, **options)

    return task


@pytest.mark.parametrize("user", USERS)
def test_shell(own: Callable[..., Task], user: str) -> None:
    task = own("sh", ["-c", "ls -la / /dev; cat /proc/self/mountinfo; pwd; echo x > output.txt; cat output.txt; id -u; echo hello >/dev/stdout; "
                            "cat /etc/passwd; ls /proc; cat /proc/keys; cat /etc/hosts; ls -la /dev/pts /dev/shm; ls $NOMAD_TASK_DIR; exit 5"], user=user)
    result = task.run()
    print(task.stdout.text, task.stderr.text)
    assert result == ExitResult(5)
