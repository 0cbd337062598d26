"""Fault sweep of a command in a running task: each call of the Driver and of the attendant (which is the Executor's
program) fails once.

The session has an error that says why, or its result and all of its output; nothing of it is left, the task and its
Executor are not affected, and the next session works. See fault_sweep_tasks.py.

What it found (all fixed): one failed read or write truncated the output or dropped input without an error; a session on
a terminal then waited for ever; an attendant that had no memory, or whose report could not be read, was reported as
killed; a task's Executor was taken for one of an older release; EINTR kept a terminal from being made; descriptors stayed
open for two seconds after a cancelled session.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest

from agent import AgentHost, ExitResult, processes
from agent.exec import Session, exec_task
from agent.faults import DRIVER, EXECUTOR, Fault
from agent.host import state_directories
from agent.timing import wait_until
from agent.fault_sweep import STOPPED, Scenario, FaultSweep, wrong_error

COMMAND = ("/bin/sh", "-c", "read line; echo got $line; echo wrong >&2; exit 3")
ENDED = ExitResult(3)
# What each kind of session prints: ExecTask has no input; a terminal echoes its input and has one output.
STDOUT = {"unary": b"got\n", "pipes": b"got hello\n", "terminal": b"hello\r\ngot hello\r\nwrong\r\n"}
STDERR = {"unary": b"wrong\n", "pipes": b"wrong\n", "terminal": b""}
# What an attendant's exit status alone means, when it could not report more.
LEFT = ("could not read its request", "had no memory", "could not report how it ended")
NO_REPORT = ("has no result: cannot read the report of attendant",)


class Sessions(FaultSweep):
    """Sessions of one kind in a task that runs all the time."""

    def __init__(self, host: AgentHost, kind: str):
        self.kind = kind
        super().__init__(host)

    def settle(self) -> None:
        super().settle()
        self.task.start()
        wait_until(lambda: len(processes.descriptors(self.plugin.pid)) > self.descriptors, 10, "the task's descriptors")
        self.main, self.executor = self.task.pid, self.task.executor_pid
        assert self.passed(self.run())
        self.run_next()
        self.descriptors = len(processes.descriptors(self.plugin.pid))
        # It closes the mounts of the logs when the task has run for a moment.
        wait_until(lambda: "/" not in processes.descriptors(self.executor).values(), 5, "no detached mount is open")
        self.of_executor = processes.descriptors(self.executor)

    def run(self) -> Scenario:
        scenario = Scenario()
        scenario.do("Exec", lambda: self.unary(scenario) if self.kind == "unary" else self.streaming(scenario))
        return scenario

    def unary(self, scenario: Scenario) -> None:
        answer = exec_task(self.task, *COMMAND, seconds=20)
        scenario.result = ExitResult(answer.result.exit_code, answer.result.signal)
        scenario.stdout, scenario.stderr = answer.stdout, answer.stderr

    def streaming(self, scenario: Scenario) -> None:
        is_terminal = self.kind == "terminal"
        given = Session(
            self.plugin, self.task.id, COMMAND, tty=is_terminal, sizes=[(24, 80)] if is_terminal else [], seconds=20)
        given.send(b"hello\n")
        if is_terminal:
            given.resize(25, 80)
        else:
            given.close_stdin()
        try:
            scenario.result = ExitResult(*given.wait())
        finally:
            scenario.stdout, scenario.stderr = given.stdout, given.stderr

    def passed(self, scenario: Scenario) -> bool:
        outputs = (scenario.stdout, scenario.stderr) == (STDOUT[self.kind], STDERR[self.kind])
        return scenario.steps == {"Exec": None} and scenario.result == ENDED and outputs

    def faults_of(self, counts: dict[tuple[int, int], int], *, interrupted: bool = False) -> list[Fault]:
        """A read of a terminal fails with EIO once no process has it open: that is not an error."""
        found = super().faults_of(counts, interrupted=interrupted)
        return [
            replace(fault, error=errno.ENOMEM)
            if self.kind == "terminal" and fault.name == "read" and fault.error == errno.EIO else fault for fault in found]

    def evaluate(self, fault: Fault, scenario: Scenario) -> str | None:
        # The attendant is the Executor's program and ends for the same reasons.
        if scenario.steps["Exec"]:
            return wrong_error(fault, scenario, LEFT if fault.role == EXECUTOR else NO_REPORT)
        if self.passed(scenario):
            return None
        if fault.name.endswith("execve"):
            told = os.strerror(fault.error).encode() in scenario.stderr + scenario.stdout
            return None if scenario.result == ExitResult(126) and told else "not the end of a command that cannot be run"
        return "neither an error nor the command's whole output and result"

    def run_next(self) -> None:
        if not hasattr(self, "main"):
            super().run_next()
            return
        answer = exec_task(self.task, str(self.host.program("act")), "out=next", "exit=5")
        assert (answer.result.exit_code, answer.stdout) == (5, b"next\n"), answer
        assert self.task.pid == self.main, "the task has another main process"

    def left(self) -> list[str]:
        found = []
        now = processes.descriptors(self.plugin.pid)
        if len(now) > self.descriptors:
            found.append(f"{len(now)} descriptors instead of {self.descriptors}: {now}")
        below = sorted(process.pid for process in self.plugin.executors())
        if below != sorted([self.executor, self.main]):
            found.append(f"processes {self.plugin.executors()}, and not {self.executor} and {self.main} alone")
        if len(state_directories(self.plugin)) != 1:
            found.append(f"state directories {state_directories(self.plugin)}")
        if processes.descriptors(self.executor) != self.of_executor:
            found.append(f"the Executor has {processes.descriptors(self.executor)}")
        return found + self.left_anywhere()

    def is_in_cgroup(self, events: str) -> bool:
        return (self.task.scope / "cgroup.procs").read_text().split() != [str(self.main)]

    def clear(self) -> None:
        for process in self.plugin.executors():
            if process.pid not in (self.executor, self.main):
                os.kill(process.pid, 9)
        self.descriptors = max(self.descriptors, len(processes.descriptors(self.plugin.pid)))

    def end(self) -> None:
        """The task was not affected: it ends at the stop, with the expected result."""
        self.task.stop(1)
        assert self.task.wait() == STOPPED
        self.task.destroy()


# For an attendant, a session without input is the same as one with pipes.
@pytest.mark.parametrize("kind, role", [
    ("unary", DRIVER), ("pipes", DRIVER), ("pipes", EXECUTOR), ("terminal", DRIVER), ("terminal", EXECUTOR)], ids=[
    "unary-driver", "pipes-driver", "pipes-attendant", "terminal-driver", "terminal-attendant"])
def test_every_call_of_a_session_fails_once(host: AgentHost, kind: str, role: int) -> None:
    sweep = Sessions(host, kind)
    sweep.run_all(role, minimum=30)
    sweep.end()


@pytest.mark.parametrize("kind", ["pipes", "terminal"])
def test_every_interrupted_call_of_a_session_goes_well(host: AgentHost, kind: str) -> None:
    sweep = Sessions(host, kind)
    sweep.run_all(interrupted=True, minimum=15)
    sweep.end()
