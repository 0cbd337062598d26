"""The log collector: one thread that reads every task's FIFOs."""

from __future__ import annotations

import os
import selectors
import threading
from pathlib import Path
from typing import Callable

from agent.timing import scaled


class LogStream:
    """The bytes that were read from one FIFO."""

    def __init__(self, collector: "Collector", path: Path, sink: Callable[[bytes], None] | None):
        self._collector = collector
        self.path = path
        self.data = bytearray()
        self.received = 0
        self.ended = threading.Event()
        self._sink = sink
        self._fd: int | None = None
        self._changed = threading.Condition()

    @property
    def text(self) -> str:
        return bytes(self.data).decode(errors="replace")

    def leave(self) -> None:
        """Closes the FIFO, as a collector that ends does."""
        self._collector._run(lambda: self._close())

    def come_back(self) -> None:
        """Opens the FIFO anew."""
        self.ended.clear()
        self._collector._run(self._open)

    def wait_for(self, what: str | bytes, seconds: float = 10) -> None:
        """Returns when `what` was read; AssertionError after `seconds` (scaled)."""
        needle = what.encode() if isinstance(what, str) else what
        with self._changed:
            found = self._changed.wait_for(lambda: needle in self.data, scaled(seconds))
        assert found, f"{self.path.name} has not had {what!r} within {scaled(seconds):g} s; it has: {self.text[-2000:]!r}"

    def wait_received(self, count: int, seconds: float = 10) -> None:
        """Returns when `count` bytes were read."""
        with self._changed:
            found = self._changed.wait_for(lambda: self.received >= count, scaled(seconds))
        assert found, f"{self.path.name} has had {self.received} bytes of {count} within {scaled(seconds):g} s"

    def wait_end(self, seconds: float = 10) -> None:
        """Returns when the last writer has closed the FIFO."""
        assert self.ended.wait(scaled(seconds)), (
            f"{self.path.name} still has a writer after {scaled(seconds):g} s; it has: {self.text[-500:]!r}"
        )

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._collector._selector.register(self._fd, selectors.EVENT_READ, self._read)

    def _close(self) -> None:
        if self._fd is not None:
            self._collector._selector.unregister(self._fd)
            os.close(self._fd)
            self._fd = None

    def _read(self) -> None:
        if self._fd is None:
            return
        try:
            chunk = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return
        if not chunk:
            self._close()
            self.ended.set()
            return
        with self._changed:
            self.received += len(chunk)
            if self._sink:
                self._sink(chunk)
            else:
                self.data += chunk
            self._changed.notify_all()


class Collector:
    """Reads any number of FIFOs until it is closed."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._woken)
        self._orders: list[tuple[Callable[[], None], threading.Event, list[BaseException]]] = []
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="log collector", daemon=True)
        self._thread.start()

    def open(self, path: Path, sink: Callable[[bytes], None] | None = None, late: bool = False) -> LogStream:
        """Starts to read the FIFO at `path`. With `sink` the bytes are passed to it and
        not kept. With `late` the FIFO is not opened before `come_back`."""
        stream = LogStream(self, path, sink)
        if not late:
            self._run(stream._open)
        return stream

    def close(self) -> None:
        """Ends the thread."""
        self._closed = True
        os.write(self._wake_write, b"x")
        self._thread.join(scaled(10))
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self, order: Callable[[], None]) -> None:
        done = threading.Event()
        errors: list[BaseException] = []
        with self._lock:
            self._orders.append((order, done, errors))
        os.write(self._wake_write, b"x")
        assert done.wait(scaled(10)), "the log collector's thread does not answer"
        if errors:
            raise errors[0]

    def _woken(self) -> None:
        os.read(self._wake_read, 4096)
        with self._lock:
            orders, self._orders = self._orders, []
        for order, done, errors in orders:
            try:
                order()
            except OSError as error:
                errors.append(error)
            done.set()

    def _loop(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select():
                key.data()
