"""What `trace` and the Executor's 20 ms leave open: each test failed when it was written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Callable

from agent import Plugin, Task
from agent.timing import scaled
from command_line import mount_point

Make = Callable[..., Task]

FORKS = ("import os, signal, time\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nwhile True:\n"
         "    if os.fork() == 0:\n        time.sleep(0.4)\n        os._exit(0)\n    time.sleep(0.001)\n")

TRACES = 40


def tracer(pid: int) -> int:
    try:
        found = re.search(r"^TracerPid:\t(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return -1
    return int(found[1]) if found else -1


def cgroup(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").splitlines()[-1]
    except OSError:
        return ""


def children_left_traced(tool: subprocess.Popen[bytes], member: int, stranger: int) -> list[int]:
    """Of a stranger that is not traced itself. They are looked for until a tenth of a second after the task is traced."""
    end = float("inf")
    while tool.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
        children = Path(f"/proc/{stranger}/task/{stranger}/children").read_text(encoding="ascii").split()
        traced = [int(child) for child in children if tracer(int(child)) > 0]
        found = [child for child in traced if (place := cgroup(child)) and ".scope" not in place and tracer(stranger) == 0]
        if found:
            return found
        if end == float("inf") and tracer(member) > 0:
            end = time.monotonic() + scaled(0.1)
    return []


def test_the_children_of_a_stranger(binary: Path, plugin: Plugin, make: Make) -> None:
    """A process that enters and leaves the task's cgroup stands for one that has got a number of the task's. It is let go of, but
    the child that it made between the seizing and its stop was traced until the trace ended: 4 of 32 traces, later 12 of 80."""
    task = make("/bin/sleep", ["1000"]).start()
    stranger = subprocess.Popen([sys.executable, "-Ic", FORKS])
    over = threading.Event()

    def move() -> None:
        places = [os.open(f"{place}/cgroup.procs", os.O_WRONLY) for place in (task.scope, mount_point())]
        while not over.is_set():
            for place in places:
                os.write(place, b"%d" % stranger.pid)
                time.sleep(0.0005)

    mover = threading.Thread(target=move)
    mover.start()
    found: list[int] = []
    try:
        for _ in range(TRACES):
            tool = subprocess.Popen([binary, "trace", "--state-dir", plugin.state_dir, "--seconds", "5", task.id],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            found = children_left_traced(tool, task.pid, stranger.pid)
            tool.kill()
            tool.wait()
            if found:
                break
    finally:
        over.set()
        mover.join()
        stranger.kill()
        stranger.wait()
    assert not found


def detached(pid: int) -> list[int]:
    """Descriptors of directories that are open with O_PATH and are the root of a mount that has no place."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        flags = re.search(r"^flags:\t(\d+)", Path(f"/proc/{pid}/fdinfo/{name}").read_text(encoding="ascii"), re.MULTILINE)
        if flags and int(flags[1], 8) & 0o10000000 and os.readlink(f"/proc/{pid}/fd/{name}") == "/":
            found.append(int(name))
    return found


def test_orphans_do_not_keep_the_mounts_of_the_logs_open(make: Make) -> None:
    """The 20 ms began anew with every child that the Executor reaped, and with every request."""
    text = "import os, time\nwhile True:\n    pid = os.fork()\n    if pid == 0:\n        os.fork()\n        os._exit(0)\n    os.waitpid(pid, 0)\n    time.sleep(0.003)\n"
    task = make("/usr/bin/python3", ["-Ic", text]).start()
    idle = make("/bin/sleep", ["1000"]).start()
    time.sleep(scaled(1))
    assert not detached(task.executor_pid) and not detached(idle.executor_pid)
