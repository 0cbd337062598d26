"""What `run --trace --suggest --retry` must not do: each test failed when it was written."""

from __future__ import annotations

import os
import pty
import resource
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Iterator

import pytest

from command_line import PROGRAM, SLOW, environment, nothing_is_left  # noqa: F401
from tracing import rules, titles

RETRY = ("--trace", "--suggest", "--retry")


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    settings: dict[str, object] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 60 * SLOW, "env": environment()}
    settings.update(options)
    return subprocess.run([PROGRAM, "run", *words], check=False, **settings)  # type: ignore[call-overload]


@pytest.fixture
def site() -> Iterator[Path]:
    """Files in directories of their own, so that rules for them do not become one."""
    directory = Path(f"/srv/exec2-limits-{os.getpid()}")
    for index in range(12):
        (directory / str(index) / "inner").mkdir(parents=True)
        (directory / str(index) / "inner" / "file").write_text("x\n")
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def shared() -> Iterator[Path]:
    """In /tmp, which tasks may write to by default."""
    directory = Path(f"/tmp/exec2-limits-{os.getpid()}")
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def reading(site: Path, count: int = 12) -> str:
    return f"exec 2> /dev/null; for i in $(seq 0 {count - 1}); do read -r x < {site}/$i/inner/file || exit 1; done; "


def test_a_symlink_in_place_of_what_was_suggested(site: Path, shared: Path) -> None:
    """The rule of the second try names a path that the command can replace: it gave the whole host, and was printed as one file."""
    text = (f"exec 2> /dev/null; test -d {shared} || {{ mkdir -m 777 {shared}; cd {shared}; cp /bin/true p; ./p; rm p; ln -s / p; exit 1; }}; "
            f"cat {site}/0/inner/file && echo opened")
    result = run(*RETRY, "--", "sh", "-c", text)
    assert "opened" not in result.stdout or f"r:{site}/0/inner/file" in titles(result.stderr), result.stderr


def test_root_is_not_given_without_being_asked() -> None:
    """A dynamic user that asks for setuid, for the host's password hashes and for a cron job had all three in the third try."""
    text = ("import os\nfor step in (lambda: os.setuid(0), lambda: open('/etc/shadow'), lambda: os.open('/etc/cron.d', os.O_RDONLY)):\n"
            "    try: step()\n    except OSError as error: print(error)\n    else: print('got it')\nraise SystemExit(1)\n")
    result = run(*RETRY, "--", "python3", "-c", text)
    assert "got it" not in result.stdout, result.stderr


def test_a_file_that_is_gone_in_the_next_try(shared: Path) -> None:
    """As a compiler's: the run ended with 125, and what had been found out was not printed."""
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    text = f"exec 2> /dev/null; cd {shared}; n=p$(date +%N); cp /bin/true $n; ./$n; s=$?; rm $n; exit $s"
    result = run(*RETRY, "--", "sh", "-c", text)
    assert result.returncode == 126 and rules(result.stderr), result.stderr


def test_the_user_of_all_tries_is_one(site: Path, shared: Path) -> None:
    """A dynamic user could not write to the file that it had made in the try before."""
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    result = run(*RETRY, "--", "sh", "-c", f"id -u > {shared}/file || exit 5; {reading(site, 1)} echo done")
    assert result.returncode == 0 and result.stdout == "done\n", result.stderr


def test_input_that_an_earlier_try_was_given(site: Path) -> None:
    """The second try had the middle of what came through a pipe, and no error."""
    text = f"sleep 0.2; {reading(site, 1)} wc -c"
    result = run(*RETRY, "--", "sh", "-c", text, stdin=None, input="x" * 300_000)
    assert result.returncode != 0 or result.stdout.split() == ["300000"], result.stdout


def test_descriptors_of_earlier_tries(site: Path) -> None:
    """Eight of each try stayed open: with a limit of 100 the tenth failed."""
    result = run(*RETRY, "--", "sh", "-c", reading(site, 9) + "echo done",
                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)))
    assert result.returncode == 0 and result.stdout == "done\n", result.stderr


def test_equivalent_names_are_two(site: Path) -> None:
    """é is one character or two in Unicode, and so two file names."""
    names = ("\u00e9", "e\u0301")
    for name in names:
        (site / name).mkdir()
        (site / name / "file").write_text("x")
    text = "; ".join(f"cat '{site}/{name}/file' || exit 1" for name in names)
    result = run(*RETRY, "--", "sh", "-c", f"exec 2> /dev/null; {text}")
    assert result.returncode == 0, result.stderr


def test_a_name_that_begins_with_a_combining_mark(site: Path) -> None:
    """In a directory that the operator lets root's command write to. To Swift, the slash before the mark is no slash."""
    (site / "written").mkdir()
    name = f"{site}/written/\u0301program"
    text = (f"exec 2> /dev/null; test -e '{name}' || {{ cp /bin/true '{name}'; '{name}'; rm '{name}'; ln -s / '{name}'; exit 1; }}; "
            f"cat {site}/0/inner/file && echo opened")
    result = run("--user", "root", "--unveil", f"rwc:{site}/written", *RETRY, "--", "sh", "-c", text)
    assert "opened" not in result.stdout and "nothing more is given unasked" in result.stderr, result.stderr


def test_interrupted_at_the_terminal(site: Path) -> None:
    """Ctrl-C reaches the command by its terminal, and the tool ran it again."""
    process, terminal = pty.fork()
    if process == 0:
        os.execve(PROGRAM, [PROGRAM, "run", *RETRY, "--", "sh", "-c", f"cat {site}/0/inner/file; echo up; sleep 60; exit 1"], environment())
    output, end, sent = b"", time.monotonic() + 20 * SLOW, 0
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                output += os.read(terminal, 65536)
            except OSError:
                break
        if output.count(b"up\r\n") > sent:
            sent += 1
            os.write(terminal, b"\x03")
    else:
        os.kill(process, signal.SIGTERM)
    os.waitpid(process, 0)
    assert sent == 1 and b"trying again" not in output, output.decode()


def test_interrupted_between_two_tries(site: Path) -> None:
    """While the directories of a try are removed: the next one was announced and started all the same."""
    text = (f"import os\nfor i in range(20000): os.mknod(os.environ['NOMAD_TASK_DIR'] + '/' + str(i))\nprint('try', flush=True)\nopen('{site}/0/inner/file')\n")
    with subprocess.Popen([PROGRAM, "run", *RETRY, "--", "python3", "-Ic", text], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, env=environment()) as process:
        assert process.stderr is not None
        errors = ""
        for line in process.stderr:
            errors += line
            if "system calls of" in line:
                break
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        errors += process.communicate(timeout=60 * SLOW)[1]
    assert "trying again" not in errors, errors


def test_a_trace_that_nobody_takes(site: Path) -> None:
    """Ten tries, exit status 0 or the command's, and nothing told to anybody."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = run("--trace", "--suggest", "--", "sh", "-c", f"exec 2> /dev/null; cat {site}/0/inner/file; true", stderr=full, capture_output=False, stdout=subprocess.PIPE)
    assert result.returncode == 125
