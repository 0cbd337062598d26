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
        [PROGRAM, "run", *words], **({"input": text} if text is not None else {"stdin": subprocess.DEVNULL}), capture_output=True, text=True, timeout=60 * SLOW, env=environment(), check=False)


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


@pytest.mark.parametrize("user", ["nobody", "nomad-91000"])
def test_until_it_works(site: Path, user: str) -> None:
    """A shell that ends at the first file that it lacks: what a try has told is not told again, and the list is for all. Two
    files of a directory become that directory, which allows the third as well."""
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


def test_root_is_given_files_alone(site: Path) -> None:
    """Root may read files of a directory that no other user may read."""
    text = f"exec 2> /dev/null; cat {site}/first; cat {site}/second; ls {site}"
    result = run("--user", "root", *RETRY, "--", "sh", "-ec", text)
    assert result.returncode == 2 and result.stdout.endswith("second\n"), result.stderr
    tries = [line for line in result.stderr.splitlines() if line.startswith("trace: try ")]
    assert tries == [
        f"trace: try 1 ended with exit status 1; trying again with --unveil r:{site}/first",
        f"trace: try 2 ended with exit status 1; trying again with --unveil r:{site}/first --unveil r:{site}/second",
        f"trace: try 3 ended with exit status 2, and nothing more is given unasked; left out: --unveil r:{site}"]


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
    """The command can put something else there, so that a rule for them is left out of further tries."""
    result = run(*RETRY, "--no-defaults", "--", "/bin/sh", "-c", "echo x > $NOMAD_TASK_DIR/file || exit 3")
    assert result.returncode == 3, result.stderr
    assert any(rule.split(":")[1] == "local" for rule in rules(result.stderr)), result.stderr
    assert "nothing more is given unasked; left out: --unveil rwc:/var/tmp/" in result.stderr


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
    """Of a file, each try has the whole. What comes through a pipe comes once: the second try had the middle of it."""
    text = f"wc -c; cat {site}/first 2> /dev/null"
    (site / "input").write_text("x" * 3000)
    with open(site / "input", encoding="ascii") as file:
        result = subprocess.run([PROGRAM, "run", *RETRY, "--", "sh", "-c", text], stdin=file, capture_output=True, text=True,
                                timeout=60 * SLOW, env=environment(), check=False)
    assert result.returncode == 0 and result.stdout == "3000\n3000\nfirst\n", (result.stdout, result.stderr)
    piped = run(*RETRY, "--", "sh", "-c", text, text="x")
    assert piped.returncode == 125 and piped.stdout == ""
    assert piped.stderr == ("nomad-driver-exec2: --retry runs the command again, but its input comes only once: redirect stdin "
                            "from a file or from /dev/null\n")


def test_help() -> None:
    assert "--retry" in subprocess.run([PROGRAM, "run", "--help"], capture_output=True, text=True, check=True).stdout
    result = run("--retry", "--", "true")
    assert result.returncode == 125 and "--retry runs the command again with what is suggested: add --suggest" in result.stderr
