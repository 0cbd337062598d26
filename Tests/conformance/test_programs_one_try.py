"""What `run --trace --suggest` prints for a program that fails is what it needs: the next try works."""

from __future__ import annotations

import subprocess

import pytest

from command_line import PROGRAM, SLOW, environment as variables, nothing_is_left  # noqa: F401
from real_programs import DYNAMIC, PROGRAMS, Program, environment, label, on_debian
from tracing import options, rules

NEEDY = [program for program in PROGRAMS if program.needs.get(DYNAMIC)]


def run(program: Program, user: str, *words: str) -> subprocess.CompletedProcess[str]:
    settings = [f"--env={name}={value}" for name, value in environment().items()]
    return subprocess.run(
        on_debian(PROGRAM, "run", "--user", user.replace("80000", "91000"), *settings, *words, "--", "bash", "-c", program.text),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120 * SLOW, env=variables(), check=False)


@pytest.mark.parametrize("program", NEEDY, ids=label)
def test_try(program: Program) -> None:
    """What is suggested for the form without rules is enough, and includes what the table has. A program that ends for one
    thing before it looks for the next is run again, until it works."""
    failing = run(program, DYNAMIC, "--trace", "--suggest", *(["--retry"] if program.retries else []))
    assert failing.returncode == 0 if program.retries else failing.returncode != 0, failing.stderr
    assert (failing.stdout == program.prints) == program.retries, failing.stdout
    given = options(failing.stderr)
    assert set(program.needs[DYNAMIC]) <= set(rules(failing.stderr)), failing.stderr
    assert {"--" + option.replace("_", "-") for option in program.options.get(DYNAMIC, [])} <= set(given)
    again = run(program, DYNAMIC, *given)
    assert again.returncode == 0 and again.stdout == program.prints, again.stderr


TMUX = """
export TMUX_TMPDIR=$PWD/tmp TERM=screen
tmux -f /dev/null new-session -d -s first 'echo up > local/up; tmux wait-for -S up; sleep 300'
timeout 10 tmux wait-for up
cat local/up
tmux kill-server
"""


def test_tmux() -> None:
    """As a user whose account has no shell. In the task's own /etc/passwd it has one."""
    def tmux(*words: str) -> subprocess.CompletedProcess[str]:
        return run(Program("tmux", TMUX, "up\n"), "nobody", *words)

    failing = tmux("--trace", "--suggest")
    assert failing.returncode != 0 and "--user-files" in options(failing.stderr), failing.stderr
    again = tmux(*options(failing.stderr))
    assert again.returncode == 0 and again.stdout == "up\n", again.stderr
