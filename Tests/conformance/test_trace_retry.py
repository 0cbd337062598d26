"""`run --trace --suggest --retry`: a command that fails is run again with what was suggested, and the list at the end is for
all of its tries."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from command_line import PROGRAM, SLOW, environment, nothing_is_left  # noqa: F401
from tracing import options, rules, titles

RETRY = ("--trace", "--suggest", "--retry")


def run(*words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "run", *words], input=text, capture_output=True, text=True, timeout=60 * SLOW, env=environment(), check=False)


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = Path(f"/srv/exec2-{os.getpid()}-{tmp_path_factory.mktemp('x').name}")
    directory.mkdir(mode=0o755)
    for name in ("first", "second", "third"):
        (directory / name).write_text(f"{name}\n")
    yield directory
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()


@pytest.mark.parametrize("user", ["root", "nobody", "nomad-91000"])
def test_until_it_works(site: Path, user: str) -> None:
    """A shell that ends at the first file that it lacks: what a try has told is not told again, and the list is for all. Two
    files of a directory become that directory, which allows the third as well."""
    (site / "second").chmod(0o600 if user == "root" else 0o644)
    # A line of cat's, which it writes in parts, could end up around one of the trace's.
    text = "exec 2> /dev/null; " + "; ".join(f"cat {site}/{name}" for name in ("first", "second", "third"))
    result = run("--user", user, *RETRY, "--", "sh", "-ec", text)
    assert result.returncode == 0 and result.stdout == "first\nfirst\nsecond\nthird\n", result.stderr
    assert titles(result.stderr) == [f"r:{site}/first", f"r:{site}/second"]
    lines = result.stderr.splitlines()
    assert f"trace: try 1 ended with exit status 1; trying again with --unveil r:{site}/first" in lines
    assert result.stderr.count("For the job, on a client") == 1
    again = run("--user", user, *options(result.stderr), "--", "sh", "-ec", text)
    assert again.returncode == 0 and again.stdout == "first\nsecond\nthird\n", again.stderr


def test_from_nothing() -> None:
    """Without a default rule: program, loader and libraries are found one after the other."""
    result = run(*RETRY, "--no-defaults", "--", "/bin/cat", "/etc/hostname")
    assert result.returncode == 0 and result.stdout == Path("/etc/hostname").read_text(), result.stderr
    found = rules(result.stderr)
    assert "r:/etc/hostname" in found and any(rule.startswith("rx:") for rule in found), found
    again = run("--no-defaults", *options(result.stderr), "--", "/bin/cat", "/etc/hostname")
    assert again.returncode == 0 and again.stdout == result.stdout, again.stderr


def test_a_program_named_by_a_symlink() -> None:
    """Seen before: the loader of a program that the task has only by a symlink was not found, and so not told."""
    name = Path("/usr/bin/sh")
    assert name.is_symlink()
    result = run("--trace", "--no-defaults", "--unveil", f"rx:{name}", "--", str(name), "-c", "true")
    assert result.returncode == 127, result.stderr
    assert [title for title in titles(result.stderr) if title.startswith("rx:/usr/lib64/ld-")], result.stderr


def test_own_directories() -> None:
    """They have the same name in each try: a rule for one of them is good in the next."""
    result = run(*RETRY, "--no-defaults", "--", "/bin/sh", "-ec", "echo x > $NOMAD_TASK_DIR/file")
    assert result.returncode == 0, result.stderr
    assert any(rule.split(":")[1] == "local" for rule in rules(result.stderr)), result.stderr


def test_what_no_option_allows(site: Path) -> None:
    (site / "first").chmod(0o600)
    result = run("--user", "nobody", *RETRY, "--", "sh", "-c", f"cat {site}/first 2> /dev/null")
    assert result.returncode == 1, result.stderr
    assert titles(result.stderr) == [f"file permissions of {site}/first"]
    assert "trace: try 1 ended with exit status 1, and no option would allow more" in result.stderr.splitlines()
    assert "# No rule and no option is needed." in result.stderr


def test_a_command_that_fails_for_itself() -> None:
    result = run(*RETRY, "--", "sh", "-c", "exit 7")
    assert result.returncode == 7 and "try 1 ended with exit status 7" in result.stderr and "try 2" not in result.stderr


def test_works_at_once(site: Path) -> None:
    """What a command does without is no reason for another try."""
    result = run(*RETRY, "--", "sh", "-c", f"cat {site}/first 2> /dev/null; true")
    assert result.returncode == 0 and "try " not in result.stderr and rules(result.stderr) == [f"r:{site}/first"]


def test_stopped(site: Path) -> None:
    """A signal ends the run, and not only its try."""
    text = f"cat {site}/first 2> /dev/null; echo up; read -r line < /dev/zero; sleep 60"
    with subprocess.Popen([PROGRAM, "run", *RETRY, "--", "sh", "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True, env=environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30 * SLOW)
    assert process.returncode == 143 and output == "", errors
    assert rules(errors) == [f"r:{site}/first"] and "try " not in errors, errors


def test_a_signal_goes_to_the_try_that_runs(site: Path) -> None:
    text = f"trap 'echo caught; exit 0' USR1; cat {site}/first 2> /dev/null || exit 9; echo up; while :; do sleep 0.05; done"
    with subprocess.Popen([PROGRAM, "run", *RETRY, "--", "sh", "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True, env=environment()) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["first\n", "up\n"]
        process.send_signal(signal.SIGUSR1)
        output, errors = process.communicate(timeout=30 * SLOW)
    assert process.returncode == 0 and output == "caught\n", errors


def test_input(site: Path) -> None:
    """A later try reads what the first has left."""
    result = run(*RETRY, "--", "sh", "-c", f"cat {site}/first", text="never read\n")
    assert result.returncode == 0 and result.stdout == "first\n", result.stderr


def test_help() -> None:
    assert "--retry" in subprocess.run([PROGRAM, "run", "--help"], capture_output=True, text=True, check=True).stdout
    result = run("--retry", "--", "true")
    assert result.returncode == 125 and "--retry runs the command again with what is suggested: add --suggest" in result.stderr
