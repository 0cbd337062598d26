"""Fault sweeps of a task, of its recovery, and of a Driver's start: each call fails once, and no partial state remains.

agent/fault_sweep.py explains how a sweep works. Its siblings are fault_sweep_exec.py, of commands in tasks,
fault_sweep_mounts.py, of a task with volumes, devices and files of its own, and fault_sweep_standby.py, of tasks that
an Executor waits for.

Run by its name (`make faults`, a stage of `make test`): it needs the build with faults in it. EXEC2_FAULTS_LONG
fails each call with several errors, and every round of every loop; without it long loops are sampled.

What it found before it was mended: a directory that a destroy left and denied, an exit status lost to one failed
fsync, a missing descriptor or a passing shortage of memory, a task said to have died by SIGSEGV when memory failed
in its Executor, an Executor said to have been killed that had left.
"""

from __future__ import annotations

import errno
import subprocess
from typing import Iterator

import grpc
import pytest

from agent import AgentHost, HandshakeError, Plugin, processes
from agent.failures import faults_of
from agent.faults import DRIVER, EXECUTOR, Fault, Faults, faulty_binary
from agent.messages import REPOSITORY
from agent.restart import recover_soon
from agent.timing import wait_until
from agent.fault_sweep import STOPPED, Scenario, FaultSweep, report


@pytest.fixture
def sweep(host: AgentHost) -> Iterator[FaultSweep]:
    yield FaultSweep(host)


@pytest.mark.parametrize("role", [DRIVER, EXECUTOR], ids=["driver", "executor"])
def test_every_call_of_a_task_fails_once(sweep: FaultSweep, role: int) -> None:
    sweep.run_all(role)


def test_every_interrupted_call_of_a_task_goes_well(sweep: FaultSweep) -> None:
    sweep.run_all(interrupted=True, minimum=40)


def test_every_call_of_a_recovery_fails_once(host: AgentHost, sweep: FaultSweep) -> None:
    """The Driver is killed while the task runs; the next one's calls fail from RecoverTask on."""
    killed: list[Plugin] = []

    def prepare() -> None:
        sweep.task.start()
        sweep.plugin.kill()
        killed.append(sweep.plugin)
        sweep.plugin = sweep.launch()
        sweep.task.plugin = sweep.next.plugin = sweep.plugin
        sweep.descriptors = len(processes.descriptors(sweep.plugin.pid)) + 3

    def recover() -> Scenario:
        scenario = Scenario({"StartTask": None})
        if not scenario.do("RecoverTask", lambda: recover_soon(sweep.plugin, sweep.task).result()):
            sweep.faults.stop()
            recover_soon(sweep.plugin, sweep.task).result()
        sweep.go_on(scenario)
        old = killed.pop()
        wait_until(lambda: not old.executors(), 10, "the earlier Driver's Executor gone")
        old.end()
        host.plugins.remove(old)
        return scenario

    counts: dict[tuple[int, int], int] = {}
    for _ in range(2):
        prepare()
        sweep.faults.count()
        scenario = recover()
        sweep.faults.stop()
        assert sweep.passed(scenario), str(scenario)
        for key, count in sweep.faults.counts().items():
            counts[key] = max(counts.get(key, 0), count)
    faults = [fault for fault in sweep.faults_of(counts) if fault.role == DRIVER]
    problems = []
    for fault in faults:
        prepare()
        problems += sweep.check(fault, recover)
    report(faults, problems)


def test_every_call_of_a_driver_that_starts_fails_once(host: AgentHost) -> None:
    """It serves, or it ends with its reason in the log; it never hangs and never dies by a signal."""
    control = Faults(host.root / "faults-of-a-start")

    def begin() -> str | None:
        try:
            plugin = host.launch({}, binary=faulty_binary(), environment=control.environment)
        except HandshakeError as error:
            return None if "cannot" in str(error) and "exit 1" in str(error) else f"no reason given: {error}"
        except grpc.RpcError as error:
            # A connection whose other end cannot be looked at is refused, and the log says so.
            plugin = host.plugins.pop()
            plugin.end()
            told = f"{error.details()} {[entry['@message'] for entry in plugin.log if entry['@level'] != 'info']}"
            return None if "cannot" in told or "refused" in told else f"no reason given: {told}"
        plugin.end()
        host.plugins.remove(plugin)
        return f"{plugin.violations}" if plugin.violations else None

    control.count()
    assert begin() is None
    control.stop()
    faults = faults_of(control, control.counts())
    problems = []
    for fault in faults:
        control.fail(fault)
        problem = begin()
        control.stop()
        if problem:
            problems.append(f"{fault}: {problem}")
    report(faults, problems, minimum=25)


def test_no_memory_in_the_driver(host: AgentHost, sweep: FaultSweep) -> None:
    """A Driver without memory ends at once; its tasks do not, and the next Driver has them."""
    counts = sweep.count()
    slot = next(slot for role, slot in counts if role == DRIVER and sweep.faults.name(slot) == "calloc")
    other = host.task(sweep.plugin, host.program("act"), ["pause="])
    other.start()
    sweep.faults.fail(Fault(DRIVER, slot, "calloc", 1, errno.ENOMEM))
    with pytest.raises(grpc.RpcError):
        sweep.task.start()
    sweep.faults.stop()
    sweep.plugin.wait_exit()
    sweep.plugin.violations.clear()
    sweep.plugin = sweep.launch()
    recover_soon(sweep.plugin, other).result()
    other.stop()
    assert other.wait() == STOPPED
    other.destroy()
    sweep.settle()


def test_nothing_of_it_is_in_an_ordinary_build() -> None:
    """Neither the layer's functions nor the name of its variable."""
    programs = ("nomad-driver-exec2", "nomad-driver-exec2-executor")
    for name in programs:
        faulty = faulty_binary().parent / name
        ordinary = REPOSITORY / ".build" / "release" / name
        for program, is_there in ((faulty, True), (ordinary, False)):
            symbols = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
            assert ("__wrap_openat" in symbols) == is_there, program
            assert ("exec2_fault" in symbols) == is_there, program
            assert (b"EXEC2_FAULT_CONTROL" in program.read_bytes()) == is_there, program
