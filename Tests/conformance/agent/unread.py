"""A client that the driver cannot answer: HTTP/2 (RFC 9113) by hand, with a window of no bytes for its one call."""

from __future__ import annotations

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW_SIZE = 4
CANCEL = 8
# Of a frame, unless the other side allows more.
MAXIMUM = 1 << 14


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def field(name: str, value: str) -> bytes:
    """A header field that is in no table (RFC 7541, 6.2.2)."""
    assert len(name) < 127 and len(value) < 127, "longer ones have a length of several bytes"
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


class UnreadCall:
    """A unary call whose answer stays with the server, because the client's window has no room for it."""

    def __init__(self, address: str, method: str, request: bytes):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(address)
        message = b"\0" + struct.pack(">I", len(request)) + request
        headers = {
            ":method": "POST", ":scheme": "http", ":path": method, ":authority": "localhost", "te": "trailers",
            "content-type": "application/grpc",
        }
        frames = [
            frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0)),
            frame(HEADERS, END_HEADERS, 1, b"".join(field(*header) for header in headers.items())),
        ]
        frames += [frame(DATA, 0, 1, message[start:start + MAXIMUM]) for start in range(0, len(message), MAXIMUM)]
        frames.append(frame(DATA, END_STREAM, 1, b""))
        self._socket.sendall(PREFACE + b"".join(frames))

    def cancel(self) -> None:
        """Ends the call, and keeps the connection."""
        self._socket.sendall(frame(RST_STREAM, 0, 1, struct.pack(">I", CANCEL)))

    def close(self) -> None:
        """Ends the connection, as a client that dies does."""
        self._socket.close()
