"""The kernel's audit log, which can be read beside a daemon (NETLINK_AUDIT, multicast group AUDIT_NLGRP_READLOG)."""

from __future__ import annotations

import os
import re
import socket
import struct
import uuid
from dataclasses import dataclass

from agent.timing import scaled

_NETLINK_AUDIT = 9
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_READLOG = 1
_GET, _SET, _USER = 1000, 1001, 1005
_LANDLOCK_ACCESS = 1423
_ENABLED = 1
_HEADER = struct.Struct("=IHHII")
_REQUEST, _ACKNOWLEDGE = 1, 4


@dataclass(frozen=True)
class Denial:
    """One access that a sandbox was denied: AUDIT_LANDLOCK_ACCESS."""

    blockers: list[str]
    path: str


class AuditLog:
    """Collects the records that are logged during the `with` block; auditing is switched on for that time."""

    def __enter__(self) -> "AuditLog":
        self._control = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_AUDIT)
        self._control.settimeout(scaled(10))
        self._was_enabled = self._enabled()
        self._enable(1)
        self._log = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_AUDIT)
        self._log.bind((0, 0))
        self._log.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _READLOG)
        self._log.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._log.settimeout(scaled(10))
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()
        self._enable(self._was_enabled)
        self._control.close()

    def switch(self, on: bool) -> None:
        """Switches auditing on or off for the rest of the block."""
        self._enable(int(on))

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

    def _enabled(self) -> int:
        self._send(_GET, b"")
        while True:
            message = self._control.recv(1 << 16)
            if _HEADER.unpack_from(message)[1] == _GET:
                return int(struct.unpack_from("=II", message, _HEADER.size)[1])

    def _enable(self, value: int) -> None:
        self._send(_SET, struct.pack("=II", _ENABLED, value) + bytes(40))
        while True:
            message = self._control.recv(1 << 16)
            if _HEADER.unpack_from(message)[1] == 2:  # NLMSG_ERROR, of which 0 is the acknowledgement
                error = -struct.unpack_from("=i", message, _HEADER.size)[0]
                assert error == 0, os.strerror(error)
                if struct.unpack_from("=IH", message, _HEADER.size + 4)[1] == _SET:
                    return
