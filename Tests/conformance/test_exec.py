"""Commands in a running task: how they end, what is refused, and their streams."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, messages, processes
from agent.exec import Session, commands_in, exec_task, output, script, session
from agent.expect import Code, refused
from agent.timing import scaled, wait_until

Make = Callable[..., Task]
Driver = messages.driver


@pytest.fixture
def sleeper(make: Make) -> Task:
    """A task that sleeps, as a dynamic user that may read /proc."""
    return make("/bin/sleep", ["300"], unveil=["r:/proc"]).start()


def test_exec_is_advertised(plugin: Plugin) -> None:
    given = plugin.driver.Capabilities(Driver.CapabilitiesRequest(), timeout=scaled(10)).capabilities
    assert given.exec


# How it ends


def test_both_streams_and_exit_code(sleeper: Task) -> None:
    given = script(sleeper, "echo out; echo err >&2; exit 43")
    assert given.wait() == (43, 0)
    assert (given.stdout, given.stderr) == (b"out\n", b"err\n")


def test_exec_task_has_both_streams_and_exit_code(sleeper: Task) -> None:
    answer = exec_task(sleeper, "/bin/sh", "-c", "echo out; echo err >&2; exit 43")
    assert (answer.stdout, answer.stderr) == (b"out\n", b"err\n")
    assert (answer.result.exit_code, answer.result.signal) == (43, 0)


def test_signal(sleeper: Task) -> None:
    assert script(sleeper, "kill -TERM $$").wait() == (143, 15)
    assert exec_task(sleeper, "/bin/sh", "-c", "kill -KILL $$").result.signal == 9


def test_command_not_found(sleeper: Task) -> None:
    given = session(sleeper, "no-such-program")
    assert given.wait() == (127, 0)
    assert b"no-such-program: command not found (not in PATH, or not unveiled with r and x)" in given.stderr
    given = session(sleeper, "/no/such/program")
    assert given.wait() == (127, 0)
    assert b"command not found (the file or its interpreter is missing, or not unveiled with r and x)" in given.stderr
    answer = exec_task(sleeper, "no-such-program")
    assert answer.result.exit_code == 127 and b"command not found" in answer.stderr


def test_command_not_executable(make: Make, host: AgentHost) -> None:
    task = make("/bin/sleep", ["300"]).start()
    (task.local / "text").write_text("no program")
    (task.local / "text").chmod(0o755)
    given = session(task, str(task.local / "text"))
    assert given.wait() == (126, 0)
    assert b"neither a program nor a script" in given.stderr
    assert session(task, str(task.local)).wait()[0] == 126


def test_relative_path_is_seen_from_the_working_directory(make: Make) -> None:
    task = make("/bin/sleep", ["300"]).start()
    directory = output(task, "pwd").strip()
    (Path(directory) / "local" / "hello").write_text("#!/bin/sh\necho hello\n")
    (Path(directory) / "local" / "hello").chmod(0o755)
    assert output(task, "local/hello") == "hello\n"


def test_bare_name_is_searched_in_the_tasks_path(make: Make) -> None:
    task = make("/bin/sleep", ["300"])
    task.request.task.env["PATH"] = f"{task.local}:/usr/bin:/bin"
    task.start()
    (task.local / "hello").write_text("#!/bin/sh\necho from the task\n")
    (task.local / "hello").chmod(0o755)
    assert output(task, "hello") == "from the task\n"


# What is refused


@pytest.mark.parametrize("command", [[], [""]])
def test_empty_command(sleeper: Task, command: list[str]) -> None:
    with refused("command is empty", sleeper.id, code=Code.INVALID_ARGUMENT):
        exec_task(sleeper, *command)
    with refused("command is empty", sleeper.id, code=Code.INVALID_ARGUMENT):
        session(sleeper, *command).wait()


def test_unknown_task(plugin: Plugin) -> None:
    with refused("task not found for given id", code=Code.NOT_FOUND):
        Session(plugin, "nowhere/web/0", ["true"]).wait()
    with refused("task not found for given id", code=Code.NOT_FOUND):
        plugin.driver.ExecTask(Driver.ExecTaskRequest(task_id="nowhere/web/0", command=["true"]), timeout=scaled(10))


def test_ended_task(act: Make) -> None:
    task = act("exit=0")
    assert task.run() == ExitResult(0)
    with refused(task.id, "has ended", code=Code.FAILED_PRECONDITION):
        exec_task(task, "true")
    with refused(task.id, "has ended", code=Code.FAILED_PRECONDITION):
        session(task, "true").wait()


def test_first_message_without_setup(plugin: Plugin) -> None:
    request = Driver.ExecTaskStreamingRequest(tty_size=Driver.ExecTaskStreamingRequest.TerminalSize(height=1, width=1))
    with refused("setup", code=Code.INVALID_ARGUMENT):
        list(plugin.driver.ExecTaskStreaming(iter([request]), timeout=scaled(10)))


# Streams


def test_output_arrives_as_it_is_printed(sleeper: Task) -> None:
    given = script(sleeper, "for i in 1 2 3 4; do echo $i; sleep 1; done")
    assert given.wait() == (0, 0)
    assert [piece for _, piece in given.times] == [b"1\n", b"2\n", b"3\n", b"4\n"]
    moments = [moment for moment, _ in given.times]
    for earlier, later in zip(moments, moments[1:]):
        assert 0.7 <= later - earlier <= 1.3 + scaled(0.2)


def test_head_gets_its_input(sleeper: Task) -> None:
    given = session(sleeper, "head", "-n1")
    given.send(b"first\nsecond\n")
    assert given.wait() == (0, 0)
    assert given.stdout == b"first\n"


def test_input_to_a_command_that_reads_no_more_is_passed_over(sleeper: Task) -> None:
    given = script(sleeper, "exec <&-; echo up; sleep 1; exit 3")
    given.wait_for("up")
    for _ in range(64):
        given.send(b"x" * 65536)
    assert given.wait() == (3, 0)


def test_half_close(sleeper: Task) -> None:
    given = session(sleeper, "sort")
    given.send(b"b\na\n")
    time.sleep(0.2)
    assert given.stdout == b"" and given.result is None
    given.close_stdin()
    assert given.wait() == (0, 0)
    assert given.stdout == b"a\nb\n"


def test_end_of_requests_is_the_end_of_input(sleeper: Task) -> None:
    given = session(sleeper, "sort")
    given.send(b"b\na\n")
    given.hang_up()
    assert given.wait() == (0, 0)
    assert given.stdout == b"a\nb\n"


def test_terminal_size_without_a_terminal(sleeper: Task) -> None:
    given = script(sleeper, "stty size", sizes=[(10, 20)])
    assert given.wait()[0] == 1
    assert b"Inappropriate ioctl" in given.stderr and given.stdout == b""


def test_processes_left_behind_do_not_hold_the_session(sleeper: Task) -> None:
    """Their output of another second is delivered; then their pipes are closed."""
    begun = time.monotonic()
    given = script(sleeper, "(sleep 0.3; echo late; sleep 300) & echo early")
    assert given.wait() == (0, 0)
    assert given.stdout == b"early\nlate\n"
    assert time.monotonic() - begun < scaled(4)
    noisy = script(sleeper, "yes & exit 7", reads=True)
    assert noisy.wait() == (7, 0)
    # The child runs on in the task, as with docker exec, until its pipe is closed.
    wait_until(lambda: not [pid for pid in commands_in(sleeper) if processes.look(pid).name == "yes"], 5, "yes has ended")


def test_exec_task_answers_with_the_end_of_long_output(sleeper: Task) -> None:
    answer = exec_task(sleeper, "/bin/sh", "-c", "seq 1 100000; seq 1 3 >&2")
    assert answer.result.exit_code == 0
    whole = "".join(f"{n}\n" for n in range(1, 100001)).encode()
    assert answer.stdout == whole[-65536:]
    assert answer.stderr == b"1\n2\n3\n"


def test_exec_task_has_no_input(sleeper: Task) -> None:
    assert output(sleeper, "cat") == ""


# Timeout


def test_timeout(sleeper: Task) -> None:
    begun = time.monotonic()
    with refused("/bin/sleep", "had not ended after 0.5 s", sleeper.id, code=Code.DEADLINE_EXCEEDED):
        exec_task(sleeper, "/bin/sleep", "300", timeout=0.5)
    assert 0.5 <= time.monotonic() - begun < scaled(3)
    assert commands_in(sleeper) == []


def test_timeout_kills_what_ignores_signals_and_its_children(sleeper: Task) -> None:
    with pytest.raises(grpc.RpcError):
        exec_task(sleeper, "/bin/sh", "-c", "trap '' HUP INT TERM; sleep 300 & sleep 300 & sleep 300", timeout=0.5)
    wait_until(lambda: commands_in(sleeper) == [], 5, "the whole command has ended")


def test_within_the_timeout(sleeper: Task) -> None:
    assert exec_task(sleeper, "/bin/sh", "-c", "sleep 0.2; exit 4", timeout=30).result.exit_code == 4
