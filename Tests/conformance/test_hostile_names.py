"""`check --json` and `tasks --json` of paths and tasks whose names would break a line, a string or a terminal."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from command_line import tool

NAMES = [
    'quote"', "back\\slash", '"}, {"x": "', "line\nfeed\r", "tab\t", "\x1b[2J", "\x7f", "\x9b31m", "\u2028", "\U0001f600",
    "\U0010ff2e\U0010ff2e", "e\u0301", "\x01\x02", "$(id) `id`"]


def printed(*words: str) -> Any:
    """The JSON that a command prints, after a look that nothing in it is a control character but the ends of lines."""
    result = tool(*words)
    assert result.stderr == ""
    assert not [character for character in result.stdout if character != "\n" and (
        ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0)]
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_check(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.mkdir()
    report = printed("check", "--json", "--state-dir", str(path))
    (check,) = [check for check in report["checks"] if check["name"] == "state directory"]
    assert (check["ok"], check["detail"]) == (True, f"{path} is empty: no task of the plugin's is on this host")
    report = printed("check", "--json", "--executor", str(path))
    (check,) = [check for check in report["checks"] if check["name"] == "Executor"]
    assert not check["ok"] and f"{path} (not a regular file)" in check["detail"]
    # For a person, what a terminal would obey is left out.
    text = tool("check", "--state-dir", str(path)).stdout
    assert len([line for line in text.splitlines() if "  state directory  " in line and line.startswith("ok ")]) == 1
    assert not [character for character in text if character != "\n" and (ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0)]


@pytest.mark.parametrize("name", NAMES)
def test_tasks(tmp_path: Path, name: str) -> None:
    """Of a task whose start has just begun, so that its directory alone names it; and a neighbour whose name is not
    UTF-8, which no task has, changes nothing."""
    state = tmp_path / name
    directory = state / f"alloc+{name}+1a2b"
    directory.mkdir(parents=True)
    (directory / "control").touch()
    other = os.fsencode(state) + b"/alloc+caf\xe9+1a2b"
    os.mkdir(other)
    Path(os.fsdecode(other), "control").touch()
    (task,) = printed("tasks", "--json", "--state-dir", str(state))
    assert (task["id"], task["task"], task["state"]) == (f"alloc/{name}/1a2b", name, "starting")
    assert task["state_folder"] == str(directory)
