"""Fault sweep with a standby Executor, which is the default.

The calls of three programs mix there: the task's Executor, the one that is being spawned, and the Driver that has
to do with both. So the third openat of the Executor's is not the same call each time, and what a scenario may come to is
asked without regard to that: an error with its reason, or none; no more left than one Executor that stands by, and
what the Driver has open for that; the next task well. Nearly every fault has to meet a call. See fault_sweep_tasks.py.

What it found before it was mended: an Executor that was spawned in a shortage of descriptors and did not know its own
pid then failed the next start, however long after.
"""

from __future__ import annotations

from typing import Any

import pytest

from agent import AgentHost, ExitResult
from agent.faults import DRIVER, EXECUTOR, Fault
from agent.fault_sweep import FaultSweep


class WithStandby(FaultSweep):
    """Runs whose Executor was spawned ahead, most of the time."""

    def __init__(self, host: AgentHost):
        super().__init__(host, standby=True)

    def run_next(self) -> None:
        """Two, so that the second begins with the Executor that was spawned ahead by the first."""
        for _ in range(2):
            assert self.next.run() == ExitResult(0)
            self.next.destroy()

    def check(self, fault: Fault, *how: Any, **named: Any) -> list[str]:
        """Once more where the call did not come, which is by chance: not every scenario has as many."""
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
