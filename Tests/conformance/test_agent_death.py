"""The agent dies; the plugin and its tasks do not notice."""

from __future__ import annotations

import time
from typing import Callable

import grpc

from agent import AgentHost, ExitResult, Plugin, messages, processes
from agent.timing import scaled


def test_killed_agent_leaves_plugin_and_tasks_alive(launch: Callable[..., Plugin], host: AgentHost) -> None:
    """The plugin's stdout and stderr lose their readers, and it loses its parent; a new agent
    connects to the same socket."""
    plugin = launch()
    task = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    task.stdout.wait_for("up")
    pid = task.pid
    plugin.abandon()
    plugin.channel.close()
    time.sleep(scaled(0.2))
    assert processes.is_alive(plugin.pid)

    plugin.connect()
    plugin.base.PluginInfo(messages.base.PluginInfoRequest(), timeout=scaled(10))
    plugin.ping()
    assert task.pid == pid
    # Each of these makes the plugin log into the broken pipe.
    for number in range(50):
        try:
            task.signal(f"SIGNONE{number}")
        except grpc.RpcError:
            pass
        other = host.task(plugin, host.program("act"), [f"exit={number}"])
        assert other.run() == ExitResult(number)
        other.destroy()
    task.stop(signal="SIGTERM")
    assert task.wait() == ExitResult(143, 15)
    plugin.controller.Shutdown(messages.goplugin.Empty(), timeout=scaled(5))
    plugin.wait_exit(2)


def test_reader_that_does_not_read(launch: Callable[..., Plugin], host: AgentHost) -> None:
    """An agent that hangs, so that the stderr pipe is full, does not block the plugin."""
    plugin = launch()
    plugin.log.clear()
    reader = plugin.pause_stderr()
    try:
        for number in range(300):
            try:
                plugin.driver.StartTask(
                    messages.driver.StartTaskRequest(task=messages.driver.TaskConfig(id=f"{number}" + "x" * 1000)), timeout=scaled(10))
            except grpc.RpcError as error:
                assert error.code() != grpc.StatusCode.DEADLINE_EXCEEDED, number
        assert host.task(plugin, host.program("act"), ["exit=5"]).run() == ExitResult(5)
    finally:
        reader.set()


def test_agent_closes_the_connection_in_mid_call(launch: Callable[..., Plugin], host: AgentHost) -> None:
    plugin = launch()
    task = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    before = plugin.descriptors_with_a_task()
    for _ in range(20):
        channel = grpc.insecure_channel(f"unix:{plugin.address}", options=[("grpc.use_local_subchannel_pool", 1)])
        driver = messages.driver_service.DriverStub(channel)
        wait = driver.WaitTask.future(messages.driver.WaitTaskRequest(task_id=task.id), timeout=scaled(30))
        stream = driver.Fingerprint(messages.driver.FingerprintRequest(), timeout=scaled(30))
        next(iter(stream))
        assert not wait.done()
        channel.close()
    plugin.settle(before + 2)
    plugin.ping()
    task.stop()


def test_second_connection_sees_the_same_tasks(launch: Callable[..., Plugin], host: AgentHost) -> None:
    plugin = launch()
    task = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    with grpc.insecure_channel(f"unix:{plugin.address}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        answer = messages.driver_service.DriverStub(channel).InspectTask(
            messages.driver.InspectTaskRequest(task_id=task.id), timeout=scaled(10))
    assert answer.task.id == task.id
    task.stop()
