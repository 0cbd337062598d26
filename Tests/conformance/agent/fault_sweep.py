"""Fault sweeps: a scenario is run once for each system call that it makes, with that call failing.

A first run counts the calls of the Driver and of the Executor's program, those between clone and execve included. Every
run is evaluated in the same way: the failure is reported with what failed and why, or does no harm; nothing is left
behind, nothing hangs, the Driver lives, and the next task runs.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from typing import Callable

import grpc

from agent import mounts, processes
from agent.failures import faults_of
from agent.faults import EXECUTOR, Fault, Faults, faulty_binary
from agent.host import AgentHost, state_directories
from agent.plugin import Plugin
from agent.task import ExitResult, Task
from agent.timing import wait_until

STOPPED = ExitResult(130, 2)
# How many descriptors a Driver has open for a standby Executor: pidfd, memory and pipe for its request.
STANDBY_DESCRIPTORS = 3
# The maximum duration of a run: a stop that fails kills after a second.
MAXIMUM_SECONDS = 15


@dataclass
class Scenario:
    """The outcome of each step of one run: None where it succeeded."""

    steps: dict[str, grpc.RpcError | None] = field(default_factory=dict)
    result: ExitResult | None = None
    error: str = ""
    # The output of a command in a task.
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


class FaultSweep:
    """One Driver in which calls fail, with two tasks: the one under test, and the next, which must succeed."""

    def __init__(
        self, host: AgentHost, *, standby: bool = False, equip: Callable[[Task], object] | None = None,
        options: dict[str, object] | None = None,
    ):
        """`equip` adds volumes, devices or options to the task under test; `options` are the plugin's."""
        self.host, self.standby, self.options = host, standby, options or {}
        self.faults = Faults(host.root / f"faults-{time.monotonic_ns()}")
        self.state_dir = str(host.make_state_dir())
        # How many of the tried faults have made a call fail.
        self.tried = self.fired = 0
        self.plugin = self.launch()
        self.task = host.task(self.plugin, host.program("act"), ["pause="])
        if equip:
            equip(self.task)
        self.next = host.task(self.plugin, host.program("act"), ["exit=0"])
        self.settle()

    def launch(self) -> Plugin:
        return self.host.launch(
            # Without a standby Executor the calls of an Executor have the same numbers in each run.
            {"state_dir": self.state_dir, "standby_executor": self.standby, "unveil_by_task": True,
             "allow_caps": ["net_bind_service"], **self.options},
            binary=faulty_binary(), environment=self.faults.environment)

    def settle(self) -> None:
        """Runs once without faults, so that whatever is made only once exists. What is open then is the baseline."""
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
        """The host's mounts, to which the Driver adds none."""
        return mounts.of_host(self.host.root)

    def executors(self) -> int:
        return len(self.plugin.executors())

    # The scenario

    def run(self) -> Scenario:
        """StartTask, SignalTask, StopTask, WaitTask, DestroyTask."""
        scenario = Scenario()
        if scenario.do("StartTask", self.task.start):
            self.go_on(scenario)
        return scenario

    def go_on(self, scenario: Scenario) -> None:
        waiting = self.task.wait_soon()
        scenario.do("SignalTask", lambda: self.task.signal("SIGCONT"))
        scenario.do("StopTask", lambda: self.task.stop(1))

        def wait() -> None:
            answer = waiting.result()
            scenario.result = ExitResult(answer.result.exit_code, answer.result.signal, answer.result.oom_killed)
            scenario.error = answer.err

        scenario.do("WaitTask", wait)
        if not scenario.do("DestroyTask", self.task.destroy):
            # The client may repeat the call, which succeeds the second time.
            self.task.destroy()

    def passed(self, scenario: Scenario) -> bool:
        return not any(scenario.steps.values()) and scenario.result == STOPPED and not scenario.error

    def run_next(self) -> None:
        """The task after the one under test succeeds."""
        assert self.next.run() == ExitResult(0)
        self.next.destroy()

    # Leftovers

    def left(self) -> list[str]:
        """What exists beyond the baseline."""
        found = []
        standing = min(self.executors(), 1) if self.standby else 0
        now = processes.descriptors(self.plugin.pid)
        if len(now) > self.descriptors + STANDBY_DESCRIPTORS * standing:
            found.append(f"{len(now)} descriptors instead of {self.descriptors}: {now}")
        if self.executors() > standing:
            found.append(f"processes {self.plugin.executors()}")
        if state_directories(self.plugin):
            found.append(f"state directories {state_directories(self.plugin)}")
        return found + self.left_anywhere()

    def left_anywhere(self) -> list[str]:
        found = []
        zombies = [process for process in processes.everything() if process.parent == self.plugin.pid and process.is_zombie]
        if zombies:
            found.append(f"zombies {zombies}")
        if (now := self.own_mounts()) != self.mounts:
            found.append(f"mounts {sorted({*now} ^ {*self.mounts}) or now}")
        populated = (self.task.scope / "cgroup.events").read_text()
        if self.is_in_cgroup(populated) or any(path.is_dir() for path in self.task.scope.iterdir()):
            found.append("the task's cgroup has entries that are not the task's")
        return found

    def is_in_cgroup(self, events: str) -> bool:
        return "populated 0" not in events

    def clear(self) -> None:
        """Removes what a failed run has left, so that the next one is evaluated independently."""
        for process in self.plugin.executors():
            os.kill(process.pid, 9)
        for name in state_directories(self.plugin):
            shutil.rmtree(self.plugin.state_dir / name, ignore_errors=True)
        self.descriptors = max(self.descriptors, len(processes.descriptors(self.plugin.pid)))

    # The faults

    def count(self, run: Callable[[], Scenario] | None = None) -> dict[tuple[int, int], int]:
        """How often a run without faults calls each function: the maximum of three runs."""
        maximum: dict[tuple[int, int], int] = {}
        for _ in range(3):
            self.faults.count()
            scenario = (run or self.run)()
            self.faults.stop()
            assert self.passed(scenario), str(scenario)
            for key, count in self.faults.counts().items():
                maximum[key] = max(maximum.get(key, 0), count)
        return maximum

    def faults_of(self, counts: dict[tuple[int, int], int], *, interrupted: bool = False) -> list[Fault]:
        """The calls that must fail, one after another."""
        return faults_of(self.faults, counts, interrupted=interrupted)

    def check(
        self, fault: Fault, run: Callable[[], Scenario] | None = None,
        evaluate: Callable[[Fault, Scenario], str | None] | None = None,
    ) -> list[str]:
        """Runs the scenario with one failing call, and returns what was wrong."""
        began = time.monotonic()
        self.faults.fail(fault)
        scenario = (run or self.run)()
        fired = self.faults.stop()
        self.tried, self.fired = self.tried + 1, self.fired + fired
        seconds = time.monotonic() - began
        problems = []
        if not self.plugin.is_running:
            problem = f"{fault}: the Driver has ended: {self.plugin.violations[:3]}"
            self.plugin.end()
            shutil.rmtree(self.state_dir, ignore_errors=True)
            self.plugin = self.launch()
            self.settle()
            return [problem]
        if (problem := (evaluate or self.evaluate)(fault, scenario)) is not None:
            problems.append(problem)
        if not fired and not self.passed(scenario):
            problems.append("no call failed, and the run did not succeed")
        if seconds > MAXIMUM_SECONDS:
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
        return [f"{fault}: {problem} [{scenario}]" for problem in problems]

    def evaluate(self, fault: Fault, scenario: Scenario) -> str | None:
        """Why the outcome is wrong, or None."""
        return wrong_error(fault, scenario) or wrong_end(fault, scenario)

    def evaluate_interrupted(self, _fault: Fault, scenario: Scenario) -> str | None:
        """EINTR must be retried."""
        return None if self.passed(scenario) else "did not continue"

    def run_all(self, role: int | None = None, *, interrupted: bool = False, minimum: int = 50) -> None:
        """Runs the scenario once for each of its calls."""
        faults = [fault for fault in self.faults_of(self.count(), interrupted=interrupted) if role in (None, fault.role)]
        evaluate = self.evaluate_interrupted if interrupted else self.evaluate
        report(faults, [problem for fault in faults for problem in self.check(fault, evaluate=evaluate)], minimum)


def wrong_error(fault: Fault, scenario: Scenario, consequences: tuple[str, ...] = ()) -> str | None:
    """What a step's error lacks, or None."""
    for step, error in scenario.steps.items():
        if error is None:
            continue
        text = error.details() or ""
        if error.code() in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
            return f"{step} failed without an error of the driver"
        # The call before has reported the failure, or this is its consequence.
        known = ("is not running", "ended before it had started", *consequences)
        if any(consequence in text for consequence in known):
            continue
        if os.strerror(fault.error) not in text:
            return f"{step} does not say why"
        if "cannot" not in text:
            return f"{step} does not say at which stage"
    return None


def wrong_end(fault: Fault, scenario: Scenario) -> str | None:
    """Why the end of a task is wrong, or None."""
    function = fault.name.split()[-1]
    if scenario.steps["StartTask"] or scenario.result is None:
        return None if scenario.steps["StartTask"] or scenario.steps["WaitTask"] else "no result"
    if scenario.result == STOPPED:
        return f"a right result with an error: {scenario.error}" if scenario.error else None
    if function == "execve":
        return None if scenario.result.exit_code == 126 else "not the exit code of a program that cannot be run"
    if scenario.error:
        if scenario.result != ExitResult(137, 9):
            return "an unknown end has an invented result"
        by_executor = fault.role == EXECUTOR and "(Executor, pid" in scenario.error
        # The stop could not be requested, and so the Executor was killed.
        by_stop = function == "write" and "was killed" in scenario.error
        told = os.strerror(fault.error) in scenario.error or by_executor or by_stop
        return None if told else "a result is lost, and not for the stated reason"
    # Killed in the end, since the stop could not be requested.
    stops = function in ("kill", "pidfd_send_signal", "write")
    return None if stops and scenario.result == ExitResult(137, 9) else "a result that is not the task's"


def report(tried: list[Fault], problems: list[str], minimum: int = 50) -> None:
    print(f"{len(tried)} calls failed, one at a time")
    assert len(tried) >= minimum
    assert not problems, f"{len(problems)} of {len(tried)}:\n" + "\n".join(problems)
