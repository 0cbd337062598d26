"""The lines that a plugin writes to stderr: hclog's JSON."""

from __future__ import annotations

import json
import os
import re
from typing import Any

_LEVELS = {"trace", "debug", "info", "warn", "error"}
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")


def parse(line: str) -> dict[str, Any]:
    """The entry of one line; ValueError says why the agent would not accept it
    as one."""
    entry = json.loads(line)
    if not isinstance(entry, dict):
        raise ValueError("not an object")
    for key in ("@level", "@message", "@module", "@timestamp"):
        if not isinstance(entry.get(key), str):
            raise ValueError(f"no {key}")
    if entry["@level"] not in _LEVELS:
        raise ValueError("unknown level")
    if not _TIMESTAMP.fullmatch(entry["@timestamp"]):
        raise ValueError("timestamp")
    return entry


def note_warning(entry: dict[str, Any]) -> None:
    """Appends warnings and errors, with the running test, to the file that EXEC2_WARNINGS names, so that those of a whole
    run can be read line by line."""
    path = os.environ.get("EXEC2_WARNINGS")
    if not path or entry["@level"] not in ("warn", "error"):
        return
    facts = {key: value for key, value in entry.items() if not key.startswith("@")}
    test = os.environ.get("PYTEST_CURRENT_TEST", "-")
    with open(path, "a") as file:
        file.write(f"{test}\t{entry['@level']}\t{entry['@message']}\t{json.dumps(facts)}\n")
