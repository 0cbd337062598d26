"""Many commands at once, much input and output, of which nothing is left."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from typing import Callable

import grpc

from agent import AgentHost, Plugin, Task, processes
from agent.exec import Session, exec_task, script, session
from agent.timing import scaled, wait_until

Make = Callable[..., Task]
COUNT = 500
MEGABYTES = 16
# The threads for blocking calls, and the sum of BlockingPool.Limits: not one for each command.
BLOCKING = "exec2-blocking"
BLOCKING_THREADS = 28


def resident_kib(pid: int) -> int:
    return int(processes.status(pid, "VmRSS").split()[0])


def held(plugin: Plugin) -> dict[str, int]:
    """The resources that a session might leave."""
    return {
        "descriptors": len(processes.descriptors(plugin.pid)),
        "below": len(plugin.executors()),
        "terminals": len([name for name in os.listdir("/dev/pts") if name.isdigit()]),
    }


def threads(plugin: Plugin) -> int:
    """How many threads it has without those of BlockingPool."""
    return sum(name != BLOCKING for name in processes.thread_names(plugin.pid))


def resting(plugin: Plugin) -> dict[str, int]:
    """The same, once the first commands have ended, and an Executor and an attendant stand by."""
    names = sorted(["exec2-executor", "sleep", "exec2-standby", "exec2-waiting"])
    wait_until(lambda: sorted(process.name for process in plugin.executors()) == names, 10, f"{names} below the plugin")
    found = held(plugin)
    while True:
        time.sleep(0.2)
        found, earlier = held(plugin), found
        if found == earlier:
            return found


def test_five_hundred_at_once(launch: Callable[..., Plugin], host: AgentHost) -> None:
    """All of them run at the same time, each with its own input, output and result."""
    plugin = launch()
    task = host.task(plugin, "/bin/sleep", ["600"]).start()
    exec_task(task, "true")
    script(task, "true", tty=True).wait()
    before, threads_before = resting(plugin), threads(plugin)

    sessions = [
        script(task, f"read line; echo {n} $line; echo err {n} >&2; exit {n % 100}", tty=n % 5 == 0, seconds=300)
        for n in range(COUNT)
    ]
    wait_until(
        lambda: len((task.scope / "cgroup.procs").read_text().split()) == COUNT + 1 or any(s.error for s in sessions),
        120, f"{COUNT} commands in the task")
    assert not any(given.error for given in sessions)
    assert threads(plugin) <= threads_before + 4
    assert processes.thread_names(plugin.pid).count(BLOCKING) <= BLOCKING_THREADS
    for n, given in enumerate(sessions):
        given.send(f"line {n}\n".encode())
    for n, given in enumerate(sessions):
        assert given.wait(120) == (n % 100, 0), f"session {n}"
        if n % 5:
            assert (given.stdout, given.stderr) == (f"{n} line {n}\n".encode(), f"err {n}\n".encode())
        else:
            assert sorted(given.stdout.split(b"\r\n")) == sorted(
                [f"line {n}".encode(), f"{n} line {n}".encode(), f"err {n}".encode(), b""])
    wait_until(lambda: held(plugin) == before, 10, f"{held(plugin)} as before, {before}")
    assert len((task.scope / "cgroup.procs").read_text().split()) == 1
    task.stop(signal="SIGTERM")


def test_five_hundred_that_are_cancelled(launch: Callable[..., Plugin], host: AgentHost) -> None:
    plugin = launch()
    task = host.task(plugin, "/bin/sleep", ["600"]).start()
    exec_task(task, "true")
    script(task, "true", tty=True).wait()
    before = resting(plugin)
    sessions = [session(task, "/bin/sleep", "600", tty=n % 5 == 0, seconds=300) for n in range(COUNT)]
    # Each is at another stage.
    time.sleep(scaled(0.5))
    for given in sessions:
        given.cancel()
    for given in sessions:
        given.wait_error(60)
    wait_until(lambda: len((task.scope / "cgroup.procs").read_text().split()) == 1, 30, "no command left")
    wait_until(lambda: held(plugin) == before, 30, f"{held(plugin)} as before, {before}")
    task.stop(signal="SIGTERM")


def test_script_checks_one_after_another(make: Make, plugin: Plugin) -> None:
    task = make("/bin/sleep", ["600"]).start()
    exec_task(task, "true")
    before, memory = resting(plugin), resident_kib(plugin.pid)
    for number in range(300):
        answer = exec_task(task, "/bin/sh", "-c", f"echo {number}; exit {number % 7}")
        assert (answer.stdout, answer.result.exit_code) == (f"{number}\n".encode(), number % 7)
    wait_until(lambda: held(plugin) == before, 10, f"{held(plugin)} as before, {before}")
    assert resident_kib(plugin.pid) < memory + 8192


def test_megabytes_both_ways(make: Make) -> None:
    task = make("/bin/sleep", ["300"]).start()
    piece = os.urandom(1 << 20)
    given = session(task, "tee", "/dev/stderr", seconds=120)
    for _ in range(MEGABYTES):
        given.send(piece)
    given.close_stdin()
    assert given.wait(120) == (0, 0)
    for stream in (given.stdout, given.stderr):
        assert len(stream) == MEGABYTES << 20
        assert hashlib.sha256(stream).digest() == hashlib.sha256(piece * MEGABYTES).digest()


def test_one_message_of_megabytes(make: Make) -> None:
    """Larger than gRPC's default limit for a message."""
    task = make("/bin/sleep", ["300"]).start()
    data = os.urandom(12 << 20)
    given = session(task, "cat", seconds=120)
    given.send(data)
    given.close_stdin()
    assert given.wait(120) == (0, 0)
    assert given.stdout == data


def test_output_of_a_command_that_ends_before_it_is_read(make: Make) -> None:
    """At its end the pipes are full."""
    task = make("/bin/sleep", ["300"]).start()
    given = script(task, "head -c 60000 /dev/zero; head -c 60000 /dev/zero >&2; exit 3", reads=False)
    time.sleep(scaled(2.5))
    given.read()
    assert given.wait() == (3, 0)
    assert (len(given.stdout), len(given.stderr)) == (60000, 60000)


def test_slow_reader_slows_the_command(launch: Callable[..., Plugin], host: AgentHost) -> None:
    """A client that reads nothing: the Driver buffers little, and in the end no output is missing."""
    plugin = launch()
    task = host.task(plugin, "/bin/sleep", ["300"]).start()
    exec_task(task, "true")
    before = resident_kib(plugin.pid)
    given = script(task, "seq 1 4000000; echo done >&2", reads=False, seconds=120)
    endless = [script(task, "yes", reads=False, seconds=120) for _ in range(20)]
    time.sleep(scaled(3))
    # 21 sessions with 30 MB of output, or endless output.
    assert resident_kib(plugin.pid) - before < 21 * 512
    for each in endless:
        each.cancel()
    given.read()
    assert given.wait(120) == (0, 0)
    assert given.stderr == b"done\n"
    digest = hashlib.sha256()
    for start in range(1, 4000001, 100000):
        digest.update("".join(f"{n}\n" for n in range(start, start + 100000)).encode())
    assert hashlib.sha256(given.stdout).digest() == digest.digest()
    task.stop(signal="SIGTERM")


def test_command_that_reads_slowly_slows_the_client(launch: Callable[..., Plugin], host: AgentHost) -> None:
    plugin = launch()
    task = host.task(plugin, "/bin/sleep", ["300"]).start()
    exec_task(task, "true")
    before = resident_kib(plugin.pid)
    os.mkfifo(task.directory / "tmp" / "go", 0o666)
    os.chmod(task.directory / "tmp" / "go", 0o666)
    given = script(task, "read go < $TMPDIR/go; wc -c", seconds=120)
    piece = b"x" * 65536
    for _ in range(1024):
        given.send(piece)
    given.close_stdin()
    time.sleep(scaled(3))
    assert resident_kib(plugin.pid) - before < 8192
    threading.Thread(target=lambda: (task.directory / "tmp" / "go").write_text("go\n"), daemon=True).start()
    assert given.wait(120) == (0, 0)
    assert given.stdout.strip() == str(1024 * 65536).encode()
    task.stop(signal="SIGTERM")


def test_sessions_while_tasks_come_and_go(make: Make, host: AgentHost) -> None:
    """Each ends with a result or with the error for a task that has ended."""
    tasks = [make("/bin/sleep", ["300"]).start() for _ in range(12)]
    sessions: list[tuple[Task, Session]] = [
        (task, script(task, "echo up; sleep 300")) for task in tasks for _ in range(6)]
    stops = [task.stop_soon(signal="SIGKILL") for task in tasks]
    for stop in stops:
        stop.result()
    for _, given in sessions:
        try:
            assert given.wait() == (137, 9)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.FAILED_PRECONDITION and "has ended" in error.details(), error
    for task in tasks:
        task.wait()
        task.destroy(force=False)
