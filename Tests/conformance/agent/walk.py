"""Walks of faults: a life is lived once for each call that is made in it, with that call failing.

The calls are counted first, in the Driver and in the Executor's program, between clone and execve too. What is
asked of each life is the same everywhere: an error that names what failed and why, or no harm done; nothing left,
nothing hung, the Driver alive, and the next task well.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from typing import Callable

import grpc

from agent import processes
from agent.failures import faults_of
from agent.faults import EXECUTOR, Fault, Faults, faulty_binary
from agent.host import AgentHost, state_folders
from agent.plugin import Plugin
from agent.task import ExitResult, Task
from agent.timing import wait_until

STOPPED = ExitResult(130, 2)
# What a Driver has open for an Executor that stands by: its pidfd, the memory and the pipe for its request.
STANDBY_DESCRIPTORS = 3
# As long as the longest step may take: a stop that fails kills after a second.
GREATEST_SECONDS = 15


@dataclass
class Life:
    """What each step of a task's life came to: None where it went well."""

    steps: dict[str, grpc.RpcError | None] = field(default_factory=dict)
    result: ExitResult | None = None
    error: str = ""
    # Of a command in a task.
    stdout: bytes = b""
    stderr: bytes = b""

    def do(self, name: str, call: Callable[[], object]) -> bool:
        try:
            call()
            self.steps[name] = None
        except grpc.RpcError as failure:
            self.steps[name] = failure
        return self.steps[name] is None

    def __str__(self) -> str:
        told = [f"{name}: {error.code().name} {error.details()!r}" for name, error in self.steps.items() if error]
        outputs = [f"{output!r}" for output in (self.stdout, self.stderr) if output]
        return "; ".join([*told, f"{self.result} {self.error!r}", *outputs])


class Walk:
    """One Driver in which calls fail, with two tasks: one that suffers, and the next."""

    def __init__(self, host: AgentHost, *, standby: bool = False, equip: Callable[[Task], object] | None = None):
        """`equip` gives the task what it has beside its program."""
        self.host, self.standby = host, standby
        self.faults = Faults(host.root / f"faults-{time.monotonic_ns()}")
        self.state_dir = str(host.make_state_dir())
        # Of all faults that were walked through: how many have failed a call.
        self.walked = self.fired = 0
        self.plugin = self.launch()
        self.task = host.task(self.plugin, host.program("act"), ["pause="])
        if equip:
            equip(self.task)
        self.next = host.task(self.plugin, host.program("act"), ["exit=0"])
        self.settle()

    def launch(self) -> Plugin:
        return self.host.launch(
            # Without one that stands by each call of an Executor has its number.
            {"state_dir": self.state_dir, "standby_executor": self.standby, "unveil_by_task": True,
             "allow_caps": ["net_bind_service"]},
            binary=faulty_binary(), environment=self.faults.environment)

    def settle(self) -> None:
        """A first life, so that what is made once is there; what stays open then is the measure."""
        for task in (self.task, self.next):
            task.plugin = self.plugin
        self.run_next()
        self.task.start()
        self.plugin.await_log_watch()
        self.task.stop(1)
        self.task.wait()
        self.task.destroy()
        if self.standby:
            wait_until(lambda: self.executors() == 1, 10, "an Executor stands by")
        self.descriptors = len(processes.descriptors(self.plugin.pid)) - STANDBY_DESCRIPTORS * self.executors()
        self.mounts = self.own_mounts()

    def own_mounts(self) -> list[str]:
        """The mounts below this session's folder; others' come and go."""
        return sorted(line.split()[1] for line in open("/proc/mounts") if str(self.host.root) in line)

    def executors(self) -> int:
        return len(self.plugin.executors())

    # A life

    def live(self) -> Life:
        """StartTask, SignalTask, StopTask, WaitTask, DestroyTask."""
        life = Life()
        if life.do("StartTask", self.task.start):
            self.go_on(life)
        return life

    def go_on(self, life: Life) -> None:
        waiting = self.task.wait_soon()
        life.do("SignalTask", lambda: self.task.signal("SIGCONT"))
        life.do("StopTask", lambda: self.task.stop(1))

        def wait() -> None:
            answer = waiting.result()
            life.result = ExitResult(answer.result.exit_code, answer.result.signal, answer.result.oom_killed)
            life.error = answer.err

        life.do("WaitTask", wait)
        if not life.do("DestroyTask", self.task.destroy):
            # The client may ask again, and what failed once goes well then.
            self.task.destroy()

    def went_well(self, life: Life) -> bool:
        return not any(life.steps.values()) and life.result == STOPPED and not life.error

    def run_next(self) -> None:
        """What comes after a life goes well."""
        assert self.next.run() == ExitResult(0)
        self.next.destroy()

    # What a life leaves

    def left(self) -> list[str]:
        """What there is more than before."""
        found = []
        standing = min(self.executors(), 1) if self.standby else 0
        now = processes.descriptors(self.plugin.pid)
        if len(now) > self.descriptors + STANDBY_DESCRIPTORS * standing:
            found.append(f"{len(now)} descriptors instead of {self.descriptors}: {now}")
        if self.executors() > standing:
            found.append(f"processes {self.plugin.executors()}")
        if state_folders(self.plugin):
            found.append(f"state folders {state_folders(self.plugin)}")
        return found + self.left_anywhere()

    def left_anywhere(self) -> list[str]:
        found = []
        zombies = [process for process in processes.everything() if process.parent == self.plugin.pid and process.is_zombie]
        if zombies:
            found.append(f"zombies {zombies}")
        if self.own_mounts() != self.mounts:
            found.append("mounts")
        populated = (self.task.scope / "cgroup.events").read_text()
        if self.is_in_cgroup(populated) or any(path.is_dir() for path in self.task.scope.iterdir()):
            found.append("the task's cgroup has what is not the task's")
        return found

    def is_in_cgroup(self, events: str) -> bool:
        return "populated 0" not in events

    def clear(self) -> None:
        """Takes away what a failed life has left, so that the next one is judged by itself."""
        for process in self.plugin.executors():
            os.kill(process.pid, 9)
        for name in state_folders(self.plugin):
            shutil.rmtree(self.plugin.state_dir / name, ignore_errors=True)
        self.descriptors = max(self.descriptors, len(processes.descriptors(self.plugin.pid)))

    # The faults

    def count(self, live: Callable[[], Life] | None = None) -> dict[tuple[int, int], int]:
        """How often each function is called in a life in which nothing fails: in the longest of three."""
        most: dict[tuple[int, int], int] = {}
        for _ in range(3):
            self.faults.count()
            life = (live or self.live)()
            self.faults.stop()
            assert self.went_well(life), str(life)
            for key, count in self.faults.counts().items():
                most[key] = max(most.get(key, 0), count)
        return most

    def faults_of(self, counts: dict[tuple[int, int], int], *, interrupted: bool = False) -> list[Fault]:
        """The calls that are to fail, one after another."""
        return faults_of(self.faults, counts, interrupted=interrupted)

    def check(
        self, fault: Fault, live: Callable[[], Life] | None = None,
        judge: Callable[[Fault, Life], str | None] | None = None,
    ) -> list[str]:
        """One life with one failing call."""
        began = time.monotonic()
        self.faults.fail(fault)
        life = (live or self.live)()
        fired = self.faults.stop()
        self.walked, self.fired = self.walked + 1, self.fired + fired
        seconds = time.monotonic() - began
        problems = []
        if not self.plugin.is_running:
            problem = f"{fault}: the Driver has ended: {self.plugin.violations[:3]}"
            self.plugin.end()
            shutil.rmtree(self.state_dir, ignore_errors=True)
            self.plugin = self.launch()
            self.settle()
            return [problem]
        if (problem := (judge or self.judge)(fault, life)) is not None:
            problems.append(problem)
        if not fired and not self.went_well(life):
            problems.append("no call failed, and it did not go well")
        if seconds > GREATEST_SECONDS:
            problems.append(f"took {seconds:.0f} s")
        try:
            wait_until(lambda: not self.left(), 5, "nothing left")
        except AssertionError:
            problems.append(f"left: {self.left()}")
            self.clear()
        try:
            self.run_next()
        except (grpc.RpcError, AssertionError) as error:
            problems.append(f"the next one: {error}")
        return [f"{fault}: {problem} [{life}]" for problem in problems]

    def judge(self, fault: Fault, life: Life) -> str | None:
        """Why the outcome is no good one, or None."""
        return wrong_error(fault, life) or wrong_end(fault, life)

    def judge_interrupted(self, _fault: Fault, life: Life) -> str | None:
        """EINTR is nobody's failure."""
        return None if self.went_well(life) else "did not go on"

    def walk(self, role: int | None = None, *, interrupted: bool = False, least: int = 50) -> None:
        """Through every call of the life that this walk lives."""
        faults = [fault for fault in self.faults_of(self.count(), interrupted=interrupted) if role in (None, fault.role)]
        judge = self.judge_interrupted if interrupted else self.judge
        report(faults, [problem for fault in faults for problem in self.check(fault, judge=judge)], least)


def wrong_error(fault: Fault, life: Life, consequences: tuple[str, ...] = ()) -> str | None:
    """What a step's error lacks, or None."""
    for step, error in life.steps.items():
        if error is None:
            continue
        text = error.details() or ""
        if error.code() in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
            return f"{step} gave no answer of its own"
        # Told by the call before, or by what the failure led to.
        known = ("is not running", "ended before it had started", *consequences)
        if any(consequence in text for consequence in known):
            continue
        if os.strerror(fault.error) not in text:
            return f"{step} does not say why"
        if "cannot" not in text:
            return f"{step} does not say at which stage"
    return None


def wrong_end(fault: Fault, life: Life) -> str | None:
    """Why a task's end is no good one, or None."""
    function = fault.name.split()[-1]
    if life.steps["StartTask"] or life.result is None:
        return None if life.steps["StartTask"] or life.steps["WaitTask"] else "no result"
    if life.result == STOPPED:
        return f"a right result with an error: {life.error}" if life.error else None
    if function == "execve":
        return None if life.result.exit_code == 126 else "not the exit code of a program that cannot be run"
    if life.error:
        if life.result != ExitResult(137, 9):
            return "an unknown end has a made-up result"
        by_executor = fault.role == EXECUTOR and "(Executor, pid" in life.error
        # The stop could not be asked for, and so the Executor was killed.
        by_stop = function == "write" and "was killed" in life.error
        told = os.strerror(fault.error) in life.error or by_executor or by_stop
        return None if told else "an end is lost, and not for the reason that is given"
    # Killed in the end, since it could not be told to stop.
    stops = function in ("kill", "pidfd_send_signal", "write")
    return None if stops and life.result == ExitResult(137, 9) else "a result that is not the task's"


def report(walked: list[Fault], problems: list[str], least: int = 50) -> None:
    print(f"{len(walked)} calls failed, one at a time")
    assert len(walked) >= least
    assert not problems, f"{len(problems)} of {len(walked)}:\n" + "\n".join(problems)
