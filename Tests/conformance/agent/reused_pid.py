"""Scenarios in which a pid is reused by another process. Runs as a program in a PID namespace of its own, whose next pid
can be chosen; the argument names the scenario. The exit status is 0 if no other process was signalled and every answer
was right."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Callable

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# gRPC would start its threads again at each fork, and these would take the chosen pids.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

from agent import AgentHost, ExitResult, Plugin, Task, processes
from agent.restart import LOST, kill_executor, lost_result, recover
from agent.state import directory_of, handle_state
from agent.timing import wait_until

_NEXT = Path("/proc/sys/kernel/ns_last_pid")


# The exit status if the scenario could not be set up.
TAKEN = 75


class PidTaken(Exception):
    """A thread that was just started has the pid, and keeps it."""


class OtherProcess:
    """Another process with the pid `pid`, which any signal ends."""

    def __init__(self, pid: int):
        # Its start time must differ by more than one clock tick.
        time.sleep(0.05)
        wait_until(lambda: processes.look(pid) is None or self._is_thread(pid), 5, f"pid {pid} free")
        if self._is_thread(pid):
            raise PidTaken(pid)
        for _ in range(20):
            _NEXT.write_text(str(pid - 1))
            child = os.fork()
            if child != 0:
                # New threads must not take the adjacent pids.
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
                wait_until(lambda: os.getsid(pid) == pid, 5, "the other process in a session of its own")
                self.pid = pid
                return
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        raise PidTaken(pid)

    @staticmethod
    def _is_thread(pid: int) -> bool:
        return processes.look(pid) is not None and int(processes.status(pid, "Tgid")) != pid

    def unharmed(self) -> None:
        """Checks that it lives, is not stopped and has no pending signal; then ends it."""
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
    others = [OtherProcess(main), OtherProcess(executor)]
    second = next_driver(host, first)
    recover(second, task)
    assert lost_result(task, "supervisor") == LOST
    task.stop(timeout=0.1)
    task.destroy(force=True)
    assert os.listdir(second.state_dir) == []
    for other_process in others:
        other_process.unharmed()


def recorded_end(host: AgentHost) -> None:
    """The same, after the task has ended and its end is in the record."""
    first = host.launch()
    task = paused(host, first, "sleep=200", "exit=19")
    executor, main = task.executor_pid, task.pid
    first.kill()
    wait_until(lambda: (directory_of(task) / "exit").exists(), 10, "the exit record")
    others = [OtherProcess(main), OtherProcess(executor)]
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
    for other_process in others:
        other_process.unharmed()


def without_a_handle(host: AgentHost) -> None:
    """StopTask and DestroyTask by the identity in the state directory."""
    first = host.launch()
    tasks = [paused(host, first) for _ in range(2)]
    executors = [task.executor_pid for task in tasks]
    first.kill()
    for executor in executors:
        kill_executor(executor)
    others = [OtherProcess(executor) for executor in reversed(executors)]
    second = next_driver(host, first)
    for task in tasks:
        task.plugin = second
    tasks[0].stop(timeout=0.1)
    assert lost_result(tasks[0], "supervisor") == LOST
    tasks[0].destroy(force=True)
    tasks[1].destroy(force=True)
    assert os.listdir(second.state_dir) == []
    for other_process in others:
        other_process.unharmed()


def broken_pipes(host: AgentHost) -> None:
    """Without the pipes to reach it, the driver would kill the Executor."""
    first = host.launch()
    task = paused(host, first)
    executor = task.executor_pid
    first.kill()
    kill_executor(executor)
    (directory_of(task) / "control").unlink()
    (directory_of(task) / "control").touch()
    other_process = OtherProcess(executor)
    task.plugin = next_driver(host, first)
    task.stop(timeout=0.1)
    task.destroy(force=True)
    other_process.unharmed()


def same_id_again(host: AgentHost) -> None:
    """The other process is not taken for the running task."""
    first = host.launch()
    task = paused(host, first)
    executor = task.executor_pid
    first.kill()
    kill_executor(executor)
    other_process = OtherProcess(executor)
    task.plugin = next_driver(host, first)
    task.stdout.come_back()
    task.stderr.come_back()
    task.start()
    assert task.executor_pid != executor
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)
    task.destroy()
    other_process.unharmed()


def sweep_and_start_afresh(host: AgentHost) -> None:
    """A task that is ended because the host does not know it, or because another one takes its cgroup."""
    first = host.launch({"orphan_grace": 0})
    task = paused(host, first)
    executor = task.executor_pid
    first.kill()
    kill_executor(executor)
    other_process = OtherProcess(executor)
    second = next_driver(host, first, orphan_grace=1)
    other = host.task(second, host.program("act"), ["exit=4"])
    other.request.task.resources.linux_resources.cpuset_cgroup = str(task.scope)
    assert other.start().wait() == ExitResult(4)
    other.destroy()
    wait_until(lambda: os.listdir(second.state_dir) == [], 10, "the directory removed")
    task.plugin = second
    other_process.unharmed()


def under_a_living_driver(host: AgentHost) -> None:
    """In the driver that has spawned the Executor."""
    plugin = host.launch()
    task = paused(host, plugin)
    executor, main = task.executor_pid, task.pid
    kill_executor(executor)
    assert lost_result(task, "supervisor") == LOST
    others = [OtherProcess(main), OtherProcess(executor)]
    task.stop(timeout=0.1)
    task.destroy(force=True)
    for other_process in others:
        other_process.unharmed()


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
    others = [OtherProcess(main), OtherProcess(executor)]
    task.stop(timeout=0.1)
    task.destroy(force=True)
    for other_process in others:
        other_process.unharmed()


SCENARIOS: dict[str, Callable[[AgentHost], None]] = {
    scenario.__name__: scenario
    for scenario in (
        killed_executor, recorded_end, without_a_handle, broken_pipes, same_id_again, sweep_and_start_afresh,
        under_a_living_driver, recovered_and_then_reused)
}


def main() -> int:
    assert os.getpid() < 100, "not in a PID namespace of its own"
    host = AgentHost()
    try:
        SCENARIOS[sys.argv[1]](host)
    except PidTaken as taken:
        print(f"pid {taken} could not be had again", flush=True)
        # Everything else ends with the namespace; cgroups, mounts and directories do not.
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
