#!/usr/bin/python3
"""Where the time of a start and an end goes: what the client, the Driver, the Executor and the task's process do between the
request of StartTask and the answer of WaitTask, for a program that ends at once. Needs root.

  timeline.py [--starts N] [--directory DIRECTORY]

Prints a table and writes timeline.svg to DIRECTORY (default: bench/). Both are of that of N starts (default 60) whose threads
waited least for a processor, so that what else runs on the machine is in it as little as possible. The kernel records every system call and every switch of threads (tracefs), which itself takes 0.5 to
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

CALLS = ("raw_syscalls/sys_enter", "raw_syscalls/sys_exit", "sched/sched_process_exec", "task/task_newtask")
SWITCHES = ("sched/sched_switch", "sched/sched_waking")
INSIDE = "EXEC2_TIMELINE_INSIDE"
SETTLE_SECONDS = 0.03
KIBIBYTES = 24_000  # of the kernel's memory for the events of each processor


class Tracefs:
    """Two instances of its own in tracefs: the system calls of some processes and of their descendants, and the switches of all
    threads, of which the kernel would miss some if it recorded those of some processes only."""

    def __init__(self, mount: Path):
        self._mount = mount
        subprocess.run(["mount", "-t", "tracefs", "none", str(mount)], check=True)
        self._instances = {mount / "instances" / f"exec2-{os.getpid()}-{name}": events
                           for name, events in (("calls", CALLS), ("switches", SWITCHES))}
        for instance in self._instances:
            instance.mkdir()
            (instance / "buffer_size_kb").write_text(str(KIBIBYTES))
            (instance / "trace_clock").write_text("mono")

    @contextmanager
    def recording(self, threads: list[int]) -> Iterator[None]:
        """Records while the body runs."""
        calls = next(iter(self._instances))
        (calls / "options" / "event-fork").write_text("1")
        (calls / "set_event_pid").write_text(" ".join(map(str, threads)))
        for instance, events in self._instances.items():
            for event in events:
                (instance / "events" / event / "enable").write_text("1")
        try:
            yield
        finally:
            for instance in self._instances:
                (instance / "tracing_on").write_text("0")

    def lines(self) -> list[str]:
        """What was recorded."""
        found = [(instance / "trace").read_text(errors="replace") for instance in self._instances]
        if any("LOST" in text for text in found):
            raise RuntimeError(f"the kernel has lost events: {KIBIBYTES} KiB for each processor do not suffice")
        return [line for text in found for line in text.splitlines()]

    def close(self) -> None:
        for instance in self._instances:
            instance.rmdir()
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
        trace = Trace(tracefs.lines(), client, driver)
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
    window = min(complete, key=lambda each: sum(lane.waited(each.sent, each.answered) for lane in trace.lanes(each)))
    lanes = trace.lanes(window)
    on = f"{os.cpu_count()} processors, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f}"
    print(summary(lanes, window, windows))
    options.directory.mkdir(exist_ok=True)
    (options.directory / "timeline.svg").write_text(draw(lanes, window, f"of {len(windows)} starts that whose threads waited least for a processor; {on}"))
    print(f"written to {options.directory / 'timeline.svg'}")
    return 0


if __name__ == "__main__":
    # In a mount namespace of its own, so that no other process finds tracefs mounted.
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    sys.exit(main())
