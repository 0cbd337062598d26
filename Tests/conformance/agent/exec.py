"""Commands in running tasks: `alloc exec`, actions, script checks."""

from __future__ import annotations

import queue
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

import grpc

from agent import messages
from agent.timing import scaled, wait_until

if TYPE_CHECKING:
    from agent.plugin import Plugin
    from agent.task import Task

Driver = messages.driver
Request = Driver.ExecTaskStreamingRequest


def exec_task(task: "Task", *command: str | Path, timeout: float = 0, seconds: float = 30) -> Any:
    """ExecTask: the answer, with stdout, stderr and result."""
    request = Driver.ExecTaskRequest(task_id=task.id, command=[str(word) for word in command])
    if timeout:
        request.timeout.FromNanoseconds(int(timeout * 1e9))
    return task.plugin.driver.ExecTask(request, timeout=scaled(seconds))


def output(task: "Task", *command: str | Path, code: int = 0) -> str:
    """What a command that ends with `code` prints to stdout."""
    answer = exec_task(task, *command)
    assert (answer.result.exit_code, answer.stderr if code == 0 else b"") == (code, b""), answer
    return answer.stdout.decode()


class Session:
    """One ExecTaskStreaming. A thread reads the answers; with `reads` false only
    from `read` on, like a slow client."""

    def __init__(
        self, plugin: "Plugin", task_id: str, command: Sequence[str | Path], *, tty: bool = False,
        sizes: Sequence[tuple[int, int]] = (), reads: bool = True, seconds: float = 60,
    ):
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._output = {"stdout": bytearray(), "stderr": bytearray()}
        self.closed: list[str] = []
        # When each piece of output came.
        self.times: list[tuple[float, bytes]] = []
        self.result: Any = None
        self.error: grpc.RpcError | None = None
        self.faults: list[str] = []
        setup = Request.Setup(task_id=task_id, command=[str(word) for word in command], tty=tty)
        self._requests.put(Request(setup=setup))
        for rows, columns in sizes:
            self.resize(rows, columns)
        self.call = plugin.driver.ExecTaskStreaming(iter(self._requests.get, None), timeout=scaled(seconds))
        self._reader = threading.Thread(target=self._read, daemon=True)
        if reads:
            self.read()

    def read(self) -> None:
        """Begins to read answers."""
        self._reader.start()

    def _read(self) -> None:
        try:
            for answer in self.call:
                self._take(answer)
        except grpc.RpcError as error:
            self.error = error
        self._requests.put(None)

    def _take(self, answer: Any) -> None:
        if self.result is not None:
            self.faults.append(f"an answer after the last one: {answer}")
        for name in ("stdout", "stderr"):
            if not answer.HasField(name):
                continue
            operation = getattr(answer, name)
            if name in self.closed:
                self.faults.append(f"{name} after its close: {operation}")
            if operation.close:
                self.closed.append(name)
            if operation.data:
                self.times.append((time.monotonic(), operation.data))
                self._output[name] += operation.data
        if answer.exited:
            self.result = answer.result

    # What the client does

    def send(self, data: bytes) -> None:
        """Sends input to the command."""
        self._requests.put(Request(stdin=Driver.ExecTaskStreamingIOOperation(data=data)))

    def close_stdin(self) -> None:
        """Ends the input."""
        self._requests.put(Request(stdin=Driver.ExecTaskStreamingIOOperation(close=True)))

    def resize(self, rows: int, columns: int) -> None:
        """Sets the terminal's size."""
        self._requests.put(Request(tty_size=Request.TerminalSize(height=rows, width=columns)))

    def hang_up(self) -> None:
        """Ends the requests."""
        self._requests.put(None)

    def cancel(self) -> None:
        """Cancels the call."""
        self.call.cancel()

    # What it sees

    @property
    def stdout(self) -> bytes:
        return bytes(self._output["stdout"])

    @property
    def stderr(self) -> bytes:
        return bytes(self._output["stderr"])

    def wait_for(self, text: str, seconds: float = 10) -> None:
        """Returns when stdout has `text`."""
        wait_until(lambda: text.encode() in self.stdout or self.error, seconds, f"{text!r} in {self.stdout!r}")
        assert self.error is None, self.error

    def wait(self, seconds: float = 30) -> tuple[int, int]:
        """Waits for the end: exit code and signal. Checks the guaranteed order of the answers."""
        self._reader.join(scaled(seconds))
        assert not self._reader.is_alive(), f"the session has not ended: {self.stdout!r} {self.stderr!r}"
        if self.error is not None:
            raise self.error
        assert self.result is not None, "the stream ended without a result"
        assert sorted(self.closed) == ["stderr", "stdout"], self.closed
        assert not self.faults, self.faults
        return self.result.exit_code, self.result.signal

    def wait_error(self, seconds: float = 30) -> grpc.StatusCode:
        """Waits for the end of a session without a result: the code of its error."""
        self._reader.join(scaled(seconds))
        assert not self._reader.is_alive(), "the session has not ended"
        assert self.error is not None, f"the session has ended without an error: {self.result}"
        return self.error.code()


def session(task: "Task", *command: str | Path, **options: Any) -> Session:
    """ExecTaskStreaming in a task."""
    return Session(task.plugin, task.id, command, **options)


def script(task: "Task", text: str, **options: Any) -> Session:
    """A shell script in a task."""
    return session(task, "/bin/sh", "-c", text, **options)


def commands_in(task: Task) -> list[int]:
    """The pids of commands in the task: those in its cgroup except its main process."""
    main = task.pid
    return [int(pid) for pid in (task.scope / "cgroup.procs").read_text().split() if int(pid) != main]
