"""Malformed MessagePack: a clear error each time, and the plugin survives. Seen without the limit of the depth: the
plugin ended (a stack overflow)."""

from __future__ import annotations

import random
from typing import Callable

import grpc
import msgpack
import pytest

from agent import AgentHost, ExitResult, Plugin, Task
from agent.expect import refused

Make = Callable[..., Task]
GOOD = {"command": "/bin/true", "args": ["a", "b"], "oom_score_adj": 3}
pytestmark = pytest.mark.usefixtures("plugin_lives_on")

# Values that follow the header of a map and the option's name.
HOSTILE = {
    "array of 4 billion": b"\xdd\xff\xff\xff\xff", "map of 4 billion": b"\xdf\xff\xff\xff\xff",
    "string of 4 billion": b"\xdb\xff\xff\xff\xff", "bin of 4 billion": b"\xc6\xff\xff\xff\xff",
    "ext of 4 billion": b"\xc9\xff\xff\xff\xff\x01", "deep arrays": b"\x91" * 1_000_000, "deep maps": b"\x81\xa1a" * 1_000_000,
    "reserved byte": b"\xc1", "only a key": b"", "half a header": b"\xdb\x00", "half a number": b"\xcf\x00",
    "half a string": b"\xa5/bi", "invalid UTF-8": b"\xa4\xff\xfe\xfd\xfc", "timestamp": msgpack.packb(msgpack.Timestamp(1)),
    "more after the end": msgpack.packb("/x/y") + b"\x01", "two maps": msgpack.packb("/x/y") + b"\x80",
}
# Whole messages that are not a map of options.
NO_MAP = {
    "array": msgpack.packb(["command", "/bin/true"]), "string": msgpack.packb("command"), "number": b"\x05", "true": b"\xc3",
    "array of 4 billion": b"\xdd\xff\xff\xff\xff", "map of 4 billion": b"\xdf\xff\xff\xff\xff", "deep arrays": b"\x91" * 1_000_000,
    "deep maps": b"\x81\xa1a" * 1_000_000, "key is a map": b"\x81\x80\x01", "key is an array": b"\x81\x91\x01\x01",
    "key is a number": b"\x81\x01\x01", "half a map": b"\xde\x00", "reserved byte": b"\xc1",
}
WHOLE = NO_MAP | {f"value: {name}": packed for name, packed in HOSTILE.items()}


def whole(name: str, packed: bytes, option: str) -> bytes:
    """The whole message: a malformed value is preceded by the option's name."""
    return b"\x81" + msgpack.packb(option) + packed if name.startswith("value: ") else packed


@pytest.mark.parametrize("name, packed", WHOLE.items(), ids=WHOLE.keys())
def test_hostile_messagepack_in_a_task(make: Make, name: str, packed: bytes) -> None:
    task = make(None)
    task.set_config(whole(name, packed, "command"))
    with refused("config"):
        task.start()


@pytest.mark.parametrize("name, packed", WHOLE.items(), ids=WHOLE.keys())
def test_hostile_messagepack_in_set_config(plugin: Plugin, name: str, packed: bytes) -> None:
    with refused("config"):
        plugin.set_config(whole(name, packed, "state_dir"))


def test_empty_task_config(make: Make) -> None:
    task = make(None)
    task.set_config(b"")
    with refused("command"):
        task.start()


def test_messagepack_cut_anywhere(make: Make) -> None:
    whole = msgpack.packb(GOOD)
    task = make(None)
    for length in range(1, len(whole)):
        task.set_config(whole[:length])
        with refused("config"):
            task.start()


def test_duplicate_key(make: Make, host: AgentHost) -> None:
    """Either the last one counts or it is an error; never a mixture."""
    task = make(None)
    pair = msgpack.packb("command") + msgpack.packb(str(host.program("act")))
    task.set_config(b"\x83" + msgpack.packb("command") + msgpack.packb("/bin/false") + pair + msgpack.packb("args") + msgpack.packb(["exit=6"]))
    try:
        assert task.run() == ExitResult(6)
    except grpc.RpcError as error:
        assert "command" in error.details()


def test_random_messagepack(make: Make) -> None:
    """Random changes of bytes: an error or a task, never the end of the plugin."""
    generator = random.Random(20241)
    whole = bytearray(msgpack.packb({"command": "/nonexistent/command", "args": ["x"] * 5, "oom_score_adj": 1, "unveil": []}))
    for _ in range(200):
        changed = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        task = make(None)
        task.set_config(bytes(changed))
        try:
            task.start()
        except grpc.RpcError as error:
            assert error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), bytes(changed)
        else:
            task.wait()
        task.host.clean_tasks()
