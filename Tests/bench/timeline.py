#!/usr/bin/python3
"""Where the time of a start and an end goes: what the client, the Driver, the Executor and the task's process do between the
request of StartTask and the answer of WaitTask, for a program that ends at once. Needs root.

  timeline.py [--starts N] [--directory DIRECTORY]

Prints a table and writes timeline.svg to DIRECTORY (default: bench/). Both are of the start whose time until the answer a tenth of
N (default 60) does not exceed, so that what else runs on the machine is in it as little as possible. The kernel records every system call and every switch of threads (tracefs), which itself takes 0.5 to
1 µs a call: the figures are larger than without it, by about as much for each part.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.dont_write_bytecode = True

from bench import PROJECT, Bench  # noqa: E402
from lanes import Lane, Trace, Window  # noqa: E402
from subject import Subject, destroy_request, moment, wait_request  # noqa: E402
from timeline_picture import draw, summary  # noqa: E402
from tools import quantile  # noqa: E402

EVENTS = ("raw_syscalls/sys_enter", "raw_syscalls/sys_exit", "sched/sched_switch", "sched/sched_waking", "sched/sched_process_exec",
          "sched/sched_process_exit", "task/task_newtask")
INSIDE = "EXEC2_TIMELINE_INSIDE"
SETTLE_SECONDS = 0.03
KIBIBYTES = 24_000  # of the kernel's memory for the events of each processor


class Tracefs:
    """An instance of its own in tracefs, which records the events of some processes and of their descendants."""

    def __init__(self, mount: Path):
        self._mount = mount
        subprocess.run(["mount", "-t", "tracefs", "none", str(mount)], check=True)
        self._instance = mount / "instances" / f"exec2-{os.getpid()}"
        self._instance.mkdir()
        self._set("buffer_size_kb", str(KIBIBYTES))
        self._set("trace_clock", "mono")
        self._set("options/event-fork", "1")

    def _set(self, name: str, value: str) -> None:
        (self._instance / name).write_text(value)

    @contextmanager
    def recording(self, threads: list[int]) -> Iterator[None]:
        """Records while the body runs."""
        self._set("set_event_pid", " ".join(map(str, threads)))
        for event in EVENTS:
            self._set(f"events/{event}/enable", "1")
        try:
            yield
        finally:
            self._set("tracing_on", "0")

    def text(self) -> str:
        """What was recorded."""
        return (self._instance / "trace").read_text(errors="replace")

    def close(self) -> None:
        self._instance.rmdir()
        subprocess.run(["umount", str(self._mount)], check=True)


def one(subject: Subject) -> Window:
    """Starts a task that ends at once, and waits for it."""
    task = subject.make()
    started, ended = subject.client.sequences([[("StartTask", task.request), ("WaitTask", wait_request(task))]], 1)[0]
    window = Window(started.sent / 1e3, moment(task) / 1e3, started.ok().received / 1e3, ended.ok().received / 1e3)
    subject.client("DestroyTask", destroy_request(task))
    subject.forget(task)
    # Until the next Executor stands by, and has made ready what it can.
    subject.plugin.await_standby()
    time.sleep(SETTLE_SECONDS)
    return window


def threads_of(pid: int) -> set[int]:
    return {int(name) for name in os.listdir(f"/proc/{pid}/task")}


def measure(count: int) -> tuple[list[Window], Trace]:
    """The starts, and what was recorded."""
    bench = Bench(short=True)
    mount = Path(tempfile.mkdtemp(prefix="exec2-tracefs-"))
    try:
        tracefs = Tracefs(mount)
        subject = Subject(bench, standby=True)
        for _ in range(3):
            one(subject)
        client, driver = threads_of(subject.client.pid), threads_of(subject.plugin.pid)
        with tracefs.recording([*client, *driver, *(process.pid for process in subject.plugin.executors())]):
            windows = [one(subject) for _ in range(count)]
        trace = Trace(tracefs.text(), client, driver)
        subject.close()
        tracefs.close()
    finally:
        faults = bench.close()
        mount.rmdir()
    if faults:
        raise RuntimeError("left over: " + "; ".join(faults))
    return windows, trace


def is_complete(lanes: list[Lane], window: Window) -> bool:
    """Whether the recorded events show the Executor and the task before the program's first instruction."""
    seen = {lane.name for lane in lanes if lane.within(window.sent, window.begun) > 0}
    return {"Executor", "task"} <= seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=60)
    parser.add_argument("--directory", type=Path, default=PROJECT / "bench")
    options = parser.parse_args()
    windows, trace = measure(options.starts)
    complete = [window for window in windows if is_complete(trace.lanes(window), window)]
    chosen = quantile([window.answered - window.sent for window in complete], 0.1)
    window = next(each for each in complete if each.answered - each.sent == chosen)
    lanes = trace.lanes(window)
    on = f"{os.cpu_count()} processors, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f}"
    print(summary(lanes, window, windows))
    options.directory.mkdir(exist_ok=True)
    (options.directory / "timeline.svg").write_text(draw(lanes, window, f"of {len(windows)} starts one of the fastest tenth; {on}"))
    print(f"written to {options.directory / 'timeline.svg'}")
    return 0


if __name__ == "__main__":
    # In a mount namespace of its own, so that nobody else finds tracefs mounted.
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    sys.exit(main())
