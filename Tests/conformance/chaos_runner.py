"""One task of the chaos test, followed by the host through every kill of the Driver."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from agent import ExitResult, Task, cgroups, messages
from agent.timing import scaled
from chaos_driver import Driver, Fault, Interrupted
from chaos_tasks import Plan

if TYPE_CHECKING:
    from chaos import Chaos

# Any call, on a machine that is busy.
CALL_SECONDS = 90.0


class Digest:
    """Takes a log's bytes."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.has_begun = threading.Event()

    def __call__(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self.has_begun.set()

    @property
    def text(self) -> str:
        return self._hash.hexdigest()


class Runner(threading.Thread):
    """Starts a task and sees it through to its end."""

    def __init__(self, chaos: "Chaos", number: int, plan: Plan, chance: random.Random):
        super().__init__(name=f"task {number}", daemon=True)
        self.chaos, self.number, self.plan, self.chance = chaos, number, plan, chance
        self.doing = "has not begun"
        self.is_done = False
        self._id = "not started"
        self._task: Task | None = None
        self._was_signalled = False
        # Starts in the same allocation that were never answered: their ids.
        self._before: list[str] = []
        self._held: list[int] = []
        self._facts: tuple[str, Any] | None = None
        self._acted = False
        self._act_at = 0.0

    @property
    def title(self) -> str:
        """For faults."""
        return f"task {self.number} ({self.plan.kind}: {' '.join(self.plan.verbs)}; {self._id})"

    def run(self) -> None:
        try:
            time.sleep(self.chance.uniform(0, 0.4))
            driver = self._start()
            self._finish(*self._wait(driver))
            self.is_done = True
        except (Fault, AssertionError) as error:
            self.chaos.faults.append(f"{self.title}: {error}")
        except Exception:
            self.chaos.faults.append(f"{self.title}: {traceback.format_exc()}")
        finally:
            self._let_go_of_logs()
            # It holds on to a Driver.
            self._task = None

    @staticmethod
    def runs(task: Task, task_id: str) -> int:
        """How many times the program ran under this id, of those that the task had."""
        path = Runner._log_of_runs(task, task_id)
        return len(path.read_text().splitlines()) if path.exists() else 0

    @staticmethod
    def _log_of_runs(task: Task, task_id: str) -> Path:
        return task.local / f"ran-{task_id[-8:]}"

    # Start

    def _make(self, driver: Driver) -> Task:
        self._digests = (Digest(), Digest())
        task = self.chaos.host.task(
            driver.plugin, self.chaos.host.program("act"), log_sink=self._digests[0], error_sink=self._digests[1],
            **self.plan.options)
        self._hold_logs(task)
        return task

    def _start(self) -> Driver:
        """Starts the task, with a new id as long as no answer comes: in the same allocation, with the
        same cgroup and logs, as a task that is restarted, or in a new one, as one that is moved."""
        task = None
        while True:
            self.doing = "waits for a Driver"
            driver = self.chaos.living()
            if task is None:
                task = self._task = self._make(driver)
            task.plugin = driver.plugin
            task.config["args"] = [f"append={self._log_of_runs(task, task.id)}", *self.plan.verbs]
            task.set_config(task.config)
            self._id = task.id
            self.doing = "starts"
            try:
                with driver.call("StartTask"):
                    task.start(CALL_SECONDS)
                self._let_go_of_logs()
                return driver
            except Interrupted:
                self.chaos.note_lost(task.id)
                if self.chance.random() < 0.5:
                    self.chaos.lost.append((task, [*self._before, task.id]))
                    self._before, task = [], None
                    self._let_go_of_logs()
                else:
                    self._before.append(task.id)
                    task.id = f"{task.alloc_id}/{task.name}/{self.chance.randrange(1 << 32):08x}"
                    task.request.task.id = task.id

    def _hold_logs(self, task: Task) -> None:
        """The end of a start that was not answered must not end the logs of the next."""
        self._held = [os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC) for path in (task.stdout_path, task.stderr_path)]

    def _let_go_of_logs(self) -> None:
        for number in self._held:
            os.close(number)
        self._held = []

    # Run

    @property
    def task(self) -> Task:
        assert self._task is not None
        return self._task

    def _wait(self, driver: Driver) -> tuple[Driver, ExitResult]:
        """Waits for the task's end, over as many Drivers as it takes, and acts on the task meanwhile."""
        while True:
            try:
                self._inspect(driver)
                self.doing = "waits"
                with driver.call("WaitTask"):
                    wait = self.task.wait_soon(CALL_SECONDS)
                    try:
                        self._act(driver, wait)
                    finally:
                        answer = wait.result()
                return driver, Task.result_of(answer)
            except Interrupted:
                driver = self._recover()

    def _recover(self, *, may_be_gone: bool = False) -> Driver:
        """Has a Driver recover the task. With `may_be_gone`, one that finds nothing of it is right."""
        while True:
            self.doing = "waits for a Driver to be recovered by"
            driver = self.chaos.living()
            self.task.plugin = driver.plugin
            request = messages.driver.RecoverTaskRequest(task_id=self.task.id, handle=self.task.handle)
            try:
                self.doing = "is recovered"
                for _ in range(2 if self.chance.random() < 0.1 else 1):
                    with driver.call("RecoverTask"):
                        driver.plugin.driver.RecoverTask(request, timeout=scaled(CALL_SECONDS))
                return driver
            except Interrupted:
                continue
            except Fault as fault:
                if not (may_be_gone and "NOT_FOUND" in str(fault)):
                    raise
                return driver

    def _inspect(self, driver: Driver) -> None:
        """The task's pid and start are the same for every Driver."""
        if self.chance.random() < 0.5:
            return
        self.doing = "is inspected"
        with driver.call("InspectTask"):
            answer = self.task.inspect()
        facts = (answer.driver.attributes["pid"], answer.task.started_at)
        if self._facts is not None and facts != self._facts:
            raise Fault(f"InspectTask told pid and start {self._facts} before and tells {facts} now")
        self._facts = facts

    def _act(self, driver: Driver, wait: grpc.Future) -> None:
        """Stops or signals the task when it is ready and its time has come."""
        if not self.plan.action or self._acted:
            return
        self.doing = "waits until the task is ready"
        ready = self._digests[0].has_begun
        while not (ready.wait(0.02) or wait.done()):
            pass
        if self._act_at == 0:
            self._act_at = time.monotonic() + self.plan.delay
        while time.monotonic() < self._act_at and not wait.done():
            time.sleep(0.01)
        if wait.done():
            return
        self.doing = f"is to be {self.plan.action}ed"
        if self.plan.action == "stop":
            with driver.call("StopTask"):
                self.task.stop_soon(scaled(self.plan.timeout), self.plan.signal, CALL_SECONDS).result()
            if cgroups.populated(self.task.scope):
                raise Fault(f"StopTask returned while {cgroups.processes(self.task.scope)} still ran")
        else:
            self._signal(driver)
        self._acted = True

    def _signal(self, driver: Driver) -> None:
        # One whose answer was lost may have been delivered, and have ended the task.
        may_have_ended = self._was_signalled
        try:
            for _ in range(self.chance.randrange(40)):
                # Ignored by default: many signals are under way for a while.
                with driver.call("SignalTask"):
                    self.task.signal("SIGWINCH")
                time.sleep(0.005)
            self._was_signalled = True
            with driver.call("SignalTask"):
                self.task.signal(self.plan.signal)
        except Fault as fault:
            if not (may_have_ended and "is not running" in str(fault)):
                raise

    # End

    def _finish(self, driver: Driver, result: ExitResult) -> None:
        while True:
            try:
                self.doing = "is destroyed"
                with driver.call("DestroyTask"):
                    self.task.destroy(force=self.chance.random() < 0.5)
                break
            except Interrupted:
                # It is known by its id alone, too. A destroy whose answer was lost may have been done.
                driver = self._recover(may_be_gone=True) if self.chance.random() < 0.5 else self.chaos.living()
                self.task.plugin = driver.plugin
        self.doing = "is checked"
        task = self.task
        task.stdout.wait_end()
        task.stderr.wait_end()
        wrong = []
        if result != self.plan.result:
            wrong.append(f"ended as {result} instead of {self.plan.result}")
        got = (self._digests[0].text, self._digests[1].text)
        # What an earlier start wrote to the same logs cannot be told apart.
        if got != self.plan.output and not any(self.runs(task, other) for other in self._before):
            wrong.append(f"output is not what was written: {task.stdout.received} and {task.stderr.received} bytes")
        if self.runs(task, task.id) != 1:
            wrong.append(f"ran {self.runs(task, task.id)} times")
        wrong += self.chaos.faults_of_lost(task, self._before)
        wrong += task.clean()
        self.chaos.host.tasks.remove(task)
        shutil.rmtree(task.directory)
        shutil.rmtree(task.alloc_dir)
        if wrong:
            raise Fault("; ".join(wrong))
