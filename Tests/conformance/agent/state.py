"""A task's state directory: its files, and forged ones."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

from agent import messages
from agent.plugin import Plugin
from agent.task import Task

_FRAME_MAGIC = b"\xe2\x45"
_RECORD_MAGIC = b"EXEC2END"


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def directory_of(task: Task, plugin: Plugin | None = None) -> Path:
    """The task's state directory."""
    return (plugin or task.plugin).state_dir / task.id.replace("/", "+")


def lose_events(task: Task) -> None:
    """Takes what the Executor has told and the stopped driver has not read."""
    pipe = os.open(directory_of(task) / "events", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert os.read(pipe, 1 << 20), "the Executor has told nothing"
    finally:
        os.close(pipe)


def frame(message: Any) -> bytes:
    """A message in the frame of the pipe protocol."""
    payload = message if isinstance(message, bytes) else message.SerializeToString()
    return _FRAME_MAGIC + struct.pack("<HI", len(payload), zlib.crc32(payload)) + payload


def read_frame(content: bytes) -> bytes:
    """The payload of a file that holds one frame."""
    length, checksum = struct.unpack("<HI", content[2:8])
    payload = content[8:]
    assert content[:2] == _FRAME_MAGIC and len(payload) == length and zlib.crc32(payload) == checksum, content
    return payload


def identity_of(directory: Path) -> Any:
    """The identity file that the Executor has written for the next Driver."""
    return messages.executor.HandleState.FromString(read_frame((directory / "executor").read_bytes()))


def handle_state(task: Task) -> Any:
    """The driver_state of the task's handle."""
    return messages.executor.HandleState.FromString(task.handle.driver_state)


def record_bytes(record: Any, version: int = 1) -> bytes:
    """The content of an exit record's file."""
    body = record.SerializeToString()
    return _RECORD_MAGIC + struct.pack("<III", version, len(body), zlib.crc32(body)) + body


def read_record(directory: Path) -> Any:
    """The exit record in a directory; checks its format."""
    content = (directory / "exit").read_bytes()
    magic, (version, length, checksum), body = content[:8], struct.unpack("<III", content[8:20]), content[20:]
    assert (magic, version, length, checksum) == (_RECORD_MAGIC, 1, len(body), zlib.crc32(body)), content
    return messages.executor.ExitRecord.FromString(body)


def put(pipe: Path, data: bytes) -> int:
    """Writes into a FIFO without waiting for its reader; returns how much of `data` was written."""
    number = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    written = 0
    try:
        while written < len(data):
            written += os.write(number, data[written:written + 4096])
    except BlockingIOError:
        pass
    finally:
        os.close(number)
    return written


def forge_directory(state_dir: Path, name: str, identity: Any = None) -> Path:
    """Makes a state directory like an Executor's, with the given `identity`."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = state_dir / name
    directory.mkdir(mode=0o700)
    for pipe in ("control", "events"):
        os.mkfifo(directory / pipe, 0o600)
    (directory / "lock").touch(0o600)
    if identity is not None:
        (directory / "executor").write_bytes(frame(identity))
    return directory
