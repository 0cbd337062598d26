"""Recorded events of the kernel, by threads (timeline.py)."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field

# The name that a line begins with is the thread's last one, and may be of later than the event.
LINE_OF_TRACE = re.compile(r"^\s*.+-(\d+)\s+\[\d+\] \S+ +([\d.]+): (\w+): (.*)$")
MINIMUM_MICROSECONDS = 15.0  # a thread that runs for less has no lane
CLONE_THREAD = 0x10000
# Calls in which a thread waits for others, as it should. In any other it sleeps because the kernel makes it wait.
WAITS = {"poll", "ppoll", "epoll_wait", "epoll_pwait", "futex", "read", "recvmsg", "wait4", "waitid", "clone3", "rt_sigtimedwait",
         "restart_syscall", "nanosleep", "clock_nanosleep", "exit", "exit_group"}
ROLES = ("client", "Driver", "Executor", "task", "next Executor")


@dataclass(frozen=True)
class Window:
    """One start, in microseconds of the monotonic clock."""

    sent: float  # StartTask, by the client
    begun: float  # the program's first instruction
    started: float  # StartTask is answered
    answered: float  # WaitTask is answered


@dataclass
class Lane:
    """What one thread did: spans in microseconds of the monotonic clock."""

    name: str
    running: list[tuple[float, float]] = field(default_factory=list)
    waiting: list[tuple[float, float]] = field(default_factory=list)  # could run, but had no processor
    calls: list[tuple[float, float, str]] = field(default_factory=list)

    def sleeping(self) -> list[tuple[float, float, str]]:
        """When it slept in calls that should not wait for anybody, and in which."""
        busy = sorted([*self.running, *self.waiting])
        found = []
        for since, to, name in self.calls:
            at = since
            for began, until in ([*(span for span in busy if span[0] < to and span[1] > since), (to, to)] if name not in WAITS else []):
                if began - at > 1:
                    found.append((at, began, name))
                at = max(at, until)
        return found

    def waited(self, begin: float, end: float) -> float:
        """Microseconds in which it could have run."""
        return sum(max(0.0, min(to, end) - max(since, begin)) for since, to in self.waiting)

    def within(self, begin: float, end: float) -> float:
        """Microseconds of processor time."""
        return sum(max(0.0, min(to, end) - max(since, begin)) for since, to in self.running)


@functools.cache
def call_names() -> dict[int, str]:
    """The system calls' names by their numbers, from the C compiler's headers."""
    said = subprocess.run(
        [os.environ.get("CC", "cc"), "-dM", "-E", "-include", "sys/syscall.h", "-x", "c", "/dev/null"], capture_output=True, text=True,
        check=True).stdout
    return {int(number): name for name, number in re.findall(r"#define __NR_(\w+) (\d+)$", said, re.MULTILINE)}


class Thread:
    """The events of one thread, one after another."""

    def __init__(self, at: float):
        self.lane = Lane("")
        self._names: list[tuple[float, str]] = []
        self._since: float | None = at
        self._woken: float | None = None
        self._call: tuple[float, str] | None = None

    def named(self, at: float, name: str) -> None:
        if not self._names or self._names[-1][1] != name:
            self._names.append((at, name))

    def name(self, at: float) -> str:
        """As it was then: a standby Executor changes its own, and a process has its parent's until execve(2)."""
        return next((name for since, name in reversed(self._names) if since <= at), "")

    def enters(self, at: float, number: int) -> None:
        self._call = (at, call_names().get(number, str(number)))

    def leaves(self, at: float) -> None:
        if self._call:
            self.lane.calls.append((self._call[0], at, self._call[1]))
        self._call = None

    def wakes(self, at: float) -> None:
        if self._since is None and self._woken is None:
            self._woken = at

    def runs(self, at: float) -> None:
        if self._woken is not None:
            self.lane.waiting.append((self._woken, at))
        self._since, self._woken = at, None

    def stops(self, at: float, state: str) -> None:
        if self._since is not None:
            self.lane.running.append((self._since, at))
        self._since, self._woken = None, at if state.startswith("R") else None
        # Dead: exit_group(2) does not return.
        if state[0] in "XZ":
            self.leaves(at)


class Trace:
    """What was recorded, by threads.

    `client` and `driver` are the threads that the two had when it began."""

    def __init__(self, lines: Iterable[str], client: set[int], driver: set[int]):
        self._threads: dict[int, Thread] = {}
        self._client, self._driver = set(client), set(driver)
        self._spawned: set[int] = set()  # processes of the Driver
        events = [(float(found[2]) * 1e6, int(found[1]), found[3], found[4]) for found in map(LINE_OF_TRACE.match, lines) if found]
        for at, pid, event, details in sorted(events, key=lambda event: event[0]):
            self._take(pid, at, event, details)

    def _thread(self, pid: int, at: float, name: str = "") -> Thread:
        thread = self._threads.setdefault(pid, Thread(at))
        if name:
            thread.named(at, name)
        return thread

    def _take(self, pid: int, at: float, event: str, details: str) -> None:
        if event == "sched_switch":
            self._switches(at, details)
        elif event == "sched_waking" and (woken := re.search(r"comm=(.*) pid=(\d+)", details)):
            self._thread(int(woken[2]), at, woken[1]).wakes(at)
        elif event == "task_newtask" and (child := re.search(r"pid=(\d+) .*clone_flags=([0-9a-f]+)", details)):
            is_thread = int(child[2], 16) & CLONE_THREAD
            for known, others in ((self._client, self._client), (self._driver, self._driver if is_thread else self._spawned)):
                if pid in known:
                    others.add(int(child[1]))
            self._threads[int(child[1])] = Thread(at)
        elif event == "sys_enter" and (number := re.match(r"NR (-?\d+)", details)):
            self._thread(pid, at).enters(at, int(number[1]))
        elif event in ("sys_exit", "sched_process_exec"):
            self._thread(pid, at).leaves(at)

    def _switches(self, at: float, details: str) -> None:
        previous = re.search(r"prev_comm=(.*) prev_pid=(\d+) .*prev_state=(\S+)", details)
        following = re.search(r"next_comm=(.*) next_pid=(\d+)", details)
        if previous and int(previous[2]):
            self._thread(int(previous[2]), at, previous[1]).stops(at, previous[3])
        if following and int(following[2]):
            self._thread(int(following[2]), at, following[1]).runs(at)

    def lanes(self, window: Window) -> list[Lane]:
        """Those of the threads that did something for one start."""
        found = []
        for pid, thread in self._threads.items():
            role = self._role(pid, thread.name(window.answered))
            lane = thread.lane
            if role and lane.within(window.sent, window.answered) >= MINIMUM_MICROSECONDS:
                lane.name = f"{role}, {thread.name(window.answered)}" if role == "Driver" else role
                found.append((ROLES.index(role), next(since for since, to in lane.running if to > window.sent), lane))
        return [lane for _, _, lane in sorted(found, key=lambda entry: entry[:2])]

    def _role(self, pid: int, name: str) -> str | None:
        if pid in self._client or pid in self._driver:
            return "client" if pid in self._client else "Driver"
        if name == "moment":
            return "task"
        if pid in self._spawned:
            return "Executor" if name == "exec2-executor" else "next Executor"
        # The first Executor was there before the recording began. Others are of processes that have nothing to do with it.
        return "Executor" if name == "exec2-executor" else None
