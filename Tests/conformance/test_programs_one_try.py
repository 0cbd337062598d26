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
    thing before it looks for the next takes a try for each."""
    given: list[str] = []
    suggested: list[str] = []
    for _ in range(program.tries):
        failing = run(program, DYNAMIC, "--trace", "--suggest", *given)
        assert failing.returncode != 0 and failing.stdout != program.prints
        given += options(failing.stderr)
        suggested += rules(failing.stderr)
    assert set(program.needs[DYNAMIC]) <= set(suggested), suggested
    assert {"--" + option.replace("_", "-") for option in program.options.get(DYNAMIC, [])} <= set(given)
    again = run(program, DYNAMIC, *given)
    assert again.returncode == 0 and again.stdout == program.prints, again.stderr
