"""No exit status, signal or output is lost, at whatever moment the Driver is killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import chaos
from chaos_driver import METHODS


def _run(kills: int, tasks: int, capsys: pytest.CaptureFixture[str]) -> chaos.Chaos:
    with capsys.disabled():
        print()
        done = chaos.run(kills, tasks)
    assert not done.faults, "\n".join(done.faults)
    ended = sum(runner.is_done for runner in done.runners)
    assert ended == tasks
    return done


def test_chaos(binary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """EXEC2_CHAOS_KILLS, EXEC2_CHAOS_TASKS and EXEC2_CHAOS_SEED change the run."""
    kills = int(os.environ.get("EXEC2_CHAOS_KILLS", "50"))
    done = _run(kills, int(os.environ.get("EXEC2_CHAOS_TASKS", "200")), capsys)
    # A run whose kills interrupt no call would prove nothing.
    if kills >= 50:
        missed = [method for method in METHODS if done.statistics[f"{method} cut off by a kill"] == 0]
        assert not missed, f"no kill hit a call of {missed}"


@pytest.mark.controllers
def test_chaos_out_of_memory(binary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A smaller run, with tasks that the OOM killer kills."""
    done = _run(12, 40, capsys)
    assert sum(runner.plan.result.oom_killed for runner in done.runners) == 4
