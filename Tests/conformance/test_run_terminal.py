"""`run` on a terminal: the command has a terminal of its own, and the tool's is restored at every end."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from typing import Any, Iterator

import pytest

from command_line import PROGRAM, SLOW, environment, nothing_is_left  # noqa: F401

# The commands here exec the program that they wait for, or are bash: dash loses a SIGINT while it starts a child.
# A guard against a hang.
GUARD = 60 * SLOW


class Terminal:
    """A user's terminal, with `run` in its foreground."""

    def __init__(self, *words: str, rows: int = 24, columns: int = 80, **variables: str) -> None:
        self.holder, self.terminal = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.terminal)
        self.seen = b""
        # setsid(1) execs the tool. No preexec_fn: threads of gRPC, if another test has started some, can hold a lock
        # while Python forks.
        self.tool = subprocess.Popen(
            ["setsid", "--ctty", PROGRAM, "run", *words], stdin=self.terminal, stdout=self.terminal,
            stderr=self.terminal, env={**environment(), **variables})

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.holder, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self.holder, keys.encode())

    def wait_for(self, text: str) -> None:
        """Reads until the text has come, and drops the output up to its end."""
        wanted = text.encode()
        end = time.monotonic() + GUARD
        while wanted not in self.seen:
            assert time.monotonic() < end, (text, self.seen)
            if select.select([self.holder], [], [], 1)[0]:
                self.seen += os.read(self.holder, 65536)
        self.seen = self.seen[self.seen.index(wanted) + len(wanted):]

    def end(self) -> int:
        """The tool's exit status; checks that the terminal is restored."""
        end = time.monotonic() + GUARD
        while self.tool.poll() is None:
            assert time.monotonic() < end, self.seen
            # Read on, so that a writer to the terminal does not block.
            if select.select([self.holder], [], [], 0.05)[0]:
                self.seen += os.read(self.holder, 65536)
        assert self.attributes() == self.before
        return self.tool.returncode

    def attributes(self) -> list[Any]:
        return termios.tcgetattr(self.terminal)

    @property
    def is_raw(self) -> bool:
        return not self.attributes()[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def close(self) -> None:
        if self.tool.poll() is None:
            self.tool.kill()
            self.tool.wait(GUARD)
        os.close(self.holder)
        os.close(self.terminal)


@pytest.fixture
def on_terminal() -> Iterator[Any]:
    opened: list[Terminal] = []

    def open_one(*words: str, **options: Any) -> Terminal:
        opened.append(Terminal(*words, **options))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()


def test_a_shell(on_terminal: Any) -> None:
    """Seen before: bash had /dev/null as its stdin, and ended at once."""
    person = on_terminal("bash", "--norc")
    person.type("PS1='$ '; tty; echo re''ady\n")
    person.wait_for("/dev/pts/0\r\n")
    person.wait_for("ready")
    assert b"no job control" not in person.seen
    person.type("echo $((40 + 2)); exit 7\n")
    person.wait_for("42\r\n")
    assert person.end() == 7


def test_job_control(on_terminal: Any) -> None:
    """Ctrl-Z stops the shell's job, fg continues it, Ctrl-C ends it: neither the shell nor the tool."""
    person = on_terminal("bash", "--norc")
    person.type("PS1='$ '; echo re''ady\n")
    person.wait_for("ready")
    # Without a child: a shell that waits for the execve of a stopped child cannot be stopped itself.
    person.type("sh -c 'trap \"echo con\"\"tinued\" CONT; echo u\"\"p; while :; do read line; done'\n")
    person.wait_for("up\r\n")
    person.type("\x1a")
    person.wait_for("Stopped")
    person.type("fg\n")
    person.wait_for("continued\r\n")
    person.type("\x03")
    person.wait_for("$ ")
    person.type("echo aft''er $?\n")
    person.wait_for("after 130")
    person.type("exit 3\n")
    assert person.end() == 3


def test_size_and_resize(on_terminal: Any) -> None:
    script = 'trap "stty size; exit 9" WINCH; stty size; while :; do sleep 0.05; done'
    person = on_terminal("sh", "-c", script, rows=21, columns=43)
    person.wait_for("21 43")
    assert person.is_raw
    person.resize(33, 66)
    person.wait_for("33 66")
    assert person.end() == 9


def test_interrupt_is_the_commands(on_terminal: Any) -> None:
    """Ctrl-C reaches the command alone: the tool would kill it at once."""
    person = on_terminal("--kill-timeout", "0", "bash", "-c",
                         "trap 'echo got; exit 4' INT; echo up; while :; do sleep 0.05; done")
    person.wait_for("up")
    person.type("\x03")
    person.wait_for("got")
    assert person.end() == 4


def test_interrupt_ends_the_command(on_terminal: Any) -> None:
    person = on_terminal("sh", "-c", "echo up; exec sleep 300")
    person.wait_for("up")
    person.type("\x03")
    assert person.end() == 130


def test_keys_are_echoed_once_and_end_of_file_is_typed(on_terminal: Any) -> None:
    person = on_terminal("sh", "-c", "echo up; exec cat")
    person.wait_for("up\r\n")
    person.type("word\n")
    person.wait_for("word\r\nword\r\n")
    person.type("\x04")
    assert person.end() == 0
    assert person.seen == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1,
                                    signal.SIGALRM, signal.SIGABRT, signal.SIGXCPU])
def test_the_terminal_is_restored_after_a_signal(on_terminal: Any, number: int) -> None:
    person = on_terminal("sh", "-c", "echo up; exec sleep 300")
    person.wait_for("up")
    assert person.is_raw
    person.tool.send_signal(number)
    assert person.end() == 128 + number


def test_the_terminal_is_restored_where_the_command_is_not_found(on_terminal: Any) -> None:
    person = on_terminal("no-such-command")
    person.wait_for("cannot run no-such-command: command not found")
    assert person.end() == 127


def test_stop_and_continue(on_terminal: Any) -> None:
    """SIGTSTP stops the command and the tool, and the terminal is restored meanwhile; SIGCONT continues both."""
    person = on_terminal("sh", "-c", "trap 'echo continued' CONT; echo up; while :; do read line; done")
    person.wait_for("up")
    person.tool.send_signal(signal.SIGTSTP)
    pid, status = os.waitpid(person.tool.pid, os.WUNTRACED)
    assert pid == person.tool.pid and os.WIFSTOPPED(status)
    assert person.attributes() == person.before
    person.tool.send_signal(signal.SIGCONT)
    person.wait_for("continued")
    assert person.is_raw
    person.tool.send_signal(signal.SIGTERM)
    assert person.end() == 143


def test_a_terminal_that_is_closed_ends_the_command(on_terminal: Any) -> None:
    """For example with its window: the kernel sends SIGHUP to the tool, which passes it on."""
    person = on_terminal("sh", "-c", "echo up; exec sleep 300")
    person.wait_for("up")
    os.close(person.terminal)
    os.close(person.holder)
    person.holder, person.terminal = os.open("/dev/null", os.O_RDWR), os.open("/dev/null", os.O_RDWR)
    assert person.tool.wait(GUARD) == 128 + signal.SIGHUP


def test_the_kind_of_terminal_is_told(on_terminal: Any) -> None:
    person = on_terminal("sh", "-c", "echo kind=$TERM", TERM="vt220")
    person.wait_for("kind=vt220")
    assert person.end() == 0
    person = on_terminal("--env", "TERM=ansi", "sh", "-c", "echo kind=$TERM", TERM="vt220")
    person.wait_for("kind=ansi")
    assert person.end() == 0


def test_the_terminal_can_be_opened_again(on_terminal: Any) -> None:
    person = on_terminal("sh", "-c", "echo up >/dev/tty; read line </dev/stdin; echo got $line >/dev/stderr")
    person.wait_for("up")
    person.type("x\n")
    person.wait_for("got x")
    assert person.end() == 0


def test_the_terminals_are_those_of_the_commands_root(on_terminal: Any) -> None:
    """The first is the command's own; another that it makes is beside it, and nobody else's is there."""
    program = "import os, pty; print(os.ttyname(0), *sorted(os.listdir('/dev/pts'))); print(os.ttyname(pty.openpty()[1]))"
    person = on_terminal("python3", "-c", program)
    person.wait_for("/dev/pts/0 0 ptmx\r\n/dev/pts/1\r\n")
    assert person.end() == 0


@pytest.mark.parametrize("user", ["nomad-81234", "nobody", "root"])
def test_a_terminal_without_defaults(on_terminal: Any, user: str) -> None:
    rules = [word for path in ("/bin", "/usr/bin", "/lib", "/lib64", "/usr/lib") if os.path.exists(path)
             for word in ("--unveil", f"rx:{path}")]
    person = on_terminal("--no-defaults", *rules, "--user", user, "sh", "-c", "tty; echo up > /dev/tty; read line; exit $line")
    person.wait_for("/dev/pts/0\r\nup\r\n")
    person.type("5\n")
    assert person.end() == 5


def test_a_command_of_exec_has_another_terminal(on_terminal: Any) -> None:
    person = on_terminal("sh", "-c", "echo u''p; exec sleep 300")
    person.wait_for("up")
    pid = str(person.tool.pid)
    result = subprocess.run([PROGRAM, "exec", "--tty", pid, "sh", "-c", "tty; ls /dev/pts"], stdin=subprocess.DEVNULL,
                            capture_output=True, timeout=GUARD, env=environment(), check=False)
    assert (result.returncode, result.stdout) == (0, b"/dev/pts/1\r\n0  1  ptmx\r\n"), result
    person.tool.send_signal(signal.SIGTERM)
    assert person.end() == 143


def test_no_tty_gives_the_command_none(on_terminal: Any) -> None:
    """It has pipes and gets what is typed as input; it cannot reach the user's terminal itself."""
    person = on_terminal("--no-tty", "sh", "-c", "[ -t 0 ] || [ -t 1 ] || [ -t 2 ] || echo none; exec cat")
    person.wait_for("none")
    assert not person.is_raw
    person.type("line\n")
    person.wait_for("line\r\nline\r\n")
    person.type("\x04")
    assert person.end() == 0


def test_tty_without_a_terminal() -> None:
    result = subprocess.run([PROGRAM, "run", "--tty", "sh", "-c", "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; echo err >&2"],
                            stdin=subprocess.DEVNULL, capture_output=True, timeout=GUARD, env=environment(), check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"all\r\nerr\r\n", b"")


def test_all_output_comes_before_the_end() -> None:
    """More output than a terminal buffers."""
    result = subprocess.run([PROGRAM, "run", "--tty", "seq", "1", "50000"], stdin=subprocess.DEVNULL,
                            capture_output=True, timeout=GUARD, env=environment(), check=False)
    assert result.stdout == "".join(f"{n}\r\n" for n in range(1, 50001)).encode()
