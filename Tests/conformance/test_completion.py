"""Completion in the shells, tested in each shell itself."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Callable

import pytest

from agent import Plugin, Task
from agent.timing import scaled


def script(binary: Path, shell: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NOMAD_")}
    result = subprocess.run(
        [binary, "completion", shell], check=False, capture_output=True, text=True, env=environment, timeout=scaled(30))
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def shell(*words: str, text: str = "") -> str:
    result = subprocess.run(
        words, input=text, check=False, capture_output=True, text=True, timeout=scaled(60))
    assert (result.returncode, result.stderr) == (0, ""), result
    return result.stdout


def bash(binary: Path, line: str, breaks: str = " \t\n\"'><=;|&(:") -> list[str]:
    """What bash offers at the end of a line; readline splits the words at `breaks`."""
    code = f"""{script(binary, "bash")}
compopt() {{ :; }}
COMP_WORDBREAKS={shlex.quote(breaks)} COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}
_nomad_driver_exec2
[ "${{#COMPREPLY[@]}}" -eq 0 ] || printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    return sorted(set(shell("bash", "--norc", text=code).splitlines()))


PROGRAM = "nomad-driver-exec2 "
COMMANDS = ["check", "completion", "exec", "run", "tasks", "trace"]


@pytest.mark.parametrize("line,expected", [
    ("", COMMANDS), ("c", ["check", "completion"]), ("--v", ["--version"]), ("-", ["--help", "--version"]),
    ("check --e", ["--executor"]), ("tasks --j", ["--json"]), ("tasks x", []),
    ("completion ", ["bash", "fish", "zsh"]), ("completion z", ["zsh"]),
    ("run --mem", ["--memory", "--memory-max"]), ("run -m 64 --kill", ["--kill-timeout"]),
    ("run --memory ", []), ("run --memory --u", []), ("run --user roo", ["root"]), ("run --user=roo", ["root"]),
    ("run --signal-to ", ["group", "process"]), ("run --signal-to=p", ["process"]),
    ("run --unveil ", ["r:", "rw:", "rwc:", "rwxc:", "rx:"]), ("run -u rwx", ["rwxc:"]),
    ("run --unveil r:/etc/passw", ["/etc/passwd"]), ("run -u r:/etc/hostn", ["/etc/hostname"]),
    ("run --work-dir /us", ["/usr"]), ("run -- setpri", ["setpriv"]), ("run --user root setpri", ["setpriv"]),
    ("run cat /etc/passw", ["/etc/passwd"]), ("run -- cat --unveil /etc/passw", ["/etc/passwd"]),
    ("frobnicate ", []),
])
def test_bash(binary: Path, line: str, expected: list[str]) -> None:
    # There may be a backup file, for example /etc/passwd-.
    assert [word for word in bash(binary, PROGRAM + line) if not word.endswith("-")] == expected


@pytest.fixture
def running(act: Callable[..., Task]) -> Task:
    task = act("out=up", "pause=").start()
    task.stdout.wait_for("up")
    return task


@pytest.mark.parametrize("words,expected", [
    ("--state-dir {directory} ", "{id}"), ("--state-dir={directory} ", "{id}"), ("-t --state-dir {directory} -- ", "{id}"),
    ("--state-dir {directory} {begun}", "{id}"), ("--state-dir {directory} no-such", ""), ("--state-dir /nonexistent ", ""),
    ("{id} setpri", "setpriv"), ("{id} -- setpri", "setpriv"), ("-- {id} setpri", "setpriv"),
    ("{id} cat /etc/passw", "/etc/passwd"), ("{id} -- cat /etc/passw", "/etc/passwd"), ("{id} cat --tt", ""),
    ("--tt", "--tty"),
])
def test_bash_of_exec(binary: Path, plugin: Plugin, running: Task, words: str, expected: str) -> None:
    facts = {"directory": plugin.state_dir, "id": running.id, "begun": running.id[:4]}
    offered = bash(binary, f"{binary} exec {words.format(**facts)}")
    assert [word for word in offered if not word.endswith("-")] == [word for word in [expected.format(**facts)] if word]


@pytest.mark.parametrize("words,expected", [
    ("--state-dir {directory} ", "{id}"), ("--suggest --state-dir={directory} {begun}", "{id}"), ("{id} ", ""), ("--sug", "--suggest"),
])
def test_bash_of_trace(binary: Path, plugin: Plugin, running: Task, words: str, expected: str) -> None:
    facts = {"directory": plugin.state_dir, "id": running.id, "begun": running.id[:4]}
    offered = bash(binary, f"{binary} trace {words.format(**facts)}")
    assert [word for word in offered if not word.endswith("-")] == [word for word in [expected.format(**facts)] if word]


def test_names_of_tasks_are_text_to_a_shell(binary: Path, tmp_path: Path) -> None:
    """The author of a job chooses them, and root uses the completion."""
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\nprintf '%s\\n' 'a/$(touch hit)`touch hit`' 'b/two words;*'\n")
    tool.chmod(0o755)
    code = f"""cd {tmp_path}
{script(binary, "bash")}
compopt() {{ :; }}
COMP_LINE='{tool} exec ' COMP_POINT={len(str(tool)) + 6}
_nomad_driver_exec2
eval "printf '<%s>\\n' ${{COMPREPLY[*]}}"
"""
    assert shell("bash", "--norc", text=code) == "<a/$(touch hit)`touch hit`>\n<b/two words;*>\n"
    assert not (tmp_path / "hit").exists()


def test_bash_without_a_colon_as_a_break(binary: Path) -> None:
    assert "r:/etc/passwd" in bash(binary, PROGRAM + "run -u r:/etc/passw", breaks=" \t\n")


def test_bash_has_every_option_of_the_help(binary: Path) -> None:
    for command in COMMANDS:
        result = subprocess.run([binary, command, "--help"], check=True, capture_output=True, text=True)
        shown = {word.rstrip(",") for line in result.stdout.splitlines() if line.startswith("  ")
                 for word in line.split() if word.startswith("--") and len(word) > 2 and line.find(word) < 8}
        assert shown and shown <= set(bash(binary, f"{PROGRAM}{command} --")), command


@pytest.mark.parametrize("line,expected", [
    ("", COMMANDS), ("tasks --j", ["--json"]), ("completion z", ["zsh"]), ("run --mem", ["--memory", "--memory-max"]),
    ("run --user roo", ["root"]), ("run --signal-to ", ["group", "process"]),
])
def test_fish(binary: Path, line: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "nomad-driver-exec2.fish").write_text(script(binary, "fish"))
    result = subprocess.run(
        ["fish", "--no-config", "-c", f"source {tmp_path}/nomad-driver-exec2.fish; complete -C {shlex.quote(PROGRAM + line)}"],
        check=False, capture_output=True, text=True, timeout=scaled(60), env={**os.environ, "HOME": str(tmp_path)})
    assert result.returncode == 0, result.stderr
    assert sorted({row.split("\t")[0] for row in result.stdout.splitlines()}) == expected


@pytest.mark.parametrize("command", ["exec", "trace"])
@pytest.mark.parametrize("form", ["--state-dir {}", "--state-dir={}"])
def test_fish_of_a_task(binary: Path, plugin: Plugin, running: Task, form: str, command: str, tmp_path: Path) -> None:
    """In a directory without files, since files would be offered as arguments of the command."""
    (tmp_path / "completion").write_text(script(binary, "fish"))
    (tmp_path / "empty").mkdir()
    line = f"{binary} {command} {form.format(plugin.state_dir)} {running.id[:4]}"
    result = subprocess.run(
        ["fish", "--no-config", "-c", f"source ../completion; complete -C {shlex.quote(line)}"], check=False,
        capture_output=True, text=True, timeout=scaled(60), env={**os.environ, "HOME": str(tmp_path)},
        cwd=tmp_path / "empty")
    assert (result.returncode, result.stderr) == (0, "")
    assert running.id in [row.split("\t")[0] for row in result.stdout.splitlines()]


ZSH = """
zmodload zsh/zpty
zpty shell zsh -f
zpty -w shell "PS1='>' ; stty -echo cols 400; COLUMNS=400; fpath=($1 \\$fpath); autoload -U compinit; compinit -u -d $1/dump"
zpty -w shell "zstyle ':completion:*' list-prompt ''; setopt no_beep; LISTMAX=1000; echo rea''dy"
zpty -r shell seen '*ready*'
zpty -n -w shell "$2"$'\\t\\t'
seen=
for try in {1..50}; do
    sleep 0.1
    while zpty -r -t shell part; do seen+=$part; done
    [[ $seen == *$3* ]] && break
done
zpty -d shell
print -r -- $seen
"""


def zsh(binary: Path, line: str, expected: str, directory: Path) -> None:
    """In a terminal, with the completion system as a user has it."""
    (directory / "_nomad-driver-exec2").write_text(script(binary, "zsh"))
    program = directory / "zsh-test"
    program.write_text(ZSH.replace("\\\\", "\\"))
    seen = subprocess.run(
        ["zsh", "-f", str(program), str(directory), line, expected], check=False, capture_output=True, text=True,
        timeout=scaled(60)).stdout
    # zsh's addition follows the typed text directly.
    begun = line.split()[-1]
    assert line + expected[len(begun):] in re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]|\a", "", seen), ascii(seen)


@pytest.mark.parametrize("line,expected", [
    ("comp", "completion"), ("ch", "check"), ("tasks --js", "--json"), ("run --kill", "--kill-timeout"),
    ("completion fi", "fish"), ("run --user roo", "root"), ("exec --st", "--state-dir"),
    ("run --signal-to pr", "process"),
])
def test_zsh(binary: Path, line: str, expected: str, tmp_path: Path) -> None:
    zsh(binary, PROGRAM + line, expected, tmp_path)


@pytest.mark.parametrize("command", ["exec", "trace"])
@pytest.mark.parametrize("form", ["--state-dir {}", "--state-dir={}"])
def test_zsh_of_a_task(binary: Path, plugin: Plugin, running: Task, form: str, command: str, tmp_path: Path) -> None:
    line = f"{binary} {command} {form.format(plugin.state_dir)} {running.id[:4]}"
    zsh(binary, line, running.id, tmp_path)
