"""Fault sweep of a task's root with everything that one can have: the template is made in each run, since an unveiled file
was replaced before it; directories that are hidden are covered in it and in a volume; the job unveils paths of its own, and
its volumes have places beside what the template shows; /proc, terminals, shared memory and a network are the task's own.

A call that fails is told with its stage and its reason, or the task has the same root as ever: no mount, and no cover of
what is hidden, is left out. No namespace is left. See fault_sweep_tasks.py.

What it found (all fixed): for want of a descriptor a hidden directory was not covered, and a part of /proc not masked; one
failed listing left the host's top-level directories out of every task's root; a template's maker that could not report was
waited for; reasons were lost, and EBADF told in the place of EMFILE.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import AgentHost, Plugin, Task, messages, mounts, namespaces, processes
from agent.fault_sweep import FaultSweep, Scenario, wrong_end, wrong_error
from agent.faults import DRIVER, EXECUTOR, Fault
from agent.state import handle_state
from agent.timing import wait_until
from agent.volumes import add_volume

# What the exit status of a template's maker alone means, when it could not report more.
LEFT = ("could not read its request", "had no memory", "could not report how that went")

# KeptTemplates.maximum.
KEPT = 4


class Rooted(FaultSweep):
    """Runs a task for which a template is made anew."""

    def __init__(self, host: AgentHost, places: Path, network: Path):
        self.places, self.network = places, network
        self.seen: list[tuple[str, str]] = []
        (places / "given" / "below").mkdir(parents=True)
        (places / "link").symlink_to("given")
        (places / "own" / "below").mkdir(parents=True)
        self.file = places / "given" / "file"
        self.replaced = 0
        self.replace()
        rules = [host.programs_rule, f"r:{self.file}", f"rwc:{places}/link/below", f"r:{host.root}"]
        super().__init__(host, equip=self.give, options={"unveil_paths": rules})
        assert self.passed(self.run())
        self.expected = self.seen

    def give(self, task: Task) -> None:
        add_volume(task, self.places, "/etc/of-the-job/volume")
        # With the directories that are hidden.
        add_volume(task, self.host.root, "/opt/everything", readonly=True)
        task.request.task.dns.servers.append("10.9.8.7")
        isolation = task.request.task.network_isolation_spec
        isolation.mode, isolation.path = messages.driver.NetworkIsolationSpec.GROUP, str(self.network)
        task.set_config({**task.config, "unveil": [f"rw:{self.places}/own", f"r:{self.places}/link"]})

    def replace(self) -> None:
        self.replaced += 1
        new = self.file.with_suffix(".new")
        new.write_text(f"{self.replaced}\n")
        new.chmod(0o644)
        new.rename(self.file)

    def run(self) -> Scenario:
        self.replace()
        return super().run()

    def go_on(self, scenario: Scenario) -> None:
        try:
            # Not their order, nor what is covered: both tell whether the standby made the tree or the task's start did.
            self.seen = mounts.reachable(handle_state(self.task).task_pid)
        except OSError:  # it has ended
            self.seen = []
        super().go_on(scenario)

    def evaluate(self, fault: Fault, scenario: Scenario) -> str | None:
        if self.passed(scenario) and self.seen != self.expected:
            return f"the task has another root: {sorted({*self.seen} ^ {*self.expected})}"
        return wrong_error(fault, scenario, LEFT if fault.role == EXECUTOR else ()) or wrong_end(fault, scenario)

    def no_namespace_left(self) -> None:
        """Every one is a template that a Driver keeps. A fault may have changed what is known of the host, and so have made
        a template of other paths, which this one keeps as well."""
        if not namespaces.can_be_listed():
            return
        assert len(held(self.plugin)) <= KEPT
        wait_until(
            lambda: namespaces.showing(self.host.root) <= sum(len(held(plugin)) for plugin in self.host.plugins), 10,
            "no namespace is left")


def held(plugin: Plugin) -> set[str]:
    """The mount namespaces that a Driver has open."""
    return {target for target in processes.descriptors(plugin.pid).values() if target.startswith("mnt:")}


@pytest.fixture
def sweep(host: AgentHost, places: Path, namespace: Path) -> Rooted:
    return Rooted(host, places, namespace)


def test_what_the_sweep_covers(sweep: Rooted) -> None:
    """What the Executor's program calls, as the maker of a template and as a task's Executor."""
    names = {sweep.faults.name(slot).split()[-1] for (role, slot) in sweep.count() if role == EXECUTOR}
    assert {"open_tree", "mount_setattr", "move_mount", "fsopen", "fsconfig", "fsmount", "pivot_root", "umount2", "mount", "setns",
            "unshare", "mkdirat", "mknodat", "symlinkat", "readlinkat", "fchdir", "chdir", "fdopendir", "readdir",
            "statx", "fstat", "fstatfs", "fchmodat", "fchownat", "openat2"} <= names, names
    seen = [place for place, _ in sweep.expected]
    hidden = [f"{above}/{name}" for above in ("/opt/everything", sweep.host.root) for name in ("data/alloc", "alloc_mounts", f"state/{Path(sweep.state_dir).name}")]
    assert {*hidden, "/proc", "/dev/pts", "/dev/shm", "/etc/of-the-job/volume", f"{sweep.places}/own"} <= {*seen}, seen


@pytest.mark.parametrize("role", [DRIVER, EXECUTOR], ids=["driver", "executor"])
def test_every_call_of_a_start_fails_once(sweep: Rooted, role: int) -> None:
    sweep.run_all(role)
    sweep.no_namespace_left()


def test_every_interrupted_call_of_a_start_goes_well(sweep: Rooted) -> None:
    sweep.run_all(interrupted=True, minimum=40)
    sweep.no_namespace_left()
