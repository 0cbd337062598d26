"""How sessions with Executors are tried: how long they may take, and that a task goes on."""

from __future__ import annotations

import fcntl
import os
import termios
import time

from agent import ExitResult, Task
from agent.state import directory_of
from agent.timing import scaled, wait_until

# How long the driver waits for an Executor's answer. The limit is the product's and does not grow on a slow machine.
ANSWER_SECONDS = 5
# A call that waits for no Executor that is silent ends before that limit, on a slow machine too.
PROMPT = min(scaled(ANSWER_SECONDS - 1), ANSWER_SECONDS - 0.5)
# A call that meets that limit meets it once, never twice.
BOUND = ANSWER_SECONDS + min(scaled(3), ANSWER_SECONDS - 0.5)


def ends_well(task: Task) -> None:
    """The task can be signalled and stopped, and has the right result."""
    task.signal("SIGCONT")
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)


def drained(task: Task, *pipes: str) -> None:
    """Returns when all that was put into the pipes, the control pipe without any, is read."""
    for pipe in pipes or ("control",):
        number = os.open(directory_of(task) / pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            wait_until(lambda: fcntl.ioctl(number, termios.FIONREAD, bytes(4)) == bytes(4), 10, f"the {pipe} pipe read")
        finally:
            os.close(number)


class Duration:
    """How long what is inside took."""

    def __enter__(self) -> "Duration":
        self._begin = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._begin
