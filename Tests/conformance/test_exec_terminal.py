"""Commands on a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from typing import Callable

import pytest

from agent import Task
from agent.exec import script, session
from agent.timing import scaled, wait_until

Make = Callable[..., Task]


@pytest.fixture(params=["nomad-80000", "root"])
def sleeper(make: Make, request: pytest.FixtureRequest) -> Task:
    return make("/bin/sleep", ["300"], user=request.param, unveil=["r:/proc"]).start()


def test_size_is_the_last_sent_before(sleeper: Task) -> None:
    given = script(sleeper, "stty size", tty=True, sizes=[(24, 80), (31, 117)])
    assert given.wait() == (0, 0)
    assert given.stdout == b"31 117\r\n"


def test_size_is_the_last_sent(sleeper: Task) -> None:
    given = script(sleeper, "read line; stty size", tty=True, sizes=[(24, 80)])
    given.resize(40, 100)
    given.resize(50, 132)
    given.send(b"go\n")
    assert given.wait() == (0, 0)
    assert given.stdout.endswith(b"50 132\r\n")


def test_resize_tells_the_command(sleeper: Task) -> None:
    given = script(
        sleeper, 'trap "stty size; exit 9" WINCH; echo up; while :; do sleep 0.05; done', tty=True, sizes=[(24, 80)])
    given.wait_for("up")
    given.resize(33, 99)
    assert given.wait() == (9, 0)
    assert b"33 99" in given.stdout


@pytest.mark.parametrize("rows, columns, shown", [(-1, -5, b"0 0"), (70000, 70000, b"65535 65535")])
def test_sizes_that_no_terminal_has(sleeper: Task, rows: int, columns: int, shown: bytes) -> None:
    given = script(sleeper, "stty size", tty=True, sizes=[(rows, columns)])
    assert given.wait() == (0, 0) and given.stdout == shown + b"\r\n"


def test_all_output_is_stdout(sleeper: Task) -> None:
    given = script(sleeper, "echo out; echo err >&2", tty=True)
    assert given.wait() == (0, 0)
    assert (given.stdout, given.stderr) == (b"out\r\nerr\r\n", b"")


def test_input_is_echoed_and_read(sleeper: Task) -> None:
    given = script(sleeper, "read line; echo got $line", tty=True)
    given.send(b"hello\n")
    assert given.wait() == (0, 0)
    assert given.stdout == b"hello\r\ngot hello\r\n"


def test_end_of_file_is_typed(sleeper: Task) -> None:
    given = session(sleeper, "cat", tty=True)
    given.send(b"line\n")
    given.wait_for("line\r\nline\r\n")
    given.close_stdin()
    time.sleep(0.3)
    assert given.result is None, "the end of the requests must not act as Ctrl-D"
    given.send(b"\x04")
    assert given.wait() == (0, 0)


def test_interrupt(sleeper: Task) -> None:
    given = script(sleeper, "echo up; sleep 300", tty=True)
    given.wait_for("up")
    given.send(b"\x03")
    assert given.wait() == (130, 2)


def test_interrupt_can_be_caught(sleeper: Task) -> None:
    given = script(sleeper, 'trap "exit 21" INT; echo up; while :; do sleep 0.05; done', tty=True)
    given.wait_for("up")
    given.send(b"\x03")
    assert given.wait() == (21, 0)


def test_job_control(sleeper: Task) -> None:
    """An interactive shell: Ctrl-Z stops its foreground job, fg continues it, Ctrl-C ends it and not the shell."""
    given = session(sleeper, "/bin/bash", "--norc", "-i", tty=True, sizes=[(24, 80)])
    given.send(b"PS1='$ '; echo re''ady\n")
    given.wait_for("ready")
    assert b"no job control" not in given.stdout
    given.send(b"sleep 300\n")
    time.sleep(0.3)
    given.send(b"\x1a")
    given.wait_for("Stopped")
    given.send(b"jobs; fg\n")
    time.sleep(0.3)
    given.send(b"\x03")
    given.send(b"echo st''ill here; exit 6\n")
    given.wait_for("still here")
    assert given.wait() == (6, 0)


def test_dev_tty(sleeper: Task) -> None:
    given = script(sleeper, "exec 3<>/dev/tty && echo up >&3 && read line <&3 && echo $line > /dev/tty", tty=True)
    given.send(b"typed\n")
    assert given.wait() == (0, 0)
    assert given.stdout.count(b"typed\r\n") == 2 and b"up\r\n" in given.stdout


def test_streams_can_be_opened_again(sleeper: Task) -> None:
    given = script(sleeper, "echo out > /dev/stdout; echo err > /dev/stderr; read line < /dev/stdin; echo $line", tty=True)
    given.send(b"in\n")
    assert given.wait() == (0, 0)
    assert b"out\r\n" in given.stdout and b"err\r\n" in given.stdout


def test_other_terminals_stay_denied(sleeper: Task, make: Make) -> None:
    """Neither the host's terminals nor those of commands in other tasks exist for a task, and a command without one has no
    /dev/tty. Seen with the host's /dev/pts in its place: the names of all of them."""
    other = make("/bin/sleep", ["300"], user=sleeper.request.task.user).start()
    first = script(other, "tty; echo up; read line", tty=True)
    first.wait_for("up")
    holder, terminal = pty.openpty()
    try:
        os.chmod(os.ttyname(terminal), 0o666)
        second = script(
            sleeper, f"tty; cd /dev/pts; echo *; for tty in [0-9]* {os.ttyname(terminal)}; do echo spy > $tty; done; true", tty=True)
        assert second.wait() == (0, 0)
        lines = second.stdout.decode().splitlines()
        own = lines[0].removeprefix("/dev/pts/")
        assert lines[1].split() == [own, "ptmx"] and "spy" in lines[2:]
        without = script(sleeper, "echo spy > /dev/tty")
        assert without.wait()[0] != 0
        assert not select.select([holder], [], [], 0)[0]
    finally:
        os.close(terminal)
        os.close(holder)
    first.send(b"\n")
    assert first.wait() == (0, 0)
    assert b"spy" not in first.stdout


def test_terminals_of_one_task(sleeper: Task) -> None:
    """Its commands are one user's, who owns their terminals, as in a container."""
    first = script(sleeper, "tty; echo up; read line", tty=True)
    first.wait_for("up")
    path = first.stdout.decode().split()[0]
    assert script(sleeper, f"echo seen > {path}").wait() == (0, 0)
    first.wait_for("seen")
    first.send(b"\n")
    assert first.wait() == (0, 0)


def test_terminal_has_a_name_for_programs(sleeper: Task, make: Make) -> None:
    given = script(sleeper, "echo $TERM", tty=True)
    assert given.wait() == (0, 0) and given.stdout == b"xterm\r\n"
    without = script(sleeper, "echo $TERM")
    assert without.wait() == (0, 0) and without.stdout in (b"\n", b"dumb\n")
    named = make("/bin/sleep", ["300"], env={"TERM": "vt100"}).start()
    given = script(named, "echo $TERM", tty=True)
    assert given.wait() == (0, 0) and given.stdout == b"vt100\r\n"


def test_background_child_does_not_hold_the_session(sleeper: Task) -> None:
    begun = time.monotonic()
    given = script(sleeper, "(trap '' HUP; sleep 300) & echo started; exit 5", tty=True)
    assert given.wait() == (5, 0)
    assert b"started\r\n" in given.stdout
    assert time.monotonic() - begun < scaled(3)


def test_all_output_before_the_end_arrives(sleeper: Task) -> None:
    """More output than a terminal buffers, of a command that ends right after it."""
    given = script(sleeper, "stty -opost; seq 1 50000; (trap '' HUP; sleep 300) &", tty=True)
    assert given.wait() == (0, 0)
    assert given.stdout == "".join(f"{n}\n" for n in range(1, 50001)).encode()


def test_raw_input_arrives_whole(sleeper: Task) -> None:
    data = bytes(range(256)) * 4096
    given = script(sleeper, f"stty raw -echo; echo up; head -c {len(data)} | cksum", tty=True)
    given.wait_for("up")
    for start in range(0, len(data), 30000):
        given.send(data[start:start + 30000])
    assert given.wait() == (0, 0)
    expected = subprocess.run(["cksum"], input=data, stdout=subprocess.PIPE, check=True).stdout
    assert given.stdout.split(b"\n")[-2].strip() == expected.strip()


def test_cancelled(sleeper: Task) -> None:
    given = script(sleeper, "echo up; sleep 300", tty=True)
    given.wait_for("up")
    given.cancel()
    main = sleeper.pid
    wait_until(lambda: (sleeper.scope / "cgroup.procs").read_text().split() == [str(main)], 5, "the command has ended")


def test_vi(make: Make) -> None:
    """A full-screen program: it draws and reads keys."""
    task = make("/bin/sleep", ["300"], unveil=["r:/etc", "r:/usr/share"]).start()
    given = session(task, "vi", task.local / "file", tty=True, sizes=[(24, 80)])
    wait_until(lambda: b"\x1b[" in given.stdout, 10, "drawn")
    given.send(b"ihello\x1b:wq\r")
    assert given.wait() == (0, 0)
    assert (task.local / "file").read_text() == "hello\n"
