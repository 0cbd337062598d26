"""The chaos test: tasks of every kind run while the Driver is killed with SIGKILL and restarted again and again.

The host does what the agent does: after each kill it launches the plugin again, recovers every task by its handle and
waits for it. A task whose StartTask was not answered is started again with a new id. At the end every reported result
must be right, every task must have run exactly once, all output must be complete and in order, and nothing may be left.

  python chaos.py [--kills N] [--tasks N]     EXEC2_CHAOS_SEED=N repeats the choices of a run
"""

from __future__ import annotations

import argparse
import collections
import gc
import math
import os
import random
import sys
import threading
import time
from pathlib import Path

from agent import AgentHost, Task, cgroups, mounts, processes
from agent.timing import scaled, wait_until
from chaos_driver import METHODS, Driver
from chaos_runner import Runner
from chaos_tasks import plan

# How many tasks run at the same time.
MOST_TASKS = 40
# The plugin option orphan_grace, in seconds.
GRACE = math.ceil(scaled(3))
# How long a kill waits for a certain call to be in flight, at most.
TARGET_SECONDS = 0.4


def chosen_seed() -> int:
    """EXEC2_CHAOS_SEED, or the default."""
    return int(os.environ.get("EXEC2_CHAOS_SEED", "20261124"))


class Chaos:
    """One run. `faults` has a sentence for each failure."""

    def __init__(self, kills: int, tasks: int, seed: int):
        print(f"chaos: seed {seed}, {kills} kills of the Driver, {tasks} tasks", flush=True)
        self.kills, self.count, self.seed = kills, tasks, seed
        self.chance = random.Random(f"{seed} kills")
        self.descriptors_before = len(processes.descriptors(os.getpid()))
        self.mounts_before = mounts.below(Path("/"))
        self.host = AgentHost()
        self.state_dir = self.host.make_state_dir()
        self.sockets = self.host.root / "sockets"
        self.sockets.mkdir()
        self.with_oom = cgroups.has_controllers()
        self.runners = [
            Runner(self, number, plan(number, seed, self.with_oom), random.Random(f"{seed} runner {number}"))
            for number in range(tasks)]
        self.faults: list[str] = []
        self.statistics: collections.Counter[str] = collections.Counter()
        # State directories that nobody but the sweep removes.
        self.unanswered: set[str] = set()
        self.lost: list[tuple[Task, list[str]]] = []
        self.driver: Driver | None = None
        self._drivers: list[Driver] = []
        self._changed = threading.Condition()

    # For runners

    def living(self) -> Driver:
        """The running Driver, or the next one."""
        with self._changed:
            found = self._changed.wait_for(lambda: self.driver is not None and not self.driver.was_killed, scaled(60))
        assert found and self.driver is not None, "no Driver has started"
        return self.driver

    # The run

    def run(self) -> None:
        began = time.monotonic()
        started: list[Runner] = []
        for kill in range(self.kills):
            self._launch()
            due = min(self.count, (kill + 1) * self.count // self.kills + 1)
            while len(started) < due and sum(runner.is_alive() for runner in started) < MOST_TASKS:
                started.append(self.runners[len(started)])
                started[-1].start()
            self._kill(kill)
            self._retire()
            if len(self.faults) > 20:
                break
        killed = time.monotonic()
        self._launch()
        for runner in self.runners[len(started):] if len(self.faults) <= 20 else []:
            while sum(other.is_alive() for other in started) >= MOST_TASKS:
                time.sleep(0.01)
            runner.start()
            started.append(runner)
        for runner in started:
            runner.join(scaled(60))
            if runner.is_alive():
                self.faults.append(f"{runner.title}: hangs ({runner.doing})")
        ended = time.monotonic()
        self._check_lost()
        self._check_nothing_left()
        self._check_own_descriptors()
        self._report(killed - began, ended - killed, time.monotonic() - ended)

    def _launch(self) -> None:
        environment = {"PLUGIN_UNIX_SOCKET_DIR": str(self.sockets)}
        plugin = self.host.launch(
            {"state_dir": str(self.state_dir), "orphan_grace": GRACE}, environment=environment)
        driver = Driver(plugin, self.statistics)
        self._drivers.append(driver)
        with self._changed:
            self.driver = driver
            self._changed.notify_all()

    def _kill(self, number: int) -> None:
        """Kills the Driver at a random moment, mostly while a certain call is in flight."""
        assert self.driver is not None
        driver = self.driver
        if number == self.kills // 2 and self.kills >= 50:
            # One Driver lives until it has swept the tasks that the host does not know.
            time.sleep(GRACE + scaled(1))
        target = self._target()
        if target == "RecoverTask":
            driver.wait_in_flight(target, TARGET_SECONDS / 4)
        else:
            time.sleep(self.chance.uniform(0, 0.3))
            if target != "any moment":
                driver.wait_in_flight(target, TARGET_SECONDS)
        time.sleep(self.chance.choice([0, 0, self.chance.uniform(0, 0.004), self.chance.uniform(0, 0.02)]))
        driver.kill()

    def _target(self) -> str:
        """The call to interrupt: mostly the one that was interrupted least often."""
        if self.chance.random() < 0.4:
            return self.chance.choice([*METHODS, "any moment"])
        self.chance.shuffle(order := list(METHODS))
        return min(order, key=lambda method: self.statistics[f"{method} cut off by a kill"])

    def _retire(self) -> None:
        """Drops dead Drivers without calls in flight and without Executors."""
        for driver in list(self._drivers):
            if driver.was_killed and driver.is_deserted:
                driver.plugin.end()
                self.faults += driver.plugin.violations
                self.host.plugins.remove(driver.plugin)
                self._drivers.remove(driver)

    # The end

    def note_lost(self, task_id: str) -> None:
        """Notes a start that was not answered."""
        with self._changed:
            self.unanswered.add(task_id.replace("/", "+"))
            self.statistics["starts whose answer was lost"] += 1

    def faults_of_lost(self, task: Task, ids: list[str]) -> list[str]:
        """What is wrong with one allocation's unanswered starts: a program ran more than once, or state is left."""
        faults = []
        for task_id in ids:
            runs = Runner.runs(task, task_id)
            with self._changed:
                self.statistics["unanswered starts that ran"] += runs > 0
            if runs > 1:
                faults.append(f"{task_id}, whose start was never answered, ran {runs} times")
        return faults

    def _check_lost(self) -> None:
        """An unanswered start that was not repeated in the same allocation does not run for ever."""
        deadline = time.monotonic() + GRACE + scaled(10)

        def left() -> tuple[list[int], list[str]]:
            running = [pid for task, _ in self.lost for pid in cgroups.processes(task.scope)]
            # A Driver that dies while it makes a directory leaves it under its temporary name.
            return running, [
                name for name in os.listdir(self.state_dir) if name in self.unanswered or name.startswith(".new+")]

        while any(left()) and time.monotonic() < deadline:
            time.sleep(0.02)
        if any(left()):
            self.faults.append(f"starts that were never answered have left processes and state directories: {left()}")
        for task, ids in self.lost:
            self.faults += self.faults_of_lost(task, ids)
            self.faults += task.clean()
            self.host.tasks.remove(task)

    def _check_nothing_left(self) -> None:
        assert self.driver is not None
        plugin = self.driver.plugin
        # The standby Executor ends, and with it the Executors' cgroup.
        plugin.set_config({**plugin.config, "standby_executor": False})
        fresh = self.host.launch({"orphan_grace": GRACE}, environment={"PLUGIN_UNIX_SOCKET_DIR": str(self.sockets)})
        try:
            # The first task has made the template of tasks' roots, of which a namespace and its table of mounts are held, the first
            # log an inotify descriptor, and the first Executor a mount of /dev/null; the new one has had none of them.
            plugin.settle(len(processes.descriptors(fresh.pid)) + 4)
        except AssertionError as error:
            self.faults.append(str(error))
        self.faults += [f"state directory left: {name}" for name in os.listdir(self.state_dir)]
        self.faults += [f"process left: {pid} in {directory}" for pid, directory in self.host.slice.members().items()]
        directories = {directory for directory, _, _ in os.walk(self.host.slice.root)}
        expected = {str(self.host.slice.root), str(self.host.slice.share)}
        self.faults += [f"cgroup left: {directory}" for directory in directories - expected]
        for driver in self._drivers:
            if driver is self.driver:
                continue
            try:
                wait_until(lambda: driver.is_deserted, 5, f"processes that a dead Driver had started have ended: "
                           f"{processes.descendants(driver.plugin.subreaper_pid)}")
            except AssertionError as error:
                self.faults.append(str(error))
        self._retire()
        below = processes.descendants(plugin.subreaper_pid)
        self.faults += [f"process left: {process}" for process in below if process.pid != plugin.pid]
        if not plugin.is_running:
            self.faults.append("the last Driver has ended by itself")
        self.faults += self.host.close()
        self._drivers, self.driver, self.lost = [], None, []
        left = sorted(set(mounts.below(Path("/"))) - set(self.mounts_before))
        self.faults += [f"mount left: {point}" for point in left]

    def _check_own_descriptors(self) -> None:
        def closed() -> bool:
            gc.collect()
            # gRPC keeps a few descriptors for its own threads from the first connection on.
            return len(processes.descriptors(os.getpid())) <= self.descriptors_before + 12

        try:
            wait_until(closed, 5, "the host's own descriptors closed")
        except AssertionError:
            self.faults.append(f"the host had {self.descriptors_before} descriptors and has now: "
                               f"{processes.descriptors(os.getpid())}")

    def _report(self, killing: float, finishing: float, checking: float) -> None:
        kinds = collections.Counter(runner.plan.kind for runner in self.runners if runner.is_done)
        print(f"chaos: {sum(kinds.values())} tasks ended: " + ", ".join(f"{number} {kind}" for kind, number in kinds.items()))
        if not self.with_oom:
            print("chaos: no task ran out of memory: this host's cgroup v2 has no memory controller")
        for name, number in sorted(self.statistics.items(), key=lambda entry: entry[0].lower()):
            print(f"chaos: {number:6} {name}")
        print(f"chaos: {killing:.1f} s of kills, {finishing:.1f} s until the last task's end, {checking:.1f} s of checks "
              f"for what is left; {len(self.faults)} faults", flush=True)


def run(kills: int, tasks: int) -> Chaos:
    """One run with the seed of the environment."""
    chaos = Chaos(kills, tasks, chosen_seed())
    chaos.run()
    return chaos


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=int(os.environ.get("EXEC2_CHAOS_KILLS", "1000")))
    parser.add_argument("--tasks", type=int, default=int(os.environ.get("EXEC2_CHAOS_TASKS", "0")),
                        help="default: as many as kills, and at least 200")
    options = parser.parse_args()
    faults = run(options.kills, options.tasks or max(200, options.kills)).faults
    for fault in faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
