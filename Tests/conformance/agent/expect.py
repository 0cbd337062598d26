"""Checks of error messages."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

import grpc

from agent import messages
from agent.task import ExitResult, Task

Code = grpc.StatusCode
# Status codes that do not explain the error to a caller.
_UNCLEAR = {Code.UNKNOWN, Code.INTERNAL, Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.UNIMPLEMENTED}


@contextmanager
def refused(*words: str, code: grpc.StatusCode | None = None) -> Iterator[None]:
    """A block whose calls must fail with a gRPC error whose text has each of `words`
    (case is ignored) and whose code is `code`; without `code`, none of the unclear ones."""
    try:
        yield
    except grpc.RpcError as error:
        text = error.details() or ""
        if code is None:
            assert error.code() not in _UNCLEAR, f"{error.code()}: {text}"
        else:
            assert error.code() == code, f"{error.code()}: {text}"
        missing = [word for word in words if word.lower() not in text.lower()]
        assert not missing, f"the error does not mention {missing}: {text!r}"
        assert len(text) > 10, f"the error explains nothing: {text!r}"
        return
    raise AssertionError(f"nothing was refused; expected an error about {words}")


def is_recoverable(error: grpc.RpcError) -> bool:
    """Whether a start has failed in a way that a client may repeat."""
    [value] = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    status = messages.status.Status.FromString(value)
    return bool(messages.recoverable.RecoverableError.FromString(status.details[0].value).recoverable)


def result(task: Task) -> str:
    """What a script that succeeds has written to stdout."""
    assert task.run() == ExitResult(0), task.stderr.text
    return task.stdout.text
