"""Fault sweep with a standby Executor, which is the default.

The calls of three processes interleave: the task's Executor, the one that is being spawned, and the Driver. So the
third openat of an Executor is not the same call in each run, and a scenario is evaluated independently of that: it has an
error with its reason or succeeds; nothing is left except one standby Executor and what the Driver has open for it; the
next task runs. Nearly every fault must meet a call. See fault_sweep_tasks.py.

What it found (fixed): an Executor that was spawned during a shortage of descriptors did not know its own pid and failed
the next start, however much later.
"""

from __future__ import annotations

from typing import Any

import pytest

from agent import AgentHost, ExitResult
from agent.faults import DRIVER, EXECUTOR, Fault
from agent.fault_sweep import FaultSweep


class WithStandby(FaultSweep):
    """Runs whose Executor was mostly spawned ahead."""

    def __init__(self, host: AgentHost):
        super().__init__(host, standby=True)

    def run_next(self) -> None:
        """Runs two tasks, so that the second gets the Executor that was spawned ahead after the first."""
        for _ in range(2):
            assert self.next.run() == ExitResult(0)
            self.next.destroy()

    def check(self, fault: Fault, *how: Any, **named: Any) -> list[str]:
        """Repeats the run if the call was not made: the number of calls varies."""
        before = self.fired
        problems = super().check(fault, *how, **named)
        if problems or self.fired > before:
            return problems
        self.tried -= 1
        return super().check(fault, *how, **named)


@pytest.mark.parametrize("role", [DRIVER, EXECUTOR], ids=["driver", "executor"])
def test_every_call_of_a_task_fails_once(host: AgentHost, role: int) -> None:
    sweep = WithStandby(host)
    sweep.run_all(role)
    assert sweep.fired >= 0.9 * sweep.tried, f"{sweep.fired} of {sweep.tried} faults met a call"


def test_every_interrupted_call_of_a_task_goes_well(host: AgentHost) -> None:
    WithStandby(host).run_all(interrupted=True, minimum=40)
