"""Runtimes find the limits of the task's cgroup, and size themselves by them."""

from __future__ import annotations

from typing import Callable

import pytest

from agent import AgentHost, ExitResult, Task

Make = Callable[..., Task]
users = pytest.mark.parametrize("user", ["nomad-80000", "nobody", "root"])


def result(task: Task, seconds: float = 60) -> str:
    """What a task that succeeds has written to stdout."""
    assert task.run(seconds) == ExitResult(0), task.stderr.text
    return task.stdout.text


@pytest.mark.controllers
def test_java_sizes_its_heap_by_the_cgroup(make: Make) -> None:
    """A quarter of the limit, as a shell's child too. With 300 MB it is the JVM's minimum of 126 MiB instead, far from what it
    is by the host's memory. Seen with the host's root: 706 MB of heap under a limit of 300 MB."""
    heaps = []
    for memory, text in (300, "exec java"), (300, "java"), (1024, "java"):
        task = make("sh", ["-c", f"{text} -XX:+PrintFlagsFinal -version; exit $?"], memory=memory, user="nobody")
        heaps += [int(line.split()[3]) >> 20 for line in result(task, 120).splitlines() if " MaxHeapSize " in line]
    assert heaps == [126, 126, 256]


@pytest.mark.controllers
@users
def test_go_finds_its_limits(make: Make, host: AgentHost, user: str) -> None:
    """500 MHz of a 2000 MHz core are a quarter of the period."""
    lines = result(make(host.program("limits"), memory=300, cpu=500, user=user)).splitlines()
    assert lines[1:3] == [f"memory.max {300 << 20}", "cpu.max 25000 100000"]
    assert lines[0].startswith("cgroup.procs ")


NODE = """
const own = require('fs').readFileSync('/proc/self/cgroup', 'utf8').match(/^0::(.*)$/m)[1];
console.log(process.versions.uv, process.constrainedMemory?.(), require('fs').readFileSync('/sys/fs/cgroup' + own + '/memory.max', 'utf8').trim());
"""


@pytest.mark.controllers
def test_node_knows_its_limit(make: Make) -> None:
    """From libuv 1.45 on; Debian 12's own Node.js 18 has 1.44, which reads cgroup v1 only."""
    libuv, known, read = result(make("node", ["-e", NODE], memory=300, user="nobody"), 120).split()
    assert read == str(300 << 20)
    if tuple(int(part) for part in libuv.split(".")[:2]) >= (1, 45):
        assert known == read
