"""Malformed requests and connections: a clear error each time, and the plugin survives. Not seen without the
validation: protobuf-c refuses most of this by itself, and what it would accept is in test_bad_strings."""

from __future__ import annotations

import os
import random
import socket
import struct
from typing import Callable

import grpc
import msgpack
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages, processes
from agent.expect import refused
from agent.timing import scaled

Make = Callable[..., Task]
START = "/hashicorp.nomad.plugins.drivers.proto.Driver/StartTask"
pytestmark = pytest.mark.usefixtures("plugin_lives_on")

def test_start_without_a_task(plugin: Plugin) -> None:
    with refused("task"):
        plugin.driver.StartTask(messages.driver.StartTaskRequest(), timeout=scaled(10))


def test_start_with_an_empty_task(plugin: Plugin) -> None:
    with refused("task"):
        plugin.driver.StartTask(messages.driver.StartTaskRequest(task=messages.driver.TaskConfig()), timeout=scaled(10))


@pytest.mark.parametrize("field, word", [("resources", "cgroup"), ("resources.linux_resources", "cgroup")])
def test_missing_submessage(make: Make, field: str, word: str) -> None:
    task = make("/bin/true")
    message = task.request.task
    *path, last = field.split(".")
    for name in path:
        message = getattr(message, name)
    message.ClearField(last)
    with refused(word):
        task.start()


@pytest.mark.parametrize("field", ["allocated_resources", "allocated_resources.cpu", "allocated_resources.memory"])
def test_missing_submessage_that_means_nothing_set(make: Make, host: AgentHost, field: str) -> None:
    """Without it no limit is set."""
    task = make(host.program("act"), ["exit=5"])
    message = task.request.task.resources
    *path, last = field.split(".")
    for name in path:
        message = getattr(message, name)
    message.ClearField(last)
    assert task.run() == ExitResult(5)


@pytest.mark.parametrize("field", ["id", "name", "env", "user", "alloc_dir", "stdout_path", "stderr_path", "msgpack_driver_config"])
def test_missing_field(make: Make, host: AgentHost, field: str) -> None:
    """An error or, if the field is not needed, a task that runs."""
    task = make(host.program("act"), ["exit=5"])
    task.request.task.ClearField(field)
    words = {"msgpack_driver_config": "command", "stdout_path": "stdout", "stderr_path": "stderr", "id": "id", "user": "user",
             # The directories are then those of alloc_dir, which the task's user cannot reach.
             "env": "working directory"}
    if field in ("name", "alloc_dir"):
        try:
            task.start()
        except grpc.RpcError as error:
            assert error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL), error.details()
    else:
        with refused(words[field]):
            task.start()


def test_recover_without_a_handle(plugin: Plugin) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        plugin.driver.RecoverTask(messages.driver.RecoverTaskRequest(task_id="x"), timeout=scaled(10))
    assert refusal.value.code() != grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("call, request_name", [
    ("WaitTask", "WaitTaskRequest"), ("InspectTask", "InspectTaskRequest"), ("SignalTask", "SignalTaskRequest")])
def test_empty_request(plugin: Plugin, call: str, request_name: str) -> None:
    with refused(code=grpc.StatusCode.NOT_FOUND):
        getattr(plugin.driver, call)(getattr(messages.driver, request_name)(), timeout=scaled(10))


def test_set_config_without_parts(plugin: Plugin) -> None:
    """Empty submessages on every level do not crash the plugin; a topology without cores
    is either accepted or named in the error."""
    config = msgpack.packb(plugin.config)
    for nomad in (None, messages.base.NomadConfig(), messages.base.NomadConfig(driver=messages.base.NomadDriverConfig()),
                  messages.base.NomadConfig(driver=messages.base.NomadDriverConfig(Topology=messages.base.ClientTopology()))):
        request = messages.base.SetConfigRequest(msgpack_config=config)
        if nomad is not None:
            request.nomad_config.CopyFrom(nomad)
        try:
            plugin.base.SetConfig(request, timeout=scaled(10))
        except grpc.RpcError as error:
            assert "topology" in error.details().lower()
    plugin.set_config(plugin.config)


RAW = {
    "empty field": b"\x0a", "length beyond the end": b"\x0a\x05ab", "varint without end": b"\x0a" + b"\xff" * 20,
    "wrong wire type": b"\x08\x01", "group": b"\x0b\x0c", "field zero": b"\x02\x00", "random": bytes(range(256)),
    "nested length beyond the end": b"\x0a\x03\x0a\x7fa", "map entry cut": b"\x0a\x04\x22\x02\x0a\x05",
}


@pytest.mark.parametrize("request_", RAW.values(), ids=RAW.keys())
@pytest.mark.parametrize("method", ["StartTask", "WaitTask", "StopTask", "SignalTask", "DestroyTask"])
def test_broken_protobuf(plugin: Plugin, method: str, request_: bytes) -> None:
    """An error, or no effect if the bytes happen to be a valid request: StopTask
    and DestroyTask may read an empty id and succeed."""
    try:
        plugin.raw(START.replace("StartTask", method), request_, 10)
    except grpc.RpcError as error:
        assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION,
                                grpc.StatusCode.INTERNAL), error
        assert error.details()
    else:
        assert method in ("StopTask", "DestroyTask")


def test_map_entry_without_a_value(make: Make, host: AgentHost, plugin: Plugin) -> None:
    """Protobuf allows that; the value is empty then."""
    task = make(host.program("act"), ["env=", "exit=5"])
    whole = task.request.SerializeToString()
    inner = task.request.task.SerializeToString() + b"\x22\x07\x0a\x05KEYED"  # env { key: "KEYED" }
    request = b"\x0a" + varint(len(inner)) + inner
    assert len(request) > len(whole)
    answer = messages.driver.StartTaskResponse.FromString(plugin.raw(START, request))
    task.took(answer)
    assert task.wait() == ExitResult(5)
    task.stdout.wait_for("KEYED=\n")


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def test_random_protobuf(make: Make, host: AgentHost, plugin: Plugin) -> None:
    generator = random.Random(20242)
    for _ in range(200):
        task = make("/nonexistent/command")
        changed = bytearray(task.request.SerializeToString())
        for _ in range(generator.randint(1, 6)):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        try:
            answer = messages.driver.StartTaskResponse.FromString(plugin.raw(START, bytes(changed)))
        except grpc.RpcError as error:
            assert error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), bytes(changed)
        else:
            task_id = answer.handle.config.id
            plugin.driver.DestroyTask(messages.driver.DestroyTaskRequest(task_id=task_id, force=True), timeout=scaled(10))
        host.clean_tasks()


def test_unknown_method(plugin: Plugin) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        plugin.raw(START.replace("StartTask", "OfTheFuture"), b"")
    assert refusal.value.code() == grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.RpcError) as refusal:
        plugin.raw("/no.such.Service/Call", b"")
    assert refusal.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_noise_on_the_socket(plugin: Plugin) -> None:
    for noise in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(4096), b""):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(plugin.address)
            client.sendall(noise)
    plugin.ping()


def test_many_connections(plugin: Plugin) -> None:
    before = len(processes.descriptors(plugin.pid))
    clients = []
    for _ in range(200):
        client = socket.socket(socket.AF_UNIX)
        client.connect(plugin.address)
        clients.append(client)
    plugin.ping()
    for client in clients:
        client.close()
    plugin.settle(before + 2)


def test_compressed_garbage_frames(plugin: Plugin) -> None:
    """A message that is marked as compressed and is not."""
    with pytest.raises(grpc.RpcError) as refusal:
        plugin.channel.unary_unary(START, request_serializer=None, response_deserializer=None)(
            struct.pack(">I", 7) * 100, timeout=scaled(10), compression=grpc.Compression.Gzip)
    assert refusal.value.code() != grpc.StatusCode.UNAVAILABLE
