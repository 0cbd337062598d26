"""The kernel's audit log, which can be read beside a daemon (NETLINK_AUDIT, multicast group AUDIT_NLGRP_READLOG)."""

from __future__ import annotations

import os
import re
import socket
import struct
import uuid
from contextlib import ExitStack
from dataclasses import dataclass

from agent.timing import scaled

_NETLINK_AUDIT = 9
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_READLOG = 1
_ERROR, _GET, _SET, _USER = 2, 1000, 1001, 1005
_LANDLOCK_ACCESS = 1423
_ENABLED, _BACKLOG_LIMIT = 1, 0x10
# Records that the kernel keeps until they are delivered: of Landlock's, it loses those beyond.
_BACKLOG = 8192
_HEADER = struct.Struct("=IHHII")
_REQUEST, _ACKNOWLEDGE = 1, 4


@dataclass(frozen=True)
class Denial:
    """One access that a sandbox was denied: AUDIT_LANDLOCK_ACCESS."""

    blockers: list[str]
    path: str


@dataclass(frozen=True)
class _Status:
    """What is set, of `struct audit_status`."""

    enabled: int
    backlog: int


class AuditLog:
    """Collects the records that are logged during the `with` block; auditing is switched on for that time."""

    def __enter__(self) -> "AuditLog":
        self._open()
        self._set(_ENABLED | _BACKLOG_LIMIT, 1, max(_BACKLOG, self._before.backlog))
        return self

    @classmethod
    def missing(cls) -> str | None:
        """Why auditing cannot be switched on here, or the log not be read; None where both can be done."""
        log = cls()
        try:
            log._open()
        except OSError as error:
            return str(error.strerror)
        log._close()
        return None

    def _open(self) -> None:
        with ExitStack() as opened:
            self._control = opened.enter_context(self._socket())
            self._before = self._status()
            self._log = opened.enter_context(self._socket())
            self._log.bind((0, 0))
            self._log.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _READLOG)
            self._log.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            self._close = opened.pop_all().close

    @staticmethod
    def _socket() -> socket.socket:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_AUDIT)
        opened.settimeout(scaled(10))
        return opened

    def __exit__(self, *_: object) -> None:
        self._set(_ENABLED | _BACKLOG_LIMIT, self._before.enabled, self._before.backlog)
        self._close()

    def switch(self, on: bool) -> None:
        """Switches auditing on or off for the rest of the block."""
        self._set(_ENABLED, int(on))

    def denials(self) -> list[Denial]:
        """The denials up to now: records are delivered in order, and one that this sends itself comes after them."""
        mark = uuid.uuid4().hex
        self._send(_USER, f"exec2-test {mark}".encode() + b"\0")
        found: list[Denial] = []
        while True:
            kind, text = self._receive(self._log)
            if kind == _USER and mark in text:
                return found
            if kind == _LANDLOCK_ACCESS:
                blockers, path = re.search(r"blockers=(\S+)", text), re.search(r'path="([^"]*)"', text)
                assert blockers, text
                found.append(Denial(blockers[1].split(","), path[1] if path else ""))

    def _send(self, kind: int, content: bytes) -> None:
        padded = content + bytes(-len(content) % 4)
        self._control.send(_HEADER.pack(_HEADER.size + len(content), kind, _REQUEST | _ACKNOWLEDGE, 1, 0) + padded)

    @staticmethod
    def _receive(reader: socket.socket) -> tuple[int, str]:
        message = reader.recv(1 << 16)
        _, kind, _, _, _ = _HEADER.unpack_from(message)
        return kind, message[_HEADER.size:].decode(errors="replace")

    def _status(self) -> _Status:
        self._send(_GET, b"")
        while True:
            message = self._control.recv(1 << 16)
            kind = _HEADER.unpack_from(message)[1]
            if kind == _GET:
                _, enabled, _, _, _, backlog = struct.unpack_from("=6I", message, _HEADER.size)
                return _Status(enabled, backlog)
            if kind == _ERROR and (error := self._error(message)):
                raise OSError(error, os.strerror(error))

    @staticmethod
    def _error(message: bytes) -> int:
        """Of NLMSG_ERROR; 0 is the acknowledgement."""
        return -int(struct.unpack_from("=i", message, _HEADER.size)[0])

    def _set(self, mask: int, enabled: int, backlog: int = 0) -> None:
        self._send(_SET, struct.pack("=6I", mask, enabled, 0, 0, 0, backlog) + bytes(24))
        while True:
            message = self._control.recv(1 << 16)
            if _HEADER.unpack_from(message)[1] == _ERROR:
                error = self._error(message)
                assert error == 0, os.strerror(error)
                if struct.unpack_from("=IH", message, _HEADER.size + 4)[1] == _SET:
                    return
