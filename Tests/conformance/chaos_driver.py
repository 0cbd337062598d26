"""One Driver of the chaos test, and the calls that are in flight to it."""

from __future__ import annotations

import collections
import contextlib
import threading
from typing import Iterator

import grpc

from agent import Plugin

# The calls that kills are aimed at.
METHODS = ["StartTask", "RecoverTask", "WaitTask", "InspectTask", "SignalTask", "StopTask", "DestroyTask"]
# How a call ends whose Driver was killed.
_CUT_OFF = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN}


class Interrupted(Exception):
    """The Driver was killed while the call was in flight, or before."""


class Fault(Exception):
    """A call failed although the Driver lives, or told something wrong."""


class Driver:
    """A launched plugin that will be killed."""

    def __init__(self, plugin: Plugin, statistics: collections.Counter[str]):
        self.plugin = plugin
        self.was_killed = False
        self._statistics = statistics
        self._in_flight: collections.Counter[str] = collections.Counter()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def call(self, method: str) -> Iterator[None]:
        """Around a call: its failure becomes Interrupted or a Fault."""
        if self.was_killed:
            raise Interrupted
        with self._changed:
            self._in_flight[method] += 1
            self._changed.notify_all()
        try:
            yield
        except grpc.RpcError as error:
            if self.was_killed and error.code() in _CUT_OFF:
                with self._changed:
                    self._statistics[f"{method} cut off by a kill"] += 1
                raise Interrupted from None
            raise Fault(f"{method}: {error.code()} {error.details()}") from None
        else:
            with self._changed:
                self._statistics[f"{method} answered"] += 1
        finally:
            with self._changed:
                self._in_flight[method] -= 1

    def wait_in_flight(self, method: str, seconds: float) -> None:
        """Returns when such a call is in flight, or when the time is up."""
        with self._changed:
            if method == "WaitTask":
                # Waits last long: the moment of interest is a new one's beginning.
                self._changed.wait(seconds)
            else:
                self._changed.wait_for(lambda: self._in_flight[method] > 0, seconds)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.plugin.is_running, f"the Driver has ended by itself: {self.plugin.log[-5:]}"
        with self._changed:
            self.was_killed = True
        self.plugin.kill()

    @property
    def is_deserted(self) -> bool:
        """No call is in flight any more, and every Executor that it started has ended."""
        with self._changed:
            calls = sum(self._in_flight.values())
        return calls == 0 and self.plugin.subreaper_has_ended
