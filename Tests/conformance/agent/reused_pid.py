"""Scenes in which a pid has come to mean another process. Run as a program in a
PID namespace of its own, whose next pid can be chosen; the argument names the
scene. Ends with 0 when no stranger was harmed and every answer was right."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Callable

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Its threads, made anew at each fork, would take the pids that strangers are to have.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

from agent import AgentHost, ExitResult, Plugin, Task, processes
from agent.restart import LOST, kill_executor, lost_result, recover
from agent.state import directory_of, handle_state
from agent.timing import wait_until

_NEXT = Path("/proc/sys/kernel/ns_last_pid")


# The scene could not be set.
TAKEN = 75


class PidTaken(Exception):
    """A thread that came just then has the pid, and keeps it."""


class Stranger:
    """A process that has `pid` and dies of any signal."""

    def __init__(self, pid: int):
        # Later by more than the tick of the start times.
        time.sleep(0.05)
        wait_until(lambda: processes.look(pid) is None or self._is_thread(pid), 5, f"pid {pid} free")
        if self._is_thread(pid):
            raise PidTaken(pid)
        for _ in range(20):
            _NEXT.write_text(str(pid - 1))
            child = os.fork()
            if child != 0:
                # The pids beside it are not for threads that come meanwhile.
                _NEXT.write_text("20000")
            if child == 0:
                for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                    try:
                        signal.signal(number, signal.SIG_DFL)
                    except OSError:
                        pass
                os.setsid()
                while True:
                    signal.pause()
            if child == pid:
                wait_until(lambda: os.getsid(pid) == pid, 5, "the stranger in a session of its own")
                self.pid = pid
                return
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        raise PidTaken(pid)

    @staticmethod
    def _is_thread(pid: int) -> bool:
        return processes.look(pid) is not None and int(processes.status(pid, "Tgid")) != pid

    def unharmed(self) -> None:
        """It lives, is not stopped, and has no signal pending; then it ends."""
        time.sleep(0.05)
        process = processes.look(self.pid)
        assert process is not None and process.state == "S", process
        for field in ("SigPnd", "ShdPnd"):
            assert int(processes.status(self.pid, field), 16) == 0
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def paused(host: AgentHost, plugin: Plugin, *verbs: str) -> Task:
    task = host.task(plugin, host.program("act"), verbs or ["out=up", "pause="]).start()
    if not verbs:
        task.stdout.wait_for("up")
    return task


def next_driver(host: AgentHost, plugin: Plugin, **config: object) -> Plugin:
    return host.launch({**plugin.config, **config})


def killed_executor(host: AgentHost) -> None:
    """RecoverTask, StopTask and DestroyTask by the handle."""
    first = host.launch()
    task = paused(host, first)
    executor, main = task.executor_pid, task.pid
    first.kill()
    kill_executor(executor)
    strangers = [Stranger(main), Stranger(executor)]
    second = next_driver(host, first)
    recover(second, task)
    assert lost_result(task, "supervisor") == LOST
    task.stop(timeout=0.1)
    task.destroy(force=True)
    assert os.listdir(second.state_dir) == []
    for stranger in strangers:
        stranger.unharmed()


def recorded_end(host: AgentHost) -> None:
    """The same, where the task had ended and the record tells how."""
    first = host.launch()
    task = paused(host, first, "sleep=200", "exit=19")
    executor, main = task.executor_pid, task.pid
    first.kill()
    wait_until(lambda: (directory_of(task) / "exit").exists(), 10, "the exit record")
    strangers = [Stranger(main), Stranger(executor)]
    second = next_driver(host, first)
    recover(second, task)
    assert task.wait() == ExitResult(19)
    try:
        task.signal("SIGKILL")
        raise AssertionError("an ended task was signalled")
    except Exception as error:
        assert "has ended" in str(error), error
    task.stop(timeout=0.1)
    task.destroy(force=True)
    for stranger in strangers:
        stranger.unharmed()


def without_a_handle(host: AgentHost) -> None:
    """StopTask and DestroyTask by the identity in the state directory."""
    first = host.launch()
    tasks = [paused(host, first) for _ in range(2)]
    executors = [task.executor_pid for task in tasks]
    first.kill()
    for executor in executors:
        kill_executor(executor)
    strangers = [Stranger(executor) for executor in reversed(executors)]
    second = next_driver(host, first)
    for task in tasks:
        task.plugin = second
    tasks[0].stop(timeout=0.1)
    assert lost_result(tasks[0], "supervisor") == LOST
    tasks[0].destroy(force=True)
    tasks[1].destroy(force=True)
    assert os.listdir(second.state_dir) == []
    for stranger in strangers:
        stranger.unharmed()


def broken_pipes(host: AgentHost) -> None:
    """Where an Executor that cannot be reached would be killed."""
    first = host.launch()
    task = paused(host, first)
    executor = task.executor_pid
    first.kill()
    kill_executor(executor)
    (directory_of(task) / "control").unlink()
    (directory_of(task) / "control").touch()
    stranger = Stranger(executor)
    task.plugin = next_driver(host, first)
    task.stop(timeout=0.1)
    task.destroy(force=True)
    stranger.unharmed()


def same_id_again(host: AgentHost) -> None:
    """A stranger is not taken for the task that still runs."""
    first = host.launch()
    task = paused(host, first)
    executor = task.executor_pid
    first.kill()
    kill_executor(executor)
    stranger = Stranger(executor)
    task.plugin = next_driver(host, first)
    task.stdout.come_back()
    task.stderr.come_back()
    task.start()
    assert task.executor_pid != executor
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)
    task.destroy()
    stranger.unharmed()


def sweep_and_start_afresh(host: AgentHost) -> None:
    """What is ended since the host does not know it, or since another takes its cgroup."""
    first = host.launch({"orphan_grace": 0})
    task = paused(host, first)
    executor = task.executor_pid
    first.kill()
    kill_executor(executor)
    stranger = Stranger(executor)
    second = next_driver(host, first, orphan_grace=1)
    other = host.task(second, host.program("act"), ["exit=4"])
    other.request.task.resources.linux_resources.cpuset_cgroup = str(task.scope)
    assert other.start().wait() == ExitResult(4)
    other.destroy()
    wait_until(lambda: os.listdir(second.state_dir) == [], 10, "the directory removed")
    task.plugin = second
    stranger.unharmed()


def under_a_living_driver(host: AgentHost) -> None:
    """The driver that had the Executor, too."""
    plugin = host.launch()
    task = paused(host, plugin)
    executor, main = task.executor_pid, task.pid
    kill_executor(executor)
    assert lost_result(task, "supervisor") == LOST
    strangers = [Stranger(main), Stranger(executor)]
    task.stop(timeout=0.1)
    task.destroy(force=True)
    for stranger in strangers:
        stranger.unharmed()


def recovered_and_then_reused(host: AgentHost) -> None:
    """The pid is reused after the recovery, while the driver knows the task."""
    first = host.launch()
    task = paused(host, first)
    executor, main = task.executor_pid, task.pid
    first.kill()
    second = next_driver(host, first)
    recover(second, task)
    assert handle_state(task).executor_pid == executor
    kill_executor(executor)
    assert lost_result(task, "supervisor") == LOST
    strangers = [Stranger(main), Stranger(executor)]
    task.stop(timeout=0.1)
    task.destroy(force=True)
    for stranger in strangers:
        stranger.unharmed()


SCENES: dict[str, Callable[[AgentHost], None]] = {
    scene.__name__: scene
    for scene in (
        killed_executor, recorded_end, without_a_handle, broken_pipes, same_id_again, sweep_and_start_afresh,
        under_a_living_driver, recovered_and_then_reused)
}


def main() -> int:
    assert os.getpid() < 100, "not in a PID namespace of its own"
    host = AgentHost()
    try:
        SCENES[sys.argv[1]](host)
    except PidTaken as taken:
        print(f"pid {taken} could not be had again", flush=True)
        # The namespace's end takes everything along but for cgroups, mounts and directories.
        host.close()
        return TAKEN
    except BaseException:
        host.close()
        raise
    faults = host.close()
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
