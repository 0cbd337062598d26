"""The client across its own restarts: what it keeps of each task, which calls it makes to the next plugin, and how it
interprets the answers (as seen with Nomad 2.0.5)."""

from __future__ import annotations

import shutil
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import grpc

from agent import cgroups, messages
from agent.plugin import Plugin
from agent.restart import recover_soon, with_state
from agent.state import handle_state
from agent.task import ExitResult, Task

if TYPE_CHECKING:
    from agent.host import AgentHost

# The outcomes of a restart for a task.
WAITED_FOR = "recovered, and waited for again"
NOTHING_SAID = "not recovered, as is expected of what had ended"
STARTED_AGAIN = "not recovered although it had run: destroyed and started again, uncounted"

# Longer than any test.
_FOR_EVER = 3600


class Client:
    """The tasks of one client. It waits for each of them, receives the plugin's events, and after a restart recovers every
    task whose handle it has, of ended allocations too: their handles are kept until they are collected."""

    def __init__(self, host: "AgentHost", launch: Callable[..., Plugin], config: dict[str, Any] | None = None):
        self._host, self._launch = host, launch
        self.plugin = launch(config)
        self.tasks: list[Task] = []
        # Events of tasks without a handler; the agent logs each as a fault.
        self.stray_events: list[str] = []
        self._waiting: dict[Task, grpc.Future] = {}
        self._ended: set[Task] = set()
        self._handled: set[str] = set()
        self._follow_events()

    def start(self, command: str | Path, *arguments: str, **options: Any) -> Task:
        """Starts a task and waits for it in the background."""
        task = self._host.task(self.plugin, command, arguments, **options)
        self.tasks.append(task)
        self._begin(task)
        return task

    def end_of(self, task: Task) -> ExitResult:
        """Waits for the task's end and returns its result; the client then destroys the task and keeps its handle."""
        result = Task.result_of(self._waiting.pop(task).result())
        self._ended.add(task)
        task.destroy(force=True)
        self._handled.discard(task.id)
        return result

    # Restarts

    def leave(self, *, kill: bool) -> None:
        """Stops the agent and its plugin, or kills both."""
        if kill:
            self.plugin.kill()
        else:
            self.plugin.controller.Shutdown(messages.goplugin.Empty(), timeout=_FOR_EVER)
            self.plugin.wait_exit()

    def come_back(self) -> dict[Task, str]:
        """Starts the next agent with the next plugin: the outcome for each task."""
        self.plugin = self._launch(self.plugin.config)
        return self._restore()

    def reattach(self, meanwhile: Callable[[], None] = lambda: None) -> dict[Task, str]:
        """The next agent after a kill that left the plugin running: it reattaches to the plugin by pid and socket."""
        if not self.plugin.is_abandoned:
            self.plugin.abandon()
        self.plugin.channel.close()
        meanwhile()
        self.plugin.connect()
        self.plugin.ping()
        self.plugin.begin(self.plugin.config)
        return self._restore()

    def reboot(self) -> dict[Task, str]:
        """Simulates a reboot of the host, as far as that is possible: removes every process, everything below /run, the
        cgroups, and the bind mounts of the tasks' directories, which the client does not repeat."""
        self.plugin.end()
        shutil.rmtree(self.plugin.state_dir)
        boot = str(uuid.uuid4())
        for task in self.tasks:
            task.forget_mounts()
            cgroups.remove(task.scope)
            state = handle_state(task)
            state.boot_id = boot
            task.handle = with_state(task, state)
        return self.come_back()

    def _restore(self) -> dict[Task, str]:
        self._waiting = {}
        self._handled = set()
        self._follow_events()
        return {task: self._recovered(task) for task in self.tasks}

    def _recovered(self, task: Task) -> str:
        try:
            recover_soon(self.plugin, task).result()
        except grpc.RpcError:
            if task in self._ended:
                return NOTHING_SAID
            task.destroy(force=True)
            task.begin_again()
            self._begin(task)
            return STARTED_AGAIN
        self._ended.discard(task)
        self._wait(task)
        return WAITED_FOR

    def _begin(self, task: Task) -> None:
        # If the command is not found, the event may come before the answer.
        self._handled.add(task.id)
        task.start()
        self._wait(task)

    def _wait(self, task: Task) -> None:
        self._handled.add(task.id)
        self._waiting[task] = task.wait_soon(_FOR_EVER)

    # Events

    def _follow_events(self) -> None:
        stream = self.plugin.driver.TaskEvents(messages.driver.TaskEventsRequest())

        def follow() -> None:
            try:
                for event in stream:
                    if event.task_id not in self._handled:
                        self.stray_events.append(f"{event.task_id}: {event.message}")
            except grpc.RpcError:  # the plugin has ended
                pass

        threading.Thread(target=follow, daemon=True).start()
